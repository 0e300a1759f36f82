//! A store that takes no settlement for a while: workers try again until it does, and the log reports it once.

use std::time::Duration;

use tests::database::Database;
use tests::environment::Backend;
use tests::host::{Configuration, Host, HostSignal};
use tests::session::Session;

use crate::slow_server::{Answer, SlowServer};
use crate::support::{QUICK, directory, patient, put};

const LIMIT: Duration = Duration::from_secs(60);

/// As the server answers whose disk is full. Every attempt leaves a row, which no roll back reaches.
const FULL: &str = "CREATE TRIGGER full BEFORE DELETE ON sync_lease FOR EACH ROW BEGIN \
                    INSERT INTO attempts VALUES (1); SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1114; END";

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_accepts_no_settlement_is_reported_once_and_its_recovery_once() {
    let Some(store) = Database::fresh(Backend::MariaDb).await.expect("fresh database") else { return };
    let server = SlowServer::start(Duration::ZERO, Answer::AtOnce);
    let configuration = Configuration::new(store.url()).more(&directory("x", &server.url())).more(QUICK);
    let host = Host::new(&configuration).expect("host");
    let _ = host.run(&["migrate"]).expect_success();
    store.execute("CREATE TABLE attempts (one INT) ENGINE = MyISAM").await.expect("table");
    store.execute(FULL).await.expect("trigger");
    let mut running = host.spawn(&["run"]).expect("spawn");
    let mut session = Session::open(store.url()).await.expect("session");
    let mut attempts = 0;
    // Two workers meet it, one after the other.
    for (number, at_least) in [(1, 3), (2, 9)] {
        put(&host, &patient(&format!("S-{number}")));
        running.wait_until("it is delivered", LIMIT, || server.patients().len() == number).expect("wait");
        while attempts < at_least {
            let count = session.rows("SELECT CAST(COUNT(*) AS CHAR) FROM attempts").await.expect("count");
            attempts = count[0][0].as_deref().and_then(|count| count.parse().ok()).expect("a number");
            assert!(running.is_running().expect("a process"), "{}", running.stderr());
        }
    }
    let trouble = "cannot settle; trying again";
    assert_eq!(running.stderr().matches(trouble).count(), 1, "{}", running.stderr());
    assert_eq!(host.status()["totals"]["done"], 0);

    store.execute("DROP TRIGGER full").await.expect("room");
    running.wait_until("both are settled", LIMIT, || host.status()["totals"]["done"] == 2).expect("wait");
    running.signal(HostSignal::Terminate).expect("signal");
    let ended = running.wait(LIMIT).expect("end");
    for line in [trouble, "batches are settled again"] {
        assert_eq!(ended.stderr.matches(line).count(), 1, "{line}: {}", ended.stderr);
    }
    assert_eq!(server.writes().len(), 2, "nothing was delivered twice");
}
