//! What is printed: plain lines on stdout, coloured on a terminal only (`NO_COLOR` is honoured), errors on stderr.

use std::io::Write as _;

use anstyle::{AnsiColor, Style};

use crate::domain::words::is_unprintable;

/// One line on stdout. A reader that went away (`| head`) ends the program quietly.
pub(super) fn line(text: &str) {
    if writeln!(anstream::stdout(), "{text}").is_err() {
        std::process::exit(0);
    }
}

/// One object as JSON on stdout.
pub(super) fn json(value: &serde_json::Value) {
    line(&value.to_string());
}

/// What a command failed with, on stderr.
pub(super) fn error(text: &str) {
    // There is nowhere left to say that stderr is gone.
    drop(writeln!(anstream::stderr(), "{}: {text}", paint(AnsiColor::Red, "error")));
}

/// A word in colour.
pub(super) fn paint(colour: AnsiColor, text: &str) -> String {
    let style = Style::new().fg_color(Some(colour.into()));
    format!("{style}{text}{style:#}")
}

/// Text that an adapter or a target wrote, on one line and without what could write elsewhere on the terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|character| if is_unprintable(character) { ' ' } else { character }).collect()
}

/// A time of the store, for people.
pub(super) fn time(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis)
        .map_or_else(|_| "an unknown time".to_owned(), |time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// How long something takes or took, for people: `850 ms`, `12 s`, `5 min`, `3 h`, `4 d`.
pub(super) fn age(millis: i64) -> String {
    match millis {
        ..0 => "0 s".to_owned(),
        0..1_000 => format!("{millis} ms"),
        1_000..120_000 => format!("{} s", millis / 1_000),
        120_000..7_200_000 => format!("{} min", millis / 60_000),
        7_200_000..172_800_000 => format!("{} h", millis / 3_600_000),
        _ => format!("{} d", millis / 86_400_000),
    }
}

/// A target's name as its own people write it.
pub(super) fn target_label(name: &str) -> &str {
    match name {
        "openemr" => "OpenEMR",
        "fhir" => "FHIR",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        let ages = [-5, 850, 12_000, 300_000, 10_800_000, 345_600_000].map(age);
        assert_eq!(ages, ["0 s", "850 ms", "12 s", "5 min", "3 h", "4 d"]);
    }
}
