-- The lease of the last attempt of each delivery, which `sync_attempt` describes; 0 before the first one. It is never
-- NULL, so that a row keeps its length when it is settled (docs/store.md).
ALTER TABLE sync_delivery ADD COLUMN last_attempt BIGINT NOT NULL DEFAULT 0;

-- The journal: what was done under each lease, by whom, and with which result. Contents: docs/store.md.
CREATE TABLE IF NOT EXISTS sync_attempt (
    lease_id BIGINT NOT NULL PRIMARY KEY,
    target VARCHAR(64) NOT NULL,
    host VARCHAR(64) NOT NULL,
    adapter_name VARCHAR(64),
    adapter_version VARCHAR(64),
    adapter_sha256 VARCHAR(64),
    interface_version VARCHAR(16),
    started_at BIGINT NOT NULL,
    elapsed_ms BIGINT NOT NULL,
    calls BIGINT NOT NULL,
    changes BIGINT NOT NULL,
    outcomes VARCHAR(1024) NOT NULL,
    effects_sha256 VARCHAR(64),
    effect_counts TEXT,
    cause_kind VARCHAR(32),
    cause VARCHAR(1024),
    KEY sync_attempt_target (target, lease_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={NO_PAD_BIN};

-- The statements and requests that attempts are made of. Few lists are different, so each one is here once.
CREATE TABLE IF NOT EXISTS sync_effects (
    sha256 VARCHAR(64) NOT NULL PRIMARY KEY,
    effects TEXT NOT NULL,
    seen_at BIGINT NOT NULL,
    KEY sync_effects_seen (seen_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={NO_PAD_BIN};
