-- What operators are told of: one row for each alert, open or ended. `ended_mark` is 0 while it is open, and its id from
-- then on, so that of each kind, target and subject one is open at most. Contents: docs/store.md.
CREATE TABLE IF NOT EXISTS sync_alert (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (typeof(kind) = 'text'),
    target TEXT NOT NULL CHECK (typeof(target) = 'text'),
    subject TEXT NOT NULL CHECK (typeof(subject) = 'text'),
    ended_mark INTEGER NOT NULL DEFAULT 0 CHECK (typeof(ended_mark) = 'integer'),
    sentence TEXT NOT NULL CHECK (typeof(sentence) = 'text'),
    example TEXT CHECK (typeof(example) IN ('text', 'null')),
    raised_at INTEGER NOT NULL CHECK (typeof(raised_at) = 'integer'),
    seen_at INTEGER NOT NULL CHECK (typeof(seen_at) = 'integer'),
    ended_at INTEGER CHECK (typeof(ended_at) IN ('integer', 'null')),
    acknowledged_at INTEGER CHECK (typeof(acknowledged_at) IN ('integer', 'null')),
    acknowledged_by TEXT CHECK (typeof(acknowledged_by) IN ('text', 'null'))
);

CREATE UNIQUE INDEX IF NOT EXISTS sync_alert_open ON sync_alert (ended_mark, kind, target, subject);

-- The messages of an alert over one channel: how many were sent, and when the next one is due. The host that sends it
-- claims it until `claimed_until`.
CREATE TABLE IF NOT EXISTS sync_alert_send (
    alert_id INTEGER NOT NULL,
    channel TEXT NOT NULL CHECK (typeof(channel) = 'text'),
    next_at INTEGER NOT NULL CHECK (typeof(next_at) = 'integer'),
    claimed_by TEXT CHECK (typeof(claimed_by) IN ('text', 'null')),
    claimed_until INTEGER NOT NULL DEFAULT 0 CHECK (typeof(claimed_until) = 'integer'),
    sends INTEGER NOT NULL DEFAULT 0 CHECK (typeof(sends) = 'integer'),
    last_sent_at INTEGER CHECK (typeof(last_sent_at) IN ('integer', 'null')),
    failures INTEGER NOT NULL DEFAULT 0 CHECK (typeof(failures) = 'integer'),
    error TEXT CHECK (typeof(error) IN ('text', 'null')),
    PRIMARY KEY (alert_id, channel)
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS sync_alert_send_due ON sync_alert_send (next_at);
