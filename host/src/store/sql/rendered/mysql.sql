-- What MySQL is sent. Made of the templates: `UPDATE_EXPECT=1 cargo test -p host --lib store::sql` writes it anew.

-- claim_due
SELECT d.outbox_id, d.aggregate_type, d.aggregate_id, d.next_attempt_at, d.attempts,
    (SELECT MAX(s.outbox_id) FROM sync_delivery s FORCE INDEX (sync_delivery_aggregate)
         WHERE s.target = d.target AND s.aggregate_type = d.aggregate_type AND s.aggregate_id = d.aggregate_id),
    (SELECT MIN(s.outbox_id) FROM sync_delivery s FORCE INDEX (sync_delivery_aggregate)
         WHERE s.target = d.target AND s.aggregate_type = d.aggregate_type AND s.aggregate_id = d.aggregate_id
           AND s.outbox_id > COALESCE((SELECT l.delivered_outbox_id FROM sync_link l
                    WHERE l.target = d.target AND l.aggregate_type = d.aggregate_type AND l.aggregate_id = d.aggregate_id), 0)),
    (SELECT l.delivered_outbox_id FROM sync_link l
         WHERE l.target = d.target AND l.aggregate_type = d.aggregate_type AND l.aggregate_id = d.aggregate_id)
FROM sync_delivery d FORCE INDEX (sync_delivery_due)
WHERE d.target = ?
    AND d.status = 'pending'
    AND d.next_attempt_at >= ?
    AND d.next_attempt_at <= CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)
    AND (SELECT COUNT(*) FROM sync_in_flight w
         WHERE w.target = d.target AND w.aggregate_type = d.aggregate_type AND w.aggregate_id = d.aggregate_id) = 0
    AND (d.aggregate_type NOT IN (?, ?) OR NOT EXISTS (SELECT 1
                FROM sync_delivery e FORCE INDEX (sync_delivery_aggregate)
                WHERE e.target = d.target AND e.aggregate_type = d.aggregate_type
                    AND e.aggregate_id = d.aggregate_id AND e.outbox_id < d.outbox_id AND e.status IN ('pending', 'processing', 'failed')))
ORDER BY d.next_attempt_at, d.outbox_id
LIMIT ?
FOR UPDATE SKIP LOCKED;

-- claim_due, without fifo_types
SELECT d.outbox_id, d.aggregate_type, d.aggregate_id, d.next_attempt_at, d.attempts,
    (SELECT MAX(s.outbox_id) FROM sync_delivery s FORCE INDEX (sync_delivery_aggregate)
         WHERE s.target = d.target AND s.aggregate_type = d.aggregate_type AND s.aggregate_id = d.aggregate_id),
    (SELECT MIN(s.outbox_id) FROM sync_delivery s FORCE INDEX (sync_delivery_aggregate)
         WHERE s.target = d.target AND s.aggregate_type = d.aggregate_type AND s.aggregate_id = d.aggregate_id
           AND s.outbox_id > COALESCE((SELECT l.delivered_outbox_id FROM sync_link l
                    WHERE l.target = d.target AND l.aggregate_type = d.aggregate_type AND l.aggregate_id = d.aggregate_id), 0)),
    (SELECT l.delivered_outbox_id FROM sync_link l
         WHERE l.target = d.target AND l.aggregate_type = d.aggregate_type AND l.aggregate_id = d.aggregate_id)
FROM sync_delivery d FORCE INDEX (sync_delivery_due)
WHERE d.target = ?
    AND d.status = 'pending'
    AND d.next_attempt_at >= ?
    AND d.next_attempt_at <= CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)
    AND (SELECT COUNT(*) FROM sync_in_flight w
         WHERE w.target = d.target AND w.aggregate_type = d.aggregate_type AND w.aggregate_id = d.aggregate_id) = 0
ORDER BY d.next_attempt_at, d.outbox_id
LIMIT ?
FOR UPDATE SKIP LOCKED;

-- mark_superseded
UPDATE JSON_TABLE(?, '$[*]' COLUMNS(aggregate_type VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.aggregate_type', aggregate_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.aggregate_id', before_id BIGINT PATH '$.before_id')) AS j
STRAIGHT_JOIN sync_delivery AS t FORCE INDEX (sync_delivery_aggregate)
   ON t.target = ? AND t.aggregate_type = j.aggregate_type
                AND t.aggregate_id = j.aggregate_id AND t.outbox_id < j.before_id AND t.status IN ('pending', 'failed')
SET t.status = 'superseded',
    t.next_attempt_at = NULL,
    t.finished_at = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED);

-- mark_processing
UPDATE sync_delivery FORCE INDEX (PRIMARY)
SET status = 'processing', next_attempt_at = NULL, lease_id = ?
WHERE target = ? AND outbox_id IN (?, ?) AND status = 'pending';

-- begin_in_flight
INSERT INTO sync_in_flight (target, aggregate_type, aggregate_id, outbox_id, lease_id)
SELECT target, aggregate_type, aggregate_id, outbox_id, ?
FROM sync_delivery FORCE INDEX (PRIMARY)
WHERE target = ? AND outbox_id IN (?, ?);

-- trace_contexts
SELECT o.trace_context
FROM sync_outbox o
WHERE o.id IN (?, ?) AND LENGTH(o.trace_context) <= 255;

-- read_batch
SELECT o.id, o.aggregate_type, o.aggregate_id, o.operation, o.event_id,
    CASE WHEN LENGTH(o.payload) <= 1048576 THEN o.payload END, LENGTH(o.payload), o.created_at,
    l.remote_id, l.remote_version, l.fingerprint, l.delivered_outbox_id, l.merged_into, CASE WHEN LENGTH(o.refs) <= 32768 THEN o.refs END, LENGTH(o.refs)
FROM sync_outbox o
LEFT JOIN sync_link l ON l.target = ? AND l.aggregate_type = o.aggregate_type AND l.aggregate_id = o.aggregate_id
WHERE o.id IN (?, ?);

-- direct_candidates
SELECT o.id, o.aggregate_type, o.aggregate_id,
    (SELECT MAX(s.outbox_id) FROM sync_delivery s FORCE INDEX (sync_delivery_aggregate)
         WHERE s.target = ? AND s.aggregate_type = o.aggregate_type AND s.aggregate_id = o.aggregate_id),
    (SELECT l.delivered_outbox_id FROM sync_link l
         WHERE l.target = ? AND l.aggregate_type = o.aggregate_type AND l.aggregate_id = o.aggregate_id),
    (SELECT COUNT(*) FROM sync_in_flight w
         WHERE w.target = ? AND w.aggregate_type = o.aggregate_type AND w.aggregate_id = o.aggregate_id)
FROM sync_outbox o
WHERE o.id IN (?, ?)
ORDER BY o.id;

-- begin_in_flight_direct
INSERT INTO sync_in_flight (target, aggregate_type, aggregate_id, outbox_id, lease_id)
SELECT ?, o.aggregate_type, o.aggregate_id, o.id, ?
FROM sync_outbox o
WHERE o.id IN (?, ?);

-- insert_dependencies
INSERT INTO sync_dependency (target, outbox_id, referenced_type, referenced_id)
SELECT j.target, j.outbox_id, j.referenced_type, j.referenced_id
FROM JSON_TABLE(?, '$[*]' COLUMNS(target VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.target', outbox_id BIGINT PATH '$.outbox_id', referenced_type VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.referenced_type', referenced_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.referenced_id')) AS j
WHERE (SELECT COUNT(*) FROM sync_dependency p
    WHERE p.target = j.target AND p.outbox_id = j.outbox_id
        AND p.referenced_type = j.referenced_type AND p.referenced_id = j.referenced_id) = 0;

-- hold_dependents
UPDATE JSON_TABLE(?, '$[*]' COLUMNS(target VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.target', outbox_id BIGINT PATH '$.outbox_id')) AS j
STRAIGHT_JOIN sync_delivery AS t FORCE INDEX (PRIMARY)
   ON t.target = j.target AND t.outbox_id = j.outbox_id AND t.status = 'pending' AND (SELECT COUNT(*) FROM sync_dependency p
     WHERE p.target = t.target AND p.outbox_id = t.outbox_id
       AND (SELECT COUNT(*) FROM sync_link l
         WHERE l.target = p.target AND l.aggregate_type = p.referenced_type AND l.aggregate_id = p.referenced_id) = 0) > 0
SET t.next_attempt_at = 9223372036854775805;

-- waiting_twice
SELECT DISTINCT d.aggregate_type, d.aggregate_id, (SELECT MAX(s.outbox_id) FROM sync_delivery s FORCE INDEX (sync_delivery_aggregate)
     WHERE s.target = d.target AND s.aggregate_type = d.aggregate_type AND s.aggregate_id = d.aggregate_id)
FROM sync_delivery d FORCE INDEX (PRIMARY)
WHERE d.target = ? AND d.outbox_id IN (?, ?)
    AND d.status = 'pending' AND d.next_attempt_at = 9223372036854775805
    AND (SELECT MIN(s.outbox_id) FROM sync_delivery s FORCE INDEX (sync_delivery_aggregate)
         WHERE s.target = d.target AND s.aggregate_type = d.aggregate_type AND s.aggregate_id = d.aggregate_id
           AND s.outbox_id > COALESCE((SELECT l.delivered_outbox_id FROM sync_link l
                    WHERE l.target = d.target AND l.aggregate_type = d.aggregate_type AND l.aggregate_id = d.aggregate_id), 0)) < (SELECT MAX(s.outbox_id) FROM sync_delivery s FORCE INDEX (sync_delivery_aggregate)
                         WHERE s.target = d.target AND s.aggregate_type = d.aggregate_type AND s.aggregate_id = d.aggregate_id);

-- supersede_waiting
UPDATE JSON_TABLE(?, '$[*]' COLUMNS(aggregate_type VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.aggregate_type', aggregate_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.aggregate_id', before_id BIGINT PATH '$.before_id')) AS j
STRAIGHT_JOIN sync_delivery AS t FORCE INDEX (sync_delivery_aggregate)
   ON t.target = ? AND t.aggregate_type = j.aggregate_type
                AND t.aggregate_id = j.aggregate_id AND t.outbox_id < j.before_id AND t.status = 'pending' AND t.next_attempt_at = 9223372036854775805
SET t.status = 'superseded',
    t.next_attempt_at = NULL,
    t.finished_at = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED);

-- read_routed
SELECT o.id, o.aggregate_type, o.aggregate_id, o.operation, o.event_id, o.created_at, NULL, CASE WHEN LENGTH(o.refs) <= 32768 THEN o.refs END, LENGTH(o.refs)
FROM sync_outbox o
WHERE o.id IN (?, ?)
ORDER BY o.id;

-- confirmed_dependents
SELECT DISTINCT d.outbox_id, d.aggregate_type, d.aggregate_id
FROM JSON_TABLE(?, '$[*]' COLUMNS(aggregate_type VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.aggregate_type', aggregate_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.aggregate_id')) AS j
JOIN sync_dependency p FORCE INDEX (sync_dependency_referenced) ON p.target = ? AND p.referenced_type = j.aggregate_type AND p.referenced_id = j.aggregate_id
JOIN sync_delivery d FORCE INDEX (PRIMARY) ON d.target = p.target AND d.outbox_id = p.outbox_id
WHERE d.status = 'done' AND (SELECT l.delivered_outbox_id FROM sync_link l
     WHERE l.target = ? AND l.aggregate_type = d.aggregate_type AND l.aggregate_id = d.aggregate_id) = d.outbox_id
ORDER BY d.outbox_id;

-- links_of_keys
SELECT j.aggregate_type, j.aggregate_id, l.remote_id, l.merged_into
FROM JSON_TABLE(?, '$[*]' COLUMNS(aggregate_type VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.aggregate_type', aggregate_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.aggregate_id')) AS j
JOIN sync_link l ON l.target = ? AND l.aggregate_type = j.aggregate_type AND l.aggregate_id = j.aggregate_id;

-- ready_dependents
SELECT DISTINCT d.outbox_id
FROM JSON_TABLE(?, '$[*]' COLUMNS(aggregate_type VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.aggregate_type', aggregate_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.aggregate_id')) AS j
JOIN sync_dependency p FORCE INDEX (sync_dependency_referenced) ON p.target = ? AND p.referenced_type = j.aggregate_type AND p.referenced_id = j.aggregate_id
JOIN sync_delivery d FORCE INDEX (PRIMARY) ON d.target = p.target AND d.outbox_id = p.outbox_id
WHERE d.status = 'pending' AND d.next_attempt_at = 9223372036854775805 AND (SELECT COUNT(*) FROM sync_dependency p
     WHERE p.target = d.target AND p.outbox_id = d.outbox_id
       AND (SELECT COUNT(*) FROM sync_link l
         WHERE l.target = p.target AND l.aggregate_type = p.referenced_type AND l.aggregate_id = p.referenced_id) = 0) = 0
ORDER BY d.outbox_id
LIMIT 1000;

-- ready_among
SELECT d.outbox_id
FROM sync_delivery d FORCE INDEX (PRIMARY)
WHERE d.target = ? AND d.outbox_id IN (?, ?)
    AND d.status = 'pending' AND d.next_attempt_at = 9223372036854775805 AND (SELECT COUNT(*) FROM sync_dependency p
         WHERE p.target = d.target AND p.outbox_id = d.outbox_id
           AND (SELECT COUNT(*) FROM sync_link l
             WHERE l.target = p.target AND l.aggregate_type = p.referenced_type AND l.aggregate_id = p.referenced_id) = 0) = 0
ORDER BY d.outbox_id;

-- next_waiting
SELECT n.outbox_id, n.aggregate_type, n.aggregate_id, (SELECT COUNT(*) FROM sync_dependency p
     WHERE p.target = n.target AND p.outbox_id = n.outbox_id
       AND (SELECT COUNT(*) FROM sync_link l
         WHERE l.target = p.target AND l.aggregate_type = p.referenced_type AND l.aggregate_id = p.referenced_id) = 0)
FROM (SELECT d.target, d.outbox_id, d.aggregate_type, d.aggregate_id
    FROM sync_delivery d FORCE INDEX (sync_delivery_due)
    WHERE d.target = ? AND d.next_attempt_at = 9223372036854775805 AND d.outbox_id > ?
    ORDER BY d.outbox_id
    LIMIT 1000) n
ORDER BY n.outbox_id;

-- wake
UPDATE sync_delivery FORCE INDEX (PRIMARY)
SET next_attempt_at = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)
WHERE target = ? AND outbox_id IN (?, ?) AND status = 'pending' AND next_attempt_at = 9223372036854775805;

-- read_references
SELECT p.outbox_id, p.referenced_type, p.referenced_id, l.remote_id, l.merged_into
FROM sync_dependency p
LEFT JOIN sync_link l ON l.target = p.target AND l.aggregate_type = p.referenced_type AND l.aggregate_id = p.referenced_id
WHERE p.target = ? AND p.outbox_id IN (?, ?);

-- open_among
SELECT j.aggregate_type, j.aggregate_id
FROM JSON_TABLE(?, '$[*]' COLUMNS(aggregate_type VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.aggregate_type', aggregate_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.aggregate_id')) AS j
WHERE (SELECT COUNT(*) FROM sync_in_flight w
     WHERE w.target = ? AND w.aggregate_type = j.aggregate_type AND w.aggregate_id = j.aggregate_id) > 0
    OR (SELECT COUNT(*) FROM sync_delivery d FORCE INDEX (PRIMARY)
        WHERE d.target = ? AND d.outbox_id = (SELECT MAX(s.outbox_id) FROM sync_delivery s FORCE INDEX (sync_delivery_aggregate)
             WHERE s.target = ? AND s.aggregate_type = j.aggregate_type AND s.aggregate_id = j.aggregate_id) AND d.status = 'pending') > 0;

-- merging_elsewhere
SELECT w.aggregate_type, w.aggregate_id
FROM JSON_TABLE(?, '$[*]' COLUMNS(aggregate_type VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.aggregate_type', aggregate_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.aggregate_id')) AS j
JOIN sync_in_flight w FORCE INDEX (PRIMARY) ON w.target = ? AND w.aggregate_type = j.aggregate_type AND w.aggregate_id = j.aggregate_id
JOIN sync_outbox o FORCE INDEX (PRIMARY) ON o.id = w.outbox_id
WHERE w.lease_id <> ? AND o.operation = 'merge';

-- lock_moves
SELECT t.value FROM sync_setting t WHERE t.name = 'users_table'
FOR UPDATE;

-- share_moves
SELECT t.value FROM sync_setting t WHERE t.name = 'users_table'
LOCK IN SHARE MODE;

-- wait_again
UPDATE sync_delivery FORCE INDEX (PRIMARY)
SET status = 'pending', next_attempt_at = 9223372036854775805, lease_id = NULL
WHERE target = ? AND outbox_id IN (?, ?) AND lease_id = ? AND status = 'processing';

-- forget_dependencies
DELETE FROM sync_dependency WHERE target = ? AND referenced_type NOT IN (?, ?);

-- delete_dependencies
DELETE FROM sync_dependency WHERE target = ? AND outbox_id IN (?, ?);

-- count_waiting
SELECT COUNT(*) FROM sync_delivery d FORCE INDEX (sync_delivery_due)
WHERE d.target = ? AND d.next_attempt_at = 9223372036854775805;

-- list_waiting
SELECT d.outbox_id, d.aggregate_type, d.aggregate_id, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) - d.created_at
FROM sync_delivery d FORCE INDEX (sync_delivery_due)
WHERE d.target = ? AND d.next_attempt_at = 9223372036854775805 AND d.outbox_id > ?
ORDER BY d.outbox_id
LIMIT ?;

-- newest_of_keys
SELECT j.aggregate_type, j.aggregate_id, d.outbox_id, d.status,
    CASE WHEN d.next_attempt_at = 9223372036854775805 THEN 1 ELSE 0 END
FROM JSON_TABLE(?, '$[*]' COLUMNS(aggregate_type VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.aggregate_type', aggregate_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.aggregate_id')) AS j
JOIN sync_delivery d ON d.target = ? AND d.outbox_id = (SELECT MAX(s.outbox_id) FROM sync_delivery s FORCE INDEX (sync_delivery_aggregate)
     WHERE s.target = ? AND s.aggregate_type = j.aggregate_type AND s.aggregate_id = j.aggregate_id);

-- begin_lease
INSERT INTO sync_lease (target, owner, acquired_at, lease_until)
VALUES (?, ?, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED), CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) + ?);

