//! References: a delivery waits until its target has everything that it refers to, and no longer.

use std::collections::BTreeMap;

use host::domain::delivery::{Settlement, Status};
use host::domain::ids::AggregateKey;
use host::store::{
    Batch, Claim, ClaimRequest, HostRecord, PurgeCursor, Resend, ResendScope, RetryFilter, Store, WaitingCursor,
};

use tests::session::Session;

use crate::on_every_store;
use crate::support::{Stand, TARGET, confirmed, dispatch, failed, request, route, settlement, target_name};

on_every_store!(
    a_change_with_an_unlinked_dependency_waits_until_it_is_linked,
    a_linked_dependency_delays_nothing,
    the_last_missing_link_wakes_a_delivery,
    a_reference_to_a_type_that_the_target_lacks_delays_nothing,
    a_reference_to_a_type_that_the_target_dropped_delays_nothing,
    a_chain_of_references_is_delivered_in_order_for_any_row_order,
    a_failure_fails_no_dependent,
    the_rescuer_finds_a_missed_wake_up,
    a_link_deleted_meanwhile_is_detected_before_the_call,
    a_change_waits_for_what_was_deleted_and_comes_back,
    a_deletion_waits_for_nothing,
    a_newer_state_supersedes_a_waiting_one,
    unreadable_refs_fail_only_their_change,
    references_take_a_fixed_number_of_statements_and_none_without_them,
    retention_deletes_dependencies,
    a_record_with_a_new_remote_id_requeues_its_dependents,
    changes_resent_to_a_new_target_wait_for_dependencies_too,
);

const INSERT: &str = "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload, refs) VALUES ";

/// A host that sends these types to the target.
pub(crate) async fn takes(stand: &Stand, types: &[&str]) {
    let types = types.iter().map(|kind| (*kind).to_owned()).collect();
    let targets = BTreeMap::from([(target_name(TARGET), types)]);
    let host = HostRecord { id: "host-a".to_owned(), targets, ..HostRecord::default() };
    stand.store.register_host(&host).await.expect("register");
}

/// A change of another application, with references as `name:type:id`.
pub(crate) async fn append(stand: &Stand, key: &str, operation: &str, references: &[&str]) {
    let (kind, id) = key.split_once(' ').expect("a type and an id");
    let references = references.iter().map(|reference| {
        let mut words = reference.split(':').map(str::to_owned);
        let mut word = || words.next().expect("name:type:id");
        serde_json::json!({ "name": word(), "type": word(), "id": word() })
    });
    let refs: serde_json::Value = references.collect();
    let row = format!("{INSERT}('{kind}', '{id}', '{operation}', '{{}}', '{refs}')");
    stand.database.execute(&row).await.expect("insert");
}

pub(crate) async fn routed(stand: &Stand) {
    route(&stand.store, 1_000).await;
}

pub(crate) fn keys(batch: &Batch) -> Vec<String> {
    let name = |key: &AggregateKey| format!("{} {}", key.aggregate_type, key.aggregate_id);
    batch.deliveries.iter().map(|delivery| name(&delivery.change.key)).collect()
}

/// Settles a batch as a worker does. Every remote id is `#` and the aggregate's id.
pub(crate) async fn confirm(store: &Store, batch: &Batch) -> u64 {
    let rows: Vec<_> = batch
        .deliveries
        .iter()
        .map(|delivery| confirmed(delivery, &format!("#{}", delivery.change.key.aggregate_id)))
        .collect();
    store.settle(&batch.lease, &rows, None).await.expect("settle");
    let linked: Vec<_> = batch.deliveries.iter().map(|delivery| delivery.change.key.clone()).collect();
    store.wake_dependents(TARGET, &linked).await.expect("wake")
}

pub(crate) fn remote_ids(batch: &Batch) -> Vec<Option<&str>> {
    let references = batch.deliveries.iter().flat_map(|delivery| &delivery.change.references);
    references.map(|reference| reference.remote_id.as_deref()).collect()
}

/// The first column of the first row.
async fn text(stand: &Stand, sql: &str) -> String {
    let mut session = Session::open(stand.database.url()).await.expect("connect");
    let rows = session.rows(sql).await.expect("read");
    rows[0][0].clone().expect("a value")
}

async fn nothing_is_due(stand: &Stand) {
    assert!(matches!(stand.claim().await, Claim::Nothing));
}

