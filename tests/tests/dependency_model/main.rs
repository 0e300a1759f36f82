//! Waiting for references as a model, every interleaving of which is tried: a delivery that depends on two aggregates,
//! a router that queues it at any time, and two hosts that each deliver one of the two. A host may die after any step,
//! and an operator may undo a link, which is then made again.
//!
//! How it maps to the code:
//! - `Check` and `Queue` are the transaction of `Store::route`: `hold_dependents` reads the links, the commit follows.
//! - `LookAgain` and `WakeQueued` are `Store::wake_queued`, after that commit.
//! - `Link` is `Store::settle`; `Look` and `Wake` are `Store::wake_dependents` after it: a read, and a compare-and-set.
//! - `Rescue` is `Store::wake_ready`, which any host does now and then.
//! - `Claim` is `Store::claim`, `Load` is `Store::load`: it reads the links, and calls the adapter or `wait_again`s.
//! - `Unlink` is `Store::resolve_conflict` with a relink.
//!
//! Left out: leases (`protocol_model`), several targets, and chains, where each link is one of these. That the model
//! can find anything is tested too: each safeguard is taken away in turn, and a counterexample must appear. It must
//! never touch a database. `waits_once.rs` has two states of one aggregate. Read next:
//! `host/src/store/dependencies.rs`.

mod waits_once;

use stateright::{Checker, Model, Property};

/// The two aggregates that the delivery depends on, and the hosts that deliver them.
const REFERENCES: usize = 2;

const NEVER_BEFORE: &str = "nothing is delivered before what it refers to";
const NOT_LEFT: &str = "nothing waits for what is there";
const RESCUED: &str = "a rescuer finds what nobody woke";
const WAITED_AGAIN: &str = "a link is undone between the wake-up and the call";
const BOTH_AT_ONCE: &str = "both links are made before either host looks";

/// Which safeguard is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    /// The protocol as it is.
    Nothing,
    /// The links are not read again when the batch is.
    Load,
    /// Nobody looks now and then.
    Rescuer,
    /// The router does not look again after its commit. And nobody rescues.
    LookAgain,
    /// A settlement looks before its commit, when it cannot see the other's link. And nobody rescues.
    LookAfterCommit,
    /// Nobody rescues, and nothing goes wrong.
    RescuerAndFaults,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Status {
    Absent,
    Waiting,
    Due,
    Claimed,
    /// Read while a link was missing.
    Lacking,
    Done,
}

/// What a host, or the router, is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    Begins,
    /// Its transaction is open, and it has read that the delivery must wait, or is to be woken.
    Open(bool),
    Committed,
    Looked(bool),
    Over,
}

#[expect(clippy::struct_excessive_bools, reason = "each is a fact about the history of a run")]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    links: [bool; REFERENCES],
    status: Status,
    router: Step,
    hosts: [Step; REFERENCES],
    deaths: u8,
    unlinks: u8,
    delivered_before: bool,
    rescued: bool,
    waited_again: bool,
    linked_both: bool,
}

impl World {
    fn lacks(&self) -> bool {
        self.links.contains(&false)
    }

