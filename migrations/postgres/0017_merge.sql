-- The aggregate that the target's record was merged into: what it confirmed last is a merge. NULL everywhere else.
ALTER TABLE sync_link ADD COLUMN IF NOT EXISTS merged_into VARCHAR(255);

-- Patients of the application that are one with another, who survives. Their rows in patient_cache stay as they were.
CREATE TABLE IF NOT EXISTS patient_merge (
    patient_id VARCHAR(64) NOT NULL PRIMARY KEY,
    survivor_id VARCHAR(64) NOT NULL,
    reason VARCHAR(1024) NOT NULL,
    merged_by VARCHAR(64) NOT NULL,
    merged_at BIGINT NOT NULL
);

CREATE INDEX IF NOT EXISTS patient_merge_survivor ON patient_merge (survivor_id);

CREATE INDEX IF NOT EXISTS clinical_record_patient ON clinical_record (patient_id);
