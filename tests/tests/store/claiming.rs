//! Claim, settle, renew, release, take over.

use host::domain::delivery::Status;
use host::domain::ids::{AggregateKey, IdColumn};
use host::store::{Claim, ClaimRequest, PurgeCursor, RetryFilter, Settled};
use tests::session::Session;

use crate::on_every_store;
use crate::support::{Stand, TARGET, confirmed, failed, patient, request, settlement, wait_until_waiting};

on_every_store!(
    a_confirmed_delivery_stores_link_and_id,
    a_patient_changed_meanwhile_still_gets_its_id,
    expired_lease_cannot_settle,
    a_renewed_lease_is_not_taken_over,
    a_released_batch_can_be_claimed_at_once,
    the_newest_state_wins_and_older_ones_are_superseded,
    a_patient_in_flight_is_not_claimed_again,
    an_older_change_is_never_delivered_after_a_newer_one,
    a_retried_failure_is_superseded_by_a_newer_change,
    a_failed_delivery_waits_for_an_operator,
    a_deferred_delivery_is_not_claimed_before_its_time,
    fifo_delivers_every_change_in_order_and_a_failed_head_blocks_its_own_key,
    two_hosts_never_claim_the_same_delivery,
    only_old_finished_rows_are_purged,
    a_removed_target_keeps_no_change_open,
    claimers_of_the_same_patients_do_not_deadlock,
);

async fn a_confirmed_delivery_stores_link_and_id(stand: Stand) {
    stand.put(&[patient(1, "Seoul"), patient(2, "Busan")]).await;
    let batch = stand.claim_batch().await;
    assert_eq!(batch.deliveries.len(), 2);
    let rows: Vec<_> = batch
        .deliveries
        .iter()
        .enumerate()
        .map(|(index, delivery)| confirmed(delivery, &(456 + index).to_string()))
        .collect();
    let settled = stand.store.settle(&batch.lease, &rows, Some(IdColumn::OpenemrPatientId)).await.expect("settle");
    assert_eq!(settled, Settled::Written);
    assert_eq!(stand.counts().await.done, 2);
    let stored = stand.store.patient("P-0001").await.expect("read").expect("there");
    assert_eq!(stored.openemr_patient_id, Some(456));
    let recent = stand.store.status(5).await.expect("status").recent;
    assert_eq!(recent[0].remote_id.as_deref(), Some("457"));
    // The next change carries the link.
    stand.put(&[patient(1, "Incheon")]).await;
    let batch = stand.claim_batch().await;
    let link = batch.deliveries[0].change.link.clone().expect("link");
    assert_eq!((link.remote_id.as_str(), link.remote_version.as_deref()), ("456", Some("1")));
}

async fn a_patient_changed_meanwhile_still_gets_its_id(stand: Stand) {
    stand.put(&[patient(1, "Seoul")]).await;
    let batch = stand.claim_batch().await;
    let mut application = Session::open(stand.database.url()).await.expect("session");
    application.execute(application.begin()).await.expect("begin");
    let change = "UPDATE patient_cache SET city = 'Busan' WHERE patient_id = 'P-0001'";
    assert_eq!(application.execute(change).await.expect("change"), 1);
    let settling = tokio::spawn({
        let store = stand.store.clone();
        let rows = [confirmed(&batch.deliveries[0], "456")];
        async move { store.settle(&batch.lease, &rows, Some(IdColumn::OpenemrPatientId)).await }
    });
    wait_until_waiting(&stand, 1).await;
    assert!(!settling.is_finished());
    application.execute("COMMIT").await.expect("commit");
    assert_eq!(settling.await.expect("join").expect("settle"), Settled::Written);
    let stored = stand.store.patient("P-0001").await.expect("read").expect("there");
    assert_eq!((stored.patient.payload(), stored.openemr_patient_id), (patient(1, "Busan").payload(), Some(456)));
}

