-- What operators ask and decide: failed deliveries, conflicts, blocked keys
-- (failed_deliveries.rs, retry.rs, conflicts.rs, blocked.rs).

-- fragment: is_failed
-- Whether the delivery `t` of the target `j` failed and the operator means it. By target, so that the index
-- finds what failed.
t.target = j.name AND t.next_attempt_at = {never} AND t.status = {from_retry}
    [[AND j.name = :target]]
    [[AND t.aggregate_type = :aggregate_type AND t.aggregate_id = :aggregate_id]]
    [[AND t.error_kind = :kind]]
    [[AND t.finished_at <= {now} - :age_ms]]
    [[AND t.outbox_id = :change_id]]

-- fragment: failed_columns
t.target, t.aggregate_type, t.aggregate_id, t.outbox_id, t.error_kind, t.error_message, t.attempts, t.finished_at

-- name: list_failed
SELECT {failed_columns}
FROM sync_target j JOIN sync_delivery t {force_index(sync_delivery_due)} ON {is_failed}
ORDER BY t.outbox_id, t.target
LIMIT :limit;

-- name: count_failed
-- Without what the host itself refused: that has spent no attempt, and would be refused again.
SELECT COUNT(*)
FROM sync_target j JOIN sync_delivery t {force_index(sync_delivery_due)} ON {is_failed} AND t.attempts > 0;

-- name: retry_failed
-- Makes failed deliveries pending again, with their attempts forgotten.
UPDATE sync_delivery AS t {force_index(sync_delivery_due)}
SET status = {to_retry},
    attempts = 0,
    next_attempt_at = {now},
    finished_at = NULL
FROM sync_target AS j
WHERE {is_failed} AND t.attempts > 0;

-- fragment: named_delivery
-- The delivery `t` of the batch's row `j`, at any target.
t.target = j.target AND t.outbox_id = j.outbox_id

-- fragment: is_retriable
-- Whether the failed delivery `t` of :target is one that the operator means, and not one that the host itself refused.
t.status = {from_retry} AND t.attempts > 0
    [[AND t.aggregate_type = :aggregate_type AND t.aggregate_id = :aggregate_id]]
    [[AND t.error_kind = :kind]]
    [[AND t.finished_at <= {now} - :age_ms]]
    [[AND t.outbox_id = :change_id]]

-- name: list_retriable (sqlite, mysql)
-- What may be retried at a target, the oldest changes first, from one of them on.
SELECT t.outbox_id
FROM sync_delivery t {force_index(sync_delivery_due)}
WHERE t.target = :target AND t.next_attempt_at = {never} AND t.outbox_id >= :from_id AND {is_retriable}
ORDER BY t.outbox_id
LIMIT :limit;

-- name: list_retriable (postgres)
-- By the index that alone has its entries in this order. Nothing is later than what never comes.
SELECT t.outbox_id
FROM sync_delivery t
WHERE t.target = :target AND (t.next_attempt_at, t.outbox_id) >= ({never}, :from_id) AND {is_retriable}
ORDER BY t.next_attempt_at, t.outbox_id
LIMIT :limit;

-- name: retry_these
-- Makes these failed deliveries pending again. One that an operator has decided meanwhile is left.
UPDATE sync_delivery AS t {force_index(PRIMARY)}
SET status = {to_retry}, attempts = 0, next_attempt_at = {now}, finished_at = NULL
FROM {locate_by_ctid(sync_delivery, {batch(target text, outbox_id integer)}, {named_delivery})}
WHERE {by_ctid({named_delivery})} AND t.status = {from_retry};

-- name: progress_of_these
-- How far these deliveries came since they were retried: by status, whether an attempt was spent, and whether they wait
-- for what they refer to.
SELECT t.status, CASE WHEN t.attempts > 0 THEN 1 ELSE 0 END,
    CASE WHEN t.next_attempt_at = {waiting} THEN 1 ELSE 0 END, COUNT(*)
