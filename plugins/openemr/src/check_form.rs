//! The findings of `check` about OpenEMR's demographics form: limits and lists that cause omitted, refused or emptied
//! values.
//!
//! It reads no patient, so it compares limits with common lengths of values.

use adapter_sdk::{Finding, FindingLevel};

use crate::columns::OWN_COLUMNS;
use crate::options;
use crate::schema::{Listed, Schema};
use crate::settings::{PublicId, Settings};
use crate::unfit::{IDENTIFYING, Kind, Unfit, policy};

/// Common lengths of values: a national id with separators, a patient id that is a UUID, names of several parts.
const COMMON_LENGTHS: [(&str, u64); 9] = [
    ("ss", 14),
    ("pubpid", 36),
    ("fname", 40),
    ("lname", 40),
    ("street", 60),
    ("email", 64),
    ("phone_home", 20),
    ("phone_cell", 20),
    ("postal_code", 10),
];

/// Columns of free text, for which the form may offer a list.
const FREE_TEXT: [&str; 4] = ["title", "suffix", "state", "country_code"];

/// The findings.
pub(crate) fn findings(schema: &Schema, settings: &Settings) -> Vec<Finding> {
    let warning = |message: String| Finding { level: FindingLevel::Warning, message };
    let Some(form) = &schema.form else {
        return vec![warning(
            "OpenEMR's form (layout_options) could not be read: whether its users could save a chart is not known"
                .to_owned(),
        )];
    };
    let mut found: Vec<Finding> =
        [too_short(schema, settings), short_lists(schema, settings), missing_categories(schema)]
            .into_iter()
            .flatten()
            .map(warning)
            .collect();
    let optional = |column: &str| !IDENTIFYING.contains(&column);
    let required: Vec<&str> = OWN_COLUMNS
        .iter()
        .map(|column| column.name)
        .filter(|name| optional(name) && form.field(name).is_some_and(|field| field.required))
        .collect();
    if !required.is_empty() {
        found.push(warning(format!(
            "OpenEMR's form requires fields that a patient need not have: {}; users who edit a chart without them have \
             to fill them first",
            required.join(", ")
        )));
    }
    if found.is_empty() {
        found.push(Finding {
            level: FindingLevel::Ok,
            message: "OpenEMR's form takes what is commonly needed".to_owned(),
        });
    }
    found
}

fn too_short(schema: &Schema, settings: &Settings) -> Option<String> {
    let form = schema.form.as_ref()?;
    let short: Vec<String> = COMMON_LENGTHS
        .into_iter()
        .filter(|(column, _)| *column != "pubpid" || settings.pubpid == PublicId::PatientId)
        .filter_map(|(column, common)| {
            let limit = form.field(column)?.length_max.filter(|limit| *limit < common)?;
            Some(format!("`{column}` {limit} (longer: {})", what_happens(settings, column, Kind::TooLong)))
        })
        .collect();
    let unit = if schema.form_is_recent() { "characters" } else { "bytes" };
    (!short.is_empty()).then(|| {
        format!(
            "OpenEMR's form takes few {unit} in {}; raise `Max length` under Administration > Forms > Layouts > \
             Demographics",
            short.join(", ")
        )
    })
}

/// Free-text columns for which the form offers a list: saving the form empties every value that is not an option.
fn short_lists(schema: &Schema, settings: &Settings) -> Option<String> {
    let listed: Vec<String> = FREE_TEXT
        .into_iter()
        .filter_map(|column| {
            let lists = schema.form_lists(column);
            let options = lists.iter().filter_map(|list| schema.options.get(list)).map(Vec::len).sum::<usize>();
            let what = what_happens(settings, column, Kind::NotListed);
            (!lists.is_empty())
                .then(|| format!("`{column}` (list `{}`, {options} options; others: {what})", lists.join("`, `")))
        })
        .collect();
    let save = if schema.form_is_recent() {
        "a save of the form there empties what is no option"
    } else {
        "the form there marks what is no option"
    };
    (!listed.is_empty()).then(|| {
        format!(
            "OpenEMR's form offers lists for {}; {save}: add the options that your patients need under Administration > \
             Lists",
            listed.join(", ")
        )
    })
}

/// Missing options that a US Core export needs.
fn missing_categories(schema: &Schema) -> Option<String> {
    let missing: Vec<&str> = options::CATEGORIES
        .iter()
        .filter(|category| schema.offered(category.column, category.column, category.option) == Listed::Not)
        .filter(|category| schema.offered(category.column, category.column, category.code) == Listed::Not)
        .map(|category| category.option)
        .collect();
    (!missing.is_empty())
        .then(|| format!("OpenEMR's lists `race` and `ethnicity` lack the options: {}", missing.join(", ")))
}

fn what_happens(settings: &Settings, column: &str, kind: Kind) -> &'static str {
    match policy(settings, column, kind) {
        Unfit::Refuse => "the patient is refused",
        Unfit::LeaveEmpty => "left empty",
        Unfit::Write => "written all the same",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::form::{Field, Form};
    use crate::lists::tests::ids;
    use crate::schema::tests::{full, version};

    fn messages(fields: &[(&str, Field)]) -> Vec<String> {
        let mut schema = full();
        schema.version = Some(version(7, 0, 2));
        schema.options.insert("country".into(), ids(&["USA"]));
        schema.form = Some(Form(fields.iter().map(|(name, field)| ((*name).to_owned(), field.clone())).collect()));
        findings(&schema, &Settings::default()).into_iter().map(|finding| finding.message).collect()
    }

    fn limit(length_max: u64) -> Field {
        Field { length_max: Some(length_max), ..Field::default() }
    }

    #[test]
    fn limits_below_common_patient_values_are_reported() {
        let found = messages(&[("ss", limit(11)), ("pubpid", limit(15)), ("street", limit(63))]);
        assert_eq!(
            found,
            [
                "OpenEMR's form takes few characters in `ss` 11 (longer: left empty), `pubpid` 15 (longer: the patient is \
              refused); raise `Max length` under Administration > Forms > Layouts > Demographics"
            ]
        );
        assert_eq!(messages(&[("street", limit(63))]), ["OpenEMR's form takes what is commonly needed"]);
    }

    #[test]
    fn lists_are_reported_with_the_effect_of_a_save() {
        let country = Field { lists: vec!["country".into()], ..Field::default() };
        let found = messages(&[("country_code", country)]);
        assert!(
            found[0].starts_with(
                "OpenEMR's form offers lists for `country_code` (list `country`, 1 options; others: written all the \
                 same); a save"
            ),
            "{found:?}"
        );
    }

    #[test]
    fn a_required_field_that_patients_may_lack_is_reported() {
        let required = Field { required: true, ..Field::default() };
        let found = messages(&[("email", required.clone()), ("fname", required)]);
        assert!(found[0].contains("need not have: email;"), "{found:?}");
    }

    #[test]
    fn an_unreadable_form_is_reported() {
        assert!(findings(&full(), &Settings::default())[0].message.contains("layout_options"));
    }
}
