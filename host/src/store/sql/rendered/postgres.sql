-- What PostgreSQL is sent. Made of the templates: `UPDATE_EXPECT=1 cargo test -p host --lib store::sql` writes it anew.

-- claim_due
SELECT d.outbox_id, d.aggregate_type, d.aggregate_id, d.next_attempt_at, d.attempts,
    (SELECT CASE WHEN s.aggregate_id = d.aggregate_id AND s.aggregate_type = d.aggregate_type
            AND s.target = d.target THEN s.outbox_id END
         FROM (SELECT s.aggregate_id, s.aggregate_type, s.target, s.outbox_id FROM sync_delivery s
            WHERE (s.aggregate_id, s.aggregate_type, s.target, s.outbox_id)
                <= (d.aggregate_id, d.aggregate_type, d.target, 9223372036854775807)
            ORDER BY s.aggregate_id DESC, s.aggregate_type DESC, s.target DESC, s.outbox_id DESC LIMIT 1) s),
    (SELECT CASE WHEN s.aggregate_id = d.aggregate_id AND s.aggregate_type = d.aggregate_type
            AND s.target = d.target THEN s.outbox_id END
         FROM (SELECT s.aggregate_id, s.aggregate_type, s.target, s.outbox_id FROM sync_delivery s
            WHERE (s.aggregate_id, s.aggregate_type, s.target, s.outbox_id)
                > (d.aggregate_id, d.aggregate_type, d.target, COALESCE((SELECT l.delivered_outbox_id FROM sync_link l
                         WHERE l.target = d.target AND l.aggregate_type = d.aggregate_type AND l.aggregate_id = d.aggregate_id), 0))
            ORDER BY s.aggregate_id, s.aggregate_type, s.target, s.outbox_id LIMIT 1) s),
    (SELECT l.delivered_outbox_id FROM sync_link l
         WHERE l.target = d.target AND l.aggregate_type = d.aggregate_type AND l.aggregate_id = d.aggregate_id)
FROM sync_delivery d
WHERE d.target = $1
    AND d.status = 'pending'
    AND d.next_attempt_at >= CAST($2 AS BIGINT)
    AND d.next_attempt_at <= CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)
    AND (SELECT COUNT(*) FROM sync_in_flight w
         WHERE w.target = d.target AND w.aggregate_type = d.aggregate_type AND w.aggregate_id = d.aggregate_id) = 0
    AND (d.aggregate_type NOT IN ($3, $4) OR NOT EXISTS (SELECT 1
                FROM sync_delivery e
                WHERE e.target || '' = d.target AND e.aggregate_type = d.aggregate_type
                    AND e.aggregate_id = d.aggregate_id AND e.outbox_id + 0 < d.outbox_id AND e.status IN ('pending', 'processing', 'failed')))
ORDER BY d.next_attempt_at, d.outbox_id
LIMIT CAST($5 AS BIGINT)
FOR UPDATE SKIP LOCKED;

-- claim_due, without fifo_types
SELECT d.outbox_id, d.aggregate_type, d.aggregate_id, d.next_attempt_at, d.attempts,
    (SELECT CASE WHEN s.aggregate_id = d.aggregate_id AND s.aggregate_type = d.aggregate_type
            AND s.target = d.target THEN s.outbox_id END
         FROM (SELECT s.aggregate_id, s.aggregate_type, s.target, s.outbox_id FROM sync_delivery s
            WHERE (s.aggregate_id, s.aggregate_type, s.target, s.outbox_id)
                <= (d.aggregate_id, d.aggregate_type, d.target, 9223372036854775807)
            ORDER BY s.aggregate_id DESC, s.aggregate_type DESC, s.target DESC, s.outbox_id DESC LIMIT 1) s),
    (SELECT CASE WHEN s.aggregate_id = d.aggregate_id AND s.aggregate_type = d.aggregate_type
            AND s.target = d.target THEN s.outbox_id END
         FROM (SELECT s.aggregate_id, s.aggregate_type, s.target, s.outbox_id FROM sync_delivery s
            WHERE (s.aggregate_id, s.aggregate_type, s.target, s.outbox_id)
                > (d.aggregate_id, d.aggregate_type, d.target, COALESCE((SELECT l.delivered_outbox_id FROM sync_link l
                         WHERE l.target = d.target AND l.aggregate_type = d.aggregate_type AND l.aggregate_id = d.aggregate_id), 0))
            ORDER BY s.aggregate_id, s.aggregate_type, s.target, s.outbox_id LIMIT 1) s),
    (SELECT l.delivered_outbox_id FROM sync_link l
         WHERE l.target = d.target AND l.aggregate_type = d.aggregate_type AND l.aggregate_id = d.aggregate_id)
FROM sync_delivery d
WHERE d.target = $1
    AND d.status = 'pending'
    AND d.next_attempt_at >= CAST($2 AS BIGINT)
    AND d.next_attempt_at <= CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)
    AND (SELECT COUNT(*) FROM sync_in_flight w
         WHERE w.target = d.target AND w.aggregate_type = d.aggregate_type AND w.aggregate_id = d.aggregate_id) = 0
ORDER BY d.next_attempt_at, d.outbox_id
LIMIT CAST($3 AS BIGINT)
FOR UPDATE SKIP LOCKED;

-- mark_superseded
UPDATE sync_delivery AS t
SET status = 'superseded',
    next_attempt_at = NULL,
    finished_at = CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)
FROM (SELECT t.place, j.* FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(aggregate_type TEXT, aggregate_id TEXT, before_id BIGINT)
     CROSS JOIN LATERAL (SELECT t.ctid AS place FROM sync_delivery AS t
        WHERE t.target || '' = $2 AND t.aggregate_type = j.aggregate_type
                    AND t.aggregate_id = j.aggregate_id AND t.outbox_id + 0 < j.before_id AND t.status IN ('pending', 'failed') FOR UPDATE SKIP LOCKED OFFSET 0) AS t) AS j
WHERE t.ctid = j.place;

-- mark_processing
UPDATE sync_delivery
SET status = 'processing', next_attempt_at = NULL, lease_id = CAST($1 AS BIGINT)
WHERE ctid = ANY(ARRAY(SELECT j.place FROM (SELECT t.place, j.* FROM (SELECT CAST(value AS BIGINT) AS id FROM jsonb_array_elements_text(CAST($2 AS JSONB))) AS j
         CROSS JOIN LATERAL (SELECT t.ctid AS place FROM sync_delivery AS t
            WHERE t.target = $3 AND t.outbox_id = j.id OFFSET 0) AS t) AS j)) AND status = 'pending';

-- begin_in_flight
INSERT INTO sync_in_flight (target, aggregate_type, aggregate_id, outbox_id, lease_id)
SELECT target, aggregate_type, aggregate_id, outbox_id, CAST($1 AS BIGINT)
FROM sync_delivery
WHERE ctid = ANY(ARRAY(SELECT j.place FROM (SELECT t.place, j.* FROM (SELECT CAST(value AS BIGINT) AS id FROM jsonb_array_elements_text(CAST($2 AS JSONB))) AS j
         CROSS JOIN LATERAL (SELECT t.ctid AS place FROM sync_delivery AS t
            WHERE t.target = $3 AND t.outbox_id = j.id OFFSET 0) AS t) AS j));

-- trace_contexts
SELECT o.trace_context
FROM sync_outbox o
WHERE o.id = ANY(ARRAY(SELECT CAST(value AS BIGINT) FROM jsonb_array_elements_text(CAST($1 AS JSONB)))) AND LENGTH(o.trace_context) <= 255;

-- read_batch
SELECT o.id, o.aggregate_type, o.aggregate_id, o.operation, o.event_id,
    CASE WHEN octet_length(o.payload) <= 1048576 THEN o.payload END, octet_length(o.payload), o.created_at,
    l.remote_id, l.remote_version, l.fingerprint, l.delivered_outbox_id, l.merged_into, CASE WHEN octet_length(o.refs) <= 32768 THEN o.refs END, octet_length(o.refs)
FROM sync_outbox o
LEFT JOIN LATERAL (SELECT l.remote_id, l.remote_version, l.fingerprint, l.delivered_outbox_id, l.merged_into FROM sync_link l
        WHERE l.target = $1 AND l.aggregate_type = o.aggregate_type AND l.aggregate_id = o.aggregate_id OFFSET 0) l ON TRUE
WHERE o.id = ANY(ARRAY(SELECT CAST(value AS BIGINT) FROM jsonb_array_elements_text(CAST($2 AS JSONB))));

-- direct_candidates
SELECT o.id, o.aggregate_type, o.aggregate_id,
    (SELECT CASE WHEN s.aggregate_id = o.aggregate_id AND s.aggregate_type = o.aggregate_type
            AND s.target = $1 THEN s.outbox_id END
         FROM (SELECT s.aggregate_id, s.aggregate_type, s.target, s.outbox_id FROM sync_delivery s
            WHERE (s.aggregate_id, s.aggregate_type, s.target, s.outbox_id)
                <= (o.aggregate_id, o.aggregate_type, $2, 9223372036854775807)
            ORDER BY s.aggregate_id DESC, s.aggregate_type DESC, s.target DESC, s.outbox_id DESC LIMIT 1) s),
    (SELECT l.delivered_outbox_id FROM sync_link l
         WHERE l.target = $3 AND l.aggregate_type = o.aggregate_type AND l.aggregate_id = o.aggregate_id),
    (SELECT COUNT(*) FROM sync_in_flight w
         WHERE w.target = $4 AND w.aggregate_type = o.aggregate_type AND w.aggregate_id = o.aggregate_id)
FROM sync_outbox o
WHERE o.id = ANY(ARRAY(SELECT CAST(value AS BIGINT) FROM jsonb_array_elements_text(CAST($5 AS JSONB))))
ORDER BY o.id;

-- begin_in_flight_direct
INSERT INTO sync_in_flight (target, aggregate_type, aggregate_id, outbox_id, lease_id)
SELECT $1, o.aggregate_type, o.aggregate_id, o.id, CAST($2 AS BIGINT)
FROM sync_outbox o
WHERE o.id = ANY(ARRAY(SELECT CAST(value AS BIGINT) FROM jsonb_array_elements_text(CAST($3 AS JSONB))));

-- insert_dependencies
INSERT INTO sync_dependency (target, outbox_id, referenced_type, referenced_id)
SELECT j.target, j.outbox_id, j.referenced_type, j.referenced_id
FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(target TEXT, outbox_id BIGINT, referenced_type TEXT, referenced_id TEXT)
WHERE (SELECT COUNT(*) FROM sync_dependency p
    WHERE p.target = j.target AND p.outbox_id = j.outbox_id
        AND p.referenced_type = j.referenced_type AND p.referenced_id = j.referenced_id) = 0;

-- hold_dependents
UPDATE sync_delivery AS t
SET next_attempt_at = 9223372036854775805
FROM (SELECT t.place, j.* FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(target TEXT, outbox_id BIGINT)
     CROSS JOIN LATERAL (SELECT t.ctid AS place FROM sync_delivery AS t
        WHERE t.target = j.target AND t.outbox_id = j.outbox_id OFFSET 0) AS t) AS j
WHERE t.ctid = j.place AND t.status = 'pending' AND (SELECT COUNT(*) FROM sync_dependency p
     WHERE p.target = t.target AND p.outbox_id = t.outbox_id
       AND (SELECT COUNT(*) FROM sync_link l
         WHERE l.target = p.target AND l.aggregate_type = p.referenced_type AND l.aggregate_id = p.referenced_id) = 0) > 0;

-- waiting_twice
SELECT DISTINCT d.aggregate_type, d.aggregate_id, (SELECT CASE WHEN s.aggregate_id = d.aggregate_id AND s.aggregate_type = d.aggregate_type
        AND s.target = d.target THEN s.outbox_id END
     FROM (SELECT s.aggregate_id, s.aggregate_type, s.target, s.outbox_id FROM sync_delivery s
        WHERE (s.aggregate_id, s.aggregate_type, s.target, s.outbox_id)
            <= (d.aggregate_id, d.aggregate_type, d.target, 9223372036854775807)
        ORDER BY s.aggregate_id DESC, s.aggregate_type DESC, s.target DESC, s.outbox_id DESC LIMIT 1) s)
FROM sync_delivery d
WHERE d.target = $1 AND d.outbox_id = ANY(ARRAY(SELECT CAST(value AS BIGINT) FROM jsonb_array_elements_text(CAST($2 AS JSONB))))
    AND d.status = 'pending' AND d.next_attempt_at = 9223372036854775805
    AND (SELECT CASE WHEN s.aggregate_id = d.aggregate_id AND s.aggregate_type = d.aggregate_type
            AND s.target = d.target THEN s.outbox_id END
         FROM (SELECT s.aggregate_id, s.aggregate_type, s.target, s.outbox_id FROM sync_delivery s
            WHERE (s.aggregate_id, s.aggregate_type, s.target, s.outbox_id)
                > (d.aggregate_id, d.aggregate_type, d.target, COALESCE((SELECT l.delivered_outbox_id FROM sync_link l
                         WHERE l.target = d.target AND l.aggregate_type = d.aggregate_type AND l.aggregate_id = d.aggregate_id), 0))
            ORDER BY s.aggregate_id, s.aggregate_type, s.target, s.outbox_id LIMIT 1) s) < (SELECT CASE WHEN s.aggregate_id = d.aggregate_id AND s.aggregate_type = d.aggregate_type
                    AND s.target = d.target THEN s.outbox_id END
                 FROM (SELECT s.aggregate_id, s.aggregate_type, s.target, s.outbox_id FROM sync_delivery s
                    WHERE (s.aggregate_id, s.aggregate_type, s.target, s.outbox_id)
                        <= (d.aggregate_id, d.aggregate_type, d.target, 9223372036854775807)
                    ORDER BY s.aggregate_id DESC, s.aggregate_type DESC, s.target DESC, s.outbox_id DESC LIMIT 1) s);

-- supersede_waiting
UPDATE sync_delivery AS t
SET status = 'superseded',
    next_attempt_at = NULL,
    finished_at = CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)
FROM (SELECT t.place, j.* FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(aggregate_type TEXT, aggregate_id TEXT, before_id BIGINT)
     CROSS JOIN LATERAL (SELECT t.ctid AS place FROM sync_delivery AS t
        WHERE t.target || '' = $2 AND t.aggregate_type = j.aggregate_type
                    AND t.aggregate_id = j.aggregate_id AND t.outbox_id + 0 < j.before_id AND t.status = 'pending' AND t.next_attempt_at = 9223372036854775805 FOR UPDATE SKIP LOCKED OFFSET 0) AS t) AS j
WHERE t.ctid = j.place;

