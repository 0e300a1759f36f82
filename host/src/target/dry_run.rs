//! The dry run: the adapter delivers one change to the real target, and nothing of it stays there.
//!
//! At a database the statements really run, in a transaction that is rolled back. Over HTTP, reading requests are
//! really sent and the first one that would write is withheld. It takes no lease and writes nothing into the store.

use super::Finish;
use super::checked::CheckedAdapter;
use super::session::{CallFailure, from_database};
use super::spec::Target;
use crate::database::{Database, DatabaseError};
use crate::domain::change::{BatchOutcome, Change, Failure, FailureKind, Outcome};
use crate::plugin::{Transcript, TranscriptEntry, World};
use crate::vocabulary;

/// The result of a dry run.
pub struct DryRun {
    /// What the adapter asked of the target, in order.
    pub entries: Vec<TranscriptEntry>,
    /// Why nothing was left at the target.
    pub end: DryRunEnd,
    /// The change's outcome. After a withheld write it would mean nothing, and is left out.
    pub outcome: Option<Outcome>,
}

vocabulary! {
    /// Why nothing was left at the target.
    pub enum DryRunEnd {
        /// The transaction was rolled back.
        RolledBack = "rolled-back",
        /// The first request that would have written was not sent.
        Withheld = "withheld",
        /// The adapter sent only reading requests.
        OnlyRead = "only-read",
    }
}

impl Target {
    /// Delivers one change and leaves nothing of it. If the future is dropped, nothing is left either: the server rolls
    /// back an uncommitted transaction.
    ///
    /// # Errors
    /// When the target cannot be reached, or could not undo what would be written.
    pub async fn dry_run(&self, adapter: &CheckedAdapter, change: &Change) -> Result<DryRun, Failure> {
        if let Some(database) = self.database() {
            self.refuse_lasting_tables(database).await?;
        }
        let transcript = Transcript::default();
        let session = self.session(Finish::RollBack).with_transcript(transcript.clone());
        let result = session.apply(adapter, std::slice::from_ref(change)).await.result;
        let (end, outcome) = match (result, self.world()) {
            (Err(CallFailure::FenceLost), _) => (DryRunEnd::Withheld, None),
            (result, World::Http) => (DryRunEnd::OnlyRead, Some(only_outcome(result))),
            (result, World::Database) => (DryRunEnd::RolledBack, Some(only_outcome(result))),
        };
        Ok(DryRun { entries: transcript.entries(), end, outcome })
    }

    /// A table without transactions keeps what was written into it, whatever is rolled back.
    pub(super) async fn refuse_lasting_tables(&self, database: &Database) -> Result<(), Failure> {
        let lasting = lasting_tables(database).await.map_err(|error| from_database(&error))?;
        match self.writable(&lasting).first() {
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

fn only_outcome(result: Result<BatchOutcome, CallFailure>) -> Outcome {
    match result {
        Ok(batch) => batch.outcomes.into_iter().next().expect("invariant: one outcome for one change"),
        Err(failure) => Outcome::Failed(failure.into_failure()),
    }
}

/// Names, in lower case, of tables that do not take part in transactions.
async fn lasting_tables(database: &Database) -> Result<Vec<String>, DatabaseError> {
    let mut transaction = database.begin_read().await?;
    let tables = transaction.tables_without_transactions().await?;
    transaction.rollback().await?;
    Ok(tables)
}
