-- Counts and status (counts.rs, status.rs). Nothing here reads what is finished, so that it stays quick next
-- to millions of rows.

-- name: add_counts
-- Adds what a transaction did to one of several rows of its target, chosen at random: no host waits for
-- another's counting.
INSERT INTO sync_count (target, shard, made, done, superseded, dismissed, skipped)
VALUES (:target, :shard, :made, :done, :superseded, :dismissed, :skipped)
{on_conflict(target, shard)} made = sync_count.made + {new(made)}, done = sync_count.done + {new(done)},
    superseded = sync_count.superseded + {new(superseded)}, dismissed = sync_count.dismissed + {new(dismissed)},
    skipped = sync_count.skipped + {new(skipped)};

-- name: uncounted
-- How many deliveries of a target there are beyond those that were counted, with those in flight that have
-- no row yet. It reads all of them.
SELECT COUNT(*)
    + (SELECT COUNT(*) FROM sync_in_flight w WHERE w.target = :target
        AND (SELECT COUNT(*) FROM sync_delivery s WHERE s.target = w.target AND s.outbox_id = w.outbox_id) = 0)
    - CAST((SELECT COALESCE(SUM(c.made), 0) FROM sync_count c WHERE c.target = :target) AS DECIMAL(20))
FROM sync_delivery d
WHERE d.target = :target;

-- name: read_counts
-- The counts of every target, as they were at one moment: one statement sees one state.
SELECT c.target, c.made, c.done, c.superseded, c.dismissed, c.skipped,
    {in_flight_at(c.target)},
    (SELECT COUNT(*) FROM sync_delivery d {force_index(sync_delivery_due)}
        WHERE d.target = c.target AND d.next_attempt_at = :never)
FROM (SELECT target, CAST(SUM(made) AS DECIMAL(20)) AS made, CAST(SUM(done) AS DECIMAL(20)) AS done,
        CAST(SUM(superseded) AS DECIMAL(20)) AS superseded, CAST(SUM(dismissed) AS DECIMAL(20)) AS dismissed,
        CAST(SUM(skipped) AS DECIMAL(20)) AS skipped
    FROM sync_count GROUP BY target) c;

-- name: count_open
-- What is pending or in flight at a target.
SELECT COUNT(*) + {in_flight_at(:target)}
FROM sync_delivery d {force_index(sync_delivery_due)}
WHERE d.target = :target AND d.next_attempt_at < {never_skipped};

-- name: enabled_targets
SELECT name FROM sync_target WHERE enabled = 1;

-- name: has_due
-- Whether anything of a target may be claimed or is in flight. One target at a time: over several, MySQL would
-- not begin where the due ones begin in its index.
SELECT CASE WHEN EXISTS (SELECT 1 FROM sync_delivery d {force_index(sync_delivery_due)}
        WHERE d.target = :target AND d.next_attempt_at <= {now}
            [[AND {is_head_or_unordered(:fifo_types...)}]])
    OR {in_flight_at(:target)} > 0 THEN 1 ELSE 0 END;

-- name: target_status
SELECT name, enabled, CASE WHEN {is_paused(sync_target)} THEN 1 ELSE 0 END,
    CASE WHEN {is_paused(sync_target)} THEN paused_until END,
    state, breaker, breaker_until - {now}, adapter_name, adapter_version, adapter_sha256,
    summary, error_kind, error_message, {now} - error_at
FROM sync_target;

-- name: oldest_pending
-- For how long the oldest pending change of a target has been waiting: the one with the smallest id, among
-- those that are next.
SELECT {now} - MIN(COALESCE({created_at}, routed_at))
FROM sync_outbox o
WHERE o.id = (SELECT MIN(n.outbox_id) FROM (SELECT d.outbox_id FROM sync_delivery d {force_index(sync_delivery_due)}
        WHERE d.target = :target AND d.next_attempt_at < :never
        ORDER BY d.next_attempt_at, d.outbox_id LIMIT {oldest_among}) n);

-- fragment: recent_columns
d.target, d.aggregate_type, d.aggregate_id, d.status, NULLIF(l.remote_id, ''), d.attempts, d.error_kind,
    d.error_message, d.finished_at, d.outbox_id

-- fragment: link_of_delivery
{left_lookup(
    sync_link, l,
    l.target = d.target AND l.aggregate_type = d.aggregate_type AND l.aggregate_id = d.aggregate_id,
    l.remote_id)}

-- name: recent_deliveries
-- The newest deliveries of a target.
SELECT {recent_columns}
FROM sync_delivery d
{link_of_delivery}
WHERE d.target = :target
    AND d.outbox_id > (SELECT COALESCE(MAX(n.outbox_id), 0) FROM sync_delivery n WHERE n.target = :target) - :window
    AND d.status <> {superseded}
ORDER BY d.outbox_id DESC
LIMIT :limit;

-- name: recent_of_aggregate
-- The newest deliveries of one aggregate to a target, with those that were superseded.
SELECT {recent_columns}
FROM sync_delivery d {force_index(sync_delivery_aggregate)}
{link_of_delivery}
WHERE d.target = :target AND d.aggregate_type = :aggregate_type AND d.aggregate_id = :aggregate_id
ORDER BY d.outbox_id DESC
LIMIT :limit;

-- name: store_clock
SELECT {now};
