-- Patients of the application that are one with another (merges.rs).

-- name: merges_among
-- Which of these patients were merged into another.
SELECT t.patient_id, t.survivor_id
FROM patient_merge t
WHERE {key_in_batch(t.patient_id, patient_id, {batch(patient_id text)})}
ORDER BY t.patient_id;

-- name: merges_into
-- Which patients were merged into one of these.
SELECT t.patient_id, t.survivor_id
FROM patient_merge t
WHERE {key_in_batch(t.survivor_id, patient_id, {batch(patient_id text)})}
ORDER BY t.patient_id;

-- name: insert_merge
INSERT INTO patient_merge (patient_id, survivor_id, reason, merged_by, merged_at)
VALUES (:patient_id, :survivor_id, :reason, :merged_by, {now});

-- name: delete_merge
DELETE FROM patient_merge WHERE patient_id = :patient_id;
