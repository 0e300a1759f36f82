//! `docs/outbox.md`, word for word: its SQL, its Python, its Django and its grants are run as an application would run
//! them, under a user who has the page's grants and no others.

use std::path::Path;
use std::process::Command;

use host::domain::clinical::ClinicalRecord;
use host::domain::ids::AggregateKey;
use host::domain::patient::{Day, Patient};
use host::domain::references;
use host::domain::secret::Secret;
use host::domain::user::UserDraft;
use host::service::{NewUser, UserService};
use tests::environment::{Backend, workspace};
use tests::servers::PythonEnvironment;
use tests::session::Session;

use crate::on_every_store;
use crate::support::{Stand, route};

on_every_store!(
    the_sql_of_the_outbox_page_writes_a_change,
    the_clinical_records_of_the_outbox_page_are_valid,
    the_queries_of_the_outbox_page_show_the_delivery_state,
    the_django_code_of_the_outbox_page_works_with_its_grants,
);

const DJANGO: PythonEnvironment = PythonEnvironment {
    folder: "outbox-page",
    requirements: "Django==5.2.19\nargon2-cffi==25.1.0\npsycopg[binary]==3.3.9\nPyMySQL==1.2.4\n",
};

const CLINIC_PATIENT: &str = "CREATE TABLE clinic_patient (patient_id VARCHAR(64) PRIMARY KEY, family_name VARCHAR(99), \
    given_name VARCHAR(99), birth_date DATE, gender VARCHAR(9), phone VARCHAR(64), phone_mobile VARCHAR(64))";
const KIM: &str = "INSERT INTO clinic_patient VALUES ('P-2025-001', 'Kim', 'MinJun', '1980-03-15', 'male', NULL, NULL)";

fn page() -> String {
    std::fs::read_to_string(workspace().join("docs/outbox.md")).expect("docs/outbox.md")
}

/// The blocks of one language below a heading, in order.
fn blocks(heading: &str, language: &str) -> Vec<String> {
    let page = page();
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).expect(heading);
    let section = section.split("\n## ").next().unwrap_or_default();
    let fence = format!("```{language}\n");
    section.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

async fn clinic(stand: &Stand) {
    for sql in [CLINIC_PATIENT, KIM] {
        stand.database.execute(sql).await.expect("the application's own table");
    }
}

/// The one change that the application announced, which has this phone.
async fn announced(stand: &Stand, phone: &str) {
    assert_eq!(route(&stand.store, 10).await, 1);
    let change = stand.claim_batch().await.deliveries.remove(0).change;
    let patient = Patient::from_payload(&change.payload, Day::MAX).expect("a patient by the page's own rules");
    assert_eq!((change.key.aggregate_id.as_str(), patient.phone_mobile.as_deref()), ("P-2025-001", Some(phone)));
}

/// The page's block for this database.
fn announcing_sql(backend: Backend) -> String {
    let at = match backend {
        Backend::MariaDb => 0,
        Backend::Postgres => 1,
        _ => 2,
    };
    blocks("In SQL", "sql").remove(at)
}

async fn the_sql_of_the_outbox_page_writes_a_change(stand: Stand) {
    clinic(&stand).await;
    stand.database.execute(&announcing_sql(stand.database.backend())).await.expect("the page's SQL");
    announced(&stand, "010-5550-1001").await;
}

async fn the_queries_of_the_outbox_page_show_the_delivery_state(stand: Stand) {
    let mut session = Session::open(stand.database.url()).await.expect("session");
    let queries = blocks("What became of it", "sql");
    assert_eq!(queries.len(), 2);
    for query in queries {
        assert!(session.rows(&query).await.expect("the page's query").is_empty(), "nothing is delivered yet");
    }
}

#[test]
fn the_python_code_of_the_outbox_page_writes_a_change() {
    let Some(python) = python() else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let stand = Stand::on(Backend::Sqlite).await.expect("SQLite is always there");
        clinic(&stand).await;
        let code = blocks("In Python", "python").remove(0);
        let code = replaced(&code, "/srv/neuronova/.host/host.db", sqlite_file(&stand));
        run(&python, &format!("{code}\nchange_phone('P-2025-001', '010-5550-1002')\n"));
        // The page's example reads the column `phone`.
        announced(&stand, "010-5550-1002").await;
    });
}

async fn the_django_code_of_the_outbox_page_works_with_its_grants(stand: Stand) {
    let Some(python) = python() else { return };
    clinic(&stand).await;
    let user = UserDraft {
        username: Some("doctor".to_owned()),
        display_name: Some("Dr. Han SooJin".to_owned()),
        role: Some("doctor".to_owned()),
        ..UserDraft::default()
    };
    let user = NewUser { user: user.validate().expect("a user"), password: Secret::new("a password".to_owned()) };
    UserService::new(stand.store.clone()).put(&[user]).await.expect("put");
    grant(&stand).await;

    let [models, settings, runner] = django_page();
    run(&python, &django_script(&stand, &models, &settings, &format!("{runner}\n{USE}")));
    announced(&stand, "010-5550-1003").await;
}

