//! Many hostile adapters and a healthy one in the same running host: each of them ends with its exact error, and the
//! healthy target's changes arrive as if it were alone.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection as _, Row as _};
use tests::host::{Configuration, Host, HostSignal, quoted};

use crate::support::{adapter, patient, put};

/// No second tries: what happens shows at once.
const ONCE: &str =
    "\n[sync]\npoll_interval_ms = 20\n[sync.retry]\nattempts_max = 1\n[sync.breaker]\nopen_ms = 100\ncap_ms = 200\n";

/// Name, behaviour, argument, limits, and the error that its deliveries end with.
const AT_A_DATABASE: &[(&str, &str, &str, &str, &str)] = &[
    (
        "endless-loop",
        "endless-loop",
        "",
        "cpu_ms = 200",
        "cpu_ms: the adapter computed for longer than 200 ms; raise [targets.endless-loop.limits] cpu_ms",
    ),
    (
        "recursion",
        "endless-recursion",
        "",
        "",
        "stack_kib: the adapter's calls are nested too deeply for 1024 KiB of stack; raise [plugins] stack_kib",
    ),
    (
        "memory",
        "memory-growing",
        "",
        "memory_mib = 32",
        "memory_mib: the adapter needs more than 32 MiB; raise [targets.memory.limits] memory_mib",
    ),
    (
        "crumbs",
        "memory-many-small",
        "",
        "memory_mib = 32",
        "memory_mib: the adapter needs more than 32 MiB; raise [targets.crumbs.limits] memory_mib",
    ),
    ("panic", "panic", "", "", "the adapter crashed: it panicked or gave up (unreachable)"),
    ("unreachable", "unreachable", "", "", "the adapter crashed: it panicked or gave up (unreachable)"),
    (
        "sleeper",
        "sleep",
        "",
        "deadline_ms = 500\ncpu_ms = 500",
        "deadline_ms: the call took longer than 500 ms; raise [targets.sleeper.limits] deadline_ms",
    ),
    ("query", "query", ENDLESS_QUERY, "deadline_ms = 500\ncpu_ms = 500", "no answer to a query within 450 ms"),
    ("few", "too-few", "", "", "invalid adapter response: 0 outcomes for 1 changes"),
    ("many", "too-many", "", "", "invalid adapter response: 2 outcomes for 1 changes"),
    (
        "gigabytes",
        "gigabytes",
        "",
        "",
        "host_call_bytes_max: host call of more than 16777216 bytes; raise [targets.gigabytes.limits] host_call_bytes_max",
    ),
    ("ids", "bad-id", "long", "", "invalid adapter response: the remote-id of outcome 0 is longer than 255 characters"),
    (
        "log",
        "log-flood",
        "",
        "",
        "log_lines_max: the adapter wrote more than 1000 log lines; raise [targets.log.limits] log_lines_max",
    ),
    (
        "calls",
        "host-call-flood",
        "",
        "",
        "host_calls_max: the adapter called the host more than 50000 times; raise [targets.calls.limits] host_calls_max",
    ),
    (
        "clock",
        "clock-flood",
        "",
        "",
        "host_calls_max: the adapter called the host more than 50000 times; raise [targets.clock.limits] host_calls_max",
    ),
    ("commit", "statement", "COMMIT", "", "`execute` runs one INSERT, UPDATE or DELETE and nothing else"),
    ("schema", "query", "SELECT a FROM other.note", "", "`other.note` lies outside of the target's own tables"),
    (
        "table",
        "statement",
        "INSERT INTO secret (id) VALUES ('x')",
        "",
        "table `secret` may not be inserted into: add it to [targets.table.database.allow] in host.toml: insert = [\"secret\"]",
    ),
];

/// Some hundred to the sixth rows to count.
const ENDLESS_QUERY: &str = "SELECT COUNT(*) FROM note a, note b, note c, note d, note e, note f WHERE a.id < f.body";

