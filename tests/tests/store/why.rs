//! `host why`: each cause is brought about, and its sentence, its class and its exit code are compared.

use std::collections::BTreeMap;

use host::domain::attempt::Attempt;
use host::domain::change::{Failure, FailureKind};
use host::domain::conflict::Resolution;
use host::domain::delivery::{Delivery, Settlement, Status};
use host::domain::ids::AggregateKey;
use host::service::PatientService;
use host::store::{
    BatchResults, BreakerState, ConflictKey, Explanation, HostRecord, ReasonClass, RetryFilter, TargetReport,
    TargetState,
};

use tests::session::Session;

use crate::on_every_store;
use crate::support::{Stand, TARGET, confirmed, dispatch, failed, patient, request, route, settlement, target_name};

on_every_store!(
    what_was_delivered_is_explained,
    a_turn_in_the_queue_is_explained_with_an_estimate,
    what_is_in_flight_is_explained,
    a_retry_is_explained,
    a_target_that_is_down_is_explained_with_the_next_try_and_an_estimate,
    a_target_that_no_host_has_checked_is_explained,
    a_missing_reference_is_explained,
    a_pause_is_explained,
    a_pause_ends_by_itself_at_its_time,
    a_failure_is_explained,
    a_failed_head_is_explained,
    a_conflict_is_explained,
    a_missing_host_is_explained,
    what_is_not_routed_is_explained,
    a_backlog_that_is_not_routed_is_explained_with_an_estimate,
    a_large_backlog_that_is_not_routed_is_estimated,
    an_unknown_patient_is_explained,
    what_the_target_does_not_get_is_explained,
    an_explanation_takes_a_bounded_number_of_statements,
);

async fn explain_key(stand: &Stand, kind: &str, id: &str, fifo_types: &[&str]) -> Explanation {
    let key = AggregateKey { aggregate_type: kind.to_owned(), aggregate_id: id.to_owned() };
    let fifo_types: Vec<_> = fifo_types.iter().map(|kind| (*kind).to_owned()).collect();
    stand.store.explain(&key, TARGET, &fifo_types).await.expect("explain")
}

/// Numbers of changes depend on the database, so each is written `#N` by its place.
fn sentence(explanation: &Explanation) -> String {
    let id = explanation.change_id.map(|id| id.to_string()).unwrap_or_default();
    explanation.sentence().replace(&format!("change {id} "), "change # ")
}

async fn expect(stand: &Stand, class: ReasonClass, exit_code: u8, expected: &str) {
    expect_of(&explain_key(stand, "patient", "P-0001", &[]).await, class, exit_code, expected);
}

fn expect_of(explanation: &Explanation, class: ReasonClass, exit_code: u8, expected: &str) {
    assert_eq!(sentence(explanation), expected);
    assert_eq!((explanation.class(), explanation.class().exit_code()), (class, exit_code));
}

/// A running host that has the target, which is up.
async fn with_host(stand: &Stand, types: &[&str]) {
    let types = types.iter().map(|kind| (*kind).to_owned()).collect();
    let targets = BTreeMap::from([(target_name(TARGET), types)]);
    let host = HostRecord { id: "host-a".to_owned(), targets, ..HostRecord::default() };
    stand.store.register_host(&host).await.expect("register");
    report(stand, TargetState::Up, BreakerState::Closed, None).await;
}

async fn report(stand: &Stand, state: TargetState, breaker: BreakerState, failure: Option<&Failure>) {
    let report = TargetReport { name: TARGET, state, breaker, failure, summary: None };
    stand.store.report_target(&report).await.expect("report");
}

async fn put(stand: &Stand, number: u32, city: &str) {
    stand.put(&[patient(number, city)]).await;
}

async fn settle(stand: &Stand, settle: impl Fn(&Delivery) -> Settlement) {
    let batch = stand.claim_batch().await;
    let rows: Vec<_> = batch.deliveries.iter().map(settle).collect();
    stand.store.settle(&batch.lease, &rows, None).await.expect("settle");
}

fn with_failure(delivery: &Delivery, status: Status, pause_ms: u64, failure: Failure) -> Settlement {
    Settlement { failure: Some(failure), pause_ms, ..settlement(delivery, status) }
}

