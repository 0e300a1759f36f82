//! Adapters as the store knows them: which one is in force at each target, their bytes, and what happened to them.
//!
//! Every host on a store uses the adapter that stands here, also one that was put in force by another host: the bytes
//! are here too, in pieces. What is read back is checked against its digest by whoever loads it.

use super::sql::{
    ActivateAdapter, AdapterControl, AdapterEvents, AdapterParts, AddAdapterEvent, CountAdapterParts, ForgetAdapter,
    IsActiveAdapter, PutAdapterPart, RejectAdapter, RememberPreviousAdapter, RequestReload,
};
use super::{RowReader, Store, StoreError, StoreTransaction, corrupt};
use crate::database::{Value, rerun};
use crate::vocabulary;

/// Bytes in one piece: well below what any server takes in one packet by default.
const PART_BYTES: usize = 512 * 1024;

/// So many different adapters of a target are kept, the one in force included.
const KEPT_MAX: usize = 5;

vocabulary! {
    /// What happened to an adapter.
    pub enum AdapterEventKind {
        /// It was put in force.
        InForce = "in-force",
        /// It was tried and not taken; the one before went on.
        Refused = "refused",
        /// The one before was put in force in its place.
        RolledBack = "rolled-back",
    }
}

/// Which adapter, and what became of it.
#[derive(Clone, Debug)]
pub struct AdapterEvent<'a> {
    /// At which target.
    pub target: &'a str,
    /// Its own name.
    pub name: &'a str,
    /// Its own version.
    pub version: &'a str,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: &'a str,
    /// Why, for people; what the host says, with no personal data.
    pub reason: Option<&'a str>,
    /// Which host says so.
    pub host: &'a str,
}

/// One line of a target's history.
#[derive(Clone, Debug, serde::Serialize)]
#[allow(missing_docs)]
pub struct AdapterRecord {
    pub target: String,
    pub sha256: String,
    pub name: Option<String>,
    pub version: Option<String>,
    pub event: AdapterEventKind,
    pub reason: Option<String>,
    pub host: Option<String>,
    /// Milliseconds since 1970-01-01 UTC.
    pub at: i64,
}

/// What a host is to do about a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DesiredState {
    /// A person has paused it.
    pub paused: bool,
    /// The adapter that all hosts use, by digest.
    pub adapter_sha256: Option<String>,
    /// The adapter that was rolled back and is not taken from a file again.
    pub rejected_sha256: Option<String>,
    /// How often a person asked to look at the file again.
    pub reload_requests: i64,
    /// How often a person asked to look at the target now.
    pub probe_requests: i64,
}

