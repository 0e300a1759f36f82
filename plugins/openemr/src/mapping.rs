//! Maps a patient to OpenEMR's columns. Pure: the same patient, schema and settings give the same record.
//!
//! A value is never cut. One that does not fit is refused, left out with a line in the log, or written anyway; see
//! `unfit.rs`. Read next: `options.rs` for coded fields.

use adapter_sdk::Failure;
use adapter_sdk::patient::Patient;

use crate::columns::{Content, OwnColumn, Record};
use crate::failures::invalid;
use crate::options::{self, Chosen};
use crate::schema::Schema;
use crate::settings::{NameScript, PublicId, Settings};
use crate::unfit::{Kind, Unfit, policy};

/// The wanted values for a patient, in the order of `schema.own_columns()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mapped {
    pub(crate) record: Record,
    /// The record after an unchanged save of OpenEMR's form.
    pub(crate) after_form: Record,
    /// The values of the patient that are not in the record.
    pub(crate) omissions: Vec<Omission>,
}

/// A value that was left out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Omission {
    pub(crate) column: &'static str,
    /// The reason, with columns, lists and limits, but never the value.
    pub(crate) why: String,
}

/// Maps a patient to the values for this OpenEMR.
///
/// # Errors
/// `invalid`, with the column and never a value, when a value does not fit and the settings do not leave it out.
pub(crate) fn mapped(
    patient: &Patient,
    schema: &Schema,
    columns: &[&'static OwnColumn],
    settings: &Settings,
) -> Result<Mapped, Failure> {
    if settings.pubpid == PublicId::PatientId {
        public_id_fits(schema, settings, patient.patient_id.as_str())?;
    }
    let (mut values, mut after_form, mut omissions) = (Vec::new(), Vec::new(), Vec::new());
    for column in columns {
        let mut chosen = value(column.name, patient, schema, settings)?;
        chosen.value = chosen.value.filter(|text| !text.is_empty());
        if let Some(why) = fitted(&mut chosen, column, schema, settings)? {
            omissions.push(Omission { column: column.name, why });
        }
        values.push(chosen.value);
        after_form.push(chosen.offered);
    }
    Ok(Mapped { record: Record(values), after_form: Record(after_form), omissions })
}

/// Checks that a value may be written. Otherwise refuses it, or leaves it out with a reason.
fn fitted(
    chosen: &mut Chosen,
    column: &OwnColumn,
    schema: &Schema,
    settings: &Settings,
) -> Result<Option<String>, Failure> {
    let mut omitted = None;
    if chosen.value != chosen.offered {
        let default_list = options::CODED.iter().find(|(name, _)| *name == column.name).map_or("", |(_, list)| list);
        let why = options::not_listed(schema, column.name, default_list);
        match policy(settings, column.name, Kind::NotListed) {
            Unfit::Refuse => return Err(invalid(why)),
            Unfit::LeaveEmpty => {
                chosen.value.clone_from(&chosen.offered);
                omitted = Some(why);
            }
            Unfit::Write => {}
        }
    }
    let Some(text) = &chosen.value else { return Ok(omitted) };
    let too_long = policy(settings, column.name, Kind::TooLong);
    let (why, can_be_written) = match schema.misfit(column.name, column.content, text) {
        Some(why) => (why, false),
        None if !column.content.is_text() => return Ok(omitted),
        None => match schema.too_long_for_form(column.name, text) {
            Some(why) => (why, true),
            None => return Ok(omitted),
        },
    };
    match too_long {
        Unfit::LeaveEmpty => {
            *chosen = Chosen::default();
            Ok(Some(why))
        }
        Unfit::Write if can_be_written => Ok(omitted),
        Unfit::Write | Unfit::Refuse => Err(invalid(why)),
    }
}

fn public_id_fits(schema: &Schema, settings: &Settings, patient_id: &str) -> Result<(), Failure> {
    if let Some(misfit) = schema.misfit("pubpid", Content::Text, patient_id) {
        return Err(invalid(misfit));
    }
    match schema.too_long_for_form("pubpid", patient_id) {
        Some(why) if policy(settings, "pubpid", Kind::TooLong) != Unfit::Write => Err(invalid(why)),
        _ => Ok(()),
    }
}

fn value(column: &str, patient: &Patient, schema: &Schema, settings: &Settings) -> Result<Chosen, Failure> {
    let (family, given) = names(patient, settings.name_script);
    Ok(match column {
        "title" => options::free_text(schema, column, None, patient.title.as_deref()),
        "sex" => Chosen::free(options::sex(schema, patient.gender)?),
        "status" => options::marital(schema, patient.marital_status),
        "state" => options::free_text(schema, column, Some("state"), patient.state.as_deref()),
        "country_code" => options::country(schema, patient.country.as_deref()),
        "language" => options::language(schema, patient.language.as_deref()),
        "race" => options::categories(schema, column, patient.race.as_deref()),
        "ethnicity" => options::categories(schema, column, patient.ethnicity.as_deref()),
        "fname" => Chosen::free(Some(given.to_owned())),
        "lname" => Chosen::free(Some(family.to_owned())),
        "suffix" => options::free_text(schema, column, None, patient.suffix.as_deref()),
        plain => Chosen::free(plain_value(plain, patient, schema)),
    })
}

/// The value of a column that never has a list.
fn plain_value(column: &str, patient: &Patient, schema: &Schema) -> Option<String> {
    match column {
        "mname" => patient.middle_name.clone(),
        "DOB" => Some(patient.birth_date.to_string()),
        "phone_home" => patient.phone_home.clone(),
        "phone_biz" => patient.phone_work.clone(),
        "phone_cell" => patient.phone_mobile.clone(),
        "email" => patient.email.clone(),
        "street" => street(patient, schema),
        "street_line_2" => patient.street_line_2.clone(),
        "city" => patient.city.clone(),
        "postal_code" => patient.postal_code.clone(),
        "ss" => patient.national_id.clone(),
        "deceased_date" => patient.deceased_date.map(|day| format!("{day} 00:00:00")),
        other => unreachable!("invariant: column {other} is one of OWN_COLUMNS"),
    }
}

/// Family and given name in the wanted script, both in the same one.
fn names(patient: &Patient, script: NameScript) -> (&str, &str) {
    match (script, &patient.native_family_name, &patient.native_given_name) {
        (NameScript::Native, Some(family), Some(given)) => (family, given),
        _ => (&patient.family_name, &patient.given_name),
    }
}

/// The street. Before 6.1 there is one column for it, so both lines are joined.
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
    use crate::form::{Field, Form};
    use crate::lists::tests::ids;
    use crate::schema::Column;
    use crate::schema::tests::{full, varchar, version};
    use crate::settings::UnknownOption;

    /// A patient with every field set.
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
        mapped(patient, schema, &columns, settings).unwrap().record.0[index].clone()
    }

    fn refusal(patient: &Patient, schema: &Schema, settings: &Settings) -> String {
        mapped(patient, schema, &schema.own_columns(), settings).unwrap_err().message
    }

    #[test]
    fn every_field_is_mapped_to_its_column() {
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
            ("race", "Asian"),
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
        let mapped = mapped(&patient(), &schema, &schema.own_columns(), &Settings::default()).unwrap();
        assert!(mapped.record.0.iter().all(Option::is_some));
        assert_eq!(mapped.record, mapped.after_form);
    }

    #[test]
    fn native_names_are_written_only_as_a_pair() {
        let schema = full();
        let native = Settings { name_script: NameScript::Native, ..Settings::default() };
        assert_eq!(field(&patient(), &schema, &native, "lname").as_deref(), Some("김"));
        assert_eq!(field(&patient(), &schema, &native, "fname").as_deref(), Some("민준"));
        let half = Patient { native_given_name: None, ..patient() };
        assert_eq!(field(&half, &schema, &native, "lname").as_deref(), Some("Kim"));
        assert_eq!(field(&half, &schema, &native, "fname").as_deref(), Some("MinJun"));
    }

    #[test]
    fn both_street_lines_share_one_column_in_an_older_openemr() {
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
    fn an_overlong_value_is_refused_and_never_truncated() {
        let (schema, settings) = (full(), Settings::default());
        let long = Patient { family_name: "x".repeat(256), ..patient() };
        assert_eq!(refusal(&long, &schema, &settings), "column `lname` takes 255 characters, the value has 256");
        let mut small = full();
        small.patient.insert("pubpid".into(), Column { characters_max: Some(5), ..varchar(5) });
        assert_eq!(refusal(&patient(), &small, &settings), "column `pubpid` takes 5 characters, the value has 10");
        let by_pid = Settings { pubpid: PublicId::Pid, ..Settings::default() };
        assert!(mapped(&patient(), &small, &small.own_columns(), &by_pid).is_ok());
    }

    /// A schema whose form has these limits and lists.
    fn with_form(fields: &[(&str, Option<u64>, &[&str])]) -> Schema {
        let mut schema = full();
        schema.version = Some(version(8, 2, 0));
        let field = |length_max: &Option<u64>, lists: &[&str]| Field {
            length_max: *length_max,
            lists: lists.iter().map(|list| (*list).to_owned()).collect(),
            required: false,
        };
        schema.form =
            Some(Form(fields.iter().map(|(name, max, lists)| ((*name).to_owned(), field(max, lists))).collect()));
        schema
    }

    fn omissions(patient: &Patient, schema: &Schema, settings: &Settings) -> Vec<&'static str> {
        let mapped = mapped(patient, schema, &schema.own_columns(), settings).unwrap();
        mapped.omissions.iter().map(|omission| omission.column).collect()
    }

    #[test]
    fn an_unknown_code_is_omitted_refused_or_written_by_setting() {
        let mut schema = full();
        schema.options.insert("ethnicity".into(), vec![]);
        let settings = Settings::default();
        assert_eq!(field(&patient(), &schema, &settings, "ethnicity"), None);
        assert_eq!(omissions(&patient(), &schema, &settings), ["ethnicity"]);
        let strict = Settings { unknown_option: UnknownOption::Refuse, ..Settings::default() };
        assert!(refusal(&patient(), &schema, &strict).starts_with("`ethnicity`: OpenEMR's list `ethnicity`"));
        let all_the_same = Settings { unfit: [("ethnicity".to_owned(), Unfit::Write)].into(), ..Settings::default() };
        assert_eq!(field(&patient(), &schema, &all_the_same, "ethnicity").as_deref(), Some("not_hisp_or_latin"));
    }

    #[test]
    fn a_value_that_the_form_cannot_save_is_omitted_and_a_name_is_refused() {
        let schema = with_form(&[("ss", Some(7), &[]), ("street", Some(5), &[]), ("lname", Some(3), &[])]);
        let settings = Settings::default();
        assert_eq!(omissions(&patient(), &schema, &settings), ["street", "ss"]);
        assert_eq!(field(&patient(), &schema, &settings, "ss"), None);
        let long = Patient { family_name: "Kims".into(), ..patient() };
        assert!(
            refusal(&long, &schema, &settings)
                .starts_with("OpenEMR's form takes 3 characters in `lname`, the value has 4")
        );
        let unfit = [("ss".to_owned(), Unfit::Refuse), ("street".to_owned(), Unfit::Write)];
        let own = Settings { unfit: unfit.into(), ..Settings::default() };
        assert!(
            refusal(&patient(), &schema, &own)
                .starts_with("OpenEMR's form takes 7 characters in `ss`, the value has 8")
        );
        let short = Patient { national_id: None, ..patient() };
        assert_eq!(field(&short, &schema, &own, "street").as_deref(), Some("Sejong-daero 110"));
    }

    #[test]
    fn a_public_id_that_the_form_cannot_save_is_refused() {
        let schema = with_form(&[("pubpid", Some(9), &[])]);
        assert!(
            refusal(&patient(), &schema, &Settings::default())
                .contains("takes 9 characters in `pubpid`, the value has 10")
        );
        let written = Settings { unfit: [("pubpid".to_owned(), Unfit::Write)].into(), ..Settings::default() };
        assert!(mapped(&patient(), &schema, &schema.own_columns(), &written).is_ok());
    }

    #[test]
    fn a_state_missing_in_the_forms_list_is_written_and_expected_empty_after_a_save() {
        let mut schema = with_form(&[("state", None, &["state"])]);
        schema.options.insert("state".into(), ids(&["CA"]));
        let mapped = mapped(&patient(), &schema, &schema.own_columns(), &Settings::default()).unwrap();
        let at = schema.own_columns().iter().position(|column| column.name == "state").unwrap();
        assert_eq!(mapped.record.0[at].as_deref(), Some("Seoul"));
        assert_eq!(mapped.after_form.0[at], None);
        assert!(mapped.omissions.is_empty());
    }

    #[test]
    fn a_value_too_large_for_its_column_is_omitted_where_safe() {
        let mut schema = full();
        schema.patient.insert("city".into(), Column { characters_max: Some(3), ..varchar(3) });
        assert_eq!(omissions(&patient(), &schema, &Settings::default()), ["city"]);
        let written = Settings { unfit: [("city".to_owned(), Unfit::Write)].into(), ..Settings::default() };
        assert!(refusal(&patient(), &schema, &written).starts_with("column `city` takes 3 characters"));
    }
}
