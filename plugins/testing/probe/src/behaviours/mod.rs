//! The behaviours, by name.
#![allow(clippy::unnecessary_wraps, reason = "every behaviour has the signature of the table")]

mod answers;
mod computing;
mod honest;
mod listing;
mod observing;
mod reaching;

use std::cell::RefCell;

use adapter_sdk::database::Transaction;
use adapter_sdk::{
    Applied, Change, Context, Failure, FailureKind, Finding, FindingLevel, Observation, Outcome, OwnPage, Receipt,
    RemoteEdit, Report, Subject, settings,
};
use serde::Deserialize;

/// What the test configures.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// A name of the table below. Without settings it is a faulty adapter that replaces a valid one.
    #[serde(default = "late_panic")]
    behaviour: String,
    /// The argument of some behaviours: a statement, a number.
    #[serde(default)]
    argument: String,
    /// Whether `check` succeeds, so that the adapter gets changes.
    #[serde(default)]
    quiet_check: bool,
}

fn late_panic() -> String {
    "late-panic".to_owned()
}

/// The input of a behaviour, for `check` and `apply` alike.
pub(crate) struct Call<'a> {
    pub(crate) db: &'a Transaction,
    pub(crate) argument: &'a str,
    pub(crate) context: &'a Context,
    pub(crate) changes: &'a [Change],
    /// The data that the call returns as learned.
    pub(crate) learns: RefCell<Option<Vec<u8>>>,
}

/// The input of a behaviour of `observe`.
pub(crate) struct Question<'a> {
    pub(crate) db: &'a Transaction,
    pub(crate) argument: &'a str,
    pub(crate) subjects: &'a [Subject],
}

type Observing = fn(&Question<'_>) -> Result<Vec<Observation>, Failure>;

/// Special behaviours of `observe`; all others observe honestly.
const OBSERVING: &[(&str, Observing)] = &[
    ("observe-too-few", observing::too_few),
    ("observe-million", observing::million),
    ("observe-odd", observing::odd),
    ("statement", observing::statement),
    ("panic", observing::panic),
];

/// The input of a behaviour of `list-own`.
pub(crate) struct Page<'a> {
    pub(crate) db: &'a Transaction,
    pub(crate) argument: &'a str,
    pub(crate) aggregate_type: &'a str,
    pub(crate) after: Option<&'a str>,
    pub(crate) limit: u32,
}

type Listing = fn(&Page<'_>) -> Result<OwnPage, Failure>;

/// Special behaviours of `list-own`; all others list honestly.
const LISTING: &[(&str, Listing)] = &[
    ("list-million", listing::million),
    ("list-endless", listing::endless),
    ("list-odd", listing::odd),
    ("statement", listing::statement),
    ("panic", listing::panic),
];

type Behaviour = fn(&Call<'_>) -> Result<Vec<Outcome>, Failure>;

const TABLE: &[(&str, Behaviour)] = &[
    ("echo", honest::echo),
    ("observe-too-few", honest::echo),
    ("observe-million", honest::echo),
    ("observe-odd", honest::echo),
    ("list-million", honest::echo),
    ("list-endless", honest::echo),
    ("list-odd", honest::echo),
    ("learn", honest::learn),
    ("skip", honest::skip),
    ("references", honest::references),
    ("insert", honest::insert),
    ("statement", honest::statement),
    ("query", honest::query),
    ("lines", honest::lines),
    ("extreme-numbers", honest::extreme_numbers),
    ("twice", honest::twice),
    ("endless-loop", computing::endless_loop),
    ("endless-recursion", computing::endless_recursion),
    ("endless-recursion-in-memory", computing::endless_recursion_in_memory),
    ("memory-growing", computing::memory_growing),
    ("memory-many-small", computing::memory_many_small),
    ("late-panic", computing::late_panic),
    ("panic", computing::panic),
    ("unreachable", computing::unreachable),
    ("exit", computing::exit),
    ("sleep", computing::sleep),
    ("too-few", answers::too_few),
    ("too-many", answers::too_many),
    ("gigabytes", answers::gigabytes),
    ("bad-id", answers::bad_id),
    ("control-characters", answers::control_characters),
    ("say", answers::say),
    ("log-flood", reaching::log_flood),
    ("log-long", reaching::log_long),
    ("log-payload", reaching::log_payload),
    ("host-call-flood", reaching::host_call_flood),
    ("clock-flood", reaching::clock_flood),
    ("look-around", reaching::look_around),
    ("long-parameter", reaching::long_parameter),
];

/// The behaviour that the settings select.
pub(crate) struct Chosen {
    name: &'static str,
    run: Behaviour,
    observe: Observing,
    list: Listing,
    argument: String,
    quiet_check: bool,
}

pub(crate) fn chosen() -> Result<Chosen, Failure> {
    let settings: Settings = settings::read()?;
    match TABLE.iter().find(|(name, _)| *name == settings.behaviour) {
        Some((name, run)) => {
            let special = OBSERVING.iter().find(|(known, _)| known == name);
            let observe = special.map_or(observing::honest as Observing, |(_, observe)| *observe);
            let special = LISTING.iter().find(|(known, _)| known == name);
            let list = special.map_or(listing::honest as Listing, |(_, list)| *list);
            let Settings { argument, quiet_check, .. } = settings;
            Ok(Chosen { name, run: *run, observe, list, argument, quiet_check })
        }
        None => Err(failure(FailureKind::Misconfigured, &format!("there is no behaviour `{}`", settings.behaviour))),
    }
}

impl Chosen {
    pub(crate) fn check(&self, db: &Transaction) -> Result<Report, Failure> {
        if !self.quiet_check {
            let context = Context { state: Vec::new(), learned: Vec::new(), on_remote_edit: RemoteEdit::Overwrite };
            self.call(db, &context, &[])?;
        }
        let mut report = Report { summary: "a probe".to_owned(), findings: Vec::new(), state: b"seen".to_vec() };
        if self.name == "say" {
            report.summary.clone_from(&self.argument);
            report.findings.push(Finding { level: FindingLevel::Warning, message: self.argument.clone() });
        }
        Ok(report)
    }

    pub(crate) fn apply(&self, db: &Transaction, context: &Context, changes: &[Change]) -> Result<Applied, Failure> {
        self.call(db, context, changes)
    }

    pub(crate) fn observe(
        &self,
        db: &Transaction,
        _: &Context,
        subjects: &[Subject],
    ) -> Result<Vec<Observation>, Failure> {
        (self.observe)(&Question { db, argument: &self.argument, subjects })
    }

    pub(crate) fn list(
        &self,
        db: &Transaction,
        aggregate_type: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<OwnPage, Failure> {
        (self.list)(&Page { db, argument: &self.argument, aggregate_type, after, limit })
    }

    fn call(&self, db: &Transaction, context: &Context, changes: &[Change]) -> Result<Applied, Failure> {
        let call = Call { db, argument: &self.argument, context, changes, learns: RefCell::new(None) };
        let outcomes = (self.run)(&call)?;
        Ok(Applied { outcomes, learned: call.learns.into_inner() })
    }
}

pub(crate) fn applied(remote_id: impl Into<String>) -> Outcome {
    Outcome::Applied(Receipt { remote_id: remote_id.into(), remote_version: None, fingerprint: None })
}

pub(crate) fn failure(kind: FailureKind, message: &str) -> Failure {
    Failure { kind, message: message.to_owned(), retry_after_ms: None }
}
