-- What MySQL and MariaDB write in their own way.

-- fragment: force_index(index) (mysql)
-- Statistics that the server gathers in the background can mislead its planner: a status that was rare then
-- may fill the table now.
FORCE INDEX ({index})

-- fragment: lock_free_rows (mysql)
-- Rows that another transaction has locked are passed over.
FOR UPDATE SKIP LOCKED

-- fragment: lock_rows (mysql)
FOR UPDATE

-- fragment: share_rows (mysql)
-- Others may hold the rows in the same way, but not change them. MariaDB knows no FOR SHARE.
LOCK IN SHARE MODE

-- fragment: where_true (mysql)

-- fragment: key_in_ids(column) (mysql)
-- Whether a key is one of :ids: one parameter for each, since only so the server always searches by the index.
{column} IN (:ids...)

-- fragment: on_conflict(key...) (mysql)
-- What becomes of an inserted row whose key is there already: the columns that follow are changed.
ON DUPLICATE KEY UPDATE

-- fragment: new(column) (mysql)
-- The value that the inserted row has, behind `on_conflict`.
VALUES({column})

-- fragment: batch_of(columns...) (mysql)
-- The parameter :batch as a table `j`. Its texts have the collation of our own columns: texts of different
-- ones are not compared.
JSON_TABLE(:batch, '$[*]' COLUMNS({columns})) AS j

-- fragment: batch_integer(name) (mysql)
{name} BIGINT PATH '$.{name}'

-- fragment: batch_text(name) (mysql)
{name} VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE {collation} PATH '$.{name}'

-- fragment: batch_long_text(name) (mysql)
{name} LONGTEXT CHARACTER SET utf8mb4 COLLATE {collation} PATH '$.{name}'

-- fragment: as_integer(text) (mysql)
CAST({text} AS SIGNED)

-- fragment: and_free_padding (mysql)
-- The id of OpenEMR takes the room that was kept for it, so that the row keeps its length (docs/store.md).
, id_padding = NULL

-- fragment: payload_type (mysql)
NULL

-- fragment: byte_length(text) (mysql)
LENGTH({text})
