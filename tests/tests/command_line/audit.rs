//! Every command that the audit records is run on every store, and its event is found. No value of a patient is in any
//! of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::UdpSocket;
use std::time::Duration;

use host::domain::audit::AuditAction;
use serde_json::{Value, json};
use tests::database::Database;
use tests::environment::{Backend, adapter, fixture};
use tests::host::{Configuration, Host, Output, quoted};
use tests::marked;

use super::{on_every_store, write};

/// Marks what the seed, the import and later edits write of a patient.
const MARK: &str = "Zqx";

/// A host with a target, an OpenEMR-shaped SQLite file.
struct Stand {
    host: Host,
    store: Database,
    openemr: Database,
}

impl Stand {
    async fn on(backend: Backend, more: &str) -> Option<Self> {
        let store = Database::fresh(backend).await.expect("database")?;
        let openemr = Database::fresh(Backend::Sqlite).await.expect("database").expect("SQLite is always there");
        openemr.load_sql(&fixture("openemr/sqlite.sql")).await.expect("tables");
        let configuration = Configuration::new(store.url())
            .more(more)
            .more("\n[plugins]\ndirectory = \".\"\n[targets.openemr]\nadapter = \"openemr.wasm\"\n")
            .more("on_remote_edit = \"hold\"\nid_column = \"openemr_patient_id\"\n")
            .more(&format!(
                "[targets.openemr.database]\nurl = {}\nallow = {{ preset = \"openemr\" }}\n\
                 [targets.openemr.settings]\nunknown_option = \"refuse\"\n",
                quoted(openemr.url())
            ));
        let host = Host::new(&configuration).expect("host").with_variable("SSH_CONNECTION", "192.0.2.7 5 192.0.2.1 22");
        Some(Self { host, store, openemr })
    }

    fn run(&self, line: &str) -> Output {
        let words: Vec<_> = line.split(' ').map(|word| word.replace('_', " ")).collect();
        self.host.run(&words)
    }

    fn succeed(&self, line: &str) -> Output {
        self.run(line).expect_success()
    }

    fn put(&self, id: &str, more: &Value) {
        let mut patient = marked::patient(id);
        if more.get("race").is_none() {
            // OpenEMR has no such options, so that it would fail.
            for field in ["country", "state"] {
                patient[field] = Value::Null;
            }
        }
        for (field, value) in more.as_object().expect("fields") {
            patient[field] = value.clone();
        }
        write(&self.host, "patient.json", patient.to_string().as_bytes());
        let _ = self.succeed("patient put patient.json");
    }

    /// Every event, without recording that they were read.
    async fn events(&self) -> Vec<BTreeMap<String, Value>> {
        let mut session = tests::session::Session::open(self.store.url()).await.expect("session");
        let columns = [
            "id",
            "action",
            "aggregate_type",
            "aggregate_id",
            "other_id",
            "item_count",
            "detail",
            "reason",
            "outcome",
            "acting_as",
            "remote",
            "os_user",
            "target",
        ];
        let sql = format!("SELECT {} FROM audit_event ORDER BY id", columns.join(", "));
        let rows = session.rows(&sql).await.expect("events");
        let row = |row: Vec<Option<String>>| {
            let values = row.into_iter().map(|text| text.map_or(Value::Null, Value::from));
            columns.iter().map(|name| (*name).to_owned()).zip(values).collect()
        };
        rows.into_iter().map(row).collect()
    }
}

on_every_store!(
    every_audited_command_leaves_its_event_and_no_value_of_a_patient,
    a_failed_command_leaves_an_event_with_its_outcome,
    tampering_is_found_by_the_command,
);

