//! One change on its way to the server: which request comes next, and what its answer means.
//!
//! Owns the protocol of a single change as a pure state machine: [`Delivery::begin`] and [`Delivery::advance`] give
//! either the next request or the outcome. It knows nothing of HTTP or Bundles (`exchange` sends the requests of all
//! changes of a batch together), so every path can be tested without a server. This file has the way of a record that is
//! known; `first` has the way of a patient without a link.
//!
//! Three promises decide the paths: a record that others wrote into never loses what is theirs, a lost answer never
//! leads to a second record, and no request that arrives late turns a record back. Read next: `ownership` for the merge,
//! `outcome` for the failures.

mod first;

use adapter_sdk::http::Method;
use adapter_sdk::patient;
use adapter_sdk::{Change, Failure, FailureKind, Operation, Outcome, Receipt, RemoteEdit};
use serde_json::{Value, json};

use crate::answer::{Answer, version_of};
use crate::capability::{Capabilities, Versioning};
use crate::mapping;
use crate::outcome::{self, Personal, failure};
use crate::ownership::{self, Fingerprint, Kept, Merged};
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
    /// `If-None-Match: *`: only where nothing has this id yet.
    pub(crate) only_if_new: bool,
    /// The query of a conditional create.
    pub(crate) if_none_exist: Option<String>,
    pub(crate) resource: Option<Value>,
}

impl Ask {
    fn new(method: Method, url: String, resource: Option<Value>) -> Self {
        Self { method, url, if_match: None, only_if_new: false, if_none_exist: None, resource }
    }

    /// Whether it may be sent again while the server may still be working on the first: a read, or an update that a version
    /// guards. A create is none, not even one under an id of ours: not every server keeps to `If-None-Match: *`, and the late
    /// one would turn back what was written since.
    pub(crate) fn may_be_repeated(&self) -> bool {
        self.method == Method::Get || self.if_match.is_some()
    }

    pub(crate) fn is_search(&self) -> bool {
        self.method == Method::Get && self.url.contains('?')
    }
}

/// What a delivery wants next.
#[derive(Debug)]
pub(crate) enum Step {
    Ask(Ask),
    Done(Outcome),
}

/// Which answer is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// `GET Patient?identifier=` to see what is there.
    Search,
    /// `PUT Patient/ID` with `If-None-Match: *`, under an id of ours.
    CreateWithId,
    /// `GET Patient/ID`, since something has the id of ours already.
    ReadOurId { may_be_created: bool },
    /// `POST Patient` with `If-None-Exist`.
    ConditionalCreate,
    /// `GET Patient/ID` of what a conditional create says that it found.
    ReadMatch,
    /// `POST Patient`.
    Create,
    /// `GET Patient?identifier=` after a create was refused in a way that something made before may explain.
    LookInto,
    /// `GET Patient?identifier=` once more after a create, for a second record.
    LookAgain,
    /// `GET Patient/ID`.
    Read,
    /// `PUT Patient/ID`.
    Update,
    /// `GET Patient/ID/_history/VERSION` of a version that we may have written over.
    ReadOverwritten,
}

