-- Deliveries that a target has no place for, counted like those that are done.
ALTER TABLE sync_count ADD COLUMN skipped INTEGER NOT NULL DEFAULT 0;