FROM {batch(target text, outbox_id integer)}
{lookup(sync_delivery, t, PRIMARY, {named_delivery}, t.status, t.attempts, t.next_attempt_at)}
GROUP BY t.status, CASE WHEN t.attempts > 0 THEN 1 ELSE 0 END,
    CASE WHEN t.next_attempt_at = {waiting} THEN 1 ELSE 0 END;

-- fragment: is_skipped
t.target = j.name AND t.next_attempt_at = {never_skipped} AND t.status = {from_reconsider}
    [[AND j.name = :target]]
    [[AND t.aggregate_type = :aggregate_type AND t.aggregate_id = :aggregate_id]]
    [[AND t.finished_at <= {now} - :age_ms]]
    [[AND t.outbox_id = :change_id]]

-- name: list_skipped
SELECT {failed_columns}
FROM sync_target j JOIN sync_delivery t {force_index(sync_delivery_due)} ON {is_skipped}
ORDER BY t.outbox_id, t.target
LIMIT :limit;

-- name: count_skipped
SELECT COUNT(*)
FROM sync_target j JOIN sync_delivery t {force_index(sync_delivery_due)} ON {is_skipped};

-- name: retry_skipped
-- Makes skipped deliveries of one target pending again, with their attempts forgotten.
UPDATE sync_delivery {force_index(sync_delivery_due)}
SET status = {to_reconsider},
    attempts = 0,
    next_attempt_at = {now},
    finished_at = NULL,
    error_message = NULL
WHERE target = :target
    [[AND aggregate_type = :aggregate_type AND aggregate_id = :aggregate_id]]
    [[AND finished_at <= {now} - :age_ms]]
    [[AND outbox_id = :change_id]]
    AND next_attempt_at = {never_skipped} AND status = {from_reconsider};

-- name: list_dismissed
SELECT {failed_columns}, d.reason, d.dismissed_by, d.dismissed_at
FROM sync_dismissal d
JOIN sync_delivery t {force_index(PRIMARY)} ON t.target = d.target AND t.outbox_id = d.outbox_id
[[WHERE d.target = :target]]
ORDER BY d.dismissed_at DESC, t.outbox_id, t.target
LIMIT :limit;

-- name: mark_dismissed
UPDATE sync_delivery AS t {force_index(PRIMARY)}
SET status = {to_dismiss},
    next_attempt_at = NULL,
    finished_at = {now}
FROM {locate_by_ctid(sync_delivery, {batch(target text, outbox_id integer)}, {named_delivery})}
WHERE {by_ctid({named_delivery})} AND t.status = {from_dismiss};

-- name: insert_dismissals
INSERT INTO sync_dismissal (target, outbox_id, reason, dismissed_by, dismissed_at)
SELECT j.target, j.outbox_id, :reason, :dismissed_by, {now}
FROM {batch(target text, outbox_id integer)};

-- name: knows_patient
SELECT 1 FROM patient_cache WHERE patient_id = :patient_id;

-- name: knows_delivery
SELECT 1 FROM sync_delivery d {force_index(sync_delivery_aggregate)}
WHERE d.aggregate_id = :aggregate_id AND d.aggregate_type = :aggregate_type LIMIT 1;

-- name: knows_in_flight
SELECT 1 FROM sync_in_flight WHERE aggregate_id = :aggregate_id AND aggregate_type = :aggregate_type LIMIT 1;

-- name: knows_link
-- One lookup of the key for each of the few targets.
SELECT 1 FROM sync_target t
WHERE (SELECT COUNT(*) FROM sync_link l
    WHERE l.target = t.name AND l.aggregate_type = :aggregate_type AND l.aggregate_id = :aggregate_id) > 0
LIMIT 1;

