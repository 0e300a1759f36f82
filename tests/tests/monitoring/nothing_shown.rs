//! A patient and clinical records with a mark in every text go to a database and to a FHIR server, which takes them,
//! refuses them with their own words, and is down. None of the marks is in anything that a host shows or keeps about
//! it: log, metrics, status, traces, alerts of every kind, journal, audit, bundle.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use host::domain::alerts::AlertKind;
use serde_json::Value;
use tests::database::Database;
use tests::environment::{Backend, adapter, fixture};
use tests::host::{Configuration, Host, RunningHost};
use tests::marked;
use tests::servers::process::free_port;
use tests::session::Session;

use super::LIMIT;
use super::alerts::{SECRET, wait, webhook};
use super::directory::Answer;
use super::fhir_server::FhirServer;
use super::otlp::Collector;
use super::receiver::Receiver;

const PATIENT: &str = "P-zzid-1";
/// What a chart has a place for, and the rest.
const TYPES: [&str; 8] =
    ["patient", "encounter", "condition", "allergy", "medication", "observation", "appointment", "fhir-resource"];
/// The deliveries of one round to the FHIR server: the patient and each record.
const ROUND: usize = 12;

/// What is looked at, and where it comes from.
struct Stand {
    host: Host,
    store: Database,
    openemr: Database,
    server: FhirServer,
    receiver: Receiver,
    collector: Collector,
    port: u16,
}

fn milliseconds_since_1970() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(now.as_millis()).expect("before the year 500,000,000")
}

