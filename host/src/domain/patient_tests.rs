//! What a valid patient is, as tables.

use jiff::civil::date;
use proptest::prelude::*;

use super::*;

const TODAY: Date = date(2025, 6, 1);

fn draft() -> PatientDraft {
    PatientDraft {
        patient_id: Some("P-2025-001".to_owned()),
        family_name: Some("Kim".to_owned()),
        given_name: Some("MinJun".to_owned()),
        birth_date: Some("1980-02-29".to_owned()),
        gender: Some("male".to_owned()),
        ..PatientDraft::default()
    }
}

fn with(field: &str, value: &str) -> PatientDraft {
    let mut draft = draft();
    *draft.field_mut(field).unwrap() = Some(value.to_owned());
    draft
}

#[test]
fn minimal_patient_is_valid_and_its_payload_has_no_absent_fields() {
    let patient = draft().validate(TODAY).unwrap();
    assert_eq!(
        patient.payload(),
        r#"{"patient_id":"P-2025-001","family_name":"Kim","given_name":"MinJun","birth_date":"1980-02-29","gender":"male"}"#
    );
}

#[test]
fn field_by_field_what_is_refused() {
    let long = |characters: usize| "가".repeat(characters);
    let cases: &[(&str, String, &str)] = &[
        ("patient_id", "P 1".into(), "must be 1 to 64 characters of"),
        ("patient_id", "x".repeat(65), "is too long: 65 characters, at most 64"),
        ("family_name", "  ".into(), "must not be empty"),
        ("family_name", long(256), "is too long: 256 characters, at most 255"),
        ("given_name", "x".repeat(10_000), "is too long: 10000 characters"),
        ("given_name", "Min\0Jun".into(), "NUL"),
        ("given_name", "Min\nJun".into(), "control characters"),
        ("birth_date", "1980-02-31".into(), "is not a date of the calendar"),
        ("birth_date", "1981-02-29".into(), "is not a date of the calendar"),
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
        let problems = with(field, value).validate(TODAY).unwrap_err();
        assert_eq!(problems.len(), 1, "{field} {expected}: {problems:?}");
        assert_eq!(problems[0].field, *field);
        assert!(problems[0].message.contains(expected), "{field}: {}", problems[0].message);
    }
}

#[test]
fn field_by_field_what_is_taken() {
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
        assert!(with(field, value).validate(TODAY).is_ok(), "{field}");
    }
    assert_eq!(with("country", "kr").validate(TODAY).unwrap().country.as_deref(), Some("KR"));
    assert_eq!(with("family_name", " Kim ").validate(TODAY).unwrap().family_name, "Kim");
}

#[test]
fn every_problem_is_listed_in_the_order_of_the_fields() {
    let draft = PatientDraft {
        deceased_date: Some("never".to_owned()),
        email: Some("x".to_owned()),
        title: Some("x".repeat(100)),
        ..PatientDraft::default()
    };
    let problems = draft.validate(TODAY).unwrap_err();
    let fields: Vec<_> = problems.iter().map(|problem| problem.field).collect();
    assert_eq!(
        fields,
        ["patient_id", "family_name", "given_name", "birth_date", "gender", "title", "email", "deceased_date"]
    );
    assert!(problems[..5].iter().all(|problem| problem.message == "is missing"));
}

#[test]
fn every_field_survives_the_payload() {
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
    let patient = full.validate(TODAY).unwrap();
    assert_eq!(Patient::from_payload(&patient.payload()).unwrap(), patient);
    assert_eq!(PatientDraft::from(&patient), full);
    let value: serde_json::Value = serde_json::from_str(&patient.payload()).unwrap();
    assert_eq!(value.as_object().unwrap().len(), PatientDraft::FIELDS.len());
}

#[test]
fn payload_of_a_newer_application_is_read_and_a_wrong_one_refused_without_its_values() {
    let newer = draft().validate(TODAY).unwrap().payload().replace("\"gender\"", "\"blood_group\":\"A\",\"gender\"");
    assert!(Patient::from_payload(&newer).is_ok());
    for wrong in [
        newer.replace("\"male\"", "\"SECRET\""),
        newer.replace("1980-02-29", "1980-SECRET"),
        newer.replace("P-2025-001", "SECRET ID"),
        newer.replace("\"MinJun\"", "[\"SECRET\"]"),
        "SECRET".to_owned(),
        "{}".to_owned(),
    ] {
        let error = Patient::from_payload(&wrong).unwrap_err().to_string();
        assert!(!error.contains("SECRET"), "{error}");
    }
}

#[test]
fn debug_shows_the_id_alone() {
    let patient = draft().validate(TODAY).unwrap();
    assert_eq!(format!("{patient:?}"), r#"Patient { patient_id: "P-2025-001", .. }"#);
    assert!(!format!("{:?}", draft()).contains("Kim"));
}

#[test]
fn draft_refuses_an_unknown_field() {
    assert!(serde_json::from_str::<PatientDraft>(r#"{"patient_id":"P-1","famly_name":"Kim"}"#).is_err());
}

#[test]
fn today_is_the_latest_date_on_earth() {
    let evening_utc: jiff::Timestamp = "2025-05-31T23:00:00Z".parse().unwrap();
    assert_eq!(latest_today(evening_utc), TODAY);
    let morning_utc: jiff::Timestamp = "2025-05-31T09:00:00Z".parse().unwrap();
    assert_eq!(latest_today(morning_utc), date(2025, 5, 31));
}

proptest! {
    #[test]
    fn whatever_is_written_no_message_repeats_it(value in "\\PC{0,20}", index in 1_usize..26) {
        let field = PatientDraft::FIELDS[index];
        let marked = format!("Zq9{value}\0Xw7");
        for problem in with(field, &marked).validate(TODAY).unwrap_err() {
            prop_assert!(!problem.message.contains("Zq9") && !problem.message.contains("Xw7"));
        }
    }

    #[test]
    fn what_validates_once_validates_to_itself(name in "\\PC{1,40}", year in 1850_i16..2025, day in 1_i8..29) {
        let mut draft = with("family_name", &name);
        draft.birth_date = Some(format!("{year}-02-{day:02}"));
        if let Ok(patient) = draft.validate(TODAY) {
            prop_assert_eq!(PatientDraft::from(&patient).validate(TODAY).unwrap(), patient);
        }
    }
}

#[test]
fn the_texts_of_the_fields_are_those_of_the_payload() {
    let mut draft = with("deceased_date", "2020-01-01");
    draft.marital_status = Some("domestic_partner".to_owned());
    draft.native_given_name = Some("민준".to_owned());
    let patient = draft.validate(TODAY).unwrap();
    let payload: serde_json::Value = serde_json::from_str(&patient.payload()).unwrap();
    let texts = patient.field_texts();
    assert_eq!(texts.len(), PatientDraft::FIELDS.len());
    for (field, text) in PatientDraft::FIELDS.iter().zip(texts) {
        assert_eq!(payload.get(*field).and_then(|value| value.as_str()), text.as_deref(), "{field}");
    }
}