async fn a_change_with_an_unlinked_dependency_waits_until_it_is_linked(stand: Stand) {
    takes(&stand, &["patient", "encounter"]).await;
    append(&stand, "encounter E-1", "create", &["subject:patient:P-1"]).await;
    routed(&stand).await;
    nothing_is_due(&stand).await;
    assert_eq!(stand.store.open_work().await.expect("open"), 1, "it is open");
    assert_eq!(stand.counts().await.pending, 1);

    append(&stand, "patient P-1", "create", &[]).await;
    routed(&stand).await;
    let batch = stand.claim_batch().await;
    assert_eq!(keys(&batch), ["patient P-1"]);
    assert_eq!(confirm(&stand.store, &batch).await, 1);
    let batch = stand.claim_batch().await;
    assert_eq!((keys(&batch), remote_ids(&batch)), (vec!["encounter E-1".to_owned()], vec![Some("#P-1")]));
    assert_eq!(confirm(&stand.store, &batch).await, 0);
    assert_eq!(stand.counts().await.done, 2);
}

async fn a_linked_dependency_delays_nothing(stand: Stand) {
    takes(&stand, &["patient", "encounter"]).await;
    append(&stand, "patient P-1", "create", &[]).await;
    routed(&stand).await;
    confirm(&stand.store, &stand.claim_batch().await).await;
    append(&stand, "encounter E-1", "create", &["subject:patient:P-1"]).await;
    // A request for direct dispatch gets it from the queue: its links are looked up there.
    let claims = [request(10)];
    assert!(dispatch(&stand.store, 100, &claims).await.claimed[0].is_none());
    let batch = stand.claim_batch().await;
    assert_eq!(remote_ids(&batch), [Some("#P-1")]);
}

async fn the_last_missing_link_wakes_a_delivery(stand: Stand) {
    takes(&stand, &["patient", "encounter", "observation"]).await;
    append(&stand, "observation O-1", "create", &["subject:patient:P-1", "encounter:encounter:E-1"]).await;
    append(&stand, "patient P-1", "create", &[]).await;
    append(&stand, "encounter E-1", "create", &[]).await;
    routed(&stand).await;
    // Two batches at the same time: whichever is settled last wakes.
    let claim = || async {
        match stand.store.claim(&request(1)).await.expect("claim") {
            Claim::Batch(batch) => batch,
            other => panic!("{other:?}"),
        }
    };
    let (first, second) = (claim().await, claim().await);
    assert_eq!(confirm(&stand.store, &second).await, 0);
    nothing_is_due(&stand).await;
    assert_eq!(confirm(&stand.store, &first).await, 1);
    assert_eq!(remote_ids(&stand.claim_batch().await), [Some("#P-1"), Some("#E-1")]);
}

async fn a_reference_to_a_type_that_the_target_lacks_delays_nothing(stand: Stand) {
    takes(&stand, &["encounter"]).await;
    append(&stand, "encounter E-1", "create", &["subject:patient:P-1", "part:encounter:E-0"]).await;
    append(&stand, "encounter E-2", "create", &["subject:patient:P-1"]).await;
    routed(&stand).await;
    let batch = stand.claim_batch().await;
    assert_eq!((keys(&batch), remote_ids(&batch)), (vec!["encounter E-2".to_owned()], vec![None]));
}

async fn a_reference_to_a_type_that_the_target_dropped_delays_nothing(stand: Stand) {
    takes(&stand, &["patient", "encounter"]).await;
    append(&stand, "encounter E-1", "create", &["subject:patient:P-1"]).await;
    routed(&stand).await;
    nothing_is_due(&stand).await;
    takes(&stand, &["encounter"]).await;
    assert_eq!(stand.store.wake_all_ready(TARGET).await.expect("wake"), 1);
    assert_eq!(remote_ids(&stand.claim_batch().await), [None]);
}

async fn a_chain_of_references_is_delivered_in_order_for_any_row_order(stand: Stand) {
    takes(&stand, &["patient", "encounter", "observation"]).await;
    append(&stand, "observation O-1", "create", &["encounter:encounter:E-1", "subject:patient:P-1"]).await;
    append(&stand, "encounter E-1", "create", &["subject:patient:P-1"]).await;
    append(&stand, "patient P-1", "create", &[]).await;
    routed(&stand).await;
    let mut order = Vec::new();
    while let Claim::Batch(batch) = stand.claim().await {
        order.extend(keys(&batch));
        confirm(&stand.store, &batch).await;
    }
    assert_eq!(order, ["patient P-1", "encounter E-1", "observation O-1"]);
}

