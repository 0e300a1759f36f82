//! The part of an `OperationOutcome` that a message may repeat: one line in which every word is on a list.
//!
//! Servers repeat and rephrase the values that they complain about, so nothing is recognised as a value and left out.
//! It is the other way round: codes, element paths and words that are in `words` pass, and `...` marks what did not.
//! Words count letter by letter, in lower case or as the exact name of an element. So a family name comes through only
//! where it is such a word.

mod words;

use serde_json::Value;

/// Characters of the whole line.
const LINE_CHARS_MAX: usize = 300;
/// The number of issues that are shown.
const ISSUES_MAX: usize = 3;
/// Bytes of a code that a server chose.
const CODE_BYTES_MAX: usize = 40;
/// Digits of such a code: as many as no date and no phone number has.
const CODE_DIGITS_MAX: usize = 5;
/// Marks an omission.
const LEFT_OUT: &str = "...";

/// The line; `None` where there is nothing to tell.
///
/// Severity is left out, as an outcome of a failed request is an error. `payload` is the change's own.
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

/// A token that a server may use as a code, and that says nothing of the payload.
fn is_plain(code: &str, payload: &str) -> bool {
    code.len() <= CODE_BYTES_MAX
        && code.starts_with(|first: char| first.is_ascii_alphabetic())
        && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && code.bytes().filter(u8::is_ascii_digit).count() <= CODE_DIGITS_MAX
        && !payload.to_lowercase().contains(&code.to_lowercase())
}

/// An element's path, in either of FHIR's notations, with names of elements and small indices alone:
/// `Patient.name[0].family`. It ends with `...` where something else comes, be it a literal or a condition. `None`
/// where no name of it is known.
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
            // Validators put the resource's own type and id there.
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

/// The words of a text that are ours; `None` where there is none.
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

/// HAPI numbers its messages: `HAPI-0450`.
fn is_message_id(word: &str) -> bool {
    word.strip_prefix("HAPI-")
        .is_some_and(|number| number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Cuts between words.
fn bounded(line: &str) -> String {
    if line.len() <= LINE_CHARS_MAX {
        return line.to_owned();
    }
    // Every word is of ASCII.
    let cut = line[..LINE_CHARS_MAX].rfind(' ').unwrap_or(0);
    format!("{} {LEFT_OUT}", &line[..cut])
}

#[cfg(test)]
mod tests;
