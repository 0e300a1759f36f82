//! The delivery protocol as a model, every interleaving of which is tried: two hosts, one patient, two changes of it (1,
//! then 2, which may appear at any time), and a target database. A host may crash between any two steps, a lease may run
//! out at any time, and a pause of any length is a host that does not act while the others do.
//!
//! How it maps to the code:
//! - `Route` is the router giving the target a delivery of change 2 (`Store::route`).
//! - `Claim` is `Store::claim`: the newest change goes under a lease with a new epoch, older pending ones are superseded,
//!   a patient in work (`sync_work`) is passed over.
//! - `Expire` is `Store::take_expired_leases`: the lease goes and its delivery is pending again, in one transaction.
//! - `Apply` is `Target::apply` in `deliver_once`: the adapter writes within a transaction of the target that stays open.
//!   The row it writes is locked; another host's write of it waits, which here means that its `Apply` is not enabled.
//! - `Fence` is `StoreFence::holds`, which is `Store::renew`: without the lease's row the transaction is rolled back.
//! - `Commit` is the commit that follows; between the two the lease may still be lost.
//! - `Settle` is `Store::settle`: done and linked while the lease's row is there, dropped otherwise.
//! - `Crash` forgets what the host did not commit, and the target frees its locks.
//!
//! Left out: batches and their splitting (each part has its own transaction and fence), failures of the target and the
//! release of a lease (to the protocol a host that stops early, as in a crash), deletes, fifo aggregates, and targets
//! without transactions. Each statement group of the store is one step, because it is one transaction there. Crashes and
//! leases taken from a living host are bounded by `FAULTS_MAX`; a lease whose host is gone always runs out.
//!
//! That the model can find anything is tested too: each safeguard is taken away in turn, and a counterexample must appear.
//! Must never do: touch a database, or say anything of the SQL; the store's own tests do that.
//! Read next: `host/src/sync/delivery.rs`, `host/src/store/lease.rs`.

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

/// A change's id; also the state that it brings to the target.
type Change = u8;

/// Which safeguard is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    /// The protocol as it is.
    Nothing,
    /// Commits without asking whether the lease stands.
    Fence,
    /// Asks before it writes instead of after: nothing is locked yet when the answer comes.
    FenceAfterApply,
    /// Settles by the change's id, whoever holds the lease.
    SettleGuard,
    /// Two changes of a patient may be in work at once.
    ActiveKey,
    /// Nothing at the target keeps two rows of one patient apart, nor lets one insert wait for another.
    UniqueKey,
    /// Writes to the same row do not wait for each other.
    RowLock,
    /// A lease stands for ever, also when its host is gone.
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
    epoch: u8,
    change: Change,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    /// Under a lease, nothing written.
    Claimed,
    /// Only without `FenceAfterApply`: asked, nothing written.
    Asked,
    /// Written in an open transaction.
    Applied,
    /// The same, and the next thing the host does is to commit.
    MayCommit,
    /// Committed at the target, not settled.
    Committed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Work {
    lease: Lease,
    step: Step,
    /// Whether the open transaction inserts: it saw no row.
    inserts: bool,
}

impl Work {
    fn in_transaction(self) -> bool {
        matches!(self.step, Step::Applied | Step::MayCommit)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    // The store.
    statuses: [Status; CHANGES],
    leases: Vec<Lease>,
    last_epoch: u8,
    /// What `sync_link.delivered_outbox_id` was set to, in order.
    links: Vec<Change>,
    // The target.
    rows: Vec<Change>,
    /// What was committed, in order.
    history: Vec<Change>,
    /// What each host is at; `None` is idle.
    hosts: [Option<Work>; HOSTS],
    faults: u8,
    /// Set when a settle wrote though its lease had been taken away.
    lost_lease_settled: bool,
}

impl World {
    fn status(&mut self, change: Change) -> &mut Status {
        &mut self.statuses[usize::from(change) - 1]
    }

    /// The newest change that the router has seen.
    fn newest(&self) -> Change {
        if self.statuses[1] == Status::Absent { 1 } else { 2 }
    }

    fn stands(&self, lease: Lease) -> bool {
        self.leases.contains(&lease)
    }

    fn drop_lease(&mut self, lease: Lease) -> bool {
        let stood = self.stands(lease);
        self.leases.retain(|other| *other != lease);
        stood
    }

