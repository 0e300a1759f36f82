//! One adapter at one scratch database or mock server: makes calls exactly as the host makes them, and keeps all
//! messages and log lines.

use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;

use super::contents;
use super::examples::Example;
use super::mock_server::{MockServer, PLACE};
use super::mutex::lock;
use super::scratch::ScratchDatabase;
use super::subjects::{Source, Subjects};
use super::{ConformanceError, Options};
use crate::domain::change::{
    BatchOutcome, Change, Descriptor, Failure, FailureKind, Observation, Outcome, OwnPage, OwnQuery, RemoteEdit,
    Report, Subject,
};
use crate::domain::ids::{AggregateType, TargetName};
use crate::plugin::{Adapter, Fence, HttpOptions, LogTap, Usage};
use crate::target::{
    Applied, CallFailure, CheckedAdapter, FenceLost, Finish, Target, TargetKind, TargetSession, TargetSpec, most,
};

/// Connections to a scratch database.
const CONNECTIONS_MAX: u32 = 2;

/// An adapter at one place.
pub(super) struct Harness {
    pub(super) place: String,
    pub(super) subjects: Subjects,
    adapter: Arc<Adapter>,
    target: Target,
    /// Present for an adapter over HTTP.
    server: Option<MockServer>,
    /// The examples of all types that are tried.
    examples: Vec<Example>,
    state: Mutex<Vec<u8>>,
    /// Everything that an operator might read: messages, findings, ids.
    texts: Mutex<Vec<String>>,
    log: LogTap,
    most: Mutex<Usage>,
}

/// The lease of a suite is never lost.
struct AlwaysHolds;

impl Fence for AlwaysHolds {
    fn renew(&self) -> BoxFuture<'_, bool> {
        Box::pin(std::future::ready(true))
    }
}

impl Harness {
    pub(super) fn database(
        adapter: Arc<Adapter>,
        options: &Options,
        source: Source,
        scratch: &ScratchDatabase,
    ) -> Result<Self, ConformanceError> {
        let (locator, grants) = (scratch.locator.clone(), options.grants.clone());
        let kind = TargetKind::Database { locator, connections_max: CONNECTIONS_MAX, grants };
        Self::new(scratch.name, adapter, options, source, kind, None)
    }

    pub(super) fn http(
        adapter: Arc<Adapter>,
        options: &Options,
        source: Source,
        server: &MockServer,
    ) -> Result<Self, ConformanceError> {
        let http = HttpOptions { base_url: server.base_url(), allow_private: true, ..HttpOptions::default() };
        let kind = TargetKind::Http { options: http, in_doubt_ms: 0 };
        Self::new(PLACE, adapter, options, source, kind, Some(server.clone()))
    }

    fn new(
        place: &str,
        adapter: Arc<Adapter>,
        options: &Options,
        source: Source,
        kind: TargetKind,
        server: Option<MockServer>,
    ) -> Result<Self, ConformanceError> {
        let spec = TargetSpec {
            name: TargetName::new("conformance").expect("invariant: it is a name"),
            adapter: options.adapter.clone(),
            kind,
            id_column: None,
            on_remote_edit: RemoteEdit::Overwrite,
            aggregate_types: adapter.descriptor().type_names().map(str::to_owned).collect(),
            settings_json: options.settings_json.clone(),
            limits: options.limits.clone(),
            batch_max: 1,
            concurrency: 1,
            verify: None,
        };
        Ok(Self {
            place: match &source {
                Source::Patients => place.to_owned(),
                Source::Example(example) => format!("{place}, {}", example.aggregate_type()),
            },
            subjects: Subjects::new(source),
            adapter,
            target: Target::new(spec)?,
            server,
            examples: options.examples.clone(),
            state: Mutex::default(),
            texts: Mutex::default(),
            log: LogTap::default(),
            most: Mutex::default(),
        })
    }

    pub(super) fn is_database(&self) -> bool {
        self.server.is_none()
    }

    /// Changes of another type that is tried, or of the same one.
    pub(super) fn other_subjects(&self, aggregate_type: &str) -> Option<Subjects> {
        let example = self.examples.iter().find(|example| example.aggregate_type() == aggregate_type);
        let patients = (aggregate_type == AggregateType::patient().as_str()).then_some(Source::Patients);
        example.cloned().map(Source::Example).or(patients).map(Subjects::new)
    }

