//! The chain of the audit on every store: what is recorded, and that tampering with rows is found.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use host::domain::audit::{AuditEvent, AuditFacts, AuditSubject, Operator};
use host::domain::audit_chain::{AuditHead, BrokenChain, ChainCheck, ChainFault};
use host::domain::delivery::Status;
use host::domain::ids::AggregateKey;
use host::service::PatientService;
use host::store::{AuditFilter, AuditRecorder, NewMerge, RetryFilter, Store};

use crate::on_every_store;
use crate::support::{Stand, TARGET, confirmed, failed, patient, target_name};

on_every_store!(
    each_change_of_an_audited_store_is_one_event,
    a_change_that_is_rolled_back_leaves_no_event,
    what_changes_nothing_leaves_no_event,
    a_host_that_delivers_records_nothing,
    every_field_survives_the_store,
    a_changed_row_is_found,
    a_removed_row_is_found,
    rows_in_another_order_are_found,
    a_cut_off_end_is_found,
    a_cut_off_end_with_its_head_is_found_by_a_head_from_elsewhere,
    a_head_that_is_gone_stops_what_would_be_recorded,
    writers_at_the_same_time_keep_the_chain_whole,
    events_are_found_by_operator_command_time_and_aggregate,
    events_are_paged_without_gaps,
);

fn facts(action: &str, subject: AuditSubject) -> AuditFacts {
    AuditFacts {
        command_id: "c0ffee".to_owned(),
        operator: Operator {
            user: "root".to_owned(),
            uid: Some(0),
            login: Some("kim".to_owned()),
            acting_as: Some("Dr. 李".to_owned()),
            machine: "ward-3".to_owned(),
            remote: Some("192.0.2.7".to_owned()),
        },
        action: action.to_owned(),
        subject,
        reason: Some("phone call ".to_owned()),
        outcome: "success".to_owned(),
    }
}

/// An audited view of the store, and the events that it has committed.
fn audited(store: &Store, action: &str, subject: AuditSubject) -> (Store, Arc<Mutex<Vec<AuditEvent>>>) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&events);
    let recorded = Box::new(move |event: &AuditEvent| kept.lock().expect("lock").push(event.clone()));
    (store.audited(Arc::new(AuditRecorder { facts: facts(action, subject), recorded })), events)
}

async fn all(store: &Store) -> Vec<AuditEvent> {
    store.audit_events_after(0, None, 10_000).await.expect("events")
}

async fn check(store: &Store, known: Option<&AuditHead>) -> Result<i64, (i64, ChainFault)> {
    let stored = store.audit_head().await.expect("head");
    let mut check = ChainCheck::new(stored.clone(), known.map(|head| head.to_string().parse().expect("a head")));
    let followed = all(store).await.iter().try_for_each(|event| check.follow(event));
    let ended = followed.and_then(|()| check.end(&stored));
    ended.map(|head| head.id).map_err(|BrokenChain { id, fault }| (id, fault))
}

/// A chain of this many events.
async fn record(stand: &Stand, count: usize) -> AuditHead {
    for number in 0..count {
        let facts = facts("patient show", AuditSubject::patient(&format!("P-{number:04}")));
        stand.store.record_event(&facts).await.expect("record");
    }
    assert_eq!(check(&stand.store, None).await, Ok(i64::try_from(count).expect("few")));
    stand.store.audit_head().await.expect("head")
}

async fn tamper(stand: &Stand, statements: &[&str]) {
    for sql in statements {
        stand.database.execute(sql).await.expect(sql);
    }
}

async fn each_change_of_an_audited_store_is_one_event(stand: Stand) {
    let (store, events) = audited(&stand.store, "patient put", AuditSubject::default());
    let service = PatientService::new(store.clone());
    service.put(&[patient(1, "Seoul"), patient(2, "Seoul")]).await.expect("put");
    assert!(service.delete("P-0002").await.expect("delete"));
    assert!(store.set_paused(TARGET, true).await.expect("pause"));
    let events = events.lock().expect("lock").clone();
    assert_eq!(events, all(&stand.store).await, "what is committed is what is told");
    assert_eq!(events.iter().map(|event| event.id).collect::<Vec<_>>(), [1, 2, 3]);
    let subject = &events[0].facts.subject;
    assert_eq!((subject.aggregate_type.as_deref(), subject.count), (Some("patient"), Some(2)));
    assert_eq!(events[0].at, stand.now());
    assert_eq!(check(&stand.store, None).await, Ok(3));
}

