//! Maps fields to options of OpenEMR's lists. It never writes an id that a list lacks as if it were an option.
//!
//! Each field gives two values: what would be written, and what OpenEMR's form offers of it (the same, less, or
//! nothing). What becomes of the difference is decided in `mapping.rs`. A list that is not known offers everything.
//! Gender has a rule of its own, because OpenEMR has a word for not knowing.

use adapter_sdk::Failure;
use adapter_sdk::patient::{Gender, MaritalStatus, omb};

use crate::columns;
use crate::failures::invalid;
use crate::languages;
use crate::schema::{Listed, Schema};

/// The lists that this adapter compares with, where the form names no others.
pub(crate) const LISTS: [&str; 7] = ["sex", "marital", "language", "race", "ethnicity", "country", "state"];

/// The columns whose values are codes, and their lists.
pub(crate) const CODED: [(&str, &str); 4] =
    [("status", "marital"), ("language", "language"), ("race", "race"), ("ethnicity", "ethnicity")];

/// A field's value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// What would be written.
    pub(crate) value: Option<String>,
    /// What of it OpenEMR's form offers.
    pub(crate) offered: Option<String>,
}

impl Chosen {
    /// A value that no list restricts.
    pub(crate) fn free(value: Option<String>) -> Self {
        Self { offered: value.clone(), value }
    }

    fn from_list(listed: &Listed<'_>, text: &str) -> Self {
        match listed {
            Listed::As(option) => Self::free(Some((*option).to_owned())),
            Listed::Unknown => Self::free(Some(text.to_owned())),
            Listed::Not => Self { value: Some(text.to_owned()), offered: None },
        }
    }
}

/// `sex`: OpenEMR's `UNK` stands for other and unknown; 5.x has none, there the field stays empty.
pub(crate) fn sex(schema: &Schema, gender: Gender) -> Result<Option<String>, Failure> {
    match gender {
        Gender::Male => required_sex(schema, "Male"),
        Gender::Female => required_sex(schema, "Female"),
        Gender::Other => Ok(match schema.offered("sex", "sex", "other") {
            Listed::As(option) => Some(option.to_owned()),
            Listed::Not | Listed::Unknown => unknown_sex(schema),
        }),
        Gender::Unknown => Ok(unknown_sex(schema)),
    }
}

fn required_sex(schema: &Schema, option: &str) -> Result<Option<String>, Failure> {
    match schema.offered("sex", "sex", option) {
        Listed::As(option) => Ok(Some(option.to_owned())),
        Listed::Unknown => Ok(Some(option.to_owned())),
        Listed::Not => Err(invalid(not_listed(schema, "sex", "sex"))),
    }
}

fn unknown_sex(schema: &Schema) -> Option<String> {
    match schema.offered("sex", "sex", "UNK") {
        Listed::As(option) => Some(option.to_owned()),
        Listed::Unknown => schema.has_uuid().then(|| "UNK".to_owned()),
        Listed::Not => None,
    }
}

/// `status`, from the list `marital`.
pub(crate) fn marital(schema: &Schema, status: Option<MaritalStatus>) -> Chosen {
    let Some(status) = status else { return Chosen::default() };
    let option = match status {
        MaritalStatus::Married => "married",
        MaritalStatus::Single => "single",
        MaritalStatus::Divorced => "divorced",
        MaritalStatus::Widowed => "widowed",
        MaritalStatus::Separated => "separated",
        MaritalStatus::DomesticPartner => "domestic partner",
    };
    Chosen::from_list(&schema.offered("status", "marital", option), option)
}

/// `language`, from a BCP 47 tag or from an option of the list itself.
pub(crate) fn language(schema: &Schema, tag: Option<&str>) -> Chosen {
    let Some(tag) = tag else { return Chosen::default() };
    if let Listed::As(option) = schema.offered("language", "language", tag) {
        return Chosen::free(Some(option.to_owned()));
    }
    match languages::option_id(tag) {
        Some(option) => Chosen::from_list(&schema.offered("language", "language", option), option),
        None => Chosen { value: Some(tag.to_owned()), offered: None },
    }
}

/// `race` or `ethnicity` (the column and its list have one name): option ids, titles, or codes of the OMB's categories,
/// several joined by `|`.
pub(crate) fn categories(schema: &Schema, column: &str, text: Option<&str>) -> Chosen {
    let parts = text.unwrap_or_default().split('|').map(str::trim).filter(|part| !part.is_empty());
    let chosen: Vec<Chosen> = parts.map(|part| category(schema, column, part)).collect();
    let join = |of: fn(&Chosen) -> Option<&str>| columns::options(chosen.iter().filter_map(of));
    Chosen { value: join(|one| one.value.as_deref()), offered: join(|one| one.offered.as_deref()) }
}

