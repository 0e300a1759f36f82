//! Maps a status to a failure that the host can handle.
//!
//! Owns the table of statuses (`docs/adapters/fhir.md` shows it). A server's own text passes through `told`, because
//! real servers repeat the values in question. Read next: `delivery`, which handles statuses that are not a failure
//! yet.

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

/// The failure of one change for a status that `delivery` does not handle. The message contains nothing of the payload.
pub(crate) fn of_answer(what: &str, answer: &Answer, payload: &str) -> Failure {
    let kind = match answer.status {
        400 | 404 | 405 | 406 | 413 | 415 | 422 | 501 => FailureKind::Invalid,
        401 | 403 | 451 => FailureKind::Denied,
        410 | 412 => FailureKind::Conflict,
        429 => FailureKind::Throttled,
        // The server gave up waiting, which is not caused by the change.
        408 => FailureKind::Unavailable,
        503 if answer.retry_after_ms.is_some() => FailureKind::Throttled,
        // 409, 423, 425, 428 and every 5xx may be temporary; an invalid status is treated in the same way.
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

/// The meaning of a whole request's status, before its body is read.
#[derive(Clone, Debug)]
pub(crate) enum Whole {
    /// A response to this request.
    Answer,
    /// The target as a whole refuses.
    Target(Failure),
    /// No FHIR server responds like this. It concerns the target as a whole or this request alone; other requests will
    /// show which.
    Odd(Failure),
    /// A gateway responded, and the server behind it may still be working: treated like a missing response.
    Unanswered(Failure),
    /// As `Unanswered`, after a timeout.
    Slow(Failure),
}

/// A request that was sent, with the parts that messages need.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// The purpose of the request, for a message.
    pub(crate) what: &'a str,
    /// The target's `base_url`.
    pub(crate) base_url: Option<&'a str>,
    /// The path below it; empty or `/` for a Bundle.
    pub(crate) path: &'a str,
}

/// Classifies the status of a whole request.
///
/// `told`: whether the body is an `OperationOutcome`, so that a FHIR server responded and not a proxy. The host treats
/// the same statuses as a gateway's, and keeps the patients of such a request in flight for `in_doubt_ms`.
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

/// The failure for a request without a response, or without a readable one.
pub(crate) fn of_error(what: &str, error: &http::Error) -> Failure {
    let kind = match error {
        http::Error::UnknownCoding(_) => FailureKind::Misconfigured,
        // A refusal may mean a lost lease. The host then drops the result anyway, so the operator need not see it.
        http::Error::Timeout
        | http::Error::Refused(_)
        | http::Error::ConnectionFailed(_)
        | http::Error::Broken(_)
        | http::Error::Damaged => FailureKind::Unavailable,
    };
    failure(kind, format!("{what}: {error}"))
}

/// Describes a body that is not the expected FHIR JSON.
pub(crate) fn unlike_json(response: &Response) -> String {
    if response.body.iter().all(u8::is_ascii_whitespace) {
        return "an empty body".to_owned();
    }
    if response.body.starts_with(&[0x1F, 0x8B]) {
        return "gzip without a Content-Encoding header; fix: correct it at the server or at the proxy before it"
            .to_owned();
    }
    content_type(response)
}

#[cfg(test)]
mod tests;
