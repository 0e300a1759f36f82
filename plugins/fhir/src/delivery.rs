//! One change on its way to the server: which request comes next, and what its answer means.
//!
//! Owns the protocol of a single change as a pure state machine: [`Delivery::begin`] and [`Delivery::advance`] give
//! either the next request or the outcome. It knows nothing of HTTP or Bundles (`exchange` sends the requests of all
//! changes of a batch together), so every path can be tested without a server. The common case is one request.
//!
//! Two promises decide the paths: a record that others wrote into never loses what is theirs, and a lost answer never
//! leads to a second record. Read next: `ownership` for the merge, `outcome` for the failures.

use adapter_sdk::http::Method;
use adapter_sdk::patient;
use adapter_sdk::{Change, Failure, FailureKind, Operation, Outcome, Receipt, RemoteEdit};
use serde_json::{Value, json};

use crate::answer::{Answer, version_of};
use crate::capability::{Capabilities, Versioning};
use crate::mapping;
use crate::outcome::{self, Personal, failure};
use crate::ownership::{self, Fingerprint};
use crate::settings::{Existing, Settings};

/// How often one change is read and written again because someone else wrote in between.
const WRITES_MAX: u32 = 3;

/// What holds for every change of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) capabilities: &'a Capabilities,
    pub(crate) on_remote_edit: RemoteEdit,
}

/// One request about one Patient.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    /// Relative to the base URL: `Patient`, `Patient/ID` or `Patient?identifier=...`.
    pub(crate) url: String,
    /// As it stands in the header: `W/"3"`.
    pub(crate) if_match: Option<String>,
    /// The query of a conditional create.
    pub(crate) if_none_exist: Option<String>,
    pub(crate) resource: Option<Value>,
}

/// What a delivery wants next.
#[derive(Debug)]
pub(crate) enum Step {
    Ask(Ask),
    Done(Outcome),
}

/// Which answer is awaited.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// `PUT Patient?identifier=`.
    ConditionalUpdate,
    /// `POST Patient` with `If-None-Exist`.
    ConditionalCreate,
    /// `GET Patient?identifier=` to see what is there.
    Search,
    /// `POST Patient`, after a search found nothing.
    Create,
    /// `GET Patient/ID`.
    Read,
    /// `PUT Patient/ID`.
    Update,
    /// `GET Patient?identifier=` for the id that an answer kept to itself.
    Locate,
}

/// One change under way.
#[derive(Debug)]
pub(crate) struct Delivery<'a> {
    change: &'a Change,
    stage: Stage,
    query: String,
    /// Our resource; `None` for a delete that carries no state.
    wanted: Option<Value>,
    deletes: bool,
    /// The id of the record: the link's, or the one that was found.
    id: Option<String>,
    /// The link says what was written last. A person's word says nothing of it, and is no reason to hold.
    has_written: bool,
    linked: bool,
    link_version: Option<String>,
    last: Option<Fingerprint>,
    /// The fingerprint for the receipt, once the write under way is confirmed.
    written: Option<Fingerprint>,
    writes: u32,
    notice: Option<&'static str>,
}

impl<'a> Delivery<'a> {
    /// Reads a change; gives its delivery and the first step.
    pub(crate) fn begin(rules: &Rules<'_>, change: &'a Change) -> (Self, Step) {
        let deletes = change.operation == Operation::Delete;
        let link = change.link.as_ref();
        let mut delivery = Self {
            change,
            stage: Stage::Search,
            query: mapping::identifier_query(&rules.settings.identifier_system, &change.aggregate_id),
            wanted: None,
            deletes,
            id: link.map(|link| link.remote_id.clone()),
            has_written: link.and_then(|link| link.fingerprint.as_deref()).is_some_and(|last| !last.is_empty()),
            linked: link.is_some(),
            link_version: link.and_then(|link| link.remote_version.clone()).filter(|version| !version.is_empty()),
            last: link.and_then(|link| link.fingerprint.as_deref()).and_then(Fingerprint::parse),
            written: None,
            writes: 0,
            notice: None,
        };
        let step = match delivery.read_state(rules) {
            Ok(()) => delivery.first(rules),
            Err(failure) => Step::Done(Outcome::Failed(failure)),
        };
        (delivery, step)
    }

