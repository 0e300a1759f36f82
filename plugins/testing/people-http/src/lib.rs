//! An HTTP adapter that keeps one `Patient` for each patient at a server that gives the ids.
//!
//! What it sends depends on a text in the component itself. A test writes another word into it (`swapped`, ...) and so
//! has another adapter, without building one.

use adapter_sdk::http::{Client, Method, Request, Response};
use adapter_sdk::patient::{self, Gender};
use adapter_sdk::{
    AggregateSupport, Applied, Change, Context, Descriptor, Failure, FailureKind, HttpAdapter, Observation, Operation,
    Outcome, Receipt, Report, Subject,
};
use serde_json::{Value, json};

/// The variant, of which a test replaces the last word.
static VARIANT: [u8; 24] = *b"people-variant:plain    ";

fn is_variant(word: &str) -> bool {
    let text = std::hint::black_box(&VARIANT);
    text[15..].starts_with(word.as_bytes())
}

struct People;

impl HttpAdapter for People {
    fn describe() -> Descriptor {
        Descriptor {
            name: "people-http".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            aggregate_types: vec![AggregateSupport::written("patient")],
        }
    }

    fn check() -> Result<Report, Failure> {
        ask(&Request::new(Method::Get, "metadata"))?;
        Ok(Report { summary: "a server of people".to_owned(), findings: Vec::new(), state: Vec::new() })
    }

    fn apply(_: Context, changes: Vec<Change>) -> Result<Applied, Failure> {
        Ok(changes.iter().map(apply_one).collect::<Result<Vec<_>, _>>()?.into())
    }

    fn observe(_: Context, subjects: Vec<Subject>) -> Result<Vec<Observation>, Failure> {
        Ok(adapter_sdk::not_observed(&subjects))
    }
}

fn apply_one(change: &Change) -> Result<Outcome, Failure> {
    if change.operation == Operation::Delete || change.operation == Operation::Merge {
        return Ok(Outcome::Failed(failure(FailureKind::Unsupported, "people are kept")));
    }
    let patient = match patient::read(change) {
        Ok(patient) => patient,
        Err(failure) => return Ok(Outcome::Failed(failure)),
    };
    let sex = if patient.gender == Gender::Male { "male" } else { "female" };
    let mut body = json!({
        "resourceType": "Patient",
        "identifier": [{"value": change.aggregate_id}],
        "birthDate": written_day(&patient.birth_date.to_string()),
        "gender": sex,
    });
    let id = match &change.link {
        Some(link) => link.remote_id.clone(),
        None => id_of(&send(Method::Post, "Patient", &body)?)?,
    };
    body["id"] = json!(id);
    // A new record is read back, so that the second request depends on the server's answer to the first one.
    let path = format!("Patient/{id}");
    ask(&Request::new(Method::Get, path.as_str()))?;
    send(Method::Put, &path, &body)?;
    if is_variant("extra") {
        send(Method::Post, "Observation", &json!({"resourceType": "Observation", "subject": path}))?;
    }
    Ok(Outcome::Applied(Receipt { remote_id: id, remote_version: None, fingerprint: None }))
}

/// The day as this variant sends it: `swapped` takes the month for the day.
fn written_day(day: &str) -> String {
    match day.split('-').collect::<Vec<_>>()[..] {
        [year, month, day] if is_variant("swapped") && day <= "12" => format!("{year}-{day}-{month}"),
        _ => day.to_owned(),
    }
}

fn id_of(created: &Value) -> Result<String, Failure> {
    let id = created["id"].as_str().map(str::to_owned);
    id.ok_or_else(|| failure(FailureKind::Transient, "the server gave no id"))
}

fn send(method: Method, path: &str, body: &Value) -> Result<Value, Failure> {
    let request = Request::new(method, path)
        .with_header("content-type", "application/json")
        .with_body(body.to_string().into_bytes());
    ask(&request)
}

fn ask(request: &Request) -> Result<Value, Failure> {
    let Response { status, body, .. } = Client::from_settings()?
        .send(request)
        .map_err(|error| failure(FailureKind::Unavailable, &error.to_string()))?;
    match status {
        200 | 201 => Ok(serde_json::from_slice(&body).unwrap_or_default()),
        status => Err(failure(FailureKind::Transient, &format!("the server answered {status}"))),
    }
}

fn failure(kind: FailureKind, message: &str) -> Failure {
    Failure { kind, message: message.to_owned(), retry_after_ms: None }
}

adapter_sdk::export_http_adapter!(People);
