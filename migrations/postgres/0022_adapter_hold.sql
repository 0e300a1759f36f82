-- An adapter of each target that writes something else than the active one, and is held until an operator accepts it;
-- or that was accepted. Contents: docs/store.md.
CREATE TABLE IF NOT EXISTS sync_adapter_hold (
    target VARCHAR(64) NOT NULL PRIMARY KEY,
    sha256 VARCHAR(64) NOT NULL,
    name VARCHAR(255) NOT NULL,
    version VARCHAR(255) NOT NULL,
    differences TEXT NOT NULL,
    held_at BIGINT NOT NULL,
    accepted_at BIGINT
);
