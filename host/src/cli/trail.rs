//! Records in the audit what a command does.
//!
//! A command names what it is about ([`AuditTrail::about`]). What it changes goes through the store of
//! [`AuditTrail::writable_store`] or [`AuditTrail::audited`], which records each change in its own transaction. What it
//! shows is recorded before it is printed ([`AuditTrail::shown`]): without an event nothing is shown. A command that
//! did neither, or failed, leaves one event at its end.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::error::CliError;
use super::wiring;
use crate::audit::{Syslog, this_operator};
use crate::config::{AuditConfig, Config};
use crate::domain::audit::{AuditAction, AuditEvent, AuditFacts, AuditOutcome, AuditSubject};
use crate::store::{AuditRecorder, Migrations, Store, StoreError};

/// How long the last event may take when the command has failed, perhaps since the store is not there.
const LAST_EVENT_TIMEOUT: Duration = Duration::from_secs(5);

/// The events that were written, and who gets them too.
struct Sink {
    written: AtomicU64,
    syslog: Option<Syslog>,
}

impl Sink {
    fn recorded(&self, event: &AuditEvent) {
        self.written.fetch_add(1, Ordering::Relaxed);
        self.forward(event);
    }

    fn forward(&self, event: &AuditEvent) {
        if let Some(syslog) = &self.syslog {
            syslog.send(event);
        }
    }
}

/// What a command has recorded so far. That of a command which the audit does not record is empty and stays so.
pub(super) struct AuditTrail {
    begun: Option<Begun>,
    who: String,
}

struct Begun {
    action: AuditAction,
    /// Without a subject, as of a success.
    facts: AuditFacts,
    subject: Mutex<AuditSubject>,
    sink: Arc<Sink>,
    /// The store that the command has opened.
    store: Mutex<Option<Store>>,
    /// The command has tried to record itself, and does its work without that.
    is_excused: AtomicBool,
}

impl AuditTrail {
    pub(super) fn begin(
        config: &AuditConfig,
        action: Option<AuditAction>,
        acting_as: Option<&str>,
        reason: Option<&str>,
    ) -> Self {
        let Some(action) = action else { return Self { begun: None, who: String::new() } };
        let operator = this_operator(acting_as);
        let who = operator.who().to_owned();
        let facts = AuditFacts {
            command_id: format!("{:032x}", rand::random::<u128>()),
            operator,
            action: action.as_str().to_owned(),
            subject: AuditSubject::default(),
            reason: reason.map(str::to_owned),
            outcome: AuditOutcome::Success.as_str().to_owned(),
        };
        let sink = Arc::new(Sink { written: AtomicU64::new(0), syslog: config.syslog.as_ref().and_then(open) });
        let (subject, store) = (Mutex::default(), Mutex::default());
        let is_excused = AtomicBool::new(false);
        Self { begun: Some(Begun { action, facts, subject, sink, store, is_excused }), who }
    }

    /// Refuses a command that needs a reason and has none.
    pub(super) fn require_reason(&self, config: &AuditConfig) -> Result<(), CliError> {
        match &self.begun {
            Some(begun) if begun.facts.reason.is_none() && config.require_reason.contains(&begun.action) => {
                Err(CliError::Usage(format!(
                    "`host {}` needs a reason ([audit] require_reason); fix: add --reason TEXT",
                    begun.action
                )))
            }
            _ => Ok(()),
        }
    }

    /// The operator's name, for records that have one.
    pub(super) fn who(&self) -> &str {
        &self.who
    }

    /// Names what the command is about.
    pub(super) fn about(&self, subject: AuditSubject) {
        if let Some(begun) = &self.begun {
            *begun.subject.lock().unwrap_or_else(PoisonError::into_inner) = subject;
        }
    }

    /// Opens and migrates the store. It records what the command changes; a migration is an event of its own.
    pub(super) async fn writable_store(&self, config: &Config) -> Result<Store, CliError> {
        let store = wiring::store(config)?;
        let migrations = store.migrate().await?;
        if let Some(begun) = &self.begun
            && migrations.applied > 0
        {
            let mut facts = begun.facts_about(migrated(migrations));
            AuditAction::Migrate.as_str().clone_into(&mut facts.action);
            // It is no event of the command itself.
            begun.sink.forward(&store.record_event(&facts).await.map_err(|error| unrecorded(&error))?);
        }
        Ok(self.audited(&store))
    }

    /// Migrates the store, as the command itself.
    pub(super) async fn migrate(&self, store: &Store) -> Result<Migrations, CliError> {
        let migrations = store.migrate().await?;
        self.about(migrated(migrations));
        if let Some(begun) = &self.begun {
            begun.remember(store);
            begun.record(store, &begun.current_facts()).await?;
        }
        Ok(migrations)
    }

