//! Every statement as each database gets it (`host/src/store/sql/rendered`): the database takes it, and plans it well.
//!
//! A statement that runs once a year is seen here by a real server on each day.

use tests::environment::{Backend, workspace};
use tests::session::Session;

use crate::support::Stand;

/// The statements of a rendered file, each with its name.
fn statements(file: &str) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(workspace().join("host/src/store/sql/rendered").join(file)).expect(file);
    let blocks = text.split("\n-- ").skip(1).filter_map(|block| block.split_once('\n'));
    let statements: Vec<_> =
        blocks.map(|(name, sql)| (name.to_owned(), sql.trim().trim_end_matches(';').to_owned())).collect();
    assert!(statements.len() > 100, "{file} was read");
    statements
}

/// What is read from its first row to its last, in the words of a plan; with the table's name or alias behind them.
fn scans(plan: &[Vec<Option<String>>], words: &str, column: usize) -> Vec<String> {
    let lines = plan.iter().filter_map(|row| row[column].as_deref());
    lines.filter_map(|line| line.trim_start_matches([' ', '-', '>']).strip_prefix(words)).map(str::to_owned).collect()
}

/// Tables that stay small, however many patients there are.
const SMALL: &[&str] = &[
    "sync_target",
    "sync_host",
    "sync_lease",
    "sync_count",
    "sync_notice",
    "sync_adapter_event",
    "sync_adapter_control",
    "sync_adapter_hold",
    "sync_alert",
    "sync_alert_send",
    "users",
    "json_each",
    "CONSTANT",
    "2",
];

/// Other scans that are meant. SQLite shows a table's alias.
const MEANT: &[(&str, &str)] = &[
    ("mark_routed", "t"),
    ("old_changes", "t"),
    // The few targets.
    ("resend_candidates", "t"),
    ("knows_link", "t"),
    ("known_patients", "t"),
    ("read_counts", "c"),
    ("trace_in_flight", "t"),
    ("trace_links", "t"),
    ("trace_dependencies", "t"),
    ("trace_dismissals", "t"),
    ("trace_findings", "t"),
    // Of at most 10,001 rows.
    ("count_unrouted", "n"),
    ("count_unrouted, without before", "n"),
    // The index of what is not routed.
    ("trace_unrouted", "o"),
    // Of at most 100,001 rows, for an operator's question.
    ("queued_before", "n"),
    ("count_causes", "n"),
    ("count_causes, without kind, since", "n"),
    // Of at most 10,000 rows.
    ("failed_lately", "n"),
    // Of at most 100 rows.
    ("audit_bulk_decisions", "c"),
    // Of so many as one step takes, or as are shown.
    ("next_waiting", "n"),
    // Only its last row.
    ("newest_time", "sync_outbox"),
    // An operator's question. SQLite begins with the deliveries, which should be fixed.
    ("list_dismissed, without target", "t"),
];

/// The scans of a statement's plan that read a whole large table.
fn large_scans(name: &str, scans: &[String]) -> Vec<String> {
    let table = |scan: &String| scan.split([' ', ',']).next().unwrap_or_default().to_owned();
    let is_large = |table: &String| !SMALL.contains(&table.as_str()) && !MEANT.contains(&(name, table.as_str()));
    scans.iter().map(table).filter(is_large).map(|table| format!("{name}: {table}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_accepts_every_statement_and_scans_no_large_table() {
    let Some(stand) = Stand::on(Backend::Sqlite).await else { return };
    let mut session = Session::open(stand.database.url()).await.expect("session");
    let mut found = Vec::new();
    for (name, sql) in statements("sqlite.sql") {
        let plan =
            session.rows(&format!("EXPLAIN QUERY PLAN {sql}")).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        found.extend(large_scans(&name, &scans(&plan, "SCAN ", 3)));
    }
    assert_eq!(found, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_accepts_every_statement() {
    let Some(stand) = Stand::on(Backend::MariaDb).await else { return };
    let mut session = Session::open(stand.database.url()).await.expect("session");
    session.execute("SET SESSION sql_mode = 'STRICT_TRANS_TABLES,PIPES_AS_CONCAT'").await.expect("mode");
    for (name, sql) in statements("mysql.sql") {
        let quoted = sql.replace('\\', "\\\\").replace('\'', "\\'");
        session.execute(&format!("PREPARE s FROM '{quoted}'")).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_accepts_every_statement_and_scans_no_large_table() {
    let Some(stand) = Stand::on(Backend::Postgres).await else { return };
    let mut session = Session::open(stand.database.url()).await.expect("session");
    // As the host's own connections are set (`database/postgres.rs`).
    for setting in [
        "enable_seqscan = off",
        "enable_hashjoin = off",
        "enable_mergejoin = off",
        "enable_bitmapscan = off",
        "plan_cache_mode = force_generic_plan",
    ] {
        session.execute(&format!("SET {setting}")).await.expect(setting);
    }
    let mut found = Vec::new();
    for (name, sql) in statements("postgres.sql") {
        let count = sql.matches('$').count();
        // An array's type cannot be guessed; where there is one, all parameters are arrays.
        let types =
            if sql.contains("unnest(") { format!("({})", vec!["TEXT[]"; count].join(", ")) } else { String::new() };
        session.execute(&format!("PREPARE s{types} AS {sql}")).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let values = if count == 0 { String::new() } else { format!("({})", vec!["NULL"; count].join(", ")) };
        let plan =
            session.rows(&format!("EXPLAIN EXECUTE s{values}")).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        session.execute("DEALLOCATE s").await.expect("deallocate");
        found.extend(large_scans(&name, &scans(&plan, "Seq Scan on ", 0)));
    }
    assert_eq!(found, Vec::<String>::new());
}
