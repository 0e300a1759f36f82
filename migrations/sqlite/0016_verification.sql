-- Whether a target still holds what was delivered: its last whole verification and the one under way. Contents: docs/store.md.
CREATE TABLE IF NOT EXISTS sync_verification (
    target TEXT NOT NULL CHECK (typeof(target) = 'text'),
    run TEXT NOT NULL CHECK (run IN ('current', 'last')),
    types TEXT NOT NULL CHECK (typeof(types) = 'text'),
    started_at INTEGER NOT NULL CHECK (typeof(started_at) = 'integer'),
    finished_at INTEGER CHECK (typeof(finished_at) IN ('integer', 'null')),
    through_outbox_id INTEGER NOT NULL CHECK (typeof(through_outbox_id) = 'integer'),
    next_type TEXT NOT NULL CHECK (typeof(next_type) = 'text'),
    after_id TEXT NOT NULL CHECK (typeof(after_id) = 'text'),
    checked INTEGER NOT NULL CHECK (typeof(checked) = 'integer'),
    edited INTEGER NOT NULL CHECK (typeof(edited) = 'integer'),
    gone INTEGER NOT NULL CHECK (typeof(gone) = 'integer'),
    several INTEGER NOT NULL CHECK (typeof(several) = 'integer'),
    not_ours INTEGER NOT NULL CHECK (typeof(not_ours) = 'integer'),
    unknown INTEGER NOT NULL CHECK (typeof(unknown) = 'integer'),
    moved INTEGER NOT NULL CHECK (typeof(moved) = 'integer'),
    PRIMARY KEY (target, run)
) WITHOUT ROWID;

-- The records that a verification found not to be as they were delivered.
CREATE TABLE IF NOT EXISTS sync_verification_finding (
    target TEXT NOT NULL CHECK (typeof(target) = 'text'),
    aggregate_type TEXT NOT NULL CHECK (typeof(aggregate_type) = 'text'),
    aggregate_id TEXT NOT NULL CHECK (typeof(aggregate_id) = 'text'),
    state TEXT NOT NULL CHECK (typeof(state) = 'text'),
    found_at INTEGER NOT NULL CHECK (typeof(found_at) = 'integer'),
    PRIMARY KEY (target, aggregate_type, aggregate_id)
) WITHOUT ROWID;
