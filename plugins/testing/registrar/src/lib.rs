//! A valid adapter for a registrar's office, a service with a protocol of its own: every write is a `POST rpc/VERB`
//! with a JSON body, and each registered id gets a number. `answers.toml` in the tests plays that office.

use adapter_sdk::http::{Client, Method, Request, Response};
use adapter_sdk::patient;
use adapter_sdk::{
    AggregateSupport, Applied, Change, Context, Descriptor, Failure, FailureKind, HttpAdapter, Observation, Operation,
    Outcome, Receipt, Report, Subject,
};
use serde_json::{Value, json};

struct Registrar;

impl HttpAdapter for Registrar {
    fn describe() -> Descriptor {
        Descriptor {
            name: "registrar".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            aggregate_types: vec![AggregateSupport::written("patient")],
        }
    }

    fn check() -> Result<Report, Failure> {
        let answer = ask("look at the office", &Request::new(Method::Get, "office"))?;
        let office =
            answer["office"].as_str().ok_or_else(|| failure(FailureKind::Misconfigured, "no office answered"))?;
        Ok(Report { summary: format!("the office {office}"), findings: Vec::new(), state: Vec::new() })
    }

    fn apply(_: Context, changes: Vec<Change>) -> Result<Applied, Failure> {
        Ok(changes.iter().map(apply_one).collect::<Result<Vec<_>, _>>()?.into())
    }

    fn observe(_: Context, subjects: Vec<Subject>) -> Result<Vec<Observation>, Failure> {
        Ok(adapter_sdk::not_observed(&subjects))
    }
}

fn apply_one(change: &Change) -> Result<Outcome, Failure> {
    if change.aggregate_type != "patient" {
        return Ok(Outcome::Failed(failure(FailureKind::Unsupported, "only patients are registered")));
    }
    let who = json!({"external_id": change.aggregate_id});
    if change.operation == Operation::Delete {
        return call("strike", &who).map(|_| applied(change.link.as_ref().map_or("", |link| &link.remote_id)));
    }
    let patient = match patient::read(change) {
        Ok(patient) => patient,
        Err(failure) => return Ok(Outcome::Failed(failure)),
    };
    let person = json!({"external_id": change.aggregate_id, "family_name": patient.family_name});
    match &call("register", &person)?["number"] {
        Value::Number(number) => Ok(applied(&number.to_string())),
        _ => Ok(Outcome::Failed(failure(FailureKind::Transient, "the office gave no number"))),
    }
}

fn call(verb: &str, body: &Value) -> Result<Value, Failure> {
    let request = Request::new(Method::Post, format!("rpc/{verb}"))
        .with_header("content-type", "application/json")
        .with_body(body.to_string().into_bytes());
    ask(verb, &request)
}

fn ask(doing: &str, request: &Request) -> Result<Value, Failure> {
    let response = Client::from_settings()?
        .send(request)
        .map_err(|error| failure(FailureKind::Unavailable, &format!("{doing}: {error}")))?;
    match response.status {
        200 => Ok(serde_json::from_slice(&response.body).unwrap_or_default()),
        _ => Err(refusal(doing, &response)),
    }
}

fn refusal(doing: &str, response: &Response) -> Failure {
    let kind = match response.status {
        429 => FailureKind::Throttled,
        502..=504 => FailureKind::Unavailable,
        _ => FailureKind::Misconfigured,
    };
    Failure {
        kind,
        message: format!("{doing}: the office answered {}", response.status),
        retry_after_ms: response.retry_after_ms(),
    }
}

fn failure(kind: FailureKind, message: &str) -> Failure {
    Failure { kind, message: message.to_owned(), retry_after_ms: None }
}

fn applied(remote_id: &str) -> Outcome {
    let receipt = Receipt { remote_id: remote_id.to_owned(), remote_version: None, fingerprint: None };
    Outcome::Applied(receipt)
}

adapter_sdk::export_http_adapter!(Registrar);
