//! From a status to a failure that the host can act on.
//!
//! Owns the table of statuses (`docs/adapters/fhir.md` shows it). What a server says in its own words goes through
//! `told`, since real servers repeat the values they complain about. Read next: `delivery`, which handles what is no
//! failure yet.

mod redirect;
mod told;

use adapter_sdk::http::{self, Response};
use adapter_sdk::{Failure, FailureKind};

use crate::answer::Answer;
use crate::exchange::{FHIR_JSON, content_type};

/// A failure without a waiting time.
pub(crate) fn failure(kind: FailureKind, message: impl Into<String>) -> Failure {
    Failure { kind, message: message.into(), retry_after_ms: None }
}

/// What a status means for one change, once `delivery` has no further use for it. Nothing of the payload comes into the
/// message.
pub(crate) fn of_answer(what: &str, answer: &Answer, payload: &str) -> Failure {
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
    let told = answer.outcome.as_ref().and_then(|outcome| told::line(outcome, payload));
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
    /// A gateway speaks, and the server behind it may still be working: as if nothing had been answered.
    Unanswered(Failure),
    /// As `Unanswered`, because it took too long.
    Slow(Failure),
}

/// A request that was sent, as far as messages need it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// What it asked for, for a message.
    pub(crate) what: &'a str,
    /// The target's `base_url`.
    pub(crate) base_url: Option<&'a str>,
    /// The path below it; empty or `/` for a Bundle.
    pub(crate) path: &'a str,
}

/// Reads the status of a whole request.
///
/// `told` says whether the body is an `OperationOutcome`: a FHIR server spoke, and not some proxy before it. The host
/// knows the same statuses as a gateway's word, and keeps the patients of such a request in work for `in_doubt_ms`.
pub(crate) fn of_response(asked: &Asked<'_>, response: &Response, told: bool) -> Whole {
    let (what, status) = (asked.what, response.status);
    let retry_after_ms = response.retry_after_ms();
    let says = |kind, why: &str| Failure { kind, message: format!("{what} answered {status}: {why}"), retry_after_ms };
    match status {
        401 => Whole::Target(says(FailureKind::Misconfigured, "the credentials are missing or wrong")),
        403 if !told => Whole::Odd(says(FailureKind::Misconfigured, "the credentials do not suffice")),
        404 if !told => Whole::Odd(says(FailureKind::Misconfigured, "no FHIR service is there: check base_url")),
        407 => Whole::Target(says(FailureKind::Misconfigured, "a proxy asks for credentials")),
        300..=303 | 305..=399 => {
            Whole::Target(says(FailureKind::Misconfigured, &redirect::line(asked, response.header("location"))))
        }
        408 | 504 | 524 | 598 | 599 => Whole::Slow(says(FailureKind::Unavailable, "the server did not answer in time")),
        429 => Whole::Target(says(FailureKind::Throttled, "the server asks to slow down")),
        503 if retry_after_ms.is_some() => Whole::Target(says(FailureKind::Throttled, "the server asks to wait")),
        503 if told && content_type(response).eq_ignore_ascii_case(FHIR_JSON) => {
            Whole::Odd(says(FailureKind::Unavailable, "the server is not able to answer"))
        }
        499 | 502 | 503 | 520..=530 => {
            Whole::Unanswered(says(FailureKind::Unavailable, "a gateway got no answer from the server"))
        }
        500..=599 => Whole::Odd(says(FailureKind::Unavailable, "the server is not able to answer")),
        _ => Whole::Answer,
    }
}

/// What it means that a request got no answer at all, or none that can be read.
pub(crate) fn of_error(what: &str, error: &http::Error) -> Failure {
    let kind = match error {
        http::Error::UnknownCoding(_) => FailureKind::Misconfigured,
        // A refusal may mean a lost lease, after which the host drops the result anyway: nothing here to bother an
        // operator with.
        http::Error::Timeout
        | http::Error::Refused(_)
        | http::Error::ConnectionFailed(_)
        | http::Error::Broken(_)
        | http::Error::Damaged => FailureKind::Unavailable,
    };
    failure(kind, format!("{what}: {error}"))
}

/// Names a body that is not the FHIR JSON which was expected.
pub(crate) fn unlike_json(response: &Response) -> String {
    if response.body.iter().all(u8::is_ascii_whitespace) {
        return "an empty body".to_owned();
    }
    if response.body.starts_with(&[0x1F, 0x8B]) {
        return "gzip and no Content-Encoding that says so; fix: correct it at the server or at the proxy before it"
            .to_owned();
    }
    content_type(response)
}

#[cfg(test)]
mod tests;
