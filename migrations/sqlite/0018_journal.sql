-- The lease of the last attempt of each delivery, which `sync_attempt` describes; 0 before the first one.
ALTER TABLE sync_delivery ADD COLUMN last_attempt INTEGER NOT NULL DEFAULT 0 CHECK (typeof(last_attempt) = 'integer');

-- The journal: what was done under each lease, by whom, and with which result. Contents: docs/store.md.
CREATE TABLE IF NOT EXISTS sync_attempt (
    lease_id INTEGER NOT NULL PRIMARY KEY,
    target TEXT NOT NULL CHECK (typeof(target) = 'text'),
    host TEXT NOT NULL CHECK (typeof(host) = 'text'),
    adapter_name TEXT CHECK (typeof(adapter_name) IN ('text', 'null')),
    adapter_version TEXT CHECK (typeof(adapter_version) IN ('text', 'null')),
    adapter_sha256 TEXT CHECK (typeof(adapter_sha256) IN ('text', 'null')),
    interface_version TEXT CHECK (typeof(interface_version) IN ('text', 'null')),
    started_at INTEGER NOT NULL CHECK (typeof(started_at) = 'integer'),
    elapsed_ms INTEGER NOT NULL CHECK (typeof(elapsed_ms) = 'integer'),
    calls INTEGER NOT NULL CHECK (typeof(calls) = 'integer'),
    changes INTEGER NOT NULL CHECK (typeof(changes) = 'integer'),
    outcomes TEXT NOT NULL CHECK (typeof(outcomes) = 'text'),
    effects_sha256 TEXT CHECK (typeof(effects_sha256) IN ('text', 'null')),
    effect_counts TEXT CHECK (typeof(effect_counts) IN ('text', 'null')),
    cause_kind TEXT CHECK (typeof(cause_kind) IN ('text', 'null')),
    cause TEXT CHECK (typeof(cause) IN ('text', 'null'))
);

CREATE INDEX IF NOT EXISTS sync_attempt_target ON sync_attempt (target, lease_id);

-- The statements and requests that attempts are made of. Few lists are different, so each one is here once.
CREATE TABLE IF NOT EXISTS sync_effects (
    sha256 TEXT NOT NULL PRIMARY KEY CHECK (typeof(sha256) = 'text'),
    effects TEXT NOT NULL CHECK (typeof(effects) = 'text'),
    seen_at INTEGER NOT NULL CHECK (typeof(seen_at) = 'integer')
);

CREATE INDEX IF NOT EXISTS sync_effects_seen ON sync_effects (seen_at);

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('sync_attempt', 'sync_attempt_target', '1000000 250000 1'),
    ('sync_effects', 'sqlite_autoindex_sync_effects_1', '1000 1'),
    ('sync_effects', 'sync_effects_seen', '1000 10');

ANALYZE sqlite_schema;
