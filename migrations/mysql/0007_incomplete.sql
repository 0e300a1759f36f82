-- Patients that an import took without some of their fields.
ALTER TABLE sync_import ADD COLUMN incomplete_count BIGINT NOT NULL DEFAULT 0;
