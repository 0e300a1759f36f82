//! A target that passes its check and refuses every delivery: it is down until a delivery has worked, and the status
//! and the log say so as one outage.

use std::time::Duration;

use serde_json::Value;
use tests::database::Database;
use tests::host::{Host, HostSignal, RunningHost};
use tests::session::Session;

use crate::support::{host_with_openemr, openemr_database, patient, put};

const LIMIT: Duration = Duration::from_secs(60);

/// Every new chart is refused, as by a full disk or by a rule of the clinic.
async fn refuse(openemr: &Database, signal: &str) {
    let trigger = format!(
        "CREATE OR REPLACE TRIGGER refuse BEFORE INSERT ON patient_data FOR EACH ROW BEGIN SIGNAL {signal}; END"
    );
    openemr.execute(&trigger).await.expect("trigger");
}

const FULL: &str = "SQLSTATE 'HY000' SET MYSQL_ERRNO = 1114";
const RULE: &str = "SQLSTATE '45000'";

fn target(host: &Host) -> Value {
    host.status()["targets"]["openemr"].clone()
}

/// When the outage began, as the store has it.
async fn since(host: &Host) -> Option<String> {
    let store = tests::database::sqlite_url(&host.folder().join(".host/host.db"));
    let mut session = Session::open(&store).await.expect("session");
    session.rows("SELECT CAST(error_at AS TEXT) FROM sync_target").await.expect("read")[0][0].clone()
}

/// A host whose target has just refused a delivery as a whole.
async fn with_a_full_target(openemr: &Database) -> (Host, RunningHost) {
    let host = host_with_openemr(openemr.url());
    let _ = host.run(&["migrate"]).expect_success();
    let mut running = host.spawn(&["run"]).expect("spawn");
    running.wait_until("the target is up", LIMIT, || target(&host)["state"] == "up").expect("wait");
    refuse(openemr, FULL).await;
    put(&host, &patient("H-1"));
    running.wait_until("the target is down", LIMIT, || target(&host)["state"] == "down").expect("wait");
    (host, running)
}

#[tokio::test]
async fn a_target_that_refuses_deliveries_is_down_until_one_succeeds_even_if_its_check_passes() {
    let Some(openemr) = openemr_database("7.0.2").await else { return };
    let (host, mut running) = with_a_full_target(&openemr).await;
    let begun = since(&host).await.expect("a time");
    // Through several probes that pass: after each the deliveries are tried and refused again.
    for expected in ["half-open", "open"].repeat(4) {
        let mut seen = Value::Null;
        let shows = || {
            seen = target(&host);
            assert_eq!(seen["state"], "down", "{seen}");
            assert!(seen["error"].as_str().is_some_and(|error| error.contains("[1114]")), "{seen}");
            seen["breaker"] == expected
        };
        running.wait_until(expected, LIMIT, shows).expect("wait");
    }
    assert_eq!(since(&host).await.as_ref(), Some(&begun), "one outage, from its beginning");
    let log = running.stderr();
    assert_eq!((log.matches("target is down").count(), log.matches("target is up").count()), (1, 1), "{log}");

    openemr.execute("DROP TRIGGER refuse").await.expect("room");
    running.wait_until("it is delivered", LIMIT, || host.status()["totals"]["done"] == 1).expect("wait");
    running.wait_until("the target is up", LIMIT, || target(&host)["state"] == "up").expect("wait");
    let up = target(&host);
    assert_eq!((&up["breaker"], &up["error"]), (&"closed".into(), &Value::Null), "{up}");
    running.signal(HostSignal::Terminate).expect("signal");
    let log = running.wait(LIMIT).expect("end").stderr;
    assert_eq!((log.matches("target is down").count(), log.matches("target is up").count()), (1, 2), "{log}");
}

/// With nothing to deliver there is nothing that could prove it, and its check is all that there is.
#[tokio::test]
async fn a_target_with_nothing_left_to_deliver_is_up_when_its_check_passes() {
    let Some(openemr) = openemr_database("7.0.2").await else { return };
    let (host, mut running) = with_a_full_target(&openemr).await;
    refuse(&openemr, RULE).await;
    running.wait_until("the patient is refused", LIMIT, || host.status()["totals"]["failed"] == 1).expect("wait");
    running.wait_until("the target is up", LIMIT, || target(&host)["state"] == "up").expect("wait");
    assert_eq!(target(&host)["error"], Value::Null);
}
