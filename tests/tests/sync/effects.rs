//! A new adapter that writes something else than the active one is held until an operator accepts it.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tests::database::Database;
use tests::environment::Backend;
use tests::host::{Configuration, Host, RunningHost, quoted};
use tests::session::Session;

use crate::support::{QUICK, adapter, patient, put};

const LIMIT: Duration = Duration::from_secs(120);
/// What a patient of these tests is born on, and what the adapter that takes the month for the day writes.
const BORN: &str = "1990-03-04";
const SWAPPED: &str = "1990-04-03";

/// A testing adapter with this word instead of `plain` in it.
pub(crate) fn variant(name: &str, word: &str) -> Vec<u8> {
    let mut component = fs::read(adapter(name)).expect("adapter");
    let text = b"people-variant:plain    ";
    let places: Vec<_> = (0..component.len() - text.len()).filter(|at| component[*at..].starts_with(text)).collect();
    assert_eq!(places.len(), 1, "the word is in the component once");
    let word = format!("people-variant:{word:<9}");
    component[places[0]..places[0] + text.len()].copy_from_slice(word.as_bytes());
    component
}

/// A file that is there as a whole or not at all.
pub(crate) fn put_in_place(host: &Host, bytes: &[u8]) {
    fs::write(host.folder().join("next"), bytes).expect("write");
    fs::rename(host.folder().join("next"), host.folder().join("people.wasm")).expect("rename");
}

/// A patient who was born on this day, and has moved since the last time: what did not change is not delivered.
pub(crate) fn born_on(id: &str, day: &str) -> Value {
    static MOVES: AtomicU32 = AtomicU32::new(0);
    let mut patient = patient(id);
    patient["birth_date"] = day.into();
    patient["city"] = format!("Town {}", MOVES.fetch_add(1, Ordering::Relaxed)).into();
    patient
}

/// The state of the target `people`.
pub(crate) fn people(host: &Host) -> Value {
    host.status()["targets"]["people"].clone()
}

pub(crate) fn active(host: &Host) -> String {
    people(host)["adapter"]["sha256"].as_str().unwrap_or_default().to_owned()
}

pub(crate) fn held(host: &Host) -> Option<String> {
    people(host)["held"]["sha256"].as_str().map(str::to_owned)
}

pub(crate) fn history(host: &Host) -> String {
    host.run(&["plugin", "history", "--limit", "100"]).expect_success().stdout
}

async fn target(backend: Backend) -> Option<Database> {
    let database = Database::fresh(backend).await.expect("database")?;
    let id = match backend {
        Backend::Sqlite => "INTEGER PRIMARY KEY AUTOINCREMENT",
        Backend::MariaDb => "BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY",
        _ => "BIGSERIAL PRIMARY KEY",
    };
    let tables = [
        format!(
            "CREATE TABLE person (id {id}, external_id VARCHAR(64) NOT NULL UNIQUE, born VARCHAR(10), sex VARCHAR(8))"
        ),
        "CREATE TABLE note (person_id BIGINT NOT NULL, body VARCHAR(255) NOT NULL)".to_owned(),
    ];
    for table in tables {
        database.execute(&table).await.expect("a table");
    }
    Some(database)
}

fn configuration(store: &str, url: &str, quick: &str) -> Configuration {
    Configuration::new(store)
        .more(&format!(
            "\n[targets.people]\nadapter = \"people.wasm\"\n[targets.people.database]\nurl = {}\n\
             allow = {{ read = [\"*\"], insert = [\"*\"], update = [\"*\"] }}\n\n[plugins]\ndirectory = \".\"\n",
            quoted(url)
        ))
        .more(quick)
}

fn host(target: &Database) -> Host {
    let host = Host::new(&configuration("sqlite://.host/host.db", target.url(), QUICK)).expect("host");
    put_in_place(&host, &variant("testing-people", "plain"));
    host
}

fn started(host: &Host) -> RunningHost {
    let mut running = host.spawn(&["run"]).expect("spawn");
    running.wait_until("up", LIMIT, || people(host)["state"] == "up").expect("wait");
    running
}

/// Puts a patient, and waits until that many deliveries are done.
fn deliver(host: &Host, running: &mut RunningHost, patient: &Value, done: u64) {
    put(host, patient);
    running.wait_until("delivered", LIMIT, || people(host)["done"] == done).expect("wait");
}

