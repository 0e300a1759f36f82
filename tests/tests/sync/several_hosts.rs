//! Several hosts on one store, and a host that is killed in the middle.

use std::time::Duration;

use tests::database::Database;
use tests::environment::Backend;
use tests::host::{Configuration, Host};
use tests::session::Session;

use crate::support::{QUICK, adapter, host_with_openemr, openemr_database, patient, put, rows};

const PATIENTS: usize = 300;

/// Rows as another application writes them, all in one statement.
fn insert(from: usize, count: usize) -> String {
    let rows: Vec<_> = (from..from + count)
        .map(|number| {
            let id = format!("S-{number:05}");
            format!("('patient', '{id}', 'create', '{}')", patient(&id))
        })
        .collect();
    format!("INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload) VALUES {}", rows.join(", "))
}

#[tokio::test]
async fn two_hosts_on_one_store_deliver_each_change_once() {
    let (Some(store), Some(openemr)) =
        (Database::fresh(Backend::MariaDb).await.expect("store"), openemr_database("7.0.2").await)
    else {
        return;
    };
    let configuration = Configuration::new(store.url())
        .openemr(&adapter("openemr"), openemr.url())
        .more("[targets.openemr.limits]\nbatch = 20\n")
        .more(QUICK);
    let hosts = [Host::new(&configuration).expect("host"), Host::new(&configuration).expect("host")];
    let mut running: Vec<_> = hosts.iter().map(|host| host.spawn(&["run"]).expect("spawn")).collect();
    let ready = || hosts[0].status()["hosts_running"] == 2;
    running[0].wait_until("both hosts run", Duration::from_secs(60), ready).expect("wait");
    store.execute(&insert(0, PATIENTS)).await.expect("insert");
    let done = || hosts[0].status()["totals"]["done"] == PATIENTS;
    running[0].wait_until("everything is delivered", Duration::from_secs(120), done).expect("wait");
    let charts =
        rows(openemr.url(), "SELECT CAST(COUNT(*) AS CHAR), CAST(COUNT(DISTINCT pubpid) AS CHAR) FROM patient_data")
            .await;
    assert_eq!(charts, [[PATIENTS.to_string(), PATIENTS.to_string()]]);
    for host in running {
        host.signal(tests::host::HostSignal::Terminate).expect("signal");
        let output = host.wait(Duration::from_secs(30)).expect("end");
        assert_eq!(output.status, Some(0), "{}", output.stderr);
    }
    assert_eq!(hosts[0].status()["hosts_running"], 0, "both said goodbye");
}

/// A directly dispatched change gets its row when it is done; a row that is inserted as pending was queued.
#[tokio::test]
async fn a_backlog_is_dispatched_directly_to_a_ready_target() {
    let Some(openemr) = openemr_database("8.2.0").await else { return };
    let host = host_with_openemr(openemr.url());
    put(&host, &patient("A-0"));
    // Its adapter is compiled now, so that it takes deliveries at once.
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    let store = tests::database::sqlite_url(&host.folder().join(".host/host.db"));
    for sql in [
        "CREATE TABLE waited (outbox_id INTEGER)",
        "CREATE TRIGGER delivery_waits AFTER INSERT ON sync_delivery WHEN NEW.status = 'pending' \
         BEGIN INSERT INTO waited VALUES (NEW.outbox_id); END",
        &insert(0, 3_000),
    ] {
        tests::database::execute(&store, sql).await.expect("prepare");
    }
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    assert_eq!(host.status()["totals"]["done"], 3_001);
    let mut session = Session::open(&store).await.expect("session");
    let waited = session.rows("SELECT CAST(COUNT(*) AS TEXT) FROM waited").await.expect("read");
    assert_eq!(waited[0][0].as_deref(), Some("0"));
}

