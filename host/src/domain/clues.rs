//! What may be told of words that others wrote, without repeating one of them.
//!
//! The message of a failure may hold a patient's data: an adapter, a server or another program has worded it. What
//! leaves this file is only text that stands in it, so that nothing of a message can leave. Pure; `support-bundle` uses
//! it.

use super::limits;

/// What every text is called that is not one of the known words.
pub const OTHER: &str = "other";

/// What failures are usually about, as messages of this host, its adapters, databases and servers call it.
const PHRASES: &[&str] = &[
    "address",
    "allow_private",
    "answered nothing",
    "base_url",
    "birth_date",
    "certificate",
    "cannot be opened",
    "cannot be read",
    "cannot be reached",
    "cannot be written",
    "character set",
    "collation",
    "column is missing",
    "connection broke",
    "connection is closed",
    "connection refused",
    "connection reset",
    "constraint",
    "control character",
    "could not be decoded",
    "crashed",
    "credentials",
    "damaged",
    "date or time",
    "deadlock",
    "deleted",
    "denied",
    "disk",
    "does not exist",
    "does not fit",
    "does not take",
    "duplicate",
    "edited",
    "foreign key",
    "gender",
    "has another digest",
    "has no tables of this host",
    "has schema version",
    "host name",
    "identifier",
    "invalid response",
    "is gone",
    "missing",
    "is not of its column's type",
    "is not a number",
    "is not there",
    "lease was lost",
    "lock was not free",
    "locked",
    "may not be changed",
    "may not be deleted",
    "may not be read",
    "may not be written",
    "memory",
    "more than one",
    "no answer",
    "no connection was free",
    "no such",
    "no such option",
    "not a component",
    "not a usable",
    "not found",
    "not pinned",
    "not signed",
    "out of range",
    "panicked",
    "password",
    "patient",
    "payload",
    "permission",
    "private address",
    "read_only",
    "read-only",
    "redirect",
    "refer",
    "refused",
    "rolled back",
    "schema",
    "several",
    "shuts down",
    "signature",
    "socket",
    "takes no null",
    "takes no writes",
    "timed out",
    "timeout",
    "tls",
    "token",
    "too large",
    "too long",
    "too many connections",
    "too many requests",
    "transaction",
    "trap",
    "trigger",
    "unavailable",
    "unique key",
    "unknown column",
    "unknown database",
    "unreachable",
    "unsupported",
    "version",
    "world",
];

/// Statuses of HTTP, in the forms that are looked for and the form that is shown.
const STATUSES: &[(&str, &str)] = &[
    ("400", "HTTP 400"),
    ("401", "HTTP 401"),
    ("403", "HTTP 403"),
    ("404", "HTTP 404"),
    ("405", "HTTP 405"),
    ("408", "HTTP 408"),
    ("409", "HTTP 409"),
    ("410", "HTTP 410"),
    ("412", "HTTP 412"),
    ("413", "HTTP 413"),
    ("415", "HTTP 415"),
    ("422", "HTTP 422"),
    ("428", "HTTP 428"),
    ("429", "HTTP 429"),
    ("500", "HTTP 500"),
    ("501", "HTTP 501"),
    ("502", "HTTP 502"),
    ("503", "HTTP 503"),
    ("504", "HTTP 504"),
];

/// Which of the known phrases, limits and statuses of HTTP a message contains. Never a part of the message itself.
#[must_use]
pub fn clues(message: &str) -> Vec<&'static str> {
    let message = message.to_lowercase();
    let found: Vec<_> = PHRASES.iter().copied().filter(|phrase| message.contains(phrase)).collect();
    let is_part = |phrase: &str| found.iter().any(|other| *other != phrase && other.contains(phrase));
    let phrases = found.iter().copied().filter(|phrase| !is_part(phrase));
    let limits = limits::NAMES.iter().copied().filter(|name| message.contains(name));
    let has_status = |digits: &str| {
        ["http ", "answered ", "status "].iter().any(|before| {
            message.split(before).skip(1).any(|rest| {
                rest.strip_prefix(digits).is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()))
            })
        })
    };
    let statuses = STATUSES.iter().filter(|(digits, _)| has_status(digits)).map(|(_, shown)| *shown);
    phrases.chain(limits).chain(statuses).collect()
}

/// The word among those known that the text is, or [`OTHER`].
#[must_use]
pub fn known<'a>(text: &str, words: impl IntoIterator<Item = &'a str>) -> &'a str {
    words.into_iter().find(|word| *word == text).unwrap_or(OTHER)
}

/// The text, if it is a SHA-256 digest.
#[must_use]
pub fn digest(text: &str) -> Option<&str> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (text.len() == 64 && text.bytes().all(is_digit)).then_some(text)
}

/// The number at the beginning of a version, as `10.11.6`: two to four parts of at most three digits.
#[must_use]
pub fn version_number(text: &str) -> Option<String> {
    let end = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let parts: Vec<_> = text[..end].split('.').collect();
    let is_part = |part: &&str| (1..=3).contains(&part.len());
    ((2..=4).contains(&parts.len()) && parts.iter().all(is_part)).then(|| parts.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_told_by_what_is_known_of_it_alone() {
        let cases: [(&str, &[&str]); 6] = [
            ("127.0.0.1:3306: connection refused", &["connection refused"]),
            ("a value is too long for its column `Kim MinJun`", &["too long"]),
            ("query_rows_max: the adapter needs more than 1 row", &["query_rows_max"]),
            ("the server answered 422 for Patient/KIM-1", &["patient", "HTTP 422"]),
            ("born 1980-04-22, answered 4221", &[]),
            ("Kim MinJun lives in Seoul", &[]),
        ];
        for (message, expected) in cases {
            assert_eq!(clues(message), expected, "{message}");
        }
    }

    #[test]
    fn phrases_are_found_in_any_case_and_are_in_order() {
        assert_eq!(clues("DEADLOCK"), ["deadlock"]);
        assert!(PHRASES.iter().all(|phrase| *phrase == phrase.to_lowercase()));
    }

    #[test]
    fn words_digests_and_versions_of_others_are_not_repeated() {
        assert_eq!(known("up", ["up", "down"]), "up");
        assert_eq!(known("Kim", ["up", "down"]), OTHER);
        let sha256 = "a".repeat(64);
        assert_eq!(digest(&sha256), Some(sha256.as_str()));
        assert_eq!((digest("kim"), digest(&"A".repeat(64)), digest(&"g".repeat(64))), (None, None, None));
        let versions = [
            ("10.11.6-MariaDB-0+deb12u1", Some("10.11.6")),
            ("3.46.0", Some("3.46.0")),
            ("16.4 (Debian 16.4-1.pgdg120+2)", Some("16.4")),
            ("1931.07.19", None),
            ("Kim", None),
            ("7", None),
            ("1..2", None),
            ("", None),
        ];
        for (text, expected) in versions {
            assert_eq!(version_number(text).as_deref(), expected, "{text}");
        }
    }
}
