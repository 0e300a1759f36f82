//! The rules that the fields of a record share, and the list of what they found.
//!
//! Every rule notes its problem and goes on, so that one reading finds all of them. No message repeats a value:
//! patients' data must not reach a log.

use std::fmt;

use crate::Day;

/// The earliest date that is believed; older ones are typing errors.
const YEAR_MIN: u16 = 1850;

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field's name in the payload, for example `birth_date`.
    pub field: &'static str,
    /// A lower-case fragment that reads well after `field: `.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.field, self.message)
    }
}

/// Collects problems while a draft is checked field by field.
#[derive(Default)]
pub struct Rules {
    problems: Vec<Problem>,
}

impl Rules {
    /// Notes that `field` is wrong.
    pub fn note(&mut self, field: &'static str, message: impl Into<String>) {
        self.problems.push(Problem { field, message: message.into() });
    }

    /// What was found, in the order of the checks.
    #[must_use]
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// Whether nothing was found so far.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// A field that must be there: trimmed text of 1 to `characters_max` characters.
    pub fn required(&mut self, field: &'static str, value: Option<&String>, characters_max: usize) -> Option<String> {
        if value.is_none() {
            self.note(field, "is missing");
        }
        self.text(field, value, characters_max, "must not be empty")
    }

    /// A field that may be absent, but not empty: trimmed text of 1 to `characters_max` characters.
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

    /// A day `YYYY-MM-DD` that exists, is not before 1850 and not after `today`. `value` has passed `text` before.
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

    /// Loosely an address: one `@` with something on both sides, no blanks. The mail server knows better.
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

/// White space, and characters without width: a name made of these alone is blank to everyone who reads it.
fn is_invisible(character: char) -> bool {
    character.is_whitespace()
        || matches!(
            character,
            '\u{AD}' | '\u{115F}' | '\u{1160}' | '\u{200B}'
                ..='\u{200F}' | '\u{2060}' | '\u{3164}' | '\u{FEFF}' | '\u{FFA0}'
        )
}
