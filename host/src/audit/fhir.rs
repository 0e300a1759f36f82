//! Events and deliveries as FHIR R4 `AuditEvent` resources, after IHE's Basic Audit Log Patterns.
//!
//! A resource names patients and records by their ids in a logical reference (`identifier`), as every other system
//! knows them, and holds nothing else of them. `fhir_codes.rs` has the codes.

use base64::Engine as _;
use serde_json::{Map, Value, json};

use super::fhir_codes::{Pattern, action, coding, outcome};
use crate::domain::audit::{AuditEvent, AuditFacts, AuditSubject};
use crate::domain::ids::AggregateKey;
use crate::store::SentDelivery;

/// The namespace of the application's ids of patients; behind a slash that of a type's records. The FHIR adapter
/// writes the same.
const PATIENT_ID: &str = "urn:neuronova:patient-id";
const REQUEST_TYPE: &str = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType";
const ENTITY_TYPE: &str = "http://terminology.hl7.org/CodeSystem/audit-entity-type";
const OBJECT_ROLE: &str = "http://terminology.hl7.org/CodeSystem/object-role";
const SOURCE_TYPE: &str = "http://terminology.hl7.org/CodeSystem/security-source-type";

/// Where deliveries of a target go.
#[derive(Clone, Debug)]
pub struct DeliveryTarget {
    pub name: String,
    /// The host of its `base_url`; `None` when it is a database.
    pub server: Option<String>,
}

/// Makes resources on this machine.
#[derive(Clone, Debug)]
pub struct Exporter {
    /// The name of this machine.
    pub machine: String,
}

impl Exporter {
    /// An event of the chain.
    #[must_use]
    pub fn event(&self, event: &AuditEvent) -> Value {
        let AuditEvent { id, at, facts, hash, .. } = event;
        let pattern = Pattern::of_action(&facts.action);
        let subject = &facts.subject;
        let patient = subject_key(subject).filter(AggregateKey::is_patient);
        let mut entities = vec![object(pattern, facts)];
        entities.extend(patient.iter().map(|key| person(&key.aggregate_id)));
        let other = subject.other_id.as_deref().filter(|_| patient.is_some());
        entities.extend(other.map(person));
        entities.push(json!({
            "what": { "identifier": { "system": "urn:neuronova:command", "value": facts.command_id } },
            "type": coding(REQUEST_TYPE, "XrequestId", "XrequestId"),
            "detail": [{ "type": "hash", "valueString": hash }],
        }));
        let mut resource = self.base(&format!("neuronova-audit-{id}"), *at, pattern, &facts.action);
        let profile = pattern.profile(patient.is_some()).filter(|_| facts.is_success());
        insert(&mut resource, "meta", profile.map(|profile| json!({ "profile": [profile] })));
        insert(&mut resource, "outcome", Some(outcome(&facts.outcome).into()));
        let failed = (!facts.is_success()).then(|| facts.outcome.as_str().into());
        insert(&mut resource, "outcomeDesc", failed);
        let reason = facts.reason.as_ref().map(|reason| json!([{ "text": reason }]));
        insert(&mut resource, "purposeOfEvent", reason);
        insert(&mut resource, "agent", Some(agents(pattern, facts)));
        insert(&mut resource, "entity", Some(entities.into()));
        resource.into()
    }

    /// A change that this host, or another one on its store, sent to a target.
    #[must_use]
    pub fn delivery(&self, sent: &SentDelivery, target: &DeliveryTarget) -> Value {
        let SentDelivery { change_id, key, operation, is_done, error_kind, finished_at, remote_id } = sent;
        let pattern = match target.server {
            Some(_) => Pattern::of_operation(operation.as_deref()),
            None => Pattern::Activity("110106", "Export", "E"),
        };
        let mut data = json!({
            "what": { "identifier": { "system": system(key), "value": key.aggregate_id } },
            "type": coding(ENTITY_TYPE, "2", "System Object"),
            "role": coding(OBJECT_ROLE, "4", "Domain Resource"),
        });
        if let Some(remote_id) = remote_id {
            data["detail"] = json!([{ "type": "remote_id", "valueString": remote_id }]);
        }
        let mut entities = vec![data];
        entities.extend(key.is_patient().then(|| person(&key.aggregate_id)));
        // An id of FHIR has at most 64 characters.
        let name: String = plain(&target.name).chars().take(40).collect();
        let id = format!("d-{name}-{change_id}");
        let mut resource = self.base(&id, finished_at.unwrap_or_default(), pattern, "run");
        let profile = pattern.profile(key.is_patient()).filter(|_| *is_done);
        insert(&mut resource, "meta", profile.map(|profile| json!({ "profile": [profile] })));
        insert(&mut resource, "outcome", Some(if *is_done { "0" } else { "8" }.into()));
        insert(&mut resource, "outcomeDesc", error_kind.as_ref().filter(|_| !is_done).map(|kind| kind.as_str().into()));
        let (client, server) = pattern.roles();
        let address = target.server.as_deref().unwrap_or(&target.name);
        let agents = json!([
            agent(&client, "neuronova-host", &self.machine, true),
            agent(&server, &target.name, address, false),
        ]);
        insert(&mut resource, "agent", Some(agents));
        insert(&mut resource, "entity", Some(entities.into()));
        resource.into()
    }