-- read_routed
SELECT o.id, o.aggregate_type, o.aggregate_id, o.operation, o.event_id, o.created_at, NULL, CASE WHEN octet_length(o.refs) <= 32768 THEN o.refs END, octet_length(o.refs)
FROM sync_outbox o
WHERE o.id = ANY(ARRAY(SELECT CAST(value AS BIGINT) FROM jsonb_array_elements_text(CAST($1 AS JSONB))))
ORDER BY o.id;

-- confirmed_dependents
SELECT DISTINCT d.outbox_id, d.aggregate_type, d.aggregate_id
FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(aggregate_type TEXT, aggregate_id TEXT)
CROSS JOIN LATERAL (SELECT p.target, p.outbox_id FROM sync_dependency p
        WHERE p.target = $2 AND p.referenced_type = j.aggregate_type AND p.referenced_id = j.aggregate_id OFFSET 0) p
CROSS JOIN LATERAL (SELECT d.target, d.outbox_id, d.aggregate_type, d.aggregate_id, d.status FROM sync_delivery d
        WHERE d.target = p.target AND d.outbox_id = p.outbox_id OFFSET 0) d
WHERE d.status = 'done' AND (SELECT l.delivered_outbox_id FROM sync_link l
     WHERE l.target = $3 AND l.aggregate_type = d.aggregate_type AND l.aggregate_id = d.aggregate_id) = d.outbox_id
ORDER BY d.outbox_id;

-- links_of_keys
SELECT j.aggregate_type, j.aggregate_id, l.remote_id, l.merged_into
FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(aggregate_type TEXT, aggregate_id TEXT)
JOIN sync_link l ON l.target = $2 AND l.aggregate_type = j.aggregate_type AND l.aggregate_id = j.aggregate_id;

-- ready_dependents
SELECT DISTINCT d.outbox_id
FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(aggregate_type TEXT, aggregate_id TEXT)
CROSS JOIN LATERAL (SELECT p.target, p.outbox_id FROM sync_dependency p
        WHERE p.target = $2 AND p.referenced_type = j.aggregate_type AND p.referenced_id = j.aggregate_id OFFSET 0) p
CROSS JOIN LATERAL (SELECT d.target, d.outbox_id, d.status, d.next_attempt_at FROM sync_delivery d
        WHERE d.target = p.target AND d.outbox_id = p.outbox_id OFFSET 0) d
WHERE d.status = 'pending' AND d.next_attempt_at = 9223372036854775805 AND (SELECT COUNT(*) FROM sync_dependency p
     WHERE p.target = d.target AND p.outbox_id = d.outbox_id
       AND (SELECT COUNT(*) FROM sync_link l
         WHERE l.target = p.target AND l.aggregate_type = p.referenced_type AND l.aggregate_id = p.referenced_id) = 0) = 0
ORDER BY d.outbox_id
LIMIT 1000;

-- ready_among
SELECT d.outbox_id
FROM sync_delivery d
WHERE d.target = $1 AND d.outbox_id = ANY(ARRAY(SELECT CAST(value AS BIGINT) FROM jsonb_array_elements_text(CAST($2 AS JSONB))))
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
    WHERE d.target = $1 AND d.next_attempt_at = 9223372036854775805 AND d.outbox_id > CAST($2 AS BIGINT)
    ORDER BY d.outbox_id
    LIMIT 1000) n
ORDER BY n.outbox_id;

-- wake
UPDATE sync_delivery
SET next_attempt_at = CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)
WHERE ctid = ANY(ARRAY(SELECT j.place FROM (SELECT t.place, j.* FROM (SELECT CAST(value AS BIGINT) AS id FROM jsonb_array_elements_text(CAST($1 AS JSONB))) AS j
         CROSS JOIN LATERAL (SELECT t.ctid AS place FROM sync_delivery AS t
            WHERE t.target = $2 AND t.outbox_id = j.id OFFSET 0) AS t) AS j)) AND status = 'pending' AND next_attempt_at = 9223372036854775805;

-- read_references
SELECT p.outbox_id, p.referenced_type, p.referenced_id, l.remote_id, l.merged_into
FROM sync_dependency p
LEFT JOIN LATERAL (SELECT l.remote_id, l.merged_into FROM sync_link l
        WHERE l.target = p.target AND l.aggregate_type = p.referenced_type AND l.aggregate_id = p.referenced_id OFFSET 0) l ON TRUE
WHERE p.target = $1 AND p.outbox_id = ANY(ARRAY(SELECT CAST(value AS BIGINT) FROM jsonb_array_elements_text(CAST($2 AS JSONB))));

-- open_among
SELECT j.aggregate_type, j.aggregate_id
FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(aggregate_type TEXT, aggregate_id TEXT)
WHERE (SELECT COUNT(*) FROM sync_in_flight w
     WHERE w.target = $2 AND w.aggregate_type = j.aggregate_type AND w.aggregate_id = j.aggregate_id) > 0
    OR (SELECT COUNT(*) FROM sync_delivery d
        WHERE d.target = $3 AND d.outbox_id = (SELECT CASE WHEN s.aggregate_id = j.aggregate_id AND s.aggregate_type = j.aggregate_type
                AND s.target = $4 THEN s.outbox_id END
             FROM (SELECT s.aggregate_id, s.aggregate_type, s.target, s.outbox_id FROM sync_delivery s
                WHERE (s.aggregate_id, s.aggregate_type, s.target, s.outbox_id)
                    <= (j.aggregate_id, j.aggregate_type, $5, 9223372036854775807)
                ORDER BY s.aggregate_id DESC, s.aggregate_type DESC, s.target DESC, s.outbox_id DESC LIMIT 1) s) AND d.status = 'pending') > 0;

-- merging_elsewhere
SELECT w.aggregate_type, w.aggregate_id
FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(aggregate_type TEXT, aggregate_id TEXT)
CROSS JOIN LATERAL (SELECT w.aggregate_type, w.aggregate_id, w.outbox_id, w.lease_id FROM sync_in_flight w
        WHERE w.target = $2 AND w.aggregate_type = j.aggregate_type AND w.aggregate_id = j.aggregate_id OFFSET 0) w
CROSS JOIN LATERAL (SELECT o.operation FROM sync_outbox o
        WHERE o.id = w.outbox_id OFFSET 0) o
WHERE w.lease_id <> CAST($3 AS BIGINT) AND o.operation = 'merge';

-- lock_moves
SELECT t.value FROM sync_setting t WHERE t.name = 'users_table'
FOR UPDATE;

-- share_moves
SELECT t.value FROM sync_setting t WHERE t.name = 'users_table'
FOR KEY SHARE;

-- wait_again
UPDATE sync_delivery
SET status = 'pending', next_attempt_at = 9223372036854775805, lease_id = NULL
WHERE ctid = ANY(ARRAY(SELECT j.place FROM (SELECT t.place, j.* FROM (SELECT CAST(value AS BIGINT) AS id FROM jsonb_array_elements_text(CAST($1 AS JSONB))) AS j
         CROSS JOIN LATERAL (SELECT t.ctid AS place FROM sync_delivery AS t
            WHERE t.target = $2 AND t.outbox_id = j.id OFFSET 0) AS t) AS j)) AND lease_id = CAST($3 AS BIGINT) AND status = 'processing';

-- forget_dependencies
DELETE FROM sync_dependency WHERE target = $1 AND referenced_type NOT IN ($2, $3);

-- delete_dependencies
DELETE FROM sync_dependency WHERE target = $1 AND outbox_id = ANY(ARRAY(SELECT CAST(value AS BIGINT) FROM jsonb_array_elements_text(CAST($2 AS JSONB))));

-- count_waiting
SELECT COUNT(*) FROM sync_delivery d
WHERE d.target = $1 AND d.next_attempt_at = 9223372036854775805;

-- list_waiting
SELECT d.outbox_id, d.aggregate_type, d.aggregate_id, CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) - d.created_at
FROM sync_delivery d
WHERE d.target = $1 AND d.next_attempt_at = 9223372036854775805 AND d.outbox_id > CAST($2 AS BIGINT)
ORDER BY d.outbox_id
LIMIT CAST($3 AS BIGINT);

-- newest_of_keys
SELECT j.aggregate_type, j.aggregate_id, d.outbox_id, d.status,
    CASE WHEN d.next_attempt_at = 9223372036854775805 THEN 1 ELSE 0 END
FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(aggregate_type TEXT, aggregate_id TEXT)
JOIN sync_delivery d ON d.target = $2 AND d.outbox_id = (SELECT CASE WHEN s.aggregate_id = j.aggregate_id AND s.aggregate_type = j.aggregate_type
        AND s.target = $3 THEN s.outbox_id END
     FROM (SELECT s.aggregate_id, s.aggregate_type, s.target, s.outbox_id FROM sync_delivery s
        WHERE (s.aggregate_id, s.aggregate_type, s.target, s.outbox_id)
            <= (j.aggregate_id, j.aggregate_type, $4, 9223372036854775807)
        ORDER BY s.aggregate_id DESC, s.aggregate_type DESC, s.target DESC, s.outbox_id DESC LIMIT 1) s);

-- begin_lease
INSERT INTO sync_lease (target, owner, acquired_at, lease_until)
VALUES ($1, $2, CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT), CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) + CAST($3 AS BIGINT))
RETURNING lease_id;

-- renew_lease
UPDATE sync_lease
SET lease_until = CASE WHEN lease_until > CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) + CAST($1 AS BIGINT) THEN lease_until ELSE CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) + CAST($2 AS BIGINT) END
WHERE lease_id = CAST($3 AS BIGINT) AND owner = $4;

-- hold_lease
UPDATE sync_lease SET lease_until = lease_until WHERE lease_id = CAST($1 AS BIGINT) AND owner = $2;

-- end_lease
DELETE FROM sync_lease WHERE lease_id = CAST($1 AS BIGINT) AND owner = $2;

-- expired_leases
SELECT target, owner, lease_id FROM sync_lease WHERE lease_until < CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT);

-- end_expired_lease
DELETE FROM sync_lease WHERE lease_id = CAST($1 AS BIGINT) AND owner = $2 AND lease_until < CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT);

-- end_in_flight
DELETE FROM sync_in_flight WHERE lease_id = CAST($1 AS BIGINT) AND target = $2;

-- end_in_flight_of
DELETE FROM sync_in_flight WHERE lease_id = CAST($1 AS BIGINT) AND target = $2 AND outbox_id = ANY(ARRAY(SELECT CAST(value AS BIGINT) FROM jsonb_array_elements_text(CAST($3 AS JSONB))));

-- enqueue_direct_in_flight
INSERT INTO sync_delivery (target, outbox_id, aggregate_type, aggregate_id, status, next_attempt_at, created_at)
SELECT w.target, w.outbox_id, w.aggregate_type, w.aggregate_id, 'pending',
    COALESCE(o.routed_at, CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)), COALESCE(o.routed_at, CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT))
FROM sync_in_flight w
LEFT JOIN sync_outbox o ON o.id = w.outbox_id
WHERE w.lease_id = CAST($1 AS BIGINT) AND w.target = $2
    AND (SELECT COUNT(*) FROM sync_delivery d WHERE d.target = w.target AND d.outbox_id = w.outbox_id) = 0;

-- requeue_in_flight
UPDATE sync_delivery AS t
SET status = CASE WHEN t.finished_at IS NULL THEN 'pending' ELSE 'failed' END,
    next_attempt_at = CASE WHEN t.finished_at IS NULL THEN t.created_at ELSE 9223372036854775807 END,
    lease_id = NULL
FROM (SELECT t.place, j.* FROM (SELECT w.outbox_id FROM sync_in_flight w
            WHERE w.lease_id = CAST($1 AS BIGINT) AND w.target = $2) AS j
     CROSS JOIN LATERAL (SELECT t.ctid AS place FROM sync_delivery AS t
        WHERE t.target = $3 AND t.outbox_id = j.outbox_id OFFSET 0) AS t) AS j
WHERE t.ctid = j.place AND t.lease_id = CAST($4 AS BIGINT) AND t.status = 'processing';

-- note_in_doubt
UPDATE sync_delivery AS t
SET attempts = j.attempts,
    error_kind = j.error_kind,
    error_message = j.error_message,
    last_attempt = CAST($1 AS BIGINT),
    finished_at = CASE WHEN j.is_final = 1 THEN CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) ELSE NULL END
FROM (SELECT t.place, j.* FROM jsonb_to_recordset(CAST($2 AS JSONB)) AS j(outbox_id BIGINT, status TEXT, attempts BIGINT, pause_ms BIGINT, is_final BIGINT, error_kind TEXT, error_message TEXT)
     CROSS JOIN LATERAL (SELECT t.ctid AS place FROM sync_delivery AS t
        WHERE t.target = $3 AND t.outbox_id = j.outbox_id OFFSET 0) AS t) AS j
WHERE t.ctid = j.place AND t.lease_id = CAST($4 AS BIGINT) AND t.status = 'processing';

-- insert_done
INSERT INTO sync_delivery
    (target, outbox_id, aggregate_type, aggregate_id, status, attempts, last_attempt, created_at, finished_at)
SELECT $1, o.id, o.aggregate_type, o.aggregate_id, 'done', CAST($2 AS BIGINT), CAST($3 AS BIGINT),
    COALESCE(o.routed_at, CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)), CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)
FROM sync_outbox o
WHERE o.id = ANY(ARRAY(SELECT CAST(value AS BIGINT) FROM jsonb_array_elements_text(CAST($4 AS JSONB))));

-- insert_processing
INSERT INTO sync_delivery (target, outbox_id, aggregate_type, aggregate_id, status, lease_id, created_at)
SELECT $1, o.id, o.aggregate_type, o.aggregate_id, 'processing', CAST($2 AS BIGINT), COALESCE(o.routed_at, CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT))
FROM sync_outbox o
WHERE o.id = ANY(ARRAY(SELECT CAST(value AS BIGINT) FROM jsonb_array_elements_text(CAST($3 AS JSONB))));

-- mark_done
UPDATE sync_delivery
SET status = 'done', attempts = CAST($1 AS BIGINT), lease_id = NULL, last_attempt = CAST($2 AS BIGINT),
    error_kind = NULL, error_message = NULL, finished_at = CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)
WHERE ctid = ANY(ARRAY(SELECT j.place FROM (SELECT t.place, j.* FROM (SELECT CAST(value AS BIGINT) AS id FROM jsonb_array_elements_text(CAST($3 AS JSONB))) AS j
         CROSS JOIN LATERAL (SELECT t.ctid AS place FROM sync_delivery AS t
            WHERE t.target = $4 AND t.outbox_id = j.id OFFSET 0) AS t) AS j)) AND lease_id = CAST($5 AS BIGINT) AND status = 'processing';

