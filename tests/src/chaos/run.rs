//! One run from beginning to end: start everything, break it for a while, let it come to rest, read and judge.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::{
    agreement::{Told, disagreements},
    clinical,
    evidence::{Change, Evidence},
    faults::Faults,
    fleet::Fleet,
    questions::{Answers, Questions},
    rival, saboteur,
    verdict::violations,
    world::{StoreKind, World, fresh_folder},
    writer,
};
use crate::{
    database::execute,
    environment::target_directory,
    host::Host,
    servers::process::{free_port, is_interrupted},
    session::Session,
};

/// Writers of the application, who meet at the same patients.
const WRITERS: u64 = 2;

/// What the hosts log when the protocol has kept a host that lost its batch from doing harm.
const FENCE_LOST: &str = "fence: the lease was lost";
const FENCE_UNKNOWN: &str = "fence: the lease cannot be renewed";
const LOST_DURING_CALL: &str = "the lease was lost during a call";
const NOT_SETTLED: &str = "not settled: the lease was lost";
const RAN_OUT: &str = "lease expired, batch requeued";
const PANIC: &str = "panicked";
const NOTED: [&str; 6] = [FENCE_LOST, FENCE_UNKNOWN, LOST_DURING_CALL, NOT_SETTLED, RAN_OUT, PANIC];

/// What a run is to be.
#[derive(Debug, Clone)]
pub struct Options {
    /// The store's database.
    pub store: StoreKind,
    /// How long things are broken.
    pub duration: Duration,
    /// What the saboteur's dice begin with.
    pub seed: u64,
    /// Hosts on the one store.
    pub hosts: usize,
    /// Changes a second, about.
    pub rate: f64,
    /// How long everything may take to come to rest.
    pub rest_within: Duration,
    /// Write clinical records and merges too, and not patients alone.
    pub is_clinical: bool,
    /// Keep the run's folder also when it passes.
    pub keep: bool,
}

impl Options {
    /// How often `host why` is asked about each cause.
    fn rounds_of_questions(&self) -> u32 {
        if self.duration < Duration::from_secs(300) { 1 } else { 3 }
    }
}

/// Ends the keeping of the hosts when it is dropped, also by a panic: the run would wait for its threads for ever.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Everything at rest.
struct Rested {
    took: Duration,
    evidence: Evidence,
    told: Told,
}

/// Runs it and gives the summary to print.
///
/// # Errors
/// The first violation, with the command that replays it, after the same summary; or that something could not be
/// started.
pub async fn run(options: &Options) -> Result<String> {
    let kind = if options.is_clinical { "-clinical" } else { "" };
    let name = format!("{}-{}{kind}", options.store.name(), options.seed);
    let folder = fresh_folder(&target_directory().join("chaos").join(name))?;
    let world = World::start(options.store, options.is_clinical, &folder).await?;
    let fleet = Fleet::prepare(&world, options.hosts, &folder)?;
    for sql in [writer::TABLES].into_iter().chain(clinical::TABLES.into_iter().filter(|_| options.is_clinical)) {
        execute(&world.store_urls[0], sql).await.context("make the application's tables")?;
    }
    let faults = Faults::begin(options.duration, &folder.join("faults.log"))?;
    let written = writer::Written::default();
    let registered = rival::Registered::default();

    // It only runs commands.
    let asker = world.host(options.hosts + 1, &folder, free_port()?)?;
    let at_rest = break_and_rest(options, &world, (&fleet, &asker), &faults, &written, &registered);
    if is_interrupted() {
        bail!("interrupted");
    }
    let mut found = Vec::new();
    let (rest, mut evidence) = match at_rest {
        Ok(Rested { took, evidence, told }) => {
            found.extend(disagreements(&evidence, &told));
            (took, evidence)
        }
        Err(error) => {
            found.push(format!("{error:#}"));
            (Duration::ZERO, Evidence::read(&world).await?)
        }
    };
    let logs = fleet.count_in_logs(&NOTED)?;
    evidence.acknowledged = written.acknowledged();
    evidence.rival_charts = registered.charts();
    evidence.panics = logs[PANIC];
    found.splice(..0, violations(&evidence));
    let answers =
        if found.is_empty() { ask(options, &world, (&fleet, &asker), &faults) } else { Ok(Answers::default()) };
    let answers = answers.unwrap_or_else(|error| {
        found.push(format!("host why: {error:#}"));
        Answers::default()
    });
    found.extend(answers.violations());

    let mut summary = summary(options, &faults, &written, &registered, &evidence);
    protection(&mut summary, &logs, rest);
    // Writing to a String cannot fail.
    let _written = writeln!(summary, "journal, status, metrics and traces were compared\n{}", answers.summary());
    let Some(first) = found.first() else {
        if !options.keep {
            drop(world);
            std::fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
        }
        return Ok(format!("{summary}PASS"));
    };
    keep_evidence(&folder, &evidence, &found)?;
    bail!(
        "{summary}FAIL: {first}\n({} violations; all of them, what was there, what was broken and the hosts' logs are in {})\n\
         again: {}",
        found.len(),
        folder.display(),
        replay(options)
    )
}