async fn expired_lease_cannot_settle(stand: Stand) {
    stand.put(&[patient(1, "Seoul")]).await;
    let late = stand.claim_batch().await;
    stand.pass(30_001);
    assert_eq!(stand.store.take_expired_leases().await.expect("take").len(), 1);
    let next = stand.claim_batch().await;
    assert!(next.lease.id != late.lease.id);
    let rows = [confirmed(&late.deliveries[0], "1")];
    assert_eq!(stand.store.settle(&late.lease, &rows, None).await.expect("settle"), Settled::LeaseLost);
    assert!(!stand.store.renew(&late.lease).await.expect("renew"));
    assert_eq!(stand.counts().await.processing, 1);
    let rows = [confirmed(&next.deliveries[0], "1")];
    assert_eq!(stand.store.settle(&next.lease, &rows, None).await.expect("settle"), Settled::Written);
}

async fn a_renewed_lease_is_not_taken_over(stand: Stand) {
    stand.put(&[patient(1, "Seoul")]).await;
    let batch = stand.claim_batch().await;
    stand.pass(29_000);
    assert!(stand.store.renew(&batch.lease).await.expect("renew"));
    stand.pass(29_000);
    assert!(stand.store.take_expired_leases().await.expect("take").is_empty());
}

async fn a_released_batch_can_be_claimed_at_once(stand: Stand) {
    stand.put(&[patient(1, "Seoul")]).await;
    let batch = stand.claim_batch().await;
    assert!(stand.store.release(&batch.lease).await.expect("release"));
    let again = stand.claim_batch().await;
    assert_eq!(again.deliveries[0].attempts, 0, "a release spends no attempt");
    assert!(!stand.store.release(&batch.lease).await.expect("release"), "the old lease is gone");
}

async fn the_newest_state_wins_and_older_ones_are_superseded(stand: Stand) {
    for city in ["Seoul", "Busan", "Incheon"] {
        stand.put(&[patient(1, city)]).await;
    }
    let batch = stand.claim_batch().await;
    assert_eq!(batch.deliveries.len(), 1);
    assert!(batch.deliveries[0].change.payload.contains("Incheon"));
    let counts = stand.counts().await;
    assert_eq!((counts.superseded, counts.processing, counts.pending), (2, 1, 0));
}

async fn a_patient_in_flight_is_not_claimed_again(stand: Stand) {
    stand.put(&[patient(1, "Seoul")]).await;
    let batch = stand.claim_batch().await;
    stand.put(&[patient(1, "Busan")]).await;
    assert!(matches!(stand.claim().await, Claim::Nothing));
    let rows = [confirmed(&batch.deliveries[0], "1")];
    stand.store.settle(&batch.lease, &rows, None).await.expect("settle");
    assert!(stand.claim_batch().await.deliveries[0].change.payload.contains("Busan"));
}

async fn an_older_change_is_never_delivered_after_a_newer_one(stand: Stand) {
    stand.put(&[patient(1, "Seoul")]).await;
    let older = stand.claim_batch().await;
    let rows = [failed(&older.deliveries[0], Status::Failed, 0)];
    stand.store.settle(&older.lease, &rows, None).await.expect("settle");
    stand.put(&[patient(1, "Busan")]).await;
    let newer = stand.claim_batch().await;
    let rows = [confirmed(&newer.deliveries[0], "1")];
    stand.store.settle(&newer.lease, &rows, None).await.expect("settle");
    // The old failure needs no decision any more, and the old state cannot come back.
    assert_eq!(stand.store.retry(&RetryFilter::default()).await.expect("retry"), 0);
    assert!(matches!(stand.claim().await, Claim::Nothing));
    let counts = stand.counts().await;
    assert_eq!((counts.superseded, counts.done, counts.pending, counts.failed), (1, 1, 0, 0));
}

