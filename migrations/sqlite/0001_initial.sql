-- The whole store. Times are milliseconds since 1970-01-01 UTC. What each table is for: docs/store.md.

CREATE TABLE IF NOT EXISTS users (
    username TEXT NOT NULL PRIMARY KEY,
    display_name TEXT NOT NULL,
    role TEXT NOT NULL,
    email TEXT,
    department TEXT,
    password_hash TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);

-- One row per patient of the application, with the ids that targets gave it.
CREATE TABLE IF NOT EXISTS patient_cache (
    patient_id TEXT NOT NULL PRIMARY KEY,
    family_name TEXT NOT NULL,
    given_name TEXT NOT NULL,
    middle_name TEXT,
    native_family_name TEXT,
    native_given_name TEXT,
    title TEXT,
    suffix TEXT,
    birth_date TEXT NOT NULL,
    gender TEXT NOT NULL,
    marital_status TEXT,
    phone_home TEXT,
    phone_mobile TEXT,
    phone_work TEXT,
    email TEXT,
    street TEXT,
    street_line_2 TEXT,
    city TEXT,
    state TEXT,
    postal_code TEXT,
    country TEXT,
    language TEXT,
    race TEXT,
    ethnicity TEXT,
    national_id TEXT,
    deceased_date TEXT,
    openemr_patient_id INTEGER,
    fhir_patient_id TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);

-- Public contract (docs/outbox.md): any application may insert here, in its own transaction. Rows are immutable.
CREATE TABLE IF NOT EXISTS sync_outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-a' || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))),
    aggregate_type TEXT NOT NULL,
    aggregate_id TEXT NOT NULL,
    operation TEXT NOT NULL,
    payload TEXT NOT NULL,
    trace_context TEXT,
    created_at INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)),
    routed_at INTEGER,
    CONSTRAINT sync_outbox_event_id UNIQUE (event_id)
);

CREATE INDEX IF NOT EXISTS sync_outbox_unrouted ON sync_outbox (id) WHERE routed_at IS NULL;

-- One change for one target. active_key is NULL except while the delivery is in work, so that the unique key allows each
-- target at most one delivery of an aggregate at a time.
CREATE TABLE IF NOT EXISTS sync_delivery (
    target TEXT NOT NULL,
    outbox_id INTEGER NOT NULL,
    aggregate_type TEXT NOT NULL,
    aggregate_id TEXT NOT NULL,
    status TEXT NOT NULL,
    active_key TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt_at INTEGER NOT NULL,
    lease_epoch INTEGER NOT NULL DEFAULT 0,
    error_kind TEXT,
    error_message TEXT,
    created_at INTEGER NOT NULL,
    finished_at INTEGER,
    PRIMARY KEY (target, outbox_id));

-- Only what is in work stands in it: small, however long the table is.
CREATE UNIQUE INDEX IF NOT EXISTS sync_delivery_one_active ON sync_delivery (active_key, target)
    WHERE active_key IS NOT NULL;

CREATE INDEX IF NOT EXISTS sync_delivery_due ON sync_delivery (target, next_attempt_at, outbox_id) WHERE status = 'pending';

CREATE INDEX IF NOT EXISTS sync_delivery_failed ON sync_delivery (target, outbox_id) WHERE status = 'failed';

CREATE INDEX IF NOT EXISTS sync_delivery_aggregate ON sync_delivery (target, aggregate_type, aggregate_id, outbox_id);

-- A batch of deliveries in work. Its epoch is the fence: whoever lost the row may no longer settle.
CREATE TABLE IF NOT EXISTS sync_lease (
    epoch INTEGER PRIMARY KEY AUTOINCREMENT,
    target TEXT NOT NULL,
    owner TEXT NOT NULL,
    acquired_at INTEGER NOT NULL,
    lease_until INTEGER NOT NULL
);

-- The id map: what each target confirmed last.
CREATE TABLE IF NOT EXISTS sync_link (
    target TEXT NOT NULL,
    aggregate_type TEXT NOT NULL,
    aggregate_id TEXT NOT NULL,
    remote_id TEXT NOT NULL,
    remote_version TEXT,
    fingerprint TEXT,
    delivered_outbox_id INTEGER NOT NULL,
    synced_at INTEGER NOT NULL,
    PRIMARY KEY (target, aggregate_type, aggregate_id)
);

-- What is known of each target: the adapter in force, the breaker, the last trouble.
CREATE TABLE IF NOT EXISTS sync_target (
    name TEXT NOT NULL PRIMARY KEY,
    enabled INTEGER NOT NULL,
    paused INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL,
    breaker TEXT NOT NULL DEFAULT 'closed',
    breaker_until INTEGER,
    adapter_name TEXT,
    adapter_version TEXT,
    adapter_sha256 TEXT,
    previous_sha256 TEXT,
    summary TEXT,
    error_kind TEXT,
    error_message TEXT,
    error_at INTEGER,
    updated_at INTEGER NOT NULL
);

-- Which hosts are at work: a store that no host has looked at lately explains rows that stay pending.
CREATE TABLE IF NOT EXISTS sync_host (
    id TEXT NOT NULL PRIMARY KEY,
    version TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL
);

-- What the planner should believe, before there is anything to measure: a target has many deliveries, an id only one, and
-- few changes wait to be routed. Without it an UPDATE from a batch walks over all that waits, once per row of the batch.
ANALYZE;
DELETE FROM sqlite_stat1;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('sync_outbox', 'sqlite_autoindex_sync_outbox_1', '1000000 1'),
    ('sync_outbox', 'sync_outbox_unrouted', '100000 1'),
    ('sync_delivery', 'sqlite_autoindex_sync_delivery_1', '1000000 250000 1'),
    ('sync_delivery', 'sync_delivery_one_active', '1000 1 1'),
    ('sync_delivery', 'sync_delivery_due', '100000 25000 100 1'),
    ('sync_delivery', 'sync_delivery_failed', '1000 250 1'),
    ('sync_delivery', 'sync_delivery_aggregate', '1000000 250000 250000 4 1');
ANALYZE sqlite_schema;
