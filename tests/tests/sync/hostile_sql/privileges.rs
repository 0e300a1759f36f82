//! What the database user may do by the catalogue, on the real servers: `host check` warns of what goes beyond
//! the grants.

use host::database::PrivilegeOn;
use tests::database::execute;
use tests::environment::Backend;

use super::bench::{Bench, servers};

/// What `host check` compares with the grants.
#[tokio::test]
async fn privileges_of_the_database_user_are_read_from_the_catalogue() {
    for database in servers().await {
        let bench = Bench::new(&database).await;
        let mut transaction = bench.target.begin_read().await.expect("begin");
        let mut found: Vec<String> = Vec::new();
        for privilege in transaction.privileges().await.expect("privileges") {
            let PrivilegeOn::Table(table) = privilege.on else { panic!("{privilege:?}") };
            found.push(format!("{} {table}", privilege.name));
        }
        found.sort();
        let expected =
            ["DELETE log", "INSERT log", "SELECT granted", "SELECT log", "SELECT readonly", "UPDATE granted"];
        assert_eq!(found, expected, "{:?}", database.backend());
        transaction.rollback().await.expect("rollback");
        bench.target.close().await;
    }
}

/// What comes by a role, to PUBLIC, or for some columns of a table.
#[tokio::test]
async fn privileges_by_role_and_by_column_are_read() {
    for database in servers().await {
        let bench = Bench::new(&database).await;
        let user = bench.user();
        let name = database.url().rsplit('/').next().expect("a name");
        let role = format!("role_of_{user}");
        let (statements, expected): (Vec<String>, _) = if database.backend() == Backend::Postgres {
            (
                vec![
                    format!("CREATE ROLE {role}"),
                    format!("GRANT DELETE ON secret TO {role}"),
                    format!("GRANT {role} TO {user}"),
                    format!("GRANT UPDATE (b) ON readonly TO {user}"),
                    "GRANT SELECT (a) ON secret TO PUBLIC".to_owned(),
                ],
                ["DELETE secret", "SELECT secret", "UPDATE readonly"],
            )
        } else {
            (
                vec![
                    format!("CREATE ROLE {role}"),
                    format!("GRANT DELETE ON {name}.secret TO {role}"),
                    format!("GRANT {role} TO {user}@'%'"),
                    format!("SET DEFAULT ROLE {role} FOR {user}@'%'"),
                    format!("GRANT UPDATE (b) ON {name}.readonly TO {user}@'%'"),
                    format!("GRANT SELECT (a) ON {name}.secret TO {role}"),
                ],
                ["DELETE secret", "SELECT secret", "UPDATE readonly"],
            )
        };
        for statement in statements {
            execute(database.url(), &statement).await.unwrap_or_else(|error| panic!("{statement}: {error:#}"));
        }
        let mut transaction = bench.target.begin_read().await.expect("begin");
        let found: Vec<String> = transaction
            .privileges()
            .await
            .expect("privileges")
            .into_iter()
            .filter_map(|privilege| match privilege.on {
                PrivilegeOn::Table(table) => Some(format!("{} {table}", privilege.name)),
                _ => None,
            })
            .collect();
        for privilege in expected {
            assert!(found.iter().any(|found| found == privilege), "{:?}: {privilege} in {found:?}", database.backend());
        }
        transaction.rollback().await.expect("rollback");
        bench.target.close().await;
    }
}
