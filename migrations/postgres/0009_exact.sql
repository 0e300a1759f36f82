-- What operators should know of changes that were not refused: types that no target takes, times in another unit.
CREATE TABLE IF NOT EXISTS sync_notice (
    kind VARCHAR(32) NOT NULL,
    subject VARCHAR(64) NOT NULL,
    changes BIGINT NOT NULL,
    last_change_id BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    PRIMARY KEY (kind, subject)
);

-- Failed deliveries that an operator dismissed, with the reason.
CREATE TABLE IF NOT EXISTS sync_dismissal (
    target VARCHAR(64) NOT NULL,
    outbox_id BIGINT NOT NULL,
    reason VARCHAR(1024) NOT NULL,
    dismissed_by VARCHAR(64) NOT NULL,
    dismissed_at BIGINT NOT NULL,
    PRIMARY KEY (target, outbox_id)
);

ALTER TABLE sync_count ADD COLUMN IF NOT EXISTS dismissed BIGINT NOT NULL DEFAULT 0;

-- The newest time that hosts have seen on the store's clock, and a step of that clock that nobody believes yet. One row.
CREATE TABLE IF NOT EXISTS sync_clock (
    id BIGINT NOT NULL PRIMARY KEY,
    seen_at BIGINT NOT NULL,
    doubted_at BIGINT,
    step_ms BIGINT
);
