//! What others wrote, in the log and on the terminal: databases on their own account, applications in ids and types,
//! people in files. None of it begins a line, moves a cursor, or brings patients' data where it does not belong.

use std::fs;
use std::time::Duration;

use tests::database::{Database, execute, sqlite_url};
use tests::environment::{Backend, adapter};
use tests::host::{Configuration, Host, quoted};

use crate::slow_server::{Answer, SlowServer};
use crate::support::{QUICK, directory, patient};

/// Clears the screen, rings, sets the title, writes backwards, begins a line.
const MARKED: &str = "\u{1b}[2J\u{7}\u{1b}]0;owned\u{7}\u{202e}\u{2028}\u{9b}1m\rforged";

#[tokio::test]
async fn notices_of_the_store_server_are_not_logged() {
    let Some(store) = Database::fresh(Backend::Postgres).await.expect("fresh") else { return };
    let host = Host::new(&Configuration::new(store.url())).expect("host").with_variable("RUST_LOG", "trace");
    let _ = host.run(&["migrate"]).expect_success();
    let trigger = "CREATE FUNCTION say() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
        RAISE WARNING 'Kim-of-the-trigger % ERROR forged', chr(10); RAISE NOTICE 'Kim-of-the-trigger'; RETURN NEW; END $$; \
        CREATE TRIGGER say BEFORE INSERT ON sync_outbox FOR EACH ROW EXECUTE FUNCTION say()";
    execute(store.url(), trigger).await.expect("trigger");
    fs::write(host.folder().join("patient.json"), patient("W-1").to_string()).expect("write");
    let output = host.run(&["patient", "put", "patient.json"]).expect_success();
    assert!(output.stdout.contains("created"), "the trigger has spoken: {}", output.stdout);
    assert!(!output.stderr.contains("Kim-of-the-trigger"), "{}", output.stderr);
    assert!(
        !output.stderr.contains("\nERROR forged") && !output.stderr.contains("\n ERROR forged"),
        "{}",
        output.stderr
    );
    assert!(!output.stderr.contains("INSERT INTO"), "no statement is in a log either: {}", output.stderr);
}

/// The same of a target's database: an adapter's INSERT makes its trigger speak, and no level of the log repeats it.
#[tokio::test(flavor = "multi_thread")]
async fn notices_of_a_target_database_are_not_logged() {
    let Some(target) = Database::fresh(Backend::Postgres).await.expect("fresh") else { return };
    for sql in [
        "CREATE TABLE note (id VARCHAR(64) PRIMARY KEY, body TEXT)",
        "CREATE FUNCTION say() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         RAISE WARNING 'Kim-of-the-trigger %', NEW.id; RAISE NOTICE 'Kim-of-the-trigger %', NEW.body; RETURN NEW; END $$",
        "CREATE TRIGGER say BEFORE INSERT ON note FOR EACH ROW EXECUTE FUNCTION say()",
    ] {
        target.execute(sql).await.expect("table and trigger");
    }
    let notes = format!(
        "\n[targets.notes]\nadapter = {}\n[targets.notes.database]\nurl = {}\n\
         allow = {{ read = [\"note\"], insert = [\"note\"] }}\n[targets.notes.settings]\nbehaviour = \"insert\"\n\
         quiet_check = true\nargument = \"\"\n",
        quoted(&adapter("testing-probe").to_string_lossy()),
        quoted(target.url())
    );
    let configuration = Configuration::new("sqlite://.host/host.db").more(&notes).more(QUICK);
    let host = Host::new(&configuration).expect("host").with_variable("RUST_LOG", "trace");
    let _ = host.run(&["migrate"]).expect_success();
    fs::write(host.folder().join("patient.json"), patient("W-1").to_string()).expect("write");
    let _ = host.run(&["patient", "put", "patient.json"]).expect_success();
    let output = host.run(&["run", "--until-idle"]).expect_success();
    assert!(output.stdout.contains("notes: 1 delivered"), "{}", output.stdout);
    assert!(!output.stderr.contains("Kim-of-the-trigger"), "{}", output.stderr);
}

#[tokio::test]
async fn foreign_text_prints_no_control_characters() {
    let server = SlowServer::start(Duration::ZERO, Answer::AtOnce);
    let target = directory("x", &server.url());
    let host = Host::new(&Configuration::new("sqlite://.host/host.db").more(&target).more(QUICK)).expect("host");
    let _ = host.run(&["migrate"]).expect_success();
    let store = sqlite_url(&host.folder().join(".host/host.db"));
    let in_sql = |text: &str| {
        let bytes = text.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
        format!("CAST(x'{bytes}' AS TEXT)")
    };
    // An id with a control character is refused and never shown; one that only reorders text is an id.
    let (kind, marked, reordered) = ("'patient'".to_owned(), in_sql(MARKED), in_sql("a\u{202e}\u{2028}forged-id"));
    for (kind, id) in [(kind.clone(), marked.clone()), (marked, kind.clone()), (kind, reordered)] {
        let row = format!(
            "INSERT INTO sync_outbox (event_id, aggregate_type, aggregate_id, operation, payload, created_at) \
             VALUES (lower(hex(randomblob(16))), {kind}, {id}, 'create', '{{}}', 1)"
        );
        execute(&store, &row).await.expect("insert");
    }
    let write = |name: &str, text: String| fs::write(host.folder().join(name), text).expect("write");
    let escape = |character: char| format!("\\U{:08x}", u32::from(character));
    let escaped = MARKED.chars().map(escape).collect::<Vec<_>>().concat();
    write("seed.toml", format!("\"k{escaped}\" = 1\n[[patients]]\npatient_id = \"{escaped}\"\n\"q{escaped}\" = 1\n"));
    write(
        "bad.toml",
        format!(
            "[store]\nurl = \"sqlite://x.db\"\n\"k{escaped}\" = 1\n[targets.\"t{escaped}\"]\nadapter = \"{escaped}\"\n"
        ),
    );
    write("people.csv", format!("h{MARKED},b\n1,2\n"));
    write("one.json", format!("{{\"k{}\": 1}}", escaped.replace("\\U0000", "\\u")));
    write("bad.wasm", MARKED.to_owned());
    let commands: [&[&str]; 12] = [
        &["run", "--until-idle"],
        &["status"],
        &["failed", "list"],
        &["retry", "--patient", MARKED],
        &["patient", "show", MARKED],
        &["seed", "seed.toml"],
        &["import", "people.csv"],
        &["patient", "put", "one.json"],
        &["--config", "bad.toml", "check"],
        &["plugin", "inspect", "bad.wasm"],
        &["plugin", "install", "bad.wasm", "--target", MARKED],
        &["target", "pause", MARKED],
    ];
    for command in commands {
        let output = host.run(command);
        if command == ["status"] {
            assert!(output.stdout.contains("forged-id"), "what was written is shown: {}", output.stdout);
        }
        for text in [&output.stdout, &output.stderr] {
            // Named here again, so that a rule of the host's that names too few is found.
            let moves = ['\u{1b}', '\u{7}', '\u{202e}', '\u{2028}', '\u{9b}', '\r'];
            assert!(!text.contains(moves), "{command:?}: {text:?}");
            assert!(!text.lines().any(|line| line.starts_with("forged")), "{command:?}: {text:?}");
        }
    }
}
