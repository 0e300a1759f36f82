//! The guard's cases: what adapters need, and everything that must never get through.

use super::super::sql_refusal::Verdict;
use super::{Verb, is_written_faithfully, judge};
use crate::database::Dialect::{self, MySql, Postgres, Sqlite};
use crate::domain::grants::SqlGrants;

const ALL: [Dialect; 3] = [Sqlite, MySql, Postgres];

fn run(dialect: Dialect, grants: &SqlGrants, sql: &str, verb: Verb) -> Verdict {
    judge(dialect, grants, sql, verb).map(drop)
}

#[track_caller]
fn passes(dialects: &[Dialect], verb: Verb, sql: &str) {
    for dialect in dialects {
        let permit = judge(*dialect, &SqlGrants::everything(), sql, verb);
        let permit = permit.unwrap_or_else(|refusal| panic!("{dialect:?}: {sql}: {refusal:?}"));
        assert!(is_written_faithfully(*dialect, sql, &permit.sql), "{dialect:?}: {sql}\n{}", permit.sql);
    }
}

#[track_caller]
fn refused(dialects: &[Dialect], sql: &str) {
    for dialect in dialects {
        for verb in [Verb::Read, Verb::Write] {
            assert!(run(*dialect, &SqlGrants::everything(), sql, verb).is_err(), "{dialect:?} {verb:?}: {sql}");
        }
    }
}

#[test]
fn statements_that_adapters_need_are_accepted() {
    passes(&ALL, Verb::Read, "SELECT id, pid FROM patient_data WHERE pubpid IN (?, ?, ?) ORDER BY id LIMIT 10");
    passes(&ALL, Verb::Read, "SELECT COALESCE(MAX(pid), 0) + 1 FROM patient_data");
    passes(&ALL, Verb::Read, "WITH w AS (SELECT ? AS a) SELECT w.a FROM w JOIN patient_data p ON p.pid = w.a");
    passes(&ALL, Verb::Read, "SELECT a FROM t UNION ALL SELECT b FROM u");
    passes(&[MySql, Postgres], Verb::Read, "SELECT pid FROM patient_data WHERE pid = ? FOR UPDATE");
    passes(&[MySql, Postgres], Verb::Read, "SELECT column_name FROM information_schema.columns WHERE table_name = ?");
    passes(&[MySql], Verb::Read, "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE()");
    passes(&[Sqlite], Verb::Read, "SELECT name FROM pragma_table_info('patient_data')");
    passes(&[Sqlite], Verb::Read, "SELECT name FROM sqlite_master WHERE type = 'table'");
    passes(&[Sqlite], Verb::Read, "SELECT value->>'a' FROM json_each(?)");
    passes(&[MySql], Verb::Read, "SELECT j.a FROM JSON_TABLE(?, '$[*]' COLUMNS(a BIGINT PATH '$.a')) AS j");
    passes(&[Postgres], Verb::Read, "SELECT j.a FROM jsonb_to_recordset(?) AS j(a BIGINT)");
    passes(&ALL, Verb::Write, "INSERT INTO patient_data (pid, fname) VALUES (?, ?), (?, ?)");
    passes(&ALL, Verb::Write, "INSERT INTO patient_data (pid) SELECT MAX(pid) + 1 FROM patient_data");
    passes(&ALL, Verb::Write, "UPDATE patient_data SET fname = ?, date = CURRENT_TIMESTAMP WHERE pid = ?");
    passes(&ALL, Verb::Write, "UPDATE t SET a = CASE WHEN b = ? THEN 1 ELSE NULL END WHERE EXISTS (SELECT 1 FROM u)");
    passes(&ALL, Verb::Write, "DELETE FROM patient_data WHERE pid = ?");
    passes(&[MySql], Verb::Write, "INSERT INTO t (a, b) VALUES (?, ?) ON DUPLICATE KEY UPDATE b = VALUES(b)");
    passes(&[MySql], Verb::Write, "INSERT IGNORE INTO uuid_registry (uuid, table_name) VALUES (UNHEX(?), ?)");
    passes(
        &[Sqlite, Postgres],
        Verb::Write,
        "INSERT INTO t (a, b) VALUES (?, ?) ON CONFLICT (a) DO UPDATE SET b = excluded.b",
    );
    passes(&[Sqlite], Verb::Write, "INSERT OR IGNORE INTO t (a) VALUES (?)");
    passes(&[Postgres], Verb::Write, "WITH v AS (SELECT ? AS a) UPDATE t SET a = v.a FROM v WHERE t.b = v.a");
}

