//! `host support-bundle`: nothing of a patient, no secret and no word of another program is in it, whatever fields they
//! were put into; and it works when the store is away.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::thread;

use serde_json::{Value, json};
use tests::database::Database;
use tests::environment::{Backend, adapter};
use tests::host::{Configuration, Host, Output, quoted};
use tests::session::Session;

use super::write;

/// In every text that others fill. No text of the host's own has it, in any case.
const MARK: &str = "Zqxwvut";
/// What stands for it where only such characters are taken.
const MARK_IN_NAMES: &str = "zqxwvut";
/// A date of birth, and digits of telephone numbers and identifiers.
const NUMBERS: [&str; 3] = ["1931-07-19", "771771771", "19310719"];

/// Every file, in the order of the archive.
const FILES: [&str; 12] = [
    "MANIFEST",
    "adapters.json",
    "attempts.json",
    "audit.json",
    "causes.json",
    "configuration.json",
    "migrations.json",
    "plans.txt",
    "schema.json",
    "sizes.json",
    "status.json",
    "versions.json",
];

/// Makes a bundle and unpacks it with the system's own `tar`.
fn bundle(host: &Host, name: &str) -> (Output, BTreeMap<String, String>) {
    let output = host.run(&["support-bundle", "--output", name]).expect_success();
    let folder = host.folder().join(format!("{name}.unpacked"));
    fs::create_dir(&folder).expect("a folder");
    let unpacked = Command::new("tar").arg("-xzf").arg(host.folder().join(name)).arg("-C").arg(&folder).status();
    assert!(unpacked.expect("tar runs").success());
    let read = |file: &fs::DirEntry| fs::read_to_string(file.path()).expect("text");
    let files = fs::read_dir(folder.join("support-bundle")).expect("the archive's folder");
    let files = files.map(|file| file.expect("a file"));
    (output, files.map(|file| (file.file_name().to_string_lossy().into_owned(), read(&file))).collect())
}

fn json(files: &BTreeMap<String, String>, name: &str) -> Value {
    serde_json::from_str(&files[name]).unwrap_or_else(|error| panic!("{name}: {error}: {}", files[name]))
}

/// Fails where a text has something that was marked.
fn assert_unmarked(what: &str, text: &str) {
    let lower = text.to_lowercase();
    for marked in NUMBERS.iter().copied().chain([MARK_IN_NAMES]) {
        assert!(!lower.contains(marked), "{what} has {marked}: {text}");
    }
}

fn assert_all_unmarked(output: &Output, files: &BTreeMap<String, String>) {
    assert_unmarked("stdout", &output.stdout);
    for (name, text) in files {
        assert_unmarked(name, text);
    }
}

