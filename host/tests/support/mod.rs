//! What the tests of the plugin runtime share: built probes, a target in SQLite, changes.

#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use host::database::{Database, Locator, Transaction};
use host::domain::change::{Change, Operation, RemoteEdit};
use host::domain::ids::{AggregateKey, ChangeId};
use host::plugin::{Adapter, CallContext, Given, Limits, Runtime, RuntimeOptions, World};

/// A probe's file, which `cargo xtask adapters` builds.
pub fn adapter(name: &str) -> PathBuf {
    // This test's own file lies in `TARGET/debug/deps`.
    let built = || std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("adapters");
    let directory = std::env::var_os("NEURONOVA_TEST_ADAPTERS").map_or_else(built, PathBuf::from);
    let path = directory.join(format!("{name}.wasm"));
    assert!(
        path.exists(),
        "{} is not there: run `cargo xtask adapters` first, or set NEURONOVA_TEST_ADAPTERS",
        path.display()
    );
    path
}

pub fn runtime() -> Arc<Runtime> {
    Runtime::new(&RuntimeOptions { cache_dir: None, instances_max: 8, ..RuntimeOptions::default() }).unwrap()
}

pub async fn probe(runtime: &Arc<Runtime>) -> Arc<Adapter> {
    runtime.load(&adapter("testing-probe"), World::Database).await.unwrap()
}

/// A database file of its own, removed with it.
pub struct Target {
    pub database: Database,
    _directory: tempfile::TempDir,
}

impl Target {
    pub async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let locator = Locator::Sqlite(directory.path().join("target.db"));
        let database = Database::new(locator, 2, Duration::from_secs(10)).unwrap();
        let mut transaction = database.begin().await.unwrap();
        transaction.execute("CREATE TABLE note (id TEXT PRIMARY KEY, body TEXT)", &[]).await.unwrap();
        transaction.commit().await.unwrap();
        Self { database, _directory: directory }
    }

    /// From now on a statement may take no longer.
    pub fn statement_timeout(&mut self, timeout: Duration) {
        self.database = Database::new(self.database.locator().clone(), 2, timeout).unwrap();
    }

    /// From now on a statement that was given up is stopped, as at any target.
    pub fn as_someone_elses(&mut self) {
        let locator = self.database.locator().clone();
        self.database = Database::of_target(locator, 2, Duration::from_secs(60), 16 << 20).unwrap();
    }

    pub async fn begin(&self) -> Transaction {
        self.database.begin().await.unwrap()
    }

    /// How many notes are there for good.
    pub async fn notes(&self) -> i64 {
        let mut transaction = self.database.begin().await.unwrap();
        let rows = transaction.query("SELECT COUNT(*) FROM note", &[], host::database::RowLimits::NONE).await.unwrap();
        transaction.rollback().await.unwrap();
        rows.rows[0][0].as_i64().unwrap()
    }
}

/// A call's context that chooses a behaviour of the probe.
pub fn behaving(behaviour: &str, argument: &str) -> CallContext {
    CallContext {
        target: "t".to_owned(),
        settings_json: serde_json::json!({ "behaviour": behaviour, "argument": argument }).to_string(),
        base_url: None,
        limits: Limits::default(),
        ..CallContext::default()
    }
}

pub fn changes(count: i64) -> Vec<Change> {
    (1..=count)
        .map(|number| Change {
            change_id: ChangeId::new(number),
            event_id: format!("0190-{number}"),
            key: AggregateKey::patient(format!("P-{number}")),
            operation: Operation::Create,
            payload: "{}".to_owned(),
            references: Vec::new(),
            survivor: None,
            created_at_ms: 0,
            attempt: 1,
            link: None,
        })
        .collect()
}

/// What a call is given by an earlier check.
pub fn given(state: &[u8]) -> Given<'_> {
    Given { state, learned: &[], on_remote_edit: RemoteEdit::Overwrite }
}