async fn a_failure_fails_no_dependent(stand: Stand) {
    takes(&stand, &["patient", "encounter"]).await;
    append(&stand, "patient P-1", "create", &[]).await;
    append(&stand, "encounter E-1", "create", &["subject:patient:P-1"]).await;
    routed(&stand).await;
    let batch = stand.claim_batch().await;
    let rows = [failed(&batch.deliveries[0], Status::Failed, 0)];
    stand.store.settle(&batch.lease, &rows, None).await.expect("settle");
    assert_eq!(stand.store.wake_all_ready(TARGET).await.expect("wake"), 0);
    let counts = stand.counts().await;
    assert_eq!((counts.failed, counts.pending), (1, 1));
    nothing_is_due(&stand).await;
    stand.store.retry(&RetryFilter::default()).await.expect("retry");
    assert_eq!(confirm(&stand.store, &stand.claim_batch().await).await, 1);
    assert_eq!(keys(&stand.claim_batch().await), ["encounter E-1"]);
}

/// As after a host that died between its settlement and the wake-up.
async fn the_rescuer_finds_a_missed_wake_up(stand: Stand) {
    takes(&stand, &["patient", "encounter"]).await;
    append(&stand, "patient P-1", "create", &[]).await;
    for number in 1..=3 {
        append(&stand, &format!("encounter E-{number}"), "create", &[&format!("subject:patient:P-{}", number % 2)])
            .await;
    }
    routed(&stand).await;
    let batch = stand.claim_batch().await;
    stand.store.settle(&batch.lease, &[confirmed(&batch.deliveries[0], "1")], None).await.expect("settle");
    nothing_is_due(&stand).await;

    let other = stand.other_host();
    let linked = [AggregateKey::patient("P-1")];
    let before = other.statements_run();
    assert_eq!(other.wake_dependents(TARGET, &linked).await.expect("wake"), 0);
    assert_eq!(other.statements_run(), before, "it knows of none that wait, and looks for none");
    let mut cursor = WaitingCursor::default();
    assert_eq!(other.wake_ready(TARGET, &mut cursor).await.expect("wake"), 2);
    assert_eq!(keys(&stand.claim_batch().await), ["encounter E-1", "encounter E-3"]);
    assert_eq!(other.wake_ready(TARGET, &mut cursor).await.expect("wake"), 0);
}

async fn a_link_deleted_meanwhile_is_detected_before_the_call(stand: Stand) {
    takes(&stand, &["patient", "encounter"]).await;
    append(&stand, "patient P-1", "create", &[]).await;
    append(&stand, "encounter E-1", "create", &["subject:patient:P-1"]).await;
    append(&stand, "encounter E-2", "create", &[]).await;
    routed(&stand).await;
    let batch = stand.claim_batch().await;
    assert_eq!(keys(&batch), ["patient P-1", "encounter E-2"]);
    confirm(&stand.store, &batch).await;
    append(&stand, "encounter E-3", "create", &[]).await;
    routed(&stand).await;
    stand.database.execute("DELETE FROM sync_link WHERE aggregate_id = 'P-1'").await.expect("unlink");
    assert_eq!(keys(&stand.claim_batch().await), ["encounter E-3"], "the other of the batch is delivered");
    let counts = stand.counts().await;
    assert_eq!((counts.pending, counts.processing, counts.failed), (1, 1, 0));
    nothing_is_due(&stand).await;
    let attempts = "SELECT attempts FROM sync_delivery WHERE aggregate_id = 'E-1'";
    assert_eq!(text(&stand, attempts).await, "0");
}

async fn a_change_waits_for_what_was_deleted_and_comes_back(stand: Stand) {
    takes(&stand, &["patient", "encounter"]).await;
    append(&stand, "patient P-1", "delete", &[]).await;
    routed(&stand).await;
    let batch = stand.claim_batch().await;
    let never_there: Vec<_> = batch.deliveries.iter().map(|delivery| confirmed(delivery, "")).collect();
    stand.store.settle(&batch.lease, &never_there, None).await.expect("settle");
    append(&stand, "encounter E-1", "create", &["subject:patient:P-1"]).await;
    append(&stand, "encounter E-2", "create", &["subject:patient:P-1"]).await;
    append(&stand, "patient P-1", "create", &[]).await;
    routed(&stand).await;
    let batch = stand.claim_batch().await;
    assert_eq!(keys(&batch), ["patient P-1"]);
    assert_eq!(confirm(&stand.store, &batch).await, 2);
    assert_eq!(remote_ids(&stand.claim_batch().await), [Some("#P-1"), Some("#P-1")]);
}

