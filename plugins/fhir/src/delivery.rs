//! The delivery of one change: decides the next request, and what its response means.
//!
//! Owns the protocol of a single change as a pure state machine: [`Delivery::begin`] and [`Delivery::advance`] give
//! either the next request or the outcome. It knows nothing of HTTP or Bundles (`exchange` sends the requests of all
//! changes of a batch together), so every path can be tested without a server, and nothing of what a type holds (its
//! `Kind` says that). `known` has the way of a record that is known, `first` the way of one without a link.
//!
//! Four guarantees decide the paths: elements that others wrote are never lost, a lost response never leads to a second
//! record, a late request never reverts a record, and a record without our identifier is never treated as ours. Read
//! next: `ownership` for the merge, `outcome` for the failures.

mod first;
mod known;

use adapter_sdk::http::Method;
use adapter_sdk::{Change, Failure, FailureKind, Operation, Outcome, Receipt, RemoteEdit};
use serde_json::Value;

use crate::answer::Answer;
use crate::capability::{Abilities, Capabilities, Versioning};
use crate::identity::{Carries, carries};
use crate::kind::Kind;
use crate::mapping;
use crate::outcome::{self, failure};
use crate::ownership::{Fingerprint, Kept};
use crate::settings::Settings;
use crate::wanted;

/// How often one change is read and written again because someone else wrote in between.
const WRITES_MAX: u32 = 3;

const NOT_OURS: &str = "the server answered our write of TYPE with a record that does not carry our identifier";

/// The settings and capabilities that apply to every change of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) capabilities: &'a Capabilities,
    pub(crate) on_remote_edit: RemoteEdit,
}

/// One request about one record.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Interaction {
    pub(crate) method: Method,
    /// The URL relative to the base URL: `TYPE`, `TYPE/ID` or `TYPE?identifier=...`.
    pub(crate) url: String,
    /// The header's value: `W/"3"`.
    pub(crate) if_match: Option<String>,
    /// Whether to send `If-None-Match: *`, so that it succeeds only if nothing has this id yet.
    pub(crate) only_if_new: bool,
    /// The query of a conditional create.
    pub(crate) if_none_exist: Option<String>,
    pub(crate) resource: Option<Value>,
}

impl Interaction {
    fn new(method: Method, url: String, resource: Option<Value>) -> Self {
        Self { method, url, if_match: None, only_if_new: false, if_none_exist: None, resource }
    }

    /// Whether it may be sent again while the server may still be working on the first one. That holds for a read, and
    /// for an update with a version at a server that promises to honour `If-Match`. It does not hold for a create, not
    /// even under an id of ours: not every server honours `If-None-Match: *`, and the late request would overwrite a
    /// newer state. It does not hold for a delete, because the promise covers only updates.
    pub(crate) fn may_be_repeated(&self, capabilities: &Capabilities) -> bool {
        let promises = || {
            let abilities = capabilities.of(self.resource_type());
            abilities.is_some_and(|abilities| abilities.versioning == Versioning::VersionedUpdate)
        };
        self.method == Method::Get || (self.method == Method::Put && self.if_match.is_some() && promises())
    }

    pub(crate) fn is_search(&self) -> bool {
        self.method == Method::Get && self.url[self.resource_type().len()..].starts_with('?')
    }

    pub(crate) fn resource_type(&self) -> &str {
        self.url.split(['/', '?']).next().unwrap_or_default()
    }
}

/// The next step of a delivery.
#[derive(Debug)]
pub(crate) enum Step {
    Send(Interaction),
    Done(Outcome),
}

/// The request whose response is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// `GET TYPE?identifier=` to see what is there.
    Search,
    /// `PUT TYPE/ID` with `If-None-Match: *`, under an id of ours.
    CreateWithId,
    /// `GET TYPE/ID`, because a record with our id exists already.
    ReadOurId { may_be_created: bool },
    /// `POST TYPE` with `If-None-Exist`.
    ConditionalCreate,
    /// `GET TYPE/ID` of the record that a conditional create reported as found.
    ReadMatch,
    /// `POST TYPE`.
    Create,
    /// `GET TYPE?identifier=` after a create was refused, when an existing record may explain the refusal.
    LookInto,
    /// `GET TYPE?identifier=` again after a create, to detect a second record.
    LookAgain { told: Told },
    /// `GET TYPE/ID` under an id that the server chose, to verify it.
    ReadChosen { has_looked: bool },
    /// `GET TYPE/ID` after a write whose response has no information about a record.
    ReadUnproven,
    /// `GET TYPE/ID`.
    Read,
    /// `PUT TYPE/ID`.
    Update,
    /// `DELETE TYPE/ID`.
    Remove,
    /// `GET TYPE/ID/_history/VERSION` of a version that our write may have overwritten.
    ReadOverwritten,
    /// `GET TYPE/ID/_history` after an update whose version does not show which one it replaced.
    ReadHistory,
    /// `GET TYPE?identifier=` after a 404 that did not come from a FHIR server.
    ConfirmGone,
    /// `GET TYPE?_id=` after such a 404, when another record carries our identifier.
    ConfirmIdGone,
}

