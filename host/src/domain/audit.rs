//! What the audit records: one event for each change that an operator's command made, and for each time that it showed
//! patients' data.
//!
//! An event names what it is about by ids and counts; it never has a value of a payload. Read next: `audit_chain.rs`
//! for how the events are chained, and docs/audit.md.

use serde::Serialize;

use super::ids::AggregateKey;
use crate::vocabulary;

/// The most characters of a name or an id in an event.
pub const NAME_CHARS_MAX: usize = 255;
/// The most characters of a reason or a detail in an event.
pub const TEXT_CHARS_MAX: usize = 1_024;

vocabulary! {
    /// The commands that the audit records, by the words that an operator types.
    pub enum AuditAction {
        AlertsAck = "alerts ack",
        AlertsList = "alerts list",
        AlertsTest = "alerts test",
        AuditExport = "audit export",
        AuditList = "audit list",
        ConflictsList = "conflicts list",
        ConflictsResolve = "conflicts resolve",
        FailedDismiss = "failed dismiss",
        FailedList = "failed list",
        Import = "import",
        Migrate = "migrate",
        PatientDelete = "patient delete",
        PatientList = "patient list",
        PatientMerge = "patient merge",
        PatientPut = "patient put",
        PatientShow = "patient show",
        PatientUnmerge = "patient unmerge",
        PluginAccept = "plugin accept",
        PluginDryRun = "plugin dry-run",
        PluginInstall = "plugin install",
        PluginReload = "plugin reload",
        PluginReplay = "plugin replay",
        PluginRollback = "plugin rollback",
        Resync = "resync",
        Retry = "retry",
        Seed = "seed",
        Status = "status",
        SupportBundle = "support-bundle",
        TargetDisable = "target disable",
        TargetPause = "target pause",
        TargetProbe = "target probe",
        TargetResume = "target resume",
        Trace = "trace",
        Verify = "verify",
        Waiting = "waiting",
        Why = "why",
    }
}

impl AuditAction {
    /// The actions that a word of the configuration or of an option selects: a command with all that is below it, as
    /// `patient`, or one of these.
    #[must_use]
    pub fn named(word: &str) -> Vec<Self> {
        let is_below = |action: &Self| {
            action.as_str().strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        Self::ALL.iter().copied().filter(is_below).collect()
    }

    /// Every word that [`AuditAction::named`] accepts, in order.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        let words = Self::WORDS.iter().copied();
        let groups = words.clone().filter_map(|word| word.split(' ').next());
        let mut names: Vec<_> = groups.chain(words).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

vocabulary! {
    /// How a command ended, by its exit code.
    pub enum AuditOutcome {
        Success = "success",
        /// Exit code 1.
        Failed = "failed",
        /// Exit code 2: an option, a target or a missing reason.
        Usage = "usage",
        /// Exit code 3: the configuration or a file.
        Configuration = "configuration",
        /// Exit code 4: the store or a target's database.
        Database = "database",
        /// Exit code 5.
        Adapter = "adapter",
    }
}

/// What an event is about. Every field that is `None` does not apply.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AuditSubject {
    pub target: Option<String>,
    /// The type of the aggregate; of a set the kind of its members: `patient`, `delivery`, `user`.
    pub aggregate_type: Option<String>,
    pub aggregate_id: Option<String>,
    /// The id of the second aggregate of the same type: the survivor of a merge.
    pub other_id: Option<String>,
    /// How many users, patients, records, deliveries or events were changed or shown.
    #[serde(rename = "item_count")]
    pub count: Option<i64>,
    /// What else is to be known: an adapter's digest, a decision's kind, a range of ids.
    pub detail: Option<String>,
}

impl AuditSubject {
    /// One aggregate, or nothing yet.
    #[must_use]
    pub fn of(key: Option<&AggregateKey>) -> Self {
        Self {
            aggregate_type: key.map(|key| cut(&key.aggregate_type, NAME_CHARS_MAX)),
            aggregate_id: key.map(|key| cut(&key.aggregate_id, NAME_CHARS_MAX)),
            ..Self::default()
        }
    }

    #[must_use]
    pub fn patient(patient_id: &str) -> Self {
        Self::of(Some(&AggregateKey::patient(patient_id)))
    }

    #[must_use]
    pub fn at(self, target: Option<&str>) -> Self {
        Self { target: target.map(|name| cut(name, NAME_CHARS_MAX)), ..self }
    }