-- renew_lease
UPDATE sync_lease
SET lease_until = CASE WHEN lease_until > CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) + ? THEN lease_until ELSE CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) + ? END
WHERE lease_id = ? AND owner = ?;

-- hold_lease
UPDATE sync_lease SET lease_until = lease_until WHERE lease_id = ? AND owner = ?;

-- end_lease
DELETE FROM sync_lease WHERE lease_id = ? AND owner = ?;

-- expired_leases
SELECT target, owner, lease_id FROM sync_lease WHERE lease_until < CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED);

-- end_expired_lease
DELETE FROM sync_lease WHERE lease_id = ? AND owner = ? AND lease_until < CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED);

-- end_in_flight
DELETE w FROM sync_in_flight AS w FORCE INDEX (sync_in_flight_lease)
WHERE w.lease_id = ? AND w.target = ?;

-- end_in_flight_of
DELETE w FROM sync_in_flight AS w FORCE INDEX (sync_in_flight_lease)
WHERE w.lease_id = ? AND w.target = ? AND w.outbox_id IN (?, ?);

-- enqueue_direct_in_flight
INSERT INTO sync_delivery (target, outbox_id, aggregate_type, aggregate_id, status, next_attempt_at, created_at)
SELECT w.target, w.outbox_id, w.aggregate_type, w.aggregate_id, 'pending',
    COALESCE(o.routed_at, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)), COALESCE(o.routed_at, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED))
FROM sync_in_flight w FORCE INDEX (sync_in_flight_lease)
LEFT JOIN sync_outbox o ON o.id = w.outbox_id
WHERE w.lease_id = ? AND w.target = ?
    AND (SELECT COUNT(*) FROM sync_delivery d WHERE d.target = w.target AND d.outbox_id = w.outbox_id) = 0;

-- requeue_in_flight
UPDATE (SELECT w.outbox_id FROM sync_in_flight w FORCE INDEX (sync_in_flight_lease)
            WHERE w.lease_id = ? AND w.target = ?) AS j
STRAIGHT_JOIN sync_delivery AS t FORCE INDEX (PRIMARY)
   ON t.target = ? AND t.outbox_id = j.outbox_id AND t.lease_id = ? AND t.status = 'processing'
SET t.status = CASE WHEN t.finished_at IS NULL THEN 'pending' ELSE 'failed' END,
    t.next_attempt_at = CASE WHEN t.finished_at IS NULL THEN t.created_at ELSE 9223372036854775807 END,
    t.lease_id = NULL;

-- note_in_doubt
UPDATE JSON_TABLE(?, '$[*]' COLUMNS(outbox_id BIGINT PATH '$.outbox_id', status VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.status', attempts BIGINT PATH '$.attempts', pause_ms BIGINT PATH '$.pause_ms', is_final BIGINT PATH '$.is_final', error_kind VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.error_kind', error_message VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.error_message')) AS j
STRAIGHT_JOIN sync_delivery AS t FORCE INDEX (PRIMARY)
   ON t.target = ? AND t.outbox_id = j.outbox_id AND t.lease_id = ? AND t.status = 'processing'
SET t.attempts = j.attempts,
    t.error_kind = j.error_kind,
    t.error_message = j.error_message,
    t.last_attempt = ?,
    t.finished_at = CASE WHEN j.is_final = 1 THEN CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) ELSE NULL END;

-- insert_done
INSERT INTO sync_delivery
    (target, outbox_id, aggregate_type, aggregate_id, status, attempts, last_attempt, created_at, finished_at)
SELECT ?, o.id, o.aggregate_type, o.aggregate_id, 'done', ?, ?,
    COALESCE(o.routed_at, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)), CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)
FROM sync_outbox o
WHERE o.id IN (?, ?);

-- insert_processing
INSERT INTO sync_delivery (target, outbox_id, aggregate_type, aggregate_id, status, lease_id, created_at)
SELECT ?, o.id, o.aggregate_type, o.aggregate_id, 'processing', ?, COALESCE(o.routed_at, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED))
FROM sync_outbox o
WHERE o.id IN (?, ?);

-- mark_done
UPDATE sync_delivery FORCE INDEX (PRIMARY)
SET status = 'done', attempts = ?, lease_id = NULL, last_attempt = ?,
    error_kind = NULL, error_message = NULL, finished_at = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)
WHERE target = ? AND outbox_id IN (?, ?) AND lease_id = ? AND status = 'processing';

-- update_each
UPDATE JSON_TABLE(?, '$[*]' COLUMNS(outbox_id BIGINT PATH '$.outbox_id', status VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.status', attempts BIGINT PATH '$.attempts', pause_ms BIGINT PATH '$.pause_ms', is_final BIGINT PATH '$.is_final', error_kind VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.error_kind', error_message VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.error_message')) AS j
STRAIGHT_JOIN sync_delivery AS t FORCE INDEX (PRIMARY)
   ON t.target = ? AND t.outbox_id = j.outbox_id AND t.lease_id = ? AND t.status = 'processing'
SET t.status = j.status,
    t.attempts = j.attempts,
    t.lease_id = NULL,
    t.last_attempt = ?,
    t.error_kind = j.error_kind,
    t.error_message = j.error_message,
    t.next_attempt_at = CASE WHEN j.status = 'failed' THEN 9223372036854775807 WHEN j.status = 'skipped' THEN 9223372036854775806
        WHEN j.is_final = 1 THEN NULL
        WHEN j.pause_ms > 0 THEN CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) + j.pause_ms ELSE t.created_at END,
    t.finished_at = CASE WHEN j.is_final = 1 THEN CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) ELSE NULL END;

-- put_links
INSERT INTO sync_link
    (target, aggregate_type, aggregate_id, remote_id, remote_version, fingerprint, merged_into, delivered_outbox_id,
    synced_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)), (?, ?, ?, ?, ?, ?, ?, ?, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED))
ON DUPLICATE KEY UPDATE remote_id = VALUES(remote_id),
        remote_version = VALUES(remote_version), fingerprint = VALUES(fingerprint), merged_into = VALUES(merged_into),
        delivered_outbox_id = VALUES(delivered_outbox_id), synced_at = VALUES(synced_at);

-- write_back_openemr_id
UPDATE JSON_TABLE(?, '$[*]' COLUMNS(patient_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.patient_id', remote_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.remote_id')) AS j
STRAIGHT_JOIN patient_cache AS t FORCE INDEX (PRIMARY)
   ON t.patient_id = j.patient_id AND (t.openemr_patient_id IS NULL OR t.openemr_patient_id <> CAST(j.remote_id AS SIGNED))
SET t.openemr_patient_id = CAST(j.remote_id AS SIGNED),
    t.id_padding = NULL;

-- write_back_fhir_id
UPDATE JSON_TABLE(?, '$[*]' COLUMNS(patient_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.patient_id', remote_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.remote_id')) AS j
STRAIGHT_JOIN patient_cache AS t FORCE INDEX (PRIMARY)
   ON t.patient_id = j.patient_id AND (t.fhir_patient_id IS NULL OR t.fhir_patient_id <> j.remote_id)
SET t.fhir_patient_id = j.remote_id;

-- has_unrouted
SELECT id FROM sync_outbox WHERE routed_at IS NULL AND id > ? ORDER BY id LIMIT 1;

-- unrouted
SELECT o.id, o.aggregate_type, o.aggregate_id, o.operation, o.event_id, o.created_at, NULL, CASE WHEN LENGTH(o.refs) <= 32768 THEN o.refs END, LENGTH(o.refs)
FROM sync_outbox o
WHERE o.routed_at IS NULL AND o.id > ?
ORDER BY o.id
LIMIT ?
FOR UPDATE SKIP LOCKED;

-- enqueue
INSERT INTO sync_delivery (target, outbox_id, aggregate_type, aggregate_id, status, next_attempt_at, created_at)
SELECT j.target, o.id, o.aggregate_type, o.aggregate_id, 'pending', CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED), CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)
FROM sync_outbox o
JOIN JSON_TABLE(?, '$[*]' COLUMNS(target VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.target', aggregate_type VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.aggregate_type')) AS j ON j.aggregate_type = o.aggregate_type
WHERE o.id IN (?, ?)
    AND (SELECT COUNT(*) FROM sync_delivery d WHERE d.target = j.target AND d.outbox_id = o.id) = 0
    AND (SELECT COUNT(*) FROM sync_in_flight w
         WHERE w.target = j.target AND w.aggregate_type = o.aggregate_type
           AND w.aggregate_id = o.aggregate_id AND w.outbox_id = o.id) = 0;

