//! What `host check` and `host status` show of troubles that no delivery shows.

use std::process::{Command, Output};
use std::time::Duration;

use tests::host::{Configuration, Host};

use crate::slow_server::{Answer, SlowServer};
use crate::support::{QUICK, adapter, directory, patient, put};

/// A host whose one target works.
fn working() -> Host {
    let server = SlowServer::start(Duration::ZERO, Answer::AtOnce);
    let configuration = Configuration::new("sqlite://.host/host.db")
        .more("\n[plugins]\ndirectory = \".\"\n")
        .more(&directory("x", &server.url()))
        .more(QUICK);
    let host = Host::new(&configuration).expect("host");
    put(&host, &patient("S-1"));
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    host
}

#[tokio::test]
async fn changes_of_a_type_that_no_target_accepts_are_shown() {
    use sqlx::Connection as _;
    let host = working();
    let url = tests::database::sqlite_url(&host.folder().join(".host").join("host.db"));
    let mut store = sqlx::SqliteConnection::connect(&url).await.expect("store");
    for aggregate_type in ["observation", "observation", "Patient ", "patients"] {
        let insert = "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload) VALUES (?, 'S-1', 'update', '{}')";
        sqlx::query(insert).bind(aggregate_type).execute(&mut store).await.expect("insert");
    }
    let log = host.run(&["run", "--until-idle"]).expect_success().stderr;
    assert!(log.contains("Patient \"") || log.contains("Patient \\\""), "the log shows the blank: {log}");
    let status = host.run(&["status"]).expect_success().stdout;
    let check = host.run(&["check"]).expect_success().stdout;
    for shown in [&status, &check] {
        assert!(shown.contains("2 changes of type `observation` (the last is change 3"), "{shown}");
        assert!(shown.contains("1 changes of type \"Patient \" (the last is change 4"), "{shown}");
        let patients = shown.lines().find(|line| line.contains("of type `patients`")).expect("the third type");
        assert!(patients.ends_with("; is `patient` meant?"), "{patients}");
    }
    assert!(status.contains("[Attention]"), "{status}");
    assert!(check.contains("[WARNING] store"), "{check}");

    // The outbox has it, and no command reports that the store has none.
    for command in [&["retry"][..], &["retry", "--skipped"], &["failed", "list"], &["conflicts"]] {
        let one = [command, &["--type", "patients", "--id", "S-1"]].concat();
        let told = host.run(&one);
        assert_eq!(told.status, Some(1), "{one:?}: {}", told.stdout);
        assert!(told.stderr.contains("no target accepts changes of type `patients`, so `S-1`"), "{}", told.stderr);
        assert!(told.stderr.contains("is `patient` meant?"), "{}", told.stderr);
    }
    let none = host.run(&["retry", "--type", "patients", "--id", "S-9"]);
    assert!(none.stderr.contains("the store has no patients `S-9`"), "{}", none.stderr);
    // As docs/operations.md advises, the application writes them again under the right type.
    let again = "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload) \
                 SELECT 'patient', 'S-2', operation, REPLACE(payload, 'S-1', 'S-2') FROM sync_outbox WHERE id = 1";
    sqlx::query(again).execute(&mut store).await.expect("insert");
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    assert_eq!(host.status()["targets"]["x"]["done"], 2);
}

