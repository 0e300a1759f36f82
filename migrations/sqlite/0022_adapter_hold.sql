-- An adapter of each target that writes something else than the active one, and is held until an operator accepts it;
-- or that was accepted. Contents: docs/store.md.
CREATE TABLE IF NOT EXISTS sync_adapter_hold (
    target TEXT NOT NULL PRIMARY KEY CHECK (typeof(target) = 'text'),
    sha256 TEXT NOT NULL CHECK (typeof(sha256) = 'text'),
    name TEXT NOT NULL CHECK (typeof(name) = 'text'),
    version TEXT NOT NULL CHECK (typeof(version) = 'text'),
    differences TEXT NOT NULL CHECK (typeof(differences) = 'text'),
    held_at INTEGER NOT NULL CHECK (typeof(held_at) = 'integer'),
    accepted_at INTEGER CHECK (typeof(accepted_at) IN ('integer', 'null'))
);
