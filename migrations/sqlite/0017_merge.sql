-- The aggregate that the target's record was merged into: what it confirmed last is a merge. NULL everywhere else.
ALTER TABLE sync_link ADD COLUMN merged_into TEXT CHECK (typeof(merged_into) IN ('text', 'null'));

-- Patients of the application that are one with another, who survives. Their rows in patient_cache stay as they were.
CREATE TABLE IF NOT EXISTS patient_merge (
    patient_id TEXT NOT NULL PRIMARY KEY,
    survivor_id TEXT NOT NULL,
    reason TEXT NOT NULL,
    merged_by TEXT NOT NULL,
    merged_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS patient_merge_survivor ON patient_merge (survivor_id);

CREATE INDEX IF NOT EXISTS clinical_record_patient ON clinical_record (patient_id);
