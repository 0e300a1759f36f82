//! Changes, capabilities of servers, and calls with them.

use adapter_sdk::{Change, Failure, FailureKind, Link, Operation, Outcome, Receipt, Reference, RemoteEdit};
use serde_json::{Value, json};

use super::Server;
use crate::capability::{Abilities, Capabilities, Versioning};
use crate::delivery::Rules;
use crate::exchange::{self, Outside};
use crate::learned::Learned;
use crate::settings::Settings;

/// The resource types of a server with all features.
pub(crate) const TYPES: [&str; 11] = [
    "AllergyIntolerance",
    "Appointment",
    "Composition",
    "Condition",
    "Encounter",
    "Immunization",
    "MedicationStatement",
    "Observation",
    "Patient",
    "Procedure",
    "QuestionnaireResponse",
];

/// A server with all features.
pub(crate) fn able() -> Capabilities {
    let abilities = Abilities {
        update_create: true,
        conditional_create: true,
        versioning: Versioning::VersionedUpdate,
        history: true,
        deletes: true,
        missing: Vec::new(),
    };
    Capabilities {
        batch: true,
        server: "Example 1.2, FHIR 4.0.1".to_owned(),
        types: TYPES.map(|name| (name.to_owned(), abilities.clone())).into(),
    }
}

/// The same server with a different ability for every type.
pub(crate) fn but(capabilities: Capabilities, change: impl Fn(&mut Abilities)) -> Capabilities {
    let mut capabilities = capabilities;
    capabilities.types.values_mut().for_each(change);
    capabilities
}

pub(crate) fn rules<'a>(settings: &'a Settings, capabilities: &'a Capabilities) -> Rules<'a> {
    Rules { settings, capabilities, on_remote_edit: RemoteEdit::Overwrite }
}

/// A server that assigns ids itself.
pub(crate) fn own_ids() -> Capabilities {
    but(able(), |it| it.update_create = false)
}

/// The id that the adapter gives patient `P-number`.
pub(crate) fn id_of(number: usize) -> String {
    crate::identity::derived_id("patient", "urn:neuronova:patient-id", &format!("P-{number}"))
}

/// A change of patient `P-n` with this given name.
pub(crate) fn change(number: usize, operation: Operation, given_name: &str, link: Option<&Receipt>) -> Change {
    let payload = json!({ "patient_id": format!("P-{number}"), "family_name": "Kim", "given_name": given_name,
                          "birth_date": "1985-03-15", "gender": "male" });
    Change {
        change_id: i64::try_from(number).unwrap(),
        event_id: format!("event-{number}"),
        aggregate_type: "patient".to_owned(),
        aggregate_id: format!("P-{number}"),
        operation,
        payload: payload.to_string(),
        references: Vec::new(),
        survivor: None,
        created_at_ms: 0,
        attempt: 1,
        link: link.map(|receipt| Link {
            remote_id: receipt.remote_id.clone(),
            remote_version: receipt.remote_version.clone(),
            fingerprint: receipt.fingerprint.clone(),
        }),
    }
}

pub(crate) fn receipt(outcome: &Outcome) -> &Receipt {
    match outcome {
        Outcome::Applied(receipt) => receipt,
        Outcome::Failed(failure) => panic!("failed: {:?} {}", failure.kind, failure.message),
        Outcome::Skipped(reason) => panic!("skipped: {reason}"),
    }
}

/// Delivers one change, and returns its outcome.
pub(crate) fn one(server: &Server, rules: &Rules<'_>, change: &Change) -> Outcome {
    deliver(server, rules, std::slice::from_ref(change)).unwrap().remove(0)
}

/// The kind and message of a failed change.
pub(crate) fn failed(outcome: &Outcome) -> (FailureKind, &str) {
    match outcome {
        Outcome::Failed(failure) => (failure.kind, &failure.message),
        Outcome::Applied(receipt) => panic!("applied: {receipt:?}"),
        Outcome::Skipped(reason) => panic!("skipped: {reason}"),
    }
}

/// The receipt of a newly created patient.
pub(crate) fn created(server: &Server, rules: &Rules<'_>) -> Receipt {
    receipt(&one(server, rules, &change(1, Operation::Create, "MinJun", None))).clone()
}

/// Delivers as a first call, without learned state.
pub(crate) fn deliver(outside: &dyn Outside, rules: &Rules<'_>, changes: &[Change]) -> Result<Vec<Outcome>, Failure> {
    exchange::deliver(outside, rules, Learned::default(), changes).map(|(outcomes, _)| outcomes)
}

/// A change of any type with these references: name, type and id, and the id at the target.
pub(crate) fn of_type(
    aggregate_type: &str,
    id: &str,
    payload: &Value,
    references: &[(&str, &str, &str, Option<&str>)],
) -> Change {
    let references = references.iter().map(|(name, aggregate_type, id, remote_id)| Reference {
        name: (*name).to_owned(),
        aggregate_type: (*aggregate_type).to_owned(),
        aggregate_id: (*id).to_owned(),
        remote_id: remote_id.map(str::to_owned),
    });
    Change {
        aggregate_type: aggregate_type.to_owned(),
        aggregate_id: id.to_owned(),
        payload: payload.to_string(),
        references: references.collect(),
        ..change(1, Operation::Create, "", None)
    }
}

/// A later change of the same aggregate.
pub(crate) fn later(change: &Change, operation: Operation, receipt: &Receipt) -> Change {
    let link = Link {
        remote_id: receipt.remote_id.clone(),
        remote_version: receipt.remote_version.clone(),
        fingerprint: receipt.fingerprint.clone(),
    };
    Change { operation, link: Some(link), ..change.clone() }
}