async fn what_was_delivered_is_explained(stand: Stand) {
    with_host(&stand, &["patient"]).await;
    put(&stand, 1, "Seoul").await;
    settle(&stand, |delivery| confirmed(delivery, "42")).await;
    let delivered = "delivered: openemr confirmed change # of patient P-0001 at 22:13:20 UTC (ID: 42)";
    expect(&stand, ReasonClass::Delivered, 0, delivered).await;
    // Its delivery is older than what retention keeps, and no host runs any more.
    stand.database.execute("DELETE FROM sync_delivery").await.expect("purge");
    stand.database.execute("DELETE FROM sync_outbox").await.expect("purge");
    stand.pass(86_400_000);
    let delivered = "delivered: openemr confirmed change # of patient P-0001 at 2023-11-14 22:13:20 UTC (ID: 42)";
    expect(&stand, ReasonClass::Delivered, 0, delivered).await;
}

/// Ten changes that were delivered in half a second.
async fn with_a_rate(stand: &Stand) {
    stand.put(&(101..=110).map(|number| patient(number, "Seoul")).collect::<Vec<_>>()).await;
    let batch = stand.claim_batch().await;
    let rows: Vec<_> = batch.deliveries.iter().map(|delivery| confirmed(delivery, "7")).collect();
    let attempt = Attempt { elapsed_ms: 500, changes: 10, calls: 1, ..Attempt::default() };
    let results = BatchResults { settlements: &rows, attempt: Some(&attempt), ..BatchResults::default() };
    stand.store.settle_batch(&batch.lease, &results).await.expect("settle");
}

async fn a_turn_in_the_queue_is_explained_with_an_estimate(stand: Stand) {
    with_host(&stand, &["patient"]).await;
    put(&stand, 1, "Seoul").await;
    let alone = "in progress: change # of patient P-0001 waits since 22:13:20 UTC for its turn at openemr; 0 changes before \
                 it; no estimate, since the journal has no attempt that worked";
    expect(&stand, ReasonClass::InProgress, 10, alone).await;
    settle(&stand, |delivery| confirmed(delivery, "42")).await;
    with_a_rate(&stand).await;
    stand.put(&(201..=279).map(|number| patient(number, "Seoul")).collect::<Vec<_>>()).await;
    stand.pass(5_000);
    put(&stand, 1, "Busan").await;
    // Eighty, at twenty a second.
    let queued = "in progress: change # of patient P-0001 waits since 22:13:25 UTC for its turn at openemr; 79 changes before \
                  it; about 4 s";
    expect(&stand, ReasonClass::InProgress, 10, queued).await;
}

async fn what_is_in_flight_is_explained(stand: Stand) {
    with_host(&stand, &["patient"]).await;
    put(&stand, 1, "Seoul").await;
    let batch = stand.claim_batch().await;
    stand.pass(2_000);
    let claimed = "in progress: change # of patient P-0001 is under way to openemr for 2 s, by host host-a";
    expect(&stand, ReasonClass::InProgress, 10, claimed).await;
    stand.store.settle(&batch.lease, &[confirmed(&batch.deliveries[0], "42")], None).await.expect("settle");
    PatientService::new(stand.store.clone()).put(&[patient(1, "Busan")]).await.expect("put");
    assert!(dispatch(&stand.store, 100, &[request(100)]).await.claimed[0].is_some());
    let direct = "in progress: change # of patient P-0001 is under way to openemr for 0 ms, by host host-a";
    expect(&stand, ReasonClass::InProgress, 10, direct).await;
}

async fn a_retry_is_explained(stand: Stand) {
    with_host(&stand, &["patient"]).await;
    put(&stand, 1, "Seoul").await;
    let failure = Failure::new(FailureKind::Transient, "the list is locked");
    settle(&stand, |delivery| with_failure(delivery, Status::Pending, 12_000, failure.clone())).await;
    let retried = "in progress: change # of patient P-0001 waits since 22:13:20 UTC: it is tried at openemr again in 12 s, \
                   attempts so far 1: transient: the list is locked";
    expect(&stand, ReasonClass::InProgress, 10, retried).await;
}