-- mark_routed
UPDATE sync_outbox
SET routed_at = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)
WHERE id IN (?, ?)
    AND COALESCE(routed_at, 0) = 0
    AND (SELECT COALESCE(SUM(t.route_revision), 0) FROM sync_target t) = ?;

-- insert_refused
INSERT INTO sync_delivery
    (target, outbox_id, aggregate_type, aggregate_id, status, next_attempt_at, error_kind, error_message,
    created_at, finished_at)
SELECT j.target, j.outbox_id, j.aggregate_type, j.aggregate_id, 'failed', 9223372036854775807, j.error_kind, j.error_message,
    CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED), CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)
FROM JSON_TABLE(?, '$[*]' COLUMNS(target VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.target', outbox_id BIGINT PATH '$.outbox_id', aggregate_type VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.aggregate_type', aggregate_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.aggregate_id', error_kind VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.error_kind', error_message VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.error_message')) AS j
WHERE (SELECT COUNT(*) FROM sync_delivery d WHERE d.target = j.target AND d.outbox_id = j.outbox_id) = 0;

-- fail_refused
UPDATE JSON_TABLE(?, '$[*]' COLUMNS(target VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.target', outbox_id BIGINT PATH '$.outbox_id', aggregate_type VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.aggregate_type', aggregate_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.aggregate_id', error_kind VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.error_kind', error_message VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.error_message')) AS j
STRAIGHT_JOIN sync_delivery AS t FORCE INDEX (PRIMARY)
   ON t.target = ? AND t.outbox_id = j.outbox_id AND t.lease_id = ? AND t.status = 'processing'
SET t.status = 'failed',
    t.attempts = 0,
    t.lease_id = NULL,
    t.error_kind = j.error_kind,
    t.error_message = j.error_message,
    t.next_attempt_at = 9223372036854775807,
    t.finished_at = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED);

-- nearly_routed
SELECT MAX(m.newest)
FROM (SELECT
        (SELECT d.outbox_id FROM sync_delivery d WHERE d.target = t.name ORDER BY d.outbox_id DESC LIMIT 1) AS newest
    FROM sync_target t) m;

-- count_unrouted
SELECT COUNT(*)
FROM (SELECT 1 AS one
    FROM sync_outbox
    WHERE routed_at IS NULL AND id > ?
        AND id < ?
    LIMIT 10001) n;

-- count_unrouted, without before
SELECT COUNT(*)
FROM (SELECT 1 AS one
    FROM sync_outbox
    WHERE routed_at IS NULL AND id > ?
    LIMIT 10001) n;

-- oldest_unrouted
SELECT CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) - CASE WHEN created_at BETWEEN 946684800000 AND 4102444799999 THEN created_at END FROM sync_outbox WHERE routed_at IS NULL AND id > ? ORDER BY id LIMIT 1;

-- estimate_unrouted
SELECT (SELECT id
        FROM sync_outbox
        WHERE routed_at IS NULL AND id > ?
            AND id < ?
        ORDER BY id DESC
        LIMIT 1)
    - (SELECT id FROM sync_outbox WHERE routed_at IS NULL AND id > ? ORDER BY id ASC LIMIT 1) + 1;

-- estimate_unrouted, without before
SELECT (SELECT id
        FROM sync_outbox
        WHERE routed_at IS NULL AND id > ?
        ORDER BY id DESC
        LIMIT 1)
    - (SELECT id FROM sync_outbox WHERE routed_at IS NULL AND id > ? ORDER BY id ASC LIMIT 1) + 1;

-- append
INSERT INTO sync_outbox (event_id, aggregate_type, aggregate_id, operation, payload, refs, created_at)
SELECT j.event_id, j.aggregate_type, j.aggregate_id, j.operation, j.payload, j.refs, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)
FROM JSON_TABLE(?, '$[*]' COLUMNS(position BIGINT PATH '$.position', event_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.event_id', aggregate_type VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.aggregate_type', aggregate_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.aggregate_id', operation VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.operation', payload LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.payload', refs LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.refs')) AS j
ORDER BY j.position;

-- append_block
INSERT INTO sync_outbox (event_id, aggregate_type, aggregate_id, operation, payload, refs, created_at)
VALUES (?, ?, ?, ?, ?, ?, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)), (?, ?, ?, ?, ?, ?, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED));

