//! What a target's own rules refuse, and what its server cannot do: who is blamed, who waits, and what may be read of
//! it.

use std::time::Duration;

use tests::database::Database;
use tests::environment::Backend;
use tests::host::{Configuration, Host, quoted};
use tests::session::Session;

use crate::support::{QUICK, adapter, host_with_openemr, openemr_database, patient, put, rows};

/// Puts patients `A-01` and so on, and `A-00`, whose family name the trigger refuses.
fn put_with_one_refused(host: &Host, count: u32) {
    let mut refused = patient("A-00");
    refused["family_name"] = "Refused".into();
    put(host, &refused);
    for number in 1..count {
        put(host, &patient(&format!("A-{number:02}")));
    }
}

async fn refuse(openemr: &Database, signal: &str) {
    let trigger = format!(
        "CREATE TRIGGER refuse BEFORE INSERT ON patient_data FOR EACH ROW BEGIN DECLARE words TEXT; \
         SET words = CONCAT(NEW.fname, ' ', NEW.lname, ' born ', NEW.DOB, ' tel ', NEW.phone_cell); \
         IF NEW.lname = 'Refused' THEN {signal}; END IF; END"
    );
    openemr.execute(&trigger).await.expect("trigger");
}

/// Every delivery: patient, status, attempts, kind and message of its error.
async fn deliveries(host: &Host) -> Vec<Vec<String>> {
    use sqlx::{Connection as _, Row as _};
    let url = tests::database::sqlite_url(&host.folder().join(".host").join("host.db"));
    let mut store = sqlx::SqliteConnection::connect(&url).await.expect("store");
    let sql = "SELECT aggregate_id, status, CAST(attempts AS TEXT), COALESCE(error_kind, ''), COALESCE(error_message, '') \
               FROM sync_delivery ORDER BY aggregate_id";
    let found = sqlx::query(sql).fetch_all(&mut store).await.expect("deliveries");
    found.iter().map(|row| (0..5).map(|index| row.get(index)).collect()).collect()
}

/// One patient is refused by the clinic's own trigger: it fails with its own attempts, and the others arrive at their
/// first.
async fn one_refused_patient_costs_no_other_anything(signal: &str, kind: &str, attempts: &str) {
    let Some(openemr) = openemr_database("7.0.2").await else { return };
    refuse(&openemr, signal).await;
    let host = host_with_openemr(openemr.url());
    put_with_one_refused(&host, 12);
    let mut ended = host.run(&["run", "--until-idle"]);
    // A delivery that waits for its next attempt is not due: a host that runs until idle leaves it to the next one.
    for _ in 0..10 {
        if host.status()["totals"]["pending"] == 0 {
            break;
        }
        ended = host.run(&["run", "--until-idle"]);
    }
    let found = deliveries(&host).await;
    assert_eq!(found.len(), 12, "{}", ended.stderr);
    for delivery in &found[1..] {
        assert_eq!(delivery[1..3], ["done", "1"], "{delivery:?}");
    }
    assert_eq!(found[0][1..4], ["failed", attempts, kind], "{:?}", found[0]);
    assert!(kind != "invalid" || found[0][4].contains("then `host retry`"), "it names the fix: {:?}", found[0]);
    let status = host.status();
    assert_eq!(status["targets"]["openemr"]["state"], "up", "one patient is no outage");
    let shown = host.run(&["status"]);
    let read = format!("{}{}{}{}{status}{found:?}", ended.stdout, ended.stderr, shown.stdout, shown.stderr);
    for part in ["JiWoo", "1990-05-05", "born", "tel "] {
        assert!(!read.contains(part), "a patient's data stay out of log and status: {part} in {read}");
    }
}

#[tokio::test]
async fn a_trigger_that_refuses_one_patient_fails_only_that_patient() {
    one_refused_patient_costs_no_other_anything("SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = words", "invalid", "1")
        .await;
}