    pub(super) fn descriptor(&self) -> &Descriptor {
        self.adapter.descriptor()
    }

    /// Everything that came out so far.
    pub(super) fn texts(&self) -> Vec<String> {
        let mut texts = lock(&self.texts).clone();
        texts.extend(self.log.lines());
        texts
    }

    /// The most that one call used so far.
    pub(super) fn most(&self) -> Usage {
        *lock(&self.most)
    }

    pub(super) fn memory_mib_max(&self) -> u64 {
        self.target.spec.limits.memory_mib
    }

    /// Calls `check`. Its state is then handed to every `apply`.
    pub(super) async fn check(&self) -> Result<Report, CallFailure> {
        let (result, usage) = self.target.measured_check(&self.adapter, Some(self.log.clone())).await;
        self.note_usage(usage);
        let report = result.inspect_err(|failure| self.keep_failure(failure))?;
        self.keep(&report.summary);
        report.findings.iter().for_each(|finding| self.keep(&finding.message));
        lock(&self.state).clone_from(&report.state);
        Ok(report)
    }

    /// One call of `apply` with these changes.
    pub(super) async fn apply(&self, changes: &[Change], edits: RemoteEdit) -> Result<Vec<Outcome>, CallFailure> {
        let session = self.session(Finish::Commit(Arc::new(AlwaysHolds))).with_remote_edit(edits);
        self.apply_in(session, changes).await
    }

    /// One call whose work is rolled back, as after a crash before the commit.
    pub(super) async fn apply_and_roll_back(&self, changes: &[Change]) -> Result<Vec<Outcome>, CallFailure> {
        self.apply_in(self.session(Finish::RollBack), changes).await
    }

    /// One call that is aborted after this number of milliseconds. A database rolls back the work up to then.
    pub(super) async fn apply_cut_off(
        &self,
        changes: &[Change],
        deadline_ms: u64,
    ) -> Result<Vec<Outcome>, CallFailure> {
        let finish = if self.is_database() { Finish::RollBack } else { Finish::Commit(Arc::new(AlwaysHolds)) };
        self.apply_in(self.session(finish).with_deadline_ms(deadline_ms), changes).await
    }

    /// Calls `observe`, and keeps all messages and log lines.
    pub(super) async fn observe(&self, subjects: &[Subject]) -> Result<Vec<Observation>, CallFailure> {
        let (found, usage) = self.session(Finish::RollBack).observe(&self.checked(), subjects).await;
        self.note_usage(usage);
        let found = found.inspect_err(|failure| self.keep_failure(failure))?;
        for observation in &found {
            match observation {
                Observation::Present { fingerprint, remote_version } => {
                    self.keep(fingerprint);
                    if let Some(version) = remote_version {
                        self.keep(version);
                    }
                }
                Observation::Several(ids) => ids.iter().for_each(|id| self.keep(id)),
                Observation::Unknown(reason) => self.keep(reason),
                Observation::Gone | Observation::NotOurs => {}
            }
        }
        Ok(found)
    }

    /// Whether the adapter lists our records at the target.
    pub(super) fn lists(&self) -> bool {
        self.adapter.lists()
    }

    /// Calls `list-own`, and keeps all messages and log lines. The ids are the suite's own and no texts.
    pub(super) async fn list_own(&self, query: &OwnQuery<'_>) -> Result<OwnPage, CallFailure> {
        let (page, usage) = self.session(Finish::RollBack).list_own(&self.checked(), query).await;
        self.note_usage(usage);
        page.inspect_err(|failure| self.keep_failure(failure))
    }

    /// Delivers a batch as the host does: a part that fails as a whole is split. The suite fails a batch in which the
    /// adapter crashed, and one that ends by a failure of the target as a whole.
    pub(super) async fn deliver(&self, changes: &[Change]) -> Result<Vec<Outcome>, CallFailure> {
        let session = self.session(Finish::Commit(Arc::new(AlwaysHolds)));
        let delivered = session.deliver(&self.checked(), changes).await;
        let delivered = delivered.map_err(|FenceLost| CallFailure::FenceLost)?;
        self.note_usage(delivered.most);
        self.keep_outcomes(&delivered.outcomes);
        match (delivered.crash, delivered.target_failure) {
            (Some(crash), _) => Err(CallFailure::Crashed(crash)),
            (None, Some(failure)) => Err(CallFailure::Reported(failure)),
            (None, None) => Ok(delivered.outcomes),
        }
    }