-- update_each
UPDATE sync_delivery AS t
SET status = j.status,
    attempts = j.attempts,
    lease_id = NULL,
    last_attempt = CAST($1 AS BIGINT),
    error_kind = j.error_kind,
    error_message = j.error_message,
    next_attempt_at = CASE WHEN j.status = 'failed' THEN 9223372036854775807 WHEN j.status = 'skipped' THEN 9223372036854775806
        WHEN j.is_final = 1 THEN NULL
        WHEN j.pause_ms > 0 THEN CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) + j.pause_ms ELSE t.created_at END,
    finished_at = CASE WHEN j.is_final = 1 THEN CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) ELSE NULL END
FROM (SELECT t.place, j.* FROM jsonb_to_recordset(CAST($2 AS JSONB)) AS j(outbox_id BIGINT, status TEXT, attempts BIGINT, pause_ms BIGINT, is_final BIGINT, error_kind TEXT, error_message TEXT)
     CROSS JOIN LATERAL (SELECT t.ctid AS place FROM sync_delivery AS t
        WHERE t.target = $3 AND t.outbox_id = j.outbox_id OFFSET 0) AS t) AS j
WHERE t.ctid = j.place AND t.lease_id = CAST($4 AS BIGINT) AND t.status = 'processing';

-- put_links
INSERT INTO sync_link
    (target, aggregate_type, aggregate_id, remote_id, remote_version, fingerprint, merged_into, delivered_outbox_id,
    synced_at)
SELECT j.target, j.aggregate_type, j.aggregate_id, j.remote_id, j.remote_version, j.fingerprint, j.merged_into,
    CAST(j.delivered_outbox_id AS BIGINT), CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)
FROM unnest($1, $2, $3, $4, $5, $6, $7, $8)
    AS j(target, aggregate_type, aggregate_id, remote_id, remote_version, fingerprint, merged_into,
        delivered_outbox_id)
ON CONFLICT (target, aggregate_type, aggregate_id) DO UPDATE SET remote_id = excluded.remote_id,
        remote_version = excluded.remote_version, fingerprint = excluded.fingerprint, merged_into = excluded.merged_into,
        delivered_outbox_id = excluded.delivered_outbox_id, synced_at = excluded.synced_at;

-- write_back_openemr_id
UPDATE patient_cache AS t
SET openemr_patient_id = CAST(j.remote_id AS BIGINT)
FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(patient_id TEXT, remote_id TEXT)
WHERE t.patient_id = ANY(ARRAY[j.patient_id]) AND (t.openemr_patient_id IS NULL OR t.openemr_patient_id <> CAST(j.remote_id AS BIGINT));

-- write_back_fhir_id
UPDATE patient_cache AS t
SET fhir_patient_id = j.remote_id
FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(patient_id TEXT, remote_id TEXT)
WHERE t.patient_id = ANY(ARRAY[j.patient_id]) AND (t.fhir_patient_id IS NULL OR t.fhir_patient_id <> j.remote_id);

-- has_unrouted
SELECT id FROM sync_outbox WHERE routed_at IS NULL AND id > CAST($1 AS BIGINT) ORDER BY id LIMIT 1;

-- unrouted
SELECT o.id, o.aggregate_type, o.aggregate_id, o.operation, o.event_id, o.created_at, NULL, CASE WHEN octet_length(o.refs) <= 32768 THEN o.refs END, octet_length(o.refs)
FROM sync_outbox o
WHERE o.routed_at IS NULL AND o.id > CAST($1 AS BIGINT)
ORDER BY o.id
LIMIT CAST($2 AS BIGINT)
FOR UPDATE SKIP LOCKED;

-- enqueue
INSERT INTO sync_delivery (target, outbox_id, aggregate_type, aggregate_id, status, next_attempt_at, created_at)
SELECT j.target, o.id, o.aggregate_type, o.aggregate_id, 'pending', CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT), CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)
FROM sync_outbox o
JOIN jsonb_to_recordset(CAST($1 AS JSONB)) AS j(target TEXT, aggregate_type TEXT) ON j.aggregate_type = o.aggregate_type
WHERE o.id = ANY(ARRAY(SELECT CAST(value AS BIGINT) FROM jsonb_array_elements_text(CAST($2 AS JSONB))))
    AND (SELECT COUNT(*) FROM sync_delivery d WHERE d.target = j.target AND d.outbox_id = o.id) = 0
    AND (SELECT COUNT(*) FROM sync_in_flight w
         WHERE w.target = j.target AND w.aggregate_type = o.aggregate_type
           AND w.aggregate_id = o.aggregate_id AND w.outbox_id = o.id) = 0;

-- mark_routed
UPDATE sync_outbox
SET routed_at = CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)
WHERE id = ANY(ARRAY(SELECT CAST(value AS BIGINT) FROM jsonb_array_elements_text(CAST($1 AS JSONB))))
    AND COALESCE(routed_at, 0) = 0
    AND (SELECT COALESCE(SUM(t.route_revision), 0) FROM sync_target t) = CAST($2 AS BIGINT);

-- insert_refused
INSERT INTO sync_delivery
    (target, outbox_id, aggregate_type, aggregate_id, status, next_attempt_at, error_kind, error_message,
    created_at, finished_at)
SELECT j.target, j.outbox_id, j.aggregate_type, j.aggregate_id, 'failed', 9223372036854775807, j.error_kind, j.error_message,
    CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT), CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)
FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(target TEXT, outbox_id BIGINT, aggregate_type TEXT, aggregate_id TEXT, error_kind TEXT, error_message TEXT)
WHERE (SELECT COUNT(*) FROM sync_delivery d WHERE d.target = j.target AND d.outbox_id = j.outbox_id) = 0;

-- fail_refused
UPDATE sync_delivery AS t
SET status = 'failed',
    attempts = 0,
    lease_id = NULL,
    error_kind = j.error_kind,
    error_message = j.error_message,
    next_attempt_at = 9223372036854775807,
    finished_at = CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)
FROM (SELECT t.place, j.* FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(target TEXT, outbox_id BIGINT, aggregate_type TEXT, aggregate_id TEXT, error_kind TEXT, error_message TEXT)
     CROSS JOIN LATERAL (SELECT t.ctid AS place FROM sync_delivery AS t
        WHERE t.target = $2 AND t.outbox_id = j.outbox_id OFFSET 0) AS t) AS j
WHERE t.ctid = j.place AND t.lease_id = CAST($3 AS BIGINT) AND t.status = 'processing';

-- nearly_routed
SELECT MAX(m.newest)
FROM (SELECT
        (SELECT d.outbox_id FROM sync_delivery d WHERE d.target = t.name ORDER BY d.outbox_id DESC LIMIT 1) AS newest
    FROM sync_target t) m;

-- count_unrouted
SELECT COUNT(*)
FROM (SELECT 1 AS one
    FROM sync_outbox
    WHERE routed_at IS NULL AND id > CAST($1 AS BIGINT)
        AND id < CAST($2 AS BIGINT)
    LIMIT 10001) n;

-- count_unrouted, without before
SELECT COUNT(*)
FROM (SELECT 1 AS one
    FROM sync_outbox
    WHERE routed_at IS NULL AND id > CAST($1 AS BIGINT)
    LIMIT 10001) n;

-- oldest_unrouted
SELECT CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) - CASE WHEN created_at BETWEEN 946684800000 AND 4102444799999 THEN created_at END FROM sync_outbox WHERE routed_at IS NULL AND id > CAST($1 AS BIGINT) ORDER BY id LIMIT 1;

-- estimate_unrouted
SELECT (SELECT id
        FROM sync_outbox
        WHERE routed_at IS NULL AND id > CAST($1 AS BIGINT)
            AND id < CAST($2 AS BIGINT)
        ORDER BY id DESC
        LIMIT 1)
    - (SELECT id FROM sync_outbox WHERE routed_at IS NULL AND id > CAST($3 AS BIGINT) ORDER BY id ASC LIMIT 1) + 1;

-- estimate_unrouted, without before
SELECT (SELECT id
        FROM sync_outbox
        WHERE routed_at IS NULL AND id > CAST($1 AS BIGINT)
        ORDER BY id DESC
        LIMIT 1)
    - (SELECT id FROM sync_outbox WHERE routed_at IS NULL AND id > CAST($2 AS BIGINT) ORDER BY id ASC LIMIT 1) + 1;

-- append
INSERT INTO sync_outbox (event_id, aggregate_type, aggregate_id, operation, payload, refs, created_at)
SELECT j.event_id, j.aggregate_type, j.aggregate_id, j.operation, j.payload, j.refs, CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)
FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(position BIGINT, event_id TEXT, aggregate_type TEXT, aggregate_id TEXT, operation TEXT, payload TEXT, refs TEXT)
ORDER BY j.position;

-- append_block
INSERT INTO sync_outbox (event_id, aggregate_type, aggregate_id, operation, payload, refs, created_at)
SELECT j.event_id, j.aggregate_type, j.aggregate_id, j.operation, j.payload, j.refs, CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)
FROM unnest($1, $2, $3, $4, $5, $6) AS j(event_id, aggregate_type, aggregate_id, operation, payload, refs);

-- enqueue_for_target
INSERT INTO sync_delivery (target, outbox_id, aggregate_type, aggregate_id, status, next_attempt_at, created_at)
SELECT $1, o.id, o.aggregate_type, o.aggregate_id, 'pending', CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT), CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)
FROM jsonb_to_recordset(CAST($2 AS JSONB)) AS j(event_id TEXT) JOIN sync_outbox o ON o.event_id = j.event_id;

-- ids_of_events
SELECT o.id FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(event_id TEXT) JOIN sync_outbox o ON o.event_id = j.event_id;

-- mark_events_routed
UPDATE sync_outbox SET routed_at = CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) WHERE event_id = ANY (ARRAY(SELECT j.event_id FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(event_id TEXT)));

-- scan_changes
SELECT o.id, o.aggregate_type, o.aggregate_id, CASE WHEN created_at BETWEEN 946684800000 AND 4102444799999 THEN created_at END, o.routed_at
FROM sync_outbox o
WHERE o.id < CAST($1 AS BIGINT)
ORDER BY o.id DESC
LIMIT CAST($2 AS BIGINT);

-- own_patients
SELECT t.patient_id
FROM patient_cache t
WHERE t.patient_id = ANY (ARRAY(SELECT j.patient_id FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(patient_id TEXT)));

-- known_patients
SELECT j.patient_id
FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(patient_id TEXT)
WHERE (SELECT COUNT(*) FROM sync_delivery d
        WHERE d.aggregate_id = j.patient_id AND d.aggregate_type = 'patient') > 0
    OR (SELECT COUNT(*) FROM sync_target t WHERE (SELECT COUNT(*) FROM sync_link l
            WHERE l.target = t.name AND l.aggregate_type = 'patient' AND l.aggregate_id = j.patient_id) > 0) > 0;

-- resend_candidates
SELECT o.id, o.operation,
    CASE WHEN o.routed_at IS NULL THEN 0 ELSE 1 END,
    (SELECT d.status FROM sync_delivery d WHERE d.target = $1 AND d.outbox_id = o.id),
    (SELECT d.attempts FROM sync_delivery d WHERE d.target = $2 AND d.outbox_id = o.id),
    (SELECT COUNT(*) FROM sync_in_flight w
         WHERE w.target = $3 AND w.aggregate_type = o.aggregate_type
           AND w.aggregate_id = o.aggregate_id AND w.outbox_id = o.id),
    (SELECT l.delivered_outbox_id FROM sync_link l
         WHERE l.target = $4 AND l.aggregate_type = o.aggregate_type AND l.aggregate_id = o.aggregate_id),
    (SELECT COUNT(*) FROM sync_target t WHERE (SELECT l.delivered_outbox_id FROM sync_link l
         WHERE l.target = t.name AND l.aggregate_type = o.aggregate_type AND l.aggregate_id = o.aggregate_id) > o.id)
FROM sync_outbox o
WHERE o.id = ANY(ARRAY(SELECT CAST(value AS BIGINT) FROM jsonb_array_elements_text(CAST($5 AS JSONB))))
ORDER BY o.id;

-- enqueue_again
INSERT INTO sync_delivery (target, outbox_id, aggregate_type, aggregate_id, status, next_attempt_at, created_at)
SELECT $1, o.id, o.aggregate_type, o.aggregate_id, 'pending', CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT), o.routed_at
FROM sync_outbox o
WHERE o.id = ANY(ARRAY(SELECT CAST(value AS BIGINT) FROM jsonb_array_elements_text(CAST($2 AS JSONB))))
    AND o.routed_at IS NOT NULL
    AND (SELECT COUNT(*) FROM sync_delivery d WHERE d.target = $3 AND d.outbox_id = o.id) = 0
    AND (SELECT COUNT(*) FROM sync_in_flight w
         WHERE w.target = $4 AND w.aggregate_type = o.aggregate_type
           AND w.aggregate_id = o.aggregate_id AND w.outbox_id = o.id) = 0;

-- resend
UPDATE sync_delivery
SET status = 'pending',
    attempts = 0,
    next_attempt_at = CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT),
    finished_at = NULL,
    error_kind = NULL,
    error_message = NULL
WHERE ctid = ANY(ARRAY(SELECT j.place FROM (SELECT t.place, j.* FROM (SELECT CAST(value AS BIGINT) AS id FROM jsonb_array_elements_text(CAST($1 AS JSONB))) AS j
         CROSS JOIN LATERAL (SELECT t.ctid AS place FROM sync_delivery AS t
            WHERE t.target = $2 AND t.outbox_id = j.id OFFSET 0) AS t) AS j)) AND status = $3 AND status IN ('done', 'failed', 'superseded', 'skipped');

-- doubt_confirmed
UPDATE sync_link AS t
SET delivered_outbox_id = j.outbox_id - 1
FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(aggregate_type TEXT, aggregate_id TEXT, outbox_id BIGINT)
WHERE t.target = $2
    AND t.aggregate_type = j.aggregate_type
    AND t.aggregate_id = j.aggregate_id
    AND t.delivered_outbox_id = j.outbox_id;

-- links_of_type
SELECT l.aggregate_id
FROM sync_link l
WHERE l.target = $1 AND l.aggregate_type = $2 AND l.aggregate_id > $3 AND l.remote_id <> ''
ORDER BY l.aggregate_id
LIMIT CAST($4 AS BIGINT);

-- list_patients
SELECT t.patient_id, t.family_name, t.given_name, t.birth_date, t.gender, t.middle_name, t.native_family_name,
    t.native_given_name, t.title, t.suffix, t.marital_status, t.phone_home, t.phone_mobile, t.phone_work, t.email,
    t.street, t.street_line_2, t.city, t.state, t.postal_code, t.country, t.language, t.race, t.ethnicity,
    t.national_id, t.deceased_date, t.openemr_patient_id, t.fhir_patient_id FROM patient_cache t WHERE t.patient_id > $1 ORDER BY t.patient_id LIMIT CAST($2 AS BIGINT);