fn category(schema: &Schema, column: &str, part: &str) -> Chosen {
    let listed = schema.offered(column, column, part);
    match (&listed, omb_option(column, part)) {
        (Listed::Not | Listed::Unknown, Some(option)) => {
            Chosen::from_list(&schema.offered(column, column, option), option)
        }
        _ => Chosen::from_list(&listed, part),
    }
}

/// A category of the US Office of Management and Budget.
pub(crate) struct Category {
    /// The column, and the list of that name.
    pub(crate) column: &'static str,
    pub(crate) code: &'static str,
    /// The option id that OpenEMR installs for it.
    pub(crate) option: &'static str,
}

const fn category_of(column: &'static str, code: &'static str, option: &'static str) -> Category {
    Category { column, code, option }
}

/// The categories that US Core has and OpenEMR installs.
pub(crate) const CATEGORIES: [Category; 9] = [
    category_of("race", "1002-5", "amer_ind_or_alaska_native"),
    category_of("race", "2028-9", "Asian"),
    category_of("race", "2054-5", "black_or_afri_amer"),
    category_of("race", "2076-8", "native_hawai_or_pac_island"),
    category_of("race", "2106-3", "white"),
    category_of("race", "ASKU", "decline_to_specify"),
    category_of("ethnicity", "2135-2", "hisp_or_latin"),
    category_of("ethnicity", "2186-5", "not_hisp_or_latin"),
    category_of("ethnicity", "ASKU", "decline_to_specify"),
];

/// The option id of a category, by any of its names or by its code, with or without the code's system: lists of older
/// versions hold neither.
fn omb_option(column: &str, part: &str) -> Option<&'static str> {
    let code = part.rsplit(':').next().unwrap_or(part);
    let known = match column {
        "race" => omb::race(code).next(),
        _ => omb::ethnicity(code).next(),
    };
    let Some(omb::Part::Known(known)) = known else { return None };
    CATEGORIES.iter().find(|category| category.column == column && category.code == known.code).map(|it| it.option)
}

/// A field of free text, which OpenEMR's form may offer as a list: the list's spelling where it has the text.
pub(crate) fn free_text(schema: &Schema, column: &str, list: Option<&str>, text: Option<&str>) -> Chosen {
    let Some(text) = text else { return Chosen::default() };
    if !schema.form_lists(column).is_empty() {
        return Chosen::from_list(&schema.offered(column, list.unwrap_or_default(), text), text);
    }
    match list.map(|list| schema.listed(list, text)) {
        Some(Listed::As(option)) => Chosen::free(Some(option.to_owned())),
        _ => Chosen::free(Some(text.to_owned())),
    }
}

/// `country_code`: OpenEMR's own list names the United States by three letters.
pub(crate) fn country(schema: &Schema, code: Option<&str>) -> Chosen {
    let other_spelling = match code {
        Some("US") => Some("USA"),
        Some("USA") => Some("US"),
        _ => None,
    };
    let is_listed = |code: &str| matches!(schema.offered("country_code", "country", code), Listed::As(_));
    match (code, other_spelling) {
        (Some(code), Some(other)) if !is_listed(code) && is_listed(other) => {
            free_text(schema, "country_code", Some("country"), Some(other))
        }
        _ => free_text(schema, "country_code", Some("country"), code),
    }
}

