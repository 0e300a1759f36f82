//! First deliveries over HTTP as a model, every interleaving of which is tried: two hosts, one patient, two changes of
//! it (1, then 2, which may appear at any time), and a server that gives ids itself and takes every create. A
//! connection may break after a request was sent, while the server goes on working on it; a host may crash between any
//! two steps.
//!
//! How it maps to the code:
//! - `Claim` is `Store::claim`; a patient under a lease (`sync_in_flight`'s key) is passed over.
//! - `Look` is the adapter's search by identifier, `plugins/fhir/src/delivery/first.rs`.
//! - `Send` is the fence right before a request that writes (`Store::renew_for` with `in_doubt_ms`), and the request.
//! - `Work` is the server's: a create makes a record, an update needs the version that was read (`If-Match`).
//! - `Answer` reaches the host; `Cut` does not, and the call ends in doubt: `Store::settle_batch` keeps the lease.
//! - `Expire` is `Store::take_expired_leases`. A lease that covers a request lasts until the server is done with it:
//!   this is what `in_doubt_ms` promises, and all that is assumed of time.
//!
//! Left out: what lies between fence and arrival (not promised, `docs/reliability.md`), batches, and servers that let
//! clients choose ids, where two creates meet on one. That the model can find anything is tested too: each safeguard is
//! taken away in turn, and a counterexample must appear. Must never do: touch a database or a server. Read next:
//! `protocol_model` for targets with transactions, `host/src/store/settle.rs`.

use stateright::{Checker, Model, Property};

const HOSTS: usize = 2;
/// Crashes and connections cut, together.
const FAULTS_MAX: u8 = 3;

const ONE_RECORD: &str = "at most one record at the server";
const NO_WAY_BACK: &str = "no older state after a newer one";
const NOTHING_LOST: &str = "no lost change";
const ANSWER_LOST: &str = "a request is carried out and its answer is lost";
const FOUND: &str = "what a lost request made is found by the next look";

/// A change's id; also the state that it brings to the server.
type Change = u8;

