//! Sends the requests of all changes of a call, round by round, and passes each response to its change.
//!
//! Owns the rounds, and decides what a failure concerns: one record, or the target as a whole. It knows nothing of
//! records (`delivery` decides what to send) and nothing of HTTP (`line` sends, in Bundles or one by one, over
//! `wire`). A round is as few HTTP requests as the server allows. Nothing that the server may still be working on is
//! sent again, unless doing it twice changes nothing.

mod line;
mod wire;

use adapter_sdk::http::{Error, Request, Response};
use adapter_sdk::{Change, Failure, FailureKind, Outcome};
use serde_json::Value;

use crate::delivery::{Delivery, Rules, Step, Suspect};
use crate::learned::Learned;
use crate::outcome::failure;
use line::{Line, Reply};

pub(crate) use wire::with_headers;

pub(crate) const FHIR_JSON: &str = "application/fhir+json";

/// Every delivery ends after fewer steps than this, for any responses of a server.
const ROUNDS_MAX: usize = 40;

/// The adapter's access to the outside: the host's client in a component, a script in tests.
pub(crate) trait Outside {
    /// Sends one request and gives the whole answer.
    fn send(&self, request: &Request) -> Result<Response, Error>;
    /// The target's `base_url`, for messages.
    fn base_url(&self) -> Option<&str>;
    /// Tells the operator.
    fn warn(&self, message: &str);
}

/// Delivers the changes; one outcome for each, in their order, and what is known of the server afterwards.
///
/// Something new counts as learnt only in a call in which the server confirmed a change. Where nothing worked, a
/// refusal may be a proxy's.
///
/// # Errors The target as a whole gave up before any change had an outcome. Once one has, the others carry the failure
/// instead, so that no receipt is lost.
pub(crate) fn deliver(
    outside: &dyn Outside,
    rules: &Rules<'_>,
    learned: Learned,
    changes: &[Change],
) -> Result<(Vec<Outcome>, Learned), Failure> {
    let mut line = Line::new(outside, rules, learned);
    let mut outcomes: Vec<Option<Outcome>> = vec![None; changes.len()];
    let mut was_asked = vec![false; changes.len()];
    let mut deliveries = Vec::with_capacity(changes.len());
    let mut interactions = Vec::with_capacity(changes.len());
    for (index, change) in changes.iter().enumerate() {
        match Delivery::begin(rules, change) {
            Ok((delivery, interaction)) => {
                was_asked[index] = true;
                deliveries.push(Some(delivery));
                interactions.push((index, interaction));
            }
            Err(outcome) => {
                deliveries.push(None);
                outcomes[index] = Some(outcome);
            }
        }
    }
    let mut stopped = None;
    let mut notices = Notices::default();
    for _ in 0..ROUNDS_MAX {
        if interactions.is_empty() || stopped.is_some() {
            break;
        }
        let round = line.round(&std::mem::take(&mut interactions));
        stopped = round.stopped;
        for (index, reply) in round.replies {
            let Some(delivery) = &mut deliveries[index] else { continue };
            let step = match reply {
                Reply::Answer(answer) => delivery.advance(rules, &answer),
                Reply::LookFirst => delivery.look_first(),
                Reply::Unanswered(failure) => Step::Done(delivery.unanswered(failure)),
            };
            match step {
                Step::Send(interaction) => interactions.push((index, interaction)),
                Step::Done(outcome) => outcomes[index] = Some(outcome),
            }
            if let Some(notice) = delivery.take_notice() {
                notices.tell(outside, changes[index].change_id, notice);
            }
        }
    }
    let rest = stopped
        .unwrap_or_else(|| failure(FailureKind::Transient, format!("gave up after {ROUNDS_MAX} rounds of responses")));
    for (outcome, delivery) in outcomes.iter_mut().zip(&mut deliveries) {
        if outcome.is_none() {
            *outcome = delivery.as_mut().and_then(Delivery::conclude);
        }
    }
    if !changes.is_empty() && outcomes.iter().all(Option::is_none) {
        return Err(rest);
    }
    let mut outcomes: Vec<Outcome> =
        outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(|| Outcome::Failed(rest.clone()))).collect();
    let suspects: Vec<Option<Suspect>> =
        deliveries.iter().map(|delivery| delivery.as_ref().and_then(Delivery::suspect)).collect();
    let may_write = deliveries.iter().flatten().any(Delivery::may_write);
    let patients: Vec<bool> =
        deliveries.iter().map(|delivery| delivery.as_ref().is_some_and(Delivery::is_patient)).collect();
    blame(&mut outcomes, &suspects, &Asked { sent: was_asked, patients, may_write }, || line.refuses_every_write());
    let outcomes = whole(outcomes)?;
    let confirmed = outcomes.iter().any(|outcome| matches!(outcome, Outcome::Applied(_)));
    Ok((outcomes, if confirmed { line.learned() } else { learned }))
}