#[tokio::test]
async fn an_unknown_error_costs_only_its_own_patient_attempts() {
    let signal = "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 30001, MESSAGE_TEXT = words";
    one_refused_patient_costs_no_other_anything(signal, "transient", "3").await;
}

#[tokio::test]
async fn a_trigger_that_raises_a_unique_key_error_is_not_contention() {
    for state in ["45000", "23000"] {
        let signal = format!("SIGNAL SQLSTATE '{state}' SET MYSQL_ERRNO = 1062, MESSAGE_TEXT = 'no'");
        one_refused_patient_costs_no_other_anything(&signal, "invalid", "1").await;
    }
}

#[tokio::test]
async fn a_trigger_that_fails_by_itself_for_one_patient_stops_no_other() {
    let insert = "INSERT INTO audit_that_is_not_there (pid) VALUES (1)";
    one_refused_patient_costs_no_other_anything(insert, "invalid", "1").await;
}

#[tokio::test]
async fn a_trigger_that_fails_for_every_patient_takes_the_target_down_and_fails_no_patient() {
    let Some(openemr) = openemr_database("7.0.2").await else { return };
    let trigger = "CREATE TRIGGER audit BEFORE INSERT ON patient_data FOR EACH ROW \
                   INSERT INTO audit_that_is_not_there (pid) VALUES (NEW.pid)";
    openemr.execute(trigger).await.expect("trigger");
    let host = host_with_openemr(openemr.url());
    put_with_one_refused(&host, 12);
    assert_eq!(host.run(&["run", "--until-idle"]).status, Some(1));
    let status = host.status();
    assert_eq!(status["targets"]["openemr"]["state"], "down", "{status}");
    let error = status["targets"]["openemr"]["error"].as_str().expect("error");
    assert!(error.contains("a trigger or routine") && error.contains("[patient_data, 1146]"), "{error}");
    let found = deliveries(&host).await;
    assert!(found.iter().all(|delivery| delivery[1..3] == ["pending", "0"]), "{found:?}");
    openemr.execute("DROP TRIGGER audit").await.expect("correct it");
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    assert_eq!(host.status()["totals"]["done"], 12);
}

#[tokio::test]
async fn a_full_disk_at_the_target_spends_no_attempt_and_delivery_resumes() {
    let Some(openemr) = openemr_database("7.0.2").await else { return };
    let full = "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1114, MESSAGE_TEXT = words";
    refuse(&openemr, full).await;
    let host = host_with_openemr(openemr.url());
    put_with_one_refused(&host, 5);
    let ended = host.run(&["run", "--until-idle"]);
    assert_eq!(ended.status, Some(1), "{}", ended.stdout);
    let status = host.status();
    assert_eq!(status["targets"]["openemr"]["state"], "down", "{status}");
    let error = status["targets"]["openemr"]["error"].as_str().expect("error");
    assert!(error.contains("disk or tablespace is full [1114]") && !error.contains("JiWoo"), "{error}");
    assert_eq!((&status["totals"]["pending"], &status["totals"]["failed"]), (&5.into(), &0.into()));
    let found = deliveries(&host).await;
    assert!(found.iter().all(|delivery| delivery[1..3] == ["pending", "0"]), "{found:?}");
    openemr.execute("DROP TRIGGER refuse").await.expect("room");
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    assert_eq!(host.status()["totals"]["done"], 5);
}

