//! The checks of every adapter, and the messages that name the fix.
//!
//! A check leaves the target in a working state, and later checks rely on nothing else. When the adapter cannot deliver
//! at all, the other checks are skipped, because they would fail for the same reason.

use super::Line;
use super::delivering::{receipts, records};
use super::harness::Harness;
use super::judgement::{Judgement, applied};
use super::patients::personal;
use super::subjects::{link, missing_id};
use super::{invalid, listing, merging, observing, referred};
use crate::domain::change::{
    Change, Failure, FailureKind, FindingLevel, Link, Operation, Outcome, Receipt, RemoteEdit,
};
use crate::target::CallFailure;

/// Changes in the batch that tests the limits.
const LARGE_BATCH: usize = 100;

/// Records the result of a check; returns whether it passed.
pub(super) fn record(lines: &mut Vec<Line>, place: &str, check: &'static str, judgement: Judgement) -> bool {
    let passed = judgement.is_ok();
    let message = judgement.unwrap_or_else(|fix| fix);
    lines.push(Line { place: place.to_owned(), check, message, passed, tried: true });
    passed
}

/// Says why a check cannot be run.
pub(super) fn not_tried(lines: &mut Vec<Line>, place: &str, check: &'static str, why: &str) {
    let message = format!("not tried: {why}");
    lines.push(Line { place: place.to_owned(), check, message, passed: true, tried: false });
}

/// Runs them in order. Returns whether the adapter delivers at all.
pub(super) async fn run(harness: &Harness, lines: &mut Vec<Line>) -> bool {
    let place = harness.place.clone();
    record(lines, &place, "describe", Ok(describe(harness)));
    if !record(lines, &place, "check", check(harness).await) {
        return false;
    }
    record(lines, &place, "empty batch", empty_batch(harness).await);
    if let Err(fix) = referred::provide(harness).await {
        record(lines, &place, "references", Err(fix));
        return false;
    }
    let delivered = match deliver(harness).await {
        Ok(Delivered::Each(delivered)) => delivered,
        Ok(Delivered::Skipped) => {
            record(lines, &place, "deliver", Ok("skipped, with a reason: the target has no place for them".to_owned()));
            return false;
        }
        Err(fix) => {
            record(lines, &place, "deliver", Err(fix));
            return false;
        }
    };
    let many = harness.subjects.many(delivered.len());
    record(lines, &place, "deliver", Ok(format!("{many}, each with an id of its own")));
    record(lines, &place, "same batch twice", again(harness, &delivered, true).await);
    record(lines, &place, "crash after commit", again(harness, &delivered, false).await);
    if harness.is_database() {
        record(lines, &place, "crash before commit", rolled_back(harness).await);
    }
    let (no_text, no_variety) = (harness.subjects.lacks_text(), harness.subjects.lacks_variety());
    if let Some(why) = no_variety {
        not_tried(lines, &place, "update", why);
    } else {
        record(lines, &place, "update", update(harness, &delivered).await);
    }
    if !harness.subjects.wanted_references().is_empty() {
        record(lines, &place, "references", referred::judge(harness).await);
    }
    record(lines, &place, "unknown aggregate type", unknown_type(harness).await);
    record(lines, &place, "bad change among good ones", bad_among_good(harness).await);
    record(lines, &place, "invalid payloads", invalid::judge(harness).await);
    if let Some(why) = no_text {
        not_tried(lines, &place, "unicode", why);
        not_tried(lines, &place, "long text", why);
    } else {
        record(lines, &place, "unicode", unicode(harness).await);
        record(lines, &place, "long text", long_text(harness).await);
    }
    if let Some(why) = no_variety {
        not_tried(lines, &place, "edited at the target", why);
    } else {
        record(lines, &place, "edited at the target", conflict(harness).await);
    }
    record(lines, &place, "record gone", gone(harness, &delivered).await);
    record(lines, &place, "observe", observing::judge(harness).await);
    if harness.lists() {
        record(lines, &place, "list", listing::judge(harness).await);
    }
    record(lines, &place, "merge", merging::judge(harness).await);
    record(lines, &place, "delete", delete(harness).await);
    record(lines, &place, "cancelled call", cancelled(harness).await);
    record(lines, &place, "limits", limits(harness).await);
    record(lines, &place, "nothing personal", nothing_personal(harness));
    true
}