async fn a_target_that_is_down_is_explained_with_the_next_try_and_an_estimate(stand: Stand) {
    with_host(&stand, &["patient"]).await;
    with_a_rate(&stand).await;
    let refused = Failure::new(FailureKind::Unavailable, "connection refused");
    report(&stand, TargetState::Down, BreakerState::Open { pause_ms: 132_000 }, Some(&refused)).await;
    stand.pass(120_000);
    stand.put(&(201..=375).map(|number| patient(number, "Seoul")).collect::<Vec<_>>()).await;
    put(&stand, 1, "Seoul").await;
    let registered = HostRecord { id: "host-a".to_owned(), ..HostRecord::default() };
    stand.store.host_is_alive(&HostRecord { targets: targets(), ..registered }).await.expect("heartbeat");
    let down = "waits for target: change # of patient P-0001 waits since 22:15:20 UTC: openemr is down since 22:13:20 UTC \
                (connection refused), the breaker tries again in 12 s; 175 changes before it; about 8 s after it is back";
    expect(&stand, ReasonClass::WaitsForTarget, 11, down).await;
    report(&stand, TargetState::Down, BreakerState::HalfOpen, Some(&refused)).await;
    let explanation = explain_key(&stand, "patient", "P-0001", &[]).await;
    assert!(
        explanation.sentence().contains(", the next batch shows whether it is back;"),
        "{}",
        explanation.sentence()
    );
    assert_eq!(explanation.class(), ReasonClass::WaitsForTarget);
}

fn targets() -> host::store::TargetTypes {
    BTreeMap::from([(target_name(TARGET), std::iter::once("patient".to_owned()).collect())])
}

async fn a_target_that_no_host_has_checked_is_explained(stand: Stand) {
    let host = HostRecord { id: "host-a".to_owned(), targets: targets(), ..HostRecord::default() };
    stand.store.register_host(&host).await.expect("register");
    put(&stand, 1, "Seoul").await;
    let unchecked = "waits for target: change # of patient P-0001 waits since 22:13:20 UTC: openemr has not been checked by a \
                     host yet, it is being checked; 0 changes before it; no estimate, since the journal has no attempt that \
                     worked";
    expect(&stand, ReasonClass::WaitsForTarget, 11, unchecked).await;
}

async fn a_missing_reference_is_explained(stand: Stand) {
    with_host(&stand, &["patient", "encounter"]).await;
    let refs = r#"[{"name":"subject","type":"patient","id":"P-0001"}]"#;
    let insert = format!(
        "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload, refs, created_at) VALUES \
         ('encounter', 'E-1', 'create', '{{}}', '{refs}', {})",
        stand.now()
    );
    stand.database.execute(&insert).await.expect("insert");
    route(&stand.store, 100).await;
    let waits = "waits for reference: change # of encounter E-1 waits since 22:13:20 UTC at openemr for patient P-0001";
    let explanation = explain_key(&stand, "encounter", "E-1", &[]).await;
    expect_of(&explanation, ReasonClass::WaitsForReference, 12, &format!("{waits} (not written yet)"));
    put(&stand, 1, "Seoul").await;
    settle(&stand, |delivery| failed(delivery, Status::Failed, 0)).await;
    let explanation = explain_key(&stand, "encounter", "E-1", &[]).await;
    let failed = format!("{waits} (failed: see `host failed list`)");
    expect_of(&explanation, ReasonClass::WaitsForReference, 12, &failed);
}

async fn a_pause_is_explained(stand: Stand) {
    with_host(&stand, &["patient"]).await;
    put(&stand, 1, "Seoul").await;
    assert!(stand.store.set_paused(TARGET, true).await.expect("pause"));
    let paused = "paused: change # of patient P-0001 waits since 22:13:20 UTC: an operator paused openemr; fix: `host target \
                  resume openemr`";
    expect(&stand, ReasonClass::Paused, 13, paused).await;
    assert!(stand.store.disable_target(TARGET).await.expect("disable"));
    let disabled = "paused: change # of patient P-0001 waits since 22:13:20 UTC: openemr is disabled; fix: enable it in \
                    host.toml, start the host, and run `host resync --target openemr`";
    expect(&stand, ReasonClass::Paused, 13, disabled).await;
}