#[tokio::test]
async fn a_locked_chart_waits_without_spending_attempts_and_the_others_are_delivered() {
    let Some(openemr) = openemr_database("7.0.2").await else { return };
    let configuration = Configuration::new("sqlite://.host/host.db")
        .openemr(&adapter("openemr"), openemr.url())
        .more("\n[targets.openemr.limits]\ndeadline_ms = 6000\n")
        .more(QUICK);
    let host = Host::new(&configuration).expect("host");
    for number in 1..=6 {
        put(&host, &patient(&format!("A-{number:02}")));
    }
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    let mut holder = <sqlx::MySqlConnection as sqlx::Connection>::connect(openemr.url()).await.expect("connect");
    // By its key, so that no other chart is locked with it.
    let pid = rows(openemr.url(), "SELECT CAST(pid AS CHAR) FROM patient_data WHERE pubpid = 'A-03'").await.remove(0);
    let lock = format!("SELECT pid FROM patient_data WHERE pid = {} FOR UPDATE", pid[0]);
    for sql in ["START TRANSACTION", &lock] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut holder).await.expect(sql);
    }
    for number in 1..=6 {
        let mut changed = patient(&format!("A-{number:02}"));
        changed["city"] = "Daejeon".into();
        put(&host, &changed);
    }
    let mut running = host.spawn(&["run"]).expect("spawn");
    let five = || host.status()["totals"]["done"] == 11;
    running.wait_until("the others arrive", Duration::from_secs(120), five).expect("wait");
    let found = deliveries(&host).await;
    let open: Vec<_> = found.iter().filter(|delivery| delivery[1] != "done").collect();
    assert!(open.iter().all(|delivery| delivery[0] == "A-03" && delivery[2] == "0"), "{open:?}");
    sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.expect("rollback");
    let all = || host.status()["totals"]["done"] == 12;
    running.wait_until("the locked one arrives", Duration::from_secs(120), all).expect("wait");
    let cities = rows(openemr.url(), "SELECT DISTINCT city FROM patient_data").await;
    assert_eq!(cities, [["Daejeon"]]);
}

/// Without the operator's grants nothing can be delivered, and no patient is to blame: everything waits for the line.
async fn missing_grants_fail_nobody(allow: &str, line: &str) {
    let Some(openemr) = openemr_database("7.0.2").await else { return };
    let wasm = tests::host::quoted(&adapter("openemr").to_string_lossy());
    let url = tests::host::quoted(openemr.url());
    let configuration = Configuration::new("sqlite://.host/host.db")
        .more(&format!("\n[targets.openemr]\nadapter = {wasm}\n[targets.openemr.database]\nurl = {url}\n{allow}\n"))
        .more(QUICK);
    let host = Host::new(&configuration).expect("host");
    put(&host, &patient("A-1"));
    let check = host.run(&["check"]);
    assert_ne!(check.status, Some(0), "{}", check.stdout);
    assert!(check.stdout.contains("[PROBLEM]") && check.stdout.contains(line), "{}", check.stdout);
    let ended = host.run(&["run", "--until-idle"]);
    assert_eq!(ended.status, Some(1), "{}", ended.stdout);
    let status = host.status();
    assert_eq!(status["targets"]["openemr"]["state"], "down", "{status}");
    assert!(status["targets"]["openemr"]["error"].as_str().is_some_and(|error| error.contains(line)), "{status}");
    assert_eq!((&status["totals"]["pending"], &status["totals"]["failed"]), (&1.into(), &0.into()));
    let granted = Configuration::new("sqlite://.host/host.db").openemr(&adapter("openemr"), openemr.url()).more(QUICK);
    host.configure(&granted).expect("configure");
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    assert_eq!(host.status()["totals"]["done"], 1);
}

#[tokio::test]
async fn without_any_grant_the_target_is_down_and_the_missing_line_shown() {
    missing_grants_fail_nobody("", "[targets.openemr.database.allow] in host.toml").await;
}

#[tokio::test]
async fn with_too_few_grants_the_target_is_down_and_the_missing_line_shown() {
    let allow = "allow = { read = [\"patient_data\", \"uuid_registry\", \"version\", \"list_options\"], \
                 insert = [\"uuid_registry\"], update = [\"patient_data\"] }";
    missing_grants_fail_nobody(allow, "insert = [\"patient_data\"]").await;
}

