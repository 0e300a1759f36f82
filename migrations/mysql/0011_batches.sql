-- The most deliveries that a batch of a target may have, since requests of larger ones went unanswered; NULL where none
-- did. So a host that starts begins with what the others have seen: docs/store.md.
ALTER TABLE sync_target ADD COLUMN batch_max BIGINT;