/// `mod.rs` decides which types are tested.
fn describe(harness: &Harness) -> String {
    let types: Vec<_> = harness.descriptor().type_names().collect();
    format!("delivers {}", types.join(", "))
}

async fn check(harness: &Harness) -> Judgement {
    let report = harness.check().await.map_err(|failure| format!("`check` failed, {failure}"))?;
    let problem = report.findings.iter().find(|finding| finding.level == FindingLevel::Problem);
    match problem {
        Some(finding) => Err(format!("`check` found a problem: {}; is the setup file whole?", finding.message)),
        None if report.summary.is_empty() => Err("`check` gave no summary: name the target in a few words".to_owned()),
        None => Ok(report.summary),
    }
}

async fn empty_batch(harness: &Harness) -> Judgement {
    match harness.apply(&[], RemoteEdit::Overwrite).await {
        Ok(_) => Ok("no outcomes for no changes".to_owned()),
        Err(failure) => Err(format!("an empty batch must have an empty answer, not {failure}")),
    }
}

/// What became of the first batch.
enum Delivered {
    Each(Vec<(Change, Receipt)>),
    /// The target has no place for this type, so that nothing else can be tried.
    Skipped,
}

/// What everything else builds on.
async fn deliver(harness: &Harness) -> Result<Delivered, String> {
    let changes = harness.subjects.create(5);
    let outcomes = harness.deliver(&changes).await.map_err(|failure| format!("the batch failed, {failure}"))?;
    if outcomes.iter().all(|outcome| matches!(outcome, Outcome::Skipped(_))) {
        return Ok(Delivered::Skipped);
    }
    let receipts: Result<Vec<_>, _> = outcomes.into_iter().map(|outcome| applied(outcome, "a sound change")).collect();
    let receipts = receipts?;
    let mut ids: Vec<&str> = receipts.iter().map(|receipt| receipt.remote_id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.first().is_some_and(|id| id.is_empty()) {
        return Err("a receipt has an empty remote-id: give the id by which the target knows the record".to_owned());
    }
    if ids.len() < receipts.len() {
        return Err("two aggregates were given the same remote-id: each must have a record of its own".to_owned());
    }
    Ok(Delivered::Each(changes.into_iter().zip(receipts).collect()))
}

/// The same batch again: with the links that the host has stored, or without them, as after a crash between commit and
/// settlement.
async fn again(harness: &Harness, delivered: &[(Change, Receipt)], linked: bool) -> Judgement {
    let before = records(harness).await?;
    let changes: Vec<Change> = delivered
        .iter()
        .map(|(change, receipt)| Change { attempt: 2, link: linked.then(|| link(receipt)), ..change.clone() })
        .collect();
    let receipts = receipts(harness, &changes).await?;
    for (receipt, (_, first)) in receipts.iter().zip(delivered) {
        if receipt.remote_id != first.remote_id {
            return Err("another remote-id than the first time: look for the record, by a key that the target keeps \
                        unique, before creating one"
                .to_owned());
        }
        if receipt.fingerprint != first.fingerprint {
            return Err(
                "another fingerprint than the first time for the same state: it may not hold a time or a count"
                    .to_owned(),
            );
        }
    }
    let after = records(harness).await?;
    if after != before {
        return Err(format!("{before} records before and {after} after: the same change twice must do nothing new"));
    }
    Ok("the same ids, and nothing new at the target".to_owned())
}

async fn rolled_back(harness: &Harness) -> Judgement {
    let changes = harness.subjects.create(2);
    let before = records(harness).await?;
    harness.apply_and_roll_back(&changes).await.map_err(|failure| failure.to_string())?;
    if records(harness).await? != before {
        return Err(
            "something stayed although the host rolled back: write through the lent transaction only".to_owned()
        );
    }
    receipts(harness, &changes).await?;
    Ok("nothing stayed, and the batch worked afterwards".to_owned())
}

async fn update(harness: &Harness, delivered: &[(Change, Receipt)]) -> Judgement {
    let (change, receipt) = &delivered[0];
    let newer = harness.subjects.newer(change, receipt, "Daegu");
    let again = receipts(harness, std::slice::from_ref(&newer)).await?.remove(0);
    if again.remote_id != receipt.remote_id {
        return Err("an update gave another remote-id: it must change the record that the link names".to_owned());
    }
    Ok("the same id".to_owned())
}

async fn unknown_type(harness: &Harness) -> Judgement {
    let good = harness.subjects.create(1).remove(0);
    let mut odd = harness.subjects.create(1).remove(0);
    "conformance-unknown".clone_into(&mut odd.key.aggregate_type);
    let mut outcomes = harness.deliver(&[good, odd]).await.map_err(|failure| format!("the batch failed, {failure}"))?;
    let odd = outcomes.pop();
    for outcome in outcomes {
        applied(outcome, "the good change next to it")?;
    }
    match odd {
        Some(Outcome::Failed(failure)) if failure.kind == FailureKind::Unsupported => {
            Ok(format!("`unsupported`, and the {} next to it was delivered", harness.subjects.one()))
        }
        Some(Outcome::Failed(failure)) => Err(format!(
            "`{}`, expected `unsupported`: compare `aggregate-type` before reading the payload",
            failure.kind.as_str()
        )),
        _ => {
            Err("it was confirmed, expected `unsupported`: compare `aggregate-type` before reading the payload"
                .to_owned())
        }
    }
}

async fn bad_among_good(harness: &Harness) -> Judgement {
    let mut changes = harness.subjects.create(4);
    changes[2] = harness.subjects.bad();
    let one = harness.subjects.one();
    let outcomes = harness.deliver(&changes).await.map_err(|failure| {
        format!("the batch failed, {failure}; give the bad change an outcome of its own, or a permanent failure")
    })?;
    for (index, outcome) in outcomes.into_iter().enumerate() {
        match (index, outcome) {
            (2, Outcome::Applied(_)) => return Err(format!("a payload that is no {one} was confirmed")),
            (2, Outcome::Skipped(_)) => {
                return Err(format!("a payload that is no {one} was skipped, expected `invalid`"));
            }
            (2, Outcome::Failed(failure)) if failure.kind.is_permanent() => {}
            (2, Outcome::Failed(failure)) => {
                return Err(format!(
                    "the bad change is `{}`, expected `invalid`: a retry cannot help",
                    failure.kind.as_str()
                ));
            }
            (_, outcome) => drop(applied(outcome, "a good change next to the bad one")?),
        }
    }
    Ok("the bad one failed permanently, the others were delivered".to_owned())
}

async fn unicode(harness: &Harness) -> Judgement {
    let change = harness.subjects.with_texts("O'Nguyễn-\u{1f9d1}\u{200d}\u{2695}\u{fe0f} \"ü\\%_", "שלום ขวัญ 김민준");
    let outcome = harness.deliver(std::slice::from_ref(&change)).await.map_err(|failure| failure.to_string())?;
    taken_or_refused(outcome, "text in many scripts, with quotes")
}

async fn long_text(harness: &Harness) -> Judgement {
    let long = harness.subjects.with_texts(&"Wolkenstein".repeat(1_000), "Wolkenstein");
    let outcomes = harness.deliver(&[harness.subjects.create(1).remove(0), long]).await;
    let mut outcomes = outcomes.map_err(|failure| {
        format!("the batch failed, {failure}; a value that does not fit is `invalid`, for its own change")
    })?;
    let last = outcomes.pop();
    for outcome in outcomes {
        applied(outcome, "the good change next to the long one")?;
    }
    taken_or_refused(last.into_iter().collect(), "a text of 11,000 letters")
}

fn taken_or_refused(outcomes: Vec<Outcome>, what: &str) -> Judgement {
    match outcomes.into_iter().next() {
        Some(Outcome::Applied(_)) => Ok(format!("{what}: taken")),
        Some(Outcome::Failed(failure)) if failure.kind.is_permanent() => {
            Ok(format!("{what}: refused as `{}`", failure.kind.as_str()))
        }
        Some(Outcome::Failed(failure)) => {
            Err(format!("{what}: `{}`, expected to be accepted, or refused permanently", failure.kind.as_str()))
        }
        Some(Outcome::Skipped(_)) => Err(format!("{what}: skipped, expected to be accepted, or refused permanently")),
        None => Err(format!("{what}: no outcome")),
    }
}

/// Simulates an edit by others with a link whose fingerprint is of another state.
async fn conflict(harness: &Harness) -> Judgement {
    let changes = harness.subjects.create(2);
    let receipts = receipts(harness, &changes).await?;
    let [first, second] = &receipts[..] else { return Err("no receipts".to_owned()) };
    if first.remote_version.is_none() && first.fingerprint.is_none() {
        return Ok("the receipts hold neither version nor fingerprint: edits by others are written over".to_owned());
    }
    let mut newer = harness.subjects.newer(&changes[0], first, "Incheon");
    newer.link = Some(Link {
        remote_id: first.remote_id.clone(),
        remote_version: first.remote_version.as_ref().map(|_| "conformance-stale".to_owned()),
        fingerprint: second.fingerprint.clone(),
    });
    let held = harness.apply(std::slice::from_ref(&newer), RemoteEdit::Hold).await;
    match held.map_err(|failure| failure.to_string())?.pop() {
        Some(Outcome::Failed(failure)) if failure.kind == FailureKind::Conflict => {}
        Some(Outcome::Failed(failure)) => {
            return Err(format!("with `hold`: `{}`, expected `conflict`", failure.kind.as_str()));
        }
        _ => {
            return Err(
                "with `hold`: written over what others wrote, expected `conflict`: compare the record with the \
                        link's fingerprint or version first"
                    .to_owned(),
            );
        }
    }
    let overwritten = harness.apply(std::slice::from_ref(&newer), RemoteEdit::Overwrite).await;
    match overwritten.map_err(|failure| failure.to_string())?.pop() {
        Some(Outcome::Applied(_)) => Ok("`conflict` with `hold`, written with `overwrite`".to_owned()),
        _ => Err("with `overwrite` the state must be written all the same".to_owned()),
    }
}

/// The link names a record that the target does not have.
async fn gone(harness: &Harness, delivered: &[(Change, Receipt)]) -> Judgement {
    let mut change = harness.subjects.create(1).remove(0);
    change.operation = Operation::Update;
    let remote_id = missing_id(&delivered[0].1.remote_id);
    change.link = Some(Link { remote_id, remote_version: None, fingerprint: None });
    let outcome = harness.deliver(std::slice::from_ref(&change)).await.map_err(|failure| failure.to_string())?.pop();
    match outcome {
        Some(Outcome::Applied(_)) => Ok("made anew".to_owned()),
        Some(Outcome::Failed(failure)) if failure.kind == FailureKind::Conflict => Ok("`conflict`".to_owned()),
        Some(Outcome::Failed(failure)) => {
            Err(format!("`{}`: {}; expected it to be made anew, or `conflict`", failure.kind.as_str(), failure.message))
        }
        Some(Outcome::Skipped(_)) => Err("skipped, expected it to be made anew, or `conflict`".to_owned()),
        None => Err("no outcome".to_owned()),
    }
}

async fn delete(harness: &Harness) -> Judgement {
    let change = harness.subjects.create(1).remove(0);
    let receipt = receipts(harness, std::slice::from_ref(&change)).await?.remove(0);
    let deleted =
        Change { operation: Operation::Delete, payload: "{}".to_owned(), link: Some(link(&receipt)), ..change };
    let never = Change { operation: Operation::Delete, ..harness.subjects.create(1).remove(0) };
    let empty = Change { payload: "{}".to_owned(), ..never.clone() };
    let mut seen = "deleted";
    for (change, what, otherwise) in [
        (&deleted, "a delete", None),
        (&deleted, "the same delete twice", None),
        // Without a link the payload may be all that names the record.
        (&empty, "a delete of what never was there", Some(&never)),
    ] {
        let mut outcome = delete_one(harness, change, what).await?;
        if let (Outcome::Failed(Failure { kind: FailureKind::Invalid, .. }), Some(change)) = (&outcome, otherwise) {
            outcome = delete_one(harness, change, what).await?;
        }
        match outcome {
            Outcome::Applied(_) => {}
            Outcome::Failed(failure) if matches!(failure.kind, FailureKind::Unsupported | FailureKind::Denied) => {
                seen = "refused as a rule";
            }
            Outcome::Failed(failure) => {
                return Err(format!(
                    "{what}: `{}`: {}; it must be harmless, or `unsupported`",
                    failure.kind.as_str(),
                    failure.message
                ));
            }
            Outcome::Skipped(_) => seen = "skipped",
        }
    }
    Ok(format!("{seen}; twice is harmless"))
}

async fn delete_one(harness: &Harness, change: &Change, what: &str) -> Result<Outcome, String> {
    let outcomes =
        harness.deliver(std::slice::from_ref(change)).await.map_err(|failure| format!("{what}: {failure}"))?;
    outcomes.into_iter().next().ok_or_else(|| format!("{what}: no outcome"))
}

/// Aborts a call halfway: the batch is delivered again, with the same result as without the abort.
async fn cancelled(harness: &Harness) -> Judgement {
    let changes = harness.subjects.create(20);
    let before = records(harness).await?;
    match harness.apply_cut_off(&changes, 1).await {
        Ok(_) | Err(CallFailure::Crashed(_) | CallFailure::Reported(_)) => {}
        Err(failure @ (CallFailure::Database(_) | CallFailure::FenceLost)) => return Err(failure.to_string()),
    }
    if harness.is_database() && records(harness).await? != before {
        return Err("something stayed of a call that was cut off".to_owned());
    }
    receipts(harness, &changes).await?;
    let once = records(harness).await?;
    receipts(harness, &changes).await?;
    if records(harness).await? != once {
        return Err("after a call that was cut off, the same batch twice made new records".to_owned());
    }
    Ok("the batch came again, and nothing is there twice".to_owned())
}

async fn limits(harness: &Harness) -> Judgement {
    let changes = harness.subjects.create(LARGE_BATCH);
    receipts(harness, &changes).await.map_err(|fix| format!("a batch of {LARGE_BATCH}: {fix}"))?;
    let most = harness.most();
    let memory_mib = most.memory_bytes.div_ceil(1 << 20);
    Ok(format!(
        "a batch of {LARGE_BATCH} took at most {memory_mib} of {} MiB and {} calls of the host",
        harness.memory_mib_max(),
        most.host_calls
    ))
}

/// Checked last, over all messages and log lines.
fn nothing_personal(harness: &Harness) -> Judgement {
    let words = harness.texts();
    match words.iter().find_map(|text| personal(text)) {
        None => Ok(format!("{} messages, ids and log lines", words.len())),
        // The payload was made up, so the word may be shown: it is how the author finds the place.
        Some(word) => Err(format!(
            "`{word}` out of a payload is in a message, an id, a finding or a log line: name columns and codes, never \
             values"
        )),
    }
}
