//! `sync_alert_send`: what is to be sent of each alert over each channel, and by which host.
//!
//! A host claims a message before it sends it, by compare-and-set and for a bounded time. A host that dies in between
//! leaves a claim that ends, and another host sends the message then: perhaps once more, never not at all. This file
//! sends nothing; `alerts/` does.

use super::alerts::{Alert, alert};
use super::in_flight::NEVER;
use super::sql::{ClaimAlertSend, DueAlertSends, SettleAlertSend};
use super::{RowReader, Store, StoreError};

/// Messages that one look takes.
const DUE_MAX: u32 = 100;
/// The most characters of an error; the column's length.
const ERROR_CHARS_MAX: usize = 1_024;

/// A message that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueSend {
    pub alert: Alert,
    pub channel: String,
    /// The number of messages that were sent before.
    pub sends: i64,
    /// The number of attempts at this one that failed.
    pub failures: i64,
    due_at: i64,
    /// The store's time when it was read.
    now: i64,
}

impl DueSend {
    #[cfg(test)]
    pub(crate) fn of_tests(alert: Alert, sends: i64) -> Self {
        Self { alert, channel: "smtp".to_owned(), sends, failures: 0, due_at: 0, now: 0 }
    }
}

impl Store {
    /// What is to be sent over these channels now and no host is sending, the longest due first.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn due_alert_sends(&self, channels: &[String]) -> Result<Vec<DueSend>, StoreError> {
        let operation = "read which alerts are to be sent";
        let rows = self.fetch_alone(operation, DueAlertSends { channels, limit: DUE_MAX }).await?;
        let mut due = Vec::new();
        for row in rows.rows {
            let mut reader = RowReader::new(operation, row);
            // A newer host sends what only it knows.
            let Some(alert) = alert(&mut reader)? else { continue };
            due.push(DueSend {
                alert,
                channel: reader.text()?,
                sends: reader.integer()?,
                failures: reader.integer()?,
                due_at: reader.integer()?,
                now: reader.integer()?,
            });
        }
        Ok(due)
    }

    /// Claims a message for this host. Returns `false` when another host has it, or has sent it.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn claim_alert_send(&self, due: &DueSend, host: &str, claim_ms: i64) -> Result<bool, StoreError> {
        let DueSend { alert, channel, due_at, .. } = due;
        let claim = ClaimAlertSend { alert_id: alert.id, channel, due_at: *due_at, host, claim_ms };
        Ok(self.run_alone("claim the sending of an alert", claim).await?.rows_affected == 1)
    }

    /// Records that a claimed message was sent. The next one follows after `repeat_ms`, none after the last.
    ///
    /// # Errors
    /// When the store cannot be reached. The message is then sent again.
    pub async fn alert_was_sent(&self, due: &DueSend, host: &str, repeat_ms: i64) -> Result<(), StoreError> {
        let is_last = due.alert.ended_at.is_some();
        let next_at = if is_last { NEVER } else { due.now.saturating_add(repeat_ms) };
        self.settle_alert_send(due, host, next_at, None).await
    }

    /// Records why a claimed message was not sent. It is tried again after `pause_ms`.
    ///
    /// # Errors
    /// When the store cannot be reached. The message is then tried again when its claim has ended.
    pub async fn alert_was_not_sent(
        &self,
        due: &DueSend,
        host: &str,
        pause_ms: i64,
        error: &str,
    ) -> Result<(), StoreError> {
        self.settle_alert_send(due, host, due.now.saturating_add(pause_ms), Some(error)).await
    }

    async fn settle_alert_send(
        &self,
        due: &DueSend,
        host: &str,
        next_at: i64,
        error: Option<&str>,
    ) -> Result<(), StoreError> {
        let error: Option<String> = error.map(|error| error.chars().take(ERROR_CHARS_MAX).collect());
        let settled = SettleAlertSend {
            alert_id: due.alert.id,
            channel: &due.channel,
            due_at: due.due_at,
            host,
            sent: error.is_none(),
            failures: if error.is_some() { due.failures.saturating_add(1) } else { 0 },
            error: error.as_deref(),
            next_at,
        };
        self.run_alone("record the sending of an alert", settled).await.map(drop)
    }
}
