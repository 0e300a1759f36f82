//! What was sent to a server and never answered: it stays in flight under its lease, and everything else of its batch
//! settles.

use host::domain::change::{Failure, FailureKind};
use host::domain::delivery::{Delivery, Settlement, Status};
use host::domain::ids::IdColumn;
use host::service::PatientService;
use host::store::{Batch, BatchResults, Claim, Lease, RetryFilter, Settled, Store};

use crate::on_every_store;
use crate::support::{Stand, confirmed, dispatch, failed, patient, request, settlement};

on_every_store!(
    no_renewal_shortens_a_lease,
    changes_in_doubt_keep_the_lease_and_the_rest_settles,
    directly_dispatched_changes_can_be_in_doubt,
    a_newer_state_waits_until_the_doubt_is_over,
    attempts_in_doubt_are_counted_and_the_last_fails_when_the_lease_ends,
    a_part_of_a_batch_is_not_settled_without_the_lease,
    a_partial_settlement_takes_a_constant_number_of_statements,
);

const IN_DOUBT_MS: u64 = 60_000;

fn unanswered(delivery: &Delivery) -> Settlement {
    let failure = Failure::new(FailureKind::Unavailable, "connection broke");
    Settlement { failure: Some(failure), attempts: delivery.attempts, ..settlement(delivery, Status::Pending) }
}

/// Three patients under a lease, as claimed or as directly dispatched, with one request sent.
async fn batch_in_doubt(stand: &Stand, is_direct: bool) -> Batch {
    let patients = [1, 2, 3].map(|number| patient(number, "Seoul"));
    let batch = if is_direct {
        PatientService::new(stand.store.clone()).put(&patients).await.expect("put");
        let asked = [request(100)];
        let mut routed = dispatch(&stand.store, 100, &asked).await;
        let taken = routed.claimed.remove(0).expect("a batch");
        stand.store.load(taken, &asked[0]).await.expect("load").expect("a batch")
    } else {
        stand.put(&patients).await;
        stand.claim_batch().await
    };
    assert!(stand.store.renew_for(&batch.lease, IN_DOUBT_MS).await.expect("renew"));
    batch
}

async fn settle_in_part(
    store: &Store,
    lease: &Lease,
    settlements: &[Settlement],
    in_doubt: &[Settlement],
    id_column: Option<IdColumn>,
) -> Settled {
    let results = BatchResults { settlements, in_doubt, id_column, attempt: None };
    store.settle_batch(lease, &results).await.expect("settle")
}

async fn settle_two_of_three(stand: &Stand, batch: &Batch) {
    let [first, second, third] = &batch.deliveries[..] else { panic!("three deliveries") };
    let (definite, in_doubt) = ([confirmed(first, "7"), failed(second, Status::Failed, 0)], [unanswered(third)]);
    let column = Some(IdColumn::FhirPatientId);
    let settled = settle_in_part(&stand.store, &batch.lease, &definite, &in_doubt, column).await;
    assert_eq!(settled, Settled::Written);
}

async fn no_renewal_shortens_a_lease(stand: Stand) {
    let batch = batch_in_doubt(&stand, false).await;
    // The lease of 30 seconds is renewed while the call goes on.
    stand.pass(10_000);
    assert!(stand.store.renew(&batch.lease).await.expect("renew"));
    stand.pass(45_000);
    assert!(stand.store.take_expired_leases().await.expect("take").is_empty(), "55 of 60 seconds");
    assert!(stand.store.renew(&batch.lease).await.expect("renew"), "and it is made longer where that is more");
    stand.pass(29_000);
    assert!(stand.store.take_expired_leases().await.expect("take").is_empty());
    stand.pass(2_000);
    assert_eq!(stand.store.take_expired_leases().await.expect("take").len(), 1);
}

async fn changes_in_doubt_keep_the_lease_and_the_rest_settles(stand: Stand) {
    let batch = batch_in_doubt(&stand, false).await;
    settle_two_of_three(&stand, &batch).await;
    check_that_one_waits(&stand).await;
}

async fn directly_dispatched_changes_can_be_in_doubt(stand: Stand) {
    let batch = batch_in_doubt(&stand, true).await;
    settle_two_of_three(&stand, &batch).await;
    check_that_one_waits(&stand).await;
}

async fn check_that_one_waits(stand: &Stand) {
    let counts = stand.counts().await;
    assert_eq!((counts.done, counts.failed, counts.processing, counts.pending), (1, 1, 1, 0));
    let stored = stand.store.patient("P-0001").await.expect("read").expect("there");
    assert_eq!(stored.fhir_patient_id.as_deref(), Some("7"), "what the target confirmed is written back at once");
    let waiting = &stand.store.status(5).await.expect("status").recent[0];
    assert_eq!((waiting.key.aggregate_id.as_str(), waiting.status), ("P-0003", Status::Processing));
    assert_eq!(waiting.error_message.as_deref(), Some("connection broke"));
    stand.pass(59_000);
    assert!(stand.store.take_expired_leases().await.expect("take").is_empty());
    assert!(matches!(stand.claim().await, Claim::Nothing));
    stand.pass(2_000);
    assert_eq!(stand.store.take_expired_leases().await.expect("take").len(), 1);
    let again = stand.claim_batch().await;
    assert_eq!(again.deliveries.len(), 1);
    let change = &again.deliveries[0].change;
    assert_eq!((change.key.aggregate_id.as_str(), change.attempt), ("P-0003", 1), "an outage spends no attempt");
    let rows = [confirmed(&again.deliveries[0], "9")];
    assert_eq!(stand.store.settle(&again.lease, &rows, None).await.expect("settle"), Settled::Written);
    let counts = stand.counts().await;
    assert_eq!((counts.done, counts.failed, counts.processing, counts.pending), (2, 1, 0, 0));
}