-- name: blocked_keys
-- Aggregates of fifo types whose head failed while others are queued behind it.
SELECT *
FROM (SELECT d.target, d.aggregate_type, d.aggregate_id, d.outbox_id, d.error_kind, d.error_message,
        (SELECT COUNT(*) FROM sync_delivery w {force_index(sync_delivery_aggregate)}
            WHERE {is_sibling(w, d.target, d, > d.outbox_id)} AND w.status = {pending}) AS waiting
    FROM sync_target t JOIN sync_delivery d {force_index(sync_delivery_due)}
        ON d.target = t.name AND d.next_attempt_at = {never} AND d.aggregate_type IN (:fifo_types...)) b
WHERE b.waiting > 0
ORDER BY b.outbox_id, b.target
LIMIT :limit;

-- name: list_conflicts
-- Joined to the few targets, so that the index by target and time finds the failed ones.
SELECT d.target, d.aggregate_type, d.aggregate_id, d.outbox_id, NULLIF(l.remote_id, ''), d.error_message, d.finished_at
FROM sync_target t
JOIN sync_delivery d {force_index(sync_delivery_due)}
    ON d.target = t.name AND d.next_attempt_at = {never} AND d.error_kind = :kind
LEFT JOIN sync_link l ON l.target = d.target AND l.aggregate_type = d.aggregate_type AND l.aggregate_id = d.aggregate_id
WHERE 1 = 1
    [[AND t.name = :target]]
    [[AND d.aggregate_type = :aggregate_type AND d.aggregate_id = :aggregate_id]]
ORDER BY d.outbox_id, d.target
LIMIT :limit;

-- fragment: aggregate_at_target
target = :target AND aggregate_type = :aggregate_type AND aggregate_id = :aggregate_id

-- fragment: is_conflict
-- The compare-and-set of every decision: two operators, or an operator and a retry, never both decide.
status = {failed} AND error_kind = :kind

-- name: retry_conflict
-- The conflicting deliveries are pending again; of several the newest will win, as always.
UPDATE sync_delivery
SET status = {to_retry}, attempts = 0, next_attempt_at = {now}, finished_at = NULL
WHERE {aggregate_at_target} AND {is_conflict};

-- name: keep_remote
-- The conflicting deliveries are finished: what the target holds stays.
UPDATE sync_delivery
SET status = {to_supersede}, next_attempt_at = NULL, finished_at = {now},
    error_message = 'resolved: what the target holds was kept'
WHERE {aggregate_at_target} AND {is_conflict};

-- name: conflict_message
-- What was found when the newest of the conflicts was noticed.
SELECT error_message FROM sync_delivery
WHERE {aggregate_at_target} AND {is_conflict}
ORDER BY outbox_id DESC
LIMIT 1;

-- name: forget_link
-- As if the target had never confirmed the aggregate: the adapter looks for it by the key that the target
-- keeps.
DELETE FROM sync_link WHERE {aggregate_at_target};

-- name: confirm_link
-- An operator confirmed the linked record. Forgetting the link instead would let an adapter whose key was
-- edited at the target make a second record.
UPDATE sync_link SET remote_version = NULL, fingerprint = NULL WHERE {aggregate_at_target};

-- name: remember_state
-- What the record held at the conflict counts as the last state there, so that a later edit is noticed.
-- Empty, not NULL, when that is unknown: a link without any fingerprint means that an operator chose the
-- record.
UPDATE sync_link SET fingerprint = :fingerprint WHERE {aggregate_at_target};

-- name: linked_to
-- Who else is linked to this record of the target. It reads every link there.
SELECT aggregate_id FROM sync_link
WHERE target = :target AND aggregate_type = :aggregate_type AND aggregate_id <> :aggregate_id AND remote_id = :remote_id
LIMIT 1;

-- name: relink
INSERT INTO sync_link
    (target, aggregate_type, aggregate_id, remote_id, remote_version, fingerprint, delivered_outbox_id, synced_at)
VALUES (:target, :aggregate_type, :aggregate_id, :remote_id, NULL, NULL, 0, {now})
{on_conflict(target, aggregate_type, aggregate_id)} remote_id = {new(remote_id)},
    remote_version = {new(remote_version)}, fingerprint = {new(fingerprint)}, synced_at = {new(synced_at)};
