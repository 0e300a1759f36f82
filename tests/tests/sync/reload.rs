//! SIGHUP: a running host takes over what `host.toml` has changed, names what needs a restart, and loses nothing.

use std::time::Duration;

use serde_json::Value;
use tests::database::Database;
use tests::environment::Backend;
use tests::host::{Configuration, Host, HostSignal, RunningHost, quoted};

use crate::support::{QUICK, adapter, directory, openemr_database, patient, put, rows};

const LIMIT: Duration = Duration::from_secs(120);
/// How often the hosts under load reload.
const RELOADS: usize = 12;
/// Changes between two reloads.
const FLOW: usize = 200;

/// What a reload logs when it has taken something over.
const RELOADED: &str = "configuration reloaded";

/// Writes the file, asks the host to read it, and waits until its log has these words once more.
fn reload(host: &Host, running: &mut RunningHost, text: &str, words: &str) {
    let before = running.stderr().matches(words).count();
    std::fs::write(host.folder().join("host.toml"), text).expect("write");
    running.signal(HostSignal::Hangup).expect("signal");
    running.wait_for_log_times(words, before + 1, LIMIT).expect("wait");
}

fn delivery(host: &Host, id: &str) -> Value {
    host.run(&["status", "--json", "--patient", id]).expect_success().json()["recent"][0].clone()
}

/// A target whose adapter runs one query for each batch.
struct Notes {
    database: Database,
    rows_max: u32,
    attempts_max: u32,
    grant: &'static str,
    more: &'static str,
}

impl Notes {
    async fn new() -> Self {
        let database = Database::fresh(Backend::Sqlite).await.expect("database").expect("SQLite is always there");
        for sql in ["CREATE TABLE note (id TEXT)", "INSERT INTO note VALUES ('a'), ('b')"] {
            database.execute(sql).await.expect("table");
        }
        Self { database, rows_max: 1, attempts_max: 1, grant: "note", more: "" }
    }

