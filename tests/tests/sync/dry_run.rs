//! `host plugin dry-run`: it shows what would be sent, leaves target and store as they were, and tells no patient's
//! data unless it is asked to.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use tests::database::{Database, sqlite_url};
use tests::environment::{Backend, fixture};
use tests::host::{Configuration, Host, HostSignal, Output, quoted};

use crate::support::{adapter, host_with_openemr, openemr_database, patient, put, rows};

/// What `support::patient` is made of, apart from its id.
const PERSONAL: [&str; 6] = ["Choi", "JiWoo", "최", "지우", "1990-05-05", "Busan"];

fn dry_run(host: &Host, more: &[&str]) -> Output {
    host.run(&[&["plugin", "dry-run", "--patient", "D-1"], more].concat())
}

/// Everything in an SQLite file, table by table.
async fn everything(url: &str) -> Vec<String> {
    let mut connection = SqliteConnection::connect(url).await.expect("connect");
    let mut found = Vec::new();
    let tables = "SELECT m.name, (SELECT group_concat('quote(\"' || c.name || '\")', '||'',''||') FROM pragma_table_info(m.name) c) \
                  FROM sqlite_master m WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' ORDER BY m.name";
    for table in sqlx::query(tables).fetch_all(&mut connection).await.expect("tables") {
        let (name, columns): (String, String) = (table.get(0), table.get(1));
        let all = sqlx::query(AssertSqlSafe(format!("SELECT {columns} FROM \"{name}\" ORDER BY 1")));
        for row in all.fetch_all(&mut connection).await.expect("rows") {
            found.push(format!("{name}: {}", row.get::<String, _>(0)));
        }
    }
    found
}

async fn store(host: &Host) -> Vec<String> {
    let mut rows = everything(&sqlite_url(&host.folder().join(".host").join("host.db"))).await;
    // What is shown leaves an event.
    rows.retain(|row| !row.starts_with("audit_"));
    rows
}

fn shows_nothing_personal(output: &Output) {
    for word in PERSONAL {
        let found = output.stdout.contains(word) || output.stderr.contains(word);
        assert!(!found, "{word}:\n{}\n{}", output.stdout, output.stderr);
    }
}

/// Masked, as JSON, revealed: each shows the statements, and the same answer.
fn shows_statements(host: &Host) {
    let masked = dry_run(host, &[]).expect_success();
    shows_nothing_personal(&masked);
    for words in
        ["INSERT INTO `patient_data`", ", D-1, ", "<text, 4>", "[NOTHING WRITTEN] the transaction was rolled back"]
    {
        assert!(masked.stdout.contains(words), "{words}:\n{}", masked.stdout);
    }
    assert!(masked.stdout.contains("[ANSWER] applied: ID 1\n"), "{}", masked.stdout);
    let json = dry_run(host, &["--json"]).expect_success();
    shows_nothing_personal(&json);
    let said = json.json();
    assert_eq!(said["targets"][0]["applied"]["remote_id"], "1", "{said}");
    assert_eq!((&said["targets"][0]["ended"], &said["revealed"]), (&"rolled-back".into(), &false.into()));
    let revealed = dry_run(host, &["--reveal", "--target", "openemr"]).expect_success();
    // OpenEMR has no place for names in their own script.
    for word in PERSONAL.into_iter().filter(|word| word.is_ascii()) {
        assert!(revealed.stdout.contains(word), "{word}:\n{}", revealed.stdout);
    }
}

#[tokio::test]
async fn a_dry_run_shows_the_sql_and_leaves_sqlite_as_it_was() {
    let openemr = Database::fresh(Backend::Sqlite).await.expect("database").expect("SQLite is always there");
    openemr.load_sql(&fixture("openemr/sqlite.sql")).await.expect("tables");
    let host = host_with_openemr(openemr.url());
    put(&host, &patient("D-1"));
    let (target_before, store_before) = (everything(openemr.url()).await, store(&host).await);
    shows_statements(&host);
    assert_eq!(everything(openemr.url()).await, target_before);
    assert_eq!(store(&host).await, store_before, "no lease, no attempt, no row");

    // Delivered for good: then the current state is shown, as an update of the record that is linked.
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    let (target_before, store_before) = (everything(openemr.url()).await, store(&host).await);
    let again = dry_run(&host, &[]).expect_success().stdout;
    for words in ["the current state; no change is pending", "linked to ID 1", "[ANSWER] applied: ID 1"] {
        assert!(again.contains(words), "{words}:\n{again}");
    }
    let mut changed = patient("D-1");
    changed["city"] = "Seoul".into();
    put(&host, &changed);
    let waiting = dry_run(&host, &["--json"]).expect_success().json();
    assert_eq!(waiting["targets"][0]["state"]["source"], "waiting", "{waiting}");
    assert!(waiting["targets"][0]["exchanges"].to_string().contains("UPDATE `patient_data`"), "{waiting}");
    assert_eq!(everything(openemr.url()).await, target_before);
    assert_ne!(store(&host).await, store_before, "the put is there, and compares as different");
}

