-- When a pause of the target ends by itself; NULL for one that an operator has to end.
ALTER TABLE sync_target ADD COLUMN paused_until INTEGER CHECK (typeof(paused_until) IN ('integer', 'null'));
