-- What SQLite is sent. Made of the templates: `UPDATE_EXPECT=1 cargo test -p host --lib store::sql` writes it anew.

-- claim_due
SELECT d.outbox_id, d.aggregate_type, d.aggregate_id, d.next_attempt_at, d.attempts,
    (SELECT MAX(s.outbox_id) FROM sync_delivery s
         WHERE s.target = d.target AND s.aggregate_type = d.aggregate_type AND s.aggregate_id = d.aggregate_id),
    (SELECT MIN(s.outbox_id) FROM sync_delivery s
         WHERE s.target = d.target AND s.aggregate_type = d.aggregate_type AND s.aggregate_id = d.aggregate_id
           AND s.outbox_id > COALESCE((SELECT l.delivered_outbox_id FROM sync_link l
                    WHERE l.target = d.target AND l.aggregate_type = d.aggregate_type AND l.aggregate_id = d.aggregate_id), 0)),
    (SELECT l.delivered_outbox_id FROM sync_link l
         WHERE l.target = d.target AND l.aggregate_type = d.aggregate_type AND l.aggregate_id = d.aggregate_id)
FROM sync_delivery d
WHERE d.target = ?
    AND d.status = 'pending'
    AND d.next_attempt_at >= ?
    AND d.next_attempt_at <= CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)
    AND (SELECT COUNT(*) FROM sync_in_flight w
         WHERE w.target = d.target AND w.aggregate_type = d.aggregate_type AND w.aggregate_id = d.aggregate_id) = 0
    AND (d.aggregate_type NOT IN (?, ?) OR NOT EXISTS (SELECT 1
                FROM sync_delivery e
                WHERE e.target = d.target AND e.aggregate_type = d.aggregate_type
                    AND e.aggregate_id = d.aggregate_id AND e.outbox_id < d.outbox_id AND e.status IN ('pending', 'processing', 'failed')))
ORDER BY d.next_attempt_at, d.outbox_id
LIMIT ?;

-- claim_due, without fifo_types
SELECT d.outbox_id, d.aggregate_type, d.aggregate_id, d.next_attempt_at, d.attempts,
    (SELECT MAX(s.outbox_id) FROM sync_delivery s
         WHERE s.target = d.target AND s.aggregate_type = d.aggregate_type AND s.aggregate_id = d.aggregate_id),
    (SELECT MIN(s.outbox_id) FROM sync_delivery s
         WHERE s.target = d.target AND s.aggregate_type = d.aggregate_type AND s.aggregate_id = d.aggregate_id
           AND s.outbox_id > COALESCE((SELECT l.delivered_outbox_id FROM sync_link l
                    WHERE l.target = d.target AND l.aggregate_type = d.aggregate_type AND l.aggregate_id = d.aggregate_id), 0)),
    (SELECT l.delivered_outbox_id FROM sync_link l
         WHERE l.target = d.target AND l.aggregate_type = d.aggregate_type AND l.aggregate_id = d.aggregate_id)
FROM sync_delivery d
WHERE d.target = ?
    AND d.status = 'pending'
    AND d.next_attempt_at >= ?
    AND d.next_attempt_at <= CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)
    AND (SELECT COUNT(*) FROM sync_in_flight w
         WHERE w.target = d.target AND w.aggregate_type = d.aggregate_type AND w.aggregate_id = d.aggregate_id) = 0
ORDER BY d.next_attempt_at, d.outbox_id
LIMIT ?;

-- mark_superseded
UPDATE sync_delivery AS t
SET status = 'superseded',
    next_attempt_at = NULL,
    finished_at = CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)
FROM (SELECT value->>'aggregate_type' AS aggregate_type, value->>'aggregate_id' AS aggregate_id, value->>'before_id' AS before_id FROM json_each(?)) AS j
WHERE t.target = ? AND t.aggregate_type = j.aggregate_type
                AND t.aggregate_id = j.aggregate_id AND t.outbox_id < j.before_id AND t.status IN ('pending', 'failed');

-- mark_processing
UPDATE sync_delivery
SET status = 'processing', next_attempt_at = NULL, lease_id = ?
WHERE target = ? AND outbox_id IN (SELECT value FROM json_each(?)) AND status = 'pending';

-- begin_in_flight
INSERT INTO sync_in_flight (target, aggregate_type, aggregate_id, outbox_id, lease_id)
SELECT target, aggregate_type, aggregate_id, outbox_id, ?
FROM sync_delivery
WHERE target = ? AND outbox_id IN (SELECT value FROM json_each(?));

-- trace_contexts
SELECT o.trace_context
FROM sync_outbox o
WHERE o.id IN (SELECT value FROM json_each(?)) AND LENGTH(o.trace_context) <= 255;

-- read_batch
SELECT o.id, o.aggregate_type, o.aggregate_id, o.operation, o.event_id,
    CASE WHEN octet_length(o.payload) <= 1048576 THEN o.payload END, octet_length(o.payload), o.created_at,
    l.remote_id, l.remote_version, l.fingerprint, l.delivered_outbox_id, l.merged_into, CASE WHEN octet_length(o.refs) <= 32768 THEN o.refs END, octet_length(o.refs)
FROM sync_outbox o
LEFT JOIN sync_link l ON l.target = ? AND l.aggregate_type = o.aggregate_type AND l.aggregate_id = o.aggregate_id
WHERE o.id IN (SELECT value FROM json_each(?));

-- direct_candidates
SELECT o.id, o.aggregate_type, o.aggregate_id,
    (SELECT MAX(s.outbox_id) FROM sync_delivery s
         WHERE s.target = ? AND s.aggregate_type = o.aggregate_type AND s.aggregate_id = o.aggregate_id),
    (SELECT l.delivered_outbox_id FROM sync_link l
         WHERE l.target = ? AND l.aggregate_type = o.aggregate_type AND l.aggregate_id = o.aggregate_id),
    (SELECT COUNT(*) FROM sync_in_flight w
         WHERE w.target = ? AND w.aggregate_type = o.aggregate_type AND w.aggregate_id = o.aggregate_id)
FROM sync_outbox o
WHERE o.id IN (SELECT value FROM json_each(?))
ORDER BY o.id;

-- begin_in_flight_direct
INSERT INTO sync_in_flight (target, aggregate_type, aggregate_id, outbox_id, lease_id)
SELECT ?, o.aggregate_type, o.aggregate_id, o.id, ?
FROM sync_outbox o
WHERE o.id IN (SELECT value FROM json_each(?));

-- insert_dependencies
INSERT INTO sync_dependency (target, outbox_id, referenced_type, referenced_id)
SELECT j.target, j.outbox_id, j.referenced_type, j.referenced_id
FROM (SELECT value->>'target' AS target, value->>'outbox_id' AS outbox_id, value->>'referenced_type' AS referenced_type, value->>'referenced_id' AS referenced_id FROM json_each(?)) AS j
WHERE (SELECT COUNT(*) FROM sync_dependency p
    WHERE p.target = j.target AND p.outbox_id = j.outbox_id
        AND p.referenced_type = j.referenced_type AND p.referenced_id = j.referenced_id) = 0;

-- hold_dependents
UPDATE sync_delivery AS t
SET next_attempt_at = 9223372036854775805
FROM (SELECT value->>'target' AS target, value->>'outbox_id' AS outbox_id FROM json_each(?)) AS j
WHERE t.target = j.target AND t.outbox_id = j.outbox_id AND t.status = 'pending' AND (SELECT COUNT(*) FROM sync_dependency p
     WHERE p.target = t.target AND p.outbox_id = t.outbox_id
       AND (SELECT COUNT(*) FROM sync_link l
         WHERE l.target = p.target AND l.aggregate_type = p.referenced_type AND l.aggregate_id = p.referenced_id) = 0) > 0;

-- waiting_twice
SELECT DISTINCT d.aggregate_type, d.aggregate_id, (SELECT MAX(s.outbox_id) FROM sync_delivery s
     WHERE s.target = d.target AND s.aggregate_type = d.aggregate_type AND s.aggregate_id = d.aggregate_id)
FROM sync_delivery d
WHERE d.target = ? AND d.outbox_id IN (SELECT value FROM json_each(?))
    AND d.status = 'pending' AND d.next_attempt_at = 9223372036854775805
    AND (SELECT MIN(s.outbox_id) FROM sync_delivery s
         WHERE s.target = d.target AND s.aggregate_type = d.aggregate_type AND s.aggregate_id = d.aggregate_id
           AND s.outbox_id > COALESCE((SELECT l.delivered_outbox_id FROM sync_link l
                    WHERE l.target = d.target AND l.aggregate_type = d.aggregate_type AND l.aggregate_id = d.aggregate_id), 0)) < (SELECT MAX(s.outbox_id) FROM sync_delivery s
                         WHERE s.target = d.target AND s.aggregate_type = d.aggregate_type AND s.aggregate_id = d.aggregate_id);

-- supersede_waiting
UPDATE sync_delivery AS t
SET status = 'superseded',
    next_attempt_at = NULL,
    finished_at = CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)
FROM (SELECT value->>'aggregate_type' AS aggregate_type, value->>'aggregate_id' AS aggregate_id, value->>'before_id' AS before_id FROM json_each(?)) AS j
WHERE t.target = ? AND t.aggregate_type = j.aggregate_type
                AND t.aggregate_id = j.aggregate_id AND t.outbox_id < j.before_id AND t.status = 'pending' AND t.next_attempt_at = 9223372036854775805;

-- read_routed
SELECT o.id, o.aggregate_type, o.aggregate_id, o.operation, o.event_id, o.created_at, CASE typeof(o.payload) WHEN 'text' THEN NULL ELSE typeof(o.payload) END, CASE WHEN octet_length(o.refs) <= 32768 THEN o.refs END, octet_length(o.refs)
FROM sync_outbox o
WHERE o.id IN (SELECT value FROM json_each(?))
ORDER BY o.id;

