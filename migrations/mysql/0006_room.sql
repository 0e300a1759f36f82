-- While a patient has no id of OpenEMR's, eight bytes keep its place in the row: they go when the id comes, so that the row keeps
-- its length and InnoDB need not tidy the page up. The table is written once, so that the rows that are there get them too.
ALTER TABLE patient_cache ADD COLUMN room_for_id BINARY(8) DEFAULT '00000000', FORCE;
