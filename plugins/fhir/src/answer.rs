//! A server's response to one request, sent alone or as an entry of a Bundle.
//!
//! Servers differ here: a status may have words behind it, a location may be absolute or relative, with or without the
//! version, an `ETag` may be weak, strong or bare. This file parses all of them and decides nothing. Read next:
//! `delivery`.

use adapter_sdk::http::Response;
use serde_json::Value;

use crate::mapping::percent_encode;

/// One answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answer {
    /// The status code; 0 where the server gave none.
    pub(crate) status: u16,
    /// `TYPE/ID` in any of its forms.
    location: Option<String>,
    etag: Option<String>,
    /// The resource that came back, where it is no `OperationOutcome`.
    pub(crate) resource: Option<Value>,
    /// The `OperationOutcome`, where there is one.
    pub(crate) outcome: Option<Value>,
    /// How long the server asks us to wait. Milliseconds.
    pub(crate) retry_after_ms: Option<u64>,
}

impl Answer {
    /// An answer of which nothing but the status is known.
    pub(crate) fn of_status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// The same answer as one that confirms nothing.
    pub(crate) fn without_status(self) -> Self {
        Self { status: 0, ..self }
    }

    /// Reads an entry of a `batch-response`.
    pub(crate) fn from_entry(entry: &mut Value) -> Self {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let response = entry.get("response");
        let member = |name: &str| text(response.and_then(|response| response.get(name)));
        let mut answer = Self {
            status: member("status").as_deref().map_or(0, status_code),
            location: member("location").or_else(|| text(entry.get("fullUrl"))),
            etag: member("etag"),
            outcome: response
                .and_then(|response| response.get("outcome"))
                .filter(|outcome| !outcome.is_null())
                .cloned(),
            ..Self::default()
        };
        answer.take_body(entry.get_mut("resource").map(Value::take));
        answer.unless_contradicted()
    }

    /// Reads the answer to a request that was sent alone. `body` is its parsed body, where it had one.
    pub(crate) fn from_response(response: &Response, body: Option<Value>) -> Self {
        let header = |name: &str| response.header(name).map(str::to_owned);
        let mut answer = Self {
            status: response.status,
            location: header("location").or_else(|| header("content-location")),
            etag: header("etag"),
            retry_after_ms: response.retry_after_ms(),
            ..Self::default()
        };
        answer.take_body(body);
        answer.unless_contradicted()
    }

    /// A success whose outcome reports an error confirms nothing.
    fn unless_contradicted(self) -> Self {
        let is_error = |issue: &Value| matches!(issue.get("severity").and_then(Value::as_str), Some("error" | "fatal"));
        let issues = self.outcome.as_ref().and_then(|outcome| outcome.get("issue")).and_then(Value::as_array);
        let is_contradicted =
            (200..300).contains(&self.status) && issues.is_some_and(|issues| issues.iter().any(is_error));
        if is_contradicted { self.without_status() } else { self }
    }

    fn take_body(&mut self, body: Option<Value>) {
        let Some(body) = body.filter(Value::is_object) else { return };
        if body.get("resourceType").and_then(Value::as_str) == Some("OperationOutcome") {
            self.outcome.get_or_insert(body);
        } else {
            self.resource = Some(body);
        }
    }

    /// The id of the record of this type that was written or read.
    pub(crate) fn id(&self, resource_type: &str) -> Option<String> {
        let located = self.location.as_deref().and_then(|location| location_of(resource_type, location));
        located.map(|(id, _)| id).or_else(|| self.held_id(resource_type))
    }

    /// An id in the answer that is another than the one that was asked for.
    pub(crate) fn other_id(&self, resource_type: &str, asked: &str) -> Option<String> {
        let located = self.location.as_deref().and_then(|location| location_of(resource_type, location));
        let encoded = percent_encode(asked);
        let ids = [located.map(|(id, _)| id), self.held_id(resource_type)];
        ids.into_iter().flatten().find(|id| id != asked && *id != encoded)
    }

    fn held_id(&self, resource_type: &str) -> Option<String> {
        self.resource_of(resource_type)?.get("id").and_then(Value::as_str).map(str::to_owned)
    }