async fn a_change_that_is_rolled_back_leaves_no_event(stand: Stand) {
    stand.put(&[patient(1, "Seoul"), patient(2, "Seoul")]).await;
    let (store, events) = audited(&stand.store, "patient merge", AuditSubject::patient("P-0001"));
    let service = PatientService::new(store.clone());
    let merge = |patient_id, survivor_id| NewMerge { patient_id, survivor_id, reason: "twice", merged_by: "kim" };
    service.merge(&merge("P-0001", "P-0001")).await.expect_err("refused");
    service.merge(&merge("P-0001", "P-0009")).await.expect_err("refused");
    let mut transaction = store.begin("delete patient").await.expect("begin");
    transaction.delete_patient("P-0002").await.expect("delete");
    transaction.rollback().await.expect("rollback");
    assert!(events.lock().expect("lock").is_empty() && all(&stand.store).await.is_empty());
    service.merge(&merge("P-0001", "P-0002")).await.expect("merge");
    service.unmerge("P-0001").await.expect("unmerge").expect("merged");
    let undone = all(&stand.store).await.pop().expect("an event");
    assert_eq!((undone.id, undone.facts.subject.other_id.as_deref()), (2, Some("P-0002")));
}

async fn what_changes_nothing_leaves_no_event(stand: Stand) {
    stand.put(&[patient(1, "Seoul")]).await;
    let (store, events) = audited(&stand.store, "seed", AuditSubject::default());
    PatientService::new(store.clone()).put(&[patient(1, "Seoul")]).await.expect("put");
    assert!(!PatientService::new(store.clone()).delete("P-0009").await.expect("delete"));
    assert_eq!(store.retry(&RetryFilter::default()).await.expect("retry"), 0);
    assert_eq!(store.retry_skipped(&RetryFilter::default()).await.expect("retry"), 0);
    assert_eq!(store.dismiss(&RetryFilter::default(), "none", "kim").await.expect("dismiss"), 0);
    assert!(!store.resync_patient(&target_name(TARGET), "P-0009").await.expect("resync"));
    assert!(events.lock().expect("lock").is_empty() && all(&stand.store).await.is_empty());
    assert!(store.resync_patient(&target_name(TARGET), "P-0001").await.expect("resync"));
    assert_eq!(all(&stand.store).await[0].facts.subject.count, Some(1));
}

async fn a_host_that_delivers_records_nothing(stand: Stand) {
    stand.put(&[patient(1, "Seoul"), patient(2, "Seoul")]).await;
    let batch = stand.claim_batch().await;
    let rows = [confirmed(&batch.deliveries[0], "7"), failed(&batch.deliveries[1], Status::Failed, 0)];
    let before = stand.store.statements_run();
    stand.store.settle(&batch.lease, &rows, None).await.expect("settle");
    let plain = stand.store.statements_run() - before;
    assert!(plain > 0 && all(&stand.store).await.is_empty());
    let sent = stand.store.sent_deliveries(TARGET, 0, None, 10).await.expect("sent");
    let shown: Vec<_> = sent.iter().map(|one| (one.is_done, one.remote_id.as_deref())).collect();
    assert_eq!(shown, [(true, Some("7")), (false, None)]);
    assert_eq!(sent[1].error_kind.as_deref(), Some("invalid"));
    assert_eq!(sent[0].operation.as_deref(), Some("create"));
    let later = stand.store.sent_deliveries(TARGET, 0, Some(stand.now() + 1), 10).await.expect("sent");
    assert!(later.is_empty(), "{later:?}");
    // What an operator does next costs three statements more: the head, the event, the head again.
    let (store, _) = audited(&stand.store, "retry", AuditSubject::default());
    let before = stand.store.statements_run();
    assert_eq!(store.retry(&RetryFilter::default()).await.expect("retry"), 1);
    assert_eq!(stand.store.statements_run() - before, 4);
}

async fn every_field_survives_the_store(stand: Stand) {
    let key = AggregateKey { aggregate_type: "lab-result".to_owned(), aggregate_id: "7 '\"\\ 김 😀 ".to_owned() };
    let subject = AuditSubject::of(Some(&key)).at(Some("labs")).with_other("8").with_detail("00123");
    let mut whole = facts("retry", subject.with_count("delivery", 3));
    whole.reason = Some("김".repeat(1_024));
    let mut least = facts("seed", AuditSubject::default());
    least.operator = Operator { uid: None, login: None, acting_as: None, remote: None, ..least.operator };
    least.reason = None;
    for facts in [&whole, &least] {
        let event = stand.store.record_event(facts).await.expect("record");
        let stored = all(&stand.store).await.pop().expect("an event");
        assert_eq!((&stored, &stored.facts), (&event, facts));
    }
    assert_eq!(check(&stand.store, None).await, Ok(2));
    assert_eq!(stand.store.audit_head().await.expect("head").id, 2);
}

