//! The journal: each attempt of a batch has one row, written with its settlement.

use host::domain::attempt::{AdapterIdentity, Attempt, Cause, LEASE_LOST, outcomes};
use host::domain::delivery::{Settlement, Status};
use host::domain::effects::Effects;
use host::domain::ids::{AggregateKey, IdColumn, LeaseId};
use host::store::{Batch, BatchResults, PurgeCursor, RecordedAttempt, Settled, Store, Story, Subject, TracedDelivery};
use tests::session::Session;

use crate::on_every_store;
use crate::support::{Stand, TARGET, confirmed, dispatch, failed, patient, request};

on_every_store!(
    a_delivery_names_the_attempt_that_settled_it,
    every_outcome_names_its_attempt,
    a_directly_dispatched_delivery_names_its_attempt,
    a_delivery_in_doubt_names_its_attempt,
    the_journal_takes_one_statement,
    the_templates_of_many_attempts_are_stored_once,
    an_attempt_without_its_lease_is_not_settled,
    a_lost_attempt_is_recorded_and_replaces_nothing,
    retention_deletes_old_attempts_and_then_their_templates,
    retention_deletes_many_attempts_step_by_step,
    the_rate_is_that_of_the_attempts_that_worked,
    status_estimates_what_is_left_as_why_does,
    without_the_journal_nothing_is_recorded,
);

/// Effects as an adapter for OpenEMR has them.
fn effects(statement: &str) -> Effects {
    let mut effects = Effects::default();
    effects.add_statement(&"SELECT `pid` FROM `patient_data` WHERE `pubpid` = ?".into(), Some(0));
    for _ in 0..3 {
        effects.add_statement(&statement.into(), Some(1));
    }
    effects
}

fn attempt_of(settlements: &[Settlement]) -> Attempt {
    let adapter = AdapterIdentity {
        name: "openemr".to_owned(),
        version: "0.3.0".to_owned(),
        sha256: "ab".repeat(32),
        interface_version: "0.2.0".to_owned(),
    };
    Attempt {
        adapter: Some(adapter),
        elapsed_ms: 250,
        calls: 1,
        changes: settlements.len() as u64,
        outcomes: outcomes(settlements, &[]),
        effects: effects("INSERT INTO `patient_data` (`fname`) VALUES (?)"),
        cause: None,
    }
}

async fn settle(store: &Store, batch: &Batch, settlements: &[Settlement], attempt: &Attempt) -> Settled {
    let results = BatchResults { settlements, attempt: Some(attempt), ..BatchResults::default() };
    store.settle_batch(&batch.lease, &results).await.expect("settle")
}

/// Delivers a new state of these patients, and returns the lease.
async fn deliver(stand: &Stand, numbers: &[u32], city: &str) -> LeaseId {
    stand.put(&numbers.iter().map(|number| patient(*number, city)).collect::<Vec<_>>()).await;
    let batch = stand.claim_batch().await;
    let rows: Vec<_> = batch.deliveries.iter().map(|delivery| confirmed(delivery, "7")).collect();
    assert_eq!(settle(&stand.store, &batch, &rows, &attempt_of(&rows)).await, Settled::Written);
    batch.lease.id
}

async fn story(stand: &Stand, number: u32) -> Story {
    let subject = Subject::Aggregate(AggregateKey::patient(format!("P-{number:04}")));
    stand.store.story(&subject, None, 100).await.expect("read").expect("a story")
}

/// The newest delivery of a patient.
async fn newest(stand: &Stand, number: u32) -> TracedDelivery {
    story(stand, number).await.deliveries.remove(0)
}

async fn attempts(stand: &Stand, lease: LeaseId) -> Vec<RecordedAttempt> {
    stand.store.attempts(&[lease]).await.expect("read")
}

async fn count(stand: &Stand, table: &str) -> String {
    let mut session = Session::open(stand.database.url()).await.expect("connect");
    let rows = session.rows(&format!("SELECT COUNT(*) FROM {table}")).await.expect("count");
    rows[0][0].clone().expect("a number")
}

async fn a_delivery_names_the_attempt_that_settled_it(stand: Stand) {
    let first = deliver(&stand, &[1, 2], "Seoul").await;
    stand.pass(1_000);
    let second = deliver(&stand, &[1], "Busan").await;
    let story = story(&stand, 1).await;
    let named: Vec<_> = story.deliveries.iter().map(|delivery| delivery.last_attempt).collect();
    assert_eq!(named, [Some(second), Some(first)]);
    let recorded = story.attempt_of(&story.deliveries[1]).expect("the first attempt");
    assert_eq!((recorded.target.as_str(), recorded.host.as_str()), (TARGET, "host-a"));
    assert_eq!(recorded.started_at, stand.now() - 1_000 - 250);
    let Attempt { outcomes, changes, calls, effects: found, adapter, cause, .. } = &recorded.attempt;
    assert_eq!((*changes, *calls, outcomes.get("done")), (2, 1, Some(&2)));
    assert_eq!(*found, effects("INSERT INTO `patient_data` (`fname`) VALUES (?)"));
    assert_eq!(adapter.as_ref().map(|adapter| adapter.version.as_str()), Some("0.3.0"));
    assert_eq!(*cause, None);
}

