-- Leases: one row for each batch in flight (lease.rs).

-- name: begin_lease (sqlite, mysql)
-- Makes a lease. The driver gives its number.
INSERT INTO sync_lease (target, owner, acquired_at, lease_until)
VALUES (:target, :owner, {now}, {now} + :lease_ms);

-- name: begin_lease (postgres)
INSERT INTO sync_lease (target, owner, acquired_at, lease_until)
VALUES (:target, :owner, {now}, {now} + :lease_ms)
RETURNING lease_id;

-- name: renew_lease
-- Makes a lease last so long from now, and never makes it shorter: what was sent to a server under it stays
-- covered.
UPDATE sync_lease
SET lease_until = CASE WHEN lease_until > {now} + :lease_ms THEN lease_until ELSE {now} + :lease_ms END
WHERE lease_id = :lease_id AND owner = :owner;

-- name: hold_lease
-- Keeps a lease from being taken away until the end of the transaction, and leaves it as long as it is.
UPDATE sync_lease SET lease_until = lease_until WHERE lease_id = :lease_id AND owner = :owner;

-- name: end_lease
-- Whoever deletes the row settles or requeues the batch; no row means that the lease was lost.
DELETE FROM sync_lease WHERE lease_id = :lease_id AND owner = :owner;

-- name: expired_leases
SELECT target, owner, lease_id FROM sync_lease WHERE lease_until < {now};

-- name: end_expired_lease
-- Takes a lease away, unless it was renewed since it was seen to be expired.
DELETE FROM sync_lease WHERE lease_id = :lease_id AND owner = :owner AND lease_until < {now};