-- enqueue_for_target
INSERT INTO sync_delivery (target, outbox_id, aggregate_type, aggregate_id, status, next_attempt_at, created_at)
SELECT ?, o.id, o.aggregate_type, o.aggregate_id, 'pending', CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED), CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)
FROM JSON_TABLE(?, '$[*]' COLUMNS(event_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.event_id')) AS j JOIN sync_outbox o ON o.event_id = j.event_id;

-- ids_of_events
SELECT o.id FROM JSON_TABLE(?, '$[*]' COLUMNS(event_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.event_id')) AS j JOIN sync_outbox o ON o.event_id = j.event_id;

-- mark_events_routed
UPDATE sync_outbox SET routed_at = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) WHERE event_id IN (SELECT j.event_id FROM JSON_TABLE(?, '$[*]' COLUMNS(event_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.event_id')) AS j);

-- scan_changes
SELECT o.id, o.aggregate_type, o.aggregate_id, CASE WHEN created_at BETWEEN 946684800000 AND 4102444799999 THEN created_at END, o.routed_at
FROM sync_outbox o
WHERE o.id < ?
ORDER BY o.id DESC
LIMIT ?;

-- own_patients
SELECT t.patient_id
FROM patient_cache t
WHERE t.patient_id IN (SELECT j.patient_id FROM JSON_TABLE(?, '$[*]' COLUMNS(patient_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.patient_id')) AS j);

-- known_patients
SELECT j.patient_id
FROM JSON_TABLE(?, '$[*]' COLUMNS(patient_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.patient_id')) AS j
WHERE (SELECT COUNT(*) FROM sync_delivery d FORCE INDEX (sync_delivery_aggregate)
        WHERE d.aggregate_id = j.patient_id AND d.aggregate_type = 'patient') > 0
    OR (SELECT COUNT(*) FROM sync_target t WHERE (SELECT COUNT(*) FROM sync_link l
            WHERE l.target = t.name AND l.aggregate_type = 'patient' AND l.aggregate_id = j.patient_id) > 0) > 0;

-- resend_candidates
SELECT o.id, o.operation,
    CASE WHEN o.routed_at IS NULL THEN 0 ELSE 1 END,
    (SELECT d.status FROM sync_delivery d FORCE INDEX (PRIMARY) WHERE d.target = ? AND d.outbox_id = o.id),
    (SELECT d.attempts FROM sync_delivery d FORCE INDEX (PRIMARY) WHERE d.target = ? AND d.outbox_id = o.id),
    (SELECT COUNT(*) FROM sync_in_flight w
         WHERE w.target = ? AND w.aggregate_type = o.aggregate_type
           AND w.aggregate_id = o.aggregate_id AND w.outbox_id = o.id),
    (SELECT l.delivered_outbox_id FROM sync_link l
         WHERE l.target = ? AND l.aggregate_type = o.aggregate_type AND l.aggregate_id = o.aggregate_id),
    (SELECT COUNT(*) FROM sync_target t WHERE (SELECT l.delivered_outbox_id FROM sync_link l
         WHERE l.target = t.name AND l.aggregate_type = o.aggregate_type AND l.aggregate_id = o.aggregate_id) > o.id)
FROM sync_outbox o
WHERE o.id IN (?, ?)
ORDER BY o.id;

-- enqueue_again
INSERT INTO sync_delivery (target, outbox_id, aggregate_type, aggregate_id, status, next_attempt_at, created_at)
SELECT ?, o.id, o.aggregate_type, o.aggregate_id, 'pending', CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED), o.routed_at
FROM sync_outbox o
WHERE o.id IN (?, ?)
    AND o.routed_at IS NOT NULL
    AND (SELECT COUNT(*) FROM sync_delivery d WHERE d.target = ? AND d.outbox_id = o.id) = 0
    AND (SELECT COUNT(*) FROM sync_in_flight w
         WHERE w.target = ? AND w.aggregate_type = o.aggregate_type
           AND w.aggregate_id = o.aggregate_id AND w.outbox_id = o.id) = 0;

-- resend
UPDATE sync_delivery FORCE INDEX (PRIMARY)
SET status = 'pending',
    attempts = 0,
    next_attempt_at = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED),
    finished_at = NULL,
    error_kind = NULL,
    error_message = NULL
WHERE target = ? AND outbox_id IN (?, ?) AND status = ? AND status IN ('done', 'failed', 'superseded', 'skipped');

-- doubt_confirmed
UPDATE JSON_TABLE(?, '$[*]' COLUMNS(aggregate_type VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.aggregate_type', aggregate_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.aggregate_id', outbox_id BIGINT PATH '$.outbox_id')) AS j
STRAIGHT_JOIN sync_link AS t FORCE INDEX (PRIMARY)
   ON t.target = ?
    AND t.aggregate_type = j.aggregate_type
    AND t.aggregate_id = j.aggregate_id
    AND t.delivered_outbox_id = j.outbox_id
SET t.delivered_outbox_id = j.outbox_id - 1;

-- links_of_type
SELECT l.aggregate_id
FROM sync_link l
WHERE l.target = ? AND l.aggregate_type = ? AND l.aggregate_id > ? AND l.remote_id <> ''
ORDER BY l.aggregate_id
LIMIT ?;

-- list_patients
SELECT t.patient_id, t.family_name, t.given_name, t.birth_date, t.gender, t.middle_name, t.native_family_name,
    t.native_given_name, t.title, t.suffix, t.marital_status, t.phone_home, t.phone_mobile, t.phone_work, t.email,
    t.street, t.street_line_2, t.city, t.state, t.postal_code, t.country, t.language, t.race, t.ethnicity,
    t.national_id, t.deceased_date, t.openemr_patient_id, t.fhir_patient_id FROM patient_cache t WHERE t.patient_id > ? ORDER BY t.patient_id LIMIT ?;

-- changed_patients
SELECT t.patient_id
FROM patient_cache t
WHERE t.patient_id > ?
    AND (t.updated_at >= ? OR (SELECT COUNT(*) FROM patient_merge m
        WHERE m.patient_id = t.patient_id AND m.merged_at >= ?) > 0)
ORDER BY t.patient_id
LIMIT ?;

-- touch_patient
UPDATE patient_cache SET updated_at = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) WHERE patient_id = ?;

-- patients_by_id
SELECT t.patient_id, t.family_name, t.given_name, t.birth_date, t.gender, t.middle_name, t.native_family_name,
    t.native_given_name, t.title, t.suffix, t.marital_status, t.phone_home, t.phone_mobile, t.phone_work, t.email,
    t.street, t.street_line_2, t.city, t.state, t.postal_code, t.country, t.language, t.race, t.ethnicity,
    t.national_id, t.deceased_date, t.openemr_patient_id, t.fhir_patient_id
FROM patient_cache t
WHERE t.patient_id IN (SELECT j.patient_id FROM JSON_TABLE(?, '$[*]' COLUMNS(patient_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.patient_id')) AS j)
ORDER BY t.patient_id;

-- lock_patients_by_id
SELECT t.patient_id, t.family_name, t.given_name, t.birth_date, t.gender, t.middle_name, t.native_family_name,
    t.native_given_name, t.title, t.suffix, t.marital_status, t.phone_home, t.phone_mobile, t.phone_work, t.email,
    t.street, t.street_line_2, t.city, t.state, t.postal_code, t.country, t.language, t.race, t.ethnicity,
    t.national_id, t.deceased_date, t.openemr_patient_id, t.fhir_patient_id
FROM patient_cache t
WHERE t.patient_id IN (SELECT j.patient_id FROM JSON_TABLE(?, '$[*]' COLUMNS(patient_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.patient_id')) AS j)
ORDER BY t.patient_id
FOR UPDATE;

-- hold_patients
SELECT t.patient_id
FROM patient_cache t
WHERE t.patient_id IN (SELECT j.patient_id FROM JSON_TABLE(?, '$[*]' COLUMNS(patient_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.patient_id')) AS j)
ORDER BY t.patient_id
LOCK IN SHARE MODE;

-- put_patients
INSERT INTO patient_cache
    (patient_id, family_name, given_name, birth_date, gender, middle_name, native_family_name, native_given_name,
        title, suffix, marital_status, phone_home, phone_mobile, phone_work, email, street, street_line_2, city,
        state, postal_code, country, language, race, ethnicity, national_id, deceased_date, created_at, updated_at)
SELECT j.patient_id, j.family_name, j.given_name, j.birth_date, j.gender, j.middle_name, j.native_family_name,
    j.native_given_name, j.title, j.suffix, j.marital_status, j.phone_home, j.phone_mobile, j.phone_work,
    j.email, j.street, j.street_line_2, j.city, j.state, j.postal_code, j.country, j.language, j.race,
    j.ethnicity, j.national_id, j.deceased_date,
    CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED), CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)
FROM JSON_TABLE(?, '$[*]' COLUMNS(patient_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.patient_id', family_name VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.family_name', given_name VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.given_name', birth_date VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.birth_date', gender VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.gender', middle_name VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.middle_name', native_family_name VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.native_family_name', native_given_name VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.native_given_name', title VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.title', suffix VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.suffix', marital_status VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.marital_status', phone_home VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.phone_home', phone_mobile VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.phone_mobile', phone_work VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.phone_work', email VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.email', street VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.street', street_line_2 VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.street_line_2', city VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.city', state VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.state', postal_code VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.postal_code', country VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.country', language VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.language', race VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.race', ethnicity VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.ethnicity', national_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.national_id', deceased_date VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.deceased_date')) AS j
ON DUPLICATE KEY UPDATE
        family_name = VALUES(family_name), given_name = VALUES(given_name), birth_date = VALUES(birth_date),
        gender = VALUES(gender), middle_name = VALUES(middle_name), native_family_name = VALUES(native_family_name),
        native_given_name = VALUES(native_given_name), title = VALUES(title), suffix = VALUES(suffix),
        marital_status = VALUES(marital_status), phone_home = VALUES(phone_home),
        phone_mobile = VALUES(phone_mobile), phone_work = VALUES(phone_work), email = VALUES(email),
        street = VALUES(street), street_line_2 = VALUES(street_line_2), city = VALUES(city), state = VALUES(state),
        postal_code = VALUES(postal_code), country = VALUES(country), language = VALUES(language),
        race = VALUES(race), ethnicity = VALUES(ethnicity), national_id = VALUES(national_id),
        deceased_date = VALUES(deceased_date), updated_at = VALUES(updated_at);

-- put_patient_block
INSERT INTO patient_cache
    (patient_id, family_name, given_name, birth_date, gender, middle_name, native_family_name, native_given_name,
        title, suffix, marital_status, phone_home, phone_mobile, phone_work, email, street, street_line_2, city,
        state, postal_code, country, language, race, ethnicity, national_id, deceased_date, created_at, updated_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED), CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)), (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED), CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED))
ON DUPLICATE KEY UPDATE
        family_name = VALUES(family_name), given_name = VALUES(given_name), birth_date = VALUES(birth_date),
        gender = VALUES(gender), middle_name = VALUES(middle_name), native_family_name = VALUES(native_family_name),
        native_given_name = VALUES(native_given_name), title = VALUES(title), suffix = VALUES(suffix),
        marital_status = VALUES(marital_status), phone_home = VALUES(phone_home),
        phone_mobile = VALUES(phone_mobile), phone_work = VALUES(phone_work), email = VALUES(email),
        street = VALUES(street), street_line_2 = VALUES(street_line_2), city = VALUES(city), state = VALUES(state),
        postal_code = VALUES(postal_code), country = VALUES(country), language = VALUES(language),
        race = VALUES(race), ethnicity = VALUES(ethnicity), national_id = VALUES(national_id),
        deceased_date = VALUES(deceased_date), updated_at = VALUES(updated_at);

-- delete_patient
DELETE FROM patient_cache WHERE patient_id = ?;

-- list_users
SELECT username, display_name, role, email, department, password_hash FROM `users` ORDER BY username;

-- put_user
INSERT INTO `users` (username, display_name, role, email, department, password_hash, created_at, updated_at)
VALUES (?, ?, ?, ?, ?, ?, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED), CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED))
ON DUPLICATE KEY UPDATE display_name = VALUES(display_name), role = VALUES(role), email = VALUES(email),
    department = VALUES(department), password_hash = VALUES(password_hash), updated_at = VALUES(updated_at);

-- records_by_id
SELECT t.aggregate_type, t.aggregate_id, t.patient_id, t.payload, t.refs
FROM clinical_record t
WHERE t.aggregate_id IN (SELECT j.aggregate_id FROM JSON_TABLE(?, '$[*]' COLUMNS(aggregate_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.aggregate_id')) AS j)
ORDER BY t.aggregate_id, t.aggregate_type;

-- list_records
SELECT t.aggregate_type, t.aggregate_id
FROM clinical_record t
WHERE t.aggregate_id >= ? AND (t.aggregate_id > ? OR t.aggregate_type > ?)
    AND t.updated_at >= ?
ORDER BY t.aggregate_id, t.aggregate_type
LIMIT ?;

-- list_records, without since
SELECT t.aggregate_type, t.aggregate_id
FROM clinical_record t
WHERE t.aggregate_id >= ? AND (t.aggregate_id > ? OR t.aggregate_type > ?)
ORDER BY t.aggregate_id, t.aggregate_type
LIMIT ?;

-- own_records
SELECT t.aggregate_type, t.aggregate_id
FROM clinical_record t
WHERE t.aggregate_id IN (SELECT j.aggregate_id FROM JSON_TABLE(?, '$[*]' COLUMNS(aggregate_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.aggregate_id')) AS j);

-- lock_records_by_id
SELECT t.aggregate_type, t.aggregate_id, t.patient_id, t.payload, t.refs
FROM clinical_record t
WHERE t.aggregate_id IN (SELECT j.aggregate_id FROM JSON_TABLE(?, '$[*]' COLUMNS(aggregate_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.aggregate_id')) AS j)
ORDER BY t.aggregate_id, t.aggregate_type
FOR UPDATE;

-- lock_records_of_patients
SELECT t.aggregate_type, t.aggregate_id, t.patient_id, t.payload, t.refs
FROM clinical_record t
WHERE t.patient_id IN (SELECT j.aggregate_id FROM JSON_TABLE(?, '$[*]' COLUMNS(aggregate_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.aggregate_id')) AS j)
ORDER BY t.aggregate_id, t.aggregate_type
FOR UPDATE;

-- referring_records
SELECT j.encounter_id, t.aggregate_type, t.aggregate_id
FROM JSON_TABLE(?, '$[*]' COLUMNS(patient_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.patient_id', encounter_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.encounter_id', part VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.part')) AS j
JOIN clinical_record t FORCE INDEX (clinical_record_patient) ON t.patient_id = j.patient_id
WHERE REPLACE(t.refs, j.part, '') <> t.refs
ORDER BY j.encounter_id, t.aggregate_id, t.aggregate_type
LIMIT ?;

-- put_records
INSERT INTO clinical_record (aggregate_type, aggregate_id, patient_id, payload, refs, created_at, updated_at)
VALUES (?, ?, ?, ?, ?, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED), CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)), (?, ?, ?, ?, ?, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED), CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED))
ON DUPLICATE KEY UPDATE
        patient_id = VALUES(patient_id), payload = VALUES(payload), refs = VALUES(refs), updated_at = VALUES(updated_at);

-- delete_record
DELETE FROM clinical_record WHERE aggregate_id = ? AND aggregate_type = ?;

-- remember_deleted
INSERT INTO deleted_record (aggregate_type, aggregate_id, deleted_at)
VALUES (?, ?, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED))
ON DUPLICATE KEY UPDATE deleted_at = VALUES(deleted_at);

-- deleted_among
SELECT t.aggregate_type, t.aggregate_id
FROM deleted_record t
WHERE t.aggregate_id IN (SELECT j.aggregate_id FROM JSON_TABLE(?, '$[*]' COLUMNS(aggregate_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.aggregate_id')) AS j)
    AND NOT EXISTS (SELECT 1 FROM patient_cache p
        WHERE t.aggregate_type = 'patient' AND p.patient_id = t.aggregate_id)
    AND NOT EXISTS (SELECT 1 FROM clinical_record r
        WHERE r.aggregate_id = t.aggregate_id AND r.aggregate_type = t.aggregate_type);

-- merges_among
SELECT t.patient_id, t.survivor_id
FROM patient_merge t
WHERE t.patient_id IN (SELECT j.patient_id FROM JSON_TABLE(?, '$[*]' COLUMNS(patient_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.patient_id')) AS j)
ORDER BY t.patient_id;

-- merges_into
SELECT t.patient_id, t.survivor_id
FROM patient_merge t
WHERE t.survivor_id IN (SELECT j.patient_id FROM JSON_TABLE(?, '$[*]' COLUMNS(patient_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.patient_id')) AS j)
ORDER BY t.patient_id;

-- insert_merge
INSERT INTO patient_merge (patient_id, survivor_id, reason, merged_by, merged_at)
VALUES (?, ?, ?, ?, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED));

-- delete_merge
DELETE FROM patient_merge WHERE patient_id = ?;

-- register_target
INSERT INTO sync_target (name, enabled, state, updated_at)
VALUES (?, ?, 'unknown', CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED))
ON DUPLICATE KEY UPDATE enabled = VALUES(enabled);

-- enable_target
INSERT INTO sync_target (name, enabled, state, route_revision, updated_at)
VALUES (?, 1, 'unknown', 1, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED))
ON DUPLICATE KEY UPDATE route_revision = sync_target.route_revision + 1 - sync_target.enabled, enabled = 1;

-- disable_target
UPDATE sync_target
SET enabled = 0, route_revision = route_revision + 1, updated_at = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)
WHERE name = ? AND enabled = 1;

-- set_types
UPDATE sync_target
SET aggregate_types = ?, route_revision = route_revision + 1
WHERE name = ? AND COALESCE(aggregate_types, '') <> ?;

-- change_routes
UPDATE sync_target SET route_revision = route_revision + 1 WHERE name = ?;

-- routes
SELECT name, aggregate_types, enabled, route_revision FROM sync_target ORDER BY name;

-- report_target
UPDATE sync_target
SET state = ?,
    breaker = ?,
    breaker_until = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) + ?,
    error_kind = ?,
    error_message = ?,
    error_at = CASE WHEN ? = 1 THEN COALESCE(error_at, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)) END,
    summary = COALESCE(?, summary),
    updated_at = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)
WHERE name = ?;

-- read_batch_max
SELECT batch_max FROM sync_target WHERE name = ?;

-- set_batch_max
UPDATE sync_target SET batch_max = ? WHERE name = ?;

-- read_learned
SELECT revision, learned FROM sync_learned WHERE target = ? AND basis = ?;

-- put_learned
INSERT INTO sync_learned (target, basis, revision, learned) VALUES (?, ?, 1, ?)
ON DUPLICATE KEY UPDATE basis = VALUES(basis), revision = sync_learned.revision + 1, learned = VALUES(learned);

-- request_probe
UPDATE sync_target SET probe_requests = probe_requests + 1 WHERE name = ?;

-- set_paused
UPDATE sync_target
SET paused = ?, paused_until = ?, probe_requests = probe_requests + 1 - ?, updated_at = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)
WHERE name = ?;

-- put_host
INSERT INTO sync_host (id, version, started_at, seen_at, targets)
VALUES (?, ?, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED), CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED), ?)
ON DUPLICATE KEY UPDATE seen_at = VALUES(seen_at), targets = VALUES(targets);

-- running_hosts
SELECT id, targets FROM sync_host WHERE seen_at > CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) - 15000 ORDER BY id;

-- forget_hosts
DELETE FROM sync_host WHERE seen_at < CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) - 86400000;

-- delete_host
DELETE FROM sync_host WHERE id = ?;

-- try_write
INSERT INTO sync_host (id, version, started_at, seen_at) VALUES (?, 'check', CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED), CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED));

-- add_counts
INSERT INTO sync_count (target, shard, made, done, superseded, dismissed, skipped)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON DUPLICATE KEY UPDATE made = sync_count.made + VALUES(made), done = sync_count.done + VALUES(done),
    superseded = sync_count.superseded + VALUES(superseded), dismissed = sync_count.dismissed + VALUES(dismissed),
    skipped = sync_count.skipped + VALUES(skipped);

-- uncounted
SELECT COUNT(*)
    + (SELECT COUNT(*) FROM sync_in_flight w WHERE w.target = ?
        AND (SELECT COUNT(*) FROM sync_delivery s WHERE s.target = w.target AND s.outbox_id = w.outbox_id) = 0)
    - CAST((SELECT COALESCE(SUM(c.made), 0) FROM sync_count c WHERE c.target = ?) AS DECIMAL(20))
FROM sync_delivery d
WHERE d.target = ?;

-- read_counts
SELECT c.target, c.made, c.done, c.superseded, c.dismissed, c.skipped,
    (SELECT COUNT(*) FROM sync_lease l JOIN sync_in_flight w FORCE INDEX (sync_in_flight_lease) ON w.lease_id = l.lease_id
         WHERE l.target = c.target AND w.target = c.target),
    (SELECT COUNT(*) FROM sync_delivery d FORCE INDEX (sync_delivery_due)
        WHERE d.target = c.target AND d.next_attempt_at = ?)
FROM (SELECT target, CAST(SUM(made) AS DECIMAL(20)) AS made, CAST(SUM(done) AS DECIMAL(20)) AS done,
        CAST(SUM(superseded) AS DECIMAL(20)) AS superseded, CAST(SUM(dismissed) AS DECIMAL(20)) AS dismissed,
        CAST(SUM(skipped) AS DECIMAL(20)) AS skipped
    FROM sync_count GROUP BY target) c;

-- count_open
SELECT COUNT(*) + (SELECT COUNT(*) FROM sync_lease l JOIN sync_in_flight w FORCE INDEX (sync_in_flight_lease) ON w.lease_id = l.lease_id
     WHERE l.target = ? AND w.target = ?)
FROM sync_delivery d FORCE INDEX (sync_delivery_due)
WHERE d.target = ? AND d.next_attempt_at < 9223372036854775806;

-- enabled_targets
SELECT name FROM sync_target WHERE enabled = 1;

-- has_due
SELECT CASE WHEN EXISTS (SELECT 1 FROM sync_delivery d FORCE INDEX (sync_delivery_due)
        WHERE d.target = ? AND d.next_attempt_at <= CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)
            AND (d.aggregate_type NOT IN (?, ?) OR NOT EXISTS (SELECT 1
                        FROM sync_delivery e FORCE INDEX (sync_delivery_aggregate)
                        WHERE e.target = d.target AND e.aggregate_type = d.aggregate_type
                            AND e.aggregate_id = d.aggregate_id AND e.outbox_id < d.outbox_id AND e.status IN ('pending', 'processing', 'failed'))))
    OR (SELECT COUNT(*) FROM sync_lease l JOIN sync_in_flight w FORCE INDEX (sync_in_flight_lease) ON w.lease_id = l.lease_id
         WHERE l.target = ? AND w.target = ?) > 0 THEN 1 ELSE 0 END;

-- has_due, without fifo_types
SELECT CASE WHEN EXISTS (SELECT 1 FROM sync_delivery d FORCE INDEX (sync_delivery_due)
        WHERE d.target = ? AND d.next_attempt_at <= CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)
            )
    OR (SELECT COUNT(*) FROM sync_lease l JOIN sync_in_flight w FORCE INDEX (sync_in_flight_lease) ON w.lease_id = l.lease_id
         WHERE l.target = ? AND w.target = ?) > 0 THEN 1 ELSE 0 END;

-- target_status
SELECT name, enabled, CASE WHEN sync_target.paused = 1 AND (sync_target.paused_until IS NULL OR sync_target.paused_until > CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)) THEN 1 ELSE 0 END,
    CASE WHEN sync_target.paused = 1 AND (sync_target.paused_until IS NULL OR sync_target.paused_until > CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)) THEN paused_until END,
    state, breaker, breaker_until - CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED), adapter_name, adapter_version, adapter_sha256,
    summary, error_kind, error_message, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) - error_at
FROM sync_target;

-- oldest_pending
SELECT CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) - MIN(COALESCE(CASE WHEN created_at BETWEEN 946684800000 AND 4102444799999 THEN created_at END, routed_at))
FROM sync_outbox o
WHERE o.id = (SELECT MIN(n.outbox_id) FROM (SELECT d.outbox_id FROM sync_delivery d FORCE INDEX (sync_delivery_due)
        WHERE d.target = ? AND d.next_attempt_at < ?
        ORDER BY d.next_attempt_at, d.outbox_id LIMIT 10000) n);

-- recent_deliveries
SELECT d.target, d.aggregate_type, d.aggregate_id, d.status, NULLIF(l.remote_id, ''), d.attempts, d.error_kind,
        d.error_message, d.finished_at, d.outbox_id
FROM sync_delivery d
LEFT JOIN sync_link l ON l.target = d.target AND l.aggregate_type = d.aggregate_type AND l.aggregate_id = d.aggregate_id
WHERE d.target = ?
    AND d.outbox_id > (SELECT COALESCE(MAX(n.outbox_id), 0) FROM sync_delivery n WHERE n.target = ?) - ?
    AND d.status <> 'superseded'
ORDER BY d.outbox_id DESC
LIMIT ?;

-- recent_of_aggregate
SELECT d.target, d.aggregate_type, d.aggregate_id, d.status, NULLIF(l.remote_id, ''), d.attempts, d.error_kind,
        d.error_message, d.finished_at, d.outbox_id
FROM sync_delivery d FORCE INDEX (sync_delivery_aggregate)
LEFT JOIN sync_link l ON l.target = d.target AND l.aggregate_type = d.aggregate_type AND l.aggregate_id = d.aggregate_id
WHERE d.target = ? AND d.aggregate_type = ? AND d.aggregate_id = ?
ORDER BY d.outbox_id DESC
LIMIT ?;

-- store_clock
SELECT CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED);

-- list_failed
SELECT t.target, t.aggregate_type, t.aggregate_id, t.outbox_id, t.error_kind, t.error_message, t.attempts, t.finished_at
FROM sync_target j JOIN sync_delivery t FORCE INDEX (sync_delivery_due) ON t.target = j.name AND t.next_attempt_at = 9223372036854775807 AND t.status = 'failed'
        AND j.name = ?
        AND t.aggregate_type = ? AND t.aggregate_id = ?
        AND t.error_kind = ?
        AND t.finished_at <= CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) - ?
        AND t.outbox_id = ?
ORDER BY t.outbox_id, t.target
LIMIT ?;

-- list_failed, without target, aggregate_type, aggregate_id, kind, age_ms, change_id
SELECT t.target, t.aggregate_type, t.aggregate_id, t.outbox_id, t.error_kind, t.error_message, t.attempts, t.finished_at
FROM sync_target j JOIN sync_delivery t FORCE INDEX (sync_delivery_due) ON t.target = j.name AND t.next_attempt_at = 9223372036854775807 AND t.status = 'failed'
ORDER BY t.outbox_id, t.target
LIMIT ?;

-- count_failed
SELECT COUNT(*)
FROM sync_target j JOIN sync_delivery t FORCE INDEX (sync_delivery_due) ON t.target = j.name AND t.next_attempt_at = 9223372036854775807 AND t.status = 'failed'
        AND j.name = ?
        AND t.aggregate_type = ? AND t.aggregate_id = ?
        AND t.error_kind = ?
        AND t.finished_at <= CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) - ?
        AND t.outbox_id = ? AND t.attempts > 0;

-- count_failed, without target, aggregate_type, aggregate_id, kind, age_ms, change_id
SELECT COUNT(*)
FROM sync_target j JOIN sync_delivery t FORCE INDEX (sync_delivery_due) ON t.target = j.name AND t.next_attempt_at = 9223372036854775807 AND t.status = 'failed'
         AND t.attempts > 0;

-- retry_failed
UPDATE sync_target AS j
STRAIGHT_JOIN sync_delivery AS t FORCE INDEX (sync_delivery_due)
   ON t.target = j.name AND t.next_attempt_at = 9223372036854775807 AND t.status = 'failed'
        AND j.name = ?
        AND t.aggregate_type = ? AND t.aggregate_id = ?
        AND t.error_kind = ?
        AND t.finished_at <= CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) - ?
        AND t.outbox_id = ? AND t.attempts > 0
SET t.status = 'pending',
    t.attempts = 0,
    t.next_attempt_at = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED),
    t.finished_at = NULL;

-- retry_failed, without target, aggregate_type, aggregate_id, kind, age_ms, change_id
UPDATE sync_target AS j
STRAIGHT_JOIN sync_delivery AS t FORCE INDEX (sync_delivery_due)
   ON t.target = j.name AND t.next_attempt_at = 9223372036854775807 AND t.status = 'failed'
         AND t.attempts > 0
SET t.status = 'pending',
    t.attempts = 0,
    t.next_attempt_at = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED),
    t.finished_at = NULL;

