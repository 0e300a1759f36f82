-- What a change refers to: a JSON list, as docs/outbox.md describes. Applications that write none are unaffected.
ALTER TABLE sync_outbox ADD COLUMN refs TEXT;

-- What a delivery refers to, as far as its target takes the type: the delivery is due once each has a row in sync_link.
-- The target is not the first column of the second key, so that no planner takes it to find a delivery's dependencies.
CREATE TABLE IF NOT EXISTS sync_dependency (
    target VARCHAR(64) NOT NULL,
    outbox_id BIGINT NOT NULL,
    referenced_type VARCHAR(64) NOT NULL,
    referenced_id VARCHAR(255) NOT NULL,
    PRIMARY KEY (target, outbox_id, referenced_type, referenced_id),
    KEY sync_dependency_referenced (referenced_id, referenced_type, target, outbox_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={NO_PAD_BIN};
