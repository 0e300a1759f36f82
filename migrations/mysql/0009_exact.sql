-- Ids are compared byte for byte: `T-1` and `T-1 ` are two patients. `{NO_PAD_BIN}` is the collation of this server that does so:
-- utf8mb4_nopad_bin on MariaDB, utf8mb4_0900_bin on MySQL. All tables get it, since two of them cannot be compared with each
-- other under two such collations. Each statement writes its table once.
ALTER TABLE users CONVERT TO CHARACTER SET utf8mb4 COLLATE {NO_PAD_BIN};

ALTER TABLE patient_cache CONVERT TO CHARACTER SET utf8mb4 COLLATE {NO_PAD_BIN};

ALTER TABLE sync_outbox CONVERT TO CHARACTER SET utf8mb4 COLLATE {NO_PAD_BIN};

-- Column by column: `status` keeps its own.
ALTER TABLE sync_delivery
    MODIFY target VARCHAR(64) CHARACTER SET utf8mb4 COLLATE {NO_PAD_BIN} NOT NULL,
    MODIFY aggregate_type VARCHAR(64) CHARACTER SET utf8mb4 COLLATE {NO_PAD_BIN} NOT NULL,
    MODIFY aggregate_id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE {NO_PAD_BIN} NOT NULL,
    MODIFY error_kind VARCHAR(32) CHARACTER SET utf8mb4 COLLATE {NO_PAD_BIN},
    MODIFY error_message VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE {NO_PAD_BIN},
    DEFAULT CHARACTER SET utf8mb4 COLLATE {NO_PAD_BIN};

ALTER TABLE sync_lease CONVERT TO CHARACTER SET utf8mb4 COLLATE {NO_PAD_BIN};

ALTER TABLE sync_work CONVERT TO CHARACTER SET utf8mb4 COLLATE {NO_PAD_BIN};

ALTER TABLE sync_link CONVERT TO CHARACTER SET utf8mb4 COLLATE {NO_PAD_BIN};

ALTER TABLE sync_target CONVERT TO CHARACTER SET utf8mb4 COLLATE {NO_PAD_BIN};

ALTER TABLE sync_host CONVERT TO CHARACTER SET utf8mb4 COLLATE {NO_PAD_BIN};

ALTER TABLE sync_import CONVERT TO CHARACTER SET utf8mb4 COLLATE {NO_PAD_BIN};

ALTER TABLE sync_count CONVERT TO CHARACTER SET utf8mb4 COLLATE {NO_PAD_BIN};

ALTER TABLE sync_adapter_event CONVERT TO CHARACTER SET utf8mb4 COLLATE {NO_PAD_BIN};

ALTER TABLE sync_adapter_part CONVERT TO CHARACTER SET utf8mb4 COLLATE {NO_PAD_BIN};

ALTER TABLE sync_adapter_wish CONVERT TO CHARACTER SET utf8mb4 COLLATE {NO_PAD_BIN};

-- What operators should know of changes that were not refused: types that no target takes, times in another unit.
CREATE TABLE IF NOT EXISTS sync_notice (
    kind VARCHAR(32) NOT NULL,
    subject VARCHAR(64) NOT NULL,
    changes BIGINT NOT NULL,
    last_change_id BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    PRIMARY KEY (kind, subject)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={NO_PAD_BIN};

-- Failed deliveries that an operator dismissed, with the reason.
CREATE TABLE IF NOT EXISTS sync_dismissal (
    target VARCHAR(64) NOT NULL,
    outbox_id BIGINT NOT NULL,
    reason VARCHAR(1024) NOT NULL,
    dismissed_by VARCHAR(64) NOT NULL,
    dismissed_at BIGINT NOT NULL,
    PRIMARY KEY (target, outbox_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={NO_PAD_BIN};

ALTER TABLE sync_count ADD COLUMN dismissed BIGINT NOT NULL DEFAULT 0;

-- The newest time that hosts have seen on the store's clock, and a step of that clock that nobody believes yet. One row.
CREATE TABLE IF NOT EXISTS sync_clock (
    id BIGINT NOT NULL PRIMARY KEY,
    seen_at BIGINT NOT NULL,
    doubted_at BIGINT,
    step_ms BIGINT
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={NO_PAD_BIN};