-- list_retriable
SELECT t.outbox_id
FROM sync_delivery t FORCE INDEX (sync_delivery_due)
WHERE t.target = ? AND t.next_attempt_at = 9223372036854775807 AND t.outbox_id >= ? AND t.status = 'failed' AND t.attempts > 0
        AND t.aggregate_type = ? AND t.aggregate_id = ?
        AND t.error_kind = ?
        AND t.finished_at <= CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) - ?
        AND t.outbox_id = ?
ORDER BY t.outbox_id
LIMIT ?;

-- list_retriable, without aggregate_type, aggregate_id, kind, age_ms, change_id
SELECT t.outbox_id
FROM sync_delivery t FORCE INDEX (sync_delivery_due)
WHERE t.target = ? AND t.next_attempt_at = 9223372036854775807 AND t.outbox_id >= ? AND t.status = 'failed' AND t.attempts > 0
ORDER BY t.outbox_id
LIMIT ?;

-- retry_these
UPDATE JSON_TABLE(?, '$[*]' COLUMNS(target VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.target', outbox_id BIGINT PATH '$.outbox_id')) AS j
STRAIGHT_JOIN sync_delivery AS t FORCE INDEX (PRIMARY)
   ON t.target = j.target AND t.outbox_id = j.outbox_id AND t.status = 'failed'
SET t.status = 'pending',
    t.attempts = 0,
    t.next_attempt_at = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED),
    t.finished_at = NULL;

-- progress_of_these
SELECT t.status, CASE WHEN t.attempts > 0 THEN 1 ELSE 0 END,
    CASE WHEN t.next_attempt_at = 9223372036854775805 THEN 1 ELSE 0 END, COUNT(*)
FROM JSON_TABLE(?, '$[*]' COLUMNS(target VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.target', outbox_id BIGINT PATH '$.outbox_id')) AS j
JOIN sync_delivery t FORCE INDEX (PRIMARY) ON t.target = j.target AND t.outbox_id = j.outbox_id
GROUP BY t.status, CASE WHEN t.attempts > 0 THEN 1 ELSE 0 END,
    CASE WHEN t.next_attempt_at = 9223372036854775805 THEN 1 ELSE 0 END;

-- list_skipped
SELECT t.target, t.aggregate_type, t.aggregate_id, t.outbox_id, t.error_kind, t.error_message, t.attempts, t.finished_at
FROM sync_target j JOIN sync_delivery t FORCE INDEX (sync_delivery_due) ON t.target = j.name AND t.next_attempt_at = 9223372036854775806 AND t.status = 'skipped'
        AND j.name = ?
        AND t.aggregate_type = ? AND t.aggregate_id = ?
        AND t.finished_at <= CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) - ?
        AND t.outbox_id = ?
ORDER BY t.outbox_id, t.target
LIMIT ?;

-- list_skipped, without target, aggregate_type, aggregate_id, age_ms, change_id
SELECT t.target, t.aggregate_type, t.aggregate_id, t.outbox_id, t.error_kind, t.error_message, t.attempts, t.finished_at
FROM sync_target j JOIN sync_delivery t FORCE INDEX (sync_delivery_due) ON t.target = j.name AND t.next_attempt_at = 9223372036854775806 AND t.status = 'skipped'
ORDER BY t.outbox_id, t.target
LIMIT ?;

-- count_skipped
SELECT COUNT(*)
FROM sync_target j JOIN sync_delivery t FORCE INDEX (sync_delivery_due) ON t.target = j.name AND t.next_attempt_at = 9223372036854775806 AND t.status = 'skipped'
        AND j.name = ?
        AND t.aggregate_type = ? AND t.aggregate_id = ?
        AND t.finished_at <= CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) - ?
        AND t.outbox_id = ?;

-- count_skipped, without target, aggregate_type, aggregate_id, age_ms, change_id
SELECT COUNT(*)
FROM sync_target j JOIN sync_delivery t FORCE INDEX (sync_delivery_due) ON t.target = j.name AND t.next_attempt_at = 9223372036854775806 AND t.status = 'skipped';

-- retry_skipped
UPDATE sync_delivery FORCE INDEX (sync_delivery_due)
SET status = 'pending',
    attempts = 0,
    next_attempt_at = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED),
    finished_at = NULL,
    error_message = NULL
WHERE target = ?
    AND aggregate_type = ? AND aggregate_id = ?
    AND finished_at <= CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) - ?
    AND outbox_id = ?
    AND next_attempt_at = 9223372036854775806 AND status = 'skipped';

-- retry_skipped, without aggregate_type, aggregate_id, age_ms, change_id
UPDATE sync_delivery FORCE INDEX (sync_delivery_due)
SET status = 'pending',
    attempts = 0,
    next_attempt_at = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED),
    finished_at = NULL,
    error_message = NULL
WHERE target = ?
    AND next_attempt_at = 9223372036854775806 AND status = 'skipped';

-- list_dismissed
SELECT t.target, t.aggregate_type, t.aggregate_id, t.outbox_id, t.error_kind, t.error_message, t.attempts, t.finished_at, d.reason, d.dismissed_by, d.dismissed_at
FROM sync_dismissal d
JOIN sync_delivery t FORCE INDEX (PRIMARY) ON t.target = d.target AND t.outbox_id = d.outbox_id
WHERE d.target = ?
ORDER BY d.dismissed_at DESC, t.outbox_id, t.target
LIMIT ?;

-- list_dismissed, without target
SELECT t.target, t.aggregate_type, t.aggregate_id, t.outbox_id, t.error_kind, t.error_message, t.attempts, t.finished_at, d.reason, d.dismissed_by, d.dismissed_at
FROM sync_dismissal d
JOIN sync_delivery t FORCE INDEX (PRIMARY) ON t.target = d.target AND t.outbox_id = d.outbox_id
ORDER BY d.dismissed_at DESC, t.outbox_id, t.target
LIMIT ?;

