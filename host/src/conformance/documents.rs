//! The documents and the answers of the mock server: documents by path, with versions, and a small part of FHIR R4.
//!
//! Pure: a request in, an answer out. `mock_server.rs` brings it onto a socket.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

/// A request, read to its end.
pub(super) struct MockRequest {
    pub(super) method: String,
    /// Below the base URL, without the leading slash.
    pub(super) path: String,
    pub(super) query: String,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// An answer.
#[derive(Default)]
pub(super) struct MockResponse {
    pub(super) status: u16,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// Documents by path, each with the number of its version.
#[derive(Default)]
pub(super) struct Documents {
    kept: BTreeMap<String, (u64, Vec<u8>)>,
    created: u64,
    /// Paths whose id the server gave.
    numbered: BTreeSet<String>,
}

impl MockRequest {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl MockResponse {
    /// An error in the form of a FHIR server; other adapters read only the status.
    fn refused(status: u16) -> Self {
        let issue = json!([{"severity": "error", "code": "processing"}]);
        Self::json(status, &json!({"resourceType": "OperationOutcome", "issue": issue}))
    }

    fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self { status, headers, body: body.to_string().into_bytes() }
    }
}

impl Documents {
    pub(super) fn len(&self) -> u64 {
        self.kept.len() as u64
    }

    /// Each document by its path, without `meta`: versions and times are the server's own.
    pub(super) fn contents(&self) -> Vec<String> {
        let text = |(path, (_, body)): (&String, &(u64, Vec<u8>))| {
            let mut document: Value = serde_json::from_slice(body).unwrap_or_default();
            if let Some(elements) = document.as_object_mut() {
                elements.remove("meta");
            }
            format!("{path} {document}")
        };
        self.kept.iter().map(text).collect()
    }

    /// As others do: writes another text in place of one. Returns the number of documents.
    pub(super) fn edit(&mut self, text: &str, other: &str) -> u64 {
        let held = self.holding(text);
        for (path, version, body) in &held {
            self.keep(path, Some(*version), body.replace(text, other).as_bytes());
        }
        held.len() as u64
    }

    /// As others do: deletes every document that holds a text. Returns the number of documents.
    pub(super) fn delete(&mut self, text: &str) -> u64 {
        let held = self.holding(text);
        for (path, ..) in &held {
            self.kept.remove(path);
        }
        held.len() as u64
    }

    /// As others do: makes a second one of every document that holds a text and whose id the server gave. Returns the
    /// number of documents.
    pub(super) fn double(&mut self, text: &str) -> u64 {
        let mut held = self.holding(text);
        held.retain(|(path, ..)| self.numbered.contains(path));
        for (path, _, body) in &held {
            let collection = path.rsplit_once('/').map_or("", |(collection, _)| collection);
            self.add(collection, body.as_bytes());
        }
        held.len() as u64
    }

    /// Path, version and body of the documents that hold a text.
    fn holding(&self, text: &str) -> Vec<(String, u64, String)> {
        let kept = self
            .kept
            .iter()
            .map(|(path, (version, body))| (path.clone(), *version, String::from_utf8_lossy(body).into_owned()));
        kept.filter(|(.., body)| body.contains(text)).collect()
    }

    /// GET, PUT, POST and DELETE, with `If-Match`, `If-None-Match: *` and FHIR's `If-None-Exist`.
    pub(super) fn answer(&mut self, request: &MockRequest) -> MockResponse {
        let path = request.path.trim_end_matches('/').to_owned();
        match request.method.as_str() {
            "GET" if path == "metadata" => MockResponse::json(200, &capability_statement()),
            "GET" | "HEAD" => self.read(&path, &request.query),
            "PUT" if path.contains('/') => self.write(&path, request),
            "POST" if !path.is_empty() => self.create(&path, request),
            "DELETE" if path.contains('/') => match self.kept.remove(&path) {
                Some(_) => MockResponse { status: 204, ..MockResponse::default() },
                None => MockResponse::refused(404),
            },
            _ => MockResponse::refused(405),
        }
    }

