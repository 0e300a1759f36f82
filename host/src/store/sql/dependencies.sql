-- Dependencies: deliveries that wait until their target has what they refer to (dependencies.rs).

-- fragment: missing_count(delivery)
-- How many of the aggregates that this delivery refers to have no link at its target yet.
(SELECT COUNT(*) FROM sync_dependency p
 WHERE p.target = {delivery}.target AND p.outbox_id = {delivery}.outbox_id
   AND (SELECT COUNT(*) FROM sync_link l
     WHERE l.target = p.target AND l.aggregate_type = p.referenced_type AND l.aggregate_id = p.referenced_id) = 0)

-- name: insert_dependencies
-- What deliveries refer to, as far as their targets take its type.
INSERT INTO sync_dependency (target, outbox_id, referenced_type, referenced_id)
SELECT j.target, j.outbox_id, j.referenced_type, j.referenced_id
FROM {batch(target text, outbox_id integer, referenced_type text, referenced_id text)}
WHERE (SELECT COUNT(*) FROM sync_dependency p
    WHERE p.target = j.target AND p.outbox_id = j.outbox_id
        AND p.referenced_type = j.referenced_type AND p.referenced_id = j.referenced_id) = 0;

-- fragment: delivery_of_target
t.target = j.target AND t.outbox_id = j.outbox_id

-- name: hold_dependents
-- Queued deliveries that lack something they refer to wait until `wake` makes them due.
UPDATE sync_delivery AS t {force_index(PRIMARY)}
SET next_attempt_at = {waiting}
FROM {locate_by_ctid(sync_delivery, {batch(target text, outbox_id integer)}, {delivery_of_target})}
WHERE {by_ctid({delivery_of_target})} AND t.status = {pending} AND {missing_count(t)} > 0;

-- name: waiting_twice
-- Of these deliveries those that wait while their aggregate has older ones or a newer one: the aggregate, and its
-- newest delivery. What is older than the confirmed one is finished.
SELECT DISTINCT d.aggregate_type, d.aggregate_id, {newest_sibling(d.target, d)}
FROM sync_delivery d {force_index(PRIMARY)}
WHERE d.target = :target AND {key_in_ids(d.outbox_id)}
    AND d.status = {pending} AND d.next_attempt_at = {waiting}
    AND {oldest_sibling_after(d.target, d, COALESCE({confirmed_id(d.target, d)}, 0))} < {newest_sibling(d.target, d)};

-- fragment: waiting_sibling
{is_sibling(t, :target, j, < j.before_id)} AND t.status = {pending} AND t.next_attempt_at = {waiting}

-- name: supersede_waiting
-- Finishes what waits and has a newer delivery. What was woken meanwhile is left to the claim.
UPDATE sync_delivery AS t {force_index(sync_delivery_aggregate)}
SET status = {to_supersede},
    next_attempt_at = NULL,
    finished_at = {now}
FROM {locate_by_ctid(
    sync_delivery,
    {batch(aggregate_type text, aggregate_id text, before_id integer)},
    {waiting_sibling} {lock_free_rows})}
WHERE {by_ctid({waiting_sibling})};

-- name: read_routed
-- The columns of `unrouted`, of changes that are routed: what they refer to is read once more.
SELECT o.id, o.aggregate_type, o.aggregate_id, o.operation, o.event_id, o.created_at, {payload_type}, {refs_columns}
FROM sync_outbox o
WHERE {key_in_ids(o.id)}
ORDER BY o.id;

-- name: confirmed_dependents
-- Deliveries that are done, refer to one of these aggregates, and brought the newest state that the target confirmed
-- of their own.
SELECT DISTINCT d.outbox_id, d.aggregate_type, d.aggregate_id
FROM {batch(aggregate_type text, aggregate_id text)}
{lookup(
    sync_dependency, p, sync_dependency_referenced,
    p.target = :target AND p.referenced_type = j.aggregate_type AND p.referenced_id = j.aggregate_id,
    p.target, p.outbox_id)}
{lookup(
    sync_delivery, d, PRIMARY,
    d.target = p.target AND d.outbox_id = p.outbox_id,
    d.target, d.outbox_id, d.aggregate_type, d.aggregate_id, d.status)}
WHERE d.status = {done} AND {confirmed_id(:target, d)} = d.outbox_id
ORDER BY d.outbox_id;

-- name: links_of_keys
-- The target's ids of these aggregates, and what they were merged into.
SELECT j.aggregate_type, j.aggregate_id, l.remote_id, l.merged_into
FROM {batch(aggregate_type text, aggregate_id text)}
JOIN sync_link l ON l.target = :target AND l.aggregate_type = j.aggregate_type AND l.aggregate_id = j.aggregate_id;

-- name: ready_dependents
-- Deliveries that wait, refer to one of these aggregates, and lack nothing any more.
SELECT DISTINCT d.outbox_id
FROM {batch(aggregate_type text, aggregate_id text)}
{lookup(
    sync_dependency, p, sync_dependency_referenced,
    p.target = :target AND p.referenced_type = j.aggregate_type AND p.referenced_id = j.aggregate_id,
    p.target, p.outbox_id)}
{lookup(
    sync_delivery, d, PRIMARY,
    d.target = p.target AND d.outbox_id = p.outbox_id,
    d.target, d.outbox_id, d.status, d.next_attempt_at)}
