//! A small FHIR server in memory for tests: real semantics for what the adapter uses, faults on demand.
//!
//! It must never be more lenient than a real server. It counts requests, so that tests can hold the adapter to them.

use std::cell::RefCell;

use adapter_sdk::http::{Error, Method, Request, Response};
use adapter_sdk::{Change, Link, Operation, Outcome, Receipt, RemoteEdit};
use serde_json::{Value, json};

use crate::capability::{Capabilities, Versioning};
use crate::delivery::Rules;
use crate::exchange::Outside;
use crate::settings::Settings;

/// One stored Patient.
pub(crate) struct Record {
    pub(crate) version: u32,
    /// `None` once deleted.
    pub(crate) resource: Option<Value>,
}

type Fault = Box<dyn Fn(usize, &Request) -> Option<Result<Response, Error>>>;

/// The server. Ids are 1, 2, 3... in order of creation.
#[derive(Default)]
pub(crate) struct Server {
    pub(crate) records: RefCell<Vec<Record>>,
    /// `METHOD path` of every HTTP request; a Bundle's line also lists its entries.
    pub(crate) log: RefCell<Vec<String>>,
    pub(crate) warnings: RefCell<Vec<String>>,
    /// May answer in the server's place (by the request's number from 0), before anything is done.
    pub(crate) before: Option<Fault>,
    /// May replace the answer after everything was done: a lost answer.
    pub(crate) after: Option<Fault>,
    /// Called with the entries' words: an entry that makes the server refuse the Bundle as a whole.
    pub(crate) chokes_on: Option<(u16, &'static str)>,
    pub(crate) ignores_if_match: bool,
    pub(crate) keeps_ids_to_itself: bool,
}

impl Server {
    pub(crate) fn record(&self, id: usize) -> Value {
        self.records.borrow()[id - 1].resource.clone().unwrap_or_default()
    }

    pub(crate) fn count(&self) -> usize {
        self.records.borrow().len()
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.log.borrow().clone()
    }

    /// Someone else changes a record.
    pub(crate) fn edit(&self, id: usize, change: impl FnOnce(&mut Value)) {
        let mut records = self.records.borrow_mut();
        let record = &mut records[id - 1];
        record.version += 1;
        let version = record.version;
        let resource = record.resource.as_mut().unwrap();
        change(resource);
        resource["meta"]["versionId"] = json!(version.to_string());
    }

    pub(crate) fn delete(&self, id: usize) {
        self.records.borrow_mut()[id - 1].resource = None;
    }

    fn store(&self, id: Option<usize>, resource: &Value) -> Value {
        let mut records = self.records.borrow_mut();
        let id = id.unwrap_or_else(|| {
            records.push(Record { version: 0, resource: None });
            records.len()
        });
        let record = &mut records[id - 1];
        let created = record.resource.is_none();
        record.version += 1;
        let mut stored = resource.clone();
        stored["id"] = json!(id.to_string());
        stored["meta"]["versionId"] = json!(record.version.to_string());
        record.resource = Some(stored);
        let mut response = json!({ "status": if created { "201 Created" } else { "200 OK" } });
        if !self.keeps_ids_to_itself {
            response["location"] = json!(format!("http://host/fhir/Patient/{id}/_history/{}", record.version));
            response["etag"] = json!(format!("W/\"{}\"", record.version));
        }
        json!({ "response": response })
    }

    fn matches(&self, query: &str) -> Vec<usize> {
        let value = query.rsplit("%7C").next().unwrap();
        let carries = |resource: &Value| {
            resource["identifier"].as_array().is_some_and(|all| {
                all.iter().any(|one| one["system"] == "urn:neuronova:patient-id" && one["value"] == value)
            })
        };
        let records = self.records.borrow();
        (1..=records.len()).filter(|id| records[id - 1].resource.as_ref().is_some_and(carries)).collect()
    }

    fn carry_out(&self, method: &str, url: &str, if_match: &Value, if_none_exist: &Value, resource: &Value) -> Value {
        let refuse = |status: &str, said: &str| {
            json!({ "response": { "status": status, "outcome": { "resourceType": "OperationOutcome",
                "issue": [{ "severity": "error", "code": "processing", "diagnostics": said }] } } })
        };
        if resource["gender"] == "other" {
            return refuse("422 Unprocessable Entity", "gender is refused here");
        }
        let conditional = url.strip_prefix("Patient?").or(if_none_exist.as_str());
        let found = conditional.map(|query| self.matches(query)).unwrap_or_default();
        match (method, conditional) {
            ("GET", Some(_)) => {
                let entries: Vec<Value> = found.iter().map(|id| json!({ "resource": self.record(*id) })).collect();
                json!({ "response": { "status": "200 OK" },
                        "resource": { "resourceType": "Bundle", "type": "searchset", "entry": entries } })
            }
            (_, Some(_)) if found.len() > 1 => refuse("412", "several match"),
            ("PUT", Some(_)) => self.store(found.first().copied(), resource),
            ("POST", Some(_)) if found.len() == 1 => {
                json!({ "response": { "status": "200", "location": format!("Patient/{}", found[0]) } })
            }
            ("POST", _) => self.store(None, resource),
            (_, None) => {
                let id: usize = url.rsplit('/').next().unwrap().parse().unwrap();
                let (version, gone) = match self.records.borrow().get(id - 1) {
                    Some(record) => (record.version, record.resource.is_none()),
                    None => return refuse("404", "unknown"),
                };
                if method == "GET" {
                    return if gone {
                        refuse("410 Gone", "deleted")
                    } else {
                        json!({ "response": { "status": "200", "etag": format!("W/\"{version}\"") },
                                "resource": self.record(id) })
                    };
                }
                let stale = if_match.as_str().is_some_and(|tag| gone || tag != format!("W/\"{version}\""));
                if stale && !self.ignores_if_match {
                    return refuse("412 Precondition Failed", "stale");
                }
                assert_eq!(resource["id"], id.to_string(), "the body's id is the url's");
                self.store(Some(id), resource)
            }
            _ => unreachable!("the adapter uses GET, PUT and POST"),
        }
    }