/// What is at the target: the application's id and the day of birth.
async fn persons(target: &Database) -> Vec<String> {
    let mut session = Session::open(target.url()).await.expect("session");
    let rows = session.rows("SELECT external_id, born FROM person ORDER BY external_id").await.expect("rows");
    session.close().await.expect("close");
    rows.into_iter().map(|row| row.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>().join(" ")).collect()
}

fn has_no_value(text: &str) {
    for value in ["1990", BORN, SWAPPED, "JiWoo", "Choi"] {
        assert!(!text.contains(value), "{value}:\n{text}");
    }
}

/// Month and day swapped: held, the old one goes on, also after a restart, and an operator lets it through.
async fn holds_what_writes_something_else(backend: Backend) {
    let Some(target) = target(backend).await else { return };
    let host = host(&target);
    let mut running = started(&host);
    let first = active(&host);
    deliver(&host, &mut running, &born_on("A-1", BORN), 1);

    put_in_place(&host, &variant("testing-people", "swapped"));
    put(&host, &born_on("A-2", BORN));
    put(&host, &born_on("A-1", BORN));
    running.wait_until("it is held", LIMIT, || held(&host).is_some()).expect("wait");
    running.wait_until("all delivered", LIMIT, || people(&host)["done"] == 3).expect("wait");
    assert_eq!(active(&host), first, "the old one stays active");
    assert_eq!(persons(&target).await, [format!("A-1 {BORN}"), format!("A-2 {BORN}")]);
    let status = host.run(&["status"]).expect_success().stdout;
    assert!(status.contains("another value in `person.born`"), "{status}");
    assert!(status.contains("`host plugin accept --target people` activates it"), "{status}");
    let listed = host.run(&["plugin", "list"]).expect_success().stdout;
    assert!(listed.contains("(held)\n   another value in `person.born`"), "{listed}");
    let found = people(&host)["held"]["differences"].to_string();
    assert!(found.contains("person"), "{found}");
    assert_eq!(history(&host).matches(": held people").count(), 1, "{}", history(&host));
    let log = running.stderr();
    assert_eq!(log.matches("new adapter held").count(), 1, "{log}");
    for text in [&status, &listed, &found, &history(&host), &log] {
        has_no_value(text);
    }

    running.kill();
    let mut running = started(&host);
    running.wait_for_log("the file's adapter is held", LIMIT).expect("it keeps to the hold");
    deliver(&host, &mut running, &born_on("A-3", BORN), 4);
    assert_eq!((active(&host), held(&host).is_some()), (first.clone(), true));
    assert!(persons(&target).await.contains(&format!("A-3 {BORN}")));

    let other = host.run(&["plugin", "accept", "--target", "people", "--sha256", "ffff"]);
    assert_eq!(other.status, Some(1));
    assert!(other.stderr.contains("is another one: sha256:"), "{}", other.stderr);
    let wanted = held(&host).expect("held");
    let accept =
        ["plugin", "accept", "--target", "people", "--sha256", &wanted[..12], "--reason", "the register's form"];
    let accepted = host.run(&accept).expect_success().stdout;
    assert!(accepted.contains("target people accepts people 0.1.0 sha256:"), "{accepted}");
    running.wait_until("it is active", LIMIT, || active(&host) == wanted).expect("wait");
    deliver(&host, &mut running, &born_on("A-4", BORN), 5);
    assert!(persons(&target).await.contains(&format!("A-4 {SWAPPED}")));
    assert_eq!(held(&host), None);
    let again = host.run(&["plugin", "accept", "--target", "people"]);
    assert!(again.stderr.contains("no adapter is held at target `people`"), "{}", again.stderr);
    let audited = host.run(&["audit", "list", "--json"]).expect_success().stdout;
    assert!(audited.contains("plugin accept") && audited.contains("the register's form"), "{audited}");

    // Another file is compared anew.
    put_in_place(&host, &variant("testing-people", "no-sex"));
    put(&host, &born_on("A-1", BORN));
    running
        .wait_until("the next one is held", LIMIT, || held(&host).is_some_and(|sha256| sha256 != wanted))
        .expect("wait");
    let differences = people(&host)["held"]["differences"].to_string();
    assert!(differences.contains("person.sex") && differences.contains("not-written"), "{differences}");
    assert_eq!(active(&host), wanted);
    // With the active adapter's file in its place the hold is over.
    put_in_place(&host, &variant("testing-people", "swapped"));
    running.wait_until("nothing is held", LIMIT, || held(&host).is_none()).expect("wait");
}

