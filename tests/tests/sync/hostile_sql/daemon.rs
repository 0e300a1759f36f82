//! Hostile statements of several targets in one running host: the healthy target next to them is served to the end, the
//! host's memory stays what it was, and SIGTERM is answered within its bound.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use tests::database::Database;
use tests::environment::Backend;
use tests::host::{Configuration, Host, HostSignal, RunningHost, quoted};
use tests::session::Session;

use super::attacks;
use crate::support::{adapter, patient, put};

/// No second tries: what happens shows at once.
const ONCE: &str =
    "\n[sync]\npoll_interval_ms = 20\n[sync.retry]\nattempts_max = 1\n[sync.breaker]\nopen_ms = 100\ncap_ms = 200\n";

/// Some hundred to the sixth rows to count, and as many to send.
const ENDLESS: &str = "SELECT COUNT(*) FROM note a, note b, note c, note d, note e, note f WHERE a.id < f.body";
const ENDLESS_ROWS: &str = "SELECT a.body, b.body, c.body, d.body FROM note a, note b, note c, note d, note e, note f";

/// More than the host may hold for all targets together, KiB: the driver's buffer grows by doubling, and holds what
/// comes through the relay (25 MiB) several times while it does.
const GROWTH_KIB_MAX: u64 = 160 << 10;

/// A row of half a gigabyte where the database takes the same value again and again. On PostgreSQL, which reads the
/// value before it sends any of it, one of 64 MB; on SQLite, which runs within the host, one over the limit.
fn large(backend: Backend) -> String {
    let count = if backend == Backend::MariaDb { 32 } else { 1 };
    format!("SELECT {} FROM big", vec!["body"; count].join(", "))
}

/// It lies there already: to make it up takes longer than a call may.
async fn make_large(database: &Database) {
    let bytes = match database.backend() {
        Backend::Postgres => "repeat('x', 64000000)",
        Backend::Sqlite => "hex(zeroblob(9000000))",
        _ => "REPEAT('x', 16000000)",
    };
    let kind = if database.backend() == Backend::MariaDb { "LONGTEXT" } else { "TEXT" };
    database.execute(&format!("CREATE TABLE big (body {kind})")).await.expect("big");
    if database.backend() == Backend::Postgres {
        database.execute("ALTER TABLE big ALTER COLUMN body SET STORAGE EXTERNAL").await.expect("not compressed");
    }
    database.execute(&format!("INSERT INTO big SELECT {bytes}")).await.expect("a large value");
}

/// Name, behaviour, argument, and what the error of its delivery has in it.
fn hostile(backend: Backend) -> Vec<(&'static str, &'static str, String, &'static str)> {
    let lines = [attacks::of_old(backend), attacks::EVERYWHERE].concat().join("\n");
    let nested = format!("SELECT {}1{}", "POSITION(".repeat(45), ")".repeat(45));
    vec![
        ("lines", "lines", lines, ""),
        ("slow", "query", ENDLESS.to_owned(), "no answer to a query within"),
        ("rows", "query", ENDLESS_ROWS.to_owned(), "query_"),
        ("nested", "query", nested, ""),
        ("large", "query", large(backend), "query_bytes_max"),
    ]
}

fn target(name: &str, url: &str, behaviour: &str, argument: &str) -> String {
    let mut text = String::new();
    // A busy server takes its time to read a large value; what is slow on purpose is not waited for.
    let deadline_ms = if name == "large" { 20_000 } else { 3_000 };
    write!(
        text,
        "\n[targets.{name}]\nadapter = {}\n[targets.{name}.database]\nurl = {}\n\
         allow = {{ read = [\"note\", \"big\"], insert = [\"note\"] }}\n[targets.{name}.settings]\nbehaviour = {}\n\
         quiet_check = true\nargument = {}\n[targets.{name}.limits]\ndeadline_ms = {deadline_ms}\ncpu_ms = 3000\n",
        quoted(&adapter("testing-probe").to_string_lossy()),
        quoted(url),
        quoted(behaviour),
        quoted(argument)
    )
    .expect("text");
    text
}

