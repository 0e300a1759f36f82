//! Settling: the results of a batch are written in one transaction, and only while its lease is held.
//!
//! A constant number of statements: end the lease (the guard), delete what was in flight, write the deliveries, update
//! the links, write the target's ids back next to the patients, count. Plain successes differ only in their id, so one
//! list of ids writes them all. A directly dispatched change (`direct.rs`) gets its delivery here.
//!
//! Where the journal is on, one more statement writes the row of the attempt (`journal.rs`).
//!
//! A change in doubt at an HTTP target (a request was sent and never answered) is not settled. It stays in flight under
//! its lease until the server can no longer be working on it. So no host delivers another state of the patient
//! meanwhile.

use serde::Serialize;

use super::bulk::padded_rows;
use super::counts::CountDelta;
use super::sql::{
    InsertDone, InsertProcessing, Json, MarkDone, NoteInDoubt, PutLinks, TextRows, UpdateEach, WriteBackFhirId,
    WriteBackOpenemrId,
};
use super::{Lease, Store, StoreError, StoreTransaction, corrupt};
use crate::database::rerun;
use crate::domain::attempt::Attempt;
use crate::domain::delivery::{Settlement, Status};
use crate::domain::ids::{AggregateKey, ChangeId, IdColumn};

/// Whether the results were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    Written,
    /// The lease was lost before, so nothing is written; another host delivers the batch.
    LeaseLost,
}

#[derive(Serialize)]
struct DeliveryRow<'a> {
    outbox_id: ChangeId,
    status: &'static str,
    attempts: u32,
    pause_ms: i64,
    is_final: u8,
    error_kind: Option<&'static str>,
    error_message: Option<&'a str>,
}

fn delivery_row(settlement: &Settlement) -> DeliveryRow<'_> {
    DeliveryRow {
        outbox_id: settlement.change_id,
        status: settlement.status.as_str(),
        attempts: settlement.attempts,
        pause_ms: i64::try_from(settlement.pause_ms).unwrap_or(i64::MAX / 2),
        is_final: u8::from(settlement.status != Status::Pending),
        error_kind: settlement.failure.as_ref().map(|failure| failure.kind.as_str()),
        error_message: settlement
            .failure
            .as_ref()
            .map(|failure| failure.message.as_str())
            .or(settlement.skipped.as_deref()),
    }
}

#[derive(Serialize)]
struct IdRow<'a> {
    patient_id: &'a str,
    remote_id: &'a str,
}

struct LinkRow<'a> {
    change_id: ChangeId,
    key: &'a AggregateKey,
    remote_id: &'a str,
    remote_version: Option<&'a str>,
    fingerprint: Option<&'a str>,
    merged_into: Option<&'a str>,
}

/// The results of a batch.
#[derive(Clone, Copy, Debug, Default)]
pub struct BatchResults<'a> {
    /// What became of the changes that are finished or tried again later.
    pub settlements: &'a [Settlement],
    /// The changes that stay in flight, in doubt. For them only the attempts and the failure are written. One whose
    /// attempts are spent fails when the lease expires.
    pub in_doubt: &'a [Settlement],
    /// Where the target's ids of patients go.
    pub id_column: Option<IdColumn>,
    /// The journal's row, where the journal is on.
    pub attempt: Option<&'a Attempt>,
}

impl Store {
    /// Writes the results of all deliveries under `lease`, and ends the lease. The target's ids of patients go to
    /// `id_column`.
    ///
    /// # Errors
    /// As [`Store::settle_batch`].
    pub async fn settle(
        &self,
        lease: &Lease,
        settlements: &[Settlement],
        id_column: Option<IdColumn>,
    ) -> Result<Settled, StoreError> {
        self.settle_batch(lease, &BatchResults { settlements, id_column, ..BatchResults::default() }).await
    }

    /// Writes the results of a batch. Without changes in doubt the lease is ended; otherwise it is neither ended nor
    /// renewed, so it expires.
    ///
    /// # Errors
    /// When the store cannot be reached. Nothing is then written, and the lease expires.
    pub async fn settle_batch(&self, lease: &Lease, results: &BatchResults<'_>) -> Result<Settled, StoreError> {
        rerun("settle", || async {
            let mut transaction = self.begin(&format!("settle batch for target `{}`", lease.target)).await?;
            if !transaction.end_flight(lease, results).await? {
                transaction.rollback().await?;
                return Ok(Settled::LeaseLost);
            }
            let new = match results.attempt {
                Some(attempt) => Some(transaction.put_attempt(lease, attempt, &self.written_effects).await?),
                None => None,
            };
            transaction.record_in_doubt(lease, results.in_doubt).await?;
            transaction.write_settled(lease, results.settlements, results.id_column).await?;
            transaction.commit().await?;
            if let Some(new) = new {
                self.remember_effects(new);
            }
            Ok(Settled::Written)
        })
        .await
    }
}

