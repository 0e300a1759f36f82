//! A store of a test's own, on each backend that can be reached, with a clock that the test moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use host::database::{Database as HostDatabase, Locator};
use host::domain::change::{Failure, FailureKind, Receipt};
use host::domain::delivery::{Delivery, Settlement, Status};
use host::domain::ids::TargetName;
use host::domain::patient::{Day, Patient};
use host::service::PatientService;
use host::store::{
    Batch, Claim, ClaimRequest, ClaimedIds, DirectRequest, RequestId, Routed, Routes, ScanCursor, Store, StoreClock,
};
use tests::database::Database;
use tests::environment::Backend;
use tests::session::Session;

/// The target of these tests.
pub(crate) const TARGET: &str = "openemr";

/// The type whose every change the routers of these tests keep.
pub(crate) const FIFO_TYPE: &str = "message";

/// Runs one behaviour on each backend, as three tests.
#[macro_export]
macro_rules! on_every_store {
    ($($behaviour:ident),+ $(,)?) => {
        mod on_sqlite { $( #[tokio::test(flavor = "multi_thread")] async fn $behaviour() {
            let backend = tests::environment::Backend::Sqlite;
            if let Some(stand) = $crate::support::Stand::on(backend).await { super::$behaviour(stand).await; }
        } )+ }
        mod on_mariadb { $( #[tokio::test(flavor = "multi_thread")] async fn $behaviour() {
            let backend = tests::environment::Backend::MariaDb;
            if let Some(stand) = $crate::support::Stand::on(backend).await { super::$behaviour(stand).await; }
        } )+ }
        mod on_postgres { $( #[tokio::test(flavor = "multi_thread")] async fn $behaviour() {
            let backend = tests::environment::Backend::Postgres;
            if let Some(stand) = $crate::support::Stand::on(backend).await { super::$behaviour(stand).await; }
        } )+ }
    };
}

/// A migrated store with its clock.
pub(crate) struct Stand {
    pub(crate) store: Store,
    pub(crate) database: Database,
    clock: Arc<AtomicI64>,
}

impl Stand {
    pub(crate) async fn on(backend: Backend) -> Option<Self> {
        let stand = Self::empty(backend).await?;
        stand.store.migrate().await.expect("migrate");
        stand.store.register_targets(&[(TARGET, true)]).await.expect("register");
        Some(stand)
    }

    /// On a database without tables.
    pub(crate) async fn empty(backend: Backend) -> Option<Self> {
        let database = Database::fresh(backend).await.expect("fresh database")?;
        let clock = Arc::new(AtomicI64::new(1_700_000_000_000));
        let store = Store::new(connect(&database), StoreClock::Manual(clock.clone()));
        Some(Self { store, database, clock })
    }

    /// Another host's view of the same store.
    pub(crate) fn other_host(&self) -> Store {
        Store::new(connect(&self.database), StoreClock::Manual(self.clock.clone()))
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.load(Ordering::SeqCst)
    }

    pub(crate) fn pass(&self, millis: i64) {
        self.clock.fetch_add(millis, Ordering::SeqCst);
    }

    pub(crate) async fn put(&self, patients: &[Patient]) {
        PatientService::new(self.store.clone()).put(patients).await.expect("put");
        route(&self.store, 1_000).await;
    }

    pub(crate) async fn claim(&self) -> Claim {
        self.store.claim(&request(100)).await.expect("claim")
    }

    pub(crate) async fn claim_batch(&self) -> Batch {
        match self.claim().await {
            Claim::Batch(batch) => batch,
            other => panic!("expected a batch, got {other:?}"),
        }
    }

    pub(crate) async fn counts(&self) -> host::store::Counts {
        self.store.status(50).await.expect("status").totals()
    }
}

pub(crate) fn connect(database: &Database) -> HostDatabase {
    let url = database.url();
    let locator = match database.backend() {
        Backend::Sqlite => Locator::Sqlite(url.trim_start_matches("sqlite://").into()),
        Backend::MariaDb => Locator::MySql(url.parse().expect("url")),
        Backend::Postgres => Locator::Postgres(url.parse().expect("url")),
        Backend::Fhir | Backend::Hapi | Backend::Medplum | Backend::FhirStarter => {
            panic!("a FHIR server is no store")
        }
    };
    HostDatabase::new(locator, 4, Duration::from_secs(30)).expect("database")
}

pub(crate) fn target_name(name: &str) -> TargetName {
    TargetName::new(name).expect("a target's name")
}

