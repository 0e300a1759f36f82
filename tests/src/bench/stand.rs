//! One store, one target and one host over them, filled with generated patients. It owns filling and timing; what is
//! compared with what is decided by `measure.rs`.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};

use super::connection::{Connection, Dialect};
use crate::database::Database;
use crate::environment::{Backend, adapter, fixture};
use crate::host::{Configuration, Host};

/// A store and a target of the bench's own, and a host's folder over them.
pub(crate) struct Stand {
    pub(crate) host: Host,
    pub(crate) store: Database,
    pub(crate) target: Database,
    /// The first number that no patient has yet.
    next: usize,
}

/// Whether the patients are new at the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    Creates,
    /// Of so many patients who were delivered before.
    Updates,
}

impl Stand {
    pub(crate) async fn new(store: Backend, target: Backend) -> Result<Self> {
        let store = Database::fresh(store).await?.context("the store's server is not there")?;
        let target = Database::fresh(target).await?.context("the target's server is not there")?;
        let tables = if target.backend() == Backend::Sqlite { "sqlite.sql" } else { "7.0.2.sql" };
        target.load_sql(&fixture(&format!("openemr/{tables}"))).await?;
        let configuration = Configuration::new(store.url()).openemr(&adapter("openemr"), target.url());
        let host = Host::new(&configuration)?;
        let migrated = host.run(&["migrate"]);
        ensure!(migrated.status == Some(0), "host migrate: {}", migrated.stderr);
        Ok(Self { host, store, target, next: 1 })
    }

    /// Puts changes of `count` patients into the outbox; updates are of the patients that were created last.
    pub(crate) async fn fill(&mut self, count: usize, work: Work) -> Result<()> {
        let first = if work == Work::Updates { self.next - count } else { self.next };
        let mut store = Connection::open(self.store.url()).await?;
        if work == Work::Creates {
            store.run(&cache(store.dialect(), first, count)).await?;
            self.next += count;
        }
        store.run(&changes(store.dialect(), first, count, work)).await
    }

    /// Lets the host deliver all that waits; the time from its start to the last delivery that it settled.
    pub(crate) async fn host_drain(&self) -> Result<Duration> {
        self.hosts_drain(1).await
    }

    /// As [`Self::host_drain`], with several hosts on the one store.
    pub(crate) async fn hosts_drain(&self, hosts: usize) -> Result<Duration> {
        let began = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let mut running = Vec::new();
        for _ in 0..hosts {
            running.push(self.host.spawn(&["run", "--until-idle"])?);
        }
        for host in running {
            let output = tokio::task::spawn_blocking(move || host.wait(Duration::from_secs(1_800))).await??;
            ensure!(output.status == Some(0), "host run: {}", output.stderr);
        }
        let mut store = Connection::open(self.store.url()).await?;
        let finished = store.rows("SELECT MAX(finished_at) FROM sync_delivery WHERE status = 'done'", &[]).await?;
        let finished = u64::try_from(finished[0][0].integer())?;
        Ok(Duration::from_millis(finished).saturating_sub(began))
    }

    /// How many deliveries have this status.
    pub(crate) async fn count(&self, status: &str) -> Result<usize> {
        let mut store = Connection::open(self.store.url()).await?;
        let rows = store.rows(&format!("SELECT COUNT(*) FROM sync_delivery WHERE status = '{status}'"), &[]).await?;
        Ok(usize::try_from(rows[0][0].integer())?)
    }

