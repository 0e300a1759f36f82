//! Direct dispatch: new changes under a lease, with the promises of a claim and without being queued.

use host::domain::delivery::Status;
use host::service::PatientService;
use host::store::{Batch, ClaimRequest, HostRecord, PurgeCursor, Settled, Store};
use tests::session::Session;

use crate::on_every_store;
use crate::support::{
    Stand, TARGET, confirmed, dispatch, dispatch_along, failed, patient, request, route, target_name,
};

on_every_store!(
    a_request_gets_new_changes_under_a_lease,
    a_change_with_another_open_change_of_its_aggregate_is_queued,
    a_batch_holds_no_more_than_was_requested,
    a_target_without_a_request_finds_its_deliveries_queued,
    an_unknown_operation_is_dispatched_to_no_target,
    the_batch_of_a_dead_host_is_claimed_by_another,
    a_directly_dispatched_change_gets_its_delivery_row_when_settled,
    a_released_change_is_queued_by_its_age,
    changes_in_flight_are_not_purged,
    a_change_in_flight_that_is_routed_again_is_counted_once,
    concurrent_requests_never_share_a_patient,
    outdated_routes_route_no_change,
    a_target_gets_changes_until_no_host_enables_it,
);

fn host(id: &str, targets: &[&str], disabled: &[&str]) -> HostRecord {
    let types = || std::collections::BTreeSet::from(["patient".to_owned()]);
    HostRecord {
        id: id.to_owned(),
        version: "0.1.0".to_owned(),
        targets: targets.iter().map(|name| (target_name(name), types())).collect(),
        disabled: disabled.iter().map(|name| target_name(name)).collect(),
    }
}

async fn routed_to(store: &Store) -> Vec<String> {
    store.routes().await.expect("routes").list.into_iter().map(|route| route.target.into()).collect()
}

/// A host has read what is routed where; another registers a target; then a change comes.
async fn outdated_routes_route_no_change(stand: Stand) {
    stand.store.register_host(&host("a", &[TARGET], &[])).await.expect("register");
    let old = stand.store.routes().await.expect("routes");
    stand.other_host().register_host(&host("b", &[TARGET, "fhir"], &[])).await.expect("register");
    put(&stand, 1..3, "Seoul").await;
    let asked = [request(100)];
    let done = dispatch_along(&stand.store, &old, 100, &asked).await;
    assert_eq!((done.changes, done.routes_changed, done.claimed[0].is_none()), (0, true, true));
    let new = stand.store.routes().await.expect("routes");
    let done = dispatch_along(&stand.store, &new, 100, &asked).await;
    assert_eq!((done.changes, done.routes_changed, done.claimed[0].is_some()), (2, false, true));
    let targets = stand.store.status(1).await.expect("status").targets;
    assert_eq!((targets[TARGET].counts.processing, targets["fhir"].counts.pending), (2, 2));
    // Registering again what is known changes nothing.
    stand.store.register_host(&host("a", &[TARGET], &[])).await.expect("register");
    put(&stand, 3..4, "Seoul").await;
    let done = dispatch_along(&stand.store, &new, 100, &[]).await;
    assert_eq!((done.changes, done.routes_changed), (1, false));
}

async fn a_target_gets_changes_until_no_host_enables_it(stand: Stand) {
    let store = &stand.store;
    store.register_host(&host("a", &[TARGET, "fhir"], &[])).await.expect("register");
    assert_eq!(routed_to(store).await, ["fhir", TARGET]);
    // A host that lacks one, or disables what another has, takes nothing away.
    store.register_host(&host("b", &[TARGET], &[])).await.expect("register");
    store.register_host(&host("c", &[TARGET], &["fhir"])).await.expect("register");
    assert_eq!(routed_to(store).await, ["fhir", TARGET]);
    store.host_stopped("a").await.expect("stop");
    store.register_host(&host("b", &[TARGET], &[])).await.expect("register");
    assert_eq!(routed_to(store).await, ["fhir", TARGET], "no host has disabled it");
    store.register_host(&host("c", &[TARGET], &["fhir"])).await.expect("register");
    assert_eq!(routed_to(store).await, [TARGET], "disabled, and no running host has it");
    let running = store.running_hosts().await.expect("read");
    assert_eq!(running.iter().map(|host| host.id.as_str()).collect::<Vec<_>>(), ["b", "c"]);
    stand.pass(20_000);
    assert!(store.running_hosts().await.expect("read").is_empty());
}

