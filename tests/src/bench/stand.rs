//! One store, one target and one host over them, filled with generated patients. It owns filling and timing; what is
//! compared with what is decided by `measure.rs` and the files of its groups.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};

use super::connection::{Connection, Dialect};
use crate::database::Database;
use crate::environment::{Backend, adapter, fixture};
use crate::host::{Configuration, Host, quoted};

/// A store and a target of the bench's own, and a host's folder over them.
pub(crate) struct Stand {
    pub(crate) host: Host,
    pub(crate) store: Database,
    /// None where the target is no database.
    target: Option<Database>,
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
    /// With OpenEMR's tables as the target.
    pub(crate) async fn new(store: Backend, target: Backend) -> Result<Self> {
        Self::configured(store, target, "").await
    }

    /// As [`Self::new`], with a host that records no attempt.
    pub(crate) async fn without_journal(store: Backend, target: Backend) -> Result<Self> {
        Self::configured(store, target, "\n[sync]\njournal = false\n").await
    }

    /// As [`Self::new`], with more configuration.
    pub(crate) async fn configured(store: Backend, target: Backend, more: &str) -> Result<Self> {
        Self::made(fresh(store).await?, fresh(target).await?, more).await
    }

    /// As [`Self::new`], in databases that the caller made.
    pub(crate) async fn over(store: Database, target: Database) -> Result<Self> {
        Self::made(store, target, "").await
    }

    async fn made(store: Database, target: Database, more: &str) -> Result<Self> {
        let tables = if target.backend() == Backend::Sqlite { "sqlite.sql" } else { "7.0.2.sql" };
        target.load_sql(&fixture(&format!("openemr/{tables}"))).await?;
        let configuration = Configuration::new(store.url()).openemr(&adapter("openemr"), target.url()).more(more);
        Self::with(store, Some(target), &configuration)
    }

    /// With a FHIR server as the target.
    pub(crate) async fn of_fhir(store: Backend, base_url: &str) -> Result<Self> {
        let store = fresh(store).await?;
        let configuration = Configuration::new(store.url()).more(&format!(
            "\n[targets.fhir]\nadapter = {}\nid_column = \"fhir_patient_id\"\n\
             [targets.fhir.http]\nbase_url = {}\nallow_private = true\n",
            quoted(&adapter("fhir").to_string_lossy()),
            quoted(base_url)
        ));
        Self::with(store, None, &configuration)
    }

    /// With no target: what is imported only waits.
    pub(crate) async fn without_target(store: Backend) -> Result<Self> {
        let store = fresh(store).await?;
        let configuration = Configuration::new(store.url());
        Self::with(store, None, &configuration)
    }

    fn with(store: Database, target: Option<Database>, configuration: &Configuration) -> Result<Self> {
        let host = Host::new(configuration)?.with_variable("RUST_LOG", LOG);
        let migrated = host.run(&["migrate"]);
        ensure!(migrated.status == Some(0), "host migrate: {}", migrated.stderr);
        // It compiles the adapter into the cache: a host that has run once does not do so again. Warnings are no
        // matter.
        let checked = host.run(&["check"]);
        ensure!(checked.status.is_some_and(|status| status <= 1), "host check: {}", checked.stderr);
        Ok(Self { host, store, target, next: 1 })
    }

    /// Lets the host show its metrics at this port of loopback.
    pub(crate) fn listen(&self, port: u16) -> Result<()> {
        let file = self.host.folder().join("host.toml");
        std::fs::write(&file, crate::host::listening(&std::fs::read_to_string(&file)?, port))?;
        Ok(())
    }

    /// Where the target's tables are.
    ///
    /// # Panics
    /// When the target is no database.
    pub(crate) fn target_url(&self) -> &str {
        self.target.as_ref().expect("invariant: only a target that is a database is asked for").url()
    }

    /// Puts changes of `count` patients into the outbox; updates are of the patients that were created last.
    pub(crate) async fn fill(&mut self, count: usize, work: Work) -> Result<()> {
        let first = if work == Work::Updates { self.next - count } else { self.next };
        let mut store = Connection::open(self.store.url()).await?;
        let dialect = store.dialect();
        if work == Work::Creates {
            fill_in(&mut store, CACHE, &cache_row(dialect), first, count).await?;
            self.next += count;
        }
        let insert = "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload)";
        fill_in(&mut store, insert, &change_row(dialect, work), first, count).await
    }

    /// Lets the host deliver all that waits.
    pub(crate) async fn host_drain(&self) -> Result<Drained> {
        self.hosts_drain(1).await
    }