#[tokio::test]
async fn a_dry_run_shows_the_sql_and_leaves_mariadb_as_it_was() {
    let Some(openemr) = openemr_database("7.0.2").await else { return };
    let host = host_with_openemr(openemr.url());
    put(&host, &patient("D-1"));
    shows_statements(&host);
    for table in ["patient_data", "uuid_registry"] {
        let count = format!("SELECT CAST(COUNT(*) AS CHAR) FROM {table}");
        assert_eq!(rows(openemr.url(), &count).await, [["0"]], "{table}");
    }
}

#[tokio::test]
async fn a_dry_run_is_refused_where_a_table_has_no_transactions() {
    let Some(target) = Database::fresh(Backend::MariaDb).await.expect("database") else { return };
    target.execute("CREATE TABLE note (id VARCHAR(64) PRIMARY KEY, body TEXT) ENGINE=MyISAM").await.expect("table");
    let host = host_with_probe(target.url(), "");
    let output = dry_run(&host, &[]);
    assert_eq!(output.status, Some(4));
    assert!(output.stdout.contains("[FAILED] misconfigured: table `note` has no transactions"), "{}", output.stdout);
    assert_eq!(rows(target.url(), "SELECT id FROM note").await.len(), 0);
}

/// A host with one patient, and the probe that inserts a row and then does what the argument is.
fn host_with_probe(url: &str, argument: &str) -> Host {
    let configuration = Configuration::new("sqlite://.host/host.db").more(&format!(
        "[targets.probe]\nadapter = {}\n[targets.probe.database]\nurl = {}\nallow = {{ read = [\"note\"], insert = [\"note\"] }}\n\
         [targets.probe.settings]\nbehaviour = \"insert\"\nquiet_check = true\nargument = \"{argument}\"\n\
         [targets.idle]\nenabled = false\nadapter = \"none.wasm\"\n[targets.idle.database]\nurl = \"sqlite://none.db\"\n",
        quoted(&adapter("testing-probe").to_string_lossy()),
        quoted(url)
    ));
    let host = Host::new(&configuration).expect("host");
    put(&host, &patient("D-1"));
    host
}

async fn notes() -> Database {
    let target = Database::fresh(Backend::Sqlite).await.expect("database").expect("SQLite is always there");
    target.execute("CREATE TABLE note (id TEXT PRIMARY KEY, body TEXT)").await.expect("table");
    target
}

#[tokio::test]
async fn an_adapter_that_crashes_in_a_dry_run_leaves_nothing() {
    let target = notes().await;
    let host = host_with_probe(target.url(), "panic");
    let output = dry_run(&host, &[]);
    assert_eq!(output.status, Some(5), "{}", output.stdout);
    assert!(output.stdout.contains("INSERT INTO note (id, body) VALUES (?, ?)"), "{}", output.stdout);
    assert!(output.stdout.contains("[FAILED] adapter: the adapter crashed: it panicked"), "{}", output.stdout);
    shows_nothing_personal(&output);
    assert_eq!(everything(target.url()).await, Vec::<String>::new());
}

#[cfg(unix)]
#[tokio::test]
async fn an_aborted_dry_run_leaves_nothing() {
    let target = notes().await;
    let host = host_with_probe(target.url(), "sleep");
    // Compiled, so that little lies between the start and the insert.
    let _ = host.run(&["check"]).expect_success();
    let mut running = host.spawn(&["plugin", "dry-run", "--patient", "D-1"]).expect("start");
    let url = target.url().to_owned();
    running
        .wait_until("the insert", Duration::from_secs(30), || is_locked(&url))
        .expect("the adapter writes and sleeps");
    running.signal(HostSignal::Interrupt).expect("signal");
    let output = running.wait(Duration::from_secs(10)).expect("ends");
    assert_eq!(output.status, Some(1), "{}", output.stderr);
    assert!(output.stderr.contains("stopped: nothing was changed at target `probe`"), "{}", output.stderr);
    assert_eq!(everything(target.url()).await, Vec::<String>::new());
}

/// Whether a process writes this file now.
fn is_locked(url: &str) -> bool {
    let url = url.to_owned();
    let look = async move {
        let mut connection = SqliteConnection::connect(&url).await.expect("connect");
        sqlx::query("PRAGMA busy_timeout = 0").execute(&mut connection).await.expect("pragma");
        sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.is_err()
    };
    let thread = std::thread::spawn(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime").block_on(look)
    });
    thread.join().expect("looked")
}

