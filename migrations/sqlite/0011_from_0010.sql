-- From schema 10, which only development builds made: the names of version 0.1.0. No row is written anew.

ALTER TABLE sync_work RENAME TO sync_in_flight;

ALTER TABLE sync_in_flight RENAME COLUMN epoch TO lease_id;

DROP INDEX sync_work_epoch;

CREATE INDEX sync_in_flight_lease ON sync_in_flight (lease_id);

ALTER TABLE sync_lease RENAME COLUMN epoch TO lease_id;

ALTER TABLE sync_delivery RENAME COLUMN lease_epoch TO lease_id;

-- The most deliveries in a batch of a target, since requests of larger ones went unanswered.
ALTER TABLE sync_target ADD COLUMN batch_max BIGINT;

ALTER TABLE sync_adapter_wish RENAME TO sync_adapter_control;

DELETE FROM sqlite_stat1 WHERE tbl IN ('sync_work', 'sync_in_flight');

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('sync_in_flight', 'sync_in_flight', '1000 250 250 1'),
    ('sync_in_flight', 'sync_in_flight_lease', '1000 250');

ANALYZE sqlite_schema;
