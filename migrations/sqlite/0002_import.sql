-- How far `host import` has come in each file, and which bytes those were.
CREATE TABLE IF NOT EXISTS sync_import (
    id TEXT NOT NULL PRIMARY KEY,
    file TEXT NOT NULL,
    bytes_done INTEGER NOT NULL,
    bytes_sha256 TEXT NOT NULL,
    lines_done INTEGER NOT NULL,
    created_count INTEGER NOT NULL,
    updated_count INTEGER NOT NULL,
    unchanged_count INTEGER NOT NULL,
    repeated_count INTEGER NOT NULL,
    rejected_count INTEGER NOT NULL,
    rejects_bytes INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    finished_at INTEGER
);
