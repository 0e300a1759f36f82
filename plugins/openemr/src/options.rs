//! Codes into OpenEMR's option ids: what a list does not have is never stored under a made-up id.
//!
//! One rule for every coded field (marital status, language, race, ethnicity): the option's own spelling when the target's
//! list has it; the code as it is when the list is not known; otherwise what `unknown_option` says. Gender has a rule of its
//! own, because OpenEMR has a word for not knowing. Free-text fields that OpenEMR may show as lists (state, country) take the
//! list's spelling where there is one and are otherwise kept as they are.

use adapter_sdk::Failure;
use adapter_sdk::patient::{Gender, MaritalStatus};

use crate::failures::invalid;
use crate::languages;
use crate::schema::{Listed, Schema};
use crate::settings::UnknownOption;

/// The lists that this adapter compares with.
pub(crate) const LISTS: [&str; 7] = ["sex", "marital", "language", "race", "ethnicity", "country", "state"];

/// `sex`: OpenEMR's `UNK` stands for other and unknown; 5.x has none, there the field stays empty.
pub(crate) fn sex(schema: &Schema, gender: Gender) -> Result<Option<String>, Failure> {
    match gender {
        Gender::Male => required_sex(schema, "Male"),
        Gender::Female => required_sex(schema, "Female"),
        Gender::Other => Ok(match schema.listed("sex", "other") {
            Listed::As(option) => Some(option.to_owned()),
            Listed::Not | Listed::Unknown => unknown_sex(schema),
        }),
        Gender::Unknown => Ok(unknown_sex(schema)),
    }
}

fn required_sex(schema: &Schema, option: &str) -> Result<Option<String>, Failure> {
    match schema.listed("sex", option) {
        Listed::As(option) => Ok(Some(option.to_owned())),
        Listed::Unknown => Ok(Some(option.to_owned())),
        Listed::Not => Err(not_listed("gender", "sex")),
    }
}

fn unknown_sex(schema: &Schema) -> Option<String> {
    match schema.listed("sex", "UNK") {
        Listed::As(option) => Some(option.to_owned()),
        Listed::Unknown => schema.has_uuid().then(|| "UNK".to_owned()),
        Listed::Not => None,
    }
}

/// `status`, from the list `marital`.
pub(crate) fn marital(
    schema: &Schema,
    policy: UnknownOption,
    status: Option<MaritalStatus>,
) -> Result<Option<String>, Failure> {
    let option = status.map(|status| match status {
        MaritalStatus::Married => "married",
        MaritalStatus::Single => "single",
        MaritalStatus::Divorced => "divorced",
        MaritalStatus::Widowed => "widowed",
        MaritalStatus::Separated => "separated",
        MaritalStatus::DomesticPartner => "domestic partner",
    });
    coded(schema, policy, "marital_status", "marital", option)
}

/// `language`, from a BCP 47 tag or from an option id of the list itself.
pub(crate) fn language(schema: &Schema, policy: UnknownOption, tag: Option<&str>) -> Result<Option<String>, Failure> {
    let Some(tag) = tag else { return Ok(None) };
    if let Listed::As(option) = schema.listed("language", tag) {
        return Ok(Some(option.to_owned()));
    }
    match languages::option_id(tag) {
        Some(option) => coded(schema, policy, "language", "language", Some(option)),
        None => unlisted(policy, "language", "language"),
    }
}

/// A field whose code is an option id already, in any case: `asian` finds `Asian`.
pub(crate) fn coded(
    schema: &Schema,
    policy: UnknownOption,
    field: &str,
    list: &str,
    code: Option<&str>,
) -> Result<Option<String>, Failure> {
    let Some(code) = code else { return Ok(None) };
    match schema.listed(list, code) {
        Listed::As(option) => Ok(Some(option.to_owned())),
        Listed::Unknown => Ok(Some(code.to_owned())),
        Listed::Not => unlisted(policy, field, list),
    }
}

/// A free-text field: the list's spelling where it has the text as an option id, the text itself otherwise.
pub(crate) fn free_text(schema: &Schema, list: &str, text: Option<&str>) -> Option<String> {
    let text = text?;
    match schema.listed(list, text) {
        Listed::As(option) => Some(option.to_owned()),
        Listed::Not | Listed::Unknown => Some(text.to_owned()),
    }
}

/// `country_code`: OpenEMR's own list names the United States by three letters.
pub(crate) fn country(schema: &Schema, code: Option<&str>) -> Option<String> {
    let other_spelling = code.and_then(|code| match code {
        "US" => Some("USA"),
        "USA" => Some("US"),
        _ => None,
    });
    match (code, other_spelling) {
        (Some(code), Some(other)) if schema.listed("country", code) == Listed::Not => {
            match schema.listed("country", other) {
                Listed::As(option) => Some(option.to_owned()),
                Listed::Not | Listed::Unknown => Some(code.to_owned()),
            }
        }
        _ => free_text(schema, "country", code),
    }
}

