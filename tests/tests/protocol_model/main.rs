//! The delivery protocol as a model, every interleaving of which is tried: two hosts, one patient, two changes of it (1
//! and 2, which may appear at any time and in either order), and a target database. A host may crash between any two
//! steps and may release a batch, a lease may expire at any time, and a pause of any length is a host that does not act
//! while the others do.
//!
//! | model | code |
//! |---|---|
//! | `World::statuses` | the rows of `sync_delivery`; `Absent` is no row |
//! | `World::in_flight` | the rows of `sync_in_flight` |
//! | `World::leases` | the rows of `sync_lease` |
//! | `World::links` | the values of `sync_link.delivered_outbox_id`, in order |
//! | `Route` | `Store::route` queues a change: its delivery is pending |
//! | `Dispatch` | `Store::route` dispatches a change directly (`store/direct.rs`): in flight under a lease, without a delivery |
//! | `Protocol::eligible` | `newest::eligible_for_direct` |
//! | `Claim` | `Store::claim`: the newest change goes under a lease, older ones are superseded, a patient in flight is skipped |
//! | `Expire` | `Store::take_expired_leases`: the lease goes and its change is pending, in one transaction |
//! | `Release` | `Store::release`, also after a call that was aborted: the same, by the lease's own host |
//! | `World::requeue` | `StoreTransaction::requeue_in_flight`, which inserts the delivery of a change that has none |
//! | `Apply` | `TargetSession` (`host/src/target/session.rs`): the adapter writes in a transaction of the target that stays open. The row is locked; another host's write of it waits, so its `Apply` is not enabled |
//! | `Fence` | `StoreFence::renew`, which is `Store::renew_for`: without the lease's row the transaction is rolled back |
//! | `Commit` | the commit that follows; between the two the lease may still be lost |
//! | `Settle` | `Store::settle`: done and linked while the lease is held, dropped otherwise. A directly dispatched change gets its delivery |
//! | `Crash` | forgets what the host did not commit; the target releases its locks |
//!
//! Left out: batches and their splitting (each part has its own transaction and fence), failures of the target,
//! deletes, fifo aggregates, retention, and targets without transactions (`doubt_model.rs`). Each statement group of
//! the store is one step, because it is one transaction there. Crashes, releases and leases taken from a living host
//! are bounded by `FAULTS_MAX`; a lease whose host is gone always expires.
//!
//! The model is tested too: each safeguard is taken away in turn, and a counterexample must appear. It must never touch
//! a database, or check the SQL; the store's own tests do that. Read next: `host/src/target/session.rs`,
//! `host/src/store/lease.rs`.

mod protocol;
mod world;

use stateright::{Checker, Model};

use protocol::{
    DONE_IS_THERE, LINK_NO_WAY_BACK, NO_LOST_SETTLE, NO_WAY_BACK, NOTHING_LOST, ONE_ROW, Protocol, Without,
};

/// Tries every interleaving.
fn check(without: Without) -> impl Checker<Protocol> {
    Protocol { without }.checker().spawn_bfs().join()
}

/// Expects exactly the `broken` ones of the properties that must always hold to have a counterexample.
fn breaks(without: Without, broken: &[&str]) {
    let checker = check(without);
    let always = [ONE_ROW, NO_WAY_BACK, NO_LOST_SETTLE, LINK_NO_WAY_BACK, DONE_IS_THERE, NOTHING_LOST];
    let found: Vec<_> = always.into_iter().filter(|property| checker.discovery(property).is_some()).collect();
    assert_eq!(found, broken, "without {without:?}");
}

#[test]
fn the_protocol_keeps_its_properties() {
    let checker = check(Without::Nothing);
    assert!(checker.is_done());
    checker.assert_properties();
}

#[test]
fn without_the_fence_an_older_state_follows_a_newer_one() {
    breaks(Without::Fence, &[NO_WAY_BACK, NOTHING_LOST]);
}

#[test]
fn a_fence_before_the_write_does_not_protect() {
    breaks(Without::FenceAfterApply, &[NO_WAY_BACK, NOTHING_LOST]);
}

#[test]
fn without_the_guard_a_lost_lease_settles() {
    // Settled under its new holder, the change no longer keeps the next one from being claimed: the two race.
    breaks(Without::SettleGuard, &[NO_WAY_BACK, NO_LOST_SETTLE, LINK_NO_WAY_BACK, NOTHING_LOST]);
}

#[test]
fn without_the_in_flight_key_two_changes_overtake_each_other() {
    breaks(Without::InFlightKey, &[NO_WAY_BACK, LINK_NO_WAY_BACK, NOTHING_LOST]);
}

#[test]
fn without_the_unique_key_a_patient_is_duplicated() {
    // And where the inserts do not wait for each other, the fence orders nothing either.
    breaks(Without::UniqueKey, &[ONE_ROW, NO_WAY_BACK, NOTHING_LOST]);
}

#[test]
fn without_the_row_lock_an_older_state_follows_a_newer_one() {
    breaks(Without::RowLock, &[NO_WAY_BACK, NOTHING_LOST]);
}

#[test]
fn without_expiry_a_crash_loses_a_change() {
    breaks(Without::Expiry, &[NOTHING_LOST]);
}

#[test]
fn without_a_comparison_an_older_change_is_dispatched_after_a_newer_one() {
    breaks(Without::DirectEligibility, &[NO_WAY_BACK, LINK_NO_WAY_BACK, NOTHING_LOST]);
}

#[test]
fn without_a_row_when_its_lease_ends_a_directly_dispatched_change_is_lost() {
    // Without a trace of it, an older change is also dispatched after it.
    breaks(Without::RequeueInsert, &[NO_WAY_BACK, NOTHING_LOST]);
}

#[test]
fn a_change_routed_before_it_is_in_flight_is_lost_or_overtaken() {
    // In between, a newer change is dispatched and settled, and the older one follows.
    breaks(Without::DispatchAtOnce, &[NO_WAY_BACK, LINK_NO_WAY_BACK, NOTHING_LOST]);
}