/// Answers every request with marked words, in a header, a status line and an `OperationOutcome`.
fn serve() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    let port = listener.local_addr().expect("address").port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut head = vec![0; 65_536];
                while let Ok(1..) = stream.read(&mut head) {
                    let issue =
                        json!({ "severity": "error", "code": MARK, "diagnostics": MARK, "details": { "text": MARK } });
                    let body = json!({ "resourceType": "OperationOutcome", "id": MARK, "issue": [issue] }).to_string();
                    let head =
                        format!("HTTP/1.1 422 {MARK}\r\nX-{MARK}: {MARK}\r\nContent-Length: {}\r\n\r\n", body.len());
                    if stream.write_all((head + &body).as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

/// Targets whose adapters, servers, addresses and credentials say the marked words.
fn targets(target: &Database, folder: &Path) -> String {
    let port = serve();
    fs::write(folder.join(format!("{MARK}.secret")), MARK).expect("write");
    let database = |name: &str, behaviour: &str| {
        format!(
            "\n[targets.{name}]\nadapter = {}\naggregate_types = [\"patient\", \"encounter\"]\n[targets.{name}.database]\n\
             url = {}\n[targets.{name}.settings]\nbehaviour = \"{behaviour}\"\nquiet_check = true\nargument = \"{MARK}\"\n",
            quoted(&adapter("testing-probe").to_string_lossy()),
            quoted(target.url()),
        )
    };
    let http = |name: &str, file: &str, more: &str| {
        format!(
            "\n[targets.{name}]\nadapter = {}\n[targets.{name}.http]\nbase_url = \"http://127.0.0.1:{port}/{MARK}/fhir\"\n\
             allow_private = true\nheaders = [{{ name = \"X-{MARK}\", value = \"{MARK}\" }}]\n{more}",
            quoted(&adapter(file).to_string_lossy())
        )
    };
    let basic = format!("auth = {{ type = \"basic\", username = \"{MARK}\", password = \"{MARK}\" }}\n");
    let secret = folder.join(format!("{MARK}.secret"));
    let file = format!("auth = {{ type = \"bearer\", token_file = {} }}\n", quoted(&secret.to_string_lossy()));
    let skip = database("skips", "skip").replace(&format!("argument = \"{MARK}\""), "argument = \"\"");
    [database("say", "say"), skip, http("fhir", "fhir", &basic), http("directory", "example-directory", &file)].concat()
}

/// Fields of a patient that take any text.
const MARKED_FIELDS: [&str; 13] = [
    "family_name",
    "given_name",
    "middle_name",
    "native_family_name",
    "native_given_name",
    "title",
    "suffix",
    "street",
    "street_line_2",
    "city",
    "state",
    "postal_code",
    "national_id",
];

/// Patients with marked values in every field, also in their ids.
fn put_patients(host: &Host) {
    for number in 0..3 {
        let mut patient =
            json!({ "patient_id": format!("{MARK}-{number}"), "birth_date": "1931-07-19", "gender": "female" });
        for field in MARKED_FIELDS {
            patient[field] = MARK.into();
        }
        for field in ["phone_home", "phone_mobile", "phone_work"] {
            patient[field] = "771771771".into();
        }
        patient["email"] = format!("{MARK}@example.org").into();
        write(host, "patient.json", patient.to_string().as_bytes());
        let _ = host.run(&["patient", "put", "patient.json"]).expect_success();
    }
}

/// Text columns that hold words of the host's own, on which what is read depends.
const OF_THE_HOST: &[&str] = &[
    "aggregate_type",
    "operation",
    "status",
    "state",
    "breaker",
    "target",
    "types",
    "scope",
    "name",
    "error_kind",
    "cause_kind",
    "event",
    "kind",
    "role",
    "sha256",
    "adapter_sha256",
    "active_sha256",
    "outcomes",
];

/// Puts the marked text into every other text column of the store, wherever the database takes it.
async fn mark_every_column(store: &Database, schema: &Value) -> usize {
    let mut session = Session::open(store.url()).await.expect("session");
    let mut marked = 0;
    for (table, content) in schema.as_object().expect("tables") {
        let columns = content["columns"].as_array().expect("columns").iter().filter_map(Value::as_str);
        for column in columns {
            let (name, kind) = column.split_once(' ').expect("a name and a type");
            let kind = kind.to_lowercase();
            let is_text = ["text", "char"].iter().any(|word| kind.contains(word));
            if table == "schema_migration" || !is_text || OF_THE_HOST.contains(&name) {
                continue;
            }
            // Where several rows would get one key, the first takes it.
            for row in [
                format!("UPDATE {table} SET {name} = '{MARK}'"),
                format!(
                    "UPDATE {table} SET {name} = '{MARK}' WHERE {name} = (SELECT x FROM (SELECT MIN({name}) AS x FROM {table}) y)"
                ),
            ] {
                if session.execute(&row).await.is_ok() {
                    marked += 1;
                    break;
                }
            }
        }
    }
    marked
}

async fn nothing_of_a_patient_or_a_secret_is_in_a_bundle(backend: Backend) {
    let Some(store) = Database::fresh(backend).await.expect("database") else { return };
    let target = Database::fresh(Backend::Sqlite).await.expect("database").expect("SQLite is always there");
    let folder = tempfile::tempdir().expect("folder");
    let quick = "\n[sync]\npoll_interval_ms = 20\n[sync.breaker]\nopen_ms = 50\ncap_ms = 50\n\
                 [sync.retry]\nbase_ms = 10\ncap_ms = 20\nattempts_max = 2\n";
    let configuration = Configuration::new(store.url()).more(quick).more(&targets(&target, folder.path()));
    let host = Host::new(&configuration).expect("host");
    let _ = host.run(&["migrate"]).expect_success();
    put_patients(&host);
    let _ = host.run(&["run", "--until-idle"]);
    let _ = host.run(&["failed", "dismiss", "--target", "say", "--change", "1", "--reason", MARK, "--as", MARK]);
    // What is searched for is there.
    let listed = host.run(&["trace", "--json"]).expect_success().stdout;
    assert!(listed.contains(MARK) && listed.contains("causes"), "{listed}");

    let (output, files) = bundle(&host, "first.tar.gz");
    assert_eq!(files.keys().map(String::as_str).collect::<Vec<_>>(), FILES, "{}", files["MANIFEST"]);
    assert_all_unmarked(&output, &files);
    assert_says_what_helps(&files, backend);

    let marked = mark_every_column(&store, &json(&files, "schema.json")).await;
    assert!(marked > 30, "{marked} columns");
    let (output, files) = bundle(&host, "second.tar.gz");
    assert_all_unmarked(&output, &files);
    assert!(json(&files, "causes.json").as_array().is_some_and(|causes| !causes.is_empty()), "it is still read");
}

/// What a helper needs is there.
fn assert_says_what_helps(files: &BTreeMap<String, String>, backend: Backend) {
    let versions = json(files, "versions.json");
    assert_eq!(versions["host"], env!("CARGO_PKG_VERSION"));
    let product = versions["databases"]["store"]["product"].as_str().expect("a product");
    let expected: &[&str] = match backend {
        Backend::Sqlite => &["SQLite"],
        Backend::Postgres => &["PostgreSQL"],
        _ => &["MariaDB", "MySQL"],
    };
    assert!(expected.contains(&product) && versions["databases"]["store"]["version"].is_string(), "{versions}");
    let configuration = json(files, "configuration.json");
    assert_eq!(configuration["values"]["sync.retry.attempts_max"], "2");
    let redacted = configuration["left_out_or_shown_in_part"].to_string();
    for key in ["store.url", "targets.fhir.http.auth.password", "targets.fhir.http.headers[0].value"] {
        assert!(redacted.contains(&format!("\"{key}\"")), "{key}: {redacted}");
    }
    let status = json(files, "status.json");
    assert!(status["totals"]["failed"].as_u64().is_some_and(|failed| failed > 0), "{status}");
    let causes = json(files, "causes.json");
    let kinds: Vec<_> = causes.as_array().expect("causes").iter().filter_map(|cause| cause["kind"].as_str()).collect();
    assert!(kinds.contains(&"invalid"), "{causes}");
    let attempts = json(files, "attempts.json");
    let of_say = attempts.as_array().expect("targets").iter().find(|of| of["target"] == "say").expect("its attempts");
    let newest = &of_say["newest_first"][0];
    assert_eq!((&newest["changes"], &newest["outcomes"]), (&json!(3), &json!({ "invalid": 3 })), "{attempts}");
    assert_eq!(json(files, "adapters.json")[0]["sha256"].as_str().map(str::len), Some(64));
    assert_eq!(json(files, "audit.json")["hash"].as_str().map(str::len), Some(64));
    let migrations = json(files, "migrations.json");
    assert!(
        migrations.as_array().is_some_and(|all| all.iter().all(|one| one["content"] == "as in this host")),
        "{migrations}"
    );
    let schema = json(files, "schema.json");
    assert!(schema["sync_delivery"]["columns"].to_string().contains("outbox_id"), "{schema}");
    let missing = schema.as_object().expect("tables").iter().find(|(_, table)| *table == "missing");
    assert!(missing.is_none() && schema["users"].is_object(), "{missing:?}");
    assert!(schema["sync_delivery"]["indexes"].as_array().is_some_and(|indexes| !indexes.is_empty()), "{schema}");
    let sizes = json(files, "sizes.json").to_string();
    assert!(sizes.contains("sync_outbox") && sizes.contains("schema_migration"), "{sizes}");
    let plans = &files["plans.txt"];
    for statement in ["claim_due", "unrouted", "mark_done", "update_each", "old_deliveries"] {
        let plan = plans.split("\n\n").find(|plan| plan.starts_with(&format!("{statement}\n")));
        assert!(plan.is_some_and(|plan| !plan.contains("no plan")), "{statement}: {plans}");
    }
    assert!(!plans.contains("no plan"), "{plans}");
    for name in FILES.iter().filter(|name| **name != "MANIFEST") {
        assert!(files["MANIFEST"].contains(&format!("{name}\n")), "{name}");
    }
}

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

on_every_store!(nothing_of_a_patient_or_a_secret_is_in_a_bundle);

#[test]
fn a_bundle_is_made_while_the_store_is_away_and_names_what_is_missing() {
    let port = tests::servers::process::free_port().expect("a free port");
    for scheme in ["postgres", "mysql"] {
        let url = format!("{scheme}://{MARK}:{MARK}@127.0.0.1:{port}/{MARK}");
        let host = Host::new(&Configuration::new(&url)).expect("host");
        let (output, files) = bundle(&host, "bundle.tar.gz");
        assert_all_unmarked(&output, &files);
        let names: Vec<_> = files.keys().map(String::as_str).collect();
        assert_eq!(names, ["MANIFEST", "adapters.json", "configuration.json", "versions.json"]);
        let manifest = &files["MANIFEST"];
        for missing in ["status.json", "plans.txt", "causes.json", "audit.json"] {
            let described =
                manifest.split_once(&format!("\n{missing}\n")).unwrap_or_else(|| panic!("{missing}: {manifest}")).1;
            let state = described.lines().nth(1).expect("a line").trim();
            assert!(state.starts_with("MISSING: ") && state.contains("connection refused"), "{missing}: {manifest}");
            let is_named = |line: &str| line.contains(missing) && line.ends_with(": connection refused");
            assert!(output.stdout.lines().any(is_named), "{}", output.stdout);
        }
        assert!(manifest.contains("The audit has no event of it"), "{manifest}");
        assert!(output.stderr.contains("this command is not in the audit"), "{}", output.stderr);
    }
    let host = Host::new(&Configuration::new("sqlite://.host/host.db")).expect("host");
    let (_, files) = bundle(&host, "bundle.tar.gz");
    assert!(files["MANIFEST"].contains("MISSING: "), "{}", files["MANIFEST"]);
    assert!(!host.folder().join(".host/host.db").exists(), "no store is made");
}

#[test]
fn a_bundle_is_for_its_user_alone_and_replaces_no_file() {
    let host = super::host("");
    let output = host.run(&["support-bundle"]).expect_success();
    let name = output.stdout.lines().next().and_then(|line| line.strip_prefix("wrote ")?.split(' ').next());
    let name = name.expect("a file").to_owned();
    assert!(name.starts_with("support-bundle-") && name.ends_with(".tar.gz"), "{name}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(host.folder().join(&name)).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let events = host.run(&["audit", "list", "--json"]).expect_success().json();
    let actions: Vec<_> = events["events"].as_array().expect("events").iter().map(|event| &event["action"]).collect();
    assert!(actions.contains(&&json!("support-bundle")), "{events}");

    write(&host, "there.tar.gz", b"kept");
    let refused = host.run(&["support-bundle", "--output", "there.tar.gz"]);
    super::assert_says(&refused, 2, &["there.tar.gz", "it is there already; fix: name a new file with --output"]);
    assert_eq!(fs::read(host.folder().join("there.tar.gz")).expect("read"), b"kept");
    let refused = host.run(&["support-bundle", "--output", "no/such/folder/x.tar.gz"]);
    super::assert_says(&refused, 1, &["cannot write no/such/folder/x.tar.gz"]);
}
