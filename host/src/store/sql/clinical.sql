-- Clinical records of the application (clinical.rs).

-- fragment: record_columns
-- What `clinical::stored` reads.
t.aggregate_type, t.aggregate_id, t.patient_id, t.payload, t.refs

-- fragment: replace_record
{on_conflict(aggregate_id, aggregate_type)}
    patient_id = {new(patient_id)}, payload = {new(payload)}, refs = {new(refs)}, updated_at = {new(updated_at)}

-- name: records_by_id
-- Records with these ids, of any type: few types share an id, and the key begins with it.
SELECT {record_columns}
FROM clinical_record t
WHERE {key_in_batch(t.aggregate_id, aggregate_id, {batch(aggregate_id text)})}
ORDER BY t.aggregate_id, t.aggregate_type;

-- name: list_records
-- The first condition alone finds where the list goes on; MySQL uses no key for a comparison of rows.
SELECT t.aggregate_type, t.aggregate_id
FROM clinical_record t
WHERE t.aggregate_id >= :after_id AND (t.aggregate_id > :after_id OR t.aggregate_type > :after_type)
    [[AND t.updated_at >= :since]]
ORDER BY t.aggregate_id, t.aggregate_type
LIMIT :limit;

-- name: own_records
-- Which records with these ids, of any type, the host has.
SELECT t.aggregate_type, t.aggregate_id
FROM clinical_record t
WHERE {key_in_batch(t.aggregate_id, aggregate_id, {batch(aggregate_id text)})};

-- name: lock_records_by_id
-- Keeps others from changing them, so that the changes of one record get their ids in the order of its states.
SELECT {record_columns}
FROM clinical_record t
WHERE {key_in_batch(t.aggregate_id, aggregate_id, {batch(aggregate_id text)})}
ORDER BY t.aggregate_id, t.aggregate_type
{lock_rows};

-- name: lock_records_of_patients
-- Likewise, all of these patients.
SELECT {record_columns}
FROM clinical_record t
WHERE {key_in_batch(t.patient_id, aggregate_id, {batch(aggregate_id text)})}
ORDER BY t.aggregate_id, t.aggregate_type
{lock_rows};

-- name: referring_records
-- Which records of these patients refer to these encounters. `part` is what such a reference has in `refs`.
SELECT j.encounter_id, t.aggregate_type, t.aggregate_id
FROM {batch(patient_id text, encounter_id text, part text)}
{lookup(
    clinical_record, t, clinical_record_patient,
    t.patient_id = j.patient_id,
    t.aggregate_type, t.aggregate_id, t.refs)}
WHERE REPLACE(t.refs, j.part, '') <> t.refs
ORDER BY j.encounter_id, t.aggregate_id, t.aggregate_type
LIMIT :limit;

-- name: put_records (sqlite, mysql)
INSERT INTO clinical_record (aggregate_type, aggregate_id, patient_id, payload, refs, created_at, updated_at)
VALUES (:rows, {now}, {now})...
{replace_record};

-- name: put_records (postgres)
INSERT INTO clinical_record (aggregate_type, aggregate_id, patient_id, payload, refs, created_at, updated_at)
SELECT j.aggregate_type, j.aggregate_id, j.patient_id, j.payload, j.refs, {now}, {now}
FROM unnest(:rows) AS j(aggregate_type, aggregate_id, patient_id, payload, refs)
{replace_record};

-- name: delete_record
DELETE FROM clinical_record WHERE aggregate_id = :aggregate_id AND aggregate_type = :aggregate_type;

-- name: remember_deleted
INSERT INTO deleted_record (aggregate_type, aggregate_id, deleted_at)
VALUES (:aggregate_type, :aggregate_id, {now})
{on_conflict(aggregate_id, aggregate_type)} deleted_at = {new(deleted_at)};

-- name: deleted_among
-- Those with these ids, of any type, that were deleted and not written again since.
SELECT t.aggregate_type, t.aggregate_id
FROM deleted_record t
WHERE {key_in_batch(t.aggregate_id, aggregate_id, {batch(aggregate_id text)})}
    AND NOT EXISTS (SELECT 1 FROM patient_cache p
        WHERE t.aggregate_type = 'patient' AND p.patient_id = t.aggregate_id)
    AND NOT EXISTS (SELECT 1 FROM clinical_record r
        WHERE r.aggregate_id = t.aggregate_id AND r.aggregate_type = t.aggregate_type);
