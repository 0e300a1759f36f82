//! Every field that others fill, with characters that a terminal obeys: adapters and servers fill them on the way, and
//! whoever writes to the store fills them there. No command and no log line passes them on.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use serde_json::json;
use tests::database::{self, Database, sqlite_url};
use tests::environment::Backend;
use tests::host::{Configuration, Host, quoted};

use crate::support::{QUICK, adapter};

/// Clears the screen, rings, sets the title, writes backwards, begins a line.
const MARKED: &str = "a\u{1b}[2J\u{7}\u{1b}]0;owned\u{7}\u{202e}\u{2028}\u{9b}1m\r\nforged";

/// What shows them. Each is run with and without `--json`, where it has that option.
const COMMANDS: &[(&[&str], bool)] = &[
    (&["check"], true),
    (&["status"], true),
    (&["failed", "list"], true),
    (&["failed", "list", "--dismissed"], true),
    (&["conflicts"], true),
    (&["waiting"], true),
    (&["patient", "list"], false),
    (&["plugin", "history", "--target", "say"], true),
    (&["plugin", "list"], true),
];

/// Fails where a command's output obeys what is in it, with the command. Returns the output.
fn shown(host: &Host, command: &[&str]) -> String {
    let output = host.run(command);
    for text in [&output.stdout, &output.stderr] {
        // Named here again, so that a rule of the host's that names too few is found.
        let moves = ['\u{1b}', '\u{7}', '\u{202e}', '\u{2028}', '\u{9b}', '\r'];
        assert!(!text.contains(moves), "{command:?}: {text:?}");
        assert!(!text.lines().any(|line| line.starts_with("forged")), "{command:?}: {text:?}");
    }
    if command.contains(&"--json") {
        assert!(output.json().is_object());
    }
    output.stdout + &output.stderr
}

/// Every command, and which of them shows something of the marked text.
fn shown_by_all(host: &Host) -> Vec<String> {
    let mut speaking = Vec::new();
    for (command, has_json) in COMMANDS {
        let options: [&[&str]; 2] = [&[], &["--json"]];
        for more in options.iter().take(1 + usize::from(*has_json)) {
            let command = [*command, *more].concat();
            if shown(host, &command).contains("forged") {
                speaking.push(command.join(" "));
            }
        }
    }
    speaking
}

