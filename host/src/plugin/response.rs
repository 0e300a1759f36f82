//! Validates an adapter's response before the host uses it.
//!
//! Messages are cut to one line of limited length; invalid ids, versions and counts are rejected. No error repeats a
//! value of the response, because it may be a patient's data.

use super::CallError;
use crate::domain::change::{
    BatchOutcome, Descriptor, Failure, Observation, Outcome, OwnPage, OwnQuery, Receipt, Report,
};
use crate::domain::words::{is_unprintable, one_line};

/// The maximum length of a message in characters.
const MESSAGE_CHARS_MAX: usize = 1_000;
/// The maximum length of a remote id in characters: the width of the store's column.
const REMOTE_ID_CHARS_MAX: usize = 255;
/// The maximum number of findings in a report.
const FINDINGS_MAX: usize = 200;
/// The maximum size of a report's state in bytes.
const STATE_BYTES_MAX: usize = 1 << 20;
/// The maximum size of learned data in bytes.
const LEARNED_BYTES_MAX: usize = 64 << 10;
/// The maximum number of ids in one `Several` observation.
const SEVERAL_MAX: usize = 16;
/// The maximum length of a place in a list in characters.
const CURSOR_CHARS_MAX: usize = 4_096;
/// The longest `retry_after_ms`: an adapter cannot pause a target for more than a day.
const RETRY_AFTER_MS_MAX: u64 = 24 * 60 * 60 * 1000;

/// A failure of a batch or of one change, with a message that is safe to show and store.
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

/// Checks the number of elements in a list.
///
/// # Errors
/// [`CallError::InvalidResponse`] when their number differs.
pub(super) fn count(answers: &str, found: usize, questions: &str, expected: usize) -> Result<(), CallError> {
    if found == expected {
        return Ok(());
    }
    Err(CallError::InvalidResponse(format!("{found} {answers} for {expected} {questions}")))
}

/// Checks that there is one outcome per change, that each can be stored, and that the learned data is within its limit.
///
/// # Errors
/// [`CallError::InvalidResponse`] when the count differs, a receipt is invalid, or the learned data is too large.
pub fn outcomes(batch: BatchOutcome, expected: usize) -> Result<BatchOutcome, CallError> {
    count("outcomes", batch.outcomes.len(), "changes", expected)?;
    let learned = batch.learned.as_ref().map_or(0, Vec::len);
    if learned > LEARNED_BYTES_MAX {
        return Err(CallError::InvalidResponse(format!("learned {learned} bytes, at most {LEARNED_BYTES_MAX}")));
    }
    let shown = |(index, outcome)| match outcome {
        Outcome::Applied(receipt) => check_receipt(&receipt, index).map(|()| Outcome::Applied(receipt)),
        Outcome::Failed(reason) => Ok(Outcome::Failed(failure(&reason))),
        Outcome::Skipped(reason) => Ok(Outcome::Skipped(reason_line(&reason, "the adapter skipped it"))),
    };
    let outcomes = batch.outcomes.into_iter().enumerate().map(shown).collect::<Result<_, _>>()?;
    Ok(BatchOutcome { outcomes, learned: batch.learned })
}

/// Checks that an observation can be compared and shown.
///
/// # Errors
/// [`CallError::InvalidResponse`] when an id or a fingerprint is invalid, or there are too many ids.
pub fn observation(observation: Observation, index: usize) -> Result<Observation, CallError> {
    let refuse = |fault: String| Err(CallError::InvalidResponse(format!("observation {index}: {fault}")));
    match observation {
        Observation::Present { fingerprint, remote_version } => {
            let fields = [("fingerprint", Some(&fingerprint)), ("remote-version", remote_version.as_ref())];
            let faults = fields.into_iter().filter_map(|(field, text)| Some((field, text?)));
            for (field, text) in faults {
                if let Some(fault) = text_fault(text, false) {
                    return refuse(format!("the {field} {fault}"));
                }
            }
            Ok(Observation::Present { fingerprint, remote_version })
        }
        Observation::Several(ids) if ids.len() > SEVERAL_MAX => {
            refuse(format!("{} ids of several records, at most {SEVERAL_MAX}", ids.len()))
        }
        Observation::Several(ids) => match ids.iter().find_map(|id| text_fault(id, false)) {
            Some(fault) => refuse(format!("the id of one of several {fault}")),
            None => Ok(Observation::Several(ids)),
        },
        Observation::Unknown(reason) => Ok(Observation::Unknown(reason_line(&reason, "the adapter cannot tell"))),
        Observation::Gone | Observation::NotOurs => Ok(observation),
    }
}

