//! Prints lines to stdout and errors to stderr, with colours only on a terminal (`NO_COLOR` is honoured).

use std::borrow::Cow;
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use anstyle::{AnsiColor, Style};

pub(super) use crate::domain::times::{age, moment, time};
use crate::domain::words::{is_unprintable, one_line};

static READER_IS_GONE: AtomicBool = AtomicBool::new(false);

/// Whether stdout is closed, so that a repeating command can end.
pub(super) fn reader_is_gone() -> bool {
    READER_IS_GONE.load(Ordering::Relaxed)
}

/// Prints one line to stdout without control characters, so that other programs' text cannot begin a second line. If
/// stdout is closed (`| head`), no more lines are written, and the command still completes.
pub(super) fn line(text: &str) {
    match writeln!(anstream::stdout(), "{}", harmless(text).replace('\n', "\\n")) {
        Ok(()) => {}
        Err(gone) if gone.kind() == ErrorKind::BrokenPipe => READER_IS_GONE.store(true, Ordering::Relaxed),
        Err(full) => {
            error(&format!("cannot write the output: {full}"));
            std::process::exit(1);
        }
    }
}

/// Prints the lines of one of the host's own texts.
pub(super) fn lines(text: &str) {
    text.lines().for_each(line);
}

/// Clears the screen and its scrollback if stdout is a terminal. Returns whether it is one.
pub(super) fn clear_screen() -> bool {
    let mut stdout = std::io::stdout();
    let is_terminal = stdout.is_terminal();
    if is_terminal {
        // If it fails, the next line fails too.
        drop(stdout.write_all(b"\x1b[H\x1b[2J\x1b[3J"));
    }
    is_terminal
}

/// Prints one JSON object to stdout.
pub(super) fn json(value: &serde_json::Value) {
    line(&in_ascii_where_it_matters(&value.to_string()));
}

/// Prints one JSON object to stdout, on several lines.
pub(super) fn pretty_json(value: &serde_json::Value) {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.lines().for_each(|text| line(&in_ascii_where_it_matters(text)));
}

/// Writes control characters as JSON escapes. In JSON they occur only in strings.
fn in_ascii_where_it_matters(json: &str) -> String {
    let mut clean = String::with_capacity(json.len());
    for character in json.chars() {
        if is_unprintable(character) {
            clean.extend(character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            clean.push(character);
        }
    }
    clean
}

/// Prints a command's current step to stderr.
pub(super) fn progress(text: &str) {
    // If stderr is closed, the command continues.
    drop(writeln!(anstream::stderr(), "{}", harmless(text)));
}

/// Prints a command's error to stderr.
pub(super) fn error(text: &str) {
    // If stderr is closed, nothing can report that.
    drop(writeln!(anstream::stderr(), "{}: {}", paint(AnsiColor::Red, "error"), harmless(text)));
}

/// Escapes control characters, except the host's own colours and line breaks. It is the second safeguard: text from
/// outside becomes [`printable`] when it is put into a line.
pub(super) fn harmless(text: &str) -> Cow<'_, str> {
    let is_meant = |character: char| matches!(character, '\n' | '\t');
    if !text.contains(|character| is_unprintable(character) && !is_meant(character)) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let taken = colour(rest).unwrap_or(character.len_utf8());
        if taken > character.len_utf8() || is_meant(character) || !is_unprintable(character) {
            clean.push_str(&rest[..taken]);
        } else {
            clean.extend(character.escape_unicode());
        }
        rest = &rest[taken..];
    }
    Cow::Owned(clean)
}

/// The length of a colour sequence at the start of a text: `ESC [ digits ; ... m`.
fn colour(text: &str) -> Option<usize> {
    let codes = text.strip_prefix("\u{1b}[")?;
    let end = codes.find(|character: char| !character.is_ascii_digit() && character != ';')?;
    codes[end..].starts_with('m').then_some("\u{1b}[".len() + end + 1)
}

/// Colours a word.
pub(super) fn paint(colour: AnsiColor, text: &str) -> String {
    let style = Style::new().fg_color(Some(colour.into()));
    format!("{style}{text}{style:#}")
}

/// Makes text of an adapter or a target safe: one line, without control characters.
pub(super) fn printable(text: &str) -> String {
    one_line(text, usize::MAX)
}

/// A target's name in its usual spelling.
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
    fn control_characters_are_not_printed_except_our_own_colours() {
        let painted = paint(AnsiColor::Red, "error");
        assert_eq!(harmless(&painted), painted);
        assert_eq!(harmless("김민준\n\tJosé"), "김민준\n\tJosé");
        let foreign = "a\u{1b}[2Jb\u{1b}]0;title\u{7}c\u{9b}1md\u{202e}e\rf";
        let shown = harmless(foreign);
        assert_eq!(shown, "a\\u{1b}[2Jb\\u{1b}]0;title\\u{7}c\\u{9b}1md\\u{202e}e\\u{d}f");
    }

    #[test]
    fn escaping_control_characters_keeps_json_valid() {
        let value = serde_json::json!({ "a\u{9b}": "b\u{1b}\u{7f}\u{202e}\u{e0041}김" });
        let text = in_ascii_where_it_matters(&value.to_string());
        assert_eq!(text, r#"{"a\u009b":"b\u001b\u007f\u202e\udb40\udc41김"}"#);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
