-- Direct dispatch: new changes go under a lease at once, without being queued (direct.rs).

-- name: direct_candidates
-- What is known at a target of the aggregates of changes that have no delivery there yet.
SELECT o.id, o.aggregate_type, o.aggregate_id,
    {newest_sibling(:target, o)},
    {confirmed_id(:target, o)},
    {in_flight_count(:target, o)}
FROM sync_outbox o
WHERE {key_in_ids(o.id)}
ORDER BY o.id;

-- name: begin_in_flight_direct
-- Enters changes that have no delivery yet as in flight.
INSERT INTO sync_in_flight (target, aggregate_type, aggregate_id, outbox_id, lease_id)
SELECT :target, o.aggregate_type, o.aggregate_id, o.id, :lease_id
FROM sync_outbox o
WHERE {key_in_ids(o.id)};