async fn a_pause_ends_by_itself_at_its_time(stand: Stand) {
    with_host(&stand, &["patient"]).await;
    put(&stand, 1, "Seoul").await;
    let until = stand.now() + 9_000;
    assert!(stand.store.pause_until(TARGET, until).await.expect("pause"));
    let paused = "paused: change # of patient P-0001 waits since 22:13:20 UTC: an operator paused openemr until 22:13:29 UTC; \
                  fix: `host target resume openemr`";
    expect(&stand, ReasonClass::Paused, 13, paused).await;
    let seen = async || {
        let status = stand.store.status(0).await.expect("status").targets.remove(TARGET).expect("the target");
        let desired = stand.store.desired_state(TARGET).await.expect("read").paused;
        (status.paused, status.paused_until, desired)
    };
    stand.pass(8_999);
    assert_eq!(seen().await, (true, Some(until), true));
    stand.pass(1);
    assert_eq!(seen().await, (false, None, false), "nobody has written anything");
    expect_class(&stand, ReasonClass::InProgress).await;
    // Another pause has its own end, or none.
    assert!(stand.store.set_paused(TARGET, true).await.expect("pause"));
    stand.pass(86_400_000);
    assert_eq!(seen().await, (true, None, true));
    assert!(stand.store.pause_until(TARGET, stand.now() + 1).await.expect("pause"));
    assert!(stand.store.set_paused(TARGET, false).await.expect("resume"));
    assert_eq!(seen().await, (false, None, false));
    assert!(!stand.store.pause_until("nowhere", until).await.expect("pause"));
}

async fn a_failure_is_explained(stand: Stand) {
    with_host(&stand, &["patient"]).await;
    put(&stand, 1, "Seoul").await;
    settle(&stand, |delivery| failed(delivery, Status::Failed, 0)).await;
    let failure = "failed: openemr did not accept change # of patient P-0001 at 22:13:20 UTC, attempts 1: invalid: fname: 300 \
                   characters, at most 255; fix the cause, then `host retry`";
    expect(&stand, ReasonClass::Failed, 14, failure).await;
    let insert = "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload) VALUES ('patient', 'P-0002', \
                  'erase', '{}')";
    stand.database.execute(insert).await.expect("insert");
    route(&stand.store, 100).await;
    let refused = explain_key(&stand, "patient", "P-0002", &[]).await;
    assert!(refused.sentence().starts_with("failed: the host refused change "), "{}", refused.sentence());
    assert_eq!(refused.class(), ReasonClass::Failed);
}

async fn a_failed_head_is_explained(stand: Stand) {
    with_host(&stand, &["patient"]).await;
    put(&stand, 1, "Seoul").await;
    settle(&stand, |delivery| failed(delivery, Status::Failed, 0)).await;
    let head = explain_key(&stand, "patient", "P-0001", &[]).await.change_id.expect("the head");
    put(&stand, 1, "Busan").await;
    let explanation = explain_key(&stand, "patient", "P-0001", &["patient"]).await;
    let blocked = format!(
        "failed: change # of patient P-0001 waits behind change {head}, which failed at openemr: fname: 300 characters, at \
         most 255"
    );
    expect_of(&explanation, ReasonClass::Failed, 14, &blocked);
}

async fn a_conflict_is_explained(stand: Stand) {
    with_host(&stand, &["patient"]).await;
    put(&stand, 1, "Seoul").await;
    let failure = Failure::new(FailureKind::Conflict, "two charts match [holds ab]");
    settle(&stand, |delivery| with_failure(delivery, Status::Failed, 0, failure.clone())).await;
    let conflict = "conflict: change # of patient P-0001 waits for a decision at openemr since 22:13:20 UTC: two charts match; \
                    fix: `host conflicts resolve`";
    expect(&stand, ReasonClass::Conflict, 15, conflict).await;
    let (target, aggregate) = (target_name(TARGET), AggregateKey::patient("P-0001"));
    let key = ConflictKey { target: &target, aggregate: &aggregate };
    stand.store.resolve_conflict(key, &Resolution::Remote).await.expect("resolve");
    let kept = "not wanted: change # of patient P-0001 at openemr: resolved: what the target holds was kept";
    expect(&stand, ReasonClass::NotWanted, 19, kept).await;
}