    fn read(&self, path: &str, query: &str) -> MockResponse {
        if let Some((version, body)) = self.kept.get(path) {
            let mut answer = MockResponse { status: 200, body: body.clone(), ..MockResponse::default() };
            answer.headers.push(("content-type".to_owned(), "application/json".to_owned()));
            answer.headers.push(("etag".to_owned(), etag(*version)));
            return answer;
        }
        if path.contains('/') {
            return MockResponse::refused(404);
        }
        // A collection: all documents below it, or those with the requested identifier.
        let found: Vec<Value> = self.search(path, query).into_iter().map(|(_, resource)| resource).collect();
        if found.iter().any(|resource| resource.get("resourceType").is_some()) || query.contains("identifier=") {
            return MockResponse::json(200, &search_result(path, query, &found));
        }
        MockResponse::json(200, &Value::Array(found))
    }

    fn search(&self, collection: &str, query: &str) -> Vec<(String, Value)> {
        let identifier = url::form_urlencoded::parse(query.as_bytes())
            .find(|(name, _)| name == "identifier")
            .map(|(_, value)| value);
        let prefix = format!("{collection}/");
        self.kept
            .iter()
            .filter(|(path, _)| path.starts_with(&prefix))
            .filter_map(|(path, (_, body))| Some((path.clone(), serde_json::from_slice(body).ok()?)))
            .filter(|(_, resource)| identifier.as_ref().is_none_or(|wanted| carries(resource, wanted)))
            .collect()
    }

    fn write(&mut self, path: &str, request: &MockRequest) -> MockResponse {
        let version = self.kept.get(path).map(|(version, _)| *version);
        if let Some(wanted) = request.header("if-match")
            && version.is_none_or(|version| !wanted.contains(&format!("\"{version}\"")))
        {
            return MockResponse::refused(412);
        }
        if request.header("if-none-match") == Some("*") && version.is_some() {
            return MockResponse::refused(412);
        }
        self.keep(path, version, &request.body)
    }

    fn create(&mut self, collection: &str, request: &MockRequest) -> MockResponse {
        if let Some(query) = request.header("if-none-exist") {
            match &self.search(collection, query)[..] {
                [] => {}
                [(path, _)] => {
                    let mut answer = self.read(path, "");
                    answer.headers.push(("location".to_owned(), path.clone()));
                    return answer;
                }
                _ => return MockResponse::refused(412),
            }
        }
        self.add(collection, &request.body)
    }

    /// Keeps a document under an id of the server's own.
    fn add(&mut self, collection: &str, body: &[u8]) -> MockResponse {
        self.created += 1;
        let path = format!("{collection}/{}", self.created);
        self.numbered.insert(path.clone());
        self.keep(&path, None, body)
    }