async fn a_newer_state_waits_until_the_doubt_is_over(stand: Stand) {
    let batch = batch_in_doubt(&stand, true).await;
    settle_two_of_three(&stand, &batch).await;
    let newer = [patient(3, "Busan")];
    PatientService::new(stand.store.clone()).put(&newer).await.expect("put");
    let asked = [request(100)];
    let other = stand.other_host();
    let routed = dispatch(&other, 100, &asked).await;
    assert!(routed.claimed[0].is_none(), "it is not dispatched to another host");
    assert!(matches!(other.claim(&asked[0]).await.expect("claim"), Claim::Nothing));
    stand.pass(61_000);
    assert_eq!(other.take_expired_leases().await.expect("take").len(), 1);
    let Claim::Batch(newest) = other.claim(&asked[0]).await.expect("claim") else { panic!("nothing to deliver") };
    assert_eq!(newest.deliveries.len(), 1);
    assert!(newest.deliveries[0].change.payload.contains("Busan"));
    assert_eq!(stand.counts().await.superseded, 1);
}

async fn attempts_in_doubt_are_counted_and_the_last_fails_when_the_lease_ends(stand: Stand) {
    let batch = batch_in_doubt(&stand, true).await;
    let of = |place: usize, status, attempts| Settlement { attempts, ..failed(&batch.deliveries[place], status, 0) };
    let in_doubt = [of(0, Status::Pending, 3), of(1, Status::Failed, 10), of(2, Status::Pending, 0)];
    let settled = settle_in_part(&stand.store, &batch.lease, &[], &in_doubt, None).await;
    assert_eq!(settled, Settled::Written);
    assert_eq!((stand.counts().await.processing, stand.counts().await.failed), (3, 0), "none of them is free yet");
    stand.pass(61_000);
    assert_eq!(stand.store.take_expired_leases().await.expect("take").len(), 1);
    let counts = stand.counts().await;
    assert_eq!((counts.pending, counts.failed, counts.processing), (2, 1, 0));
    let again = stand.claim_batch().await;
    let attempts: Vec<_> = again.deliveries.iter().map(|delivery| delivery.change.attempt).collect();
    assert_eq!(attempts, [4, 1]);
    assert!(stand.store.release(&again.lease).await.expect("release"));
    assert_eq!(stand.store.retry(&RetryFilter::default()).await.expect("retry"), 1);
    assert_eq!(stand.claim_batch().await.deliveries.len(), 3, "an operator may retry it");
}

async fn a_part_of_a_batch_is_not_settled_without_the_lease(stand: Stand) {
    let batch = batch_in_doubt(&stand, true).await;
    stand.pass(61_000);
    assert_eq!(stand.store.take_expired_leases().await.expect("take").len(), 1);
    let [first, second, third] = &batch.deliveries[..] else { panic!("three deliveries") };
    let rows = [confirmed(first, "7"), confirmed(second, "8")];
    let settled = settle_in_part(&stand.store, &batch.lease, &rows, &[unanswered(third)], None).await;
    assert_eq!(settled, Settled::LeaseLost);
    let counts = stand.counts().await;
    assert_eq!((counts.pending, counts.done, counts.processing), (3, 0, 0));
}

async fn a_partial_settlement_takes_a_constant_number_of_statements(stand: Stand) {
    let mut statements = Vec::new();
    for size in [4, 60] {
        let patients: Vec<_> = (size * 100..size * 101).map(|number| patient(number, "Seoul")).collect();
        PatientService::new(stand.store.clone()).put(&patients).await.expect("put");
        let asked = [request(100)];
        let mut routed = dispatch(&stand.store, 100, &asked).await;
        let taken = routed.claimed.remove(0).expect("a batch");
        let batch = stand.store.load(taken, &asked[0]).await.expect("load").expect("a batch");
        let (settled, in_doubt) = batch.deliveries.split_at(batch.deliveries.len() / 2);
        let settled: Vec<_> = settled.iter().map(|delivery| confirmed(delivery, "1")).collect();
        let in_doubt: Vec<_> = in_doubt.iter().map(unanswered).collect();
        let before = stand.store.statements_run();
        let done = settle_in_part(&stand.store, &batch.lease, &settled, &in_doubt, None).await;
        assert_eq!(done, Settled::Written);
        statements.push(stand.store.statements_run() - before);
    }
    assert_eq!(statements[0], statements[1]);
}
