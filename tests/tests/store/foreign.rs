//! Someone else's database through the driver layer, on real servers: odd values, refusals, locks, servers that take no
//! writes.

use std::time::{Duration, Instant};

use host::database::{Database as HostDatabase, ErrorKind, Locator, RowLimits, Transaction, Value};
use tests::database::{Database, execute};
use tests::environment::Backend;
use tests::servers::MariaDb;

const NONE: RowLimits = RowLimits::NONE;

fn locator(backend: Backend, url: &str) -> Locator {
    match backend {
        Backend::Sqlite => Locator::Sqlite(url.trim_start_matches("sqlite://").into()),
        Backend::MariaDb => Locator::MySql(url.parse().expect("url")),
        Backend::Postgres | Backend::Fhir | Backend::Hapi | Backend::Medplum | Backend::FhirStarter => {
            Locator::Postgres(url.parse().expect("url"))
        }
    }
}

pub(crate) fn target(backend: Backend, url: &str, timeout: Duration) -> HostDatabase {
    HostDatabase::of_target(locator(backend, url), 4, timeout, 16 << 20).expect("database")
}

async fn begin(database: &Database) -> Transaction {
    target(database.backend(), database.url(), Duration::from_secs(20)).begin().await.expect("begin")
}

/// A value's case and its text.
fn shown(value: &Value) -> String {
    let (case, text) = match value {
        Value::Null => return "null".to_owned(),
        Value::Bool(truth) => ("bool", truth.to_string()),
        Value::I64(number) => ("signed", number.to_string()),
        Value::U64(number) => ("unsigned", number.to_string()),
        Value::F64(number) => ("double", number.to_string()),
        Value::Bytes(bytes) => ("bytes", format!("{bytes:02x?}")),
        Value::Decimal(text) => ("decimal", text.clone()),
        Value::Text(text) => ("text", text.clone()),
        Value::Date(text) => ("date", text.clone()),
        Value::DateTime(text) => ("datetime", text.clone()),
        Value::Time(text) => ("time", text.clone()),
        Value::Json(text) => ("json", text.clone()),
        Value::Other(text) => ("other", text.clone()),
        Value::Texts(_) => ("texts", String::new()),
    };
    format!("{case} {text}")
}

/// One value of each column for each row, asked for row by row and all at once: one odd row spoils no other.
async fn each_is_readable(database: &Database, columns: &[(&str, &[&str])]) {
    let mut transaction = begin(database).await;
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let count = columns[0].1.len();
    let sql = format!("SELECT id, {} FROM odd ORDER BY id", names.join(", "));
    let all = transaction.query(&sql, &[], NONE).await.expect("all at once");
    assert_eq!(all.rows.len(), count);
    assert_eq!(all.columns[1..], names, "the columns keep their names");
    for (place, (name, expected)) in columns.iter().enumerate() {
        for (row, expected) in expected.iter().enumerate() {
            assert_eq!(shown(&all.rows[row][place + 1]), *expected, "{name}, row {}", row + 1);
            let sql = format!("SELECT {name} FROM odd WHERE id = ?");
            let id = Value::I64(i64::try_from(row).expect("row") + 1);
            let one = transaction.query(&sql, &[id], NONE).await.expect("by itself");
            assert_eq!(shown(&one.rows[0][0]), *expected, "{name} by itself, row {}", row + 1);
        }
    }
}

