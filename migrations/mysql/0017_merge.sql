-- The aggregate that the target's record was merged into: what it confirmed last is a merge. NULL everywhere else.
ALTER TABLE sync_link ADD COLUMN merged_into VARCHAR(255);

-- Patients of the application that are one with another, who survives. Their rows in patient_cache stay as they were.
CREATE TABLE IF NOT EXISTS patient_merge (
    patient_id VARCHAR(64) NOT NULL PRIMARY KEY,
    survivor_id VARCHAR(64) NOT NULL,
    reason VARCHAR(1024) NOT NULL,
    merged_by VARCHAR(64) NOT NULL,
    merged_at BIGINT NOT NULL,
    KEY patient_merge_survivor (survivor_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={NO_PAD_BIN};

ALTER TABLE clinical_record ADD KEY clinical_record_patient (patient_id);