-- changed_patients
SELECT t.patient_id
FROM patient_cache t
WHERE t.patient_id > $1
    AND (t.updated_at >= CAST($2 AS BIGINT) OR (SELECT COUNT(*) FROM patient_merge m
        WHERE m.patient_id = t.patient_id AND m.merged_at >= CAST($3 AS BIGINT)) > 0)
ORDER BY t.patient_id
LIMIT CAST($4 AS BIGINT);

-- touch_patient
UPDATE patient_cache SET updated_at = CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) WHERE patient_id = $1;

-- patients_by_id
SELECT t.patient_id, t.family_name, t.given_name, t.birth_date, t.gender, t.middle_name, t.native_family_name,
    t.native_given_name, t.title, t.suffix, t.marital_status, t.phone_home, t.phone_mobile, t.phone_work, t.email,
    t.street, t.street_line_2, t.city, t.state, t.postal_code, t.country, t.language, t.race, t.ethnicity,
    t.national_id, t.deceased_date, t.openemr_patient_id, t.fhir_patient_id
FROM patient_cache t
WHERE t.patient_id = ANY (ARRAY(SELECT j.patient_id FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(patient_id TEXT)))
ORDER BY t.patient_id;

-- lock_patients_by_id
SELECT t.patient_id, t.family_name, t.given_name, t.birth_date, t.gender, t.middle_name, t.native_family_name,
    t.native_given_name, t.title, t.suffix, t.marital_status, t.phone_home, t.phone_mobile, t.phone_work, t.email,
    t.street, t.street_line_2, t.city, t.state, t.postal_code, t.country, t.language, t.race, t.ethnicity,
    t.national_id, t.deceased_date, t.openemr_patient_id, t.fhir_patient_id
FROM patient_cache t
WHERE t.patient_id = ANY (ARRAY(SELECT j.patient_id FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(patient_id TEXT)))
ORDER BY t.patient_id
FOR UPDATE;

-- hold_patients
SELECT t.patient_id
FROM patient_cache t
WHERE t.patient_id = ANY (ARRAY(SELECT j.patient_id FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(patient_id TEXT)))
ORDER BY t.patient_id
FOR KEY SHARE;

-- put_patients
INSERT INTO patient_cache
    (patient_id, family_name, given_name, birth_date, gender, middle_name, native_family_name, native_given_name,
        title, suffix, marital_status, phone_home, phone_mobile, phone_work, email, street, street_line_2, city,
        state, postal_code, country, language, race, ethnicity, national_id, deceased_date, created_at, updated_at)
SELECT j.patient_id, j.family_name, j.given_name, j.birth_date, j.gender, j.middle_name, j.native_family_name,
    j.native_given_name, j.title, j.suffix, j.marital_status, j.phone_home, j.phone_mobile, j.phone_work,
    j.email, j.street, j.street_line_2, j.city, j.state, j.postal_code, j.country, j.language, j.race,
    j.ethnicity, j.national_id, j.deceased_date,
    CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT), CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)
FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(patient_id TEXT, family_name TEXT, given_name TEXT, birth_date TEXT, gender TEXT, middle_name TEXT, native_family_name TEXT, native_given_name TEXT, title TEXT, suffix TEXT, marital_status TEXT, phone_home TEXT, phone_mobile TEXT, phone_work TEXT, email TEXT, street TEXT, street_line_2 TEXT, city TEXT, state TEXT, postal_code TEXT, country TEXT, language TEXT, race TEXT, ethnicity TEXT, national_id TEXT, deceased_date TEXT)
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
SELECT j.patient_id, j.family_name, j.given_name, j.birth_date, j.gender, j.middle_name, j.native_family_name,
    j.native_given_name, j.title, j.suffix, j.marital_status, j.phone_home, j.phone_mobile, j.phone_work,
    j.email, j.street, j.street_line_2, j.city, j.state, j.postal_code, j.country, j.language, j.race,
    j.ethnicity, j.national_id, j.deceased_date,
    CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT), CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)
FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26) AS j(
    patient_id, family_name, given_name, birth_date, gender, middle_name, native_family_name, native_given_name,
        title, suffix, marital_status, phone_home, phone_mobile, phone_work, email, street, street_line_2, city,
        state, postal_code, country, language, race, ethnicity, national_id, deceased_date)
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
DELETE FROM patient_cache WHERE patient_id = $1;

-- list_users
SELECT username, display_name, role, email, department, password_hash FROM "users" ORDER BY username;

-- put_user
INSERT INTO "users" (username, display_name, role, email, department, password_hash, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT), CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT))
ON CONFLICT (username) DO UPDATE SET display_name = excluded.display_name, role = excluded.role, email = excluded.email,
    department = excluded.department, password_hash = excluded.password_hash, updated_at = excluded.updated_at;

-- records_by_id
SELECT t.aggregate_type, t.aggregate_id, t.patient_id, t.payload, t.refs
FROM clinical_record t
WHERE t.aggregate_id = ANY (ARRAY(SELECT j.aggregate_id FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(aggregate_id TEXT)))
ORDER BY t.aggregate_id, t.aggregate_type;

-- list_records
SELECT t.aggregate_type, t.aggregate_id
FROM clinical_record t
WHERE t.aggregate_id >= $1 AND (t.aggregate_id > $2 OR t.aggregate_type > $3)
    AND t.updated_at >= CAST($4 AS BIGINT)
ORDER BY t.aggregate_id, t.aggregate_type
LIMIT CAST($5 AS BIGINT);

-- list_records, without since
SELECT t.aggregate_type, t.aggregate_id
FROM clinical_record t
WHERE t.aggregate_id >= $1 AND (t.aggregate_id > $2 OR t.aggregate_type > $3)
ORDER BY t.aggregate_id, t.aggregate_type
LIMIT CAST($4 AS BIGINT);

-- own_records
SELECT t.aggregate_type, t.aggregate_id
FROM clinical_record t
WHERE t.aggregate_id = ANY (ARRAY(SELECT j.aggregate_id FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(aggregate_id TEXT)));

-- lock_records_by_id
SELECT t.aggregate_type, t.aggregate_id, t.patient_id, t.payload, t.refs
FROM clinical_record t
WHERE t.aggregate_id = ANY (ARRAY(SELECT j.aggregate_id FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(aggregate_id TEXT)))
ORDER BY t.aggregate_id, t.aggregate_type
FOR UPDATE;

-- lock_records_of_patients
SELECT t.aggregate_type, t.aggregate_id, t.patient_id, t.payload, t.refs
FROM clinical_record t
WHERE t.patient_id = ANY (ARRAY(SELECT j.aggregate_id FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(aggregate_id TEXT)))
ORDER BY t.aggregate_id, t.aggregate_type
FOR UPDATE;

-- referring_records
SELECT j.encounter_id, t.aggregate_type, t.aggregate_id
FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(patient_id TEXT, encounter_id TEXT, part TEXT)
CROSS JOIN LATERAL (SELECT t.aggregate_type, t.aggregate_id, t.refs FROM clinical_record t
        WHERE t.patient_id = j.patient_id OFFSET 0) t
WHERE REPLACE(t.refs, j.part, '') <> t.refs
ORDER BY j.encounter_id, t.aggregate_id, t.aggregate_type
LIMIT CAST($2 AS BIGINT);

-- put_records
INSERT INTO clinical_record (aggregate_type, aggregate_id, patient_id, payload, refs, created_at, updated_at)
SELECT j.aggregate_type, j.aggregate_id, j.patient_id, j.payload, j.refs, CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT), CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)
FROM unnest($1, $2, $3, $4, $5) AS j(aggregate_type, aggregate_id, patient_id, payload, refs)
ON CONFLICT (aggregate_id, aggregate_type) DO UPDATE SET
        patient_id = excluded.patient_id, payload = excluded.payload, refs = excluded.refs, updated_at = excluded.updated_at;

-- delete_record
DELETE FROM clinical_record WHERE aggregate_id = $1 AND aggregate_type = $2;

-- remember_deleted
INSERT INTO deleted_record (aggregate_type, aggregate_id, deleted_at)
VALUES ($1, $2, CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT))
ON CONFLICT (aggregate_id, aggregate_type) DO UPDATE SET deleted_at = excluded.deleted_at;

-- deleted_among
SELECT t.aggregate_type, t.aggregate_id
FROM deleted_record t
WHERE t.aggregate_id = ANY (ARRAY(SELECT j.aggregate_id FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(aggregate_id TEXT)))
    AND NOT EXISTS (SELECT 1 FROM patient_cache p
        WHERE t.aggregate_type = 'patient' AND p.patient_id = t.aggregate_id)
    AND NOT EXISTS (SELECT 1 FROM clinical_record r
        WHERE r.aggregate_id = t.aggregate_id AND r.aggregate_type = t.aggregate_type);

-- merges_among
SELECT t.patient_id, t.survivor_id
FROM patient_merge t
WHERE t.patient_id = ANY (ARRAY(SELECT j.patient_id FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(patient_id TEXT)))
ORDER BY t.patient_id;

-- merges_into
SELECT t.patient_id, t.survivor_id
FROM patient_merge t
WHERE t.survivor_id = ANY (ARRAY(SELECT j.patient_id FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(patient_id TEXT)))
ORDER BY t.patient_id;

-- insert_merge
INSERT INTO patient_merge (patient_id, survivor_id, reason, merged_by, merged_at)
VALUES ($1, $2, $3, $4, CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT));

-- delete_merge
DELETE FROM patient_merge WHERE patient_id = $1;

-- register_target
INSERT INTO sync_target (name, enabled, state, updated_at)
VALUES ($1, CAST($2 AS BIGINT), 'unknown', CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT))
ON CONFLICT (name) DO UPDATE SET enabled = excluded.enabled;

-- enable_target
INSERT INTO sync_target (name, enabled, state, route_revision, updated_at)
VALUES ($1, 1, 'unknown', 1, CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT))
ON CONFLICT (name) DO UPDATE SET route_revision = sync_target.route_revision + 1 - sync_target.enabled, enabled = 1;

-- disable_target
UPDATE sync_target
SET enabled = 0, route_revision = route_revision + 1, updated_at = CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)
WHERE name = $1 AND enabled = 1;

-- set_types
UPDATE sync_target
SET aggregate_types = $1, route_revision = route_revision + 1
WHERE name = $2 AND COALESCE(aggregate_types, '') <> $3;

-- change_routes
UPDATE sync_target SET route_revision = route_revision + 1 WHERE name = $1;

-- routes
SELECT name, aggregate_types, enabled, route_revision FROM sync_target ORDER BY name;

-- report_target
UPDATE sync_target
SET state = $1,
    breaker = $2,
    breaker_until = CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) + CAST($3 AS BIGINT),
    error_kind = $4,
    error_message = $5,
    error_at = CASE WHEN CAST($6 AS BIGINT) = 1 THEN COALESCE(error_at, CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)) END,
    summary = COALESCE($7, summary),
    updated_at = CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)
WHERE name = $8;

-- read_batch_max
SELECT batch_max FROM sync_target WHERE name = $1;

-- set_batch_max
UPDATE sync_target SET batch_max = CAST($1 AS BIGINT) WHERE name = $2;

-- read_learned
SELECT revision, learned FROM sync_learned WHERE target = $1 AND basis = $2;

-- put_learned
INSERT INTO sync_learned (target, basis, revision, learned) VALUES ($1, $2, 1, $3)
ON CONFLICT (target) DO UPDATE SET basis = excluded.basis, revision = sync_learned.revision + 1, learned = excluded.learned;

-- request_probe
UPDATE sync_target SET probe_requests = probe_requests + 1 WHERE name = $1;

-- set_paused
UPDATE sync_target
SET paused = CAST($1 AS BIGINT), paused_until = CAST($2 AS BIGINT), probe_requests = probe_requests + 1 - CAST($3 AS BIGINT), updated_at = CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)
WHERE name = $4;

-- put_host
INSERT INTO sync_host (id, version, started_at, seen_at, targets)
VALUES ($1, $2, CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT), CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT), $3)
ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, targets = excluded.targets;

-- running_hosts
SELECT id, targets FROM sync_host WHERE seen_at > CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) - 15000 ORDER BY id;

-- forget_hosts
DELETE FROM sync_host WHERE seen_at < CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) - 86400000;

-- delete_host
DELETE FROM sync_host WHERE id = $1;

-- try_write
INSERT INTO sync_host (id, version, started_at, seen_at) VALUES ($1, 'check', CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT), CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT));

-- add_counts
INSERT INTO sync_count (target, shard, made, done, superseded, dismissed, skipped)
VALUES ($1, CAST($2 AS BIGINT), CAST($3 AS BIGINT), CAST($4 AS BIGINT), CAST($5 AS BIGINT), CAST($6 AS BIGINT), CAST($7 AS BIGINT))
ON CONFLICT (target, shard) DO UPDATE SET made = sync_count.made + excluded.made, done = sync_count.done + excluded.done,
    superseded = sync_count.superseded + excluded.superseded, dismissed = sync_count.dismissed + excluded.dismissed,
    skipped = sync_count.skipped + excluded.skipped;

-- uncounted
SELECT COUNT(*)
    + (SELECT COUNT(*) FROM sync_in_flight w WHERE w.target = $1
        AND (SELECT COUNT(*) FROM sync_delivery s WHERE s.target = w.target AND s.outbox_id = w.outbox_id) = 0)
    - CAST((SELECT COALESCE(SUM(c.made), 0) FROM sync_count c WHERE c.target = $2) AS DECIMAL(20))
FROM sync_delivery d
WHERE d.target = $3;

-- read_counts
SELECT c.target, c.made, c.done, c.superseded, c.dismissed, c.skipped,
    (SELECT COUNT(*) FROM sync_lease l JOIN sync_in_flight w ON w.lease_id = l.lease_id
         WHERE l.target = c.target AND w.target = c.target),
    (SELECT COUNT(*) FROM sync_delivery d
        WHERE d.target = c.target AND d.next_attempt_at = CAST($1 AS BIGINT))
FROM (SELECT target, CAST(SUM(made) AS DECIMAL(20)) AS made, CAST(SUM(done) AS DECIMAL(20)) AS done,
        CAST(SUM(superseded) AS DECIMAL(20)) AS superseded, CAST(SUM(dismissed) AS DECIMAL(20)) AS dismissed,
        CAST(SUM(skipped) AS DECIMAL(20)) AS skipped
    FROM sync_count GROUP BY target) c;

-- count_open
SELECT COUNT(*) + (SELECT COUNT(*) FROM sync_lease l JOIN sync_in_flight w ON w.lease_id = l.lease_id
     WHERE l.target = $1 AND w.target = $2)
