-- Whether a target still holds what was delivered: its last whole verification and the one under way. Contents: docs/store.md.
CREATE TABLE IF NOT EXISTS sync_verification (
    target TEXT NOT NULL,
    run TEXT NOT NULL CHECK (run IN ('current', 'last')),
    types TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    finished_at BIGINT,
    through_outbox_id BIGINT NOT NULL,
    next_type TEXT NOT NULL,
    after_id TEXT NOT NULL,
    checked BIGINT NOT NULL,
    edited BIGINT NOT NULL,
    gone BIGINT NOT NULL,
    several BIGINT NOT NULL,
    not_ours BIGINT NOT NULL,
    unknown BIGINT NOT NULL,
    moved BIGINT NOT NULL,
    PRIMARY KEY (target, run)
);

-- The records that a verification found not to be as they were delivered.
CREATE TABLE IF NOT EXISTS sync_verification_finding (
    target TEXT NOT NULL,
    aggregate_type TEXT NOT NULL,
    aggregate_id TEXT NOT NULL,
    state TEXT NOT NULL,
    found_at BIGINT NOT NULL,
    PRIMARY KEY (target, aggregate_type, aggregate_id)
);
