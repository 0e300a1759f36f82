//! Resyncs next to applications that write, commit late, and to hosts that route, dispatch, claim and settle: an older
//! state is never delivered after a newer one that was confirmed, and in the end each aggregate's newest is.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use host::domain::ids::AggregateKey;
use host::store::{Batch, Claim, HostRecord, Resend, ResendScope, Store};
use tests::session::Session;

use crate::on_every_store;
use crate::support::{Stand, TARGET, confirmed, dispatch, request, target_name};

on_every_store!(a_resync_under_load_never_reverts_a_state);

/// One application for each aggregate, so that its states have their numbers in the order of their commits.
const AGGREGATES: usize = 4;
const STATES: usize = 40;

/// What hosts have seen.
#[derive(Default)]
struct Seen {
    /// The newest confirmed change of each aggregate.
    confirmed: Mutex<BTreeMap<AggregateKey, i64>>,
    delivered: AtomicUsize,
    resent: AtomicUsize,
    is_over: AtomicBool,
}

async fn application(url: String, number: usize) {
    let mut session = Session::open(&url).await.expect("session");
    for state in 0..STATES {
        session.execute(session.begin()).await.expect("begin");
        let insert = format!(
            "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload) \
             VALUES ('lab', 'L-{number}', 'update', '{{\"state\": {state}}}')"
        );
        session.execute(&insert).await.expect("insert");
        // It has its number, and commits a while later.
        tokio::time::sleep(Duration::from_millis((state % 5) as u64 * 4)).await;
        session.execute("COMMIT").await.expect("commit");
        // Now and then everything is delivered, so that a resync finds something to send.
        let pause_ms = if state % 8 == 7 { 100 } else { 3 };
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
    }
}

/// Delivers a batch as a worker does: nothing of the store is locked meanwhile.
async fn deliver(store: &Store, seen: &Seen, batch: Batch) {
    for delivery in &batch.deliveries {
        let change = &delivery.change;
        let newest = seen.confirmed.lock().expect("lock").get(&change.key).copied().unwrap_or_default();
        assert!(change.change_id.get() >= newest, "{} is delivered after {newest}", change.change_id);
    }
    tokio::time::sleep(Duration::from_millis(2)).await;
    let settlements: Vec<_> = batch.deliveries.iter().map(|delivery| confirmed(delivery, "7")).collect();
    for delivery in &batch.deliveries {
        let mut confirmed = seen.confirmed.lock().expect("lock");
        let newest = confirmed.entry(delivery.change.key.clone()).or_default();
        *newest = delivery.change.change_id.get().max(*newest);
    }
    store.settle(&batch.lease, &settlements, None).await.expect("settle");
    seen.delivered.fetch_add(batch.deliveries.len(), Ordering::Relaxed);
}

async fn host(store: Store, seen: Arc<Seen>) {
    while !seen.is_over.load(Ordering::Relaxed) {
        let asked = [request(3)];
        for claimed in dispatch(&store, 100, &asked).await.claimed.into_iter().flatten() {
            if let Some(batch) = store.load(claimed, &asked[0]).await.expect("load") {
                deliver(&store, &seen, batch).await;
            }
        }
        if let Claim::Batch(batch) = store.claim(&request(3)).await.expect("claim") {
            deliver(&store, &seen, batch).await;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn resync(store: &Store) -> u64 {
    let mut walk = Resend::new(target_name(TARGET), ResendScope::Types(vec!["lab".to_owned()]), None);
    while store.resend_step(&mut walk).await.expect("resend").is_some() {}
    walk.counts().queued
}

async fn operator(store: Store, seen: Arc<Seen>) {
    while !seen.is_over.load(Ordering::Relaxed) {
        let queued = resync(&store).await;
        seen.resent.fetch_add(usize::try_from(queued).expect("few"), Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn a_resync_under_load_never_reverts_a_state(stand: Stand) {
    let record = HostRecord {
        id: "host-a".to_owned(),
        targets: [(target_name(TARGET), ["lab".to_owned()].into())].into(),
        ..HostRecord::default()
    };
    stand.store.register_host(&record).await.expect("register");
    let seen = Arc::new(Seen::default());
    let hosts: Vec<_> = (0..3).map(|_| tokio::spawn(host(stand.other_host(), Arc::clone(&seen)))).collect();
    let operator = tokio::spawn(operator(stand.other_host(), Arc::clone(&seen)));
    let url = stand.database.url().to_owned();
    let applications: Vec<_> = (0..AGGREGATES).map(|number| tokio::spawn(application(url.clone(), number))).collect();
    for application in applications {
        application.await.expect("an application");
    }
    seen.is_over.store(true, Ordering::Relaxed);
    operator.await.expect("the operator");
    for host in hosts {
        host.await.expect("a host, which delivers no state after a newer one");
    }
    deliver_the_rest(&stand, &seen).await;
    assert_eq!(resync(&stand.store).await, AGGREGATES as u64, "each once more");
    deliver_the_rest(&stand, &seen).await;
    let counts = stand.counts().await;
    assert_eq!((counts.pending, counts.processing, counts.failed), (0, 0, 0), "{counts:?}");
    for number in 0..AGGREGATES {
        let key = AggregateKey { aggregate_type: "lab".to_owned(), aggregate_id: format!("L-{number}") };
        let next = stand.store.next_state(&target_name(TARGET), &key).await.expect("read").expect("a state");
        let last = format!("{{\"state\": {}}}", STATES - 1);
        assert_eq!(next.change.payload, last, "the newest");
        let confirmed = seen.confirmed.lock().expect("lock")[&key];
        assert_eq!(confirmed, next.change.change_id.get(), "the newest is what was confirmed last");
    }
    let (delivered, resent) = (seen.delivered.load(Ordering::Relaxed), seen.resent.load(Ordering::Relaxed));
    assert!(resent > 0 && delivered > AGGREGATES, "{resent} resent, {delivered} delivered");
}

/// What the hosts have left, by one alone.
async fn deliver_the_rest(stand: &Stand, seen: &Seen) {
    loop {
        let routed = dispatch(&stand.store, 1_000, &[]).await.changes;
        match stand.store.claim(&request(100)).await.expect("claim") {
            Claim::Batch(batch) => deliver(&stand.store, seen, batch).await,
            Claim::OnlySuperseded => {}
            Claim::Nothing if routed > 0 => {}
            Claim::Nothing => break,
        }
    }
}