-- confirmed_dependents
SELECT DISTINCT d.outbox_id, d.aggregate_type, d.aggregate_id
FROM (SELECT value->>'aggregate_type' AS aggregate_type, value->>'aggregate_id' AS aggregate_id FROM json_each(?)) AS j
JOIN sync_dependency p ON p.target = ? AND p.referenced_type = j.aggregate_type AND p.referenced_id = j.aggregate_id
JOIN sync_delivery d ON d.target = p.target AND d.outbox_id = p.outbox_id
WHERE d.status = 'done' AND (SELECT l.delivered_outbox_id FROM sync_link l
     WHERE l.target = ? AND l.aggregate_type = d.aggregate_type AND l.aggregate_id = d.aggregate_id) = d.outbox_id
ORDER BY d.outbox_id;

-- links_of_keys
SELECT j.aggregate_type, j.aggregate_id, l.remote_id, l.merged_into
FROM (SELECT value->>'aggregate_type' AS aggregate_type, value->>'aggregate_id' AS aggregate_id FROM json_each(?)) AS j
JOIN sync_link l ON l.target = ? AND l.aggregate_type = j.aggregate_type AND l.aggregate_id = j.aggregate_id;

-- ready_dependents
SELECT DISTINCT d.outbox_id
FROM (SELECT value->>'aggregate_type' AS aggregate_type, value->>'aggregate_id' AS aggregate_id FROM json_each(?)) AS j
JOIN sync_dependency p ON p.target = ? AND p.referenced_type = j.aggregate_type AND p.referenced_id = j.aggregate_id
JOIN sync_delivery d ON d.target = p.target AND d.outbox_id = p.outbox_id
WHERE d.status = 'pending' AND d.next_attempt_at = 9223372036854775805 AND (SELECT COUNT(*) FROM sync_dependency p
     WHERE p.target = d.target AND p.outbox_id = d.outbox_id
       AND (SELECT COUNT(*) FROM sync_link l
         WHERE l.target = p.target AND l.aggregate_type = p.referenced_type AND l.aggregate_id = p.referenced_id) = 0) = 0
ORDER BY d.outbox_id
LIMIT 1000;

-- ready_among
SELECT d.outbox_id
FROM sync_delivery d
WHERE d.target = ? AND d.outbox_id IN (SELECT value FROM json_each(?))
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
    FROM sync_delivery d
    WHERE d.target = ? AND d.next_attempt_at = 9223372036854775805 AND d.outbox_id > ?
    ORDER BY d.outbox_id
    LIMIT 1000) n
ORDER BY n.outbox_id;

-- wake
UPDATE sync_delivery
SET next_attempt_at = CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)
WHERE target = ? AND outbox_id IN (SELECT value FROM json_each(?)) AND status = 'pending' AND next_attempt_at = 9223372036854775805;

-- read_references
SELECT p.outbox_id, p.referenced_type, p.referenced_id, l.remote_id, l.merged_into
FROM sync_dependency p
LEFT JOIN sync_link l ON l.target = p.target AND l.aggregate_type = p.referenced_type AND l.aggregate_id = p.referenced_id
WHERE p.target = ? AND p.outbox_id IN (SELECT value FROM json_each(?));

-- open_among
SELECT j.aggregate_type, j.aggregate_id
FROM (SELECT value->>'aggregate_type' AS aggregate_type, value->>'aggregate_id' AS aggregate_id FROM json_each(?)) AS j
WHERE (SELECT COUNT(*) FROM sync_in_flight w
     WHERE w.target = ? AND w.aggregate_type = j.aggregate_type AND w.aggregate_id = j.aggregate_id) > 0
    OR (SELECT COUNT(*) FROM sync_delivery d
        WHERE d.target = ? AND d.outbox_id = (SELECT MAX(s.outbox_id) FROM sync_delivery s
             WHERE s.target = ? AND s.aggregate_type = j.aggregate_type AND s.aggregate_id = j.aggregate_id) AND d.status = 'pending') > 0;

-- merging_elsewhere
SELECT w.aggregate_type, w.aggregate_id
FROM (SELECT value->>'aggregate_type' AS aggregate_type, value->>'aggregate_id' AS aggregate_id FROM json_each(?)) AS j
JOIN sync_in_flight w ON w.target = ? AND w.aggregate_type = j.aggregate_type AND w.aggregate_id = j.aggregate_id
JOIN sync_outbox o ON o.id = w.outbox_id
WHERE w.lease_id <> ? AND o.operation = 'merge';

-- lock_moves
SELECT t.value FROM sync_setting t WHERE t.name = 'users_table';

-- share_moves
SELECT t.value FROM sync_setting t WHERE t.name = 'users_table';

-- wait_again
UPDATE sync_delivery
SET status = 'pending', next_attempt_at = 9223372036854775805, lease_id = NULL
WHERE target = ? AND outbox_id IN (SELECT value FROM json_each(?)) AND lease_id = ? AND status = 'processing';

-- forget_dependencies
DELETE FROM sync_dependency WHERE target = ? AND referenced_type NOT IN (?, ?);

-- delete_dependencies
DELETE FROM sync_dependency WHERE target = ? AND outbox_id IN (SELECT value FROM json_each(?));

-- count_waiting
SELECT COUNT(*) FROM sync_delivery d
WHERE d.target = ? AND d.next_attempt_at = 9223372036854775805;

-- list_waiting
SELECT d.outbox_id, d.aggregate_type, d.aggregate_id, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) - d.created_at
FROM sync_delivery d
WHERE d.target = ? AND d.next_attempt_at = 9223372036854775805 AND d.outbox_id > ?
ORDER BY d.outbox_id
LIMIT ?;

-- newest_of_keys
SELECT j.aggregate_type, j.aggregate_id, d.outbox_id, d.status,
    CASE WHEN d.next_attempt_at = 9223372036854775805 THEN 1 ELSE 0 END
FROM (SELECT value->>'aggregate_type' AS aggregate_type, value->>'aggregate_id' AS aggregate_id FROM json_each(?)) AS j
JOIN sync_delivery d ON d.target = ? AND d.outbox_id = (SELECT MAX(s.outbox_id) FROM sync_delivery s
     WHERE s.target = ? AND s.aggregate_type = j.aggregate_type AND s.aggregate_id = j.aggregate_id);

-- begin_lease
INSERT INTO sync_lease (target, owner, acquired_at, lease_until)
VALUES (?, ?, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER), CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) + ?);

-- renew_lease
UPDATE sync_lease
SET lease_until = CASE WHEN lease_until > CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) + ? THEN lease_until ELSE CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) + ? END
WHERE lease_id = ? AND owner = ?;

-- hold_lease
UPDATE sync_lease SET lease_until = lease_until WHERE lease_id = ? AND owner = ?;

-- end_lease
DELETE FROM sync_lease WHERE lease_id = ? AND owner = ?;

-- expired_leases
SELECT target, owner, lease_id FROM sync_lease WHERE lease_until < CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER);

-- end_expired_lease
DELETE FROM sync_lease WHERE lease_id = ? AND owner = ? AND lease_until < CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER);

-- end_in_flight
DELETE FROM sync_in_flight WHERE lease_id = ? AND target = ?;

-- end_in_flight_of
DELETE FROM sync_in_flight WHERE lease_id = ? AND target = ? AND outbox_id IN (SELECT value FROM json_each(?));

-- enqueue_direct_in_flight
INSERT INTO sync_delivery (target, outbox_id, aggregate_type, aggregate_id, status, next_attempt_at, created_at)
SELECT w.target, w.outbox_id, w.aggregate_type, w.aggregate_id, 'pending',
    COALESCE(o.routed_at, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)), COALESCE(o.routed_at, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER))
FROM sync_in_flight w
LEFT JOIN sync_outbox o ON o.id = w.outbox_id
WHERE w.lease_id = ? AND w.target = ?
    AND (SELECT COUNT(*) FROM sync_delivery d WHERE d.target = w.target AND d.outbox_id = w.outbox_id) = 0;

-- requeue_in_flight
UPDATE sync_delivery AS t
SET status = CASE WHEN t.finished_at IS NULL THEN 'pending' ELSE 'failed' END,
    next_attempt_at = CASE WHEN t.finished_at IS NULL THEN t.created_at ELSE 9223372036854775807 END,
    lease_id = NULL
FROM (SELECT w.outbox_id FROM sync_in_flight w
            WHERE w.lease_id = ? AND w.target = ?) AS j
WHERE t.target = ? AND t.outbox_id = j.outbox_id AND t.lease_id = ? AND t.status = 'processing';

-- note_in_doubt
UPDATE sync_delivery AS t
SET attempts = j.attempts,
    error_kind = j.error_kind,
    error_message = j.error_message,
    last_attempt = ?,
    finished_at = CASE WHEN j.is_final = 1 THEN CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) ELSE NULL END
FROM (SELECT value->>'outbox_id' AS outbox_id, value->>'status' AS status, value->>'attempts' AS attempts, value->>'pause_ms' AS pause_ms, value->>'is_final' AS is_final, value->>'error_kind' AS error_kind, value->>'error_message' AS error_message FROM json_each(?)) AS j
WHERE t.target = ? AND t.outbox_id = j.outbox_id AND t.lease_id = ? AND t.status = 'processing';

-- insert_done
INSERT INTO sync_delivery
    (target, outbox_id, aggregate_type, aggregate_id, status, attempts, last_attempt, created_at, finished_at)
SELECT ?, o.id, o.aggregate_type, o.aggregate_id, 'done', ?, ?,
    COALESCE(o.routed_at, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)), CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)
FROM sync_outbox o
WHERE o.id IN (SELECT value FROM json_each(?));

-- insert_processing
INSERT INTO sync_delivery (target, outbox_id, aggregate_type, aggregate_id, status, lease_id, created_at)
SELECT ?, o.id, o.aggregate_type, o.aggregate_id, 'processing', ?, COALESCE(o.routed_at, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER))
FROM sync_outbox o
WHERE o.id IN (SELECT value FROM json_each(?));

