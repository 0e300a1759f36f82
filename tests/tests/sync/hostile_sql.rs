//! Hostile SQL against the real servers, whose own grants are the judge: the database user may do what the adapter was
//! granted and no more, so that whatever the guard lets through beyond that is denied by the server, and the test fails.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use host::database::{Database as Target, Dialect, Locator, PrivilegeOn, RowLimits, Value};
use host::domain::change::{Change, Failure, FailureKind, Operation, Outcome, RemoteEdit};
use host::plugin::{
    Adapter, CallContext, Limits, Runtime, RuntimeOptions, SqlAccess, SqlGrants, World, functions_known_to_the_guard,
    rewrite_statement,
};
use tests::database::{Database, execute};
use tests::environment::{Backend, adapter};

/// Statements made up for each server.
const STATEMENTS: u64 = 3_000;
/// So many of them at least must reach the server, or the test tries nothing.
const REACHED_MIN: usize = 150;

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

fn grants() -> SqlGrants {
    SqlGrants {
        read: ["granted", "readonly"].into_iter().collect(),
        insert: ["log"].into_iter().collect(),
        update: ["granted"].into_iter().collect(),
        delete: ["log"].into_iter().collect(),
    }
}

/// A target on one server, with a user that may do what [`grants`] says.
struct Bench {
    adapter: Arc<Adapter>,
    access: Arc<SqlAccess>,
    target: Target,
}

/// How a statement fared.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Refused,
    Ran,
    FailedAtTheServer,
    DeniedByTheServer(String),
}

impl Bench {
    async fn new(database: &Database) -> Self {
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
        let target = Target::of_target(locator, 2, Duration::from_secs(20)).expect("target");
        Self { adapter: probe, access, target }
    }

