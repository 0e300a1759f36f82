//! Ids of outbox rows that no database gives by itself: below 1. Such a row fails by itself and stops nothing else.

use tests::environment::Backend;
use tests::session::Session;

use crate::on_every_store;
use crate::support::{Stand, TARGET, dispatch, request, route};

on_every_store!(an_id_below_one_fails_alone_when_queued, an_id_below_one_fails_alone_when_dispatched_directly);

async fn insert(stand: &Stand, id: Option<i64>, aggregate_id: &str) {
    let (column, value) = id.map_or_else(Default::default, |id| ("id, ", format!("{id}, ")));
    let insert = format!(
        "INSERT INTO sync_outbox ({column}aggregate_type, aggregate_id, operation, payload) \
         VALUES ({value}'patient', '{aggregate_id}', 'create', '{{}}')"
    );
    stand.database.execute(&insert).await.expect("insert");
}

/// Good rows around the bad ones. MySQL takes an id of 0 for none and gives the next one.
async fn spoil(stand: &Stand) -> Vec<i64> {
    let bad: Vec<i64> = [i64::MIN + 1, -5, -1, 0]
        .into_iter()
        .filter(|id| *id != 0 || stand.database.backend() != Backend::MariaDb)
        .collect();
    insert(stand, None, "G-1").await;
    for id in &bad {
        insert(stand, Some(*id), &format!("B{id}")).await;
    }
    insert(stand, None, "G-2").await;
    bad
}

async fn assert_only_these_failed(stand: &Stand, bad: &[i64]) {
    let mut session = Session::open(stand.database.url()).await.expect("connect");
    let sql = format!(
        "SELECT aggregate_id, error_kind, error_message FROM sync_delivery WHERE target = '{TARGET}' AND status = 'failed'"
    );
    let rows = session.rows(&sql).await.expect("read");
    assert_eq!(rows.len(), bad.len(), "{rows:?}");
    for id in bad {
        let row = rows.iter().find(|row| row[0].as_deref() == Some(&format!("B{id}"))).expect("its delivery");
        let message = row[2].as_deref().unwrap_or_default();
        assert_eq!(row[1].as_deref(), Some("invalid"));
        assert!(message.starts_with(&format!("outbox row {id}: id is below 1")), "{message}");
    }
    let counts = stand.counts().await;
    assert_eq!((counts.processing, counts.failed), (2, bad.len() as u64));
}

async fn an_id_below_one_fails_alone_when_queued(stand: Stand) {
    let bad = spoil(&stand).await;
    route(&stand.store, 1_000).await;
    let batch = stand.claim_batch().await;
    let ids: Vec<_> = batch.deliveries.iter().map(|delivery| delivery.change.key.aggregate_id.as_str()).collect();
    assert_eq!(ids, ["G-1", "G-2"]);
    assert_only_these_failed(&stand, &bad).await;
}

async fn an_id_below_one_fails_alone_when_dispatched_directly(stand: Stand) {
    let bad = spoil(&stand).await;
    let routed = dispatch(&stand.store, 1_000, &[request(100)]).await;
    let claimed = routed.claimed.into_iter().next().flatten().expect("a batch");
    let batch = stand.store.load(claimed, &request(100)).await.expect("load").expect("not empty");
    let ids: Vec<_> = batch.deliveries.iter().map(|delivery| delivery.change.key.aggregate_id.as_str()).collect();
    assert_eq!(ids, ["G-1", "G-2"]);
    assert_only_these_failed(&stand, &bad).await;
}
