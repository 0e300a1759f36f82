//! An older and a newer state of one aggregate that both depend on one link, every interleaving: the router queues the
//! newer one at any time, and the older one waits, is due or is in flight meanwhile.
//!
//! How it maps to the code:
//! - `Check` and `Queue` are the transaction of `Store::route` with `supersede_waiting`; `LookAgain` is
//!   `Store::wake_queued` after it.
//! - `Link` is `Store::settle`, `Unlink` an operator's relink, and `Rescue` whatever wakes what lacks nothing.
//! - `Claim` is `Store::claim`, which supersedes what is older than the newest delivery. `Load` is `Store::load`: it
//!   calls the adapter, or `wait_again` with `supersede_waiting`.

use stateright::{Checker, Model, Property};

const OLDER: usize = 0;
const NEWER: usize = 1;

const ONCE: &str = "an aggregate waits once";
const IN_ORDER: &str = "no older state follows a newer one";
const ARRIVES: &str = "the newest state arrives where its link is there";
const SUPERSEDED_IN_FLIGHT: &str = "the newer one is queued while the older one is in flight, and supersedes it";

/// Which safeguard is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    Nothing,
    /// The router does not supersede what waits.
    Routing,
    /// What was in flight waits again, although a newer one waits.
    WaitingAgain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Status {
    Absent,
    Waiting,
    Due,
    InFlight,
    Superseded,
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Router {
    Begins,
    /// It has read whether the link is missing.
    Open(bool),
    Committed,
    Over,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    link: bool,
    links_left: u8,
    deliveries: [Status; 2],
    router: Router,
    went_back: bool,
    superseded_in_flight: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Action {
    Check,
    Queue,
    LookAgain,
    Link,
    Unlink,
    Rescue(usize),
    Claim(usize),
    Load(usize),
}

struct Twice {
    without: Without,
}

impl Twice {
    fn queue(&self, world: &mut World, lacks: bool) {
        world.deliveries[NEWER] = if lacks { Status::Waiting } else { Status::Due };
        // A compare-and-set on what waits.
        if lacks && world.deliveries[OLDER] == Status::Waiting && self.without != Without::Routing {
            world.deliveries[OLDER] = Status::Superseded;
        }
        world.router = Router::Committed;
    }

    fn load(&self, world: &mut World, which: usize) {
        if world.link {
            world.went_back |= which == OLDER && world.deliveries[NEWER] == Status::Done;
            world.deliveries[which] = Status::Done;
            return;
        }
        let is_older = which == OLDER && world.deliveries[NEWER] != Status::Absent;
        let supersedes = is_older && self.without != Without::WaitingAgain;
        world.superseded_in_flight |= supersedes;
        world.deliveries[which] = if supersedes { Status::Superseded } else { Status::Waiting };
    }
}

impl Model for Twice {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let world = |link, older| World {
            link,
            links_left: 2,
            deliveries: [older, Status::Absent],
            router: Router::Begins,
            went_back: false,
            superseded_in_flight: false,
        };
        vec![world(false, Status::Waiting), world(true, Status::Due)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        match world.router {
            Router::Begins => actions.push(Action::Check),
            Router::Open(_) => actions.push(Action::Queue),
            Router::Committed => actions.push(Action::LookAgain),
            Router::Over => {}
        }
        if world.link && world.links_left > 0 {
            actions.push(Action::Unlink);
        }
        if !world.link {
            actions.push(Action::Link);
        }
        let is_in_flight = world.deliveries.contains(&Status::InFlight);
        for which in [OLDER, NEWER] {
            match world.deliveries[which] {
                Status::Waiting if world.link => actions.push(Action::Rescue(which)),
                Status::Due if !is_in_flight => actions.push(Action::Claim(which)),
                Status::InFlight => actions.push(Action::Load(which)),
                Status::Absent | Status::Waiting | Status::Due | Status::Superseded | Status::Done => {}
            }
        }
    }

    fn next_state(&self, before: &World, action: Action) -> Option<World> {
        let mut world = before.clone();
        match action {
            Action::Check => world.router = Router::Open(!before.link),
            Action::Queue => self.queue(&mut world, before.router == Router::Open(true)),
            Action::LookAgain => {
                if before.link && before.deliveries[NEWER] == Status::Waiting {
                    world.deliveries[NEWER] = Status::Due;
                }
                world.router = Router::Over;
            }
            Action::Link => world.link = true,
            Action::Unlink => (world.link, world.links_left) = (false, before.links_left - 1),
            Action::Rescue(which) => world.deliveries[which] = Status::Due,
            Action::Claim(OLDER) if before.deliveries[NEWER] != Status::Absent => {
                world.deliveries[OLDER] = Status::Superseded;
            }
            Action::Claim(which) => {
                if which == NEWER && matches!(before.deliveries[OLDER], Status::Waiting | Status::Due) {
                    world.deliveries[OLDER] = Status::Superseded;
                }
                world.deliveries[which] = Status::InFlight;
            }
            Action::Load(which) => self.load(&mut world, which),
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONCE, |_, world: &World| world.deliveries != [Status::Waiting; 2]),
            Property::always(IN_ORDER, |_, world: &World| !world.went_back),
            // Links are undone so often and no more: every path ends with the link.
            Property::always(ARRIVES, |model: &Self, world: &World| {
                let mut actions = Vec::new();
                model.actions(world, &mut actions);
                actions.retain(|action| *action != Action::Unlink);
                !actions.is_empty() || world.deliveries[NEWER] == Status::Done
            }),
            Property::sometimes(SUPERSEDED_IN_FLIGHT, |_, world: &World| world.superseded_in_flight),
        ]
    }
}

fn breaks(without: Without, broken: &[&str]) {
    let checker = Twice { without }.checker().spawn_bfs().join();
    let found: Vec<_> =
        [ONCE, IN_ORDER, ARRIVES].into_iter().filter(|property| checker.discovery(property).is_some()).collect();
    assert_eq!(found, broken, "without {without:?}");
}

#[test]
fn an_aggregate_waits_once_and_its_newest_state_arrives() {
    let checker = Twice { without: Without::Nothing }.checker().spawn_bfs().join();
    assert!(checker.is_done());
    checker.assert_properties();
}

#[test]
fn a_router_that_supersedes_nothing_lets_an_aggregate_wait_twice() {
    breaks(Without::Routing, &[ONCE]);
}

#[test]
fn what_waits_again_beside_a_newer_state_waits_twice() {
    breaks(Without::WaitingAgain, &[ONCE]);
}