/// Says that the lists of a column lack a value, without the value.
pub(crate) fn not_listed(schema: &Schema, column: &str, list: &str) -> String {
    let lists = schema.form_lists(column);
    let names = if lists.is_empty() { list.to_owned() } else { lists.join("`, `") };
    format!(
        "`{column}`: OpenEMR's list `{names}` has no such option: add it under Administration > Lists, or correct the patient"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::form::{Field, Form};
    use crate::lists::ListOption;
    use crate::lists::tests::ids;
    use crate::schema::tests::full;

    fn with(list: &str, options: &[&str]) -> Schema {
        let mut schema = full();
        schema.options.insert(list.to_owned(), ids(options));
        schema
    }

    /// A form that offers this list for this column.
    fn offering(mut schema: Schema, column: &str, list: &str) -> Schema {
        let field = Field { lists: vec![list.to_owned()], ..Field::default() };
        schema.form = Some(Form([(column.to_owned(), field)].into()));
        schema
    }

    /// `VALUE` when the form offers it, `VALUE!` when it does not.
    fn shown(chosen: &Chosen) -> String {
        let value = chosen.value.clone().unwrap_or_default();
        if chosen.value == chosen.offered {
            value
        } else {
            format!("{value}!{}", chosen.offered.as_deref().unwrap_or_default())
        }
    }

    #[test]
    fn sex_is_mapped_to_an_option_of_the_list() {
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
        ] {
            assert_eq!(sex(schema, gender).unwrap().unwrap_or_default(), expected, "{gender:?}");
        }
        let refused = sex(&with("sex", &["M", "F"]), Gender::Male).unwrap_err();
        assert!(refused.message.starts_with("`sex`: OpenEMR's list `sex` has no such option"));
    }

    #[test]
    fn race_and_ethnicity_match_by_option_title_and_omb_code() {
        let mut schema = with("ethnicity", &["hisp_or_latin", "not_hisp_or_latin"]);
        let races = [
            ("Asian", "Asian", ""),
            ("black_or_afri_amer", "Black or African American", ""),
            ("white", "White", "2106-3"),
            ("korean", "Korean", "2040-4"),
        ];
        let races = races.map(|(id, title, code)| ListOption::new(id, title, &[code])).to_vec();
        schema.options.insert("race".into(), races);
        for (column, text, expected) in [
            ("race", "asian", "Asian"),
            ("race", "2028-9", "Asian"),
            ("race", "Black or African American", "black_or_afri_amer"),
            ("race", "2054-5", "black_or_afri_amer"),
            ("race", "2106-3", "white"),
            ("race", "2040-4", "korean"),
            ("race", "urn:oid:2.16.840.1.113883.6.238:2028-9", "Asian"),
            ("race", "caucasian", "white"),
            ("race", "white|2028-9|Asian", "Asian|white"),
            ("race", "white|martian", "martian|white!white"),
            ("race", "martian", "martian!"),
            ("race", "2076-8", "native_hawai_or_pac_island!"),
            ("ethnicity", "Not Hispanic or Latino", "not_hisp_or_latin"),
            ("ethnicity", "2135-2", "hisp_or_latin"),
            ("ethnicity", "2028-9", "2028-9!"),
            ("ethnicity", " | ", ""),
        ] {
            assert_eq!(shown(&categories(&schema, column, Some(text))), expected, "{column} {text}");
        }
        assert_eq!(shown(&categories(&full(), "race", Some("2028-9"))), "Asian", "a list that is not known");
        assert_eq!(shown(&categories(&full(), "race", Some("martian"))), "martian");
    }

    #[test]
    fn a_refusal_names_column_and_list_but_no_value() {
        let message = not_listed(&offering(full(), "race", "our_races"), "race", "race");
        assert!(message.starts_with("`race`: OpenEMR's list `our_races` has no such option"), "{message}");
    }

    #[test]
    fn language_is_a_tag_or_an_option() {
        let schema = with("language", &["English", "korean", "klingon"]);
        for (tag, expected) in
            [("ko-KR", "korean"), ("en", "English"), ("Klingon", "klingon"), ("fr", "french!"), ("x-none", "x-none!")]
        {
            assert_eq!(shown(&language(&schema, Some(tag))), expected, "{tag}");
        }
    }

    #[test]
    fn marital_status_is_mapped_to_openemrs_option() {
        let schema = with("marital", &["married", "domestic partner"]);
        for (status, expected) in [
            (MaritalStatus::Married, "married"),
            (MaritalStatus::DomesticPartner, "domestic partner"),
            (MaritalStatus::Widowed, "widowed!"),
        ] {
            assert_eq!(shown(&marital(&schema, Some(status))), expected);
        }
    }

    #[test]
    fn country_and_state_use_the_forms_list_if_there_is_one() {
        let free = with("country", &["USA"]);
        let listed = offering(free.clone(), "country_code", "country");
        for (code, by_form, without_form) in
            [("US", "USA", "USA"), ("USA", "USA", "USA"), ("usa", "USA", "USA"), ("KR", "KR!", "KR")]
        {
            assert_eq!(shown(&country(&listed, Some(code))), by_form);
            assert_eq!(shown(&country(&free, Some(code))), without_form);
        }
        assert_eq!(shown(&country(&full(), Some("US"))), "US");
        let state = |schema: &Schema, text| shown(&free_text(schema, "state", Some("state"), Some(text)));
        assert_eq!(state(&with("state", &["CA"]), "ca"), "CA");
        assert_eq!(state(&with("state", &["CA"]), "Seoul"), "Seoul");
        assert_eq!(state(&offering(with("state", &["CA"]), "state", "state"), "Seoul"), "Seoul!");
        assert_eq!(shown(&free_text(&full(), "title", None, Some("Dr."))), "Dr.");
        let titles = offering(with("titles", &["Mr.", "Ms."]), "title", "titles");
        assert_eq!(shown(&free_text(&titles, "title", None, Some("Dr."))), "Dr.!");
        assert_eq!(free_text(&full(), "state", Some("state"), None), Chosen::default());
    }
}