/// Name, path and more settings, limits, error.
const OVER_HTTP: &[(&str, &str, &str, &str)] = &[
    (
        "stall",
        "path = \"/fhir/stall\"",
        "deadline_ms = 500\ncpu_ms = 500",
        "deadline_ms: the call took longer than 500 ms; raise [targets.stall.limits] deadline_ms",
    ),
    (
        "flood",
        "path = \"/fhir/endless\"",
        "http_response_bytes_max = 1048576",
        "http_response_bytes_max: http response of more than 1048576 bytes; raise [targets.flood.limits] http_response_bytes_max",
    ),
    (
        "crowd",
        "path = \"/fhir/x\"\nat_once = 20",
        "",
        "http_requests_in_flight_max: the adapter has more than 8 requests in flight; raise [targets.crowd.limits] \
      http_requests_in_flight_max",
    ),
    (
        "interim",
        "path = \"/fhir/interim\"",
        "",
        "interim_heads_max: an HTTP response with more than 16 interim heads (1xx) before it",
    ),
    ("astray", "path = \"/admin\"", "", "ErrorCode::HttpRequestDenied"),
    (
        "injection",
        "path = \"/fhir/x\"\nheaders = [[\"x-a\", \"b\\r\\nAuthorization: c\"]]",
        "",
        "header x-a: HeaderError::InvalidSyntax",
    ),
    ("credential", "path = \"/fhir/x\"\nheaders = [[\"Cookie\", \"c\"]]", "", "header Cookie: HeaderError::Forbidden"),
    ("metadata", "path = \"/latest\"", "", "ErrorCode::DestinationIpProhibited"),
];

/// Answers, stalls or pours, by the path.
fn serve() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    let port = listener.local_addr().expect("address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    port
}

fn answer(mut stream: TcpStream) {
    let mut head = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut head) {
        let text = String::from_utf8_lossy(&head[..count]).into_owned();
        let written = if text.contains("/fhir/endless") {
            let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
            let mut written = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            while written.is_ok() {
                written = stream.write_all(chunk.as_bytes());
            }
            written
        } else if text.contains("/fhir/interim") {
            let heads = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(1_000);
            let mut written = Ok(());
            while written.is_ok() {
                written = stream.write_all(heads.as_bytes());
            }
            written
        } else if text.contains("/fhir/stall") {
            Ok(())
        } else {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        };
        if written.is_err() {
            return;
        }
    }
}

fn configuration(folder: &Path, port: u16) -> String {
    let mut text = String::new();
    let database = adapter("testing-probe");
    let database = quoted(&database.to_string_lossy());
    for (name, behaviour, argument, limits, _) in AT_A_DATABASE.iter().chain([&("healthy", "insert", "", "", "")]) {
        let url = quoted(&tests::database::sqlite_url(&folder.join(format!("{name}.db"))));
        write!(
            text,
            "\n[targets.{name}]\nadapter = {database}\n[targets.{name}.database]\nurl = {url}\n\
             allow = {{ read = [\"note\"], insert = [\"note\"] }}\n[targets.{name}.settings]\nbehaviour = {}\n\
             quiet_check = true\nargument = {}\n[targets.{name}.limits]\n{limits}\n",
            quoted(behaviour),
            quoted(argument)
        )
        .expect("text");
    }
    let http = adapter("testing-http-probe");
    let http = quoted(&http.to_string_lossy());
    for (name, settings, limits, _) in OVER_HTTP {
        // Its operator was talked into an address that is never dialled.
        let (authority, base_path) = match *name {
            "metadata" => ("169.254.169.254".to_owned(), ""),
            _ => (format!("127.0.0.1:{port}"), "/fhir"),
        };
        write!(
            text,
            "\n[targets.{name}]\nadapter = {http}\n[targets.{name}.http]\nbase_url = \"http://{authority}{base_path}\"\n\
             allow_private = true\n[targets.{name}.settings]\nmethod = \"GET\"\nauthority = \"{authority}\"\n\
             quiet_check = true\n{settings}\n[targets.{name}.limits]\n{limits}\n"
        )
        .expect("text");
    }
    text
}

async fn make_target(folder: &Path, name: &str) {
    let url = tests::database::sqlite_url(&folder.join(format!("{name}.db")));
    let rows: Vec<String> = (0..100).map(|number| format!("('n{number}', 'z')")).collect();
    let rows = if name == "query" { rows.join(", ") } else { "('n', 'z')".to_owned() };
    let tables = "CREATE TABLE note (id TEXT PRIMARY KEY, body TEXT); CREATE TABLE secret (id TEXT);";
    tests::database::execute(&url, &format!("{tables} INSERT INTO note VALUES {rows}")).await.expect("make");
}