async fn database(backend: Backend) -> Option<Database> {
    let database = Database::fresh(backend).await.expect("database")?;
    database.execute("CREATE TABLE note (id VARCHAR(64) PRIMARY KEY, body TEXT)").await.expect("note");
    database.execute("CREATE TABLE secret (id VARCHAR(64) PRIMARY KEY)").await.expect("secret");
    database.execute("INSERT INTO secret (id) VALUES ('kept')").await.expect("a secret");
    let rows: Vec<String> = (0..100).map(|number| format!("('n{number}', '{}')", "z".repeat(1_000))).collect();
    database.execute(&format!("INSERT INTO note (id, body) VALUES {}", rows.join(", "))).await.expect("notes");
    Some(database)
}

/// The most memory that the process has had, KiB.
fn peak_kib(host: &RunningHost) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.id())).expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn end(host: RunningHost) {
    let asked = Instant::now();
    host.signal(HostSignal::Terminate).expect("signal");
    let ended = host.wait(Duration::from_secs(60)).expect("an end");
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert!(asked.elapsed() < Duration::from_secs(35), "{:?}", asked.elapsed());
}

async fn hostile_statements_harm_nobody(backend: Backend) {
    let Some(own) = database(backend).await else { return };
    let Some(attacked) = database(backend).await else { return };
    make_large(&attacked).await;
    let healthy = target("healthy", own.url(), "insert", "");
    let store = || Configuration::new("sqlite://.host/host.db").more(ONCE).more(&healthy);
    let host = Host::new(&store()).expect("host");
    let _ = host.run(&["migrate"]).expect_success();
    put(&host, &patient("S-1"));
    let done = |count: u64| host.status()["targets"]["healthy"]["done"] == count;
    let mut daemon = host.spawn(&["run"]).expect("start");
    daemon.wait_until("the first change", Duration::from_secs(60), || done(1)).expect("first");
    let before = peak_kib(&daemon);
    end(daemon);

    let cases = hostile(backend);
    let more: String =
        cases.iter().map(|(name, behaviour, argument, _)| target(name, attacked.url(), behaviour, argument)).collect();
    host.configure(&store().more(&more)).expect("configure");
    let mut daemon = host.spawn(&["run"]).expect("start");
    for number in 2..=4 {
        put(&host, &patient(&format!("S-{number}")));
        daemon.wait_until("a change", Duration::from_secs(30), || done(number)).expect("the healthy target goes on");
        assert_eq!(host.status()["hosts_running"], 1);
        // What each of them came to: an error that names the limit, or nothing of note.
        for (name, _, _, words) in cases.iter().filter(|(.., words)| !words.is_empty()) {
            let said =
                || host.status()["targets"][name].to_string().contains(words) || failed(&host, name).contains(words);
            daemon.wait_until(&format!("{name}: {words}"), Duration::from_secs(120), said).expect("its error");
        }
    }
    let after = peak_kib(&daemon);
    eprintln!("{backend:?}: {before} KiB before, {after} KiB after");
    assert!(after < before + GROWTH_KIB_MAX, "{backend:?}: {before} KiB before, {after} KiB after");
    // While they are at it.
    put(&host, &patient("S-5"));
    end(daemon);
    let mut session = Session::open(attacked.url()).await.expect("session");
    assert_eq!(session.rows("SELECT id FROM secret").await.expect("rows"), [[Some("kept".to_owned())]]);
    let notes = session.rows("SELECT id FROM note WHERE body = 'secret'").await.expect("rows");
    assert!(notes.is_empty(), "{notes:?}");
}

fn failed(host: &Host, target: &str) -> String {
    host.run(&["failed", "list", "--target", target]).stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_statements_harm_nobody_on_sqlite() {
    hostile_statements_harm_nobody(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_statements_harm_nobody_on_mariadb() {
    hostile_statements_harm_nobody(Backend::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_statements_harm_nobody_on_postgres() {
    hostile_statements_harm_nobody(Backend::Postgres).await;
}