    fn has_host(&self, lease: Lease) -> bool {
        self.hosts.iter().flatten().any(|work| work.lease == lease)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Action {
    Route,
    Claim(usize),
    Expire(Lease),
    Apply(usize),
    Fence(usize),
    Commit(usize),
    Settle(usize),
    Crash(usize),
}

struct Protocol {
    without: Without,
}

impl Protocol {
    /// Whether a write of the patient's row would wait for another host's open transaction.
    fn waits(&self, world: &World, host: usize) -> bool {
        let others = world.hosts.iter().enumerate().filter(|(index, _)| *index != host).filter_map(|(_, work)| *work);
        self.without != Without::RowLock
            && others
                .filter(|work| work.in_transaction())
                .any(|work| !work.inserts || self.without != Without::UniqueKey)
    }

    fn next_of(&self, world: &World, host: usize, work: Work) -> Option<Action> {
        let applies_first = self.without != Without::FenceAfterApply;
        match work.step {
            Step::Claimed if !applies_first => Some(Action::Fence(host)),
            Step::Claimed | Step::Asked => (!self.waits(world, host)).then_some(Action::Apply(host)),
            Step::Applied => Some(Action::Fence(host)),
            Step::MayCommit => Some(Action::Commit(host)),
            Step::Committed => Some(Action::Settle(host)),
        }
    }

    fn claim(world: &mut World, host: usize) {
        let newest = world.newest();
        for change in 1..newest {
            if *world.status(change) == Status::Pending {
                *world.status(change) = Status::Superseded;
            }
        }
        // Otherwise all that was due is moot.
        if *world.status(newest) == Status::Pending {
            *world.status(newest) = Status::Processing;
            world.last_epoch += 1;
            let lease = Lease { epoch: world.last_epoch, change: newest };
            world.leases.push(lease);
            world.hosts[host] = Some(Work { lease, step: Step::Claimed, inserts: false });
        }
    }

    fn apply(&self, world: &World, work: Work) -> Work {
        let step = match self.without {
            Without::Fence | Without::FenceAfterApply => Step::MayCommit,
            _ => Step::Applied,
        };
        Work { step, inserts: world.rows.is_empty(), ..work }
    }

    fn commit(&self, world: &mut World, work: Work) -> Work {
        let inserts = work.inserts && (world.rows.is_empty() || self.without == Without::UniqueKey);
        if inserts {
            world.rows.push(work.lease.change);
        } else {
            world.rows.fill(work.lease.change);
        }
        world.history.push(work.lease.change);
        Work { step: Step::Committed, inserts: false, ..work }
    }

    fn settle(&self, world: &mut World, lease: Lease) {
        let stood = world.drop_lease(lease);
        if stood || self.without == Without::SettleGuard {
            world.lost_lease_settled |= !stood;
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
            statuses: [Status::Pending, Status::Absent],
            leases: Vec::new(),
            last_epoch: 0,
            links: Vec::new(),
            rows: Vec::new(),
            history: Vec::new(),
            hosts: [None; HOSTS],
            faults: 0,
            lost_lease_settled: false,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let may_fail = world.faults < FAULTS_MAX;
        let in_work = world.statuses.contains(&Status::Processing) && self.without != Without::ActiveKey;
        let due = world.statuses.contains(&Status::Pending) && !in_work;
        if world.statuses[1] == Status::Absent {
            actions.push(Action::Route);
        }
        for lease in &world.leases {
            if self.without != Without::Expiry && (may_fail || !world.has_host(*lease)) {
                actions.push(Action::Expire(*lease));
            }
        }
        for (host, work) in world.hosts.iter().enumerate() {
            match work {
                None if due => actions.push(Action::Claim(host)),
                None => {}
                Some(work) => {
                    actions.extend(self.next_of(world, host, *work));
                    if may_fail {
                        actions.push(Action::Crash(host));
                    }
                }
            }
        }
    }

    fn next_state(&self, before: &World, action: Action) -> Option<World> {
        let mut world = before.clone();
        match action {
            Action::Route => world.statuses[1] = Status::Pending,
            Action::Claim(host) => Self::claim(&mut world, host),
            Action::Expire(lease) => {
                world.faults += u8::from(world.has_host(lease));
                world.drop_lease(lease);
                if *world.status(lease.change) == Status::Processing {
                    *world.status(lease.change) = Status::Pending;
                }
            }
            Action::Apply(host) => world.hosts[host] = Some(self.apply(before, before.hosts[host]?)),
            Action::Fence(host) => {
                let work = before.hosts[host]?;
                let step = if work.step == Step::Claimed { Step::Asked } else { Step::MayCommit };
                world.hosts[host] = world.stands(work.lease).then_some(Work { step, ..work });
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
                world.hosts.iter().flatten().any(|work| work.step == Step::MayCommit && !world.stands(work.lease))
            }),
            Property::sometimes(WAITS, |model: &Self, world: &World| {
                (0..HOSTS).any(|host| {
                    world.hosts[host].is_some_and(|work| work.step == Step::Claimed) && model.waits(world, host)
                })
            }),
            Property::sometimes(TWICE, |_, world: &World| world.history.windows(2).any(|pair| pair[0] == pair[1])),
            Property::sometimes(SUPERSEDED, |_, world: &World| world.statuses.contains(&Status::Superseded)),
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
fn without_the_key_of_what_is_in_work_two_changes_overtake_each_other() {
    breaks(Without::ActiveKey, &[NO_WAY_BACK, LINK_NO_WAY_BACK, NOTHING_LOST]);
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