async fn a_missing_host_is_explained(stand: Stand) {
    put(&stand, 1, "Seoul").await;
    let nothing_runs =
        "no host: change # of patient P-0001 waits since 22:13:20 UTC: no host runs; fix: start `host run`";
    expect(&stand, ReasonClass::NoHost, 16, nothing_runs).await;
    let elsewhere = HostRecord { id: "host-b".to_owned(), ..HostRecord::default() };
    stand.store.register_host(&elsewhere).await.expect("register");
    let lacks = "no host: change # of patient P-0001 waits since 22:13:20 UTC: of 1 running hosts none has openemr; fix: add it \
                 to the host.toml of one";
    expect(&stand, ReasonClass::NoHost, 16, lacks).await;
    // A host that died holds its lease still.
    stand.claim_batch().await;
    stand.pass(16_000);
    expect(&stand, ReasonClass::NoHost, 16, nothing_runs).await;
}

async fn what_is_not_routed_is_explained(stand: Stand) {
    PatientService::new(stand.store.clone()).put(&[patient(1, "Seoul")]).await.expect("put");
    let nothing_runs =
        "no host: change # of patient P-0001 waits since 22:13:20 UTC: no host runs; fix: start `host run`";
    expect(&stand, ReasonClass::NoHost, 16, nothing_runs).await;
    stand
        .store
        .register_host(&HostRecord { id: "host-b".to_owned(), ..HostRecord::default() })
        .await
        .expect("register");
    let lacks = "no host: change # of patient P-0001 waits since 22:13:20 UTC: of 1 running hosts none has openemr; fix: add it \
                 to the host.toml of one";
    expect(&stand, ReasonClass::NoHost, 16, lacks).await;
    with_host(&stand, &["patient"]).await;
    let unrouted = "not routed yet: change # of patient P-0001 waits since 22:13:20 UTC for a host to route it to openemr; 0 \
                    changes before it; no estimate, since the journal has no attempt that worked";
    expect(&stand, ReasonClass::NotRouted, 17, unrouted).await;
    stand.store.disable_target(TARGET).await.expect("disable");
    route(&stand.store, 100).await;
    with_host(&stand, &["patient"]).await;
    let before = "not routed: openemr has no delivery of patient P-0001, since it was routed before openemr took it; fix: `host \
                  resync --target openemr`";
    expect(&stand, ReasonClass::NotRouted, 17, before).await;
}

async fn a_backlog_that_is_not_routed_is_explained_with_an_estimate(stand: Stand) {
    with_host(&stand, &["patient"]).await;
    with_a_rate(&stand).await;
    // Forty are queued; of what is not routed 119 are before it and 50 behind it.
    stand.put(&(201..=240).map(|number| patient(number, "Seoul")).collect::<Vec<_>>()).await;
    let service = PatientService::new(stand.store.clone());
    for numbers in [301..=419, 1..=1, 501..=550] {
        service.put(&numbers.map(|number| patient(number, "Seoul")).collect::<Vec<_>>()).await.expect("put");
    }
    // 160, at twenty a second.
    let unrouted = "not routed yet: change # of patient P-0001 waits since 22:13:20 UTC for a host to route it to openemr; 159 \
                    changes before it; about 8 s";
    expect(&stand, ReasonClass::NotRouted, 17, unrouted).await;
    let status = stand.store.status(0).await.expect("status").targets.remove(TARGET).expect("the target");
    assert_eq!(status.estimate_ms, Some(10_500), "with those behind it");
    let refused = Failure::new(FailureKind::Unavailable, "connection refused");
    report(&stand, TargetState::Down, BreakerState::Open { pause_ms: 12_000 }, Some(&refused)).await;
    let down = "waits for target: change # of patient P-0001 waits since 22:13:20 UTC: openemr is down since 22:13:20 UTC \
                (connection refused), the breaker tries again in 12 s; 159 changes before it; about 8 s after it is back";
    expect(&stand, ReasonClass::WaitsForTarget, 11, down).await;
    assert!(stand.store.set_paused(TARGET, true).await.expect("pause"));
    let paused = "paused: change # of patient P-0001 waits since 22:13:20 UTC: an operator paused openemr; fix: `host target \
                  resume openemr`";
    expect(&stand, ReasonClass::Paused, 13, paused).await;
}

