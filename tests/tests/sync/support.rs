//! A host with its targets, and what lies in OpenEMR's tables.

use std::path::{Path, PathBuf};

use serde_json::Value;
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use tests::database::Database;
use tests::environment::{Backend, fixture};
use tests::host::{Configuration, Host};

/// Tables of OpenEMR in a fresh database on MariaDB.
pub(crate) async fn openemr_database(version: &str) -> Option<Database> {
    let database = Database::fresh(Backend::MariaDb).await.expect("fresh database")?;
    database.load_sql(&fixture(&format!("openemr/{version}.sql"))).await.expect("load the tables of OpenEMR");
    Some(database)
}

pub(crate) fn adapter(name: &str) -> PathBuf {
    tests::environment::adapter(name)
}

/// What makes a test's host quick: short pauses everywhere.
pub(crate) const QUICK: &str = "\n[sync]\npoll_interval_ms = 20\n[sync.breaker]\nopen_ms = 100\ncap_ms = 300\n\
                                [sync.retry]\nbase_ms = 10\ncap_ms = 50\nattempts_max = 3\n";

/// A host with an SQLite store and this OpenEMR.
pub(crate) fn host_with_openemr(openemr: &str) -> Host {
    let configuration = Configuration::new("sqlite://.host/host.db").openemr(&adapter("openemr"), openemr).more(QUICK);
    Host::new(&configuration).expect("host")
}

/// A host with this store and this OpenEMR, whose target takes every type that the adapter has rows for.
pub(crate) fn host_with_records(store: &str, openemr: &str) -> Host {
    let types = ["patient", "encounter", "condition", "allergy", "medication", "observation", "appointment"];
    let configuration =
        Configuration::new(store).openemr(&adapter("openemr"), openemr).taking("openemr", &types).more(QUICK);
    let host = Host::new(&configuration).expect("host");
    let _ = host.run(&["migrate"]).expect_success();
    host
}

/// The address of a host's SQLite store.
pub(crate) fn store_url(host: &Host) -> String {
    tests::database::sqlite_url(&host.folder().join(".host/host.db"))
}

/// Writes a row of the outbox as an application does.
pub(crate) async fn append(store: &str, operation: &str, key: (&str, &str), payload: &Value, refs: &Value) {
    let (aggregate_type, id) = key;
    let insert = "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload, refs) VALUES";
    let row = format!("{insert} ('{aggregate_type}', '{id}', '{operation}', '{payload}', '{refs}')");
    tests::database::execute(store, &row).await.expect("insert");
}

/// A target of this name that keeps patients in a directory at this address.
pub(crate) fn directory(name: &str, url: &str) -> String {
    format!(
        "\n[targets.{name}]\nadapter = {}\n[targets.{name}.http]\nbase_url = {}\nallow_private = true\n",
        tests::host::quoted(&adapter("example-directory").to_string_lossy()),
        tests::host::quoted(url)
    )
}

pub(crate) fn seed_file() -> PathBuf {
    tests::environment::workspace().join("seeds").join("initial.toml")
}

pub(crate) fn seed(host: &Host) {
    let _ = host.run(&[Path::new("seed"), &seed_file()]).expect_success();
}

/// Rows of a query on MariaDB, every column as text (`NULL` for null).
pub(crate) async fn rows(url: &str, sql: &str) -> Vec<Vec<String>> {
    let mut connection = MySqlConnection::connect(url).await.expect("connect");
    let rows = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(&mut connection).await.expect("query");
    rows.iter()
        .map(|row| {
            (0..row.len())
                .map(|index| {
                    row.try_get_unchecked::<Option<String>, _>(index)
                        .expect("text")
                        .unwrap_or_else(|| "NULL".to_owned())
                })
                .collect()
        })
        .collect()
}

/// A patient as `host patient put` reads it.
pub(crate) fn put(host: &Host, patient: &serde_json::Value) {
    let file = host.folder().join("patient.json");
    std::fs::write(&file, patient.to_string()).expect("write");
    let _ = host.run(&["patient", "put", "patient.json"]).expect_success();
}

pub(crate) fn patient(id: &str) -> serde_json::Value {
    serde_json::json!({
        "patient_id": id, "family_name": "Choi", "given_name": "JiWoo", "native_family_name": "최",
        "native_given_name": "지우", "birth_date": "1990-05-05", "gender": "female", "city": "Busan",
    })
}
