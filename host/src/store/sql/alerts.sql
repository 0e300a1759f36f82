-- Alerts: what operators are told of (alerts.rs, alert_sends.rs, alert_facts.rs). There are few: what has ended is
-- purged.

-- fragment: alert_columns
-- What `alerts::alert` reads, in its order.
sync_alert.id, sync_alert.kind, sync_alert.target, sync_alert.subject, sync_alert.sentence, sync_alert.example,
sync_alert.raised_at, sync_alert.ended_at, sync_alert.acknowledged_at, sync_alert.acknowledged_by

-- name: list_alerts
-- The newest first. Open ones have the mark 0.
SELECT {alert_columns}
FROM sync_alert
[[WHERE sync_alert.ended_mark = :ended_mark]]
ORDER BY sync_alert.id DESC
LIMIT :limit;

-- name: touch_alerts
-- The conditions of these open alerts still hold.
UPDATE sync_alert AS t
SET seen_at = {now}, sentence = j.sentence, example = j.example
FROM {batch(id integer, sentence text, example text)}
WHERE t.id = j.id AND t.ended_mark = 0;

-- name: raise_alerts
-- The key lets one of several hosts that see a condition first raise it.
INSERT INTO sync_alert (kind, target, subject, sentence, example, raised_at, seen_at)
SELECT j.kind, j.target, j.subject, j.sentence, j.example, {now}, {now}
FROM {batch(kind text, target text, subject text, sentence text, example text)}
{where_true}
{on_conflict(ended_mark, kind, target, subject)} seen_at = {new(seen_at)};

-- name: end_alerts
-- Ends what no host has seen for so long.
UPDATE sync_alert SET ended_mark = id, ended_at = {now} WHERE ended_mark = 0 AND seen_at < {now} - :stale_ms;

-- name: announce_ends
-- The last message of each ended alert is due now, also while an earlier one is being sent.
UPDATE sync_alert_send SET next_at = {now}, failures = 0
WHERE next_at < {never} AND alert_id IN (SELECT id FROM sync_alert WHERE ended_mark > 0);

-- name: enter_alert_sends
-- Every open alert that a channel does not know yet is sent over it.
INSERT INTO sync_alert_send (alert_id, channel, next_at)
SELECT sync_alert.id, :channel, {now}
FROM sync_alert
WHERE sync_alert.ended_mark = 0
    AND (SELECT COUNT(*) FROM sync_alert_send s WHERE s.alert_id = sync_alert.id AND s.channel = :channel) = 0
{on_conflict(alert_id, channel)} sends = sync_alert_send.sends;

-- name: due_alert_sends
-- What is to be sent now and no host is sending. Nothing is due of an acknowledged alert until it ends.
SELECT {alert_columns}, sync_alert_send.channel, sync_alert_send.sends, sync_alert_send.failures,
    sync_alert_send.next_at, {now}
FROM sync_alert_send JOIN sync_alert ON sync_alert.id = sync_alert_send.alert_id
WHERE sync_alert_send.next_at <= {now} AND sync_alert_send.claimed_until <= {now}
    AND sync_alert_send.channel IN (:channels...)
    AND (sync_alert.ended_mark > 0 OR sync_alert.acknowledged_at IS NULL)
ORDER BY sync_alert_send.next_at, sync_alert_send.alert_id
LIMIT :limit;

-- name: claim_alert_send
-- One host sends. When it dies meanwhile, the claim ends and another one sends.
UPDATE sync_alert_send
SET claimed_by = :host, claimed_until = {now} + :claim_ms
WHERE alert_id = :alert_id AND channel = :channel AND next_at = :due_at AND claimed_until <= {now};

-- name: settle_alert_send
-- What came of it. The next message is due at `next_at`, unless the alert has ended meanwhile.
UPDATE sync_alert_send
SET claimed_until = 0,
    sends = sends + :sent,
    last_sent_at = CASE WHEN :sent = 1 THEN {now} ELSE last_sent_at END,
    failures = :failures,
    error = :error,
    next_at = CASE WHEN next_at = :due_at THEN :next_at ELSE next_at END
WHERE alert_id = :alert_id AND channel = :channel AND claimed_by = :host AND claimed_until > 0;

-- name: alert_sends
SELECT alert_id, channel, sends, last_sent_at, failures, error
FROM sync_alert_send
WHERE alert_id >= :first_id
ORDER BY alert_id, channel;

-- name: acknowledge_alerts
UPDATE sync_alert
SET acknowledged_at = {now}, acknowledged_by = :acknowledged_by
WHERE ended_mark = 0 AND acknowledged_at IS NULL
    [[AND id = :id]]
    [[AND kind = :kind]]
    [[AND target = :target]];

-- name: purge_alert_sends
DELETE FROM sync_alert_send
WHERE alert_id IN (SELECT id FROM sync_alert WHERE ended_mark > 0 AND ended_at < :cutoff);

-- name: purge_alerts
DELETE FROM sync_alert WHERE ended_mark > 0 AND ended_at < :cutoff;

-- name: heartbeats
-- Every host of the last day that has not stopped in order.
SELECT id, started_at, seen_at, {now} - seen_at FROM sync_host ORDER BY id;

-- name: rolled_back_adapters
SELECT target, rejected_sha256 FROM sync_adapter_control WHERE rejected_sha256 IS NOT NULL ORDER BY target;

-- name: changes_after
-- The newest of the changes behind an id, by type, and how long ago it was routed.
SELECT o.aggregate_type, MAX(o.id), {now} - MAX(COALESCE(o.routed_at, {now}))
FROM sync_outbox o
WHERE o.id > :after
GROUP BY o.aggregate_type;

-- name: failed_lately
-- How many of a target's failed deliveries failed within an hour.
SELECT COUNT(*)
FROM (SELECT d.finished_at FROM sync_delivery d {force_index(sync_delivery_due)}
    WHERE d.target = :target AND d.next_attempt_at = {never}
    LIMIT {failed_counted}) n
WHERE n.finished_at > {now} - {hour_ms};
