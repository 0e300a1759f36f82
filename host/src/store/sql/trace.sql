-- The story of an aggregate, and lists of deliveries (trace.rs, deliveries.rs, why.rs).

-- name: change_key
-- Which aggregate a change is of.
SELECT o.id, o.aggregate_type, o.aggregate_id FROM sync_outbox o WHERE o.id = :change_id;

-- name: event_key
SELECT o.id, o.aggregate_type, o.aggregate_id FROM sync_outbox o WHERE o.event_id = :event_id;

-- fragment: traced_columns
d.target, d.aggregate_type, d.aggregate_id, d.outbox_id, d.status, d.attempts, d.next_attempt_at, d.last_attempt,
    d.error_kind, d.error_message, d.created_at, d.finished_at

-- name: trace_deliveries
-- The newest deliveries of an aggregate.
SELECT {traced_columns}
FROM sync_delivery d {force_index(sync_delivery_aggregate)}
WHERE d.aggregate_id = :aggregate_id AND d.aggregate_type = :aggregate_type
    [[AND d.target = :target]]
    [[AND d.outbox_id = :change_id]]
ORDER BY d.outbox_id DESC, d.target
LIMIT :limit;

-- name: trace_in_flight
-- What is in flight of an aggregate, at each of the few targets.
SELECT w.target, w.outbox_id, w.lease_id, l.owner, l.acquired_at, l.lease_until
FROM sync_target t
{lookup(
    sync_in_flight, w, PRIMARY,
    w.target = t.name AND w.aggregate_type = :aggregate_type AND w.aggregate_id = :aggregate_id,
    w.target, w.outbox_id, w.lease_id)}
{left_lookup(sync_lease, l, l.lease_id = w.lease_id, l.owner, l.acquired_at, l.lease_until)}
ORDER BY w.target;

-- name: trace_unrouted
-- The newest changes of an aggregate that are not routed yet. The expression keeps the key from being walked, which has
-- the routed ones too.
SELECT o.id FROM sync_outbox o
WHERE o.routed_at IS NULL AND o.aggregate_type = :aggregate_type AND o.aggregate_id = :aggregate_id
ORDER BY o.id + 0 DESC
LIMIT :limit;

-- name: trace_changes
SELECT o.id, o.event_id, o.operation, {created_at}, o.routed_at
FROM sync_outbox o
WHERE {key_in_ids(o.id)}
ORDER BY o.id;

-- name: trace_links
-- What each target has of an aggregate.
SELECT l.target, NULLIF(l.remote_id, ''), l.remote_version, l.delivered_outbox_id, l.synced_at, l.merged_into
FROM sync_target t
{lookup(
    sync_link, l, PRIMARY,
    l.target = t.name AND l.aggregate_type = :aggregate_type AND l.aggregate_id = :aggregate_id,
    l.target, l.remote_id, l.remote_version, l.delivered_outbox_id, l.synced_at, l.merged_into)}
ORDER BY l.target;

-- name: trace_dependencies
-- What the deliveries of these changes depend on, and since when the target has it. A cross join begins with the few
-- targets in every database.
SELECT r.target, r.outbox_id, r.referenced_type, r.referenced_id, l.synced_at
FROM sync_target t
CROSS JOIN sync_dependency r {force_index(PRIMARY)}
{left_lookup(
    sync_link, l,
    l.target = r.target AND l.aggregate_type = r.referenced_type AND l.aggregate_id = r.referenced_id,
    l.synced_at)}
WHERE r.target = t.name AND {key_in_ids(r.outbox_id)}
ORDER BY r.outbox_id, r.target, r.referenced_type, r.referenced_id;

-- name: trace_dismissals
SELECT d.target, d.outbox_id, d.reason, d.dismissed_by, d.dismissed_at
FROM sync_target t
CROSS JOIN sync_dismissal d {force_index(PRIMARY)}
WHERE d.target = t.name AND {key_in_ids(d.outbox_id)}
ORDER BY d.outbox_id, d.target;

-- name: trace_findings
-- Where a verification found that a target does not hold what was delivered.
SELECT f.target, f.state, f.found_at
FROM sync_target t
CROSS JOIN sync_verification_finding f {force_index(PRIMARY)}
WHERE f.target = t.name AND f.aggregate_type = :aggregate_type AND f.aggregate_id = :aggregate_id
ORDER BY f.target;

-- name: trace_merges
-- Into whom a patient was merged, and who was merged into them.
SELECT m.patient_id, m.survivor_id, m.reason, m.merged_by, m.merged_at
FROM patient_merge m WHERE m.patient_id = :patient_id
UNION ALL
SELECT m.patient_id, m.survivor_id, m.reason, m.merged_by, m.merged_at
FROM patient_merge m WHERE m.survivor_id = :patient_id
ORDER BY 5, 1
LIMIT :limit;

-- name: page_deliveries
-- The deliveries of a target, newest change first.
SELECT {traced_columns}
FROM sync_delivery d {force_index(PRIMARY)}
WHERE d.target = :target AND d.outbox_id < :before
ORDER BY d.outbox_id DESC
LIMIT :limit;

-- fragment: ended_with
-- Whether the delivery `d` failed, or was skipped: each has a time of its own that never comes.
d.target = :target AND d.next_attempt_at = :marker
    [[AND d.error_kind = :kind]]
    [[AND d.finished_at >= :since]]

-- name: page_ended
-- The expression keeps the key by target and id from being used, which has every delivery of the target.
SELECT {traced_columns}
FROM sync_delivery d {force_index(sync_delivery_due)}
WHERE {ended_with}
    AND d.outbox_id + 0 < :before
ORDER BY d.outbox_id + 0 DESC
LIMIT :limit;

-- name: count_causes
-- For which reasons the deliveries of a target failed or were skipped, the most frequent first.
SELECT n.error_kind, n.error_message, COUNT(*)
FROM (SELECT d.error_kind, d.error_message
    FROM sync_delivery d {force_index(sync_delivery_due)}
    WHERE {ended_with}
    LIMIT {causes_counted}) n
GROUP BY n.error_kind, n.error_message
ORDER BY 3 DESC, 1, 2
LIMIT :limit;

-- name: queued_before
-- How many deliveries of a target are claimed before this one, up to a limit.
SELECT COUNT(*)
FROM (SELECT d.outbox_id
    FROM sync_delivery d {force_index(sync_delivery_due)}
    WHERE d.target = :target AND d.next_attempt_at <= :due_at
        AND (d.next_attempt_at < :due_at OR d.outbox_id + 0 < :change_id)
    LIMIT {queue_counted}) n;
