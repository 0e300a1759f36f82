-- What PostgreSQL writes in its own way.
--
-- It cannot be told an index, and plans each statement once for each connection. While a table is empty or
-- small, several ways to a row seem equally good to it, and the wrong one stays. These forms leave it one
-- way (docs/store.md, "How plans are kept right").

-- fragment: force_index(index) (postgres)

-- fragment: lock_free_rows (postgres)
-- Rows that another transaction has locked are passed over.
FOR UPDATE SKIP LOCKED

-- fragment: lock_rows (postgres)
FOR UPDATE

-- fragment: share_rows (postgres)
-- Others may hold the rows in the same way and change them, but not delete them or lock them for themselves.
FOR KEY SHARE

-- fragment: where_true (postgres)

-- fragment: key_in_ids(column) (postgres)
-- Whether a key is one of :ids: a list is looked up one by one in the key's index.
{column} = ANY(ARRAY(SELECT CAST(value AS BIGINT) FROM jsonb_array_elements_text(:ids)))

-- fragment: key_in_batch(column, field, batch) (postgres)
-- Whether a key is one of the batch's. As for ids: for `IN` it would read the whole table, since it is told
-- not to hash.
{column} = ANY (ARRAY(SELECT j.{field} FROM {batch}))

-- fragment: locate_by_ctid(table, batch, key) (postgres)
-- The batch, as far as the key finds a row `t` of the table for each, with its place (ctid). For one row at
-- a time the planner takes the index that covers the key best. Only for rows that nobody else may change
-- meanwhile: a change moves a row to another place.
(SELECT t.place, j.* FROM {batch}
 CROSS JOIN LATERAL (SELECT t.ctid AS place FROM {table} AS t
    WHERE {key} OFFSET 0) AS t) AS j

-- fragment: by_ctid(key) (postgres)
-- The row `t` that `locate_by_ctid` has found: from a place to its row there is one way only.
t.ctid = j.place

-- fragment: deliveries_by_id (postgres)
-- Whether a delivery is one of those of :target with :ids, each found by its whole key.
ctid = ANY(ARRAY(SELECT j.place FROM {locate_by_ctid(
    sync_delivery,
    (SELECT CAST(value AS BIGINT) AS id FROM jsonb_array_elements_text(:ids)) AS j,
    t.target = :target AND t.outbox_id = j.id)}))

-- fragment: patient_key (postgres)
-- The patient `t` of the batch's row `j`. By the key and not by its place, since applications change
-- patients meanwhile. A list can be looked up, but not sorted by: so the planner does not read all patients.
t.patient_id = ANY(ARRAY[j.patient_id])

-- fragment: left_lookup(table, alias, condition, columns...) (postgres)
-- A LEFT JOIN whose condition names all columns of a unique key. As a plain join it would search by the
-- key's first column alone.
LEFT JOIN LATERAL (SELECT {columns} FROM {table} {alias}
    WHERE {condition} OFFSET 0) {alias} ON TRUE

-- fragment: lookup(table, alias, index, condition, columns...) (postgres)
-- A JOIN that looks up each row by itself. `index` is the one whose columns the condition names.
CROSS JOIN LATERAL (SELECT {columns} FROM {table} {alias}
    WHERE {condition} OFFSET 0) {alias}

-- fragment: newest_sibling(target, row) (postgres)
-- The id of the newest delivery of this row's aggregate to the target; NULL when there is none. It is the
-- entry of the index by aggregate next to where the largest id would be, if that is of the aggregate. Only
-- that index has its entries in this order.
(SELECT CASE WHEN s.aggregate_id = {row}.aggregate_id AND s.aggregate_type = {row}.aggregate_type
    AND s.target = {target} THEN s.outbox_id END
 FROM (SELECT s.aggregate_id, s.aggregate_type, s.target, s.outbox_id FROM sync_delivery s
    WHERE (s.aggregate_id, s.aggregate_type, s.target, s.outbox_id)
        <= ({row}.aggregate_id, {row}.aggregate_type, {target}, {never})
    ORDER BY s.aggregate_id DESC, s.aggregate_type DESC, s.target DESC, s.outbox_id DESC LIMIT 1) s)

-- fragment: oldest_sibling_after(target, row, after) (postgres)
-- The id of the oldest one behind the id `after`; NULL when there is none.
(SELECT CASE WHEN s.aggregate_id = {row}.aggregate_id AND s.aggregate_type = {row}.aggregate_type
    AND s.target = {target} THEN s.outbox_id END
 FROM (SELECT s.aggregate_id, s.aggregate_type, s.target, s.outbox_id FROM sync_delivery s
    WHERE (s.aggregate_id, s.aggregate_type, s.target, s.outbox_id)
        > ({row}.aggregate_id, {row}.aggregate_type, {target}, {after})
    ORDER BY s.aggregate_id, s.aggregate_type, s.target, s.outbox_id LIMIT 1) s)

-- fragment: is_sibling(sibling, target, row, order) (postgres)
-- Whether the delivery `sibling` is one of this row's aggregate to the target, with such an id, for example
-- `< j.before_id`. The expressions hide two columns from the key by target and id, so that the index by
-- aggregate is the only way.
{sibling}.target || '' = {target} AND {sibling}.aggregate_type = {row}.aggregate_type
AND {sibling}.aggregate_id = {row}.aggregate_id AND {sibling}.outbox_id + 0 {order}

-- fragment: batch_of(columns...) (postgres)
-- The parameter :batch as a table `j`.
jsonb_to_recordset(:batch) AS j({columns})

-- fragment: batch_integer(name) (postgres)
{name} BIGINT

-- fragment: batch_text(name) (postgres)
{name} TEXT

-- fragment: batch_long_text(name) (postgres)
{name} TEXT

-- fragment: as_integer(text) (postgres)
CAST({text} AS BIGINT)

-- fragment: and_free_padding (postgres)

-- fragment: payload_type (postgres)
NULL

-- fragment: byte_length(text) (postgres)
-- Without reading the text.
octet_length({text})
