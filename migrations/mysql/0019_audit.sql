-- Who did or saw what: a chain of events, each with the hash of the one before it. Rows are never changed or deleted.
-- Contents: docs/audit.md.
CREATE TABLE IF NOT EXISTS audit_event (
    id BIGINT NOT NULL PRIMARY KEY,
    recorded_at BIGINT NOT NULL,
    command_id VARCHAR(64) NOT NULL,
    os_user VARCHAR(255) NOT NULL,
    os_uid BIGINT,
    login VARCHAR(255),
    acting_as VARCHAR(255),
    machine VARCHAR(255) NOT NULL,
    remote VARCHAR(255),
    action VARCHAR(64) NOT NULL,
    target VARCHAR(255),
    aggregate_type VARCHAR(255),
    aggregate_id VARCHAR(255),
    other_id VARCHAR(255),
    item_count BIGINT,
    detail VARCHAR(1024),
    reason VARCHAR(1024),
    outcome VARCHAR(16) NOT NULL,
    previous_hash VARCHAR(64) NOT NULL,
    hash VARCHAR(64) NOT NULL,
    KEY audit_event_aggregate (aggregate_id, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={NO_PAD_BIN};

-- The end of the chain. Its one row is locked by whoever records an event.
CREATE TABLE IF NOT EXISTS audit_head (
    only_row BIGINT NOT NULL PRIMARY KEY,
    event_id BIGINT NOT NULL,
    hash VARCHAR(64) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={NO_PAD_BIN};

INSERT IGNORE INTO audit_head (only_row, event_id, hash)
VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');