/// In the words of the bundled adapter for OpenEMR.
#[test]
fn statements_of_the_openemr_adapter_are_accepted() {
    passes(
        &[Sqlite],
        Verb::Read,
        "SELECT indexes.name, parts.name FROM pragma_index_list('patient_data') AS indexes, \
         pragma_index_info(indexes.name) AS parts WHERE indexes.\"unique\" = 1",
    );
    passes(
        &[Sqlite],
        Verb::Read,
        "SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_info('patient_data')",
    );
    passes(
        &[MySql],
        Verb::Read,
        "SELECT INDEX_NAME, COLUMN_NAME FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() \
         AND TABLE_NAME = 'patient_data' AND NON_UNIQUE = 0 ORDER BY INDEX_NAME, SEQ_IN_INDEX",
    );
    passes(
        &[MySql],
        Verb::Write,
        "UPDATE `patient_data` AS p INNER JOIN (SELECT CAST(? AS BINARY(16)) AS row_key, CAST(? AS CHAR(255)) AS `fname`, \
         CAST(? AS SIGNED) AS n UNION ALL SELECT CAST(? AS BINARY(16)), ?, ?) AS v ON p.`uuid` = v.row_key \
         SET p.`fname` = v.`fname`, p.`date` = CURRENT_TIMESTAMP",
    );
    passes(
        &[Sqlite],
        Verb::Write,
        "UPDATE `patient_data` SET `fname` = v.column2, `date` = CURRENT_TIMESTAMP FROM (VALUES (?, ?), (?, ?)) AS v \
         WHERE `patient_data`.`uuid` = v.column1",
    );
    passes(
        &[Sqlite, MySql],
        Verb::Write,
        "INSERT INTO `patient_data` (`uuid`, `pid`, `date`) VALUES (?, ?, CURRENT_TIMESTAMP), (?, ?, CURRENT_TIMESTAMP)",
    );
    passes(
        &[Sqlite, MySql],
        Verb::Write,
        "INSERT INTO `uuid_registry` (`uuid`) SELECT `uuid` FROM `uuid_registry` WHERE 1 = 0",
    );
}

#[test]
fn transaction_session_and_schema_statements_are_refused() {
    for sql in [
        "COMMIT",
        "ROLLBACK",
        "BEGIN",
        "START TRANSACTION",
        "SAVEPOINT a",
        "RELEASE SAVEPOINT a",
        "ROLLBACK TO a",
        "END",
        "SET autocommit = 1",
        "SET @a = 1",
        "SET ROLE x",
        "RESET ALL",
        "PRAGMA foreign_keys = OFF",
        "ATTACH 'x' AS y",
        "DETACH y",
        "VACUUM",
        "VACUUM INTO 'x'",
        "ANALYZE",
        "CREATE TABLE x (a INT)",
        "DROP TABLE x",
        "TRUNCATE x",
        "TRUNCATE TABLE x",
        "ALTER TABLE x ADD y INT",
        "CREATE INDEX i ON x (a)",
        "CREATE TRIGGER t AFTER INSERT ON x BEGIN SELECT 1; END",
        "GRANT ALL ON x TO y",
        "REVOKE ALL ON x FROM y",
        "LOCK TABLES x WRITE",
        "UNLOCK TABLES",
        "CALL p()",
        "DO SLEEP(1)",
        "LOAD DATA INFILE 'x' INTO TABLE y",
        "COPY x FROM '/etc/passwd'",
        "COPY x TO PROGRAM 'sh'",
        "HANDLER x OPEN",
        "PREPARE s FROM 'COMMIT'",
        "EXECUTE s",
        "DEALLOCATE PREPARE s",
        "EXPLAIN SELECT 1",
        "EXPLAIN ANALYZE DELETE FROM x",
        "SHOW TABLES",
        "DESCRIBE x",
        "USE mysql",
        "KILL 1",
        "FLUSH TABLES",
        "REPLACE INTO t (a) VALUES (1)",
        "MERGE INTO t USING u ON a = b WHEN MATCHED THEN DELETE",
        "LISTEN x",
        "NOTIFY x",
        "DECLARE c CURSOR FOR SELECT 1",
        "XA START 'x'",
        "TABLE x",
        "",
        " ",
    ] {
        refused(&ALL, sql);
    }
    refused(&[Sqlite], "INSERT OR ROLLBACK INTO t (a) VALUES (1)");
    refused(&[Sqlite], "INSERT OR FAIL INTO t (a) VALUES (1)");
    refused(&[Sqlite], "INSERT OR REPLACE INTO t (a) VALUES (1)");
    refused(&[Sqlite], "UPDATE OR ROLLBACK t SET a = 1");
}

