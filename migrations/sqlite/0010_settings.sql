-- What a store was made with and keeps: the name of its table of users ([store] users_table).
CREATE TABLE IF NOT EXISTS sync_setting (
    name TEXT NOT NULL PRIMARY KEY CHECK (typeof(name) = 'text'),
    value TEXT NOT NULL CHECK (typeof(value) = 'text')
) WITHOUT ROWID;

INSERT INTO sync_setting (name, value) VALUES ('users_table', '{USERS_TABLE}') ON CONFLICT (name) DO NOTHING;
