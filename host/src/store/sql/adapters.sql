-- Adapters as the store knows them (adapters.rs).

-- name: adapter_control
-- What is wanted of a target, whether another host has learned something of it, and whether the last report of it was
-- that it is down.
SELECT CASE WHEN {is_paused(t)} THEN 1 ELSE 0 END, t.adapter_sha256, w.rejected_sha256, w.reload_requests,
    t.probe_requests, l.basis, l.revision, CASE WHEN t.state = 'down' THEN 1 ELSE 0 END, h.sha256, h.accepted_at
FROM sync_target t LEFT JOIN sync_adapter_control w ON w.target = t.name LEFT JOIN sync_learned l ON l.target = t.name
    LEFT JOIN sync_adapter_hold h ON h.target = t.name
WHERE t.name = :target;

-- name: is_active_adapter
SELECT 1 FROM sync_target WHERE name = :target AND adapter_sha256 = :sha256;

-- name: remember_previous_adapter
-- By itself, since MySQL would read the new digest in the second assignment of one statement.
UPDATE sync_target SET previous_sha256 = adapter_sha256 WHERE name = :target AND adapter_sha256 <> :sha256;

-- name: activate_adapter
UPDATE sync_target
SET adapter_name = :name, adapter_version = :version, adapter_sha256 = :sha256
WHERE name = :target AND (adapter_sha256 IS NULL OR adapter_sha256 <> :sha256);

-- name: add_adapter_event
INSERT INTO sync_adapter_event (target, sha256, name, version, event, reason, host, at)
VALUES (:target, :sha256, :name, :version, :event, :reason, :host, {now});

-- name: adapter_events
SELECT target, sha256, name, version, event, reason, host, at
FROM sync_adapter_event
[[WHERE target = :target]]
ORDER BY id DESC
LIMIT :limit;

-- name: reject_adapter
-- The adapter that is not taken from a file again; NULL for none.
INSERT INTO sync_adapter_control (target, rejected_sha256) VALUES (:target, :sha256)
{on_conflict(target)} rejected_sha256 = {new(rejected_sha256)};

-- name: reload_adapter
-- This adapter is taken from a file again.
UPDATE sync_adapter_control SET rejected_sha256 = NULL WHERE target = :target AND rejected_sha256 = :sha256;

-- name: hold_adapter
-- An earlier decision about another adapter of the target ends.
INSERT INTO sync_adapter_hold (target, sha256, name, version, differences, held_at, accepted_at)
VALUES (:target, :sha256, :name, :version, :differences, {now}, NULL)
{on_conflict(target)} sha256 = {new(sha256)}, name = {new(name)}, version = {new(version)},
    differences = {new(differences)}, held_at = {new(held_at)}, accepted_at = {new(accepted_at)};

-- name: read_adapter_hold
SELECT sha256, name, version, differences, held_at, accepted_at FROM sync_adapter_hold WHERE target = :target;

-- name: list_adapter_holds
SELECT target, sha256, name, version, differences, held_at, accepted_at
FROM sync_adapter_hold
WHERE accepted_at IS NULL;

-- name: accept_adapter
UPDATE sync_adapter_hold SET accepted_at = {now} WHERE target = :target AND sha256 = :sha256 AND accepted_at IS NULL;

-- name: end_adapter_hold
-- What was accepted stays accepted.
DELETE FROM sync_adapter_hold WHERE target = :target AND accepted_at IS NULL;

-- name: request_reload
INSERT INTO sync_adapter_control (target, reload_requests) VALUES (:target, 1)
{on_conflict(target)} reload_requests = sync_adapter_control.reload_requests + 1;

-- name: adapter_parts
SELECT part, parts, bytes FROM sync_adapter_part WHERE sha256 = :sha256 ORDER BY part;

-- name: count_adapter_parts
SELECT COUNT(*) FROM sync_adapter_part WHERE sha256 = :sha256;

-- name: put_adapter_part
INSERT INTO sync_adapter_part (sha256, part, parts, bytes) VALUES (:sha256, :part, :parts, :bytes)
{on_conflict(sha256, part)} parts = {new(parts)};

-- name: forget_adapter
DELETE FROM sync_adapter_part
WHERE sha256 = :sha256 AND NOT EXISTS (SELECT 1 FROM sync_target WHERE adapter_sha256 = :sha256);
