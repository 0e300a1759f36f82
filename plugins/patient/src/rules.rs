//! The rules that fields of a record share, and the list of problems.
//!
//! A rule records its problem and continues, so that one pass finds all problems. No message repeats a value: patients'
//! data must not reach a log.

use std::fmt;

use crate::Day;

/// The earliest accepted year; older dates are typing errors.
const YEAR_MIN: u16 = 1850;

/// A problem of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field's name in the payload, for example `birth_date`.
    pub field: &'static str,
    /// A lower-case fragment that follows `field: `.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.field, self.message)
    }
}

/// Collects problems while the fields of a draft are checked.
#[derive(Default)]
pub struct Rules {
    problems: Vec<Problem>,
}

impl Rules {
    /// Records a problem of `field`.
    pub fn note(&mut self, field: &'static str, message: impl Into<String>) {
        self.problems.push(Problem { field, message: message.into() });
    }

    /// The problems found, in the order of the checks.
    #[must_use]
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// Whether no problem was found so far.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// Checks a required field: trimmed text of 1 to `characters_max` characters.
    pub fn required(&mut self, field: &'static str, value: Option<&String>, characters_max: usize) -> Option<String> {
        if value.is_none() {
            self.note(field, "is missing");
        }
        self.text(field, value, characters_max, "must not be empty")
    }

    /// Checks an optional field, which must not be empty if present: trimmed text of 1 to `characters_max` characters.
    pub fn optional(&mut self, field: &'static str, value: Option<&String>, characters_max: usize) -> Option<String> {
        self.text(field, value, characters_max, "must not be empty; leave the field out instead")
    }

    fn text(
        &mut self,
        field: &'static str,
        value: Option<&String>,
        characters_max: usize,
        empty: &str,
    ) -> Option<String> {
        let text = value?.trim();
        let problems_before = self.problems.len();
        if text.chars().all(is_invisible) {
            self.note(field, empty);
        }
        let characters = text.chars().count();
        if characters > characters_max {
            self.note(field, format!("is too long: {characters} characters, at most {characters_max}"));
        }
        if text.contains('\0') {
            self.note(field, "must not contain a NUL character");
        } else if text.chars().any(char::is_control) {
            self.note(field, "must not contain control characters such as a line break or a tab");
        }
        (self.problems.len() == problems_before).then(|| text.to_owned())
    }

    /// Checks a day `YYYY-MM-DD`: it exists, is not before 1850 and not after `today`. `value` has passed `text`
    /// before.
    pub fn date(&mut self, field: &'static str, value: Option<String>, today: Day) -> Option<Day> {
        let Some(date) = Day::read(&value?) else {
            self.note(field, "is not a date of the calendar (YYYY-MM-DD)");
            return None;
        };
        if date > today {
            self.note(field, "is in the future");
            None
        } else if date.year() < YEAR_MIN {
            self.note(field, format!("is before the year {YEAR_MIN}"));
            None
        } else {
            Some(date)
        }
    }

    /// Checks an email address loosely: one `@` with text on both sides, no blanks. The mail server checks the rest.
    pub fn email(&mut self, field: &'static str, value: Option<String>) -> Option<String> {
        let text = value?;
        let shaped = text.split_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && !domain.is_empty() && !domain.contains('@') && !text.contains(char::is_whitespace)
        });
        if !shaped {
            self.note(field, "is not an e-mail address (name@domain)");
        }
        shaped.then_some(text)
    }
}

/// Whether a character is white space or has no width: a name of such characters alone looks blank.
fn is_invisible(character: char) -> bool {
    character.is_whitespace()
        || matches!(
            character,
            '\u{AD}' | '\u{115F}' | '\u{1160}' | '\u{200B}'
                ..='\u{200F}' | '\u{2060}' | '\u{3164}' | '\u{FEFF}' | '\u{FFA0}'
        )
}