/// Waits until so many transactions on this database wait for another's lock. SQLite shows none: there they cannot even
/// begin.
pub(crate) async fn wait_until_waiting(stand: &Stand, transactions: usize) {
    let sql = match stand.database.backend() {
        Backend::MariaDb => {
            "SELECT 1 FROM information_schema.INNODB_TRX t \
             JOIN information_schema.PROCESSLIST p ON p.ID = t.trx_mysql_thread_id \
             WHERE t.trx_state = 'LOCK WAIT' AND p.DB = DATABASE()"
        }
        Backend::Postgres => {
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        }
        _ => return,
    };
    let mut session = Session::open(stand.database.url()).await.expect("session");
    for _ in 0..100 {
        if session.rows(sql).await.expect("read").len() >= transactions {
            return;
        }
        // MariaDB shows the same picture to whoever reads it more often than ten times a second.
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    panic!("fewer than {transactions} transactions wait");
}

/// Routes along the store's routes, and queues everything. Returns the number of changes.
pub(crate) async fn route(store: &Store, limit: u32) -> usize {
    dispatch(store, limit, &[]).await.changes
}

/// What routing did with requests.
pub(crate) struct Dispatched {
    pub(crate) changes: usize,
    pub(crate) some_queued: bool,
    pub(crate) routes_changed: bool,
    /// What each request got, in their order.
    pub(crate) claimed: Vec<Option<ClaimedIds>>,
}

/// Routes along the store's routes, with these requests.
pub(crate) async fn dispatch(store: &Store, limit: u32, claims: &[ClaimRequest]) -> Dispatched {
    let routes = store.routes().await.expect("routes");
    let targets = routes.list.iter().map(|route| route.target.clone()).collect();
    dispatch_along(store, &routes.in_order(targets, vec![FIFO_TYPE.to_owned()]), limit, claims).await
}

pub(crate) async fn dispatch_along(store: &Store, routes: &Routes, limit: u32, claims: &[ClaimRequest]) -> Dispatched {
    // Not in the order of the requests, so that an answer by position would be noticed.
    let requests: Vec<_> = (0..)
        .zip(claims)
        .map(|(number, claim)| DirectRequest { id: RequestId(1_000 - number), claim: claim.clone() })
        .collect();
    let mut result = store.route(routes, limit, &mut ScanCursor::of_routing(), &requests).await.expect("route");
    let claimed = requests.iter().map(|request| result.claimed.remove(&request.id)).collect();
    assert!(result.claimed.is_empty(), "an answer to a request that was not sent");
    let Routed { changes, some_queued, routes_changed, .. } = result;
    Dispatched { changes, some_queued, routes_changed, claimed }
}

pub(crate) fn request(batch_max: u32) -> ClaimRequest {
    ClaimRequest {
        target: target_name(TARGET),
        owner: "host-a".to_owned(),
        batch_max,
        lease_ms: 30_000,
        fifo_types: vec![],
    }
}

pub(crate) fn patient(number: u32, city: &str) -> Patient {
    Patient::from_payload(
        &serde_json::json!({
            "patient_id": format!("P-{number:04}"), "family_name": "Kim", "given_name": "MinJun",
            "native_family_name": "김", "birth_date": "1980-01-31", "gender": "male", "city": city,
        })
        .to_string(),
        Day::MAX,
    )
    .expect("patient")
}

pub(crate) fn settlement(delivery: &Delivery, status: Status) -> Settlement {
    Settlement {
        change_id: delivery.change.change_id,
        key: delivery.change.key.clone(),
        status,
        attempts: delivery.attempts + 1,
        pause_ms: 0,
        failure: None,
        skipped: None,
        receipt: None,
        merged_into: None,
        is_moved: false,
        sent: delivery.change.sent(delivery.survivor_id.as_deref()),
    }
}

pub(crate) fn confirmed(delivery: &Delivery, remote_id: &str) -> Settlement {
    let receipt = Receipt {
        remote_id: remote_id.to_owned(),
        remote_version: Some("1".to_owned()),
        fingerprint: Some("f".to_owned()),
    };
    Settlement { receipt: Some(receipt), ..settlement(delivery, Status::Done) }
}

pub(crate) fn failed(delivery: &Delivery, status: Status, pause_ms: u64) -> Settlement {
    let failure = Failure::new(FailureKind::Invalid, "fname: 300 characters, at most 255");
    Settlement { failure: Some(failure), pause_ms, ..settlement(delivery, status) }
}