/// What a server's response shows about the record that a create made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// The record has the requested id, or was read.
    Record,
    /// An id that the server chose.
    Id,
    /// Nothing: a success without a body or a header that names a record. Any proxy may respond so.
    Nothing,
}

/// The possible cause of a refusal that may concern the whole server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suspect {
    /// 401 or 403: perhaps the credentials.
    Credentials,
    /// 5xx, no response, or one that is not FHIR: perhaps the server.
    Server,
}

/// A change in progress.
#[derive(Debug)]
pub(crate) struct Delivery<'a> {
    change: &'a Change,
    kind: Kind<'a>,
    /// The server's abilities for this type.
    abilities: &'a Abilities,
    stage: Stage,
    query: String,
    /// Our resource. `None` for a delete without a state, and for a merge, which has a link to the survivor instead.
    wanted: Option<Value>,
    survivor: Option<Value>,
    /// Whether it is a delete or a merge, so that the record need not exist.
    ends: bool,
    /// The id of the record, from the link or from a search.
    id: Option<String>,
    link_version: Option<String>,
    last: Option<Fingerprint>,
    /// The decision of an operator who kept the record's content.
    kept: Option<Kept>,
    /// The fingerprint for the receipt, once the current write is confirmed.
    written: Option<Fingerprint>,
    /// The receipt's version, while a check after a write is in progress.
    version: Option<String>,
    /// The version that the current update should replace.
    replaces: Option<String>,
    /// The status with which a create under an id of ours was refused.
    id_refused: Option<u16>,
    /// The failure of the change, unless a record is found that explains the refusal.
    refusal: Option<Failure>,
    suspect: Option<Suspect>,
    /// Whether the server processed a write of this change, with any result: then the credentials may write.
    may_write: bool,
    /// Whether the record was read in this call, so that an update does not rely on the link's version alone.
    was_read: bool,
    writes: u32,
    notice: Option<String>,
}

impl<'a> Delivery<'a> {
    /// Begins a change. Returns its delivery and the first request.
    ///
    /// # Errors
    /// The outcome of a change that needs no request.
    pub(crate) fn begin(rules: &Rules<'a>, change: &'a Change) -> Result<(Self, Interaction), Outcome> {
        let wanted = wanted::begin(rules.settings, change)?;
        let kind = wanted.kind;
        let abilities = rules.capabilities.taking(&kind).map_err(Outcome::Skipped)?;
        let ends = matches!(change.operation, Operation::Delete | Operation::Merge);
        let link = change.link.as_ref();
        let mut delivery = Self {
            change,
            stage: Stage::Search,
            query: mapping::identifier_query(&kind.system, &change.aggregate_id),
            abilities,
            wanted: wanted.resource,
            survivor: wanted.survivor,
            ends,
            id: link.map(|link| kind.id_of(&link.remote_id).to_owned()),
            kind,
            link_version: link.and_then(|link| link.remote_version.clone()).filter(|version| !version.is_empty()),
            last: link.and_then(|link| link.fingerprint.as_deref()).and_then(Fingerprint::parse),
            kept: link.and_then(|link| link.fingerprint.as_deref()).and_then(Kept::parse),
            written: None,
            version: None,
            replaces: None,
            id_refused: None,
            refusal: None,
            suspect: None,
            may_write: false,
            was_read: false,
            writes: 0,
            notice: None,
        };
        match delivery.first(rules) {
            Step::Send(interaction) => Ok((delivery, interaction)),
            Step::Done(outcome) => Err(outcome),
        }
    }

    /// A notice for the operator, returned once.
    pub(crate) fn take_notice(&mut self) -> Option<String> {
        self.notice.take()
    }

    /// Set when the change was refused in a way that may concern the server instead of the change.
    pub(crate) fn suspect(&self) -> Option<Suspect> {
        self.suspect
    }