async fn a_retried_failure_is_superseded_by_a_newer_change(stand: Stand) {
    stand.put(&[patient(1, "Seoul")]).await;
    let older = stand.claim_batch().await;
    let rows = [failed(&older.deliveries[0], Status::Failed, 0)];
    stand.store.settle(&older.lease, &rows, None).await.expect("settle");
    stand.put(&[patient(1, "Busan")]).await;
    assert_eq!(stand.store.retry(&RetryFilter::default()).await.expect("retry"), 1);
    assert!(stand.claim_batch().await.deliveries[0].change.payload.contains("Busan"));
    assert_eq!(stand.counts().await.superseded, 1);
}

async fn a_failed_delivery_waits_for_an_operator(stand: Stand) {
    stand.put(&[patient(1, "Seoul"), patient(2, "Seoul")]).await;
    let batch = stand.claim_batch().await;
    let rows = [failed(&batch.deliveries[0], Status::Failed, 0), confirmed(&batch.deliveries[1], "2")];
    stand.store.settle(&batch.lease, &rows, None).await.expect("settle");
    assert!(matches!(stand.claim().await, Claim::Nothing));
    let recent = stand.store.status(5).await.expect("status").recent;
    assert_eq!(recent[1].error_message.as_deref(), Some("fname: 300 characters, at most 255"));
    let other = RetryFilter { aggregate: Some(AggregateKey::patient("P-0002")), ..RetryFilter::default() };
    assert_eq!(stand.store.count_failed(&other).await.expect("count"), 0);
    let this = RetryFilter { aggregate: Some(AggregateKey::patient("P-0001")), ..RetryFilter::default() };
    assert_eq!(stand.store.count_failed(&this).await.expect("count"), 1);
    assert_eq!(stand.store.retry(&this).await.expect("retry"), 1);
    assert_eq!(stand.claim_batch().await.deliveries[0].attempts, 0);
}

async fn a_deferred_delivery_is_not_claimed_before_its_time(stand: Stand) {
    stand.put(&[patient(1, "Seoul")]).await;
    let batch = stand.claim_batch().await;
    let rows = [failed(&batch.deliveries[0], Status::Pending, 5_000)];
    stand.store.settle(&batch.lease, &rows, None).await.expect("settle");
    stand.pass(4_999);
    assert!(matches!(stand.claim().await, Claim::Nothing));
    stand.pass(1);
    assert_eq!(stand.claim_batch().await.deliveries[0].attempts, 1);
}

async fn fifo_delivers_every_change_in_order_and_a_failed_head_blocks_its_own_key(stand: Stand) {
    for city in ["Seoul", "Busan"] {
        stand.put(&[patient(1, city)]).await;
    }
    stand.put(&[patient(2, "Seoul")]).await;
    let request = ClaimRequest { fifo_types: vec!["patient".to_owned()], ..request(100) };
    let Claim::Batch(batch) = stand.store.claim(&request).await.expect("claim") else { panic!("no batch") };
    let cities: Vec<_> = batch.deliveries.iter().map(|delivery| delivery.change.payload.contains("Seoul")).collect();
    assert_eq!(cities, [true, true], "the head of each key");
    let rows = [failed(&batch.deliveries[0], Status::Failed, 0), settlement(&batch.deliveries[1], Status::Done)];
    stand.store.settle(&batch.lease, &rows, None).await.expect("settle");
    stand.put(&[patient(2, "Busan")]).await;
    let Claim::Batch(batch) = stand.store.claim(&request).await.expect("claim") else { panic!("no batch") };
    let ids: Vec<_> = batch.deliveries.iter().map(|delivery| delivery.change.key.aggregate_id.as_str()).collect();
    assert_eq!(ids, ["P-0002"], "the failed head holds back its own key only");
}

