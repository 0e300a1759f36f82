//! What `host trace` reads: the story of one aggregate or change, and pages of deliveries with their causes.

use std::collections::BTreeMap;

use host::domain::change::{Failure, FailureKind};
use host::domain::conflict::Resolution;
use host::domain::delivery::{Delivery, Settlement, Status};
use host::domain::ids::{AggregateKey, ChangeId};
use host::store::{ConflictKey, DeliveryFilter, DeliveryPage, HostRecord, RetryFilter, Story, Subject};
use tests::session::Session;

use crate::on_every_store;
use crate::support::{Stand, TARGET, confirmed, failed, patient, route, settlement, target_name};

on_every_store!(
    a_story_has_every_change_and_what_became_of_it,
    a_story_of_one_change_has_no_other,
    a_story_has_what_is_in_flight_and_what_is_not_routed,
    a_story_has_what_a_change_refers_to,
    a_story_has_what_operators_decided,
    an_unknown_subject_has_no_story,
    a_story_takes_a_bounded_number_of_statements,
    deliveries_are_listed_page_by_page,
    failures_are_listed_and_counted_by_cause,
);

fn of(number: u32) -> Subject {
    Subject::Aggregate(AggregateKey::patient(format!("P-{number:04}")))
}

async fn story(stand: &Stand, subject: &Subject) -> Story {
    stand.store.story(subject, None, 100).await.expect("read").expect("a story")
}

/// Delivers a new state of a patient; `settle` gives what becomes of it.
async fn deliver(stand: &Stand, number: u32, city: &str, settle: impl Fn(&Delivery) -> Settlement) {
    stand.put(&[patient(number, city)]).await;
    let batch = stand.claim_batch().await;
    let rows: Vec<_> = batch.deliveries.iter().map(settle).collect();
    stand.store.settle(&batch.lease, &rows, None).await.expect("settle");
}

fn conflict(delivery: &Delivery, holds: &str) -> Settlement {
    let failure = Failure::new(FailureKind::Conflict, format!("the chart was edited [holds {holds}]"));
    Settlement { failure: Some(failure), ..settlement(delivery, Status::Failed) }
}

async fn a_story_has_every_change_and_what_became_of_it(stand: Stand) {
    deliver(&stand, 1, "Seoul", |delivery| confirmed(delivery, "7")).await;
    deliver(&stand, 2, "Seoul", |delivery| confirmed(delivery, "8")).await;
    stand.pass(1_000);
    deliver(&stand, 1, "Busan", |delivery| failed(delivery, Status::Failed, 0)).await;
    let story = story(&stand, &of(1)).await;
    let operations: Vec<_> = story.changes.iter().map(|change| change.operation.as_str()).collect();
    assert_eq!(operations, ["create", "update"]);
    assert!(story.changes.iter().all(|change| change.routed_at.is_some() && change.event_id.len() == 36));
    let [newest, first] = &story.deliveries[..] else { panic!("two deliveries") };
    assert_eq!((newest.status, newest.error_kind.as_deref()), (Status::Failed, Some("invalid")));
    assert_eq!((first.status, first.finished_at), (Status::Done, Some(stand.now() - 1_000)));
    let [link] = &story.links[..] else { panic!("one link") };
    assert_eq!((link.remote_id.as_deref(), link.change_id), (Some("7"), first.change_id));
    assert_eq!(link.remote_version.as_deref(), Some("1"));
    assert!(!story.is_cut && story.in_flight.is_empty());

    let cut = stand.store.story(&of(1), Some(TARGET), 1).await.expect("read").expect("a story");
    assert_eq!((cut.deliveries.len(), cut.is_cut), (1, true), "the newest one");
    assert_eq!(cut.deliveries[0].change_id, newest.change_id);
    let elsewhere = stand.store.story(&of(1), Some("fhir"), 100).await.expect("read").expect("a story");
    assert!(elsewhere.deliveries.is_empty() && elsewhere.links.is_empty());
}

async fn a_story_of_one_change_has_no_other(stand: Stand) {
    deliver(&stand, 1, "Seoul", |delivery| confirmed(delivery, "7")).await;
    deliver(&stand, 1, "Busan", |delivery| confirmed(delivery, "7")).await;
    let whole = story(&stand, &of(1)).await;
    let first = &whole.changes[0];
    for subject in [Subject::Change(first.change_id), Subject::Event(first.event_id.clone())] {
        let one = story(&stand, &subject).await;
        assert_eq!(one.key, AggregateKey::patient("P-0001"));
        let ids = |story: &Story| story.deliveries.iter().map(|delivery| delivery.change_id).collect::<Vec<_>>();
        assert_eq!((one.changes.as_slice(), ids(&one)), (std::slice::from_ref(first), vec![first.change_id]));
    }
}

