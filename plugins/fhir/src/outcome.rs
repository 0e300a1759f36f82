//! From a status to a failure that the host can act on, and from an `OperationOutcome` to one line without personal data.
//!
//! Owns the table of statuses (`docs/adapters/fhir.md` shows it). It never quotes what the server quoted: diagnostics of
//! real servers repeat the values they complain about. Read next: `delivery`, which handles what is no failure yet.

use adapter_sdk::http::{self, Response};
use adapter_sdk::{Failure, FailureKind};
use serde_json::Value;

use crate::answer::Answer;

/// Characters of a message from the server that are kept.
const DIAGNOSTICS_CHARS_MAX: usize = 300;
/// What stands where a value stood.
const MASK: &str = "…";

/// A failure without a waiting time.
pub(crate) fn failure(kind: FailureKind, message: impl Into<String>) -> Failure {
    Failure { kind, message: message.into(), retry_after_ms: None }
}

/// What a status means for one change, once `delivery` has no further use for it.
pub(crate) fn of_answer(what: &str, answer: &Answer, personal: &Personal) -> Failure {
    let kind = match answer.status {
        400 | 404 | 405 | 406 | 413 | 415 | 422 | 501 => FailureKind::Invalid,
        401 | 403 | 451 => FailureKind::Denied,
        410 | 412 => FailureKind::Conflict,
        429 => FailureKind::Throttled,
        // The server gave up waiting, which says nothing of the change.
        408 => FailureKind::Unavailable,
        503 if answer.retry_after_ms.is_some() => FailureKind::Throttled,
        // 409, 423, 425, 428 and every 5xx may pass; what is no status at all is no reason to give up either.
        _ => FailureKind::Transient,
    };
    let status = if answer.status == 0 { "without a status".to_owned() } else { answer.status.to_string() };
    let told = answer.outcome.as_ref().map(|outcome| diagnostics(outcome, personal)).filter(|text| !text.is_empty());
    let message = match told {
        Some(told) => format!("{what} answered {status}: {told}"),
        None => format!("{what} answered {status}"),
    };
    Failure { kind, message, retry_after_ms: answer.retry_after_ms }
}

/// What the status of a whole request says, before anyone reads its body.
#[derive(Clone, Debug)]
pub(crate) enum Whole {
    /// An answer to this request.
    Answer,
    /// The target as a whole refuses.
    Target(Failure),
    /// No FHIR server answers so: the target as a whole, or something about this request alone. Others will show which.
    Odd(Failure),
    /// Given up while the server still works on it.
    Slow(Failure),
}

/// Reads the status of a whole request.
///
/// `told` says whether the body is an `OperationOutcome`: a FHIR server spoke, and not some proxy before it.
pub(crate) fn of_response(what: &str, response: &Response, told: bool) -> Whole {
    let status = response.status;
    let retry_after_ms = response.retry_after_ms();
    let says = |kind, why: &str| Failure { kind, message: format!("{what} answered {status}: {why}"), retry_after_ms };
    match status {
        401 => Whole::Target(says(FailureKind::Misconfigured, "the credentials are missing or wrong")),
        403 if !told => Whole::Odd(says(FailureKind::Misconfigured, "the credentials do not suffice")),
        404 if !told => Whole::Odd(says(FailureKind::Misconfigured, "no FHIR service is there: check base_url")),
        407 => Whole::Target(says(FailureKind::Misconfigured, "a proxy asks for credentials")),
        300..=303 | 305..=399 => Whole::Target(says(
            FailureKind::Misconfigured,
            "a redirect, which is not followed: set base_url to where it leads",
        )),
        408 | 504 => Whole::Slow(says(FailureKind::Unavailable, "the server did not answer in time")),
        429 => Whole::Target(says(FailureKind::Throttled, "the server asks to slow down")),
        503 if retry_after_ms.is_some() => Whole::Target(says(FailureKind::Throttled, "the server asks to wait")),
        500..=599 => Whole::Odd(says(FailureKind::Unavailable, "the server is not able to answer")),
        _ => Whole::Answer,
    }
}

/// What it means that a request got no answer at all.
pub(crate) fn of_error(what: &str, error: &http::Error) -> Failure {
    // A refusal may mean a lost lease, after which the host drops the result anyway: nothing here to bother a person with.
    failure(FailureKind::Unavailable, format!("{what}: {error}"))
}

/// The values of one change's payload, which no message may carry.
#[derive(Clone, Debug, Default)]
pub(crate) struct Personal {
    /// Longest first, so that a part never hides its whole.
    values: Vec<String>,
}

impl Personal {
    /// Collects every text and number of the payload; of what is no JSON there is nothing to collect.
    pub(crate) fn of_payload(payload: &str) -> Self {
        let mut values = Vec::new();
        if let Ok(payload) = serde_json::from_str(payload) {
            collect(&payload, &mut values);
        }
        values.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        values.dedup();
        Self { values }
    }

