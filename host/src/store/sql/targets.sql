-- Targets and hosts (targets.rs, hosts.rs, health.rs).

-- name: register_target
-- Makes a target known, enabled or not.
INSERT INTO sync_target (name, enabled, state, updated_at)
VALUES (:name, :enabled, 'unknown', {now})
{on_conflict(name)} enabled = {new(enabled)};

-- name: enable_target
-- Makes a target known and enabled; its row is this transaction's from then on. The revision comes first,
-- since MySQL would read the new value of `enabled` behind its assignment.
INSERT INTO sync_target (name, enabled, state, route_revision, updated_at)
VALUES (:name, 1, 'unknown', 1, {now})
{on_conflict(name)} route_revision = sync_target.route_revision + 1 - sync_target.enabled, enabled = 1;

-- name: disable_target
UPDATE sync_target
SET enabled = 0, route_revision = route_revision + 1, updated_at = {now}
WHERE name = :name AND enabled = 1;

-- name: set_types
-- The aggregate types that the hosts which have the target send there.
UPDATE sync_target
SET aggregate_types = :types, route_revision = route_revision + 1
WHERE name = :name AND COALESCE(aggregate_types, '') <> :types;

-- name: change_routes
-- Every host reads again what is routed where.
UPDATE sync_target SET route_revision = route_revision + 1 WHERE name = :name;

-- name: routes
SELECT name, aggregate_types, enabled, route_revision FROM sync_target ORDER BY name;

-- name: report_target
-- What a host observed of a target. Without a summary the last one stays. `error_at` is when the outage began.
UPDATE sync_target
SET state = :state,
    breaker = :breaker,
    breaker_until = {now} + :breaker_pause_ms,
    error_kind = :error_kind,
    error_message = :error_message,
    error_at = CASE WHEN :failed = 1 THEN COALESCE(error_at, {now}) END,
    summary = COALESCE(:summary, summary),
    updated_at = {now}
WHERE name = :name;

-- name: read_batch_max
SELECT batch_max FROM sync_target WHERE name = :name;

-- name: set_batch_max
-- How large a batch of a target may be, as far as answers came; NULL where none was missing.
UPDATE sync_target SET batch_max = :batch_max WHERE name = :name;

-- name: read_learned
SELECT revision, learned FROM sync_learned WHERE target = :target AND basis = :basis;

-- name: put_learned
INSERT INTO sync_learned (target, basis, revision, learned) VALUES (:target, :basis, 1, :learned)
{on_conflict(target)} basis = {new(basis)}, revision = sync_learned.revision + 1, learned = {new(learned)};

-- name: request_probe
UPDATE sync_target SET probe_requests = probe_requests + 1 WHERE name = :name;

-- fragment: is_paused(target)
-- Whether an operator has paused the target: until it is resumed, or until a time that has not come.
{target}.paused = 1 AND ({target}.paused_until IS NULL OR {target}.paused_until > {now})

-- name: set_paused
-- Pauses a target, or resumes and probes it. A pause without an end lasts until it is resumed.
UPDATE sync_target
SET paused = :paused, paused_until = :until, probe_requests = probe_requests + 1 - :paused, updated_at = {now}
WHERE name = :name;

-- name: put_host
-- A host's heartbeat.
INSERT INTO sync_host (id, version, started_at, seen_at, targets)
VALUES (:id, :version, {now}, {now}, :targets)
{on_conflict(id)} seen_at = {new(seen_at)}, targets = {new(targets)};

-- name: running_hosts
SELECT id, targets FROM sync_host WHERE seen_at > {now} - {host_seen_ms} ORDER BY id;

-- name: forget_hosts
-- Hosts that were not seen for a day.
DELETE FROM sync_host WHERE seen_at < {now} - 86400000;

-- name: delete_host
DELETE FROM sync_host WHERE id = :id;

-- name: try_write
-- Whether the store can be written; it is rolled back.
INSERT INTO sync_host (id, version, started_at, seen_at) VALUES (:id, 'check', {now}, {now});