/// Notices that concern every record, each reported once, with the first change concerned.
#[derive(Default)]
struct Notices {
    told: Vec<String>,
}

impl Notices {
    fn tell(&mut self, outside: &dyn Outside, change_id: i64, notice: String) {
        if !self.told.contains(&notice) {
            outside.warn(&format!("change {change_id}: {notice}"));
            self.told.push(notice);
        }
    }
}

/// A request, and its change.
struct Asked {
    /// Something was sent for the change.
    sent: Vec<bool>,
    /// The change is a patient's.
    patients: Vec<bool>,
    /// The server looked at a write.
    may_write: bool,
}

/// Decides what refusals mean that may speak of the server: where several patients met them and none was served, the
/// target is to blame, and no change pays for it. Where others were served, each speaks for its own patient. Only a
/// write that the server looked at (`may_write`) says that the credentials may write: read-only ones serve whoever
/// needs no write.
fn blame(
    outcomes: &mut [Outcome],
    suspects: &[Option<Suspect>],
    of_server: &Asked,
    refuses_every_write: impl FnOnce() -> bool,
) {
    let is_target_wide = |outcome: &Outcome| matches!(outcome, Outcome::Failed(failure) if target_wide(failure.kind));
    let asked = || (0..outcomes.len()).filter(|index| of_server.sent[*index]);
    let of = |wanted: Suspect| -> Vec<usize> {
        asked().filter(|index| suspects[*index] == Some(wanted) && !is_target_wide(&outcomes[*index])).collect()
    };
    let (credentials, server) = (of(Suspect::Credentials), of(Suspect::Server));
    let is_served = asked().any(|index| suspects[index].is_none() && !is_target_wide(&outcomes[index]));
    let gave_up = asked().any(|index| is_target_wide(&outcomes[index]));
    // Credentials may hold for patients alone, so two refused patients say more than two refused observations.
    let patients = credentials.iter().filter(|index| of_server.patients[**index]).count();
    let may_not_write = !of_server.may_write && !credentials.is_empty() && (patients > 1 || refuses_every_write());
    // One denied patient proves too little: the host counts denied changes in a row.
    for index in credentials.iter().filter(|_| may_not_write) {
        let Outcome::Failed(failure) = &mut outcomes[*index] else { continue };
        failure.kind = FailureKind::Misconfigured;
        failure.message =
            format!("every write was refused: the credentials are wrong, or may only read ({})", failure.message);
    }
    if is_served {
        return;
    }
    for index in server.iter().filter(|_| server.len() > 1 || gave_up) {
        let Outcome::Failed(failure) = &mut outcomes[*index] else { continue };
        failure.kind = FailureKind::Unavailable;
    }
}

fn target_wide(kind: FailureKind) -> bool {
    matches!(kind, FailureKind::Unavailable | FailureKind::Throttled | FailureKind::Misconfigured)
}

/// The batch as a whole failed where every change carries a failure of the target.
fn whole(outcomes: Vec<Outcome>) -> Result<Vec<Outcome>, Failure> {
    let failures = outcomes.iter().map_while(|outcome| match outcome {
        Outcome::Failed(failure) if target_wide(failure.kind) => Some(failure),
        Outcome::Failed(_) | Outcome::Applied(_) | Outcome::Skipped(_) => None,
    });
    if failures.clone().count() < outcomes.len() {
        return Ok(outcomes);
    }
    match failures.max_by_key(|failure| failure.kind == FailureKind::Misconfigured) {
        Some(failure) => Err(failure.clone()),
        None => Ok(outcomes),
    }
}

/// The media type without its parameters, as far as it is one.
pub(crate) fn content_type(response: &Response) -> String {
    let known = |text: &&str| text.len() <= 60 && text.bytes().all(|byte| byte.is_ascii_graphic());
    let value = response.header("content-type").and_then(|value| value.split(';').next()).map(str::trim);
    value.filter(known).filter(|text| !text.is_empty()).unwrap_or("no content type").to_owned()
}

pub(crate) fn is_outcome(body: Option<&Value>) -> bool {
    body.and_then(|body| body.get("resourceType")).and_then(Value::as_str) == Some("OperationOutcome")
}

#[cfg(test)]
mod tests;