/// The part in which things break, and after it the one in which they come to rest, and are read.
fn break_and_rest(
    options: &Options,
    world: &World,
    (fleet, asker): (&Fleet, &Host),
    faults: &Faults,
    written: &writer::Written,
    registered: &rival::Registered,
) -> Result<Rested> {
    let is_done = AtomicBool::new(false);
    let runtime = tokio::runtime::Handle::current();
    tokio::task::block_in_place(|| {
        std::thread::scope(|scope| {
            let keeper = scope.spawn(|| fleet.keep(faults, || is_done.load(Ordering::Relaxed)));
            let ends = Ends(&is_done);
            let breaker = scope.spawn(|| saboteur::run(world, fleet, faults, options.seed, &runtime));
            runtime.block_on(async {
                let rate = options.rate / f64::from(u32::try_from(WRITERS).unwrap_or(1));
                let seed = |number: u64| options.seed.wrapping_mul(1_000).wrapping_add(500 + number);
                let (first, second) = (world.store_urls.first(), world.store_urls.last());
                let url = |url: Option<&String>| url.cloned().unwrap_or_default();
                let (first, second) = (url(first), url(second));
                tokio::join!(
                    writer::run(&first, written, faults, rate, seed(1), options.is_clinical),
                    writer::run(&second, written, faults, rate, seed(2), options.is_clinical),
                    rival::run(&world.openemr_url, registered, faults, seed(3)),
                );
            });
            let broke = breaker.join().expect("the saboteur does not panic");
            let healed = broke.and_then(|()| world.heal()).and_then(|()| runtime.block_on(world.set_disk_full(false)));
            fleet.thaw();
            faults.remark("everything is well again");
            let rested = healed.and_then(|()| runtime.block_on(rest_and_read(options, world, fleet, asker)));
            drop(ends);
            keeper.join().expect("the keeper does not panic")?;
            let rested = rested?;
            fleet.stop_all()?;
            Ok(rested)
        })
    })
}

/// Asks `host why` about known causes, with hosts that are killed and started again.
fn ask(options: &Options, world: &World, (fleet, asker): (&Fleet, &Host), faults: &Faults) -> Result<Answers> {
    let questions = Questions { world, fleet, asker, is_clinical: options.is_clinical };
    let is_done = AtomicBool::new(false);
    let runtime = tokio::runtime::Handle::current();
    tokio::task::block_in_place(|| {
        std::thread::scope(|scope| {
            let keeper = scope.spawn(|| fleet.keep(faults, || is_done.load(Ordering::Relaxed)));
            let ends = Ends(&is_done);
            let answers = runtime.block_on(questions.ask(options.rounds_of_questions(), options.seed));
            fleet.start_all();
            let healed = world.heal();
            drop(ends);
            keeper.join().expect("the keeper does not panic")?;
            healed?;
            fleet.stop_all()?;
            answers
        })
    })
}

async fn rest_and_read(options: &Options, world: &World, fleet: &Fleet, asker: &Host) -> Result<Rested> {
    let took = come_to_rest(&world.store_urls[0], options.rest_within).await?;
    let evidence = Evidence::read(world).await?;
    let told = Told::read(&evidence, fleet, asker).await.context("ask the hosts at rest")?;
    Ok(Rested { took, evidence, told })
}