    fn answer(&self, request: &Request) -> Response {
        let header = |name: &str| {
            request.headers.iter().find(|(known, _)| known == name).map_or(Value::Null, |(_, value)| json!(value))
        };
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let method = match request.method {
            Method::Get => "GET",
            Method::Put => "PUT",
            _ => "POST",
        };
        let mut line = format!("{method} {}", request.path);
        if !request.path.is_empty() {
            self.log.borrow_mut().push(line);
            if let Some((status, word)) = self.chokes_on
                && body.to_string().contains(word)
            {
                return outcome(status);
            }
            let entry = self.carry_out(method, &request.path, &header("if-match"), &header("if-none-exist"), &body);
            let response = &entry["response"];
            let headers = ["location", "etag"]
                .into_iter()
                .filter_map(|name| Some((name.to_owned(), response[name].as_str()?.to_owned())))
                .collect();
            let body = entry.get("resource").or_else(|| response.get("outcome"));
            let status = response["status"].as_str().unwrap()[..3].parse().unwrap();
            return Response {
                status,
                headers,
                body: body.map(|body| body.to_string().into_bytes()).unwrap_or_default(),
            };
        }
        assert_eq!((&body["resourceType"], &body["type"]), (&json!("Bundle"), &json!("batch")));
        let entries = body["entry"].as_array().unwrap();
        for entry in entries {
            let url = entry["request"]["url"].as_str().unwrap();
            let method = entry["request"]["method"].as_str().unwrap();
            for part in ["\n  ", method, " ", url] {
                line.push_str(part);
            }
        }
        self.log.borrow_mut().push(line);
        if let Some((status, word)) = self.chokes_on
            && body.to_string().contains(word)
        {
            return outcome(status);
        }
        let answers: Vec<Value> = entries
            .iter()
            .map(|entry| {
                let request = &entry["request"];
                let text = |name: &str| request[name].as_str().unwrap();
                self.carry_out(
                    text("method"),
                    text("url"),
                    &request["ifMatch"],
                    &request["ifNoneExist"],
                    &entry["resource"],
                )
            })
            .collect();
        let body = json!({ "resourceType": "Bundle", "type": "batch-response", "entry": answers });
        Response { status: 200, headers: Vec::new(), body: body.to_string().into_bytes() }
    }
}

/// An answer with an `OperationOutcome`.
pub(crate) fn outcome(status: u16) -> Response {
    let body = json!({ "resourceType": "OperationOutcome", "issue": [{ "severity": "error", "code": "exception" }] });
    Response { status, headers: Vec::new(), body: body.to_string().into_bytes() }
}

impl Outside for Server {
    fn send(&self, request: &Request) -> Result<Response, Error> {
        let number = self.log.borrow().len();
        if let Some(answer) = self.before.as_ref().and_then(|fault| fault(number, request)) {
            self.log.borrow_mut().push("fault".to_owned());
            return answer;
        }
        let answer = self.answer(request);
        self.after.as_ref().and_then(|fault| fault(number, request)).unwrap_or(Ok(answer))
    }

    fn warn(&self, message: &str) {
        self.warnings.borrow_mut().push(message.to_owned());
    }
}

/// A server with everything.
pub(crate) fn able() -> Capabilities {
    Capabilities {
        conditional_update: true,
        conditional_create: true,
        batch: true,
        versioning: Versioning::VersionedUpdate,
    }
}

pub(crate) fn rules<'a>(settings: &'a Settings, capabilities: &'a Capabilities) -> Rules<'a> {
    Rules { settings, capabilities, on_remote_edit: RemoteEdit::Overwrite }
}

/// A change of patient `P-n` with this given name.
pub(crate) fn change(number: usize, operation: Operation, given_name: &str, link: Option<&Receipt>) -> Change {
    let payload = json!({ "patient_id": format!("P-{number}"), "family_name": "Kim", "given_name": given_name,
                          "birth_date": "1985-03-15", "gender": "male" });
    Change {
        change_id: i64::try_from(number).unwrap(),
        event_id: format!("event-{number}"),
        aggregate_type: "patient".to_owned(),
        aggregate_id: format!("P-{number}"),
        operation,
        payload: payload.to_string(),
        created_at_ms: 0,
        attempt: 1,
        link: link.map(|receipt| Link {
            remote_id: receipt.remote_id.clone(),
            remote_version: receipt.remote_version.clone(),
            fingerprint: receipt.fingerprint.clone(),
        }),
    }
}

pub(crate) fn receipt(outcome: &Outcome) -> &Receipt {
    match outcome {
        Outcome::Applied(receipt) => receipt,
        Outcome::Failed(failure) => panic!("failed: {:?} {}", failure.kind, failure.message),
    }
}
