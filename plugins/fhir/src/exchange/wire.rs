//! Sends one HTTP request, a Bundle or a single one, and classifies its response.
//!
//! Owns the difference between an answer of the server, an answer that no FHIR server gives, and no answer. It keeps no
//! count and decides nothing. Read next: `outcome::of_response`, which has the table of statuses, and `line`, which
//! decides.

use adapter_sdk::http::{Error, Method, Request, Response};
use adapter_sdk::{Failure, FailureKind};
use serde_json::Value;

use super::{FHIR_JSON, Outside, is_outcome};
use crate::answer::Answer;
use crate::bundle::{self, Entry};
use crate::delivery::Interaction;
use crate::outcome::{self, Asked, Whole, failure};

/// What came of one HTTP request.
pub(super) enum Sent<T> {
    Answered(T),
    /// Answered, but not as a FHIR server would. A single request keeps what can be read of it, if anything can.
    Odd(Failure, Option<Answer>),
    /// The connection broke after it was sent, or a gateway answered while the server may still be working on it.
    Broken(Failure),
    /// No answer in time; the server may still be working on it.
    Slow(Failure),
    /// The target as a whole refuses.
    Target(Failure),
}

/// The result of a Bundle that the server answered.
pub(super) enum Posted {
    Answers(Vec<Answer>),
    /// Refused as a whole, perhaps because of one entry.
    Refused,
    /// The server does not take Bundles.
    NotTaken,
}

/// The way to the server.
pub(super) struct Wire<'a> {
    outside: &'a dyn Outside,
    /// Where Bundles are posted: the base URL, with a slash behind it where the server redirects there.
    base: &'static str,
}

impl<'a> Wire<'a> {
    pub(super) fn new(outside: &'a dyn Outside, needs_slash: bool) -> Self {
        Self { outside, base: if needs_slash { "/" } else { "" } }
    }

    pub(super) fn needs_slash(&self) -> bool {
        self.base == "/"
    }

    /// Sends a search that finds nobody: whether the server is there and lets us in.
    pub(super) fn finds_nobody(&self, query: String) -> bool {
        let request = with_headers(Request::new(Method::Get, query), false);
        let Ok(response) = self.outside.send(&request) else { return false };
        let body: Option<Value> = serde_json::from_slice(&response.body).ok();
        match response.status {
            200 => body.is_some_and(|body| body.get("resourceType").and_then(Value::as_str) == Some("Bundle")),
            401 | 403 | 404 | 408 | 429 => false,
            400..=499 => is_outcome(body.as_ref()),
            _ => false,
        }
    }

    /// Sends a create that is cut off after its first byte, which leaves no trace at any server. One that judges the
    /// credentials first says whether they may write; one that reads the body first says nothing of them.
    pub(super) fn refuses_a_broken_write(&self) -> bool {
        let request = with_headers(Request::new(Method::Post, "Patient").with_body(b"{".to_vec()), true);
        self.outside.send(&request).is_ok_and(|response| matches!(response.status, 401 | 403))
    }

    pub(super) fn post(&mut self, entries: &[Entry]) -> Sent<Posted> {
        let what = format!("POST Bundle of {} entries", entries.len());
        let request =
            |base: &str| with_headers(Request::new(Method::Post, base).with_body(bundle::body(entries)), true);
        let mut sent = self.outside.send(&request(self.base));
        if self.base.is_empty() && sent.as_ref().is_ok_and(leads_to_a_slash) {
            self.base = "/";
            sent = self.outside.send(&request(self.base));
        }
        let response = match sent {
            Ok(response) => response,
            Err(error) => return unsent(&what, &error),
        };
        let mut body: Option<Value> = serde_json::from_slice(&response.body).ok();
        let asked = Asked { what: &what, base_url: self.outside.base_url(), path: self.base };
        match outcome::of_response(&asked, &response, is_outcome(body.as_ref())) {
            // Said of the address alone: entries have none of their own.
            Whole::Odd(_) if response.status == 404 => return Sent::Answered(Posted::NotTaken),
            Whole::Odd(_) if response.status == 501 => return Sent::Answered(Posted::NotTaken),
            Whole::Odd(failure) => return Sent::Odd(failure, None),
            Whole::Unanswered(failure) => return Sent::Broken(failure),
            Whole::Slow(failure) => return Sent::Slow(failure),
            Whole::Target(failure) => return Sent::Target(failure),
            Whole::Answer => {}
        }
        match response.status {
            400 | 413 | 422 => return Sent::Answered(Posted::Refused),
            404 | 405 => return Sent::Answered(Posted::NotTaken),
            200..=299 => {}
            403 => {
                let message = format!("{what} answered 403: the credentials do not suffice");
                return Sent::Odd(failure(FailureKind::Misconfigured, message), None);
            }
            status => {
                let message = format!("{what} answered {status}");
                return Sent::Odd(failure(FailureKind::Unavailable, message), None);
            }
        }
        let no_json = || not_json(&what, &response);
        match body.as_mut() {
            // A proxy's page with status 200 must never count as a confirmation.
            None if is_page(&response) => Sent::Odd(failure(FailureKind::Misconfigured, no_json()), None),
            None => Sent::Odd(failure(FailureKind::Unavailable, format!("{what} was answered with nothing")), None),
            Some(body) => match bundle::answers(body, entries.len()) {
                Ok(answers) => Sent::Answered(Posted::Answers(answers)),
                Err(problem) => {
                    let message = format!("{what} was answered with {problem}");
                    Sent::Odd(failure(FailureKind::Unavailable, message), None)
                }
            },
        }
    }