#[tokio::test]
async fn what_writes_something_else_into_sqlite_is_held_until_it_is_accepted() {
    holds_what_writes_something_else(Backend::Sqlite).await;
}

#[tokio::test]
async fn what_writes_something_else_into_mariadb_is_held_until_it_is_accepted() {
    holds_what_writes_something_else(Backend::MariaDb).await;
}

#[tokio::test]
async fn what_writes_something_else_into_postgresql_is_held_until_it_is_accepted() {
    holds_what_writes_something_else(Backend::Postgres).await;
}

/// New rows get other ids in each of the rolled-back runs, and notes have the clock and a random number.
#[tokio::test]
async fn an_adapter_that_writes_the_same_is_activated_whatever_ids_the_database_gives() {
    for backend in [Backend::Sqlite, Backend::MariaDb, Backend::Postgres] {
        let Some(target) = target(backend).await else { continue };
        let host = host(&target);
        let mut running = started(&host);
        let mut done = 0;
        for word in ["rebuilt", "reading", "plain"] {
            let before = active(&host);
            put_in_place(&host, &variant("testing-people", word));
            // Inserts and updates while it is a canary.
            for number in 0..4 {
                put(&host, &born_on(&format!("{word}-{number}"), BORN));
                done += 1;
            }
            let swapped = || active(&host) != before;
            running.wait_until("the swap", LIMIT, swapped).unwrap_or_else(|error| {
                panic!("{backend:?} {word}: {error:#}\n{}\n{}", history(&host), people(&host));
            });
            running.wait_until("delivered", LIMIT, || people(&host)["done"] == done).expect("wait");
        }
        assert!(!history(&host).contains(": held"), "{backend:?}:\n{}", history(&host));
        assert_eq!(persons(&target).await.len(), 12);
        let mut session = Session::open(target.url()).await.expect("session");
        let notes = session.rows("SELECT body FROM note n JOIN person p ON p.id = n.person_id").await.expect("rows");
        session.close().await.expect("close");
        assert!(notes.len() >= 12, "nothing of a comparison stays, and nothing is missing");
    }
}

#[tokio::test]
async fn an_adapter_that_fails_is_rejected_and_one_that_skips_is_held() {
    let target = target(Backend::Sqlite).await.expect("SQLite is always there");
    let host = host(&target);
    let mut running = started(&host);
    deliver(&host, &mut running, &born_on("A-1", BORN), 1);
    let first = active(&host);
    put_in_place(&host, &variant("testing-people", "failing"));
    put(&host, &born_on("A-1", BORN));
    running.wait_until("it is rejected", LIMIT, || history(&host).contains("rejected people")).expect("wait");
    put_in_place(&host, &variant("testing-people", "skipping"));
    put(&host, &born_on("A-1", BORN));
    running.wait_until("it is held", LIMIT, || held(&host).is_some()).expect("wait");
    let differences = people(&host)["held"]["differences"].to_string();
    assert!(differences.contains("skipped instead of applied"), "{differences}");
    assert_eq!(active(&host), first);
    // A reload has it compared anew.
    let _ = host.run(&["plugin", "reload", "--target", "people"]).expect_success();
    running.wait_until("held again", LIMIT, || history(&host).matches(": held people").count() == 2).expect("wait");
    assert_eq!(active(&host), first);
    assert_eq!(host.status()["totals"]["failed"], 0);
    assert_eq!(host.status()["totals"]["skipped"], 0);
}

#[tokio::test]
async fn at_a_paused_target_an_adapter_is_compared_too() {
    let target = target(Backend::Sqlite).await.expect("SQLite is always there");
    let host = host(&target);
    let mut running = started(&host);
    deliver(&host, &mut running, &born_on("A-1", BORN), 1);
    let first = active(&host);
    let _ = host.run(&["target", "pause", "people"]).expect_success();
    running.wait_until("paused", LIMIT, || people(&host)["state"] == "paused").expect("wait");
    running.wait_for_log("target paused", LIMIT).expect("the host follows");
    put_in_place(&host, &variant("testing-people", "extra"));
    running.wait_until("it is held", LIMIT, || held(&host).is_some()).expect("wait");
    assert!(people(&host)["held"]["differences"].to_string().contains("UPDATE of person"), "{}", people(&host));
    assert_eq!(active(&host), first);
}

