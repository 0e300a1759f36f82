//! The steps of the protocol, when each may happen, and what must hold in every state.

use stateright::{Model, Property};

use crate::world::{Batch, CHANGES, Change, HOSTS, Lease, Status, Step, World};

/// Crashes and leases lost by a living host, together.
const FAULTS_MAX: u8 = 3;

pub(crate) const ONE_ROW: &str = "at most one row at the target";
pub(crate) const NO_WAY_BACK: &str = "no older state after a newer one at the target";
pub(crate) const NO_LOST_SETTLE: &str = "no settle by a lost lease";
pub(crate) const LINK_NO_WAY_BACK: &str = "the link never goes back";
pub(crate) const DONE_IS_THERE: &str = "what is done has been committed at the target";
pub(crate) const NOTHING_LOST: &str = "no lost change";
pub(crate) const LOST_AFTER_FENCE: &str = "a lease is lost between fence and commit";
pub(crate) const WAITS: &str = "a host waits for another's row";
pub(crate) const TWICE: &str = "a change is delivered twice";
pub(crate) const SUPERSEDED: &str = "a change is superseded";
pub(crate) const SUPERSEDED_AFTER_DISPATCH: &str =
    "a directly dispatched change is requeued, and superseded by a newer one";
pub(crate) const QUEUED_BEHIND_DIRECT: &str =
    "a newer change is queued while an older one is in flight without a delivery";
pub(crate) const SETTLED_DIRECT: &str = "a directly dispatched change is settled";

/// Which safeguard is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Without {
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
pub(crate) enum Action {
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

pub(crate) struct Protocol {
    pub(crate) without: Without,
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

    /// Whether a change may be dispatched directly: nothing of the patient is in flight, every other delivery is
    /// confirmed or replaced by what was, and the change is newer.
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
