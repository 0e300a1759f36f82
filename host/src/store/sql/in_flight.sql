-- What is in flight: `sync_in_flight` (in_flight.rs).

-- name: end_in_flight (sqlite, postgres)
-- Nothing is in flight under a lease any more.
DELETE FROM sync_in_flight WHERE lease_id = :lease_id AND target = :target;

-- name: end_in_flight (mysql)
-- In the form for several tables, since only there an index may be named.
DELETE w FROM sync_in_flight AS w {force_index(sync_in_flight_lease)}
WHERE w.lease_id = :lease_id AND w.target = :target;

-- name: end_in_flight_of (sqlite, postgres)
-- Some changes are no longer in flight under a lease, others are.
DELETE FROM sync_in_flight WHERE lease_id = :lease_id AND target = :target AND {key_in_ids(outbox_id)};

-- name: end_in_flight_of (mysql)
DELETE w FROM sync_in_flight AS w {force_index(sync_in_flight_lease)}
WHERE w.lease_id = :lease_id AND w.target = :target AND {key_in_ids(w.outbox_id)};

-- name: enqueue_direct_in_flight
-- Gives directly dispatched changes, which are in flight without a delivery, the delivery that routing would
-- have made. Whose lease this was may be unknown, so that each one is looked for. A change that is gone gets
-- its delivery too, and fails when it is read.
INSERT INTO sync_delivery (target, outbox_id, aggregate_type, aggregate_id, status, next_attempt_at, created_at)
SELECT w.target, w.outbox_id, w.aggregate_type, w.aggregate_id, {at_queue},
    COALESCE(o.routed_at, {now}), COALESCE(o.routed_at, {now})
FROM sync_in_flight w {force_index(sync_in_flight_lease)}
LEFT JOIN sync_outbox o ON o.id = w.outbox_id
WHERE w.lease_id = :lease_id AND w.target = :target
    AND (SELECT COUNT(*) FROM sync_delivery d WHERE d.target = w.target AND d.outbox_id = w.outbox_id) = 0;

-- fragment: in_flight_under
(SELECT w.outbox_id FROM sync_in_flight w {force_index(sync_in_flight_lease)}
WHERE w.lease_id = :lease_id AND w.target = :target) AS j

-- name: requeue_in_flight
-- Makes what is in flight under a lease pending again, in the place that its age gives it. What was in doubt
-- and had spent its attempts (it is processing with finished_at set) fails now.
UPDATE sync_delivery AS t {force_index(PRIMARY)}
SET status = CASE WHEN t.finished_at IS NULL THEN {to_requeue} ELSE {to_give_up} END,
    next_attempt_at = CASE WHEN t.finished_at IS NULL THEN t.created_at ELSE {never} END,
    lease_id = NULL
FROM {locate_by_ctid(sync_delivery, {in_flight_under}, {delivery_key})}
WHERE {by_ctid({delivery_key})} AND t.lease_id = :lease_id AND t.status = {from_requeue};
