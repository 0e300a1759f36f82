//! `sync_target`: what is known of each target, for people and for other hosts.

use serde::Serialize;

use super::claim::rows_value;
use super::sql::{JsonType, json_rows};
use super::{Reader, Store, StoreError};
use crate::database::{Value, rerun};
use crate::domain::change::Failure;

/// Whether a target works, as far as this host knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetState {
    /// Not looked at yet.
    Unknown,
    /// Its adapter is in force and it answers.
    Up,
    /// No adapter, or it does not answer.
    Down,
}

impl TargetState {
    /// The word in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// The breaker of a target, as far as others need to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Deliveries flow.
    Closed,
    /// Nothing is tried before this time, in milliseconds from now.
    Open {
        /// How long, in milliseconds.
        pause_ms: u64,
    },
    /// One probe is under way.
    HalfOpen,
}

impl BreakerState {
    /// The word in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open { .. } => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// What a host tells about a target.
#[derive(Clone, Debug)]
pub struct TargetNews<'a> {
    /// Which.
    pub name: &'a str,
    /// Whether it works.
    pub state: TargetState,
    /// Its breaker.
    pub breaker: BreakerState,
    /// The trouble, while there is one.
    pub failure: Option<&'a Failure>,
    /// What the last check found, in a few words; `None` leaves what is there.
    pub summary: Option<&'a str>,
}

#[derive(Serialize)]
struct Name<'a> {
    name: &'a str,
}

impl Store {
    /// Makes the configured targets known, and those that are gone from the configuration disabled: all hosts on one
    /// store are configured with the same targets.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn register_targets(&self, targets: &[(&str, bool)]) -> Result<(), StoreError> {
        if self.are_registered(targets).await? {
            return Ok(());
        }
        rerun("register targets", || async {
            let mut transaction = self.begin("register targets").await?;
            for (name, enabled) in targets {
                let insert = format!(
                    "INSERT INTO sync_target (name, enabled, state, updated_at) VALUES (:name, :enabled, 'unknown', {now}){upsert}",
                    now = transaction.now,
                    upsert = super::sql::upsert(transaction.dialect(), "name", &["enabled"]),
                );
                let values = [("name", (*name).into()), ("enabled", i64::from(*enabled).into())];
                transaction.execute(&insert, &values).await?;
            }
            let known: Vec<_> = targets.iter().map(|(name, _)| Name { name }).collect();
            let forget = format!(
                "UPDATE sync_target SET enabled = 0 WHERE enabled <> 0 AND name NOT IN (SELECT j.name FROM {})",
                json_rows(transaction.dialect(), &[("name", JsonType::Text)])
            );
            transaction.execute(&forget, &[("rows", rows_value(&known))]).await?;
            transaction.commit().await
        })
        .await
    }

    /// Seen without writing, so that a command that only reads stays out of everyone's way.
    async fn are_registered(&self, targets: &[(&str, bool)]) -> Result<bool, StoreError> {
        let what = "read which targets are known";
        let mut transaction = self.begin_read(what).await?;
        let rows = transaction.query("SELECT name, enabled FROM sync_target", &[]).await?;
        transaction.rollback().await?;
        let mut known = std::collections::HashMap::new();
        for row in rows.rows {
            let mut reader = Reader::new(what, row);
            known.insert(reader.text()?, reader.integer()? != 0);
        }
        let all_known = targets.iter().all(|(name, enabled)| known.remove(*name) == Some(*enabled));
        Ok(all_known && known.values().all(|enabled| !enabled))
    }

    /// Notes what a host learnt about a target.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn note_target(&self, news: &TargetNews<'_>) -> Result<(), StoreError> {
        rerun("note target", || async {
            let mut transaction = self.begin(&format!("note state of target `{}`", news.name)).await?;
            let until = match news.breaker {
                BreakerState::Open { pause_ms } => {
                    format!("{} + {}", transaction.now, i64::try_from(pause_ms).unwrap_or(i64::MAX / 2))
                }
                BreakerState::Closed | BreakerState::HalfOpen => "NULL".to_owned(),
            };
            let error_at = if news.failure.is_some() { transaction.now.clone() } else { "NULL".to_owned() };
            let sql = format!(
                "UPDATE sync_target SET state = :state, breaker = :breaker, breaker_until = {until}, \
                 error_kind = :error_kind, error_message = :error_message, error_at = {error_at}, \
                 summary = COALESCE(:summary, summary), updated_at = {now} WHERE name = :name",
                now = transaction.now,
            );
            let values = [
                ("state", news.state.as_str().into()),
                ("breaker", news.breaker.as_str().into()),
                ("error_kind", Value::from(news.failure.map(|failure| failure.kind.as_str()))),
                ("error_message", Value::from(news.failure.map(|failure| failure.message.as_str()))),
                ("summary", Value::from(news.summary)),
                ("name", news.name.into()),
            ];
            transaction.execute(&sql, &values).await?;
            transaction.commit().await
        })
        .await
    }

    /// Pauses a target or lets it go on. `false` when there is no such target.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn set_paused(&self, target: &str, paused: bool) -> Result<bool, StoreError> {
        rerun("pause target", || async {
            let mut transaction = self.begin(&format!("pause or resume target `{target}`")).await?;
            let sql =
                format!("UPDATE sync_target SET paused = :paused, updated_at = {} WHERE name = :name", transaction.now);
            let values = [("paused", i64::from(paused).into()), ("name", target.into())];
            let found = transaction.execute(&sql, &values).await?.rows_affected == 1;
            transaction.commit().await?;
            Ok(found)
        })
        .await
    }
}