fn unlisted(policy: UnknownOption, field: &str, list: &str) -> Result<Option<String>, Failure> {
    match policy {
        UnknownOption::Refuse => Err(not_listed(field, list)),
        UnknownOption::LeaveEmpty => Ok(None),
    }
}

fn not_listed(field: &str, list: &str) -> Failure {
    invalid(format!(
        "{field}: OpenEMR's list `{list}` has no such option; add it under Administration > Lists, or correct the patient"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::tests::full;

    fn with(list: &str, options: &[&str]) -> Schema {
        let mut schema = full();
        schema.options.insert(list.to_owned(), options.iter().map(|option| (*option).to_owned()).collect());
        schema
    }

    fn text(result: Result<Option<String>, Failure>) -> String {
        match result {
            Ok(value) => value.unwrap_or_default(),
            Err(failure) => format!("{:?}", failure.kind),
        }
    }

    #[test]
    fn sex_is_an_option_id_that_the_list_has() {
        let (modern, old) = (with("sex", &["Female", "Male", "UNK"]), with("sex", &["Female", "Male"]));
        let own = with("sex", &["female", "male", "UNK", "Other"]);
        let unknown = full();
        let mut unknown_old = full();
        unknown_old.patient.remove("uuid");
        for (schema, gender, expected) in [
            (&modern, Gender::Male, "Male"),
            (&modern, Gender::Female, "Female"),
            (&modern, Gender::Unknown, "UNK"),
            (&modern, Gender::Other, "UNK"),
            (&old, Gender::Unknown, ""),
            (&old, Gender::Other, ""),
            (&own, Gender::Male, "male"),
            (&own, Gender::Other, "Other"),
            (&unknown, Gender::Unknown, "UNK"),
            (&unknown_old, Gender::Unknown, ""),
            (&with("sex", &["M", "F"]), Gender::Male, "FailureKind::Invalid"),
        ] {
            assert_eq!(text(sex(schema, gender)), expected, "{gender:?}");
        }
    }

    #[test]
    fn a_code_that_the_list_lacks_follows_the_setting() {
        let schema = with("race", &["Asian"]);
        let race = |policy, code| text(coded(&schema, policy, "race", "race", code));
        assert_eq!(race(UnknownOption::Refuse, Some("asian")), "Asian");
        assert_eq!(race(UnknownOption::Refuse, Some("martian")), "FailureKind::Invalid");
        assert_eq!(race(UnknownOption::LeaveEmpty, Some("martian")), "");
        assert_eq!(race(UnknownOption::Refuse, None), "");
        assert_eq!(text(coded(&full(), UnknownOption::Refuse, "race", "race", Some("martian"))), "martian");
    }

    #[test]
    fn a_refusal_names_field_and_list_but_no_value() {
        let failure = coded(&with("race", &[]), UnknownOption::Refuse, "race", "race", Some("martian")).unwrap_err();
        assert!(failure.message.starts_with("race: OpenEMR's list `race` has no such option"));
        assert!(!failure.message.contains("martian"));
    }

    #[test]
    fn language_is_a_tag_or_an_option_id() {
        let schema = with("language", &["English", "korean", "klingon"]);
        let language = |tag| text(language(&schema, UnknownOption::Refuse, Some(tag)));
        assert_eq!(language("ko-KR"), "korean");
        assert_eq!(language("en"), "English");
        assert_eq!(language("Klingon"), "klingon");
        assert_eq!(language("fr"), "FailureKind::Invalid");
        assert_eq!(language("x-none"), "FailureKind::Invalid");
    }

    #[test]
    fn marital_status_is_openemrs_word() {
        let schema = with("marital", &["married", "domestic partner"]);
        let marital = |status| text(marital(&schema, UnknownOption::LeaveEmpty, Some(status)));
        assert_eq!(marital(MaritalStatus::Married), "married");
        assert_eq!(marital(MaritalStatus::DomesticPartner), "domestic partner");
        assert_eq!(marital(MaritalStatus::Widowed), "");
    }

    #[test]
    fn country_and_state_keep_what_the_list_lacks() {
        let schema = with("country", &["USA"]);
        for (code, expected) in [("US", "USA"), ("USA", "USA"), ("usa", "USA"), ("KR", "KR")] {
            assert_eq!(country(&schema, Some(code)).as_deref(), Some(expected));
        }
        assert_eq!(country(&full(), Some("US")).as_deref(), Some("US"));
        assert_eq!(free_text(&with("state", &["CA"]), "state", Some("ca")).as_deref(), Some("CA"));
        assert_eq!(free_text(&with("state", &["CA"]), "state", Some("Seoul")).as_deref(), Some("Seoul"));
        assert_eq!(free_text(&full(), "state", None), None);
    }
}