async fn a_changed_row_is_found(stand: Stand) {
    record(&stand, 6).await;
    for column in
        ["acting_as = 'Dr. Park'", "reason = NULL", "aggregate_id = 'P-9'", "item_count = 0", "recorded_at = 1"]
    {
        let keep = all(&stand.store).await;
        tamper(&stand, &[&format!("UPDATE audit_event SET {column} WHERE id = 4")]).await;
        assert_eq!(check(&stand.store, None).await, Err((4, ChainFault::Changed)), "{column}");
        // As it was, for the next one.
        let AuditEvent { at, facts, .. } = &keep[3];
        let id = facts.subject.aggregate_id.as_deref().expect("an id");
        tamper(
            &stand,
            &[&format!(
                "UPDATE audit_event SET acting_as = 'Dr. 李', reason = 'phone call ', aggregate_id = '{id}', \
                 item_count = NULL, recorded_at = {at} WHERE id = 4"
            )],
        )
        .await;
        assert_eq!(check(&stand.store, None).await, Ok(6));
    }
}

async fn a_removed_row_is_found(stand: Stand) {
    record(&stand, 6).await;
    tamper(&stand, &["DELETE FROM audit_event WHERE id = 3"]).await;
    assert_eq!(check(&stand.store, None).await, Err((3, ChainFault::Removed)));
    // Numbers without a gap do not hide it.
    for id in 4..=6 {
        tamper(&stand, &[&format!("UPDATE audit_event SET id = {} WHERE id = {id}", id - 1)]).await;
    }
    assert_eq!(check(&stand.store, None).await, Err((3, ChainFault::Reordered { from: 4 })));
}

async fn rows_in_another_order_are_found(stand: Stand) {
    record(&stand, 6).await;
    let swap = ["UPDATE audit_event SET id = 100 WHERE id = 3", "UPDATE audit_event SET id = 3 WHERE id = 5"];
    tamper(&stand, &swap).await;
    tamper(&stand, &["UPDATE audit_event SET id = 5 WHERE id = 100"]).await;
    assert_eq!(check(&stand.store, None).await, Err((3, ChainFault::Reordered { from: 5 })));
}

async fn a_cut_off_end_is_found(stand: Stand) {
    record(&stand, 6).await;
    tamper(&stand, &["DELETE FROM audit_event WHERE id > 4"]).await;
    assert_eq!(check(&stand.store, None).await, Err((5, ChainFault::CutOff { last: 4 })));
}

async fn a_cut_off_end_with_its_head_is_found_by_a_head_from_elsewhere(stand: Stand) {
    let head = record(&stand, 6).await;
    let last = &all(&stand.store).await[3];
    let moved = format!("UPDATE audit_head SET event_id = {}, hash = '{}'", last.id, last.hash);
    tamper(&stand, &["DELETE FROM audit_event WHERE id > 4", &moved]).await;
    assert_eq!(check(&stand.store, None).await, Ok(4), "the store alone cannot tell");
    assert_eq!(check(&stand.store, Some(&head)).await, Err((5, ChainFault::CutOff { last: 4 })));
    // Honest events behind it do not hide it either.
    for _ in 0..4 {
        stand.store.record_event(&facts("seed", AuditSubject::default())).await.expect("record");
    }
    assert_eq!(check(&stand.store, None).await, Ok(8));
    assert_eq!(check(&stand.store, Some(&head)).await, Err((6, ChainFault::Replaced)));
}

async fn a_head_that_is_gone_stops_what_would_be_recorded(stand: Stand) {
    record(&stand, 2).await;
    tamper(&stand, &["DELETE FROM audit_head"]).await;
    let error = stand.store.record_event(&facts("seed", AuditSubject::default())).await.expect_err("no head");
    assert!(error.to_string().contains("the row of audit_head is gone"), "{error}");
    let (store, _) = audited(&stand.store, "patient put", AuditSubject::default());
    PatientService::new(store).put(&[patient(1, "Seoul")]).await.expect_err("not recorded");
    assert!(stand.store.patient("P-0001").await.expect("read").is_none(), "nothing is changed without an event");
    // A host's own work goes on.
    stand.put(&[patient(1, "Seoul")]).await;
}

