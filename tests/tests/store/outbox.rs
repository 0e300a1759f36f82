//! Rows of other applications, inserted with plain SQL and with nothing but the contract.

use host::service::PatientService;
use host::store::{Claim, RetryFilter};

use crate::on_every_store;
use crate::support::{Stand, TARGET, patient, route, target_name};

on_every_store!(
    a_row_of_another_application_is_routed_and_claimed,
    an_unknown_operation_becomes_a_failed_delivery,
    a_type_that_no_target_takes_is_routed_nowhere,
    a_row_is_routed_once,
    a_resync_queues_every_patient_for_one_target_only,
);

/// What a Django application writes: the columns of the contract and no more.
const INSERT: &str = "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload) VALUES ";

async fn a_row_of_another_application_is_routed_and_claimed(stand: Stand) {
    let insert =
        format!("{INSERT} ('patient', 'D-1', 'create', '{{\"patient_id\": \"D-1\", \"given_name\": \"민준\"}}')");
    stand.database.execute(&insert).await.expect("insert");
    assert_eq!(stand.store.status(1).await.expect("status").unrouted, 1);
    assert_eq!(route(&stand.store, 10).await, 1);
    let batch = stand.claim_batch().await;
    let change = &batch.deliveries[0].change;
    assert_eq!(change.key.aggregate_id, "D-1");
    assert!(change.payload.contains("민준"));
    assert!(change.event_id.len() >= 32, "the event got an id of its own");
    assert!(change.created_at_ms > 1_700_000_000_000, "the database's own time, in milliseconds");
}

async fn an_unknown_operation_becomes_a_failed_delivery(stand: Stand) {
    stand.database.execute(&format!("{INSERT} ('patient', 'D-1', 'upsert', '{{}}')")).await.expect("insert");
    route(&stand.store, 10).await;
    assert!(matches!(stand.claim().await, Claim::Nothing));
    let recent = stand.store.status(5).await.expect("status").recent;
    assert_eq!(
        recent[0].error_message.as_deref(),
        Some("outbox row 1: operation must be create, update, delete or merge")
    );
    // No retry makes it deliverable; as a pending one it would hold up whatever is claimed with it.
    assert_eq!(stand.store.count_failed(&RetryFilter::default()).await.expect("count"), 0);
    assert_eq!(stand.store.retry(&RetryFilter::default()).await.expect("retry"), 0);
    assert!(matches!(stand.claim().await, Claim::Nothing));
}

async fn a_type_that_no_target_takes_is_routed_nowhere(stand: Stand) {
    stand.database.execute(&format!("{INSERT} ('invoice', 'I-1', 'create', '{{}}')")).await.expect("insert");
    assert_eq!(route(&stand.store, 10).await, 1);
    assert_eq!(stand.counts().await, host::store::Counts::default());
    assert_eq!(stand.store.open_work().await.expect("open"), 0);
}

async fn a_row_is_routed_once(stand: Stand) {
    for number in 0..50 {
        stand.database.execute(&format!("{INSERT} ('patient', 'D-{number}', 'create', '{{}}')")).await.expect("insert");
    }
    let other = stand.other_host();
    let (mine, theirs) = Box::pin(futures::future::join(route(&stand.store, 1_000), route(&other, 1_000))).await;
    assert_eq!(mine + theirs + route(&stand.store, 1_000).await, 50);
    assert_eq!(stand.counts().await.pending, 50);
}

async fn a_resync_queues_every_patient_for_one_target_only(stand: Stand) {
    stand.store.register_targets(&[(TARGET, false)]).await.expect("register");
    let patients: Vec<_> = (0..5).map(|number| patient(number, "Seoul")).collect();
    PatientService::new(stand.store.clone()).put(&patients).await.expect("put");
    // They were routed while no target took them.
    assert_eq!(route(&stand.store, 100).await, 5);
    stand.store.register_targets(&[(TARGET, true), ("fhir", true)]).await.expect("register");
    let (mut after, mut pages) = (None, 0);
    while let Some((last, count)) =
        stand.store.resync_page(&target_name("fhir"), after.as_deref(), None, 2).await.expect("resync")
    {
        assert!(count <= 2);
        pages += 1;
        after = Some(last);
    }
    assert_eq!(pages, 3);
    let status = stand.store.status(1).await.expect("status");
    assert_eq!((status.targets["fhir"].counts.pending, status.targets[TARGET].counts.pending), (5, 0));
    assert_eq!(status.unrouted, 0);
}