-- mark_done
UPDATE sync_delivery
SET status = 'done', attempts = ?, lease_id = NULL, last_attempt = ?,
    error_kind = NULL, error_message = NULL, finished_at = CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)
WHERE target = ? AND outbox_id IN (SELECT value FROM json_each(?)) AND lease_id = ? AND status = 'processing';

-- update_each
UPDATE sync_delivery AS t
SET status = j.status,
    attempts = j.attempts,
    lease_id = NULL,
    last_attempt = ?,
    error_kind = j.error_kind,
    error_message = j.error_message,
    next_attempt_at = CASE WHEN j.status = 'failed' THEN 9223372036854775807 WHEN j.status = 'skipped' THEN 9223372036854775806
        WHEN j.is_final = 1 THEN NULL
        WHEN j.pause_ms > 0 THEN CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) + j.pause_ms ELSE t.created_at END,
    finished_at = CASE WHEN j.is_final = 1 THEN CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) ELSE NULL END
FROM (SELECT value->>'outbox_id' AS outbox_id, value->>'status' AS status, value->>'attempts' AS attempts, value->>'pause_ms' AS pause_ms, value->>'is_final' AS is_final, value->>'error_kind' AS error_kind, value->>'error_message' AS error_message FROM json_each(?)) AS j
WHERE t.target = ? AND t.outbox_id = j.outbox_id AND t.lease_id = ? AND t.status = 'processing';

-- put_links
INSERT INTO sync_link
    (target, aggregate_type, aggregate_id, remote_id, remote_version, fingerprint, merged_into, delivered_outbox_id,
    synced_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)), (?, ?, ?, ?, ?, ?, ?, ?, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER))
ON CONFLICT (target, aggregate_type, aggregate_id) DO UPDATE SET remote_id = excluded.remote_id,
        remote_version = excluded.remote_version, fingerprint = excluded.fingerprint, merged_into = excluded.merged_into,
        delivered_outbox_id = excluded.delivered_outbox_id, synced_at = excluded.synced_at;

-- write_back_openemr_id
UPDATE patient_cache AS t
SET openemr_patient_id = CAST(j.remote_id AS BIGINT)
FROM (SELECT value->>'patient_id' AS patient_id, value->>'remote_id' AS remote_id FROM json_each(?)) AS j
WHERE t.patient_id = j.patient_id AND (t.openemr_patient_id IS NULL OR t.openemr_patient_id <> CAST(j.remote_id AS BIGINT));

-- write_back_fhir_id
UPDATE patient_cache AS t
SET fhir_patient_id = j.remote_id
FROM (SELECT value->>'patient_id' AS patient_id, value->>'remote_id' AS remote_id FROM json_each(?)) AS j
WHERE t.patient_id = j.patient_id AND (t.fhir_patient_id IS NULL OR t.fhir_patient_id <> j.remote_id);

-- has_unrouted
SELECT id FROM sync_outbox WHERE routed_at IS NULL AND id > ? ORDER BY id LIMIT 1;

-- unrouted
SELECT o.id, o.aggregate_type, o.aggregate_id, o.operation, o.event_id, o.created_at, CASE typeof(o.payload) WHEN 'text' THEN NULL ELSE typeof(o.payload) END, CASE WHEN octet_length(o.refs) <= 32768 THEN o.refs END, octet_length(o.refs)
FROM sync_outbox o
WHERE o.routed_at IS NULL AND o.id > ?
ORDER BY o.id
LIMIT ?;

-- enqueue
INSERT INTO sync_delivery (target, outbox_id, aggregate_type, aggregate_id, status, next_attempt_at, created_at)
SELECT j.target, o.id, o.aggregate_type, o.aggregate_id, 'pending', CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER), CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)
FROM sync_outbox o
JOIN (SELECT value->>'target' AS target, value->>'aggregate_type' AS aggregate_type FROM json_each(?)) AS j ON j.aggregate_type = o.aggregate_type
WHERE o.id IN (SELECT value FROM json_each(?))
    AND (SELECT COUNT(*) FROM sync_delivery d WHERE d.target = j.target AND d.outbox_id = o.id) = 0
    AND (SELECT COUNT(*) FROM sync_in_flight w
         WHERE w.target = j.target AND w.aggregate_type = o.aggregate_type
           AND w.aggregate_id = o.aggregate_id AND w.outbox_id = o.id) = 0;

-- mark_routed
UPDATE sync_outbox
SET routed_at = CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)
WHERE id IN (SELECT value FROM json_each(?))
    AND COALESCE(routed_at, 0) = 0
    AND (SELECT COALESCE(SUM(t.route_revision), 0) FROM sync_target t) = ?;

-- insert_refused
INSERT INTO sync_delivery
    (target, outbox_id, aggregate_type, aggregate_id, status, next_attempt_at, error_kind, error_message,
    created_at, finished_at)
SELECT j.target, j.outbox_id, j.aggregate_type, j.aggregate_id, 'failed', 9223372036854775807, j.error_kind, j.error_message,
    CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER), CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)
FROM (SELECT value->>'target' AS target, value->>'outbox_id' AS outbox_id, value->>'aggregate_type' AS aggregate_type, value->>'aggregate_id' AS aggregate_id, value->>'error_kind' AS error_kind, value->>'error_message' AS error_message FROM json_each(?)) AS j
WHERE (SELECT COUNT(*) FROM sync_delivery d WHERE d.target = j.target AND d.outbox_id = j.outbox_id) = 0;

-- fail_refused
UPDATE sync_delivery AS t
SET status = 'failed',
    attempts = 0,
    lease_id = NULL,
    error_kind = j.error_kind,
    error_message = j.error_message,
    next_attempt_at = 9223372036854775807,
    finished_at = CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)
FROM (SELECT value->>'target' AS target, value->>'outbox_id' AS outbox_id, value->>'aggregate_type' AS aggregate_type, value->>'aggregate_id' AS aggregate_id, value->>'error_kind' AS error_kind, value->>'error_message' AS error_message FROM json_each(?)) AS j
WHERE t.target = ? AND t.outbox_id = j.outbox_id AND t.lease_id = ? AND t.status = 'processing';

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
SELECT CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) - CASE WHEN created_at BETWEEN 946684800000 AND 4102444799999 THEN created_at END FROM sync_outbox WHERE routed_at IS NULL AND id > ? ORDER BY id LIMIT 1;

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
SELECT j.event_id, j.aggregate_type, j.aggregate_id, j.operation, j.payload, j.refs, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)
FROM (SELECT value->>'position' AS position, value->>'event_id' AS event_id, value->>'aggregate_type' AS aggregate_type, value->>'aggregate_id' AS aggregate_id, value->>'operation' AS operation, value->>'payload' AS payload, value->>'refs' AS refs FROM json_each(?)) AS j
ORDER BY j.position;

-- append_block
INSERT INTO sync_outbox (event_id, aggregate_type, aggregate_id, operation, payload, refs, created_at)
VALUES (?, ?, ?, ?, ?, ?, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)), (?, ?, ?, ?, ?, ?, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER));

-- enqueue_for_target
INSERT INTO sync_delivery (target, outbox_id, aggregate_type, aggregate_id, status, next_attempt_at, created_at)
SELECT ?, o.id, o.aggregate_type, o.aggregate_id, 'pending', CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER), CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)
FROM (SELECT value->>'event_id' AS event_id FROM json_each(?)) AS j JOIN sync_outbox o ON o.event_id = j.event_id;

-- ids_of_events
SELECT o.id FROM (SELECT value->>'event_id' AS event_id FROM json_each(?)) AS j JOIN sync_outbox o ON o.event_id = j.event_id;

-- mark_events_routed
UPDATE sync_outbox SET routed_at = CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) WHERE event_id IN (SELECT j.event_id FROM (SELECT value->>'event_id' AS event_id FROM json_each(?)) AS j);

-- scan_changes
SELECT o.id, o.aggregate_type, o.aggregate_id, CASE WHEN created_at BETWEEN 946684800000 AND 4102444799999 THEN created_at END, o.routed_at
FROM sync_outbox o
WHERE o.id < ?
ORDER BY o.id DESC
LIMIT ?;

-- own_patients
SELECT t.patient_id
FROM patient_cache t
WHERE t.patient_id IN (SELECT j.patient_id FROM (SELECT value->>'patient_id' AS patient_id FROM json_each(?)) AS j);

-- known_patients
SELECT j.patient_id
FROM (SELECT value->>'patient_id' AS patient_id FROM json_each(?)) AS j
WHERE (SELECT COUNT(*) FROM sync_delivery d
        WHERE d.aggregate_id = j.patient_id AND d.aggregate_type = 'patient') > 0
    OR (SELECT COUNT(*) FROM sync_target t WHERE (SELECT COUNT(*) FROM sync_link l
            WHERE l.target = t.name AND l.aggregate_type = 'patient' AND l.aggregate_id = j.patient_id) > 0) > 0;

-- resend_candidates
SELECT o.id, o.operation,
    CASE WHEN o.routed_at IS NULL THEN 0 ELSE 1 END,
    (SELECT d.status FROM sync_delivery d WHERE d.target = ? AND d.outbox_id = o.id),
    (SELECT d.attempts FROM sync_delivery d WHERE d.target = ? AND d.outbox_id = o.id),
    (SELECT COUNT(*) FROM sync_in_flight w
         WHERE w.target = ? AND w.aggregate_type = o.aggregate_type
           AND w.aggregate_id = o.aggregate_id AND w.outbox_id = o.id),
    (SELECT l.delivered_outbox_id FROM sync_link l
         WHERE l.target = ? AND l.aggregate_type = o.aggregate_type AND l.aggregate_id = o.aggregate_id),
    (SELECT COUNT(*) FROM sync_target t WHERE (SELECT l.delivered_outbox_id FROM sync_link l
         WHERE l.target = t.name AND l.aggregate_type = o.aggregate_type AND l.aggregate_id = o.aggregate_id) > o.id)
