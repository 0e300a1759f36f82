//! The part of an `OperationOutcome` that a message may repeat: one line in which every word is on a list.
//!
//! Servers repeat and rephrase the values in question, so values cannot be recognised and removed. Instead only known
//! text passes: codes, element paths and the words in `words`; `...` marks an omission. A word must match exactly, in
//! lower case or as the name of an element. So a family name passes only if it is such a word.

mod words;

use serde_json::Value;

/// The maximum length of the line in characters.
const LINE_CHARS_MAX: usize = 300;
/// The number of issues that are shown.
const ISSUES_MAX: usize = 3;
/// The maximum length of a server's code in bytes.
const CODE_BYTES_MAX: usize = 40;
/// The maximum number of digits in such a code: fewer than a date or a phone number has.
const CODE_DIGITS_MAX: usize = 5;
/// Marks an omission.
const LEFT_OUT: &str = "...";

/// The line; `None` when nothing of the outcome may be repeated.
///
/// Severity is omitted, because the outcome of a failed request is an error. `payload` is that of the change.
pub(super) fn line(outcome: &Value, payload: &str) -> Option<String> {
    let issues = outcome.get("issue")?.as_array()?;
    let is_grave = |issue: &&Value| {
        !matches!(issue.get("severity").and_then(Value::as_str), Some("warning" | "information" | "success"))
    };
    let mut chosen: Vec<&Value> = issues.iter().filter(is_grave).collect();
    if chosen.is_empty() {
        chosen = issues.iter().collect();
    }
    let lines: Vec<String> = chosen
        .into_iter()
        .take(ISSUES_MAX)
        .map(|issue| of_issue(issue, payload))
        .filter(|line| !line.is_empty())
        .collect();
    (!lines.is_empty()).then(|| bounded(&lines.join("; ")))
}

fn of_issue(issue: &Value, payload: &str) -> String {
    let text = |pointer: &str| issue.pointer(pointer).and_then(Value::as_str);
    let code = text("/code").filter(|code| words::ISSUE_CODES.contains(code)).map(str::to_owned);
    let detail = text("/details/coding/0/code").filter(|code| is_plain(code, payload)).map(str::to_owned);
    let place = text("/expression/0").and_then(place).or_else(|| text("/location/0").and_then(place));
    let said = text("/diagnostics").or_else(|| text("/details/text")).and_then(known_words);
    let place = place.map(|place| format!("at {place}"));
    let said = said.map(|said| format!("- {said}"));
    [code, detail, place, said].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// Whether a token may be a server's code and does not repeat the payload.
fn is_plain(code: &str, payload: &str) -> bool {
    code.len() <= CODE_BYTES_MAX
        && code.starts_with(|first: char| first.is_ascii_alphabetic())
        && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && code.bytes().filter(u8::is_ascii_digit).count() <= CODE_DIGITS_MAX
        && !payload.to_lowercase().contains(&code.to_lowercase())
}

/// An element's path, in either of FHIR's notations, reduced to element names and small indices:
/// `Patient.name[0].family`. It ends with `...` before any other part, for example a literal or a condition. `None`
/// when no name in it is known.
fn place(path: &str) -> Option<String> {
    let mut kept = String::new();
    let mut rest = path.trim();
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        rest = match first {
            // The prefix of FHIR's own namespace.
            'f' if rest.starts_with("f:") => &rest[2..],
            _ if words::is_element(name) => {
                kept.push_str(name);
                behind
            }
            // Validators insert the resource's type and id here.
            '/' if rest.starts_with("/*") => rest.split_once("*/").map_or("", |(_, behind)| behind),
            '.' | '/' => {
                if !kept.is_empty() && !kept.ends_with('.') {
                    kept.push('.');
                }
                &rest[1..]
            }
            '[' if !kept.is_empty() => {
                let (index, behind) = rest[1..].split_once(']').unwrap_or((&rest[1..], ""));
                let is_small = matches!(index.len(), 1 | 2) && index.bytes().all(|byte| byte.is_ascii_digit());
                kept.extend(["[", if is_small { index } else { LEFT_OUT }, "]"]);
                behind
            }
            _ if kept.is_empty() => return None,
            _ => return Some(format!("{}{LEFT_OUT}", kept.trim_end_matches('.'))),
        };
    }
    Some(kept.trim_end_matches('.').to_owned()).filter(|kept| !kept.is_empty())
}

/// The known words of a text; `None` if there is none.
fn known_words(text: &str) -> Option<String> {
    let mut kept: Vec<String> = Vec::new();
    let mut before = "";
    let mut knows_one = false;
    for token in text.split_whitespace() {
        let word = token.trim_matches(|c: char| c.is_ascii_punctuation());
        match known(word, before) {
            Some(word) => {
                knows_one = true;
                kept.push(word);
            }
            None if kept.last().is_some_and(|last| last == LEFT_OUT) => {}
            None => kept.push(LEFT_OUT.to_owned()),
        }
        before = word;
    }
    knows_one.then(|| kept.join(" "))
}

fn known(word: &str, before: &str) -> Option<String> {
    let is_status = words::STATUSES.contains(&word) && matches!(before, "HTTP" | "status");
    if is_status || is_message_id(word) || words::is_word(word) || words::is_element(word) {
        return Some(word.to_owned());
    }
    place(word).filter(|path| word.contains('.') && path == word && !path.contains(LEFT_OUT))
}

/// Whether a word is a message number of HAPI: `HAPI-0450`.
fn is_message_id(word: &str) -> bool {
    word.strip_prefix("HAPI-")
        .is_some_and(|number| number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Cuts the line between words.
fn bounded(line: &str) -> String {
    if line.len() <= LINE_CHARS_MAX {
        return line.to_owned();
    }
    // Every known word is ASCII.
    let cut = line[..LINE_CHARS_MAX].rfind(' ').unwrap_or(0);
    format!("{} {LEFT_OUT}", &line[..cut])
}

#[cfg(test)]
mod tests;