    /// As [`Self::host_drain`], with several hosts on the one store.
    pub(crate) async fn hosts_drain(&self, hosts: usize) -> Result<Drained> {
        let began = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let mut running = Vec::new();
        for _ in 0..hosts {
            running.push(self.host.spawn(&["run", "--until-idle"])?);
        }
        let mut checks = Duration::ZERO;
        for host in running {
            let output = tokio::task::spawn_blocking(move || host.wait(Duration::from_secs(1_800))).await??;
            ensure!(output.status == Some(0), "host run: {}", output.stderr);
            checks += output.stderr.lines().filter_map(time_of_check).sum::<Duration>();
        }
        let finished = self.last_finished_ms().await?;
        Ok(Drained { elapsed: Duration::from_millis(finished).saturating_sub(began), checks })
    }

    /// When the last delivery of those patients that were filled in last was settled, milliseconds since 1970.
    pub(crate) async fn last_finished_ms(&self) -> Result<u64> {
        let mut store = Connection::open(self.store.url()).await?;
        let newest = store.rows("SELECT MAX(id) FROM sync_outbox", &[]).await?[0][0].integer();
        // Not over all that was ever done: that may be millions of rows.
        let sql = "SELECT MAX(finished_at) FROM sync_delivery WHERE status = 'done' AND outbox_id > ?";
        let finished = store.rows(sql, &[(newest - NEWEST_ROWS).into()]).await?;
        Ok(u64::try_from(finished[0][0].integer())?)
    }

    /// How many deliveries have this status.
    pub(crate) async fn count(&self, status: &str) -> Result<usize> {
        let mut store = Connection::open(self.store.url()).await?;
        let rows = store.rows(&format!("SELECT COUNT(*) FROM sync_delivery WHERE status = '{status}'"), &[]).await?;
        Ok(usize::try_from(rows[0][0].integer())?)
    }

    /// How many attempts the journal has.
    pub(crate) async fn attempts(&self) -> Result<usize> {
        let mut store = Connection::open(self.store.url()).await?;
        Ok(usize::try_from(store.rows("SELECT COUNT(*) FROM sync_attempt", &[]).await?[0][0].integer())?)
    }

    /// Makes `count` finished deliveries, as years of work leave them behind: a tenth as many patients, each with the
    /// link that its last delivery made. The store must be empty.
    pub(crate) async fn age(&mut self, count: usize) -> Result<()> {
        let mut store = Connection::open(self.store.url()).await?;
        let dialect = store.dialect();
        let (first, patients) = (self.next, (count / 10).max(1));
        let patient = id_of(dialect, &format!("{first} + (n - 1) % {patients}"));
        let now = super::native_store::now(dialect);
        if dialect == Dialect::MySql {
            // Into a table that is empty InnoDB then sorts the rows first, and builds its indexes from them.
            store.run("SET SESSION unique_checks = 0, foreign_key_checks = 0").await?;
        }
        // The host's own event ids are in the order of time, too.
        let event = if dialect == Dialect::MySql {
            "CONCAT('00000000-0000-7000-8000-', LPAD(n, 12, '0'))"
        } else {
            "'00000000-0000-7000-8000-' || SUBSTR('000000000000' || CAST(n AS VARCHAR(12)), LENGTH(CAST(n AS VARCHAR(12))) + 1)"
        };
        let outbox =
            "INSERT INTO sync_outbox (id, event_id, aggregate_type, aggregate_id, operation, payload, routed_at)";
        let outbox_row = format!("n, {event}, 'patient', {patient}, 'update', '{{}}', 1");
        fill_in(&mut store, outbox, &outbox_row, 1, count).await?;
        let delivery = "INSERT INTO sync_delivery (target, outbox_id, aggregate_type, aggregate_id, status, attempts, \
                        created_at, finished_at)";
        let delivery_row = format!("'openemr', n, 'patient', {patient}, 'done', 1, {now}, {now}");
        fill_in(&mut store, delivery, &delivery_row, 1, count).await?;
        let link = "INSERT INTO sync_link (target, aggregate_type, aggregate_id, remote_id, fingerprint, \
                    delivered_outbox_id, synced_at)";
        let link_row = format!(
            "'openemr', 'patient', {}, {}, '0123456789abcdef0123456789abcdef', {}, {now}",
            id_of(dialect, "n"),
            text_of(dialect, "n"),
            count - patients
        );
        fill_in(&mut store, link, &link_row, first, patients).await?;
        fill_in(&mut store, CACHE, &cache_row(dialect), first, patients).await?;
        self.next += patients;
        if dialect == Dialect::Postgres {
            store.run("SELECT setval(pg_get_serial_sequence('sync_outbox', 'id'), MAX(id)) FROM sync_outbox").await?;
        }
        store.run("DELETE FROM sync_count").await?;
        let counted = "INSERT INTO sync_count (target, shard, made, done, superseded) VALUES";
        store.run(&format!("{counted} ('openemr', 0, {count}, {count}, 0)")).await
    }
}

