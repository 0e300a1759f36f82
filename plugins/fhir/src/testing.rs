//! A small FHIR server in memory for tests: real semantics for the requests of the adapter, and faults on demand.
//!
//! It must never be more lenient than a real server. It counts requests, so that tests can limit them.

mod changes;

use std::cell::RefCell;

use adapter_sdk::http::{Error, Method, Request, Response};
use serde_json::{Value, json};

use crate::exchange::{FHIR_JSON, Outside};
use crate::mapping::identifier_query;

pub(crate) use changes::{
    TYPES, able, but, change, created, deliver, failed, id_of, later, of_type, one, own_ids, receipt, rules,
};

/// One stored record.
pub(crate) struct Record {
    pub(crate) resource_type: String,
    pub(crate) id: String,
    pub(crate) version: u32,
    /// Its content at each overwritten version, for `_history`.
    pub(crate) history: Vec<(u32, Value)>,
    /// `None` once deleted.
    pub(crate) resource: Option<Value>,
}

pub(crate) type Fault = Box<dyn Fn(usize, &Request) -> Option<Result<Response, Error>>>;

/// The server. It assigns the ids 1, 2, 3... in order of creation; tests name records by that order too.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fault of its own that a test switches on")]
pub(crate) struct Server {
    pub(crate) records: RefCell<Vec<Record>>,
    /// `METHOD path` of every HTTP request; a Bundle's line also lists its entries.
    pub(crate) log: RefCell<Vec<String>>,
    pub(crate) warnings: RefCell<Vec<String>>,
    /// May respond instead of the server, before anything is done. Gets the request's number from 0.
    pub(crate) before: Option<Fault>,
    /// May replace the response after everything was done, as for a lost response.
    pub(crate) after: Option<Fault>,
    /// A word that makes the server refuse a Bundle or request as a whole, with this status and an outcome.
    pub(crate) chokes_on: Option<(u16, &'static str)>,
    pub(crate) ignores_if_match: bool,
    pub(crate) ignores_if_none_match: bool,
    pub(crate) ignores_case: bool,
    /// Whether it accepts every create, whatever the condition finds.
    pub(crate) ignores_condition: bool,
    /// The status with which it refuses ids that clients chose.
    pub(crate) refuses_ids: Option<u16>,
    /// Whether it counts the versions of all records together.
    pub(crate) counts_all: bool,
    /// Whether its versions are not numbers.
    pub(crate) opaque_versions: bool,
    pub(crate) has_no_history: bool,
    pub(crate) keeps_ids_to_itself: bool,
    /// The status of each entry that writes.
    pub(crate) fails_entries: Option<u16>,
    pub(crate) refuses_searches_in_bundles: bool,
    /// A resource type that it does not store, even if its statement declares it.
    pub(crate) refuses_type: Option<&'static str>,
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

    /// Another author changes a record.
    pub(crate) fn edit(&self, id: usize, change: impl FnOnce(&mut Value)) {
        let mut records = self.records.borrow_mut();
        let record = &mut records[id - 1];
        record.keep();
        record.version += 1;
        let version = record.version;
        let resource = record.resource.as_mut().unwrap();
        change(resource);
        resource["meta"]["versionId"] = json!(self.version(version));
    }

    fn version(&self, number: u32) -> String {
        if self.opaque_versions { format!("v{number}-of-it") } else { number.to_string() }
    }

    pub(crate) fn delete(&self, id: usize) {
        self.records.borrow_mut()[id - 1].resource = None;
    }

    /// Adds another author's Patient with the identifier of `P-number`.
    pub(crate) fn plant(&self, number: usize, value: &str) {
        let id = number.to_string();
        let resource = json!({ "resourceType": "Patient", "id": id, "meta": { "versionId": "1" },
            "identifier": [{ "system": "urn:neuronova:patient-id", "value": value }] });
        let resource_type = "Patient".to_owned();
        let record = Record { resource_type, id, version: 1, history: Vec::new(), resource: Some(resource) };
        self.records.borrow_mut().push(record);
    }

    fn store(&self, id: Option<String>, resource: &Value) -> Value {
        let mut records = self.records.borrow_mut();
        let total: u32 = records.iter().map(|record| record.version).sum();
        let id = id.unwrap_or_else(|| (records.len() + 1).to_string());
        let resource_type = resource["resourceType"].as_str().unwrap().to_owned();
        let is_it = |record: &Record| record.id == id && record.resource_type == resource_type;
        if !records.iter().any(is_it) {
            let resource_type = resource_type.clone();
            records.push(Record { resource_type, id: id.clone(), version: 0, history: Vec::new(), resource: None });
        }
        let record = records.iter_mut().find(|record| is_it(record)).unwrap();
        let created = record.resource.is_none();
        record.keep();
        record.version = if self.counts_all { total + 10 } else { record.version + 1 };
        let mut stored = resource.clone();
        stored["id"] = json!(id);
        let version = self.version(record.version);
        stored["meta"]["versionId"] = json!(version);
        record.resource = Some(stored);
        let mut response = json!({ "status": if created { "201 Created" } else { "200 OK" } });
        if !self.keeps_ids_to_itself {
            response["location"] = json!(format!("http://host/fhir/{resource_type}/{id}/_history/{version}"));
            response["etag"] = json!(format!("W/\"{version}\""));
        }
        json!({ "response": response })
    }

    fn matches(&self, resource_type: &str, query: &str) -> Vec<usize> {
        let carries = |resource: &Value| {
            let one = std::slice::from_ref(&resource["identifier"]);
            resource["resourceType"] == resource_type
                && resource["identifier"].as_array().map_or(one, Vec::as_slice).iter().any(|one| {
                    let text = |element: &str| one[element].as_str().unwrap_or_default();
                    let known = identifier_query(text("system"), text("value"));
                    known == query || self.ignores_case && known.eq_ignore_ascii_case(query)
                })
        };
        let records = self.records.borrow();
        (1..=records.len()).filter(|id| records[id - 1].resource.as_ref().is_some_and(carries)).collect()
    }

    fn carry_out(&self, method: &str, url: &str, header: &dyn Fn(&str) -> Value, resource: &Value) -> Value {
        let refuse = |status: &str, said: &str| {
            json!({ "response": { "status": status, "outcome": { "resourceType": "OperationOutcome",
                "issue": [{ "severity": "error", "code": "processing", "diagnostics": said }] } } })
        };
        if resource["gender"] == "other" {
            return refuse("422 Unprocessable Entity", "gender is refused here");
        }
        let (if_match, if_none_exist) = (header("ifMatch"), header("ifNoneExist"));
        let resource_type = url.split(['/', '?']).next().unwrap();
        if self.refuses_type == Some(resource_type) {
            return refuse("404", "unknown resource type");
        }
        let conditional = url.split_once('?').filter(|(path, _)| !path.contains('/')).map(|(_, query)| query);
        let conditional = conditional.or(if_none_exist.as_str());
        let found = conditional.map(|query| self.matches(resource_type, query)).unwrap_or_default();
        match (method, conditional) {
            ("GET", Some(_)) => {
                let entries: Vec<Value> = found.iter().map(|id| json!({ "resource": self.record(*id) })).collect();
                json!({ "response": { "status": "200 OK" },
                        "resource": { "resourceType": "Bundle", "type": "searchset", "entry": entries } })
            }
            ("POST", Some(_)) if self.ignores_condition => self.store(None, resource),
            (_, Some(_)) if found.len() > 1 => refuse("412", "several match"),
            ("POST", Some(_)) if found.len() == 1 => {
                let id = self.records.borrow()[found[0] - 1].id.clone();
                json!({ "response": { "status": "200", "location": format!("{resource_type}/{id}") } })
            }
            ("POST", _) => self.store(None, resource),
            (_, None) => self.by_id(method, url, &if_match, &header("ifNoneMatch"), resource, &refuse),
            _ => unreachable!("the adapter uses GET, PUT, POST and DELETE"),
        }
    }

    fn by_id(
        &self,
        method: &str,
        url: &str,
        if_match: &Value,
        if_none_match: &Value,
        resource: &Value,
        refuse: &dyn Fn(&str, &str) -> Value,
    ) -> Value {
        let mut segments = url.split('/');
        let resource_type = segments.next().unwrap();
        let (id, past) = (segments.next().unwrap(), segments.nth(1));
        let known =
            self.records.borrow().iter().position(|record| record.id == id && record.resource_type == resource_type);
        let there = known.map(|place| {
            let records = self.records.borrow();
            (records[place].version, records[place].resource.is_none())
        });
        if url.contains("/_history?") && !self.has_no_history {
            let records = self.records.borrow();
            let Some(record) = known.map(|place| &records[place]) else { return refuse("404", "unknown") };
            let past = record.history.iter().rev().map(|(_, resource)| resource);
            let entries: Vec<Value> = record.resource.iter().chain(past).map(|it| json!({ "resource": it })).collect();
            return json!({ "response": { "status": "200" },
                "resource": { "resourceType": "Bundle", "type": "history", "entry": entries } });
        }
        if url.contains("/_history") && self.has_no_history {
            return refuse("404", "no history");
        }
        if let Some(version) = past {
            let records = self.records.borrow();
            let kept = known.and_then(|place| {
                records[place].history.iter().find(|(number, _)| number.to_string() == version).cloned()
            });
            return match kept {
                Some((_, resource)) => json!({ "response": { "status": "200" }, "resource": resource }),
                None => refuse("404", "unknown version"),
            };
        }
        if method == "GET" {
            return match there {
                None => refuse("404", "unknown"),
                Some((_, true)) => refuse("410 Gone", "deleted"),
                Some((version, false)) => {
                    json!({ "response": { "status": "200", "etag": format!("W/\"{}\"", self.version(version)) },
                    "resource": self.record(known.unwrap() + 1) })
                }
            };
        }
        if method != "DELETE" {
            assert_eq!((&resource["id"], &resource["resourceType"]), (&json!(id), &json!(resource_type)));
        }
        let is_new = there.is_none_or(|(_, gone)| gone);
        if if_none_match == "*" && !is_new && !self.ignores_if_none_match {
            return refuse("412 Precondition Failed", "it exists");
        }
        let fits =
            |tag: &str| there.is_some_and(|(version, gone)| !gone && tag == format!("W/\"{}\"", self.version(version)));
        if if_match.as_str().is_some_and(|tag| !fits(tag)) && !self.ignores_if_match {
            return refuse("412 Precondition Failed", "stale");
        }
        if method == "DELETE" {
            return match known.filter(|_| !is_new) {
                Some(place) => {
                    self.delete(place + 1);
                    json!({ "response": { "status": "204 No Content" } })
                }
                None => refuse("404", "unknown"),
            };
        }
        match self.refuses_ids {
            Some(status) if there.is_none() => refuse(&status.to_string(), "no id of a client"),
            _ => self.store(Some(id.to_owned()), resource),
        }
    }

    fn answer(&self, request: &Request) -> Response {
        let header = |element: &str| {
            let name = match element {
                "ifMatch" => "if-match",
                "ifNoneMatch" => "if-none-match",
                _ => "if-none-exist",
            };
            request.headers.iter().find(|(known, _)| known == name).map_or(Value::Null, |(_, value)| json!(value))
        };
        let Ok(body) = serde_json::from_slice::<Value>(if request.body.is_empty() { b"null" } else { &request.body })
        else {
            self.log.borrow_mut().push("broken body".to_owned());
            return outcome(400);
        };
        let method = match request.method {
            Method::Get => "GET",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            _ => "POST",
        };
        let mut line = format!("{method} {}", request.path);
        if !matches!(request.path.as_str(), "" | "/") {
            self.log.borrow_mut().push(line);
            if let Some((status, word)) = self.chokes_on
                && body.to_string().contains(word)
            {
                return outcome(status);
            }
            let entry = self.carry_out(method, &request.path, &header, &body);
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
                if let Some(status) = self.fails_entries.filter(|_| text("method") != "GET") {
                    return json!({ "response": { "status": status.to_string() } });
                }
                if self.refuses_searches_in_bundles && text("url").contains('?') {
                    return json!({ "response": { "status": "400 Bad Request" } });
                }
                self.carry_out(text("method"), text("url"), &|name| request[name].clone(), &entry["resource"])
            })
            .collect();
        let body = json!({ "resourceType": "Bundle", "type": "batch-response", "entry": answers });
        Response { status: 200, headers: Vec::new(), body: body.to_string().into_bytes() }
    }
}

impl Record {
    fn keep(&mut self) {
        self.history.extend(self.resource.clone().map(|resource| (self.version, resource)));
    }
}

/// A response with an `OperationOutcome`.
pub(crate) fn outcome(status: u16) -> Response {
    let body = json!({ "resourceType": "OperationOutcome", "issue": [{ "severity": "error", "code": "exception" }] });
    let headers = vec![("content-type".to_owned(), FHIR_JSON.to_owned())];
    Response { status, headers, body: body.to_string().into_bytes() }
}

impl Outside for Server {
    fn base_url(&self) -> Option<&str> {
        Some("http://host/fhir")
    }

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
