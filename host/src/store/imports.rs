//! `sync_import`: how far an import of a file has come. It moves in the transaction that writes the patients, so that a
//! run that was killed goes on where it stood, and nothing is taken twice.
//!
//! A row says which bytes were taken (how many, and their digest), never that a name was. Whoever goes on compares.

use super::sql::{AdvanceImport, BeginImport, DeleteImport, ReadImportProgress};
use super::{RowReader, Store, StoreError, StoreTransaction};
use crate::database::rerun;

/// How far an import has come, and what it did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportProgress {
    /// Bytes of the (unpacked) file that were taken.
    pub bytes_done: u64,
    /// The SHA-256 of these bytes, in hexadecimal digits.
    pub bytes_sha256: String,
    /// Lines in these bytes.
    pub lines_done: u64,
    /// Patients that were not there.
    pub created: u64,
    /// Patients that were there with another state.
    pub updated: u64,
    /// Patients that were there with this state.
    pub unchanged: u64,
    /// Records that a later one of the same patient, taken in the same transaction, made moot.
    pub repeated: u64,
    /// Records that were not taken.
    pub rejected: u64,
    /// Patients that were taken without some of their fields.
    pub incomplete: u64,
    /// Length of the file of rejects.
    pub rejects_bytes: u64,
    /// Whether the end of the file was reached.
    pub finished: bool,
}

impl Store {
    /// How far this import has come; `None` when it was never begun.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn import_progress(&self, id: &str) -> Result<Option<ImportProgress>, StoreError> {
        let operation = "read import progress";
        let mut transaction = self.begin_read(operation).await?;
        let rows = transaction.fetch(ReadImportProgress { id }).await?;
        transaction.rollback().await?;
        let Some(row) = rows.rows.into_iter().next() else { return Ok(None) };
        let mut reader = RowReader::new(operation, row);
        let number = |reader: &mut RowReader<'_>| Ok(u64::try_from(reader.integer()?).unwrap_or_default());
        Ok(Some(ImportProgress {
            bytes_done: number(&mut reader)?,
            bytes_sha256: reader.text()?,
            lines_done: number(&mut reader)?,
            created: number(&mut reader)?,
            updated: number(&mut reader)?,
            unchanged: number(&mut reader)?,
            repeated: number(&mut reader)?,
            rejected: number(&mut reader)?,
            incomplete: number(&mut reader)?,
            rejects_bytes: number(&mut reader)?,
            finished: reader.optional_integer()?.is_some(),
        }))
    }

    /// Notes that this import begins with the first byte of `file`, whatever was known of it before.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn begin_import(&self, id: &str, file: &str) -> Result<(), StoreError> {
        let file: String = file.chars().take(1_024).collect();
        rerun("begin import", || async {
            let mut transaction = self.begin("begin import").await?;
            transaction.run(DeleteImport { id }).await?;
            transaction.run(BeginImport { id, file: &file }).await?;
            transaction.commit().await
        })
        .await
    }
}

impl StoreTransaction {
    /// Moves an import on from `bytes_before`. `false` when it does not stand there: another process imports the file.
    ///
    /// # Errors
    /// What the database says.
    pub async fn advance_import(
        &mut self,
        id: &str,
        bytes_before: u64,
        progress: &ImportProgress,
    ) -> Result<bool, StoreError> {
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let statement = AdvanceImport {
            id,
            bytes_before: number(bytes_before),
            bytes_done: number(progress.bytes_done),
            bytes_sha256: &progress.bytes_sha256,
            lines_done: number(progress.lines_done),
            created: number(progress.created),
            updated: number(progress.updated),
            unchanged: number(progress.unchanged),
            repeated: number(progress.repeated),
            rejected: number(progress.rejected),
            incomplete: number(progress.incomplete),
            rejects_bytes: number(progress.rejects_bytes),
            finished: progress.finished,
        };
        Ok(self.run(statement).await?.rows_affected == 1)
    }
}