async fn a_large_backlog_that_is_not_routed_is_estimated(stand: Stand) {
    with_host(&stand, &["patient"]).await;
    let service = PatientService::new(stand.store.clone());
    service.put(&(301..=320).map(|number| patient(number, "Seoul")).collect::<Vec<_>>()).await.expect("put");
    let double = "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload) SELECT aggregate_type, \
                  aggregate_id, operation, payload FROM sync_outbox WHERE aggregate_id <> 'P-0001'";
    for _ in 0..10 {
        stand.database.execute(double).await.expect("double");
    }
    service.put(&[patient(1, "Seoul")]).await.expect("put");
    stand.database.execute(double).await.expect("double");
    let explanation = explain_key(&stand, "patient", "P-0001", &[]).await;
    let before = format!(
        "SELECT MAX(id) - MIN(id) + 1 FROM sync_outbox WHERE id < {}",
        explanation.change_id.expect("the change")
    );
    let mut session = Session::open(stand.database.url()).await.expect("connect");
    let before = session.rows(&before).await.expect("count")[0][0].clone().expect("a number");
    assert!(before.parse::<u64>().expect("a number") >= 20_480, "{before}");
    let about = format!(" for a host to route it to openemr; about {before} changes before it; no estimate, ");
    assert!(explanation.sentence().contains(&about), "{}", explanation.sentence());
}

async fn an_unknown_patient_is_explained(stand: Stand) {
    with_host(&stand, &["patient"]).await;
    let unknown = "unknown: the store has no patient P-0001; check the type and the id";
    expect(&stand, ReasonClass::Unknown, 18, unknown).await;
}

async fn what_the_target_does_not_get_is_explained(stand: Stand) {
    with_host(&stand, &["patient"]).await;
    put(&stand, 1, "Seoul").await;
    settle(&stand, |delivery| Settlement {
        skipped: Some("no place for it".to_owned()),
        ..settlement(delivery, Status::Skipped)
    })
    .await;
    let skipped =
        "not wanted: openemr has no place for change # of patient P-0001: no place for it; fix: `host retry --skipped`";
    expect(&stand, ReasonClass::NotWanted, 19, skipped).await;
    put(&stand, 1, "Busan").await;
    settle(&stand, |delivery| failed(delivery, Status::Failed, 0)).await;
    let filter = RetryFilter { aggregate: Some(AggregateKey::patient("P-0001")), ..RetryFilter::default() };
    assert_eq!(stand.store.dismiss(&filter, "entered twice", "kim").await.expect("dismiss"), 1);
    let dismissed = "not wanted: kim dismissed change # of patient P-0001 for openemr: entered twice";
    expect(&stand, ReasonClass::NotWanted, 19, dismissed).await;
}

async fn an_explanation_takes_a_bounded_number_of_statements(stand: Stand) {
    with_host(&stand, &["patient"]).await;
    let refused = Failure::new(FailureKind::Unavailable, "connection refused");
    report(&stand, TargetState::Down, BreakerState::HalfOpen, Some(&refused)).await;
    let mut spent = Vec::new();
    for states in [1, 20] {
        for state in 0..states {
            put(&stand, 1, &format!("City {state}")).await;
        }
        let before = stand.store.statements_run();
        expect_class(&stand, ReasonClass::WaitsForTarget).await;
        spent.push(stand.store.statements_run() - before);
    }
    assert_eq!(spent[0], spent[1]);
    assert!(spent[0] <= 11, "{spent:?}");
}

async fn expect_class(stand: &Stand, class: ReasonClass) {
    assert_eq!(explain_key(stand, "patient", "P-0001", &[]).await.class(), class);
}