    /// The same store, which records what the command changes.
    pub(super) fn audited(&self, store: &Store) -> Store {
        let Some(begun) = &self.begun else { return store.clone() };
        begun.remember(store);
        let sink = Arc::clone(&begun.sink);
        let recorded = Box::new(move |event: &AuditEvent| sink.recorded(event));
        store.audited(Arc::new(AuditRecorder { facts: begun.current_facts(), recorded }))
    }

    /// Records that so many of a kind are about to be shown.
    pub(super) async fn shown(&self, store: &Store, kind: &str, count: usize) -> Result<(), CliError> {
        let Some(begun) = &self.begun else { return Ok(()) };
        begun.remember(store);
        let mut facts = begun.current_facts();
        facts.subject = facts.subject.with_count(kind, count);
        begun.record(store, &facts).await
    }

    /// Records what the command is about to do, or has done outside of the store, without a count.
    pub(super) async fn done(&self, store: &Store) -> Result<(), CliError> {
        let Some(begun) = &self.begun else { return Ok(()) };
        begun.remember(store);
        begun.record(store, &begun.current_facts()).await
    }

    /// As [`AuditTrail::done`], for a command that must work while the store is away: then there is a warning, and no
    /// event. Returns whether there is one.
    pub(super) async fn done_where_possible(&self, config: &Config) -> bool {
        let Some(begun) = &self.begun else { return false };
        begun.is_excused.store(true, Ordering::Relaxed);
        match tokio::time::timeout(LAST_EVENT_TIMEOUT, self.done_if_there(config)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "this command is not in the audit"),
            Err(_) => tracing::warn!("this command is not in the audit: the store took too long"),
        }
        begun.sink.written.load(Ordering::Relaxed) > 0
    }

    /// As [`AuditTrail::done`], if the configured store is there.
    pub(super) async fn done_if_there(&self, config: &Config) -> Result<(), CliError> {
        match wiring::current_store_if_there(config).await? {
            Some(store) => self.done(&store).await,
            None => Ok(()),
        }
    }

    /// Records how the command ended, if nothing else tells that.
    pub(super) async fn end(self, config: &Config, ended: Result<ExitCode, CliError>) -> Result<ExitCode, CliError> {
        let Some(begun) = self.begun else { return ended };
        match ended {
            Ok(code) if begun.sink.written.load(Ordering::Relaxed) > 0 => Ok(code),
            Ok(code) if begun.is_excused.load(Ordering::Relaxed) => Ok(code),
            Ok(code) => {
                if let Some(store) = begun.open(config).await? {
                    let mut facts = begun.current_facts();
                    facts.subject.count = facts.subject.count.or(Some(0));
                    begun.record(&store, &facts).await?;
                }
                Ok(code)
            }
            Err(error) => {
                let mut facts = begun.current_facts();
                error.audit_outcome().as_str().clone_into(&mut facts.outcome);
                let record = async {
                    match begun.open(config).await? {
                        Some(store) => begun.record(&store, &facts).await,
                        None => Ok(()),
                    }
                };
                match tokio::time::timeout(LAST_EVENT_TIMEOUT, record).await {
                    Ok(Ok(())) => {}
                    // The command failed for the same reason, and tells it.
                    Ok(Err(same)) if same.to_string() == error.to_string() => {}
                    Ok(Err(error)) => tracing::warn!(%error, "the failed command is not in the audit"),
                    Err(_) => tracing::warn!("the failed command is not in the audit: the store took too long"),
                }
                Err(error)
            }
        }
    }
}

impl Begun {
    fn facts_about(&self, subject: AuditSubject) -> AuditFacts {
        AuditFacts { subject, ..self.facts.clone() }
    }

    fn current_facts(&self) -> AuditFacts {
        self.facts_about(self.subject.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn remember(&self, store: &Store) {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| store.unaudited());
    }

    /// The command's store, or the configured one; `None` when there is none of this version.
    async fn open(&self, config: &Config) -> Result<Option<Store>, CliError> {
        let opened = self.store.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match opened {
            Some(store) => Ok(Some(store)),
            None => wiring::current_store_if_there(config).await,
        }
    }

    async fn record(&self, store: &Store, facts: &AuditFacts) -> Result<(), CliError> {
        let event = store.record_event(facts).await.map_err(|error| unrecorded(&error))?;
        self.sink.recorded(&event);
        Ok(())
    }
}

fn unrecorded(error: &StoreError) -> CliError {
    CliError::Database(format!("cannot record this command in the audit: {error}"))
}

fn migrated(migrations: Migrations) -> AuditSubject {
    let detail = format!("schema version {}", migrations.version);
    AuditSubject::default().with_detail(&detail).with_count("migration", migrations.applied)
}

/// A syslog that cannot be opened is reported and left out: the store has the events.
fn open(address: &crate::config::SyslogAddress) -> Option<Syslog> {
    Syslog::open(address)
        .inspect_err(|error| tracing::warn!(%address, %error, "cannot send the audit to syslog; the store has it"))
        .ok()
}
