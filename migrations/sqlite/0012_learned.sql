-- What the adapter of a target learned, for all later calls of all hosts. It is given only to the adapter and for the state
-- of its check that `basis` is a digest of. Contents: docs/store.md.
CREATE TABLE IF NOT EXISTS sync_learned (
    target TEXT NOT NULL PRIMARY KEY CHECK (typeof(target) = 'text'),
    basis TEXT NOT NULL CHECK (typeof(basis) = 'text'),
    revision INTEGER NOT NULL CHECK (typeof(revision) = 'integer'),
    learned BLOB NOT NULL CHECK (typeof(learned) = 'blob')
);