    async fn try_out(&self, sql: &str) -> Fate {
        let is_write =
            ["INSERT", "UPDATE", "DELETE"].iter().any(|verb| sql.contains(verb)) && !sql.contains("FOR UPDATE");
        let context = CallContext {
            target: "t".to_owned(),
            settings_json: format!(
                r#"{{"behaviour": "{}", "argument": {}}}"#,
                if is_write { "statement" } else { "query" },
                quoted(sql)
            ),
            base_url: None,
            limits: Limits::default(),
            ..CallContext::default()
        };
        let transaction = self.target.begin().await.expect("begin");
        let call = self
            .adapter
            .apply_database(&context, &self.access, transaction, b"", RemoteEdit::Overwrite, &[change()])
            .await;
        if let Some(transaction) = call.transaction {
            transaction.rollback().await.ok();
        }
        let reached = call.usage.statements > 0;
        match call.result.expect("the probe answers") {
            Ok(outcomes) => match outcomes.as_slice() {
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

fn change() -> Change {
    Change {
        change_id: 1,
        event_id: "0190-1".to_owned(),
        aggregate_type: "patient".to_owned(),
        aggregate_id: "P-1".to_owned(),
        operation: Operation::Create,
        payload: "{}".to_owned(),
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

async fn servers() -> Vec<Database> {
    let mut databases = Vec::new();
    for backend in [Backend::MariaDb, Backend::Postgres] {
        databases.extend(Database::fresh(backend).await.expect("database"));
    }
    databases
}

/// What once went through, word for word.
#[tokio::test]
async fn hostile_sql_of_old_does_nothing_on_the_real_servers() {
    for database in servers().await {
        let bench = Bench::new(&database).await;
        let postgres = [
            "SELECT (CAST('SELECT a FROM secret' AS text)).ts_stat",
            "SELECT g.peek FROM granted g",
            "SELECT g.spy FROM granted g",
            "SELECT v.pg_sleep FROM (SELECT 1.0 AS a) v",
            "SELECT a @@@ b FROM granted",
            "SELECT total(a) FROM granted",
            "WITH \"Secret\" AS (SELECT 1 AS a) SELECT a FROM secret",
            "WITH only AS (SELECT 1 AS a) SELECT a FROM ONLY secret",
            "SELECT a FROM readonly FOR UPDATE",
        ];
        let mariadb = [
            "UPDATE granted T JOIN readonly t ON T.a = t.a SET t.b = 1",
            "UPDATE granted g JOIN readonly r ON g.a = r.a SET r.b = 1",
            "DELETE T FROM log T JOIN readonly t ON T.a = t.a WHERE t.b = 1",
            "SELECT age(a) FROM granted",
            "SELECT any_value(a) FROM granted",
            "WITH `Secret` AS (SELECT 1 AS a) SELECT a FROM secret",
            "SELECT a FROM readonly FOR UPDATE",
        ];
        let attacks = if database.backend() == Backend::Postgres { &postgres[..] } else { &mariadb[..] };
        for sql in attacks {
            assert_eq!(bench.try_out(sql).await, Fate::Refused, "{:?}: {sql}", database.backend());
        }
        // The guard's own list, and not the absence of anything, is what lets these through.
        for sql in [
            "SELECT UPPER(CAST(g.a AS CHAR(9))), g.b FROM granted g",
            "WITH w AS (SELECT a AS n FROM readonly) SELECT w.n FROM w JOIN granted g ON g.a = w.n",
            "UPDATE granted SET b = a + 1 WHERE a IN (SELECT a FROM readonly)",
            "SELECT a FROM granted FOR UPDATE",
            "INSERT INTO log (a, b) SELECT a, b FROM granted",
            "DELETE FROM log WHERE a = 1",
        ] {
            assert_eq!(bench.try_out(sql).await, Fate::Ran, "{:?}: {sql}", database.backend());
        }
        bench.target.close().await;
    }
}

/// Statements made of names, functions and forms that are nearly right.
#[tokio::test]
async fn generated_sql_touches_nothing_beyond_its_grant_on_real_servers() {
    for database in servers().await {
        let bench = Bench::new(&database).await;
        let mut counts = BTreeMap::from([("refused", 0), ("ran", 0), ("failed", 0)]);
        for seed in 1..=STATEMENTS {
            let sql = Generator::new(seed, database.backend()).statement();
            let what = match bench.try_out(&sql).await {
                Fate::Refused => "refused",
                Fate::Ran => "ran",
                Fate::FailedAtTheServer => "failed",
                Fate::DeniedByTheServer(why) => panic!("{:?}, seed {seed}: {sql}: {why}", database.backend()),
            };
            *counts.entry(what).or_default() += 1;
        }
        eprintln!("{:?}: {counts:?}", database.backend());
        assert!(counts["ran"] + counts["failed"] >= REACHED_MIN, "{:?}: {counts:?}", database.backend());
        bench.target.close().await;
    }
}

/// What `host check` compares with the grants.
#[tokio::test]
async fn the_catalogue_says_what_the_database_user_may_do() {
    for database in servers().await {
        let bench = Bench::new(&database).await;
        let mut transaction = bench.target.begin_read().await.expect("begin");
        let mut found: Vec<String> = Vec::new();
        for privilege in transaction.privileges().await.expect("privileges") {
            let PrivilegeOn::Table(table) = privilege.on else { panic!("{privilege:?}") };
            found.push(format!("{} {table}", privilege.name));
        }
        found.sort();
        let expected =
            ["DELETE log", "INSERT log", "SELECT granted", "SELECT log", "SELECT readonly", "UPDATE granted"];
        assert_eq!(found, expected, "{:?}", database.backend());
        transaction.rollback().await.expect("rollback");
        bench.target.close().await;
    }
}

/// SQLite has no users: its own program for a statement says which tables are opened, and how.
#[tokio::test]
async fn generated_sql_opens_nothing_beyond_its_grant_on_sqlite() {
    let database = Database::fresh(Backend::Sqlite).await.expect("database").expect("SQLite is always there");
    let bench = Bench::new(&database).await;
    let mut transaction = bench.target.begin_read().await.expect("begin");
    let roots =
        transaction.query("SELECT rootpage, name FROM sqlite_schema", &[], RowLimits::NONE).await.expect("roots");
    let roots: BTreeMap<i64, String> = roots
        .rows
        .into_iter()
        .filter_map(|row| Some((row[0].as_i64()?, row.into_iter().nth(1)?.into_text()?)))
        .collect();
    let (mut reached, mut opened) = (0, BTreeSet::new());
    for seed in 1..=STATEMENTS {
        let sql = Generator::new(seed, Backend::Sqlite).statement();
        for writes in [false, true] {
            let Ok(sent) = rewrite_statement(Dialect::Sqlite, &grants(), &sql, writes) else { continue };
            let Ok(program) = transaction.query(&format!("EXPLAIN {sent}"), &[], RowLimits::NONE).await else {
                continue;
            };
            reached += 1;
            for step in program.rows {
                let Some(operation @ ("OpenRead" | "OpenWrite")) = text(&step[1]) else { continue };
                let table = step[3].as_i64().and_then(|root| roots.get(&root)).map_or("the schema", String::as_str);
                opened.insert(format!("{operation} {table}"));
            }
        }
    }
    let allowed = ["OpenRead granted", "OpenRead readonly", "OpenRead log", "OpenWrite granted", "OpenWrite log"]
        .map(str::to_owned);
    assert!(opened.is_subset(&BTreeSet::from(allowed)), "{opened:?}");
    assert!(reached >= REACHED_MIN && opened.contains("OpenRead granted"), "{reached} of {STATEMENTS}: {opened:?}");
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// Each name of the list is a function of the database's own, so that none of them is a routine of the target's.
#[tokio::test]
async fn every_function_that_may_be_called_is_the_databases_own() {
    for backend in [Backend::Sqlite, Backend::MariaDb, Backend::Postgres] {
        let Some(database) = Database::fresh(backend).await.expect("database") else { continue };
        let bench = Bench::new(&database).await;
        let dialect = bench.target.dialect();
        let mut missing = Vec::new();
        for name in functions_known_to_the_guard(dialect) {
            let mut transaction = bench.target.begin_read().await.expect("begin");
            let found = match dialect {
                Dialect::Sqlite => {
                    let sql = "SELECT 1 FROM pragma_function_list WHERE name = ? AND builtin = 1";
                    transaction.query(sql, &[name.into()], RowLimits::NONE).await.expect("list").rows.len()
                }
                Dialect::Postgres => {
                    let sql = "SELECT 1 FROM pg_proc WHERE proname = ? AND pronamespace = 'pg_catalog'::regnamespace";
                    transaction.query(sql, &[name.into()], RowLimits::NONE).await.expect("list").rows.len()
                }
                // Without arguments or with a wrong number of them: only a name that it does not know is answered so.
                Dialect::MySql => match transaction.query(&format!("SELECT {name}()"), &[], RowLimits::NONE).await {
                    Err(error) if matches!(error.vendor_code, Some(1305 | 1630 | 1370)) => 0,
                    _ => 1,
                },
            };
            if found == 0 {
                missing.push(name);
            }
            transaction.rollback().await.ok();
        }
        // Forms of PostgreSQL's grammar, which are no functions there.
        let forms: &[&str] = if dialect == Dialect::Postgres {
            &[
                "coalesce",
                "nullif",
                "greatest",
                "least",
                "trim",
                "extract",
                "current_timestamp",
                "current_time",
                "localtime",
                "localtimestamp",
            ]
        } else {
            &[]
        };
        missing.retain(|name| !forms.contains(name));
        assert!(missing.is_empty(), "{backend:?} does not have: {missing:?}");
        bench.target.close().await;
    }
}

/// Makes up statements; the same seed makes the same one.
struct Generator {
    state: u64,
    backend: Backend,
}

const SOURCES: [&str; 20] = [
    "granted",
    "granted",
    "granted",
    "granted g",
    "granted g",
    "readonly",
    "readonly x",
    "readonly x",
    "log",
    "secret",
    "SECRET g",
    "Secret x",
    "\"secret\"",
    "public.secret x",
    "mysql.user",
    "information_schema.tables x",
    "pg_shadow",
    "(SELECT 1 AS a, 2 AS b) v",
    "(SELECT * FROM readonly) x",
    "secret g",
];
const COLUMNS: [&str; 18] = [
    "a",
    "b",
    "a",
    "b",
    "a",
    "g.a",
    "g.b",
    "x.a",
    "x.b",
    "v.a",
    "granted.a",
    "secret.a",
    "g.spy",
    "x.peek",
    "v.pg_sleep",
    "x.upper",
    "(g).a",
    "log.a",
];
const FUNCTIONS: [&str; 22] = [
    "upper",
    "COUNT",
    "MAX",
    "COALESCE",
    "ABS",
    "total",
    "age",
    "any_value",
    "pg_sleep",
    "sleep",
    "peek",
    "set_config",
    "load_file",
    "version",
    "ts_stat",
    "lower",
    "concat",
    "pg_catalog.upper",
    "POSITION",
    "json_extract",
    "md5",
    "substr",
];
const OPERATORS: [&str; 14] =
    ["+", "-", "=", "<", "AND", "OR", "IN", "LIKE", "||", "@@@", "::", "IS NOT NULL AND", "*", "BETWEEN 1 AND"];

impl Generator {
    fn new(seed: u64, backend: Backend) -> Self {
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, backend }
    }

    fn below(&mut self, count: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state >> 33).expect("31 bits") % count
    }

    fn pick(&mut self, list: &[&'static str]) -> &'static str {
        list[self.below(list.len())]
    }

    fn maybe(&mut self, one_in: usize, make: impl FnOnce(&mut Self) -> String) -> String {
        if self.below(one_in) == 0 { make(self) } else { String::new() }
    }

    fn expression(&mut self, depth: usize) -> String {
        match self.below(if depth == 0 { 4 } else { 10 }) {
            0 => "1".to_owned(),
            1 => "'1'".to_owned(),
            2..=4 => self.pick(&COLUMNS).to_owned(),
            5 => format!("{}({})", self.pick(&FUNCTIONS), self.expression(depth - 1)),
            6 => format!("(SELECT {} FROM {})", self.expression(depth - 1), self.pick(&SOURCES)),
            7 => format!("CASE WHEN {} = 1 THEN {} END", self.expression(depth - 1), self.expression(depth - 1)),
            _ => format!("{} {} {}", self.expression(depth - 1), self.pick(&OPERATORS), self.expression(depth - 1)),
        }
    }

    fn select(&mut self, depth: usize) -> String {
        let distinct = self.pick(&["", "", "DISTINCT "]);
        let items = format!("{}{}", self.expression(depth), self.pick(&["", "", " AS a", ", b", ", *", ", g.*"]));
        let from = self.pick(&SOURCES);
        let join = self.maybe(3, |it| format!(" JOIN {} ON {}", it.pick(&SOURCES), it.expression(1)));
        let filter = self.maybe(2, |it| format!(" WHERE {}", it.expression(depth)));
        let more = self.maybe(6, |it| format!(" UNION ALL {}", it.select(1)));
        format!("SELECT {distinct}{items} FROM {from}{join}{filter}{more}")
    }

    fn with(&mut self) -> String {
        self.maybe(4, |it| {
            let name = it.pick(&["w", "g", "secret", "\"Secret\"", "SECRET", "only", "granted", "x"]);
            format!("WITH {name} AS ({}) ", it.select(1))
        })
    }

    fn statement(&mut self) -> String {
        let with = self.with();
        let is_mysql = self.backend == Backend::MariaDb;
        match self.below(8) {
            0 => format!(
                "{with}INSERT INTO {} (a, b) SELECT {}, 1 FROM {}",
                self.table(),
                self.expression(2),
                self.pick(&SOURCES)
            ),
            1 => format!("INSERT INTO {} (a) VALUES ({})", self.table(), self.expression(1)),
            2 => {
                let join = if is_mysql {
                    self.maybe(2, |it| format!(" JOIN {} ON 1 = 1", it.pick(&SOURCES)))
                } else {
                    String::new()
                };
                let target = self.pick(&["a", "b", "g.a", "x.a", "G.a"]);
                let from =
                    if is_mysql { String::new() } else { self.maybe(3, |it| format!(" FROM {}", it.pick(&SOURCES))) };
                format!(
                    "{with}UPDATE {}{join} SET {target} = {}{from} WHERE {}",
                    self.pick(&SOURCES),
                    self.expression(1),
                    self.expression(1)
                )
            }
            3 => format!("{with}DELETE FROM {} WHERE {}", self.table(), self.expression(2)),
            4 if is_mysql => format!(
                "DELETE {} FROM {} JOIN {} ON 1 = 1",
                self.pick(&["g", "x", "T", "log"]),
                self.table(),
                self.pick(&SOURCES)
            ),
            _ => {
                let lock = self.maybe(6, |it| it.pick(&[" FOR UPDATE", " FOR SHARE"]).to_owned());
                format!("{with}{}{lock}", self.select(2))
            }
        }
    }

    fn table(&mut self) -> &'static str {
        self.pick(&["log", "log", "log", "granted", "readonly", "secret", "Secret", "\"secret\"", "mysql.user"])
    }
}