async fn every_outcome_names_its_attempt(stand: Stand) {
    stand.put(&[1, 2, 3].map(|number| patient(number, "Seoul"))).await;
    assert_eq!(newest(&stand, 1).await.last_attempt, None, "it was not tried yet");
    let batch = stand.claim_batch().await;
    let [first, second, third] = &batch.deliveries[..] else { panic!("three deliveries") };
    let rows = [confirmed(first, "7"), failed(second, Status::Failed, 0), failed(third, Status::Pending, 60_000)];
    assert_eq!(settle(&stand.store, &batch, &rows, &attempt_of(&rows)).await, Settled::Written);
    for number in 1..=3 {
        assert_eq!(newest(&stand, number).await.last_attempt, Some(batch.lease.id), "{number}");
    }
    let recorded = attempts(&stand, batch.lease.id).await;
    assert_eq!(recorded[0].attempt.outcomes.get("invalid"), Some(&2));
    // Claimed and released: the attempt before is still the last one.
    stand.pass(60_000);
    let again = stand.claim_batch().await;
    assert!(stand.store.release(&again.lease).await.expect("release"));
    assert_eq!(newest(&stand, 3).await.last_attempt, Some(batch.lease.id));
}

/// A batch of one new patient that was dispatched directly.
async fn direct(stand: &Stand, number: u32) -> Batch {
    let service = host::service::PatientService::new(stand.store.clone());
    service.put(&[patient(number, "Seoul")]).await.expect("put");
    let asked = [request(100)];
    let mut routed = dispatch(&stand.store, 100, &asked).await;
    let claimed = routed.claimed.remove(0).expect("a batch");
    stand.store.load(claimed, &asked[0]).await.expect("load").expect("a batch")
}

async fn a_directly_dispatched_delivery_names_its_attempt(stand: Stand) {
    let batch = direct(&stand, 1).await;
    let rows = [confirmed(&batch.deliveries[0], "7")];
    assert_eq!(settle(&stand.store, &batch, &rows, &attempt_of(&rows)).await, Settled::Written);
    assert_eq!(newest(&stand, 1).await.last_attempt, Some(batch.lease.id));
    let batch = direct(&stand, 2).await;
    let rows = [failed(&batch.deliveries[0], Status::Failed, 0)];
    assert_eq!(settle(&stand.store, &batch, &rows, &attempt_of(&rows)).await, Settled::Written);
    assert_eq!(newest(&stand, 2).await.last_attempt, Some(batch.lease.id));
}

async fn a_delivery_in_doubt_names_its_attempt(stand: Stand) {
    let batch = direct(&stand, 1).await;
    let in_doubt = [failed(&batch.deliveries[0], Status::Pending, 0)];
    let attempt = Attempt { outcomes: outcomes(&in_doubt, &[true]), ..attempt_of(&in_doubt) };
    let results = BatchResults { in_doubt: &in_doubt, attempt: Some(&attempt), ..BatchResults::default() };
    assert_eq!(stand.store.settle_batch(&batch.lease, &results).await.expect("settle"), Settled::Written);
    assert_eq!(newest(&stand, 1).await.last_attempt, Some(batch.lease.id));
    let recorded = attempts(&stand, batch.lease.id).await;
    assert_eq!(recorded[0].attempt.outcomes.get("in-doubt"), Some(&1));
}

async fn the_journal_takes_one_statement(stand: Stand) {
    let mut spent = Vec::new();
    for (number, has_journal) in [(1, false), (2, true), (3, true)] {
        stand.put(&[patient(number, "Seoul")]).await;
        let batch = stand.claim_batch().await;
        let rows = [confirmed(&batch.deliveries[0], "7")];
        let attempt = attempt_of(&rows);
        let results = BatchResults {
            settlements: &rows,
            id_column: Some(IdColumn::OpenemrPatientId),
            attempt: has_journal.then_some(&attempt),
            ..BatchResults::default()
        };
        let before = stand.store.statements_run();
        stand.store.settle_batch(&batch.lease, &results).await.expect("settle");
        spent.push(stand.store.statements_run() - before);
    }
    assert_eq!(spent, [6, 8, 7], "without; with templates that are new; with known ones");
}