fn ids(settlements: &[Settlement]) -> Vec<ChangeId> {
    settlements.iter().map(|settlement| settlement.change_id).collect()
}

fn link_rows(settlements: &[Settlement]) -> Vec<LinkRow<'_>> {
    settlements
        .iter()
        .filter_map(|settlement| {
            let receipt = settlement.receipt.as_ref()?;
            Some(LinkRow {
                change_id: settlement.change_id,
                key: &settlement.key,
                remote_id: &receipt.remote_id,
                remote_version: receipt.remote_version.as_deref(),
                fingerprint: receipt.fingerprint.as_deref(),
                merged_into: settlement.merged_into.as_deref(),
            })
        })
        .collect()
}

fn count_delta(settlements: &[Settlement]) -> CountDelta {
    let of = |status| settlements.iter().filter(|settlement| settlement.status == status).count();
    let count = |status| i64::try_from(of(status)).unwrap_or(i64::MAX);
    CountDelta {
        done: count(Status::Done),
        superseded: count(Status::Superseded),
        skipped: count(Status::Skipped),
        ..CountDelta::default()
    }
}

/// Plain success with this attempt count (the common case).
fn is_plain(settlement: &Settlement, attempts: u32) -> bool {
    settlement.status == Status::Done && settlement.failure.is_none() && settlement.attempts == attempts
}

impl StoreTransaction {
    /// The guard: ends the lease, or holds it where changes stay in flight under it. Then nothing else is in flight.
    /// Returns `false` when the lease was lost before.
    async fn end_flight(&mut self, lease: &Lease, results: &BatchResults<'_>) -> Result<bool, StoreError> {
        let BatchResults { settlements, in_doubt, .. } = results;
        if in_doubt.is_empty() {
            if !self.end_lease(lease).await? {
                return Ok(false);
            }
            let in_flight = self.end_in_flight(lease).await?;
            self.expect_rows(settlements, in_flight, "were in flight")?;
            return Ok(true);
        }
        if !self.hold_lease(lease).await? {
            return Ok(false);
        }
        if !settlements.is_empty() {
            let in_flight = self.end_in_flight_of(lease, &ids(settlements)).await?;
            self.expect_rows(settlements, in_flight, "were in flight")?;
        }
        Ok(true)
    }

    /// Writes deliveries, links, ids and counts: everything but the guard and the rows in flight.
    async fn write_settled(
        &mut self,
        lease: &Lease,
        settlements: &[Settlement],
        id_column: Option<IdColumn>,
    ) -> Result<(), StoreError> {
        self.meet_moves(settlements).await?;
        let judged = self.without_circles(lease.target.as_str(), settlements).await?;
        let settlements = judged.as_deref().unwrap_or(settlements);
        self.write_deliveries(lease, settlements).await?;
        let links = link_rows(settlements);
        if !links.is_empty() {
            self.put_links(lease.target.as_str(), &links).await?;
            if let Some(column) = id_column {
                self.write_back(column, &links).await?;
            }
        }
        let moved: Vec<_> = settlements.iter().filter(|one| one.is_moved).map(|one| &one.key).collect();
        if !moved.is_empty() {
            self.resend_dependents(&lease.target, &moved).await?;
        }
        let outdated = self.outdated_among(lease.target.as_str(), settlements).await?;
        if !outdated.is_empty() {
            self.resend_referring(&lease.target, &outdated).await?;
        }
        self.add_counts(lease.target.as_str(), count_delta(settlements)).await
    }

    /// Writes the failures of deliveries that stay in flight. `finished_at` marks those that fail when their lease
    /// ends.
    async fn record_in_doubt(&mut self, lease: &Lease, in_doubt: &[Settlement]) -> Result<(), StoreError> {
        if in_doubt.is_empty() {
            return Ok(());
        }
        if lease.is_direct {
            self.insert_processing(lease, &ids(in_doubt)).await?;
        }
        let rows: Vec<_> = in_doubt.iter().map(delivery_row).collect();
        let statement = NoteInDoubt { target: lease.target.as_str(), lease_id: lease.id, batch: Json::of(&rows) };
        let noted = self.run(statement).await?.rows_affected;
        self.expect_rows(in_doubt, noted, "are in doubt under the lease")
    }

