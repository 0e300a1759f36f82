//! A queueing simulation of hosts, stores and targets on machines of their own: where batches wait for a processor, for
//! the network, for a disk and for the target's lock. Pure and seeded, so that the same figures give the same answer.
//! What goes in is measured by `beyond.rs`.
//!
//! It knows no rows: what changing the same row in two places costs, deadlocks, caches that are too small and networks
//! that lose packets are not in it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// What one batch costs, measured: milliseconds of processor time at each place, and ways over the network.
#[derive(Debug, Clone, Copy)]
pub(super) struct Demand {
    /// Patients in a batch.
    pub(super) batch: usize,
    /// In the host: the sandbox, parameters, answers.
    pub(super) host_ms: f64,
    /// In the store, for putting so many patients under a lease, and for settling them.
    pub(super) take_ms: f64,
    pub(super) settle_ms: f64,
    pub(super) target_ms: f64,
    /// Statements, each of which waits for its answer.
    pub(super) take_trips: f64,
    pub(super) settle_trips: f64,
    pub(super) target_trips: f64,
    /// One durable write.
    pub(super) commit_ms: f64,
}

/// Work takes so much more or less than its mean, evenly.
const SPREAD: f64 = 0.5;

/// What is where.
#[derive(Debug, Clone, Copy)]
pub(super) struct World {
    /// Machines with a host process for each shard.
    pub(super) hosts: usize,
    /// Stores, each with a target of its own and both on machines of their own.
    pub(super) shards: usize,
    /// Processors of each machine.
    pub(super) cores: usize,
    /// Batches that one host process has in flight.
    pub(super) workers: usize,
    /// There and back between two machines, in milliseconds.
    pub(super) trip_ms: f64,
    /// Everything on one machine instead, as where the figures were measured.
    pub(super) is_one_machine: bool,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// As long as that whoever else is there: the network, or a disk with group commit.
    Wait(f64),
    /// About as long as that.
    Work(f64),
    /// Waits for one of what a station has, in the order of arrival.
    Take(usize),
    /// Gives one to a station, and wakes who waits for it.
    Give(usize),
    /// A batch has come to its end.
    Settled,
}

/// Processors, a lock of which there is one, batches that wait.
#[derive(Default)]
struct Station {
    free: usize,
    waiting: VecDeque<usize>,
}

/// Goes through its steps again and again.
struct Task {
    steps: Vec<Step>,
    at: usize,
}

/// Which station is which: a machine for each host, then for each shard its store, its target, the target's lock, and
/// the batches that are not under a lease yet and that are.
struct Places<'a>(&'a World);

impl Places<'_> {
    const OF_SHARD: usize = 5;

    fn count(&self) -> usize {
        self.0.hosts + self.0.shards * Self::OF_SHARD
    }

    fn host(&self, host: usize) -> usize {
        if self.0.is_one_machine { 0 } else { host }
    }

    fn machine(&self, shard: usize, which: usize) -> usize {
        if self.0.is_one_machine { 0 } else { self.of_shard(shard, which) }
    }

    fn of_shard(&self, shard: usize, which: usize) -> usize {
        self.0.hosts + shard * Self::OF_SHARD + which
    }
}

/// Patients a second while `batches` batches of each shard are carried, from the first that is settled to the last.
pub(super) fn rate(demand: &Demand, world: &World, batches: usize, seed: u64) -> f64 {
    let (mut tasks, mut stations) = laid_out(demand, world, batches);
    let mut random = StdRng::seed_from_u64(seed);
    let mut settled_ns = Vec::new();
    let mut events: BinaryHeap<_> = (0..tasks.len()).map(|task| Reverse((0_u64, task))).collect();
    while let Some(Reverse((now_ns, index))) = events.pop() {
        loop {
            let task = &mut tasks[index];
            let step = task.steps[task.at % task.steps.len()];
            match step {
                Step::Wait(ms) => events.push(Reverse((now_ns + nanoseconds(ms), index))),
                Step::Work(ms) => {
                    let took = ms * random.random_range(1.0 - SPREAD..1.0 + SPREAD);
                    events.push(Reverse((now_ns + nanoseconds(took), index)));
                }
                Step::Take(station) if stations[station].free == 0 => {
                    stations[station].waiting.push_back(index);
                    // Whoever gives one moves this task on.
                    break;
                }
                Step::Take(station) => stations[station].free -= 1,
                Step::Give(station) => match stations[station].waiting.pop_front() {
                    Some(next) => {
                        tasks[next].at += 1;
                        events.push(Reverse((now_ns, next)));
                    }
                    None => stations[station].free += 1,
                },
                Step::Settled => settled_ns.push(now_ns),
            }
            tasks[index].at += 1;
            if matches!(step, Step::Wait(_) | Step::Work(_)) {
                break;
            }
        }
    }
    let (Some(first), Some(last)) = (settled_ns.first(), settled_ns.last()) else { return 0.0 };
    super::measure::rate((settled_ns.len() - 1) * demand.batch, Duration::from_nanos(last - first))
}

