-- What happened to the adapters of each target, for people: put in force, refused, rolled back.
CREATE TABLE IF NOT EXISTS sync_adapter_event (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    target VARCHAR(64) NOT NULL,
    sha256 VARCHAR(64) NOT NULL,
    name VARCHAR(64),
    version VARCHAR(64),
    event VARCHAR(16) NOT NULL,
    reason VARCHAR(1024),
    host VARCHAR(64),
    at BIGINT NOT NULL,
    KEY sync_adapter_event_target (target, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- Adapters that are or were in force, in pieces, so that every host on this store can take up the same one.
CREATE TABLE IF NOT EXISTS sync_adapter_part (
    sha256 VARCHAR(64) NOT NULL,
    part BIGINT NOT NULL,
    parts BIGINT NOT NULL,
    bytes LONGBLOB NOT NULL,
    PRIMARY KEY (sha256, part)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- What is wanted of each target's adapter: which one was rolled back, and how often a person asked to look at the file again.
CREATE TABLE IF NOT EXISTS sync_adapter_wish (
    target VARCHAR(64) NOT NULL PRIMARY KEY,
    rejected_sha256 VARCHAR(64),
    reload_requests BIGINT NOT NULL DEFAULT 0
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