async fn put(stand: &Stand, numbers: std::ops::Range<u32>, city: &str) {
    let patients: Vec<_> = numbers.map(|number| patient(number, city)).collect();
    PatientService::new(stand.store.clone()).put(&patients).await.expect("put");
}

/// What routing did, with the batches read.
struct Given {
    changes: usize,
    some_queued: bool,
    batches: Vec<Option<Batch>>,
}

async fn ask(store: &Store, asked: &[ClaimRequest]) -> Given {
    ask_for(store, 1_000, asked).await
}

async fn ask_for(store: &Store, limit: u32, asked: &[ClaimRequest]) -> Given {
    let done = dispatch(store, limit, asked).await;
    let mut batches = Vec::new();
    for (request, taken) in asked.iter().zip(done.claimed) {
        batches.push(match taken {
            Some(taken) => store.load(taken, request).await.expect("load"),
            None => None,
        });
    }
    Given { changes: done.changes, some_queued: done.some_queued, batches }
}

async fn given(stand: &Stand) -> Batch {
    ask(&stand.store, &[request(100)]).await.batches.remove(0).expect("a batch")
}

fn ids(batch: &Batch) -> Vec<&str> {
    batch.deliveries.iter().map(|delivery| delivery.change.key.aggregate_id.as_str()).collect()
}

async fn a_request_gets_new_changes_under_a_lease(stand: Stand) {
    put(&stand, 1..4, "Seoul").await;
    let routed = ask(&stand.store, &[request(100)]).await;
    assert_eq!((routed.changes, routed.some_queued), (3, false));
    let batch = routed.batches[0].as_ref().expect("a batch");
    assert_eq!(ids(batch), ["P-0001", "P-0002", "P-0003"]);
    let counts = stand.counts().await;
    assert_eq!((counts.processing, counts.pending), (3, 0));
    let rows: Vec<_> = batch.deliveries.iter().map(|delivery| confirmed(delivery, "7")).collect();
    assert_eq!(stand.store.settle(&batch.lease, &rows, None).await.expect("settle"), Settled::Written);
    assert_eq!(stand.counts().await.done, 3);
    // The next state of one that was confirmed goes the same way, and carries the link.
    put(&stand, 1..2, "Busan").await;
    let batch = given(&stand).await;
    assert_eq!(batch.deliveries[0].change.link.as_ref().map(|link| link.remote_id.as_str()), Some("7"));
}

async fn a_change_with_another_open_change_of_its_aggregate_is_queued(stand: Stand) {
    put(&stand, 1..2, "Seoul").await;
    let in_flight = given(&stand).await;
    put(&stand, 2..3, "Seoul").await;
    let refused = given(&stand).await;
    let rows = [failed(&refused.deliveries[0], Status::Failed, 0)];
    stand.store.settle(&refused.lease, &rows, None).await.expect("settle");
    // The first is in flight, the second has failed, the third comes twice, the fourth once.
    put(&stand, 1..5, "Busan").await;
    put(&stand, 3..4, "Incheon").await;
    let routed = ask(&stand.store, &[request(100)]).await;
    assert!(routed.some_queued);
    assert_eq!(ids(routed.batches[0].as_ref().expect("a batch")), ["P-0004"]);
    // Among what is queued the newest state wins, and what is in flight is skipped.
    let batch = stand.claim_batch().await;
    assert_eq!(ids(&batch), ["P-0002", "P-0003"]);
    assert!(batch.deliveries[1].change.payload.contains("Incheon"));
    assert!(stand.store.release(&in_flight.lease).await.expect("release"));
    assert_eq!(ids(&stand.claim_batch().await), ["P-0001"]);
}