    /// The text without these values, without anything quoted and without long numbers.
    pub(crate) fn scrub(&self, text: &str) -> String {
        let mut text = mask_quoted(&text.split_whitespace().collect::<Vec<_>>().join(" "));
        for value in &self.values {
            text = mask_value(&text, value);
        }
        bounded(&mask_numbers(&text))
    }
}

fn collect(value: &Value, values: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            // A single Latin letter or digit says nothing; a single Hangul syllable is a family name.
            if text.len() > 1 {
                values.push(text);
            }
        }
        Value::Number(number) => values.push(number.to_string()),
        Value::Array(entries) => entries.iter().for_each(|entry| collect(entry, values)),
        Value::Object(object) => object.values().for_each(|entry| collect(entry, values)),
        Value::Null | Value::Bool(_) => {}
    }
}

/// Severity is left out (an outcome of a failed request is an error); code, place and words are kept.
fn diagnostics(outcome: &Value, personal: &Personal) -> String {
    let Some(issues) = outcome.get("issue").and_then(Value::as_array) else { return String::new() };
    let text = |issue: &Value, pointer: &str| issue.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let grave = |issue: &&Value| {
        !matches!(issue.get("severity").and_then(Value::as_str), Some("warning" | "information" | "success"))
    };
    let mut chosen: Vec<&Value> = issues.iter().filter(grave).collect();
    if chosen.is_empty() {
        chosen = issues.iter().collect();
    }
    let lines: Vec<String> = chosen
        .into_iter()
        .take(3)
        .map(|issue| {
            let place = text(issue, "/expression/0").or_else(|| text(issue, "/location/0"));
            let said = text(issue, "/diagnostics")
                .or_else(|| text(issue, "/details/text"))
                .or_else(|| text(issue, "/details/coding/0/display"))
                .or_else(|| text(issue, "/details/coding/0/code"));
            [text(issue, "/code"), place.map(|place| format!("at {place}")), said.map(|said| format!("- {said}"))]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(" ")
        })
        .filter(|line| !line.is_empty())
        .collect();
    personal.scrub(&lines.join("; "))
}

/// Masks what stands in quotes. An apostrophe inside a word is none.
fn mask_quoted(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let word = |at: Option<usize>| at.and_then(|at| characters.get(at)).is_some_and(|c| c.is_alphanumeric());
    let mut masked = String::with_capacity(text.len());
    let mut at = 0;
    while at < characters.len() {
        let opening = characters[at];
        let closing = match opening {
            '"' | '`' => Some(opening),
            '\'' if !word(at.checked_sub(1)) => Some('\''),
            '“' | '”' => Some('”'),
            '‘' => Some('’'),
            '«' => Some('»'),
            _ => None,
        };
        masked.push(opening);
        at += 1;
        let Some(closing) = closing else { continue };
        let end = (at..characters.len())
            .find(|&end| characters[end] == closing && (!matches!(closing, '\'' | '’') || !word(Some(end + 1))));
        masked.push_str(MASK);
        match end {
            Some(end) => {
                masked.push(closing);
                at = end + 1;
            }
            // What was opened and never closed may go on for ever.
            None => return masked,
        }
    }
    masked
}

/// Masks a value wherever it stands: as a word where it is Latin text (so that a name `Li` does not eat `Line`), in any
/// case of letters, and anywhere at all in other scripts, which do not put spaces between words.
fn mask_value(text: &str, value: &str) -> String {
    let latin = value.is_ascii();
    let lower = |text: &str| text.chars().map(|c| c.to_ascii_lowercase()).collect::<String>();
    let (haystack, needle) = (lower(text), lower(value));
    let mut masked = String::with_capacity(text.len());
    let mut from = 0;
    // ASCII folding keeps every byte's place, so positions in `haystack` are positions in `text`.
    while let Some(found) = haystack[from..].find(&needle) {
        let (start, end) = (from + found, from + found + needle.len());
        let inside_word = haystack[..start].chars().next_back().is_some_and(|c| c.is_ascii_alphanumeric())
            || haystack[end..].chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
        masked.push_str(&text[from..start]);
        masked.push_str(if latin && inside_word { &text[start..end] } else { MASK });
        from = end;
    }
    masked.push_str(&text[from..]);
    masked
}

/// Masks dates and numbers in whatever form: runs of digits and their separators with six digits or more.
fn mask_numbers(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut run = String::new();
    for character in text.chars().chain(['\0']) {
        if character.is_ascii_digit() || (!run.is_empty() && matches!(character, '-' | '/' | '.' | ':')) {
            run.push(character);
            continue;
        }
        if run.bytes().filter(u8::is_ascii_digit).count() >= 6 {
            masked.push_str(MASK);
        } else {
            masked.push_str(&run);
        }
        run.clear();
        if character != '\0' {
            masked.push(character);
        }
    }
    masked
}

fn bounded(text: &str) -> String {
    let clean: String = text.chars().filter(|character| !character.is_control()).collect();
    if clean.chars().count() <= DIAGNOSTICS_CHARS_MAX {
        return clean;
    }
    clean.chars().take(DIAGNOSTICS_CHARS_MAX).chain(MASK.chars()).collect()
}

#[cfg(test)]
mod tests;