FROM sync_outbox o
WHERE o.id IN (SELECT value FROM json_each(?))
ORDER BY o.id;

-- enqueue_again
INSERT INTO sync_delivery (target, outbox_id, aggregate_type, aggregate_id, status, next_attempt_at, created_at)
SELECT ?, o.id, o.aggregate_type, o.aggregate_id, 'pending', CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER), o.routed_at
FROM sync_outbox o
WHERE o.id IN (SELECT value FROM json_each(?))
    AND o.routed_at IS NOT NULL
    AND (SELECT COUNT(*) FROM sync_delivery d WHERE d.target = ? AND d.outbox_id = o.id) = 0
    AND (SELECT COUNT(*) FROM sync_in_flight w
         WHERE w.target = ? AND w.aggregate_type = o.aggregate_type
           AND w.aggregate_id = o.aggregate_id AND w.outbox_id = o.id) = 0;

-- resend
UPDATE sync_delivery
SET status = 'pending',
    attempts = 0,
    next_attempt_at = CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER),
    finished_at = NULL,
    error_kind = NULL,
    error_message = NULL
WHERE target = ? AND outbox_id IN (SELECT value FROM json_each(?)) AND status = ? AND status IN ('done', 'failed', 'superseded', 'skipped');

-- doubt_confirmed
UPDATE sync_link AS t
SET delivered_outbox_id = j.outbox_id - 1
FROM (SELECT value->>'aggregate_type' AS aggregate_type, value->>'aggregate_id' AS aggregate_id, value->>'outbox_id' AS outbox_id FROM json_each(?)) AS j
WHERE t.target = ?
    AND t.aggregate_type = j.aggregate_type
    AND t.aggregate_id = j.aggregate_id
    AND t.delivered_outbox_id = j.outbox_id;

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
UPDATE patient_cache SET updated_at = CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) WHERE patient_id = ?;

-- patients_by_id
SELECT t.patient_id, t.family_name, t.given_name, t.birth_date, t.gender, t.middle_name, t.native_family_name,
    t.native_given_name, t.title, t.suffix, t.marital_status, t.phone_home, t.phone_mobile, t.phone_work, t.email,
    t.street, t.street_line_2, t.city, t.state, t.postal_code, t.country, t.language, t.race, t.ethnicity,
    t.national_id, t.deceased_date, t.openemr_patient_id, t.fhir_patient_id
FROM patient_cache t
WHERE t.patient_id IN (SELECT j.patient_id FROM (SELECT value->>'patient_id' AS patient_id FROM json_each(?)) AS j)
ORDER BY t.patient_id;

-- lock_patients_by_id
SELECT t.patient_id, t.family_name, t.given_name, t.birth_date, t.gender, t.middle_name, t.native_family_name,
    t.native_given_name, t.title, t.suffix, t.marital_status, t.phone_home, t.phone_mobile, t.phone_work, t.email,
    t.street, t.street_line_2, t.city, t.state, t.postal_code, t.country, t.language, t.race, t.ethnicity,
    t.national_id, t.deceased_date, t.openemr_patient_id, t.fhir_patient_id
FROM patient_cache t
WHERE t.patient_id IN (SELECT j.patient_id FROM (SELECT value->>'patient_id' AS patient_id FROM json_each(?)) AS j)
ORDER BY t.patient_id;

-- hold_patients
SELECT t.patient_id
FROM patient_cache t
WHERE t.patient_id IN (SELECT j.patient_id FROM (SELECT value->>'patient_id' AS patient_id FROM json_each(?)) AS j)
ORDER BY t.patient_id;

-- put_patients
INSERT INTO patient_cache
    (patient_id, family_name, given_name, birth_date, gender, middle_name, native_family_name, native_given_name,
        title, suffix, marital_status, phone_home, phone_mobile, phone_work, email, street, street_line_2, city,
        state, postal_code, country, language, race, ethnicity, national_id, deceased_date, created_at, updated_at)
SELECT j.patient_id, j.family_name, j.given_name, j.birth_date, j.gender, j.middle_name, j.native_family_name,
    j.native_given_name, j.title, j.suffix, j.marital_status, j.phone_home, j.phone_mobile, j.phone_work,
    j.email, j.street, j.street_line_2, j.city, j.state, j.postal_code, j.country, j.language, j.race,
    j.ethnicity, j.national_id, j.deceased_date,
    CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER), CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)
FROM (SELECT value->>'patient_id' AS patient_id, value->>'family_name' AS family_name, value->>'given_name' AS given_name, value->>'birth_date' AS birth_date, value->>'gender' AS gender, value->>'middle_name' AS middle_name, value->>'native_family_name' AS native_family_name, value->>'native_given_name' AS native_given_name, value->>'title' AS title, value->>'suffix' AS suffix, value->>'marital_status' AS marital_status, value->>'phone_home' AS phone_home, value->>'phone_mobile' AS phone_mobile, value->>'phone_work' AS phone_work, value->>'email' AS email, value->>'street' AS street, value->>'street_line_2' AS street_line_2, value->>'city' AS city, value->>'state' AS state, value->>'postal_code' AS postal_code, value->>'country' AS country, value->>'language' AS language, value->>'race' AS race, value->>'ethnicity' AS ethnicity, value->>'national_id' AS national_id, value->>'deceased_date' AS deceased_date FROM json_each(?)) AS j
WHERE TRUE
ON CONFLICT (patient_id) DO UPDATE SET
        family_name = excluded.family_name, given_name = excluded.given_name, birth_date = excluded.birth_date,
        gender = excluded.gender, middle_name = excluded.middle_name, native_family_name = excluded.native_family_name,
        native_given_name = excluded.native_given_name, title = excluded.title, suffix = excluded.suffix,
        marital_status = excluded.marital_status, phone_home = excluded.phone_home,
        phone_mobile = excluded.phone_mobile, phone_work = excluded.phone_work, email = excluded.email,
        street = excluded.street, street_line_2 = excluded.street_line_2, city = excluded.city, state = excluded.state,
        postal_code = excluded.postal_code, country = excluded.country, language = excluded.language,
        race = excluded.race, ethnicity = excluded.ethnicity, national_id = excluded.national_id,
        deceased_date = excluded.deceased_date, updated_at = excluded.updated_at;

-- put_patient_block
INSERT INTO patient_cache
    (patient_id, family_name, given_name, birth_date, gender, middle_name, native_family_name, native_given_name,
        title, suffix, marital_status, phone_home, phone_mobile, phone_work, email, street, street_line_2, city,
        state, postal_code, country, language, race, ethnicity, national_id, deceased_date, created_at, updated_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER), CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)), (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER), CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER))
ON CONFLICT (patient_id) DO UPDATE SET
        family_name = excluded.family_name, given_name = excluded.given_name, birth_date = excluded.birth_date,
        gender = excluded.gender, middle_name = excluded.middle_name, native_family_name = excluded.native_family_name,
        native_given_name = excluded.native_given_name, title = excluded.title, suffix = excluded.suffix,
        marital_status = excluded.marital_status, phone_home = excluded.phone_home,
        phone_mobile = excluded.phone_mobile, phone_work = excluded.phone_work, email = excluded.email,
        street = excluded.street, street_line_2 = excluded.street_line_2, city = excluded.city, state = excluded.state,
        postal_code = excluded.postal_code, country = excluded.country, language = excluded.language,
        race = excluded.race, ethnicity = excluded.ethnicity, national_id = excluded.national_id,
        deceased_date = excluded.deceased_date, updated_at = excluded.updated_at;

-- delete_patient
DELETE FROM patient_cache WHERE patient_id = ?;

-- list_users
SELECT username, display_name, role, email, department, password_hash FROM "users" ORDER BY username;

-- put_user
INSERT INTO "users" (username, display_name, role, email, department, password_hash, created_at, updated_at)
VALUES (?, ?, ?, ?, ?, ?, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER), CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER))
ON CONFLICT (username) DO UPDATE SET display_name = excluded.display_name, role = excluded.role, email = excluded.email,
    department = excluded.department, password_hash = excluded.password_hash, updated_at = excluded.updated_at;

-- records_by_id
SELECT t.aggregate_type, t.aggregate_id, t.patient_id, t.payload, t.refs
FROM clinical_record t
WHERE t.aggregate_id IN (SELECT j.aggregate_id FROM (SELECT value->>'aggregate_id' AS aggregate_id FROM json_each(?)) AS j)
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
WHERE t.aggregate_id IN (SELECT j.aggregate_id FROM (SELECT value->>'aggregate_id' AS aggregate_id FROM json_each(?)) AS j);

-- lock_records_by_id
SELECT t.aggregate_type, t.aggregate_id, t.patient_id, t.payload, t.refs
FROM clinical_record t
WHERE t.aggregate_id IN (SELECT j.aggregate_id FROM (SELECT value->>'aggregate_id' AS aggregate_id FROM json_each(?)) AS j)
ORDER BY t.aggregate_id, t.aggregate_type;

-- lock_records_of_patients
SELECT t.aggregate_type, t.aggregate_id, t.patient_id, t.payload, t.refs
FROM clinical_record t
WHERE t.patient_id IN (SELECT j.aggregate_id FROM (SELECT value->>'aggregate_id' AS aggregate_id FROM json_each(?)) AS j)
ORDER BY t.aggregate_id, t.aggregate_type;

-- referring_records
SELECT j.encounter_id, t.aggregate_type, t.aggregate_id
FROM (SELECT value->>'patient_id' AS patient_id, value->>'encounter_id' AS encounter_id, value->>'part' AS part FROM json_each(?)) AS j
JOIN clinical_record t ON t.patient_id = j.patient_id
WHERE REPLACE(t.refs, j.part, '') <> t.refs
ORDER BY j.encounter_id, t.aggregate_id, t.aggregate_type
LIMIT ?;

