-- Deliveries that a target has no place for, counted like those that are done.
ALTER TABLE sync_count ADD COLUMN skipped BIGINT NOT NULL DEFAULT 0;