/// Runs each audited command so that it has something to do.
async fn run_every_command(stand: &Stand) {
    let host = &stand.host;
    let _ = stand.succeed("migrate");
    std::fs::copy(adapter("openemr"), host.folder().join("source.wasm")).expect("copy");
    let _ = stand.succeed("plugin install source.wasm --name openemr");
    let seed = format!(
        "[[users]]\nusername = \"kim\"\ndisplay_name = \"{MARK}\"\nrole = \"doctor\"\ndev_password = \"{MARK} password\"\n\
         [[patients]]\npatient_id = \"P-1\"\nfamily_name = \"{MARK}Lee\"\ngiven_name = \"{MARK}B\"\n\
         birth_date = 1951-12-31\ngender = \"male\"\n"
    );
    write(host, "seed.toml", seed.as_bytes());
    let _ = stand.succeed("seed seed.toml --allow-dev-passwords");
    let csv = format!("patient_id,family_name,given_name,birth_date,gender\nP-2,{MARK},{MARK},1951-12-31,male\n");
    write(host, "patients.csv", csv.as_bytes());
    let _ = stand.succeed("import patients.csv");
    // OpenEMR has no such race, so that this one fails.
    stand.put("P-3", &json!({ "race": "martian" }));
    stand.put("P-4", &json!({}));
    let _ = stand.succeed("plugin dry-run --patient P-1 --reveal");
    let _ = stand.succeed("run --until-idle");
    let _ = stand.succeed("status --patient P-1");
    let _ = stand.succeed("patient list");
    let _ = stand.succeed("patient show P-1");
    let _ = stand.succeed("failed list");
    let _ = stand.succeed("waiting");
    let _ = stand.succeed("trace P-1");
    let _ = stand.succeed("support-bundle --output bundle.tar.gz");
    // Its exit code is the class of the reason.
    let _ = stand.run("why P-1 --target openemr");
    let _ = stand.succeed("retry --failed");
    let _ = stand.succeed("run --until-idle");
    let _ = stand.succeed("failed dismiss --all --reason Entered_by_hand --as operator");
    stand.openemr.execute("UPDATE patient_data SET city = 'Busan' WHERE pubpid = 'P-1'").await.expect("edit");
    assert_eq!(stand.run("verify --target openemr").status, Some(1));
    stand.put("P-1", &json!({ "city": format!("{MARK}Daegu") }));
    let _ = stand.succeed("run --until-idle");
    let _ = stand.succeed("conflicts");
    let _ = stand.succeed("conflicts resolve --target openemr --patient P-1 --keep local --reason Asked_the_ward");
    let _ = stand.succeed("resync --target openemr");
    let _ = stand.succeed("patient merge P-4 P-2 --reason Registered_twice");
    let _ = stand.succeed("patient unmerge P-4");
    let _ = stand.succeed("patient delete P-4");
    for verb in ["pause", "resume", "probe"] {
        let _ = stand.succeed(&format!("target {verb} openemr"));
    }
    let _ = stand.succeed("plugin reload --target openemr");
    let _ = stand.succeed("plugin replay source.wasm --target openemr");
    assert_eq!(stand.run("plugin accept --target openemr").status, Some(1), "nothing is held");
    let _ = stand.succeed("alerts list");
    // These have nothing to do here, and are recorded as having failed.
    assert_eq!(stand.run("alerts ack 1").status, Some(1));
    assert_eq!(stand.run("alerts test").status, Some(3));
    assert_eq!(stand.run("plugin rollback --target openemr").status, Some(1));
    assert_eq!(stand.run("target disable nowhere").status, Some(2));
    let _ = stand.succeed("audit list");
    let _ = stand.succeed("audit export");
}