    fn configuration(&self) -> Configuration {
        Configuration::new("sqlite://.host/host.db").more(&format!(
            "{}\n[sync]\npoll_interval_ms = 20\n[sync.retry]\nbase_ms = 10\ncap_ms = 50\nattempts_max = {}\n\
             [sync.breaker]\nopen_ms = 100\ncap_ms = 300\n[targets.notes]\nadapter = {}\n[targets.notes.database]\n\
             url = {}\nallow = {{ read = [\"{}\"] }}\n[targets.notes.limits]\nquery_rows_max = {}\n\
             [targets.notes.settings]\nbehaviour = \"query\"\nargument = \"SELECT id FROM note\"\nquiet_check = true\n",
            self.more,
            self.attempts_max,
            quoted(&adapter("testing-probe").to_string_lossy()),
            quoted(self.database.url()),
            self.grant,
            self.rows_max,
        ))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_retries_and_grants_are_taken_over_by_a_running_host() {
    let mut notes = Notes::new().await;
    let host = Host::new(&notes.configuration()).expect("host");
    let _ = host.run(&["migrate"]).expect_success();
    let mut running = host.spawn(&["run"]).expect("spawn");
    running.wait_for_log("target is up", LIMIT).expect("up");
    let is = |id: &'static str, status: &'static str| move |host: &Host| delivery(host, id)["status"] == status;
    let put_and_wait = |running: &mut RunningHost, id: &'static str, status: &'static str| {
        put(&host, &patient(id));
        running.wait_until(id, LIMIT, || is(id, status)(&host)).expect("wait");
        delivery(&host, id)
    };

    let refused = put_and_wait(&mut running, "P-1", "failed");
    assert!(refused["error"].as_str().is_some_and(|error| error.contains("query_rows_max")), "{refused}");
    assert_eq!(refused["attempts"], 1);

    (notes.rows_max, notes.attempts_max) = (10, 2);
    reload(&host, &mut running, notes.configuration().text(), RELOADED);
    let keys = "keys=\"sync.retry.attempts_max, targets.notes.limits.query_rows_max\"";
    assert!(running.stderr().contains(keys), "{}", running.stderr());
    let delivered = put_and_wait(&mut running, "P-2", "done");
    assert_eq!(delivered["remote_id"], "2", "two rows: {delivered}");

    notes.rows_max = 1;
    reload(&host, &mut running, notes.configuration().text(), RELOADED);
    let refused = put_and_wait(&mut running, "P-3", "failed");
    assert_eq!(refused["attempts"], 2, "{refused}");

    (notes.rows_max, notes.grant) = (10, "another");
    reload(&host, &mut running, notes.configuration().text(), RELOADED);
    put(&host, &patient("P-4"));
    let down = || host.status()["targets"]["notes"]["state"] == "down";
    running.wait_until("the grant is missing", LIMIT, down).expect("wait");
    let target = host.status()["targets"]["notes"].clone();
    assert!(target["error"].as_str().is_some_and(|error| error.contains("table `note` may not be read")), "{target}");

    notes.grant = "note";
    reload(&host, &mut running, notes.configuration().text(), RELOADED);
    running.wait_until("P-4", LIMIT, || is("P-4", "done")(&host)).expect("wait");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breaker_opens_for_as_long_as_the_reloaded_file_says() {
    let port = tests::servers::process::free_port().expect("a free port");
    let configuration = |breaker: &str| {
        Configuration::new("sqlite://.host/host.db")
            .more(&directory("far", &format!("http://127.0.0.1:{port}")))
            .more(&format!("[sync.breaker]\n{breaker}\n"))
    };
    let host = Host::new(&configuration("open_ms = 100\ncap_ms = 300")).expect("host");
    let _ = host.run(&["migrate"]).expect_success();
    let mut running = host.spawn(&["run"]).expect("spawn");
    running.wait_for_log("target is down", LIMIT).expect("down");
    reload(&host, &mut running, configuration("open_ms = 3000000\ncap_ms = 3000000").text(), RELOADED);
    let is_long = || {
        let status = host.run(&["status"]).expect_success().stdout;
        status.lines().any(|line| line.contains("breaker open, next try in") && line.ends_with(" min"))
    };
    running.wait_until("the pause is one of minutes", LIMIT, is_long).expect("wait");
    // A reload does not wait for the end of the pause.
    reload(&host, &mut running, configuration("open_ms = 100\ncap_ms = 300").text(), RELOADED);
    running.wait_until("the pause is short again", LIMIT, || !is_long()).expect("wait");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_changes_nothing_and_names_each_problem_with_its_line() {
    let mut notes = Notes::new().await;
    notes.rows_max = 10;
    let host = Host::new(&notes.configuration()).expect("host");
    let _ = host.run(&["migrate"]).expect_success();
    let mut running = host.spawn(&["run"]).expect("spawn");
    running.wait_for_log("target is up", LIMIT).expect("up");
    // A valid change with two problems: nothing of it counts.
    notes.rows_max = 1;
    let broken = notes.configuration().more("[retention]\ndone_days = \"many\"\n[targets.other]\nadaptor = \"x\"\n");
    reload(&host, &mut running, broken.text(), "the previous configuration stays in force");
    let log = running.stderr();
    let line = |words: &str| {
        let text = broken.text().lines().position(|line| line.starts_with(words)).expect("a line") + 1;
        format!("host.toml:{text}: ")
    };
    for problem in [line("done_days") + "retention.done_days", line("adaptor") + "targets.other.adaptor"] {
        assert!(
            log.lines().any(|line| line.contains("cannot be reloaded") && line.contains(&problem)),
            "{problem}: {log}"
        );
    }
    // For the commands alone: the host is not asked to read it.
    host.configure(&notes.configuration()).expect("write");
    put(&host, &patient("P-1"));
    running.wait_until("delivered", LIMIT, || delivery(&host, "P-1")["status"] == "done").expect("wait");
    // The next good one is taken over.
    notes.attempts_max = 7;
    reload(&host, &mut running, notes.configuration().text(), RELOADED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_needs_a_restart_is_named_in_one_line_and_does_not_count() {
    let mut notes = Notes::new().await;
    notes.rows_max = 10;
    let host = Host::new(&notes.configuration()).expect("host");
    let _ = host.run(&["migrate"]).expect_success();
    let mut running = host.spawn(&["run"]).expect("spawn");
    running.wait_for_log("target is up", LIMIT).expect("up");
    let changed =
        notes.configuration().text().replace("[targets.notes.limits]", "[targets.notes.limits]\nconcurrency = 3");
    let changed = changed.replace("[store]\n", "[store]\nconnections_max = 9\n");
    let added = directory("more", "http://127.0.0.1:1/");
    let changed = changed + &added;
    reload(&host, &mut running, &changed, "needs a restart");
    let log = running.stderr();
    let keys = "keys=\"store.connections_max, targets.more, targets.notes.limits.concurrency\"";
    assert!(log.lines().any(|line| line.contains("needs a restart") && line.contains(keys)), "{log}");
    // It is said again until it was done, and what can be taken over is.
    let changed = changed + "[retention]\njournal_days = 3\n";
    reload(&host, &mut running, &changed, "needs a restart");
    assert!(running.stderr().contains("keys=\"retention.journal_days\""), "{}", running.stderr());
    put(&host, &patient("P-1"));
    running.wait_until("delivered", LIMIT, || delivery(&host, "P-1")["status"] == "done").expect("wait");
    assert!(host.status()["targets"]["more"]["state"] != "up");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_hosts_see_the_types_that_a_reload_has_changed() {
    let notes = Notes::new().await;
    let host = Host::new(&notes.configuration()).expect("host");
    let _ = host.run(&["migrate"]).expect_success();
    let store = tests::database::sqlite_url(&host.folder().join(".host/host.db"));
    let same = notes.configuration().text().replace("sqlite://.host/host.db", &store);
    let other = Host::new(&notes.configuration()).expect("host");
    std::fs::write(other.folder().join("host.toml"), same).expect("write");
    let (mut first, mut second) = (host.spawn(&["run"]).expect("spawn"), other.spawn(&["run"]).expect("spawn"));
    for running in [&mut first, &mut second] {
        running.wait_for_log("target is up", LIMIT).expect("up");
    }
    let differ = "do not agree on the aggregate_types of target `notes`";
    assert!(host.status()["host_differences"].as_array().is_some_and(Vec::is_empty));
    reload(&host, &mut first, notes.configuration().taking("notes", &["patient", "encounter"]).text(), RELOADED);
    second.wait_for_log(differ, LIMIT).expect("the other host reports it");
    let status = host.status();
    assert!(status["host_differences"].to_string().contains(differ), "{status}");
    reload(&host, &mut first, notes.configuration().text(), RELOADED);
    second.wait_for_log(&format!("no longer: the running hosts {differ}"), LIMIT).expect("they agree again");
}

fn insert(from: usize, count: usize) -> String {
    let rows: Vec<_> = (from..from + count)
        .map(|number| {
            let id = format!("R-{number:05}");
            format!("('patient', '{id}', 'create', '{}')", patient(&id))
        })
        .collect();
    format!("INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload) VALUES {}", rows.join(", "))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_that_reload_under_load_lose_and_double_nothing() {
    let (Some(store), Some(openemr)) =
        (Database::fresh(Backend::MariaDb).await.expect("store"), openemr_database("8.2.0").await)
    else {
        return;
    };
    // Other sizes of batches, and other limits, of which the last needs new connections.
    let configuration = |round: usize| {
        let (batch, memory, deadline) = (10 + 7 * (round % 5), 64 + round, 30_000 + 1_000 * (round % 3));
        let limits = format!("batch = {batch}\nmemory_mib = {memory}\ndeadline_ms = {deadline}\n");
        Configuration::new(store.url())
            .openemr(&adapter("openemr"), openemr.url())
            .more(&format!("[targets.openemr.limits]\n{limits}"))
            .more(QUICK)
    };
    let hosts = [0, 1].map(|_| Host::new(&configuration(0)).expect("host"));
    let mut running: Vec<_> = hosts.iter().map(|host| host.spawn(&["run"]).expect("spawn")).collect();
    for host in &mut running {
        host.wait_for_log("target is up", LIMIT).expect("up");
    }
    for round in 1..=RELOADS {
        store.execute(&insert(round * FLOW, FLOW)).await.expect("insert");
        for (host, running) in hosts.iter().zip(&mut running) {
            reload(host, running, configuration(round).text(), RELOADED);
        }
    }
    let all = RELOADS * FLOW;
    let done = || hosts[0].status()["totals"]["done"] == all;
    running[0].wait_until("everything is delivered", LIMIT, done).expect("wait");
    let charts = "SELECT CAST(COUNT(*) AS CHAR), CAST(COUNT(DISTINCT pubpid) AS CHAR) FROM patient_data";
    assert_eq!(rows(openemr.url(), charts).await, [[all.to_string(), all.to_string()]]);
    let attempts = "SELECT CAST(SUM(changes) AS CHAR), CAST(MAX(changes) AS CHAR) FROM sync_attempt";
    let attempts = rows(store.url(), attempts).await;
    assert_eq!(attempts[0][0], all.to_string(), "each change was tried once");
    assert!(
        attempts[0][1].parse::<usize>().expect("a number") <= 38,
        "no batch is larger than any limit: {attempts:?}"
    );
    for running in running {
        running.signal(HostSignal::Terminate).expect("signal");
        let output = running.wait(LIMIT).expect("end");
        assert_eq!(output.status, Some(0), "{}", output.stderr);
        for trouble in ["target is down", "lease was lost", "lease expired", "call aborted"] {
            assert!(!output.stderr.contains(trouble), "{trouble}:\n{}", output.stderr);
        }
    }
}