-- put_records
INSERT INTO clinical_record (aggregate_type, aggregate_id, patient_id, payload, refs, created_at, updated_at)
VALUES (?, ?, ?, ?, ?, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER), CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)), (?, ?, ?, ?, ?, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER), CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER))
ON CONFLICT (aggregate_id, aggregate_type) DO UPDATE SET
        patient_id = excluded.patient_id, payload = excluded.payload, refs = excluded.refs, updated_at = excluded.updated_at;

-- delete_record
DELETE FROM clinical_record WHERE aggregate_id = ? AND aggregate_type = ?;

-- remember_deleted
INSERT INTO deleted_record (aggregate_type, aggregate_id, deleted_at)
VALUES (?, ?, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER))
ON CONFLICT (aggregate_id, aggregate_type) DO UPDATE SET deleted_at = excluded.deleted_at;

-- deleted_among
SELECT t.aggregate_type, t.aggregate_id
FROM deleted_record t
WHERE t.aggregate_id IN (SELECT j.aggregate_id FROM (SELECT value->>'aggregate_id' AS aggregate_id FROM json_each(?)) AS j)
    AND NOT EXISTS (SELECT 1 FROM patient_cache p
        WHERE t.aggregate_type = 'patient' AND p.patient_id = t.aggregate_id)
    AND NOT EXISTS (SELECT 1 FROM clinical_record r
        WHERE r.aggregate_id = t.aggregate_id AND r.aggregate_type = t.aggregate_type);

-- merges_among
SELECT t.patient_id, t.survivor_id
FROM patient_merge t
WHERE t.patient_id IN (SELECT j.patient_id FROM (SELECT value->>'patient_id' AS patient_id FROM json_each(?)) AS j)
ORDER BY t.patient_id;

-- merges_into
SELECT t.patient_id, t.survivor_id
FROM patient_merge t
WHERE t.survivor_id IN (SELECT j.patient_id FROM (SELECT value->>'patient_id' AS patient_id FROM json_each(?)) AS j)
ORDER BY t.patient_id;

-- insert_merge
INSERT INTO patient_merge (patient_id, survivor_id, reason, merged_by, merged_at)
VALUES (?, ?, ?, ?, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER));

-- delete_merge
DELETE FROM patient_merge WHERE patient_id = ?;

-- register_target
INSERT INTO sync_target (name, enabled, state, updated_at)
VALUES (?, ?, 'unknown', CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER))
ON CONFLICT (name) DO UPDATE SET enabled = excluded.enabled;

-- enable_target
INSERT INTO sync_target (name, enabled, state, route_revision, updated_at)
VALUES (?, 1, 'unknown', 1, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER))
ON CONFLICT (name) DO UPDATE SET route_revision = sync_target.route_revision + 1 - sync_target.enabled, enabled = 1;

-- disable_target
UPDATE sync_target
SET enabled = 0, route_revision = route_revision + 1, updated_at = CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)
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
    breaker_until = CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) + ?,
    error_kind = ?,
    error_message = ?,
    error_at = CASE WHEN ? = 1 THEN COALESCE(error_at, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)) END,
    summary = COALESCE(?, summary),
    updated_at = CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)
WHERE name = ?;

-- read_batch_max
SELECT batch_max FROM sync_target WHERE name = ?;

-- set_batch_max
UPDATE sync_target SET batch_max = ? WHERE name = ?;

-- read_learned
SELECT revision, learned FROM sync_learned WHERE target = ? AND basis = ?;

-- put_learned
INSERT INTO sync_learned (target, basis, revision, learned) VALUES (?, ?, 1, ?)
ON CONFLICT (target) DO UPDATE SET basis = excluded.basis, revision = sync_learned.revision + 1, learned = excluded.learned;

-- request_probe
UPDATE sync_target SET probe_requests = probe_requests + 1 WHERE name = ?;

-- set_paused
UPDATE sync_target
SET paused = ?, paused_until = ?, probe_requests = probe_requests + 1 - ?, updated_at = CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)
WHERE name = ?;

-- put_host
INSERT INTO sync_host (id, version, started_at, seen_at, targets)
VALUES (?, ?, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER), CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER), ?)
ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, targets = excluded.targets;

-- running_hosts
SELECT id, targets FROM sync_host WHERE seen_at > CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) - 15000 ORDER BY id;

-- forget_hosts
DELETE FROM sync_host WHERE seen_at < CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) - 86400000;

-- delete_host
DELETE FROM sync_host WHERE id = ?;

-- try_write
INSERT INTO sync_host (id, version, started_at, seen_at) VALUES (?, 'check', CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER), CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER));

-- add_counts
INSERT INTO sync_count (target, shard, made, done, superseded, dismissed, skipped)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (target, shard) DO UPDATE SET made = sync_count.made + excluded.made, done = sync_count.done + excluded.done,
    superseded = sync_count.superseded + excluded.superseded, dismissed = sync_count.dismissed + excluded.dismissed,
    skipped = sync_count.skipped + excluded.skipped;

-- uncounted
SELECT COUNT(*)
    + (SELECT COUNT(*) FROM sync_in_flight w WHERE w.target = ?
        AND (SELECT COUNT(*) FROM sync_delivery s WHERE s.target = w.target AND s.outbox_id = w.outbox_id) = 0)
    - CAST((SELECT COALESCE(SUM(c.made), 0) FROM sync_count c WHERE c.target = ?) AS DECIMAL(20))
FROM sync_delivery d
WHERE d.target = ?;

-- read_counts
SELECT c.target, c.made, c.done, c.superseded, c.dismissed, c.skipped,
    (SELECT COUNT(*) FROM sync_lease l JOIN sync_in_flight w ON w.lease_id = l.lease_id
         WHERE l.target = c.target AND w.target = c.target),
    (SELECT COUNT(*) FROM sync_delivery d
        WHERE d.target = c.target AND d.next_attempt_at = ?)
FROM (SELECT target, CAST(SUM(made) AS DECIMAL(20)) AS made, CAST(SUM(done) AS DECIMAL(20)) AS done,
        CAST(SUM(superseded) AS DECIMAL(20)) AS superseded, CAST(SUM(dismissed) AS DECIMAL(20)) AS dismissed,
        CAST(SUM(skipped) AS DECIMAL(20)) AS skipped
    FROM sync_count GROUP BY target) c;

-- count_open
SELECT COUNT(*) + (SELECT COUNT(*) FROM sync_lease l JOIN sync_in_flight w ON w.lease_id = l.lease_id
     WHERE l.target = ? AND w.target = ?)
FROM sync_delivery d
WHERE d.target = ? AND d.next_attempt_at < 9223372036854775806;

-- enabled_targets
SELECT name FROM sync_target WHERE enabled = 1;

-- has_due
SELECT CASE WHEN EXISTS (SELECT 1 FROM sync_delivery d
        WHERE d.target = ? AND d.next_attempt_at <= CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)
            AND (d.aggregate_type NOT IN (?, ?) OR NOT EXISTS (SELECT 1
                        FROM sync_delivery e
                        WHERE e.target = d.target AND e.aggregate_type = d.aggregate_type
                            AND e.aggregate_id = d.aggregate_id AND e.outbox_id < d.outbox_id AND e.status IN ('pending', 'processing', 'failed'))))
    OR (SELECT COUNT(*) FROM sync_lease l JOIN sync_in_flight w ON w.lease_id = l.lease_id
         WHERE l.target = ? AND w.target = ?) > 0 THEN 1 ELSE 0 END;

-- has_due, without fifo_types
SELECT CASE WHEN EXISTS (SELECT 1 FROM sync_delivery d
        WHERE d.target = ? AND d.next_attempt_at <= CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)
            )
    OR (SELECT COUNT(*) FROM sync_lease l JOIN sync_in_flight w ON w.lease_id = l.lease_id
         WHERE l.target = ? AND w.target = ?) > 0 THEN 1 ELSE 0 END;

-- target_status
SELECT name, enabled, CASE WHEN sync_target.paused = 1 AND (sync_target.paused_until IS NULL OR sync_target.paused_until > CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)) THEN 1 ELSE 0 END,
    CASE WHEN sync_target.paused = 1 AND (sync_target.paused_until IS NULL OR sync_target.paused_until > CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)) THEN paused_until END,
    state, breaker, breaker_until - CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER), adapter_name, adapter_version, adapter_sha256,
    summary, error_kind, error_message, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) - error_at
FROM sync_target;

-- oldest_pending
SELECT CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) - MIN(COALESCE(CASE WHEN created_at BETWEEN 946684800000 AND 4102444799999 THEN created_at END, routed_at))
FROM sync_outbox o
WHERE o.id = (SELECT MIN(n.outbox_id) FROM (SELECT d.outbox_id FROM sync_delivery d
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
FROM sync_delivery d
LEFT JOIN sync_link l ON l.target = d.target AND l.aggregate_type = d.aggregate_type AND l.aggregate_id = d.aggregate_id
WHERE d.target = ? AND d.aggregate_type = ? AND d.aggregate_id = ?
ORDER BY d.outbox_id DESC
LIMIT ?;

-- store_clock
SELECT CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER);

-- list_failed
SELECT t.target, t.aggregate_type, t.aggregate_id, t.outbox_id, t.error_kind, t.error_message, t.attempts, t.finished_at
FROM sync_target j JOIN sync_delivery t ON t.target = j.name AND t.next_attempt_at = 9223372036854775807 AND t.status = 'failed'
        AND j.name = ?
        AND t.aggregate_type = ? AND t.aggregate_id = ?
        AND t.error_kind = ?
        AND t.finished_at <= CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) - ?
        AND t.outbox_id = ?
ORDER BY t.outbox_id, t.target
LIMIT ?;

-- list_failed, without target, aggregate_type, aggregate_id, kind, age_ms, change_id
SELECT t.target, t.aggregate_type, t.aggregate_id, t.outbox_id, t.error_kind, t.error_message, t.attempts, t.finished_at
FROM sync_target j JOIN sync_delivery t ON t.target = j.name AND t.next_attempt_at = 9223372036854775807 AND t.status = 'failed'
ORDER BY t.outbox_id, t.target
LIMIT ?;

