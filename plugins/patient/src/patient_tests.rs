//! Tables of valid and invalid patients.

use proptest::prelude::*;

use super::*;

pub(crate) fn today() -> Day {
    Day::read("2025-06-01").unwrap()
}

pub(crate) fn draft() -> PatientDraft {
    PatientDraft {
        patient_id: Some("P-2025-001".to_owned()),
        family_name: Some("Kim".to_owned()),
        given_name: Some("MinJun".to_owned()),
        birth_date: Some("1980-02-29".to_owned()),
        gender: Some("male".to_owned()),
        ..PatientDraft::default()
    }
}

pub(crate) fn with(field: &str, value: &str) -> PatientDraft {
    let mut draft = draft();
    *draft.field_mut(field).unwrap() = Some(value.to_owned());
    draft
}

#[test]
fn a_minimal_patient_is_valid_and_its_payload_omits_absent_fields() {
    let patient = draft().validate(today()).unwrap();
    assert_eq!(
        patient.payload(),
        r#"{"patient_id":"P-2025-001","family_name":"Kim","given_name":"MinJun","birth_date":"1980-02-29","gender":"male"}"#
    );
}

#[test]
fn invalid_values_of_each_field_are_refused() {
    let long = |characters: usize| "가".repeat(characters);
    let cases: &[(&str, String, &str)] = &[
        ("patient_id", "P 1".into(), "must be 1 to 64 characters of"),
        ("patient_id", "x".repeat(65), "is too long: 65 characters, at most 64"),
        ("family_name", "  ".into(), "must not be empty"),
        ("family_name", "\u{200B}\u{3164}".into(), "must not be empty"),
        ("family_name", long(256), "is too long: 256 characters, at most 255"),
        ("given_name", "x".repeat(10_000), "is too long: 10000 characters"),
        ("given_name", "Min\0Jun".into(), "NUL"),
        ("given_name", "Min\nJun".into(), "control characters"),
        ("birth_date", "1980-02-31".into(), "is not a date of the calendar"),
        ("birth_date", "1981-02-29".into(), "is not a date of the calendar"),
        ("birth_date", "1900-02-29".into(), "is not a date of the calendar"),
        ("birth_date", "1980-2-1".into(), "is not a date of the calendar"),
        ("birth_date", "+980-02-01".into(), "is not a date of the calendar"),
        ("birth_date", "1980-02-01T00:00".into(), "is not a date of the calendar"),
        ("birth_date", "1980년1월1".into(), "is not a date of the calendar"),
        ("birth_date", "2025-06-02".into(), "is in the future"),
        ("birth_date", "1849-12-31".into(), "is before the year 1850"),
        ("gender", "Male".into(), "is not one of male, female, other or unknown"),
        ("marital_status", "complicated".into(), "is not one of married,"),
        ("title", long(65), "at most 64"),
        ("suffix", long(81), "at most 80"),
        ("phone_home", String::new(), "leave the field out"),
        ("phone_mobile", "1".repeat(65), "at most 64"),
        ("email", "kim".into(), "is not an e-mail address"),
        ("email", "a@b@c".into(), "is not an e-mail address"),
        ("email", "a b@c".into(), "is not an e-mail address"),
        ("street_line_2", long(81), "at most 80"),
        ("city", long(129), "at most 128"),
        ("postal_code", "1".repeat(33), "at most 32"),
        ("country", "Korea".into(), "is not a country code"),
        ("country", "대".into(), "is not a country code"),
        ("language", "k".into(), "is not a language tag"),
        ("language", "ko_KR".into(), "is not a language tag"),
        ("language", "korean-".into(), "is not a language tag"),
        ("national_id", long(65), "at most 64"),
        ("deceased_date", "1980-02-28".into(), "is before birth_date"),
        ("deceased_date", "2025-06-02".into(), "is in the future"),
        ("deceased_date", "2025-06-31".into(), "is not a date of the calendar"),
    ];
    for (field, value, expected) in cases {
        let problems = with(field, value).validate(today()).unwrap_err();
        assert_eq!(problems.len(), 1, "{field} {expected}: {problems:?}");
        assert_eq!(problems[0].field, *field);
        assert!(problems[0].message.contains(expected), "{field}: {}", problems[0].message);
    }
}

