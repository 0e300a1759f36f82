//! Lists the server's records with our identifiers, page by page. It sends only reads.
//!
//! The first page is a search by the identifier's system alone; the server's `next` links lead on. A link is used only
//! as far as it leads below the base URL, whatever host it names: servers behind a proxy name their own. It judges
//! nothing: the host compares the ids with what it has delivered.

use adapter_sdk::{Failure, OwnPage, OwnRecord, cannot_list};
use serde_json::Value;

use crate::exchange::Outside;
use crate::identity::values_of;
use crate::kind::Kind;
use crate::mapping;
use crate::observe::{get, id_of};
use crate::settings::Settings;

/// One page of the records of a type.
///
/// # Errors
/// `unsupported` when the server cannot list the type; others when the target as a whole does not respond.
pub(crate) fn list(
    outside: &dyn Outside,
    settings: &Settings,
    aggregate_type: &str,
    after: Option<&str>,
    limit: u32,
) -> Result<OwnPage, Failure> {
    let Some(kind) = Kind::of(aggregate_type, settings) else {
        return Err(cannot_list("records of this type may be of any resource type, and each is a search of its own"));
    };
    let system = mapping::system_query(&kind.system);
    let path =
        after.map_or_else(|| kind.search(&format!("{system}&_elements=identifier&_count={limit}")), str::to_owned);
    let answer = get(outside, &format!("list of {}", kind.resource_type), path)?;
    let Some(found) = answer.found(&kind.resource_type) else {
        return Err(cannot_list(&format!("the search by the identifier's system answered {}", answer.status)));
    };
    let records = found.iter().flat_map(|record| own(&kind, record)).collect();
    let next = match answer.resource.as_ref().and_then(next_of) {
        None => None,
        Some(link) => match below(outside.base_url().unwrap_or_default(), link) {
            Some(path) => Some(path),
            None => return Err(cannot_list("the server's `next` link does not lead below base_url")),
        },
    };
    Ok(OwnPage { records, next })
}

/// A record once for each of our identifiers that it carries.
fn own(kind: &Kind<'_>, record: &Value) -> Vec<OwnRecord> {
    let Some(id) = id_of(record) else { return Vec::new() };
    let of_value = |value: &str| OwnRecord { aggregate_id: value.to_owned(), remote_id: kind.remote_id(id) };
    values_of(record, &kind.system).map(of_value).collect()
}

fn next_of(bundle: &Value) -> Option<&str> {
    let links = bundle.get("link")?.as_array()?;
    let next = links.iter().find(|link| link.get("relation").and_then(Value::as_str) == Some("next"))?;
    next.get("url").and_then(Value::as_str)
}

/// The part of a link below the base URL, which may name another scheme and host.
fn below(base_url: &str, link: &str) -> Option<String> {
    let path = |url: &'_ str| match url.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or(String::new(), |slash| rest[slash..].to_owned()),
        None => url.to_owned(),
    };
    let (base, link) = (path(base_url), path(link));
    if !link.starts_with('/') {
        return Some(link).filter(|link| !link.is_empty() && !link.contains(".."));
    }
    let rest = link.strip_prefix(base.trim_end_matches('/'))?;
    let is_below = rest.starts_with(['/', '?']) && !rest.contains("..");
    is_below.then(|| rest.trim_start_matches('/').to_owned()).filter(|rest| !rest.is_empty())
}

#[cfg(test)]
mod tests {
    use adapter_sdk::FailureKind;
    use adapter_sdk::http::Response;
    use serde_json::json;

    use super::*;
    use crate::testing::{Fault, Server};

    fn page(entries: &[Value], next: Option<&str>) -> Response {
        let entries: Vec<_> = entries.iter().map(|record| json!({ "resource": record })).collect();
        let links = next.map(|url| json!([{ "relation": "self", "url": "x" }, { "relation": "next", "url": url }]));
        let bundle = json!({ "resourceType": "Bundle", "type": "searchset", "entry": entries, "link": links });
        Response { status: 200, headers: Vec::new(), body: bundle.to_string().into_bytes() }
    }

    fn patient(id: &str, values: &[(&str, &str)]) -> Value {
        let identifiers: Vec<_> =
            values.iter().map(|(system, value)| json!({ "system": system, "value": value })).collect();
        json!({ "resourceType": "Patient", "id": id, "identifier": identifiers })
    }

    const OURS: &str = "urn:neuronova:patient-id";

    #[test]
    fn pages_follow_the_servers_links_and_have_our_identifiers_alone() {
        let before: Fault = Box::new(|_, request| {
            Some(Ok(if request.path.contains("page=2") {
                page(&[patient("3", &[(OURS, "P-3"), (OURS, "P-4")])], None)
            } else {
                let others = patient("2", &[("urn:other", "P-2")]);
                page(&[patient("1", &[("urn:other", "x"), (OURS, "P-1")]), others], Some("http://host/fhir?page=2"))
            }))
        });
        let server = Server { before: Some(before), ..Server::default() };
        let settings = Settings::default();
        let ids = |page: &OwnPage| -> Vec<String> {
            page.records.iter().map(|record| format!("{} {}", record.aggregate_id, record.remote_id)).collect()
        };
        let first = list(&server, &settings, "patient", None, 50).unwrap();
        assert_eq!((ids(&first), first.next.as_deref()), (vec!["P-1 1".to_owned()], Some("?page=2")));
        let second = list(&server, &settings, "patient", first.next.as_deref(), 50).unwrap();
        assert_eq!((ids(&second), second.next), (vec!["P-3 3".to_owned(), "P-4 3".to_owned()], None));
    }

    #[test]
    fn what_cannot_be_listed_is_unsupported() {
        let mut server = Server::default();
        let refused = |server: &Server, aggregate_type: &str| {
            let failure = list(server, &Settings::default(), aggregate_type, None, 50).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Unsupported, "{}", failure.message);
            failure.message
        };
        assert!(refused(&server, "fhir-resource").contains("any resource type"));
        server.before = Some(Box::new(|_, _| {
            let body = json!({ "resourceType": "OperationOutcome" }).to_string().into_bytes();
            Some(Ok(Response { status: 400, headers: Vec::new(), body }))
        }));
        assert!(refused(&server, "patient").contains("answered 400"));
        server.before = Some(Box::new(|_, _| Some(Ok(page(&[], Some("http://host/elsewhere?page=2"))))));
        assert!(refused(&server, "patient").contains("does not lead below base_url"));
    }

    #[test]
    fn a_link_is_used_below_the_base_url_on_whatever_host() {
        for (link, expected) in [
            ("https://public/fhir/Patient?page=2", Some("Patient?page=2")),
            ("http://inside:8080/fhir?_getpages=a&b=c", Some("?_getpages=a&b=c")),
            ("/fhir/Patient?page=2", Some("Patient?page=2")),
            ("Patient?page=2", Some("Patient?page=2")),
            ("https://public/fhirother?page=2", None),
            ("https://public/fhir/../admin", None),
            ("https://public", None),
            ("https://public/fhir/", None),
            ("", None),
        ] {
            assert_eq!(below("https://public/fhir/", link).as_deref(), expected, "{link}");
        }
        assert_eq!(below("https://public", "https://other/Patient?page=2").as_deref(), Some("Patient?page=2"));
    }
}
