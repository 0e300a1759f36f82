//! The delivery protocol as a model, every interleaving of which is tried: two hosts, one patient, two changes of it (1 and 2,
//! which may appear at any time and in either order), and a target database. A host may crash between any two steps and may
//! release a batch, a lease may expire at any time, and a pause of any length is a host that does not act while the others do.
//!
//! | model | code |
//! |---|---|
//! | `World::statuses` | the rows of `sync_delivery`; `Absent` is no row |
//! | `World::in_flight` | the rows of `sync_in_flight` |
//! | `World::leases` | the rows of `sync_lease` |
//! | `World::links` | the values of `sync_link.delivered_outbox_id`, in order |
//! | `Route` | `Store::route_to` queues a change: its delivery is pending |
//! | `Dispatch` | `Store::route_to` dispatches a change directly (`store/direct.rs`): in flight under a lease, without a delivery |
//! | `Protocol::eligible` | `newest::eligible_for_direct` |
//! | `Claim` | `Store::claim`: the newest change goes under a lease, older ones are superseded, a patient in flight is skipped |
//! | `Expire` | `Store::take_expired_leases`: the lease goes and its change is pending, in one transaction |
//! | `Release` | `Store::release`, also after a call that was aborted: the same, by the lease's own host |
//! | `World::requeue` | `StoreTransaction::requeue_in_flight`, which inserts the delivery of a change that has none |
//! | `Apply` | `Target::apply` in `deliver_once`: the adapter writes in a transaction of the target that stays open. The row is locked; another host's write of it waits, so its `Apply` is not enabled |
//! | `Fence` | `StoreFence::holds`, which is `Store::renew`: without the lease's row the transaction is rolled back |
//! | `Commit` | the commit that follows; between the two the lease may still be lost |
//! | `Settle` | `Store::settle`: done and linked while the lease is held, dropped otherwise. A directly dispatched change gets its delivery |
//! | `Crash` | forgets what the host did not commit; the target releases its locks |
//!
//! Left out: batches and their splitting (each part has its own transaction and fence), failures of the target, deletes, fifo
//! aggregates, retention, and targets without transactions (`doubt_model.rs`). Each statement group of the store is one step,
//! because it is one transaction there. Crashes, releases and leases taken from a living host are bounded by `FAULTS_MAX`; a
//! lease whose host is gone always expires.
//!
//! The model is tested too: each safeguard is taken away in turn, and a counterexample must appear. It must never touch a
//! database, or check the SQL; the store's own tests do that. Read next: `host/src/sync/delivery.rs`, `host/src/store/lease.rs`.

use stateright::{Checker, Model, Property};

const HOSTS: usize = 2;
const CHANGES: usize = 2;
/// Crashes and leases lost by a living host, together.
const FAULTS_MAX: u8 = 3;

const ONE_ROW: &str = "at most one row at the target";
const NO_WAY_BACK: &str = "no older state after a newer one at the target";
const NO_LOST_SETTLE: &str = "no settle by a lost lease";
const LINK_NO_WAY_BACK: &str = "the link never goes back";
const DONE_IS_THERE: &str = "what is done has been committed at the target";
const NOTHING_LOST: &str = "no lost change";
const LOST_AFTER_FENCE: &str = "a lease is lost between fence and commit";
const WAITS: &str = "a host waits for another's row";
const TWICE: &str = "a change is delivered twice";
const SUPERSEDED: &str = "a change is superseded";
const SUPERSEDED_AFTER_DISPATCH: &str = "a directly dispatched change is requeued, and superseded by a newer one";
const QUEUED_BEHIND_DIRECT: &str = "a newer change is queued while an older one is in flight without a delivery";
const SETTLED_DIRECT: &str = "a directly dispatched change is settled";

/// A change's id; also the state that it brings to the target.
type Change = u8;

