-- Retention and notices: what is old is deleted, a little at a time (retention.rs, notices.rs, clock.rs).

-- name: old_deliveries
-- A chunk of a target's deliveries in the order of their making. The kind is 1 to 4 when one is finished
-- and old; the last column is whether it was made before the cutoff: the first that was not ends the
-- purge.
SELECT outbox_id,
    CASE WHEN finished_at >= :cutoff THEN NULL WHEN status = {done} THEN 1 WHEN status = {superseded} THEN 2
        WHEN status = {dismissed} THEN 3 WHEN status = {skipped} THEN 4 END,
    CASE WHEN created_at < :cutoff THEN 1 ELSE 0 END
FROM sync_delivery
WHERE target = :target AND outbox_id > :after
ORDER BY outbox_id
LIMIT {purge_chunk};

-- name: delete_deliveries
-- Another host may purge the same rows at the same time: what is counted is what this one deleted.
DELETE FROM sync_delivery WHERE {deliveries_by_id} AND status = :status;

-- name: delete_dismissals
DELETE FROM sync_dismissal WHERE target = :target AND {key_in_ids(outbox_id)};

-- name: old_changes
-- A chunk of the changes in the order of their making: whether each may go (it is routed and old, has no
-- delivery and is not in flight), and whether it is old.
SELECT o.id,
    CASE WHEN o.routed_at < :cutoff
        AND (SELECT COUNT(*) FROM sync_target t
            WHERE (SELECT COUNT(*) FROM sync_delivery d WHERE d.target = t.name AND d.outbox_id = o.id) > 0) = 0
        AND (SELECT COUNT(*) FROM sync_target t WHERE {change_in_flight_count(t.name, o)} > 0) = 0
        THEN 1 ELSE 0 END,
    CASE WHEN o.routed_at < :cutoff THEN 1 ELSE 0 END
FROM sync_outbox o
WHERE o.id > :after
ORDER BY o.id
LIMIT {purge_chunk};

-- name: delete_changes
DELETE FROM sync_outbox WHERE routed_at IS NOT NULL AND {key_in_ids(id)};

-- name: purge_notices
DELETE FROM sync_notice WHERE last_at < :cutoff;

-- name: add_notices
-- Counts what is noticed of changes that are being routed.
INSERT INTO sync_notice (kind, subject, changes, last_change_id, last_at)
SELECT j.kind, j.subject, j.changes, j.last_change_id, {now}
FROM {batch(kind text, subject text, changes integer, last_change_id integer)}
{where_true}
{on_conflict(kind, subject)} changes = sync_notice.changes + {new(changes)}, last_change_id = {new(last_change_id)},
    last_at = {new(last_at)};

-- name: list_notices
SELECT kind, subject, changes, last_change_id, last_at
FROM sync_notice
ORDER BY last_at DESC, kind, subject
LIMIT {notices_max};

-- name: read_clock
SELECT seen_at, doubted_at, step_ms FROM sync_clock WHERE id = 1;

-- name: remember_clock
INSERT INTO sync_clock (id, seen_at, doubted_at, step_ms)
VALUES (1, :seen_at, :doubted_at, :step_ms)
{on_conflict(id)} seen_at = {new(seen_at)}, doubted_at = {new(doubted_at)}, step_ms = {new(step_ms)};

-- name: newest_time
-- The newest time in a store whose clock nobody has judged yet.
SELECT routed_at FROM sync_outbox ORDER BY id DESC LIMIT 1;

-- name: shorten_leases
-- Leases that a clock which was ahead has made run out in an hour, which is longer than any lease lasts.
UPDATE sync_lease SET lease_until = {now} + {hour_ms} WHERE lease_until > {now} + {hour_ms} + :ahead_ms;

-- name: target_names
SELECT name FROM sync_target;

-- name: make_due
-- What a clock that was ahead has put off is due now. One target at a time, so that the index of what is due
-- finds it.
UPDATE sync_delivery {force_index(sync_delivery_due)}
SET next_attempt_at = {now}
WHERE target = :target
    AND next_attempt_at > {now} + :ahead_ms AND next_attempt_at < {waiting}
    AND status = {pending};
