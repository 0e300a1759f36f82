//! Alerts in the store: one of each key is open, one host sends each message, and nothing is lost when that host dies.

use host::domain::alerts::AlertKind;
use host::domain::delivery::Status;
use host::store::{AdapterEvent, Alert, AlertFilter, AlertKey, DueSend, FoundAlert, NewestChanges, Settled, Store};

use crate::on_every_store;
use crate::support::{Stand, TARGET, confirmed, failed, patient, target_name};

on_every_store!(
    an_alert_that_two_hosts_see_is_raised_once_and_ends_when_none_sees_it,
    one_host_sends_and_another_follows_when_it_dies,
    an_ended_alert_is_announced_at_once_and_over_each_channel,
    an_acknowledged_alert_is_sent_only_at_its_end,
    ended_alerts_are_purged_with_what_was_sent,
    the_newest_changes_and_heartbeats_are_read,
    failures_count_for_an_hour_and_of_their_target_alone,
    a_rolled_back_adapter_is_found_until_another_is_active,
);

const STALE_MS: i64 = 45_000;
const REPEAT_MS: i64 = 3_600_000;

fn down() -> AlertKey {
    AlertKey { kind: AlertKind::TargetDown, target: TARGET.to_owned(), subject: String::new() }
}

fn found(sentence: &str) -> Vec<FoundAlert> {
    vec![FoundAlert { key: down(), sentence: sentence.to_owned(), example: None }]
}

fn mail() -> Vec<String> {
    vec!["smtp".to_owned()]
}

async fn report(store: &Store, found: &[FoundAlert]) -> (usize, u64) {
    let changes = store.report_alerts(found, &[], Some(STALE_MS), &mail()).await.expect("report");
    (changes.raised.len(), changes.ended)
}

async fn due(store: &Store) -> Vec<DueSend> {
    store.due_alert_sends(&mail()).await.expect("due")
}

async fn all(store: &Store) -> Vec<Alert> {
    store.alerts(true, 100).await.expect("alerts")
}

async fn an_alert_that_two_hosts_see_is_raised_once_and_ends_when_none_sees_it(stand: Stand) {
    let (one, other) = (&stand.store, stand.other_host());
    assert_eq!(report(one, &[]).await, (0, 0));
    let seen = found("it is down");
    let (first, second) = tokio::join!(report(one, &seen), report(&other, &seen));
    assert!(first.0 + second.0 >= 1);
    let raised = one.open_alerts().await.expect("open");
    assert_eq!(raised.len(), 1, "{raised:?}");
    assert_eq!((raised[0].key.clone(), raised[0].raised_at), (down(), stand.now()));

    stand.pass(STALE_MS);
    assert_eq!(report(&other, &found("it is still down")).await, (0, 0));
    assert_eq!(one.open_alerts().await.expect("open")[0].sentence, "it is still down");
    stand.pass(STALE_MS);
    let unknown = one.report_alerts(&[], &[down()], Some(STALE_MS), &mail()).await.expect("report");
    assert_eq!(unknown.ended, 0, "what cannot be known stays as it is");
    stand.pass(STALE_MS);
    assert_eq!(
        one.report_alerts(&[], &[], None, &mail()).await.expect("report").ended,
        0,
        "a host that has just begun"
    );
    assert_eq!(report(one, &[]).await, (0, 0), "another host may have seen it");
    stand.pass(1);
    assert_eq!(report(one, &[]).await, (0, 1));
    assert_eq!(all(one).await[0].ended_at, Some(stand.now()));
    assert_eq!(report(one, &seen).await, (1, 0), "the next one is another alert");
    assert_eq!(all(one).await.len(), 2);
}