async fn the_templates_of_many_attempts_are_stored_once(stand: Stand) {
    let first = deliver(&stand, &[1], "Seoul").await;
    deliver(&stand, &[1], "Busan").await;
    assert_eq!((count(&stand, "sync_attempt").await, count(&stand, "sync_effects").await), ("2".into(), "1".into()));
    // Another host does not know that they are there.
    let other = stand.other_host();
    stand.put(&[patient(2, "Seoul")]).await;
    let batch = stand.claim_batch().await;
    let rows = [confirmed(&batch.deliveries[0], "7")];
    assert_eq!(settle(&other, &batch, &rows, &attempt_of(&rows)).await, Settled::Written);
    let again = Attempt { effects: effects("DELETE FROM `patient_data`"), ..attempt_of(&rows) };
    stand.put(&[patient(3, "Seoul")]).await;
    let batch = stand.claim_batch().await;
    let rows = [confirmed(&batch.deliveries[0], "8")];
    assert_eq!(settle(&other, &batch, &rows, &again).await, Settled::Written);
    assert_eq!(count(&stand, "sync_effects").await, "2");
    assert_eq!(attempts(&stand, batch.lease.id).await[0].attempt.effects, again.effects);
    assert_eq!(attempts(&stand, first).await[0].attempt.effects, attempt_of(&rows).effects);
}

/// A batch whose lease another host has taken over.
async fn lost(stand: &Stand) -> Batch {
    stand.put(&[patient(1, "Seoul")]).await;
    let batch = stand.claim_batch().await;
    stand.pass(31_000);
    assert_eq!(stand.store.take_expired_leases().await.expect("take").len(), 1);
    batch
}

async fn an_attempt_without_its_lease_is_not_settled(stand: Stand) {
    let batch = lost(&stand).await;
    let rows = [confirmed(&batch.deliveries[0], "7")];
    assert_eq!(settle(&stand.store, &batch, &rows, &attempt_of(&rows)).await, Settled::LeaseLost);
    assert!(attempts(&stand, batch.lease.id).await.is_empty());
    assert_eq!((newest(&stand, 1).await.status, newest(&stand, 1).await.last_attempt), (Status::Pending, None));
}

async fn a_lost_attempt_is_recorded_and_replaces_nothing(stand: Stand) {
    let batch = lost(&stand).await;
    let cause = Cause { kind: LEASE_LOST.to_owned(), message: "another host took the batch over".to_owned() };
    let unsettled = Attempt { cause: Some(cause), ..attempt_of(&[]) };
    stand.store.record_unsettled(&batch.lease, &unsettled).await.expect("record");
    assert_eq!(attempts(&stand, batch.lease.id).await[0].attempt, unsettled);

    let batch = stand.claim_batch().await;
    let rows = [confirmed(&batch.deliveries[0], "7")];
    assert_eq!(settle(&stand.store, &batch, &rows, &attempt_of(&rows)).await, Settled::Written);
    // As when the answer to its commit was lost: the settlement is tried again and finds no lease.
    stand.store.record_unsettled(&batch.lease, &unsettled).await.expect("record");
    assert_eq!(attempts(&stand, batch.lease.id).await[0].attempt, attempt_of(&rows));
}

const DAY_MS: i64 = 86_400_000;

async fn retention_deletes_old_attempts_and_then_their_templates(stand: Stand) {
    let first = deliver(&stand, &[1], "Seoul").await;
    stand.pass(20 * DAY_MS);
    let second = deliver(&stand, &[2], "Seoul").await;
    let purge = async || stand.store.purge_journal(30 * DAY_MS, PurgeCursor::default()).await.expect("purge").deleted;
    assert_eq!(purge().await, 0);
    stand.pass(11 * DAY_MS);
    assert_eq!(purge().await, 1);
    assert!(attempts(&stand, first).await.is_empty());
    assert_eq!(attempts(&stand, second).await.len(), 1);
    assert_eq!(newest(&stand, 1).await.last_attempt, Some(first), "the delivery stays");
    assert_eq!(count(&stand, "sync_effects").await, "1", "an attempt has it");
    stand.pass(22 * DAY_MS);
    assert_eq!(purge().await, 1);
    assert_eq!((count(&stand, "sync_attempt").await, count(&stand, "sync_effects").await), ("0".into(), "0".into()));
}