FROM sync_delivery d
WHERE d.target = $3 AND d.next_attempt_at < 9223372036854775806;

-- enabled_targets
SELECT name FROM sync_target WHERE enabled = 1;

-- has_due
SELECT CASE WHEN EXISTS (SELECT 1 FROM sync_delivery d
        WHERE d.target = $1 AND d.next_attempt_at <= CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)
            AND (d.aggregate_type NOT IN ($2, $3) OR NOT EXISTS (SELECT 1
                        FROM sync_delivery e
                        WHERE e.target || '' = d.target AND e.aggregate_type = d.aggregate_type
                            AND e.aggregate_id = d.aggregate_id AND e.outbox_id + 0 < d.outbox_id AND e.status IN ('pending', 'processing', 'failed'))))
    OR (SELECT COUNT(*) FROM sync_lease l JOIN sync_in_flight w ON w.lease_id = l.lease_id
         WHERE l.target = $4 AND w.target = $5) > 0 THEN 1 ELSE 0 END;

-- has_due, without fifo_types
SELECT CASE WHEN EXISTS (SELECT 1 FROM sync_delivery d
        WHERE d.target = $1 AND d.next_attempt_at <= CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)
            )
    OR (SELECT COUNT(*) FROM sync_lease l JOIN sync_in_flight w ON w.lease_id = l.lease_id
         WHERE l.target = $2 AND w.target = $3) > 0 THEN 1 ELSE 0 END;

-- target_status
SELECT name, enabled, CASE WHEN sync_target.paused = 1 AND (sync_target.paused_until IS NULL OR sync_target.paused_until > CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)) THEN 1 ELSE 0 END,
    CASE WHEN sync_target.paused = 1 AND (sync_target.paused_until IS NULL OR sync_target.paused_until > CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)) THEN paused_until END,
    state, breaker, breaker_until - CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT), adapter_name, adapter_version, adapter_sha256,
    summary, error_kind, error_message, CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) - error_at
FROM sync_target;

-- oldest_pending
SELECT CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) - MIN(COALESCE(CASE WHEN created_at BETWEEN 946684800000 AND 4102444799999 THEN created_at END, routed_at))
FROM sync_outbox o
WHERE o.id = (SELECT MIN(n.outbox_id) FROM (SELECT d.outbox_id FROM sync_delivery d
        WHERE d.target = $1 AND d.next_attempt_at < CAST($2 AS BIGINT)
        ORDER BY d.next_attempt_at, d.outbox_id LIMIT 10000) n);

-- recent_deliveries
SELECT d.target, d.aggregate_type, d.aggregate_id, d.status, NULLIF(l.remote_id, ''), d.attempts, d.error_kind,
        d.error_message, d.finished_at, d.outbox_id
FROM sync_delivery d
LEFT JOIN LATERAL (SELECT l.remote_id FROM sync_link l
            WHERE l.target = d.target AND l.aggregate_type = d.aggregate_type AND l.aggregate_id = d.aggregate_id OFFSET 0) l ON TRUE
WHERE d.target = $1
    AND d.outbox_id > (SELECT COALESCE(MAX(n.outbox_id), 0) FROM sync_delivery n WHERE n.target = $2) - CAST($3 AS BIGINT)
    AND d.status <> 'superseded'
ORDER BY d.outbox_id DESC
LIMIT CAST($4 AS BIGINT);

-- recent_of_aggregate
SELECT d.target, d.aggregate_type, d.aggregate_id, d.status, NULLIF(l.remote_id, ''), d.attempts, d.error_kind,
        d.error_message, d.finished_at, d.outbox_id
FROM sync_delivery d
LEFT JOIN LATERAL (SELECT l.remote_id FROM sync_link l
            WHERE l.target = d.target AND l.aggregate_type = d.aggregate_type AND l.aggregate_id = d.aggregate_id OFFSET 0) l ON TRUE
WHERE d.target = $1 AND d.aggregate_type = $2 AND d.aggregate_id = $3
ORDER BY d.outbox_id DESC
LIMIT CAST($4 AS BIGINT);

-- store_clock
SELECT CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT);

-- list_failed
SELECT t.target, t.aggregate_type, t.aggregate_id, t.outbox_id, t.error_kind, t.error_message, t.attempts, t.finished_at
FROM sync_target j JOIN sync_delivery t ON t.target = j.name AND t.next_attempt_at = 9223372036854775807 AND t.status = 'failed'
        AND j.name = $1
        AND t.aggregate_type = $2 AND t.aggregate_id = $3
        AND t.error_kind = $4
        AND t.finished_at <= CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) - CAST($5 AS BIGINT)
        AND t.outbox_id = CAST($6 AS BIGINT)
ORDER BY t.outbox_id, t.target
LIMIT CAST($7 AS BIGINT);

-- list_failed, without target, aggregate_type, aggregate_id, kind, age_ms, change_id
SELECT t.target, t.aggregate_type, t.aggregate_id, t.outbox_id, t.error_kind, t.error_message, t.attempts, t.finished_at
FROM sync_target j JOIN sync_delivery t ON t.target = j.name AND t.next_attempt_at = 9223372036854775807 AND t.status = 'failed'
ORDER BY t.outbox_id, t.target
LIMIT CAST($1 AS BIGINT);

-- count_failed
SELECT COUNT(*)
FROM sync_target j JOIN sync_delivery t ON t.target = j.name AND t.next_attempt_at = 9223372036854775807 AND t.status = 'failed'
        AND j.name = $1
        AND t.aggregate_type = $2 AND t.aggregate_id = $3
        AND t.error_kind = $4
        AND t.finished_at <= CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) - CAST($5 AS BIGINT)
        AND t.outbox_id = CAST($6 AS BIGINT) AND t.attempts > 0;

-- count_failed, without target, aggregate_type, aggregate_id, kind, age_ms, change_id
SELECT COUNT(*)
FROM sync_target j JOIN sync_delivery t ON t.target = j.name AND t.next_attempt_at = 9223372036854775807 AND t.status = 'failed'
         AND t.attempts > 0;

-- retry_failed
UPDATE sync_delivery AS t
SET status = 'pending',
    attempts = 0,
    next_attempt_at = CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT),
    finished_at = NULL
FROM sync_target AS j
WHERE t.target = j.name AND t.next_attempt_at = 9223372036854775807 AND t.status = 'failed'
        AND j.name = $1
        AND t.aggregate_type = $2 AND t.aggregate_id = $3
        AND t.error_kind = $4
        AND t.finished_at <= CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) - CAST($5 AS BIGINT)
        AND t.outbox_id = CAST($6 AS BIGINT) AND t.attempts > 0;

-- retry_failed, without target, aggregate_type, aggregate_id, kind, age_ms, change_id
UPDATE sync_delivery AS t
SET status = 'pending',
    attempts = 0,
    next_attempt_at = CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT),
    finished_at = NULL
FROM sync_target AS j
WHERE t.target = j.name AND t.next_attempt_at = 9223372036854775807 AND t.status = 'failed'
         AND t.attempts > 0;

-- list_retriable
SELECT t.outbox_id
FROM sync_delivery t
WHERE t.target = $1 AND (t.next_attempt_at, t.outbox_id) >= (9223372036854775807, CAST($2 AS BIGINT)) AND t.status = 'failed' AND t.attempts > 0
        AND t.aggregate_type = $3 AND t.aggregate_id = $4
        AND t.error_kind = $5
        AND t.finished_at <= CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) - CAST($6 AS BIGINT)
        AND t.outbox_id = CAST($7 AS BIGINT)
ORDER BY t.next_attempt_at, t.outbox_id
LIMIT CAST($8 AS BIGINT);

-- list_retriable, without aggregate_type, aggregate_id, kind, age_ms, change_id
SELECT t.outbox_id
FROM sync_delivery t
WHERE t.target = $1 AND (t.next_attempt_at, t.outbox_id) >= (9223372036854775807, CAST($2 AS BIGINT)) AND t.status = 'failed' AND t.attempts > 0
ORDER BY t.next_attempt_at, t.outbox_id
LIMIT CAST($3 AS BIGINT);

-- retry_these
UPDATE sync_delivery AS t
SET status = 'pending', attempts = 0, next_attempt_at = CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT), finished_at = NULL
FROM (SELECT t.place, j.* FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(target TEXT, outbox_id BIGINT)
     CROSS JOIN LATERAL (SELECT t.ctid AS place FROM sync_delivery AS t
        WHERE t.target = j.target AND t.outbox_id = j.outbox_id OFFSET 0) AS t) AS j
WHERE t.ctid = j.place AND t.status = 'failed';

-- progress_of_these
SELECT t.status, CASE WHEN t.attempts > 0 THEN 1 ELSE 0 END,
    CASE WHEN t.next_attempt_at = 9223372036854775805 THEN 1 ELSE 0 END, COUNT(*)
FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(target TEXT, outbox_id BIGINT)
CROSS JOIN LATERAL (SELECT t.status, t.attempts, t.next_attempt_at FROM sync_delivery t
        WHERE t.target = j.target AND t.outbox_id = j.outbox_id OFFSET 0) t
GROUP BY t.status, CASE WHEN t.attempts > 0 THEN 1 ELSE 0 END,
    CASE WHEN t.next_attempt_at = 9223372036854775805 THEN 1 ELSE 0 END;

-- list_skipped
SELECT t.target, t.aggregate_type, t.aggregate_id, t.outbox_id, t.error_kind, t.error_message, t.attempts, t.finished_at
FROM sync_target j JOIN sync_delivery t ON t.target = j.name AND t.next_attempt_at = 9223372036854775806 AND t.status = 'skipped'
        AND j.name = $1
        AND t.aggregate_type = $2 AND t.aggregate_id = $3
        AND t.finished_at <= CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) - CAST($4 AS BIGINT)
        AND t.outbox_id = CAST($5 AS BIGINT)
ORDER BY t.outbox_id, t.target
LIMIT CAST($6 AS BIGINT);

-- list_skipped, without target, aggregate_type, aggregate_id, age_ms, change_id
SELECT t.target, t.aggregate_type, t.aggregate_id, t.outbox_id, t.error_kind, t.error_message, t.attempts, t.finished_at
FROM sync_target j JOIN sync_delivery t ON t.target = j.name AND t.next_attempt_at = 9223372036854775806 AND t.status = 'skipped'
ORDER BY t.outbox_id, t.target
LIMIT CAST($1 AS BIGINT);

-- count_skipped
SELECT COUNT(*)
FROM sync_target j JOIN sync_delivery t ON t.target = j.name AND t.next_attempt_at = 9223372036854775806 AND t.status = 'skipped'
        AND j.name = $1
        AND t.aggregate_type = $2 AND t.aggregate_id = $3
        AND t.finished_at <= CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) - CAST($4 AS BIGINT)
        AND t.outbox_id = CAST($5 AS BIGINT);

-- count_skipped, without target, aggregate_type, aggregate_id, age_ms, change_id
SELECT COUNT(*)
FROM sync_target j JOIN sync_delivery t ON t.target = j.name AND t.next_attempt_at = 9223372036854775806 AND t.status = 'skipped';

-- retry_skipped
UPDATE sync_delivery
SET status = 'pending',
    attempts = 0,
    next_attempt_at = CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT),
    finished_at = NULL,
    error_message = NULL
WHERE target = $1
    AND aggregate_type = $2 AND aggregate_id = $3
    AND finished_at <= CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) - CAST($4 AS BIGINT)
    AND outbox_id = CAST($5 AS BIGINT)
    AND next_attempt_at = 9223372036854775806 AND status = 'skipped';

-- retry_skipped, without aggregate_type, aggregate_id, age_ms, change_id
UPDATE sync_delivery
SET status = 'pending',
    attempts = 0,
    next_attempt_at = CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT),
    finished_at = NULL,
    error_message = NULL
WHERE target = $1
    AND next_attempt_at = 9223372036854775806 AND status = 'skipped';

-- list_dismissed
SELECT t.target, t.aggregate_type, t.aggregate_id, t.outbox_id, t.error_kind, t.error_message, t.attempts, t.finished_at, d.reason, d.dismissed_by, d.dismissed_at
FROM sync_dismissal d
JOIN sync_delivery t ON t.target = d.target AND t.outbox_id = d.outbox_id
WHERE d.target = $1
ORDER BY d.dismissed_at DESC, t.outbox_id, t.target
LIMIT CAST($2 AS BIGINT);

-- list_dismissed, without target
SELECT t.target, t.aggregate_type, t.aggregate_id, t.outbox_id, t.error_kind, t.error_message, t.attempts, t.finished_at, d.reason, d.dismissed_by, d.dismissed_at
FROM sync_dismissal d
JOIN sync_delivery t ON t.target = d.target AND t.outbox_id = d.outbox_id
ORDER BY d.dismissed_at DESC, t.outbox_id, t.target
LIMIT CAST($1 AS BIGINT);

-- mark_dismissed
UPDATE sync_delivery AS t
SET status = 'dismissed',
    next_attempt_at = NULL,
    finished_at = CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)
FROM (SELECT t.place, j.* FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(target TEXT, outbox_id BIGINT)
     CROSS JOIN LATERAL (SELECT t.ctid AS place FROM sync_delivery AS t
        WHERE t.target = j.target AND t.outbox_id = j.outbox_id OFFSET 0) AS t) AS j
WHERE t.ctid = j.place AND t.status = 'failed';

-- insert_dismissals
INSERT INTO sync_dismissal (target, outbox_id, reason, dismissed_by, dismissed_at)
SELECT j.target, j.outbox_id, $1, $2, CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)
FROM jsonb_to_recordset(CAST($3 AS JSONB)) AS j(target TEXT, outbox_id BIGINT);

-- knows_patient
SELECT 1 FROM patient_cache WHERE patient_id = $1;

-- knows_delivery
SELECT 1 FROM sync_delivery d
WHERE d.aggregate_id = $1 AND d.aggregate_type = $2 LIMIT 1;

-- knows_in_flight
SELECT 1 FROM sync_in_flight WHERE aggregate_id = $1 AND aggregate_type = $2 LIMIT 1;

-- knows_link
SELECT 1 FROM sync_target t
WHERE (SELECT COUNT(*) FROM sync_link l
    WHERE l.target = t.name AND l.aggregate_type = $1 AND l.aggregate_id = $2) > 0
LIMIT 1;

-- blocked_keys
SELECT *
FROM (SELECT d.target, d.aggregate_type, d.aggregate_id, d.outbox_id, d.error_kind, d.error_message,
        (SELECT COUNT(*) FROM sync_delivery w
            WHERE w.target || '' = d.target AND w.aggregate_type = d.aggregate_type
                AND w.aggregate_id = d.aggregate_id AND w.outbox_id + 0 > d.outbox_id AND w.status = 'pending') AS waiting
    FROM sync_target t JOIN sync_delivery d
        ON d.target = t.name AND d.next_attempt_at = 9223372036854775807 AND d.aggregate_type IN ($1, $2)) b