    /// Whether the server processed a write of this change.
    pub(crate) fn may_write(&self) -> bool {
        self.may_write
    }

    /// The outcome of a change whose last request gets no response in this call, if it is known already.
    pub(crate) fn conclude(&mut self) -> Option<Outcome> {
        let was_taken = match self.stage {
            Stage::LookAgain { told } => told != Told::Nothing,
            Stage::ReadOverwritten | Stage::ReadHistory => true,
            // After a create without an id of ours, only the server can have chosen the id.
            Stage::ReadChosen { has_looked } => has_looked,
            _ => false,
        };
        let has_one = was_taken && self.id.is_some();
        match has_one.then(|| self.applied(self.version.clone()))? {
            Step::Done(outcome) => Some(outcome),
            Step::Send(_) => None,
        }
    }

    /// Continues after a Bundle whose response does not show whether our create was carried out: searches before it
    /// creates again.
    pub(crate) fn look_first(&mut self) -> Step {
        self.search(Stage::Search)
    }

    /// Ends a change whose single request got no readable response.
    pub(crate) fn unanswered(&mut self, failure: Failure) -> Outcome {
        if let Some(outcome) = self.conclude() {
            return outcome;
        }
        self.suspect = Some(Suspect::Server);
        Outcome::Failed(failure)
    }

    fn is_linked(&self) -> bool {
        self.change.link.is_some()
    }

    /// Whether the link has the fingerprint of our last write. A link that an operator set has none, and is no reason
    /// to hold.
    fn has_written(&self) -> bool {
        self.fingerprint().is_some_and(|last| !last.is_empty())
    }

    /// Whether an operator chose the record, regardless of its identifiers.
    fn was_named_by_operator(&self) -> bool {
        self.is_linked() && self.fingerprint().is_none()
    }

    fn fingerprint(&self) -> Option<&str> {
        self.change.link.as_ref()?.fingerprint.as_deref()
    }

    fn first(&mut self, rules: &Rules<'_>) -> Step {
        match (&self.id, &self.wanted) {
            (Some(_), Some(wanted)) if !self.must_read(rules) => {
                let (resource, version) = (wanted.clone(), self.link_version.clone());
                self.update(resource, version)
            }
            (Some(_), _) => self.read(Stage::Read),
            (None, _) => self.search(Stage::Search),
        }
    }

    /// Whether the record may differ from the link's version, without a precondition that protects it.
    fn must_read(&self, rules: &Rules<'_>) -> bool {
        // A server that declares only `versioned` has not promised to honour `If-Match`.
        let guarded = self.abilities.versioning == Versioning::VersionedUpdate;
        let alone = self.last.as_ref().is_some_and(|last| !last.shared);
        // If neither version numbers nor the history show which version an update replaced, an ignored `If-Match` would
        // go unnoticed.
        let is_provable =
            self.link_version.as_deref().is_some_and(|version| self.abilities.history || is_number(version));
        rules.settings.read_first || !guarded || !alone || !is_provable
    }

    /// Processes the response to the last request.
    pub(crate) fn advance(&mut self, rules: &Rules<'_>, answer: &Answer) -> Step {
        let is_write = matches!(
            self.stage,
            Stage::CreateWithId | Stage::ConditionalCreate | Stage::Create | Stage::Update | Stage::Remove
        );
        self.may_write |= is_write && matches!(answer.status, 200..=299 | 304 | 400 | 409 | 410 | 412 | 422);
        match self.stage {
            Stage::Read => match (answer.status, self.shown(answer)) {
                (200, Some(current)) => self.on_read(rules, &current.clone(), self.version_in(answer)),
                (404 | 410, _) => self.absent(answer),
                (200, None) => self.unreadable("read of TYPE answered 200 without one"),
                _ => self.refused("read of TYPE", answer),
            },
            Stage::Update => match answer.status {
                200 | 201 | 204 => self.updated(rules, answer),
                404 | 410 => self.absent(answer),
                409 | 412 if self.writes < WRITES_MAX => self.read(Stage::Read),
                409 | 412 => Step::Done(Outcome::Failed(failure(
                    FailureKind::Transient,
                    self.say(&format!("TYPE was changed at the target {WRITES_MAX} times while we wrote it")),
                ))),
                _ => self.refused("update of TYPE", answer),
            },
            Stage::Remove => self.removed(answer),
            Stage::ReadOverwritten => self.on_version_before(rules, answer),
            Stage::ReadHistory => self.on_history(rules, answer),
            Stage::ReadUnproven => self.on_unproven(answer),
            Stage::ConfirmGone => self.confirm_gone(answer),
            Stage::ConfirmIdGone => self.confirm_id_gone(answer),
            _ => self.advance_first(rules, answer),
        }
    }

