//! The saboteur: breaks hosts, servers and the network between them, each in a thread of its own with dice of its own,
//! all from one seed. Faults overlap; now and then nothing is broken for a while, so that work gets done.
//!
//! What holds back requests to the FHIR server is shorter than `in_doubt_ms` of the hosts (`world::IN_DOUBT`): a
//! request that arrives later than the operator reckoned with is the one thing that the protocol cannot fence over
//! HTTP, as the documentation states.

use std::{thread, time::Duration};

use anyhow::{Context as _, Result};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::runtime::Handle;

use super::{
    faults::Faults,
    fleet::Fleet,
    world::{LATENCY, LEASE, Part, World},
};
use crate::mutex::lock;
use crate::servers::Half;

/// Breaks things until the time of faults is over.
pub(crate) fn run(world: &World, fleet: &Fleet, faults: &Faults, seed: u64, runtime: &Handle) -> Result<()> {
    // Each thread has its own sequence, so that none depends on how the others were scheduled.
    let dice = |number: u64| StdRng::seed_from_u64(seed.wrapping_mul(1_000).wrapping_add(number));
    thread::scope(|scope| {
        scope.spawn(move || break_hosts(fleet, faults, dice(1)));
        scope.spawn(move || fill_disk(world, faults, dice(100), runtime));
        let mut threads = vec![scope.spawn(move || kill_servers(world, faults, dice(2)))];
        for (number, part) in (3..).zip(&world.parts) {
            threads.push(scope.spawn(move || break_network(part, faults, dice(number))));
        }
        threads.into_iter().try_for_each(|thread| thread.join().expect("the saboteur does not panic"))
    })
}

fn millis(dice: &mut StdRng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(dice.random_range(range))
}

fn break_hosts(fleet: &Fleet, faults: &Faults, mut dice: StdRng) {
    while faults.pause_and_calm(millis(&mut dice, 200..1_400)) {
        let victim = dice.random_range(0..fleet.size());
        let name = format!("host {}", victim + 1);
        match dice.random_range(0..100) {
            0..62 => {
                if fleet.kill(victim, millis(&mut dice, 0..600)) {
                    faults.note("kill -9 of a host", &name);
                }
            }
            62..90 => {
                // From well within the lease to far beyond it.
                let pause = millis(&mut dice, 500..5_000);
                if fleet.freeze(victim, pause) {
                    let beyond = if pause > LEASE { "for longer than a lease" } else { "for less than a lease" };
                    faults.note(&format!("SIGSTOP of a host {beyond}"), &name);
                }
            }
            90..94 => {
                if fleet.lose_log_reader(victim) {
                    faults.note("reader of a host's log gone", &name);
                }
            }
            _ => {
                if fleet.stop(victim) {
                    faults.note("SIGTERM of a host", &name);
                }
            }
        }
    }
    fleet.thaw();
}

/// Now and then OpenEMR's database takes nothing new, as one whose disk is full. It is emptied again with the last
/// fault.
fn fill_disk(world: &World, faults: &Faults, mut dice: StdRng, runtime: &Handle) {
    while faults.pause_and_calm(millis(&mut dice, 5_000..15_000)) {
        // The server may be away: then nothing is filled, which is no error.
        if runtime.block_on(world.set_disk_full(true)).is_ok() {
            faults.note("openemr: disk full", "openemr");
        }
        faults.pause(millis(&mut dice, 300..2_500));
        while runtime.block_on(world.set_disk_full(false)).is_err() && faults.pause(Duration::from_millis(200)) {}
    }
}

fn kill_servers(world: &World, faults: &Faults, mut dice: StdRng) -> Result<()> {
    let parts: Vec<&Part> = world.parts.iter().filter(|part| part.server.is_some()).collect();
    while faults.pause_and_calm(millis(&mut dice, 2_000..7_000)) {
        let part = parts[dice.random_range(0..parts.len())];
        let Some(server) = &part.server else { continue };
        let mut server = lock(server);
        server.kill();
        faults.note(&format!("kill -9 of the server {}", part.name), part.name);
        faults.pause(millis(&mut dice, 0..1_500));
        server.start_again().with_context(|| format!("start {} again", part.name))?;
    }
    Ok(())
}