async fn a_batch_holds_no_more_than_was_requested(stand: Stand) {
    put(&stand, 1..8, "Seoul").await;
    let routed = ask(&stand.store, &[request(3), request(2)]).await;
    let sizes: Vec<_> = routed.batches.iter().map(|batch| batch.as_ref().map_or(0, |it| it.deliveries.len())).collect();
    assert_eq!(sizes, [3, 2]);
    assert!(routed.some_queued);
    assert_eq!(stand.claim_batch().await.deliveries.len(), 2);
    let nothing = ask(&stand.store, &[request(3)]).await;
    assert!(nothing.batches[0].is_none());
}

async fn a_target_without_a_request_finds_its_deliveries_queued(stand: Stand) {
    stand.store.register_targets(&[(TARGET, true), ("fhir", true)]).await.expect("register");
    put(&stand, 1..4, "Seoul").await;
    let routed = ask(&stand.store, &[request(100)]).await;
    assert_eq!(routed.batches[0].as_ref().expect("a batch").deliveries.len(), 3);
    let targets = stand.store.status(1).await.expect("status").targets;
    let of = |name: &str| (targets[name].counts.processing, targets[name].counts.pending);
    assert_eq!((of(TARGET), of("fhir")), ((3, 0), (0, 3)));
}

async fn an_unknown_operation_is_dispatched_to_no_target(stand: Stand) {
    let insert = "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload) \
                  VALUES ('patient', 'D-1', 'upsert', '{}')";
    stand.database.execute(insert).await.expect("insert");
    assert!(ask(&stand.store, &[request(100)]).await.batches[0].is_none());
    assert_eq!(stand.counts().await.failed, 1);
}

async fn the_batch_of_a_dead_host_is_claimed_by_another(stand: Stand) {
    put(&stand, 1..3, "Seoul").await;
    let lost = given(&stand).await;
    stand.pass(30_001);
    assert_eq!(stand.store.take_expired_leases().await.expect("take").len(), 1);
    let again = stand.claim_batch().await;
    assert_eq!(ids(&again), ids(&lost));
    let rows: Vec<_> = lost.deliveries.iter().map(|delivery| confirmed(delivery, "1")).collect();
    assert_eq!(stand.store.settle(&lost.lease, &rows, None).await.expect("settle"), Settled::LeaseLost);
}

/// Change, status, attempts, time of the next attempt, of its making and of its end, of each delivery's row.
async fn rows(stand: &Stand) -> Vec<String> {
    let mut session = Session::open(stand.database.url()).await.expect("connect");
    let sql = "SELECT aggregate_id, status, attempts, next_attempt_at, created_at, finished_at FROM sync_delivery \
               ORDER BY outbox_id";
    let rows = session.rows(sql).await.expect("read");
    let text = |field: Option<String>| field.unwrap_or_else(|| "-".to_owned());
    rows.into_iter().map(|row| row.into_iter().map(text).collect::<Vec<_>>().join(" ")).collect()
}

async fn a_directly_dispatched_change_gets_its_delivery_row_when_settled(stand: Stand) {
    put(&stand, 1..5, "Seoul").await;
    let routed = stand.now();
    let batch = given(&stand).await;
    assert_eq!(rows(&stand).await, [""; 0]);
    stand.pass(10);
    let settled = stand.now();
    let settlements = [
        confirmed(&batch.deliveries[0], "1"),
        failed(&batch.deliveries[1], Status::Failed, 0),
        failed(&batch.deliveries[2], Status::Pending, 500),
        confirmed(&batch.deliveries[3], "4"),
    ];
    assert_eq!(stand.store.settle(&batch.lease, &settlements, None).await.expect("settle"), Settled::Written);
    assert_eq!(
        rows(&stand).await,
        [
            format!("P-0001 done 1 - {routed} {settled}"),
            format!("P-0002 failed 1 {} {routed} {settled}", i64::MAX),
            format!("P-0003 pending 1 {} {routed} -", settled + 500),
            format!("P-0004 done 1 - {routed} {settled}"),
        ]
    );
    let counts = stand.counts().await;
    assert_eq!((counts.done, counts.failed, counts.pending, counts.processing), (2, 1, 1, 0));
}