WHERE b.waiting > 0
ORDER BY b.outbox_id, b.target
LIMIT CAST($3 AS BIGINT);

-- list_conflicts
SELECT d.target, d.aggregate_type, d.aggregate_id, d.outbox_id, NULLIF(l.remote_id, ''), d.error_message, d.finished_at
FROM sync_target t
JOIN sync_delivery d
    ON d.target = t.name AND d.next_attempt_at = 9223372036854775807 AND d.error_kind = $1
LEFT JOIN sync_link l ON l.target = d.target AND l.aggregate_type = d.aggregate_type AND l.aggregate_id = d.aggregate_id
WHERE 1 = 1
    AND t.name = $2
    AND d.aggregate_type = $3 AND d.aggregate_id = $4
ORDER BY d.outbox_id, d.target
LIMIT CAST($5 AS BIGINT);

-- list_conflicts, without target, aggregate_type, aggregate_id
SELECT d.target, d.aggregate_type, d.aggregate_id, d.outbox_id, NULLIF(l.remote_id, ''), d.error_message, d.finished_at
FROM sync_target t
JOIN sync_delivery d
    ON d.target = t.name AND d.next_attempt_at = 9223372036854775807 AND d.error_kind = $1
LEFT JOIN sync_link l ON l.target = d.target AND l.aggregate_type = d.aggregate_type AND l.aggregate_id = d.aggregate_id
WHERE 1 = 1
ORDER BY d.outbox_id, d.target
LIMIT CAST($2 AS BIGINT);

-- retry_conflict
UPDATE sync_delivery
SET status = 'pending', attempts = 0, next_attempt_at = CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT), finished_at = NULL
WHERE target = $1 AND aggregate_type = $2 AND aggregate_id = $3 AND status = 'failed' AND error_kind = $4;

-- keep_remote
UPDATE sync_delivery
SET status = 'superseded', next_attempt_at = NULL, finished_at = CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT),
    error_message = 'resolved: what the target holds was kept'
WHERE target = $1 AND aggregate_type = $2 AND aggregate_id = $3 AND status = 'failed' AND error_kind = $4;

-- conflict_message
SELECT error_message FROM sync_delivery
WHERE target = $1 AND aggregate_type = $2 AND aggregate_id = $3 AND status = 'failed' AND error_kind = $4
ORDER BY outbox_id DESC
LIMIT 1;

-- forget_link
DELETE FROM sync_link WHERE target = $1 AND aggregate_type = $2 AND aggregate_id = $3;

-- confirm_link
UPDATE sync_link SET remote_version = NULL, fingerprint = NULL WHERE target = $1 AND aggregate_type = $2 AND aggregate_id = $3;

-- remember_state
UPDATE sync_link SET fingerprint = $1 WHERE target = $2 AND aggregate_type = $3 AND aggregate_id = $4;

-- linked_to
SELECT aggregate_id FROM sync_link
WHERE target = $1 AND aggregate_type = $2 AND aggregate_id <> $3 AND remote_id = $4
LIMIT 1;

-- relink
INSERT INTO sync_link
    (target, aggregate_type, aggregate_id, remote_id, remote_version, fingerprint, delivered_outbox_id, synced_at)
VALUES ($1, $2, $3, $4, NULL, NULL, 0, CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT))
ON CONFLICT (target, aggregate_type, aggregate_id) DO UPDATE SET remote_id = excluded.remote_id,
    remote_version = excluded.remote_version, fingerprint = excluded.fingerprint, synced_at = excluded.synced_at;

-- old_deliveries
SELECT outbox_id,
    CASE WHEN finished_at >= CAST($1 AS BIGINT) THEN NULL WHEN status = 'done' THEN 1 WHEN status = 'superseded' THEN 2
        WHEN status = 'dismissed' THEN 3 WHEN status = 'skipped' THEN 4 END,
    CASE WHEN created_at < CAST($2 AS BIGINT) THEN 1 ELSE 0 END
FROM sync_delivery
WHERE target = $3 AND outbox_id > CAST($4 AS BIGINT)
ORDER BY outbox_id
LIMIT 1000;

-- delete_deliveries
DELETE FROM sync_delivery WHERE ctid = ANY(ARRAY(SELECT j.place FROM (SELECT t.place, j.* FROM (SELECT CAST(value AS BIGINT) AS id FROM jsonb_array_elements_text(CAST($1 AS JSONB))) AS j
         CROSS JOIN LATERAL (SELECT t.ctid AS place FROM sync_delivery AS t
            WHERE t.target = $2 AND t.outbox_id = j.id OFFSET 0) AS t) AS j)) AND status = $3;

-- delete_dismissals
DELETE FROM sync_dismissal WHERE target = $1 AND outbox_id = ANY(ARRAY(SELECT CAST(value AS BIGINT) FROM jsonb_array_elements_text(CAST($2 AS JSONB))));

-- old_changes
SELECT o.id,
    CASE WHEN o.routed_at < CAST($1 AS BIGINT)
        AND (SELECT COUNT(*) FROM sync_target t
            WHERE (SELECT COUNT(*) FROM sync_delivery d WHERE d.target = t.name AND d.outbox_id = o.id) > 0) = 0
        AND (SELECT COUNT(*) FROM sync_target t WHERE (SELECT COUNT(*) FROM sync_in_flight w
             WHERE w.target = t.name AND w.aggregate_type = o.aggregate_type
               AND w.aggregate_id = o.aggregate_id AND w.outbox_id = o.id) > 0) = 0
        THEN 1 ELSE 0 END,
    CASE WHEN o.routed_at < CAST($2 AS BIGINT) THEN 1 ELSE 0 END
FROM sync_outbox o
WHERE o.id > CAST($3 AS BIGINT)
ORDER BY o.id
LIMIT 1000;

-- delete_changes
DELETE FROM sync_outbox WHERE routed_at IS NOT NULL AND id = ANY(ARRAY(SELECT CAST(value AS BIGINT) FROM jsonb_array_elements_text(CAST($1 AS JSONB))));

-- purge_notices
DELETE FROM sync_notice WHERE last_at < CAST($1 AS BIGINT);

-- add_notices
INSERT INTO sync_notice (kind, subject, changes, last_change_id, last_at)
SELECT j.kind, j.subject, j.changes, j.last_change_id, CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)
FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(kind TEXT, subject TEXT, changes BIGINT, last_change_id BIGINT)
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
VALUES (1, CAST($1 AS BIGINT), CAST($2 AS BIGINT), CAST($3 AS BIGINT))
ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, doubted_at = excluded.doubted_at, step_ms = excluded.step_ms;

-- newest_time
SELECT routed_at FROM sync_outbox ORDER BY id DESC LIMIT 1;

-- shorten_leases
UPDATE sync_lease SET lease_until = CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) + 3600000 WHERE lease_until > CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) + 3600000 + CAST($1 AS BIGINT);

-- target_names
SELECT name FROM sync_target;

-- make_due
UPDATE sync_delivery
SET next_attempt_at = CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)
WHERE target = $1
    AND next_attempt_at > CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) + CAST($2 AS BIGINT) AND next_attempt_at < 9223372036854775805
    AND status = 'pending';

-- newest_delivery
SELECT outbox_id, status, attempts
FROM sync_delivery
WHERE target = $1 AND aggregate_type = $2 AND aggregate_id = $3
ORDER BY outbox_id DESC
LIMIT 1;

-- newest_unrouted
SELECT MAX(id) FROM sync_outbox
WHERE routed_at IS NULL AND aggregate_type = $1 AND aggregate_id = $2;

-- in_flight_change
SELECT outbox_id FROM sync_in_flight
WHERE target = $1 AND aggregate_type = $2 AND aggregate_id = $3;

-- read_change
SELECT o.id, o.aggregate_type, o.aggregate_id, o.operation, o.event_id,
    CASE WHEN octet_length(o.payload) <= 1048576 THEN o.payload END, octet_length(o.payload), o.created_at,
    l.remote_id, l.remote_version, l.fingerprint, l.delivered_outbox_id, l.merged_into, CASE WHEN octet_length(o.refs) <= 32768 THEN o.refs END, octet_length(o.refs)
FROM sync_outbox o
LEFT JOIN sync_link l ON l.target = $1 AND l.aggregate_type = o.aggregate_type AND l.aggregate_id = o.aggregate_id
WHERE o.id = CAST($2 AS BIGINT);

-- read_link
SELECT remote_id, remote_version, fingerprint
FROM sync_link
WHERE target = $1 AND aggregate_type = $2 AND aggregate_id = $3;

-- recently_done
SELECT outbox_id, aggregate_type, aggregate_id, finished_at
FROM sync_delivery
WHERE target = $1 AND outbox_id < CAST($2 AS BIGINT) AND status = 'done'
ORDER BY outbox_id DESC
LIMIT CAST($3 AS BIGINT);

-- adapter_control
SELECT CASE WHEN t.paused = 1 AND (t.paused_until IS NULL OR t.paused_until > CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)) THEN 1 ELSE 0 END, t.adapter_sha256, w.rejected_sha256, w.reload_requests,
    t.probe_requests, l.basis, l.revision, CASE WHEN t.state = 'down' THEN 1 ELSE 0 END, h.sha256, h.accepted_at
FROM sync_target t LEFT JOIN sync_adapter_control w ON w.target = t.name LEFT JOIN sync_learned l ON l.target = t.name
    LEFT JOIN sync_adapter_hold h ON h.target = t.name
WHERE t.name = $1;

-- is_active_adapter
SELECT 1 FROM sync_target WHERE name = $1 AND adapter_sha256 = $2;

-- remember_previous_adapter
UPDATE sync_target SET previous_sha256 = adapter_sha256 WHERE name = $1 AND adapter_sha256 <> $2;

-- activate_adapter
UPDATE sync_target
SET adapter_name = $1, adapter_version = $2, adapter_sha256 = $3
WHERE name = $4 AND (adapter_sha256 IS NULL OR adapter_sha256 <> $5);

-- add_adapter_event
INSERT INTO sync_adapter_event (target, sha256, name, version, event, reason, host, at)
VALUES ($1, $2, $3, $4, $5, $6, $7, CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT));

-- adapter_events
SELECT target, sha256, name, version, event, reason, host, at
FROM sync_adapter_event
WHERE target = $1
ORDER BY id DESC
LIMIT CAST($2 AS BIGINT);

-- adapter_events, without target
SELECT target, sha256, name, version, event, reason, host, at
FROM sync_adapter_event
ORDER BY id DESC
LIMIT CAST($1 AS BIGINT);

-- reject_adapter
INSERT INTO sync_adapter_control (target, rejected_sha256) VALUES ($1, $2)
ON CONFLICT (target) DO UPDATE SET rejected_sha256 = excluded.rejected_sha256;

-- reload_adapter
UPDATE sync_adapter_control SET rejected_sha256 = NULL WHERE target = $1 AND rejected_sha256 = $2;

-- hold_adapter
INSERT INTO sync_adapter_hold (target, sha256, name, version, differences, held_at, accepted_at)
VALUES ($1, $2, $3, $4, $5, CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT), NULL)
ON CONFLICT (target) DO UPDATE SET sha256 = excluded.sha256, name = excluded.name, version = excluded.version,
    differences = excluded.differences, held_at = excluded.held_at, accepted_at = excluded.accepted_at;

-- read_adapter_hold
SELECT sha256, name, version, differences, held_at, accepted_at FROM sync_adapter_hold WHERE target = $1;

-- list_adapter_holds
SELECT target, sha256, name, version, differences, held_at, accepted_at
FROM sync_adapter_hold
WHERE accepted_at IS NULL;

-- accept_adapter
UPDATE sync_adapter_hold SET accepted_at = CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) WHERE target = $1 AND sha256 = $2 AND accepted_at IS NULL;

-- end_adapter_hold
DELETE FROM sync_adapter_hold WHERE target = $1 AND accepted_at IS NULL;

-- request_reload
INSERT INTO sync_adapter_control (target, reload_requests) VALUES ($1, 1)
ON CONFLICT (target) DO UPDATE SET reload_requests = sync_adapter_control.reload_requests + 1;

-- adapter_parts
SELECT part, parts, bytes FROM sync_adapter_part WHERE sha256 = $1 ORDER BY part;

-- count_adapter_parts
SELECT COUNT(*) FROM sync_adapter_part WHERE sha256 = $1;

-- put_adapter_part
INSERT INTO sync_adapter_part (sha256, part, parts, bytes) VALUES ($1, CAST($2 AS BIGINT), CAST($3 AS BIGINT), $4)
ON CONFLICT (sha256, part) DO UPDATE SET parts = excluded.parts;

-- forget_adapter
DELETE FROM sync_adapter_part
WHERE sha256 = $1 AND NOT EXISTS (SELECT 1 FROM sync_target WHERE adapter_sha256 = $2);

-- links_to_verify
SELECT l.aggregate_id, l.remote_id, l.remote_version, l.fingerprint, l.delivered_outbox_id
FROM sync_link l
WHERE l.target = $1 AND l.aggregate_type = $2 AND l.aggregate_id > $3 AND l.remote_id <> ''
ORDER BY l.aggregate_id
LIMIT CAST($4 AS BIGINT);

-- links_settled
SELECT j.aggregate_type, j.aggregate_id
FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(aggregate_type TEXT, aggregate_id TEXT, remote_id TEXT, delivered_outbox_id BIGINT)
JOIN sync_link l ON l.target = $2 AND l.aggregate_type = j.aggregate_type AND l.aggregate_id = j.aggregate_id
WHERE l.remote_id = j.remote_id AND l.delivered_outbox_id = j.delivered_outbox_id
    AND (SELECT COUNT(*) FROM sync_in_flight w
         WHERE w.target = $3 AND w.aggregate_type = j.aggregate_type AND w.aggregate_id = j.aggregate_id) = 0;

-- newest_change
SELECT MAX(o.id) FROM sync_outbox o;

-- read_verifications
SELECT v.run, v.types, v.started_at, v.finished_at, v.through_outbox_id, v.next_type, v.after_id,
    v.checked, v.edited, v.gone, v.several, v.not_ours, v.unknown, v.moved
FROM sync_verification v
WHERE v.target = $1;

-- begin_verification
INSERT INTO sync_verification
    (target, run, types, started_at, through_outbox_id, next_type, after_id,
     checked, edited, gone, several, not_ours, unknown, moved)
VALUES ($1, 'current', $2, CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT), CAST($3 AS BIGINT), $4, '', 0, 0, 0, 0, 0, 0, 0);

