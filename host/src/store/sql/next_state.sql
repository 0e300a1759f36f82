-- What a target would be given next of one aggregate (next_state.rs). Nothing is changed.

-- name: newest_delivery
SELECT outbox_id, status, attempts
FROM sync_delivery {force_index(sync_delivery_aggregate)}
WHERE target = :target AND aggregate_type = :aggregate_type AND aggregate_id = :aggregate_id
ORDER BY outbox_id DESC
LIMIT 1;

-- name: newest_unrouted
SELECT MAX(id) FROM sync_outbox
WHERE routed_at IS NULL AND aggregate_type = :aggregate_type AND aggregate_id = :aggregate_id;

-- name: in_flight_change
SELECT outbox_id FROM sync_in_flight
WHERE target = :target AND aggregate_type = :aggregate_type AND aggregate_id = :aggregate_id;

-- name: read_change
SELECT {change_columns}
FROM sync_outbox o
LEFT JOIN sync_link l ON l.target = :target AND l.aggregate_type = o.aggregate_type AND l.aggregate_id = o.aggregate_id
WHERE o.id = :change_id;

-- name: read_link
SELECT remote_id, remote_version, fingerprint
FROM sync_link
WHERE target = :target AND aggregate_type = :aggregate_type AND aggregate_id = :aggregate_id;

-- name: recently_done
-- Deliveries that the target has confirmed, the newest change first, in pages.
SELECT outbox_id, aggregate_type, aggregate_id, finished_at
FROM sync_delivery
WHERE target = :target AND outbox_id < :before AND status = {done}
ORDER BY outbox_id DESC
LIMIT :limit;