/// One drain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drained {
    /// From the host's start to the last delivery that it settled.
    pub(crate) elapsed: Duration,
    /// Of which adapters waited for the checks of their statements, added up over all workers.
    pub(crate) checks: Duration,
}

/// As by default, and the time of each check of a statement.
const LOG: &str = "warn,host=info,adapter=info,host::plugin::capability::sql_access=debug";

/// What the host logs of one check.
fn time_of_check(line: &str) -> Option<Duration> {
    let (_, time) = line.split_once("a statement was checked microseconds=")?;
    time.trim().parse().ok().map(Duration::from_micros)
}

/// Deliveries among which the one that was finished last is looked for.
const NEWEST_ROWS: i64 = 50_000;

async fn fresh(backend: Backend) -> Result<Database> {
    Database::fresh(backend).await?.with_context(|| format!("{}: its server is not there", backend.name()))
}

/// Milliseconds since then.
pub(crate) fn since(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1_000.0
}

/// Rows that one statement makes, except into an empty table of MySQL's.
const CHUNK_ROWS: usize = 500_000;

const CACHE: &str =
    "INSERT INTO patient_cache (patient_id, family_name, given_name, birth_date, gender, created_at, updated_at)";

fn cache_row(dialect: Dialect) -> String {
    format!("{}, 'Kim', 'MinJun', '1980-01-31', 'male', 0, 0", id_of(dialect, "n"))
}

fn text_of(dialect: Dialect, number: &str) -> String {
    if dialect == Dialect::MySql { format!("CONCAT({number})") } else { format!("CAST({number} AS VARCHAR(20))") }
}

/// The id of the patient with this number.
fn id_of(dialect: Dialect, number: &str) -> String {
    if dialect == Dialect::MySql {
        format!("CONCAT('B-', {number})")
    } else {
        format!("'B-' || CAST({number} AS VARCHAR(20))")
    }
}

/// Inserts one row for each number `n` from `first`.
async fn fill_in(store: &mut Connection, insert: &str, row: &str, first: usize, count: usize) -> Result<()> {
    let step = if store.dialect() == Dialect::MySql { count } else { CHUNK_ROWS };
    for from in (first..first + count).step_by(step.max(1)) {
        let last = (from + step).min(first + count) - 1;
        store
            .run(&match store.dialect() {
                Dialect::Sqlite => format!(
                    "WITH RECURSIVE numbers(n) AS (SELECT {from} UNION ALL SELECT n + 1 FROM numbers WHERE n < {last}) \
                     {insert} SELECT {row} FROM numbers"
                ),
                Dialect::MySql => {
                    format!("{insert} SELECT {row} FROM (SELECT seq AS n FROM seq_{from}_to_{last}) AS numbers")
                }
                Dialect::Postgres => {
                    format!("{insert} SELECT {row} FROM generate_series({from}, {last}) AS numbers(n)")
                }
            })
            .await?;
    }
    Ok(())
}

fn change_row(dialect: Dialect, work: Work) -> String {
    let (operation, city) = if work == Work::Creates { ("create", "Seoul") } else { ("update", "Busan") };
    let parts = [
        "'{\"patient_id\":\"'".to_owned(),
        id_of(dialect, "n"),
        "'\",\"family_name\":\"Kim\",\"given_name\":\"MinJun\",\"native_family_name\":\"김\",\
         \"native_given_name\":\"민준\",\"birth_date\":\"1980-01-31\",\"gender\":\"male\",\
         \"phone_mobile\":\"010-1234-5678\",\"email\":\"patient@example.org\",\"street\":\"12 Teheran-ro\",\
         \"postal_code\":\"06236\",\"country\":\"KOR\",\"language\":\"ko\",\"city\":\"'"
            .to_owned(),
        format!("'{city}\"}}'"),
    ];
    let payload = if dialect == Dialect::MySql { format!("CONCAT({})", parts.join(", ")) } else { parts.join(" || ") };
    format!("'patient', {}, '{operation}', {payload}", id_of(dialect, "n"))
}