/// A user of OpenEMR's database who may read everything and write nothing but the registry; returns it and the target's
/// address for it.
async fn narrow_user(openemr: &Database) -> (String, String) {
    let (scheme, rest) = openemr.url().split_once("://").expect("a url");
    let place = rest.rsplit('@').next().expect("a place");
    let name = place.rsplit('/').next().expect("a database");
    let user = format!("narrow_{}", &name[name.len().saturating_sub(16)..]);
    for statement in [
        format!("CREATE USER {user}@'%' IDENTIFIED BY 'guard'"),
        format!("GRANT SELECT ON {name}.* TO {user}@'%'"),
        format!("GRANT INSERT ON {name}.uuid_registry TO {user}@'%'"),
    ] {
        openemr.execute(&statement).await.expect("grant");
    }
    (user.clone(), format!("{scheme}://{user}:guard@{place}"))
}

/// What the database itself does not grant is seen beforehand, and costs no change its attempts.
#[tokio::test]
async fn a_database_user_without_privileges_takes_the_target_down_and_fails_no_patient() {
    let Some(openemr) = openemr_database("7.0.2").await else { return };
    let (user, url) = narrow_user(&openemr).await;
    let host = host_with_openemr(&url);
    let _ = host.run(&["migrate"]).expect_success();
    put(&host, &patient("A-1"));
    let check = host.run(&["check"]);
    assert_ne!(check.status, Some(0), "{}", check.stdout);
    assert!(check.stdout.contains("[PROBLEM]") && check.stdout.contains("patient_data"), "{}", check.stdout);
    assert_eq!(host.run(&["run", "--until-idle"]).status, Some(1));
    let status = host.status();
    assert_eq!(status["targets"]["openemr"]["state"], "down", "{status}");
    assert_eq!((&status["totals"]["pending"], &status["totals"]["failed"]), (&1.into(), &0.into()), "{status}");
    let name = openemr.url().rsplit('/').next().expect("a database");
    let grant = format!("GRANT INSERT, UPDATE ON {name}.patient_data TO {user}@'%'");
    openemr.execute(&grant).await.expect("grant");
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    assert_eq!(host.status()["totals"]["done"], 1);
}

/// A replica, or a user who only reads: `host check` finds it before a change does.
#[tokio::test]
async fn a_read_only_target_database_is_detected_before_delivery_and_fails_no_patient() {
    let Some(target) = Database::fresh(Backend::Postgres).await.expect("fresh") else { return };
    target.execute("CREATE TABLE note (id VARCHAR(64) PRIMARY KEY, body TEXT)").await.expect("table");
    let name = target.url().rsplit('/').next().expect("a database");
    let read_only = |value: &str| format!("ALTER DATABASE {name} SET default_transaction_read_only = {value}");
    target.execute(&read_only("on")).await.expect("read only");
    let notes = format!(
        "\n[targets.notes]\nadapter = {}\n[targets.notes.database]\nurl = {}\n\
         allow = {{ read = [\"note\"], insert = [\"note\"] }}\n[targets.notes.settings]\nbehaviour = \"insert\"\n\
         quiet_check = true\nargument = \"\"\n",
        quoted(&adapter("testing-probe").to_string_lossy()),
        quoted(target.url())
    );
    let host = Host::new(&Configuration::new("sqlite://.host/host.db").more(&notes).more(QUICK)).expect("host");
    let _ = host.run(&["migrate"]).expect_success();
    put(&host, &patient("A-1"));
    let check = host.run(&["check"]);
    assert_ne!(check.status, Some(0), "{}", check.stdout);
    assert!(check.stdout.contains("[PROBLEM]") && check.stdout.contains("takes no writes"), "{}", check.stdout);
    assert_eq!(host.run(&["run", "--until-idle"]).status, Some(1));
    let status = host.status();
    assert_eq!((&status["totals"]["pending"], &status["totals"]["failed"]), (&1.into(), &0.into()), "{status}");
    let mut session = Session::open(target.url()).await.expect("session");
    session.execute("SET default_transaction_read_only = off").await.expect("this session writes");
    session.execute(&read_only("off")).await.expect("writable");
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    assert_eq!(host.status()["totals"]["done"], 1);
}

