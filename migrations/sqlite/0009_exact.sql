-- The host's tables take what they are declared to take and nothing else. They are checked, not STRICT: an application opens the
-- same file with its own SQLite, and one before 3.37 cannot open a file that holds a STRICT table. `sync_outbox` stays open: what
-- an application writes there is judged when it is routed.
CREATE TABLE sync_work_new (
    target TEXT NOT NULL CHECK (typeof(target) = 'text'),
    aggregate_type TEXT NOT NULL CHECK (typeof(aggregate_type) = 'text'),
    aggregate_id TEXT NOT NULL CHECK (typeof(aggregate_id) = 'text'),
    outbox_id INTEGER NOT NULL CHECK (typeof(outbox_id) = 'integer'),
    epoch INTEGER NOT NULL CHECK (typeof(epoch) = 'integer'),
    PRIMARY KEY (target, aggregate_type, aggregate_id)
) WITHOUT ROWID;

INSERT INTO sync_work_new
SELECT target, CASE typeof(aggregate_type) WHEN 'text' THEN aggregate_type ELSE '?' END,
    CASE typeof(aggregate_id) WHEN 'text' THEN aggregate_id ELSE '?' || outbox_id END, outbox_id, epoch
FROM sync_work;

DROP TABLE sync_work;

ALTER TABLE sync_work_new RENAME TO sync_work;

CREATE INDEX sync_work_epoch ON sync_work (epoch);

CREATE TABLE sync_delivery_new (
    target TEXT NOT NULL CHECK (typeof(target) = 'text'),
    outbox_id INTEGER NOT NULL CHECK (typeof(outbox_id) = 'integer'),
    aggregate_type TEXT NOT NULL CHECK (typeof(aggregate_type) = 'text'),
    aggregate_id TEXT NOT NULL CHECK (typeof(aggregate_id) = 'text'),
    status TEXT NOT NULL CHECK (typeof(status) = 'text'),
    attempts INTEGER NOT NULL DEFAULT 0 CHECK (typeof(attempts) = 'integer'),
    next_attempt_at INTEGER CHECK (typeof(next_attempt_at) IN ('integer', 'null')),
    lease_epoch INTEGER CHECK (typeof(lease_epoch) IN ('integer', 'null')),
    error_kind TEXT CHECK (typeof(error_kind) IN ('text', 'null')),
    error_message TEXT CHECK (typeof(error_message) IN ('text', 'null')),
    created_at INTEGER NOT NULL CHECK (typeof(created_at) = 'integer'),
    finished_at INTEGER CHECK (typeof(finished_at) IN ('integer', 'null')),
    PRIMARY KEY (target, outbox_id)
) WITHOUT ROWID;

INSERT INTO sync_delivery_new
SELECT target, outbox_id, CASE typeof(aggregate_type) WHEN 'text' THEN aggregate_type ELSE '?' END,
    CASE typeof(aggregate_id) WHEN 'text' THEN aggregate_id ELSE '?' || outbox_id END,
    status, CAST(attempts AS INTEGER), CAST(next_attempt_at AS INTEGER), CAST(lease_epoch AS INTEGER),
    CAST(error_kind AS TEXT), CAST(error_message AS TEXT), CAST(created_at AS INTEGER), CAST(finished_at AS INTEGER)
FROM sync_delivery;

DROP TABLE sync_delivery;

ALTER TABLE sync_delivery_new RENAME TO sync_delivery;

CREATE INDEX sync_delivery_due ON sync_delivery (target, next_attempt_at, outbox_id) WHERE next_attempt_at IS NOT NULL;

CREATE INDEX sync_delivery_aggregate ON sync_delivery (aggregate_id, aggregate_type, target, outbox_id);