-- mark_dismissed
UPDATE JSON_TABLE(?, '$[*]' COLUMNS(target VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.target', outbox_id BIGINT PATH '$.outbox_id')) AS j
STRAIGHT_JOIN sync_delivery AS t FORCE INDEX (PRIMARY)
   ON t.target = j.target AND t.outbox_id = j.outbox_id AND t.status = 'failed'
SET t.status = 'dismissed',
    t.next_attempt_at = NULL,
    t.finished_at = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED);

-- insert_dismissals
INSERT INTO sync_dismissal (target, outbox_id, reason, dismissed_by, dismissed_at)
SELECT j.target, j.outbox_id, ?, ?, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)
FROM JSON_TABLE(?, '$[*]' COLUMNS(target VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.target', outbox_id BIGINT PATH '$.outbox_id')) AS j;

-- knows_patient
SELECT 1 FROM patient_cache WHERE patient_id = ?;

-- knows_delivery
SELECT 1 FROM sync_delivery d FORCE INDEX (sync_delivery_aggregate)
WHERE d.aggregate_id = ? AND d.aggregate_type = ? LIMIT 1;

-- knows_in_flight
SELECT 1 FROM sync_in_flight WHERE aggregate_id = ? AND aggregate_type = ? LIMIT 1;

-- knows_link
SELECT 1 FROM sync_target t
WHERE (SELECT COUNT(*) FROM sync_link l
    WHERE l.target = t.name AND l.aggregate_type = ? AND l.aggregate_id = ?) > 0
LIMIT 1;

-- blocked_keys
SELECT *
FROM (SELECT d.target, d.aggregate_type, d.aggregate_id, d.outbox_id, d.error_kind, d.error_message,
        (SELECT COUNT(*) FROM sync_delivery w FORCE INDEX (sync_delivery_aggregate)
            WHERE w.target = d.target AND w.aggregate_type = d.aggregate_type
                AND w.aggregate_id = d.aggregate_id AND w.outbox_id > d.outbox_id AND w.status = 'pending') AS waiting
    FROM sync_target t JOIN sync_delivery d FORCE INDEX (sync_delivery_due)
        ON d.target = t.name AND d.next_attempt_at = 9223372036854775807 AND d.aggregate_type IN (?, ?)) b
WHERE b.waiting > 0
ORDER BY b.outbox_id, b.target
LIMIT ?;

-- list_conflicts
SELECT d.target, d.aggregate_type, d.aggregate_id, d.outbox_id, NULLIF(l.remote_id, ''), d.error_message, d.finished_at
FROM sync_target t
JOIN sync_delivery d FORCE INDEX (sync_delivery_due)
    ON d.target = t.name AND d.next_attempt_at = 9223372036854775807 AND d.error_kind = ?
LEFT JOIN sync_link l ON l.target = d.target AND l.aggregate_type = d.aggregate_type AND l.aggregate_id = d.aggregate_id
WHERE 1 = 1
    AND t.name = ?
    AND d.aggregate_type = ? AND d.aggregate_id = ?
ORDER BY d.outbox_id, d.target
LIMIT ?;

-- list_conflicts, without target, aggregate_type, aggregate_id
SELECT d.target, d.aggregate_type, d.aggregate_id, d.outbox_id, NULLIF(l.remote_id, ''), d.error_message, d.finished_at
FROM sync_target t
JOIN sync_delivery d FORCE INDEX (sync_delivery_due)
    ON d.target = t.name AND d.next_attempt_at = 9223372036854775807 AND d.error_kind = ?
LEFT JOIN sync_link l ON l.target = d.target AND l.aggregate_type = d.aggregate_type AND l.aggregate_id = d.aggregate_id
WHERE 1 = 1
ORDER BY d.outbox_id, d.target
LIMIT ?;

-- retry_conflict
UPDATE sync_delivery
SET status = 'pending', attempts = 0, next_attempt_at = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED), finished_at = NULL
WHERE target = ? AND aggregate_type = ? AND aggregate_id = ? AND status = 'failed' AND error_kind = ?;

-- keep_remote
UPDATE sync_delivery
SET status = 'superseded', next_attempt_at = NULL, finished_at = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED),
    error_message = 'resolved: what the target holds was kept'
WHERE target = ? AND aggregate_type = ? AND aggregate_id = ? AND status = 'failed' AND error_kind = ?;

-- conflict_message
SELECT error_message FROM sync_delivery
WHERE target = ? AND aggregate_type = ? AND aggregate_id = ? AND status = 'failed' AND error_kind = ?
ORDER BY outbox_id DESC
LIMIT 1;

-- forget_link
DELETE FROM sync_link WHERE target = ? AND aggregate_type = ? AND aggregate_id = ?;

-- confirm_link
UPDATE sync_link SET remote_version = NULL, fingerprint = NULL WHERE target = ? AND aggregate_type = ? AND aggregate_id = ?;

-- remember_state
UPDATE sync_link SET fingerprint = ? WHERE target = ? AND aggregate_type = ? AND aggregate_id = ?;

-- linked_to
SELECT aggregate_id FROM sync_link
WHERE target = ? AND aggregate_type = ? AND aggregate_id <> ? AND remote_id = ?
LIMIT 1;

-- relink
INSERT INTO sync_link
    (target, aggregate_type, aggregate_id, remote_id, remote_version, fingerprint, delivered_outbox_id, synced_at)
VALUES (?, ?, ?, ?, NULL, NULL, 0, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED))
ON DUPLICATE KEY UPDATE remote_id = VALUES(remote_id),
    remote_version = VALUES(remote_version), fingerprint = VALUES(fingerprint), synced_at = VALUES(synced_at);

-- old_deliveries
SELECT outbox_id,
    CASE WHEN finished_at >= ? THEN NULL WHEN status = 'done' THEN 1 WHEN status = 'superseded' THEN 2
        WHEN status = 'dismissed' THEN 3 WHEN status = 'skipped' THEN 4 END,
    CASE WHEN created_at < ? THEN 1 ELSE 0 END
FROM sync_delivery
WHERE target = ? AND outbox_id > ?
ORDER BY outbox_id
LIMIT 1000;

-- delete_deliveries
DELETE FROM sync_delivery WHERE target = ? AND outbox_id IN (?, ?) AND status = ?;

-- delete_dismissals
DELETE FROM sync_dismissal WHERE target = ? AND outbox_id IN (?, ?);

-- old_changes
SELECT o.id,
    CASE WHEN o.routed_at < ?
        AND (SELECT COUNT(*) FROM sync_target t
            WHERE (SELECT COUNT(*) FROM sync_delivery d WHERE d.target = t.name AND d.outbox_id = o.id) > 0) = 0
        AND (SELECT COUNT(*) FROM sync_target t WHERE (SELECT COUNT(*) FROM sync_in_flight w
             WHERE w.target = t.name AND w.aggregate_type = o.aggregate_type
               AND w.aggregate_id = o.aggregate_id AND w.outbox_id = o.id) > 0) = 0
        THEN 1 ELSE 0 END,
    CASE WHEN o.routed_at < ? THEN 1 ELSE 0 END
FROM sync_outbox o
WHERE o.id > ?
ORDER BY o.id
LIMIT 1000;

-- delete_changes
DELETE FROM sync_outbox WHERE routed_at IS NOT NULL AND id IN (?, ?);

-- purge_notices
DELETE FROM sync_notice WHERE last_at < ?;

-- add_notices
INSERT INTO sync_notice (kind, subject, changes, last_change_id, last_at)
SELECT j.kind, j.subject, j.changes, j.last_change_id, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)
FROM JSON_TABLE(?, '$[*]' COLUMNS(kind VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.kind', subject VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.subject', changes BIGINT PATH '$.changes', last_change_id BIGINT PATH '$.last_change_id')) AS j
ON DUPLICATE KEY UPDATE changes = sync_notice.changes + VALUES(changes), last_change_id = VALUES(last_change_id),
    last_at = VALUES(last_at);

-- list_notices
SELECT kind, subject, changes, last_change_id, last_at
FROM sync_notice
ORDER BY last_at DESC, kind, subject
LIMIT 50;

-- read_clock
SELECT seen_at, doubted_at, step_ms FROM sync_clock WHERE id = 1;

-- remember_clock
INSERT INTO sync_clock (id, seen_at, doubted_at, step_ms)
VALUES (1, ?, ?, ?)
ON DUPLICATE KEY UPDATE seen_at = VALUES(seen_at), doubted_at = VALUES(doubted_at), step_ms = VALUES(step_ms);

-- newest_time
SELECT routed_at FROM sync_outbox ORDER BY id DESC LIMIT 1;

-- shorten_leases
UPDATE sync_lease SET lease_until = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) + 3600000 WHERE lease_until > CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) + 3600000 + ?;

-- target_names
SELECT name FROM sync_target;

-- make_due
UPDATE sync_delivery FORCE INDEX (sync_delivery_due)
SET next_attempt_at = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)
WHERE target = ?
    AND next_attempt_at > CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) + ? AND next_attempt_at < 9223372036854775805
    AND status = 'pending';

-- newest_delivery
SELECT outbox_id, status, attempts
FROM sync_delivery FORCE INDEX (sync_delivery_aggregate)
WHERE target = ? AND aggregate_type = ? AND aggregate_id = ?
ORDER BY outbox_id DESC
LIMIT 1;

-- newest_unrouted
SELECT MAX(id) FROM sync_outbox
WHERE routed_at IS NULL AND aggregate_type = ? AND aggregate_id = ?;

-- in_flight_change
SELECT outbox_id FROM sync_in_flight
WHERE target = ? AND aggregate_type = ? AND aggregate_id = ?;

-- read_change
SELECT o.id, o.aggregate_type, o.aggregate_id, o.operation, o.event_id,
    CASE WHEN LENGTH(o.payload) <= 1048576 THEN o.payload END, LENGTH(o.payload), o.created_at,
    l.remote_id, l.remote_version, l.fingerprint, l.delivered_outbox_id, l.merged_into, CASE WHEN LENGTH(o.refs) <= 32768 THEN o.refs END, LENGTH(o.refs)
FROM sync_outbox o
LEFT JOIN sync_link l ON l.target = ? AND l.aggregate_type = o.aggregate_type AND l.aggregate_id = o.aggregate_id
WHERE o.id = ?;

-- read_link
SELECT remote_id, remote_version, fingerprint
FROM sync_link
WHERE target = ? AND aggregate_type = ? AND aggregate_id = ?;

-- recently_done
SELECT outbox_id, aggregate_type, aggregate_id, finished_at
FROM sync_delivery
WHERE target = ? AND outbox_id < ? AND status = 'done'
ORDER BY outbox_id DESC
LIMIT ?;

-- adapter_control
SELECT CASE WHEN t.paused = 1 AND (t.paused_until IS NULL OR t.paused_until > CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)) THEN 1 ELSE 0 END, t.adapter_sha256, w.rejected_sha256, w.reload_requests,
    t.probe_requests, l.basis, l.revision, CASE WHEN t.state = 'down' THEN 1 ELSE 0 END, h.sha256, h.accepted_at
FROM sync_target t LEFT JOIN sync_adapter_control w ON w.target = t.name LEFT JOIN sync_learned l ON l.target = t.name
    LEFT JOIN sync_adapter_hold h ON h.target = t.name
WHERE t.name = ?;

-- is_active_adapter
SELECT 1 FROM sync_target WHERE name = ? AND adapter_sha256 = ?;

-- remember_previous_adapter
UPDATE sync_target SET previous_sha256 = adapter_sha256 WHERE name = ? AND adapter_sha256 <> ?;

-- activate_adapter
UPDATE sync_target
SET adapter_name = ?, adapter_version = ?, adapter_sha256 = ?
WHERE name = ? AND (adapter_sha256 IS NULL OR adapter_sha256 <> ?);

-- add_adapter_event
INSERT INTO sync_adapter_event (target, sha256, name, version, event, reason, host, at)
VALUES (?, ?, ?, ?, ?, ?, ?, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED));

-- adapter_events
SELECT target, sha256, name, version, event, reason, host, at
FROM sync_adapter_event
WHERE target = ?
ORDER BY id DESC
LIMIT ?;

-- adapter_events, without target
SELECT target, sha256, name, version, event, reason, host, at
FROM sync_adapter_event
ORDER BY id DESC
LIMIT ?;

-- reject_adapter
INSERT INTO sync_adapter_control (target, rejected_sha256) VALUES (?, ?)
ON DUPLICATE KEY UPDATE rejected_sha256 = VALUES(rejected_sha256);

-- reload_adapter
UPDATE sync_adapter_control SET rejected_sha256 = NULL WHERE target = ? AND rejected_sha256 = ?;

-- hold_adapter
INSERT INTO sync_adapter_hold (target, sha256, name, version, differences, held_at, accepted_at)
VALUES (?, ?, ?, ?, ?, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED), NULL)
ON DUPLICATE KEY UPDATE sha256 = VALUES(sha256), name = VALUES(name), version = VALUES(version),
    differences = VALUES(differences), held_at = VALUES(held_at), accepted_at = VALUES(accepted_at);

-- read_adapter_hold
SELECT sha256, name, version, differences, held_at, accepted_at FROM sync_adapter_hold WHERE target = ?;

-- list_adapter_holds
SELECT target, sha256, name, version, differences, held_at, accepted_at
FROM sync_adapter_hold
WHERE accepted_at IS NULL;

-- accept_adapter
UPDATE sync_adapter_hold SET accepted_at = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) WHERE target = ? AND sha256 = ? AND accepted_at IS NULL;

-- end_adapter_hold
DELETE FROM sync_adapter_hold WHERE target = ? AND accepted_at IS NULL;

-- request_reload
INSERT INTO sync_adapter_control (target, reload_requests) VALUES (?, 1)
ON DUPLICATE KEY UPDATE reload_requests = sync_adapter_control.reload_requests + 1;

-- adapter_parts
SELECT part, parts, bytes FROM sync_adapter_part WHERE sha256 = ? ORDER BY part;

-- count_adapter_parts
SELECT COUNT(*) FROM sync_adapter_part WHERE sha256 = ?;

-- put_adapter_part
INSERT INTO sync_adapter_part (sha256, part, parts, bytes) VALUES (?, ?, ?, ?)
ON DUPLICATE KEY UPDATE parts = VALUES(parts);

-- forget_adapter
DELETE FROM sync_adapter_part
WHERE sha256 = ? AND NOT EXISTS (SELECT 1 FROM sync_target WHERE adapter_sha256 = ?);

-- links_to_verify
SELECT l.aggregate_id, l.remote_id, l.remote_version, l.fingerprint, l.delivered_outbox_id
FROM sync_link l
WHERE l.target = ? AND l.aggregate_type = ? AND l.aggregate_id > ? AND l.remote_id <> ''
ORDER BY l.aggregate_id
LIMIT ?;