-- advance_verification
UPDATE sync_verification
SET next_type = $1,
    after_id = $2,
    checked = checked + CAST($3 AS BIGINT),
    edited = edited + CAST($4 AS BIGINT),
    gone = gone + CAST($5 AS BIGINT),
    several = several + CAST($6 AS BIGINT),
    not_ours = not_ours + CAST($7 AS BIGINT),
    unknown = unknown + CAST($8 AS BIGINT),
    moved = moved + CAST($9 AS BIGINT)
WHERE target = $10 AND run = 'current' AND next_type = $11 AND after_id = $12;

-- records_in_store
SELECT j.aggregate_id, j.remote_id
FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(aggregate_type TEXT, aggregate_id TEXT, remote_id TEXT)
LEFT JOIN LATERAL (SELECT l.remote_id FROM sync_link l
        WHERE l.target = $2 AND l.aggregate_type = j.aggregate_type AND l.aggregate_id = j.aggregate_id OFFSET 0) l ON TRUE
WHERE l.remote_id = j.remote_id
    OR (SELECT COUNT(*) FROM sync_in_flight w
         WHERE w.target = $3 AND w.aggregate_type = j.aggregate_type AND w.aggregate_id = j.aggregate_id) > 0
    OR (SELECT COUNT(*) FROM sync_delivery d
        WHERE d.target = $4 AND d.outbox_id = (SELECT CASE WHEN s.aggregate_id = j.aggregate_id AND s.aggregate_type = j.aggregate_type
                AND s.target = $5 THEN s.outbox_id END
             FROM (SELECT s.aggregate_id, s.aggregate_type, s.target, s.outbox_id FROM sync_delivery s
                WHERE (s.aggregate_id, s.aggregate_type, s.target, s.outbox_id)
                    <= (j.aggregate_id, j.aggregate_type, $6, 9223372036854775807)
                ORDER BY s.aggregate_id DESC, s.aggregate_type DESC, s.target DESC, s.outbox_id DESC LIMIT 1) s) AND d.status = 'pending') > 0;

-- count_not_in_store
SELECT f.aggregate_type, f.state, COUNT(*)
FROM sync_verification_finding f
WHERE f.target = $1 AND f.aggregate_type IN ($2, $3)
GROUP BY f.aggregate_type, f.state;

-- delete_verification
DELETE FROM sync_verification WHERE target = $1 AND run = $2;

-- finish_verification
UPDATE sync_verification SET run = 'last', finished_at = CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) WHERE target = $1 AND run = 'current';

-- put_findings
INSERT INTO sync_verification_finding (target, aggregate_type, aggregate_id, state, found_at)
SELECT $1, j.aggregate_type, j.aggregate_id, j.state, CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)
FROM jsonb_to_recordset(CAST($2 AS JSONB)) AS j(aggregate_type TEXT, aggregate_id TEXT, state TEXT)
ON CONFLICT (target, aggregate_type, aggregate_id) DO UPDATE SET state = excluded.state, found_at = excluded.found_at;

-- forget_findings
DELETE FROM sync_verification_finding
WHERE target = $1 AND aggregate_type = $2 AND found_at < CAST($3 AS BIGINT);

-- list_findings
SELECT f.aggregate_type, f.aggregate_id, f.state, f.found_at
FROM sync_verification_finding f
WHERE f.target = $1 AND f.aggregate_type = $2 AND f.aggregate_id > $3
ORDER BY f.aggregate_id
LIMIT CAST($4 AS BIGINT);

-- put_effects
INSERT INTO sync_effects (sha256, effects, seen_at)
VALUES ($1, $2, CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT))
ON CONFLICT (sha256) DO UPDATE SET seen_at = excluded.seen_at;

-- put_attempt
INSERT INTO sync_attempt
    (lease_id, target, host, adapter_name, adapter_version, adapter_sha256, interface_version, started_at, elapsed_ms,
    calls, changes, outcomes, effects_sha256, effect_counts, cause_kind, cause)
VALUES (CAST($1 AS BIGINT), $2, $3, $4, $5, $6, $7,
    CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) - CAST($8 AS BIGINT), CAST($9 AS BIGINT), CAST($10 AS BIGINT), CAST($11 AS BIGINT), $12, $13, $14, $15, $16)
ON CONFLICT (lease_id) DO UPDATE SET target = excluded.target, host = excluded.host, adapter_name = excluded.adapter_name,
    adapter_version = excluded.adapter_version, adapter_sha256 = excluded.adapter_sha256,
    interface_version = excluded.interface_version, started_at = excluded.started_at, elapsed_ms = excluded.elapsed_ms,
    calls = excluded.calls, changes = excluded.changes, outcomes = excluded.outcomes,
    effects_sha256 = excluded.effects_sha256, effect_counts = excluded.effect_counts, cause_kind = excluded.cause_kind,
    cause = excluded.cause;

-- knows_attempt
SELECT 1 FROM sync_attempt WHERE lease_id = CAST($1 AS BIGINT);

-- read_attempts
SELECT a.lease_id, a.target, a.host, a.adapter_name, a.adapter_version, a.adapter_sha256, a.interface_version,
    a.started_at, a.elapsed_ms, a.calls, a.changes, a.outcomes, a.effect_counts, e.effects, a.cause_kind, a.cause
FROM sync_attempt a
LEFT JOIN LATERAL (SELECT e.effects FROM sync_effects e
        WHERE e.sha256 = a.effects_sha256 OFFSET 0) e ON TRUE
WHERE a.lease_id = ANY(ARRAY(SELECT CAST(value AS BIGINT) FROM jsonb_array_elements_text(CAST($1 AS JSONB))))
ORDER BY a.lease_id;

-- recent_attempts
SELECT a.started_at, a.elapsed_ms, a.changes, a.outcomes, CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) - a.started_at - a.elapsed_ms
FROM (SELECT b.target, b.started_at, b.elapsed_ms, b.changes, b.outcomes
    FROM sync_attempt b
    WHERE (b.target, b.lease_id) <= ($1, 9223372036854775807) AND b.cause_kind IS NULL
    ORDER BY b.target DESC, b.lease_id DESC
    LIMIT CAST($2 AS BIGINT)) a
WHERE a.target = $3;

-- last_attempts
SELECT a.lease_id, a.started_at, a.elapsed_ms, a.calls, a.changes, a.outcomes, a.adapter_sha256, a.interface_version,
    a.cause_kind, a.cause
FROM (SELECT b.*
    FROM sync_attempt b
    WHERE (b.target, b.lease_id) <= ($1, 9223372036854775807)
    ORDER BY b.target DESC, b.lease_id DESC
    LIMIT CAST($2 AS BIGINT)) a
WHERE a.target = $3;

-- old_attempts
SELECT a.lease_id,
    CASE WHEN a.started_at < CAST($1 AS BIGINT) THEN 1 ELSE 0 END,
    CASE WHEN a.started_at < CAST($2 AS BIGINT) THEN 1 ELSE 0 END
FROM sync_attempt a
WHERE a.lease_id > CAST($3 AS BIGINT)
ORDER BY a.lease_id
LIMIT 1000;

-- delete_attempts
DELETE FROM sync_attempt WHERE lease_id = ANY(ARRAY(SELECT CAST(value AS BIGINT) FROM jsonb_array_elements_text(CAST($1 AS JSONB))));

-- delete_effects
DELETE FROM sync_effects WHERE seen_at < CAST($1 AS BIGINT);

-- change_key
SELECT o.id, o.aggregate_type, o.aggregate_id FROM sync_outbox o WHERE o.id = CAST($1 AS BIGINT);

-- event_key
SELECT o.id, o.aggregate_type, o.aggregate_id FROM sync_outbox o WHERE o.event_id = $1;

-- trace_deliveries
SELECT d.target, d.aggregate_type, d.aggregate_id, d.outbox_id, d.status, d.attempts, d.next_attempt_at, d.last_attempt,
        d.error_kind, d.error_message, d.created_at, d.finished_at
FROM sync_delivery d
WHERE d.aggregate_id = $1 AND d.aggregate_type = $2
    AND d.target = $3
    AND d.outbox_id = CAST($4 AS BIGINT)
ORDER BY d.outbox_id DESC, d.target
LIMIT CAST($5 AS BIGINT);

-- trace_deliveries, without target, change_id
SELECT d.target, d.aggregate_type, d.aggregate_id, d.outbox_id, d.status, d.attempts, d.next_attempt_at, d.last_attempt,
        d.error_kind, d.error_message, d.created_at, d.finished_at
FROM sync_delivery d
WHERE d.aggregate_id = $1 AND d.aggregate_type = $2
ORDER BY d.outbox_id DESC, d.target
LIMIT CAST($3 AS BIGINT);

-- trace_in_flight
SELECT w.target, w.outbox_id, w.lease_id, l.owner, l.acquired_at, l.lease_until
FROM sync_target t
CROSS JOIN LATERAL (SELECT w.target, w.outbox_id, w.lease_id FROM sync_in_flight w
        WHERE w.target = t.name AND w.aggregate_type = $1 AND w.aggregate_id = $2 OFFSET 0) w
LEFT JOIN LATERAL (SELECT l.owner, l.acquired_at, l.lease_until FROM sync_lease l
        WHERE l.lease_id = w.lease_id OFFSET 0) l ON TRUE
ORDER BY w.target;

-- trace_unrouted
SELECT o.id FROM sync_outbox o
WHERE o.routed_at IS NULL AND o.aggregate_type = $1 AND o.aggregate_id = $2
ORDER BY o.id + 0 DESC
LIMIT CAST($3 AS BIGINT);

-- trace_changes
SELECT o.id, o.event_id, o.operation, CASE WHEN created_at BETWEEN 946684800000 AND 4102444799999 THEN created_at END, o.routed_at
FROM sync_outbox o
WHERE o.id = ANY(ARRAY(SELECT CAST(value AS BIGINT) FROM jsonb_array_elements_text(CAST($1 AS JSONB))))
ORDER BY o.id;

-- trace_links
SELECT l.target, NULLIF(l.remote_id, ''), l.remote_version, l.delivered_outbox_id, l.synced_at, l.merged_into
FROM sync_target t
CROSS JOIN LATERAL (SELECT l.target, l.remote_id, l.remote_version, l.delivered_outbox_id, l.synced_at, l.merged_into FROM sync_link l
        WHERE l.target = t.name AND l.aggregate_type = $1 AND l.aggregate_id = $2 OFFSET 0) l
ORDER BY l.target;

-- trace_dependencies
SELECT r.target, r.outbox_id, r.referenced_type, r.referenced_id, l.synced_at
FROM sync_target t
CROSS JOIN sync_dependency r
LEFT JOIN LATERAL (SELECT l.synced_at FROM sync_link l
        WHERE l.target = r.target AND l.aggregate_type = r.referenced_type AND l.aggregate_id = r.referenced_id OFFSET 0) l ON TRUE
WHERE r.target = t.name AND r.outbox_id = ANY(ARRAY(SELECT CAST(value AS BIGINT) FROM jsonb_array_elements_text(CAST($1 AS JSONB))))
ORDER BY r.outbox_id, r.target, r.referenced_type, r.referenced_id;

-- trace_dismissals
SELECT d.target, d.outbox_id, d.reason, d.dismissed_by, d.dismissed_at
FROM sync_target t
CROSS JOIN sync_dismissal d
WHERE d.target = t.name AND d.outbox_id = ANY(ARRAY(SELECT CAST(value AS BIGINT) FROM jsonb_array_elements_text(CAST($1 AS JSONB))))
ORDER BY d.outbox_id, d.target;

-- trace_findings
SELECT f.target, f.state, f.found_at
FROM sync_target t
CROSS JOIN sync_verification_finding f
WHERE f.target = t.name AND f.aggregate_type = $1 AND f.aggregate_id = $2
ORDER BY f.target;

-- trace_merges
SELECT m.patient_id, m.survivor_id, m.reason, m.merged_by, m.merged_at
FROM patient_merge m WHERE m.patient_id = $1
UNION ALL
SELECT m.patient_id, m.survivor_id, m.reason, m.merged_by, m.merged_at
FROM patient_merge m WHERE m.survivor_id = $2
ORDER BY 5, 1
LIMIT CAST($3 AS BIGINT);

-- page_deliveries
SELECT d.target, d.aggregate_type, d.aggregate_id, d.outbox_id, d.status, d.attempts, d.next_attempt_at, d.last_attempt,
        d.error_kind, d.error_message, d.created_at, d.finished_at
FROM sync_delivery d
WHERE d.target = $1 AND d.outbox_id < CAST($2 AS BIGINT)
ORDER BY d.outbox_id DESC
LIMIT CAST($3 AS BIGINT);

-- page_ended
SELECT d.target, d.aggregate_type, d.aggregate_id, d.outbox_id, d.status, d.attempts, d.next_attempt_at, d.last_attempt,
        d.error_kind, d.error_message, d.created_at, d.finished_at
FROM sync_delivery d
WHERE d.target = $1 AND d.next_attempt_at = CAST($2 AS BIGINT)
        AND d.error_kind = $3
        AND d.finished_at >= CAST($4 AS BIGINT)
    AND d.outbox_id + 0 < CAST($5 AS BIGINT)
ORDER BY d.outbox_id + 0 DESC
LIMIT CAST($6 AS BIGINT);

-- page_ended, without kind, since
SELECT d.target, d.aggregate_type, d.aggregate_id, d.outbox_id, d.status, d.attempts, d.next_attempt_at, d.last_attempt,
        d.error_kind, d.error_message, d.created_at, d.finished_at
FROM sync_delivery d
WHERE d.target = $1 AND d.next_attempt_at = CAST($2 AS BIGINT)
    AND d.outbox_id + 0 < CAST($3 AS BIGINT)
ORDER BY d.outbox_id + 0 DESC
LIMIT CAST($4 AS BIGINT);

-- count_causes
SELECT n.error_kind, n.error_message, COUNT(*)
FROM (SELECT d.error_kind, d.error_message
    FROM sync_delivery d
    WHERE d.target = $1 AND d.next_attempt_at = CAST($2 AS BIGINT)
            AND d.error_kind = $3
            AND d.finished_at >= CAST($4 AS BIGINT)
    LIMIT 100000) n
GROUP BY n.error_kind, n.error_message
ORDER BY 3 DESC, 1, 2
LIMIT CAST($5 AS BIGINT);

-- count_causes, without kind, since
SELECT n.error_kind, n.error_message, COUNT(*)
FROM (SELECT d.error_kind, d.error_message
    FROM sync_delivery d
    WHERE d.target = $1 AND d.next_attempt_at = CAST($2 AS BIGINT)
    LIMIT 100000) n
GROUP BY n.error_kind, n.error_message
ORDER BY 3 DESC, 1, 2
LIMIT CAST($3 AS BIGINT);