    /// Something that happened on the way and that an operator should know of; told once.
    pub(crate) fn take_notice(&mut self) -> Option<&'static str> {
        self.notice.take()
    }

    fn read_state(&mut self, rules: &Rules<'_>) -> Result<(), Failure> {
        let change = self.change;
        if change.aggregate_type != "patient" {
            return Err(failure(FailureKind::Unsupported, "only aggregates of type patient can be delivered"));
        }
        if change.aggregate_id.is_empty() || change.aggregate_id.chars().any(char::is_control) {
            return Err(failure(FailureKind::Invalid, "aggregate_id is empty or holds control characters"));
        }
        if self.deletes && is_empty_object(&change.payload) {
            return Ok(());
        }
        let patient = patient::read(change)?;
        self.wanted = Some(mapping::resource(&patient, !self.deletes, rules.settings));
        Ok(())
    }

    fn first(&mut self, rules: &Rules<'_>) -> Step {
        match (&self.id, &self.wanted) {
            (Some(_), Some(wanted)) if !self.must_read(rules) => {
                let (resource, version) = (wanted.clone(), self.link_version.clone());
                self.update(rules, resource, version)
            }
            (Some(_), _) => self.read(),
            // Nothing is created only to be deactivated, so that a patient who was registered by mistake and removed
            // again before the first delivery never reaches the target.
            (None, Some(_)) if !self.deletes => self.introduce(rules),
            (None, _) => self.search(Stage::Search),
        }
    }

    /// Whether what is there could be other than what the link says, with no precondition to guard us.
    fn must_read(&self, rules: &Rules<'_>) -> bool {
        let versioning = rules.capabilities.versioning;
        // A server that only says `versioned` usually honours `If-Match` but has not promised it.
        let guarded = match rules.on_remote_edit {
            RemoteEdit::Hold => versioning == Versioning::VersionedUpdate,
            RemoteEdit::Overwrite => versioning != Versioning::NoVersion,
        };
        let alone = self.last.as_ref().is_some_and(|last| !last.shared);
        rules.settings.read_first || self.link_version.is_none() || !guarded || !alone
    }

    /// The first request for a patient that has no link.
    fn introduce(&mut self, rules: &Rules<'_>) -> Step {
        let capabilities = rules.capabilities;
        let replace = match rules.settings.existing {
            Existing::Replace => true,
            Existing::Merge => false,
            Existing::Auto => self.change.operation == Operation::Create,
        };
        if replace && capabilities.conditional_update {
            self.stage = Stage::ConditionalUpdate;
            return Step::Ask(ask(Method::Put, format!("Patient?{}", self.query), self.wanted.clone()));
        }
        if capabilities.conditional_create {
            self.stage = Stage::ConditionalCreate;
            let create = ask(Method::Post, "Patient".to_owned(), self.wanted.clone());
            return Step::Ask(Ask { if_none_exist: Some(self.query.clone()), ..create });
        }
        self.search(Stage::Search)
    }

    /// Takes the answer to the last request.
    pub(crate) fn advance(&mut self, rules: &Rules<'_>, answer: &Answer) -> Step {
        match self.stage {
            Stage::ConditionalUpdate => match answer.status {
                200 | 201 | 204 => self.confirmed(rules, answer),
                412 => conflict("several Patients at the target carry our identifier"),
                _ => self.refused("conditional update of Patient", answer),
            },
            Stage::ConditionalCreate => match answer.status {
                201 => self.confirmed(rules, answer),
                200 | 204 | 304 => match answer.patient_id() {
                    Some(id) => {
                        self.id = Some(id);
                        self.read()
                    }
                    None => self.search(Stage::Search),
                },
                412 => conflict("several Patients at the target carry our identifier"),
                _ => self.refused("conditional create of Patient", answer),
            },
            Stage::Create => match answer.status {
                200 | 201 | 204 => self.confirmed(rules, answer),
                _ => self.refused("create of Patient", answer),
            },
            Stage::Search => match self.found(rules, answer) {
                Err(step) => step,
                Ok(Some(current)) => self.on_current(rules, &current, version_of(&current)),
                // What the target never had is deleted there already: confirmed, with no id.
                Ok(None) if self.deletes => Step::Done(Outcome::Applied(Receipt {
                    remote_id: String::new(),
                    remote_version: None,
                    fingerprint: None,
                })),
                Ok(None) => {
                    self.stage = Stage::Create;
                    Step::Ask(ask(Method::Post, "Patient".to_owned(), self.wanted.clone()))
                }
            },
            Stage::Locate => match self.found(rules, answer) {
                Err(step) => step,
                Ok(Some(current)) => {
                    self.id = current.get("id").and_then(Value::as_str).map(str::to_owned);
                    self.applied(version_of(&current))
                }
                Ok(None) => Step::Done(Outcome::Failed(failure(
                    FailureKind::Transient,
                    "the server confirmed the Patient without an id, and the search does not find it yet",
                ))),
            },
            Stage::Read => match (answer.status, answer.patient()) {
                (200, Some(current)) => self.on_current(rules, &current.clone(), answer.version()),
                (404 | 410, _) => self.gone(),
                (200, None) => Step::Done(Outcome::Failed(failure(
                    FailureKind::Transient,
                    "read of Patient answered 200 without a Patient",
                ))),
                _ => self.refused("read of Patient", answer),
            },
            Stage::Update => match answer.status {
                200 | 204 => self.confirmed(rules, answer),
                201 => self.recreated(rules, answer),
                404 | 410 => self.gone(),
                409 | 412 if self.writes < WRITES_MAX => self.read(),
                409 | 412 => Step::Done(Outcome::Failed(failure(
                    FailureKind::Transient,
                    format!("Patient was changed at the target {WRITES_MAX} times while we wrote it"),
                ))),
                _ => self.refused("update of Patient", answer),
            },
        }
    }

    /// The record as it is now: decides between leaving it, holding, and writing our elements into it.
    fn on_current(&mut self, rules: &Rules<'_>, current: &Value, version: Option<String>) -> Step {
        if let Some(id) = current.get("id").and_then(Value::as_str) {
            self.id = Some(id.to_owned());
        }
        let version = version.or_else(|| version_of(current));
        let merged = ownership::merge(current, self.wanted.as_ref(), self.last.as_ref(), rules.settings);
        self.written = Some(merged.fingerprint);
        if merged.unchanged {
            return self.applied(version);
        }
        let untouched = self.last.as_ref().is_some_and(|last| last.matches(current, rules.settings));
        if self.has_written && !untouched && rules.on_remote_edit == RemoteEdit::Hold {
            return conflict("Patient was edited at the target since we last wrote it");
        }
        let version = version.filter(|_| rules.capabilities.versioning != Versioning::NoVersion);
        self.update(rules, merged.resource, version)
    }

    fn update(&mut self, rules: &Rules<'_>, mut resource: Value, version: Option<String>) -> Step {
        let id = self.id.clone().unwrap_or_default();
        resource["id"] = json!(id);
        self.stage = Stage::Update;
        self.writes += 1;
        self.written.get_or_insert_with(|| Fingerprint::of_own(&resource, rules.settings));
        let update = ask(Method::Put, patient_url(&id), Some(resource));
        Step::Ask(Ask { if_match: version.map(|version| format!("W/\"{version}\"")), ..update })
    }

    fn read(&mut self) -> Step {
        self.stage = Stage::Read;
        Step::Ask(ask(Method::Get, patient_url(self.id.as_deref().unwrap_or_default()), None))
    }

    fn search(&mut self, stage: Stage) -> Step {
        self.stage = stage;
        Step::Ask(ask(Method::Get, format!("Patient?{}", self.query), None))
    }

    /// The one Patient that a search found, if any.
    fn found(&self, rules: &Rules<'_>, answer: &Answer) -> Result<Option<Value>, Step> {
        let (200, Some(bundle)) = (answer.status, &answer.resource) else {
            return Err(self.refused("search for Patient", answer));
        };
        let entries = bundle.get("entry").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let mut patients = entries
            .iter()
            .filter_map(|entry| entry.get("resource"))
            .filter(|resource| resource.get("resourceType").and_then(Value::as_str) == Some("Patient"));
        // A server that passes over a parameter which it does not know answers with everybody: never take one of them.
        let carries = |patient: &&Value| carries(patient, &rules.settings.identifier_system, &self.change.aggregate_id);
        if patients.clone().any(|patient| !carries(&patient)) {
            return Err(Step::Done(Outcome::Failed(failure(
                FailureKind::Misconfigured,
                "the server does not search Patient by identifier: it answered with Patients that do not carry it",
            ))));
        }
        match (patients.next(), patients.next()) {
            (found, None) => Ok(found.cloned()),
            (_, Some(_)) => Err(conflict("several Patients at the target carry our identifier")),
        }
    }

    /// A write was taken.
    fn confirmed(&mut self, rules: &Rules<'_>, answer: &Answer) -> Step {
        if let (None, Some(wanted)) = (&self.written, &self.wanted) {
            self.written = Some(Fingerprint::of_own(wanted, rules.settings));
        }
        if self.stage != Stage::Update {
            self.id = answer.patient_id();
        }
        if self.id.is_none() { self.search(Stage::Locate) } else { self.applied(answer.version()) }
    }

    fn applied(&self, version: Option<String>) -> Step {
        Step::Done(Outcome::Applied(Receipt {
            remote_id: self.id.clone().expect("invariant: a confirmed delivery knows its record"),
            remote_version: version,
            fingerprint: self.written.as_ref().map(Fingerprint::to_text),
        }))
    }

    /// An update by id created a record: the one that we knew had been deleted, and the server did not mind.
    fn recreated(&mut self, rules: &Rules<'_>, answer: &Answer) -> Step {
        if rules.on_remote_edit == RemoteEdit::Hold {
            return conflict("Patient had been deleted at the target, and the server created it anew on our update");
        }
        self.notice = Some("a Patient had been deleted at the target, and the server created it anew on our update");
        self.confirmed(rules, answer)
    }

    /// The record is no longer there.
    fn gone(&mut self) -> Step {
        if self.deletes {
            // What should be inactive does not exist: there is nothing left to do, and nothing to remember.
            self.written = None;
            return self.applied(None);
        }
        if self.linked {
            return conflict("Patient was deleted at the target");
        }
        Step::Done(Outcome::Failed(failure(FailureKind::Transient, "Patient vanished while we wrote it")))
    }

    fn refused(&self, what: &str, answer: &Answer) -> Step {
        let personal = Personal::of_payload(&self.change.payload);
        Step::Done(Outcome::Failed(outcome::of_answer(what, answer, &personal)))
    }
}

fn ask(method: Method, url: String, resource: Option<Value>) -> Ask {
    Ask { method, url, if_match: None, if_none_exist: None, resource }
}

fn conflict(message: &str) -> Step {
    Step::Done(Outcome::Failed(failure(FailureKind::Conflict, message)))
}

fn patient_url(id: &str) -> String {
    format!("Patient/{}", mapping::percent_encode(id))
}

fn carries(patient: &Value, system: &str, value: &str) -> bool {
    patient.get("identifier").and_then(Value::as_array).is_some_and(|identifiers| {
        identifiers.iter().any(|identifier| {
            identifier.get("system").and_then(Value::as_str) == Some(system)
                && identifier.get("value").and_then(Value::as_str) == Some(value)
        })
    })
}

fn is_empty_object(payload: &str) -> bool {
    serde_json::from_str::<Value>(payload)
        .is_ok_and(|payload| payload.as_object().is_some_and(serde_json::Map::is_empty))
}

#[cfg(test)]
mod tests;