    pub(super) fn single(&self, interaction: &Interaction) -> Sent<Answer> {
        let writes = interaction.resource.is_some();
        let body = interaction.resource.as_ref().map(|resource| resource.to_string().into_bytes()).unwrap_or_default();
        let mut request =
            with_headers(Request::new(interaction.method, interaction.url.clone()).with_body(body), writes);
        for (name, value) in [("if-match", &interaction.if_match), ("if-none-exist", &interaction.if_none_exist)] {
            if let Some(value) = value {
                request = request.with_header(name, value.clone());
            }
        }
        if interaction.only_if_new {
            request = request.with_header("if-none-match", "*");
        }
        let what = format!("{} {}", bundle::method(interaction.method), interaction.resource_type());
        let what = what.as_str();
        let response = match self.outside.send(&request) {
            Ok(response) => response,
            Err(error) => return unsent(what, &error),
        };
        let body: Option<Value> = serde_json::from_slice(&response.body).ok();
        let told = is_outcome(body.as_ref());
        if body.is_none() && (200..300).contains(&response.status) && is_page(&response) {
            return Sent::Odd(
                failure(FailureKind::Misconfigured, not_json(what, &response)),
                Some(Answer::from_response(&response, None)),
            );
        }
        let answer = Answer::from_response(&response, body);
        let asked = Asked { what, base_url: self.outside.base_url(), path: &interaction.url };
        match outcome::of_response(&asked, &response, told) {
            Whole::Answer => Sent::Answered(answer),
            Whole::Odd(failure) => Sent::Odd(failure, Some(answer)),
            Whole::Unanswered(failure) => Sent::Broken(failure),
            Whole::Slow(failure) => Sent::Slow(failure),
            Whole::Target(failure) => Sent::Target(failure),
        }
    }
}

fn unsent<T>(what: &str, error: &Error) -> Sent<T> {
    let failure = outcome::of_error(what, error);
    match error {
        Error::Timeout => Sent::Slow(failure),
        Error::Broken(_) => Sent::Broken(failure),
        Error::Refused(_) | Error::ConnectionFailed(_) => Sent::Target(failure),
        // The server is done with it, whatever it meant to say.
        Error::UnknownCoding(_) | Error::Damaged => Sent::Odd(failure, None),
    }
}

fn not_json(what: &str, response: &Response) -> String {
    format!("{what} was not answered with FHIR JSON, but with {}", outcome::unlike_json(response))
}

/// A redirect from the base URL to the same with a slash: some servers take Bundles only there.
fn leads_to_a_slash(response: &Response) -> bool {
    matches!(response.status, 301 | 302 | 307 | 308)
        && response.header("location").is_some_and(|location| location.trim().ends_with('/'))
}

fn is_page(response: &Response) -> bool {
    !response.body.iter().all(u8::is_ascii_whitespace)
}

/// The headers of every request; `writes` for one with a body.
pub(crate) fn with_headers(request: Request, writes: bool) -> Request {
    let request = request.with_header("accept", FHIR_JSON);
    if writes {
        request.with_header("content-type", FHIR_JSON).with_header("prefer", "return=minimal")
    } else {
        request
    }
}
