//! The command line over the real binary. Bad input: messages name the thing and the fix, the exit code fits, and
//! nothing is written. `snapshots.rs` compares whole outputs.

mod audit;
mod operating;
mod snapshots;
mod support_bundle;
mod trace;
mod watch;

use std::fs;
use std::path::Path;

use tests::environment::adapter;
use tests::host::{Configuration, Host, Output};

/// Runs each behaviour on every store.
macro_rules! on_every_store {
    ($($behaviour:ident),+ $(,)?) => {
        mod on_sqlite { $( #[tokio::test(flavor = "multi_thread")]
            async fn $behaviour() { super::$behaviour(tests::environment::Backend::Sqlite).await; } )+ }
        mod on_mariadb { $( #[tokio::test(flavor = "multi_thread")]
            async fn $behaviour() { super::$behaviour(tests::environment::Backend::MariaDb).await; } )+ }
        mod on_postgres { $( #[tokio::test(flavor = "multi_thread")]
            async fn $behaviour() { super::$behaviour(tests::environment::Backend::Postgres).await; } )+ }
    };
}
use on_every_store;

fn host(more: &str) -> Host {
    let host = Host::new(&Configuration::new("sqlite://.host/host.db").more(more)).expect("host");
    // Commands that only read make no store. A configuration that is refused makes none either.
    drop(host.run(&["migrate"]));
    host
}

fn write(host: &Host, name: &str, content: &[u8]) {
    fs::write(host.folder().join(name), content).expect("write");
}

fn assert_says(output: &Output, exit_code: i32, words: &[&str]) {
    assert_eq!(output.status, Some(exit_code), "{}{}", output.stdout, output.stderr);
    for word in words {
        assert!(
            output.stderr.contains(word) || output.stdout.contains(word),
            "no `{word}` in {}{}",
            output.stdout,
            output.stderr
        );
    }
}

/// The store has no patient and nothing waits.
fn assert_nothing_written(host: &Host) {
    assert_eq!(host.run(&["patient", "list"]).expect_success().stdout, "");
    assert_eq!(host.status()["unrouted"], 0);
}

const USER: &str =
    "[[users]]\nusername = \"admin\"\ndisplay_name = \"Admin\"\nrole = \"admin\"\ndev_password = \"a long password\"\n";

fn patient(lines: &str) -> String {
    format!(
        "[[patients]]\npatient_id = \"P-1\"\nfamily_name = \"Kim\"\ngiven_name = \"A\"\nbirth_date = \"1980-01-31\"\ngender = \"male\"\n{lines}"
    )
}

#[test]
fn an_invalid_seed_file_is_refused_whole_with_every_problem() {
    let host = host("");
    let good = patient("");
    let bad = good.replace("P-1", "P-2").replace("1980-01-31", "1980-02-31").replace("male", "man");
    let unknown = good.replace("P-1", "P-3") + "colour = \"red\"\n";
    write(&host, "seed.toml", format!("{USER}{good}{bad}{unknown}{good}").as_bytes());
    let output = host.run(&["seed", "seed.toml"]);
    assert_says(&output, 3, &["seed.toml:16", "birth_date", "gender", "colour", "seed.toml:26", "line 7"]);
    assert_nothing_written(&host);
}

#[test]
fn a_seed_file_that_is_not_text_is_refused() {
    let host = host("");
    write(&host, "seed.toml", b"[[patients]]\npatient_id = \"\xff\"\n");
    assert_says(&host.run(&["seed", "seed.toml"]), 3, &["seed.toml:2", "UTF-8"]);
    assert_says(&host.run(&["seed", "missing.toml"]), 3, &["missing.toml"]);
    write(&host, "seed.toml", b"[[patients]\n");
    assert_says(&host.run(&["seed", "seed.toml"]), 3, &["seed.toml:1"]);
    write(&host, "seed.toml", patient(&format!("city = \"{}\"\n", "x".repeat(10_000))).as_bytes());
    assert_says(&host.run(&["seed", "seed.toml"]), 3, &["seed.toml:7", "city"]);
    write(&host, "seed.toml", patient("city = \"a\\u0000b\"\n").as_bytes());
    assert_says(&host.run(&["seed", "seed.toml"]), 3, &["seed.toml:7", "city"]);
    assert_nothing_written(&host);
}

