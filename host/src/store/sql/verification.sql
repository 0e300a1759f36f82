-- Verification: whether targets still hold what was delivered (verification.rs).

-- name: links_to_verify
-- What a target has, by id, as the last delivery left it.
SELECT l.aggregate_id, l.remote_id, l.remote_version, l.fingerprint, l.delivered_outbox_id
FROM sync_link l
WHERE l.target = :target AND l.aggregate_type = :aggregate_type AND l.aggregate_id > :after AND l.remote_id <> ''
ORDER BY l.aggregate_id
LIMIT :limit;

-- name: links_settled
-- Which of these links are as they were, with nothing of their aggregate in flight.
SELECT j.aggregate_type, j.aggregate_id
FROM {batch(aggregate_type text, aggregate_id text, remote_id text, delivered_outbox_id integer)}
JOIN sync_link l ON l.target = :target AND l.aggregate_type = j.aggregate_type AND l.aggregate_id = j.aggregate_id
WHERE l.remote_id = j.remote_id AND l.delivered_outbox_id = j.delivered_outbox_id
    AND {in_flight_count(:target, j)} = 0;

-- name: newest_change
SELECT MAX(o.id) FROM sync_outbox o;

-- name: read_verifications
-- The last whole verification of a target, and the one under way.
SELECT v.run, v.types, v.started_at, v.finished_at, v.through_outbox_id, v.next_type, v.after_id,
    v.checked, v.edited, v.gone, v.several, v.not_ours, v.unknown, v.moved
FROM sync_verification v
WHERE v.target = :target;

-- name: begin_verification
INSERT INTO sync_verification
    (target, run, types, started_at, through_outbox_id, next_type, after_id,
     checked, edited, gone, several, not_ours, unknown, moved)
VALUES (:target, 'current', :types, {now}, :through, :next_type, '', 0, 0, 0, 0, 0, 0, 0);

-- name: advance_verification
-- Adds a page to the verification under way, unless another host has moved it meanwhile.
UPDATE sync_verification
SET next_type = :next_type,
    after_id = :after_id,
    checked = checked + :checked,
    edited = edited + :edited,
    gone = gone + :gone,
    several = several + :several,
    not_ours = not_ours + :not_ours,
    unknown = unknown + :unknown,
    moved = moved + :moved
WHERE target = :target AND run = 'current' AND next_type = :from_type AND after_id = :from_id;

-- name: delete_verification
DELETE FROM sync_verification WHERE target = :target AND run = :run;

-- name: finish_verification
UPDATE sync_verification SET run = 'last', finished_at = {now} WHERE target = :target AND run = 'current';

-- name: put_findings
-- What was found of these records, in the place of what was found before.
INSERT INTO sync_verification_finding (target, aggregate_type, aggregate_id, state, found_at)
SELECT :target, j.aggregate_type, j.aggregate_id, j.state, {now}
FROM {batch(aggregate_type text, aggregate_id text, state text)}
{where_true}
{on_conflict(target, aggregate_type, aggregate_id)} state = {new(state)}, found_at = {new(found_at)};

-- name: forget_findings
-- What an earlier verification found of a type, and the one that ends now did not.
DELETE FROM sync_verification_finding
WHERE target = :target AND aggregate_type = :aggregate_type AND found_at < :before;

-- name: list_findings
SELECT f.aggregate_type, f.aggregate_id, f.state, f.found_at
FROM sync_verification_finding f
WHERE f.target = :target AND f.aggregate_type = :aggregate_type AND f.aggregate_id > :after
ORDER BY f.aggregate_id
LIMIT :limit;

-- name: records_in_store
-- Which of these records at a target are known: linked, or a change of their aggregate is on its way there.
SELECT j.aggregate_id, j.remote_id
FROM {batch(aggregate_type text, aggregate_id text, remote_id text)}
{left_lookup(
    sync_link, l,
    l.target = :target AND l.aggregate_type = j.aggregate_type AND l.aggregate_id = j.aggregate_id,
    l.remote_id)}
WHERE l.remote_id = j.remote_id
    OR {in_flight_count(:target, j)} > 0
    OR (SELECT COUNT(*) FROM sync_delivery d {force_index(PRIMARY)}
        WHERE d.target = :target AND d.outbox_id = {newest_sibling(:target, j)} AND d.status = {pending}) > 0;

-- name: count_not_in_store
-- What was found of these types, by state.
SELECT f.aggregate_type, f.state, COUNT(*)
FROM sync_verification_finding f
WHERE f.target = :target AND f.aggregate_type IN (:types...)
GROUP BY f.aggregate_type, f.state;
