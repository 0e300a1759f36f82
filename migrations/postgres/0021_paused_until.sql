-- When a pause of the target ends by itself; NULL for one that an operator has to end.
ALTER TABLE sync_target ADD COLUMN IF NOT EXISTS paused_until BIGINT;