    /// Whether it has no information about a record: neither an id nor a body. An outcome is only about the request.
    pub(crate) fn is_bare(&self) -> bool {
        self.location.is_none() && self.etag.is_none() && self.resource.is_none()
    }

    /// The version that the record of this type now has.
    pub(crate) fn version(&self, resource_type: &str) -> Option<String> {
        let etag = self.etag.as_deref().and_then(etag_version);
        let located = || self.location.as_deref().and_then(|location| location_of(resource_type, location)?.1);
        etag.or_else(located).or_else(|| self.resource_of(resource_type).and_then(version_of))
    }

    /// The resource that came back, where it is of this type.
    pub(crate) fn resource_of(&self, resource_type: &str) -> Option<&Value> {
        self.resource.as_ref().filter(|resource| is(resource, resource_type))
    }

    /// The resource of this type that came back with more than its id and version, so that it shows which record it
    /// is.
    pub(crate) fn record(&self, resource_type: &str) -> Option<&Value> {
        let says = |name: &String| {
            !matches!(name.as_str(), "resourceType" | "id" | "meta" | "text" | "implicitRules" | "language")
        };
        self.resource_of(resource_type)
            .filter(|resource| resource.as_object().is_some_and(|elements| elements.keys().any(says)))
    }

    /// The resources of this type that a search found; `None` where this is not its answer.
    pub(crate) fn found(&self, resource_type: &str) -> Option<Vec<&Value>> {
        let bundle = self.resource.as_ref().filter(|bundle| self.status == 200 && is(bundle, "Bundle"))?;
        let entries = bundle.get("entry").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let resources = entries.iter().filter_map(|entry| entry.get("resource"));
        Some(resources.filter(|resource| is(resource, resource_type)).collect())
    }
}

fn is(resource: &Value, resource_type: &str) -> bool {
    resource.get("resourceType").and_then(Value::as_str) == Some(resource_type)
}

/// `meta.versionId` of a resource.
pub(crate) fn version_of(resource: &Value) -> Option<String> {
    resource.pointer("/meta/versionId").and_then(Value::as_str).filter(|version| !version.is_empty()).map(str::to_owned)
}

/// `201`, `201 Created`, `HTTP/1.1 201`... 0 where no code is to be found.
fn status_code(text: &str) -> u16 {
    text.split_whitespace()
        .find_map(|word| word.parse::<u16>().ok().filter(|code| (100..600).contains(code)))
        .unwrap_or(0)
}

/// `W/"3"`, `"3"`, `3`, `W/3`: all name version 3.
fn etag_version(etag: &str) -> Option<String> {
    let opaque = etag.trim();
    let opaque = opaque.strip_prefix("W/").or_else(|| opaque.strip_prefix("w/")).unwrap_or(opaque).trim_matches('"');
    (!opaque.is_empty()).then(|| opaque.to_owned())
}

