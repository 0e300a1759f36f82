//! From a patient to the values of OpenEMR's columns. Pure: the same patient, schema and settings give the same record.
//!
//! It must never cut a value to make it fit: what does not fit is refused, naming the column and the limit.
//! Read next: `options.rs` for coded fields.

use adapter_sdk::Failure;
use adapter_sdk::patient::Patient;

use crate::columns::{OwnColumn, Record};
use crate::failures::invalid;
use crate::options;
use crate::schema::Schema;
use crate::settings::{NameScript, PublicId, Settings};

/// The record that this OpenEMR shall hold for the patient, in the order of `schema.own_columns()`.
///
/// # Errors
/// `invalid`, naming the field or column and never a value: a code that its list does not have, a value that its column
/// cannot hold.
pub(crate) fn record(
    patient: &Patient,
    schema: &Schema,
    columns: &[&'static OwnColumn],
    settings: &Settings,
) -> Result<Record, Failure> {
    if settings.pubpid == PublicId::PatientId {
        fits(schema, "pubpid", &patient.patient_id)?;
    }
    let mut values = Vec::with_capacity(columns.len());
    for column in columns {
        let value = value(column.name, patient, schema, settings)?.filter(|text| !text.is_empty());
        if let Some(text) = &value
            && let Some(misfit) = schema.misfit(column.name, column.content, text)
        {
            return Err(invalid(misfit));
        }
        values.push(value);
    }
    Ok(Record(values))
}

/// Whether a text of the patient fits a column that is not among the own ones.
fn fits(schema: &Schema, column: &str, text: &str) -> Result<(), Failure> {
    schema.misfit(column, crate::columns::Content::Text, text).map_or(Ok(()), |misfit| Err(invalid(misfit)))
}

fn value(column: &str, patient: &Patient, schema: &Schema, settings: &Settings) -> Result<Option<String>, Failure> {
    let policy = settings.unknown_option;
    let (family, given) = names(patient, settings.name_script);
    Ok(match column {
        "title" => patient.title.clone(),
        "fname" => Some(given.to_owned()),
        "mname" => patient.middle_name.clone(),
        "lname" => Some(family.to_owned()),
        "suffix" => patient.suffix.clone(),
        "DOB" => Some(patient.birth_date.to_string()),
        "sex" => options::sex(schema, patient.gender)?,
        "status" => options::marital(schema, policy, patient.marital_status)?,
        "phone_home" => patient.phone_home.clone(),
        "phone_biz" => patient.phone_work.clone(),
        "phone_cell" => patient.phone_mobile.clone(),
        "email" => patient.email.clone(),
        "street" => street(patient, schema),
        "street_line_2" => patient.street_line_2.clone(),
        "city" => patient.city.clone(),
        "state" => options::free_text(schema, "state", patient.state.as_deref()),
        "postal_code" => patient.postal_code.clone(),
        "country_code" => options::country(schema, patient.country.as_deref()),
        "language" => options::language(schema, policy, patient.language.as_deref())?,
        "race" => options::coded(schema, policy, "race", "race", patient.race.as_deref())?,
        "ethnicity" => options::coded(schema, policy, "ethnicity", "ethnicity", patient.ethnicity.as_deref())?,
        "ss" => patient.national_id.clone(),
        "deceased_date" => patient.deceased_date.map(|day| format!("{day} 00:00:00")),
        other => unreachable!("invariant: column {other} is one of OWN_COLUMNS"),
    })
}

/// Family and given name in the wanted script; both come from the same one.
fn names(patient: &Patient, script: NameScript) -> (&str, &str) {
    match (script, &patient.native_family_name, &patient.native_given_name) {
        (NameScript::Native, Some(family), Some(given)) => (family, given),
        _ => (&patient.family_name, &patient.given_name),
    }
}

/// Before 6.1 there is one column for the street, so both lines go into it.
fn street(patient: &Patient, schema: &Schema) -> Option<String> {
    match (&patient.street, &patient.street_line_2) {
        (Some(first), Some(second)) if schema.column("street_line_2").is_none() => Some(format!("{first}, {second}")),
        (None, Some(second)) if schema.column("street_line_2").is_none() => Some(second.clone()),
        (first, _) => first.clone(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use adapter_sdk::patient::{Day, Gender, MaritalStatus, PatientId};

    use super::*;
    use crate::schema::Column;
    use crate::schema::tests::{full, varchar};
    use crate::settings::UnknownOption;

    /// A patient with every field.
    pub(crate) fn patient() -> Patient {
        let some = |text: &str| Some(text.to_owned());
        Patient {
            patient_id: PatientId::new("P-2025-001").unwrap(),
            family_name: "Kim".into(),
            given_name: "MinJun".into(),
            middle_name: some("J."),
            native_family_name: some("김"),
            native_given_name: some("민준"),
            title: some("Dr."),
            suffix: some("Jr."),
            birth_date: Day::read("1980-02-29").unwrap(),
            gender: Gender::Male,
            marital_status: Some(MaritalStatus::Married),
            phone_home: some("02-1"),
            phone_mobile: some("010-2"),
            phone_work: some("02-3"),
            email: some("kim@example.org"),
            street: some("Sejong-daero 110"),
            street_line_2: some("3F"),
            city: some("Jung-gu"),
            state: some("Seoul"),
            postal_code: some("04524"),
            country: some("KR"),
            language: some("ko"),
            race: some("asian"),
            ethnicity: some("not_hisp_or_latin"),
            national_id: some("800229-1"),
            deceased_date: Day::read("2024-05-01"),
        }
    }

    fn field(patient: &Patient, schema: &Schema, settings: &Settings, column: &str) -> Option<String> {
        let columns = schema.own_columns();
        let index = columns.iter().position(|own| own.name == column).unwrap();
        record(patient, schema, &columns, settings).unwrap().0[index].clone()
    }

    fn refusal(patient: &Patient, schema: &Schema, settings: &Settings) -> String {
        record(patient, schema, &schema.own_columns(), settings).unwrap_err().message
    }

    #[test]
    fn every_field_goes_into_its_column() {
        let (schema, settings) = (full(), Settings::default());
        for (column, expected) in [
            ("title", "Dr."),
            ("fname", "MinJun"),
            ("mname", "J."),
            ("lname", "Kim"),
            ("suffix", "Jr."),
            ("DOB", "1980-02-29"),
            ("sex", "Male"),
            ("status", "married"),
            ("phone_home", "02-1"),
            ("phone_biz", "02-3"),
            ("phone_cell", "010-2"),
            ("email", "kim@example.org"),
            ("street", "Sejong-daero 110"),
            ("street_line_2", "3F"),
            ("city", "Jung-gu"),
            ("state", "Seoul"),
            ("postal_code", "04524"),
            ("country_code", "KR"),
            ("language", "korean"),
            ("race", "asian"),
            ("ethnicity", "not_hisp_or_latin"),
            ("ss", "800229-1"),
            ("deceased_date", "2024-05-01 00:00:00"),
        ] {
            assert_eq!(field(&patient(), &schema, &settings, column).as_deref(), Some(expected), "{column}");
        }
    }

    #[test]
    fn every_own_column_has_a_value_for_the_full_patient() {
        let schema = full();
        let record = record(&patient(), &schema, &schema.own_columns(), &Settings::default()).unwrap();
        assert!(record.0.iter().all(Option::is_some));
    }

    #[test]
    fn native_names_are_taken_together_or_not_at_all() {
        let schema = full();
        let native = Settings { name_script: NameScript::Native, ..Settings::default() };
        assert_eq!(field(&patient(), &schema, &native, "lname").as_deref(), Some("김"));
        assert_eq!(field(&patient(), &schema, &native, "fname").as_deref(), Some("민준"));
        let half = Patient { native_given_name: None, ..patient() };
        assert_eq!(field(&half, &schema, &native, "lname").as_deref(), Some("Kim"));
        assert_eq!(field(&half, &schema, &native, "fname").as_deref(), Some("MinJun"));
    }

    #[test]
    fn both_street_lines_share_the_one_column_of_an_older_openemr() {
        let settings = Settings::default();
        let mut old = full();
        old.patient.remove("street_line_2");
        assert_eq!(field(&patient(), &old, &settings, "street").as_deref(), Some("Sejong-daero 110, 3F"));
        let second_only = Patient { street: None, ..patient() };
        assert_eq!(field(&second_only, &old, &settings, "street").as_deref(), Some("3F"));
        assert_eq!(field(&second_only, &full(), &settings, "street"), None);
    }

    #[test]
    fn a_name_of_one_letter_is_delivered() {
        let short = Patient { family_name: "O".into(), ..patient() };
        assert_eq!(field(&short, &full(), &Settings::default(), "lname").as_deref(), Some("O"));
    }

    #[test]
    fn what_does_not_fit_is_refused_and_never_cut() {
        let (schema, settings) = (full(), Settings::default());
        let long = Patient { family_name: "x".repeat(256), ..patient() };
        assert_eq!(refusal(&long, &schema, &settings), "column `lname` takes 255 characters, the value has 256");
        let mut small = full();
        small.patient.insert("pubpid".into(), Column { characters_max: Some(5), ..varchar(5) });
        assert_eq!(refusal(&patient(), &small, &settings), "column `pubpid` takes 5 characters, the value has 10");
        let by_pid = Settings { pubpid: PublicId::Pid, ..Settings::default() };
        assert!(record(&patient(), &small, &small.own_columns(), &by_pid).is_ok());
    }

    #[test]
    fn an_unknown_code_is_refused_or_left_empty_by_setting() {
        let mut schema = full();
        schema.options.insert("ethnicity".into(), vec![]);
        assert!(refusal(&patient(), &schema, &Settings::default()).starts_with("ethnicity: "));
        let lenient = Settings { unknown_option: UnknownOption::LeaveEmpty, ..Settings::default() };
        assert_eq!(field(&patient(), &schema, &lenient, "ethnicity"), None);
    }
}
