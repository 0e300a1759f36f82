//! A target on one server for hostile statements, with a database user that may do what the adapter was granted.

use std::sync::Arc;
use std::time::Duration;

use host::database::{Database as Target, Locator, Transaction};
use host::domain::change::{Change, Failure, FailureKind, Operation, Outcome, RemoteEdit};
use host::domain::ids::{AggregateKey, ChangeId};
use host::plugin::{Adapter, CallContext, Given, Limits, Runtime, RuntimeOptions, SqlAccess, SqlGrants, World};
use tests::database::{Database, execute};
use tests::environment::{Backend, adapter};

const TABLES: [&str; 4] = ["granted", "readonly", "secret", "log"];

/// Routines that the user may not run, and functions of PostgreSQL's own that it is kept from.
const TRAPS_POSTGRES: &str = "
    CREATE FUNCTION total(integer) RETURNS integer LANGUAGE sql AS 'SELECT 1';
    CREATE FUNCTION upper(integer) RETURNS integer LANGUAGE sql AS 'SELECT 1';
    CREATE FUNCTION spy(granted) RETURNS integer LANGUAGE sql AS 'SELECT 1';
    CREATE FUNCTION peek(anyelement) RETURNS integer LANGUAGE sql AS 'SELECT 1';
    CREATE FUNCTION both_of(integer, integer) RETURNS integer LANGUAGE sql AS 'SELECT 1';
    CREATE OPERATOR @@@ (LEFTARG = integer, RIGHTARG = integer, FUNCTION = both_of);
    REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC;
    REVOKE EXECUTE ON FUNCTION pg_catalog.pg_sleep(double precision) FROM PUBLIC;
    REVOKE EXECUTE ON FUNCTION pg_catalog.ts_stat(text) FROM PUBLIC;
    REVOKE EXECUTE ON FUNCTION pg_catalog.lo_creat(integer) FROM PUBLIC;
    REVOKE EXECUTE ON FUNCTION pg_catalog.pg_advisory_lock(bigint) FROM PUBLIC;
    REVOKE EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) FROM PUBLIC";

const TRAPS_MARIADB: &str = "
    CREATE FUNCTION age(x INT) RETURNS INT DETERMINISTIC RETURN 1;
    CREATE FUNCTION total(x INT) RETURNS INT DETERMINISTIC RETURN 1;
    CREATE FUNCTION any_value(x INT) RETURNS INT DETERMINISTIC RETURN 1;
    CREATE TABLE Secret (a INT, b INT)";

pub(super) fn grants() -> SqlGrants {
    SqlGrants {
        read: ["granted", "readonly"].into_iter().collect(),
        insert: ["log"].into_iter().collect(),
        update: ["granted"].into_iter().collect(),
        delete: ["log"].into_iter().collect(),
    }
}

/// A target on one server, with a user that may do what [`grants`] allows.
pub(super) struct Bench {
    adapter: Arc<Adapter>,
    access: Arc<SqlAccess>,
    pub(super) target: Target,
}

/// How a statement fared.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Refused,
    Ran,
    FailedAtTheServer,
    DeniedByTheServer(String),
}

impl Bench {
    pub(super) async fn new(database: &Database) -> Self {
        let runtime = Runtime::new(&RuntimeOptions { cache_dir: None, instances_max: 2, ..RuntimeOptions::default() });
        let runtime = runtime.expect("runtime");
        let probe = runtime.load(&adapter("testing-probe"), World::Database).await.expect("probe");
        for table in TABLES {
            database.execute(&format!("CREATE TABLE {table} (a INT, b INT)")).await.expect("table");
            database.execute(&format!("INSERT INTO {table} VALUES (1, 2)")).await.expect("row");
        }
        let url = with_a_user_of_its_own(database).await;
        let locator = match database.backend() {
            Backend::Postgres => Locator::Postgres(url.parse().expect("url")),
            Backend::Sqlite => Locator::Sqlite(url.trim_start_matches("sqlite://").into()),
            _ => Locator::MySql(url.parse().expect("url")),
        };
        let access = SqlAccess::new(locator.dialect(), grants());
        let target = Target::of_target(locator, 2, Duration::from_secs(20), 16 << 20).expect("target");
        Self { adapter: probe, access, target }
    }

    /// The database user's name.
    pub(super) fn user(&self) -> String {
        match self.target.locator() {
            Locator::MySql(url) | Locator::Postgres(url) => url.username().to_owned(),
            Locator::Sqlite(_) => String::new(),
        }
    }