async fn two_hosts_never_claim_the_same_delivery(stand: Stand) {
    let patients: Vec<_> = (0..200).map(|number| patient(number, "Seoul")).collect();
    stand.put(&patients).await;
    let work = |store: host::store::Store, owner: &'static str| async move {
        let mut mine = Vec::new();
        loop {
            let request = ClaimRequest { owner: owner.to_owned(), ..request(7) };
            match store.claim(&request).await.expect("claim") {
                Claim::Batch(batch) => {
                    let rows: Vec<_> = batch.deliveries.iter().map(|delivery| confirmed(delivery, "1")).collect();
                    assert_eq!(store.settle(&batch.lease, &rows, None).await.expect("settle"), Settled::Written);
                    mine.extend(batch.deliveries.iter().map(|delivery| delivery.change.change_id));
                }
                Claim::OnlySuperseded => {}
                Claim::Nothing => return mine,
            }
        }
    };
    let (mut all, other) =
        Box::pin(futures::future::join(work(stand.store.clone(), "host-a"), work(stand.other_host(), "host-b"))).await;
    all.extend(other);
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!((count, all.len()), (200, 200));
    assert_eq!(stand.counts().await.done, 200);
}

async fn only_old_finished_rows_are_purged(stand: Stand) {
    stand.put(&[patient(1, "Seoul"), patient(2, "Seoul")]).await;
    let batch = stand.claim_batch().await;
    let rows = [confirmed(&batch.deliveries[0], "1"), failed(&batch.deliveries[1], Status::Failed, 0)];
    stand.store.settle(&batch.lease, &rows, None).await.expect("settle");
    stand.pass(100_000);
    stand.put(&[patient(3, "Seoul")]).await;
    let purge = async || {
        let start = PurgeCursor::default();
        let deliveries = stand.store.purge_deliveries(TARGET, 50_000, start).await.expect("purge");
        let changes = stand.store.purge_changes(50_000, start).await.expect("purge");
        (deliveries.deleted, changes.deleted)
    };
    assert_eq!(purge().await, (1, 1), "the old done one, and its change");
    let counts = stand.counts().await;
    assert_eq!((counts.done, counts.failed, counts.pending), (0, 1, 1));
    // What the target confirmed is still known: the next change carries the link.
    stand.put(&[patient(1, "Busan")]).await;
    let batch = stand.claim_batch().await;
    let linked =
        batch.deliveries.iter().find(|delivery| delivery.change.key.aggregate_id == "P-0001").expect("claimed");
    assert!(linked.change.link.is_some());
    assert_eq!(purge().await, (0, 0));
}

async fn a_removed_target_keeps_no_change_open(stand: Stand) {
    stand.put(&[patient(1, "Seoul")]).await;
    assert_eq!(stand.store.open_work().await.expect("open"), 1);
    stand.store.register_targets(&[(TARGET, false), ("fhir", true)]).await.expect("register");
    assert_eq!(stand.store.open_work().await.expect("open"), 0);
    assert!(!stand.store.status(1).await.expect("status").targets[TARGET].enabled);
    stand.store.register_targets(&[(TARGET, true)]).await.expect("register");
    assert_eq!(stand.store.open_work().await.expect("open"), 1, "nothing was lost");
}

/// Each wants to supersede what others have just read. One that waited for another would sooner or later be waited
/// for.
async fn claimers_of_the_same_patients_do_not_deadlock(stand: Stand) {
    for state in 0..8 {
        let patients: Vec<_> = (0..40).map(|number| patient(number, &format!("city {state}"))).collect();
        stand.put(&patients).await;
    }
    let claimers = (0..8).map(|_| {
        let store = stand.other_host();
        tokio::spawn(async move {
            loop {
                match store.claim(&request(10)).await.expect("claim") {
                    Claim::Nothing => return,
                    Claim::OnlySuperseded => {}
                    Claim::Batch(batch) => {
                        let settled: Vec<_> =
                            batch.deliveries.iter().map(|delivery| confirmed(delivery, "7")).collect();
                        store.settle(&batch.lease, &settled, None).await.expect("settle");
                    }
                }
            }
        })
    });
    for claimer in claimers.collect::<Vec<_>>() {
        claimer.await.expect("a claimer ends well");
    }
    let counts = stand.counts().await;
    assert_eq!((counts.done, counts.superseded, counts.pending), (40, 280, 0));
}