/// A token that ends tomorrow.
fn token() -> String {
    let claims = serde_json::json!({ "exp": milliseconds_since_1970() / 1_000 + 86_400 }).to_string();
    format!("e30.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(claims))
}

impl Stand {
    async fn on(backend: Backend) -> Option<Self> {
        let store = Database::fresh(backend).await.expect("store")?;
        let openemr = Database::fresh(Backend::Sqlite).await.expect("database").expect("SQLite is always there");
        openemr.load_sql(&fixture("openemr/sqlite.sql")).await.expect("tables");
        let (server, receiver, collector) = (FhirServer::start(), Receiver::start(SECRET), Collector::start());
        let port = free_port().expect("a free port");
        let configuration = Configuration::new(store.url())
            .listening(port)
            .openemr(&adapter("openemr"), openemr.url())
            .fhir(&adapter("fhir"), &server.url())
            .more("in_doubt_ms = 0\nauth = { type = \"bearer\", token_file = \"token\" }\n")
            .taking("openemr", &TYPES[..7])
            .taking("fhir", &TYPES)
            .more("[sync]\npoll_interval_ms = 20\n[sync.breaker]\nopen_ms = 100\ncap_ms = 300\n")
            .more("[sync.retry]\nbase_ms = 10\ncap_ms = 50\nattempts_max = 2\n")
            .more("[alerts]\nlook_every = \"1s\"\npatient_ids = false\ntarget_down = \"1s\"\npending_age = \"1s\"\n")
            .more("failed = 1\nfailed_per_hour = 1\nconflicts = 1\nleases_lost_per_hour = 1\nexpiry_days = 21\n")
            .more("disk_free_mib = 1000000000\nhost_missing = \"20s\"\n[[alerts.silence]]\nafter = \"1s\"\n")
            .more(&webhook(&receiver));
        let text =
            configuration.text().replace("[targets.openemr]\n", "[targets.openemr]\non_remote_edit = \"hold\"\n");
        // The token is there before a command reads the configuration.
        let host = Host::new(&Configuration::new(store.url())).expect("host");
        std::fs::write(host.folder().join("token"), token()).expect("write");
        std::fs::write(host.folder().join("host.toml"), text).expect("write");
        let host = collector.watch(host).with_variable("WEBHOOK_SECRET", SECRET).with_variable("RUST_LOG", "trace");
        let _ = host.run(&["migrate"]).expect_success();
        Some(Self { host, store, openemr, server, receiver, collector, port })
    }

    /// Writes the patient and the records, each with other values in every round that have the same marks.
    async fn put(&self, round: usize) {
        let other = |payload: &Value| payload.to_string().replace("Zz-", &"Zz-".repeat(round));
        std::fs::write(self.host.folder().join("patient.json"), other(&marked::patient(PATIENT))).expect("write");
        let _ = self.host.run(&["patient", "put", "patient.json"]).expect_success();
        let operation = if round == 1 { "create" } else { "update" };
        for record in marked::records(PATIENT) {
            let insert = format!(
                "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload, refs) \
                 VALUES ('{}', '{}', '{operation}', '{}', '{}')",
                record.aggregate_type,
                record.id,
                other(&record.payload),
                record.refs
            );
            self.store.execute(&insert).await.expect("insert");
        }
    }

    fn counts(&self) -> BTreeMap<String, u64> {
        let status = self.host.status();
        let totals = status["totals"].as_object().expect("totals").iter();
        let mut counts: BTreeMap<_, _> =
            totals.filter_map(|(name, count)| Some((name.clone(), count.as_u64()?))).collect();
        counts.insert("unrouted".to_owned(), status["unrouted"].as_u64().expect("a count"));
        counts
    }

    /// Waits until nothing is left to do.
    fn settle(&self, running: &mut RunningHost, what: &str, done: impl Fn(&BTreeMap<String, u64>) -> bool) {
        let count = |counts: &BTreeMap<String, u64>, name: &str| counts.get(name).copied().unwrap_or_default();
        let is_open =
            |counts: &BTreeMap<_, _>| ["unrouted", "pending", "processing"].iter().any(|name| count(counts, name) > 0);
        let settled = |counts: &BTreeMap<_, _>| !is_open(counts) && done(counts);
        let found = running.wait_until(what, LIMIT, || settled(&self.counts()));
        if let Err(error) = found {
            let failed = self.host.run(&["failed", "list"]).stdout;
            panic!("{what}: {:?}\n{failed}\n{error}", self.counts());
        }
    }

    /// Lets everything happen of which an alert can tell.
    async fn trouble(&self, running: &mut RunningHost) {
        self.openemr.execute("UPDATE patient_data SET city = 'Busan'").await.expect("edit");
        assert_eq!(self.host.run(&["verify", "--target", "openemr"]).status, Some(1), "it finds the edit");
        self.server.answer(Answer::Refuses);
        self.put(2).await;
        self.settle(running, "refused and held", |counts| counts["failed"] >= 3);
        let _ = self.host.run(&["target", "pause", "openemr"]).expect_success();
        // What is written before the host follows would be delivered.
        running.wait_for_log("target paused", LIMIT).expect("the host follows");
        self.server.answer(Answer::Down);
        self.put(3).await;
        let (now, past) = (milliseconds_since_1970(), milliseconds_since_1970() - 60_000);
        for sql in [
            "DELETE FROM sync_adapter_control".to_owned(),
            "INSERT INTO sync_adapter_control (target, rejected_sha256) VALUES ('openemr', 'b2b2b2b2b2b2b2b2')"
                .to_owned(),
            format!(
                "INSERT INTO sync_adapter_hold (target, sha256, name, version, differences, held_at) \
                 VALUES ('fhir', 'c3c3c3c3c3c3c3c3', 'fhir', '1', '{{\"found\":[],\"more\":0}}', {now})"
            ),
            format!(
                "INSERT INTO sync_lease (target, owner, acquired_at, lease_until) VALUES ('openemr', 'gone', {past}, {past})"
            ),
            format!(
                "INSERT INTO sync_host (id, version, started_at, seen_at) VALUES ('gone-1-ff', '1', {past}, {past})"
            ),
        ] {
            self.store.execute(&sql).await.expect("trouble");
        }
        let expected: BTreeSet<_> = AlertKind::WORDS.iter().map(|word| (*word).to_owned()).collect();
        let raised = || {
            let kinds = self.receiver.received().into_iter().map(|message| message["alert"]["kind"].clone());
            kinds.filter_map(|kind| kind.as_str().map(str::to_owned)).collect::<BTreeSet<_>>()
        };
        let found = running.wait_until("an alert of every kind", LIMIT, || raised() == expected);
        found.unwrap_or_else(|error| panic!("{:?} are missing: {error}", expected.difference(&raised())));
    }

    /// Everything in which no value of a patient may be, by its name.
    async fn shown(&self, log: String) -> BTreeMap<String, String> {
        let mut shown = BTreeMap::from([("log".to_owned(), log)]);
        for path in ["/metrics", "/status.json"] {
            shown.insert(path.to_owned(), super::get(self.port, path).expect("an answer").1);
        }
        shown.insert("traces".to_owned(), self.collector.received());
        shown.insert("messages of alerts".to_owned(), format!("{:?}", self.receiver.received()));
        for line in ["status", "alerts list --json", "failed list", "conflicts", "trace --json", "audit list --json"] {
            let words: Vec<_> = line.split(' ').collect();
            shown.insert(line.to_owned(), self.host.run(&words).expect_success().stdout);
        }
        let deliveries = self.host.run(&["audit", "export", "--deliveries"]).expect_success().stdout;
        shown.insert("audit export".to_owned(), deliveries);
        let bundle = self.bundle();
        shown.extend(self.tables(&bundle["schema.json"]).await);
        shown.extend(bundle);
        shown
    }

    /// The files of a support bundle, unpacked with the system's own `tar`.
    fn bundle(&self) -> BTreeMap<String, String> {
        let _ = self.host.run(&["support-bundle", "--output", "bundle.tar.gz"]).expect_success();
        let folder = self.host.folder();
        let unpacked = Command::new("tar").args(["-xzf", "bundle.tar.gz"]).current_dir(folder).status();
        assert!(unpacked.expect("tar runs").success());
        let files = std::fs::read_dir(folder.join("support-bundle")).expect("the archive's folder");
        let files = files.map(|file| file.expect("a file"));
        let name = |file: &std::fs::DirEntry| file.file_name().to_string_lossy().into_owned();
        files.map(|file| (name(&file), std::fs::read_to_string(file.path()).expect("text"))).collect()
    }

    /// Every text column of the journal, the audit and the alerts.
    async fn tables(&self, schema: &str) -> Vec<(String, String)> {
        let schema: Value = serde_json::from_str(schema).expect("JSON");
        let mut session = Session::open(self.store.url()).await.expect("session");
        let mut tables = Vec::new();
        for table in ["sync_attempt", "sync_effects", "audit_event", "sync_alert", "sync_alert_send", "sync_notice"] {
            let columns = schema[table]["columns"].as_array().expect("columns").iter().filter_map(Value::as_str);
            let texts = columns.filter_map(|column| column.split_once(' ')).filter(|(_, kind)| {
                let kind = kind.to_lowercase();
                kind.contains("text") || kind.contains("char")
            });
            let texts: Vec<_> = texts.map(|(name, _)| name).collect();
            let rows = session.rows(&format!("SELECT {} FROM {table}", texts.join(", "))).await.expect(table);
            assert!(table == "sync_notice" || !rows.is_empty(), "{table} is empty");
            tables.push((table.to_owned(), format!("{rows:?}")));
        }
        tables
    }
}

/// Where no id of a patient or record may be either.
fn may_name_nobody(place: &str) -> bool {
    let named = [
        "log",
        "status",
        "failed list",
        "conflicts",
        "trace --json",
        "audit list --json",
        "audit export",
        "audit_event",
    ];
    !named.contains(&place)
}

async fn nothing_of_a_record_is_shown_or_kept_elsewhere(backend: Backend) {
    let Some(stand) = Stand::on(backend).await else { return };
    let mut running = stand.host.spawn(&["run"]).expect("start");
    stand.put(1).await;
    stand.settle(&mut running, "everything arrives", |counts| counts["done"] >= 19);
    assert_eq!(stand.counts()["failed"], 0, "{}", stand.host.run(&["failed", "list"]).stdout);
    assert_eq!(stand.server.kept().values().sum::<usize>(), ROUND, "{:?}", stand.server.kept());
    stand.trouble(&mut running).await;
    let traced =
        || stand.collector.received().contains("process fhir") && stand.collector.received().contains("settle");
    wait(&mut running, "the traces arrive", traced);

    let marks = [marked::patient_marks(), marked::record_marks()].concat();
    let patient = stand.host.run(&["patient", "show", PATIENT]).expect_success().stdout;
    assert!(marked::found(&marks, &patient).len() > 10, "what is looked for is there: {patient}");
    for (place, text) in stand.shown(running.stderr()).await {
        assert!(!text.trim().is_empty(), "{place} is empty");
        let lines = text.lines().filter(|line| !marked::found(&marks, line).is_empty());
        assert_eq!(lines.collect::<Vec<_>>(), Vec::<&str>::new(), "{place}: {:?}", marked::found(&marks, &text));
        assert!(!may_name_nobody(&place) || !text.contains(marked::ID_MARK), "{place} has an id:\n{text}");
    }
    assert_eq!(stand.receiver.refused(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_record_is_shown_or_kept_elsewhere_on_sqlite() {
    nothing_of_a_record_is_shown_or_kept_elsewhere(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_record_is_shown_or_kept_elsewhere_on_mariadb() {
    nothing_of_a_record_is_shown_or_kept_elsewhere(Backend::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_record_is_shown_or_kept_elsewhere_on_postgres() {
    nothing_of_a_record_is_shown_or_kept_elsewhere(Backend::Postgres).await;
}
