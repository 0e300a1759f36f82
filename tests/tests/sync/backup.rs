//! "Backup" and "Restore" of `docs/operations.md`, word for word: each command is on the page, and is run as it is
//! there, the backup next to a running host; the restored store then works.

use std::path::Path;
use std::time::Duration;

use tests::database::Database;
use tests::environment::{Backend, fixture, host_binary, workspace};
use tests::host::{Configuration, Host, HostSignal};

use crate::support::{QUICK, adapter, patient, put};

/// The page's name for the store's database.
const DATABASE: &str = "neuronova";

/// The page's commands for one kind of store.
struct Commands {
    backup: &'static str,
    file: &'static str,
    restore: &'static [&'static str],
}

const SQLITE: Commands = Commands {
    backup: "(umask 077; sqlite3 .host/host.db \".backup backup.db\")",
    file: "backup.db",
    restore: &[
        "mkdir old && mv .host/host.db* old/",
        "cp backup.db .host/host.db && chmod 600 .host/host.db",
        "sqlite3 .host/host.db \"PRAGMA integrity_check\"",
    ],
};
const MARIADB: Commands = Commands {
    backup: "(umask 077; mariadb-dump --single-transaction neuronova > backup.sql)",
    file: "backup.sql",
    restore: &[
        "mariadb --execute \"DROP DATABASE neuronova; CREATE DATABASE neuronova\"",
        "mariadb neuronova < backup.sql",
    ],
};
const POSTGRES: Commands = Commands {
    backup: "(umask 077; pg_dump neuronova > backup.sql)",
    file: "backup.sql",
    restore: &[
        "dropdb neuronova && createdb neuronova",
        "psql --quiet --set ON_ERROR_STOP=1 --file backup.sql neuronova",
    ],
};
const AFTERWARDS: &[&str] = &["host migrate", "host check"];

/// Where the commands run: the host's folder, with the connection in the places that the page names.
struct Shell<'a> {
    host: &'a Host,
    variables: Vec<(&'static str, String)>,
    name: String,
}

impl<'a> Shell<'a> {
    fn new(host: &'a Host, database: Option<&Database>) -> Self {
        let home = ("HOME", host.folder().to_string_lossy().into_owned());
        let folder = host_binary().parent().expect("a folder").to_string_lossy().into_owned();
        let path = ("PATH", format!("{folder}:{}", std::env::var("PATH").unwrap_or_default()));
        let mut shell = Self { host, variables: vec![home, path], name: DATABASE.to_owned() };
        let Some(database) = database else { return shell };
        // `mysql://USER:PASSWORD@127.0.0.1:PORT/NAME`, the password perhaps left out.
        let (server, name) = database.url().rsplit_once('/').expect("a name");
        let (login, address) = server.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@')).expect("a user");
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let port = address.rsplit_once(':').expect("a port").1;
        name.clone_into(&mut shell.name);
        if database.backend() == Backend::Postgres {
            let connection = [("PGHOST", "127.0.0.1"), ("PGPORT", port), ("PGUSER", user), ("PGPASSWORD", password)];
            shell.variables.extend(connection.map(|(name, value)| (name, value.to_owned())));
        } else {
            let connection =
                format!("[client]\nprotocol=tcp\nhost=127.0.0.1\nport={port}\nuser={user}\npassword={password}\n");
            std::fs::write(host.folder().join(".my.cnf"), connection).expect("write");
        }
        shell
    }

    /// Runs a command of the page, with the name of this test's database in the place of the page's.
    fn run(&self, page: &str, command: &str) -> String {
        assert!(page.contains(command), "docs/operations.md no longer has `{command}`");
        let command = command.replace(DATABASE, &self.name);
        let output = std::process::Command::new("sh")
            .args(["-ec", &command])
            .current_dir(self.host.folder())
            .envs(self.variables.iter().map(|(name, value)| (*name, value)))
            .output()
            .expect("a shell");
        let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{command}: {out}{errors}");
        out.into_owned()
    }
}

async fn charts(openemr: &str) -> Vec<String> {
    use sqlx::Connection as _;
    let mut connection = sqlx::SqliteConnection::connect(openemr).await.expect("connect");
    let sql = "SELECT pubpid FROM patient_data ORDER BY pubpid";
    sqlx::query_scalar(sql).fetch_all(&mut connection).await.expect("charts")
}

fn is_for_its_owner_alone(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(file).expect("the backup").permissions().mode();
    mode & 0o777 & !0o700 == 0
}

/// The state before the backup is there again, what was written after it can be written again, and nothing is doubled.
async fn a_store_is_backed_up_while_a_host_runs_and_restored(database: Option<Database>, commands: &Commands) {
    let page = std::fs::read_to_string(workspace().join("docs/operations.md")).expect("the page");
    let folder = tempfile::tempdir().expect("folder");
    let openemr = tests::database::sqlite_url(&folder.path().join("openemr.db"));
    tests::database::load_sql(&openemr, &fixture("openemr/sqlite.sql")).await.expect("load");
    let store = database.as_ref().map_or("sqlite://.host/host.db", |database| database.url());
    let host = Host::new(&Configuration::new(store).openemr(&adapter("openemr"), &openemr).more(QUICK)).expect("host");
    let shell = Shell::new(&host, database.as_ref());
    put(&host, &patient("B-1"));
    let mut running = host.spawn(&["run"]).expect("start");
    let done = |count: u64| host.status()["totals"]["done"] == count;
    running.wait_until("the first patient is delivered", Duration::from_secs(60), || done(1)).expect("delivered");
    shell.run(&page, commands.backup);
    assert!(is_for_its_owner_alone(&host.folder().join(commands.file)));
    put(&host, &patient("B-2"));
    running.wait_until("the second patient is delivered", Duration::from_secs(60), || done(2)).expect("delivered");
    running.signal(HostSignal::Terminate).expect("signal");
    let _ = running.wait(Duration::from_secs(60)).expect("an end");

    let answers: Vec<String> = commands.restore.iter().map(|command| shell.run(&page, command)).collect();
    if database.is_none() {
        assert_eq!(answers.last().map(|answer| answer.trim()), Some("ok"));
    }
    for command in AFTERWARDS {
        shell.run(&page, command);
    }
    assert!(done(1), "as it was when the backup was made: {}", host.status());
    for id in ["B-2", "B-3"] {
        put(&host, &patient(id));
    }
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    assert!(done(3), "{}", host.status());
    assert_eq!(charts(&openemr).await, ["B-1", "B-2", "B-3"], "no second chart");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_backup_and_restore_works_on_sqlite() {
    a_store_is_backed_up_while_a_host_runs_and_restored(None, &SQLITE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_backup_and_restore_works_on_mariadb() {
    let Some(database) = Database::fresh(Backend::MariaDb).await.expect("fresh database") else { return };
    a_store_is_backed_up_while_a_host_runs_and_restored(Some(database), &MARIADB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_backup_and_restore_works_on_postgres() {
    let Some(database) = Database::fresh(Backend::Postgres).await.expect("fresh database") else { return };
    a_store_is_backed_up_while_a_host_runs_and_restored(Some(database), &POSTGRES).await;
}
