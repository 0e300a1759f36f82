//! The rules that the fields of patients and users share, and the list of what they found.
//!
//! Every rule notes its problem and goes on, so that one reading finds all of them. No message repeats a value.

use jiff::civil::Date;

use super::Problem;

/// The earliest date that is believed; older ones are typing errors.
const YEAR_MIN: i16 = 1850;

/// Collects problems while a draft is checked field by field.
#[derive(Default)]
pub(super) struct Rules {
    problems: Vec<Problem>,
}

impl Rules {
    /// Notes that `field` is wrong.
    pub(super) fn note(&mut self, field: &'static str, message: impl Into<String>) {
        self.problems.push(Problem { field, message: message.into() });
    }

    /// What was found, in the order of the checks.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// Whether nothing was found so far.
    pub(super) fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// A field that must be there: trimmed text of 1 to `characters_max` characters.
    pub(super) fn required(
        &mut self,
        field: &'static str,
        value: Option<&String>,
        characters_max: usize,
    ) -> Option<String> {
        if value.is_none() {
            self.note(field, "is missing");
        }
        self.text(field, value, characters_max, "must not be empty")
    }

    /// A field that may be absent, but not empty: trimmed text of 1 to `characters_max` characters.
    pub(super) fn optional(
        &mut self,
        field: &'static str,
        value: Option<&String>,
        characters_max: usize,
    ) -> Option<String> {
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
        if text.is_empty() {
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

    /// A date `YYYY-MM-DD` that exists, is not before 1850 and not after `today`. `value` has passed `text` before.
    pub(super) fn date(&mut self, field: &'static str, value: Option<String>, today: Date) -> Option<Date> {
        let Some(date) = calendar_date(&value?) else {
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
    pub(super) fn email(&mut self, field: &'static str, value: Option<String>) -> Option<String> {
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

/// Reads exactly `YYYY-MM-DD`; `None` for any other form and for days that do not exist.
pub(super) fn calendar_date(text: &str) -> Option<Date> {
    let digits =
        |range: std::ops::Range<usize>| text.get(range).filter(|part| part.bytes().all(|b| b.is_ascii_digit()));
    if text.len() != 10 || text.get(4..5)? != "-" || text.get(7..8)? != "-" {
        return None;
    }
    let year = digits(0..4)?.parse().ok()?;
    let month = digits(5..7)?.parse().ok()?;
    let day = digits(8..10)?.parse().ok()?;
    Date::new(year, month, day).ok()
}
