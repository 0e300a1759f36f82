-- How far `host import` has come in each file, and which bytes those were.
CREATE TABLE IF NOT EXISTS sync_import (
    id VARCHAR(64) NOT NULL PRIMARY KEY,
    file VARCHAR(1024) NOT NULL,
    bytes_done BIGINT NOT NULL,
    bytes_sha256 VARCHAR(64) NOT NULL,
    lines_done BIGINT NOT NULL,
    created_count BIGINT NOT NULL,
    updated_count BIGINT NOT NULL,
    unchanged_count BIGINT NOT NULL,
    repeated_count BIGINT NOT NULL,
    rejected_count BIGINT NOT NULL,
    rejects_bytes BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    finished_at BIGINT
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
