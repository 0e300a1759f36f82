//! What is asked of an adapter for HTTP alone: the right word for a target that is down, busy, or will not let us in.

use super::Line;
use super::checks::say;
use super::harness::{Harness, is_outage};
use super::judgement::Judgement;
use super::mock_server::{MockServer, Mood};
use crate::domain::change::{FailureKind, Outcome, RemoteEdit};
use crate::target::CallFailure;

/// Each state of the target with the kind of failure that it must become.
const MOODS: [(&str, Mood, FailureKind); 4] = [
    ("target down", Mood::Closed, FailureKind::Unavailable),
    ("target answers 503", Mood::Status(503), FailureKind::Unavailable),
    ("target answers 429", Mood::Status(429), FailureKind::Throttled),
    ("target answers 401", Mood::Status(401), FailureKind::Misconfigured),
];

pub(super) async fn run(harness: &Harness, server: &MockServer, lines: &mut Vec<Line>) {
    for (check, mood, kind) in MOODS {
        server.be(mood);
        let judgement = outage(harness, kind).await;
        server.be(Mood::Well);
        say(lines, &harness.place, check, judgement);
    }
}

/// Whether the author's file has an answer to everything that was requested.
pub(super) fn answered(harness: &Harness, server: &MockServer, lines: &mut Vec<Line>) {
    let Some(unanswered) = server.unanswered() else { return };
    let judgement = match unanswered.first() {
        None => Ok("the file has one for every request".to_owned()),
        Some(first) => Err(format!(
            "{} requests had none, and were answered 501; the first was `{first}`: add an [[answer]] for it",
            unanswered.len()
        )),
    };
    say(lines, &harness.place, "canned answers", judgement);
}

/// The batch as a whole, or each of its changes, says so; nothing is confirmed.
async fn outage(harness: &Harness, kind: FailureKind) -> Judgement {
    let changes = harness.patients.create(2);
    let mend = |seen: String| {
        format!(
            "{seen}, expected `{}`: what concerns the target as a whole must not cost a change its attempts",
            kind.as_str()
        )
    };
    match harness.apply(&changes, RemoteEdit::Overwrite).await {
        Err(stop) if is_outage(&stop, kind) => {
            let waits = matches!(&stop, CallFailure::Reported(failure) if failure.retry_after_ms == Some(7_000));
            if kind == FailureKind::Throttled && !waits {
                return Err("`throttled`, but without the 7000 ms of Retry-After in retry-after-ms".to_owned());
            }
            Ok(format!("said as `{}`", kind.as_str()))
        }
        Err(stop) => Err(mend(stop.to_string())),
        Ok(outcomes) => {
            for outcome in &outcomes {
                match outcome {
                    Outcome::Applied(_) => return Err("confirmed although the target did not".to_owned()),
                    Outcome::Failed(failure) if failure.kind == kind => {}
                    Outcome::Failed(failure) => {
                        return Err(mend(format!("`{}`: {}", failure.kind.as_str(), failure.message)));
                    }
                }
            }
            Ok(format!("said as `{}`", kind.as_str()))
        }
    }
}