    fn read(&mut self, stage: Stage) -> Step {
        self.stage = stage;
        Step::Send(Interaction::new(Method::Get, self.kind.url(self.id.as_deref().unwrap_or_default()), None))
    }

    fn applied(&self, version: Option<String>) -> Step {
        Step::Done(Outcome::Applied(Receipt {
            remote_id: self
                .kind
                .remote_id(self.id.as_deref().expect("invariant: a confirmed delivery knows its record")),
            remote_version: version,
            fingerprint: self.written.as_ref().map(Fingerprint::to_text),
        }))
    }

    fn refused(&mut self, what: &str, answer: &Answer) -> Step {
        let mut failure = outcome::of_answer(&self.say(what), answer, &self.change.payload);
        let is_fhir = answer.outcome.is_some();
        if self.is_refused_as_a_type(answer) {
            return Step::Done(Outcome::Skipped(failure.message));
        }
        self.suspect = match answer.status {
            401 | 403 => Some(Suspect::Credentials),
            // A false success, and a bare 404 or 405, did not come from a healthy FHIR server.
            0..=299 | 408 | 500.. => Some(Suspect::Server),
            404 | 405 if !is_fhir => Some(Suspect::Server),
            _ => None,
        };
        if answer.status == 404 && !is_fhir {
            failure.kind = FailureKind::Transient;
        }
        Step::Done(Outcome::Failed(failure))
    }

    /// Whether a FHIR response shows that the server does not support our type, even if its statement declares it.
    fn is_refused_as_a_type(&self, answer: &Answer) -> bool {
        let says = |code: &str| {
            let issues = answer.outcome.as_ref().and_then(|outcome| outcome.get("issue")).and_then(Value::as_array);
            issues.is_some_and(|issues| issues.iter().any(|issue| issue.get("code").is_some_and(|it| it == code)))
        };
        let is_searched = self.stage == Stage::Search && matches!(answer.status, 404 | 405 | 501);
        let is_at_the_type = matches!(self.stage, Stage::Search | Stage::ConditionalCreate | Stage::Create);
        !self.kind.is_patient()
            && answer.outcome.is_some()
            && (is_searched || (is_at_the_type && answer.status >= 400 && says("not-supported")))
    }

    /// Whether the record is a patient, the type that every target must support.
    pub(crate) fn is_patient(&self) -> bool {
        self.kind.is_patient()
    }

    fn unreadable(&mut self, message: &str) -> Step {
        self.suspect = Some(Suspect::Server);
        self.failed(FailureKind::Transient, message)
    }

    fn conflict(&self, message: &str) -> Step {
        self.failed(FailureKind::Conflict, message)
    }

    fn failed(&self, kind: FailureKind, message: &str) -> Step {
        Step::Done(Outcome::Failed(failure(kind, self.say(message))))
    }

    /// Inserts the record's type and id for `TYPE` and `AGGREGATE`.
    fn say(&self, message: &str) -> String {
        message.replace("TYPE", &self.kind.resource_type).replace("AGGREGATE", self.kind.aggregate_type)
    }

    /// The record of our type in the response.
    fn shown<'b>(&self, answer: &'b Answer) -> Option<&'b Value> {
        answer.resource_of(&self.kind.resource_type)
    }

    fn version_in(&self, answer: &Answer) -> Option<String> {
        answer.version(&self.kind.resource_type)
    }

    fn carries(&self, record: &Value) -> Carries {
        carries(record, &self.kind.system, &self.change.aggregate_id)
    }
}

/// Confirms, without an id, a delete or a merge of a record that the target does not have.
fn nothing_there() -> Step {
    Step::Done(Outcome::Applied(Receipt { remote_id: String::new(), remote_version: None, fingerprint: None }))
}

/// Whether the response proves that a record does not exist: a FHIR response, not a proxy's page.
fn is_proof(answer: &Answer) -> bool {
    answer.status == 410 || answer.outcome.is_some()
}

fn is_number(version: &str) -> bool {
    version.parse::<u64>().is_ok()
}

#[cfg(test)]
mod tests;
