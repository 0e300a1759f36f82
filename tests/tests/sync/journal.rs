//! The journal of a running host: what it records of each attempt, and that no value of a patient is in it.

use std::time::Duration;

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, Row as _, SqliteConnection};
use tests::database::Database;
use tests::environment::{Backend, fixture};
use tests::host::{Configuration, Host};
use tests::marked;
use tests::servers::process::free_port;

use crate::slow_server::{Answer, SlowServer};
use crate::support::{QUICK, adapter, directory, patient, put};

/// The id of the marked patient, which the journal does not have either.
const ID: &str = marked::PATIENT_ID;

/// Everything in the journal's tables, as text.
async fn journal(host: &Host) -> Vec<String> {
    let url = tests::database::sqlite_url(&host.folder().join(".host").join("host.db"));
    let mut store = SqliteConnection::connect(&url).await.expect("store");
    let mut texts = Vec::new();
    for (table, columns) in [
        (
            "sync_attempt",
            "target || host || adapter_name || outcomes || COALESCE(effect_counts, '') || COALESCE(cause, '')",
        ),
        ("sync_effects", "effects"),
    ] {
        let rows = sqlx::query(AssertSqlSafe(format!("SELECT {columns} FROM {table}"))).fetch_all(&mut store).await;
        texts.extend(rows.expect("read").iter().map(|row| row.get::<String, _>(0)));
    }
    texts
}

fn assert_unmarked(texts: &[String]) {
    let text = texts.join("\n");
    assert_eq!(marked::found(&marked::patient_marks(), &text), Vec::<&str>::new(), "{text}");
    assert!(!text.contains(ID), "{text}");
}

fn traced(host: &Host, id: &str) -> Vec<Value> {
    let output = host.run(&["trace", id, "--json"]).expect_success();
    let mut story: Value = serde_json::from_str(&output.stdout).expect("JSON");
    serde_json::from_value(story["events"].take()).expect("events")
}

fn event<'a>(events: &'a [Value], kind: &str) -> &'a Value {
    events.iter().find(|event| event["event"] == kind).unwrap_or_else(|| panic!("no {kind} in {events:#?}"))
}

async fn host_over_sqlite(more: &str) -> (Host, Database) {
    let openemr = Database::fresh(Backend::Sqlite).await.expect("database").expect("SQLite is always there");
    openemr.load_sql(&fixture("openemr/sqlite.sql")).await.expect("tables");
    let configuration = Configuration::new("sqlite://.host/host.db").openemr(&adapter("openemr"), openemr.url());
    (Host::new(&configuration.more(more)).expect("host"), openemr)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_at_a_database_is_recorded_with_its_statements_and_no_value() {
    let (host, _openemr) = host_over_sqlite(QUICK).await;
    put(&host, &marked::patient(ID));
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    let events = traced(&host, ID);
    let attempt = event(&events, "attempt");
    assert_eq!(
        (&attempt["changes"], &attempt["calls"], &attempt["outcomes"]["done"]),
        (&1.into(), &1.into(), &1.into())
    );
    assert_eq!(attempt["adapter"]["name"], "openemr");
    assert_eq!(attempt["adapter"]["sha256"].as_str().map(str::len), Some(64));
    let templates = attempt["effects"]["templates"].as_array().expect("templates");
    let sql: Vec<_> = templates.iter().filter_map(|template| template["sql"].as_str()).collect();
    let insert = sql.iter().find(|sql| sql.starts_with("INSERT INTO `patient_data`"));
    assert!(insert.is_some_and(|sql| sql.contains('?')), "{sql:#?}");
    assert_eq!(event(&events, "delivery")["status"], "done");
    assert_eq!(event(&events, "written")["operation"], "create");

    let texts = journal(&host).await;
    assert!(texts.len() >= 2, "{texts:?}");
    assert_unmarked(&texts);
    let why = host.run(&["why", ID, "--target", "openemr"]);
    assert_eq!(why.status, Some(0), "{}", why.stderr);
    assert!(
        why.stdout.starts_with("delivered: openemr confirmed change 1 of patient Zz-patient_id at "),
        "{}",
        why.stdout
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_over_http_is_recorded_with_its_requests_and_no_value() {
    let server = SlowServer::start(Duration::ZERO, Answer::AtOnce);
    let configuration = Configuration::new("sqlite://.host/host.db").more(&directory("x", &server.url())).more(QUICK);
    let host = Host::new(&configuration).expect("host");
    put(&host, &marked::patient(ID));
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    let events = traced(&host, ID);
    let attempt = event(&events, "attempt");
    let templates = attempt["effects"]["templates"].as_array().expect("templates");
    let put = templates.iter().find(|template| template["method"] == "PUT").expect("a write");
    let path = put["path"].as_str().expect("a path");
    assert!(path.ends_with("/{id}"), "{path}");
    let delivery = event(&events, "delivery");
    assert_eq!((&delivery["remote_id"], &delivery["remote_version"]), (&ID.into(), &"\"1\"".into()));
    let shown = host.run(&["trace", ID]).expect_success().stdout;
    assert!(shown.contains(&format!("change 1 at x: done (ID {ID}, version \"1\")\n")), "{shown}");
    assert_eq!((put["status"].is_u64(), &put["count"]), (true, &1.into()), "{put}");
    let texts = journal(&host).await;
    assert_unmarked(&texts);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_journal_no_attempt_is_recorded() {
    let (host, _openemr) = host_over_sqlite("\n[sync]\njournal = false\n").await;
    put(&host, &patient("J-1"));
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    assert_eq!(journal(&host).await, Vec::<String>::new());
    let events = traced(&host, "J-1");
    assert_eq!(event(&events, "delivery")["status"], "done");
    assert!(events.iter().all(|event| event["event"] != "attempt"), "{events:#?}");
}

#[test]
fn why_names_the_target_that_is_down_while_a_host_runs_and_the_host_when_none_does() {
    let port = free_port().expect("port");
    let target = directory("x", &format!("http://127.0.0.1:{port}"));
    let host = Host::new(&Configuration::new("sqlite://.host/host.db").more(&target).more(QUICK)).expect("host");
    put(&host, &patient("J-1"));
    let why = || host.run(&["why", "J-1", "--target", "x"]);
    assert_eq!(why().status, Some(16), "no host runs: {}", why().stdout);
    let mut running = host.spawn(&["run"]).expect("spawn");
    let limit = Duration::from_secs(60);
    running.wait_until("why names the target", limit, || why().status == Some(11)).expect("wait");
    running.wait_until("with its reason", limit, || why().stdout.contains("x is down since ")).expect("wait");
    let unknown = host.run(&["why", "J-9", "--target", "x"]);
    assert_eq!(
        (unknown.status, unknown.stdout.trim_end()),
        (Some(18), "unknown: the store has no patient J-9; check the type and the id")
    );
    let refused = host.run(&["why", "--type", "encounter", "--id", "E-1", "--target", "x"]);
    assert_eq!(refused.status, Some(2), "{}", refused.stderr);
}