    /// Makes `count` finished deliveries and their links, as years of work leave them behind.
    pub(crate) async fn age(&mut self, count: usize) -> Result<()> {
        let mut store = Connection::open(self.store.url()).await?;
        let dialect = store.dialect();
        for first in (self.next..self.next + count).step_by(500_000) {
            let chunk = 500_000.min(self.next + count - first);
            let id = id(dialect);
            let head = "INSERT INTO sync_outbox (id, aggregate_type, aggregate_id, operation, payload, routed_at)";
            let columns = format!("n, 'patient', {id}, 'create', '{{}}', 1 {}", numbers(dialect, first, chunk));
            store.run(&select_into(dialect, head, &columns, first, chunk)).await?;
            let head = "INSERT INTO sync_delivery (target, outbox_id, aggregate_type, aggregate_id, status, attempts, \
                        next_attempt_at, created_at, finished_at)";
            let columns = format!(
                "'openemr', n, 'patient', {id}, 'done', 1, 1, {now}, {now} {}",
                numbers(dialect, first, chunk),
                now = super::native_store::now(dialect)
            );
            store.run(&select_into(dialect, head, &columns, first, chunk)).await?;
        }
        self.next += count;
        store.run("DELETE FROM sync_count").await?;
        store
            .run(&format!(
                "INSERT INTO sync_count (target, shard, made, done, superseded) VALUES ('openemr', 0, {count}, {count}, 0)"
            ))
            .await
    }
}

/// How long the host needs from its start until the first batch was claimed.
pub(crate) fn since(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1_000.0
}

fn id(dialect: Dialect) -> &'static str {
    if dialect == Dialect::MySql { "CONCAT('B-', n)" } else { "'B-' || CAST(n AS VARCHAR(20))" }
}

/// The numbers from `first` as a table with the column `n`.
fn numbers(dialect: Dialect, first: usize, count: usize) -> String {
    let last = first + count - 1;
    match dialect {
        Dialect::Sqlite => "FROM numbers".to_owned(),
        Dialect::MySql => format!("FROM (SELECT seq AS n FROM seq_{first}_to_{last}) AS numbers"),
        Dialect::Postgres => format!("FROM generate_series({first}, {last}) AS numbers(n)"),
    }
}

fn select_into(dialect: Dialect, head: &str, columns: &str, first: usize, count: usize) -> String {
    let with = if dialect == Dialect::Sqlite {
        format!(
            "WITH RECURSIVE numbers(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM numbers WHERE n < {})",
            first + count - 1
        )
    } else {
        String::new()
    };
    if dialect == Dialect::MySql {
        format!("{head} SELECT {columns}")
    } else {
        format!("{with} {head} SELECT {columns}")
    }
}

fn cache(dialect: Dialect, first: usize, count: usize) -> String {
    let head =
        "INSERT INTO patient_cache (patient_id, family_name, given_name, birth_date, gender, created_at, updated_at)";
    let columns =
        format!("{}, 'Kim', 'MinJun', '1980-01-31', 'male', 0, 0 {}", id(dialect), numbers(dialect, first, count));
    select_into(dialect, head, &columns, first, count)
}

fn changes(dialect: Dialect, first: usize, count: usize, work: Work) -> String {
    let (operation, city) = if work == Work::Creates { ("create", "Seoul") } else { ("update", "Busan") };
    let parts = [
        "'{\"patient_id\":\"'".to_owned(),
        id(dialect).to_owned(),
        "'\",\"family_name\":\"Kim\",\"given_name\":\"MinJun\",\"native_family_name\":\"김\",\
         \"native_given_name\":\"민준\",\"birth_date\":\"1980-01-31\",\"gender\":\"male\",\
         \"phone_mobile\":\"010-1234-5678\",\"email\":\"patient@example.org\",\"street\":\"12 Teheran-ro\",\
         \"postal_code\":\"06236\",\"country\":\"KOR\",\"language\":\"ko\",\"city\":\"'"
            .to_owned(),
        format!("'{city}\"}}'"),
    ];
    let payload = if dialect == Dialect::MySql { format!("CONCAT({})", parts.join(", ")) } else { parts.join(" || ") };
    let head = "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload)";
    let columns = format!("'patient', {}, '{operation}', {payload} {}", id(dialect), numbers(dialect, first, count));
    select_into(dialect, head, &columns, first, count)
}