/// How the server refused a change, as far as it says something of the server as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suspect {
    /// 401 or 403: perhaps the credentials.
    Credentials,
    /// 5xx, no answer, or one that is not FHIR: perhaps the server.
    Server,
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
    /// A person kept what the record held.
    kept: Option<Kept>,
    /// The fingerprint for the receipt, once the write under way is confirmed.
    written: Option<Fingerprint>,
    /// The version for the receipt, while something is still looked up after a write.
    version: Option<String>,
    /// The version that the update under way was to replace.
    replaces: Option<String>,
    /// Why a create under an id of ours was not taken.
    id_refused: Option<u16>,
    /// What becomes of the change when nothing was found that explains the refusal.
    refusal: Option<Failure>,
    suspect: Option<Suspect>,
    writes: u32,
    notice: Option<String>,
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
            kept: link.and_then(|link| link.fingerprint.as_deref()).and_then(Kept::parse),
            written: None,
            version: None,
            replaces: None,
            id_refused: None,
            refusal: None,
            suspect: None,
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
    pub(crate) fn take_notice(&mut self) -> Option<String> {
        self.notice.take()
    }

    /// Set once the change was refused in a way that may speak of the server rather than of the change.
    pub(crate) fn suspect(&self) -> Option<Suspect> {
        self.suspect
    }

    /// The outcome of a change whose last request will not be answered in this call, where it has one already.
    pub(crate) fn conclude(&mut self) -> Option<Outcome> {
        let has_one = self.stage == Stage::LookAgain && self.id.is_some();
        match has_one.then(|| self.applied(self.version.clone()))? {
            Step::Done(outcome) => Some(outcome),
            Step::Ask(_) => None,
        }
    }

    /// A Bundle with our create broke, and who knows what of it was done: looks before it creates again.
    pub(crate) fn look_first(&mut self) -> Step {
        self.search(Stage::Search)
    }

    /// The request of this change, and of this change alone, was sent and not answered in a way that can be read.
    pub(crate) fn unanswered(&mut self, failure: Failure) -> Outcome {
        if let Some(outcome) = self.conclude() {
            return outcome;
        }
        self.suspect = Some(Suspect::Server);
        Outcome::Failed(failure)
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
            (Some(_), _) => self.read(Stage::Read),
            (None, _) => self.search(Stage::Search),
        }
    }

    /// Whether what is there could be other than what the link says, with no precondition to guard us.
    fn must_read(&self, rules: &Rules<'_>) -> bool {
        // A server that says only `versioned` has not promised to honour `If-Match`.
        let guarded = rules.capabilities.versioning == Versioning::VersionedUpdate;
        let alone = self.last.as_ref().is_some_and(|last| !last.shared);
        rules.settings.read_first || self.link_version.is_none() || !guarded || !alone
    }

    /// Takes the answer to the last request.
    pub(crate) fn advance(&mut self, rules: &Rules<'_>, answer: &Answer) -> Step {
        match self.stage {
            Stage::Read => match (answer.status, answer.patient()) {
                (200, Some(current)) => self.on_current(rules, &current.clone(), answer.version()),
                (404 | 410, _) => self.gone(),
                (200, None) => self.unreadable("read of Patient answered 200 without a Patient"),
                _ => self.refused("read of Patient", answer),
            },
            Stage::Update => match answer.status {
                200 | 204 => self.updated(rules, answer),
                201 => self.recreated(rules, answer),
                404 | 410 => self.gone(),
                409 | 412 if self.writes < WRITES_MAX => self.read(Stage::Read),
                409 | 412 => Step::Done(Outcome::Failed(failure(
                    FailureKind::Transient,
                    format!("Patient was changed at the target {WRITES_MAX} times while we wrote it"),
                ))),
                _ => self.refused("update of Patient", answer),
            },
            Stage::ReadOverwritten => self.on_overwritten(rules, answer),
            _ => self.advance_first(rules, answer),
        }
    }

    /// The record as it is now: decides between leaving it, holding, and writing our elements into it.
    fn on_current(&mut self, rules: &Rules<'_>, current: &Value, version: Option<String>) -> Step {
        if let Some(id) = current.get("id").and_then(Value::as_str) {
            self.id = Some(id.to_owned());
        }
        let version = version.or_else(|| version_of(current));
        let merged = ownership::merge(current, self.wanted.as_ref(), self.last.as_ref(), rules.settings);
        let guard = version.clone().filter(|_| rules.capabilities.versioning != Versioning::NoVersion);
        if let (false, Existing::Replace, Some(wanted)) = (self.linked, rules.settings.existing, &self.wanted)
            && (merged.fingerprint.shared || !merged.unchanged)
        {
            self.written = Some(Fingerprint::of_own(wanted, rules.settings));
            return self.update(rules, wanted.clone(), guard);
        }
        if merged.unchanged {
            self.written = Some(merged.fingerprint);
            return self.applied(version);
        }
        if let Some(step) = self.held_back(rules, current, &merged, version) {
            return step;
        }
        self.written = Some(merged.fingerprint);
        self.update(rules, merged.resource, guard)
    }

    /// Whether an edit by others, or a person's decision about one, keeps us from writing.
    fn held_back(&self, rules: &Rules<'_>, current: &Value, merged: &Merged, version: Option<String>) -> Option<Step> {
        let now = Kept::of(current, merged, rules.settings);
        let is_kept = self.kept.as_ref().is_some_and(|kept| kept.held == now.held);
        if is_kept && self.kept.as_ref() == Some(&now) {
            // The very state that the person declined comes again: the decision stands.
            return Some(Step::Done(Outcome::Applied(Receipt {
                remote_id: self.id.clone().unwrap_or_default(),
                remote_version: version,
                fingerprint: Some(now.to_text()),
            })));
        }
        if rules.on_remote_edit == RemoteEdit::Overwrite {
            return None;
        }
        let message = if is_kept {
            "Patient holds what was kept of the target's, and this newer state would write over it: correct the patient in \
             the application too, or decide again"
        } else if self.was_edited(rules, current) {
            "Patient was edited at the target since we last wrote it"
        } else {
            return None;
        };
        // The host keeps what stands in brackets, and shows it to nobody: `plugins/README.md`.
        Some(conflict(&format!("{message} [holds {}]", now.to_text())))
    }

    fn was_edited(&self, rules: &Rules<'_>, current: &Value) -> bool {
        self.has_written && !self.last.as_ref().is_some_and(|last| last.matches(current, rules.settings))
    }

    fn update(&mut self, rules: &Rules<'_>, mut resource: Value, version: Option<String>) -> Step {
        let id = self.id.clone().unwrap_or_default();
        resource["id"] = json!(id);
        self.stage = Stage::Update;
        self.writes += 1;
        self.written.get_or_insert_with(|| Fingerprint::of_own(&resource, rules.settings));
        self.replaces.clone_from(&version);
        let update = Ask::new(Method::Put, patient_url(&id), Some(resource));
        Step::Ask(Ask { if_match: version.map(|version| format!("W/\"{version}\"")), ..update })
    }

    fn read(&mut self, stage: Stage) -> Step {
        self.stage = stage;
        Step::Ask(Ask::new(Method::Get, patient_url(self.id.as_deref().unwrap_or_default()), None))
    }

    /// An update was taken. A version further on than the next one means that there may be a version in between, which
    /// `If-Match` should have kept us from writing over.
    fn updated(&mut self, rules: &Rules<'_>, answer: &Answer) -> Step {
        let number = |version: Option<&str>| version.and_then(|version| version.parse::<u64>().ok());
        let version = answer.version();
        let (before, after) = (number(self.replaces.as_deref()), number(version.as_deref()));
        if let (Some(before), Some(after)) = (before, after)
            && after > before + 1
            && self.writes < WRITES_MAX
        {
            self.version = version;
            self.stage = Stage::ReadOverwritten;
            let url = format!("{}/_history/{}", patient_url(self.id.as_deref().unwrap_or_default()), after - 1);
            return Step::Ask(Ask::new(Method::Get, url, None));
        }
        self.confirmed(rules, answer)
    }

    /// What stood in the version before ours, if our update wrote over one that we had not seen.
    fn on_overwritten(&mut self, rules: &Rules<'_>, answer: &Answer) -> Step {
        let version = self.version.take();
        let overwritten = match (answer.status, answer.patient()) {
            (200, Some(overwritten)) => overwritten.clone(),
            // Servers that count the versions of all records together have no such version of this one.
            _ => return self.applied(version),
        };
        self.notice = Some(
            "the server took an update although If-Match named an older version; the record is read before each write \
             from here on (set read_first = true to do so for all)"
                .to_owned(),
        );
        if rules.on_remote_edit == RemoteEdit::Hold && self.was_edited(rules, &overwritten) {
            return conflict(
                "Patient was edited at the target since we last wrote it, and the server let our update pass although \
                 If-Match named an older version: the edit is in the record's history",
            );
        }
        let merged = ownership::merge(&overwritten, self.wanted.as_ref(), self.last.as_ref(), rules.settings);
        // Marked as shared also where nothing was lost this time: so the next write reads first.
        let lost = merged.fingerprint.shared;
        self.written = Some(merged.fingerprint.into_shared());
        if lost { self.update(rules, merged.resource, version) } else { self.applied(version) }
    }

    /// A write was taken.
    fn confirmed(&mut self, rules: &Rules<'_>, answer: &Answer) -> Step {
        if let (None, Some(wanted)) = (&self.written, &self.wanted) {
            self.written = Some(Fingerprint::of_own(wanted, rules.settings));
        }
        self.applied(answer.version())
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
        let told = "a Patient had been deleted at the target, and the server created it anew on our update";
        self.notice = Some(told.to_owned());
        self.confirmed(rules, answer)
    }

    /// The record is no longer there.
    fn gone(&mut self) -> Step {
        if self.deletes {
            // What should be inactive does not exist: there is nothing left to do. Without an id the link goes too, so
            // that the patient may come back.
            return nothing_there();
        }
        if self.linked {
            return conflict("Patient was deleted at the target");
        }
        Step::Done(Outcome::Failed(failure(FailureKind::Transient, "Patient vanished while we wrote it")))
    }

    fn refused(&mut self, what: &str, answer: &Answer) -> Step {
        let personal = Personal::of_payload(&self.change.payload);
        self.suspect = match answer.status {
            401 | 403 => Some(Suspect::Credentials),
            // What looks like a success and is none was not said by a FHIR server that is well.
            0..=299 | 408 | 500.. => Some(Suspect::Server),
            _ => None,
        };
        Step::Done(Outcome::Failed(outcome::of_answer(what, answer, &personal)))
    }

    fn unreadable(&mut self, message: &str) -> Step {
        self.suspect = Some(Suspect::Server);
        Step::Done(Outcome::Failed(failure(FailureKind::Transient, message)))
    }
}

fn conflict(message: &str) -> Step {
    Step::Done(Outcome::Failed(failure(FailureKind::Conflict, message)))
}

/// A delete of what the target does not have: confirmed, with no id.
fn nothing_there() -> Step {
    Step::Done(Outcome::Applied(Receipt { remote_id: String::new(), remote_version: None, fingerprint: None }))
}

fn patient_url(id: &str) -> String {
    format!("Patient/{}", mapping::percent_encode(id))
}

fn is_empty_object(payload: &str) -> bool {
    serde_json::from_str::<Value>(payload)
        .is_ok_and(|payload| payload.as_object().is_some_and(serde_json::Map::is_empty))
}

#[cfg(test)]
mod tests;
