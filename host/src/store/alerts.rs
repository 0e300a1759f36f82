//! `sync_alert`: what operators are told of, from when its condition was first seen until no host sees it any more.
//!
//! Every host that looks reports what it sees, and an alert ends when none has seen it for a while. So it does not
//! matter which host sees a condition, nor whether it still runs: a full disk is seen by its own machine alone. A
//! unique key keeps one open alert of each kind, target and subject. What is sent of an alert is `alert_sends.rs`.

use serde::Serialize;

use super::sql::{
    AcknowledgeAlerts, AlertSends, AnnounceEnds, EndAlerts, EnterAlertSends, Json, ListAlerts, PurgeAlertSends,
    PurgeAlerts, RaiseAlerts, TouchAlerts,
};
use super::{RowReader, Store, StoreError, StoreTransaction};
use crate::database::rerun;
use crate::domain::alerts::AlertKind;

/// Open alerts that are read at most. Each is of a target, a type of changes, a host or a file.
const OPEN_MAX: u32 = 1_000;
/// The most characters of a sentence; the column's length.
const SENTENCE_CHARS_MAX: usize = 1_024;
/// The most characters of a subject, and of an example.
const SUBJECT_CHARS_MAX: usize = 255;

/// What an alert is about. At most one open alert has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct AlertKey {
    pub kind: AlertKind,
    /// Empty when it is of no target.
    pub target: String,
    /// What else tells it from others of its kind: a type, a host, a folder. Often empty.
    pub subject: String,
}

/// A condition that holds now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundAlert {
    pub key: AlertKey,
    /// For operators, with no personal data.
    pub sentence: String,
    /// The type and id of an aggregate that it concerns, where operators want to see one.
    pub example: Option<String>,
}

/// A row of `sync_alert`. Times are milliseconds since 1970-01-01 UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alert {
    pub id: i64,
    #[serde(flatten)]
    pub key: AlertKey,
    /// As its condition was last seen.
    pub sentence: String,
    pub example: Option<String>,
    pub raised_at: i64,
    pub ended_at: Option<i64>,
    pub acknowledged_at: Option<i64>,
    pub acknowledged_by: Option<String>,
}

/// What was sent of an alert over one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AlertSend {
    #[serde(skip)]
    pub alert_id: i64,
    pub channel: String,
    /// The number of messages that arrived.
    pub sends: i64,
    pub last_sent_at: Option<i64>,
    /// The number of attempts that failed since then, and why the last one did.
    pub failures: i64,
    pub error: Option<String>,
}

/// What a look changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertChanges {
    /// What was not open before. Another host may have raised it in the same moment.
    pub raised: Vec<AlertKey>,
    /// The number of alerts that ended.
    pub ended: u64,
}

/// Which open alerts an operator acknowledges; a field that is `None` selects all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertFilter {
    pub id: Option<i64>,
    pub kind: Option<AlertKind>,
    pub target: Option<String>,
}

#[derive(Serialize)]
struct Touched<'a> {
    id: i64,
    sentence: String,
    example: Option<&'a str>,
}

#[derive(Serialize)]
struct Raised<'a> {
    kind: &'static str,
    target: &'a str,
    subject: String,
    sentence: String,
    example: Option<&'a str>,
}

impl FoundAlert {
    fn shortened(mut self) -> Self {
        self.sentence = cut(&self.sentence, SENTENCE_CHARS_MAX);
        self.key.subject = cut(&self.key.subject, SUBJECT_CHARS_MAX);
        self.example = self.example.map(|example| cut(&example, SUBJECT_CHARS_MAX));
        self
    }
}