/// As docs/operations.md advises: a type that a target takes from now on, and `host resync` for what came before.
#[tokio::test]
async fn resync_delivers_changes_of_a_type_that_a_target_newly_accepts() {
    use sqlx::Connection as _;
    let server = SlowServer::start(Duration::ZERO, Answer::AtOnce);
    let patients = Configuration::new("sqlite://.host/host.db").more(&directory("x", &server.url())).more(QUICK);
    let host = Host::new(&patients).expect("host");
    let _ = host.run(&["migrate"]).expect_success();
    let url = |file: &str| tests::database::sqlite_url(&host.folder().join(file));
    let mut store = sqlx::SqliteConnection::connect(&url(".host/host.db")).await.expect("store");
    let insert = "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload) \
                  VALUES ('lab-result', 'L-1', 'create', '{\"code\": \"718-7\", \"value\": \"13\"}')";
    sqlx::query(insert).execute(&mut store).await.expect("insert");
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    let status = host.run(&["status"]).expect_success().stdout;
    assert!(status.contains("1 changes of type `lab-result`") && !status.contains("accepts it now"), "{status}");

    let table = "CREATE TABLE lab_result (result_id TEXT PRIMARY KEY, code TEXT NOT NULL, value TEXT NOT NULL)";
    tests::database::execute(&format!("{}?mode=rwc", url("labs.db")), table).await.expect("a table");
    let labs = format!(
        "\n[targets.labs]\nadapter = {}\naggregate_types = [\"lab-result\"]\n[targets.labs.database]\n\
         url = \"sqlite://labs.db\"\n\
         allow = {{ read = [\"*\"], insert = [\"*\"], update = [\"*\"], delete = [\"*\"] }}\n",
        tests::host::quoted(&adapter("testing-laboratory").to_string_lossy())
    );
    host.configure(&patients.more(&labs)).expect("configure");
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    let status = host.run(&["status"]).expect_success().stdout;
    assert!(status.contains("a target accepts it now; fix: `host resync`"), "{status}");
    assert_eq!(host.status()["targets"]["labs"]["done"], 0);
    let told = host.run(&["retry", "--type", "lab-result", "--id", "L-1"]).expect_success().stdout;
    assert_eq!(told, "0 failed deliveries are pending again\n", "it is known, and nothing of it has failed");
    let _ = host.run(&["resync", "--target", "labs"]).expect_success();
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    assert_eq!(host.status()["targets"]["labs"]["done"], 1);
}

#[test]
fn a_file_that_differs_from_the_active_adapter_is_shown() {
    let server = SlowServer::start(Duration::ZERO, Answer::AtOnce);
    let original = std::fs::read(adapter("example-directory")).expect("adapter");
    let target = directory("x", &server.url())
        .replace(&tests::host::quoted(&adapter("example-directory").to_string_lossy()), "\"x.wasm\"");
    let configuration =
        Configuration::new("sqlite://.host/host.db").more("\n[plugins]\ndirectory = \".\"\n").more(&target).more(QUICK);
    let host = Host::new(&configuration).expect("host");
    let file = host.folder().join("x.wasm");
    std::fs::write(&file, &original).expect("write");
    put(&host, &patient("S-1"));
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    let words = "is not the active one";
    let same = host.run(&["check"]).expect_success().stdout;
    assert!(!same.contains(words), "{same}");
    // An empty custom section at the end: another file with the same behaviour.
    let newer = [&original[..], &[0, 5, 4, b'n', b'o', b't', b'e']].concat();
    std::fs::write(&file, newer).expect("write");
    let other = host.run(&["check"]).expect_success().stdout;
    assert!(other.contains("[WARNING] target x") && other.contains(words), "{other}");
    let active = host.status()["targets"]["x"]["adapter"]["sha256"].as_str().expect("active").to_owned();
    assert!(other.contains(&format!("{words} (sha256:{active})")), "{other}");
}

/// Runs a command of the host that may make no file longer than some 100 KiB, as on a disk that is nearly full.
#[cfg(target_os = "linux")]
fn without_space(host: &Host, arguments: &[&str]) -> Output {
    let command = host.command(arguments);
    let mut shell = Command::new("sh");
    // The limit's own signal is ignored, so that a write fails as it would on the disk.
    shell.arg("-c").arg("trap '' XFSZ; ulimit -f 128; exec \"$0\" \"$@\"").arg(command.get_program());
    shell.args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        shell.current_dir(folder);
    }
    shell.output().expect("sh runs")
}

#[cfg(target_os = "linux")]
#[test]
fn a_store_that_cannot_be_written_is_shown() {
    let host = working();
    let healthy = host.run(&["status"]).expect_success().stdout;
    assert!(!healthy.contains("cannot write"), "{healthy}");
    let status = without_space(&host, &["status"]);
    let shown = String::from_utf8_lossy(&status.stdout);
    assert!(shown.contains("[Attention]") && shown.contains("cannot write to the store: "), "{shown}");
    let check = without_space(&host, &["check"]);
    let shown = String::from_utf8_lossy(&check.stdout);
    assert!(shown.contains("[PROBLEM] store") && shown.contains("cannot be written"), "{shown}");
}
