-- Which targets each host has, and what the store routes to each: docs/store.md.
ALTER TABLE sync_host ADD COLUMN targets TEXT;

ALTER TABLE sync_target ADD COLUMN aggregate_types TEXT;

-- Counts the changes of what is routed to this target, so that a host notices that its view of it is old.
ALTER TABLE sync_target ADD COLUMN route_revision BIGINT NOT NULL DEFAULT 0;

-- How often an operator asked to look at the target at once.
ALTER TABLE sync_target ADD COLUMN probe_requests BIGINT NOT NULL DEFAULT 0;
