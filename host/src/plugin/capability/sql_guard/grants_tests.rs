//! Grants for each kind of statement: allowed and refused cases, with the table and the setting in the refusal.

use super::super::sql_refusal::{Refusal, Verdict};
use super::{Verb, judge};
use crate::database::Dialect::{self, MySql, Postgres, Sqlite};
use crate::domain::grants::{SqlGrants, TableVerb};

const ALL: [Dialect; 3] = [Sqlite, MySql, Postgres];

/// Reads patients and lists, adds and changes patients, only adds to the registry, only deletes notes.
fn grants() -> SqlGrants {
    SqlGrants {
        read: ["patient_data", "list_options"].into_iter().collect(),
        insert: ["patient_data", "uuid_registry"].into_iter().collect(),
        update: ["patient_data"].into_iter().collect(),
        delete: ["note"].into_iter().collect(),
    }
}

fn run(dialect: Dialect, sql: &str) -> Verdict {
    let verb = if sql.starts_with("SELECT") || sql.contains(") SELECT w") { Verb::Read } else { Verb::Write };
    judge(dialect, &grants(), sql, verb).map(drop)
}

#[track_caller]
fn passes(dialects: &[Dialect], sql: &str) {
    for dialect in dialects {
        assert_eq!(run(*dialect, sql), Ok(()), "{dialect:?}: {sql}");
    }
}

#[track_caller]
fn lacks(dialects: &[Dialect], verb: TableVerb, table: &str, sql: &str) {
    for dialect in dialects {
        let expected = Refusal::NotGranted { table: table.to_owned(), verb };
        assert_eq!(run(*dialect, sql), Err(expected), "{dialect:?}: {sql}");
    }
}

#[test]
fn reading_a_table_anywhere_in_a_statement_needs_its_grant() {
    for sql in [
        "SELECT a FROM patient_data p JOIN list_options l ON p.a = l.a",
        "SELECT w.a FROM (SELECT a FROM patient_data) w",
        "WITH users AS (SELECT a FROM patient_data) SELECT w.a FROM users w",
    ] {
        passes(&ALL, sql);
    }
    for sql in [
        "SELECT a FROM users",
        "SELECT a FROM \"users\"",
        "SELECT (SELECT a FROM users)",
        "SELECT a FROM patient_data, users",
        "SELECT a FROM patient_data LEFT JOIN users ON 1 = 1",
        "SELECT a FROM patient_data WHERE a IN (SELECT a FROM users)",
        "SELECT a FROM patient_data WHERE EXISTS (SELECT 1 FROM users)",
        "SELECT a FROM patient_data UNION SELECT a FROM users",
        "SELECT a FROM patient_data ORDER BY (SELECT a FROM users)",
        "SELECT a FROM patient_data GROUP BY a HAVING a > (SELECT MAX(a) FROM users)",
        "SELECT CASE WHEN (SELECT a FROM users) = 1 THEN 1 END",
        "SELECT COALESCE((SELECT a FROM users), 1)",
        "SELECT a FROM (SELECT a FROM (SELECT a FROM users) v) w",
        "WITH w AS (SELECT a FROM users) SELECT w.a FROM w",
        // A name that WITH gave inside of one subquery means nothing outside of it.
        "SELECT (WITH users AS (SELECT 1 AS a) SELECT a FROM users), (SELECT a FROM users)",
    ] {
        let dialects = if sql.contains('"') { &[Sqlite, Postgres][..] } else { &ALL[..] };
        lacks(dialects, TableVerb::Read, "users", sql);
    }
    lacks(&[MySql], TableVerb::Read, "users", "SELECT a FROM `users`");
    lacks(&[Postgres], TableVerb::Read, "users", "SELECT a FROM patient_data, LATERAL (SELECT a FROM users) v");
}

/// The server's settings decide whether two names that differ only in case are one table.
#[test]
fn a_grant_matches_names_as_the_database_folds_them() {
    passes(&[Sqlite, Postgres], "SELECT a FROM Patient_Data");
    passes(&[Sqlite], "SELECT a FROM \"Patient_Data\"");
    lacks(&[MySql], TableVerb::Read, "Patient_Data", "SELECT a FROM Patient_Data");
    lacks(&[Postgres], TableVerb::Read, "Patient_Data", "SELECT a FROM \"Patient_Data\"");
    lacks(&[Postgres], TableVerb::Read, "users", "SELECT a FROM USERS");
    let mixed = SqlGrants { read: ["Patient_Data"].into_iter().collect(), ..SqlGrants::default() };
    let ask = |dialect, sql| judge(dialect, &mixed, sql, Verb::Read).is_ok();
    assert!(ask(MySql, "SELECT a FROM Patient_Data") && !ask(MySql, "SELECT a FROM patient_data"));
    assert!(ask(Postgres, "SELECT a FROM \"Patient_Data\"") && !ask(Postgres, "SELECT a FROM Patient_Data"));
    assert!(ask(Sqlite, "SELECT a FROM PATIENT_DATA"));
}

