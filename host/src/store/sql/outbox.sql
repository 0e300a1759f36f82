-- The outbox: changes that the host itself writes (outbox.rs, resync.rs).

-- name: append
-- A few changes, in the order of their positions.
INSERT INTO sync_outbox (event_id, aggregate_type, aggregate_id, operation, payload, refs, created_at)
SELECT j.event_id, j.aggregate_type, j.aggregate_id, j.operation, j.payload, j.refs, {now}
FROM {batch(
    position integer, event_id text, aggregate_type text, aggregate_id text, operation text, payload long_text,
    refs long_text)}
ORDER BY j.position;

-- name: append_block (sqlite, mysql)
-- Many changes: read field by field from JSON, wide rows cost two to three times as much.
INSERT INTO sync_outbox (event_id, aggregate_type, aggregate_id, operation, payload, refs, created_at)
VALUES (:rows, {now})...;

-- name: append_block (postgres)
INSERT INTO sync_outbox (event_id, aggregate_type, aggregate_id, operation, payload, refs, created_at)
SELECT j.event_id, j.aggregate_type, j.aggregate_id, j.operation, j.payload, j.refs, {now}
FROM unnest(:rows) AS j(event_id, aggregate_type, aggregate_id, operation, payload, refs);

-- name: enqueue_for_target
-- One pending delivery of each of these changes, for one target alone.
INSERT INTO sync_delivery (target, outbox_id, aggregate_type, aggregate_id, status, next_attempt_at, created_at)
SELECT :target, o.id, o.aggregate_type, o.aggregate_id, {at_queue}, {now}, {now}
FROM {batch(event_id text)} JOIN sync_outbox o ON o.event_id = j.event_id;

-- name: ids_of_events
SELECT o.id FROM {batch(event_id text)} JOIN sync_outbox o ON o.event_id = j.event_id;

-- name: mark_events_routed
UPDATE sync_outbox SET routed_at = {now} WHERE {key_in_batch(event_id, event_id, {batch(event_id text)})};
