//! Beyond one machine: measures on this one what a batch costs in the host, in the store and in the target, checks that
//! the simulation foretells what this machine itself does, also with a slow network between host and servers, and then
//! lets it say what more machines would do. `docs/evidence/` keeps its table.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::connection::Connection;
use super::measure::rate;
use super::native::BATCH;
use super::report::median;
use super::simulation::{self, Demand, World};
use super::stand::{Stand, Work, since};
use super::watch::{load_average, processor_seconds};
use crate::database::Database;
use crate::environment::Backend;
use crate::host::RunningHost;
use crate::servers::{MariaDb, Proxy};

const SEED: u64 = 20_261_125;
/// Batches in one simulated run, for each shard.
const BATCHES: usize = 400;
const WORKERS: usize = 2;

/// What a run of the host used.
struct Used {
    host_ms: f64,
    store_ms: f64,
    target_ms: f64,
    store_statements: f64,
    target_statements: f64,
}

struct Bench {
    store_server: MariaDb,
    target_server: MariaDb,
    stand: Stand,
}

/// Measures, simulates, and gives the text for the documentation.
///
/// # Errors
/// When a server does not come up, or a drain does not end well.
pub async fn simulate(patients: usize) -> Result<String> {
    let load = load_average().map_or("unknown".to_owned(), |load| format!("{load:.1}"));
    let (store_server, target_server) = (MariaDb::start()?, MariaDb::start()?);
    let stand = stand(&store_server.url(), &target_server.url()).await?;
    let mut bench = Bench { store_server, target_server, stand };
    eprintln!("measuring: what a batch costs");
    let demand = Box::pin(bench.demand(patients)).await?;
    let mut text = shown(&demand);
    let _written = write!(
        text,
        "\nThe load average was {load} before it began. What else is at work takes from what is measured here, never from what \
         is simulated. Where the last column is above 1, the figures below it are upper bounds, too high by as much.\n"
    );
    text.push_str(&Box::pin(bench.validation(&demand, patients)).await?);
    text.push_str(&table(&demand));
    Ok(text)
}

async fn stand(store: &str, target: &str) -> Result<Stand> {
    let store = Database::fresh_on(Backend::MariaDb, store).await?;
    Stand::over(store, Database::fresh_on(Backend::MariaDb, target).await?).await
}

impl Bench {
    /// From two runs of the host: one with nothing to do, one with everything to do.
    async fn demand(&mut self, patients: usize) -> Result<Demand> {
        // The first pages, connections and plans are not measured.
        self.stand.fill(patients / 10, Work::Creates).await?;
        self.stand.host_drain().await?;
        let idle = Box::pin(self.used(&["run", "--until-idle"])).await?;
        self.stand.fill(patients, Work::Creates).await?;
        let delivering = Box::pin(self.used(&["run", "--until-idle"])).await?;
        let batches = in_numbers(patients) / in_numbers(BATCH);
        let each = |used: f64, idle: f64| ((used - idle) / batches).max(0.0);
        let store_ms = each(delivering.store_ms, idle.store_ms);
        // The fence is one of the store's statements, and the simulation has a place of its own for it.
        let store_trips = (each(delivering.store_statements, idle.store_statements) - 1.0).max(0.0);
        Ok(Demand {
            batch: BATCH,
            host_ms: each(delivering.host_ms, idle.host_ms),
            take_ms: store_ms / 2.0,
            settle_ms: store_ms / 2.0,
            target_ms: each(delivering.target_ms, idle.target_ms),
            take_trips: store_trips / 2.0,
            settle_trips: store_trips / 2.0,
            target_trips: each(delivering.target_statements, idle.target_statements),
            commit_ms: self.commit_ms().await?,
        })
    }

    async fn used(&self, arguments: &[&str]) -> Result<Used> {
        let (store, target) = (self.store_server.process_id(), self.target_server.process_id());
        let servers = || {
            let seconds = |server: Option<u32>| processor_seconds(server?);
            seconds(store).zip(seconds(target)).context("read /proc: the simulation needs Linux")
        };
        let before = (servers()?, self.statements().await?);
        let host = self.stand.host.spawn(arguments)?;
        let host_ms = to_the_end(host).await? * 1_000.0;
        let after = (servers()?, self.statements().await?);
        Ok(Used {
            host_ms,
            store_ms: (after.0.0 - before.0.0) * 1_000.0,
            target_ms: (after.0.1 - before.0.1) * 1_000.0,
            store_statements: after.1.0 - before.1.0,
            target_statements: after.1.1 - before.1.1,
        })
    }

    /// What the store's and the target's server were asked to do so far, each of which waits for its answer.
    async fn statements(&self) -> Result<(f64, f64)> {
        let (store, target) = (asked(self.stand.store.url()).await?, asked(self.stand.target_url()).await?);
        Ok((store, target))
    }

    /// One durable write of one small row.
    async fn commit_ms(&self) -> Result<f64> {
        let mut store = Connection::open(self.stand.store.url()).await?;
        store.run("CREATE TABLE bench_tick (id INT PRIMARY KEY, n BIGINT)").await?;
        store.run("INSERT INTO bench_tick VALUES (1, 0)").await?;
        let mut took = Vec::new();
        for _ in 0..200 {
            let began = Instant::now();
            store.execute("UPDATE bench_tick SET n = n + 1 WHERE id = 1", &[]).await?;
            took.push(since(began));
        }
        Ok(median(&took))
    }

