//! Why an aggregate is not at a target yet, or that it is: one sentence, a word and an exit code. Pure; `why.rs` reads
//! the facts.

use super::Lacking;
use crate::domain::ids::{AggregateKey, ChangeId};
use crate::domain::times::{age, moment};
use crate::domain::words::one_line;
use crate::vocabulary;

vocabulary! {
    /// The class of a reason, as scripts use it.
    pub enum ReasonClass {
        /// The target confirmed the newest change.
        Delivered = "delivered",
        /// It is in flight, or its turn comes.
        InProgress = "in-progress",
        /// The target is down.
        WaitsForTarget = "waits-for-target",
        /// The target lacks something that it refers to.
        WaitsForReference = "waits-for-reference",
        /// An operator paused or disabled the target.
        Paused = "paused",
        /// It failed, or an older change that must be delivered before it did.
        Failed = "failed",
        /// An operator has to decide about a conflict.
        Conflict = "conflict",
        /// No running host delivers to the target.
        NoHost = "no-host",
        /// The target has no delivery of it.
        NotRouted = "not-routed",
        /// The store has no such aggregate.
        Unknown = "unknown",
        /// It was decided that the target does not get it.
        NotWanted = "not-wanted",
    }
}

impl ReasonClass {
    /// The exit code of `host why`. Codes up to 9 are for errors of the command itself.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Delivered => 0,
            Self::InProgress => 10,
            Self::WaitsForTarget => 11,
            Self::WaitsForReference => 12,
            Self::Paused => 13,
            Self::Failed => 14,
            Self::Conflict => 15,
            Self::NoHost => 16,
            Self::NotRouted => 17,
            Self::Unknown => 18,
            Self::NotWanted => 19,
        }
    }
}

/// The one reason that is named: the first that an operator would have to act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Confirmed, with the target's id where there is one.
    Delivered { at: i64, remote_id: Option<String>, merged_into: Option<String> },
    /// Under a lease of this host since a time.
    InFlight { host: String, since: i64 },
    /// Nothing keeps it but what is before it.
    Queued,
    /// It failed and is tried again.
    Retries { at: i64, attempts: i64, kind: String, message: String },
    /// The target does not answer, or has not been checked yet.
    TargetDown { since: Option<i64>, message: Option<String>, breaker: String, next_try_ms: Option<i64> },
    /// What the target lacks.
    References(Vec<Lacking>),
    /// An operator paused the target, perhaps until a time.
    Paused { until: Option<i64> },
    /// The target is disabled.
    Disabled,
    /// It failed for good.
    Failed { at: Option<i64>, attempts: i64, kind: String, message: String },
    /// The target's own state forbids it.
    Conflict { at: Option<i64>, message: String },
    /// An older change of the aggregate failed, and its type is delivered in order.
    Blocked { by: ChangeId, message: String },
    /// No host runs, or none that has the target.
    NoHost { runs: usize },
    /// The outbox row is not routed.
    Unrouted,
    /// Everything is routed, and the target has no delivery.
    NoDelivery,
    /// The store has no such aggregate.
    Unknown,
    /// The target has no place for it.
    Skipped { message: String },
    /// An operator dismissed it.
    Dismissed { by: String, message: String },
    /// A newer state was delivered before, or an operator kept the target's.
    Superseded { message: Option<String> },
}

/// Why an aggregate is at a target, or is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    pub key: AggregateKey,
    pub target: String,
    /// The store's time.
    pub now: i64,
    /// The change that it is about: the newest one.
    pub change_id: Option<ChangeId>,
    /// When that was written.
    pub since: Option<i64>,
    pub reason: Reason,
    /// How many deliveries are claimed before it, where it waits for its turn; with the changes that are routed before
    /// it, where it is not routed itself.
    pub ahead: Option<u64>,
    /// Whether there are more than that.
    pub ahead_is_more: bool,
    /// Whether that is an estimate, because more than 10,000 changes are not routed.
    pub ahead_is_estimate: bool,
    /// How long that takes, by the rate of the last attempts.
    pub estimate_ms: Option<i64>,
}

impl Explanation {
    /// The class of the reason.
    #[must_use]
    pub fn class(&self) -> ReasonClass {
        match &self.reason {
            Reason::Delivered { .. } => ReasonClass::Delivered,
            Reason::InFlight { .. } | Reason::Queued | Reason::Retries { .. } => ReasonClass::InProgress,
            Reason::TargetDown { .. } => ReasonClass::WaitsForTarget,
            Reason::References(_) => ReasonClass::WaitsForReference,
            Reason::Paused { .. } | Reason::Disabled => ReasonClass::Paused,
            Reason::Failed { .. } | Reason::Blocked { .. } => ReasonClass::Failed,
            Reason::Conflict { .. } => ReasonClass::Conflict,
            Reason::NoHost { .. } => ReasonClass::NoHost,
            Reason::Unrouted | Reason::NoDelivery => ReasonClass::NotRouted,
            Reason::Unknown => ReasonClass::Unknown,
            Reason::Skipped { .. } | Reason::Dismissed { .. } | Reason::Superseded { .. } => ReasonClass::NotWanted,
        }
    }