    async fn apply_in(&self, session: TargetSession<'_>, changes: &[Change]) -> Result<Vec<Outcome>, CallFailure> {
        let Applied { result, usage, .. } = session.apply(&self.checked(), changes).await;
        self.note_usage(usage);
        let BatchOutcome { outcomes, .. } = result.inspect_err(|failure| self.keep_failure(failure))?;
        self.keep_outcomes(&outcomes);
        Ok(outcomes)
    }

    fn session(&self, finish: Finish) -> TargetSession<'_> {
        self.target.session(finish).with_log_tap(self.log.clone())
    }

    fn checked(&self) -> CheckedAdapter {
        CheckedAdapter::new(Arc::clone(&self.adapter), lock(&self.state).clone())
    }

    /// Counts the records at the target, over all tables or addresses.
    pub(super) async fn records(&self) -> Result<u64, CallFailure> {
        match (&self.server, self.target.database()) {
            (None, Some(database)) => contents::count(database).await.map_err(CallFailure::Database),
            (server, _) => Ok(server.as_ref().map_or(0, MockServer::records)),
        }
    }

    /// Everything that the target holds, in an order of its own, to compare. Never shown.
    pub(super) async fn contents(&self) -> Result<Vec<String>, CallFailure> {
        match (&self.server, self.target.database()) {
            (None, Some(database)) => contents::rows(database).await.map_err(CallFailure::Database),
            (server, _) => Ok(server.as_ref().map_or_else(Vec::new, MockServer::contents)),
        }
    }

    /// As others at the target do: writes another text of the same length in place of one. Returns the number of
    /// records.
    pub(super) async fn edit(&self, text: &str, other: &str) -> Result<u64, CallFailure> {
        match (&self.server, self.target.database()) {
            (None, Some(database)) => contents::edit(database, text, other).await.map_err(CallFailure::Database),
            (server, _) => Ok(server.as_ref().map_or(0, |server| server.edit(text, other))),
        }
    }

    /// As others at the target do: deletes what holds a text. Returns the number of records.
    pub(super) async fn delete(&self, text: &str) -> Result<u64, CallFailure> {
        match (&self.server, self.target.database()) {
            (None, Some(database)) => contents::delete(database, text).await.map_err(CallFailure::Database),
            (server, _) => Ok(server.as_ref().map_or(0, |server| server.delete(text))),
        }
    }

    /// As others at the target do: makes a second record of what holds a text. Returns the number of records: none at a
    /// database, whose unique keys refuse that.
    pub(super) fn double(&self, text: &str) -> u64 {
        self.server.as_ref().map_or(0, |server| server.double(text))
    }

    pub(super) async fn close(&self) {
        self.target.close().await;
    }

    fn keep_outcomes(&self, outcomes: &[Outcome]) {
        for outcome in outcomes {
            match outcome {
                Outcome::Failed(failure) => self.keep(&failure.message),
                Outcome::Skipped(reason) => self.keep(reason),
                Outcome::Applied(receipt) => {
                    self.keep(&receipt.remote_id);
                    receipt.remote_version.iter().chain(&receipt.fingerprint).for_each(|text| self.keep(text));
                }
            }
        }
    }

    fn keep_failure(&self, failure: &CallFailure) {
        if let CallFailure::Reported(Failure { message, .. }) = failure {
            self.keep(message);
        }
    }

    fn keep(&self, text: &str) {
        lock(&self.texts).push(text.to_owned());
    }

    fn note_usage(&self, usage: Usage) {
        let mut known = lock(&self.most);
        *known = most(*known, usage);
    }
}

/// Whether a failure is of the target as a whole, as an outage must be.
pub(super) fn is_outage(failure: &CallFailure, kind: FailureKind) -> bool {
    matches!(failure, CallFailure::Reported(failure) if failure.kind == kind)
}
