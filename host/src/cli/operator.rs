//! The options `--reason` and `--as`.

use super::output::printable;

/// Parses an operator's reason: one line.
pub(super) fn reason(text: &str) -> Result<String, String> {
    plain(text, 1_024)
}

/// Parses an operator's name.
pub(super) fn name(text: &str) -> Result<String, String> {
    plain(text, 64)
}

fn plain(text: &str, characters_max: usize) -> Result<String, String> {
    let text = text.trim();
    let is_plain = (1..=characters_max).contains(&text.chars().count()) && printable(text) == text;
    is_plain.then(|| text.to_owned()).ok_or_else(|| format!("expected 1 to {characters_max} characters on one line"))
}