/// What may happen to the connections of one part.
#[derive(Debug, Clone, Copy)]
enum NetworkFault {
    Cut,
    HalfClose(Half),
    Delay,
    Refuse,
    HoldAll,
    LoseAnswers,
    /// Only of an HTTP server: it does what it was asked, and the connection is cut before it answers.
    CutAfterSending,
    /// Only of an HTTP server: requests that write hang in the network, their clients are cut off, and they arrive
    /// later.
    ArriveLate,
    Status(&'static str, &'static [u8]),
    /// Only of an HTTP server: what speaks of some patients is answered by something that is not FHIR.
    Poison,
}

const NETWORK_FAULTS: [NetworkFault; 8] = [
    NetworkFault::Cut,
    NetworkFault::HalfClose(Half::ToClient),
    NetworkFault::HalfClose(Half::ToServer),
    NetworkFault::Delay,
    NetworkFault::Refuse,
    NetworkFault::HoldAll,
    // Twice: the fault that doubles and orphans come from.
    NetworkFault::LoseAnswers,
    NetworkFault::LoseAnswers,
];

const HTTP_FAULTS: [NetworkFault; 10] = [
    NetworkFault::CutAfterSending,
    // Twice: the fault that doubles come from.
    NetworkFault::ArriveLate,
    NetworkFault::ArriveLate,
    NetworkFault::Status(
        "200 that is not FHIR",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\nConnection: close\r\n\r\n<html></html>",
    ),
    NetworkFault::Status(
        "403 of a firewall",
        b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: 13\r\nConnection: close\r\n\r\n<html></html>",
    ),
    NetworkFault::Status(
        "507, disk full",
        b"HTTP/1.1 507 Insufficient Storage\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ),
    NetworkFault::Status(
        "429 with Retry-After",
        b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ),
    NetworkFault::Status(
        "500",
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ),
    NetworkFault::Status(
        "503 with Retry-After",
        b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ),
    NetworkFault::Poison,
];

/// At most ten patients, among those that change most often: the writer counts them up.
const POISONED: &str = "C-00000";

const POISON: &[u8] =
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/html\r\nContent-Length: 13\r\nConnection: close\r\n\r\n<html></html>";

fn break_network(part: &Part, faults: &Faults, mut dice: StdRng) -> Result<()> {
    let mut choice = NETWORK_FAULTS.to_vec();
    if part.speaks_http {
        choice.extend(HTTP_FAULTS);
    }
    lock(&part.proxy).delay(LATENCY)?;
    while faults.pause_and_calm(millis(&mut dice, 700..4_000)) {
        let fault = choice[dice.random_range(0..choice.len())];
        let lasting = millis(&mut dice, 200..1_500);
        apply(part, fault, lasting, faults)?;
    }
    Ok(())
}

fn apply(part: &Part, fault: NetworkFault, lasting: Duration, faults: &Faults) -> Result<()> {
    let note = |kind: &str| faults.note(&format!("{}: {kind}", part.name), part.name);
    match fault {
        NetworkFault::Cut => {
            note("connections cut");
            lock(&part.proxy).cut();
            return Ok(());
        }
        NetworkFault::HalfClose(half) => {
            note("connections half-closed");
            lock(&part.proxy).half_close(half);
            return Ok(());
        }
        NetworkFault::Delay => {
            note("connections delayed");
            lock(&part.proxy).delay(lasting / 10)?;
        }
        NetworkFault::Refuse => {
            note("connections refused");
            lock(&part.proxy).refuse();
        }
        NetworkFault::HoldAll => {
            note("network partitioned");
            lock(&part.proxy).hold_all()?;
        }
        NetworkFault::LoseAnswers => {
            note("answers lost after the server had done the work");
            lock(&part.proxy).hold_answers()?;
        }
        NetworkFault::CutAfterSending => {
            note("connections cut after sending");
            lock(&part.proxy).hold_answers_to_writes()?;
        }
        NetworkFault::ArriveLate => {
            note("requests that arrive late");
            lock(&part.proxy).hold_writes()?;
            faults.pause(lasting / 2);
            lock(&part.proxy).cut_clients();
        }
        NetworkFault::Poison => {
            note("some patients' requests answered 500 that is not FHIR");
            lock(&part.proxy).answer_to(POISONED, POISON)?;
        }
        NetworkFault::Status(status, answer) => {
            note(&format!("answered {status}"));
            lock(&part.proxy).answer(answer)?;
        }
    }
    faults.pause(lasting);
    let mut proxy = lock(&part.proxy);
    if matches!(fault, NetworkFault::HoldAll | NetworkFault::LoseAnswers | NetworkFault::CutAfterSending) {
        // What was held is lost, and does not arrive late.
        proxy.cut();
    }
    proxy.delay(LATENCY)
}