async fn every_audited_command_leaves_its_event_and_no_value_of_a_patient(backend: Backend) {
    let receiver = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let syslog = format!("[audit]\nsyslog = \"udp://{}\"\n", receiver.local_addr().expect("an address"));
    let Some(stand) = Stand::on(backend, &syslog).await else { return };
    run_every_command(&stand).await;
    let events = stand.events().await;
    let recorded: BTreeSet<_> = events.iter().filter_map(|event| event["action"].as_str()).collect();
    let expected: BTreeSet<_> = AuditAction::WORDS.iter().copied().collect();
    assert_eq!(recorded, expected, "the commands that are recorded");
    assert!(events.iter().all(|event| event["remote"] == "192.0.2.7" && !event["os_user"].is_null()));

    let of = |action: &str| events.iter().filter(|event| event["action"] == action).collect::<Vec<_>>();
    let shown = of("patient show")[0];
    assert_eq!((&shown["aggregate_id"], &shown["outcome"]), (&json!("P-1"), &json!("success")));
    assert_eq!(of("patient list")[0]["detail"], "P-1 to P-4");
    let dismissed = of("failed dismiss")[0];
    assert_eq!((&dismissed["reason"], &dismissed["acting_as"]), (&json!("Entered by hand"), &json!("operator")));
    assert_eq!((&dismissed["aggregate_type"], &dismissed["item_count"]), (&json!("delivery"), &json!("1")));
    let merged = of("patient merge")[0];
    assert_eq!((&merged["aggregate_id"], &merged["other_id"]), (&json!("P-4"), &json!("P-2")));
    assert_eq!((&merged["reason"], &of("patient unmerge")[0]["other_id"]), (&json!("Registered twice"), &json!("P-2")));
    assert_eq!(of("conflicts resolve")[0]["detail"], "keep local");
    let seeded: Vec<_> = of("seed").iter().map(|event| event["aggregate_type"].clone()).collect();
    assert_eq!(seeded, ["user", "patient"]);
    assert_eq!(of("target disable")[0]["outcome"], "usage");
    assert_eq!(of("plugin rollback")[0]["outcome"], "failed");
    let succeeded = events.iter().filter(|event| event["outcome"] == "success").count();
    assert_eq!(succeeded, events.len() - 5);

    assert!(stand.succeed("audit verify").stdout.starts_with("the audit is whole: "));
    let list = stand.succeed("audit list --json").stdout;
    let export = stand.succeed("audit export --deliveries").stdout;
    let json = stand.succeed("audit export --deliveries --format json").stdout;
    let messages = received(&receiver);
    assert!(messages.len() >= events.len() && messages[0].starts_with("<109>1 "), "{} messages", messages.len());
    let table = format!("{events:?}");
    for (place, text) in
        [("table", &table), ("list", &list), ("export", &export), ("json", &json), ("syslog", &messages.join("\n"))]
    {
        assert!(text.contains("P-1"), "{place} names the patient");
        for value in [MARK, "1951-12-31", "Busan"] {
            assert!(!text.contains(value), "{place} has a patient's {value}");
        }
        assert_eq!(marked::found(&marked::patient_marks(), text), Vec::<&str>::new(), "{place}");
    }
    let deliveries = export.lines().filter(|line| line.contains("\"id\":\"d-openemr-")).count();
    assert!(deliveries >= 3, "{deliveries} deliveries are exported");
}

/// Every message that has arrived.
fn received(socket: &UdpSocket) -> Vec<String> {
    socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a limit");
    let mut buffer = vec![0; 65_536];
    std::iter::from_fn(|| socket.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec()))
        .map(|bytes| String::from_utf8(bytes).expect("UTF-8"))
        .collect()
}

async fn a_failed_command_leaves_an_event_with_its_outcome(backend: Backend) {
    let Some(stand) = Stand::on(backend, "[audit]\nrequire_reason = [\"patient delete\"]\n").await else { return };
    assert_eq!(stand.run("patient show P-1").status, Some(4), "there is no store, and no audit, yet");
    let _ = stand.succeed("migrate");
    stand.put("P-1", &json!({}));
    write(&stand.host, "wrong.json", format!("{{\"patient_id\": \"P-1\", \"gender\": \"{MARK}\"}}").as_bytes());
    for (line, exit_code) in [
        ("patient show P-9", 1),
        ("patient merge P-1 P-9 --reason Registered_twice", 1),
        ("patient put wrong.json", 3),
        ("target pause nowhere", 2),
        ("patient delete P-1", 2),
    ] {
        assert_eq!(stand.run(line).status, Some(exit_code), "{line}");
    }
    let refused = stand.run("patient delete P-1");
    assert!(refused.stderr.contains("`host patient delete` needs a reason ([audit] require_reason)"), "{refused:?}");
    assert_eq!(stand.run("patient show P-1").status, Some(0), "it was not deleted");
    let _ = stand.succeed("patient delete P-1 --reason Asked_to");
    let events = stand.events().await;
    let seen: Vec<_> = events
        .iter()
        .map(|event| {
            let word = |name: &str| event[name].as_str().unwrap_or("-").to_owned();
            format!("{} {} {}", word("action"), word("aggregate_id"), word("outcome"))
        })
        .collect();
    let expected = [
        "migrate - success",
        "patient put P-1 success",
        "patient show P-9 failed",
        "patient merge P-1 failed",
        "patient put - configuration",
        "target pause - usage",
        "patient delete - usage",
        "patient delete - usage",
        "patient show P-1 success",
        "patient delete P-1 success",
    ];
    assert_eq!(seen, expected);
    assert_eq!(events[9]["reason"], "Asked to");
    let _ = stand.succeed("audit verify");
}