#[test]
fn locking_rows_needs_the_update_grant() {
    for lock in ["FOR UPDATE", "FOR SHARE", "FOR UPDATE NOWAIT", "FOR UPDATE SKIP LOCKED"] {
        passes(&[MySql, Postgres], &format!("SELECT a FROM patient_data {lock}"));
        let lists = format!("SELECT a FROM list_options {lock}");
        lacks(&[MySql, Postgres], TableVerb::Update, "list_options", &lists);
        let joined = format!("SELECT p.a FROM patient_data p JOIN list_options l ON p.a = l.a {lock}");
        lacks(&[MySql, Postgres], TableVerb::Update, "list_options", &joined);
        let within = format!("SELECT a FROM patient_data WHERE a IN (SELECT a FROM list_options {lock})");
        assert!(run(MySql, &within).is_err() && run(Postgres, &within).is_err(), "{within}");
    }
    lacks(&[MySql], TableVerb::Update, "list_options", "SELECT a FROM list_options LOCK IN SHARE MODE");
    lacks(&[Postgres], TableVerb::Update, "list_options", "SELECT a FROM list_options FOR KEY SHARE");
    assert!(run(Sqlite, "SELECT a FROM patient_data FOR UPDATE").is_err());
}

#[test]
fn each_verb_needs_its_own_grant() {
    for sql in [
        "INSERT INTO patient_data (a) VALUES (1)",
        "INSERT INTO uuid_registry (a) SELECT a FROM list_options",
        "UPDATE patient_data SET a = 1 WHERE b IN (SELECT b FROM patient_data)",
        "DELETE FROM note WHERE a = 1",
    ] {
        passes(&ALL, sql);
    }
    for (verb, table, sql) in [
        (TableVerb::Insert, "list_options", "INSERT INTO list_options (a) VALUES (1)"),
        (TableVerb::Insert, "note", "INSERT INTO note (a) VALUES (1)"),
        (TableVerb::Update, "uuid_registry", "UPDATE uuid_registry SET a = 1"),
        (TableVerb::Update, "note", "UPDATE note SET a = 1"),
        (TableVerb::Delete, "patient_data", "DELETE FROM patient_data"),
        (TableVerb::Delete, "uuid_registry", "DELETE FROM uuid_registry WHERE a = 1"),
        (TableVerb::Read, "users", "INSERT INTO patient_data (a) SELECT a FROM users"),
        (TableVerb::Read, "users", "INSERT INTO patient_data (a) VALUES ((SELECT a FROM users))"),
        (TableVerb::Read, "users", "UPDATE patient_data SET a = (SELECT a FROM users)"),
        (TableVerb::Read, "users", "UPDATE patient_data SET a = 1 WHERE EXISTS (SELECT 1 FROM users)"),
        (TableVerb::Read, "users", "DELETE FROM note WHERE a IN (SELECT a FROM users)"),
        // Writing to a table is not reading it.
        (TableVerb::Read, "note", "DELETE FROM note WHERE a IN (SELECT a FROM note)"),
        (TableVerb::Read, "uuid_registry", "INSERT INTO uuid_registry (a) SELECT a FROM uuid_registry"),
    ] {
        lacks(&ALL, verb, table, sql);
    }
}

#[test]
fn an_upsert_needs_the_update_grant() {
    let upserts = [
        (&[Sqlite, Postgres][..], "INSERT INTO {t} (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 2"),
        (&[MySql], "INSERT INTO {t} (a) VALUES (1) ON DUPLICATE KEY UPDATE a = 2"),
    ];
    for (dialects, sql) in upserts {
        passes(dialects, &sql.replace("{t}", "patient_data"));
        lacks(dialects, TableVerb::Update, "uuid_registry", &sql.replace("{t}", "uuid_registry"));
    }
    passes(&[Sqlite, Postgres], "INSERT INTO uuid_registry (a) VALUES (1) ON CONFLICT DO NOTHING");
    passes(&[MySql], "INSERT IGNORE INTO uuid_registry (a) VALUES (1)");
}

