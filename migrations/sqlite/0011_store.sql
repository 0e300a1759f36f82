-- The whole store of version 0.1.0. Times are milliseconds since 1970-01-01 UTC. What each table is for: docs/store.md.

CREATE TABLE IF NOT EXISTS {USERS_TABLE_QUOTED} (
    username TEXT NOT NULL PRIMARY KEY,
    display_name TEXT NOT NULL,
    role TEXT NOT NULL,
    email TEXT,
    department TEXT,
    password_hash TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);

-- One row for each patient of the application, with the ids that targets gave.
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
-- It takes values of any type; what an application writes is checked when it is routed. All tables of the host below are
-- checked. They are not STRICT: an SQLite before 3.37 cannot open a file that holds a STRICT table.
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

-- One change for one target. `next_attempt_at` is NULL while the delivery is in flight or finished, and the largest number
-- while it is failed, so that the index of what is due holds only what a claim may take. No index holds the status, so that a
-- delivery goes from processing to done without a new index entry.
CREATE TABLE IF NOT EXISTS sync_delivery (
    target TEXT NOT NULL CHECK (typeof(target) = 'text'),
    outbox_id INTEGER NOT NULL CHECK (typeof(outbox_id) = 'integer'),
    aggregate_type TEXT NOT NULL CHECK (typeof(aggregate_type) = 'text'),
    aggregate_id TEXT NOT NULL CHECK (typeof(aggregate_id) = 'text'),
    status TEXT NOT NULL CHECK (typeof(status) = 'text'),
    attempts INTEGER NOT NULL DEFAULT 0 CHECK (typeof(attempts) = 'integer'),
    next_attempt_at INTEGER CHECK (typeof(next_attempt_at) IN ('integer', 'null')),
    lease_id INTEGER CHECK (typeof(lease_id) IN ('integer', 'null')),
    error_kind TEXT CHECK (typeof(error_kind) IN ('text', 'null')),
    error_message TEXT CHECK (typeof(error_message) IN ('text', 'null')),
    created_at INTEGER NOT NULL CHECK (typeof(created_at) = 'integer'),
    finished_at INTEGER CHECK (typeof(finished_at) IN ('integer', 'null')),
    PRIMARY KEY (target, outbox_id)
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS sync_delivery_due ON sync_delivery (target, next_attempt_at, outbox_id)
    WHERE next_attempt_at IS NOT NULL;

-- The target is not its first column, so that no planner takes this index to find a delivery by target and id.
CREATE INDEX IF NOT EXISTS sync_delivery_aggregate ON sync_delivery (aggregate_id, aggregate_type, target, outbox_id);

-- What is in flight. The key allows a target one delivery of an aggregate at a time, over all hosts.
CREATE TABLE IF NOT EXISTS sync_in_flight (
    target TEXT NOT NULL CHECK (typeof(target) = 'text'),
    aggregate_type TEXT NOT NULL CHECK (typeof(aggregate_type) = 'text'),
    aggregate_id TEXT NOT NULL CHECK (typeof(aggregate_id) = 'text'),
    outbox_id INTEGER NOT NULL CHECK (typeof(outbox_id) = 'integer'),
    lease_id INTEGER NOT NULL CHECK (typeof(lease_id) = 'integer'),
    PRIMARY KEY (target, aggregate_type, aggregate_id)
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS sync_in_flight_lease ON sync_in_flight (lease_id);

-- One row for each batch in flight. Its id is the fencing token: a host that does not find the row may no longer settle.
CREATE TABLE IF NOT EXISTS sync_lease (
    lease_id INTEGER PRIMARY KEY AUTOINCREMENT,
    target TEXT NOT NULL,
    owner TEXT NOT NULL,
    acquired_at INTEGER NOT NULL,
    lease_until INTEGER NOT NULL
);

-- The id map: what each target confirmed last.
CREATE TABLE IF NOT EXISTS sync_link (
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

-- What is known of each target: the active adapter, the breaker, the last failure. `route_revision` counts the changes of what
-- is routed there, so that a host notices that its routes are old.
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
    updated_at INTEGER NOT NULL,
    aggregate_types TEXT,
    route_revision BIGINT NOT NULL DEFAULT 0,
    probe_requests BIGINT NOT NULL DEFAULT 0,
    batch_max BIGINT
);

-- The running hosts, and the targets that each of them has.
CREATE TABLE IF NOT EXISTS sync_host (
    id TEXT NOT NULL PRIMARY KEY,
    version TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    targets TEXT
);

-- How far `host import` has come in each file, and which bytes those were.
CREATE TABLE IF NOT EXISTS sync_import (
    id TEXT NOT NULL PRIMARY KEY,
    file TEXT NOT NULL,
    bytes_done INTEGER NOT NULL,
    bytes_sha256 TEXT NOT NULL,
    lines_done INTEGER NOT NULL,
    created_count INTEGER NOT NULL,
    updated_count INTEGER NOT NULL,
    unchanged_count INTEGER NOT NULL,
    repeated_count INTEGER NOT NULL,
    rejected_count INTEGER NOT NULL,
    rejects_bytes INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    finished_at INTEGER,
    incomplete_count INTEGER NOT NULL DEFAULT 0
);

-- How many deliveries each target has, so that no command counts millions of them.
CREATE TABLE IF NOT EXISTS sync_count (
    target TEXT NOT NULL,
    shard INTEGER NOT NULL,
    made INTEGER NOT NULL,
    done INTEGER NOT NULL,
    superseded INTEGER NOT NULL,
    dismissed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (target, shard)
);

-- What happened to the adapters of each target: activated, rejected, rolled back.
CREATE TABLE IF NOT EXISTS sync_adapter_event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    target TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    name TEXT,
    version TEXT,
    event TEXT NOT NULL,
    reason TEXT,
    host TEXT,
    at BIGINT NOT NULL
);

CREATE INDEX IF NOT EXISTS sync_adapter_event_target ON sync_adapter_event (target, id);

-- Adapters that are or were active, in pieces, so that every host can load the same one.
CREATE TABLE IF NOT EXISTS sync_adapter_part (
    sha256 TEXT NOT NULL,
    part BIGINT NOT NULL,
    parts BIGINT NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (sha256, part)
);

-- What operators requested of each target's adapter: which one was rolled back, and how many reloads.
CREATE TABLE IF NOT EXISTS sync_adapter_control (
    target TEXT NOT NULL PRIMARY KEY,
    rejected_sha256 TEXT,
    reload_requests BIGINT NOT NULL DEFAULT 0
);

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

-- One row: the newest time that hosts have seen on the store's clock, and a step of it that is not trusted yet.
CREATE TABLE IF NOT EXISTS sync_clock (
    id INTEGER NOT NULL PRIMARY KEY,
    seen_at INTEGER NOT NULL CHECK (typeof(seen_at) = 'integer'),
    doubted_at INTEGER CHECK (typeof(doubted_at) IN ('integer', 'null')),
    step_ms INTEGER CHECK (typeof(step_ms) IN ('integer', 'null'))
);

-- What a store was made with and keeps: the name of its table of users ([store] users_table).
CREATE TABLE IF NOT EXISTS sync_setting (
    name TEXT NOT NULL PRIMARY KEY CHECK (typeof(name) = 'text'),
    value TEXT NOT NULL CHECK (typeof(value) = 'text')
) WITHOUT ROWID;

INSERT INTO sync_setting (name, value) VALUES ('users_table', '{USERS_TABLE}') ON CONFLICT (name) DO NOTHING;

-- What the planner should believe before there is anything to measure: a target has many deliveries, an id only one, and
-- few changes are unrouted. Without it an UPDATE from a batch would scan the queue once for each row of the batch.
ANALYZE;

DELETE FROM sqlite_stat1;

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('sync_outbox', 'sqlite_autoindex_sync_outbox_1', '1000000 1'),
    ('sync_outbox', 'sync_outbox_unrouted', '100000 1'),
    ('sync_delivery', 'sync_delivery', '1000000 250000 1'),
    ('sync_delivery', 'sync_delivery_due', '100000 25000 100 1'),
    ('sync_delivery', 'sync_delivery_aggregate', '1000000 16 16 4 1'),
    ('sync_link', 'sync_link', '1000000 250000 250000 1'),
    ('sync_in_flight', 'sync_in_flight', '1000 250 250 1'),
    ('sync_in_flight', 'sync_in_flight_lease', '1000 250');

ANALYZE sqlite_schema;