async fn tampering_is_found_by_the_command(backend: Backend) {
    let Some(stand) = Stand::on(backend, "").await else { return };
    let _ = stand.succeed("migrate");
    assert_eq!(stand.succeed("audit head").stdout.split(':').next(), Some("1"));
    for id in ["P-1", "P-2", "P-3"] {
        stand.put(id, &json!({}));
    }
    let head = stand.succeed("audit head").stdout.trim().to_owned();
    assert!(head.starts_with("4:"), "{head}");
    let _ = stand.succeed(&format!("audit verify --head {head}"));
    stand.put("P-4", &json!({}));
    assert_eq!(
        stand.succeed(&format!("audit verify --head {head} --json")).json()["whole"],
        true,
        "an earlier head stays true"
    );
    let last = "SELECT hash FROM audit_event WHERE id = 3";
    let mut session = tests::session::Session::open(stand.store.url()).await.expect("session");
    let hash = session.rows(last).await.expect("hash").remove(0).remove(0).expect("a hash");
    let cut = [
        "DELETE FROM audit_event WHERE id > 3".to_owned(),
        format!("UPDATE audit_head SET event_id = 3, hash = '{hash}'"),
    ];
    for sql in &cut {
        stand.store.execute(sql).await.expect("tamper");
    }
    let _ = stand.succeed("audit verify");
    let cut_off = stand.run(&format!("audit verify --head {head}"));
    assert_eq!(cut_off.status, Some(1));
    assert!(cut_off.stderr.contains("event 4 is missing: the end was cut off behind event 3"), "{}", cut_off.stderr);
    stand.store.execute("UPDATE audit_event SET aggregate_id = 'P-9' WHERE id = 2").await.expect("tamper");
    let changed = stand.run("audit verify");
    assert_eq!(changed.status, Some(1));
    assert!(changed.stderr.contains("event 2 was changed: its fields do not have its hash"), "{}", changed.stderr);
    assert_eq!(stand.run("audit verify --head 7:abc").status, Some(2));
}

/// What is shown is recorded first: a store that cannot be written shows nothing.
#[test]
fn nothing_is_shown_that_cannot_be_recorded() {
    let host = Host::new(&Configuration::new("sqlite://.host/host.db")).expect("host");
    let _ = host.run(&["migrate"]).expect_success();
    let patient = json!({
        "patient_id": "P-1", "family_name": MARK, "given_name": MARK, "birth_date": "1951-12-31", "gender": "female",
    });
    write(&host, "patient.json", patient.to_string().as_bytes());
    let _ = host.run(&["patient", "put", "patient.json"]).expect_success();
    let url = tests::database::sqlite_url(&host.folder().join(".host/host.db"));
    let sql = "CREATE TRIGGER full BEFORE INSERT ON audit_event BEGIN SELECT RAISE(ABORT, 'disk is full'); END";
    tokio::runtime::Runtime::new().expect("runtime").block_on(tests::database::execute(&url, sql)).expect("trigger");
    for command in [&["patient", "show", "P-1"][..], &["patient", "list"], &["audit", "list"]] {
        let output = host.run(command);
        assert_eq!((output.status, output.stdout.as_str()), (Some(4), ""), "{command:?}");
        assert!(output.stderr.contains("cannot record this command in the audit"), "{}", output.stderr);
    }
    let paused = host.run(&["patient", "delete", "P-1"]);
    assert_eq!(paused.status, Some(4), "{}", paused.stderr);
    let _ = host.run(&["status"]).expect_success();
    let drop = "DROP TRIGGER full";
    tokio::runtime::Runtime::new().expect("runtime").block_on(tests::database::execute(&url, drop)).expect("trigger");
    assert!(host.run(&["patient", "show", "P-1"]).expect_success().stdout.contains(MARK), "it was not deleted");
}
