-- Settling: what became of a batch, written in one transaction under its lease (settle.rs).

-- fragment: settlements
{batch(
    outbox_id integer, status text, attempts integer, pause_ms integer, is_final integer,
    error_kind text, error_message text)}

-- name: note_in_doubt
-- Writes what was learnt of deliveries that stay in flight. `finished_at` marks those that fail when their
-- lease ends.
UPDATE sync_delivery AS t {force_index(PRIMARY)}
SET attempts = j.attempts,
    error_kind = j.error_kind,
    error_message = j.error_message,
    last_attempt = :lease_id,
    finished_at = CASE WHEN j.is_final = 1 THEN {now} ELSE NULL END
FROM {locate_by_ctid(sync_delivery, {settlements}, {delivery_key})}
WHERE {by_ctid({delivery_key})} AND t.lease_id = :lease_id AND t.status = {processing};

-- name: insert_done
-- The deliveries of directly dispatched changes that are done.
INSERT INTO sync_delivery
    (target, outbox_id, aggregate_type, aggregate_id, status, attempts, last_attempt, created_at, finished_at)
SELECT :target, o.id, o.aggregate_type, o.aggregate_id, {to_confirm}, :attempts, :lease_id,
    COALESCE(o.routed_at, {now}), {now}
FROM sync_outbox o
WHERE {key_in_ids(o.id)};

-- name: insert_processing
-- The deliveries of directly dispatched changes, as a claim would have left them.
INSERT INTO sync_delivery (target, outbox_id, aggregate_type, aggregate_id, status, lease_id, created_at)
SELECT :target, o.id, o.aggregate_type, o.aggregate_id, {at_dispatch}, :lease_id, COALESCE(o.routed_at, {now})
FROM sync_outbox o
WHERE {key_in_ids(o.id)};

-- name: mark_done
-- Plain success with the same attempt count: by far the most common outcome.
UPDATE sync_delivery {force_index(PRIMARY)}
SET status = {to_confirm}, attempts = :attempts, lease_id = NULL, last_attempt = :lease_id,
    error_kind = NULL, error_message = NULL, finished_at = {now}
WHERE {deliveries_by_id} AND lease_id = :lease_id AND status = {from_confirm};

-- name: update_each
-- Every other outcome, delivery by delivery. `next_status` has decided each of them; all begin where a success
-- does. What is queued again without a pause gets the place that its age gives it.
UPDATE sync_delivery AS t {force_index(PRIMARY)}
SET status = j.status,
    attempts = j.attempts,
    lease_id = NULL,
    last_attempt = :lease_id,
    error_kind = j.error_kind,
    error_message = j.error_message,
    next_attempt_at = CASE WHEN j.status = {failed} THEN {never} WHEN j.status = {skipped} THEN {never_skipped}
        WHEN j.is_final = 1 THEN NULL
        WHEN j.pause_ms > 0 THEN {now} + j.pause_ms ELSE t.created_at END,
    finished_at = CASE WHEN j.is_final = 1 THEN {now} ELSE NULL END
FROM {locate_by_ctid(sync_delivery, {settlements}, {delivery_key})}
WHERE {by_ctid({delivery_key})} AND t.lease_id = :lease_id AND t.status = {from_confirm};

-- fragment: replace_link
{on_conflict(target, aggregate_type, aggregate_id)} remote_id = {new(remote_id)},
    remote_version = {new(remote_version)}, fingerprint = {new(fingerprint)}, merged_into = {new(merged_into)},
    delivered_outbox_id = {new(delivered_outbox_id)}, synced_at = {new(synced_at)}

-- name: put_links (sqlite, mysql)
-- What the target has confirmed.
INSERT INTO sync_link
    (target, aggregate_type, aggregate_id, remote_id, remote_version, fingerprint, merged_into, delivered_outbox_id,
    synced_at)
VALUES (:rows, {now})...
{replace_link};

-- name: put_links (postgres)
INSERT INTO sync_link
    (target, aggregate_type, aggregate_id, remote_id, remote_version, fingerprint, merged_into, delivered_outbox_id,
    synced_at)
SELECT j.target, j.aggregate_type, j.aggregate_id, j.remote_id, j.remote_version, j.fingerprint, j.merged_into,
    CAST(j.delivered_outbox_id AS BIGINT), {now}
FROM unnest(:rows)
    AS j(target, aggregate_type, aggregate_id, remote_id, remote_version, fingerprint, merged_into,
        delivered_outbox_id)
{replace_link};

-- name: write_back_openemr_id
-- The ids that OpenEMR gave, next to the patients.
UPDATE patient_cache AS t {force_index(PRIMARY)}
SET openemr_patient_id = {as_integer(j.remote_id)}{and_free_padding}
FROM {batch(patient_id text, remote_id text)}
WHERE {patient_key} AND (t.openemr_patient_id IS NULL OR t.openemr_patient_id <> {as_integer(j.remote_id)});

-- name: write_back_fhir_id
-- The ids that a FHIR server gave, next to the patients.
UPDATE patient_cache AS t {force_index(PRIMARY)}
SET fhir_patient_id = j.remote_id
FROM {batch(patient_id text, remote_id text)}
WHERE {patient_key} AND (t.fhir_patient_id IS NULL OR t.fhir_patient_id <> j.remote_id);