#[test]
fn valid_values_of_each_field_are_accepted() {
    let cases = [
        ("patient_id", "p~1._-"),
        ("birth_date", "2025-06-01"),
        ("birth_date", "1850-01-01"),
        ("deceased_date", "1980-02-29"),
        ("marital_status", "domestic_partner"),
        ("email", "kim@병원.example"),
        ("language", "zh-Hant-TW"),
        ("language", "de-1996"),
        ("country", "KOR"),
        ("phone_home", "+82 (2) 123-4567 내선 3"),
    ];
    for (field, value) in cases {
        assert!(with(field, value).validate(today()).is_ok(), "{field}");
    }
    assert_eq!(with("country", "kr").validate(today()).unwrap().country.as_deref(), Some("KR"));
    assert_eq!(with("family_name", " Kim ").validate(today()).unwrap().family_name, "Kim");
}

#[test]
fn every_problem_is_listed_in_the_order_of_the_fields() {
    let draft = PatientDraft {
        deceased_date: Some("never".to_owned()),
        email: Some("x".to_owned()),
        title: Some("x".repeat(100)),
        ..PatientDraft::default()
    };
    let problems = draft.validate(today()).unwrap_err();
    let fields: Vec<_> = problems.iter().map(|problem| problem.field).collect();
    assert_eq!(
        fields,
        ["patient_id", "family_name", "given_name", "birth_date", "gender", "title", "email", "deceased_date"]
    );
    assert!(problems[..5].iter().all(|problem| problem.message == "is missing"));
}

#[test]
fn debug_output_of_a_patient_shows_only_the_id() {
    let patient = draft().validate(today()).unwrap();
    assert_eq!(format!("{patient:?}"), r#"Patient { patient_id: "P-2025-001", .. }"#);
    assert!(!format!("{:?}", draft()).contains("Kim"));
}

#[test]
fn draft_refuses_an_unknown_field() {
    assert!(serde_json::from_str::<PatientDraft>(r#"{"patient_id":"P-1","famly_name":"Kim"}"#).is_err());
}

proptest! {
    #[test]
    fn no_message_repeats_a_value(value in "\\PC{0,20}", index in 1_usize..26) {
        let field = PatientDraft::FIELDS[index];
        let marked = format!("Zq9{value}\0Xw7");
        for problem in with(field, &marked).validate(today()).unwrap_err() {
            prop_assert!(!problem.message.contains("Zq9") && !problem.message.contains("Xw7"));
        }
    }

    #[test]
    fn validation_is_idempotent(name in "\\PC{1,40}", year in 1850_i16..2025, day in 1_i8..29) {
        let mut draft = with("family_name", &name);
        draft.birth_date = Some(format!("{year}-02-{day:02}"));
        if let Ok(patient) = draft.validate(today()) {
            prop_assert_eq!(PatientDraft::from(&patient).validate(today()).unwrap(), patient);
        }
    }
}

#[test]
fn an_invalid_optional_field_costs_only_that_field() {
    let mut draft = with("country", "Deutschland");
    draft.email = Some("a@b, c@d".to_owned());
    draft.phone_home = Some("1".repeat(81));
    draft.city = Some("Jena".to_owned());
    let (patient, problems) = draft.validate_leaving_out(today()).unwrap();
    assert_eq!(problems.iter().map(|problem| problem.field).collect::<Vec<_>>(), ["phone_home", "email", "country"]);
    assert_eq!((patient.country, patient.email, patient.phone_home), (None, None, None));
    assert_eq!(patient.city.as_deref(), Some("Jena"));
    // An invalid indispensable field refuses the patient, and every problem is reported.
    for (field, value) in [("birth_date", "1980"), ("gender", "m"), ("family_name", " "), ("deceased_date", "2020")] {
        let mut draft = draft.clone();
        *draft.field_mut(field).unwrap() = Some(value.to_owned());
        let problems = draft.validate_leaving_out(today()).unwrap_err();
        assert_eq!(problems.len(), 4, "{field}: {problems:?}");
        assert!(problems.iter().any(|problem| problem.field == field));
    }
}
