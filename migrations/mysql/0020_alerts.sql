-- What operators are told of: one row for each alert, open or ended. `ended_mark` is 0 while it is open, and its id from
-- then on, so that of each kind, target and subject one is open at most. Contents: docs/store.md.
CREATE TABLE IF NOT EXISTS sync_alert (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    kind VARCHAR(32) NOT NULL,
    target VARCHAR(64) NOT NULL,
    subject VARCHAR(255) NOT NULL,
    ended_mark BIGINT NOT NULL DEFAULT 0,
    sentence VARCHAR(1024) NOT NULL,
    example VARCHAR(512),
    raised_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    ended_at BIGINT,
    acknowledged_at BIGINT,
    acknowledged_by VARCHAR(255),
    UNIQUE KEY sync_alert_open (ended_mark, kind, target, subject)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={NO_PAD_BIN};

-- The messages of an alert over one channel: how many were sent, and when the next one is due. The host that sends it
-- claims it until `claimed_until`.
CREATE TABLE IF NOT EXISTS sync_alert_send (
    alert_id BIGINT NOT NULL,
    channel VARCHAR(16) NOT NULL,
    next_at BIGINT NOT NULL,
    claimed_by VARCHAR(64),
    claimed_until BIGINT NOT NULL DEFAULT 0,
    sends BIGINT NOT NULL DEFAULT 0,
    last_sent_at BIGINT,
    failures BIGINT NOT NULL DEFAULT 0,
    error VARCHAR(1024),
    PRIMARY KEY (alert_id, channel),
    KEY sync_alert_send_due (next_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={NO_PAD_BIN};