CREATE TABLE sync_link_new (
    target TEXT NOT NULL CHECK (typeof(target) = 'text'),
    aggregate_type TEXT NOT NULL CHECK (typeof(aggregate_type) = 'text'),
    aggregate_id TEXT NOT NULL CHECK (typeof(aggregate_id) = 'text'),
    remote_id TEXT NOT NULL CHECK (typeof(remote_id) = 'text'),
    remote_version TEXT CHECK (typeof(remote_version) IN ('text', 'null')),
    fingerprint TEXT CHECK (typeof(fingerprint) IN ('text', 'null')),
    delivered_outbox_id INTEGER NOT NULL CHECK (typeof(delivered_outbox_id) = 'integer'),
    synced_at INTEGER NOT NULL CHECK (typeof(synced_at) = 'integer'),
    PRIMARY KEY (target, aggregate_type, aggregate_id)
) WITHOUT ROWID;

INSERT INTO sync_link_new
SELECT target, aggregate_type, aggregate_id, CAST(remote_id AS TEXT), CAST(remote_version AS TEXT), CAST(fingerprint AS TEXT),
    CAST(delivered_outbox_id AS INTEGER), CAST(synced_at AS INTEGER)
FROM sync_link WHERE typeof(aggregate_type) = 'text' AND typeof(aggregate_id) = 'text';

DROP TABLE sync_link;

ALTER TABLE sync_link_new RENAME TO sync_link;

-- What operators should know of changes that were not refused: types that no target takes, times in another unit.
CREATE TABLE IF NOT EXISTS sync_notice (
    kind TEXT NOT NULL CHECK (typeof(kind) = 'text'),
    subject TEXT NOT NULL CHECK (typeof(subject) = 'text'),
    changes INTEGER NOT NULL CHECK (typeof(changes) = 'integer'),
    last_change_id INTEGER NOT NULL CHECK (typeof(last_change_id) = 'integer'),
    last_at INTEGER NOT NULL CHECK (typeof(last_at) = 'integer'),
    PRIMARY KEY (kind, subject)
) WITHOUT ROWID;

-- Failed deliveries that an operator dismissed, with the reason.
CREATE TABLE IF NOT EXISTS sync_dismissal (
    target TEXT NOT NULL CHECK (typeof(target) = 'text'),
    outbox_id INTEGER NOT NULL CHECK (typeof(outbox_id) = 'integer'),
    reason TEXT NOT NULL CHECK (typeof(reason) = 'text'),
    dismissed_by TEXT NOT NULL CHECK (typeof(dismissed_by) = 'text'),
    dismissed_at INTEGER NOT NULL CHECK (typeof(dismissed_at) = 'integer'),
    PRIMARY KEY (target, outbox_id)
) WITHOUT ROWID;

ALTER TABLE sync_count ADD COLUMN dismissed INTEGER NOT NULL DEFAULT 0;

-- The newest time that hosts have seen on the store's clock, and a step of that clock that nobody believes yet. One row.
CREATE TABLE IF NOT EXISTS sync_clock (
    id INTEGER NOT NULL PRIMARY KEY,
    seen_at INTEGER NOT NULL CHECK (typeof(seen_at) = 'integer'),
    doubted_at INTEGER CHECK (typeof(doubted_at) IN ('integer', 'null')),
    step_ms INTEGER CHECK (typeof(step_ms) IN ('integer', 'null'))
);

-- What the planner should believe, as in the first migration.
ANALYZE;

DELETE FROM sqlite_stat1;

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('sync_outbox', 'sqlite_autoindex_sync_outbox_1', '1000000 1'),
    ('sync_outbox', 'sync_outbox_unrouted', '100000 1'),
    ('sync_delivery', 'sync_delivery', '1000000 250000 1'),
    ('sync_delivery', 'sync_delivery_due', '100000 25000 100 1'),
    ('sync_delivery', 'sync_delivery_aggregate', '1000000 16 16 4 1'),
    ('sync_link', 'sync_link', '1000000 250000 250000 1'),
    ('sync_work', 'sync_work', '1000 250 250 1'),
    ('sync_work', 'sync_work_epoch', '1000 250');

ANALYZE sqlite_schema;