async fn retention_deletes_many_attempts_step_by_step(stand: Stand) {
    let oldest = deliver(&stand, &[1], "Seoul").await.get();
    let columns = "target, host, started_at, elapsed_ms, calls, changes, outcomes";
    for copies in (0..11).map(|doublings| 1 << doublings) {
        let double = format!(
            "INSERT INTO sync_attempt (lease_id, {columns}) SELECT lease_id - {copies}, {columns} FROM sync_attempt"
        );
        stand.database.execute(&double).await.expect("double");
    }
    assert_eq!(count(&stand, "sync_attempt").await, "2048");
    stand.pass(31 * DAY_MS);
    let young = deliver(&stand, &[2], "Seoul").await;
    let purge = async |cursor| {
        let purged = stand.store.purge_journal(30 * DAY_MS, cursor).await.expect("purge");
        (purged.deleted, purged.next)
    };
    let (deleted, next) = purge(PurgeCursor::default()).await;
    assert_eq!(deleted, 1_000);
    // A row behind the cursor stays until the next purge: a step does not scan again what earlier ones have scanned.
    let back = format!("UPDATE sync_attempt SET lease_id = lease_id - 5000 WHERE lease_id = {}", oldest - 1_047);
    stand.database.execute(&back).await.expect("move");
    let (deleted, next) = purge(next.expect("there are more")).await;
    assert_eq!(deleted, 1_000);
    assert_eq!(purge(next.expect("there are more")).await, (47, None));
    assert_eq!(count(&stand, "sync_attempt").await, "2");
    assert_eq!(purge(PurgeCursor::default()).await, (1, None));
    assert_eq!((count(&stand, "sync_attempt").await.as_str(), attempts(&stand, young).await.len()), ("1", 1));
}

async fn the_rate_is_that_of_the_attempts_that_worked(stand: Stand) {
    assert_eq!(stand.store.rate(TARGET).await.expect("read"), None);
    deliver(&stand, &[1, 2, 3, 4, 5], "Seoul").await;
    stand.pass(60_000);
    deliver(&stand, &[1, 2, 3, 4, 5], "Busan").await;
    let cause = Cause { kind: "unavailable".to_owned(), message: "connection refused".to_owned() };
    stand.put(&[patient(6, "Seoul")]).await;
    let batch = stand.claim_batch().await;
    let rows = [failed(&batch.deliveries[0], Status::Pending, 60_000)];
    let down = Attempt { cause: Some(cause), elapsed_ms: 50_000, ..attempt_of(&rows) };
    assert_eq!(settle(&stand.store, &batch, &rows, &down).await, Settled::Written);
    let rate = stand.store.rate(TARGET).await.expect("read").expect("a rate");
    assert!((rate.changes_per_second - 20.0).abs() < 0.001, "10 changes in twice 250 ms: {rate:?}");
    assert_eq!(stand.store.rate("other").await.expect("read"), None);
}

async fn status_estimates_what_is_left_as_why_does(stand: Stand) {
    let seen = async || {
        let status = stand.store.status(0).await.expect("status").targets.remove(TARGET).expect("the target");
        (status.estimate_ms, status.last_delivery_ms)
    };
    stand.put(&[patient(1, "Seoul")]).await;
    assert_eq!(seen().await, (None, None), "nothing has worked yet");
    deliver(&stand, &[1, 2, 3, 4, 5], "Seoul").await;
    assert_eq!(seen().await, (Some(0), Some(0)), "nothing is left");
    stand.pass(60_000);
    // Five are pending and one is not routed yet: six, at twenty a second. Failures hide no attempt that worked, also
    // where they are more than are read.
    stand.put(&(11..=15).map(|number| patient(number, "Seoul")).collect::<Vec<_>>()).await;
    let cause = Cause { kind: "unavailable".to_owned(), message: "connection refused".to_owned() };
    for _ in 0..60 {
        let batch = stand.claim_batch().await;
        let rows: Vec<_> = batch.deliveries.iter().map(|delivery| failed(delivery, Status::Pending, 0)).collect();
        let down = Attempt { cause: Some(cause.clone()), elapsed_ms: 50_000, ..attempt_of(&rows) };
        assert_eq!(settle(&stand.store, &batch, &rows, &down).await, Settled::Written);
    }
    host::service::PatientService::new(stand.store.clone()).put(&[patient(16, "Seoul")]).await.expect("put");
    assert_eq!(seen().await, (Some(300), Some(60_000)));
}

async fn without_the_journal_nothing_is_recorded(stand: Stand) {
    stand.put(&[patient(1, "Seoul")]).await;
    let batch = stand.claim_batch().await;
    stand.store.settle(&batch.lease, &[confirmed(&batch.deliveries[0], "7")], None).await.expect("settle");
    assert_eq!(count(&stand, "sync_attempt").await, "0");
    let story = story(&stand, 1).await;
    assert_eq!(story.deliveries[0].last_attempt, Some(batch.lease.id));
    assert!(story.attempts.is_empty(), "the story goes without it");
}
