//! `sync_target`: the state of each target, as hosts report it for operators and for each other.

use std::collections::BTreeSet;

use super::routing::{Route, Routes};
use super::sql::{ChangeRoutes, ReadRoutes, RegisterTarget, ReportTarget, RequestProbe, SetPaused};
use super::{RowReader, Store, StoreError, StoreTransaction};
use crate::database::rerun;
use crate::domain::change::Failure;
use crate::domain::ids::TargetName;

/// Whether a target works, as this host sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetState {
    /// Not checked yet.
    Unknown,
    /// Its adapter is active and the target responds.
    Up,
    /// There is no adapter, or the target does not respond.
    Down,
}

impl TargetState {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// The state of a target's circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    Closed,
    Open {
        /// How long from now.
        pause_ms: u64,
    },
    /// One probe is under way, or it passed and no delivery has worked since one failed.
    HalfOpen,
}

impl BreakerState {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open { .. } => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// A host's report of a target.
#[derive(Clone, Debug)]
pub struct TargetReport<'a> {
    pub name: &'a str,
    pub state: TargetState,
    pub breaker: BreakerState,
    /// The present failure.
    pub failure: Option<&'a Failure>,
    /// The result of the last check, in a few words; `None` leaves the earlier one.
    pub summary: Option<&'a str>,
}

impl Store {
    /// Registers targets, enabled or not, whichever hosts have them. For operators' commands and tests; a host that
    /// starts registers its own (`hosts.rs`).
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

    /// Stops making deliveries for a target. Returns `false` when it is not enabled.
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

    /// The routes to the enabled targets of all hosts.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn routes(&self) -> Result<Routes, StoreError> {
        let operation = "read the routes";
        let rows = self.fetch_alone(operation, ReadRoutes {}).await?;
        let mut routes = Routes::default();
        for row in rows.rows {
            let mut reader = RowReader::new(operation, row);
            let target = TargetName::stored(reader.text()?);
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

    /// Records a host's report of a target.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn report_target(&self, report: &TargetReport<'_>) -> Result<(), StoreError> {
        rerun("note target", || async {
            let mut transaction = self.begin(&format!("record the state of target `{}`", report.name)).await?;
            let breaker_pause_ms = match report.breaker {
                BreakerState::Open { pause_ms } => Some(i64::try_from(pause_ms).unwrap_or(i64::MAX / 2)),
                BreakerState::Closed | BreakerState::HalfOpen => None,
            };
            let statement = ReportTarget {
                name: report.name,
                state: report.state.as_str(),
                breaker: report.breaker.as_str(),
                breaker_pause_ms,
                failed: report.failure.is_some(),
                error_kind: report.failure.map(|failure| failure.kind.as_str()),
                error_message: report.failure.map(|failure| failure.message.as_str()),
                summary: report.summary,
            };
            transaction.run(statement).await?;
            transaction.commit().await
        })
        .await
    }

    /// Requests that every host probes a target now, whatever its breaker's state is.
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

    /// Pauses a target until it is resumed, or resumes and probes it. Returns `false` when there is no such target.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn set_paused(&self, target: &str, paused: bool) -> Result<bool, StoreError> {
        self.write_pause(SetPaused { name: target, paused, until: None }).await
    }

    /// Pauses a target until a time of the store's clock, milliseconds since 1970-01-01 UTC, or until it is resumed.
    /// Nothing has to be written when that time comes. Returns `false` when there is no such target.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn pause_until(&self, target: &str, until: i64) -> Result<bool, StoreError> {
        self.write_pause(SetPaused { name: target, paused: true, until: Some(until) }).await
    }

    async fn write_pause(&self, SetPaused { name, paused, until }: SetPaused<'_>) -> Result<bool, StoreError> {
        rerun("pause target", || async {
            let mut transaction = self.begin(&format!("pause or resume target `{name}`")).await?;
            let found = transaction.run(SetPaused { name, paused, until }).await?.rows_affected == 1;
            transaction.commit().await?;
            Ok(found)
        })
        .await
    }
}

/// The types that a target takes. A target that no host has registered yet takes patients.
fn aggregate_types(registered: Option<&str>) -> BTreeSet<String> {
    let registered = registered.and_then(|text| serde_json::from_str(text).ok());
    registered.unwrap_or_else(|| BTreeSet::from(["patient".to_owned()]))
}

impl StoreTransaction {
    /// Makes every host read the routes again.
    async fn change_routes(&mut self, target: &str) -> Result<(), StoreError> {
        self.run(ChangeRoutes { name: target }).await.map(drop)
    }
}