-- links_settled
SELECT j.aggregate_type, j.aggregate_id
FROM JSON_TABLE(?, '$[*]' COLUMNS(aggregate_type VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.aggregate_type', aggregate_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.aggregate_id', remote_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.remote_id', delivered_outbox_id BIGINT PATH '$.delivered_outbox_id')) AS j
JOIN sync_link l ON l.target = ? AND l.aggregate_type = j.aggregate_type AND l.aggregate_id = j.aggregate_id
WHERE l.remote_id = j.remote_id AND l.delivered_outbox_id = j.delivered_outbox_id
    AND (SELECT COUNT(*) FROM sync_in_flight w
         WHERE w.target = ? AND w.aggregate_type = j.aggregate_type AND w.aggregate_id = j.aggregate_id) = 0;

-- newest_change
SELECT MAX(o.id) FROM sync_outbox o;

-- read_verifications
SELECT v.run, v.types, v.started_at, v.finished_at, v.through_outbox_id, v.next_type, v.after_id,
    v.checked, v.edited, v.gone, v.several, v.not_ours, v.unknown, v.moved
FROM sync_verification v
WHERE v.target = ?;

-- begin_verification
INSERT INTO sync_verification
    (target, run, types, started_at, through_outbox_id, next_type, after_id,
     checked, edited, gone, several, not_ours, unknown, moved)
VALUES (?, 'current', ?, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED), ?, ?, '', 0, 0, 0, 0, 0, 0, 0);

-- advance_verification
UPDATE sync_verification
SET next_type = ?,
    after_id = ?,
    checked = checked + ?,
    edited = edited + ?,
    gone = gone + ?,
    several = several + ?,
    not_ours = not_ours + ?,
    unknown = unknown + ?,
    moved = moved + ?
WHERE target = ? AND run = 'current' AND next_type = ? AND after_id = ?;

-- records_in_store
SELECT j.aggregate_id, j.remote_id
FROM JSON_TABLE(?, '$[*]' COLUMNS(aggregate_type VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.aggregate_type', aggregate_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.aggregate_id', remote_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.remote_id')) AS j
LEFT JOIN sync_link l ON l.target = ? AND l.aggregate_type = j.aggregate_type AND l.aggregate_id = j.aggregate_id
WHERE l.remote_id = j.remote_id
    OR (SELECT COUNT(*) FROM sync_in_flight w
         WHERE w.target = ? AND w.aggregate_type = j.aggregate_type AND w.aggregate_id = j.aggregate_id) > 0
    OR (SELECT COUNT(*) FROM sync_delivery d FORCE INDEX (PRIMARY)
        WHERE d.target = ? AND d.outbox_id = (SELECT MAX(s.outbox_id) FROM sync_delivery s FORCE INDEX (sync_delivery_aggregate)
             WHERE s.target = ? AND s.aggregate_type = j.aggregate_type AND s.aggregate_id = j.aggregate_id) AND d.status = 'pending') > 0;

-- count_not_in_store
SELECT f.aggregate_type, f.state, COUNT(*)
FROM sync_verification_finding f
WHERE f.target = ? AND f.aggregate_type IN (?, ?)
GROUP BY f.aggregate_type, f.state;

-- delete_verification
DELETE FROM sync_verification WHERE target = ? AND run = ?;

-- finish_verification
UPDATE sync_verification SET run = 'last', finished_at = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) WHERE target = ? AND run = 'current';

-- put_findings
INSERT INTO sync_verification_finding (target, aggregate_type, aggregate_id, state, found_at)
SELECT ?, j.aggregate_type, j.aggregate_id, j.state, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)
FROM JSON_TABLE(?, '$[*]' COLUMNS(aggregate_type VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.aggregate_type', aggregate_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.aggregate_id', state VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.state')) AS j
ON DUPLICATE KEY UPDATE state = VALUES(state), found_at = VALUES(found_at);

-- forget_findings
DELETE FROM sync_verification_finding
WHERE target = ? AND aggregate_type = ? AND found_at < ?;

-- list_findings
SELECT f.aggregate_type, f.aggregate_id, f.state, f.found_at
FROM sync_verification_finding f
WHERE f.target = ? AND f.aggregate_type = ? AND f.aggregate_id > ?
ORDER BY f.aggregate_id
LIMIT ?;

-- put_effects
INSERT INTO sync_effects (sha256, effects, seen_at)
VALUES (?, ?, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED))
ON DUPLICATE KEY UPDATE seen_at = VALUES(seen_at);

-- put_attempt
INSERT INTO sync_attempt
    (lease_id, target, host, adapter_name, adapter_version, adapter_sha256, interface_version, started_at, elapsed_ms,
    calls, changes, outcomes, effects_sha256, effect_counts, cause_kind, cause)
VALUES (?, ?, ?, ?, ?, ?, ?,
    CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) - ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON DUPLICATE KEY UPDATE target = VALUES(target), host = VALUES(host), adapter_name = VALUES(adapter_name),
    adapter_version = VALUES(adapter_version), adapter_sha256 = VALUES(adapter_sha256),
    interface_version = VALUES(interface_version), started_at = VALUES(started_at), elapsed_ms = VALUES(elapsed_ms),
    calls = VALUES(calls), changes = VALUES(changes), outcomes = VALUES(outcomes),
    effects_sha256 = VALUES(effects_sha256), effect_counts = VALUES(effect_counts), cause_kind = VALUES(cause_kind),
    cause = VALUES(cause);

-- knows_attempt
SELECT 1 FROM sync_attempt WHERE lease_id = ?;

-- read_attempts
SELECT a.lease_id, a.target, a.host, a.adapter_name, a.adapter_version, a.adapter_sha256, a.interface_version,
    a.started_at, a.elapsed_ms, a.calls, a.changes, a.outcomes, a.effect_counts, e.effects, a.cause_kind, a.cause
FROM sync_attempt a
LEFT JOIN sync_effects e ON e.sha256 = a.effects_sha256
WHERE a.lease_id IN (?, ?)
ORDER BY a.lease_id;

-- recent_attempts
SELECT a.started_at, a.elapsed_ms, a.changes, a.outcomes, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) - a.started_at - a.elapsed_ms
FROM sync_attempt a FORCE INDEX (sync_attempt_target)
WHERE a.target = ? AND a.cause_kind IS NULL
ORDER BY a.lease_id DESC
LIMIT ?;

-- last_attempts
SELECT a.lease_id, a.started_at, a.elapsed_ms, a.calls, a.changes, a.outcomes, a.adapter_sha256, a.interface_version,
    a.cause_kind, a.cause
FROM sync_attempt a FORCE INDEX (sync_attempt_target)
WHERE a.target = ?
ORDER BY a.lease_id DESC
LIMIT ?;

-- old_attempts
SELECT a.lease_id,
    CASE WHEN a.started_at < ? THEN 1 ELSE 0 END,
    CASE WHEN a.started_at < ? THEN 1 ELSE 0 END
FROM sync_attempt a
WHERE a.lease_id > ?
ORDER BY a.lease_id
LIMIT 1000;

-- delete_attempts
DELETE FROM sync_attempt WHERE lease_id IN (?, ?);

-- delete_effects
DELETE FROM sync_effects WHERE seen_at < ?;

-- change_key
SELECT o.id, o.aggregate_type, o.aggregate_id FROM sync_outbox o WHERE o.id = ?;

-- event_key
SELECT o.id, o.aggregate_type, o.aggregate_id FROM sync_outbox o WHERE o.event_id = ?;

-- trace_deliveries
SELECT d.target, d.aggregate_type, d.aggregate_id, d.outbox_id, d.status, d.attempts, d.next_attempt_at, d.last_attempt,
        d.error_kind, d.error_message, d.created_at, d.finished_at
FROM sync_delivery d FORCE INDEX (sync_delivery_aggregate)
WHERE d.aggregate_id = ? AND d.aggregate_type = ?
    AND d.target = ?
    AND d.outbox_id = ?
ORDER BY d.outbox_id DESC, d.target
LIMIT ?;

-- trace_deliveries, without target, change_id
SELECT d.target, d.aggregate_type, d.aggregate_id, d.outbox_id, d.status, d.attempts, d.next_attempt_at, d.last_attempt,
        d.error_kind, d.error_message, d.created_at, d.finished_at
FROM sync_delivery d FORCE INDEX (sync_delivery_aggregate)
WHERE d.aggregate_id = ? AND d.aggregate_type = ?
ORDER BY d.outbox_id DESC, d.target
LIMIT ?;

-- trace_in_flight
SELECT w.target, w.outbox_id, w.lease_id, l.owner, l.acquired_at, l.lease_until
FROM sync_target t
JOIN sync_in_flight w FORCE INDEX (PRIMARY) ON w.target = t.name AND w.aggregate_type = ? AND w.aggregate_id = ?
LEFT JOIN sync_lease l ON l.lease_id = w.lease_id
ORDER BY w.target;

-- trace_unrouted
SELECT o.id FROM sync_outbox o
WHERE o.routed_at IS NULL AND o.aggregate_type = ? AND o.aggregate_id = ?
ORDER BY o.id + 0 DESC
LIMIT ?;

-- trace_changes
SELECT o.id, o.event_id, o.operation, CASE WHEN created_at BETWEEN 946684800000 AND 4102444799999 THEN created_at END, o.routed_at
FROM sync_outbox o
WHERE o.id IN (?, ?)
ORDER BY o.id;

-- trace_links
SELECT l.target, NULLIF(l.remote_id, ''), l.remote_version, l.delivered_outbox_id, l.synced_at, l.merged_into
FROM sync_target t
JOIN sync_link l FORCE INDEX (PRIMARY) ON l.target = t.name AND l.aggregate_type = ? AND l.aggregate_id = ?
ORDER BY l.target;

-- trace_dependencies
SELECT r.target, r.outbox_id, r.referenced_type, r.referenced_id, l.synced_at
FROM sync_target t
CROSS JOIN sync_dependency r FORCE INDEX (PRIMARY)
LEFT JOIN sync_link l ON l.target = r.target AND l.aggregate_type = r.referenced_type AND l.aggregate_id = r.referenced_id
WHERE r.target = t.name AND r.outbox_id IN (?, ?)
ORDER BY r.outbox_id, r.target, r.referenced_type, r.referenced_id;

-- trace_dismissals
SELECT d.target, d.outbox_id, d.reason, d.dismissed_by, d.dismissed_at
FROM sync_target t
CROSS JOIN sync_dismissal d FORCE INDEX (PRIMARY)
WHERE d.target = t.name AND d.outbox_id IN (?, ?)
ORDER BY d.outbox_id, d.target;

-- trace_findings
SELECT f.target, f.state, f.found_at
FROM sync_target t
CROSS JOIN sync_verification_finding f FORCE INDEX (PRIMARY)
WHERE f.target = t.name AND f.aggregate_type = ? AND f.aggregate_id = ?
ORDER BY f.target;

-- trace_merges
SELECT m.patient_id, m.survivor_id, m.reason, m.merged_by, m.merged_at
FROM patient_merge m WHERE m.patient_id = ?
UNION ALL
SELECT m.patient_id, m.survivor_id, m.reason, m.merged_by, m.merged_at
FROM patient_merge m WHERE m.survivor_id = ?
ORDER BY 5, 1
LIMIT ?;

-- page_deliveries
SELECT d.target, d.aggregate_type, d.aggregate_id, d.outbox_id, d.status, d.attempts, d.next_attempt_at, d.last_attempt,
        d.error_kind, d.error_message, d.created_at, d.finished_at
FROM sync_delivery d FORCE INDEX (PRIMARY)
WHERE d.target = ? AND d.outbox_id < ?
ORDER BY d.outbox_id DESC
LIMIT ?;

-- page_ended
SELECT d.target, d.aggregate_type, d.aggregate_id, d.outbox_id, d.status, d.attempts, d.next_attempt_at, d.last_attempt,
        d.error_kind, d.error_message, d.created_at, d.finished_at
FROM sync_delivery d FORCE INDEX (sync_delivery_due)
WHERE d.target = ? AND d.next_attempt_at = ?
        AND d.error_kind = ?
        AND d.finished_at >= ?
    AND d.outbox_id + 0 < ?
ORDER BY d.outbox_id + 0 DESC
LIMIT ?;

-- page_ended, without kind, since
SELECT d.target, d.aggregate_type, d.aggregate_id, d.outbox_id, d.status, d.attempts, d.next_attempt_at, d.last_attempt,
        d.error_kind, d.error_message, d.created_at, d.finished_at
FROM sync_delivery d FORCE INDEX (sync_delivery_due)
WHERE d.target = ? AND d.next_attempt_at = ?
    AND d.outbox_id + 0 < ?
ORDER BY d.outbox_id + 0 DESC
LIMIT ?;

-- count_causes
SELECT n.error_kind, n.error_message, COUNT(*)
FROM (SELECT d.error_kind, d.error_message
    FROM sync_delivery d FORCE INDEX (sync_delivery_due)
    WHERE d.target = ? AND d.next_attempt_at = ?
            AND d.error_kind = ?
            AND d.finished_at >= ?
    LIMIT 100000) n
GROUP BY n.error_kind, n.error_message
ORDER BY 3 DESC, 1, 2
LIMIT ?;

-- count_causes, without kind, since
SELECT n.error_kind, n.error_message, COUNT(*)
FROM (SELECT d.error_kind, d.error_message
    FROM sync_delivery d FORCE INDEX (sync_delivery_due)
    WHERE d.target = ? AND d.next_attempt_at = ?
    LIMIT 100000) n
GROUP BY n.error_kind, n.error_message
ORDER BY 3 DESC, 1, 2
LIMIT ?;

-- queued_before
SELECT COUNT(*)
FROM (SELECT d.outbox_id
    FROM sync_delivery d FORCE INDEX (sync_delivery_due)
    WHERE d.target = ? AND d.next_attempt_at <= ?
        AND (d.next_attempt_at < ? OR d.outbox_id + 0 < ?)
    LIMIT 100001) n;

-- lock_audit_head
SELECT t.event_id, t.hash, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) FROM audit_head t WHERE t.only_row = 1
FOR UPDATE;