/// Answers every request with marked words, as a FHIR server does and in a header.
fn serve() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    let port = listener.local_addr().expect("address").port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut head = vec![0; 65_536];
                while let Ok(1..) = stream.read(&mut head) {
                    let issue = json!({ "severity": "error", "code": MARKED, "diagnostics": MARKED,
                                        "details": { "text": MARKED } });
                    let body =
                        json!({ "resourceType": "OperationOutcome", "id": MARKED, "issue": [issue] }).to_string();
                    let length = body.len();
                    let answer =
                        format!("HTTP/1.1 422 \u{9b}1m\r\nX-Mark: \u{9b}1mforged\r\nContent-Length: {length}\r\n\r\n");
                    if stream.write_all((answer + &body).as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

/// The probe under a name that a terminal obeys.
fn renamed(folder: &std::path::Path) -> std::path::PathBuf {
    let mut bytes = fs::read(adapter("testing-probe")).expect("probe");
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(5).position(|window| window == b"probe") {
        bytes[at + found..at + found + 5].copy_from_slice(b"\x1b[2J\x07");
        at += found + 5;
    }
    let file = folder.join("renamed.wasm");
    fs::write(&file, bytes).expect("write");
    file
}

fn probe(name: &str, file: &std::path::Path, database: &str, behaviour: &str, argument: &str) -> String {
    format!(
        "\n[targets.{name}]\nadapter = {}\naggregate_types = [\"patient\", \"encounter\"]\n\
         [targets.{name}.database]\nurl = {}\n\
         [targets.{name}.settings]\nbehaviour = {}\nquiet_check = true\nargument = {}\n",
        quoted(&file.to_string_lossy()),
        quoted(database),
        quoted(behaviour),
        quoted(argument)
    )
}

fn store(host: &Host) -> String {
    sqlite_url(&host.folder().join(".host/host.db"))
}

async fn append(host: &Host, kind: &str, id: &str, refs: &str) {
    let row = format!(
        "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload, refs) \
         VALUES ('{kind}', '{id}', 'create', '{{}}', '{refs}')"
    );
    database::execute(&store(host), &row).await.expect("insert");
}

/// One change for each outcome, and one that waits for a patient whose id writes backwards.
async fn append_all(host: &Host) {
    let _ = host.run(&["migrate"]).expect_success();
    for id in ["applied", "skipped", "conflict", "failed", "dismissed"] {
        append(host, "patient", id, "[]").await;
    }
    let refs = json!([{ "name": "subject", "type": "patient", "id": "b\u{202e}\u{2028}forged" }]).to_string();
    append(host, "encounter", "waiting", &refs).await;
}

/// An operator's own words are refused as well; what is kept is plain.
fn dismiss(host: &Host) {
    let dismiss = ["failed", "dismiss", "--change", "5", "--target", "say"];
    for (reason, by) in [(MARKED, "kim"), ("no need", MARKED)] {
        let refused = [&dismiss[..], &["--reason", reason, "--by", by]].concat();
        let _words = shown(host, &refused);
        assert_eq!(host.run(&refused).status, Some(2), "{refused:?}");
    }
    let _ = host.run(&[&dismiss[..], &["--reason", "no need", "--by", "kim"]].concat()).expect_success();
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_text_of_adapters_and_servers_prints_no_control_characters() {
    let target = Database::fresh(Backend::Sqlite).await.expect("database").expect("SQLite is always there");
    let folder = tempfile::tempdir().expect("folder");
    let good = adapter("testing-probe");
    let port = serve();
    let http = |name: &str, file: &str, more: &str| {
        format!(
            "\n[targets.{name}]\nadapter = {}\n[targets.{name}.http]\nbase_url = \"http://127.0.0.1:{port}/fhir\"\n\
             allow_private = true\n{more}",
            quoted(&adapter(file).to_string_lossy())
        )
    };
    let settings = format!(
        "[targets.words.settings]\nmethod = \"GET\"\nauthority = \"127.0.0.1:{port}\"\npath = \"/fhir/x\"\n\
         quiet_check = true\n"
    );
    let configuration = Configuration::new("sqlite://.host/host.db")
        .more(QUICK)
        .more(&probe("say", &good, target.url(), "say", MARKED))
        .more(&probe("ids", &good, target.url(), "bad-id", "backwards"))
        .more(&probe("renamed", &renamed(folder.path()), target.url(), "echo", ""))
        .more(&http("words", "testing-http-probe", &settings))
        .more(&http("fhir", "fhir", ""))
        .more(&http("directory", "example-directory", ""));
    let host = Host::new(&configuration).expect("host").with_variable("RUST_LOG", "debug");
    append_all(&host).await;
    // The adapter's own log lines are in it.
    let run = shown(&host, &["run", "--until-idle"]);
    assert!(run.contains("forged"), "the adapter's lines: {run}");
    dismiss(&host);
    let speaking = shown_by_all(&host);
    for command in ["check", "status", "failed list", "conflicts", "waiting"] {
        assert!(speaking.iter().any(|one| one == command), "{command} shows nothing of it: {speaking:?}");
    }
    let inspected = shown(&host, &["plugin", "inspect", &renamed(folder.path()).to_string_lossy()]);
    assert!(!inspected.is_empty());
}

/// Each text of the store that a command shows, whoever has put it there: another program, or an older host.
const COLUMNS: &[(&str, &[&str])] = &[
    ("sync_link", &["remote_id", "remote_version", "fingerprint"]),
    ("sync_delivery", &["error_message"]),
    ("sync_dismissal", &["reason", "dismissed_by"]),
    ("sync_adapter_event", &["name", "version", "reason", "host", "sha256"]),
    ("sync_target", &["adapter_name", "adapter_version", "summary", "error_message"]),
    ("sync_dependency", &["referenced_id", "referenced_type"]),
    ("sync_notice", &["subject"]),
    ("patient_cache", &["fhir_patient_id"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn hostile_text_in_the_store_prints_no_control_characters() {
    let target = Database::fresh(Backend::Sqlite).await.expect("database").expect("SQLite is always there");
    let say = probe("say", &adapter("testing-probe"), target.url(), "say", "plain");
    let host = Host::new(&Configuration::new("sqlite://.host/host.db").more(QUICK).more(&say)).expect("host");
    append_all(&host).await;
    crate::support::put(&host, &crate::support::patient("P-1"));
    append(&host, "unknown", "one", "[]").await;
    let _ = host.run(&["run", "--until-idle"]);
    dismiss(&host);
    let hex = MARKED.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    let marked = format!("CAST(x'{hex}' AS TEXT)");
    for (table, columns) in COLUMNS {
        let set: Vec<String> = columns.iter().map(|column| format!("{column} = {marked}")).collect();
        // Where two rows would get one key the first keeps it.
        let update = format!("UPDATE OR IGNORE {table} SET {}", set.join(", "));
        database::execute(&store(&host), &update).await.unwrap_or_else(|error| panic!("{update}: {error:#}"));
    }
    let row = format!(
        "INSERT INTO sync_host (id, version, started_at, seen_at, targets) SELECT {marked}, {marked}, seen_at, \
         seen_at + 60000, NULL FROM sync_clock"
    );
    database::execute(&store(&host), &row).await.expect("a host");
    let speaking = shown_by_all(&host);
    for (command, has_json) in COMMANDS.iter().filter(|(command, _)| *command != ["plugin", "list"]) {
        let command = command.join(" ");
        assert!(speaking.contains(&command), "`{command}` shows nothing of it: {speaking:?}");
        assert!(!has_json || speaking.contains(&format!("{command} --json")), "{command} --json: {speaking:?}");
    }
}
