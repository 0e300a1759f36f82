-- Fragments that all databases write alike, and that several files use.

-- fragment: in_flight_count(target, row)
-- How many deliveries of this row's aggregate are in flight at the target: 0 or 1. A count, not NOT EXISTS:
-- PostgreSQL turns that into a join over everything that is queued, while a count is one lookup of the key
-- for each row, and stops with the limit.
(SELECT COUNT(*) FROM sync_in_flight w
 WHERE w.target = {target} AND w.aggregate_type = {row}.aggregate_type AND w.aggregate_id = {row}.aggregate_id)

-- fragment: change_in_flight_count(target, change)
-- How many times this very row of sync_outbox is in flight at the target: 0 or 1.
(SELECT COUNT(*) FROM sync_in_flight w
 WHERE w.target = {target} AND w.aggregate_type = {change}.aggregate_type
   AND w.aggregate_id = {change}.aggregate_id AND w.outbox_id = {change}.id)

-- fragment: in_flight_at(target)
-- How many deliveries are in flight at the target. They are found by their leases, which are few: a search
-- by the target alone would read the dead entries of all that was in flight lately.
(SELECT COUNT(*) FROM sync_lease l JOIN sync_in_flight w {force_index(sync_in_flight_lease)} ON w.lease_id = l.lease_id
 WHERE l.target = {target} AND w.target = {target})

-- fragment: confirmed_id(target, row)
-- The newest change of this row's aggregate that the target has confirmed; NULL when there is none.
(SELECT l.delivered_outbox_id FROM sync_link l
 WHERE l.target = {target} AND l.aggregate_type = {row}.aggregate_type AND l.aggregate_id = {row}.aggregate_id)

-- fragment: newest_sibling(target, row) (sqlite, mysql)
-- The id of the newest delivery of this row's aggregate to the target; NULL when there is none.
(SELECT MAX(s.outbox_id) FROM sync_delivery s {force_index(sync_delivery_aggregate)}
 WHERE s.target = {target} AND s.aggregate_type = {row}.aggregate_type AND s.aggregate_id = {row}.aggregate_id)

-- fragment: oldest_sibling_after(target, row, after) (sqlite, mysql)
-- The id of the oldest one behind the id `after`; NULL when there is none.
(SELECT MIN(s.outbox_id) FROM sync_delivery s {force_index(sync_delivery_aggregate)}
 WHERE s.target = {target} AND s.aggregate_type = {row}.aggregate_type AND s.aggregate_id = {row}.aggregate_id
   AND s.outbox_id > {after})

-- fragment: is_sibling(sibling, target, row, order) (sqlite, mysql)
-- Whether the delivery `sibling` is one of this row's aggregate to the target, with such an id, for example
-- `< j.before_id`.
{sibling}.target = {target} AND {sibling}.aggregate_type = {row}.aggregate_type
AND {sibling}.aggregate_id = {row}.aggregate_id AND {sibling}.outbox_id {order}

-- fragment: is_head_or_unordered(fifo_types)
-- Whether the delivery `d` is the head of its aggregate (no older one is open), or not of a fifo type.
(d.aggregate_type NOT IN ({fifo_types}) OR NOT EXISTS (SELECT 1
        FROM sync_delivery e {force_index(sync_delivery_aggregate)}
        WHERE {is_sibling(e, d.target, d, < d.outbox_id)} AND e.status IN ({pending}, {processing}, {failed})))

-- fragment: delivery_key
-- The delivery `t` of the batch's row `j`.
t.target = :target AND t.outbox_id = j.outbox_id

-- fragment: deliveries_by_id (sqlite, mysql)
-- Whether a delivery is one of those of :target with :ids.
target = :target AND {key_in_ids(outbox_id)}

-- fragment: left_lookup(table, alias, condition, columns...) (sqlite, mysql)
-- A LEFT JOIN whose condition names all columns of a unique key.
LEFT JOIN {table} {alias} ON {condition}

-- fragment: lookup(table, alias, index, condition, columns...) (sqlite, mysql)
-- A JOIN that finds each row by this index.
JOIN {table} {alias} {force_index({index})} ON {condition}

-- fragment: key_in_batch(column, field, batch) (sqlite, mysql)
-- Whether a key is one of the batch's.
{column} IN (SELECT j.{field} FROM {batch})

-- fragment: patient_key (sqlite, mysql)
-- The patient `t` of the batch's row `j`.
t.patient_id = j.patient_id

-- fragment: locate_by_ctid(table, batch, key) (sqlite, mysql)
-- The batch as it is: only PostgreSQL looks up where each of its rows lies.
{batch}

-- fragment: by_ctid(key) (sqlite, mysql)
{key}

-- fragment: on_conflict(key...) (sqlite, postgres)
-- What becomes of an inserted row whose key is there already: the columns that follow are changed.
ON CONFLICT ({key}) DO UPDATE SET

-- fragment: new(column) (sqlite, postgres)
-- The value that the inserted row has, behind `on_conflict`.
excluded.{column}

-- fragment: change_columns
-- What `readable::delivery` reads, in its order: the change and its link.
o.id, o.aggregate_type, o.aggregate_id, o.operation, o.event_id,
-- A payload of more than 1 MiB is not read; its length is.
CASE WHEN {byte_length(o.payload)} <= 1048576 THEN o.payload END, {byte_length(o.payload)}, o.created_at,
l.remote_id, l.remote_version, l.fingerprint, l.delivered_outbox_id, l.merged_into, {refs_columns}

-- fragment: refs_columns
-- What a change refers to. More than 32 KiB are not read; their length is.
CASE WHEN {byte_length(o.refs)} <= 32768 THEN o.refs END, {byte_length(o.refs)}

-- fragment: created_at
-- When a row of sync_outbox was written; NULL when that is in another unit or no number at all.
CASE WHEN created_at BETWEEN 946684800000 AND 4102444799999 THEN created_at END