    /// One sentence for an operator.
    #[must_use]
    pub fn sentence(&self) -> String {
        let (change, waits, target) = (self.change(), self.waits(), &self.target);
        let text = match &self.reason {
            Reason::Delivered { at, remote_id, merged_into } => {
                let id = remote_id.as_ref().map(|id| format!(" (ID: {id})")).unwrap_or_default();
                let merged = merged_into.as_ref().map(|id| format!(", merged into {id}")).unwrap_or_default();
                format!("delivered: {target} confirmed {change} at {}{id}{merged}", self.at(*at))
            }
            Reason::InFlight { host, since } => {
                format!("in progress: {change} is under way to {target} for {}, by host {host}", age(self.now - since))
            }
            Reason::Queued => format!("in progress: {waits} for its turn at {target}{}", self.queue("")),
            Reason::Retries { at, attempts, kind, message } => format!(
                "in progress: {waits}: it is tried at {target} again in {}, attempts so far {attempts}: {kind}: {message}",
                age(at - self.now)
            ),
            Reason::TargetDown { since, message, breaker, next_try_ms } => {
                self.target_down(*since, message.as_deref(), breaker, *next_try_ms)
            }
            Reason::References(lacks) => {
                let lacks: Vec<_> = lacks.iter().map(ToString::to_string).collect();
                let lacks = if lacks.is_empty() { "what it refers to".to_owned() } else { lacks.join(" and for ") };
                format!("waits for reference: {waits} at {target} for {lacks}")
            }
            Reason::Paused { until } => {
                let until = until.map(|at| format!(" until {}", self.at(at))).unwrap_or_default();
                format!("paused: {waits}: an operator paused {target}{until}; fix: `host target resume {target}`")
            }
            Reason::Disabled => format!(
                "paused: {waits}: {target} is disabled; fix: enable it in host.toml, start the host, and run \
                 `host resync --target {target}`"
            ),
            Reason::Failed { at, attempts, kind, message } => self.failed(*at, *attempts, kind, message),
            Reason::Conflict { at, message } => format!(
                "conflict: {change} waits for a decision at {target}{}: {message}; fix: `host conflicts resolve`",
                self.since_text(*at)
            ),
            Reason::Blocked { by, message } => {
                format!("failed: {change} waits behind change {by}, which failed at {target}: {message}")
            }
            Reason::NoHost { runs: 0 } => format!("no host: {waits}: no host runs; fix: start `host run`"),
            Reason::NoHost { runs } => format!(
                "no host: {waits}: of {runs} running hosts none has {target}; fix: add it to the host.toml of one"
            ),
            Reason::Unrouted => {
                format!("not routed yet: {waits} for a host to route it to {target}{}", self.queue(""))
            }
            Reason::NoDelivery => format!(
                "not routed: {target} has no delivery of {change}, since it was routed before {target} took it; fix: \
                 `host resync --target {target}`"
            ),
            Reason::Unknown => format!("unknown: the store has no {change}; check the type and the id"),
            Reason::Skipped { message } => {
                format!("not wanted: {target} has no place for {change}: {message}; fix: `host retry --skipped`")
            }
            Reason::Dismissed { by, message } => {
                format!("not wanted: {by} dismissed {change} for {target}: {message}")
            }
            Reason::Superseded { message: Some(message) } => format!("not wanted: {change} at {target}: {message}"),
            Reason::Superseded { message: None } => {
                format!("not wanted: {target} had confirmed a newer state than {change} before")
            }
        };
        one_line(&text, usize::MAX)
    }

    fn failed(&self, at: Option<i64>, attempts: i64, kind: &str, message: &str) -> String {
        let (change, target) = (self.change(), &self.target);
        let when = at.map(|at| format!(" at {}", self.at(at))).unwrap_or_default();
        if attempts == 0 {
            return format!(
                "failed: the host refused {change} for {target}{when}: {message}; fix: let the application write it \
                 again"
            );
        }
        format!(
            "failed: {target} did not accept {change}{when}, attempts {attempts}: {kind}: {message}; fix the cause, then \
             `host retry`"
        )
    }

    fn target_down(
        &self,
        since: Option<i64>,
        message: Option<&str>,
        breaker: &str,
        next_try_ms: Option<i64>,
    ) -> String {
        let (waits, target, since) = (self.waits(), &self.target, self.since_text(since));
        let state = match message {
            Some(message) => format!("is down{since} ({message})"),
            None => "has not been checked by a host yet".to_owned(),
        };
        let next = match next_try_ms.filter(|millis| *millis > 0) {
            Some(millis) => format!("the breaker tries again in {}", age(millis)),
            None if breaker == "half-open" => "the next batch shows whether it is back".to_owned(),
            None => "it is being checked".to_owned(),
        };
        format!("waits for target: {waits}: {target} {state}, {next}{}", self.queue(" after it is back"))
    }

    /// How much is before it, and how long that takes.
    fn queue(&self, after: &str) -> String {
        let Some(ahead) = self.ahead else { return String::new() };
        let about = match (self.ahead_is_more, self.ahead_is_estimate) {
            (true, _) => "more than ",
            (false, true) => "about ",
            (false, false) => "",
        };
        let changes = if ahead == 1 { "change" } else { "changes" };
        let estimate = match self.estimate_ms {
            Some(millis) => format!("about {}{after}", age(millis.max(1_000))),
            None => "no estimate, since the journal has no attempt that worked".to_owned(),
        };
        format!("; {about}{ahead} {changes} before it; {estimate}")
    }

    fn waits(&self) -> String {
        format!("{} waits{}", self.change(), self.since_text(self.since))
    }

    fn since_text(&self, at: Option<i64>) -> String {
        at.map(|at| format!(" since {}", self.at(at))).unwrap_or_default()
    }

    fn at(&self, millis: i64) -> String {
        moment(millis, self.now)
    }

    fn change(&self) -> String {
        let name = self.name();
        self.change_id.map_or_else(|| name.clone(), |id| format!("change {id} of {name}"))
    }

    fn name(&self) -> String {
        format!("{} {}", self.key.aggregate_type, self.key.aggregate_id)
    }
}