#[tokio::test]
async fn every_value_of_mariadb_is_readable() {
    let Some(database) = Database::fresh(Backend::MariaDb).await.expect("fresh") else { return };
    let table = "CREATE TABLE odd (id INT, d DATE, dt DATETIME(6), t TIME(3), y YEAR, b BIT(10), e ENUM('a','b'), \
                 s SET('x','y'), g GEOMETRY, j JSON, u BIGINT UNSIGNED, tu TINYINT(1) UNSIGNED, n DECIMAL(65,30), \
                 f DOUBLE, bin VARBINARY(4), c VARCHAR(9))";
    execute(database.url(), table).await.expect("table");
    let rows = "SET SESSION sql_mode = 'ALLOW_INVALID_DATES'; INSERT INTO odd VALUES \
        (1, '1980-00-00', '1980-05-00 01:02:03', '838:59:59', 1901, b'1010101010', 'a', 'x,y', POINT(1, 2), '{\"a\": 1}', \
         18446744073709551615, 200, -99999999999999999999999999999999999.5, 1e300, x'00ff', '한'), \
        (2, '0000-00-00', '0000-00-00 00:00:00', '-01:00:00.5', 0, 0, '', '', NULL, NULL, 0, 0, 0, 0, '', ''), \
        (3, '1980-02-31', '1980-02-31 23:59:59.5', '00:00:00', 2155, 1, 'b', 'x', NULL, '[]', 1, 1, 12.5, -1.5, 'a', 'b'), \
        (4, '1980-03-15', '1980-03-15 00:00:00', '23:59:59', 2024, 1, NULL, NULL, NULL, NULL, 1, 1, 1, 1, NULL, NULL)";
    execute(database.url(), rows).await.expect("rows");
    each_is_readable(
        &database,
        &[
            ("d", &["other 1980-00-00", "null", "other 1980-02-31", "date 1980-03-15"]),
            (
                "dt",
                &["other 1980-05-00 01:02:03", "null", "other 1980-02-31 23:59:59.500", "datetime 1980-03-15 00:00:00"],
            ),
            ("t", &["other 838:59:59", "other -01:00:00.500", "time 00:00:00", "time 23:59:59"]),
            ("y", &["unsigned 1901", "unsigned 0", "unsigned 2155", "unsigned 2024"]),
            ("b", &["unsigned 682", "unsigned 0", "unsigned 1", "unsigned 1"]),
            ("e", &["text a", "text ", "text b", "null"]),
            ("s", &["text x,y", "text ", "text x", "null"]),
            ("j", &["text {\"a\": 1}", "null", "text []", "null"]),
            ("u", &["unsigned 18446744073709551615", "unsigned 0", "unsigned 1", "unsigned 1"]),
            ("tu", &["unsigned 200", "unsigned 0", "unsigned 1", "unsigned 1"]),
            ("f", &[&format!("double {}", 1e300), "double 0", "double -1.5", "double 1"]),
            ("bin", &["bytes [00, ff]", "bytes []", "bytes [61]", "null"]),
            ("c", &["text 한", "text ", "text b", "null"]),
        ],
    )
    .await;
    let mut transaction = begin(&database).await;
    let rows = transaction.query("SELECT g, n FROM odd ORDER BY id", &[], NONE).await.expect("query").rows;
    assert!(matches!(&rows[0][0], Value::Bytes(bytes) if bytes.len() == 25), "WKB behind its SRID");
    let digits = shown(&rows[0][1]);
    assert!(digits.starts_with("decimal -99999999999999999999999999999999999.5"), "{digits}");
    assert_eq!(shown(&rows[2][1]).trim_end_matches('0'), "decimal 12.5");
}

