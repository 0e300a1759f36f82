//! The payload of a `patient` change, as defined by the outbox contract.
//!
//! The host uses the same fields and rules (crate `patient-payload`). Unknown fields are ignored, so that an older
//! adapter can read what a newer application writes.

pub use patient_payload::{Day, Gender, MaritalStatus, Patient, PatientId, omb};

use crate::{Change, Failure, FailureKind, Operation};

/// The earliest plausible change time (2000-01-01 UTC, in milliseconds). An application that writes seconds gives a
/// smaller value.
const CREATED_AT_MS_MIN: i64 = 946_684_800_000;

/// Reads the patient of this change, by every rule of `docs/outbox.md`. The rules use no clock, so every attempt has
/// the same result: a date counts as past when it is not after the change itself.
///
/// # Errors
/// `invalid`, with every field that breaks a rule and without any value of the payload. `unsupported` for a merge,
/// whose payload is not a state to write.
pub fn read(change: &Change) -> Result<Patient, Failure> {
    if change.operation == Operation::Merge {
        let message = "this adapter does not merge patients".to_owned();
        return Err(Failure { kind: FailureKind::Unsupported, message, retry_after_ms: None });
    }
    let today =
        if change.created_at_ms < CREATED_AT_MS_MIN { Day::MAX } else { Day::latest_on_earth(change.created_at_ms) };
    let patient = Patient::from_payload(&change.payload, today).map_err(|problems| {
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        invalid(format!("payload is not a patient: {}", problems.join("; ")))
    })?;
    if patient.patient_id.as_str() == change.aggregate_id {
        Ok(patient)
    } else {
        Err(invalid("payload's patient_id is not the change's aggregate_id".to_owned()))
    }
}

fn invalid(message: String) -> Failure {
    Failure { kind: FailureKind::Invalid, message, retry_after_ms: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(payload: &str, created_at_ms: i64) -> Change {
        Change {
            change_id: 1,
            event_id: String::new(),
            aggregate_type: "patient".to_owned(),
            aggregate_id: "P-1".to_owned(),
            operation: Operation::Create,
            payload: payload.to_owned(),
            references: Vec::new(),
            survivor: None,
            created_at_ms,
            attempt: 1,
            link: None,
        }
    }

    const GOOD: &str =
        r#"{"patient_id":"P-1","family_name":" Kim ","given_name":"MinJun","birth_date":"2024-05-01","gender":"male"}"#;
    const NOON_OF_30_APRIL_2024: i64 = 1_714_478_400_000;

    #[test]
    fn contract_violations_are_reported_by_field_and_never_by_value() {
        for (from, to, message) in [
            ("\" Kim \"", "\"\"", "family_name: must not be empty"),
            ("\" Kim \"", "\" \u{3164} \"", "family_name: must not be empty"),
            (
                "\" Kim \"",
                "\"Se\\ncret\"",
                "family_name: must not contain control characters such as a line break or a tab",
            ),
            ("\"MinJun\"", "\"Se\\u0000cret\"", "given_name: must not contain a NUL character"),
            ("\"MinJun\"", "17", "given_name: must be text"),
            ("2024-05-01", "1900-02-29", "birth_date: is not a date of the calendar (YYYY-MM-DD)"),
            ("2024-05-01", "1700-01-01", "birth_date: is before the year 1850"),
            ("2024-05-01", "2099-01-01", "birth_date: is in the future"),
            ("\"male\"", "\"male\",\"email\":\"not Secret\"", "email: is not an e-mail address (name@domain)"),
            ("\"male\"", "\"male\",\"deceased_date\":\"2023-01-01\"", "deceased_date: is before birth_date"),
            ("P-1", "", "patient_id: must not be empty"),
        ] {
            let failure = read(&change(&GOOD.replace(from, to), NOON_OF_30_APRIL_2024)).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Invalid);
            assert_eq!(failure.message, format!("payload is not a patient: {message}"));
        }
        let other =
            read(&Change { aggregate_id: "P-2".to_owned(), ..change(GOOD, NOON_OF_30_APRIL_2024) }).unwrap_err();
        assert_eq!(other.message, "payload's patient_id is not the change's aggregate_id");
    }

    #[test]
    fn a_merge_is_never_read_as_a_state() {
        let merge = Change { operation: Operation::Merge, ..change(GOOD, NOON_OF_30_APRIL_2024) };
        assert_eq!(read(&merge).unwrap_err().kind, FailureKind::Unsupported);
    }

    #[test]
    fn a_birth_date_is_in_the_future_only_after_the_change() {
        // In the earliest time zone it is already the first of May.
        let patient = read(&change(GOOD, NOON_OF_30_APRIL_2024)).unwrap();
        assert_eq!((patient.family_name.as_str(), patient.birth_date.as_str()), ("Kim", "2024-05-01"));
        assert!(read(&change(GOOD, NOON_OF_30_APRIL_2024 - 86_400_000)).is_err());
        // A change time in seconds is not plausible, so no date is compared with it.
        assert!(read(&change(GOOD, NOON_OF_30_APRIL_2024 / 1_000)).is_ok());
    }
}