async fn writers_at_the_same_time_keep_the_chain_whole(stand: Stand) {
    let done = Arc::new(AtomicU64::new(0));
    let writer = |number: u32| {
        let (store, done) = (stand.other_host(), Arc::clone(&done));
        async move {
            let (store, _) = audited(&store, "patient put", AuditSubject::default());
            for round in 0..10 {
                if number.is_multiple_of(2) {
                    let one = patient(number * 100 + round, "Seoul");
                    PatientService::new(store.clone()).put(&[one]).await.expect("put");
                } else {
                    store.record_event(&facts("patient show", AuditSubject::default())).await.expect("record");
                }
                done.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    futures::future::join_all((0..6).map(|number| tokio::spawn(writer(number)))).await;
    assert_eq!(done.load(Ordering::Relaxed), 60, "no writer gave up");
    assert_eq!(check(&stand.store, None).await, Ok(60));
    let puts = all(&stand.store).await.iter().filter(|event| event.facts.action == "patient put").count();
    assert_eq!(puts, stand.store.patients(None, 1_000).await.expect("patients").len());
}

async fn events_are_found_by_operator_command_time_and_aggregate(stand: Stand) {
    let put = |action: &str, subject: AuditSubject, user: &str| {
        let mut facts = facts(action, subject);
        user.clone_into(&mut facts.operator.user);
        facts
    };
    let merged = AuditSubject::patient("P-1").with_other("P-2");
    for facts in [
        put("patient show", AuditSubject::patient("P-1"), "lee"),
        put("patient merge", merged, "root"),
        put("target pause", AuditSubject::default().at(Some("fhir")), "root"),
        put(
            "retry",
            AuditSubject::of(Some(&AggregateKey { aggregate_type: "labs".to_owned(), aggregate_id: "P-1".to_owned() })),
            "park",
        ),
    ] {
        stand.store.record_event(&facts).await.expect("record");
        stand.pass(10);
    }
    let found = async |filter: AuditFilter| {
        let events = stand.store.audit_events_before(&filter, i64::MAX, 10).await.expect("list");
        events.iter().map(|event| event.id).collect::<Vec<_>>()
    };
    let of = AuditFilter::default;
    assert_eq!(found(of()).await, [4, 3, 2, 1]);
    assert_eq!(found(AuditFilter { actor: Some("root".to_owned()), ..of() }).await, [3, 2]);
    assert_eq!(found(AuditFilter { actor: Some("kim".to_owned()), ..of() }).await, [4, 3, 2, 1], "by the login");
    assert_eq!(found(AuditFilter { actor: Some("Dr. 李".to_owned()), ..of() }).await, [4, 3, 2, 1]);
    let actions = vec!["patient show".to_owned(), "patient merge".to_owned(), "seed".to_owned()];
    assert_eq!(found(AuditFilter { actions, ..of() }).await, [2, 1]);
    assert_eq!(found(AuditFilter { since: Some(stand.now() - 20), ..of() }).await, [4, 3]);
    assert_eq!(found(AuditFilter { aggregate: Some(AggregateKey::patient("P-1")), ..of() }).await, [2, 1]);
    assert_eq!(found(AuditFilter { aggregate: Some(AggregateKey::patient("P-2")), ..of() }).await, [2]);
    let both = AuditFilter {
        aggregate: Some(AggregateKey::patient("P-1")),
        actor: Some("lee".to_owned()),
        actions: vec!["patient show".to_owned()],
        since: Some(0),
    };
    assert_eq!(found(both).await, [1]);
}

async fn events_are_paged_without_gaps(stand: Stand) {
    record(&stand, 7).await;
    let (mut before, mut seen) = (i64::MAX, Vec::new());
    loop {
        let page = stand.store.audit_events_before(&AuditFilter::default(), before, 3).await.expect("page");
        let Some(last) = page.last() else { break };
        before = last.id;
        seen.extend(page.iter().map(|event| event.id));
    }
    assert_eq!(seen, [7, 6, 5, 4, 3, 2, 1]);
    let ahead = stand.store.audit_events_after(4, None, 2).await.expect("page");
    assert_eq!(ahead.iter().map(|event| event.id).collect::<Vec<_>>(), [5, 6]);
}