/// Every status and message of each target's deliveries.
async fn deliveries(host: &Host) -> BTreeMap<String, Vec<(String, String)>> {
    let url = tests::database::sqlite_url(&host.folder().join(".host").join("host.db"));
    let mut connection = SqliteConnection::connect(&url).await.expect("store");
    let rows =
        sqlx::query("SELECT target, status, COALESCE(error_message, '') FROM sync_delivery ORDER BY target, outbox_id")
            .fetch_all(&mut connection)
            .await
            .expect("deliveries");
    let mut found: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for row in rows {
        found.entry(row.get(0)).or_default().push((row.get(1), row.get(2)));
    }
    found
}

#[tokio::test]
async fn hostile_adapters_fail_while_the_healthy_target_delivers() {
    let folder = tempfile::tempdir().expect("folder");
    for (name, ..) in AT_A_DATABASE.iter().chain([&("healthy", "", "", "", "")]) {
        make_target(folder.path(), name).await;
    }
    let more = configuration(folder.path(), serve());
    let host = Host::new(&Configuration::new("sqlite://.host/host.db").more(&more).more(ONCE)).expect("host");
    // Whoever sets these for the host gets nothing through his proxy, and stops nothing.
    let host = host.with_variable("HTTP_PROXY", "http://127.0.0.1:9").with_variable("http_proxy", "http://127.0.0.1:9");
    // Compiles each adapter once, and shows that every one of them looks well before it is let at a change.
    let _ = host.run(&["migrate"]).expect_success();
    let _ = host.run(&["check"]).expect_success();
    for number in 1..=3 {
        put(&host, &patient(&format!("H-{number}")));
    }
    let ended = host.run(&["run", "--until-idle"]);
    let found = deliveries(&host).await;
    let done = ("done".to_owned(), String::new());
    assert_eq!(found["healthy"], vec![done; 3], "{}", ended.stderr);
    let expected = AT_A_DATABASE.iter().map(|(name, .., error)| (*name, *error));
    let mut wrong = Vec::new();
    for (name, error) in expected.chain(OVER_HTTP.iter().map(|(name, .., error)| (*name, *error))) {
        // A database that does not answer is down, whoever asked, and a grant that is missing is the configuration's:
        // changes wait.
        let status = if ["query", "table"].contains(&name) { "pending" } else { "failed" };
        let wanted = vec![(status.to_owned(), error.to_owned()); 3];
        if found[name] != wanted {
            wrong.push(format!("{name}: wanted {error:?}, found {:?}", found[name]));
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), ended.stderr);
    let status = host.status();
    assert_eq!(
        (&status["targets"]["healthy"]["done"], &status["targets"]["healthy"]["state"]),
        (&3.into(), &"up".into())
    );
}

/// While all of them are at it, a running host serves the healthy target, and ends within its bound when asked to.
#[tokio::test]
async fn hostile_adapters_do_not_keep_the_host_from_stopping() {
    let folder = tempfile::tempdir().expect("folder");
    for (name, ..) in AT_A_DATABASE.iter().chain([&("healthy", "", "", "", "")]) {
        make_target(folder.path(), name).await;
    }
    let more = configuration(folder.path(), serve());
    let host = Host::new(&Configuration::new("sqlite://.host/host.db").more(&more).more(ONCE)).expect("host");
    let _ = host.run(&["migrate"]).expect_success();
    put(&host, &patient("E-1"));
    let mut daemon = host.spawn(&["run"]).expect("start");
    let done = |count: u64| host.status()["targets"]["healthy"]["done"] == count;
    daemon.wait_until("the first change", Duration::from_secs(120), || done(1)).expect("first");
    // Each of them is called again.
    put(&host, &patient("E-2"));
    daemon.wait_until("the second change", Duration::from_secs(60), || done(2)).expect("second");
    assert_eq!(host.status()["hosts_running"], 1);
    put(&host, &patient("E-3"));
    let asked = Instant::now();
    daemon.signal(HostSignal::Terminate).expect("signal");
    let ended = daemon.wait(Duration::from_secs(60)).expect("an end");
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert!(asked.elapsed() < Duration::from_secs(35), "{:?}", asked.elapsed());
}
