//! The options `--reason` and `--by` of commands that record a decision.

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

/// The uid of this process, if no variable contains the user's name.
#[cfg(target_os = "linux")]
fn user_number() -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").ok().map(|process| format!("user {}", process.uid()))
}

#[cfg(not(target_os = "linux"))]
fn user_number() -> Option<String> {
    None
}

/// The system user who runs this command.
pub(super) fn user() -> String {
    let names = ["SUDO_USER", "USER", "LOGNAME", "USERNAME"];
    names
        .iter()
        .find_map(|name| std::env::var(name).ok().and_then(|text| plain(&text, 64).ok()))
        .or_else(user_number)
        .unwrap_or_else(|| "unknown".to_owned())
}