async fn a_released_change_is_queued_by_its_age(stand: Stand) {
    put(&stand, 1..3, "Seoul").await;
    let routed = stand.now();
    let batch = given(&stand).await;
    stand.pass(10);
    assert!(stand.store.release(&batch.lease).await.expect("release"));
    assert_eq!(
        rows(&stand).await,
        ["P-0001", "P-0002"].map(|patient| format!("{patient} pending 0 {routed} {routed} -"))
    );
    // Claimed now, it has its row already, and goes back to it.
    let again = stand.claim_batch().await;
    assert!(stand.store.release(&again.lease).await.expect("release"));
    assert_eq!(stand.counts().await.pending, 2);
    assert_eq!(ids(&stand.claim_batch().await), ids(&batch));
}

async fn changes_in_flight_are_not_purged(stand: Stand) {
    put(&stand, 1..3, "Seoul").await;
    let batch = ask(&stand.store, &[request(1)]).await.batches.remove(0).expect("a batch");
    stand.pass(1_000);
    let purge = || stand.store.purge_changes(1, PurgeCursor::default());
    assert_eq!(purge().await.expect("purge").deleted, 0);
    stand.store.settle(&batch.lease, &[confirmed(&batch.deliveries[0], "1")], None).await.expect("settle");
    stand.pass(1_000);
    stand.store.purge_deliveries(TARGET, 1, PurgeCursor::default()).await.expect("purge");
    assert_eq!(purge().await.expect("purge").deleted, 1);
}

/// Someone sets `routed_at` back.
async fn a_change_in_flight_that_is_routed_again_is_counted_once(stand: Stand) {
    put(&stand, 1..3, "Seoul").await;
    let batch = given(&stand).await;
    stand.database.execute("UPDATE sync_outbox SET routed_at = NULL").await.expect("set back");
    put(&stand, 3..4, "Seoul").await;
    route(&stand.store, 1_000).await;
    let counts = stand.counts().await;
    assert_eq!((counts.processing, counts.pending), (2, 1));
    let settlements: Vec<_> = batch.deliveries.iter().map(|delivery| confirmed(delivery, "1")).collect();
    assert_eq!(stand.store.settle(&batch.lease, &settlements, None).await.expect("settle"), Settled::Written);
    let counts = stand.counts().await;
    assert_eq!((counts.done, counts.processing, counts.pending), (2, 0, 1));
}

async fn concurrent_requests_never_share_a_patient(stand: Stand) {
    for city in ["Seoul", "Busan", "Incheon"] {
        put(&stand, 0..60, city).await;
    }
    let hosts = (0..4).map(|host| {
        let store = stand.other_host();
        tokio::spawn(async move {
            let request = ClaimRequest { owner: format!("host-{host}"), ..request(7) };
            let mut mine = Vec::new();
            loop {
                let routed = ask_for(&store, 9, std::slice::from_ref(&request)).await;
                mine.extend(routed.batches.into_iter().flatten());
                if routed.changes == 0 {
                    return mine;
                }
            }
        })
    });
    let mut taken = Vec::new();
    for host in hosts.collect::<Vec<_>>() {
        taken.extend(host.await.expect("a host ends well"));
    }
    let mut patients: Vec<_> = taken.iter().flat_map(ids).collect();
    let count = patients.len();
    patients.sort_unstable();
    patients.dedup();
    assert_eq!(patients.len(), count, "nothing was settled, so that no patient can be taken twice");
    let counts = stand.counts().await;
    assert_eq!((counts.processing, counts.processing + counts.pending), (count as u64, 180));
}