    /// What this machine does against what the simulation predicts.
    async fn validation(&mut self, demand: &Demand, patients: usize) -> Result<String> {
        let mut text =
            String::from("\n| on this machine | measured | simulated | simulated / measured |\n|---|---|---|---|\n");
        for (name, hosts, trip) in
            [("one host", 1, None), ("two hosts", 2, None), ("one host, servers 2 ms away", 1, Some(2))]
        {
            eprintln!("measuring: {name}");
            let (measured, trip_ms) = match trip {
                None => (settling_rate(&mut self.stand, hosts, patients).await?, 0.0),
                Some(ms) => {
                    let away = |server: &MariaDb| {
                        let mut proxy = Proxy::start(server.port())?;
                        // Half of it on the way there, half on the way back.
                        proxy.delay(Duration::from_millis(ms) / 2)?;
                        anyhow::Ok(proxy)
                    };
                    let (store, target) = (away(&self.store_server)?, away(&self.target_server)?);
                    let urls =
                        (store.address_of(&self.store_server.url()), target.address_of(&self.target_server.url()));
                    let mut stand = stand(&urls.0, &urls.1).await?;
                    (settling_rate(&mut stand, hosts, patients).await?, in_numbers(usize::try_from(ms)?))
                }
            };
            let cores = std::thread::available_parallelism()?.get();
            let world = World { hosts, shards: 1, cores, workers: WORKERS, trip_ms, is_one_machine: true };
            let simulated = simulation::rate(demand, &world, patients / BATCH, SEED);
            // Writing to a String cannot fail.
            let _written =
                writeln!(text, "| {name} | {measured:.0}/s | {simulated:.0}/s | {:.2} |", simulated / measured);
        }
        Ok(text)
    }
}

async fn asked(url: &str) -> Result<f64> {
    let mut connection = Connection::open(url).await?;
    let rows = connection.rows("SHOW GLOBAL STATUS LIKE 'Questions'", &[]).await?;
    rows[0][1].text().parse().context("read the server's number of statements")
}

/// Patients a second from the first batch that is settled to the last: without the host's start.
async fn settling_rate(stand: &mut Stand, hosts: usize, patients: usize) -> Result<f64> {
    stand.fill(patients, Work::Creates).await?;
    let mut store = Connection::open(stand.store.url()).await?;
    let newest = store.rows("SELECT MAX(id) FROM sync_outbox", &[]).await?[0][0].integer();
    let first = newest + 1 - i64::try_from(patients)?;
    stand.hosts_drain(hosts).await?;
    let sql =
        "SELECT MIN(finished_at), MAX(finished_at) FROM sync_delivery WHERE target = 'openemr' AND outbox_id >= ?";
    let rows = store.rows(sql, &[first.into()]).await?;
    let took_ms = u64::try_from(rows[0][1].integer() - rows[0][0].integer())?;
    Ok(rate(patients - BATCH, Duration::from_millis(took_ms)))
}

/// Waits for its end; gives the processor time it had used when it was last seen.
async fn to_the_end(mut host: RunningHost) -> Result<f64> {
    let mut seconds = 0.0_f64;
    while host.is_running()? {
        seconds = seconds.max(processor_seconds(host.id()).unwrap_or_default());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let code = host.exit_code()?;
    ensure!(code == Some(0), "the host ended with {code:?}; {}", host.stderr());
    Ok(seconds)
}

fn shown(demand: &Demand) -> String {
    format!(
        "A batch of {} new patients, MariaDB to MariaDB, measured on this machine:\n\n\
         | | processor time, ms | statements |\n|---|---|---|\n\
         | host | {:.1} | |\n| store | {:.1} | {:.1} |\n\
         | target | {:.1} | {:.1} |\n\nOne durable write takes {:.2} ms.\n",
        demand.batch,
        demand.host_ms,
        demand.take_ms + demand.settle_ms,
        demand.take_trips + demand.settle_trips + 1.0,
        demand.target_ms,
        demand.target_trips,
        demand.commit_ms
    )
}

/// What machines of two processors would do: each host, each store and each target on one of its own.
fn table(demand: &Demand) -> String {
    let mut text = String::from(
        "\nSimulated, patients/s, machines of 2 processors, every store and every target on one of its own, two batches in\n\
         flight for each host and store:\n\n| stores (tenants apart) | hosts | network 0.1 ms | 0.5 ms | 2 ms |\n|---|---|---|---|---|\n",
    );
    for shards in [1, 2, 4] {
        for hosts in [1, 2, 4] {
            let _written = write!(text, "| {shards} | {hosts} |");
            for trip_ms in [0.1, 0.5, 2.0] {
                let world = World { hosts, shards, cores: 2, workers: WORKERS, trip_ms, is_one_machine: false };
                let _written = write!(text, " {:.0} |", simulation::rate(demand, &world, BATCHES, SEED));
            }
            text.push('\n');
        }
    }
    text
}

#[allow(clippy::cast_precision_loss, reason = "numbers of batches and milliseconds")]
fn in_numbers(count: usize) -> f64 {
    count as f64
}
