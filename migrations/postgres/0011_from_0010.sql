-- From schema 10, which only development builds made: the names of version 0.1.0. No row is written anew.

ALTER TABLE sync_work RENAME TO sync_in_flight;

ALTER TABLE sync_in_flight RENAME COLUMN epoch TO lease_id;

ALTER INDEX sync_work_pkey RENAME TO sync_in_flight_pkey;

ALTER INDEX sync_work_epoch RENAME TO sync_in_flight_lease;

ALTER TABLE sync_lease RENAME COLUMN epoch TO lease_id;

ALTER SEQUENCE sync_lease_epoch_seq RENAME TO sync_lease_lease_id_seq;

ALTER TABLE sync_delivery RENAME COLUMN lease_epoch TO lease_id;

-- The most deliveries in a batch of a target, since requests of larger ones went unanswered.
ALTER TABLE sync_target ADD COLUMN batch_max BIGINT;

ALTER TABLE sync_adapter_wish RENAME TO sync_adapter_control;

ALTER INDEX sync_adapter_wish_pkey RENAME TO sync_adapter_control_pkey;
