-- The clinical records that the application itself keeps: each in full, as its payload and what it refers to.
CREATE TABLE IF NOT EXISTS clinical_record (
    aggregate_id TEXT NOT NULL,
    aggregate_type TEXT NOT NULL,
    patient_id TEXT,
    payload TEXT NOT NULL,
    refs TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (aggregate_id, aggregate_type)
);

-- Patients and clinical records that the application has deleted: nothing may refer to them any more.
CREATE TABLE IF NOT EXISTS deleted_record (
    aggregate_id TEXT NOT NULL,
    aggregate_type TEXT NOT NULL,
    deleted_at INTEGER NOT NULL,
    PRIMARY KEY (aggregate_id, aggregate_type)
) WITHOUT ROWID;