async fn a_story_has_what_is_in_flight_and_what_is_not_routed(stand: Stand) {
    stand.put(&[patient(1, "Seoul")]).await;
    let batch = stand.claim_batch().await;
    host::service::PatientService::new(stand.store.clone()).put(&[patient(1, "Busan")]).await.expect("put");
    let story = story(&stand, &of(1)).await;
    let [first, second] = &story.changes[..] else { panic!("two changes") };
    assert_eq!((first.routed_at.is_some(), second.routed_at), (true, None));
    let [in_flight] = &story.in_flight[..] else { panic!("one in flight") };
    assert_eq!((in_flight.change_id, in_flight.lease_id), (first.change_id, batch.lease.id));
    let lease = ("host-a".to_owned(), stand.now(), stand.now() + 30_000);
    assert_eq!(in_flight.lease, Some(lease));
    assert_eq!(story.deliveries[0].status, Status::Processing);
}

async fn a_story_has_what_a_change_refers_to(stand: Stand) {
    let types = ["patient", "encounter"].map(str::to_owned).into_iter().collect();
    let targets = BTreeMap::from([(target_name(TARGET), types)]);
    let host = HostRecord { id: "host-a".to_owned(), targets, ..HostRecord::default() };
    stand.store.register_host(&host).await.expect("register");
    let insert = "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload, refs) VALUES ('encounter', \
                  'E-1', 'create', '{}', '[{\"name\":\"subject\",\"type\":\"patient\",\"id\":\"P-0001\"}]')";
    stand.database.execute(insert).await.expect("insert");
    route(&stand.store, 100).await;
    let visit =
        Subject::Aggregate(AggregateKey { aggregate_type: "encounter".to_owned(), aggregate_id: "E-1".to_owned() });
    let waiting = story(&stand, &visit).await;
    let [lacks] = &waiting.dependencies[..] else { panic!("one dependency") };
    assert_eq!((lacks.target.as_str(), &lacks.key), (TARGET, &AggregateKey::patient("P-0001")));
    assert_eq!((lacks.change_id, lacks.confirmed_at), (waiting.changes[0].change_id, None));
    assert!(waiting.deliveries[0].waits);
    stand.pass(1_000);
    deliver(&stand, 1, "Seoul", |delivery| confirmed(delivery, "7")).await;
    assert_eq!(story(&stand, &visit).await.dependencies[0].confirmed_at, Some(stand.now()));
}

async fn a_story_has_what_operators_decided(stand: Stand) {
    deliver(&stand, 1, "Seoul", |delivery| failed(delivery, Status::Failed, 0)).await;
    let filter = RetryFilter { aggregate: Some(AggregateKey::patient("P-0001")), ..RetryFilter::default() };
    assert_eq!(stand.store.dismiss(&filter, "entered twice", "kim").await.expect("dismiss"), 1);
    deliver(&stand, 1, "Busan", |delivery| confirmed(delivery, "7")).await;
    deliver(&stand, 1, "Daegu", |delivery| conflict(delivery, "ab")).await;
    let (target, aggregate) = (target_name(TARGET), AggregateKey::patient("P-0001"));
    let key = ConflictKey { target: &target, aggregate: &aggregate };
    stand.store.resolve_conflict(key, &Resolution::Remote).await.expect("resolve");
    let merge = "INSERT INTO patient_merge VALUES ('P-0009', 'P-0001', 'one person', 'lee', 5)";
    stand.database.execute(merge).await.expect("merge");
    let finding = "INSERT INTO sync_verification_finding VALUES ('openemr', 'patient', 'P-0001', 'edited', 6)";
    stand.database.execute(finding).await.expect("finding");

    let story = story(&stand, &of(1)).await;
    let [kept, _, dismissed] = &story.deliveries[..] else { panic!("three deliveries") };
    assert_eq!((kept.status, dismissed.status), (Status::Superseded, Status::Dismissed));
    assert_eq!(kept.error_message.as_deref(), Some("resolved: what the target holds was kept"));
    let [dismissal] = &story.dismissals[..] else { panic!("one dismissal") };
    assert_eq!(dismissal.change_id, dismissed.change_id);
    assert_eq!((dismissal.reason.as_deref(), dismissal.dismissed_by.as_deref()), (Some("entered twice"), Some("kim")));
    let [merge] = &story.merges[..] else { panic!("one merge") };
    assert_eq!((merge.patient_id.as_str(), merge.merged_by.as_str(), merge.merged_at), ("P-0009", "lee", 5));
    let [finding] = &story.findings[..] else { panic!("one finding") };
    assert_eq!((finding.target.as_str(), finding.state.as_str(), finding.found_at), (TARGET, "edited", 6));
}

async fn an_unknown_subject_has_no_story(stand: Stand) {
    deliver(&stand, 1, "Seoul", |delivery| confirmed(delivery, "7")).await;
    for subject in [Subject::Change(ChangeId::new(999)), Subject::Event("nothing".to_owned())] {
        assert!(stand.store.story(&subject, None, 100).await.expect("read").is_none(), "{subject:?}");
    }
    let unknown = story(&stand, &of(2)).await;
    assert!(unknown.changes.is_empty() && unknown.deliveries.is_empty() && unknown.links.is_empty());
}

