//! The adapters in the store: which one is active at each target, their bytes, and their history.
//!
//! Every host on a store uses the adapter that is active here, including one that another host activated, so the bytes
//! are kept here too, in pieces. The loader checks what it reads against the digest.

use super::sql::{
    ActivateAdapter, AdapterControl, AdapterEvents, AdapterParts, AddAdapterEvent, CountAdapterParts, ForgetAdapter,
    IsActiveAdapter, PutAdapterPart, RejectAdapter, RememberPreviousAdapter, RequestReload,
};
use super::{RetryFilter, RowReader, Store, StoreError, StoreTransaction, corrupt};
use crate::database::{Value, rerun};
use crate::domain::ids::TargetName;
use crate::vocabulary;

/// Bytes in one part, far below any server's default packet limit.
const PART_BYTES: usize = 512 * 1024;

/// How many adapters of a target are kept, the active one included.
const KEPT_MAX: usize = 5;

/// How many events of a target are read to learn which adapters it had.
const HISTORY_MAX: u32 = 200;

vocabulary! {
    /// What happened to an adapter, as in `sync_adapter_event.event`.
    pub enum AdapterEventKind {
        /// It was activated.
        InForce = "in-force",
        /// It was rejected; the one before stays active.
        Refused = "refused",
        /// The one before was activated in its place.
        RolledBack = "rolled-back",
        /// It writes something else than the active one, and waits for an operator.
        Held = "held",
        /// An operator has accepted a held one.
        Accepted = "accepted",
    }
}

impl AdapterEventKind {
    /// Whether the adapter was active after it.
    #[must_use]
    pub fn is_activation(self) -> bool {
        match self {
            Self::InForce | Self::RolledBack => true,
            Self::Refused | Self::Held | Self::Accepted => false,
        }
    }
}

/// An adapter of a target, and why something happened to it.
#[derive(Clone, Debug)]
pub struct AdapterEvent<'a> {
    pub target: &'a TargetName,
    pub name: &'a str,
    pub version: &'a str,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: &'a str,
    /// For operators, with no personal data.
    pub reason: Option<&'a str>,
    pub host: &'a str,
}

/// One line of a target's history.
#[derive(Clone, Debug, serde::Serialize)]
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

/// The state of a target that operators and the active adapter require.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DesiredState {
    /// Whether an operator has paused it, and the pause has not ended.
    pub paused: bool,
    /// The active adapter.
    pub adapter_sha256: Option<String>,
    /// The adapter that was rolled back last, which no host loads from a file again.
    pub rejected_sha256: Option<String>,
    /// How often an operator requested a reload of the file.
    pub reload_requests: i64,
    /// How often an operator requested a probe.
    pub probe_requests: i64,
    /// The basis of what was learned last; see [`super::Learned`].
    pub learned_basis: Option<String>,
    /// The number of times that something was learned.
    pub learned_revision: i64,
    /// The last report of a host, perhaps another one, was that the target is down.
    pub is_reported_down: bool,
    /// The adapter that writes something else than the active one, until an operator accepts it.
    pub held_sha256: Option<String>,
    /// The adapter that was held and that an operator has accepted.
    pub accepted_sha256: Option<String>,
}

