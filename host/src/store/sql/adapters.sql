-- Adapters as the store knows them (adapters.rs).

-- name: adapter_control
-- What is wanted of a target, whether another host has learned something of it, and whether the last report of it was
-- that it is down.
SELECT CASE WHEN {is_paused(t)} THEN 1 ELSE 0 END, t.adapter_sha256, w.rejected_sha256, w.reload_requests,
    t.probe_requests, l.basis, l.revision, CASE WHEN t.state = 'down' THEN 1 ELSE 0 END
FROM sync_target t LEFT JOIN sync_adapter_control w ON w.target = t.name LEFT JOIN sync_learned l ON l.target = t.name
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

-- name: request_reload
UPDATE sync_adapter_control SET reload_requests = reload_requests + 1 WHERE target = :target;

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
