//! Tables come to be, once, however many hosts start.

use host::domain::ids::UsersTable;
use host::service::{NewUser, UserService};
use host::store::MigrationError;
use tests::environment::Backend;

use crate::support::Stand;

async fn three_hosts_start_together(backend: Backend) {
    let Some(stand) = Stand::empty(backend).await else { return };
    let hosts: Vec<_> = (0..3).map(|_| stand.other_host()).collect();
    let results = futures::future::join_all(hosts.iter().map(host::store::Store::migrate)).await;
    let applied: usize = results.into_iter().map(|result| result.expect("migrate").applied).sum();
    let again = stand.store.migrate().await.expect("again");
    assert_eq!(applied, 12, "one of the three applies the files");
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
    assert!(matches!(stand.store.migrate().await, Err(MigrationError::Different { version: 11 })));
}

fn named(name: &str) -> UsersTable {
    UsersTable::free(name).expect("a name")
}

/// `order` is a word of every database's, and another program's `users` is next to it.
async fn users_are_kept_in_the_table_that_was_named(backend: Backend) {
    let Some(stand) = Stand::empty(backend).await else { return };
    stand.database.execute("CREATE TABLE users (id BIGINT)").await.expect("another program's");
    let store = stand.store.clone().with_users_table(named("order"));
    store.migrate().await.expect("migrate");
    let user = NewUser {
        user: host::domain::user::User {
            username: host::domain::ids::Username::new("kim").expect("a name"),
            display_name: "Kim".to_owned(),
            role: host::domain::user::Role::Doctor,
            email: None,
            department: None,
        },
        password: host::domain::secret::Secret::new("a long password".to_owned()),
    };
    UserService::new(store.clone()).put(&[user]).await.expect("put");
    assert_eq!(store.users().await.expect("users").len(), 1);
    stand.database.execute("DROP TABLE users").await.expect("it was left as it was");
    assert_eq!(store.users().await.expect("users").len(), 1);
}

async fn another_name_for_a_store_that_has_users_is_refused(backend: Backend) {
    let Some(stand) = Stand::empty(backend).await else { return };
    stand.store.migrate().await.expect("migrate");
    let renamed = stand.store.clone().with_users_table(named("people"));
    for error in [renamed.migrate().await.expect_err("refused"), renamed.require_current().await.expect_err("refused")]
    {
        let MigrationError::UsersTable { found, configured } = &error else { panic!("{error}") };
        assert_eq!((found.as_str(), configured.as_str()), ("users", "people"));
        assert!(error.to_string().contains("users_table = \"users\""), "{error}");
    }
    // As in docs/operations.md.
    stand.database.execute("ALTER TABLE users RENAME TO people").await.expect("rename");
    let remember = "UPDATE sync_setting SET value = 'people' WHERE name = 'users_table'";
    stand.database.execute(remember).await.expect("remember");
    assert_eq!(renamed.migrate().await.expect("migrate").applied, 0);
    assert!(renamed.users().await.expect("users").is_empty());
    assert!(matches!(stand.store.migrate().await, Err(MigrationError::UsersTable { .. })));
}

macro_rules! on_every_backend {
    ($($behaviour:ident),+) => {
        mod on_sqlite { $( #[tokio::test(flavor = "multi_thread")] async fn $behaviour() { super::$behaviour(tests::environment::Backend::Sqlite).await; } )+ }
        mod on_mariadb { $( #[tokio::test(flavor = "multi_thread")] async fn $behaviour() { super::$behaviour(tests::environment::Backend::MariaDb).await; } )+ }
        mod on_postgres { $( #[tokio::test(flavor = "multi_thread")] async fn $behaviour() { super::$behaviour(tests::environment::Backend::Postgres).await; } )+ }
    };
}

on_every_backend!(
    three_hosts_start_together,
    a_newer_store_is_refused,
    a_different_migration_is_refused,
    users_are_kept_in_the_table_that_was_named,
    another_name_for_a_store_that_has_users_is_refused
);

/// MySQL compares texts by their column's collation: every one of ours tells all characters and all blanks apart.
/// (`schema_migration` has a number as its key.)
#[tokio::test]
async fn every_text_column_on_mariadb_is_compared_byte_for_byte() {
    let Some(stand) = Stand::on(tests::environment::Backend::MariaDb).await else { return };
    let mut session = tests::session::Session::open(stand.database.url()).await.expect("session");
    let sql = "SELECT CONCAT(table_name, '.', column_name, ': ', collation_name) FROM information_schema.columns \
               WHERE table_schema = DATABASE() AND collation_name IS NOT NULL \
               AND collation_name NOT LIKE '%nopad_bin' AND collation_name <> 'ascii_bin' \
               AND table_name <> 'schema_migration'";
    let found = session.rows(sql).await.expect("columns");
    assert!(found.is_empty(), "{found:?}");
}