async fn a_deletion_waits_for_nothing(stand: Stand) {
    takes(&stand, &["patient", "encounter"]).await;
    append(&stand, "encounter E-1", "delete", &["subject:patient:P-1"]).await;
    routed(&stand).await;
    assert_eq!(remote_ids(&stand.claim_batch().await), [None]);
}

async fn a_newer_state_supersedes_a_waiting_one(stand: Stand) {
    takes(&stand, &["patient", "encounter"]).await;
    append(&stand, "encounter E-1", "create", &["subject:patient:P-1"]).await;
    routed(&stand).await;
    append(&stand, "encounter E-1", "update", &[]).await;
    routed(&stand).await;
    let batch = stand.claim_batch().await;
    assert_eq!(batch.deliveries.len(), 1);
    assert!(batch.deliveries[0].change.references.is_empty());
    confirm(&stand.store, &batch).await;
    let counts = stand.counts().await;
    assert_eq!((counts.done, counts.superseded, counts.pending), (1, 1, 0));

    // And the other way round: an older state is not delivered because a newer one waits.
    append(&stand, "encounter E-2", "create", &[]).await;
    append(&stand, "encounter E-2", "update", &["subject:patient:P-2"]).await;
    routed(&stand).await;
    assert!(matches!(stand.claim().await, Claim::OnlySuperseded));
    nothing_is_due(&stand).await;
}

async fn unreadable_refs_fail_only_their_change(stand: Stand) {
    takes(&stand, &["patient", "encounter"]).await;
    let many: Vec<_> = (0..17).map(|number| format!("r{number}:patient:P-{number}")).collect();
    append(&stand, "encounter E-1", "create", &many.iter().map(String::as_str).collect::<Vec<_>>()).await;
    append(&stand, "encounter E-2", "create", &["self:encounter:E-2"]).await;
    for (id, refs) in [("E-3", "'no list'"), ("E-4", "'{}'"), ("E-5", "'[]'"), ("E-6", "NULL")] {
        let row = format!("{INSERT}('encounter', '{id}', 'create', '{{}}', {refs})");
        stand.database.execute(&row).await.expect("insert");
    }
    let long = format!("{INSERT}('encounter', 'E-7', 'create', '{{}}', '[{}]')", " ".repeat(40_000));
    stand.database.execute(&long).await.expect("insert");
    routed(&stand).await;
    assert_eq!(keys(&stand.claim_batch().await), ["encounter E-5", "encounter E-6"]);
    let failed = stand.store.failed(&RetryFilter::default(), 100).await.expect("failed");
    let message = |id: &str| {
        let one = failed.iter().find(|one| one.key.aggregate_id == id).expect(id);
        one.message.clone().unwrap_or_default()
    };
    for (id, expected) in [
        ("E-1", "refs has 17 references, at most 16 are taken"),
        ("E-2", "refs number 1 is the aggregate itself"),
        ("E-3", "refs is not a JSON list of {\"name\", \"type\", \"id\"}"),
        ("E-4", "refs is not a JSON list"),
        ("E-7", "refs has 40002 bytes, at most 32768 are read"),
    ] {
        assert!(message(id).contains(expected), "{id}: {}", message(id));
    }
}

/// Statements of routing, claiming and settling one batch, the routes included.
async fn spent(stand: &Stand) -> [u64; 3] {
    let mut before = stand.store.statements_run();
    let mut spent = || {
        let now = stand.store.statements_run();
        now - std::mem::replace(&mut before, now)
    };
    routed(stand).await;
    let routing = spent();
    let batch = stand.claim_batch().await;
    let claiming = spent();
    confirm(&stand.store, &batch).await;
    [routing, claiming, spent()]
}

