-- From schema 10, which only development builds made: the names of version 0.1.0. No row is written anew.
-- MySQL commits each statement by itself. A host may have died between two of them, so each may be run again.

RENAME TABLE sync_work TO sync_in_flight;

ALTER TABLE sync_in_flight
    DROP INDEX sync_work_epoch,
    CHANGE epoch lease_id BIGINT NOT NULL,
    ADD INDEX sync_in_flight_lease (lease_id);

ALTER TABLE sync_lease CHANGE epoch lease_id BIGINT NOT NULL AUTO_INCREMENT;

ALTER TABLE sync_delivery CHANGE lease_epoch lease_id BIGINT;

-- The most deliveries in a batch of a target, since requests of larger ones went unanswered.
ALTER TABLE sync_target ADD COLUMN batch_max BIGINT;

ALTER TABLE patient_cache CHANGE room_for_id id_padding BINARY(8) DEFAULT '00000000';

RENAME TABLE sync_adapter_wish TO sync_adapter_control;