#[tokio::test]
async fn a_dry_run_reports_what_it_cannot_test() {
    let target = notes().await;
    let host = host_with_probe(target.url(), "");
    for (more, status, words) in [
        (&["--target", "nowhere"][..], 2, "no target `nowhere`"),
        (&["--target", "idle"], 2, "target `idle` is disabled"),
    ] {
        let output = dry_run(&host, more);
        assert_eq!(output.status, Some(status), "{words}");
        assert!(output.stderr.contains(words), "{}", output.stderr);
    }
    let output = host.run(&["plugin", "dry-run", "--patient", "nobody"]);
    assert_eq!((output.status, output.stderr.as_str()), (Some(1), "error: the store has no patient `nobody`\n"));
    let empty = Host::new(&Configuration::new("sqlite://.host/host.db").fhir(&adapter("fhir"), "http://127.0.0.1:9/"));
    let empty = empty.expect("host");
    let output = dry_run(&empty, &[]);
    assert_eq!(output.status, Some(4));
    assert!(output.stderr.contains("host migrate"), "{}", output.stderr);
    assert!(!empty.folder().join(".host").exists(), "no store is made");
    put(&empty, &patient("D-1"));
    let output = dry_run(&empty, &[]);
    assert_eq!(output.status, Some(4), "{}", output.stdout);
    assert!(output.stdout.contains("[FAILED] unavailable"), "{}", output.stdout);
}

/// What a server was asked for: method and address, and whether with the credentials.
type Asked = Vec<(String, bool)>;

/// A FHIR server without conditional updates, that keeps what it was asked for.
fn server() -> (String, Arc<Mutex<Asked>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    let url = format!("http://{}/fhir", listener.local_addr().expect("address"));
    let asked = Arc::<Mutex<Asked>>::default();
    let kept = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            answer(stream.expect("connection"), &kept).expect("answer");
        }
    });
    (url, asked)
}

fn answer(mut stream: TcpStream, asked: &Mutex<Asked>) -> std::io::Result<()> {
    let mut head = String::new();
    let mut reader = BufReader::new(stream.try_clone()?);
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head)? > 0 {}
    let first = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
    let body = if first == "GET /fhir/metadata" {
        let interaction = ["read", "create", "update", "search-type"].map(|code| serde_json::json!({ "code": code }));
        serde_json::json!({"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": [{
            "mode": "server", "resource": [{"type": "Patient", "interaction": interaction,
            "searchParam": [{"name": "identifier", "type": "token"}]}]}]})
    } else {
        serde_json::json!({"resourceType": "Bundle", "type": "searchset", "total": 0, "id": "Hyacinth"})
    };
    let authorized = head.to_ascii_lowercase().contains("authorization: bearer s3cret");
    asked.lock().expect("lock").push((first, authorized));
    let (body, head) =
        (body.to_string(), "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/fhir+json");
    write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn a_dry_run_reads_over_http_and_sends_nothing_that_writes() {
    let (url, asked) = server();
    let token = "\n[targets.fhir.http.auth]\ntype = \"bearer\"\ntoken = \"${TOKEN}\"\n";
    let configuration = Configuration::new("sqlite://.host/host.db").fhir(&adapter("fhir"), &url).more(token);
    let host = Host::new(&configuration).expect("host").with_variable("TOKEN", "s3cret");
    put(&host, &patient("D-1"));
    let masked = dry_run(&host, &[]).expect_success();
    shows_nothing_personal(&masked);
    let search = format!("1. GET {url}/Patient?identifier=<text, ");
    let create = format!("2. POST {url}/Patient\n");
    for words in [
        search.as_str(),
        &create,
        "      <body, ",
        "-> NOT SENT: it would write",
        "[NOTHING WRITTEN] the first writing request was not sent",
        "[ANSWER] unknown: nothing was written, so the target gave no answer",
    ] {
        assert!(masked.stdout.contains(words), "{words}:\n{}", masked.stdout);
    }
    let revealed = dry_run(&host, &["--reveal"]).expect_success();
    for word in ["Choi", "최", "1990-05-05", "Hyacinth", "D-1"] {
        assert!(revealed.stdout.contains(word), "{word}:\n{}", revealed.stdout);
    }
    let json = dry_run(&host, &["--reveal", "--json"]).expect_success();
    assert_eq!(json.json()["targets"][0]["ended"], "withheld");
    for output in [&masked, &revealed, &json] {
        for secret in ["s3cret", "uthorization"] {
            assert!(!output.stdout.contains(secret) && !output.stderr.contains(secret), "{}", output.stdout);
        }
    }
    let asked = asked.lock().expect("lock").clone();
    let searches = asked.iter().filter(|(first, _)| first.starts_with("GET /fhir/Patient?identifier="));
    let (checks, looks): (Vec<_>, Vec<_>) = searches.partition(|(first, _)| first.contains("_count=0"));
    assert_eq!(
        (checks.len(), looks.len()),
        (3, 3),
        "each run checks that it is let in, and looks for the patient: {asked:?}"
    );
    assert!(asked.iter().all(|(first, authorized)| first.starts_with("GET ") && *authorized), "{asked:?}");
}