/// The page's models, its settings for SQLite, and its test runner.
fn django_page() -> [String; 3] {
    blocks("In Django", "python").try_into().expect("three blocks")
}

/// A project with the page's models, in one file.
fn django_script(stand: &Stand, models: &str, settings: &str, more: &str) -> String {
    let script = format!(
        "{}\n{PATIENT}\n{models}\n{more}",
        django_settings(stand, settings),
        PATIENT = "import django; django.setup()\n\
                   from django.db import models\n\
                   class Patient(models.Model):\n    \
                       patient_id = models.CharField(max_length=64, primary_key=True)\n    \
                       family_name = models.CharField(max_length=99)\n    \
                       given_name = models.CharField(max_length=99)\n    \
                       birth_date = models.DateField()\n    \
                       gender = models.CharField(max_length=9)\n    \
                       phone_mobile = models.CharField(max_length=64)\n    \
                       class Meta:\n        \
                           managed, db_table, app_label = False, 'clinic_patient', 'clinic'\n",
    );
    // An application of Django gives its models their label; one file has none.
    script.replace("db_table = \"sync_outbox\"", "db_table = \"sync_outbox\"; app_label = \"clinic\"")
}

/// The page's setting for SQLite under load: with it every transaction of the page's model succeeds next to another
/// program that writes, and without it some fail, so that the setting is what makes the difference.
#[test]
fn the_django_settings_of_the_outbox_page_work_next_to_another_writer() {
    let Some(python) = python() else { return };
    let [models, settings, _] = django_page();
    let without = replaced(&settings, "\"transaction_mode\": \"IMMEDIATE\", ", "");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for (settings, is_whole) in [(settings, "failed == 0"), (without, "0 < failed < COUNT")] {
        runtime.block_on(async {
            let stand = Stand::on(Backend::Sqlite).await.expect("SQLite is always there");
            clinic(&stand).await;
            stand.database.execute("CREATE TABLE other_program (written INTEGER)").await.expect("another's table");
            run(&python, &django_script(&stand, &models, &settings, &format!("{LOAD}assert {is_whole}, failed\n")));
        });
    }
}

/// Transactions of the page's model while another process writes to the same file again and again.
const LOAD: &str = r#"
import subprocess, sys, sqlite3, time
from django.db import OperationalError

COUNT = 150
BESIDE = """
import sqlite3, sys, time
other = sqlite3.connect(sys.argv[1], timeout=20, isolation_level=None)
while True:
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO other_program VALUES (1)")
    other.execute("COMMIT")
    time.sleep(0.001)
"""

def written():
    reader = sqlite3.connect(DATABASES["default"]["NAME"])
    count = reader.execute("SELECT COUNT(*) FROM other_program").fetchone()[0]
    reader.close()
    return count

failed = 0
other = subprocess.Popen([sys.executable, "-c", BESIDE, DATABASES["default"]["NAME"]])
try:
    while written() == 0:
        time.sleep(0.01)
    for number in range(COUNT):
        try:
            change_phone("P-2025-001", f"010-5550-{number:04}")
        except OperationalError as error:
            assert "locked" in str(error), error
            failed += 1
finally:
    other.kill()
    other.wait()
assert OutboxRow.objects.count() == COUNT - failed
"#;

/// What is done with the page's code: a change, the same change again (rule 4), its users, its test runner.
const USE: &str = r#"
change_phone("P-2025-001", "010-5550-1003")
change_phone("P-2025-001", "010-5550-1003")

from django.contrib.auth.hashers import check_password
if password_hash is not None:
    assert check_password("a password", "argon2" + password_hash)
    assert not check_password("another", "argon2" + password_hash)

if django.conf.settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    runner = OutboxTableRunner(verbosity=0, interactive=False)
    databases = runner.setup_databases()
    OutboxRow.objects.create(aggregate_type="patient", aggregate_id="P-1", operation="update", payload="{}", created_at=1)
    assert OutboxRow.objects.count() == 1
    runner.teardown_databases(databases)
"#;

