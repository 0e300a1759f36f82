//! Payloads that break the outbox contract: an adapter must refuse each permanently, even if its target would accept
//! it.
//!
//! Patients break the rules of `docs/outbox.md` for names, dates, ids, white space and control characters; payloads of
//! other types are not JSON objects. Read next: `checks.rs`.

use super::harness::Harness;
use super::judgement::{Judgement, applied};
use crate::domain::change::Outcome;

/// Delivers all in one batch, with a valid one at the end.
pub(super) async fn judge(harness: &Harness) -> Judgement {
    let (rules, mut changes): (Vec<_>, Vec<_>) = harness.subjects.broken().into_iter().unzip();
    changes.extend(harness.subjects.create(1));
    let mut outcomes = harness.deliver(&changes).await.map_err(|stop| {
        format!("the batch failed, {stop}; give each bad change an outcome of its own, or a permanent failure")
    })?;
    applied(outcomes.pop().ok_or("no outcome")?, "a good change after the bad ones")?;
    for (rule, outcome) in rules.iter().zip(outcomes) {
        match outcome {
            Outcome::Failed(failure) if failure.kind.is_permanent() => {}
            Outcome::Failed(failure) => {
                let kind = failure.kind.as_str();
                return Err(format!("{rule} is `{kind}`, expected `invalid`: a retry cannot help"));
            }
            Outcome::Applied(_) | Outcome::Skipped(_) => return Err(format!("{rule} was confirmed: {}", fix(harness))),
        }
    }
    Ok(format!("{} payloads that break a rule failed permanently", rules.len()))
}

fn fix(harness: &Harness) -> &'static str {
    if harness.subjects.is_patients() {
        "read payloads by the rules of docs/outbox.md, with the SDK's `patient::read`, or `patient.py` or `patient.js` \
         of a project of `host plugin new`"
    } else {
        "a payload is one JSON object: refuse everything else as `invalid`"
    }
}