#[test]
fn seeding_twice_reports_skipped_and_changed_records() {
    let host = host("");
    write(&host, "seed.toml", format!("{USER}{}", patient("")).as_bytes());
    let first = host.run(&["seed", "seed.toml"]).expect_success();
    for line in [
        "[START] Initial Data Seeding",
        "[STEP 1/4] Creating Users...",
        "   [OK] User created: admin (admin)",
        "   [OK] Patient created: P-1 - Kim A",
        "[STEP 4/4] Summary",
    ] {
        assert!(first.stdout.lines().any(|found| found == line), "no `{line}` in {}", first.stdout);
    }
    let second = host.run(&["seed", "seed.toml"]).expect_success();
    assert!(second.stdout.contains("[SKIP] User unchanged: admin"), "{}", second.stdout);
    assert!(second.stdout.contains("[SKIP] Patient unchanged: P-1"), "{}", second.stdout);
    write(&host, "seed.toml", format!("{USER}{}", patient("city = \"Seoul\"\n")).as_bytes());
    let third = host.run(&["seed", "seed.toml"]).expect_success();
    assert!(third.stdout.contains("[OK] Patient updated: P-1"), "{}", third.stdout);
    assert_eq!(host.status()["unrouted"], 2);
}

#[test]
fn clinical_records_are_seeded_after_the_patients_of_another_file() {
    let host = host("");
    let seeds = tests::environment::workspace().join("seeds");
    let files = ["initial.toml", "clinical.toml"].map(|name| seeds.join(name).to_string_lossy().into_owned());
    let arguments = ["seed", &files[0], &files[1]];
    let first = host.run(&arguments).expect_success();
    for line in [
        "[STEP 3/5] Creating Clinical Records (SQLite)...",
        "   [OK] Record created: encounter E-2025-0001",
        "   [OK] Record created: fhir-resource I-2025-0001",
        "   [INFO] 0 patients and 21 clinical records queued; no target is enabled yet",
        "   Clinical records: 21 created, 0 updated, 0 unchanged",
    ] {
        assert!(first.stdout.lines().any(|found| found == line), "no `{line}` in {}", first.stdout);
    }
    assert_eq!(host.status()["unrouted"], 26);
    let second = host.run(&arguments).expect_success();
    assert!(second.stdout.contains("Clinical records: 0 created, 0 updated, 21 unchanged"), "{}", second.stdout);
    assert_eq!(host.status()["unrouted"], 26);
    let stranger = "[[conditions]]\nid = 'C-9'\npatient = 'P-2025-002'\nencounter = 'E-2025-0001'\n\
                    clinical_status = 'active'\ncode = { display = 'Secret' }\n";
    write(&host, "seed.toml", stranger.as_bytes());
    let output = host.run(&["seed", "seed.toml"]);
    assert_says(&output, 1, &["condition C-9: refs.encounter: belongs to another patient"]);
    assert!(!output.stderr.contains("Secret"), "{}", output.stderr);
    assert_eq!(host.status()["unrouted"], 26);
}

#[test]
fn an_invalid_configuration_is_reported_with_line_and_fix() {
    let host = host("");
    let with = |text: &str| {
        write(&host, "host.toml", text.as_bytes());
        host.run(&["status"])
    };
    assert_says(&with("[store]\nurl = \"sqlite://x.db\"\ncolour = 1\n"), 3, &["host.toml:3", "colour"]);
    assert_says(&with("[store]\nurl = \"oracle://x\"\n"), 3, &["host.toml:2", "sqlite"]);
    assert_says(&with("[store]\nurl = \"${NO_SUCH_VARIABLE}\"\n"), 3, &["host.toml:2", "NO_SUCH_VARIABLE"]);
    let no_adapter = "[store]\nurl = \"sqlite://x.db\"\n[targets.a.database]\nurl = \"sqlite://y.db\"\n";
    assert_says(&with(no_adapter), 3, &["adapter"]);
    fs::remove_file(host.folder().join("host.toml")).expect("remove");
    assert_says(&host.run(&["status"]), 3, &["host.toml", "not found", "--config"]);
}

#[test]
fn an_unreachable_store_is_named_without_its_password() {
    let port = tests::servers::process::free_port().expect("port");
    for scheme in ["mysql", "postgres"] {
        let url = format!("{scheme}://host:secret-word@127.0.0.1:{port}/neuronova");
        let host = Host::new(&Configuration::new(&url)).expect("host");
        let output = host.run(&["status"]);
        assert_says(&output, 4, &["127.0.0.1", &port.to_string(), "neuronova", "connection refused"]);
        assert!(!output.stderr.contains("secret-word"), "{}", output.stderr);
    }
}

