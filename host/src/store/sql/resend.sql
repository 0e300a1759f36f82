-- Sending states again that only the outbox holds (resend.rs).

-- name: scan_changes
-- What changes are about and when they were written and routed, from the newest to the oldest, without their payloads.
SELECT o.id, o.aggregate_type, o.aggregate_id, {created_at}, o.routed_at
FROM sync_outbox o
WHERE o.id < :before
ORDER BY o.id DESC
LIMIT :limit;

-- name: own_patients
-- Which of these the host has a row of.
SELECT t.patient_id
FROM patient_cache t
WHERE {key_in_batch(t.patient_id, patient_id, {batch(patient_id text)})};

-- name: known_patients
-- Which of these patients have a delivery to any target, or a link there.
SELECT j.patient_id
FROM {batch(patient_id text)}
WHERE (SELECT COUNT(*) FROM sync_delivery d {force_index(sync_delivery_aggregate)}
        WHERE d.aggregate_id = j.patient_id AND d.aggregate_type = 'patient') > 0
    OR (SELECT COUNT(*) FROM sync_target t WHERE (SELECT COUNT(*) FROM sync_link l
            WHERE l.target = t.name AND l.aggregate_type = 'patient' AND l.aggregate_id = j.patient_id) > 0) > 0;

-- name: resend_candidates
-- What became of each change at the target, whether it is routed and in flight, what the target has confirmed of
-- its aggregate, and how many targets have confirmed a newer state of that than this one.
SELECT o.id, o.operation,
    CASE WHEN o.routed_at IS NULL THEN 0 ELSE 1 END,
    (SELECT d.status FROM sync_delivery d {force_index(PRIMARY)} WHERE d.target = :target AND d.outbox_id = o.id),
    (SELECT d.attempts FROM sync_delivery d {force_index(PRIMARY)} WHERE d.target = :target AND d.outbox_id = o.id),
    {change_in_flight_count(:target, o)},
    {confirmed_id(:target, o)},
    (SELECT COUNT(*) FROM sync_target t WHERE {confirmed_id(t.name, o)} > o.id)
FROM sync_outbox o
WHERE {key_in_ids(o.id)}
ORDER BY o.id;

-- name: enqueue_again
-- A pending delivery of each routed change that has none at the target and is not in flight there. It is as old as
-- its change is routed, since retention expects deliveries to age in the order of their ids.
INSERT INTO sync_delivery (target, outbox_id, aggregate_type, aggregate_id, status, next_attempt_at, created_at)
SELECT :target, o.id, o.aggregate_type, o.aggregate_id, {at_queue}, {now}, o.routed_at
FROM sync_outbox o
WHERE {key_in_ids(o.id)}
    AND o.routed_at IS NOT NULL
    AND (SELECT COUNT(*) FROM sync_delivery d WHERE d.target = :target AND d.outbox_id = o.id) = 0
    AND {change_in_flight_count(:target, o)} = 0;

-- name: resend
-- Makes deliveries of one status pending again, with their attempts forgotten.
UPDATE sync_delivery {force_index(PRIMARY)}
SET status = {to_resend},
    attempts = 0,
    next_attempt_at = {now},
    finished_at = NULL,
    error_kind = NULL,
    error_message = NULL
WHERE {deliveries_by_id} AND status = :status AND status IN ({from_resend});

-- name: doubt_confirmed
-- The target no longer counts as having confirmed these changes: only what is older. So an open delivery is newer
-- than what is confirmed, as everywhere else.
UPDATE sync_link AS t {force_index(PRIMARY)}
SET delivered_outbox_id = j.outbox_id - 1
FROM {batch(aggregate_type text, aggregate_id text, outbox_id integer)}
WHERE t.target = :target
    AND t.aggregate_type = j.aggregate_type
    AND t.aggregate_id = j.aggregate_id
    AND t.delivered_outbox_id = j.outbox_id;

-- name: links_of_type
-- Aggregates that a target has, by id.
SELECT l.aggregate_id
FROM sync_link l
WHERE l.target = :target AND l.aggregate_type = :aggregate_type AND l.aggregate_id > :after AND l.remote_id <> ''
ORDER BY l.aggregate_id
LIMIT :limit;
