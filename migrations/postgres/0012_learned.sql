-- What the adapter of a target learned, for all later calls of all hosts. It is given only to the adapter and for the state
-- of its check that `basis` is a digest of. Contents: docs/store.md.
CREATE TABLE IF NOT EXISTS sync_learned (
    target TEXT NOT NULL PRIMARY KEY,
    basis TEXT NOT NULL,
    revision BIGINT NOT NULL,
    learned BYTEA NOT NULL
);