#[test]
fn a_wrong_password_and_a_missing_database_have_different_errors() {
    for (server, user) in [(tests::environment::mysql_url(), "mysql"), (tests::environment::postgres_url(), "postgres")]
    {
        let Some(server) = server else { continue };
        let missing = format!("{server}/no_such_database_here");
        let output = Host::new(&Configuration::new(&missing)).expect("host").run(&["migrate"]);
        assert_says(&output, 4, &["no_such_database_here"]);
        let place = server.split_once('@').expect("a user in the address").1;
        let wrong = format!("{user}://nobody_here:secret-word@{place}/no_such_database_here");
        let output = Host::new(&Configuration::new(&wrong)).expect("host").run(&["migrate"]);
        assert_says(&output, 4, &["127.0.0.1"]);
        assert!(!output.stderr.contains("secret-word"), "{}", output.stderr);
    }
}

#[test]
fn development_passwords_are_refused_for_a_remote_store() {
    let host = Host::new(&Configuration::new("mysql://host:x@db.example:3306/neuronova")).expect("host");
    write(&host, "seed.toml", USER.as_bytes());
    assert_says(
        &host.run(&["seed", "seed.toml"]),
        3,
        &["development passwords", "--allow-dev-passwords", "db.example"],
    );
}

#[test]
fn a_file_that_is_not_an_adapter_is_refused() {
    let host = host("");
    write(&host, "text.wasm", b"hello");
    write(&host, "core.wasm", b"\0asm\x01\0\0\0");
    write(&host, "empty-component.wasm", b"\0asm\x0d\0\x01\0");
    assert_says(&host.run(&["plugin", "inspect", "text.wasm"]), 5, &["text.wasm", "not a WebAssembly component"]);
    assert_says(
        &host.run(&["plugin", "inspect", "core.wasm"]),
        5,
        &["core.wasm", "core WebAssembly module", "component"],
    );
    assert_says(&host.run(&["plugin", "inspect", "empty-component.wasm"]), 5, &["another world", "neuronova:sync"]);
    assert_says(&host.run(&["plugin", "inspect", "missing.wasm"]), 5, &["missing.wasm"]);
}

#[test]
fn an_adapter_for_another_kind_of_target_is_refused() {
    let fhir = adapter("fhir");
    let more = format!(
        "\n[targets.openemr]\nadapter = {}\n[targets.openemr.database]\nurl = \"sqlite://openemr.db\"\n",
        tests::host::quoted(&fhir.to_string_lossy())
    );
    let host = host(&more);
    assert_says(&host.run(&["check"]), 5, &["http-target", "database-target"]);
}

#[test]
fn the_bundled_adapters_import_their_world_and_empty_wasi() {
    let host = host("");
    for (name, world, own) in [
        ("openemr", "database-target", vec!["database", "logging", "settings", "types"]),
        ("fhir", "http-target", vec!["logging", "settings", "types"]),
    ] {
        let inspected = host.run(&[Path::new("plugin"), Path::new("inspect"), &adapter(name), Path::new("--json")]);
        let json = inspected.expect_success().json();
        assert_eq!(json["world"], world);
        for import in json["imports"].as_array().expect("imports") {
            let import = import.as_str().expect("text");
            let is_own = own.iter().any(|own| import.starts_with(&format!("neuronova:sync/{own}@")));
            let is_http = world == "http-target" && import.starts_with("wasi:http/");
            let is_empty_wasi =
                ["wasi:cli/", "wasi:io/", "wasi:clocks/", "wasi:random/"].iter().any(|wasi| import.starts_with(wasi));
            assert!(is_own || is_http || is_empty_wasi, "{name} imports {import}");
        }
    }
}

#[test]
fn retry_needs_a_selection() {
    let host = host("");
    assert_says(&host.run(&["retry"]), 2, &["--target", "--failed"]);
    assert_says(&host.run(&["retry", "--target", "nowhere"]), 2, &["nowhere", "host.toml"]);
    assert_says(&host.run(&["retry", "--kind", "bad-luck"]), 2, &["invalid", "conflict"]);
    assert_says(&host.run(&["retry", "--failed"]), 0, &["0 failed deliveries"]);
}

