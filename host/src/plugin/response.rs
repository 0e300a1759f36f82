//! Validates an adapter's response before the host uses it.
//!
//! Texts for people become one bounded line; invalid ids, versions and counts are rejected. No error repeats a value of
//! the response, because it may be a patient's.

use super::CallError;
use crate::domain::change::{Descriptor, Failure, Outcome, Receipt, Report};
use crate::domain::words::{is_unprintable, one_line};

/// Characters of a message for people.
const MESSAGE_CHARS_MAX: usize = 1_000;
/// Characters of a remote id, as wide as the store's column.
const REMOTE_ID_CHARS_MAX: usize = 255;
/// Findings of a report.
const FINDINGS_MAX: usize = 200;
/// Bytes of a report's state.
const STATE_BYTES_MAX: usize = 1 << 20;
/// An adapter cannot put a target to sleep for longer than a day.
const RETRY_AFTER_MS_MAX: u64 = 24 * 60 * 60 * 1000;

/// A failure of the whole batch, or of one change, as it may be shown and stored.
#[must_use]
pub fn failure(failure: &Failure) -> Failure {
    let message = one_line(&failure.message, MESSAGE_CHARS_MAX);
    Failure {
        kind: failure.kind,
        message: if message.is_empty() {
            format!("the adapter reported `{}` without a reason", failure.kind.as_str())
        } else {
            message
        },
        retry_after_ms: failure.retry_after_ms.map(|wait| wait.min(RETRY_AFTER_MS_MAX)),
    }
}

/// One outcome per change, each of which can be stored.
///
/// # Errors
/// [`CallError::InvalidResponse`] when their number differs, or a receipt is invalid.
pub fn outcomes(outcomes: Vec<Outcome>, expected: usize) -> Result<Vec<Outcome>, CallError> {
    if outcomes.len() != expected {
        return Err(CallError::InvalidResponse(format!("{} outcomes for {expected} changes", outcomes.len())));
    }
    outcomes
        .into_iter()
        .enumerate()
        .map(|(index, outcome)| match outcome {
            Outcome::Applied(receipt) => check_receipt(&receipt, index).map(|()| Outcome::Applied(receipt)),
            Outcome::Failed(reason) => Ok(Outcome::Failed(failure(&reason))),
        })
        .collect()
}

fn check_receipt(receipt: &Receipt, index: usize) -> Result<(), CallError> {
    let Receipt { remote_id, remote_version, fingerprint } = receipt;
    let fields = [
        ("remote-id", Some(remote_id)),
        ("remote-version", remote_version.as_ref()),
        ("fingerprint", fingerprint.as_ref()),
    ];
    for (field, text) in fields {
        let Some(text) = text else { continue };
        // Whether the id may be empty depends on the change: the caller, which has both, decides it.
        let fault = if text.is_empty() && field != "remote-id" {
            "is empty".to_owned()
        } else if text.chars().count() > REMOTE_ID_CHARS_MAX {
            format!("is longer than {REMOTE_ID_CHARS_MAX} characters")
        } else if text.chars().any(is_unprintable) {
            "holds a control character".to_owned()
        } else {
            continue;
        };
        return Err(CallError::InvalidResponse(format!("the {field} of outcome {index} {fault}")));
    }
    Ok(())
}

/// A report that can be shown, with a state that can be kept.
///
/// # Errors
/// [`CallError::InvalidResponse`] when it is too large.
pub fn report(report: Report) -> Result<Report, CallError> {
    if report.state.len() > STATE_BYTES_MAX {
        return Err(CallError::InvalidResponse(format!(
            "a state of {} bytes, at most {STATE_BYTES_MAX}",
            report.state.len()
        )));
    }
    if report.findings.len() > FINDINGS_MAX {
        return Err(CallError::InvalidResponse(format!("{} findings, at most {FINDINGS_MAX}", report.findings.len())));
    }
    let Report { summary, mut findings, state } = report;
    for finding in &mut findings {
        finding.message = one_line(&finding.message, MESSAGE_CHARS_MAX);
    }
    Ok(Report { summary: one_line(&summary, MESSAGE_CHARS_MAX), findings, state })
}

/// A name, a version and aggregate types that can be shown and compared.
///
/// # Errors
/// [`CallError::InvalidResponse`] when one of them cannot.
pub fn descriptor(descriptor: Descriptor) -> Result<Descriptor, CallError> {
    let plain = |text: &str, also: &str| {
        (1..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(c))
    };
    if !plain(&descriptor.name, "-_") {
        return Err(CallError::InvalidResponse("its name is not 1 to 64 of a-z, 0-9, `-` and `_`".to_owned()));
    }
    if !plain(&descriptor.version, ".-+") {
        return Err(CallError::InvalidResponse("its version is not 1 to 64 of a-z, 0-9, `.`, `-` and `+`".to_owned()));
    }
    if descriptor.aggregate_types.len() > 64 || !descriptor.aggregate_types.iter().all(|kind| plain(kind, "-_.")) {
        return Err(CallError::InvalidResponse("its aggregate types are not plain words".to_owned()));
    }
    Ok(descriptor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::change::FailureKind;

    fn applied(id: &str) -> Outcome {
        Outcome::Applied(Receipt { remote_id: id.to_owned(), remote_version: None, fingerprint: None })
    }

    #[test]
    fn a_list_of_another_length_is_refused() {
        assert!(outcomes(vec![applied("1")], 1).is_ok());
        for given in [vec![], vec![applied("1"), applied("2")]] {
            assert!(matches!(outcomes(given, 1), Err(CallError::InvalidResponse(_))));
        }
    }

    #[test]
    fn ids_that_cannot_be_stored_are_refused_without_being_repeated() {
        for id in ["4\n5", "a\u{202e}b", &"9".repeat(256)] {
            let error = outcomes(vec![applied(id)], 1).unwrap_err().to_string();
            assert!(error.contains("remote-id of outcome 0"), "{error}");
            assert!(!error.contains(id));
        }
        assert!(outcomes(vec![applied(&"9".repeat(255))], 1).is_ok());
    }

    #[test]
    fn messages_are_one_bounded_line() {
        let given = Failure {
            kind: FailureKind::Invalid,
            message: "a\r\nb\u{1b}[31m".to_owned(),
            retry_after_ms: Some(u64::MAX),
        };
        let clean = failure(&given);
        assert_eq!(clean.message, "a  b [31m");
        assert_eq!(clean.retry_after_ms, Some(RETRY_AFTER_MS_MAX));
        let long = failure(&Failure::new(FailureKind::Invalid, "é".repeat(5_000)));
        assert_eq!(long.message.chars().count(), MESSAGE_CHARS_MAX + 1);
        for nothing in [" ", "\u{200e}\n", "\u{feff}\u{1b}"] {
            let shown = failure(&Failure::new(FailureKind::Denied, nothing)).message;
            assert!(shown.contains("denied"), "{nothing:?}: {shown:?}");
        }
    }

    #[test]
    fn a_state_over_its_limit_is_refused() {
        let with = |bytes| Report { summary: String::new(), findings: Vec::new(), state: vec![0; bytes] };
        assert!(report(with(STATE_BYTES_MAX)).is_ok());
        assert!(report(with(STATE_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn a_descriptor_is_plain() {
        let named =
            |name: &str| Descriptor { name: name.to_owned(), version: "0.1.0".to_owned(), aggregate_types: vec![] };
        assert!(descriptor(named("openemr")).is_ok());
        assert!(descriptor(named("open\u{1b}emr")).is_err());
        assert!(descriptor(named("")).is_err());
    }
}
