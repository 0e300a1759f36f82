//! Tables come to be, once, however many hosts start.

use host::store::MigrationError;
use tests::environment::Backend;

use crate::support::Stand;

async fn three_hosts_start_together(backend: Backend) {
    let Some(stand) = Stand::empty(backend).await else { return };
    let hosts: Vec<_> = (0..3).map(|_| stand.other_host()).collect();
    let results = futures::future::join_all(hosts.iter().map(host::store::Store::migrate)).await;
    let applied: usize = results.into_iter().map(|result| result.expect("migrate").applied).sum();
    let again = stand.store.migrate().await.expect("again");
    assert_eq!(i64::try_from(applied), Ok(again.version), "one of the three applies each migration");
    assert_eq!(again.applied, 0);
    assert_eq!(stand.store.status(1).await.expect("status").unrouted, 0);
}

async fn a_newer_store_is_refused(backend: Backend) {
    let Some(stand) = Stand::on(backend).await else { return };
    stand
        .database
        .execute("INSERT INTO schema_migration (version, name, sha256) VALUES (999, 'later', 'x')")
        .await
        .expect("insert");
    assert!(matches!(stand.store.migrate().await, Err(MigrationError::Newer { found: 999, .. })));
}

async fn a_different_migration_is_refused(backend: Backend) {
    let Some(stand) = Stand::on(backend).await else { return };
    stand.database.execute("UPDATE schema_migration SET sha256 = 'x'").await.expect("update");
    assert!(matches!(stand.store.migrate().await, Err(MigrationError::Different { version: 1 })));
}

macro_rules! on_every_backend {
    ($($behaviour:ident),+) => {
        mod on_sqlite { $( #[tokio::test(flavor = "multi_thread")] async fn $behaviour() { super::$behaviour(tests::environment::Backend::Sqlite).await; } )+ }
        mod on_mariadb { $( #[tokio::test(flavor = "multi_thread")] async fn $behaviour() { super::$behaviour(tests::environment::Backend::MariaDb).await; } )+ }
        mod on_postgres { $( #[tokio::test(flavor = "multi_thread")] async fn $behaviour() { super::$behaviour(tests::environment::Backend::Postgres).await; } )+ }
    };
}

on_every_backend!(three_hosts_start_together, a_newer_store_is_refused, a_different_migration_is_refused);
