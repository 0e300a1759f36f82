//! An HTTP adapter that keeps one document of `Patient` for each patient, found by identifier, and observes it. Its
//! settings choose a fault: `[settings] fault = "..."`. Without one it is correct.
//!
//! It exists to show that the conformance suite finds each fault.

use adapter_sdk::http::{Client, Method, Request};
use adapter_sdk::{
    AggregateSupport, Applied, Change, Context, Current, Descriptor, Failure, FailureKind, HttpAdapter, Observation,
    Operation, Outcome, Receipt, RemoteEdit, Report, Subject, fingerprint, patient,
};
use serde_json::{Value, json};

#[derive(Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Fault {
    #[default]
    None,
    /// Returns the link's fingerprint for whatever is there.
    Echoes,
    /// Sees the first of several records.
    First,
    /// Sees a record that is not there.
    Invents,
    /// Writes while it observes.
    Writes,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    fault: Fault,
}

struct Observing;

impl HttpAdapter for Observing {
    fn describe() -> Descriptor {
        Descriptor {
            name: "observing-http".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            aggregate_types: vec![AggregateSupport::written("patient").observed()],
        }
    }

    fn check() -> Result<Report, Failure> {
        ask(&Request::new(Method::Get, "metadata"))?;
        Ok(Report { summary: "a server of patients".to_owned(), findings: Vec::new(), state: Vec::new() })
    }

    fn apply(context: Context, changes: Vec<Change>) -> Result<Applied, Failure> {
        let holds = context.on_remote_edit == RemoteEdit::Hold;
        Ok(changes.iter().map(|change| apply_one(holds, change)).collect::<Result<Vec<_>, _>>()?.into())
    }

    fn observe(_: Context, subjects: Vec<Subject>) -> Result<Vec<Observation>, Failure> {
        let Settings { fault } = adapter_sdk::settings::read()?;
        if fault == Fault::Writes {
            put("seen", &json!({ "resourceType": "Patient" }))?;
        }
        subjects.iter().map(|subject| observe_one(fault, subject)).collect()
    }
}

fn present(fingerprint: String) -> Observation {
    Observation::Present(Current { fingerprint, remote_version: None })
}

fn observe_one(fault: Fault, subject: &Subject) -> Result<Observation, Failure> {
    let found = find(&subject.aggregate_id)?;
    Ok(match &found[..] {
        [] if fault == Fault::Invents => present("invented".to_owned()),
        [] => Observation::Gone,
        [_] if fault == Fault::Echoes => present(subject.link.fingerprint.clone().unwrap_or_default()),
        [first, rest @ ..] if rest.is_empty() || fault == Fault::First => present(of(first)),
        several => Observation::Several(several.iter().map(id_of).collect()),
    })
}

fn apply_one(holds: bool, change: &Change) -> Result<Outcome, Failure> {
    if change.aggregate_type != "patient" || [Operation::Delete, Operation::Merge].contains(&change.operation) {
        return Ok(failed(FailureKind::Unsupported, "only patients are kept here, and for good"));
    }
    let patient = match patient::read(change) {
        Ok(patient) => patient,
        Err(failure) => return Ok(Outcome::Failed(failure)),
    };
    let name = format!("{} {} {}", patient.given_name, patient.family_name, patient.city.unwrap_or_default());
    let identifier = json!([{ "system": "urn:observing", "value": change.aggregate_id }]);
    let record = json!({ "resourceType": "Patient", "identifier": identifier, "name": name });
    let found = find(&change.aggregate_id)?;
    let held = match &found[..] {
        [] => {
            let created = ask(&with_body(Request::new(Method::Post, "Patient"), &record))?;
            return Ok(applied(id_of(&created), of(&record)));
        }
        [held] => held,
        _ => return Ok(failed(FailureKind::Conflict, "several records have this identifier")),
    };
    let last = change.link.as_ref().and_then(|link| link.fingerprint.clone());
    if holds && last.is_some() && ![last, Some(of(&record))].contains(&Some(of(held))) {
        return Ok(failed(FailureKind::Conflict, "the record was edited at the target"));
    }
    put(&id_of(held), &record)?;
    Ok(applied(id_of(held), of(&record)))
}

/// The records of a patient.
fn find(id: &str) -> Result<Vec<Value>, Failure> {
    let mut bundle = ask(&Request::new(Method::Get, format!("Patient?identifier=urn:observing%7C{id}")))?;
    let entries = bundle["entry"].as_array_mut().map(std::mem::take).unwrap_or_default();
    Ok(entries.into_iter().map(|mut entry| entry["resource"].take()).collect())
}

fn put(id: &str, record: &Value) -> Result<Value, Failure> {
    ask(&with_body(Request::new(Method::Put, format!("Patient/{id}")), record))
}

fn id_of(record: &Value) -> String {
    record["id"].as_str().unwrap_or_default().to_owned()
}

fn of(record: &Value) -> String {
    fingerprint::of([record["name"].as_str()])
}

fn with_body(request: Request, body: &Value) -> Request {
    request.with_header("content-type", "application/json").with_body(body.to_string().into_bytes())
}

fn ask(request: &Request) -> Result<Value, Failure> {
    let response = Client::from_settings()?
        .send(request)
        .map_err(|error| failure(FailureKind::Unavailable, &error.to_string()))?;
    match response.status {
        200 | 201 => Ok(serde_json::from_slice(&response.body).unwrap_or_default()),
        429 => {
            let busy = failure(FailureKind::Throttled, "the server asks to slow down");
            Err(Failure { retry_after_ms: response.retry_after_ms(), ..busy })
        }
        502..=504 => Err(failure(FailureKind::Unavailable, "the server is not able to answer")),
        status => Err(failure(FailureKind::Misconfigured, &format!("the server answered {status}"))),
    }
}

fn failure(kind: FailureKind, message: &str) -> Failure {
    Failure { kind, message: message.to_owned(), retry_after_ms: None }
}

fn failed(kind: FailureKind, message: &str) -> Outcome {
    Outcome::Failed(failure(kind, message))
}

fn applied(remote_id: String, fingerprint: String) -> Outcome {
    Outcome::Applied(Receipt { remote_id, remote_version: None, fingerprint: Some(fingerprint) })
}

adapter_sdk::export_http_adapter!(Observing);
