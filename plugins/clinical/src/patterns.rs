//! The patterns and formats of the schemas, each as an equivalent function with a message.
//!
//! A schema may use no others, because an adapter contains no engine for regular expressions. `validator_tests.rs`
//! compares the functions with an independent validator.

use crate::time;

/// A pattern or a format, as a function.
pub(crate) struct Form {
    /// The keyword's value in a schema.
    pub(crate) text: &'static str,
    /// Whether a text matches.
    pub(crate) accepts: fn(&str) -> bool,
    /// The message for a text that does not match: a lower-case fragment.
    pub(crate) message: &'static str,
}

macro_rules! day {
    () => {
        "[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    };
}

macro_rules! time_of_day {
    () => {
        r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?(Z|[+-](0[0-9]|1[0-3]):[0-5][0-9]|[+-]14:00)"
    };
}

const NOT_A_DAY: &str = "is not a date of the calendar (YYYY-MM-DD)";
const NOT_AN_INSTANT: &str = "is not a moment with its offset from UTC (YYYY-MM-DDThh:mm:ss+hh:mm or Z)";

/// Every value of `format`. Each is less strict than the pattern next to it, except for the days of a month.
pub(crate) const FORMATS: [Form; 2] = [
    Form { text: "date", accepts: time::is_day, message: NOT_A_DAY },
    Form { text: "date-time", accepts: time::is_instant, message: NOT_AN_INSTANT },
];

/// Every value of `pattern`.
pub(crate) const PATTERNS: [Form; 8] = [
    Form {
        text: r"^[^\u0000-\u001F\u007F-\u009F]*[^\u0000-\u0020\u007F-\u009F][^\u0000-\u001F\u007F-\u009F]*$",
        accepts: is_line,
        message: "must be text that is not blank, without control characters such as a line break or a tab",
    },
    Form {
        text: concat!(
            r"^[^\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]*[^\u0000-\u0020\u007F-\u009F]",
            r"[^\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]*$",
        ),
        accepts: is_note,
        message: "must be text that is not blank, without control characters other than line breaks and tabs",
    },
    Form {
        text: r"^[A-Za-z][A-Za-z0-9+.-]*:[^\u0000-\u0020\u007F-\u009F]+$",
        accepts: is_absolute_uri,
        message: "is not an absolute URI, such as http://loinc.org",
    },
    Form { text: concat!("^", day!(), "$"), accepts: time::is_day_shaped, message: NOT_A_DAY },
    Form {
        text: "^[12][0-9]{3}(-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01]))?)?$",
        accepts: time::is_partial_day_shaped,
        message: "is not a day, a month or a year (YYYY-MM-DD, YYYY-MM or YYYY)",
    },
    Form { text: concat!("^", day!(), time_of_day!(), "$"), accepts: time::is_instant_shaped, message: NOT_AN_INSTANT },
    Form {
        text: concat!("^", day!(), "(", time_of_day!(), ")?$"),
        accepts: |text| time::is_day_shaped(text) || time::is_instant_shaped(text),
        message: "is neither a day (YYYY-MM-DD) nor a moment with its offset (YYYY-MM-DDThh:mm:ss+hh:mm or Z)",
    },
    Form {
        text: "^[A-Z][A-Za-z]{1,63}$",
        accepts: is_resource_type,
        message: "is not the name of a resource type, such as Immunization",
    },
];

/// The form for a keyword's value.
pub(crate) fn find(forms: &'static [Form], text: &str) -> Option<&'static Form> {
    forms.iter().find(|form| form.text == text)
}

fn is_line(text: &str) -> bool {
    text.chars().any(|character| character != ' ') && !text.chars().any(char::is_control)
}

fn is_note(text: &str) -> bool {
    let breaks = |character| matches!(character, '\t' | '\n' | '\r');
    text.chars().any(|character| character != ' ' && !breaks(character))
        && !text.chars().any(|character| character.is_control() && !breaks(character))
}

fn is_absolute_uri(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, rest)| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte))
            && !rest.is_empty()
            && !rest.chars().any(|character| character.is_control() || character == ' ')
    })
}

fn is_resource_type(text: &str) -> bool {
    (2..=64).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_uppercase())
        && text.bytes().all(|byte| byte.is_ascii_alphabetic())
}