impl Store {
    /// Reads the desired state of a target.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn desired_state(&self, target: &str) -> Result<DesiredState, StoreError> {
        let operation = "read the desired state of a target";
        let mut transaction = self.begin_read(operation).await?;
        let rows = transaction.fetch(AdapterControl { target }).await?;
        transaction.rollback().await?;
        let Some(row) = rows.rows.into_iter().next() else { return Ok(DesiredState::default()) };
        let mut reader = RowReader::new(operation, row);
        let mut desired = DesiredState {
            paused: reader.integer()? != 0,
            adapter_sha256: reader.optional_text()?,
            rejected_sha256: reader.optional_text()?,
            reload_requests: reader.optional_integer()?.unwrap_or_default(),
            probe_requests: reader.integer()?,
            learned_basis: reader.optional_text()?,
            learned_revision: reader.optional_integer()?.unwrap_or_default(),
            is_reported_down: reader.integer()? != 0,
            ..DesiredState::default()
        };
        let (decided, accepted_at) = (reader.optional_text()?, reader.optional_integer()?);
        match accepted_at {
            None => desired.held_sha256 = decided,
            Some(_) => desired.accepted_sha256 = decided,
        }
        Ok(desired)
    }

    /// Records that an adapter is active, with its bytes. Writes nothing when it is active already. An earlier rollback
    /// and the hold of another adapter end, and deliveries that the previous adapter skipped become pending again.
    /// Returns `false`, and writes nothing, while the adapter is held.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn activate_adapter(&self, event: &AdapterEvent<'_>, bytes: &[u8]) -> Result<bool, StoreError> {
        self.keep_adapter(event.sha256, bytes).await?;
        let is_active = rerun("activate adapter", || async {
            let mut transaction = self.begin(&format!("record the adapter of target `{}`", event.target)).await?;
            if transaction.is_held(event.target.as_str(), event.sha256).await? {
                transaction.rollback().await?;
                return Ok(false);
            }
            if transaction.activate(event).await? {
                transaction.record_adapter_event(AdapterEventKind::InForce, event).await?;
                transaction.reject(event.target, None).await?;
                transaction.end_hold(event.target).await?;
                // Another adapter may support what the previous one skipped.
                transaction.retry_skipped(event.target.as_str(), &RetryFilter::default()).await?;
            }
            transaction.commit().await?;
            Ok(true)
        })
        .await?;
        self.forget_old_adapters(event.target.as_str()).await?;
        Ok(is_active)
    }

    /// Activates an adapter in the place of `from`, which no host loads from a file again until an operator requests
    /// it. Returns `false` when `from` is no longer active, because another decision was made meanwhile.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn roll_adapter_back(&self, from: &str, event: &AdapterEvent<'_>) -> Result<bool, StoreError> {
        rerun("roll adapter back", || async {
            let mut transaction = self.begin(&format!("roll back the adapter of target `{}`", event.target)).await?;
            let is_active = IsActiveAdapter { target: event.target.as_str(), sha256: from };
            if transaction.fetch(is_active).await?.rows.is_empty() || !transaction.activate(event).await? {
                transaction.rollback().await?;
                return Ok(false);
            }
            transaction.record_adapter_event(AdapterEventKind::RolledBack, event).await?;
            transaction.reject(event.target, Some(from)).await?;
            transaction.retry_skipped(event.target.as_str(), &RetryFilter::default()).await?;
            transaction.commit().await?;
            Ok(true)
        })
        .await
    }

    /// Records that an adapter was rejected.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn record_rejected_adapter(&self, event: &AdapterEvent<'_>) -> Result<(), StoreError> {
        rerun("note refused adapter", || async {
            let mut transaction = self.begin("note that an adapter was refused").await?;
            transaction.record_adapter_event(AdapterEventKind::Refused, event).await?;
            transaction.commit().await
        })
        .await
    }

    /// The history of a target's adapters, or of all, newest first; at most `limit` records.
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

    /// The adapters that the latest roll-backs of a target have replaced, in turn. No host loads them from a file again
    /// while [`DesiredState::rejected_sha256`] names the last of them.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn rolled_back_adapters(&self, target: &str) -> Result<Vec<String>, StoreError> {
        Ok(replaced_by_roll_backs(&self.adapter_history(Some(target), HISTORY_MAX).await?))
    }

    /// Requests that every host reloads a target's adapter file, even if the adapter in it was rolled back. One that
    /// was held is compared anew.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn request_reload(&self, target: &TargetName) -> Result<(), StoreError> {
        rerun("request reload", || async {
            let mut transaction = self.begin(&format!("ask for a reload of target `{target}`")).await?;
            transaction.reject(target, None).await?;
            transaction.end_hold(target).await?;
            transaction.run(RequestReload { target: target.as_str() }).await?;
            transaction.commit().await
        })
        .await
    }

    /// Reads the bytes of an adapter; `None` when they are absent or incomplete.
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
        let mut check = self.begin_read(operation).await?;
        let kept = check.number(CountAdapterParts { sha256 }).await?;
        check.rollback().await?;
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

    /// Deletes the bytes of adapters that a target can no longer roll back to.
    async fn forget_old_adapters(&self, target: &str) -> Result<(), StoreError> {
        let mut seen: Vec<String> = Vec::new();
        for record in self.adapter_history(Some(target), HISTORY_MAX).await? {
            if record.event.is_activation() && !seen.contains(&record.sha256) {
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

/// What the roll-backs at the head of a history have replaced, which begins with the newest event. An activation ends
/// them.
fn replaced_by_roll_backs(history: &[AdapterRecord]) -> Vec<String> {
    let was_active: Vec<_> = history.iter().filter(|record| record.event.is_activation()).collect();
    let pairs = was_active.windows(2).take_while(|pair| pair[0].event == AdapterEventKind::RolledBack);
    pairs.map(|pair| pair[1].sha256.clone()).collect()
}

impl StoreTransaction {
    /// Returns `false` when it was active already.
    pub(super) async fn activate(&mut self, event: &AdapterEvent<'_>) -> Result<bool, StoreError> {
        let AdapterEvent { target, name, version, sha256, .. } = *event;
        let target = target.as_str();
        self.run(RememberPreviousAdapter { target, sha256 }).await?;
        Ok(self.run(ActivateAdapter { target, name, version, sha256 }).await?.rows_affected == 1)
    }

    pub(super) async fn record_adapter_event(
        &mut self,
        kind: AdapterEventKind,
        event: &AdapterEvent<'_>,
    ) -> Result<(), StoreError> {
        let AdapterEvent { target, name, version, sha256, reason, host } = *event;
        let (target, event) = (target.as_str(), kind.as_str());
        self.run(AddAdapterEvent { target, sha256, name, version, event, reason, host }).await.map(drop)
    }

    pub(super) async fn reject(&mut self, target: &TargetName, sha256: Option<&str>) -> Result<(), StoreError> {
        self.run(RejectAdapter { target: target.as_str(), sha256 }).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rolled_back_adapter_stays_inactive_until_it_is_activated() {
        use AdapterEventKind::{InForce, Refused, RolledBack};
        type Case = (&'static [(&'static str, AdapterEventKind)], &'static [&'static str]);
        let cases: [Case; 5] = [
            (&[], &[]),
            (&[("a", InForce), ("b", InForce)], &[]),
            (&[("a", InForce), ("b", InForce), ("a", RolledBack)], &["b"]),
            (
                &[("a", InForce), ("b", InForce), ("c", InForce), ("b", RolledBack), ("c", Refused), ("a", RolledBack)],
                &["b", "c"],
            ),
            (&[("a", InForce), ("b", InForce), ("a", RolledBack), ("b", InForce)], &[]),
        ];
        for (events, expected) in cases {
            let record = |(sha256, event): &(&str, AdapterEventKind)| AdapterRecord {
                target: "t".to_owned(),
                sha256: (*sha256).to_owned(),
                name: None,
                version: None,
                event: *event,
                reason: None,
                host: None,
                at: 0,
            };
            let history: Vec<_> = events.iter().rev().map(record).collect();
            assert_eq!(replaced_by_roll_backs(&history), expected, "{events:?}");
        }
    }
}
