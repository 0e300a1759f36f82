//! An adapter that is held, on every store: it is not activated until an operator accepts it.

use host::domain::effect_difference::{EffectDifference, EffectDifferenceKind, EffectDifferences};
use host::domain::ids::TargetName;
use host::store::{AdapterEvent, AdapterEventKind};

use crate::support::{Stand, TARGET, target_name};

crate::on_every_store!(
    a_held_adapter_is_activated_only_when_it_was_accepted,
    an_adapter_that_was_activated_meanwhile_is_rolled_back,
    another_adapter_or_a_reload_ends_a_hold,
);

fn event<'a>(target: &'a TargetName, sha256: &'a str) -> AdapterEvent<'a> {
    AdapterEvent { target, name: "a", version: "1", sha256, reason: None, host: "host-a" }
}

fn differences() -> EffectDifferences {
    let mut found = EffectDifferences::default();
    found.add(EffectDifference::new(
        EffectDifferenceKind::OtherValue,
        "person.born",
        Some("UPDATE person SET born = ?"),
    ));
    found
}

async fn active(stand: &Stand) -> Option<String> {
    stand.store.desired_state(TARGET).await.expect("read").adapter_sha256
}

async fn events(stand: &Stand) -> Vec<AdapterEventKind> {
    let history = stand.store.adapter_history(Some(TARGET), 100).await.expect("history");
    history.into_iter().rev().map(|record| record.event).collect()
}

async fn a_held_adapter_is_activated_only_when_it_was_accepted(stand: Stand) {
    use AdapterEventKind::{Accepted, Held, InForce};
    let target = target_name(TARGET);
    let (old, new) = (event(&target, "old"), event(&target, "new"));
    assert!(stand.store.activate_adapter(&old, b"old").await.expect("activate"));
    assert!(!stand.store.accept_adapter(&new).await.expect("accept"), "nothing is held");
    assert!(stand.store.hold_adapter(&new, &old, &differences()).await.expect("hold"));
    assert!(!stand.store.hold_adapter(&new, &old, &differences()).await.expect("hold"), "another host was quicker");
    assert!(!stand.store.activate_adapter(&new, b"new").await.expect("activate"), "it is held");
    let status = stand.store.status(0).await.expect("status").targets.remove(TARGET).expect("the target");
    let held = status.held.expect("held");
    assert_eq!((held.sha256.as_str(), &held.differences, held.accepted_at), ("new", &differences(), None));
    let desired = stand.store.desired_state(TARGET).await.expect("read");
    assert_eq!((desired.held_sha256.as_deref(), desired.accepted_sha256), (Some("new"), None));
    assert!(!stand.store.accept_adapter(&event(&target, "other")).await.expect("accept"), "exactly one digest");

    assert!(stand.store.accept_adapter(&new).await.expect("accept"));
    let accepted = stand.store.desired_state(TARGET).await.expect("read");
    assert_eq!((accepted.held_sha256, accepted.accepted_sha256.as_deref()), (None, Some("new")));
    assert_eq!(accepted.reload_requests, desired.reload_requests + 1, "hosts load its file again");
    assert!(stand.store.activate_adapter(&new, b"new").await.expect("activate"));
    assert_eq!(active(&stand).await.as_deref(), Some("new"));
    assert_eq!(events(&stand).await, [InForce, Held, Accepted, InForce]);
}

async fn an_adapter_that_was_activated_meanwhile_is_rolled_back(stand: Stand) {
    use AdapterEventKind::{Held, InForce, RolledBack};
    let target = target_name(TARGET);
    let (old, new) = (event(&target, "old"), event(&target, "new"));
    assert!(stand.store.activate_adapter(&old, b"old").await.expect("activate"));
    assert!(stand.store.activate_adapter(&new, b"new").await.expect("activate"));
    assert!(stand.store.hold_adapter(&new, &old, &differences()).await.expect("hold"));
    assert_eq!(active(&stand).await.as_deref(), Some("old"));
    assert_eq!(events(&stand).await, [InForce, InForce, RolledBack, Held]);
    assert_eq!(stand.store.rolled_back_adapters(TARGET).await.expect("read"), ["new"]);
    assert!(stand.store.accept_adapter(&new).await.expect("accept"));
    let desired = stand.store.desired_state(TARGET).await.expect("read");
    assert_eq!(desired.rejected_sha256, None, "its file is loaded again");
}

async fn another_adapter_or_a_reload_ends_a_hold(stand: Stand) {
    let target = target_name(TARGET);
    let (old, new) = (event(&target, "old"), event(&target, "new"));
    assert!(stand.store.activate_adapter(&old, b"old").await.expect("activate"));
    let is_held = async || stand.store.desired_state(TARGET).await.expect("read").held_sha256.is_some();
    for end in 0..3 {
        assert!(stand.store.hold_adapter(&new, &old, &differences()).await.expect("hold"));
        assert!(is_held().await);
        match end {
            0 => stand.store.end_hold(&target).await.expect("end"),
            1 => stand.store.request_reload(&target).await.expect("reload"),
            _ => {
                let third = event(&target, "third");
                assert!(stand.store.activate_adapter(&third, b"third").await.expect("activate"));
            }
        }
        assert!(!is_held().await, "{end}");
    }
}
