//! What only reads is held to it by the database too: behind a view of the target may be a function that writes, which
//! no rule about the statement's text can see.

use std::fs;

use tests::database::Database;
use tests::environment::Backend;
use tests::host::{Configuration, Host, quoted};
use tests::session::Session;

use crate::support::{QUICK, adapter, patient, put};

/// A view over a function that runs as its owner, counts where no roll back reaches, and leaves a row.
const TABLES: [&str; 5] = [
    "CREATE TABLE note (id VARCHAR(64) PRIMARY KEY, body TEXT)",
    "CREATE TABLE trace (id BIGINT)",
    "CREATE SEQUENCE calls",
    "CREATE FUNCTION leave_trace() RETURNS BIGINT LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN \
     INSERT INTO trace VALUES (nextval('calls')); RETURN 1; END $$",
    "CREATE VIEW seen AS SELECT leave_trace() AS id",
];

/// Rows that were left, and whether the function has ever run so far.
async fn traces(target: &mut Session) -> (String, String) {
    let rows = target.rows("SELECT CAST((SELECT COUNT(*) FROM trace) AS text), CAST(is_called AS text) FROM calls");
    let row = rows.await.expect("rows").remove(0);
    let mut texts = row.into_iter().flatten();
    (texts.next().expect("a count"), texts.next().expect("a state"))
}

fn configuration(target: &Database, allow: &str, quiet_check: bool) -> Configuration {
    Configuration::new("sqlite://.host/host.db").more(QUICK).more(&format!(
        "\n[targets.reader]\nadapter = {}\n[targets.reader.database]\nurl = {}\nallow = {{ {allow} }}\n\
         [targets.reader.settings]\nbehaviour = \"query\"\nargument = \"SELECT id FROM seen\"\n\
         quiet_check = {quiet_check}\n",
        quoted(&adapter("testing-probe").to_string_lossy()),
        quoted(target.url())
    ))
}

async fn target() -> Option<(Database, Session)> {
    let target = Database::fresh(Backend::Postgres).await.expect("fresh")?;
    for sql in TABLES {
        target.execute(sql).await.expect(sql);
    }
    let session = Session::open(target.url()).await.expect("session");
    Some((target, session))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_adapter_cannot_write_through_a_view() {
    let Some((target, mut session)) = target().await else { return };
    let host = Host::new(&configuration(&target, "read = [\"seen\"]", true)).expect("host");
    let _ = host.run(&["migrate"]).expect_success();
    put(&host, &patient("R-1"));
    let run = host.run(&["run", "--until-idle"]);
    assert!(!run.stdout.contains("reader: 1 delivered"), "{}", run.stdout);
    assert_eq!(traces(&mut session).await, ("0".to_owned(), "false".to_owned()), "{}", run.stderr);
    let status = host.status().to_string();
    assert!(status.contains("read-only") || status.contains("25006"), "{status}");
    // It is the transaction that stops it, and nothing else: an adapter that may write runs the same query.
    fs::remove_dir_all(host.folder().join(".host")).expect("a new store");
    host.configure(&configuration(&target, "read = [\"seen\"], insert = [\"note\"]", true)).expect("configure");
    let _ = host.run(&["migrate"]).expect_success();
    put(&host, &patient("R-1"));
    let run = host.run(&["run", "--until-idle"]).expect_success();
    assert!(run.stdout.contains("reader: 1 delivered"), "{}", run.stdout);
    assert_eq!(traces(&mut session).await, ("1".to_owned(), "true".to_owned()));
}

/// Also of an adapter that may write: before its first writing statement a check only reads.
#[tokio::test(flavor = "multi_thread")]
async fn a_check_cannot_write_through_a_view() {
    let Some((target, mut session)) = target().await else { return };
    let host = Host::new(&configuration(&target, "read = [\"seen\"], insert = [\"note\"]", false)).expect("host");
    let _ = host.run(&["migrate"]).expect_success();
    let check = host.run(&["check"]);
    assert!(check.stdout.contains("[PROBLEM] target reader"), "{}", check.stdout);
    assert_eq!(traces(&mut session).await, ("0".to_owned(), "false".to_owned()), "{}", check.stdout);
    session.execute("SELECT id FROM seen").await.expect("the view itself works");
    assert_eq!(traces(&mut session).await.1, "true");
}
