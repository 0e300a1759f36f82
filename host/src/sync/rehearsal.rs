//! A rehearsal: a change is given to the adapter at the real target, and nothing of it stays there.
//!
//! At a database the statements really run, in a transaction that is never committed. Over HTTP what reads is really sent,
//! and the first request that would write is not. It takes no lease and writes nothing down.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::target::{Access, from_database};
use super::{Target, TargetKind};
use crate::database::{Database, DatabaseError};
use crate::domain::change::{Change, Failure, FailureKind, Outcome};
use crate::domain::grants::{SqlGrants, TableVerb};
use crate::plugin::{Adapter, CallError, Fence, RequestFates, Transcript, TranscriptEntry};
use crate::vocabulary;

/// What came of a rehearsal.
pub struct Rehearsal {
    /// What the adapter asked of the target, in order.
    pub exchanges: Vec<TranscriptEntry>,
    /// What was left at the target: nothing, and why.
    pub trace: Trace,
    /// What the adapter said of the change. After a write that was withheld it means nothing, and is left out.
    pub outcome: Option<Outcome>,
}

vocabulary! {
    /// Why nothing was left at the target.
    pub enum Trace {
        /// The transaction was rolled back.
        RolledBack = "rolled-back",
        /// The first request that would have written was not sent.
        Withheld = "withheld",
        /// Nothing was asked that would have written.
        OnlyRead = "only-read",
    }
}

/// Nobody may write.
struct NoLease;

impl Fence for NoLease {
    fn renew(&self) -> BoxFuture<'_, bool> {
        Box::pin(std::future::ready(false))
    }
}

impl Target {
    /// Gives one change to the adapter, and lets nothing of it stay. Dropped half-way, it leaves nothing either: the
    /// server rolls back what was not committed.
    ///
    /// # Errors
    /// When the target cannot be reached, or could not undo what would be written.
    pub async fn rehearse(&self, adapter: &Adapter, state: &[u8], change: &Change) -> Result<Rehearsal, Failure> {
        let transcript = Transcript::default();
        let mut context = self.context.clone();
        context.transcript = Some(transcript.clone());
        let (edits, changes) = (self.spec.on_remote_edit, std::slice::from_ref(change));
        let (result, trace) = match &self.access {
            Access::Database { database, sql } => {
                self.refuse_what_cannot_be_undone(database).await?;
                let begun = if sql.only_reads() { database.begin_read().await } else { database.begin().await };
                let transaction = begun.map_err(|error| from_database(&error))?;
                let call = adapter.apply_database(&context, sql, transaction, state, edits, changes).await;
                if let Some(transaction) = call.transaction {
                    // A connection that was lost on the way has rolled back as well.
                    transaction.rollback().await.ok();
                }
                let result = call.broken.map_or(call.result, |error| Ok(Err(from_database(&error))));
                (result, Trace::RolledBack)
            }
            Access::Http(http) => {
                let permit = (Arc::new(NoLease) as Arc<dyn Fence>, &RequestFates::default());
                let call = adapter.apply_http(&context, http, permit, state, edits, changes).await;
                (call.result, if call.lease_lost { Trace::Withheld } else { Trace::OnlyRead })
            }
        };
        let exchanges = transcript.entries();
        let outcome = (trace != Trace::Withheld).then(|| only_outcome(result));
        Ok(Rehearsal { exchanges, trace, outcome })
    }

    /// A table without transactions keeps what was written into it, whatever is rolled back.
    async fn refuse_what_cannot_be_undone(&self, database: &Database) -> Result<(), Failure> {
        let TargetKind::Database { grants, .. } = &self.spec.kind else { return Ok(()) };
        let lasting = lasting_tables(database).await.map_err(|error| from_database(&error))?;
        match lasting.iter().find(|table| may_be_written(grants, table)) {
            None => Ok(()),
            Some(table) => Err(Failure::new(
                FailureKind::Misconfigured,
                format!(
                    "table `{table}` has no transactions, so that a dry run cannot be undone there: move it to InnoDB"
                ),
            )),
        }
    }
}

fn only_outcome(result: Result<Result<Vec<Outcome>, Failure>, CallError>) -> Outcome {
    match result {
        Ok(Ok(outcomes)) => outcomes.into_iter().next().expect("invariant: one outcome for one change"),
        Ok(Err(failure)) => Outcome::Failed(failure),
        Err(error) => Outcome::Failed(Failure::new(FailureKind::Adapter, error.to_string())),
    }
}

fn may_be_written(grants: &SqlGrants, table: &str) -> bool {
    [TableVerb::Insert, TableVerb::Update, TableVerb::Delete]
        .into_iter()
        .any(|verb| grants.allows_in_any_case(verb, table))
}

/// Names, in lower case, of tables that do not take part in transactions.
async fn lasting_tables(database: &Database) -> Result<Vec<String>, DatabaseError> {
    let mut transaction = database.begin_read().await?;
    let tables = transaction.tables_without_transactions().await?;
    transaction.rollback().await?;
    Ok(tables)
}
