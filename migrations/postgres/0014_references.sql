-- What a change refers to: a JSON list, as docs/outbox.md describes. Applications that write none are unaffected.
ALTER TABLE sync_outbox ADD COLUMN refs TEXT;

-- What a delivery refers to, as far as its target takes the type: the delivery is due once each has a row in sync_link.
CREATE TABLE IF NOT EXISTS sync_dependency (
    target VARCHAR(64) NOT NULL,
    outbox_id BIGINT NOT NULL,
    referenced_type VARCHAR(64) NOT NULL,
    referenced_id VARCHAR(255) NOT NULL,
    PRIMARY KEY (target, outbox_id, referenced_type, referenced_id)
);

-- The target is not its first column, so that no planner takes this index to find the dependencies of a delivery.
CREATE INDEX IF NOT EXISTS sync_dependency_referenced
    ON sync_dependency (referenced_id, referenced_type, target, outbox_id);
