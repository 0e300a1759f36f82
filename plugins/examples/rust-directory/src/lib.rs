//! An HTTP adapter in Rust: keeps one JSON document for each patient at `{base_url}/patients/{id}`, and one for each
//! clinical record at `{base_url}/conditions/{id}` and so on.
//!
//! The id in the URL is the record's own, so the same change sent twice writes the same document. The host adds the
//! credentials and refuses every other URL. `wit/` defines what the adapter may call, and what each failure means.

use adapter_sdk::http::{Client, Method, Request, Response};
use adapter_sdk::{
    AggregateSupport, Applied, Change, Context, Descriptor, Failure, FailureKind, HttpAdapter, Observation, Operation,
    Outcome, Receipt, Reference, RemoteEdit, Report, Subject, clinical, patient,
};
use serde_json::{Map, Value};

/// Where the documents of each type are.
const FOLDERS: [(&str, &str); 7] = [
    ("patient", "patients"),
    ("encounter", "encounters"),
    ("condition", "conditions"),
    ("allergy", "allergies"),
    ("medication", "medications"),
    ("observation", "observations"),
    ("appointment", "appointments"),
];

/// The fields of a patient that the directory stores.
const FIELDS: [&str; 6] = ["family_name", "given_name", "birth_date", "gender", "phone_mobile", "email"];

struct Directory;

impl HttpAdapter for Directory {
    fn describe() -> Descriptor {
        Descriptor {
            name: "example-directory".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            aggregate_types: FOLDERS.map(|(kind, _)| AggregateSupport::written(kind)).to_vec(),
        }
    }

    fn check() -> Result<Report, Failure> {
        let response = ask(&Request::new(Method::Get, "patients/"))?;
        if response.status >= 300 {
            return Err(refusal(&response, "look at the directory"));
        }
        Ok(Report { summary: "a directory of patients".to_owned(), findings: Vec::new(), state: Vec::new() })
    }

    /// Delivers one change after the other. A failure of the whole target ends the batch.
    fn apply(context: Context, changes: Vec<Change>) -> Result<Applied, Failure> {
        let outcomes: Result<Vec<_>, _> =
            changes.iter().map(|change| apply_one(context.on_remote_edit, change)).collect();
        outcomes.map(Applied::from)
    }

    /// Never called, because the description declares no type as observable.
    fn observe(_: Context, subjects: Vec<Subject>) -> Result<Vec<Observation>, Failure> {
        Ok(adapter_sdk::not_observed(&subjects))
    }
}

fn apply_one(on_remote_edit: RemoteEdit, change: &Change) -> Result<Outcome, Failure> {
    let Some((_, folder)) = FOLDERS.iter().find(|(kind, _)| *kind == change.aggregate_type) else {
        let message = "only patients and clinical records are kept here";
        return Ok(Outcome::Failed(failure(FailureKind::Unsupported, message)));
    };
    let path = format!("{folder}/{}", encoded(&change.aggregate_id));
    if change.operation == Operation::Delete {
        let response = ask(&Request::new(Method::Delete, path))?;
        return match response.status {
            200..=299 | 404 => Ok(applied(change, None)),
            _ => judged(&response, "delete the document"),
        };
    }
    let document = match document(change) {
        Ok(document) => document,
        Err(failure) => return Ok(Outcome::Failed(failure)),
    };
    let mut request =
        Request::new(Method::Put, path).with_header("content-type", "application/json").with_body(document);
    // With the policy `hold`, only a document that we wrote ourselves is overwritten.
    let ours = change.link.as_ref().filter(|link| link.fingerprint.is_some());
    if let Some(version) = ours.and_then(|link| link.remote_version.as_ref())
        && on_remote_edit == RemoteEdit::Hold
    {
        request = request.with_header("if-match", version.as_str());
    }
    let response = ask(&request)?;
    match response.status {
        200..=299 => Ok(applied(change, response.header("etag").map(str::to_owned))),
        412 => Ok(Outcome::Failed(failure(FailureKind::Conflict, "the document was edited at the directory"))),
        _ => judged(&response, "write the document"),
    }
}

/// The fields of a patient; or those of a record, with what it refers to.
fn document(change: &Change) -> Result<Vec<u8>, Failure> {
    let read = |payload: &str| -> Result<Map<String, Value>, Failure> {
        serde_json::from_str(payload).map_err(|_| failure(FailureKind::Invalid, "the payload is not a JSON object"))
    };
    if change.aggregate_type == "patient" {
        let patient = read(&patient::read(change)?.payload())?;
        let field = |field: &str| (field.to_owned(), patient.get(field).cloned().unwrap_or_default());
        return Ok(Value::Object(FIELDS.into_iter().map(field).collect()).to_string().into_bytes());
    }
    clinical::read(change)?;
    let mut document = read(&change.payload)?;
    // The directory's own ids; the application's where the directory does not have such records.
    let id = |reference: &Reference| reference.remote_id.clone().unwrap_or_else(|| reference.aggregate_id.clone());
    let references: Map<String, Value> =
        change.references.iter().map(|reference| (reference.name.clone(), id(reference).into())).collect();
    document.insert("references".to_owned(), references.into());
    Ok(Value::Object(document).to_string().into_bytes())
}

/// Sends a request. A response of any status is a result; no response is a failure of the whole target.
fn ask(request: &Request) -> Result<Response, Failure> {
    Client::from_settings()?
        .send(request)
        .map_err(|error| failure(FailureKind::Unavailable, &format!("{:?} of a document: {error}", request.method)))
}

/// The outcome of a change for this status. A failure of the whole target ends the batch.
fn judged(response: &Response, doing: &str) -> Result<Outcome, Failure> {
    let failure = refusal(response, doing);
    match failure.kind {
        FailureKind::Invalid | FailureKind::Transient => Ok(Outcome::Failed(failure)),
        _ => Err(failure),
    }
}

fn refusal(response: &Response, doing: &str) -> Failure {
    let kind = match response.status {
        429 => FailureKind::Throttled,
        401 | 403 | 404 | 405 => FailureKind::Misconfigured,
        502..=504 => FailureKind::Unavailable,
        400..=499 => FailureKind::Invalid,
        _ => FailureKind::Transient,
    };
    let message = format!("{doing}: the directory answered {}", response.status);
    Failure { kind, message, retry_after_ms: response.retry_after_ms() }
}

fn failure(kind: FailureKind, message: &str) -> Failure {
    Failure { kind, message: message.to_owned(), retry_after_ms: None }
}

fn applied(change: &Change, version: Option<String>) -> Outcome {
    let fingerprint = version.as_ref().map(|_| "written".to_owned());
    Outcome::Applied(Receipt { remote_id: change.aggregate_id.clone(), remote_version: version, fingerprint })
}

/// Percent-encodes everything except letters, digits and `-._~`.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

adapter_sdk::export_http_adapter!(Directory);