#[test]
fn a_statement_must_match_the_verb_of_its_call() {
    let all = SqlGrants::everything();
    for dialect in ALL {
        assert!(run(dialect, &all, "DELETE FROM t", Verb::Read).is_err());
        assert!(run(dialect, &all, "INSERT INTO t (a) VALUES (1)", Verb::Read).is_err());
        assert!(run(dialect, &all, "UPDATE t SET a = 1", Verb::Read).is_err());
        assert!(run(dialect, &all, "SELECT 1", Verb::Write).is_err());
    }
    refused(&[Postgres], "WITH d AS (DELETE FROM t RETURNING a) SELECT a FROM d");
    refused(&[Postgres], "WITH d AS (INSERT INTO t (a) VALUES (1) RETURNING a) SELECT a FROM d");
    refused(&[Postgres], "WITH d AS (UPDATE t SET a = 1 RETURNING a) INSERT INTO u (a) SELECT a FROM d");
}

#[test]
fn only_one_statement_without_comments_or_variables_is_accepted() {
    for sql in [
        "SELECT 1; COMMIT",
        "SELECT 1;",
        "SELECT 1 /* x */",
        "SELECT /*! SLEEP(5) */ 1",
        "SELECT /*+ MAX_EXECUTION_TIME(1) */ 1",
        "SELECT /*M! 1 */ 1",
        "SELECT 1 -- x",
        "SELECT 1 --",
        "SELECT '\0'",
    ] {
        refused(&ALL, sql);
    }
    for sql in [
        "SELECT 1 # x",
        "SELECT @a",
        "SELECT @a := 1",
        "SELECT @@global.secure_file_priv",
        "SELECT 1 INTO @a",
        "UPDATE t SET a = @b",
        "SELECT 'a\\'b'",
        "SELECT @`a`",
    ] {
        refused(&[MySql], sql);
    }
    refused(&[Sqlite], "SELECT @a");
    refused(&[Sqlite], "SELECT :a");
    refused(&[Sqlite], "SELECT $a");
    refused(&[Sqlite], "SELECT ?1");
    refused(&[Postgres], "SELECT $1");
    refused(&[Postgres], "SELECT $$COMMIT$$");
    refused(&[Postgres], "SELECT $tag$COMMIT$tag$");
    refused(&[Postgres], "SELECT E'a\\'; COMMIT'");
}