/// Checks that a list has no more elements than were asked for.
///
/// # Errors
/// [`CallError::InvalidResponse`] when it has.
pub(super) fn within(what: &str, found: usize, limit: u32) -> Result<(), CallError> {
    if found <= usize::try_from(limit).unwrap_or(usize::MAX) {
        return Ok(());
    }
    Err(CallError::InvalidResponse(format!("{found} {what}, at most {limit} were asked for")))
}

/// Checks that a page of our records can be compared and shown, and that the next one begins elsewhere.
///
/// # Errors
/// [`CallError::InvalidResponse`] when an id or the place of the next page is invalid.
pub(super) fn own_page(page: OwnPage, query: &OwnQuery<'_>) -> Result<OwnPage, CallError> {
    for (index, record) in page.records.iter().enumerate() {
        for (field, text) in [("aggregate-id", &record.aggregate_id), ("remote-id", &record.remote_id)] {
            if let Some(fault) = text_fault(text, false) {
                return Err(CallError::InvalidResponse(format!("the {field} of record {index} {fault}")));
            }
        }
    }
    let Some(next) = &page.next else { return Ok(page) };
    let fault = if next.is_empty() || next.chars().any(is_unprintable) {
        "is empty or holds a control character"
    } else if next.chars().count() > CURSOR_CHARS_MAX {
        "is longer than 4096 characters"
    } else if query.after == Some(next) {
        "is the place where this one began: the list would never end"
    } else {
        return Ok(page);
    };
    Err(CallError::InvalidResponse(format!("the place of the next page {fault}")))
}

fn reason_line(reason: &str, otherwise: &str) -> String {
    let line = one_line(reason, MESSAGE_CHARS_MAX);
    if line.is_empty() { format!("{otherwise} without a reason") } else { line }
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
        // Whether the id may be empty depends on the change, so the caller checks that.
        if let Some(fault) = text_fault(text, field == "remote-id") {
            return Err(CallError::InvalidResponse(format!("the {field} of outcome {index} {fault}")));
        }
    }
    Ok(())
}

/// Why the store cannot keep a text, or an operator cannot read it.
fn text_fault(text: &str, may_be_empty: bool) -> Option<String> {
    if text.is_empty() && !may_be_empty {
        Some("is empty".to_owned())
    } else if text.chars().count() > REMOTE_ID_CHARS_MAX {
        Some(format!("is longer than {REMOTE_ID_CHARS_MAX} characters"))
    } else if text.chars().any(is_unprintable) {
        Some("holds a control character".to_owned())
    } else {
        None
    }
}

/// Checks a report, and makes its texts safe to show.
///
/// # Errors
/// [`CallError::InvalidResponse`] when the report is too large.
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