#[test]
fn a_store_without_a_running_host_is_reported() {
    let host = host("");
    write(&host, "seed.toml", patient("").as_bytes());
    let _ = host.run(&["seed", "seed.toml"]).expect_success();
    assert_says(&host.run(&["status"]), 0, &["No host runs on this store", "host run", "Pending: 1"]);
    assert_says(&host.run(&["seed", "seed.toml", "--wait"]), 1, &["no host runs"]);
}

#[test]
fn an_invalid_patient_is_refused_without_showing_values() {
    let host = host("");
    write(&host, "patient.json", br#"{"patient_id": "P 1", "family_name": "Secretname", "gender": "x"}"#);
    let output = host.run(&["patient", "put", "patient.json"]);
    assert_says(&output, 3, &["patient_id", "given_name", "birth_date", "gender"]);
    assert!(!output.stderr.contains("Secretname"), "{}", output.stderr);
    write(&host, "patient.json", br#"{"patient_id": "P-1", "colour": "red"}"#);
    assert_says(&host.run(&["patient", "put", "patient.json"]), 3, &["colour"]);
    assert_says(&host.run(&["patient", "show", "P-9"]), 1, &["P-9"]);
    assert_nothing_written(&host);
}

#[test]
fn completions_need_no_configuration() {
    let host = host("");
    fs::remove_file(host.folder().join("host.toml")).expect("remove");
    assert_says(&host.run(&["completions", "bash"]), 0, &["host"]);
}

#[test]
fn help_is_a_command_too_and_needs_no_configuration() {
    let host = host("");
    fs::remove_file(host.folder().join("host.toml")).expect("remove");
    assert_says(&host.run(&["help"]), 0, &["Usage: host", "migrate", "plugin"]);
    assert_says(&host.run(&["help", "plugin", "list"]), 0, &["Usage: host plugin list", "--json"]);
}

/// Everything in the folder, by name and content.
fn everything(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("folder") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            found.extend(everything(&path));
        } else {
            found.push((path.display().to_string(), fs::read(&path).expect("read")));
        }
    }
    found.sort();
    found
}

const READING: [&[&str]; 8] = [
    &["status"],
    &["status", "--json"],
    &["check"],
    &["conflicts"],
    &["failed", "list"],
    &["failed", "list", "--dismissed"],
    &["patient", "list"],
    &["plugin", "history"],
];

#[test]
fn reading_commands_neither_create_nor_migrate_a_store() {
    let host = Host::new(&Configuration::new("sqlite://.host/host.db")).expect("host");
    for command in READING {
        let output = host.run(command);
        assert_says(&output, 4, &["there is no store", "host migrate"]);
        assert!(!host.folder().join(".host/host.db").exists(), "{command:?} made a store");
    }
    let _ = host.run(&["migrate"]).expect_success();
    let file = host.folder().join(".host/host.db");
    let sql = "DELETE FROM schema_migration";
    let url = tests::database::sqlite_url(&file);
    tokio::runtime::Runtime::new().expect("runtime").block_on(tests::database::execute(&url, sql)).expect("older");
    let before = fs::read(&file).expect("read");
    for command in READING {
        assert_says(&host.run(command), 4, &["schema version 0", "host migrate"]);
    }
    assert_eq!(fs::read(&file).expect("read"), before, "a reading command changed the store");
}

/// The rows of every table but those of the audit.
fn rows_of_all_tables(host: &Host) -> Vec<String> {
    let url = tests::database::sqlite_url(&host.folder().join(".host/host.db"));
    let read = async {
        let mut session = tests::session::Session::open(&url).await.expect("session");
        let tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'audit_%' ORDER BY name";
        let mut all = Vec::new();
        for table in session.rows(tables).await.expect("tables").into_iter().flatten().flatten() {
            let rows = session.rows(&format!("SELECT * FROM {table}")).await.expect("rows");
            all.extend(rows.into_iter().map(|row| format!("{table}: {row:?}")));
        }
        all
    };
    tokio::runtime::Runtime::new().expect("runtime").block_on(read)
}

