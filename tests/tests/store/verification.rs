//! A verification's progress and findings, on every store.

use host::domain::change::{OwnPage, OwnRecord};
use host::domain::ids::AggregateKey;
use host::domain::verification::Finding;
use host::store::{NOT_IN_STORE_MAX, Verification, VerificationCounts};

use crate::on_every_store;
use crate::support::{Stand, TARGET, confirmed, patient};

on_every_store!(
    a_killed_verification_resumes_where_it_stopped,
    a_second_verification_of_a_target_ends_the_first,
    a_record_delivered_meanwhile_is_not_judged,
    a_new_verification_replaces_earlier_findings,
    what_a_target_has_and_the_store_does_not_know_is_listed_once_and_forgotten_with_the_next,
    what_is_on_its_way_is_known,
    an_endless_list_is_kept_within_bounds,
    a_list_without_what_the_store_knows_is_none,
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
    stand.store.begin_verification(TARGET, &["encounter".to_owned(), "patient".to_owned()], &[]).await.expect("begin")
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

fn own(aggregate_id: &str, remote_id: &str) -> OwnRecord {
    OwnRecord { aggregate_id: aggregate_id.to_owned(), remote_id: remote_id.to_owned() }
}

/// A verification at the part that lists patients.
async fn listing(stand: &Stand) -> (Verification, bool) {
    let patient = ["patient".to_owned()];
    let (mut verification, goes_on) = stand.store.begin_verification(TARGET, &patient, &patient).await.expect("begin");
    while verification.listing().is_none() && !verification.is_over() {
        let page = stand.store.verification_page(&verification, 10).await.expect("page");
        let counts = VerificationCounts::default();
        assert!(stand.store.put_verified_page(&mut verification, &page, &[], counts).await.expect("write"));
    }
    (verification, goes_on)
}

/// One page of the list, compared with the store.
async fn list(stand: &Stand, verification: &mut Verification, records: &[OwnRecord], next: Option<&str>) -> bool {
    let listed = u64::try_from(records.len()).expect("a count");
    let records = stand.store.not_in_store(TARGET, "patient", records).await.expect("compare");
    let page = OwnPage { records, next: next.map(str::to_owned) };
    stand.store.put_listed_page(verification, listed, page).await.expect("write")
}

async fn what_a_target_has_and_the_store_does_not_know_is_listed_once_and_forgotten_with_the_next(stand: Stand) {
    delivered(&stand, 2).await;
    let (mut verification, _) = listing(&stand).await;
    assert_eq!((verification.listing(), verification.place()), (Some("patient"), None));
    // Another record of a known patient, a patient in another case, and a long place and id.
    let records = [own("P-0001", "7"), own("P-0001", "8"), own("p-0001", "7"), own(&"P".repeat(255), &"9".repeat(255))];
    let place = "x".repeat(4_096);
    assert!(list(&stand, &mut verification, &records, Some(&place)).await);
    assert_eq!(verification.place(), Some(place.as_str()));
    // Whoever resumes begins the list anew: the same records are found once.
    let (mut resumed, goes_on) = listing(&stand).await;
    assert!(goes_on);
    assert_eq!((resumed.listing(), resumed.place()), (Some("patient"), None));
    assert!(list(&stand, &mut resumed, &records, Some("20")).await);
    assert!(!list(&stand, &mut verification, &records, None).await, "another host has moved it");
    let (mut resumed, _) = listing(&stand).await;
    assert_eq!(resumed.place(), Some("20"));
    assert!(list(&stand, &mut resumed, &[own("P-0002", "7")], None).await);
    assert!(resumed.is_over());
    stand.store.finish_verification(&resumed).await.expect("finish");
    let last = stand.store.verifications(TARGET).await.expect("read").last.expect("the last one");
    let found = last.not_in_store.expect("it was listed");
    assert_eq!((found.records, found.is_least, found.not_listed.len()), (3, false, 0));
    assert_eq!((last.types, last.listed), (vec!["patient".to_owned()], vec!["patient".to_owned()]));
    let listed = stand.store.unlinked_records(TARGET, "patient", 10).await.expect("list");
    let ids: Vec<_> = listed.iter().map(|one| (one.aggregate_id.as_str(), one.remote_id.as_str())).collect();
    assert_eq!(ids[..2], [("p-0001", "7"), ("P-0001", "8")]);
    assert!(ids[2].0.starts_with("PPP") && ids[2].1.starts_with("999"));
    assert!(stand.store.verification_findings(TARGET, "patient", "", 10).await.expect("list").is_empty());

    stand.pass(5_000);
    let (mut verification, _) = listing(&stand).await;
    assert!(stand.store.put_not_listed(&mut verification).await.expect("write"));
    stand.store.finish_verification(&verification).await.expect("finish");
    let last = stand.store.verifications(TARGET).await.expect("read").last.expect("the last one");
    let found = last.not_in_store.expect("it was tried");
    assert_eq!((found.records, found.not_listed), (0, vec!["patient".to_owned()]));
    assert!(stand.store.unlinked_records(TARGET, "patient", 10).await.expect("list").is_empty());
}

async fn what_is_on_its_way_is_known(stand: Stand) {
    stand.put(&[patient(1, "Seoul"), patient(2, "Seoul")]).await;
    let records = [own("P-0001", "7"), own("P-0002", "8"), own("P-0003", "9")];
    let unknown = async || stand.store.not_in_store(TARGET, "patient", &records).await.expect("compare");
    assert_eq!(unknown().await, records[2..], "they are queued");
    let batch = stand.claim_batch().await;
    assert_eq!(unknown().await, records[2..], "they are in flight");
    let rows: Vec<_> = batch.deliveries.iter().map(|delivery| confirmed(delivery, "7")).collect();
    stand.store.settle(&batch.lease, &rows, None).await.expect("settle");
    assert_eq!(unknown().await, records[1..], "the second one got another id");
}

async fn an_endless_list_is_kept_within_bounds(stand: Stand) {
    let (mut verification, _) = listing(&stand).await;
    let mut pages = 0_u64;
    while verification.listing().is_some() {
        let records: Vec<_> = (0..1_000).map(|number| own("P-1", &format!("{pages}-{number}"))).collect();
        let place = pages.to_string();
        assert!(list(&stand, &mut verification, &records, Some(&place)).await);
        pages += 1;
    }
    assert_eq!(pages, NOT_IN_STORE_MAX / 1_000);
    stand.store.finish_verification(&verification).await.expect("finish");
    let last = stand.store.verifications(TARGET).await.expect("read").last.expect("the last one");
    let found = last.not_in_store.expect("it was listed");
    assert_eq!((found.records, found.is_least), (NOT_IN_STORE_MAX, true));
}

async fn a_list_without_what_the_store_knows_is_none(stand: Stand) {
    // Some servers answer a search that they do not understand with nothing.
    for (known, not_listed) in [(0, 0), (1, 1)] {
        delivered_if(&stand, known).await;
        stand.pass(5_000);
        let (mut verification, _) = listing(&stand).await;
        assert!(list(&stand, &mut verification, &[], None).await);
        stand.store.finish_verification(&verification).await.expect("finish");
        let last = stand.store.verifications(TARGET).await.expect("read").last.expect("the last one");
        let found = last.not_in_store.expect("it was listed");
        assert_eq!((found.records, found.not_listed.len()), (0, not_listed));
    }
}

async fn delivered_if(stand: &Stand, count: u32) {
    if count > 0 {
        delivered(stand, count).await;
    }
}