impl Store {
    /// Open alerts, or all, newest first; at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn alerts(&self, all: bool, limit: u32) -> Result<Vec<Alert>, StoreError> {
        let mut transaction = self.begin_read("read alerts").await?;
        let alerts = transaction.alerts(all, limit).await?;
        transaction.rollback().await?;
        Ok(alerts)
    }

    /// Every open alert, newest first.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn open_alerts(&self) -> Result<Vec<Alert>, StoreError> {
        self.alerts(false, OPEN_MAX).await
    }

    /// What was sent of the alerts from this id on.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn alert_sends(&self, first_id: i64) -> Result<Vec<AlertSend>, StoreError> {
        let operation = "read what was sent of alerts";
        let rows = self.fetch_alone(operation, AlertSends { first_id }).await?;
        let read = |row| {
            let mut reader = RowReader::new(operation, row);
            Ok(AlertSend {
                alert_id: reader.integer()?,
                channel: reader.text()?,
                sends: reader.integer()?,
                last_sent_at: reader.optional_integer()?,
                failures: reader.integer()?,
                error: reader.optional_text()?,
            })
        };
        rows.rows.into_iter().map(read).collect()
    }

    /// Raises what holds and is not open, and keeps open what still holds or is not known (`unknown`). With `stale_ms`
    /// it ends what no host has seen for so long. Over each of the channels it is to be sent.
    ///
    /// # Errors
    /// When the store cannot be reached; nothing is then changed.
    pub async fn report_alerts(
        &self,
        found: &[FoundAlert],
        unknown: &[AlertKey],
        stale_ms: Option<i64>,
        channels: &[String],
    ) -> Result<AlertChanges, StoreError> {
        let found: Vec<_> = found.iter().cloned().map(FoundAlert::shortened).collect();
        let open = self.open_alerts().await?;
        if found.is_empty() && open.is_empty() {
            return Ok(AlertChanges::default());
        }
        rerun("report alerts", || self.report_once(&open, &found, unknown, stale_ms, channels)).await
    }

    async fn report_once(
        &self,
        open: &[Alert],
        found: &[FoundAlert],
        unknown: &[AlertKey],
        stale_ms: Option<i64>,
        channels: &[String],
    ) -> Result<AlertChanges, StoreError> {
        let mut transaction = self.begin("report alerts").await?;
        let mut changes = AlertChanges::default();
        let touched: Vec<_> = open.iter().filter_map(|alert| touched(alert, found, unknown)).collect();
        if !touched.is_empty() {
            transaction.run(TouchAlerts { batch: Json::of(&touched) }).await?;
        }
        let mut new: Vec<_> = found.iter().filter(|one| open.iter().all(|alert| alert.key != one.key)).collect();
        // In the order of their keys, so that two hosts never deadlock.
        new.sort_by(|one, other| one.key.cmp(&other.key));
        if !new.is_empty() {
            let rows: Vec<_> = new.iter().map(|one| raised(one)).collect();
            transaction.run(RaiseAlerts { batch: Json::of(&rows) }).await?;
            changes.raised = new.into_iter().map(|one| one.key.clone()).collect();
        }
        if let Some(stale_ms) = stale_ms {
            changes.ended = transaction.run(EndAlerts { stale_ms }).await?.rows_affected;
        }
        if changes.ended > 0 {
            transaction.run(AnnounceEnds {}).await?;
        }
        for channel in channels {
            transaction.run(EnterAlertSends { channel }).await?;
        }
        transaction.commit().await?;
        Ok(changes)
    }

    /// Acknowledges open alerts: nothing is sent of them until they end. Returns their number.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn acknowledge_alerts(&self, filter: &AlertFilter, by: &str) -> Result<u64, StoreError> {
        let by = cut(by, SUBJECT_CHARS_MAX);
        rerun("acknowledge alerts", || async {
            let mut transaction = self.begin("acknowledge alerts").await?;
            let acknowledged = transaction
                .run(AcknowledgeAlerts {
                    id: filter.id,
                    kind: filter.kind.map(AlertKind::as_str),
                    target: filter.target.as_deref(),
                    acknowledged_by: &by,
                })
                .await?
                .rows_affected;
            transaction.commit().await?;
            Ok(acknowledged)
        })
        .await
    }

    /// Deletes alerts that ended `age_ms` ago.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn purge_alerts(&self, age_ms: i64) -> Result<u64, StoreError> {
        let mut transaction = self.begin("purge alerts").await?;
        let cutoff = transaction.purge_cutoff(age_ms).await?;
        transaction.run(PurgeAlertSends { cutoff }).await?;
        let deleted = transaction.run(PurgeAlerts { cutoff }).await?.rows_affected;
        transaction.commit().await?;
        Ok(deleted)
    }
}

impl StoreTransaction {
    async fn alerts(&mut self, all: bool, limit: u32) -> Result<Vec<Alert>, StoreError> {
        let rows = self.fetch(ListAlerts { ended_mark: (!all).then_some(0), limit }).await?.rows;
        let read = |row| alert(&mut RowReader::new("read alerts", row));
        // A newer host may have raised another kind.
        rows.into_iter().filter_map(|row| read(row).transpose()).collect()
    }
}

/// The row of an open alert whose condition holds, or is not known.
fn touched<'a>(alert: &'a Alert, found: &'a [FoundAlert], unknown: &[AlertKey]) -> Option<Touched<'a>> {
    if let Some(now) = found.iter().find(|one| one.key == alert.key) {
        return Some(Touched { id: alert.id, sentence: now.sentence.clone(), example: now.example.as_deref() });
    }
    let kept = Touched { id: alert.id, sentence: alert.sentence.clone(), example: alert.example.as_deref() };
    unknown.contains(&alert.key).then_some(kept)
}

fn raised(found: &FoundAlert) -> Raised<'_> {
    let AlertKey { kind, target, subject } = &found.key;
    Raised {
        kind: kind.as_str(),
        target,
        subject: subject.clone(),
        sentence: found.sentence.clone(),
        example: found.example.as_deref(),
    }
}

/// A row of `alert_columns` (sql/alerts.sql); `None` when its kind is one of a newer host.
pub(super) fn alert(reader: &mut RowReader<'_>) -> Result<Option<Alert>, StoreError> {
    let id = reader.integer()?;
    let kind = AlertKind::from_word(&reader.text()?);
    let (target, subject) = (reader.text()?, reader.text()?);
    let (sentence, example) = (reader.text()?, reader.optional_text()?);
    let (raised_at, ended_at) = (reader.integer()?, reader.optional_integer()?);
    let (acknowledged_at, acknowledged_by) = (reader.optional_integer()?, reader.optional_text()?);
    Ok(kind.map(|kind| Alert {
        id,
        key: AlertKey { kind, target, subject },
        sentence,
        example,
        raised_at,
        ended_at,
        acknowledged_at,
        acknowledged_by,
    }))
}

fn cut(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).collect()
}
