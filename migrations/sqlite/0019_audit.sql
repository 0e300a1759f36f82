-- Who did or saw what: a chain of events, each with the hash of the one before it. Rows are never changed or deleted.
-- Contents: docs/audit.md.
CREATE TABLE IF NOT EXISTS audit_event (
    id INTEGER NOT NULL PRIMARY KEY,
    recorded_at INTEGER NOT NULL CHECK (typeof(recorded_at) = 'integer'),
    command_id TEXT NOT NULL CHECK (typeof(command_id) = 'text'),
    os_user TEXT NOT NULL CHECK (typeof(os_user) = 'text'),
    os_uid INTEGER CHECK (typeof(os_uid) IN ('integer', 'null')),
    login TEXT CHECK (typeof(login) IN ('text', 'null')),
    acting_as TEXT CHECK (typeof(acting_as) IN ('text', 'null')),
    machine TEXT NOT NULL CHECK (typeof(machine) = 'text'),
    remote TEXT CHECK (typeof(remote) IN ('text', 'null')),
    action TEXT NOT NULL CHECK (typeof(action) = 'text'),
    target TEXT CHECK (typeof(target) IN ('text', 'null')),
    aggregate_type TEXT CHECK (typeof(aggregate_type) IN ('text', 'null')),
    aggregate_id TEXT CHECK (typeof(aggregate_id) IN ('text', 'null')),
    other_id TEXT CHECK (typeof(other_id) IN ('text', 'null')),
    item_count INTEGER CHECK (typeof(item_count) IN ('integer', 'null')),
    detail TEXT CHECK (typeof(detail) IN ('text', 'null')),
    reason TEXT CHECK (typeof(reason) IN ('text', 'null')),
    outcome TEXT NOT NULL CHECK (typeof(outcome) = 'text'),
    previous_hash TEXT NOT NULL CHECK (typeof(previous_hash) = 'text'),
    hash TEXT NOT NULL CHECK (typeof(hash) = 'text')
);

CREATE INDEX IF NOT EXISTS audit_event_aggregate ON audit_event (aggregate_id, id) WHERE aggregate_id IS NOT NULL;

-- The end of the chain. Its one row is locked by whoever records an event.
CREATE TABLE IF NOT EXISTS audit_head (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    event_id INTEGER NOT NULL CHECK (typeof(event_id) = 'integer'),
    hash TEXT NOT NULL CHECK (typeof(hash) = 'text')
);

INSERT INTO audit_head (only_row, event_id, hash)
VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000') ON CONFLICT (only_row) DO NOTHING;