    #[must_use]
    pub fn with_other(self, other_id: &str) -> Self {
        Self { other_id: Some(cut(other_id, NAME_CHARS_MAX)), ..self }
    }

    #[must_use]
    pub fn with_detail(self, detail: &str) -> Self {
        Self { detail: Some(cut(detail, TEXT_CHARS_MAX)), ..self }
    }

    /// The same subject with a count, and for a set with the kind of its members.
    #[must_use]
    pub fn with_count(self, kind: &str, count: usize) -> Self {
        let kind = self.aggregate_type.unwrap_or_else(|| kind.to_owned());
        Self { aggregate_type: Some(kind), count: Some(i64::try_from(count).unwrap_or(i64::MAX)), ..self }
    }
}

/// The beginning of a text that is too long for its column.
fn cut(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).collect()
}

/// Who runs a command, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Operator {
    /// The name of the operating system's user that the process runs as.
    #[serde(rename = "os_user")]
    pub user: String,
    /// The number of that user; `None` where the system has none.
    #[serde(rename = "os_uid")]
    pub uid: Option<i64>,
    /// The user who logged in, if the system knows it: another one behind `sudo`.
    pub login: Option<String>,
    /// The name that `--as` gave. Nothing proves it.
    pub acting_as: Option<String>,
    /// The name of this machine.
    pub machine: String,
    /// The address from which the operator came by SSH. The environment gives it, so that nothing proves it.
    pub remote: Option<String>,
}

impl Operator {
    /// The name of who acted: that of `--as`, else the login, else the system's user.
    #[must_use]
    pub fn who(&self) -> &str {
        self.acting_as.as_deref().or(self.login.as_deref()).unwrap_or(&self.user)
    }
}

/// What an event records, without its place in the chain. The order of the fields is that of the hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditFacts {
    /// The same for all events of one run of a command.
    pub command_id: String,
    #[serde(flatten)]
    pub operator: Operator,
    /// A word of [`AuditAction`], or of a newer host.
    pub action: String,
    #[serde(flatten)]
    pub subject: AuditSubject,
    pub reason: Option<String>,
    /// A word of [`AuditOutcome`], or of a newer host.
    pub outcome: String,
}

impl AuditFacts {
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.outcome == AuditOutcome::Success.as_str()
    }
}

/// One event of the chain. Its JSON has the names of the columns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditEvent {
    /// Its number, without gaps from 1.
    pub id: i64,
    /// When it was recorded, milliseconds since 1970-01-01 UTC, by the store's clock.
    #[serde(rename = "recorded_at")]
    pub at: i64,
    #[serde(flatten)]
    pub facts: AuditFacts,
    /// The hash of the event before it.
    pub previous_hash: String,
    pub hash: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_names_all_actions_below_it() {
        let pause = AuditAction::named("target pause");
        assert_eq!(pause, [AuditAction::TargetPause]);
        assert_eq!(AuditAction::named("target").len(), 4);
        assert_eq!(AuditAction::named("retry"), [AuditAction::Retry]);
        for word in ["", "pat", "patients", "target pause x", "run"] {
            assert!(AuditAction::named(word).is_empty(), "{word}");
        }
        assert!(AuditAction::names().iter().all(|name| !AuditAction::named(name).is_empty()));
        assert!(AuditAction::names().contains(&"patient"));
    }

    #[test]
    fn a_subject_fits_the_columns() {
        let key = AggregateKey { aggregate_type: "t".repeat(300), aggregate_id: "김".repeat(300) };
        let subject = AuditSubject::of(Some(&key)).with_detail(&"x".repeat(2_000));
        assert_eq!(subject.aggregate_type.map(|text| text.chars().count()), Some(NAME_CHARS_MAX));
        assert_eq!(subject.aggregate_id.map(|text| text.chars().count()), Some(NAME_CHARS_MAX));
        assert_eq!(subject.detail.map(|text| text.chars().count()), Some(TEXT_CHARS_MAX));
    }

    #[test]
    fn a_count_names_its_kind_only_for_a_set() {
        let set = AuditSubject::default().with_count("delivery", 3);
        assert_eq!((set.aggregate_type.as_deref(), set.count), (Some("delivery"), Some(3)));
        let one = AuditSubject::patient("P-1").with_count("delivery", 3);
        assert_eq!((one.aggregate_type.as_deref(), one.count), (Some("patient"), Some(3)));
    }
}
