//! Reads the current records of our aggregates at the server, with one search each. It sends only reads.
//!
//! The search by identifier finds every record with our identifier, including a second one. Only if it finds none, the
//! linked record is read, which may exist without our identifier. It judges nothing: the host compares fingerprints.

use adapter_sdk::http::{Method, Request};
use adapter_sdk::{Current, Failure, FailureKind, Observation, Subject};
use serde_json::Value;

use crate::answer::{Answer, version_of};
use crate::exchange::{Outside, is_outcome, with_headers};
use crate::identity::{Carries, carries, carries_any};
use crate::kind::{Kind, PASS_THROUGH};
use crate::mapping;
use crate::outcome::{self, Asked, Whole};
use crate::ownership::{Fingerprint, Kept};
use crate::settings::Settings;

/// The maximum number of ids in one observation of several records; the host accepts no more.
const SEVERAL_MAX: usize = 16;

/// One observation for each subject, in order.
///
/// # Errors
/// The target as a whole does not respond.
pub(crate) fn observe(
    outside: &dyn Outside,
    settings: &Settings,
    subjects: &[Subject],
) -> Result<Vec<Observation>, Failure> {
    subjects.iter().map(|subject| observe_one(outside, settings, subject)).collect()
}

fn observe_one(outside: &dyn Outside, settings: &Settings, subject: &Subject) -> Result<Observation, Failure> {
    let Some(kind) = kind_of(settings, subject) else {
        return Ok(unknown(&format!("this adapter does not observe a `{}`", subject.aggregate_type)));
    };
    let query = mapping::identifier_query(&kind.system, &subject.aggregate_id);
    let answer = get(outside, &format!("search of {}", kind.resource_type), kind.search(&query))?;
    let Some(found) = answer.found(&kind.resource_type) else {
        return Ok(unknown(&format!("the search by identifier answered {}", answer.status)));
    };
    let ours = |record: &&&Value| carries(record, &kind.system, &subject.aggregate_id) == Carries::Exactly;
    let ours: Vec<&Value> = found.iter().filter(ours).copied().collect();
    match ours[..] {
        [one] if id_of(one) == Some(kind.id_of(&subject.link.remote_id)) => Ok(present(&kind, subject, one)),
        // No record carries our identifier, or another record than the linked one does.
        [] | [_] => read_linked(outside, &kind, subject),
        _ => {
            let ids = ours.iter().filter_map(|record| id_of(record)).take(SEVERAL_MAX);
            let ids = ids.map(|id| kind.remote_id(id)).collect();
            Ok(Observation::Several(ids))
        }
    }
}

/// The kind of the subject's record. For a resource that is passed through, the link contains it.
fn kind_of<'a>(settings: &'a Settings, subject: &Subject) -> Option<Kind<'a>> {
    let passed_through = || {
        let (resource_type, _) = subject.link.remote_id.split_once('/')?;
        Some(Kind::passed_through(resource_type.to_owned(), settings))
    };
    match subject.aggregate_type.as_str() {
        PASS_THROUGH => passed_through(),
        aggregate_type => Kind::of(aggregate_type, settings),
    }
}

/// Reads the linked record, which the search did not find.
fn read_linked(outside: &dyn Outside, kind: &Kind<'_>, subject: &Subject) -> Result<Observation, Failure> {
    let what = format!("read of {}", kind.resource_type);
    let answer = get(outside, &what, kind.url(kind.id_of(&subject.link.remote_id)))?;
    Ok(match (answer.status, answer.resource_of(&kind.resource_type)) {
        (200, Some(record)) => match carries(record, &kind.system, &subject.aggregate_id) {
            Carries::Exactly => present(kind, subject, record),
            // An operator linked it, so its identifiers do not matter, unless they are those of another aggregate of
            // ours.
            _ if subject.link.fingerprint.is_none() && !carries_any(record, &kind.system) => {
                present(kind, subject, record)
            }
            _ => Observation::NotOurs,
        },
        (410, _) => Observation::Gone,
        (404, _) if answer.outcome.is_some() => Observation::Gone,
        (status, _) => unknown(&format!("the read of the record answered {status}")),
    })
}

