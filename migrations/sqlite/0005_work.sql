-- What is in work stands in a small table of its own, and a delivery's row is written where it stands: docs/store.md.

-- At most one delivery of an aggregate at a target: the key says so, over all hosts.
CREATE TABLE IF NOT EXISTS sync_work (
    target TEXT NOT NULL,
    aggregate_type TEXT NOT NULL,
    aggregate_id TEXT NOT NULL,
    outbox_id INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    PRIMARY KEY (target, aggregate_type, aggregate_id)
) WITHOUT ROWID;

CREATE INDEX sync_work_epoch ON sync_work (epoch);

INSERT INTO sync_work (target, aggregate_type, aggregate_id, outbox_id, epoch)
SELECT target, aggregate_type, aggregate_id, outbox_id, lease_epoch FROM sync_delivery WHERE status = 'processing';

-- The status leaves the indexes. The one of what is due holds only what a claim may look at: the time is NULL for what is in
-- work or finished, the largest number for what failed and waits for a person.
CREATE TABLE sync_delivery_new (
    target TEXT NOT NULL,
    outbox_id INTEGER NOT NULL,
    aggregate_type TEXT NOT NULL,
    aggregate_id TEXT NOT NULL,
    status TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt_at INTEGER,
    lease_epoch INTEGER,
    error_kind TEXT,
    error_message TEXT,
    created_at INTEGER NOT NULL,
    finished_at INTEGER,
    PRIMARY KEY (target, outbox_id)
) WITHOUT ROWID;

INSERT INTO sync_delivery_new
SELECT target, outbox_id, aggregate_type, aggregate_id, status, attempts,
    CASE status WHEN 'pending' THEN next_attempt_at WHEN 'failed' THEN 9223372036854775807 END,
    CASE status WHEN 'processing' THEN lease_epoch END, error_kind, error_message, created_at, finished_at
FROM sync_delivery;

DROP TABLE sync_delivery;

ALTER TABLE sync_delivery_new RENAME TO sync_delivery;

CREATE INDEX sync_delivery_due ON sync_delivery (target, next_attempt_at, outbox_id) WHERE next_attempt_at IS NOT NULL;

CREATE INDEX sync_delivery_aggregate ON sync_delivery (aggregate_id, aggregate_type, target, outbox_id);

-- The id map, found by its key without a second look.
CREATE TABLE sync_link_new (
    target TEXT NOT NULL,
    aggregate_type TEXT NOT NULL,
    aggregate_id TEXT NOT NULL,
    remote_id TEXT NOT NULL,
    remote_version TEXT,
    fingerprint TEXT,
    delivered_outbox_id INTEGER NOT NULL,
    synced_at INTEGER NOT NULL,
    PRIMARY KEY (target, aggregate_type, aggregate_id)
) WITHOUT ROWID;

INSERT INTO sync_link_new
SELECT target, aggregate_type, aggregate_id, remote_id, remote_version, fingerprint, delivered_outbox_id, synced_at
FROM sync_link;

DROP TABLE sync_link;

ALTER TABLE sync_link_new RENAME TO sync_link;

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