#[test]
fn reading_commands_write_no_more_than_their_event() {
    let host = host("");
    write(&host, "seed.toml", patient("").as_bytes());
    let _ = host.run(&["seed", "seed.toml"]).expect_success();
    let file = host.folder().join(".host/host.db");
    let (rows, before) = (rows_of_all_tables(&host), fs::read(&file).expect("read"));
    assert!(rows.iter().any(|row| row.starts_with("patient_cache: ")), "{rows:?}");
    let shows_patients = |command: &&[&str]| matches!(command[0], "conflicts" | "failed" | "patient");
    let (recorded, others): (Vec<_>, Vec<_>) = READING.iter().copied().partition(shows_patients);
    for command in &others {
        assert_eq!(host.run(command).status, Some(0), "{command:?}");
    }
    assert_eq!(fs::read(&file).expect("read"), before);
    for command in &recorded {
        assert_eq!(host.run(command).status, Some(0), "{command:?}");
    }
    assert_eq!((recorded.len(), others.len()), (4, 4));
    assert_eq!(rows_of_all_tables(&host), rows);
    assert!(everything(&host.folder().join(".host")).iter().all(|(name, _)| !name.contains("space")), "a probe stayed");
}

#[test]
fn after_a_command_the_database_file_is_complete_on_its_own() {
    let host = host("");
    write(&host, "seed.toml", patient("").as_bytes());
    let _ = host.run(&["seed", "seed.toml"]).expect_success();
    let copy = Host::new(&Configuration::new("sqlite://.host/host.db")).expect("host");
    fs::create_dir_all(copy.folder().join(".host")).expect("folder");
    fs::copy(host.folder().join(".host/host.db"), copy.folder().join(".host/host.db")).expect("copy");
    assert!(copy.run(&["patient", "list"]).expect_success().stdout.contains("P-1"));
}

#[test]
fn an_unknown_patient_is_reported_as_unknown() {
    let host = host(TWO_TARGETS);
    write(&host, "seed.toml", patient("").as_bytes());
    let _ = host.run(&["seed", "seed.toml"]).expect_success();
    for command in
        ["retry --patient unknown", "failed list --patient unknown", "failed dismiss --patient unknown --reason x"]
    {
        let words: Vec<_> = command.split(' ').collect();
        assert_says(&host.run(&words), 1, &["has no patient `unknown`"]);
    }
    assert_says(&host.run(&["retry", "--patient", "P-1"]), 0, &["0 failed deliveries"]);
    assert_says(&host.run(&["failed", "dismiss", "--reason", "x"]), 2, &["--change", "--all"]);
    assert_says(&host.run(&["failed", "dismiss", "--all", "--reason", " "]), 2, &["1 to 1024 characters"]);
}

const TWO_TARGETS: &str = "\n[targets.fhir]\nadapter = \"a.wasm\"\nenabled = false\n[targets.fhir.http]\nbase_url = \"https://fhir.example/\"\n\
    [targets.openemr]\nadapter = \"b.wasm\"\nenabled = false\n[targets.openemr.database]\nurl = \"sqlite://openemr.db\"\n";

#[test]
fn an_unknown_target_error_lists_the_known_targets() {
    let host = host(TWO_TARGETS);
    for command in [
        &["retry", "--target", "openem"][..],
        &["failed", "list", "--target", "openem"],
        &["conflicts", "--target", "openem"],
        &["resync", "--target", "openem"],
        &["target", "pause", "openem"],
    ] {
        assert_says(&host.run(command), 2, &["no target `openem`", "`fhir`, `openemr`"]);
    }
}

/// Who may write to what the host relies on controls it; a group may be wanted, so that the command goes on.
#[cfg(unix)]
#[test]
fn hostile_write_permission_of_a_group_is_reported_by_check_and_log() {
    use std::os::unix::fs::PermissionsExt as _;
    let host = Host::new(&Configuration::new("sqlite://.host/host.db")).expect("host");
    let _ = host.run(&["migrate"]).expect_success();
    let warned = |output: &tests::host::Output, words: &str| {
        output.stdout.lines().chain(output.stderr.lines()).any(|line| line.contains(words))
    };
    assert!(!warned(&host.run(&["check"]), "may write to it"), "nothing to warn of");
    std::fs::write(host.folder().join(".env"), "A=1\n").expect("write");
    std::fs::create_dir_all(host.folder().join("adapters")).expect("folder");
    for place in [".env", "host.toml", "adapters"] {
        let path = host.folder().join(place);
        let before = std::fs::metadata(&path).expect("there").permissions();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o770)).expect("chmod");
        let checked = host.run(&["check"]);
        let words = format!("{place}: its group may write to it (mode 770, gid ");
        assert!(warned(&checked, &words) && checked.status == Some(0), "{place}: {checked:?}");
        assert!(warned(&host.run(&["run", "--until-idle"]), "its group may write to it"), "{place}");
        std::fs::set_permissions(&path, before).expect("chmod");
    }
}