/// The usual upgrade: stop, replace the file, start.
#[tokio::test]
async fn a_file_that_was_replaced_while_no_host_ran_is_compared_before_its_first_delivery() {
    let target = target(Backend::Sqlite).await.expect("SQLite is always there");
    let host = host(&target);
    let run = || host.run(&["run", "--until-idle"]).expect_success();
    put(&host, &born_on("A-1", BORN));
    let _ = run();
    let first = active(&host);
    put_in_place(&host, &variant("testing-people", "swapped"));
    put(&host, &born_on("A-2", BORN));
    let _ = run();
    assert_eq!((held(&host).is_some(), active(&host) == first), (true, true), "{}", people(&host));
    assert_eq!(persons(&target).await, [format!("A-1 {BORN}"), format!("A-2 {BORN}")], "by the old adapter");

    let _ = host.run(&["plugin", "accept", "--target", "people"]).expect_success();
    put(&host, &born_on("A-3", BORN));
    let _ = run();
    assert_eq!(persons(&target).await.last(), Some(&format!("A-3 {SWAPPED}")));

    // One that writes the same as the active one is used at once.
    let mut same = variant("testing-people", "swapped");
    same.extend_from_slice(&[0, 4, 1, b'n', 0, 0]);
    put_in_place(&host, &same);
    let before = active(&host);
    let _ = run();
    assert!(held(&host).is_none() && active(&host) != before, "{}", people(&host));
    has_no_value(&history(&host));
}

/// The target's tables changed, and with them the adapter: the old one cannot be compared with.
#[tokio::test]
async fn a_file_that_replaces_an_adapter_which_works_no_more_is_used_at_once() {
    let target = target(Backend::Sqlite).await.expect("SQLite is always there");
    let host = host(&target);
    put(&host, &born_on("A-1", BORN));
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    let first = active(&host);
    target.execute("ALTER TABLE person DROP COLUMN sex").await.expect("alter");
    put_in_place(&host, &variant("testing-people", "no-sex"));
    put(&host, &born_on("A-2", BORN));
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    assert!(held(&host).is_none() && active(&host) != first, "{}", people(&host));
    assert_eq!(persons(&target).await, [format!("A-1 {BORN}"), format!("A-2 {BORN}")]);
}

#[tokio::test]
async fn one_key_switches_the_comparison_off() {
    let target = target(Backend::Sqlite).await.expect("SQLite is always there");
    let quick = QUICK.replace("[sync]\n", "[sync]\ncompare_effects = false\n");
    let host = Host::new(&configuration("sqlite://.host/host.db", target.url(), &quick)).expect("host");
    put_in_place(&host, &variant("testing-people", "plain"));
    let mut running = started(&host);
    deliver(&host, &mut running, &born_on("A-1", BORN), 1);
    let first = active(&host);
    put_in_place(&host, &variant("testing-people", "swapped"));
    running.wait_until("it is active", LIMIT, || active(&host) != first).expect("wait");
    deliver(&host, &mut running, &born_on("A-2", BORN), 2);
    assert_eq!(persons(&target).await, [format!("A-1 {BORN}"), format!("A-2 {SWAPPED}")]);
}