async fn one_host_sends_and_another_follows_when_it_dies(stand: Stand) {
    let (one, other) = (&stand.store, stand.other_host());
    report(one, &found("it is down")).await;
    let due_now = due(one).await;
    assert_eq!((due_now.len(), due_now[0].sends), (1, 0));
    let claim = |store: Store, host: &'static str| {
        let due = due_now[0].clone();
        async move { store.claim_alert_send(&due, host, 10_000).await.expect("claim") }
    };
    let (first, second) = tokio::join!(claim(one.clone(), "a"), claim(other.clone(), "b"));
    assert!(first ^ second, "one of them sends");
    assert!(due(one).await.is_empty());
    // The claimant dies here.
    stand.pass(10_000);
    let due_again = due(&other).await;
    assert_eq!(due_again.len(), 1);
    assert!(other.claim_alert_send(&due_again[0], "c", 10_000).await.expect("claim"));
    let late = if first { "a" } else { "b" };
    one.alert_was_sent(&due_now[0], late, REPEAT_MS).await.expect("settle");
    assert_eq!(one.alert_sends(0).await.expect("sends")[0].sends, 0, "its claim has ended");
    other.alert_was_not_sent(&due_again[0], "c", 30_000, "no answer").await.expect("settle");
    let failing = one.alert_sends(0).await.expect("sends");
    assert_eq!((failing[0].failures, failing[0].error.as_deref()), (1, Some("no answer")));
    assert!(due(one).await.is_empty());
    stand.pass(30_000);
    let retried = due(one).await;
    assert_eq!(retried[0].failures, 1);
    assert!(one.claim_alert_send(&retried[0], "d", 10_000).await.expect("claim"));
    one.alert_was_sent(&retried[0], "d", REPEAT_MS).await.expect("settle");
    let sent = one.alert_sends(0).await.expect("sends");
    assert_eq!((sent[0].sends, sent[0].failures, sent[0].error.as_deref()), (1, 0, None));
    assert!(!other.claim_alert_send(&retried[0], "e", 10_000).await.expect("claim"), "it was sent");
    stand.pass(REPEAT_MS - 1);
    assert!(due(one).await.is_empty());
    stand.pass(1);
    assert_eq!(due(one).await[0].sends, 1, "it is repeated");
}

async fn an_ended_alert_is_announced_at_once_and_over_each_channel(stand: Stand) {
    let store = &stand.store;
    let channels = vec!["smtp".to_owned(), "webhook".to_owned()];
    store.report_alerts(&found("it is down"), &[], None, &channels).await.expect("report");
    let raised = store.due_alert_sends(&channels).await.expect("due");
    assert_eq!(raised.len(), 2);
    assert!(store.claim_alert_send(&raised[0], "a", 90_000).await.expect("claim"));
    stand.pass(STALE_MS + 1);
    let ended = store.report_alerts(&[], &[], Some(STALE_MS), &channels).await.expect("report");
    assert_eq!(ended.ended, 1);
    // It ended while the first message was on its way.
    store.alert_was_sent(&raised[0], "a", REPEAT_MS).await.expect("settle");
    let last = store.due_alert_sends(&channels).await.expect("due");
    assert_eq!(last.len(), 2);
    for one in &last {
        assert_eq!(one.alert.ended_at, Some(stand.now()));
        assert!(store.claim_alert_send(one, "a", 9_000).await.expect("claim"));
        store.alert_was_sent(one, "a", REPEAT_MS).await.expect("settle");
    }
    stand.pass(100 * REPEAT_MS);
    assert!(store.due_alert_sends(&channels).await.expect("due").is_empty(), "that was the last message");
}

async fn an_acknowledged_alert_is_sent_only_at_its_end(stand: Stand) {
    let store = &stand.store;
    report(store, &found("it is down")).await;
    let acknowledge = |filter: AlertFilter| async move { store.acknowledge_alerts(&filter, "kim").await.expect("ack") };
    let other = AlertFilter { kind: Some(AlertKind::Disk), ..AlertFilter::default() };
    assert_eq!(acknowledge(other).await, 0);
    assert_eq!(due(store).await.len(), 1);
    let of_target = AlertFilter { target: Some(TARGET.to_owned()), ..AlertFilter::default() };
    assert_eq!(acknowledge(of_target.clone()).await, 1);
    assert_eq!(acknowledge(of_target).await, 0, "once");
    let alert = all(store).await.remove(0);
    assert_eq!((alert.acknowledged_at, alert.acknowledged_by.as_deref()), (Some(stand.now()), Some("kim")));
    assert!(due(store).await.is_empty());
    stand.pass(STALE_MS + 1);
    assert_eq!(report(store, &[]).await, (0, 1));
    assert_eq!(due(store).await.len(), 1, "its end is told");
}