/// Waits until nothing is left to do.
async fn come_to_rest(store_url: &str, limit: Duration) -> Result<Duration> {
    let began = Instant::now();
    loop {
        // The store may still be starting, and SQLite's file be locked for a moment.
        let left = open_work(store_url).await;
        if matches!(left, Ok(0)) {
            return Ok(began.elapsed());
        }
        if began.elapsed() > limit || is_interrupted() {
            let left =
                left.map_or_else(|error| format!("{error:#}"), |left| format!("{left} changes and deliveries wait"));
            bail!("not at rest after {} s: {left}", limit.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn open_work(store_url: &str) -> Result<i64> {
    let mut session = Session::open(store_url).await?;
    let sql = "SELECT (SELECT COUNT(*) FROM sync_outbox WHERE routed_at IS NULL) + (SELECT COUNT(*) FROM sync_delivery \
               WHERE status IN ('pending', 'processing')) + (SELECT COUNT(*) FROM sync_lease)";
    let rows = session.rows(sql).await?;
    session.close().await?;
    let count = rows.first().and_then(|row| row.first()?.as_deref());
    count.context("count what is left")?.parse().context("read a count")
}

fn summary(
    options: &Options,
    faults: &Faults,
    written: &writer::Written,
    registered: &rival::Registered,
    evidence: &Evidence,
) -> String {
    let mut text = String::new();
    let mut line = |line: String| {
        // Writing to a String cannot fail.
        let _written = writeln!(text, "{line}");
    };
    let (store, seconds) = (options.store.name(), options.duration.as_secs());
    let clinical = if options.is_clinical { ", clinical records" } else { "" };
    line(format!("chaos: store {store}, {} hosts, {seconds} s, seed {}{clinical}", options.hosts, options.seed));
    line("faults:".to_owned());
    let counts = faults.counts();
    for (kind, count) in &counts {
        line(format!("  {count:>6}  {kind}"));
    }
    let kills: u64 = counts.iter().filter(|(kind, _)| kind.starts_with("kill -9")).map(|(_, count)| count).sum();
    line(format!("  {:>6}  in all, {kills} of them kill -9", counts.values().sum::<u64>()));
    line(format!(
        "  {:>6}  pids taken by OpenEMR's own writer, {} times one that was taken already",
        registered.charts(),
        registered.retries()
    ));
    let changes = |is_meant: &dyn Fn(&Change) -> bool| evidence.changes.iter().filter(|it| is_meant(it)).count();
    let aggregates = |is_meant: &dyn Fn(&Change) -> bool| {
        let meant = evidence.changes.iter().filter(|it| is_meant(it));
        meant.map(|change| &change.aggregate_id).collect::<BTreeSet<_>>().len()
    };
    line(format!(
        "changes: {} of {} patients ({} confirmed to the application, {} times no confirmation)",
        evidence.changes.len(),
        aggregates(&|change| change.is_patient()),
        written.changes(),
        written.unknown(),
    ));
    if options.is_clinical {
        line(format!(
            "of them {} of {} clinical records, {} removals, {} merges",
            changes(&|change| !change.is_patient()),
            aggregates(&|change| !change.is_patient()),
            changes(&|change| change.removes),
            changes(&|change| change.survivor().is_some()),
        ));
    }
    let with = |status: &str| evidence.deliveries.iter().filter(|delivery| delivery.status == status).count();
    let states = evidence.chart_history.len() + evidence.resources.iter().map(|it| it.versions.len()).sum::<usize>();
    line(format!(
        "deliveries: {} done, {} superseded, {} failed; {states} states written at the targets",
        with("done"),
        with("superseded"),
        with("failed")
    ));
    text
}

fn protection(text: &mut String, logs: &std::collections::BTreeMap<&'static str, u64>, rest: Duration) {
    // Writing to a String cannot fail.
    let _written = writeln!(
        text,
        "protection: {} leases ran out and were taken over; {} commits or requests refused by the fence, {} more because \
         the store could not be asked; {} calls aborted and {} batches not settled because the lease was lost\n\
         at rest {:.1} s after the last fault",
        logs[RAN_OUT],
        logs[FENCE_LOST],
        logs[FENCE_UNKNOWN],
        logs[LOST_DURING_CALL],
        logs[NOT_SETTLED],
        rest.as_secs_f64()
    );
}

fn keep_evidence(folder: &Path, evidence: &Evidence, found: &[String]) -> Result<()> {
    let write = |name: &str, text: &str| {
        let file: PathBuf = folder.join(name);
        std::fs::write(&file, text).with_context(|| format!("write {}", file.display()))
    };
    write("violations.txt", &(found.join("\n") + "\n"))?;
    write("evidence.json", &serde_json::to_string_pretty(evidence)?)
}

fn replay(options: &Options) -> String {
    format!(
        "cargo xtask chaos --store {} --duration {}s --seed {} --hosts {} --rate {}{}",
        options.store.name(),
        options.duration.as_secs(),
        options.seed,
        options.hosts,
        options.rate,
        if options.is_clinical { " --clinical" } else { "" }
    )
}