WHERE d.status = {pending} AND d.next_attempt_at = {waiting} AND {missing_count(d)} = 0
ORDER BY d.outbox_id
LIMIT {wake_chunk};

-- name: ready_among
-- Which of these deliveries wait and lack nothing any more.
SELECT d.outbox_id
FROM sync_delivery d {force_index(PRIMARY)}
WHERE d.target = :target AND {key_in_ids(d.outbox_id)}
    AND d.status = {pending} AND d.next_attempt_at = {waiting} AND {missing_count(d)} = 0
ORDER BY d.outbox_id;

-- name: next_waiting
-- The next deliveries of a target that wait for something, and how many links each of them lacks.
SELECT n.outbox_id, n.aggregate_type, n.aggregate_id, {missing_count(n)}
FROM (SELECT d.target, d.outbox_id, d.aggregate_type, d.aggregate_id
    FROM sync_delivery d {force_index(sync_delivery_due)}
    WHERE d.target = :target AND d.next_attempt_at = {waiting} AND d.outbox_id > :after
    ORDER BY d.outbox_id
    LIMIT {wake_chunk}) n
ORDER BY n.outbox_id;

-- name: wake
-- Makes deliveries due that wait for something.
UPDATE sync_delivery {force_index(PRIMARY)}
SET next_attempt_at = {now}
WHERE {deliveries_by_id} AND status = {pending} AND next_attempt_at = {waiting};

-- name: read_references
-- The target's ids of what these changes refer to, and what that was merged into; NULL where it has no link.
SELECT p.outbox_id, p.referenced_type, p.referenced_id, l.remote_id, l.merged_into
FROM sync_dependency p
{left_lookup(
    sync_link, l,
    l.target = p.target AND l.aggregate_type = p.referenced_type AND l.aggregate_id = p.referenced_id,
    l.remote_id, l.merged_into)}
WHERE p.target = :target AND {key_in_ids(p.outbox_id)};

-- name: open_among
-- Which of these aggregates have an open change at a target: in flight, or the newest delivery is pending.
SELECT j.aggregate_type, j.aggregate_id
FROM {batch(aggregate_type text, aggregate_id text)}
WHERE {in_flight_count(:target, j)} > 0
    OR (SELECT COUNT(*) FROM sync_delivery d {force_index(PRIMARY)}
        WHERE d.target = :target AND d.outbox_id = {newest_sibling(:target, j)} AND d.status = {pending}) > 0;

-- name: merging_elsewhere
-- Which of these aggregates have a merge in flight under another lease.
SELECT w.aggregate_type, w.aggregate_id
FROM {batch(aggregate_type text, aggregate_id text)}
{lookup(
    sync_in_flight, w, PRIMARY,
    w.target = :target AND w.aggregate_type = j.aggregate_type AND w.aggregate_id = j.aggregate_id,
    w.aggregate_type, w.aggregate_id, w.outbox_id, w.lease_id)}
{lookup(sync_outbox, o, PRIMARY, o.id = w.outbox_id, o.operation)}
WHERE w.lease_id <> :lease_id AND o.operation = 'merge';

-- name: lock_moves
-- Keeps settlements of what refers to something waiting until this transaction ends, and other moves of records too.
-- The row is one that every store has and nobody writes: a host that freezes here holds up no report of a target.
SELECT t.value FROM sync_setting t WHERE t.name = 'users_table'
{lock_rows};

-- name: share_moves
-- Keeps others from moving records until this transaction ends. Settlements do not keep each other waiting by it.
SELECT t.value FROM sync_setting t WHERE t.name = 'users_table'
{share_rows};

-- name: wait_again
-- Claimed deliveries that lack something after all.
UPDATE sync_delivery {force_index(PRIMARY)}
SET status = {to_requeue}, next_attempt_at = {waiting}, lease_id = NULL
WHERE {deliveries_by_id} AND lease_id = :lease_id AND status = {from_requeue};

-- name: forget_dependencies
-- The dependencies on types that a target no longer takes.
DELETE FROM sync_dependency WHERE target = :target AND referenced_type NOT IN (:types...);

-- name: delete_dependencies
DELETE FROM sync_dependency WHERE target = :target AND {key_in_ids(outbox_id)};

-- name: count_waiting
-- How many deliveries of a target wait for something that they refer to.
SELECT COUNT(*) FROM sync_delivery d {force_index(sync_delivery_due)}
WHERE d.target = :target AND d.next_attempt_at = {waiting};

-- name: list_waiting
-- Deliveries that wait, oldest change first.
SELECT d.outbox_id, d.aggregate_type, d.aggregate_id, {now} - d.created_at
FROM sync_delivery d {force_index(sync_delivery_due)}
WHERE d.target = :target AND d.next_attempt_at = {waiting} AND d.outbox_id > :after
ORDER BY d.outbox_id
LIMIT :limit;

-- name: newest_of_keys
-- The newest delivery of each of these aggregates at a target, with its status and whether it waits for something.
SELECT j.aggregate_type, j.aggregate_id, d.outbox_id, d.status,
    CASE WHEN d.next_attempt_at = {waiting} THEN 1 ELSE 0 END
FROM {batch(aggregate_type text, aggregate_id text)}
JOIN sync_delivery d ON d.target = :target AND d.outbox_id = {newest_sibling(:target, j)};