async fn references_take_a_fixed_number_of_statements_and_none_without_them(stand: Stand) {
    takes(&stand, &["patient", "encounter"]).await;
    append(&stand, "patient P-1", "create", &[]).await;
    let without = spent(&stand).await;
    for size in [1, 50] {
        for number in 0..size {
            append(&stand, &format!("encounter E-{size}-{number}"), "create", &["subject:patient:P-1"]).await;
        }
        let with = spent(&stand).await;
        let more = [with[0] - without[0], with[1] - without[1], with[2] - without[2]];
        assert_eq!(
            more,
            [3, 1, 3],
            "what they depend on, who waits, and who no longer does; their ids; the lock of moves, ids, dependents"
        );
    }
    // Once nothing waits, nobody looks any more for who waited.
    stand.store.wake_all_ready(TARGET).await.expect("wake");
    append(&stand, "patient P-2", "create", &[]).await;
    assert_eq!(spent(&stand).await, without);
}

async fn retention_deletes_dependencies(stand: Stand) {
    takes(&stand, &["patient", "encounter"]).await;
    append(&stand, "patient P-1", "create", &[]).await;
    append(&stand, "encounter E-1", "create", &["subject:patient:P-1"]).await;
    append(&stand, "encounter E-2", "create", &["subject:patient:P-2"]).await;
    routed(&stand).await;
    confirm(&stand.store, &stand.claim_batch().await).await;
    let batch = stand.claim_batch().await;
    let rows = [settlement(&batch.deliveries[0], Status::Done)];
    stand.store.settle(&batch.lease, &rows, None).await.expect("settle");
    stand.pass(10_000);
    let count = "SELECT COUNT(*) FROM sync_dependency";
    assert_eq!(text(&stand, count).await, "2");
    stand.store.purge_deliveries(TARGET, 1_000, PurgeCursor::default()).await.expect("purge");
    assert_eq!(text(&stand, count).await, "1", "what waits keeps its own");
}

async fn a_record_with_a_new_remote_id_requeues_its_dependents(stand: Stand) {
    takes(&stand, &["patient", "encounter"]).await;
    append(&stand, "patient P-1", "create", &[]).await;
    append(&stand, "encounter E-1", "create", &["subject:patient:P-1"]).await;
    append(&stand, "encounter E-2", "create", &["subject:patient:P-1"]).await;
    routed(&stand).await;
    confirm(&stand.store, &stand.claim_batch().await).await;
    confirm(&stand.store, &stand.claim_batch().await).await;
    append(&stand, "encounter E-2", "update", &[]).await;
    append(&stand, "patient P-1", "update", &[]).await;
    routed(&stand).await;
    let batch = stand.claim_batch().await;
    let place = keys(&batch).iter().position(|key| key == "patient P-1").expect("the patient");
    let rows: Vec<_> = batch
        .deliveries
        .iter()
        .enumerate()
        .map(|(index, delivery)| Settlement { is_moved: index == place, ..confirmed(delivery, "other") })
        .collect();
    stand.store.settle(&batch.lease, &rows, None).await.expect("settle");
    // What refers to him in its newest state only: E-2 does no longer.
    let batch = stand.claim_batch().await;
    assert_eq!((keys(&batch), remote_ids(&batch)), (vec!["encounter E-1".to_owned()], vec![Some("other")]));
    confirm(&stand.store, &batch).await;
    nothing_is_due(&stand).await;
    let counts = stand.counts().await;
    assert_eq!((counts.done, counts.pending, counts.processing), (5, 0, 0));
}

async fn changes_resent_to_a_new_target_wait_for_dependencies_too(stand: Stand) {
    takes(&stand, &["patient", "encounter"]).await;
    append(&stand, "encounter E-1", "create", &["subject:patient:P-1"]).await;
    routed(&stand).await;
    let types = ["patient", "encounter"].map(str::to_owned).into();
    let targets = BTreeMap::from([(target_name("fhir"), types)]);
    let host = HostRecord { id: "host-b".to_owned(), targets, ..HostRecord::default() };
    stand.store.register_host(&host).await.expect("register");
    let scope = ResendScope::Types(vec!["encounter".to_owned()]);
    let mut walk = Resend::new(target_name("fhir"), scope, None);
    while stand.store.resend_step(&mut walk).await.expect("step").is_some() {}
    assert_eq!(walk.counts().queued, 1);
    let request = ClaimRequest { target: target_name("fhir"), ..request(10) };
    assert!(matches!(stand.store.claim(&request).await.expect("claim"), Claim::Nothing));
    assert_eq!(stand.store.waiting("fhir", None, 10).await.expect("list").len(), 1);
}