    /// A compare-and-set.
    fn wake(&mut self) {
        if self.status == Status::Waiting {
            self.status = Status::Due;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Action {
    Check,
    Queue,
    LookAgain,
    WakeQueued,
    RouterDies,
    LookEarly(usize),
    Link(usize),
    Look(usize),
    Wake(usize),
    Dies(usize),
    Rescue,
    Unlink(usize),
    Claim,
    Load,
    WaitAgain,
}

struct Dependencies {
    without: Without,
}

impl Dependencies {
    fn rescues(&self) -> bool {
        matches!(self.without, Without::Nothing | Without::Load)
    }

    fn faults(&self) -> u8 {
        u8::from(matches!(self.without, Without::Nothing | Without::Load | Without::Rescuer))
    }

    fn router_actions(&self, world: &World, actions: &mut Vec<Action>) {
        match world.router {
            Step::Begins => actions.push(Action::Check),
            Step::Open(_) => actions.push(Action::Queue),
            Step::Committed if self.without != Without::LookAgain => actions.push(Action::LookAgain),
            Step::Looked(_) => actions.push(Action::WakeQueued),
            Step::Committed | Step::Over => {}
        }
        if world.deaths < self.faults() && matches!(world.router, Step::Committed | Step::Looked(_)) {
            actions.push(Action::RouterDies);
        }
    }

    fn host_actions(&self, world: &World, host: usize, actions: &mut Vec<Action>) {
        let looks_early = self.without == Without::LookAfterCommit;
        match world.hosts[host] {
            Step::Begins if looks_early => actions.push(Action::LookEarly(host)),
            Step::Begins | Step::Open(_) => actions.push(Action::Link(host)),
            Step::Committed => actions.push(Action::Look(host)),
            Step::Looked(_) => actions.push(Action::Wake(host)),
            Step::Over if world.unlinks < self.faults() && world.links[host] => actions.push(Action::Unlink(host)),
            Step::Over => {}
        }
        if world.deaths < self.faults() && matches!(world.hosts[host], Step::Committed | Step::Looked(_)) {
            actions.push(Action::Dies(host));
        }
    }
}

impl Model for Dependencies {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            links: [false; REFERENCES],
            status: Status::Absent,
            router: Step::Begins,
            hosts: [Step::Begins; REFERENCES],
            deaths: 0,
            unlinks: 0,
            delivered_before: false,
            rescued: false,
            waited_again: false,
            linked_both: false,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        self.router_actions(world, actions);
        for host in 0..REFERENCES {
            self.host_actions(world, host, actions);
        }
        match world.status {
            Status::Waiting if self.rescues() && !world.lacks() => actions.push(Action::Rescue),
            Status::Due => actions.push(Action::Claim),
            Status::Claimed => actions.push(Action::Load),
            Status::Lacking => actions.push(Action::WaitAgain),
            Status::Absent | Status::Waiting | Status::Done => {}
        }
    }

    fn next_state(&self, before: &World, action: Action) -> Option<World> {
        let mut world = before.clone();
        match action {
            Action::Check => world.router = Step::Open(before.lacks()),
            Action::Queue => {
                let waits = before.router == Step::Open(true);
                world.status = if waits { Status::Waiting } else { Status::Due };
                world.router = Step::Committed;
            }
            Action::LookAgain => world.router = Step::Looked(before.status == Status::Waiting && !before.lacks()),
            Action::WakeQueued => {
                if before.router == Step::Looked(true) {
                    world.wake();
                }
                world.router = Step::Over;
            }
            Action::RouterDies => (world.router, world.deaths) = (Step::Over, before.deaths + 1),
            Action::LookEarly(host) => {
                let others = before.links.iter().enumerate().all(|(other, linked)| other == host || *linked);
                world.hosts[host] = Step::Open(others && before.status == Status::Waiting);
            }
            Action::Link(host) => {
                world.links[host] = true;
                if before.hosts[host] == Step::Open(true) {
                    world.wake();
                }
                let looks_early = matches!(before.hosts[host], Step::Open(_));
                world.hosts[host] = if looks_early { Step::Over } else { Step::Committed };
                world.linked_both |= world.hosts == [Step::Committed; REFERENCES];
            }
            Action::Look(host) => {
                world.hosts[host] = Step::Looked(before.status == Status::Waiting && !before.lacks());
            }
            Action::Wake(host) => {
                if before.hosts[host] == Step::Looked(true) {
                    world.wake();
                }
                world.hosts[host] = Step::Over;
            }
            Action::Dies(host) => (world.hosts[host], world.deaths) = (Step::Over, before.deaths + 1),
            Action::Rescue => {
                world.wake();
                world.rescued = true;
            }
            Action::Unlink(host) => {
                world.links[host] = false;
                world.hosts[host] = Step::Begins;
                world.unlinks += 1;
            }
            Action::Claim => world.status = Status::Claimed,
            Action::Load => {
                let lacks = before.lacks();
                world.status = if lacks && self.without != Without::Load { Status::Lacking } else { Status::Done };
                world.delivered_before |= lacks && world.status == Status::Done;
            }
            Action::WaitAgain => (world.status, world.waited_again) = (Status::Waiting, true),
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(NEVER_BEFORE, |_, world: &World| !world.delivered_before),
            // Every path ends, since faults are bounded: where it ends, it must be delivered.
            Property::always(NOT_LEFT, |model: &Self, world: &World| {
                let mut actions = Vec::new();
                model.actions(world, &mut actions);
                actions.retain(|action| !matches!(action, Action::Unlink(_)));
                !actions.is_empty() || world.status == Status::Done
            }),
            Property::sometimes(RESCUED, |_, world: &World| world.rescued),
            Property::sometimes(WAITED_AGAIN, |_, world: &World| world.waited_again),
            Property::sometimes(BOTH_AT_ONCE, |_, world: &World| world.linked_both),
        ]
    }
}

/// Expects exactly the `broken` ones of the properties that must always hold to have a counterexample.
fn breaks(without: Without, broken: &[&str]) {
    let checker = Dependencies { without }.checker().spawn_bfs().join();
    let found: Vec<_> =
        [NEVER_BEFORE, NOT_LEFT].into_iter().filter(|property| checker.discovery(property).is_some()).collect();
    assert_eq!(found, broken, "without {without:?}");
}

#[test]
fn no_delivery_precedes_its_dependency_and_none_waits_forever() {
    let checker = Dependencies { without: Without::Nothing }.checker().spawn_bfs().join();
    assert!(checker.is_done());
    checker.assert_properties();
}

#[test]
fn without_a_second_check_of_the_links_a_delivery_precedes_its_dependency() {
    breaks(Without::Load, &[NEVER_BEFORE]);
}

#[test]
fn without_the_rescuer_a_crash_leaves_a_delivery_waiting() {
    breaks(Without::Rescuer, &[NOT_LEFT]);
}

#[test]
fn without_faults_no_rescuer_is_needed() {
    breaks(Without::RescuerAndFaults, &[]);
}

#[test]
fn a_router_that_does_not_check_again_misses_a_link() {
    breaks(Without::LookAgain, &[NOT_LEFT]);
}

#[test]
fn settlements_that_check_before_they_commit_miss_each_other() {
    breaks(Without::LookAfterCommit, &[NOT_LEFT]);
}