/// Which safeguard is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    /// The protocol as it is.
    Nothing,
    /// Commits without a check of the lease.
    Fence,
    /// Checks the lease before the write instead of after it, when nothing is locked yet.
    FenceAfterApply,
    /// Settles by the change's id, whoever holds the lease.
    SettleGuard,
    /// Two changes of a patient may be in flight at once.
    InFlightKey,
    /// Dispatches a change directly without comparing it with the patient's other deliveries and the confirmed change.
    DirectEligibility,
    /// Requeues a batch without inserting the deliveries of directly dispatched changes.
    RequeueInsert,
    /// Marks a change as routed in a transaction before the one that enters it as in flight.
    DispatchAtOnce,
    /// Nothing at the target keeps two rows of one patient apart, nor lets one insert wait for another.
    UniqueKey,
    /// Writes to the same row do not wait for each other.
    RowLock,
    /// A lease never expires, even when its host is gone.
    Expiry,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Status {
    Absent,
    Pending,
    Processing,
    Done,
    Superseded,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Lease {
    id: u8,
    change: Change,
    is_direct: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    /// Only without `DispatchAtOnce`: marked as routed, not in flight.
    Routed,
    /// Under a lease, nothing written.
    Claimed,
    /// Only without `FenceAfterApply`: the lease was checked, nothing written.
    Checked,
    /// Written in an open transaction.
    Applied,
    /// The same, and the next thing the host does is to commit.
    MayCommit,
    /// Committed at the target, not settled.
    Committed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Batch {
    lease: Lease,
    step: Step,
    /// Whether the open transaction inserts: it saw no row.
    inserts: bool,
}

impl Batch {
    fn in_transaction(self) -> bool {
        matches!(self.step, Step::Applied | Step::MayCommit)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    // The store.
    statuses: [Status; CHANGES],
    routed: [bool; CHANGES],
    in_flight: Vec<Lease>,
    leases: Vec<Lease>,
    last_lease_id: u8,
    /// Changes that were dispatched directly and then requeued.
    requeued: [bool; CHANGES],
    /// What `sync_link.delivered_outbox_id` was set to, in order.
    links: Vec<Change>,
    // The target.
    rows: Vec<Change>,
    /// What was committed, in order.
    history: Vec<Change>,
    /// The batch of each host; `None` is idle.
    hosts: [Option<Batch>; HOSTS],
    faults: u8,
    /// Set when a settle wrote after its lease had been lost.
    lost_lease_settled: bool,
    /// Set when a directly dispatched change was settled.
    direct_settled: bool,
}

impl World {
    fn status(&mut self, change: Change) -> &mut Status {
        &mut self.statuses[usize::from(change) - 1]
    }

    /// The newest change that has a delivery; 0 when there is none.
    fn newest(&self) -> Change {
        (1..)
            .zip(self.statuses)
            .filter(|(_, status)| *status != Status::Absent)
            .map(|(change, _)| change)
            .max()
            .unwrap_or(0)
    }

    /// The newest change that the target confirmed; 0 when there is none.
    fn confirmed(&self) -> Change {
        self.links.iter().max().copied().unwrap_or(0)
    }

    fn holds(&self, lease: Lease) -> bool {
        self.leases.contains(&lease)
    }

    /// Begins a lease for a change and enters it as in flight.
    fn begin(&mut self, host: usize, change: Change, is_direct: bool) {
        self.last_lease_id += 1;
        let lease = Lease { id: self.last_lease_id, change, is_direct };
        self.leases.push(lease);
        self.in_flight.push(lease);
        self.hosts[host] = Some(Batch { lease, step: Step::Claimed, inserts: false });
    }

    fn drop_lease(&mut self, lease: Lease) -> bool {
        let held = self.holds(lease);
        self.leases.retain(|other| *other != lease);
        held
    }

    /// Ends a lease and makes its change pending; nothing when the lease was lost before.
    fn requeue(&mut self, lease: Lease, without: Without) {
        if !self.drop_lease(lease) {
            return;
        }
        self.in_flight.retain(|other| *other != lease);
        let status = *self.status(lease.change);
        if status == Status::Processing || (status == Status::Absent && without != Without::RequeueInsert) {
            *self.status(lease.change) = Status::Pending;
        }
        self.requeued[usize::from(lease.change) - 1] |= lease.is_direct;
    }

    fn has_host(&self, lease: Lease) -> bool {
        self.hosts.iter().flatten().any(|batch| batch.lease == lease)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Action {
    Route(Change),
    Dispatch(usize, Change),
    /// Only without `DispatchAtOnce`: the second half of `Dispatch`.
    Enter(usize),
    Claim(usize),
    Expire(Lease),
    Apply(usize),
    Fence(usize),
    Commit(usize),
    Settle(usize),
    Release(usize),
    Crash(usize),
}

struct Protocol {
    without: Without,
}

impl Protocol {
    /// Whether a write of the patient's row would wait for another host's open transaction.
    fn waits(&self, world: &World, host: usize) -> bool {
        let others = world.hosts.iter().enumerate().filter(|(index, _)| *index != host).filter_map(|(_, batch)| *batch);
        self.without != Without::RowLock
            && others
                .filter(|batch| batch.in_transaction())
                .any(|batch| !batch.inserts || self.without != Without::UniqueKey)
    }

    fn next_of(&self, world: &World, host: usize, batch: Batch) -> Option<Action> {
        let applies_first = self.without != Without::FenceAfterApply;
        match batch.step {
            Step::Routed => Some(Action::Enter(host)),
            Step::Claimed if !applies_first => Some(Action::Fence(host)),
            Step::Claimed | Step::Checked => (!self.waits(world, host)).then_some(Action::Apply(host)),
            Step::Applied => Some(Action::Fence(host)),
            Step::MayCommit => Some(Action::Commit(host)),
            Step::Committed => Some(Action::Settle(host)),
        }
    }

    /// Whether a change may be dispatched directly: nothing of the patient is in flight, every other delivery is confirmed or
    /// replaced by what was, and the change is newer.
    fn eligible(&self, world: &World, change: Change) -> bool {
        let is_newest = change > world.confirmed() && world.newest() <= world.confirmed();
        self.may_begin(world) && (is_newest || self.without == Without::DirectEligibility)
    }

    /// Whether the key of `sync_in_flight` allows another change of the patient.
    fn may_begin(&self, world: &World) -> bool {
        world.in_flight.is_empty() || self.without == Without::InFlightKey
    }

    fn claim(world: &mut World, host: usize) {
        let newest = world.newest();
        for change in 1..newest {
            if *world.status(change) == Status::Pending {
                *world.status(change) = Status::Superseded;
            }
        }
        // Otherwise everything that was due is superseded.
        if *world.status(newest) == Status::Pending {
            *world.status(newest) = Status::Processing;
            world.begin(host, newest, false);
        }
    }

    fn apply(&self, world: &World, batch: Batch) -> Batch {
        let step = match self.without {
            Without::Fence | Without::FenceAfterApply => Step::MayCommit,
            _ => Step::Applied,
        };
        Batch { step, inserts: world.rows.is_empty(), ..batch }
    }

    fn commit(&self, world: &mut World, batch: Batch) -> Batch {
        let inserts = batch.inserts && (world.rows.is_empty() || self.without == Without::UniqueKey);
        if inserts {
            world.rows.push(batch.lease.change);
        } else {
            world.rows.fill(batch.lease.change);
        }
        world.history.push(batch.lease.change);
        Batch { step: Step::Committed, inserts: false, ..batch }
    }

    fn settle(&self, world: &mut World, lease: Lease) {
        let held = world.drop_lease(lease);
        if held || self.without == Without::SettleGuard {
            world.lost_lease_settled |= !held;
            world.direct_settled |= lease.is_direct;
            world.in_flight.retain(|other| other.change != lease.change);
            *world.status(lease.change) = Status::Done;
            world.links.push(lease.change);
        }
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            statuses: [Status::Absent; CHANGES],
            routed: [false; CHANGES],
            in_flight: Vec::new(),
            leases: Vec::new(),
            last_lease_id: 0,
            requeued: [false; CHANGES],
            links: Vec::new(),
            rows: Vec::new(),
            history: Vec::new(),
            hosts: [None; HOSTS],
            faults: 0,
            lost_lease_settled: false,
            direct_settled: false,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let may_fail = world.faults < FAULTS_MAX;
        let due = world.statuses.contains(&Status::Pending) && self.may_begin(world);
        let unrouted: Vec<Change> =
            (1..).zip(world.routed).filter(|(_, routed)| !routed).map(|(change, _)| change).collect();
        actions.extend(unrouted.iter().map(|change| Action::Route(*change)));
        for lease in &world.leases {
            if self.without != Without::Expiry && (may_fail || !world.has_host(*lease)) {
                actions.push(Action::Expire(*lease));
            }
        }
        for (host, batch) in world.hosts.iter().enumerate() {
            match batch {
                None => {
                    actions.extend(due.then_some(Action::Claim(host)));
                    let eligible = unrouted.iter().filter(|change| self.eligible(world, **change));
                    actions.extend(eligible.map(|change| Action::Dispatch(host, *change)));
                }
                Some(batch) => {
                    actions.extend(self.next_of(world, host, *batch));
                    if may_fail {
                        actions.push(Action::Crash(host));
                    }
                    if may_fail && matches!(batch.step, Step::Claimed | Step::Applied) {
                        actions.push(Action::Release(host));
                    }
                }
            }
        }
    }

    fn next_state(&self, before: &World, action: Action) -> Option<World> {
        let mut world = before.clone();
        match action {
            Action::Route(change) => {
                world.routed[usize::from(change) - 1] = true;
                *world.status(change) = Status::Pending;
            }
            Action::Dispatch(host, change) => {
                world.routed[usize::from(change) - 1] = true;
                if self.without == Without::DispatchAtOnce {
                    let lease = Lease { id: 0, change, is_direct: true };
                    world.hosts[host] = Some(Batch { lease, step: Step::Routed, inserts: false });
                } else {
                    world.begin(host, change, true);
                }
            }
            Action::Enter(host) => {
                let change = before.hosts[host]?.lease.change;
                if self.may_begin(before) {
                    world.begin(host, change, true);
                } else {
                    *world.status(change) = Status::Pending;
                    world.hosts[host] = None;
                }
            }
            Action::Claim(host) => Self::claim(&mut world, host),
            Action::Expire(lease) => {
                world.faults += u8::from(world.has_host(lease));
                world.requeue(lease, self.without);
            }
            Action::Release(host) => {
                world.requeue(before.hosts[host]?.lease, self.without);
                world.hosts[host] = None;
                world.faults += 1;
            }
            Action::Apply(host) => world.hosts[host] = Some(self.apply(before, before.hosts[host]?)),
            Action::Fence(host) => {
                let batch = before.hosts[host]?;
                let step = if batch.step == Step::Claimed { Step::Checked } else { Step::MayCommit };
                world.hosts[host] = world.holds(batch.lease).then_some(Batch { step, ..batch });
            }
            Action::Commit(host) => world.hosts[host] = Some(self.commit(&mut world, before.hosts[host]?)),
            Action::Settle(host) => {
                self.settle(&mut world, before.hosts[host]?.lease);
                world.hosts[host] = None;
            }
            Action::Crash(host) => {
                world.hosts[host] = None;
                world.faults += 1;
            }
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_ROW, |_, world: &World| world.rows.len() <= 1),
            Property::always(NO_WAY_BACK, |_, world: &World| world.history.is_sorted()),
            Property::always(NO_LOST_SETTLE, |_, world: &World| !world.lost_lease_settled),
            Property::always(LINK_NO_WAY_BACK, |_, world: &World| world.links.is_sorted()),
            Property::always(DONE_IS_THERE, |_, world: &World| {
                let there = world.history.iter().max().copied().unwrap_or(0);
                (1..).zip(world.statuses).all(|(change, status)| status != Status::Done || change <= there)
            }),
            // Every path ends, since faults are bounded: where it ends, all must be well.
            Property::always(NOTHING_LOST, |model: &Self, world: &World| {
                let mut actions = Vec::new();
                model.actions(world, &mut actions);
                let delivered = world.statuses[1] == Status::Done
                    && matches!(world.statuses[0], Status::Done | Status::Superseded)
                    && world.rows.last() == Some(&2)
                    && world.links.last() == Some(&2);
                !actions.is_empty() || delivered
            }),
            // What the properties above would be worth little without.
            Property::sometimes(LOST_AFTER_FENCE, |_, world: &World| {
                world.hosts.iter().flatten().any(|batch| batch.step == Step::MayCommit && !world.holds(batch.lease))
            }),
            Property::sometimes(WAITS, |model: &Self, world: &World| {
                (0..HOSTS).any(|host| {
                    world.hosts[host].is_some_and(|batch| batch.step == Step::Claimed) && model.waits(world, host)
                })
            }),
            Property::sometimes(TWICE, |_, world: &World| world.history.windows(2).any(|pair| pair[0] == pair[1])),
            Property::sometimes(SUPERSEDED, |_, world: &World| world.statuses.contains(&Status::Superseded)),
            Property::sometimes(SUPERSEDED_AFTER_DISPATCH, |_, world: &World| {
                world
                    .requeued
                    .iter()
                    .zip(world.statuses)
                    .any(|(requeued, status)| *requeued && status == Status::Superseded)
            }),
            Property::sometimes(QUEUED_BEHIND_DIRECT, |_, world: &World| {
                world.in_flight.iter().any(|lease| lease.is_direct && lease.change == 1)
                    && world.statuses == [Status::Absent, Status::Pending]
            }),
            Property::sometimes(SETTLED_DIRECT, |_, world: &World| world.direct_settled),
        ]
    }
}

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
fn the_protocol_holds() {
    let checker = check(Without::Nothing);
    assert!(checker.is_done());
    checker.assert_properties();
}

#[test]
fn without_the_fence_an_older_state_follows_a_newer_one() {
    breaks(Without::Fence, &[NO_WAY_BACK, NOTHING_LOST]);
}

#[test]
fn a_fence_before_the_write_is_no_fence() {
    breaks(Without::FenceAfterApply, &[NO_WAY_BACK, NOTHING_LOST]);
}

#[test]
fn without_the_guard_a_lost_lease_settles() {
    // Settled under its new holder, the change no longer keeps the next one from being claimed: the two race.
    breaks(Without::SettleGuard, &[NO_WAY_BACK, NO_LOST_SETTLE, LINK_NO_WAY_BACK, NOTHING_LOST]);
}

#[test]
fn without_the_key_of_what_is_in_flight_two_changes_overtake_each_other() {
    breaks(Without::InFlightKey, &[NO_WAY_BACK, LINK_NO_WAY_BACK, NOTHING_LOST]);
}

#[test]
fn without_the_unique_key_a_patient_is_there_twice() {
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
fn a_change_that_is_routed_before_it_is_in_flight_is_lost_or_overtaken() {
    // In between, a newer change is dispatched and settled, and the older one follows.
    breaks(Without::DispatchAtOnce, &[NO_WAY_BACK, LINK_NO_WAY_BACK, NOTHING_LOST]);
}