/// Settings of a project: the page's on SQLite, the application's user elsewhere.
fn django_settings(stand: &Stand, page: &str) -> String {
    let url = stand.database.url();
    let name = url.rsplit_once('/').expect("a name").1;
    let server = |engine: &str| {
        let port = url.rsplit_once('/').and_then(|(server, _)| server.rsplit_once(':')).expect("a port").1;
        format!(
            "DATABASES = {{'default': {{'ENGINE': 'django.db.backends.{engine}', 'NAME': '{name}', 'HOST': '127.0.0.1', \
             'PORT': '{port}', 'USER': '{app}', 'PASSWORD': 'secret'}}}}",
            app = application(stand)
        )
    };
    let databases = match stand.database.backend() {
        Backend::Sqlite => replaced(page, "/srv/neuronova/.host/host.db", sqlite_file(stand)),
        Backend::Postgres => server("postgresql"),
        _ => format!("import pymysql; pymysql.install_as_MySQLdb()\n{}", server("mysql")),
    };
    // The application's user may not read users: their hash comes from the one who may.
    let read_hash = match stand.database.backend() {
        Backend::Sqlite => {
            "import sqlite3\n\
             password_hash = sqlite3.connect(DATABASES['default']['NAME']).execute('SELECT MAX(password_hash) FROM users').fetchone()[0]"
        }
        _ => "password_hash = None",
    };
    format!(
        "{databases}\n{read_hash}\nimport django.conf\n\
         django.conf.settings.configure(DATABASES=DATABASES, USE_TZ=True, INSTALLED_APPS=[], \
         PASSWORD_HASHERS=['django.contrib.auth.hashers.Argon2PasswordHasher'])"
    )
}

/// The application's user in the database, one for each test's database: a server's users are shared.
fn application(stand: &Stand) -> String {
    format!("app_{}", stand.database.url().rsplit_once('_').expect("a name with a number").1)
}

/// Makes the application's user, with the page's grants and those on its own table. SQLite has none.
async fn grant(stand: &Stand) {
    if stand.database.backend() == Backend::Sqlite {
        return;
    }
    let app = application(stand);
    let page = blocks("Grants of the application's user", "sql").remove(0);
    let (postgres, mysql) = page.split_once("-- MySQL, MariaDB").expect("grants for both");
    let mysql = mysql.split_once('\n').expect("a line").1;
    let name = stand.database.url().rsplit_once('/').expect("a name").1;
    let statements = match stand.database.backend() {
        Backend::Postgres => format!(
            "DROP ROLE IF EXISTS {app}; CREATE ROLE {app} LOGIN PASSWORD 'secret';\n{};\n\
             GRANT SELECT, UPDATE ON clinic_patient TO {app};",
            replaced(postgres, " TO app;", &format!(" TO {app};")).trim_end().trim_end_matches(';'),
        ),
        _ => format!(
            "CREATE USER '{app}'@'127.0.0.1' IDENTIFIED BY 'secret';\n{}\n\
             GRANT SELECT, UPDATE ON {name}.clinic_patient TO '{app}'@'127.0.0.1';",
            replaced(
                &replaced(mysql, "'app'@'10.0.0.7'", &format!("'{app}'@'127.0.0.1'")),
                " host.",
                &format!(" {name}.")
            )
        ),
    };
    stand.database.execute(&statements).await.expect("the page's grants");
}

fn sqlite_file(stand: &Stand) -> &str {
    stand.database.url().trim_start_matches("sqlite://")
}

/// `text` with each `from` replaced, which must be there.
fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "the page no longer has `{from}`");
    text.replace(from, to)
}

/// Python with the packages; `None`, said, where there is no Python and none is required.
fn python() -> Option<std::path::PathBuf> {
    match DJANGO.provision() {
        Ok(()) => Some(DJANGO.program("python")),
        Err(error) if tests::environment::is_ci() => panic!("Python for the page: {error:#}"),
        Err(error) => {
            eprintln!("not run: {error:#}");
            None
        }
    }
}

fn run(python: &Path, script: &str) {
    let output = Command::new(python).args(["-W", "error", "-c", script]).output().expect("start Python");
    assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
}

async fn the_clinical_records_of_the_outbox_page_are_valid(stand: Stand) {
    let sql = blocks("The payloads of clinical records", "sql").remove(0);
    stand.database.execute(&sql).await.expect("the page's rows");
    let mut session = Session::open(stand.database.url()).await.expect("connect");
    let rows = session.rows("SELECT aggregate_type, aggregate_id, payload, refs FROM sync_outbox ORDER BY id").await;
    let rows = rows.expect("read");
    assert_eq!(rows.len(), 2);
    for row in rows {
        let [aggregate_type, aggregate_id, payload, refs] =
            [0, 1, 2, 3].map(|at: usize| row[at].clone().expect("text"));
        let key = AggregateKey { aggregate_type, aggregate_id };
        let references = references::parse(&refs, Some(&key)).expect("refs by the page's own rules");
        let payload = serde_json::from_str(&payload).expect("JSON");
        ClinicalRecord::new(key, payload, references).expect("a record by the page's own rules");
    }
}
