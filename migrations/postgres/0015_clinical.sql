-- The clinical records that the application itself keeps: each in full, as its payload and what it refers to.
CREATE TABLE IF NOT EXISTS clinical_record (
    aggregate_id VARCHAR(255) NOT NULL,
    aggregate_type VARCHAR(64) NOT NULL,
    patient_id VARCHAR(255),
    payload TEXT NOT NULL,
    refs TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (aggregate_id, aggregate_type)
);

-- Patients and clinical records that the application has deleted: nothing may refer to them any more.
CREATE TABLE IF NOT EXISTS deleted_record (
    aggregate_id VARCHAR(255) NOT NULL,
    aggregate_type VARCHAR(64) NOT NULL,
    deleted_at BIGINT NOT NULL,
    PRIMARY KEY (aggregate_id, aggregate_type)
);