-- count_failed
SELECT COUNT(*)
FROM sync_target j JOIN sync_delivery t ON t.target = j.name AND t.next_attempt_at = 9223372036854775807 AND t.status = 'failed'
        AND j.name = ?
        AND t.aggregate_type = ? AND t.aggregate_id = ?
        AND t.error_kind = ?
        AND t.finished_at <= CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) - ?
        AND t.outbox_id = ? AND t.attempts > 0;

-- count_failed, without target, aggregate_type, aggregate_id, kind, age_ms, change_id
SELECT COUNT(*)
FROM sync_target j JOIN sync_delivery t ON t.target = j.name AND t.next_attempt_at = 9223372036854775807 AND t.status = 'failed'
         AND t.attempts > 0;

-- retry_failed
UPDATE sync_delivery AS t
SET status = 'pending',
    attempts = 0,
    next_attempt_at = CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER),
    finished_at = NULL
FROM sync_target AS j
WHERE t.target = j.name AND t.next_attempt_at = 9223372036854775807 AND t.status = 'failed'
        AND j.name = ?
        AND t.aggregate_type = ? AND t.aggregate_id = ?
        AND t.error_kind = ?
        AND t.finished_at <= CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) - ?
        AND t.outbox_id = ? AND t.attempts > 0;

-- retry_failed, without target, aggregate_type, aggregate_id, kind, age_ms, change_id
UPDATE sync_delivery AS t
SET status = 'pending',
    attempts = 0,
    next_attempt_at = CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER),
    finished_at = NULL
FROM sync_target AS j
WHERE t.target = j.name AND t.next_attempt_at = 9223372036854775807 AND t.status = 'failed'
         AND t.attempts > 0;

-- list_retriable
SELECT t.outbox_id
FROM sync_delivery t
WHERE t.target = ? AND t.next_attempt_at = 9223372036854775807 AND t.outbox_id >= ? AND t.status = 'failed' AND t.attempts > 0
        AND t.aggregate_type = ? AND t.aggregate_id = ?
        AND t.error_kind = ?
        AND t.finished_at <= CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) - ?
        AND t.outbox_id = ?
ORDER BY t.outbox_id
LIMIT ?;

-- list_retriable, without aggregate_type, aggregate_id, kind, age_ms, change_id
SELECT t.outbox_id
FROM sync_delivery t
WHERE t.target = ? AND t.next_attempt_at = 9223372036854775807 AND t.outbox_id >= ? AND t.status = 'failed' AND t.attempts > 0
ORDER BY t.outbox_id
LIMIT ?;

-- retry_these
UPDATE sync_delivery AS t
SET status = 'pending', attempts = 0, next_attempt_at = CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER), finished_at = NULL
FROM (SELECT value->>'target' AS target, value->>'outbox_id' AS outbox_id FROM json_each(?)) AS j
WHERE t.target = j.target AND t.outbox_id = j.outbox_id AND t.status = 'failed';

-- progress_of_these
SELECT t.status, CASE WHEN t.attempts > 0 THEN 1 ELSE 0 END,
    CASE WHEN t.next_attempt_at = 9223372036854775805 THEN 1 ELSE 0 END, COUNT(*)
FROM (SELECT value->>'target' AS target, value->>'outbox_id' AS outbox_id FROM json_each(?)) AS j
JOIN sync_delivery t ON t.target = j.target AND t.outbox_id = j.outbox_id
GROUP BY t.status, CASE WHEN t.attempts > 0 THEN 1 ELSE 0 END,
    CASE WHEN t.next_attempt_at = 9223372036854775805 THEN 1 ELSE 0 END;

-- list_skipped
SELECT t.target, t.aggregate_type, t.aggregate_id, t.outbox_id, t.error_kind, t.error_message, t.attempts, t.finished_at
FROM sync_target j JOIN sync_delivery t ON t.target = j.name AND t.next_attempt_at = 9223372036854775806 AND t.status = 'skipped'
        AND j.name = ?
        AND t.aggregate_type = ? AND t.aggregate_id = ?
        AND t.finished_at <= CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) - ?
        AND t.outbox_id = ?
ORDER BY t.outbox_id, t.target
LIMIT ?;

-- list_skipped, without target, aggregate_type, aggregate_id, age_ms, change_id
SELECT t.target, t.aggregate_type, t.aggregate_id, t.outbox_id, t.error_kind, t.error_message, t.attempts, t.finished_at
FROM sync_target j JOIN sync_delivery t ON t.target = j.name AND t.next_attempt_at = 9223372036854775806 AND t.status = 'skipped'
ORDER BY t.outbox_id, t.target
LIMIT ?;

-- count_skipped
SELECT COUNT(*)
FROM sync_target j JOIN sync_delivery t ON t.target = j.name AND t.next_attempt_at = 9223372036854775806 AND t.status = 'skipped'
        AND j.name = ?
        AND t.aggregate_type = ? AND t.aggregate_id = ?
        AND t.finished_at <= CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) - ?
        AND t.outbox_id = ?;

-- count_skipped, without target, aggregate_type, aggregate_id, age_ms, change_id
SELECT COUNT(*)
FROM sync_target j JOIN sync_delivery t ON t.target = j.name AND t.next_attempt_at = 9223372036854775806 AND t.status = 'skipped';

-- retry_skipped
UPDATE sync_delivery
SET status = 'pending',
    attempts = 0,
    next_attempt_at = CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER),
    finished_at = NULL,
    error_message = NULL
WHERE target = ?
    AND aggregate_type = ? AND aggregate_id = ?
    AND finished_at <= CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) - ?
    AND outbox_id = ?
    AND next_attempt_at = 9223372036854775806 AND status = 'skipped';

-- retry_skipped, without aggregate_type, aggregate_id, age_ms, change_id
UPDATE sync_delivery
SET status = 'pending',
    attempts = 0,
    next_attempt_at = CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER),
    finished_at = NULL,
    error_message = NULL
WHERE target = ?
    AND next_attempt_at = 9223372036854775806 AND status = 'skipped';

-- list_dismissed
SELECT t.target, t.aggregate_type, t.aggregate_id, t.outbox_id, t.error_kind, t.error_message, t.attempts, t.finished_at, d.reason, d.dismissed_by, d.dismissed_at
FROM sync_dismissal d
JOIN sync_delivery t ON t.target = d.target AND t.outbox_id = d.outbox_id
WHERE d.target = ?
ORDER BY d.dismissed_at DESC, t.outbox_id, t.target
LIMIT ?;

-- list_dismissed, without target
SELECT t.target, t.aggregate_type, t.aggregate_id, t.outbox_id, t.error_kind, t.error_message, t.attempts, t.finished_at, d.reason, d.dismissed_by, d.dismissed_at
FROM sync_dismissal d
JOIN sync_delivery t ON t.target = d.target AND t.outbox_id = d.outbox_id
ORDER BY d.dismissed_at DESC, t.outbox_id, t.target
LIMIT ?;

-- mark_dismissed
UPDATE sync_delivery AS t
SET status = 'dismissed',
    next_attempt_at = NULL,
    finished_at = CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)
FROM (SELECT value->>'target' AS target, value->>'outbox_id' AS outbox_id FROM json_each(?)) AS j
WHERE t.target = j.target AND t.outbox_id = j.outbox_id AND t.status = 'failed';

-- insert_dismissals
INSERT INTO sync_dismissal (target, outbox_id, reason, dismissed_by, dismissed_at)
SELECT j.target, j.outbox_id, ?, ?, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)
FROM (SELECT value->>'target' AS target, value->>'outbox_id' AS outbox_id FROM json_each(?)) AS j;

-- knows_patient
SELECT 1 FROM patient_cache WHERE patient_id = ?;

-- knows_delivery
SELECT 1 FROM sync_delivery d
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
        (SELECT COUNT(*) FROM sync_delivery w
            WHERE w.target = d.target AND w.aggregate_type = d.aggregate_type
                AND w.aggregate_id = d.aggregate_id AND w.outbox_id > d.outbox_id AND w.status = 'pending') AS waiting
    FROM sync_target t JOIN sync_delivery d
        ON d.target = t.name AND d.next_attempt_at = 9223372036854775807 AND d.aggregate_type IN (?, ?)) b
WHERE b.waiting > 0
ORDER BY b.outbox_id, b.target
LIMIT ?;

-- list_conflicts
SELECT d.target, d.aggregate_type, d.aggregate_id, d.outbox_id, NULLIF(l.remote_id, ''), d.error_message, d.finished_at
FROM sync_target t
JOIN sync_delivery d
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
JOIN sync_delivery d
    ON d.target = t.name AND d.next_attempt_at = 9223372036854775807 AND d.error_kind = ?
LEFT JOIN sync_link l ON l.target = d.target AND l.aggregate_type = d.aggregate_type AND l.aggregate_id = d.aggregate_id
WHERE 1 = 1
ORDER BY d.outbox_id, d.target
LIMIT ?;

-- retry_conflict
UPDATE sync_delivery
SET status = 'pending', attempts = 0, next_attempt_at = CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER), finished_at = NULL
WHERE target = ? AND aggregate_type = ? AND aggregate_id = ? AND status = 'failed' AND error_kind = ?;

-- keep_remote
UPDATE sync_delivery
SET status = 'superseded', next_attempt_at = NULL, finished_at = CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER),
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
VALUES (?, ?, ?, ?, NULL, NULL, 0, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER))
ON CONFLICT (target, aggregate_type, aggregate_id) DO UPDATE SET remote_id = excluded.remote_id,
    remote_version = excluded.remote_version, fingerprint = excluded.fingerprint, synced_at = excluded.synced_at;

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
DELETE FROM sync_delivery WHERE target = ? AND outbox_id IN (SELECT value FROM json_each(?)) AND status = ?;