/// Which safeguard is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    /// The protocol as it is.
    Nothing,
    /// An aborted request is pending again at once.
    KeptLease,
    /// A lease may run out while the server works on the request under it.
    Cover,
    /// A repeat creates without a look.
    Look,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Status {
    Absent,
    Pending,
    InFlight,
    Done,
    Superseded,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Write {
    Create,
    /// Of the version that was read.
    Update(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Request {
    lease: u8,
    change: Change,
    write: Write,
    /// Whether its host still listens.
    is_heard: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    Claimed,
    Looked(Write),
    Sent,
    Answered { was_taken: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Call {
    lease: u8,
    change: Change,
    step: Step,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    // The store. One patient, so at most one lease exists.
    statuses: [Status; 2],
    lease: Option<(u8, Change)>,
    last_lease: u8,
    // The server.
    records: Vec<Change>,
    history: Vec<Change>,
    at_work: Vec<Request>,
    hosts: [Option<Call>; HOSTS],
    faults: u8,
    an_answer_was_lost: bool,
    was_found: bool,
}

impl World {
    fn status(&mut self, change: Change) -> &mut Status {
        &mut self.statuses[usize::from(change) - 1]
    }

    fn version(&self) -> u8 {
        u8::try_from(self.history.len()).expect("few writes")
    }

    fn requeue(&mut self) {
        if let Some((_, change)) = self.lease.take() {
            *self.status(change) = Status::Pending;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Action {
    Route,
    Claim(usize),
    Look(usize),
    Send(usize),
    Work(usize),
    Cut(usize),
    Settle(usize),
    Crash(usize),
    Expire,
}

struct Protocol {
    without: Without,
}

impl Protocol {
    fn may_expire(&self, world: &World) -> bool {
        let Some((lease, _)) = world.lease else { return false };
        let has_call = world.hosts.iter().flatten().any(|call| call.lease == lease);
        let is_covered = world.at_work.iter().any(|request| request.lease == lease);
        // A host that lives renews its lease; one that is gone, or whose call ended in doubt, does not.
        !has_call && (!is_covered || self.without == Without::Cover)
    }

    fn claim(world: &mut World, host: usize) {
        let change = if world.statuses[1] == Status::Absent { 1 } else { 2 };
        if change == 2 && world.statuses[0] == Status::Pending {
            world.statuses[0] = Status::Superseded;
        }
        if *world.status(change) == Status::Pending {
            *world.status(change) = Status::InFlight;
            world.last_lease += 1;
            world.lease = Some((world.last_lease, change));
            world.hosts[host] = Some(Call { lease: world.last_lease, change, step: Step::Claimed });
        }
    }

    fn work(world: &mut World, request: usize) {
        let Request { lease, change, write, is_heard } = world.at_work.remove(request);
        let was_taken = match write {
            Write::Create => {
                world.records.push(change);
                true
            }
            Write::Update(version) if version == world.version() => {
                world.records.fill(change);
                true
            }
            Write::Update(_) => false,
        };
        if was_taken {
            world.history.push(change);
        }
        world.an_answer_was_lost |= was_taken && !is_heard;
        for call in world.hosts.iter_mut().flatten().filter(|call| is_heard && call.lease == lease) {
            call.step = Step::Answered { was_taken };
        }
    }

    /// The host hears no more of its request: the call ends.
    fn cut(&self, world: &mut World, host: usize, call: Call) {
        for request in world.at_work.iter_mut().filter(|request| request.lease == call.lease) {
            request.is_heard = false;
        }
        world.hosts[host] = None;
        world.faults += 1;
        if self.without == Without::KeptLease && world.lease.is_some_and(|(lease, _)| lease == call.lease) {
            world.requeue();
        }
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            statuses: [Status::Pending, Status::Absent],
            lease: None,
            last_lease: 0,
            records: Vec::new(),
            history: Vec::new(),
            at_work: Vec::new(),
            hosts: [None; HOSTS],
            faults: 0,
            an_answer_was_lost: false,
            was_found: false,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let may_fail = world.faults < FAULTS_MAX;
        if world.statuses[1] == Status::Absent {
            actions.push(Action::Route);
        }
        if self.may_expire(world) {
            actions.push(Action::Expire);
        }
        actions.extend((0..world.at_work.len()).map(Action::Work));
        for (host, call) in world.hosts.iter().enumerate() {
            let Some(call) = call else {
                if world.lease.is_none() && world.statuses.contains(&Status::Pending) {
                    actions.push(Action::Claim(host));
                }
                continue;
            };
            match call.step {
                Step::Claimed => actions.push(Action::Look(host)),
                Step::Looked(_) => actions.push(Action::Send(host)),
                Step::Sent if may_fail => actions.push(Action::Cut(host)),
                Step::Sent => {}
                Step::Answered { .. } => actions.push(Action::Settle(host)),
            }
            if may_fail {
                actions.push(Action::Crash(host));
            }
        }
    }

    fn next_state(&self, before: &World, action: Action) -> Option<World> {
        let mut world = before.clone();
        match action {
            Action::Route => world.statuses[1] = Status::Pending,
            Action::Claim(host) => Self::claim(&mut world, host),
            Action::Look(host) => {
                let is_there = !world.records.is_empty() && self.without != Without::Look;
                let write = if is_there { Write::Update(world.version()) } else { Write::Create };
                world.was_found |= is_there && world.an_answer_was_lost;
                world.hosts[host].as_mut()?.step = Step::Looked(write);
            }
            Action::Send(host) => {
                let call = before.hosts[host]?;
                let Step::Looked(write) = call.step else { return None };
                let is_held = world.lease == Some((call.lease, call.change));
                world.hosts[host] = is_held.then_some(Call { step: Step::Sent, ..call });
                if is_held {
                    world.at_work.push(Request { lease: call.lease, change: call.change, write, is_heard: true });
                }
            }
            Action::Work(request) => Self::work(&mut world, request),
            Action::Cut(host) => self.cut(&mut world, host, before.hosts[host]?),
            Action::Settle(host) => {
                let call = before.hosts[host]?;
                let Step::Answered { was_taken } = call.step else { return None };
                world.hosts[host] = None;
                if !was_taken {
                    // Another wrote in between: the adapter searches again.
                    world.hosts[host] = Some(Call { step: Step::Claimed, ..call });
                } else if world.lease == Some((call.lease, call.change)) {
                    world.lease = None;
                    *world.status(call.change) = Status::Done;
                }
            }
            Action::Crash(host) => {
                let call = before.hosts[host]?;
                for request in world.at_work.iter_mut().filter(|request| request.lease == call.lease) {
                    request.is_heard = false;
                }
                world.hosts[host] = None;
                world.faults += 1;
            }
            Action::Expire => world.requeue(),
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_RECORD, |_, world: &World| world.records.len() <= 1),
            Property::always(NO_WAY_BACK, |_, world: &World| world.history.is_sorted()),
            // Every path ends, since faults are bounded: where it ends, all must be well.
            Property::always(NOTHING_LOST, |model: &Self, world: &World| {
                let mut actions = Vec::new();
                model.actions(world, &mut actions);
                let is_delivered = world.statuses[1] == Status::Done
                    && matches!(world.statuses[0], Status::Done | Status::Superseded)
                    && world.records.last() == Some(&2);
                !actions.is_empty() || is_delivered
            }),
            // What the properties above would be worth little without.
            Property::sometimes(ANSWER_LOST, |_, world: &World| world.an_answer_was_lost),
            Property::sometimes(FOUND, |_, world: &World| world.was_found),
        ]
    }
}

fn check(without: Without) -> impl Checker<Protocol> {
    Protocol { without }.checker().spawn_bfs().join()
}

/// Expects exactly the `broken` ones of the properties that must always hold to have a counterexample.
fn breaks(without: Without, broken: &[&str]) {
    let checker = check(without);
    let found: Vec<_> = [ONE_RECORD, NO_WAY_BACK, NOTHING_LOST]
        .into_iter()
        .filter(|property| checker.discovery(property).is_some())
        .collect();
    assert_eq!(found, broken, "without {without:?}");
}

#[test]
fn a_request_in_doubt_is_never_repeated_early() {
    let checker = check(Without::Nothing);
    assert!(checker.is_done());
    checker.assert_properties();
}

#[test]
fn without_the_kept_lease_two_creates_overlap() {
    breaks(Without::KeptLease, &[ONE_RECORD, NO_WAY_BACK, NOTHING_LOST]);
}

#[test]
fn a_lease_that_ends_before_the_server_finishes_protects_nothing() {
    breaks(Without::Cover, &[ONE_RECORD, NO_WAY_BACK, NOTHING_LOST]);
}

#[test]
fn without_a_search_a_repeat_creates_again() {
    breaks(Without::Look, &[ONE_RECORD]);
}