    fn base(&self, id: &str, at: i64, pattern: Pattern, word: &str) -> Map<String, Value> {
        let mut resource = Map::new();
        insert(&mut resource, "resourceType", Some("AuditEvent".into()));
        insert(&mut resource, "id", Some(id.into()));
        insert(&mut resource, "type", Some(pattern.event_type()));
        let subtypes: Vec<_> = pattern.interaction().into_iter().chain([action(word)]).collect();
        insert(&mut resource, "subtype", Some(subtypes.into()));
        insert(&mut resource, "action", Some(pattern.letter().into()));
        insert(&mut resource, "recorded", Some(instant(at).into()));
        let source = json!({
            "site": self.machine,
            "observer": { "identifier": { "value": "neuronova-host" }, "display": "neuronova-host" },
            "type": [coding(SOURCE_TYPE, "4", "Application Server")],
        });
        insert(&mut resource, "source", Some(source));
        resource
    }
}

/// The operator, the command line that they used, and the host whose store it is.
fn agents(pattern: Pattern, facts: &AuditFacts) -> Value {
    let operator = &facts.operator;
    let (client, server) = pattern.roles();
    let user = json!({
        "type": pattern.person(),
        "who": { "identifier": { "value": operator.user } },
        "altId": operator.login.as_ref().unwrap_or(&operator.user),
        "name": operator.acting_as.as_ref().unwrap_or(&operator.user),
        "requestor": true,
    });
    let from = operator.remote.as_ref().unwrap_or(&operator.machine);
    json!([
        agent(&client, "neuronova-host command line", from, false),
        agent(&server, "neuronova-host store", &operator.machine, false),
        user,
    ])
}

fn agent(kind: &Value, name: &str, address: &str, requestor: bool) -> Value {
    // 1 is a machine's name, 2 an IP address.
    let network = if address.parse::<std::net::IpAddr>().is_ok() { "2" } else { "1" };
    json!({
        "type": kind,
        "who": { "identifier": { "value": name }, "display": name },
        "requestor": requestor,
        "network": { "address": address, "type": network },
    })
}

fn subject_key(subject: &AuditSubject) -> Option<AggregateKey> {
    let (aggregate_type, aggregate_id) = (subject.aggregate_type.clone()?, subject.aggregate_id.clone()?);
    Some(AggregateKey { aggregate_type, aggregate_id })
}

/// The entity that was read, changed or looked for: the query of a search, else a record, a target or a set.
fn object(pattern: Pattern, facts: &AuditFacts) -> Value {
    let subject = &facts.subject;
    if pattern == Pattern::Query {
        // The words are ours, and the ids are in the entities next to it.
        let query = base64::engine::general_purpose::STANDARD.encode(format!("host {}", facts.action));
        let described = description(subject);
        let mut entity = Map::new();
        insert(&mut entity, "type", Some(coding(ENTITY_TYPE, "2", "System Object")));
        insert(&mut entity, "role", Some(coding(OBJECT_ROLE, "24", "Query")));
        insert(&mut entity, "description", (!described.is_empty()).then(|| described.into()));
        insert(&mut entity, "query", Some(query.into()));
        return entity.into();
    }
    let identifier = match (subject_key(subject), &subject.target) {
        (Some(key), _) => json!({ "system": system(&key), "value": key.aggregate_id }),
        (None, Some(target)) => json!({ "system": "urn:neuronova:target", "value": target }),
        (None, None) => json!({ "system": "urn:neuronova:store", "value": "store" }),
    };
    let described = description(subject);
    let mut entity = Map::new();
    insert(&mut entity, "what", Some(json!({ "identifier": identifier })));
    insert(&mut entity, "type", Some(coding(ENTITY_TYPE, "2", "System Object")));
    insert(&mut entity, "role", Some(coding(OBJECT_ROLE, "4", "Domain Resource")));
    insert(&mut entity, "description", (!described.is_empty()).then(|| described.into()));
    entity.into()
}

/// What is known of a subject but its id: `3 delivery, target fhir, keep local`.
fn description(subject: &AuditSubject) -> String {
    let AuditSubject { target, aggregate_type, aggregate_id, count, detail, .. } = subject;
    let kind = aggregate_type.as_deref().filter(|_| aggregate_id.is_none()).unwrap_or("item");
    let parts = [
        count.map(|count| format!("{count} {kind}")),
        target.as_ref().map(|target| format!("target {target}")),
        detail.clone(),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn person(patient_id: &str) -> Value {
    json!({
        "what": { "type": "Patient", "identifier": { "system": PATIENT_ID, "value": patient_id } },
        "type": coding(ENTITY_TYPE, "1", "Person"),
        "role": coding(OBJECT_ROLE, "1", "Patient"),
    })
}

fn system(key: &AggregateKey) -> String {
    if key.is_patient() { PATIENT_ID.to_owned() } else { format!("{PATIENT_ID}/{}", plain(&key.aggregate_type)) }
}

/// A name with only what FHIR allows in an id.
fn plain(text: &str) -> String {
    text.chars().map(|character| if character.is_ascii_alphanumeric() { character } else { '-' }).collect()
}

fn instant(millis: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

fn insert(resource: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    if let Some(value) = value {
        resource.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
#[path = "fhir_tests.rs"]
mod tests;