-- queued_before
SELECT COUNT(*)
FROM (SELECT d.outbox_id
    FROM sync_delivery d
    WHERE d.target = $1 AND d.next_attempt_at <= CAST($2 AS BIGINT)
        AND (d.next_attempt_at < CAST($3 AS BIGINT) OR d.outbox_id + 0 < CAST($4 AS BIGINT))
    LIMIT 100001) n;

-- lock_audit_head
SELECT t.event_id, t.hash, CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) FROM audit_head t WHERE t.only_row = 1
FOR UPDATE;

-- read_audit_head
SELECT t.event_id, t.hash FROM audit_head t WHERE t.only_row = 1;

-- move_audit_head
UPDATE audit_head SET event_id = CAST($1 AS BIGINT), hash = $2 WHERE only_row = 1 AND event_id = CAST($3 AS BIGINT) - 1;

-- insert_audit_event
INSERT INTO audit_event
    (id, recorded_at, command_id, os_user, os_uid, login, acting_as, machine, remote, action, target, aggregate_type,
    aggregate_id, other_id, item_count, detail, reason, outcome, previous_hash, hash)
SELECT j.id, j.recorded_at, j.command_id, j.os_user, j.os_uid, j.login, j.acting_as,
    j.machine, j.remote, j.action, j.target, j.aggregate_type, j.aggregate_id, j.other_id,
    j.item_count, j.detail, j.reason, j.outcome, j.previous_hash, j.hash
FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(id BIGINT, recorded_at BIGINT, command_id TEXT, os_user TEXT, os_uid BIGINT, login TEXT, acting_as TEXT, machine TEXT, remote TEXT, action TEXT, target TEXT, aggregate_type TEXT, aggregate_id TEXT, other_id TEXT, item_count BIGINT, detail TEXT, reason TEXT, outcome TEXT, previous_hash TEXT, hash TEXT);

-- audit_events_after
SELECT t.id, t.recorded_at, t.command_id, t.os_user, t.os_uid, t.login, t.acting_as,
    t.machine, t.remote, t.action, t.target, t.aggregate_type, t.aggregate_id, t.other_id,
    t.item_count, t.detail, t.reason, t.outcome, t.previous_hash, t.hash
FROM audit_event t
WHERE t.id > CAST($1 AS BIGINT)
    AND t.recorded_at >= CAST($2 AS BIGINT)
ORDER BY t.id
LIMIT CAST($3 AS BIGINT);

-- audit_events_after, without since
SELECT t.id, t.recorded_at, t.command_id, t.os_user, t.os_uid, t.login, t.acting_as,
    t.machine, t.remote, t.action, t.target, t.aggregate_type, t.aggregate_id, t.other_id,
    t.item_count, t.detail, t.reason, t.outcome, t.previous_hash, t.hash
FROM audit_event t
WHERE t.id > CAST($1 AS BIGINT)
ORDER BY t.id
LIMIT CAST($2 AS BIGINT);

-- audit_events_before
SELECT t.id, t.recorded_at, t.command_id, t.os_user, t.os_uid, t.login, t.acting_as,
    t.machine, t.remote, t.action, t.target, t.aggregate_type, t.aggregate_id, t.other_id,
    t.item_count, t.detail, t.reason, t.outcome, t.previous_hash, t.hash
FROM audit_event t
WHERE t.id < CAST($1 AS BIGINT)
    AND t.recorded_at >= CAST($2 AS BIGINT)
    AND (t.os_user = $3 OR t.login = $4 OR t.acting_as = $5)
    AND t.action IN ($6, $7)
    AND t.aggregate_type = $8 AND (t.aggregate_id = $9 OR t.other_id = $10)
ORDER BY t.id DESC
LIMIT CAST($11 AS BIGINT);

-- audit_events_before, without since, actor, actions, aggregate_type, aggregate_id
SELECT t.id, t.recorded_at, t.command_id, t.os_user, t.os_uid, t.login, t.acting_as,
    t.machine, t.remote, t.action, t.target, t.aggregate_type, t.aggregate_id, t.other_id,
    t.item_count, t.detail, t.reason, t.outcome, t.previous_hash, t.hash
FROM audit_event t
WHERE t.id < CAST($1 AS BIGINT)
ORDER BY t.id DESC
LIMIT CAST($2 AS BIGINT);

-- audit_decisions
SELECT t.id, t.recorded_at, t.command_id, t.os_user, t.os_uid, t.login, t.acting_as,
    t.machine, t.remote, t.action, t.target, t.aggregate_type, t.aggregate_id, t.other_id,
    t.item_count, t.detail, t.reason, t.outcome, t.previous_hash, t.hash
FROM audit_event t
WHERE t.aggregate_id = $1 AND t.aggregate_type = $2 AND t.outcome = $3
    AND (t.item_count IS NULL OR t.item_count > 0)
    AND t.action IN ($4, $5)
ORDER BY t.id DESC
LIMIT CAST($6 AS BIGINT);

-- audit_bulk_decisions
SELECT t.id, t.recorded_at, t.command_id, t.os_user, t.os_uid, t.login, t.acting_as,
    t.machine, t.remote, t.action, t.target, t.aggregate_type, t.aggregate_id, t.other_id,
    t.item_count, t.detail, t.reason, t.outcome, t.previous_hash, t.hash
FROM (
    SELECT MIN(b.id) AS first_id
    FROM audit_event b
    WHERE b.id > (SELECT h.event_id FROM audit_head h WHERE h.only_row = 1) - 100000
        AND b.aggregate_id IS NULL AND b.outcome = $1 AND b.item_count > 0 AND b.recorded_at >= CAST($2 AS BIGINT)
        AND b.action IN ($3, $4)
    GROUP BY b.command_id
    ORDER BY MIN(b.id) DESC
    LIMIT CAST($5 AS BIGINT)
) c
JOIN audit_event t ON t.id = c.first_id
ORDER BY t.id;

-- sent_deliveries
SELECT d.outbox_id, d.aggregate_type, d.aggregate_id, o.operation, d.status, d.error_kind, d.finished_at, l.remote_id
FROM sync_delivery d
LEFT JOIN sync_outbox o ON o.id = d.outbox_id
LEFT JOIN LATERAL (SELECT l.remote_id FROM sync_link l
        WHERE l.target = d.target AND l.aggregate_type = d.aggregate_type AND l.aggregate_id = d.aggregate_id OFFSET 0) l ON TRUE
WHERE d.target = $1 AND d.outbox_id > CAST($2 AS BIGINT) AND d.status IN ('done', 'failed') AND d.attempts > 0
    AND d.finished_at >= CAST($3 AS BIGINT)
ORDER BY d.outbox_id
LIMIT CAST($4 AS BIGINT);

-- sent_deliveries, without since
SELECT d.outbox_id, d.aggregate_type, d.aggregate_id, o.operation, d.status, d.error_kind, d.finished_at, l.remote_id
FROM sync_delivery d
LEFT JOIN sync_outbox o ON o.id = d.outbox_id
LEFT JOIN LATERAL (SELECT l.remote_id FROM sync_link l
        WHERE l.target = d.target AND l.aggregate_type = d.aggregate_type AND l.aggregate_id = d.aggregate_id OFFSET 0) l ON TRUE
WHERE d.target = $1 AND d.outbox_id > CAST($2 AS BIGINT) AND d.status IN ('done', 'failed') AND d.attempts > 0
ORDER BY d.outbox_id
LIMIT CAST($3 AS BIGINT);

-- list_alerts
SELECT sync_alert.id, sync_alert.kind, sync_alert.target, sync_alert.subject, sync_alert.sentence, sync_alert.example,
    sync_alert.raised_at, sync_alert.ended_at, sync_alert.acknowledged_at, sync_alert.acknowledged_by
FROM sync_alert
WHERE sync_alert.ended_mark = CAST($1 AS BIGINT)
ORDER BY sync_alert.id DESC
LIMIT CAST($2 AS BIGINT);

-- list_alerts, without ended_mark
SELECT sync_alert.id, sync_alert.kind, sync_alert.target, sync_alert.subject, sync_alert.sentence, sync_alert.example,
    sync_alert.raised_at, sync_alert.ended_at, sync_alert.acknowledged_at, sync_alert.acknowledged_by
FROM sync_alert
ORDER BY sync_alert.id DESC
LIMIT CAST($1 AS BIGINT);

-- touch_alerts
UPDATE sync_alert AS t
SET seen_at = CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT), sentence = j.sentence, example = j.example
FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(id BIGINT, sentence TEXT, example TEXT)
WHERE t.id = j.id AND t.ended_mark = 0;

-- raise_alerts
INSERT INTO sync_alert (kind, target, subject, sentence, example, raised_at, seen_at)
SELECT j.kind, j.target, j.subject, j.sentence, j.example, CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT), CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)
FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS j(kind TEXT, target TEXT, subject TEXT, sentence TEXT, example TEXT)
ON CONFLICT (ended_mark, kind, target, subject) DO UPDATE SET seen_at = excluded.seen_at;

-- end_alerts
UPDATE sync_alert SET ended_mark = id, ended_at = CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) WHERE ended_mark = 0 AND seen_at < CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) - CAST($1 AS BIGINT);

-- announce_ends
UPDATE sync_alert_send SET next_at = CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT), failures = 0
WHERE next_at < 9223372036854775807 AND alert_id IN (SELECT id FROM sync_alert WHERE ended_mark > 0);

-- enter_alert_sends
INSERT INTO sync_alert_send (alert_id, channel, next_at)
SELECT sync_alert.id, $1, CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)
FROM sync_alert
WHERE sync_alert.ended_mark = 0
    AND (SELECT COUNT(*) FROM sync_alert_send s WHERE s.alert_id = sync_alert.id AND s.channel = $2) = 0
ON CONFLICT (alert_id, channel) DO UPDATE SET sends = sync_alert_send.sends;

-- due_alert_sends
SELECT sync_alert.id, sync_alert.kind, sync_alert.target, sync_alert.subject, sync_alert.sentence, sync_alert.example,
    sync_alert.raised_at, sync_alert.ended_at, sync_alert.acknowledged_at, sync_alert.acknowledged_by, sync_alert_send.channel, sync_alert_send.sends, sync_alert_send.failures,
    sync_alert_send.next_at, CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)
FROM sync_alert_send JOIN sync_alert ON sync_alert.id = sync_alert_send.alert_id
WHERE sync_alert_send.next_at <= CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) AND sync_alert_send.claimed_until <= CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)
    AND sync_alert_send.channel IN ($1, $2)
    AND (sync_alert.ended_mark > 0 OR sync_alert.acknowledged_at IS NULL)
ORDER BY sync_alert_send.next_at, sync_alert_send.alert_id
LIMIT CAST($3 AS BIGINT);

-- claim_alert_send
UPDATE sync_alert_send
SET claimed_by = $1, claimed_until = CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) + CAST($2 AS BIGINT)
WHERE alert_id = CAST($3 AS BIGINT) AND channel = $4 AND next_at = CAST($5 AS BIGINT) AND claimed_until <= CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT);

-- settle_alert_send
UPDATE sync_alert_send
SET claimed_until = 0,
    sends = sends + CAST($1 AS BIGINT),
    last_sent_at = CASE WHEN CAST($2 AS BIGINT) = 1 THEN CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) ELSE last_sent_at END,
    failures = CAST($3 AS BIGINT),
    error = $4,
    next_at = CASE WHEN next_at = CAST($5 AS BIGINT) THEN CAST($6 AS BIGINT) ELSE next_at END
WHERE alert_id = CAST($7 AS BIGINT) AND channel = $8 AND claimed_by = $9 AND claimed_until > 0;

-- alert_sends
SELECT alert_id, channel, sends, last_sent_at, failures, error
FROM sync_alert_send
WHERE alert_id >= CAST($1 AS BIGINT)
ORDER BY alert_id, channel;

-- acknowledge_alerts
UPDATE sync_alert
SET acknowledged_at = CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT), acknowledged_by = $1
WHERE ended_mark = 0 AND acknowledged_at IS NULL
    AND id = CAST($2 AS BIGINT)
    AND kind = $3
    AND target = $4;

-- acknowledge_alerts, without id, kind, target
UPDATE sync_alert
SET acknowledged_at = CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT), acknowledged_by = $1
WHERE ended_mark = 0 AND acknowledged_at IS NULL;

-- purge_alert_sends
DELETE FROM sync_alert_send
WHERE alert_id IN (SELECT id FROM sync_alert WHERE ended_mark > 0 AND ended_at < CAST($1 AS BIGINT));

-- purge_alerts
DELETE FROM sync_alert WHERE ended_mark > 0 AND ended_at < CAST($1 AS BIGINT);

-- heartbeats
SELECT id, started_at, seen_at, CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) - seen_at FROM sync_host ORDER BY id;

-- rolled_back_adapters
SELECT target, rejected_sha256 FROM sync_adapter_control WHERE rejected_sha256 IS NOT NULL ORDER BY target;

-- changes_after
SELECT o.aggregate_type, MAX(o.id), CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) - MAX(COALESCE(o.routed_at, CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)))
FROM sync_outbox o
WHERE o.id > CAST($1 AS BIGINT)
GROUP BY o.aggregate_type;

-- failed_lately
SELECT COUNT(*)
FROM (SELECT d.finished_at FROM sync_delivery d
    WHERE d.target = $1 AND d.next_attempt_at = 9223372036854775807
    LIMIT 10000) n
WHERE n.finished_at > CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) - 3600000;

-- import_progress
SELECT bytes_done, bytes_sha256, lines_done, created_count, updated_count, unchanged_count, repeated_count,
    rejected_count, incomplete_count, rejects_bytes, finished_at
FROM sync_import
WHERE id = $1;

-- delete_import
DELETE FROM sync_import WHERE id = $1;

-- begin_import
INSERT INTO sync_import
    (id, file, bytes_done, bytes_sha256, lines_done, created_count, updated_count, unchanged_count, repeated_count,
    rejected_count, rejects_bytes, started_at, updated_at)
VALUES ($1, $2, 0, '', 0, 0, 0, 0, 0, 0, 0, CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT), CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT));

-- advance_import
UPDATE sync_import
SET bytes_done = CAST($1 AS BIGINT),
    bytes_sha256 = $2,
    lines_done = CAST($3 AS BIGINT),
    created_count = CAST($4 AS BIGINT),
    updated_count = CAST($5 AS BIGINT),
    unchanged_count = CAST($6 AS BIGINT),
    repeated_count = CAST($7 AS BIGINT),
    rejected_count = CAST($8 AS BIGINT),
    incomplete_count = CAST($9 AS BIGINT),
    rejects_bytes = CAST($10 AS BIGINT),
    updated_at = CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT),
    finished_at = CASE WHEN CAST($11 AS BIGINT) = 1 THEN CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) END
WHERE id = $12 AND bytes_done = CAST($13 AS BIGINT);