    /// Accepts only JSON. A FHIR resource gets its id and version, as on a real server.
    fn keep(&mut self, path: &str, before: Option<u64>, body: &[u8]) -> MockResponse {
        let Ok(mut document) = serde_json::from_slice::<Value>(body) else { return MockResponse::refused(400) };
        let version = before.unwrap_or(0) + 1;
        if document.get("resourceType").is_some() {
            document["id"] = json!(path.rsplit('/').next());
            document["meta"]["versionId"] = json!(version.to_string());
        }
        self.kept.insert(path.to_owned(), (version, document.to_string().into_bytes()));
        let mut answer = self.read(path, "");
        answer.status = if before.is_some() { 200 } else { 201 };
        answer.headers.push(("location".to_owned(), path.to_owned()));
        answer
    }
}

fn etag(version: u64) -> String {
    format!("W/\"{version}\"")
}

/// A page of a search, with a link to the next one.
fn search_result(collection: &str, query: &str, found: &[Value]) -> Value {
    let number = |wanted: &str| {
        let (_, value) = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == wanted)?;
        value.parse::<usize>().ok()
    };
    let (skipped, count) = (number("_skip").unwrap_or_default(), number("_count").unwrap_or(found.len()));
    let page = found.iter().skip(skipped).take(count);
    let entries: Vec<Value> = page.map(|resource| json!({"resource": resource})).collect();
    let mut bundle = json!({
        "resourceType": "Bundle", "type": "searchset", "total": found.len(), "entry": entries,
    });
    let next = skipped + entries.len();
    if next < found.len() && !entries.is_empty() {
        let query = query.split('&').filter(|part| !part.starts_with("_skip=")).collect::<Vec<_>>().join("&");
        bundle["link"] = json!([{"relation": "next", "url": format!("{collection}?{query}&_skip={next}")}]);
    }
    bundle
}

/// Whether a resource carries `SYSTEM|VALUE` among its identifiers, or with `SYSTEM|` any value of the system.
fn carries(resource: &Value, wanted: &str) -> bool {
    let (system, value) = wanted.split_once('|').unwrap_or(("", wanted));
    let identifiers = resource.get("identifier").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    identifiers.iter().any(|identifier| {
        let is_any = value.is_empty() && !system.is_empty();
        (is_any || identifier.get("value").and_then(Value::as_str) == Some(value))
            && (system.is_empty() || identifier.get("system").and_then(Value::as_str) == Some(system))
    })
}

/// The resource types that the suite delivers.
const RESOURCE_TYPES: [&str; 8] = [
    "Patient",
    "Encounter",
    "Condition",
    "AllergyIntolerance",
    "MedicationStatement",
    "Observation",
    "Appointment",
    "Organization",
];

fn capability_statement() -> Value {
    let interactions: Vec<Value> =
        ["read", "create", "update", "search-type"].into_iter().map(|code| json!({"code": code})).collect();
    let resource = |name: &str| {
        json!({
            "type": name, "interaction": interactions, "versioning": "versioned-update", "conditionalCreate": true,
            "searchParam": [{"name": "identifier", "type": "token"}],
        })
    };
    json!({
        "resourceType": "CapabilityStatement", "status": "active", "kind": "instance", "fhirVersion": "4.0.1",
        "date": "2025-01-01", "format": ["json"],
        "software": {"name": "mock server", "version": env!("CARGO_PKG_VERSION")},
        "rest": [{"mode": "server", "resource": RESOURCE_TYPES.map(resource)}],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(documents: &mut Documents, method: &str, path: &str, headers: &[(&str, &str)]) -> u16 {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let body = br#"{"a": 1, "identifier": [{"system": "s", "value": "v"}]}"#.to_vec();
        let request =
            MockRequest { method: method.to_owned(), path: path.to_owned(), query: query.to_owned(), headers, body };
        documents.answer(&request).status
    }

    #[test]
    fn stored_documents_have_versions_and_preconditions() {
        let mut documents = Documents::default();
        for (method, path, headers, status) in [
            ("GET", "p/1", &[][..], 404),
            ("PUT", "p/1", &[("if-match", "\"1\"")], 412),
            ("PUT", "p/1", &[], 201),
            ("PUT", "p/1", &[("if-match", "W/\"1\"")], 200),
            ("PUT", "p/1", &[("if-match", "W/\"1\"")], 412),
            ("PUT", "p/1", &[("if-none-match", "*")], 412),
            ("POST", "p", &[("if-none-exist", "identifier=s|v")], 200),
            ("POST", "p", &[("if-none-exist", "identifier=s|w")], 201),
            ("GET", "p", &[], 200),
            ("DELETE", "p/1", &[], 204),
            ("DELETE", "p/1", &[], 404),
            ("PATCH", "p/1", &[], 405),
        ] {
            assert_eq!(ask(&mut documents, method, path, headers), status, "{method} {path} {headers:?}");
        }
    }

    #[test]
    fn others_edit_delete_and_double_what_holds_a_text() {
        let mut documents = Documents::default();
        assert_eq!(ask(&mut documents, "PUT", "p/of-the-client", &[]), 201);
        assert_eq!(ask(&mut documents, "POST", "p", &[]), 201);
        assert_eq!((documents.double("nothing"), documents.double("\"v\"")), (0, 1), "the client's id is a key");
        assert_eq!(documents.contents().len(), 3);
        assert_eq!(documents.edit("\"v\"", "\"w\""), 3);
        assert_eq!(ask(&mut documents, "PUT", "p/1", &[("if-match", "W/\"1\"")]), 412, "an edit is a version");
        assert_eq!((documents.delete("\"v\""), documents.delete("\"w\""), documents.len()), (0, 3, 0));
    }
}