#[test]
fn a_with_clause_before_a_write_needs_the_read_grant() {
    passes(&[Postgres], "WITH v AS (SELECT a FROM patient_data) UPDATE patient_data SET a = v.a FROM v");
    lacks(
        &[Postgres, Sqlite],
        TableVerb::Read,
        "users",
        "WITH v AS (SELECT a FROM users) UPDATE patient_data SET a = v.a FROM v",
    );
    lacks(
        &ALL,
        TableVerb::Read,
        "note",
        "WITH v AS (SELECT a FROM note) DELETE FROM note WHERE a IN (SELECT a FROM v)",
    );
    lacks(&ALL, TableVerb::Delete, "users", "WITH v AS (SELECT 1 AS a) DELETE FROM users WHERE a IN (SELECT a FROM v)");
}

#[test]
fn a_joined_write_needs_the_grant_of_every_table_that_it_changes_or_reads() {
    for sql in [
        "UPDATE patient_data t JOIN list_options l ON t.a = l.a SET t.b = l.b",
        "UPDATE patient_data t JOIN (SELECT ? AS a UNION ALL SELECT ?) v ON t.a = v.a SET t.b = v.a",
        "DELETE n FROM note n JOIN list_options l ON n.a = l.a",
    ] {
        passes(&[MySql], sql);
    }
    for (verb, table, sql) in [
        (TableVerb::Update, "list_options", "UPDATE patient_data t JOIN list_options l ON t.a = l.a SET l.b = t.b"),
        (TableVerb::Read, "users", "UPDATE patient_data t JOIN users u ON t.a = u.a SET t.b = 1"),
        (TableVerb::Delete, "list_options", "DELETE l FROM note n JOIN list_options l ON n.a = l.a"),
        (TableVerb::Read, "users", "DELETE n FROM note n JOIN users u ON n.a = u.a"),
    ] {
        lacks(&[MySql], verb, table, sql);
    }
    for sql in [
        "UPDATE patient_data t, list_options l SET l.b = 1",
        "UPDATE patient_data t JOIN list_options l ON t.a = l.a SET b = 1",
        "DELETE FROM l USING note n JOIN list_options l ON n.a = l.a",
    ] {
        assert!(run(MySql, sql).is_err(), "{sql}");
    }
    lacks(&[Sqlite, Postgres], TableVerb::Read, "users", "UPDATE patient_data SET a = u.a FROM users AS u");
    lacks(&[Postgres], TableVerb::Read, "users", "DELETE FROM note USING users WHERE note.a = users.a");
}

#[test]
fn other_schemas_cannot_be_granted_at_all() {
    for (name, sql) in [
        ("mysql.user", "SELECT a FROM mysql.user"),
        ("other.patient_data", "SELECT a FROM other.patient_data"),
        ("other.patient_data", "INSERT INTO other.patient_data (a) VALUES (1)"),
        ("other.patient_data", "UPDATE other.patient_data SET a = 1"),
        ("other.note", "DELETE FROM other.note"),
        ("other.u", "UPDATE patient_data SET a = (SELECT a FROM other.u)"),
    ] {
        for dialect in ALL {
            let refusal = judge(
                dialect,
                &SqlGrants::everything(),
                sql,
                if sql.starts_with("SELECT") { Verb::Read } else { Verb::Write },
            )
            .expect_err(sql);
            assert!(matches!(&refusal, Refusal::OutOfReach { name: found, .. } if found == name), "{sql}: {refusal:?}");
        }
    }
}

#[test]
fn without_grants_only_the_catalogue_can_be_read() {
    let nothing = SqlGrants::default();
    let ask = |dialect, sql| judge(dialect, &nothing, sql, Verb::Read).map(drop);
    assert_eq!(ask(Sqlite, "SELECT name FROM pragma_table_info('patient_data')"), Ok(()));
    assert_eq!(ask(MySql, "SELECT table_name FROM information_schema.tables"), Ok(()));
    assert_eq!(ask(Postgres, "SELECT 1"), Ok(()));
    for dialect in ALL {
        let refusal = ask(dialect, "SELECT a FROM patient_data").unwrap_err();
        assert!(refusal.says("add it to [targets.t.database.allow] in host.toml: read = "), "{refusal:?}");
    }
}
