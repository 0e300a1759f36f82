//! The payloads of clinical changes, as defined by the outbox contract.
//!
//! The host uses the same fields and rules (crate `clinical-payload`), from the JSON Schemas in `schemas/`. Unknown
//! fields are ignored, so that an older adapter can read what a newer application writes.

pub use clinical_payload::{
    Allergy, Appointment, Component, Concept, Condition, Effective, Encounter, FhirResource, LocalReference,
    Medication, Observation, Period, Problem, Quantity, Reaction, Record, Ref, ReferenceRange, TYPES,
    aggregate_type_of, schema_id, unix_ms,
};

use crate::{Change, Failure, FailureKind, Operation};

/// The most problems in one message. A resource may have thousands.
const PROBLEMS_MAX: usize = 20;

/// Reads the record of this change, by every rule of `docs/outbox.md`, including those for references. The rules use no
/// clock, so every attempt has the same result.
///
/// # Errors
/// `invalid`, with every broken rule and without any value of the payload. `unsupported` for a type that is not
/// clinical, and for a merge, whose payload is not a state to write.
pub fn read(change: &Change) -> Result<Record, Failure> {
    if !TYPES.contains(&change.aggregate_type.as_str()) {
        return Err(unsupported("this is not a change of a clinical record"));
    }
    if change.operation == Operation::Merge {
        return Err(unsupported("this adapter does not merge clinical records"));
    }
    let refs: Vec<_> = change
        .references
        .iter()
        .map(|reference| Ref {
            name: &reference.name,
            aggregate_type: &reference.aggregate_type,
            aggregate_id: &reference.aggregate_id,
        })
        .collect();
    Record::read(&change.aggregate_type, &change.payload, &refs).map_err(|problems| {
        let named: Vec<_> = problems.iter().take(PROBLEMS_MAX).map(ToString::to_string).collect();
        let more = problems.len() - named.len();
        let more = if more > 0 { format!("; and {more} more problems") } else { String::new() };
        let message = format!("payload is not of type {}: {}{more}", change.aggregate_type, named.join("; "));
        Failure { kind: FailureKind::Invalid, message, retry_after_ms: None }
    })
}

fn unsupported(message: &str) -> Failure {
    Failure { kind: FailureKind::Unsupported, message: message.to_owned(), retry_after_ms: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reference;

    fn change(payload: &str) -> Change {
        let reference = |name: &str, aggregate_type: &str, aggregate_id: &str| Reference {
            name: name.to_owned(),
            aggregate_type: aggregate_type.to_owned(),
            aggregate_id: aggregate_id.to_owned(),
            remote_id: Some("17".to_owned()),
        };
        Change {
            change_id: 1,
            event_id: String::new(),
            aggregate_type: "condition".to_owned(),
            aggregate_id: "C-1".to_owned(),
            operation: Operation::Create,
            payload: payload.to_owned(),
            references: vec![reference("subject", "patient", "P-1"), reference("encounter", "encounter", "E-1")],
            survivor: None,
            created_at_ms: 0,
            attempt: 1,
            link: None,
        }
    }

    const GOOD: &str = r#"{"clinical_status":"active","code":{"display":"Asthma"},"onset":"2019-03"}"#;

    #[test]
    fn a_change_is_read_as_its_record() {
        let Ok(Record::Condition(condition)) = read(&change(GOOD)) else { panic!("not a condition") };
        assert_eq!((condition.code.display.as_str(), condition.onset.as_deref()), ("Asthma", Some("2019-03")));
    }

    #[test]
    fn contract_violations_are_reported_by_path_and_never_by_value() {
        let failure = read(&change(&GOOD.replace("active", "Secret").replace("2019-03", "Secret"))).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Invalid);
        assert_eq!(
            failure.message,
            "payload is not of type condition: clinical_status: is not one of active, recurrence, relapse, inactive, \
             remission, resolved; onset: is not a day, a month or a year (YYYY-MM-DD, YYYY-MM or YYYY)"
        );
        let failure = read(&Change { references: Vec::new(), ..change(GOOD) }).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Invalid);
        assert_eq!(failure.message, "payload is not of type condition: refs.subject: is missing; it names the patient");
    }

    #[test]
    fn a_message_names_the_first_problems_and_counts_the_rest() {
        let performers = vec![r#"{"actor":{"reference":"Practitioner/Secret"}}"#; 1_000].join(",");
        let payload = format!(r#"{{"resourceType":"Procedure","performer":[{performers}]}}"#);
        let resource = Change { aggregate_type: "fhir-resource".to_owned(), ..change(&payload) };
        let message = read(&resource).unwrap_err().message;
        assert!(message.ends_with("; and 980 more problems"), "{message}");
        assert!(message.len() < 3_000 && !message.contains("Secret"), "{message}");
    }

    #[test]
    fn a_merge_and_another_type_are_never_read_as_a_record() {
        let merge = Change { operation: Operation::Merge, ..change(GOOD) };
        assert_eq!(read(&merge).unwrap_err().kind, FailureKind::Unsupported);
        let patient = Change { aggregate_type: "patient".to_owned(), ..change(GOOD) };
        assert_eq!(read(&patient).unwrap_err().kind, FailureKind::Unsupported);
    }
}
