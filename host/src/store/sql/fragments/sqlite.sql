-- What SQLite writes in its own way.

-- fragment: force_index(index) (sqlite)
-- Nothing: SQLite's planner goes by fixed figures that stand in the database (migrations/sqlite).

-- fragment: lock_free_rows (sqlite)
-- Nothing: the writer is alone.

-- fragment: lock_rows (sqlite)

-- fragment: share_rows (sqlite)

-- fragment: where_true (sqlite)
-- SQLite reads `INSERT ... SELECT ... FROM x ON CONFLICT` as a join, unless a WHERE comes between.
WHERE TRUE

-- fragment: key_in_ids(column) (sqlite)
-- Whether a key is one of :ids.
{column} IN (SELECT value FROM json_each(:ids))

-- fragment: batch_of(columns...) (sqlite)
-- The parameter :batch as a table `j`.
(SELECT {columns} FROM json_each(:batch)) AS j

-- fragment: batch_integer(name) (sqlite)
value->>'{name}' AS {name}

-- fragment: batch_text(name) (sqlite)
value->>'{name}' AS {name}

-- fragment: batch_long_text(name) (sqlite)
value->>'{name}' AS {name}

-- fragment: as_integer(text) (sqlite)
CAST({text} AS BIGINT)

-- fragment: and_free_padding (sqlite)

-- fragment: payload_type (sqlite)
-- The type of a payload that is not text: SQLite stores a value of any type in any column.
CASE typeof(o.payload) WHEN 'text' THEN NULL ELSE typeof(o.payload) END

-- fragment: byte_length(text) (sqlite)
-- Without reading the text.
octet_length({text})
