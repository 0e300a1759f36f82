//! The template of a statement, as the journal keeps it.

use super::{Verb, judge};
use crate::database::Dialect;
use crate::domain::grants::SqlGrants;

fn template(dialect: Dialect, sql: &str, verb: Verb) -> String {
    let permit = judge(dialect, &SqlGrants::everything(), sql, verb).expect("a statement that may run");
    permit.template.to_string()
}

#[test]
fn a_template_holds_no_literal() {
    for (sql, verb, expected) in [
        (
            "SELECT a, 'Kim' AS b FROM t WHERE c = 'Kim' AND d = 19800131 AND e = x'4b696d' AND f > DATE '1980-01-31' LIMIT 5",
            Verb::Read,
            "SELECT `a`, ? AS `b` FROM `t` WHERE `c` = ? AND `d` = ? AND `e` = ? AND `f` > DATE ? LIMIT ?",
        ),
        (
            "UPDATE t SET a = CONCAT('Kim', ?), b = 1.5 WHERE id = 7",
            Verb::Write,
            "UPDATE `t` SET `a` = concat(?, ?), `b` = ? WHERE `id` = ?",
        ),
        ("SELECT GROUP_CONCAT(a SEPARATOR 'Kim') FROM t", Verb::Read, "SELECT group_concat(`a` SEPARATOR ?) FROM `t`"),
    ] {
        let found = template(Dialect::MySql, sql, verb);
        assert_eq!(found, expected);
        for value in ["Kim", "1980", "4b69", "1.5", "7"] {
            assert!(!found.contains(value), "{value} in {found}");
        }
    }
}

#[test]
fn statements_for_any_number_of_rows_have_one_template() {
    for dialect in [Dialect::Sqlite, Dialect::MySql, Dialect::Postgres] {
        let insert = |rows: usize| format!("INSERT INTO t (a, b) VALUES {}", vec!["(?, 'x')"; rows].join(", "));
        let select = |ids: usize| format!("SELECT a FROM t WHERE b IN ({})", vec!["?"; ids].join(", "));
        let several = template(dialect, &insert(2), Verb::Write);
        assert!(several.ends_with("VALUES (?,...),..."), "{several}");
        assert_eq!(template(dialect, &insert(100), Verb::Write), several);
        assert_eq!(template(dialect, &select(2), Verb::Read), template(dialect, &select(100), Verb::Read));
        let columns = template(dialect, "SELECT a, b, a FROM t", Verb::Read);
        assert_eq!(columns.matches('a').count(), 2, "different elements stay: {columns}");
    }
}

#[test]
fn a_long_template_is_cut_off() {
    let columns: Vec<_> = (0..500).map(|number| format!("column_{number}")).collect();
    let found = template(Dialect::Sqlite, &format!("SELECT {} FROM t", columns.join(", ")), Verb::Read);
    assert!(found.len() <= 2_048 && found.ends_with('…'), "{} bytes", found.len());
}
