//! A foreign server that answers with more than a query may give: the answer is cut off on its way, before it is
//! in memory.

use std::time::Duration;

use host::database::{Database as HostDatabase, ErrorKind, Locator, RowLimits};
use tests::database::Database;
use tests::environment::Backend;

const LIMITS: RowLimits = RowLimits { rows_max: 1_000_000, bytes_max: 1 << 20 };

fn target(database: &Database) -> HostDatabase {
    let url = database.url().parse().expect("url");
    let locator = match database.backend() {
        Backend::Postgres => Locator::Postgres(url),
        _ => Locator::MySql(url),
    };
    HostDatabase::of_target(locator, 1, Duration::from_secs(20), LIMITS.bytes_max as u64).expect("database")
}

fn hostile(backend: Backend) -> Vec<String> {
    if backend == Backend::Postgres {
        vec![
            "SELECT repeat('x', 500000000)".to_owned(),
            "SELECT repeat('x', 900000), repeat('y', 900000000)".to_owned(),
            "SELECT repeat('x', 3000000) FROM generate_series(1, 100)".to_owned(),
        ]
    } else {
        vec![
            format!("SELECT {}", vec!["REPEAT('x', 16000000)"; 32].join(", ")),
            "SELECT REPEAT('x', 16000000)".to_owned(),
            "SELECT REPEAT('x', 3000000) FROM information_schema.collations".to_owned(),
        ]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_result_of_half_a_gigabyte_is_cut_off_in_transit() {
    for backend in [Backend::MariaDb, Backend::Postgres] {
        let Some(database) = Database::fresh(backend).await.expect("database") else { continue };
        let at = target(&database);
        for sql in hostile(backend) {
            let mut transaction = at.begin().await.expect("begin");
            let refused = transaction.query(&sql, &[], LIMITS).await.expect_err("too large");
            assert_eq!(refused.kind, ErrorKind::Refused, "{sql}: {refused}");
            assert_eq!(refused.object.as_deref(), Some("bytes"), "{sql}");
            // The connection went with the answer, which is not taken for a server that is down.
            let next = transaction.query("SELECT 1", &[], LIMITS).await.expect_err("it is over");
            assert_eq!(next.kind, ErrorKind::Refused, "{sql}: {next}");
            assert!(transaction.commit().await.is_err(), "{sql}");
        }
        // What is within the limit passes, also again and again on one connection.
        let mut transaction = at.begin().await.expect("begin");
        for _ in 0..20 {
            let rows = transaction.query("SELECT REPEAT('x', 1000000)", &[], LIMITS).await.expect("a megabyte");
            assert_eq!(rows.rows[0][0].byte_count(), 1_000_000);
        }
        transaction.commit().await.expect("commit");
        at.close().await;
    }
}
