//! Carries the requests of all changes of a call to the server, round by round, and their answers back.
//!
//! Owns when a Bundle is sent and when single requests are, and what becomes of the rest when the target as a whole gives
//! up in the middle. A round is as few HTTP requests as the server allows; most calls need one round. It knows nothing of
//! patients: `delivery` decides what to ask. It never sends anything twice by itself after an unclear answer, except to
//! find the one entry for which a server refuses a whole Bundle (every request here may be repeated without harm).

use std::collections::VecDeque;

use adapter_sdk::http::{Error, Method, Request, Response};
use adapter_sdk::{Change, Failure, FailureKind, Outcome};
use serde_json::Value;

use crate::answer::Answer;
use crate::bundle::{self, Entry};
use crate::delivery::{Ask, Delivery, Rules, Step};
use crate::outcome::{self, failure};

const FHIR_JSON: &str = "application/fhir+json";
/// Bundles in a row that the server breaks on before it counts as down. One bad entry alone never makes that many: of
/// the halves of a broken Bundle, one is whole.
const BROKEN_BUNDLES_MAX: u32 = 3;
/// A delivery has an end after fewer steps than this, whatever a server answers.
const ROUNDS_MAX: usize = 16;

/// What the adapter needs of the world outside; the host's client in a component, a script in tests.
pub(crate) trait Outside {
    /// Sends one request and gives the whole answer.
    fn send(&self, request: &Request) -> Result<Response, Error>;
    /// Tells the operator.
    fn warn(&self, message: &str);
}

/// Delivers the changes; one outcome for each, in their order.
///
/// # Errors
/// The target as a whole gave up before any change had an outcome. Once one has, the others carry the failure instead,
/// so that no receipt is lost.
pub(crate) fn deliver(outside: &dyn Outside, rules: &Rules<'_>, changes: &[Change]) -> Result<Vec<Outcome>, Failure> {
    let mut exchange = Exchange { outside, rules, bundles: rules.settings.batch && rules.capabilities.batch };
    let mut outcomes: Vec<Option<Outcome>> = vec![None; changes.len()];
    let mut deliveries = Vec::with_capacity(changes.len());
    let mut asks = Vec::with_capacity(changes.len());
    for (index, change) in changes.iter().enumerate() {
        let (delivery, step) = Delivery::begin(rules, change);
        deliveries.push(delivery);
        match step {
            Step::Ask(ask) => asks.push((index, ask)),
            Step::Done(outcome) => outcomes[index] = Some(outcome),
        }
    }
    let mut stopped = None;
    for _ in 0..ROUNDS_MAX {
        if asks.is_empty() || stopped.is_some() {
            break;
        }
        let round = exchange.round(&std::mem::take(&mut asks));
        stopped = round.stopped;
        for (index, answer) in round.answers {
            match deliveries[index].advance(rules, &answer) {
                Step::Ask(ask) => asks.push((index, ask)),
                Step::Done(outcome) => outcomes[index] = Some(outcome),
            }
            if let Some(notice) = deliveries[index].take_notice() {
                outside.warn(&format!("change {}: {notice}", changes[index].change_id));
            }
        }
    }
    let rest = stopped.unwrap_or_else(|| failure(FailureKind::Transient, "the server's answers lead to no end"));
    if !changes.is_empty() && outcomes.iter().all(Option::is_none) {
        return Err(rest);
    }
    Ok(outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(|| Outcome::Failed(rest.clone()))).collect())
}

struct Exchange<'a> {
    outside: &'a dyn Outside,
    rules: &'a Rules<'a>,
    /// Until the server turns out not to take Bundles.
    bundles: bool,
}

#[derive(Default)]
struct Round {
    answers: Vec<(usize, Answer)>,
    /// Why the round ended early; requests without an answer may or may not have been carried out.
    stopped: Option<Failure>,
}

/// What became of one Bundle.
enum Posted {
    Answers(Vec<Answer>),
    /// The server refused it as a whole, perhaps because of one entry.
    Refused,
    /// The server broke on it, perhaps because of one entry.
    Broke,
    /// The server does not take Bundles.
    NotTaken,
}