    fn context(sql: &str) -> CallContext {
        let is_write =
            ["INSERT", "UPDATE", "DELETE"].iter().any(|verb| sql.contains(verb)) && !sql.contains("FOR UPDATE");
        CallContext {
            target: "t".to_owned(),
            settings_json: format!(
                r#"{{"behaviour": "{}", "argument": {}}}"#,
                if is_write { "statement" } else { "query" },
                quoted(sql)
            ),
            base_url: None,
            limits: Limits::default(),
            ..CallContext::default()
        }
    }

    /// The transaction in which an adapter has run this statement.
    pub(super) async fn after(&self, sql: &str) -> Transaction {
        self.during(self.target.begin().await.expect("begin"), sql).await
    }

    /// This transaction, in which an adapter has run this statement.
    pub(super) async fn during(&self, transaction: Transaction, sql: &str) -> Transaction {
        let call =
            self.adapter.apply_database(&Self::context(sql), &self.access, transaction, given(), &[change()]).await;
        assert_eq!(call.usage.statements, 1, "{sql}");
        call.transaction.expect("it stays open")
    }

    pub(super) async fn try_out(&self, sql: &str) -> Fate {
        let transaction = self.target.begin().await.expect("begin");
        let call =
            self.adapter.apply_database(&Self::context(sql), &self.access, transaction, given(), &[change()]).await;
        if let Some(transaction) = call.transaction {
            transaction.rollback().await.ok();
        }
        let reached = call.usage.statements > 0;
        match call.result.expect("the probe answers") {
            Ok(batch) => match batch.outcomes.as_slice() {
                [Outcome::Failed(failure)] => fate(failure, reached),
                _ => Fate::Ran,
            },
            Err(failure) => fate(&failure, reached),
        }
    }
}

fn fate(failure: &Failure, reached: bool) -> Fate {
    match failure.kind {
        _ if !reached => Fate::Refused,
        FailureKind::Misconfigured => Fate::DeniedByTheServer(failure.message.clone()),
        _ => Fate::FailedAtTheServer,
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn given() -> Given<'static> {
    Given { state: &[], learned: &[], on_remote_edit: RemoteEdit::Overwrite }
}

fn change() -> Change {
    Change {
        change_id: ChangeId::new(1),
        event_id: "0190-1".to_owned(),
        key: AggregateKey::patient("P-1"),
        operation: Operation::Create,
        payload: "{}".to_owned(),
        references: Vec::new(),
        survivor: None,
        created_at_ms: 0,
        attempt: 1,
        link: None,
    }
}

/// Makes the user and its traps; the URL with the user in it.
async fn with_a_user_of_its_own(database: &Database) -> String {
    if database.backend() == Backend::Sqlite {
        return database.url().to_owned();
    }
    let (scheme, rest) = database.url().split_once("://").expect("a url");
    let place = rest.rsplit('@').next().expect("a place");
    let name = place.rsplit('/').next().expect("a database");
    let user = format!("u_{}", &name[name.len().saturating_sub(20)..]);
    let (traps, more) = if database.backend() == Backend::Postgres {
        let grants = format!(
            "CREATE ROLE {user} LOGIN PASSWORD 'guard'; GRANT SELECT ON granted, readonly, log TO {user}; \
             GRANT UPDATE ON granted TO {user}; GRANT INSERT, DELETE ON log TO {user}"
        );
        (TRAPS_POSTGRES, grants)
    } else {
        let grants = format!(
            "CREATE USER {user}@'%' IDENTIFIED BY 'guard'; GRANT SELECT, UPDATE ON {name}.granted TO {user}@'%'; \
             GRANT SELECT ON {name}.readonly TO {user}@'%'; GRANT SELECT, INSERT, DELETE ON {name}.log TO {user}@'%'"
        );
        (TRAPS_MARIADB, grants)
    };
    for statement in traps.split(';').chain(more.split(';')) {
        execute(database.url(), statement).await.unwrap_or_else(|error| panic!("{statement}: {error:#}"));
    }
    format!("{scheme}://{user}:guard@{place}")
}

pub(super) async fn servers() -> Vec<Database> {
    let mut databases = Vec::new();
    for backend in [Backend::MariaDb, Backend::Postgres] {
        databases.extend(Database::fresh(backend).await.expect("database"));
    }
    databases
}