#[test]
fn only_functions_that_compute_are_allowed() {
    for name in [
        "GET_LOCK",
        "RELEASE_LOCK",
        "RELEASE_ALL_LOCKS",
        "IS_FREE_LOCK",
        "LOAD_FILE",
        "SLEEP",
        "BENCHMARK",
        "MASTER_POS_WAIT",
        "sys_exec",
        "pg_sleep",
        "pg_read_file",
        "pg_terminate_backend",
        "pg_advisory_lock",
        "pg_advisory_unlock_all",
        "dblink",
        "dblink_exec",
        "lo_import",
        "lo_export",
        "set_config",
        "current_setting",
        "query_to_xml",
        "database_to_xml",
        "ts_stat",
        "setval",
        "load_extension",
        "readfile",
        "writefile",
        "edit",
        "fts3_tokenizer",
        "zeroblob",
        "randomblob",
        "my_routine",
    ] {
        refused(&ALL, &format!("SELECT {name}('a')"));
        refused(&ALL, &format!("SELECT 1 FROM t WHERE a IN (SELECT {name} ('a', 1))"));
        refused(&ALL, &format!("INSERT INTO t (a) VALUES ({name}('a'))"));
        refused(&ALL, &format!("UPDATE t SET a = (SELECT {name}('a'))"));
    }
    refused(&[MySql], "SELECT `sleep`(5)");
    refused(&[Postgres], "SELECT \"pg_sleep\"(5)");
    refused(&ALL, "SELECT mysql.sleep(5)");
    refused(&[Sqlite, Postgres], "SELECT a FROM pg_ls_dir('.')");
    refused(&[Sqlite], "SELECT * FROM pragma_database_list");
    refused(&[Sqlite], "SELECT * FROM pragma_journal_mode('delete')");
    refused(&[Postgres], "SELECT * FROM generate_series(1, 1000000000)");
}

#[test]
fn results_cannot_be_written_to_files_or_variables() {
    refused(&[MySql], "SELECT a FROM t INTO OUTFILE '/tmp/x'");
    refused(&[MySql], "SELECT a INTO OUTFILE '/tmp/x' FROM t");
    refused(&[MySql], "SELECT a FROM t INTO DUMPFILE '/tmp/x'");
    refused(&[Postgres], "SELECT a INTO u FROM t");
}

#[test]
fn other_schemas_are_refused() {
    for sql in [
        "SELECT a FROM mysql.user",
        "SELECT a FROM other.t",
        "SELECT a FROM a.b.c",
        "SELECT 1 FROM t JOIN other.u ON 1 = 1",
        "SELECT (SELECT a FROM other.t)",
        "INSERT INTO other.t (a) VALUES (1)",
        "UPDATE other.t SET a = 1",
        "DELETE FROM other.t",
        "INSERT INTO t (a) SELECT a FROM other.u",
        "UPDATE t SET a = (SELECT a FROM other.u)",
        "WITH w AS (SELECT a FROM other.t) SELECT a FROM w",
        "SELECT 1 UNION SELECT a FROM other.t",
        "UPDATE information_schema.tables SET a = 1",
        "SELECT * FROM information_schema.processlist",
        "SELECT * FROM information_schema.user_privileges",
    ] {
        refused(&ALL, sql);
    }
    refused(&[Postgres], "SELECT * FROM pg_shadow");
    refused(&[Postgres], "SELECT * FROM pg_catalog.pg_authid");
    refused(&[Sqlite], "DELETE FROM sqlite_master");
    refused(&[Sqlite], "UPDATE sqlite_schema SET sql = ''");
    refused(&[Sqlite], "SELECT * FROM temp.sqlite_master");
    refused(&[Sqlite], "SELECT * FROM sqlite_dbpage");
    refused(&[MySql], "UPDATE t JOIN other.u SET u.a = 1");
    refused(&[MySql], "DELETE u FROM t JOIN other.u");
}

#[test]
fn a_recursive_query_is_refused() {
    refused(&ALL, "WITH RECURSIVE w AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM w) SELECT a FROM w");
    refused(&ALL, "WITH w AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM w) SELECT a FROM w");
    refused(&ALL, "WITH w AS (SELECT a FROM v), v AS (SELECT 1 AS a) SELECT a FROM w");
    passes(&ALL, Verb::Read, "WITH v AS (SELECT 1 AS a), w AS (SELECT a FROM v) SELECT a FROM w");
}

#[test]
fn a_reason_never_repeats_a_literal() {
    for sql in [
        "SELECT a FROM t WHERE ) 'Kim MinJun'",
        "SELECT get_lock('Kim MinJun', 1)",
        "SELEKT 'Kim MinJun'",
        "SELECT 1 WHERE 'Kim MinJun",
        "UPDATE t SET SET 'Kim MinJun'",
    ] {
        for dialect in ALL {
            let reason = run(dialect, &SqlGrants::everything(), sql, Verb::Read).unwrap_err();
            assert!(!format!("{reason:?}").contains("Kim"), "{reason:?}");
        }
    }
}