/// The tables of an old installation: everything arrives, and someone should know that a batch cannot be rolled back.
#[tokio::test]
async fn tables_without_transactions_cause_a_warning() {
    let Some(openemr) = openemr_database("7.0.2").await else { return };
    let host = host_with_openemr(openemr.url());
    let _ = host.run(&["migrate"]).expect_success();
    let before = host.run(&["check"]).expect_success().stdout;
    assert!(!before.contains("without transactions"), "{before}");
    openemr.execute("ALTER TABLE patient_data ENGINE = MyISAM").await.expect("convert");
    let after = host.run(&["check"]).expect_success().stdout;
    assert!(after.contains("[WARNING]") && after.contains("half written: `patient_data`"), "{after}");
}

/// The guard is one wall; the database user's own grants are the other.
#[tokio::test]
async fn a_database_user_with_more_privileges_than_the_adapter_causes_a_warning() {
    let Some(openemr) = openemr_database("7.0.2").await else { return };
    let (scheme, rest) = openemr.url().split_once("://").expect("a url");
    let place = rest.rsplit('@').next().expect("a place");
    let name = place.rsplit('/').next().expect("a database");
    let user = format!("exact_{}", &name[name.len().saturating_sub(16)..]);
    let exact = [
        format!("CREATE USER {user}@'%' IDENTIFIED BY 'guard'"),
        format!("GRANT SELECT, INSERT, UPDATE ON {name}.patient_data TO {user}@'%'"),
        format!("GRANT SELECT, INSERT ON {name}.uuid_registry TO {user}@'%'"),
        format!("GRANT SELECT ON {name}.version TO {user}@'%'"),
        format!("GRANT SELECT ON {name}.list_options TO {user}@'%'"),
        format!("GRANT SELECT ON {name}.layout_options TO {user}@'%'"),
    ];
    for statement in &exact {
        openemr.execute(statement).await.expect("grant");
    }
    let words = "the database user may do more than the adapter";
    let host = host_with_openemr(&format!("{scheme}://{user}:guard@{place}"));
    let _ = host.run(&["migrate"]).expect_success();
    let before = host.run(&["check"]).expect_success().stdout;
    assert!(!before.contains(words), "{before}");
    openemr.execute(&format!("GRANT DELETE ON {name}.patient_data TO {user}@'%'")).await.expect("grant");
    let after = host.run(&["check"]).expect_success().stdout;
    assert!(after.contains(words) && after.contains("DELETE on `patient_data`"), "{after}");
}

/// Half dates that OpenEMR's forms leave behind: the chart is written over like any other that was edited, and no other
/// waits.
#[tokio::test]
async fn a_partial_date_in_a_chart_is_overwritten_and_delays_no_other() {
    let Some(openemr) = openemr_database("7.0.2").await else { return };
    let host = host_with_openemr(openemr.url());
    let put_all = |city: &str| {
        for number in 1..=5 {
            let mut one = patient(&format!("A-{number:02}"));
            one["city"] = city.into();
            put(&host, &one);
        }
    };
    put_all("Busan");
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    for (id, day) in [("A-01", "1980-00-00"), ("A-02", "1980-05-00"), ("A-03", "1980-02-31"), ("A-04", "0000-00-00")] {
        let edit = format!(
            "SET SESSION sql_mode = 'ALLOW_INVALID_DATES'; UPDATE patient_data SET DOB = '{day}' WHERE pubpid = '{id}'"
        );
        openemr.execute(&edit).await.expect("edit");
    }
    put_all("Daejeon");
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    let found = deliveries(&host).await;
    assert!(found.iter().all(|delivery| delivery[1..3] == ["done", "1"]), "{found:?}");
    let charts = rows(openemr.url(), "SELECT DISTINCT CAST(DOB AS CHAR), city FROM patient_data").await;
    assert_eq!(charts, [["1990-05-05", "Daejeon"]]);
}
