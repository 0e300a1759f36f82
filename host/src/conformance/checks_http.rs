//! The checks for HTTP adapters only: the right failure kind for a target that is down, busy, or refuses access.

use super::Line;
use super::checks::record;
use super::harness::{Harness, is_outage};
use super::judgement::Judgement;
use super::mock_server::{MockServer, Mood, PLACE};
use crate::domain::change::{FailureKind, Outcome, RemoteEdit};
use crate::target::CallFailure;

/// Each behaviour of the server with the failure kind that the adapter must report.
const MOODS: [(&str, Mood, FailureKind); 4] = [
    ("target down", Mood::Closed, FailureKind::Unavailable),
    ("target answers 503", Mood::Status(503), FailureKind::Unavailable),
    ("target answers 429", Mood::Status(429), FailureKind::Throttled),
    ("target answers 401", Mood::Status(401), FailureKind::Misconfigured),
];

pub(super) async fn run(harness: &Harness, server: &MockServer, lines: &mut Vec<Line>) {
    for (check, mood, kind) in MOODS {
        server.set_mood(mood);
        let judgement = outage(harness, kind).await;
        server.set_mood(Mood::Working);
        record(lines, &harness.place, check, judgement);
    }
}

/// Checks that the author's file has an answer to every request.
pub(super) fn answered(server: &MockServer, lines: &mut Vec<Line>) {
    let Some(unanswered) = server.unanswered() else { return };
    let judgement = match unanswered.first() {
        None => Ok("the file has one for every request".to_owned()),
        Some(first) => Err(format!(
            "{} requests had none, and were answered 501; the first was `{first}`: add an [[answer]] for it",
            unanswered.len()
        )),
    };
    record(lines, PLACE, "canned answers", judgement);
}

/// The batch as a whole, or each of its changes, must report the outage; nothing may be confirmed.
async fn outage(harness: &Harness, kind: FailureKind) -> Judgement {
    let changes = harness.subjects.create(2);
    let fix = |seen: String| {
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
            Ok(format!("reported as `{}`", kind.as_str()))
        }
        Err(stop) => Err(fix(stop.to_string())),
        Ok(outcomes) => {
            for outcome in &outcomes {
                match outcome {
                    Outcome::Applied(_) => return Err("confirmed although the target did not".to_owned()),
                    Outcome::Skipped(_) => return Err(fix("skipped".to_owned())),
                    Outcome::Failed(failure) if failure.kind == kind => {}
                    Outcome::Failed(failure) => {
                        return Err(fix(format!("`{}`: {}", failure.kind.as_str(), failure.message)));
                    }
                }
            }
            Ok(format!("reported as `{}`", kind.as_str()))
        }
    }
}