-- delete_dismissals
DELETE FROM sync_dismissal WHERE target = ? AND outbox_id IN (SELECT value FROM json_each(?));

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
DELETE FROM sync_outbox WHERE routed_at IS NOT NULL AND id IN (SELECT value FROM json_each(?));

-- purge_notices
DELETE FROM sync_notice WHERE last_at < ?;

-- add_notices
INSERT INTO sync_notice (kind, subject, changes, last_change_id, last_at)
SELECT j.kind, j.subject, j.changes, j.last_change_id, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)
FROM (SELECT value->>'kind' AS kind, value->>'subject' AS subject, value->>'changes' AS changes, value->>'last_change_id' AS last_change_id FROM json_each(?)) AS j
WHERE TRUE
ON CONFLICT (kind, subject) DO UPDATE SET changes = sync_notice.changes + excluded.changes, last_change_id = excluded.last_change_id,
    last_at = excluded.last_at;

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
ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, doubted_at = excluded.doubted_at, step_ms = excluded.step_ms;

-- newest_time
SELECT routed_at FROM sync_outbox ORDER BY id DESC LIMIT 1;

-- shorten_leases
UPDATE sync_lease SET lease_until = CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) + 3600000 WHERE lease_until > CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) + 3600000 + ?;

-- target_names
SELECT name FROM sync_target;

-- make_due
UPDATE sync_delivery
SET next_attempt_at = CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)
WHERE target = ?
    AND next_attempt_at > CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) + ? AND next_attempt_at < 9223372036854775805
    AND status = 'pending';

-- newest_delivery
SELECT outbox_id, status, attempts
FROM sync_delivery
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
    CASE WHEN octet_length(o.payload) <= 1048576 THEN o.payload END, octet_length(o.payload), o.created_at,
    l.remote_id, l.remote_version, l.fingerprint, l.delivered_outbox_id, l.merged_into, CASE WHEN octet_length(o.refs) <= 32768 THEN o.refs END, octet_length(o.refs)
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
SELECT CASE WHEN t.paused = 1 AND (t.paused_until IS NULL OR t.paused_until > CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)) THEN 1 ELSE 0 END, t.adapter_sha256, w.rejected_sha256, w.reload_requests,
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
VALUES (?, ?, ?, ?, ?, ?, ?, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER));

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
ON CONFLICT (target) DO UPDATE SET rejected_sha256 = excluded.rejected_sha256;

-- reload_adapter
UPDATE sync_adapter_control SET rejected_sha256 = NULL WHERE target = ? AND rejected_sha256 = ?;

-- hold_adapter
INSERT INTO sync_adapter_hold (target, sha256, name, version, differences, held_at, accepted_at)
VALUES (?, ?, ?, ?, ?, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER), NULL)
ON CONFLICT (target) DO UPDATE SET sha256 = excluded.sha256, name = excluded.name, version = excluded.version,
    differences = excluded.differences, held_at = excluded.held_at, accepted_at = excluded.accepted_at;

-- read_adapter_hold
SELECT sha256, name, version, differences, held_at, accepted_at FROM sync_adapter_hold WHERE target = ?;

-- list_adapter_holds
SELECT target, sha256, name, version, differences, held_at, accepted_at
FROM sync_adapter_hold
WHERE accepted_at IS NULL;

-- accept_adapter
UPDATE sync_adapter_hold SET accepted_at = CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) WHERE target = ? AND sha256 = ? AND accepted_at IS NULL;

-- end_adapter_hold
DELETE FROM sync_adapter_hold WHERE target = ? AND accepted_at IS NULL;

-- request_reload
INSERT INTO sync_adapter_control (target, reload_requests) VALUES (?, 1)
ON CONFLICT (target) DO UPDATE SET reload_requests = sync_adapter_control.reload_requests + 1;

-- adapter_parts
SELECT part, parts, bytes FROM sync_adapter_part WHERE sha256 = ? ORDER BY part;

-- count_adapter_parts
SELECT COUNT(*) FROM sync_adapter_part WHERE sha256 = ?;

-- put_adapter_part
INSERT INTO sync_adapter_part (sha256, part, parts, bytes) VALUES (?, ?, ?, ?)
ON CONFLICT (sha256, part) DO UPDATE SET parts = excluded.parts;

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
FROM (SELECT value->>'aggregate_type' AS aggregate_type, value->>'aggregate_id' AS aggregate_id, value->>'remote_id' AS remote_id, value->>'delivered_outbox_id' AS delivered_outbox_id FROM json_each(?)) AS j
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
VALUES (?, 'current', ?, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER), ?, ?, '', 0, 0, 0, 0, 0, 0, 0);

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
FROM (SELECT value->>'aggregate_type' AS aggregate_type, value->>'aggregate_id' AS aggregate_id, value->>'remote_id' AS remote_id FROM json_each(?)) AS j
LEFT JOIN sync_link l ON l.target = ? AND l.aggregate_type = j.aggregate_type AND l.aggregate_id = j.aggregate_id
WHERE l.remote_id = j.remote_id
    OR (SELECT COUNT(*) FROM sync_in_flight w
         WHERE w.target = ? AND w.aggregate_type = j.aggregate_type AND w.aggregate_id = j.aggregate_id) > 0
    OR (SELECT COUNT(*) FROM sync_delivery d
        WHERE d.target = ? AND d.outbox_id = (SELECT MAX(s.outbox_id) FROM sync_delivery s
             WHERE s.target = ? AND s.aggregate_type = j.aggregate_type AND s.aggregate_id = j.aggregate_id) AND d.status = 'pending') > 0;

-- count_not_in_store
SELECT f.aggregate_type, f.state, COUNT(*)
FROM sync_verification_finding f
WHERE f.target = ? AND f.aggregate_type IN (?, ?)
GROUP BY f.aggregate_type, f.state;

-- delete_verification
DELETE FROM sync_verification WHERE target = ? AND run = ?;

-- finish_verification
UPDATE sync_verification SET run = 'last', finished_at = CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) WHERE target = ? AND run = 'current';

-- put_findings
INSERT INTO sync_verification_finding (target, aggregate_type, aggregate_id, state, found_at)
SELECT ?, j.aggregate_type, j.aggregate_id, j.state, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)
FROM (SELECT value->>'aggregate_type' AS aggregate_type, value->>'aggregate_id' AS aggregate_id, value->>'state' AS state FROM json_each(?)) AS j
WHERE TRUE
ON CONFLICT (target, aggregate_type, aggregate_id) DO UPDATE SET state = excluded.state, found_at = excluded.found_at;

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
VALUES (?, ?, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER))
ON CONFLICT (sha256) DO UPDATE SET seen_at = excluded.seen_at;

-- put_attempt
INSERT INTO sync_attempt
    (lease_id, target, host, adapter_name, adapter_version, adapter_sha256, interface_version, started_at, elapsed_ms,
    calls, changes, outcomes, effects_sha256, effect_counts, cause_kind, cause)
VALUES (?, ?, ?, ?, ?, ?, ?,
    CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) - ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (lease_id) DO UPDATE SET target = excluded.target, host = excluded.host, adapter_name = excluded.adapter_name,
    adapter_version = excluded.adapter_version, adapter_sha256 = excluded.adapter_sha256,
    interface_version = excluded.interface_version, started_at = excluded.started_at, elapsed_ms = excluded.elapsed_ms,
    calls = excluded.calls, changes = excluded.changes, outcomes = excluded.outcomes,
    effects_sha256 = excluded.effects_sha256, effect_counts = excluded.effect_counts, cause_kind = excluded.cause_kind,
    cause = excluded.cause;

-- knows_attempt
SELECT 1 FROM sync_attempt WHERE lease_id = ?;

-- read_attempts
SELECT a.lease_id, a.target, a.host, a.adapter_name, a.adapter_version, a.adapter_sha256, a.interface_version,
    a.started_at, a.elapsed_ms, a.calls, a.changes, a.outcomes, a.effect_counts, e.effects, a.cause_kind, a.cause
FROM sync_attempt a
LEFT JOIN sync_effects e ON e.sha256 = a.effects_sha256
WHERE a.lease_id IN (SELECT value FROM json_each(?))
ORDER BY a.lease_id;

-- recent_attempts
SELECT a.started_at, a.elapsed_ms, a.changes, a.outcomes, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) - a.started_at - a.elapsed_ms
FROM sync_attempt a
WHERE a.target = ? AND a.cause_kind IS NULL
ORDER BY a.lease_id DESC
LIMIT ?;

-- last_attempts
SELECT a.lease_id, a.started_at, a.elapsed_ms, a.calls, a.changes, a.outcomes, a.adapter_sha256, a.interface_version,
    a.cause_kind, a.cause
FROM sync_attempt a
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
DELETE FROM sync_attempt WHERE lease_id IN (SELECT value FROM json_each(?));

-- delete_effects
DELETE FROM sync_effects WHERE seen_at < ?;

-- change_key
SELECT o.id, o.aggregate_type, o.aggregate_id FROM sync_outbox o WHERE o.id = ?;

-- event_key
SELECT o.id, o.aggregate_type, o.aggregate_id FROM sync_outbox o WHERE o.event_id = ?;

-- trace_deliveries
SELECT d.target, d.aggregate_type, d.aggregate_id, d.outbox_id, d.status, d.attempts, d.next_attempt_at, d.last_attempt,
        d.error_kind, d.error_message, d.created_at, d.finished_at
FROM sync_delivery d
WHERE d.aggregate_id = ? AND d.aggregate_type = ?
    AND d.target = ?
    AND d.outbox_id = ?
ORDER BY d.outbox_id DESC, d.target
LIMIT ?;

-- trace_deliveries, without target, change_id
SELECT d.target, d.aggregate_type, d.aggregate_id, d.outbox_id, d.status, d.attempts, d.next_attempt_at, d.last_attempt,
        d.error_kind, d.error_message, d.created_at, d.finished_at