fn laid_out(demand: &Demand, world: &World, batches: usize) -> (Vec<Task>, Vec<Station>) {
    let places = Places(world);
    let mut stations: Vec<Station> = std::iter::repeat_with(Station::default).take(places.count()).collect();
    let mut tasks = Vec::new();
    let trips = |count: f64| Step::Wait(count * world.trip_ms);
    let work = |station: usize, ms: f64| [Step::Take(station), Step::Work(ms), Step::Give(station)];
    let commit = Step::Wait(demand.commit_ms);
    for host in 0..world.hosts {
        stations[places.host(host)].free = world.cores;
    }
    for shard in 0..world.shards {
        let (store, target) = (places.machine(shard, 0), places.machine(shard, 1));
        let (lock, unrouted, taken) = (places.of_shard(shard, 2), places.of_shard(shard, 3), places.of_shard(shard, 4));
        for (station, free) in [(store, world.cores), (target, world.cores), (lock, 1), (unrouted, batches)] {
            stations[station].free = free;
        }
        for _ in 0..world.hosts {
            let mut steps = vec![Step::Take(unrouted)];
            steps.extend(work(store, demand.take_ms));
            steps.extend([trips(demand.take_trips), commit, Step::Give(taken)]);
            tasks.push(Task { steps, at: 0 });
        }
        for worker in 0..world.hosts * world.workers {
            let mut steps = vec![Step::Take(taken)];
            steps.extend(work(places.host(worker / world.workers), demand.host_ms));
            steps.push(Step::Take(lock));
            steps.extend(work(target, demand.target_ms));
            // The fence is between the last statement and the commit: one more way, and a commit in the store.
            steps.extend([trips(demand.target_trips + 1.0), commit, commit, Step::Give(lock)]);
            steps.extend(work(store, demand.settle_ms));
            steps.extend([trips(demand.settle_trips), commit, Step::Settled]);
            tasks.push(Task { steps, at: 0 });
        }
    }
    (tasks, stations)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some milliseconds, never negative")]
fn nanoseconds(ms: f64) -> u64 {
    (ms * 1_000_000.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEMAND: Demand = Demand {
        batch: 500,
        host_ms: 10.0,
        take_ms: 20.0,
        settle_ms: 20.0,
        target_ms: 10.0,
        take_trips: 8.0,
        settle_trips: 7.0,
        target_trips: 6.0,
        commit_ms: 0.0,
    };
    const WORLD: World = World { hosts: 1, shards: 1, cores: 2, workers: 2, trip_ms: 0.0, is_one_machine: false };

    fn simulated(world: World) -> f64 {
        rate(&DEMAND, &world, 400, 1)
    }

    fn is_near(rate: f64, expected: f64) -> bool {
        (rate / expected - 1.0).abs() < 0.1
    }

    #[test]
    fn the_same_seed_gives_the_same_result() {
        assert!((simulated(WORLD) - simulated(WORLD)).abs() < f64::EPSILON);
    }

    #[test]
    fn one_machine_is_limited_by_its_processors() {
        // 60 ms for each batch, two processors, and enough workers to keep them busy.
        let rate = simulated(World { is_one_machine: true, workers: 8, ..WORLD });
        assert!(is_near(rate, 500.0 / 0.060 * 2.0), "{rate}");
    }

    #[test]
    fn one_worker_runs_one_task_at_a_time() {
        // 40 ms for each batch (the next one is taken meanwhile), and 14 ways of 1 ms.
        let rate = simulated(World { workers: 1, trip_ms: 1.0, ..WORLD });
        assert!(is_near(rate, 500.0 / 0.054), "{rate}");
    }

    #[test]
    fn separate_stores_and_hosts_add_up_until_the_hosts_are_busy() {
        let one = simulated(World { hosts: 4, ..WORLD });
        let four = simulated(World { hosts: 4, shards: 4, ..WORLD });
        assert!(is_near(four, one * 4.0), "{four} against {one}");
        let busy = simulated(World { hosts: 1, shards: 16, ..WORLD });
        assert!(is_near(busy, 500.0 / 0.010 * 2.0), "{busy}: one host of two processors");
    }

    #[test]
    fn hosts_on_one_store_are_limited_by_the_store_or_the_lock() {
        let rate = simulated(World { hosts: 16, trip_ms: 0.2, ..WORLD });
        let (store, lock) = (500.0_f64 / 0.040 * 2.0, 500.0 / 0.0114);
        assert!(rate <= store.min(lock) * 1.05, "{rate}");
    }
}