/// Sends one read.
///
/// # Errors
/// The target as a whole does not respond.
pub(crate) fn get(outside: &dyn Outside, what: &str, url: String) -> Result<Answer, Failure> {
    let request = with_headers(Request::new(Method::Get, url), false);
    let response = outside.send(&request).map_err(|error| outcome::of_error(what, &error))?;
    let body: Option<Value> = serde_json::from_slice(&response.body).ok();
    let asked = Asked { what, base_url: outside.base_url(), path: &request.path };
    match outcome::of_response(&asked, &response, is_outcome(body.as_ref())) {
        Whole::Answer => Ok(Answer::from_response(&response, body)),
        // The response may concern this record alone.
        Whole::Odd(failure) if failure.kind != FailureKind::Misconfigured => Ok(Answer::from_response(&response, None)),
        Whole::Target(failure) | Whole::Odd(failure) | Whole::Unanswered(failure) | Whole::Slow(failure) => {
            Err(failure)
        }
    }
}

fn present(kind: &Kind<'_>, subject: &Subject, record: &Value) -> Observation {
    let last = subject.link.fingerprint.as_deref().unwrap_or_default();
    let is_last = Fingerprint::parse(last).is_some_and(|last| last.matches(record, kind))
        || Kept::parse(last).is_some_and(|kept| kept.is_held(record, kind));
    let fingerprint = if is_last { last.to_owned() } else { Fingerprint::of_own(record, kind).to_text() };
    Observation::Present(Current { fingerprint, remote_version: version_of(record) })
}

pub(crate) fn id_of(record: &Value) -> Option<&str> {
    record.get("id").and_then(Value::as_str)
}

fn unknown(reason: &str) -> Observation {
    Observation::Unknown(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use adapter_sdk::{Link, Operation};

    use super::*;
    use crate::testing::{Server, able, change, deliver, receipt, rules};

    fn subjects(server: &Server, count: usize) -> Vec<Subject> {
        let (settings, capabilities) = (Settings::default(), able());
        let changes: Vec<_> = (1..=count).map(|number| change(number, Operation::Create, "Min", None)).collect();
        let outcomes = deliver(server, &rules(&settings, &capabilities), &changes).unwrap();
        let subject = |(number, outcome)| {
            let receipt = receipt(outcome);
            Subject {
                aggregate_type: "patient".to_owned(),
                aggregate_id: format!("P-{number}"),
                link: Link {
                    remote_id: receipt.remote_id.clone(),
                    remote_version: receipt.remote_version.clone(),
                    fingerprint: receipt.fingerprint.clone(),
                },
            }
        };
        (1..=count).zip(&outcomes).map(subject).collect()
    }

    #[test]
    fn observe_reports_written_edited_deleted_duplicate_and_foreign_records() {
        let server = Server::default();
        let mut subjects = subjects(&server, 6);
        server.edit(2, |patient| patient["gender"] = "unknown".into());
        server.delete(3);
        server.plant(90, "P-4");
        server.edit(5, |patient| patient["identifier"] = serde_json::json!([]));
        // Additional content of others is not an edit.
        server.edit(6, |patient| patient["contact"] = serde_json::json!([{ "name": { "text": "Kim" } }]));
        subjects.push(Subject { aggregate_type: "lab-order".to_owned(), ..subjects[0].clone() });
        let before = server.requests().len();
        let found = observe(&server, &Settings::default(), &subjects).unwrap();
        let is_last = |at: usize| match &found[at] {
            Observation::Present(current) => Some(Some(&current.fingerprint) == subjects[at].link.fingerprint.as_ref()),
            _ => None,
        };
        assert_eq!((is_last(0), is_last(1), is_last(5)), (Some(true), Some(false), Some(true)), "{found:?}");
        assert!(matches!(found[2], Observation::Gone), "{found:?}");
        assert!(matches!(&found[3], Observation::Several(ids) if ids.len() == 2), "{found:?}");
        assert!(matches!(found[4], Observation::NotOurs), "{found:?}");
        assert!(matches!(&found[6], Observation::Unknown(reason) if reason.contains("lab-order")), "{found:?}");
        let sent = server.requests();
        assert!(sent[before..].iter().all(|line| line.starts_with("GET ")), "{sent:?}");
    }
}