impl Exchange<'_> {
    fn round(&mut self, asks: &[(usize, Ask)]) -> Round {
        let mut round = Round::default();
        if !self.bundles || asks.len() == 1 {
            self.alone(asks.iter(), &mut round);
            return round;
        }
        let settings = self.rules.settings;
        let entries = asks.iter().map(|(index, ask)| Entry::new(*index, ask)).collect();
        let mut queue: VecDeque<Vec<Entry>> =
            bundle::chunks(entries, settings.bundle_entries_max, settings.bundle_bytes_max).into();
        let mut broken = 0;
        while let Some(mut entries) = queue.pop_front() {
            if entries.len() == 1 || !self.bundles {
                let of_chunk = |ask: &&(usize, Ask)| entries.iter().any(|entry| entry.index == ask.0);
                self.alone(asks.iter().filter(of_chunk), &mut round);
                if round.stopped.is_some() {
                    return round;
                }
                continue;
            }
            match self.post(&entries) {
                Ok(Posted::Answers(answers)) => {
                    broken = 0;
                    round.answers.extend(entries.iter().map(|entry| entry.index).zip(answers));
                    continue;
                }
                Ok(Posted::Broke) if broken + 1 >= BROKEN_BUNDLES_MAX => {
                    round.stopped = Some(failure(FailureKind::Unavailable, "POST Bundle answered 500 again and again"));
                    return round;
                }
                Ok(Posted::Broke) => broken += 1,
                Ok(Posted::Refused) => {}
                Ok(Posted::NotTaken) => {
                    self.outside.warn(
                        "the server says that it takes batch Bundles but refuses them; sending requests one by one \
                         (set batch = false to do so from the start)",
                    );
                    self.bundles = false;
                    queue.push_front(entries);
                    continue;
                }
                Err(failure) => {
                    round.stopped = Some(failure);
                    return round;
                }
            }
            // The halves go to the end of the queue: what is sound in between proves that the server is well.
            let second = entries.split_off(entries.len() / 2);
            queue.push_back(entries);
            queue.push_back(second);
        }
        round
    }

    fn post(&self, entries: &[Entry]) -> Result<Posted, Failure> {
        let what = format!("POST Bundle of {} entries", entries.len());
        let request = with_headers(Request::new(Method::Post, "").with_body(bundle::body(entries)), true);
        let (response, body) = self.send(&what, &request)?;
        let told = is_outcome(body.as_ref());
        match response.status {
            400 | 413 | 422 => return Ok(Posted::Refused),
            404 | 405 | 501 => return Ok(Posted::NotTaken),
            500 if told => return Ok(Posted::Broke),
            200..=299 => {}
            status => {
                return Err(outcome::of_response(&what, &response, false)
                    .unwrap_or_else(|| failure(FailureKind::Transient, format!("{what} answered {status}"))));
            }
        }
        let mut body = body.unwrap_or_default();
        bundle::answers(&mut body, entries.len())
            .map(Posted::Answers)
            .map_err(|problem| failure(FailureKind::Transient, format!("{what} was answered with {problem}")))
    }

    /// Sends requests one by one.
    fn alone<'b>(&self, asks: impl Iterator<Item = &'b (usize, Ask)>, round: &mut Round) {
        for (index, ask) in asks {
            match self.single(ask) {
                Ok(answer) => round.answers.push((*index, answer)),
                Err(failure) => {
                    round.stopped = Some(failure);
                    return;
                }
            }
        }
    }

    fn single(&self, ask: &Ask) -> Result<Answer, Failure> {
        let writes = ask.resource.is_some();
        let body = ask.resource.as_ref().map(|resource| resource.to_string().into_bytes()).unwrap_or_default();
        let mut request = with_headers(Request::new(ask.method, ask.url.clone()).with_body(body), writes);
        if let Some(if_match) = &ask.if_match {
            request = request.with_header("if-match", if_match.clone());
        }
        if let Some(query) = &ask.if_none_exist {
            request = request.with_header("if-none-exist", query.clone());
        }
        let what = match ask.method {
            Method::Get => "GET Patient",
            Method::Post => "POST Patient",
            _ => "PUT Patient",
        };
        let (response, body) = self.send(what, &request)?;
        match outcome::of_response(what, &response, is_outcome(body.as_ref())) {
            Some(failure) => Err(failure),
            None => Ok(Answer::from_response(&response, body)),
        }
    }

    /// The answer and its body as JSON.
    fn send(&self, what: &str, request: &Request) -> Result<(Response, Option<Value>), Failure> {
        let response = self.outside.send(request).map_err(|error| outcome::of_error(what, &error))?;
        let body: Option<Value> = serde_json::from_slice(&response.body).ok();
        let empty = response.body.iter().all(u8::is_ascii_whitespace);
        if body.is_none() && !empty && (200..300).contains(&response.status) {
            // A proxy's page that says 200 must never pass for a confirmation.
            return Err(failure(
                FailureKind::Misconfigured,
                format!("{what} was answered with {} and not with FHIR JSON", content_type(&response)),
            ));
        }
        Ok((response, body))
    }
}

/// The media type without its parameters, as far as it is one.
pub(crate) fn content_type(response: &Response) -> String {
    let known = |text: &&str| text.len() <= 60 && text.bytes().all(|byte| byte.is_ascii_graphic());
    let value = response.header("content-type").and_then(|value| value.split(';').next()).map(str::trim);
    value.filter(known).filter(|text| !text.is_empty()).unwrap_or("no content type").to_owned()
}

fn is_outcome(body: Option<&Value>) -> bool {
    body.and_then(|body| body.get("resourceType")).and_then(Value::as_str) == Some("OperationOutcome")
}

fn with_headers(request: Request, writes: bool) -> Request {
    let request = request.with_header("accept", FHIR_JSON);
    if writes {
        request.with_header("content-type", FHIR_JSON).with_header("prefer", "return=minimal")
    } else {
        request
    }
}

#[cfg(test)]
mod tests;
