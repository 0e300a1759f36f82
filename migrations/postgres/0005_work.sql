-- What is in work stands in a small table of its own, and a delivery's row is written where it stands: docs/store.md.

-- At most one delivery of an aggregate at a target: the key says so, over all hosts.
CREATE TABLE IF NOT EXISTS sync_work (
    target VARCHAR(64) NOT NULL,
    aggregate_type VARCHAR(64) NOT NULL,
    aggregate_id VARCHAR(255) NOT NULL,
    outbox_id BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    PRIMARY KEY (target, aggregate_type, aggregate_id)
);

CREATE INDEX IF NOT EXISTS sync_work_epoch ON sync_work (epoch);

INSERT INTO sync_work (target, aggregate_type, aggregate_id, outbox_id, epoch)
SELECT target, aggregate_type, aggregate_id, outbox_id, lease_epoch FROM sync_delivery WHERE status = 'processing'
ON CONFLICT (target, aggregate_type, aggregate_id) DO UPDATE SET outbox_id = excluded.outbox_id, epoch = excluded.epoch;

-- The status leaves the indexes. The one of what is due holds only what a claim may look at: the time is NULL for what is in
-- work or finished, the largest number for what failed and waits for a person. With no status in any index, and with room
-- left in each page, a row that goes from processing to done needs no new entry in an index.
DROP INDEX IF EXISTS sync_delivery_one_active;

DROP INDEX IF EXISTS sync_delivery_due;

DROP INDEX IF EXISTS sync_delivery_failed;

DROP INDEX IF EXISTS sync_delivery_aggregate;

ALTER TABLE sync_delivery DROP COLUMN IF EXISTS active_key;

ALTER TABLE sync_delivery ALTER COLUMN next_attempt_at DROP NOT NULL;

ALTER TABLE sync_delivery ALTER COLUMN lease_epoch DROP NOT NULL, ALTER COLUMN lease_epoch DROP DEFAULT;

ALTER TABLE sync_delivery SET (fillfactor = 60);

ALTER TABLE patient_cache SET (fillfactor = 80);

UPDATE sync_delivery SET next_attempt_at = NULL WHERE status IN ('processing', 'done', 'superseded');

UPDATE sync_delivery SET lease_epoch = NULL WHERE status <> 'processing';

UPDATE sync_delivery SET next_attempt_at = 9223372036854775807 WHERE status = 'failed';

CREATE INDEX IF NOT EXISTS sync_delivery_due ON sync_delivery (target, next_attempt_at, outbox_id)
    WHERE next_attempt_at IS NOT NULL;

-- The target does not stand first, so that nobody takes this index to find a delivery by target and id.
CREATE INDEX IF NOT EXISTS sync_delivery_aggregate ON sync_delivery (aggregate_id, aggregate_type, target, outbox_id);