/// Checks that the name, the version and the aggregate types can be shown and compared.
///
/// # Errors
/// [`CallError::InvalidResponse`] when one of them is invalid.
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
    if descriptor.aggregate_types.len() > 64 || !descriptor.type_names().all(|kind| plain(kind, "-_.")) {
        return Err(CallError::InvalidResponse("its aggregate types are not plain words".to_owned()));
    }
    let names: std::collections::BTreeSet<_> = descriptor.type_names().collect();
    if names.len() != descriptor.aggregate_types.len() {
        return Err(CallError::InvalidResponse("it names an aggregate type twice".to_owned()));
    }
    let is_schema = |schema: &String| text_fault(schema, false).is_none();
    if !descriptor.aggregate_types.iter().filter_map(|support| support.schema.as_ref()).all(is_schema) {
        return Err(CallError::InvalidResponse("the id of a schema is not 1 to 255 printable characters".to_owned()));
    }
    Ok(descriptor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::change::{AggregateSupport, FailureKind};

    fn applied(id: &str) -> Outcome {
        Outcome::Applied(Receipt { remote_id: id.to_owned(), remote_version: None, fingerprint: None })
    }

    fn batch(outcomes: Vec<Outcome>) -> BatchOutcome {
        BatchOutcome { outcomes, learned: None }
    }

    #[test]
    fn a_list_of_another_length_is_refused() {
        assert!(outcomes(batch(vec![applied("1")]), 1).is_ok());
        for given in [vec![], vec![applied("1"), applied("2")]] {
            assert!(matches!(outcomes(batch(given), 1), Err(CallError::InvalidResponse(_))));
        }
        let refused = count("observations", 1_000_000, "subjects", 3).unwrap_err().to_string();
        assert!(refused.ends_with("1000000 observations for 3 subjects"), "{refused}");
    }

    #[test]
    fn ids_that_cannot_be_stored_are_refused_without_being_repeated() {
        for id in ["4\n5", "a\u{202e}b", &"9".repeat(256)] {
            let error = outcomes(batch(vec![applied(id)]), 1).unwrap_err().to_string();
            assert!(error.contains("remote-id of outcome 0"), "{error}");
            assert!(!error.contains(id));
        }
        assert!(outcomes(batch(vec![applied(&"9".repeat(255))]), 1).is_ok());
    }

    #[test]
    fn a_reason_to_skip_is_one_line_and_never_empty() {
        let skipped = vec![Outcome::Skipped("no\nplace".to_owned()), Outcome::Skipped(" \u{1b}".to_owned())];
        let BatchOutcome { outcomes, .. } = outcomes(batch(skipped), 2).unwrap();
        let reasons = ["no place", "the adapter skipped it without a reason"].map(str::to_owned);
        assert_eq!(outcomes, reasons.map(Outcome::Skipped));
    }

    #[test]
    fn learned_state_has_a_size_limit() {
        let learned = |bytes| BatchOutcome { outcomes: vec![], learned: Some(vec![0; bytes]) };
        assert!(outcomes(learned(LEARNED_BYTES_MAX), 0).is_ok());
        assert!(outcomes(learned(LEARNED_BYTES_MAX + 1), 0).is_err());
    }

    #[test]
    fn observations_that_cannot_be_compared_or_shown_are_refused_without_being_repeated() {
        let present = |fingerprint: &str, version: Option<&str>| Observation::Present {
            fingerprint: fingerprint.to_owned(),
            remote_version: version.map(str::to_owned),
        };
        let several = |count, id: &str| Observation::Several(vec![id.to_owned(); count]);
        for good in [present("f", None), present("f", Some("1")), several(16, "7"), Observation::Gone] {
            assert_eq!(observation(good.clone(), 0).unwrap(), good);
        }
        for bad in [
            present("", None),
            present("S\u{202e}", None),
            present("f", Some("")),
            several(17, "S"),
            several(1, ""),
            several(2, "S\n"),
        ] {
            let error = observation(bad, 4).unwrap_err().to_string();
            assert!(error.contains("observation 4") && !error.contains('S'), "{error}");
        }
        let unknown = observation(Observation::Unknown("a\nb".to_owned()), 0).unwrap();
        assert_eq!(unknown, Observation::Unknown("a b".to_owned()));
    }

    #[test]
    fn a_list_that_cannot_be_shown_or_never_ends_is_refused_without_being_repeated() {
        use crate::domain::change::OwnRecord;
        let query = OwnQuery { aggregate_type: "patient", after: Some("7"), limit: 2 };
        let page = |aggregate_id: &str, remote_id: &str, next: Option<&str>| OwnPage {
            records: vec![OwnRecord { aggregate_id: aggregate_id.to_owned(), remote_id: remote_id.to_owned() }],
            next: next.map(str::to_owned),
        };
        for good in [page("P-1", "1", None), page("P-1", "1", Some("8"))] {
            assert_eq!(own_page(good.clone(), &query).unwrap(), good);
        }
        let long = "S".repeat(CURSOR_CHARS_MAX + 1);
        for bad in [
            page("", "1", None),
            page("P-1", "", None),
            page("P\nS", "1", None),
            page("P-1", &"S".repeat(256), None),
            page("P-1", "1", Some("")),
            page("P-1", "1", Some("S\0")),
            page("P-1", "1", Some(&long)),
            page("P-1", "1", Some("7")),
        ] {
            let error = own_page(bad, &query).unwrap_err().to_string();
            assert!(error.contains("record 0") || error.contains("next page"), "{error}");
            assert!(!error.contains('S'), "{error}");
        }
        assert!(within("records", 2, 2).is_ok());
        let many = within("records", 1_000_000, 2).unwrap_err().to_string();
        assert!(many.ends_with("1000000 records, at most 2 were asked for"), "{many}");
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
    fn a_descriptor_with_control_characters_or_invalid_types_is_refused() {
        let named =
            |name: &str| Descriptor { name: name.to_owned(), version: "0.1.0".to_owned(), aggregate_types: vec![] };
        assert!(descriptor(named("openemr")).is_ok());
        assert!(descriptor(named("open\u{1b}emr")).is_err());
        assert!(descriptor(named("")).is_err());
        let with = |names: &[&str], schema: Option<&str>| {
            let support = |name: &&str| AggregateSupport {
                aggregate_type: (*name).to_owned(),
                operations: Vec::new(),
                observes: false,
                schema: schema.map(str::to_owned),
            };
            Descriptor { aggregate_types: names.iter().map(support).collect(), ..named("openemr") }
        };
        assert!(descriptor(with(&["patient", "encounter"], Some("https://example.org/patient.json"))).is_ok());
        assert!(descriptor(with(&["patient", "patient"], None)).is_err());
        assert!(descriptor(with(&["pa tient"], None)).is_err());
        assert!(descriptor(with(&["patient"], Some(""))).is_err());
    }
}
