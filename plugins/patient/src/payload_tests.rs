//! Valid and invalid payloads.

use super::*;
use crate::patient::tests::{draft, today, with};

#[test]
fn every_field_round_trips_through_the_payload() {
    let mut full = draft();
    for field in PatientDraft::FIELDS {
        let value = full.field_mut(field).unwrap();
        value.get_or_insert_with(|| match *field {
            "marital_status" => "single".to_owned(),
            "email" => "a@b".to_owned(),
            "country" => "KR".to_owned(),
            "language" => "ko".to_owned(),
            "deceased_date" => "2020-01-02".to_owned(),
            other => format!("value of {other}"),
        });
    }
    let patient = full.validate(today()).unwrap();
    assert_eq!(Patient::from_payload(&patient.payload(), today()).unwrap(), patient);
    assert_eq!(PatientDraft::from(&patient), full);
    let value: serde_json::Value = serde_json::from_str(&patient.payload()).unwrap();
    assert_eq!(value.as_object().unwrap().len(), PatientDraft::FIELDS.len());
}

#[test]
fn field_texts_match_the_payload() {
    let mut draft = with("deceased_date", "2020-01-01");
    draft.marital_status = Some("domestic_partner".to_owned());
    draft.native_given_name = Some("민준".to_owned());
    let patient = draft.validate(today()).unwrap();
    let payload: serde_json::Value = serde_json::from_str(&patient.payload()).unwrap();
    let texts = patient.field_texts();
    assert_eq!(texts.len(), PatientDraft::FIELDS.len());
    for (field, text) in PatientDraft::FIELDS.iter().zip(texts) {
        assert_eq!(payload.get(*field).and_then(|value| value.as_str()), text.as_deref(), "{field}");
    }
}

#[test]
fn payload_of_a_newer_application_is_read() {
    let payload = draft().validate(today()).unwrap().payload();
    let newer = payload.replace("\"gender\"", "\"blood_group\":{\"A\":[1]},\"email\":null,\"gender\"");
    assert_eq!(Patient::from_payload(&newer, today()).unwrap().payload(), payload);
}

#[test]
fn payload_problems_are_reported_by_field_and_never_by_value() {
    let payload = draft().validate(today()).unwrap().payload();
    for (wrong, expected) in [
        (payload.replace("\"male\"", "\"SECRET\""), "gender: is not one of male, female, other or unknown"),
        (payload.replace("1980-02-29", "1980-SECRET"), "birth_date: is not a date of the calendar (YYYY-MM-DD)"),
        (payload.replace("\"MinJun\"", "[\"SECRET\"]"), "given_name: must be text"),
        (payload.replace("\"MinJun\"", "17,\"email\":{\"SECRET\":1}"), "given_name: must be text; email: must be text"),
        (payload.replace("\"gender\"", "\"gender\":\"SECRET\",\"gender\""), "gender: is given twice"),
        (payload.replace("\"Kim\"", "null"), "family_name: is missing"),
        ("SECRET".to_owned(), "payload: is not JSON: an error at line 1 column 1"),
        ("\"SECRET\"".to_owned(), "payload: is not a JSON object"),
        (payload.replace("\"Kim\"", "\"SECRET"), "payload: is not JSON: an error at line 1 column 93"),
    ] {
        let problems = Patient::from_payload(&wrong, today()).unwrap_err();
        let text = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        if expected.starts_with("payload: is not JSON") {
            assert!(text.starts_with("payload: is not JSON: an error at line 1 column "), "{text}");
        } else {
            assert_eq!(text, expected);
        }
        assert!(!text.contains("SECRET"), "{text}");
    }
    let missing = Patient::from_payload("{}", today()).unwrap_err();
    assert_eq!(missing.len(), 5);
}