FROM sync_delivery d
WHERE d.aggregate_id = ? AND d.aggregate_type = ?
ORDER BY d.outbox_id DESC, d.target
LIMIT ?;

-- trace_in_flight
SELECT w.target, w.outbox_id, w.lease_id, l.owner, l.acquired_at, l.lease_until
FROM sync_target t
JOIN sync_in_flight w ON w.target = t.name AND w.aggregate_type = ? AND w.aggregate_id = ?
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
WHERE o.id IN (SELECT value FROM json_each(?))
ORDER BY o.id;

-- trace_links
SELECT l.target, NULLIF(l.remote_id, ''), l.remote_version, l.delivered_outbox_id, l.synced_at, l.merged_into
FROM sync_target t
JOIN sync_link l ON l.target = t.name AND l.aggregate_type = ? AND l.aggregate_id = ?
ORDER BY l.target;

-- trace_dependencies
SELECT r.target, r.outbox_id, r.referenced_type, r.referenced_id, l.synced_at
FROM sync_target t
CROSS JOIN sync_dependency r
LEFT JOIN sync_link l ON l.target = r.target AND l.aggregate_type = r.referenced_type AND l.aggregate_id = r.referenced_id
WHERE r.target = t.name AND r.outbox_id IN (SELECT value FROM json_each(?))
ORDER BY r.outbox_id, r.target, r.referenced_type, r.referenced_id;

-- trace_dismissals
SELECT d.target, d.outbox_id, d.reason, d.dismissed_by, d.dismissed_at
FROM sync_target t
CROSS JOIN sync_dismissal d
WHERE d.target = t.name AND d.outbox_id IN (SELECT value FROM json_each(?))
ORDER BY d.outbox_id, d.target;

-- trace_findings
SELECT f.target, f.state, f.found_at
FROM sync_target t
CROSS JOIN sync_verification_finding f
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
FROM sync_delivery d
WHERE d.target = ? AND d.outbox_id < ?
ORDER BY d.outbox_id DESC
LIMIT ?;

-- page_ended
SELECT d.target, d.aggregate_type, d.aggregate_id, d.outbox_id, d.status, d.attempts, d.next_attempt_at, d.last_attempt,
        d.error_kind, d.error_message, d.created_at, d.finished_at
FROM sync_delivery d
WHERE d.target = ? AND d.next_attempt_at = ?
        AND d.error_kind = ?
        AND d.finished_at >= ?
    AND d.outbox_id + 0 < ?
ORDER BY d.outbox_id + 0 DESC
LIMIT ?;

-- page_ended, without kind, since
SELECT d.target, d.aggregate_type, d.aggregate_id, d.outbox_id, d.status, d.attempts, d.next_attempt_at, d.last_attempt,
        d.error_kind, d.error_message, d.created_at, d.finished_at
FROM sync_delivery d
WHERE d.target = ? AND d.next_attempt_at = ?
    AND d.outbox_id + 0 < ?
ORDER BY d.outbox_id + 0 DESC
LIMIT ?;

-- count_causes
SELECT n.error_kind, n.error_message, COUNT(*)
FROM (SELECT d.error_kind, d.error_message
    FROM sync_delivery d
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
    FROM sync_delivery d
    WHERE d.target = ? AND d.next_attempt_at = ?
    LIMIT 100000) n
GROUP BY n.error_kind, n.error_message
ORDER BY 3 DESC, 1, 2
LIMIT ?;

-- queued_before
SELECT COUNT(*)
FROM (SELECT d.outbox_id
    FROM sync_delivery d
    WHERE d.target = ? AND d.next_attempt_at <= ?
        AND (d.next_attempt_at < ? OR d.outbox_id + 0 < ?)
    LIMIT 100001) n;

-- lock_audit_head
SELECT t.event_id, t.hash, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) FROM audit_head t WHERE t.only_row = 1;

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
FROM (SELECT value->>'id' AS id, value->>'recorded_at' AS recorded_at, value->>'command_id' AS command_id, value->>'os_user' AS os_user, value->>'os_uid' AS os_uid, value->>'login' AS login, value->>'acting_as' AS acting_as, value->>'machine' AS machine, value->>'remote' AS remote, value->>'action' AS action, value->>'target' AS target, value->>'aggregate_type' AS aggregate_type, value->>'aggregate_id' AS aggregate_id, value->>'other_id' AS other_id, value->>'item_count' AS item_count, value->>'detail' AS detail, value->>'reason' AS reason, value->>'outcome' AS outcome, value->>'previous_hash' AS previous_hash, value->>'hash' AS hash FROM json_each(?)) AS j;

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
FROM audit_event t
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
    FROM audit_event b
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
FROM sync_delivery d
LEFT JOIN sync_outbox o ON o.id = d.outbox_id
LEFT JOIN sync_link l ON l.target = d.target AND l.aggregate_type = d.aggregate_type AND l.aggregate_id = d.aggregate_id
WHERE d.target = ? AND d.outbox_id > ? AND d.status IN ('done', 'failed') AND d.attempts > 0
    AND d.finished_at >= ?
ORDER BY d.outbox_id
LIMIT ?;

-- sent_deliveries, without since
SELECT d.outbox_id, d.aggregate_type, d.aggregate_id, o.operation, d.status, d.error_kind, d.finished_at, l.remote_id
FROM sync_delivery d
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
UPDATE sync_alert AS t
SET seen_at = CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER), sentence = j.sentence, example = j.example
FROM (SELECT value->>'id' AS id, value->>'sentence' AS sentence, value->>'example' AS example FROM json_each(?)) AS j
WHERE t.id = j.id AND t.ended_mark = 0;

-- raise_alerts
INSERT INTO sync_alert (kind, target, subject, sentence, example, raised_at, seen_at)
SELECT j.kind, j.target, j.subject, j.sentence, j.example, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER), CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)
FROM (SELECT value->>'kind' AS kind, value->>'target' AS target, value->>'subject' AS subject, value->>'sentence' AS sentence, value->>'example' AS example FROM json_each(?)) AS j
WHERE TRUE
ON CONFLICT (ended_mark, kind, target, subject) DO UPDATE SET seen_at = excluded.seen_at;

-- end_alerts
UPDATE sync_alert SET ended_mark = id, ended_at = CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) WHERE ended_mark = 0 AND seen_at < CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) - ?;

-- announce_ends
UPDATE sync_alert_send SET next_at = CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER), failures = 0
WHERE next_at < 9223372036854775807 AND alert_id IN (SELECT id FROM sync_alert WHERE ended_mark > 0);

-- enter_alert_sends
INSERT INTO sync_alert_send (alert_id, channel, next_at)
SELECT sync_alert.id, ?, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)
FROM sync_alert
WHERE sync_alert.ended_mark = 0
    AND (SELECT COUNT(*) FROM sync_alert_send s WHERE s.alert_id = sync_alert.id AND s.channel = ?) = 0
ON CONFLICT (alert_id, channel) DO UPDATE SET sends = sync_alert_send.sends;

-- due_alert_sends
SELECT sync_alert.id, sync_alert.kind, sync_alert.target, sync_alert.subject, sync_alert.sentence, sync_alert.example,
    sync_alert.raised_at, sync_alert.ended_at, sync_alert.acknowledged_at, sync_alert.acknowledged_by, sync_alert_send.channel, sync_alert_send.sends, sync_alert_send.failures,
    sync_alert_send.next_at, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)
FROM sync_alert_send JOIN sync_alert ON sync_alert.id = sync_alert_send.alert_id
WHERE sync_alert_send.next_at <= CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) AND sync_alert_send.claimed_until <= CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)
    AND sync_alert_send.channel IN (?, ?)
    AND (sync_alert.ended_mark > 0 OR sync_alert.acknowledged_at IS NULL)
ORDER BY sync_alert_send.next_at, sync_alert_send.alert_id
LIMIT ?;

-- claim_alert_send
UPDATE sync_alert_send
SET claimed_by = ?, claimed_until = CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) + ?
WHERE alert_id = ? AND channel = ? AND next_at = ? AND claimed_until <= CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER);

-- settle_alert_send
UPDATE sync_alert_send
SET claimed_until = 0,
    sends = sends + ?,
    last_sent_at = CASE WHEN ? = 1 THEN CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) ELSE last_sent_at END,
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
SET acknowledged_at = CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER), acknowledged_by = ?
WHERE ended_mark = 0 AND acknowledged_at IS NULL
    AND id = ?
    AND kind = ?
    AND target = ?;

-- acknowledge_alerts, without id, kind, target
UPDATE sync_alert
SET acknowledged_at = CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER), acknowledged_by = ?
WHERE ended_mark = 0 AND acknowledged_at IS NULL;

-- purge_alert_sends
DELETE FROM sync_alert_send
WHERE alert_id IN (SELECT id FROM sync_alert WHERE ended_mark > 0 AND ended_at < ?);

-- purge_alerts
DELETE FROM sync_alert WHERE ended_mark > 0 AND ended_at < ?;

-- heartbeats
SELECT id, started_at, seen_at, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) - seen_at FROM sync_host ORDER BY id;

-- rolled_back_adapters
SELECT target, rejected_sha256 FROM sync_adapter_control WHERE rejected_sha256 IS NOT NULL ORDER BY target;

-- changes_after
SELECT o.aggregate_type, MAX(o.id), CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) - MAX(COALESCE(o.routed_at, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)))
FROM sync_outbox o
WHERE o.id > ?
GROUP BY o.aggregate_type;

-- failed_lately
SELECT COUNT(*)
FROM (SELECT d.finished_at FROM sync_delivery d
    WHERE d.target = ? AND d.next_attempt_at = 9223372036854775807
    LIMIT 10000) n
WHERE n.finished_at > CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) - 3600000;

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
VALUES (?, ?, 0, '', 0, 0, 0, 0, 0, 0, 0, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER), CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER));

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
    updated_at = CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER),
    finished_at = CASE WHEN ? = 1 THEN CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) END
WHERE id = ? AND bytes_done = ?;
