-- The audit: a chain of events (audit.rs). Events are inserted and read, never changed or deleted.

-- fragment: audit_columns(row)
-- What `audit::event` reads, in its order.
{row}.id, {row}.recorded_at, {row}.command_id, {row}.os_user, {row}.os_uid, {row}.login, {row}.acting_as,
{row}.machine, {row}.remote, {row}.action, {row}.target, {row}.aggregate_type, {row}.aggregate_id, {row}.other_id,
{row}.item_count, {row}.detail, {row}.reason, {row}.outcome, {row}.previous_hash, {row}.hash

-- name: lock_audit_head
-- The end of the chain, and the time. Whoever records an event holds this row until the commit.
SELECT t.event_id, t.hash, {now} FROM audit_head t WHERE t.only_row = 1
{lock_rows};

-- name: read_audit_head
SELECT t.event_id, t.hash FROM audit_head t WHERE t.only_row = 1;

-- name: move_audit_head
UPDATE audit_head SET event_id = :id, hash = :hash WHERE only_row = 1 AND event_id = :id - 1;

-- name: insert_audit_event
INSERT INTO audit_event
    (id, recorded_at, command_id, os_user, os_uid, login, acting_as, machine, remote, action, target, aggregate_type,
    aggregate_id, other_id, item_count, detail, reason, outcome, previous_hash, hash)
SELECT {audit_columns(j)}
FROM {batch(
    id integer, recorded_at integer, command_id text, os_user text, os_uid integer, login text, acting_as text,
    machine text, remote text, action text, target text, aggregate_type text, aggregate_id text, other_id text,
    item_count integer, detail text, reason text, outcome text, previous_hash text, hash text)};

-- name: audit_events_after
-- In the order of the chain.
SELECT {audit_columns(t)}
FROM audit_event t
WHERE t.id > :after
    [[AND t.recorded_at >= :since]]
ORDER BY t.id
LIMIT :limit;

-- name: audit_events_before
-- The newest first.
SELECT {audit_columns(t)}
FROM audit_event t
WHERE t.id < :before
    [[AND t.recorded_at >= :since]]
    [[AND (t.os_user = :actor OR t.login = :actor OR t.acting_as = :actor)]]
    [[AND t.action IN (:actions...)]]
    [[AND t.aggregate_type = :aggregate_type AND (t.aggregate_id = :aggregate_id OR t.other_id = :aggregate_id)]]
ORDER BY t.id DESC
LIMIT :limit;

-- name: audit_decisions
-- The newest commands that changed something about one aggregate.
SELECT {audit_columns(t)}
FROM audit_event t {force_index(audit_event_aggregate)}
WHERE t.aggregate_id = :aggregate_id AND t.aggregate_type = :aggregate_type AND t.outcome = :outcome
    AND (t.item_count IS NULL OR t.item_count > 0)
    AND t.action IN (:actions...)
ORDER BY t.id DESC
LIMIT :limit;

-- name: audit_bulk_decisions
-- The newest commands that changed something about many at once since a time, each by its first event. Of the newest
-- 100,000 events.
SELECT {audit_columns(t)}
FROM (
    SELECT MIN(b.id) AS first_id
    FROM audit_event b {force_index(PRIMARY)}
    WHERE b.id > (SELECT h.event_id FROM audit_head h WHERE h.only_row = 1) - 100000
        AND b.aggregate_id IS NULL AND b.outcome = :outcome AND b.item_count > 0 AND b.recorded_at >= :since
        AND b.action IN (:actions...)
    GROUP BY b.command_id
    ORDER BY MIN(b.id) DESC
    LIMIT :limit
) c
JOIN audit_event t ON t.id = c.first_id
ORDER BY t.id;

-- name: sent_deliveries
-- What was sent to a target, in the order of the changes.
SELECT d.outbox_id, d.aggregate_type, d.aggregate_id, o.operation, d.status, d.error_kind, d.finished_at, l.remote_id
FROM sync_delivery d {force_index(PRIMARY)}
LEFT JOIN sync_outbox o ON o.id = d.outbox_id
{left_lookup(
    sync_link, l,
    l.target = d.target AND l.aggregate_type = d.aggregate_type AND l.aggregate_id = d.aggregate_id,
    l.remote_id)}
WHERE d.target = :target AND d.outbox_id > :after AND d.status IN ({done}, {failed}) AND d.attempts > 0
    [[AND d.finished_at >= :since]]
ORDER BY d.outbox_id
LIMIT :limit;