#[tokio::test]
async fn every_value_of_postgres_is_readable() {
    let Some(database) = Database::fresh(Backend::Postgres).await.expect("fresh") else { return };
    for sql in [
        "CREATE TYPE mood AS ENUM ('ok', 'bad')",
        "CREATE DOMAIN age AS integer CHECK (VALUE >= 0)",
        "CREATE TYPE pair AS (a integer, b text)",
        "CREATE TABLE odd (id int, d date, ts timestamp, tz timestamptz, t time, n numeric, i interval, a int[], \
         r int4range, m mood, g age, ip inet, mo numeric, js jsonb, b bit(3), c char(4), u uuid, f float8, p pair, v tsvector)",
        "INSERT INTO odd VALUES (1, 'infinity', '-infinity', 'infinity', '24:00', 'NaN', '1 year 2 days', '{1,2}', '[1,5)', \
         'bad', 7, '10.0.0.1/8', 'NaN', '{\"a\": 1e400}', B'101', 'ab', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'NaN', \
         '(1,x)', 'a')",
        "INSERT INTO odd VALUES (2, '0044-03-15 BC', '0044-03-15 01:02:03 BC', '12000-01-01 00:00:00+00', '01:02:03.5', \
         12.50, '-1 day', '{}', 'empty', 'ok', 0, '::1', 1, '[]', B'000', '', NULL, 1.5, NULL, NULL)",
        "INSERT INTO odd VALUES (3, '1980-03-15', '1980-03-15 23:59:59.123456', '1980-03-15 12:00:00+02', '23:59:59', -1, \
         NULL, NULL, NULL, NULL, NULL, NULL, 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
    ] {
        execute(database.url(), sql).await.expect(sql);
    }
    let digits = format!("1{}", "0".repeat(400));
    each_is_readable(
        &database,
        &[
            ("d", &["other infinity", "other 0044-03-15 BC", "date 1980-03-15"]),
            ("ts", &["other -infinity", "other 0044-03-15 01:02:03 BC", "datetime 1980-03-15 23:59:59.123456"]),
            ("tz", &["other infinity", "other 12000-01-01 00:00:00+00", "datetime 1980-03-15 10:00:00"]),
            ("n", &["other NaN", "decimal 12.50", "decimal -1"]),
            ("i", &["other 1 year 2 days", "other -1 days", "null"]),
            ("a", &["other {1,2}", "other {}", "null"]),
            ("r", &["other [1,5)", "other empty", "null"]),
            ("m", &["text bad", "text ok", "null"]),
            ("g", &["signed 7", "signed 0", "null"]),
            ("ip", &["other 10.0.0.1/8", "other ::1/128", "null"]),
            ("js", &[&format!("json {{\"a\": {digits}}}"), "json []", "null"]),
            ("b", &["other 101", "other 000", "null"]),
            ("c", &["text ab  ", "text     ", "null"]),
            ("u", &["text a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "null", "null"]),
            ("f", &["double NaN", "double 1.5", "null"]),
            ("p", &["other (1,x)", "null", "null"]),
            ("v", &["other 'a'", "null", "null"]),
        ],
    )
    .await;
    let mut transaction = begin(&database).await;
    let times = transaction.query("SELECT t FROM odd ORDER BY id", &[], NONE).await.expect("query").rows;
    let times: Vec<String> = times.iter().map(|row| shown(&row[0])).collect();
    assert_eq!(times[0], "other 24:00:00");
    assert!(times[1].starts_with("time 01:02:03.5") && times[2] == "time 23:59:59", "{times:?}");
}

#[tokio::test]
async fn every_value_of_sqlite_is_readable() {
    let database = Database::fresh(Backend::Sqlite).await.expect("fresh").expect("sqlite");
    execute(
        database.url(),
        "CREATE TABLE odd (id INTEGER, a DATE, b BOOLEAN, c NUMERIC, d); \
         INSERT INTO odd VALUES (1, 5, 'maybe', x'00ff', CAST(x'ff' AS TEXT)), (2, 'x', 2.5, 1e400, NULL), \
         (3, '1980-03-15', 1, '12.50x', 9223372036854775807)",
    )
    .await
    .expect("table");
    each_is_readable(
        &database,
        &[
            ("a", &["signed 5", "text x", "text 1980-03-15"]),
            ("b", &["text maybe", "double 2.5", "signed 1"]),
            ("c", &["bytes [00, ff]", "double inf", "text 12.50x"]),
            ("d", &["bytes [ff]", "null", "signed 9223372036854775807"]),
        ],
    )
    .await;
}

/// Statements that make a table `p (id, name)` which refuses `Kim`, in ways that quote the row.
fn refusing(backend: Backend) -> Vec<(&'static str, Vec<&'static str>)> {
    match backend {
        Backend::MariaDb => vec![
            (
                "a trigger's own words",
                vec![
                    "CREATE TRIGGER refuse BEFORE INSERT ON p FOR EACH ROW BEGIN DECLARE words TEXT; \
                 SET words = CONCAT(NEW.name, ' born 1980-03-15'); SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = words; END",
                ],
            ),
            (
                "words like the server's",
                vec![
                    "CREATE TRIGGER refuse BEFORE INSERT ON p FOR EACH ROW BEGIN DECLARE words TEXT; \
                 SET words = CONCAT('Data too long for column \\'', NEW.name, '\\' at row 1'); \
                 SIGNAL SQLSTATE '22001' SET MESSAGE_TEXT = words, MYSQL_ERRNO = 1406; END",
                ],
            ),
            (
                "a number of the server's",
                vec![
                    "CREATE TRIGGER refuse BEFORE INSERT ON p FOR EACH ROW BEGIN DECLARE words TEXT; \
                 SET words = CONCAT(NEW.name, ' 1980'); SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = words, MYSQL_ERRNO = 1205; END",
                ],
            ),
            ("a CHECK", vec!["ALTER TABLE p ADD CONSTRAINT adult CHECK (name <> 'Kim MinJun 1980')"]),
        ],
        Backend::Postgres => vec![
            (
                "RAISE with everything in it",
                vec![
                    "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '% born 1980', NEW.name \
                 USING ERRCODE = '53100', CONSTRAINT = NEW.name, COLUMN = NEW.name, TABLE = NEW.name, DETAIL = NEW.name, \
                 HINT = NEW.name; END $$",
                    "CREATE TRIGGER refuse BEFORE INSERT ON p FOR EACH ROW EXECUTE FUNCTION refuse()",
                ],
            ),
            (
                "a table of the patient's name",
                vec![
                    "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'SELECT 1/0 AS \"' || NEW.name || '\"'; \
                 RETURN NEW; END $$",
                    "CREATE TRIGGER refuse BEFORE INSERT ON p FOR EACH ROW EXECUTE FUNCTION refuse()",
                ],
            ),
            ("a CHECK", vec!["ALTER TABLE p ADD CONSTRAINT adult CHECK (name <> 'Kim MinJun 1980')"]),
        ],
        Backend::Sqlite | Backend::Fhir | Backend::Hapi | Backend::Medplum | Backend::FhirStarter => vec![
            (
                "RAISE",
                vec![
                    "CREATE TRIGGER refuse BEFORE INSERT ON p BEGIN SELECT RAISE(ABORT, 'Kim MinJun born 1980-03-15'); END",
                ],
            ),
            (
                "words like SQLite's",
                vec![
                    "CREATE TRIGGER refuse BEFORE INSERT ON p BEGIN SELECT RAISE(ABORT, 'UNIQUE constraint failed: p.Kim'); END",
                ],
            ),
            (
                "a CHECK that quotes a patient",
                vec![
                    "DROP TABLE p",
                    "CREATE TABLE p (id INT PRIMARY KEY, name VARCHAR(99), CHECK (name <> 'Kim MinJun 1980'))",
                ],
            ),
        ],
    }
}

/// A refusal is the row's own, whatever number it borrows, and no word of the row is in it.
#[tokio::test]
async fn a_triggers_error_refuses_the_row_and_its_text_is_not_shown() {
    for backend in [Backend::Sqlite, Backend::MariaDb, Backend::Postgres] {
        for (what, setup) in refusing(backend) {
            let Some(database) = Database::fresh(backend).await.expect("fresh") else { break };
            execute(database.url(), "CREATE TABLE p (id INT PRIMARY KEY, name VARCHAR(99))").await.expect("table");
            for sql in setup {
                execute(database.url(), sql).await.expect(sql);
            }
            let mut transaction = begin(&database).await;
            let row = [Value::I64(1), Value::Text("Kim MinJun 1980".to_owned())];
            let error =
                transaction.execute("INSERT INTO p (id, name) VALUES (?, ?)", &row).await.expect_err("it refuses");
            let said = format!("{error} {error:?}");
            for part in ["Kim", "MinJun", "1980", "born"] {
                assert!(!said.contains(part), "{what} on {}: {said}", backend.name());
            }
            assert_eq!(error.kind, ErrorKind::InvalidValue, "{what} on {}: {error}", backend.name());
        }
    }
}

#[tokio::test]
async fn a_unique_key_error_names_the_key_and_not_the_value() {
    for backend in [Backend::Sqlite, Backend::MariaDb, Backend::Postgres] {
        let Some(database) = Database::fresh(backend).await.expect("fresh") else { continue };
        execute(database.url(), "CREATE TABLE p (id INT, name VARCHAR(99), CONSTRAINT one_name UNIQUE (name))")
            .await
            .expect("table");
        execute(database.url(), "INSERT INTO p VALUES (1, 'O''Kim''s')").await.expect("row");
        let row = [Value::I64(2), Value::Text("O'Kim's".to_owned())];
        let error = begin(&database)
            .await
            .execute("INSERT INTO p (id, name) VALUES (?, ?)", &row)
            .await
            .expect_err("it is there already");
        assert_eq!(error.kind, ErrorKind::DuplicateKey);
        let key = if backend == Backend::Sqlite { "name" } else { "one_name" };
        assert_eq!(error.object.as_deref(), Some(key), "{error}");
        assert!(error.message.starts_with("a unique key has this value already [") && !error.message.contains("Kim"));
        let missing = begin(&database).await.query("SELECT a FROM not_there", &[], NONE).await.expect_err("missing");
        assert_eq!(missing.kind, ErrorKind::MissingObject, "{missing}");
        assert!(missing.message.contains("not_there"), "our own statement names it: {missing}");
    }
}

/// A lock that another holds is contention, which names no one and is distinct from a server that does not answer.
#[tokio::test]
async fn a_locked_row_is_contention_well_before_the_statement_timeout() {
    for backend in [Backend::MariaDb, Backend::Postgres] {
        let Some(database) = Database::fresh(backend).await.expect("fresh") else { continue };
        execute(database.url(), "CREATE TABLE p (id INT PRIMARY KEY, name VARCHAR(99))").await.expect("table");
        execute(database.url(), "INSERT INTO p VALUES (1, 'a')").await.expect("row");
        let at = target(backend, database.url(), Duration::from_secs(20));
        let mut holder = at.begin().await.expect("begin");
        holder.execute("UPDATE p SET name = 'b' WHERE id = 1", &[]).await.expect("holds the row");
        let started = Instant::now();
        let mut other = at.begin().await.expect("begin");
        let error = other.execute("UPDATE p SET name = 'c' WHERE id = 1", &[]).await.expect_err("it is locked");
        assert!(error.is_contention(), "{error}");
        assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_read_only_server_is_detected_before_delivery_and_fails_no_patient() {
    if let Some(database) = Database::fresh(Backend::Postgres).await.expect("fresh") {
        execute(database.url(), "CREATE TABLE p (id INT)").await.expect("table");
        let mut writable = begin(&database).await;
        assert_eq!(writable.write_obstacle().await.expect("asked"), None);
        let url = format!("{}?options=-c%20default_transaction_read_only%3Don", database.url());
        let at = target(Backend::Postgres, &url, Duration::from_secs(20));
        let mut transaction = at.begin().await.expect("begin");
        let obstacle = transaction.write_obstacle().await.expect("asked").expect("it is read-only");
        assert!(obstacle.contains("default_transaction_read_only"), "{obstacle}");
        let error = transaction.execute("INSERT INTO p VALUES (1)", &[]).await.expect_err("read-only");
        assert_eq!(error.kind, ErrorKind::PermissionDenied, "{error}");
    }
    // A server of its own, since the setting is the whole server's.
    if Backend::MariaDb.url().is_some() {
        let server = MariaDb::start().expect("server");
        for sql in [
            "CREATE DATABASE d",
            "CREATE TABLE d.p (id INT)",
            "CREATE USER clinic@'127.0.0.1'",
            "GRANT ALL ON d.* TO clinic@'127.0.0.1'",
            "SET GLOBAL read_only = 1",
        ] {
            execute(&format!("{}/mysql", server.url()), sql).await.expect(sql);
        }
        let url = format!("mysql://clinic@127.0.0.1:{}/d", server.port());
        let mut transaction = target(Backend::MariaDb, &url, Duration::from_secs(20)).begin().await.expect("begin");
        let obstacle = transaction.write_obstacle().await.expect("asked").expect("it is read-only");
        assert!(obstacle.contains("read_only is on"), "{obstacle}");
        let error = transaction.execute("INSERT INTO p VALUES (1)", &[]).await.expect_err("read-only");
        assert_eq!((error.kind, error.vendor_code), (ErrorKind::PermissionDenied, Some(1290)), "{error}");
        // Whoever may write all the same is let.
        let root = format!("{}/d", server.url());
        let mut transaction = target(Backend::MariaDb, &root, Duration::from_secs(20)).begin().await.expect("begin");
        assert_eq!(transaction.write_obstacle().await.expect("asked"), None);
    }
}

#[tokio::test]
async fn a_read_only_database_file_is_misconfigured() {
    use std::io::{Seek as _, SeekFrom, Write as _};
    let database = Database::fresh(Backend::Sqlite).await.expect("fresh").expect("sqlite");
    execute(database.url(), "PRAGMA journal_mode = DELETE; CREATE TABLE p (id INT)").await.expect("table");
    // A file format of the future is opened for reading alone, also for root: byte 18 is about writing.
    let path = database.url().trim_start_matches("sqlite://").to_owned();
    let mut file = std::fs::OpenOptions::new().write(true).open(&path).expect("file");
    file.seek(SeekFrom::Start(18)).expect("seek");
    file.write_all(&[3]).expect("write");
    drop(file);
    let refused = match target(Backend::Sqlite, database.url(), Duration::from_secs(20)).begin().await {
        Err(error) => error,
        Ok(mut transaction) => transaction.execute("INSERT INTO p VALUES (1)", &[]).await.expect_err("read-only"),
    };
    assert_eq!(refused.kind, ErrorKind::PermissionDenied, "{refused}");
}

#[tokio::test]
async fn sqlite_values_have_a_size_limit() {
    let database = Database::fresh(Backend::Sqlite).await.expect("fresh").expect("SQLite is always there");
    let began = Instant::now();
    for sql in [
        "SELECT printf('%.40000000c', 'a')",
        "SELECT instr(printf('%.40000000c', 'a'), printf('%.20000000c', 'a') || 'b')",
        "SELECT zeroblob(1000000000)",
        "SELECT group_concat(hex(zeroblob(10000000)), '') FROM (SELECT 1 UNION ALL SELECT 2)",
    ] {
        let mut transaction = begin(&database).await;
        match transaction.query(sql, &[], NONE).await {
            // `printf` gives nothing where it may not give so much.
            Ok(rows) => assert!(rows.rows.iter().flatten().all(|value| *value == Value::Null), "{sql}"),
            Err(refused) => assert_eq!(refused.kind, ErrorKind::InvalidValue, "{sql}: {refused}"),
        }
        transaction.rollback().await.expect("rollback");
    }
    let like = format!("SELECT 'a' LIKE '{}'", "%a".repeat(1_000));
    assert!(begin(&database).await.query(&like, &[], NONE).await.is_err(), "a long pattern");
    assert!(begin(&database).await.execute("ATTACH ':memory:' AS other", &[]).await.is_err(), "another file");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    // What a batch needs is far below.
    let text = Value::from("x".repeat(16 << 20));
    let kept = begin(&database).await.query("SELECT length(?)", &[text], NONE).await.expect("16 MiB");
    assert_eq!(kept.rows[0][0].as_i64(), Some(16 << 20));
}

#[tokio::test]
async fn the_database_enforces_a_read_only_transaction() {
    for backend in [Backend::Sqlite, Backend::MariaDb, Backend::Postgres] {
        let Some(database) = Database::fresh(backend).await.expect("database") else { continue };
        database.execute("CREATE TABLE note (id INT)").await.expect("table");
        // One connection is enough: the one that reads is returned before the other is begun.
        let at = HostDatabase::of_target(locator(backend, database.url()), 1, Duration::from_secs(20), 16 << 20)
            .expect("database");
        let mut reading = at.begin_read().await.expect("begin");
        let insert = "INSERT INTO note (id) VALUES (1)";
        let refused = reading.execute(insert, &[]).await.expect_err("it only reads");
        assert_eq!(refused.kind, ErrorKind::PermissionDenied, "{backend:?}: {refused}");
        reading.make_writable().await.expect("it stays as it is");
        assert!(reading.execute(insert, &[]).await.is_err(), "{backend:?}");
        reading.rollback().await.ok();

        let mut first = at.begin_reading_first().await.expect("begin");
        assert_eq!(first.query("SELECT id FROM note", &[], NONE).await.expect("it reads").rows.len(), 0);
        first.make_writable().await.expect("exchanged");
        first.make_writable().await.expect("once is enough");
        first.execute(insert, &[]).await.expect("it writes");
        assert_eq!(first.query("SELECT id FROM note", &[], NONE).await.expect("its own row").rows.len(), 1);
        first.rollback().await.expect("rollback");
        at.close().await;
    }
}