impl Store {
    /// What is wanted of a target, in one look.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn desired_state(&self, target: &str) -> Result<DesiredState, StoreError> {
        let operation = "read what is wanted of a target";
        let mut transaction = self.begin_read(operation).await?;
        let rows = transaction.fetch(AdapterControl { target }).await?;
        transaction.rollback().await?;
        let Some(row) = rows.rows.into_iter().next() else { return Ok(DesiredState::default()) };
        let mut reader = RowReader::new(operation, row);
        Ok(DesiredState {
            paused: reader.integer()? != 0,
            adapter_sha256: reader.optional_text()?,
            rejected_sha256: reader.optional_text()?,
            reload_requests: reader.optional_integer()?.unwrap_or_default(),
            probe_requests: reader.integer()?,
        })
    }

    /// Records that an adapter is in force, with its bytes; nothing is written when it is already. A person's rollback
    /// is over with it.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn activate_adapter(&self, news: &AdapterEvent<'_>, bytes: &[u8]) -> Result<(), StoreError> {
        self.keep_adapter(news.sha256, bytes).await?;
        rerun("put adapter in force", || async {
            let mut transaction = self.begin(&format!("record the adapter of target `{}`", news.target)).await?;
            if transaction.activate(news).await? {
                transaction.record_adapter_event(AdapterEventKind::InForce, news).await?;
                transaction.reject(news.target, None).await?;
            }
            transaction.commit().await
        })
        .await?;
        self.forget_old_adapters(news.target).await
    }

    /// Puts the adapter of `news` in force in the place of `from`, which is not taken from a file again until a person
    /// asks for it. `false` when `from` is no longer in force: somebody has decided meanwhile.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn roll_adapter_back(&self, from: &str, news: &AdapterEvent<'_>) -> Result<bool, StoreError> {
        rerun("roll adapter back", || async {
            let mut transaction = self.begin(&format!("roll back the adapter of target `{}`", news.target)).await?;
            let is_active = IsActiveAdapter { target: news.target, sha256: from };
            if transaction.fetch(is_active).await?.rows.is_empty() || !transaction.activate(news).await? {
                transaction.rollback().await?;
                return Ok(false);
            }
            transaction.record_adapter_event(AdapterEventKind::RolledBack, news).await?;
            transaction.reject(news.target, Some(from)).await?;
            transaction.commit().await?;
            Ok(true)
        })
        .await
    }

    /// Records that an adapter was tried and refused.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn record_rejected_adapter(&self, news: &AdapterEvent<'_>) -> Result<(), StoreError> {
        rerun("note refused adapter", || async {
            let mut transaction = self.begin("note that an adapter was refused").await?;
            transaction.record_adapter_event(AdapterEventKind::Refused, news).await?;
            transaction.commit().await
        })
        .await
    }

    /// What happened to a target's adapters (or to all), newest first; at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn adapter_history(&self, target: Option<&str>, limit: u32) -> Result<Vec<AdapterRecord>, StoreError> {
        let operation = "read the history of adapters";
        let mut transaction = self.begin_read(operation).await?;
        let rows = transaction.fetch(AdapterEvents { target, limit }).await?;
        transaction.rollback().await?;
        rows.rows
            .into_iter()
            .map(|row| {
                let mut reader = RowReader::new(operation, row);
                Ok(AdapterRecord {
                    target: reader.text()?,
                    sha256: reader.text()?,
                    name: reader.optional_text()?,
                    version: reader.optional_text()?,
                    event: AdapterEventKind::from_word(&reader.text()?)
                        .ok_or_else(|| corrupt(operation, "an unknown event"))?,
                    reason: reader.optional_text()?,
                    host: reader.optional_text()?,
                    at: reader.integer()?,
                })
            })
            .collect()
    }

    /// Asks every host to look at a target's adapter file again, also when it holds one that was rolled back.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn request_reload(&self, target: &str) -> Result<(), StoreError> {
        rerun("request reload", || async {
            let mut transaction = self.begin(&format!("ask for a reload of target `{target}`")).await?;
            transaction.reject(target, None).await?;
            transaction.run(RequestReload { target }).await?;
            transaction.commit().await
        })
        .await
    }

    /// The bytes of an adapter that is or was in force; `None` when they are not here or not whole.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn adapter_bytes(&self, sha256: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let operation = "read an adapter";
        let mut transaction = self.begin_read(operation).await?;
        let rows = transaction.fetch(AdapterParts { sha256 }).await?.rows;
        transaction.rollback().await?;
        let mut bytes = Vec::new();
        let (mut read, mut parts) = (0, 0);
        for row in rows {
            let mut reader = RowReader::new(operation, row);
            let part = reader.integer()?;
            parts = reader.integer()?;
            match reader.next()? {
                Value::Bytes(piece) if part == read => bytes.extend(piece),
                _ => return Ok(None),
            }
            read += 1;
        }
        Ok((read > 0 && read == parts).then_some(bytes))
    }

    async fn keep_adapter(&self, sha256: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let operation = "keep an adapter";
        let mut look = self.begin_read(operation).await?;
        let kept = look.number(CountAdapterParts { sha256 }).await?;
        look.rollback().await?;
        let parts = i64::try_from(bytes.len().div_ceil(PART_BYTES)).unwrap_or(i64::MAX);
        if kept == Some(parts) {
            return Ok(());
        }
        for (part, piece) in (0_i64..).zip(bytes.chunks(PART_BYTES)) {
            rerun(operation, || async {
                let mut transaction = self.begin(operation).await?;
                transaction.run(PutAdapterPart { sha256, part, parts, bytes: piece.to_vec() }).await?;
                transaction.commit().await
            })
            .await?;
        }
        Ok(())
    }

    /// Lets the bytes go that no target may want back.
    async fn forget_old_adapters(&self, target: &str) -> Result<(), StoreError> {
        let mut seen: Vec<String> = Vec::new();
        for record in self.adapter_history(Some(target), 200).await? {
            if record.event != AdapterEventKind::Refused && !seen.contains(&record.sha256) {
                seen.push(record.sha256);
            }
        }
        for sha256 in seen.into_iter().skip(KEPT_MAX) {
            rerun("forget old adapter", || async {
                let mut transaction = self.begin("forget an old adapter").await?;
                transaction.run(ForgetAdapter { sha256: &sha256 }).await?;
                transaction.commit().await
            })
            .await?;
        }
        Ok(())
    }
}

impl StoreTransaction {
    /// `false` when it was in force already.
    async fn activate(&mut self, news: &AdapterEvent<'_>) -> Result<bool, StoreError> {
        let AdapterEvent { target, name, version, sha256, .. } = *news;
        self.run(RememberPreviousAdapter { target, sha256 }).await?;
        Ok(self.run(ActivateAdapter { target, name, version, sha256 }).await?.rows_affected == 1)
    }

    async fn record_adapter_event(
        &mut self,
        event: AdapterEventKind,
        news: &AdapterEvent<'_>,
    ) -> Result<(), StoreError> {
        let AdapterEvent { target, name, version, sha256, reason, host } = *news;
        self.run(AddAdapterEvent { target, sha256, name, version, event: event.as_str(), reason, host }).await.map(drop)
    }

    async fn reject(&mut self, target: &str, sha256: Option<&str>) -> Result<(), StoreError> {
        self.run(RejectAdapter { target, sha256 }).await.map(drop)
    }
}
