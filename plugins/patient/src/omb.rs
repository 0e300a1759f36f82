//! Race and ethnicity: the categories of the US Office of Management and Budget (OMB), which FHIR's US Core and OpenEMR
//! share.
//!
//! The payload's `race` and `ethnicity` hold one part, or several joined by `|`. A part may name a category by our
//! word, its code or one of its texts, in any case. A category means the same at every target: a FHIR server gets its
//! code as `ombCategory`, OpenEMR its option. Any other part is free text that is agreed with the target.

/// The code system of the OMB's own categories, as US Core names it.
const CDC_RACE_AND_ETHNICITY: &str = "urn:oid:2.16.840.1.113883.6.238";
/// The code system of HL7's reasons for an absent value.
const NULL_FLAVOR: &str = "http://terminology.hl7.org/CodeSystem/v3-NullFlavor";

/// A category of race or ethnicity.
#[derive(Debug, PartialEq, Eq)]
pub struct Category {
    /// The FHIR code system of `code`.
    pub system: &'static str,
    /// The code, for example `2028-9`.
    pub code: &'static str,
    /// Our word in a payload: OpenEMR's option id in lower case, for example `asian`.
    pub word: &'static str,
    /// The category's name in FHIR, for example `Asian`.
    pub text: &'static str,
    /// Other spellings in exports, in lower case.
    others: &'static [&'static str],
}

impl Category {
    /// Whether it is a reason for an absent category.
    #[must_use]
    pub fn is_null_flavor(&self) -> bool {
        self.system == NULL_FLAVOR
    }

    fn is_named(&self, part: &str) -> bool {
        [self.code, self.word, self.text].iter().chain(self.others).any(|name| name.eq_ignore_ascii_case(part))
    }
}

/// One part of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// A known category.
    Known(&'static Category),
    /// Free text that is agreed with the target.
    Text(&'a str),
}

const DECLINED: Category = Category {
    system: NULL_FLAVOR,
    code: "ASKU",
    word: "decline_to_specify",
    text: "Asked but unknown",
    others: &["asked but no answer", "declined to specify", "declined", "refused"],
};

const fn omb(code: &'static str, word: &'static str, text: &'static str, others: &'static [&'static str]) -> Category {
    Category { system: CDC_RACE_AND_ETHNICITY, code, word, text, others }
}

static RACES: [Category; 6] = [
    omb(
        "1002-5",
        "amer_ind_or_alaska_native",
        "American Indian or Alaska Native",
        &["american indian", "alaska native"],
    ),
    omb("2028-9", "asian", "Asian", &[]),
    omb("2054-5", "black_or_afri_amer", "Black or African American", &["black", "african american"]),
    omb(
        "2076-8",
        "native_hawai_or_pac_island",
        "Native Hawaiian or Other Pacific Islander",
        &["native hawaiian or pacific islander", "native hawaiian", "pacific islander"],
    ),
    omb("2106-3", "white", "White", &["caucasian"]),
    DECLINED,
];

static ETHNICITIES: [Category; 3] = [
    omb("2135-2", "hisp_or_latin", "Hispanic or Latino", &["hispanic", "latino"]),
    omb(
        "2186-5",
        "not_hisp_or_latin",
        "Not Hispanic or Latino",
        &["non hispanic or latino", "non-hispanic or latino", "not hispanic", "non-hispanic", "nonhispanic"],
    ),
    DECLINED,
];

/// The parts of a payload's `race`.
pub fn race(value: &str) -> impl Iterator<Item = Part<'_>> {
    parts(value, &RACES)
}

/// The parts of a payload's `ethnicity`.
pub fn ethnicity(value: &str) -> impl Iterator<Item = Part<'_>> {
    parts(value, &ETHNICITIES)
}

fn parts<'a>(value: &'a str, categories: &'static [Category]) -> impl Iterator<Item = Part<'a>> {
    value
        .split('|')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| categories.iter().find(|category| category.is_named(part)).map_or(Part::Text(part), Part::Known))
}

impl Part<'_> {
    /// The text for a payload: the category's word, else the text unchanged.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Self::Known(category) => category.word,
            Self::Text(text) => text,
        }
    }

    /// The text for display: the category's name, else the text unchanged.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Known(category) => category.text,
            Self::Text(text) => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(parts: impl Iterator<Item = Part<'static>>) -> Vec<String> {
        parts.map(|part| part.word().to_owned()).collect()
    }

    #[test]
    fn every_spelling_of_a_category_is_recognised() {
        for (written, word) in [
            ("2028-9", "asian"),
            ("Asian", "asian"),
            ("asian", "asian"),
            ("BLACK OR AFRICAN AMERICAN", "black_or_afri_amer"),
            ("black_or_afri_amer", "black_or_afri_amer"),
            ("1002-5", "amer_ind_or_alaska_native"),
            ("Native Hawaiian or Other Pacific Islander", "native_hawai_or_pac_island"),
            ("White", "white"),
            ("ASKU", "decline_to_specify"),
        ] {
            assert_eq!(words(race(written)), [word], "{written}");
        }
        for (written, word) in [
            ("Not Hispanic or Latino", "not_hisp_or_latin"),
            ("Non Hispanic or Latino", "not_hisp_or_latin"),
            ("2186-5", "not_hisp_or_latin"),
            ("Hispanic or Latino", "hisp_or_latin"),
            ("hisp_or_latin", "hisp_or_latin"),
            ("2135-2", "hisp_or_latin"),
        ] {
            assert_eq!(words(ethnicity(written)), [word], "{written}");
        }
    }

    #[test]
    fn several_parts_are_split_and_unknown_ones_stay_text() {
        assert_eq!(words(race("|Asian| 2106-3 |korean|")), ["asian", "white", "korean"]);
        assert_eq!(race("korean").next(), Some(Part::Text("korean")));
        assert_eq!(race(" | ").next(), None);
        // Codes of ethnicity are not codes of race.
        assert_eq!(race("2135-2").next(), Some(Part::Text("2135-2")));
    }

    #[test]
    fn every_name_belongs_to_one_category() {
        for categories in [&RACES[..], &ETHNICITIES[..]] {
            for category in categories {
                for name in [category.code, category.word, category.text].iter().chain(category.others) {
                    assert_eq!(categories.iter().filter(|other| other.is_named(name)).count(), 1, "{name}");
                }
            }
        }
    }
}
