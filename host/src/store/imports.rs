//! `sync_import`: the progress of an import. The transaction that writes the patients or records advances it, so that a
//! killed run resumes where it was, and no record is imported twice.
//!
//! A row holds the number and the digest of the bytes that were imported. A run that resumes compares them with its
//! file.

use super::sql::{AdvanceImport, BeginImport, DeleteImport, ReadImportProgress};
use super::{RowReader, Store, StoreError, StoreTransaction};
use crate::database::rerun;

/// How far an import has come, and what it did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportProgress {
    /// Imported bytes of the (unpacked) file.
    pub bytes_done: u64,
    /// The SHA-256 of these bytes, in hexadecimal digits.
    pub bytes_sha256: String,
    /// Lines in these bytes.
    pub lines_done: u64,
    /// New patients, or new clinical records.
    pub created: u64,
    /// Known ones with another state.
    pub updated: u64,
    /// Known ones with the same state.
    pub unchanged: u64,
    /// Records that a later one of the same aggregate, in the same transaction, replaced.
    pub repeated: u64,
    /// Rejected records.
    pub rejected: u64,
    /// Those imported without some of their fields.
    pub incomplete: u64,
    /// Length of the file of rejects.
    pub rejects_bytes: u64,
    /// Whether the end of the file was reached.
    pub finished: bool,
}

impl Store {
    /// The progress of an import; `None` when it was never begun.
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

    /// Begins an import at the first byte of `file`, and forgets earlier progress.
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
    /// Advances an import from `bytes_before`. Returns `false` when its position differs, because another process
    /// imports the same file.
    ///
    /// # Errors
    /// The database's error.
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
