-- Claiming: the next due deliveries of a target go under a lease (claim.rs).

-- name: claim_due
-- What is due at a target, oldest first, without aggregates that are in flight. Of each one also its
-- siblings at this target: the newest, the oldest behind the one that was confirmed last, and that one. Of a
-- fifo type only the head of an aggregate is due: one that has no older delivery still open.
SELECT d.outbox_id, d.aggregate_type, d.aggregate_id, d.next_attempt_at, d.attempts,
    {newest_sibling(d.target, d)},
    {oldest_sibling_after(d.target, d, COALESCE({confirmed_id(d.target, d)}, 0))},
    {confirmed_id(d.target, d)}
FROM sync_delivery d {force_index(sync_delivery_due)}
WHERE d.target = :target
    AND d.status = {from_claim}
    AND d.next_attempt_at >= :from_ms
    AND d.next_attempt_at <= {now}
    AND {in_flight_count(d.target, d)} = 0
    [[AND {is_head_or_unordered(:fifo_types...)}]]
ORDER BY d.next_attempt_at, d.outbox_id
LIMIT :limit
{lock_free_rows};

-- fragment: superseded_sibling
{is_sibling(t, :target, j, < j.before_id)} AND t.status IN ({from_supersede})

-- name: mark_superseded
-- Finishes what a newer state replaces, also what failed: nobody has to decide about a state that is no
-- longer delivered. PostgreSQL passes over rows that another claim has locked; those are superseded the next
-- time. Claims that wait for each other's rows are a deadlock, which that database notices only after a
-- second.
UPDATE sync_delivery AS t {force_index(sync_delivery_aggregate)}
SET status = {to_supersede},
    next_attempt_at = NULL,
    finished_at = {now}
FROM {locate_by_ctid(
    sync_delivery,
    {batch(aggregate_type text, aggregate_id text, before_id integer)},
    {superseded_sibling} {lock_free_rows})}
WHERE {by_ctid({superseded_sibling})};

-- name: mark_processing
-- Moves deliveries from pending to processing, by compare-and-set.
UPDATE sync_delivery {force_index(PRIMARY)}
SET status = {to_claim}, next_attempt_at = NULL, lease_id = :lease_id
WHERE {deliveries_by_id} AND status = {from_claim};

-- name: begin_in_flight
-- Enters claimed deliveries as in flight. By the deliveries' own keys: an outbox row may have been changed
-- or deleted since, which is found when it is read.
INSERT INTO sync_in_flight (target, aggregate_type, aggregate_id, outbox_id, lease_id)
SELECT target, aggregate_type, aggregate_id, outbox_id, :lease_id
FROM sync_delivery {force_index(PRIMARY)}
WHERE {deliveries_by_id};

-- name: trace_contexts
-- The traces in which the application wrote these changes.
SELECT o.trace_context
FROM sync_outbox o
WHERE {key_in_ids(o.id)} AND LENGTH(o.trace_context) <= 255;

-- name: read_batch
-- What a batch under a lease carries: the changes and their links.
SELECT {change_columns}
FROM sync_outbox o
{left_lookup(
    sync_link, l,
    l.target = :target AND l.aggregate_type = o.aggregate_type AND l.aggregate_id = o.aggregate_id,
    l.remote_id, l.remote_version, l.fingerprint, l.delivered_outbox_id, l.merged_into)}
WHERE {key_in_ids(o.id)};