#[tokio::test]
async fn all_hosts_keep_to_a_hold() {
    let (Some(store), Some(target)) =
        (Database::fresh(Backend::MariaDb).await.expect("store"), target(Backend::MariaDb).await)
    else {
        return;
    };
    let configuration = configuration(store.url(), target.url(), QUICK);
    let hosts = [Host::new(&configuration).expect("host"), Host::new(&configuration).expect("host")];
    for host in &hosts {
        put_in_place(host, &variant("testing-people", "plain"));
    }
    let mut running: Vec<_> = hosts.iter().map(started).collect();
    let host = &hosts[0];
    running[0].wait_until("both run", LIMIT, || host.status()["hosts_running"] == 2).expect("wait");
    deliver(host, &mut running[0], &born_on("A-1", BORN), 1);
    let first = active(host);
    for host in &hosts {
        put_in_place(host, &variant("testing-people", "swapped"));
    }
    put(host, &born_on("A-1", BORN));
    running[0].wait_until("it is held", LIMIT, || held(host).is_some()).expect("wait");
    for (number, id) in (3..).zip(["A-2", "A-3", "A-4"]) {
        deliver(host, &mut running[0], &born_on(id, BORN), number);
    }
    assert_eq!(active(host), first);
    assert_eq!(history(host).matches(": held people").count(), 1, "{}", history(host));
    let expected: Vec<_> = (1..=4).map(|number| format!("A-{number} {BORN}")).collect();
    assert_eq!(persons(&target).await, expected);
    // Both follow the decision.
    let _ = host.run(&["plugin", "accept", "--target", "people"]).expect_success();
    running[0].wait_until("it is active", LIMIT, || active(host) != first).expect("wait");
    drop(running.remove(0));
    deliver(&hosts[1], &mut running[0], &born_on("A-5", BORN), 6);
    assert!(persons(&target).await.contains(&format!("A-5 {SWAPPED}")), "{:?}", persons(&target).await);
}

#[tokio::test]
async fn a_replay_compares_recent_changes_and_writes_nothing() {
    for backend in [Backend::Sqlite, Backend::MariaDb, Backend::Postgres] {
        let Some(target) = target(backend).await else { continue };
        let host = host(&target);
        for id in ["A-1", "A-2", "A-3"] {
            put(&host, &born_on(id, BORN));
        }
        let _ = host.run(&["run", "--until-idle"]).expect_success();
        let before = (persons(&target).await, host.status());
        fs::write(host.folder().join("swapped.wasm"), variant("testing-people", "swapped")).expect("write");
        fs::write(host.folder().join("same.wasm"), variant("testing-people", "rebuilt")).expect("write");
        let replay = ["plugin", "replay", "swapped.wasm", "--target", "people", "--last", "1h"];
        let different = host.run(&replay);
        assert_eq!(different.status, Some(1), "{}{}", different.stdout, different.stderr);
        for words in
            ["3 changes, 3 compared", "another value in `person.born` (3 times)", "UPDATE ", "[NOTHING WRITTEN]"]
        {
            assert!(different.stdout.contains(words), "{words}:\n{}", different.stdout);
        }
        has_no_value(&different.stdout);
        let json = host.run(&[&replay[..], &["--limit", "2", "--json"]].concat()).json();
        assert_eq!(json["changes"], 2, "{json}");
        assert_eq!(json["differences"][0]["place"], "person.born", "{json}");
        let same = host.run(&["plugin", "replay", "same.wasm", "--target", "people"]).expect_success();
        assert!(same.stdout.contains("[EQUAL] both adapters write the same"), "{}", same.stdout);
        assert_eq!((persons(&target).await, host.status()["totals"].clone()), (before.0, before.1["totals"].clone()));
        let adapters = |status: &Value| ["adapter", "held"].map(|key| status["targets"]["people"][key].clone());
        assert_eq!(adapters(&host.status()), adapters(&before.1), "it is neither active nor held");
        let audited = host.run(&["audit", "list", "--json"]).expect_success().stdout;
        assert!(audited.contains("plugin replay"), "{audited}");
    }
}

#[tokio::test]
async fn a_replay_refuses_what_it_cannot_compare() {
    let target = target(Backend::Sqlite).await.expect("SQLite is always there");
    let host = host(&target);
    let _ = host.run(&["migrate"]).expect_success();
    let nowhere = host.run(&["plugin", "replay", "people.wasm", "--target", "nowhere"]);
    assert_eq!(nowhere.status, Some(2), "{}", nowhere.stderr);
    let nothing = host.run(&["plugin", "replay", "people.wasm", "--target", "people"]).expect_success();
    assert!(nothing.stdout.contains("nothing was delivered since then"), "{}", nothing.stdout);
    let missing = host.run(&["plugin", "replay", "none.wasm", "--target", "people"]);
    assert_eq!(missing.status, Some(5), "{}", missing.stderr);
    let other = adapter("fhir");
    let other =
        host.run(&[Path::new("plugin"), Path::new("replay"), &other, Path::new("--target"), Path::new("people")]);
    assert_eq!(other.status, Some(5), "{}", other.stderr);
    assert_eq!(held(&host).map(|_| json!(null)), None);
}
