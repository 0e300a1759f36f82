-- How many deliveries there are, so that nobody has to count millions of them: docs/store.md.

CREATE TABLE IF NOT EXISTS sync_count (
    target VARCHAR(64) NOT NULL,
    shard BIGINT NOT NULL,
    made BIGINT NOT NULL,
    done BIGINT NOT NULL,
    superseded BIGINT NOT NULL,
    PRIMARY KEY (target, shard)
);

-- What is there already, in one of the rows. Run again, it puts the same there.
INSERT INTO sync_count (target, shard, made, done, superseded)
SELECT target, 0, COUNT(*), SUM(CASE WHEN status = 'done' THEN 1 ELSE 0 END),
    SUM(CASE WHEN status = 'superseded' THEN 1 ELSE 0 END)
FROM sync_delivery GROUP BY target
ON CONFLICT (target, shard) DO UPDATE SET made = excluded.made, done = excluded.done, superseded = excluded.superseded;