-- read_audit_head
SELECT t.event_id, t.hash FROM audit_head t WHERE t.only_row = 1;

-- move_audit_head
UPDATE audit_head SET event_id = ?, hash = ? WHERE only_row = 1 AND event_id = ? - 1;

-- insert_audit_event
INSERT INTO audit_event
    (id, recorded_at, command_id, os_user, os_uid, login, acting_as, machine, remote, action, target, aggregate_type,
    aggregate_id, other_id, item_count, detail, reason, outcome, previous_hash, hash)
SELECT j.id, j.recorded_at, j.command_id, j.os_user, j.os_uid, j.login, j.acting_as,
    j.machine, j.remote, j.action, j.target, j.aggregate_type, j.aggregate_id, j.other_id,
    j.item_count, j.detail, j.reason, j.outcome, j.previous_hash, j.hash
FROM JSON_TABLE(?, '$[*]' COLUMNS(id BIGINT PATH '$.id', recorded_at BIGINT PATH '$.recorded_at', command_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.command_id', os_user VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.os_user', os_uid BIGINT PATH '$.os_uid', login VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.login', acting_as VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.acting_as', machine VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.machine', remote VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.remote', action VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.action', target VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.target', aggregate_type VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.aggregate_type', aggregate_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.aggregate_id', other_id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.other_id', item_count BIGINT PATH '$.item_count', detail VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.detail', reason VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.reason', outcome VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.outcome', previous_hash VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.previous_hash', hash VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.hash')) AS j;

-- audit_events_after
SELECT t.id, t.recorded_at, t.command_id, t.os_user, t.os_uid, t.login, t.acting_as,
    t.machine, t.remote, t.action, t.target, t.aggregate_type, t.aggregate_id, t.other_id,
    t.item_count, t.detail, t.reason, t.outcome, t.previous_hash, t.hash
FROM audit_event t
WHERE t.id > ?
    AND t.recorded_at >= ?
ORDER BY t.id
LIMIT ?;

-- audit_events_after, without since
SELECT t.id, t.recorded_at, t.command_id, t.os_user, t.os_uid, t.login, t.acting_as,
    t.machine, t.remote, t.action, t.target, t.aggregate_type, t.aggregate_id, t.other_id,
    t.item_count, t.detail, t.reason, t.outcome, t.previous_hash, t.hash
FROM audit_event t
WHERE t.id > ?
ORDER BY t.id
LIMIT ?;

-- audit_events_before
SELECT t.id, t.recorded_at, t.command_id, t.os_user, t.os_uid, t.login, t.acting_as,
    t.machine, t.remote, t.action, t.target, t.aggregate_type, t.aggregate_id, t.other_id,
    t.item_count, t.detail, t.reason, t.outcome, t.previous_hash, t.hash
FROM audit_event t
WHERE t.id < ?
    AND t.recorded_at >= ?
    AND (t.os_user = ? OR t.login = ? OR t.acting_as = ?)
    AND t.action IN (?, ?)
    AND t.aggregate_type = ? AND (t.aggregate_id = ? OR t.other_id = ?)
ORDER BY t.id DESC
LIMIT ?;

-- audit_events_before, without since, actor, actions, aggregate_type, aggregate_id
SELECT t.id, t.recorded_at, t.command_id, t.os_user, t.os_uid, t.login, t.acting_as,
    t.machine, t.remote, t.action, t.target, t.aggregate_type, t.aggregate_id, t.other_id,
    t.item_count, t.detail, t.reason, t.outcome, t.previous_hash, t.hash
FROM audit_event t
WHERE t.id < ?
ORDER BY t.id DESC
LIMIT ?;

-- audit_decisions
SELECT t.id, t.recorded_at, t.command_id, t.os_user, t.os_uid, t.login, t.acting_as,
    t.machine, t.remote, t.action, t.target, t.aggregate_type, t.aggregate_id, t.other_id,
    t.item_count, t.detail, t.reason, t.outcome, t.previous_hash, t.hash
FROM audit_event t FORCE INDEX (audit_event_aggregate)
WHERE t.aggregate_id = ? AND t.aggregate_type = ? AND t.outcome = ?
    AND (t.item_count IS NULL OR t.item_count > 0)
    AND t.action IN (?, ?)
ORDER BY t.id DESC
LIMIT ?;

-- audit_bulk_decisions
SELECT t.id, t.recorded_at, t.command_id, t.os_user, t.os_uid, t.login, t.acting_as,
    t.machine, t.remote, t.action, t.target, t.aggregate_type, t.aggregate_id, t.other_id,
    t.item_count, t.detail, t.reason, t.outcome, t.previous_hash, t.hash
FROM (
    SELECT MIN(b.id) AS first_id
    FROM audit_event b FORCE INDEX (PRIMARY)
    WHERE b.id > (SELECT h.event_id FROM audit_head h WHERE h.only_row = 1) - 100000
        AND b.aggregate_id IS NULL AND b.outcome = ? AND b.item_count > 0 AND b.recorded_at >= ?
        AND b.action IN (?, ?)
    GROUP BY b.command_id
    ORDER BY MIN(b.id) DESC
    LIMIT ?
) c
JOIN audit_event t ON t.id = c.first_id
ORDER BY t.id;

-- sent_deliveries
SELECT d.outbox_id, d.aggregate_type, d.aggregate_id, o.operation, d.status, d.error_kind, d.finished_at, l.remote_id
FROM sync_delivery d FORCE INDEX (PRIMARY)
LEFT JOIN sync_outbox o ON o.id = d.outbox_id
LEFT JOIN sync_link l ON l.target = d.target AND l.aggregate_type = d.aggregate_type AND l.aggregate_id = d.aggregate_id
WHERE d.target = ? AND d.outbox_id > ? AND d.status IN ('done', 'failed') AND d.attempts > 0
    AND d.finished_at >= ?
ORDER BY d.outbox_id
LIMIT ?;

-- sent_deliveries, without since
SELECT d.outbox_id, d.aggregate_type, d.aggregate_id, o.operation, d.status, d.error_kind, d.finished_at, l.remote_id
FROM sync_delivery d FORCE INDEX (PRIMARY)
LEFT JOIN sync_outbox o ON o.id = d.outbox_id
LEFT JOIN sync_link l ON l.target = d.target AND l.aggregate_type = d.aggregate_type AND l.aggregate_id = d.aggregate_id
WHERE d.target = ? AND d.outbox_id > ? AND d.status IN ('done', 'failed') AND d.attempts > 0
ORDER BY d.outbox_id
LIMIT ?;

-- list_alerts
SELECT sync_alert.id, sync_alert.kind, sync_alert.target, sync_alert.subject, sync_alert.sentence, sync_alert.example,
    sync_alert.raised_at, sync_alert.ended_at, sync_alert.acknowledged_at, sync_alert.acknowledged_by
FROM sync_alert
WHERE sync_alert.ended_mark = ?
ORDER BY sync_alert.id DESC
LIMIT ?;

-- list_alerts, without ended_mark
SELECT sync_alert.id, sync_alert.kind, sync_alert.target, sync_alert.subject, sync_alert.sentence, sync_alert.example,
    sync_alert.raised_at, sync_alert.ended_at, sync_alert.acknowledged_at, sync_alert.acknowledged_by
FROM sync_alert
ORDER BY sync_alert.id DESC
LIMIT ?;

-- touch_alerts
UPDATE JSON_TABLE(?, '$[*]' COLUMNS(id BIGINT PATH '$.id', sentence VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.sentence', example VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.example')) AS j
STRAIGHT_JOIN sync_alert AS t
   ON t.id = j.id AND t.ended_mark = 0
SET t.seen_at = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED),
    t.sentence = j.sentence,
    t.example = j.example;

-- raise_alerts
INSERT INTO sync_alert (kind, target, subject, sentence, example, raised_at, seen_at)
SELECT j.kind, j.target, j.subject, j.sentence, j.example, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED), CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)
FROM JSON_TABLE(?, '$[*]' COLUMNS(kind VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.kind', target VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.target', subject VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.subject', sentence VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.sentence', example VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.example')) AS j
ON DUPLICATE KEY UPDATE seen_at = VALUES(seen_at);

-- end_alerts
UPDATE sync_alert SET ended_mark = id, ended_at = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) WHERE ended_mark = 0 AND seen_at < CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) - ?;

-- announce_ends
UPDATE sync_alert_send SET next_at = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED), failures = 0
WHERE next_at < 9223372036854775807 AND alert_id IN (SELECT id FROM sync_alert WHERE ended_mark > 0);

-- enter_alert_sends
INSERT INTO sync_alert_send (alert_id, channel, next_at)
SELECT sync_alert.id, ?, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)
FROM sync_alert
WHERE sync_alert.ended_mark = 0
    AND (SELECT COUNT(*) FROM sync_alert_send s WHERE s.alert_id = sync_alert.id AND s.channel = ?) = 0
ON DUPLICATE KEY UPDATE sends = sync_alert_send.sends;

-- due_alert_sends
SELECT sync_alert.id, sync_alert.kind, sync_alert.target, sync_alert.subject, sync_alert.sentence, sync_alert.example,
    sync_alert.raised_at, sync_alert.ended_at, sync_alert.acknowledged_at, sync_alert.acknowledged_by, sync_alert_send.channel, sync_alert_send.sends, sync_alert_send.failures,
    sync_alert_send.next_at, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)
FROM sync_alert_send JOIN sync_alert ON sync_alert.id = sync_alert_send.alert_id
WHERE sync_alert_send.next_at <= CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) AND sync_alert_send.claimed_until <= CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)
    AND sync_alert_send.channel IN (?, ?)
    AND (sync_alert.ended_mark > 0 OR sync_alert.acknowledged_at IS NULL)
ORDER BY sync_alert_send.next_at, sync_alert_send.alert_id
LIMIT ?;

-- claim_alert_send
UPDATE sync_alert_send
SET claimed_by = ?, claimed_until = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) + ?
WHERE alert_id = ? AND channel = ? AND next_at = ? AND claimed_until <= CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED);

-- settle_alert_send
UPDATE sync_alert_send
SET claimed_until = 0,
    sends = sends + ?,
    last_sent_at = CASE WHEN ? = 1 THEN CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) ELSE last_sent_at END,
    failures = ?,
    error = ?,
    next_at = CASE WHEN next_at = ? THEN ? ELSE next_at END
WHERE alert_id = ? AND channel = ? AND claimed_by = ? AND claimed_until > 0;

-- alert_sends
SELECT alert_id, channel, sends, last_sent_at, failures, error
FROM sync_alert_send
WHERE alert_id >= ?
ORDER BY alert_id, channel;

-- acknowledge_alerts
UPDATE sync_alert
SET acknowledged_at = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED), acknowledged_by = ?
WHERE ended_mark = 0 AND acknowledged_at IS NULL
    AND id = ?
    AND kind = ?
    AND target = ?;

-- acknowledge_alerts, without id, kind, target
UPDATE sync_alert
SET acknowledged_at = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED), acknowledged_by = ?
WHERE ended_mark = 0 AND acknowledged_at IS NULL;

-- purge_alert_sends
DELETE FROM sync_alert_send
WHERE alert_id IN (SELECT id FROM sync_alert WHERE ended_mark > 0 AND ended_at < ?);

-- purge_alerts
DELETE FROM sync_alert WHERE ended_mark > 0 AND ended_at < ?;

-- heartbeats
SELECT id, started_at, seen_at, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) - seen_at FROM sync_host ORDER BY id;

-- rolled_back_adapters
SELECT target, rejected_sha256 FROM sync_adapter_control WHERE rejected_sha256 IS NOT NULL ORDER BY target;

-- changes_after
SELECT o.aggregate_type, MAX(o.id), CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) - MAX(COALESCE(o.routed_at, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)))
FROM sync_outbox o
WHERE o.id > ?
GROUP BY o.aggregate_type;

-- failed_lately
SELECT COUNT(*)
FROM (SELECT d.finished_at FROM sync_delivery d FORCE INDEX (sync_delivery_due)
    WHERE d.target = ? AND d.next_attempt_at = 9223372036854775807
    LIMIT 10000) n
WHERE n.finished_at > CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) - 3600000;

-- import_progress
SELECT bytes_done, bytes_sha256, lines_done, created_count, updated_count, unchanged_count, repeated_count,
    rejected_count, incomplete_count, rejects_bytes, finished_at
FROM sync_import
WHERE id = ?;

-- delete_import
DELETE FROM sync_import WHERE id = ?;

-- begin_import
INSERT INTO sync_import
    (id, file, bytes_done, bytes_sha256, lines_done, created_count, updated_count, unchanged_count, repeated_count,
    rejected_count, rejects_bytes, started_at, updated_at)
VALUES (?, ?, 0, '', 0, 0, 0, 0, 0, 0, 0, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED), CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED));

-- advance_import
UPDATE sync_import
SET bytes_done = ?,
    bytes_sha256 = ?,
    lines_done = ?,
    created_count = ?,
    updated_count = ?,
    unchanged_count = ?,
    repeated_count = ?,
    rejected_count = ?,
    incomplete_count = ?,
    rejects_bytes = ?,
    updated_at = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED),
    finished_at = CASE WHEN ? = 1 THEN CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) END
WHERE id = ? AND bytes_done = ?;
