//! `sync_target`: what is known of each target, for people and for other hosts.

use std::collections::BTreeSet;

use super::routing::{Route, Routes};
use super::sql::{ChangeRoutes, ReadRoutes, RegisterTarget, ReportTarget, RequestProbe, SetPaused};
use super::{RowReader, Store, StoreError, StoreTransaction};
use crate::database::rerun;
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
pub struct TargetReport<'a> {
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

impl Store {
    /// Makes targets known, enabled or not, whatever hosts have them. For commands that decide about one, and for
    /// tests; a host that starts registers itself (`hosts.rs`).
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn register_targets(&self, targets: &[(&str, bool)]) -> Result<(), StoreError> {
        rerun("register targets", || async {
            let mut transaction = self.begin("register targets").await?;
            for (name, enabled) in targets.iter().copied() {
                transaction.run(RegisterTarget { name, enabled }).await?;
                transaction.change_routes(name).await?;
            }
            transaction.commit().await
        })
        .await
    }

    /// Makes no more deliveries for a target, also not for what changes meanwhile. `false` when it is not enabled.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn disable_target(&self, name: &str) -> Result<bool, StoreError> {
        rerun("disable target", || async {
            let mut transaction = self.begin(&format!("disable target `{name}`")).await?;
            let disabled = transaction.disable_target(name).await?;
            transaction.commit().await?;
            Ok(disabled)
        })
        .await
    }

    /// What changes are routed to, as all hosts of this store see it.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn routes(&self) -> Result<Routes, StoreError> {
        let operation = "read what is routed where";
        let rows = self.fetch_alone(operation, ReadRoutes {}).await?;
        let mut routes = Routes::default();
        for row in rows.rows {
            let mut reader = RowReader::new(operation, row);
            let target = reader.text()?;
            let types = reader.optional_text()?;
            let is_enabled = reader.integer()? != 0;
            routes.revision += reader.integer()?;
            if is_enabled {
                let route = |aggregate_type| Route { target: target.clone(), aggregate_type };
                routes.list.extend(aggregate_types(types.as_deref()).into_iter().map(route));
            }
        }
        Ok(routes)
    }

    /// Notes what a host learnt about a target.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn report_target(&self, news: &TargetReport<'_>) -> Result<(), StoreError> {
        rerun("note target", || async {
            let mut transaction = self.begin(&format!("note state of target `{}`", news.name)).await?;
            let breaker_pause_ms = match news.breaker {
                BreakerState::Open { pause_ms } => Some(i64::try_from(pause_ms).unwrap_or(i64::MAX / 2)),
                BreakerState::Closed | BreakerState::HalfOpen => None,
            };
            let statement = ReportTarget {
                name: news.name,
                state: news.state.as_str(),
                breaker: news.breaker.as_str(),
                breaker_pause_ms,
                failed: news.failure.is_some(),
                error_kind: news.failure.map(|failure| failure.kind.as_str()),
                error_message: news.failure.map(|failure| failure.message.as_str()),
                summary: news.summary,
            };
            transaction.run(statement).await?;
            transaction.commit().await
        })
        .await
    }

    /// Asks every host to look at a target now, whatever its breaker says.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn request_probe(&self, target: &str) -> Result<(), StoreError> {
        let operation = format!("ask for a probe of target `{target}`");
        rerun("request probe", || async {
            let mut transaction = self.begin(&operation).await?;
            transaction.run(RequestProbe { name: target }).await?;
            transaction.commit().await
        })
        .await
    }

    /// Pauses a target or lets it go on, which also has it looked at. `false` when there is no such target.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn set_paused(&self, target: &str, paused: bool) -> Result<bool, StoreError> {
        rerun("pause target", || async {
            let mut transaction = self.begin(&format!("pause or resume target `{target}`")).await?;
            // What was put right meanwhile is found at once.
            let found = transaction.run(SetPaused { name: target, paused }).await?.rows_affected == 1;
            transaction.commit().await?;
            Ok(found)
        })
        .await
    }
}

/// The types that a target takes. A target that no host of this version has registered yet takes what is the default.
fn aggregate_types(registered: Option<&str>) -> BTreeSet<String> {
    let registered = registered.and_then(|text| serde_json::from_str(text).ok());
    registered.unwrap_or_else(|| BTreeSet::from(["patient".to_owned()]))
}

impl StoreTransaction {
    /// Every host looks again at what is routed where.
    async fn change_routes(&mut self, target: &str) -> Result<(), StoreError> {
        self.run(ChangeRoutes { name: target }).await.map(drop)
    }
}
