-- What a change refers to: a JSON list, as docs/outbox.md describes. Applications that write none are unaffected.
ALTER TABLE sync_outbox ADD COLUMN refs TEXT;

-- What a delivery refers to, as far as its target takes the type: the delivery is due once each has a row in sync_link.
CREATE TABLE IF NOT EXISTS sync_dependency (
    target TEXT NOT NULL CHECK (typeof(target) = 'text'),
    outbox_id INTEGER NOT NULL CHECK (typeof(outbox_id) = 'integer'),
    referenced_type TEXT NOT NULL CHECK (typeof(referenced_type) = 'text'),
    referenced_id TEXT NOT NULL CHECK (typeof(referenced_id) = 'text'),
    PRIMARY KEY (target, outbox_id, referenced_type, referenced_id)
) WITHOUT ROWID;

-- The target is not its first column, so that no planner takes this index to find the dependencies of a delivery.
CREATE INDEX IF NOT EXISTS sync_dependency_referenced
    ON sync_dependency (referenced_id, referenced_type, target, outbox_id);
