//! A verification's progress and findings, on every store.

use host::domain::ids::AggregateKey;
use host::domain::verification::Finding;
use host::store::{Verification, VerificationCounts};

use crate::on_every_store;
use crate::support::{Stand, TARGET, confirmed, patient};

on_every_store!(
    a_killed_verification_resumes_where_it_stopped,
    a_second_verification_of_a_target_ends_the_first,
    a_record_delivered_meanwhile_is_not_judged,
    a_new_verification_replaces_earlier_findings,
);

/// Patients that the target has confirmed.
async fn delivered(stand: &Stand, count: u32) {
    let patients: Vec<_> = (1..=count).map(|number| patient(number, "Seoul")).collect();
    stand.put(&patients).await;
    let batch = stand.claim_batch().await;
    let rows: Vec<_> = batch.deliveries.iter().map(|delivery| confirmed(delivery, "7")).collect();
    stand.store.settle(&batch.lease, &rows, None).await.expect("settle");
}

async fn begin(stand: &Stand) -> (Verification, bool) {
    stand.store.begin_verification(TARGET, &["encounter".to_owned(), "patient".to_owned()]).await.expect("begin")
}

/// Walks over some pages, and reports each record as edited.
async fn walk(stand: &Stand, verification: &mut Verification, limit: u32, pages: usize) -> Vec<String> {
    let mut seen = Vec::new();
    for _ in 0..pages {
        if verification.is_over() {
            break;
        }
        let page = stand.store.verification_page(verification, limit).await.expect("page");
        let found: Vec<_> = page.iter().map(|record| (record.key(), Finding::Edited)).collect();
        let count = u64::try_from(page.len()).expect("a count");
        let counts = VerificationCounts { checked: count, edited: count, ..VerificationCounts::default() };
        assert!(stand.store.put_verified_page(verification, &page, &found, counts).await.expect("write"));
        seen.extend(page.into_iter().map(|record| record.subject.aggregate_id));
    }
    seen
}

async fn a_killed_verification_resumes_where_it_stopped(stand: Stand) {
    delivered(&stand, 5).await;
    let (mut verification, goes_on) = begin(&stand).await;
    assert!(!goes_on);
    // The first type has no record.
    let mut seen = walk(&stand, &mut verification, 2, 2).await;
    drop(verification);
    let (mut verification, goes_on) = begin(&stand).await;
    assert!(goes_on);
    assert_eq!(verification.counts.checked, 2);
    seen.extend(walk(&stand, &mut verification, 2, 10).await);
    assert_eq!(seen, ["P-0001", "P-0002", "P-0003", "P-0004", "P-0005"]);
    assert!(verification.is_over());
    stand.pass(1_000);
    stand.store.finish_verification(&verification).await.expect("finish");
    let known = stand.store.verifications(TARGET).await.expect("read");
    assert_eq!(known.current, None);
    let last = known.last.expect("the last one");
    assert_eq!((last.counts.checked, last.counts.edited, last.counts.equal()), (5, 5, 0));
    assert_eq!(last.finished_at, Some(stand.now()));
    assert_eq!(last.through.get(), 5);
    assert!(!begin(&stand).await.1, "the next one is new");
}

async fn a_second_verification_of_a_target_ends_the_first(stand: Stand) {
    delivered(&stand, 3).await;
    let (mut first, _) = begin(&stand).await;
    let (mut second, _) = begin(&stand).await;
    walk(&stand, &mut first, 2, 2).await;
    let page = stand.store.verification_page(&second, 2).await.expect("page");
    let counts = VerificationCounts::default();
    assert!(!stand.store.put_verified_page(&mut second, &page, &[], counts).await.expect("nothing is written"));
}

async fn a_record_delivered_meanwhile_is_not_judged(stand: Stand) {
    delivered(&stand, 3).await;
    let (mut verification, _) = begin(&stand).await;
    walk(&stand, &mut verification, 2, 1).await;
    let page = stand.store.verification_page(&verification, 10).await.expect("page");
    let records: Vec<_> = page.iter().collect();
    assert_eq!(stand.store.settled_records(TARGET, &records).await.expect("read").len(), 3);
    stand.put(&[patient(1, "Busan"), patient(2, "Busan")]).await;
    let batch = stand.claim_batch().await;
    let settled = stand.store.settled_records(TARGET, &records).await.expect("read");
    assert_eq!(settled, [AggregateKey::patient("P-0003")], "the others are in flight");
    let rows: Vec<_> = batch.deliveries.iter().map(|delivery| confirmed(delivery, "7")).collect();
    stand.store.settle(&batch.lease, &rows, None).await.expect("settle");
    let settled = stand.store.settled_records(TARGET, &records).await.expect("read");
    assert_eq!(settled, [AggregateKey::patient("P-0003")], "the others were delivered");
}

async fn a_new_verification_replaces_earlier_findings(stand: Stand) {
    delivered(&stand, 2).await;
    let (mut verification, _) = begin(&stand).await;
    walk(&stand, &mut verification, 10, 10).await;
    stand.store.finish_verification(&verification).await.expect("finish");
    let found = stand.store.verification_findings(TARGET, "patient", "", 10).await.expect("list");
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].finding, Finding::Edited);
    stand.pass(5_000);
    let (mut verification, _) = begin(&stand).await;
    while !verification.is_over() {
        let page = stand.store.verification_page(&verification, 1).await.expect("page");
        let found: Vec<_> = page.iter().skip(1).map(|record| (record.key(), Finding::Gone)).collect();
        let counts = VerificationCounts::default();
        stand.store.put_verified_page(&mut verification, &page, &found, counts).await.expect("write");
    }
    stand.store.finish_verification(&verification).await.expect("finish");
    assert!(stand.store.verification_findings(TARGET, "patient", "", 10).await.expect("list").is_empty());
}
