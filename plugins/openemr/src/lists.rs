//! OpenEMR's lists (`list_options`): their options, and the option that a text or a code means.
//!
//! `patient_data` holds option ids, never titles. An option that the list does not have is never made up.

use serde::{Deserialize, Serialize};

/// One option of a list.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct ListOption {
    /// The id, as in `patient_data`.
    pub(crate) id: String,
    /// The text for display.
    pub(crate) title: String,
    /// Codes of code systems (`2028-9`), without the system's name.
    pub(crate) codes: Vec<String>,
}

impl ListOption {
    /// Builds an option from a row of `list_options`. `codes` is for example `CDCREC:2028-9;SNOMED:1`; older versions
    /// have only the code, in `notes`.
    pub(crate) fn new(id: &str, title: &str, codes: &[&str]) -> Self {
        let codes = codes.iter().flat_map(|text| text.split(';')).map(|code| {
            let code = code.trim();
            code.rsplit_once(':').map_or(code, |(_, code)| code)
        });
        Self {
            id: id.to_owned(),
            title: title.to_owned(),
            codes: codes.filter(|code| is_code(code)).map(str::to_owned).collect(),
        }
    }
}

/// Whether a text looks like a code: notes may be any text.
fn is_code(text: &str) -> bool {
    (2..=32).contains(&text.len())
        && text.contains(|character: char| character.is_ascii_digit())
        && text.chars().all(|character| character.is_ascii_alphanumeric() || "-.".contains(character))
}

/// The id of the option that a text means: by its exact id, by id or title in any case, or by a code.
pub(crate) fn find<'a>(options: &'a [ListOption], text: &str) -> Option<&'a str> {
    let exact = options.iter().find(|option| option.id == text);
    let by_id = || options.iter().find(|option| option.id.eq_ignore_ascii_case(text));
    let by_title = || options.iter().find(|option| same_words(&option.title, text));
    let by_code = || options.iter().find(|option| option.codes.iter().any(|code| code == text));
    exact.or_else(by_id).or_else(by_title).or_else(by_code).map(|option| option.id.as_str())
}

fn same_words(one: &str, other: &str) -> bool {
    !one.is_empty() && one.to_lowercase() == other.to_lowercase()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Options with these ids as titles, without codes.
    pub(crate) fn ids(ids: &[&str]) -> Vec<ListOption> {
        ids.iter().map(|id| ListOption::new(id, id, &[])).collect()
    }

    #[test]
    fn an_option_is_found_by_id_title_or_code() {
        let races = [
            ListOption::new("Asian", "Asian", &["CDCREC:2028-9", ""]),
            ListOption::new("black_or_afri_amer", "Black or African American", &["", "2054-5"]),
            ListOption::new("white", "White", &["shown first", ""]),
        ];
        for (text, expected) in [
            ("Asian", Some("Asian")),
            ("asian", Some("Asian")),
            ("2028-9", Some("Asian")),
            ("black or african american", Some("black_or_afri_amer")),
            ("BLACK_OR_AFRI_AMER", Some("black_or_afri_amer")),
            ("2054-5", Some("black_or_afri_amer")),
            ("2106-3", None),
            ("shown first", None),
            ("", None),
        ] {
            assert_eq!(find(&races, text), expected, "{text}");
        }
    }

    #[test]
    fn an_exact_id_takes_precedence_over_a_title() {
        let options = [ListOption::new("a", "b", &[]), ListOption::new("b", "c", &[])];
        assert_eq!(find(&options, "b"), Some("b"));
        assert_eq!(find(&options, "c"), Some("b"));
    }
}