#[tokio::test]
async fn a_killed_host_leaves_no_duplicate_and_no_gap() {
    let Some(openemr) = openemr_database("8.2.0").await else { return };
    let host = host_with_openemr(openemr.url());
    put(&host, &patient("A-0"));
    // Killed at a growing age, so that some run dies between the target's commit and its settle.
    for delay_ms in [150, 250, 350, 450, 550] {
        tests::database::execute(
            &tests::database::sqlite_url(&host.folder().join(".host/host.db")),
            &insert(delay_ms, 50),
        )
        .await
        .expect("insert");
        let mut running = host.spawn(&["run"]).expect("spawn");
        let until = std::time::Instant::now() + Duration::from_millis(delay_ms as u64);
        running
            .wait_until("its time to die", Duration::from_secs(5), || std::time::Instant::now() >= until)
            .expect("wait");
        running.kill();
    }
    // What the dead held comes free when its lease runs out; an operator does not wait for that here.
    tests::database::execute(
        &tests::database::sqlite_url(&host.folder().join(".host/host.db")),
        "UPDATE sync_lease SET lease_until = 0",
    )
    .await
    .expect("expire");
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    let status = host.status();
    assert_eq!((&status["totals"]["done"], &status["totals"]["pending"]), (&251.into(), &0.into()), "{status}");
    let charts =
        rows(openemr.url(), "SELECT CAST(COUNT(*) AS CHAR), CAST(COUNT(DISTINCT pubpid) AS CHAR) FROM patient_data")
            .await;
    assert_eq!(charts, [["251", "251"]]);
}

#[tokio::test]
async fn a_committed_unsettled_batch_gets_its_ids_without_duplicates() {
    for version in ["5.0.2", "8.2.0"] {
        let Some(openemr) = openemr_database(version).await else { return };
        let host = host_with_openemr(openemr.url());
        for id in ["C-1", "C-2"] {
            put(&host, &patient(id));
        }
        let _ = host.run(&["run", "--until-idle"]).expect_success();
        let id =
            |name: &str| host.run(&["patient", "show", name]).expect_success().json()["openemr_patient_id"].clone();
        let ids = (id("C-1"), id("C-2"));
        // What the store knows when a host dies after the target's commit and before its own.
        let store = tests::database::sqlite_url(&host.folder().join(".host/host.db"));
        for sql in [
            "UPDATE sync_delivery SET status = 'pending', next_attempt_at = created_at, finished_at = NULL",
            "DELETE FROM sync_link",
            "UPDATE patient_cache SET openemr_patient_id = NULL",
        ] {
            tests::database::execute(&store, sql).await.expect("forget");
        }
        let _ = host.run(&["run", "--until-idle"]).expect_success();
        assert_eq!((id("C-1"), id("C-2")), ids, "the same ids, on {version}");
        assert_eq!(rows(openemr.url(), "SELECT pubpid FROM patient_data ORDER BY pubpid").await, [["C-1"], ["C-2"]]);
    }
}

#[tokio::test]
async fn a_state_about_to_be_replaced_by_a_frozen_host_is_written_again() {
    let Some(openemr) = openemr_database("8.2.0").await else { return };
    let host = host_with_openemr(openemr.url());
    let mut seoul = patient("B-1");
    seoul["city"] = "Seoul".into();
    put(&host, &seoul);
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    // A host that has written, passed its fence, and froze before its commit; meanwhile the patient moved back.
    let mut frozen = Session::open(openemr.url()).await.expect("open");
    for sql in ["BEGIN", "UPDATE patient_data SET city = 'Busan' WHERE pubpid = 'B-1'"] {
        frozen.execute(sql).await.expect("write");
    }
    let mut busan = patient("B-1");
    busan["city"] = "Busan".into();
    put(&host, &busan);
    put(&host, &seoul);
    let mut running = host.spawn(&["run"]).expect("spawn");
    let settled = || host.status()["totals"]["done"] == 2;
    let mut looks = Session::open(openemr.url()).await.expect("open");
    let sql =
        "SELECT 1 FROM information_schema.INNODB_TRX WHERE trx_state = 'LOCK WAIT' AND trx_query LIKE '%patient_data%'";
    while looks.rows(sql).await.expect("look").is_empty() && !settled() {
        // Who looks more often than ten times a second is shown the same picture again and again.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    frozen.execute("COMMIT").await.expect("commit");
    running.wait_until("it is settled", Duration::from_secs(60), settled).expect("wait");
    assert_eq!(rows(openemr.url(), "SELECT city FROM patient_data WHERE pubpid = 'B-1'").await, [["Seoul"]]);
}
