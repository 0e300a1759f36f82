//! The data for `host status` and `host check`: deliveries, targets, and problems that need an operator.

use super::output::age;
use super::wiring;
use crate::config::Config;
use crate::domain::delivery::Status;
use crate::domain::ids::AggregateKey;
use crate::domain::spelling::nearest;
use crate::domain::words::named;
use crate::store::{
    Alert, BlockedKey, ClockState, Notice, NoticeKind, RecentSync, StatusSnapshot, Store, StoreError, TargetStatus,
    WaitingDelivery,
};
use crate::sync::Difference;

/// Reads what `host status` shows.
pub(super) async fn read_status(
    config: &Config,
    store: &Store,
    recent_max: u32,
    aggregate: Option<&AggregateKey>,
) -> Result<(StatusSnapshot, AttentionSummary), StoreError> {
    let snapshot = with_configured(store.status_with(recent_max, aggregate).await?, config);
    let mut waiting = Vec::new();
    for name in snapshot.targets.iter().filter(|(_, target)| target.waiting > 0).map(|(name, _)| name) {
        let found = store.waiting(name, None, WAITING_MAX).await?;
        waiting.extend(found.into_iter().map(|one| (name.clone(), one)));
    }
    let attention = AttentionSummary {
        waiting,
        conflicts: store.count_conflicts().await?,
        blocked: store.blocked_keys(&wiring::fifo_types(config), BLOCKED_MAX).await?,
        notices: store.notices().await?,
        alerts: store.open_alerts().await?,
        types: aggregate_types(config),
        clock: store.clock_state().await?,
        write_trouble: store.write_trouble().await,
        now: store.now_ms().await?,
    };
    Ok((snapshot, attention))
}

/// The aggregate types that targets accept.
pub(super) fn aggregate_types(config: &Config) -> Vec<String> {
    let types = config.targets.values().flat_map(|target| &target.aggregate_types);
    let mut types: Vec<_> = types.map(|kind| kind.as_str().to_owned()).collect();
    types.sort();
    types.dedup();
    types
}

/// Adds configured targets that no host has registered yet. Writes nothing.
fn with_configured(mut snapshot: StatusSnapshot, config: &Config) -> StatusSnapshot {
    for target in config.targets.values() {
        let new = || TargetStatus {
            enabled: target.enabled,
            state: "unknown".to_owned(),
            breaker: "closed".to_owned(),
            ..TargetStatus::default()
        };
        snapshot.targets.entry(target.name.as_str().to_owned()).or_insert_with(new);
    }
    snapshot
}

/// The differences of running hosts from each other and from the store.
pub(super) fn differences(snapshot: &StatusSnapshot) -> Vec<Difference> {
    let enabled = snapshot.targets.iter().filter(|(_, target)| target.enabled).map(|(name, _)| name.as_str());
    crate::sync::differences(&snapshot.hosts, enabled)
}

/// How many blocked keys are shown.
const BLOCKED_MAX: u32 = 20;

/// How many waiting deliveries of a target are shown.
const WAITING_MAX: u32 = 5;

/// Problems that need an operator.
pub(super) struct AttentionSummary {
    pub(super) conflicts: u64,
    pub(super) blocked: Vec<BlockedKey>,
    /// Targets, each with some of its deliveries that wait for a dependency.
    pub(super) waiting: Vec<(String, WaitingDelivery)>,
    pub(super) notices: Vec<Notice>,
    /// Alerts that have not ended, newest first.
    pub(super) alerts: Vec<Alert>,
    pub(super) types: Vec<String>,
    pub(super) clock: ClockState,
    /// Why the store cannot be written.
    pub(super) write_trouble: Option<String>,
    /// The store's time.
    pub(super) now: i64,
}

/// A message about the store's clock, if it is not trusted.
pub(super) fn clock_trouble(clock: ClockState) -> Option<String> {
    match clock {
        ClockState::Trusted => None,
        ClockState::Ahead { step_ms } => Some(format!(
            "the store's clock jumped ahead by {}: nothing is purged until it is corrected or a day has passed",
            age(step_ms)
        )),
        ClockState::Behind { by_ms } => {
            Some(format!("the store's clock is {} behind times that hosts have seen; fix: correct it", age(by_ms)))
        }
    }
}

/// The closest type of a target, if a type is probably a typing error.
pub(super) fn meant<'a>(subject: &str, types: &'a [String]) -> Option<&'a str> {
    let plain = |kind: &str| kind.trim().to_lowercase();
    let same =
        types.iter().find(|kind| *kind == subject).or_else(|| types.iter().find(|kind| plain(kind) == plain(subject)));
    same.map(String::as_str).or_else(|| nearest(&plain(subject), types.iter().map(String::as_str)))
}

/// The text of a notice. `types` are those that targets accept.
pub(super) fn describe(notice: &Notice, types: &[String], age_ms: Option<i64>) -> String {
    let Notice { kind, subject, changes, last_change_id, .. } = notice;
    let last = format!(
        "the last is change {last_change_id}{}",
        age_ms.map(|ms| format!(", {} ago", age(ms))).unwrap_or_default()
    );
    match kind {
        NoticeKind::NotTaken => {
            let hint = match meant(subject, types) {
                Some(kind) if kind == subject => "; a target accepts it now; fix: `host resync`".to_owned(),
                Some(kind) if kind == subject.trim() => format!("; is `{kind}` meant, without blanks around it?"),
                Some(kind) => format!("; is `{kind}` meant?"),
                None => String::new(),
            };
            format!("{changes} changes of type {} ({last}) are accepted by no target{hint}", named(subject))
        }
        NoticeKind::TimeUnit => {
            format!("created_at of {changes} changes ({last}) is in {subject}, milliseconds are expected")
        }
    }
}

/// The error of a delivery. A pending one at a target that is down shows the target's error.
pub(super) fn error_of<'a>(recent: &'a RecentSync, snapshot: &'a StatusSnapshot) -> Option<&'a str> {
    match recent.status {
        Status::Pending => snapshot
            .targets
            .get(&recent.target)
            .and_then(|target| target.error_message.as_deref())
            .or(recent.error_message.as_deref()),
        Status::Failed | Status::Skipped => recent.error_message.as_deref(),
        Status::Processing | Status::Done | Status::Superseded | Status::Dismissed => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unaccepted_type_is_shown_exactly_with_a_suggestion() {
        let types = ["encounter".to_owned(), "patient".to_owned()];
        for (subject, shown, hint) in [
            ("patient ", "\"patient \"", "; is `patient` meant, without blanks around it?"),
            ("Patient", "`Patient`", "; is `patient` meant?"),
            ("patients", "`patients`", "; is `patient` meant?"),
            ("encountr", "`encountr`", "; is `encounter` meant?"),
            ("patient", "`patient`", "; a target accepts it now; fix: `host resync`"),
            ("visit", "`visit`", ""),
        ] {
            let kind = NoticeKind::NotTaken;
            let last_change_id = crate::domain::ids::ChangeId::new(7);
            let notice = Notice { kind, subject: subject.to_owned(), changes: 2, last_change_id, last_at: 0 };
            let expected = format!("2 changes of type {shown} (the last is change 7) are accepted by no target{hint}");
            assert_eq!(describe(&notice, &types, None), expected);
        }
    }
}