async fn a_story_takes_a_bounded_number_of_statements(stand: Stand) {
    let mut spent = Vec::new();
    for states in [1, 30] {
        for state in 0..states {
            deliver(&stand, states, &format!("City {state}"), |delivery| confirmed(delivery, "7")).await;
        }
        let before = stand.store.statements_run();
        assert_eq!(story(&stand, &of(states)).await.deliveries.len(), states as usize);
        spent.push(stand.store.statements_run() - before);
    }
    assert_eq!(spent[0], spent[1]);
    assert!(spent[0] <= 13, "{spent:?}");
}

fn ids(page: &DeliveryPage) -> Vec<String> {
    page.deliveries.iter().map(|delivery| delivery.key.aggregate_id.clone()).collect()
}

async fn deliveries_are_listed_page_by_page(stand: Stand) {
    for number in 1..=5 {
        deliver(&stand, number, "Seoul", |delivery| confirmed(delivery, "7")).await;
        stand.pass(1_000);
    }
    let list = async |filter: DeliveryFilter, before, limit| {
        stand.store.deliveries(TARGET, &filter, before, limit).await.expect("list")
    };
    let first = list(DeliveryFilter::default(), None, 3).await;
    assert_eq!(ids(&first), ["P-0005", "P-0004", "P-0003"]);
    let second = list(DeliveryFilter::default(), first.next, 3).await;
    assert_eq!((ids(&second), second.next), (vec!["P-0002".to_owned(), "P-0001".to_owned()], None));
    let recent = DeliveryFilter { since: Some(stand.now() - 2_500), ..DeliveryFilter::default() };
    assert_eq!(ids(&list(recent, None, 10).await), ["P-0005", "P-0004"]);
    let pending = DeliveryFilter { status: Some(Status::Pending), ..DeliveryFilter::default() };
    assert!(ids(&list(pending, None, 10).await).is_empty());
}

async fn failures_are_listed_and_counted_by_cause(stand: Stand) {
    for number in 1..=4 {
        deliver(&stand, number, "Seoul", |delivery| failed(delivery, Status::Failed, 0)).await;
    }
    stand.pass(60_000);
    // Each conflict's message ends with the fingerprint of its own record.
    deliver(&stand, 5, "Seoul", |delivery| conflict(delivery, "a1")).await;
    deliver(&stand, 6, "Seoul", |delivery| conflict(delivery, "b2")).await;
    deliver(&stand, 7, "Seoul", |delivery| confirmed(delivery, "7")).await;
    let mut session = Session::open(stand.database.url()).await.expect("connect");
    let stored =
        session.rows("SELECT error_message FROM sync_delivery WHERE error_kind = 'conflict'").await.expect("read");
    assert!(stored.iter().all(|row| row[0].as_deref().is_some_and(|message| message.contains("[holds"))));

    let causes = async |filter: &DeliveryFilter| {
        let causes = stand.store.causes(TARGET, filter).await.expect("count");
        causes.into_iter().map(|cause| (cause.count, cause.kind, cause.message)).collect::<Vec<_>>()
    };
    let cause = |count, kind: &str, message: &str| (count, Some(kind.to_owned()), Some(message.to_owned()));
    let (invalid, edited) =
        (cause(4, "invalid", "fname: 300 characters, at most 255"), cause(2, "conflict", "the chart was edited"));
    let failures = DeliveryFilter { status: Some(Status::Failed), ..DeliveryFilter::default() };
    assert_eq!(causes(&failures).await, [invalid, edited.clone()]);
    let recent = DeliveryFilter { since: Some(stand.now() - 1_000), ..failures.clone() };
    assert_eq!(causes(&recent).await, std::slice::from_ref(&edited));
    let conflicts = DeliveryFilter { kind: Some(FailureKind::Conflict), ..DeliveryFilter::default() };
    assert_eq!(causes(&conflicts).await, [edited]);
    let list =
        async |filter: &DeliveryFilter, before| stand.store.deliveries(TARGET, filter, before, 4).await.expect("list");
    let first = list(&failures, None).await;
    assert_eq!(ids(&first), ["P-0006", "P-0005", "P-0004", "P-0003"]);
    assert_eq!(first.deliveries[0].error_message.as_deref(), Some("the chart was edited"));
    let second = list(&failures, first.next).await;
    assert_eq!((ids(&second), second.next), (vec!["P-0002".to_owned(), "P-0001".to_owned()], None));
    assert_eq!(ids(&list(&conflicts, None).await), ["P-0006", "P-0005"]);
    assert_eq!(ids(&list(&recent, None).await), ["P-0006", "P-0005"]);
}