    async fn write_deliveries(&mut self, lease: &Lease, settlements: &[Settlement]) -> Result<(), StoreError> {
        let attempts = settlements.iter().map(|settlement| settlement.attempts).min().unwrap_or_default();
        let (plain, others): (Vec<_>, Vec<_>) =
            settlements.iter().partition(|settlement| is_plain(settlement, attempts));
        let ids_of = |of: &[&Settlement]| of.iter().map(|settlement| settlement.change_id).collect::<Vec<_>>();
        let mut written = 0;
        if !plain.is_empty() {
            written += if lease.is_direct {
                self.insert_done(lease, &ids_of(&plain), attempts).await?
            } else {
                self.mark_done(lease, &ids_of(&plain), attempts).await?
            };
        }
        if !others.is_empty() {
            if lease.is_direct {
                self.insert_processing(lease, &ids_of(&others)).await?;
            }
            written += self.update_each(lease, &others).await?;
        }
        self.expect_rows(settlements, written, "were under the lease")
    }

    /// The lease was held, so a mismatch means that another program changed these rows.
    fn expect_rows(&self, settlements: &[Settlement], found: u64, state: &str) -> Result<(), StoreError> {
        if usize::try_from(found) == Ok(settlements.len()) {
            return Ok(());
        }
        Err(corrupt(&self.operation, format!("{found} of {} deliveries {state}", settlements.len())))
    }

    /// Inserts the deliveries of directly dispatched changes, as done.
    async fn insert_done(&mut self, lease: &Lease, change_ids: &[ChangeId], attempts: u32) -> Result<u64, StoreError> {
        let statement = InsertDone { target: lease.target.as_str(), lease_id: lease.id, attempts, ids: change_ids };
        Ok(self.run(statement).await?.rows_affected)
    }

    /// Inserts the deliveries of directly dispatched changes, as a claim would have left them.
    async fn insert_processing(&mut self, lease: &Lease, change_ids: &[ChangeId]) -> Result<(), StoreError> {
        let statement = InsertProcessing { target: lease.target.as_str(), lease_id: lease.id, ids: change_ids };
        self.run(statement).await.map(drop)
    }

    async fn mark_done(&mut self, lease: &Lease, change_ids: &[ChangeId], attempts: u32) -> Result<u64, StoreError> {
        let statement = MarkDone { target: lease.target.as_str(), lease_id: lease.id, attempts, ids: change_ids };
        Ok(self.run(statement).await?.rows_affected)
    }

    async fn update_each(&mut self, lease: &Lease, settlements: &[&Settlement]) -> Result<u64, StoreError> {
        let rows: Vec<_> = settlements.iter().map(|settlement| delivery_row(settlement)).collect();
        let statement = UpdateEach { target: lease.target.as_str(), lease_id: lease.id, batch: Json::of(&rows) };
        Ok(self.run(statement).await?.rows_affected)
    }

    async fn put_links(&mut self, target: &str, links: &[LinkRow<'_>]) -> Result<(), StoreError> {
        // In the order of the columns of `put_links`.
        let row = |link: &LinkRow<'_>| {
            vec![
                Some(target.to_owned()),
                Some(link.key.aggregate_type.clone()),
                Some(link.key.aggregate_id.clone()),
                Some(link.remote_id.to_owned()),
                link.remote_version.map(str::to_owned),
                link.fingerprint.map(str::to_owned),
                link.merged_into.map(str::to_owned),
                Some(link.change_id.to_string()),
            ]
        };
        let rows = padded_rows(self.dialect(), links.iter().map(row).collect());
        self.run(PutLinks { rows: TextRows(rows) }).await.map(drop)
    }

    async fn write_back(&mut self, column: IdColumn, links: &[LinkRow<'_>]) -> Result<(), StoreError> {
        let ids: Vec<_> = links
            .iter()
            .filter(|link| link.key.is_patient() && !link.remote_id.is_empty())
            .map(|link| IdRow { patient_id: &link.key.aggregate_id, remote_id: link.remote_id })
            .collect();
        if ids.is_empty() {
            return Ok(());
        }
        let batch = Json::of(&ids);
        match column {
            IdColumn::OpenemrPatientId => self.run(WriteBackOpenemrId { batch }).await.map(drop),
            IdColumn::FhirPatientId => self.run(WriteBackFhirId { batch }).await.map(drop),
        }
    }
}
