-- What a store was made with and keeps: the name of its table of users ([store] users_table).
CREATE TABLE IF NOT EXISTS sync_setting (
    name VARCHAR(64) NOT NULL PRIMARY KEY,
    value VARCHAR(255) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={NO_PAD_BIN};

INSERT IGNORE INTO sync_setting (name, value) VALUES ('users_table', '{USERS_TABLE}');