/// Id and version out of `[base/]TYPE/ID[/_history/V]`.
fn location_of(resource_type: &str, location: &str) -> Option<(String, Option<String>)> {
    let path = location.split(['?', '#']).next()?;
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let place = segments.iter().rposition(|segment| *segment == resource_type)?;
    let id = *segments.get(place + 1)?;
    let version = match segments.get(place + 2..) {
        Some(["_history", version, ..]) => Some((*version).to_owned()),
        _ => None,
    };
    (!id.starts_with(['_', '$'])).then(|| (id.to_owned(), version))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_form_of_a_location_gives_id_and_version() {
        for (location, id, version) in [
            ("http://h:1/fhir/Patient/7/_history/2", Some("7"), Some("2")),
            ("Patient/7/_history/2", Some("7"), Some("2")),
            ("/fhir/Patient/a-b.c", Some("a-b.c"), None),
            ("https://Patient/fhir/Patient/7", Some("7"), None),
            ("Patient?identifier=x", None, None),
            ("Observation/7", None, None),
            ("Patient/7/Observation/8", Some("7"), None),
            ("urn:uuid:1", None, None),
        ] {
            let answer = Answer { location: Some(location.to_owned()), ..Answer::default() };
            assert_eq!(answer.id("Patient").as_deref(), id, "{location}");
            assert_eq!(answer.version("Patient").as_deref(), version, "{location}");
        }
    }

    #[test]
    fn a_success_that_reports_an_error_confirms_nothing() {
        for (severity, status) in [("information", 200), ("warning", 200), ("error", 0), ("fatal", 0)] {
            let outcome = json!({ "resourceType": "OperationOutcome", "issue": [{ "severity": severity }] });
            let mut entry = json!({ "response": { "status": "200 OK", "outcome": outcome } });
            assert_eq!(Answer::from_entry(&mut entry).status, status, "{severity}");
        }
    }

    #[test]
    fn every_form_of_a_status_and_an_etag_is_read() {
        for (text, code) in [("201", 201), ("201 Created", 201), ("HTTP/1.1 412 x", 412), ("Created", 0), ("", 0)] {
            assert_eq!(status_code(text), code, "{text}");
        }
        for (text, version) in
            [("W/\"3\"", Some("3")), ("\"3\"", Some("3")), ("3", Some("3")), ("W/abc", Some("abc")), ("W/\"\"", None)]
        {
            assert_eq!(etag_version(text).as_deref(), version, "{text}");
        }
    }

    #[test]
    fn an_entry_may_carry_id_and_version_anywhere() {
        let mut entry = json!({ "response": { "status": "200 OK" },
            "resource": { "resourceType": "Patient", "id": "9", "meta": { "versionId": "5" } } });
        let answer = Answer::from_entry(&mut entry);
        assert_eq!(
            (answer.status, answer.id("Patient"), answer.version("Patient")),
            (200, Some("9".into()), Some("5".into()))
        );

        let mut entry = json!({ "fullUrl": "http://h/Patient/9", "response": { "status": "200", "etag": "W/\"6\"" } });
        let answer = Answer::from_entry(&mut entry);
        assert_eq!((answer.id("Patient"), answer.version("Patient")), (Some("9".into()), Some("6".into())));
    }

    #[test]
    fn an_unexpected_id_is_detected_in_location_and_body() {
        for (location, id, other) in [
            (Some("http://h/Patient/7/_history/2"), None, None),
            (Some("Patient/a%20b"), None, None),
            (Some("Patient/8"), None, Some("8")),
            (None, Some("8"), Some("8")),
            (Some("Patient/7"), Some("8"), Some("8")),
            (None, None, None),
        ] {
            let asked = if location == Some("Patient/a%20b") { "a b" } else { "7" };
            let resource = id.map(|id| json!({ "resourceType": "Patient", "id": id }));
            let answer = Answer { location: location.map(str::to_owned), resource, ..Answer::default() };
            assert_eq!(answer.other_id("Patient", asked).as_deref(), other, "{location:?} {id:?}");
        }
    }

    #[test]
    fn a_response_with_only_id_and_version_is_not_a_record() {
        let answer = |resource: Value| Answer { resource: Some(resource), ..Answer::default() };
        let bare = json!({ "resourceType": "Patient", "id": "9", "meta": { "versionId": "5" } });
        assert_eq!(answer(bare.clone()).record("Patient"), None);
        let mut full = bare;
        full["active"] = json!(true);
        assert!(answer(full).record("Patient").is_some());
        assert_eq!(answer(json!({ "resourceType": "Bundle", "entry": [] })).record("Patient"), None);
    }

    #[test]
    fn a_success_with_only_an_operation_outcome_is_bare() {
        let outcome = json!({ "resourceType": "OperationOutcome", "issue": [{ "severity": "information" }] });
        let mut entry = json!({ "response": { "status": "201 Created", "outcome": outcome } });
        assert!(Answer::from_entry(&mut entry).is_bare());
        let mut located = json!({ "response": { "status": "201", "location": "Patient/1", "outcome": outcome } });
        assert!(!Answer::from_entry(&mut located).is_bare());
    }

    #[test]
    fn an_operation_outcome_is_found_in_response_or_resource() {
        let outcome = json!({ "resourceType": "OperationOutcome", "issue": [] });
        for mut entry in [
            json!({ "response": { "status": "422", "outcome": outcome } }),
            json!({ "response": { "status": "422" }, "resource": outcome }),
        ] {
            let answer = Answer::from_entry(&mut entry);
            assert_eq!((answer.outcome, answer.resource), (Some(outcome.clone()), None));
        }
        assert_eq!(Answer::from_entry(&mut json!({})), Answer::default());
    }
}
