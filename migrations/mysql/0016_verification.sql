-- Whether a target still holds what was delivered: its last whole verification and the one under way. Contents: docs/store.md.
CREATE TABLE IF NOT EXISTS sync_verification (
    target VARCHAR(64) NOT NULL,
    run VARCHAR(16) NOT NULL,
    types TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    finished_at BIGINT,
    through_outbox_id BIGINT NOT NULL,
    next_type VARCHAR(64) NOT NULL,
    after_id VARCHAR(255) NOT NULL,
    checked BIGINT NOT NULL,
    edited BIGINT NOT NULL,
    gone BIGINT NOT NULL,
    several BIGINT NOT NULL,
    not_ours BIGINT NOT NULL,
    unknown BIGINT NOT NULL,
    moved BIGINT NOT NULL,
    PRIMARY KEY (target, run)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={NO_PAD_BIN};

-- The records that a verification found not to be as they were delivered.
CREATE TABLE IF NOT EXISTS sync_verification_finding (
    target VARCHAR(64) NOT NULL,
    aggregate_type VARCHAR(64) NOT NULL,
    aggregate_id VARCHAR(255) NOT NULL,
    state VARCHAR(16) NOT NULL,
    found_at BIGINT NOT NULL,
    PRIMARY KEY (target, aggregate_type, aggregate_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={NO_PAD_BIN};