async fn ended_alerts_are_purged_with_what_was_sent(stand: Stand) {
    const DAY_MS: i64 = 86_400_000;
    let store = &stand.store;
    report(store, &found("it is down")).await;
    stand.pass(STALE_MS + 1);
    report(store, &[]).await;
    report(store, &found("it is down again")).await;
    stand.pass(DAY_MS - 1);
    assert_eq!(store.purge_alerts(DAY_MS).await.expect("purge"), 0);
    stand.pass(2);
    assert_eq!(store.purge_alerts(DAY_MS).await.expect("purge"), 1);
    let kept = all(store).await;
    assert_eq!((kept.len(), kept[0].ended_at), (1, None), "an open one stays");
    let sends = store.alert_sends(0).await.expect("sends");
    assert_eq!(sends.iter().map(|send| send.alert_id).collect::<Vec<_>>(), [kept[0].id]);
}

async fn the_newest_changes_and_heartbeats_are_read(stand: Stand) {
    let store = &stand.store;
    let none = store.newest_changes(None).await.expect("changes");
    assert_eq!(none, NewestChanges::default());
    stand.put(&[patient(1, "Seoul")]).await;
    stand.pass(60_000);
    let first = store.newest_changes(None).await.expect("changes");
    assert_eq!(first.age_ms.get("patient"), Some(&60_000));
    stand.put(&[patient(2, "Seoul")]).await;
    let later = store.newest_changes(Some(first.cursor)).await.expect("changes");
    assert_eq!(later.age_ms.get("patient"), Some(&0));
    assert!(later.cursor > first.cursor);

    let record = host::store::HostRecord { id: "vm-1-ff".to_owned(), version: "1".to_owned(), ..Default::default() };
    store.register_host(&record).await.expect("register");
    let started_at = stand.now();
    stand.pass(30_000);
    let beats = store.heartbeats().await.expect("heartbeats");
    assert_eq!((beats[0].host.as_str(), beats[0].started_at, beats[0].age_ms), ("vm-1-ff", started_at, 30_000));
}

async fn failures_count_for_an_hour_and_of_their_target_alone(stand: Stand) {
    const HOUR_MS: i64 = 3_600_000;
    let (store, lately) = (&stand.store, async |target| stand.store.failed_lately(target).await.expect("count"));
    store.register_targets(&[(TARGET, true), ("other", true)]).await.expect("register");
    assert_eq!(lately(TARGET).await, 0);
    stand.put(&[patient(1, "Seoul"), patient(2, "Seoul"), patient(3, "Seoul"), patient(4, "Seoul")]).await;
    let batch = stand.claim_batch().await;
    let [one, another, waits, done] = &batch.deliveries[..] else { panic!("{:?}", batch.deliveries) };
    let settled = [
        failed(one, Status::Failed, 0),
        failed(another, Status::Failed, 0),
        failed(waits, Status::Pending, 60_000),
        confirmed(done, "7"),
    ];
    assert_eq!(store.settle(&batch.lease, &settled, None).await.expect("settle"), Settled::Written);
    assert_eq!((lately(TARGET).await, lately("other").await), (2, 0), "what waits to be tried again has not failed");
    stand.pass(HOUR_MS - 1);
    assert_eq!(lately(TARGET).await, 2);
    let again = stand.claim_batch().await;
    let settled = [failed(&again.deliveries[0], Status::Failed, 0)];
    assert_eq!(store.settle(&again.lease, &settled, None).await.expect("settle"), Settled::Written);
    assert_eq!(lately(TARGET).await, 3);
    stand.pass(1);
    assert_eq!(lately(TARGET).await, 1, "the others failed an hour ago");
    stand.pass(HOUR_MS);
    assert_eq!(lately(TARGET).await, 0);
    assert_eq!(stand.counts().await.failed, 3, "they are still there");
}

async fn a_rolled_back_adapter_is_found_until_another_is_active(stand: Stand) {
    let (store, target) = (&stand.store, target_name(TARGET));
    let event =
        |sha256| AdapterEvent { target: &target, name: "a", version: "1", sha256, reason: None, host: "host-a" };
    let found = async || store.all_rolled_back_adapters().await.expect("adapters");
    for sha256 in ["old", "new"] {
        assert!(store.activate_adapter(&event(sha256), sha256.as_bytes()).await.expect("activate"));
        assert_eq!(found().await, []);
    }
    assert!(store.roll_adapter_back("new", &event("old")).await.expect("roll back"));
    assert_eq!(found().await, [(TARGET.to_owned(), "new".to_owned())]);
    assert!(store.activate_adapter(&event("third"), b"third").await.expect("activate"));
    assert_eq!(found().await, []);
}
