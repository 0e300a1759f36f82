-- Routing: every change gets one delivery for each target that takes its type (outbox.rs, routing.rs,
-- refuse.rs).

-- name: has_unrouted
-- Checks without locking first, so that an idle host does not hold SQLite's write lock.
SELECT id FROM sync_outbox WHERE routed_at IS NULL AND id > :after ORDER BY id LIMIT 1;

-- name: unrouted
-- Changes that nobody has routed yet, in the columns that `readable::unrouted` reads. The payload may be
-- large: only its type is read.
SELECT o.id, o.aggregate_type, o.aggregate_id, o.operation, o.event_id, o.created_at, {payload_type}, {refs_columns}
FROM sync_outbox o
WHERE o.routed_at IS NULL AND o.id > :after
ORDER BY o.id
LIMIT :limit
{lock_free_rows};

-- name: enqueue
-- One pending delivery for each change and each route that takes its type, unless there is one or the change
-- is in flight.
INSERT INTO sync_delivery (target, outbox_id, aggregate_type, aggregate_id, status, next_attempt_at, created_at)
SELECT j.target, o.id, o.aggregate_type, o.aggregate_id, {at_queue}, {now}, {now}
FROM sync_outbox o
JOIN {batch(target text, aggregate_type text)} ON j.aggregate_type = o.aggregate_type
WHERE {key_in_ids(o.id)}
    AND (SELECT COUNT(*) FROM sync_delivery d WHERE d.target = j.target AND d.outbox_id = o.id) = 0
    AND {change_in_flight_count(j.target, o)} = 0;

-- name: mark_routed
-- Marks changes as routed: all of them or, when the routes are no longer of this revision, none.
UPDATE sync_outbox
SET routed_at = {now}
WHERE {key_in_ids(id)}
    AND COALESCE(routed_at, 0) = 0
    AND (SELECT COALESCE(SUM(t.route_revision), 0) FROM sync_target t) = :revision;

-- fragment: refused
{batch(
    target text, outbox_id integer, aggregate_type text, aggregate_id text, error_kind text, error_message text)}

-- name: insert_refused
-- A failed delivery of each change that cannot be read, where there is none yet.
INSERT INTO sync_delivery
    (target, outbox_id, aggregate_type, aggregate_id, status, next_attempt_at, error_kind, error_message,
    created_at, finished_at)
SELECT j.target, j.outbox_id, j.aggregate_type, j.aggregate_id, {at_refuse}, {never}, j.error_kind, j.error_message,
    {now}, {now}
FROM {refused}
WHERE (SELECT COUNT(*) FROM sync_delivery d WHERE d.target = j.target AND d.outbox_id = j.outbox_id) = 0;

-- name: fail_refused
-- Fails claimed deliveries whose change cannot be read.
UPDATE sync_delivery AS t {force_index(PRIMARY)}
SET status = {to_give_up},
    attempts = 0,
    lease_id = NULL,
    error_kind = j.error_kind,
    error_message = j.error_message,
    next_attempt_at = {never},
    finished_at = {now}
FROM {locate_by_ctid(sync_delivery, {refused}, {delivery_key})}
WHERE {by_ctid({delivery_key})} AND t.lease_id = :lease_id AND t.status = {from_give_up};

-- name: nearly_routed
-- The newest change that has a delivery: nearly everything before it is routed. Whoever counts from the
-- beginning reads the dead entries of all that was routed and is not tidied up yet. In this form, since
-- MySQL would read all of a target's deliveries for their MAX.
SELECT MAX(m.newest)
FROM (SELECT
        (SELECT d.outbox_id FROM sync_delivery d WHERE d.target = t.name ORDER BY d.outbox_id DESC LIMIT 1) AS newest
    FROM sync_target t) m;

-- name: count_unrouted
-- How many changes are not routed, all or those before one, counted as far as that is quick.
SELECT COUNT(*)
FROM (SELECT 1 AS one
    FROM sync_outbox
    WHERE routed_at IS NULL AND id > :after
        [[AND id < :before]]
    LIMIT {unrouted_counted}) n;

-- name: oldest_unrouted
-- For how long the oldest of them has been waiting.
SELECT {now} - {created_at} FROM sync_outbox WHERE routed_at IS NULL AND id > :after ORDER BY id LIMIT 1;

-- name: estimate_unrouted
-- Ids from the first of them to the last.
SELECT (SELECT id
        FROM sync_outbox
        WHERE routed_at IS NULL AND id > :after
            [[AND id < :before]]
        ORDER BY id DESC
        LIMIT 1)
    - (SELECT id FROM sync_outbox WHERE routed_at IS NULL AND id > :after ORDER BY id ASC LIMIT 1) + 1;
