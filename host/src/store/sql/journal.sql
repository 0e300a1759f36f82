-- The journal: one row for each attempt of a batch (journal.rs).

-- name: put_effects
-- The templates of an attempt, when this host has not written them lately.
INSERT INTO sync_effects (sha256, effects, seen_at)
VALUES (:sha256, :effects, {now})
{on_conflict(sha256)} seen_at = {new(seen_at)};

-- name: put_attempt
-- A store that was restored may give a lease's number again: the later attempt is the one that is meant.
INSERT INTO sync_attempt
    (lease_id, target, host, adapter_name, adapter_version, adapter_sha256, interface_version, started_at, elapsed_ms,
    calls, changes, outcomes, effects_sha256, effect_counts, cause_kind, cause)
VALUES (:lease_id, :target, :host, :adapter_name, :adapter_version, :adapter_sha256, :interface_version,
    {now} - :elapsed_ms, :elapsed_ms, :calls, :changes, :outcomes, :effects_sha256, :effect_counts, :cause_kind, :cause)
{on_conflict(lease_id)} target = {new(target)}, host = {new(host)}, adapter_name = {new(adapter_name)},
    adapter_version = {new(adapter_version)}, adapter_sha256 = {new(adapter_sha256)},
    interface_version = {new(interface_version)}, started_at = {new(started_at)}, elapsed_ms = {new(elapsed_ms)},
    calls = {new(calls)}, changes = {new(changes)}, outcomes = {new(outcomes)},
    effects_sha256 = {new(effects_sha256)}, effect_counts = {new(effect_counts)}, cause_kind = {new(cause_kind)},
    cause = {new(cause)};

-- name: knows_attempt
SELECT 1 FROM sync_attempt WHERE lease_id = :lease_id;

-- name: read_attempts
SELECT a.lease_id, a.target, a.host, a.adapter_name, a.adapter_version, a.adapter_sha256, a.interface_version,
    a.started_at, a.elapsed_ms, a.calls, a.changes, a.outcomes, a.effect_counts, e.effects, a.cause_kind, a.cause
FROM sync_attempt a
{left_lookup(sync_effects, e, e.sha256 = a.effects_sha256, e.effects)}
WHERE {key_in_ids(a.lease_id)}
ORDER BY a.lease_id;

-- name: recent_attempts (sqlite, mysql)
-- The last attempts at a target that worked, by which the time that a queue takes is estimated, and how long ago each
-- of them ended.
SELECT a.started_at, a.elapsed_ms, a.changes, a.outcomes, {now} - a.started_at - a.elapsed_ms
FROM sync_attempt a {force_index(sync_attempt_target)}
WHERE a.target = :target AND a.cause_kind IS NULL
ORDER BY a.lease_id DESC
LIMIT :limit;

-- name: recent_attempts (postgres)
-- By the index that alone has its entries in this order.
SELECT a.started_at, a.elapsed_ms, a.changes, a.outcomes, {now} - a.started_at - a.elapsed_ms
FROM (SELECT b.target, b.started_at, b.elapsed_ms, b.changes, b.outcomes
    FROM sync_attempt b
    WHERE (b.target, b.lease_id) <= (:target, {never}) AND b.cause_kind IS NULL
    ORDER BY b.target DESC, b.lease_id DESC
    LIMIT :limit) a
WHERE a.target = :target;

-- name: last_attempts (sqlite, mysql)
-- The last attempts at a target, without what adapters and servers have worded but for the cause.
SELECT a.lease_id, a.started_at, a.elapsed_ms, a.calls, a.changes, a.outcomes, a.adapter_sha256, a.interface_version,
    a.cause_kind, a.cause
FROM sync_attempt a {force_index(sync_attempt_target)}
WHERE a.target = :target
ORDER BY a.lease_id DESC
LIMIT :limit;

-- name: last_attempts (postgres)
-- By the index that alone has its entries in this order.
SELECT a.lease_id, a.started_at, a.elapsed_ms, a.calls, a.changes, a.outcomes, a.adapter_sha256, a.interface_version,
    a.cause_kind, a.cause
FROM (SELECT b.*
    FROM sync_attempt b
    WHERE (b.target, b.lease_id) <= (:target, {never})
    ORDER BY b.target DESC, b.lease_id DESC
    LIMIT :limit) a
WHERE a.target = :target;

-- name: old_attempts
-- A chunk of the attempts in the order of their leases: whether each may go, and whether it is old.
SELECT a.lease_id,
    CASE WHEN a.started_at < :cutoff THEN 1 ELSE 0 END,
    CASE WHEN a.started_at < :cutoff THEN 1 ELSE 0 END
FROM sync_attempt a
WHERE a.lease_id > :after
ORDER BY a.lease_id
LIMIT {purge_chunk};

-- name: delete_attempts
DELETE FROM sync_attempt WHERE {key_in_ids(lease_id)};

-- name: delete_effects
-- Templates that no host has written for so long that no attempt has them any more.
DELETE FROM sync_effects WHERE seen_at < :cutoff;
