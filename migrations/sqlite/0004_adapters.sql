-- What happened to the adapters of each target, for people: put in force, refused, rolled back.
CREATE TABLE IF NOT EXISTS sync_adapter_event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    target TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    name TEXT,
    version TEXT,
    event TEXT NOT NULL,
    reason TEXT,
    host TEXT,
    at BIGINT NOT NULL
);
CREATE INDEX IF NOT EXISTS sync_adapter_event_target ON sync_adapter_event (target, id);

-- Adapters that are or were in force, in pieces, so that every host on this store can take up the same one.
CREATE TABLE IF NOT EXISTS sync_adapter_part (
    sha256 TEXT NOT NULL,
    part BIGINT NOT NULL,
    parts BIGINT NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (sha256, part)
);

-- What is wanted of each target's adapter: which one was rolled back, and how often a person asked to look at the file again.
CREATE TABLE IF NOT EXISTS sync_adapter_wish (
    target TEXT NOT NULL PRIMARY KEY,
    rejected_sha256 TEXT,
    reload_requests BIGINT NOT NULL DEFAULT 0
);
