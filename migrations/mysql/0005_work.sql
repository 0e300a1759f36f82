-- What is in work stands in a small table of its own, and a delivery's row is written where it stands: docs/store.md.

-- At most one delivery of an aggregate at a target: the key says so, over all hosts.
CREATE TABLE IF NOT EXISTS sync_work (
    target VARCHAR(64) NOT NULL,
    aggregate_type VARCHAR(64) NOT NULL,
    aggregate_id VARCHAR(255) NOT NULL,
    outbox_id BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    PRIMARY KEY (target, aggregate_type, aggregate_id),
    KEY sync_work_epoch (epoch)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

INSERT INTO sync_work (target, aggregate_type, aggregate_id, outbox_id, epoch)
SELECT target, aggregate_type, aggregate_id, outbox_id, lease_epoch FROM sync_delivery WHERE status = 'processing'
ON DUPLICATE KEY UPDATE outbox_id = VALUES(outbox_id), epoch = VALUES(epoch);

-- The status leaves the index, which holds a time only for what a claim may look at: NULL for what is in work or finished,
-- the largest number for what failed and waits for a person. A status takes the same place whichever it is, and of the next
-- attempt, the lease and the end a delivery has one at a time: so a row keeps its length, and is written without moving.
ALTER TABLE sync_delivery
    DROP INDEX sync_delivery_one_active,
    DROP INDEX sync_delivery_due,
    DROP INDEX sync_delivery_aggregate,
    DROP COLUMN active_key,
    MODIFY status CHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    MODIFY next_attempt_at BIGINT,
    MODIFY lease_epoch BIGINT,
    ADD INDEX sync_delivery_due (target, next_attempt_at, outbox_id),
    ADD INDEX sync_delivery_aggregate (aggregate_id, aggregate_type, target, outbox_id);

UPDATE sync_delivery SET next_attempt_at = NULL WHERE status IN ('processing', 'done', 'superseded');

UPDATE sync_delivery SET lease_epoch = NULL WHERE status <> 'processing';

UPDATE sync_delivery SET next_attempt_at = 9223372036854775807 WHERE status = 'failed';
