//! Which codes of FHIR, DICOM and IHE stand for an action of ours, after IHE's Basic Audit Log Patterns (BALP).

use serde_json::{Value, json};

use crate::domain::audit::{AuditAction, AuditOutcome};

const EVENT_TYPE: &str = "http://terminology.hl7.org/CodeSystem/audit-event-type";
const RESTFUL: &str = "http://hl7.org/fhir/restful-interaction";
const DICOM: &str = "http://dicom.nema.org/resources/ontology/DCM";
const PARTICIPATION: &str = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType";
const PROFILES: &str = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.";
/// Our own codes: the words of `AuditAction`, with hyphens.
const ACTION: &str = "urn:neuronova:audit-action";

/// What BALP calls an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    Create,
    Read,
    Update,
    Delete,
    /// Several records, or what is known of one, were looked for.
    Query,
    /// Not one of BALP: an activity of DICOM's list, with the letter of FHIR's `action`.
    Activity(&'static str, &'static str, &'static str),
}

const APPLICATION: Pattern = Pattern::Activity("110100", "Application Activity", "E");

impl Pattern {
    pub(super) fn of_action(word: &str) -> Self {
        let Some(action) = AuditAction::from_word(word) else { return APPLICATION };
        match action {
            AuditAction::PatientShow | AuditAction::PluginDryRun => Self::Read,
            AuditAction::PatientPut | AuditAction::PatientMerge | AuditAction::PatientUnmerge => Self::Update,
            AuditAction::PatientDelete => Self::Delete,
            AuditAction::PatientList
            | AuditAction::AlertsList
            | AuditAction::ConflictsList
            | AuditAction::FailedList
            | AuditAction::Status
            | AuditAction::Trace
            | AuditAction::Waiting
            | AuditAction::Why => Self::Query,
            AuditAction::Import | AuditAction::Seed => Self::Activity("110107", "Import", "C"),
            AuditAction::AuditList => Self::Activity("110101", "Audit Log Used", "R"),
            AuditAction::AuditExport | AuditAction::SupportBundle => Self::Activity("110106", "Export", "R"),
            AuditAction::AlertsAck
            | AuditAction::AlertsTest
            | AuditAction::ConflictsResolve
            | AuditAction::FailedDismiss
            | AuditAction::Migrate
            | AuditAction::PluginAccept
            | AuditAction::PluginInstall
            | AuditAction::PluginReload
            | AuditAction::PluginReplay
            | AuditAction::PluginRollback
            | AuditAction::Resync
            | AuditAction::Retry
            | AuditAction::TargetDisable
            | AuditAction::TargetPause
            | AuditAction::TargetProbe
            | AuditAction::TargetResume
            | AuditAction::Verify => APPLICATION,
        }
    }

    /// The pattern of a delivery to an HTTP server.
    pub(super) fn of_operation(operation: Option<&str>) -> Self {
        match operation {
            Some("create") => Self::Create,
            Some("delete") => Self::Delete,
            _ => Self::Update,
        }
    }

    /// `AuditEvent.type`.
    pub(super) fn event_type(self) -> Value {
        match self {
            Self::Activity(code, display, _) => coding(DICOM, code, display),
            _ => coding(EVENT_TYPE, "rest", "Restful Operation"),
        }
    }

    /// The code of `AuditEvent.subtype` that BALP demands.
    pub(super) fn interaction(self) -> Option<Value> {
        let word = match self {
            Self::Create => "create",
            Self::Read => "read",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Query => "search",
            Self::Activity(..) => return None,
        };
        Some(coding(RESTFUL, word, word))
    }

    /// `AuditEvent.action`.
    pub(super) fn letter(self) -> &'static str {
        match self {
            Self::Create => "C",
            Self::Read => "R",
            Self::Update => "U",
            Self::Delete => "D",
            Self::Query => "E",
            Self::Activity(_, _, letter) => letter,
        }
    }

    /// The profile that a successful event of this pattern keeps.
    pub(super) fn profile(self, has_patient: bool) -> Option<String> {
        let word = match self {
            Self::Create => "Create",
            Self::Read => "Read",
            Self::Update => "Update",
            Self::Delete => "Delete",
            Self::Query => "Query",
            Self::Activity(..) => return None,
        };
        Some(format!("{PROFILES}{}{word}", if has_patient { "Patient" } else { "" }))
    }

    /// The types of the agents: the client's and the server's. Data comes from the source.
    pub(super) fn roles(self) -> (Value, Value) {
        let (source, destination) =
            (role(DICOM, "110153", "Source Role ID"), role(DICOM, "110152", "Destination Role ID"));
        if self == Self::Read { (destination, source) } else { (source, destination) }
    }

    /// The type of the agent that is the user.
    pub(super) fn person(self) -> Value {
        match self {
            Self::Create | Self::Update | Self::Delete => role(PARTICIPATION, "AUT", "author (originator)"),
            _ => role(PARTICIPATION, "IRCP", "information recipient"),
        }
    }
}

pub(super) fn coding(system: &str, code: &str, display: &str) -> Value {
    json!({ "system": system, "code": code, "display": display })
}

fn role(system: &str, code: &str, display: &str) -> Value {
    json!({ "coding": [coding(system, code, display)] })
}

/// Our own code of an action.
pub(super) fn action(word: &str) -> Value {
    coding(ACTION, &word.replace(' ', "-"), &format!("host {word}"))
}

/// `AuditEvent.outcome`: 0 success, 4 minor failure (the command was refused), 8 serious failure.
pub(super) fn outcome(word: &str) -> &'static str {
    match AuditOutcome::from_word(word) {
        Some(AuditOutcome::Success) => "0",
        Some(AuditOutcome::Failed | AuditOutcome::Usage) => "4",
        Some(AuditOutcome::Configuration | AuditOutcome::Database | AuditOutcome::Adapter) | None => "8",
    }
}
