//! "Did you mean": finds the known word nearest to a misspelt one.

use crate::domain::words::{one_line, one_of};

/// The most characters that are compared. A longer word is not a typing error.
const COMPARED_CHARS_MAX: usize = 64;

/// The nearest of `known`, if it differs by a few typing errors or begins with the word.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let begins = known.clone().into_iter().find(|candidate| word.len() >= 4 && candidate.starts_with(word));
    let edits_max = (word.chars().count() / 3).clamp(1, 3);
    let start: String = word.chars().take(COMPARED_CHARS_MAX).collect();
    known
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&start, candidate), candidate))
        .filter(|(edits, _)| *edits <= edits_max)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
        .or(begins)
}

/// "no KIND `name`", a suggestion, and the known names.
#[must_use]
pub fn unknown<'a>(kind: &str, name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    let hint = nearest(name, known.clone()).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    let all: Vec<_> = known.into_iter().map(|name| format!("`{name}`")).collect();
    let all = if all.is_empty() { "none".to_owned() } else { all.join(", ") };
    format!("no {kind} `{}`{hint} (known: {all})", one_line(name, super::words::NAME_CHARS_MAX))
}

/// "expected ...", with a suggestion, for a word that is none of the known ones.
#[must_use]
pub fn expected(word: &str, known: &[&str]) -> String {
    let near = nearest(&word.trim().to_lowercase(), known.iter().copied());
    let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    format!("expected {}{hint}", one_of(known))
}

#[cfg(test)]
mod tests {
    use super::{expected, nearest, unknown};

    #[test]
    fn misspelt_names_are_matched_and_unrelated_ones_are_not() {
        let known = ["adapter", "enabled", "id_column", "http", "url"];
        for (word, expected) in [
            ("adaptor", Some("adapter")),
            ("enalbed", Some("enabled")),
            ("idcolumn", Some("id_column")),
            ("htpp", Some("http")),
            ("ulr", Some("url")),
            ("enab", Some("enabled")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_a_suggestion_and_the_known_names() {
        assert_eq!(
            unknown("target", "openem", ["fhir", "openemr"]),
            "no target `openem`; did you mean `openemr`? (known: `fhir`, `openemr`)"
        );
        assert_eq!(unknown("target", "a\nb", []), "no target `a b` (known: none)");
        assert_eq!(nearest(&"x".repeat(100_000), ["x"]), None);
    }

    #[test]
    fn a_wrong_word_is_answered_with_the_expected_ones_and_a_suggestion() {
        let known = ["pending", "failed", "done"];
        assert_eq!(expected("Faild", &known), "expected pending, failed or done; did you mean `failed`?");
        assert_eq!(expected("open", &known), "expected pending, failed or done");
    }
}
