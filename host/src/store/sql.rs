//! The few forms of statement that the three databases write differently, and parameters by name.
//!
//! A batch travels as one JSON parameter named `:rows`, read as a table `j`: one statement per operation, whatever the
//! size of the batch.

use std::fmt::Write as _;

use crate::database::{Dialect, Value};

/// The SQL type of a column of `j`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JsonType {
    Integer,
    /// At most 1,024 characters.
    Text,
    LongText,
}

/// `:rows` as a table expression named `j` with these columns.
pub(super) fn json_rows(dialect: Dialect, columns: &[(&str, JsonType)]) -> String {
    let (head, tail) = match dialect {
        Dialect::Sqlite => ("(SELECT ", " FROM json_each(:rows)) AS j"),
        Dialect::MySql => ("JSON_TABLE(:rows, '$[*]' COLUMNS(", ")) AS j"),
        Dialect::Postgres => ("jsonb_to_recordset(:rows) AS j(", ")"),
    };
    let mut sql = String::from(head);
    for (index, (name, kind)) in columns.iter().enumerate() {
        let comma = if index > 0 { ", " } else { "" };
        match (dialect, kind) {
            (Dialect::Sqlite, _) => write!(sql, "{comma}value->>'{name}' AS {name}"),
            (Dialect::MySql, JsonType::Integer) => write!(sql, "{comma}{name} BIGINT PATH '$.{name}'"),
            (Dialect::MySql, JsonType::Text) => {
                write!(sql, "{comma}{name} VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PATH '$.{name}'")
            }
            (Dialect::MySql, JsonType::LongText) => {
                write!(sql, "{comma}{name} LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PATH '$.{name}'")
            }
            (Dialect::Postgres, JsonType::Integer) => write!(sql, "{comma}{name} BIGINT"),
            (Dialect::Postgres, JsonType::Text | JsonType::LongText) => write!(sql, "{comma}{name} TEXT"),
        }
        .expect("invariant: a String takes text");
    }
    sql.push_str(tail);
    sql
}

/// An UPDATE of `table`, known as `t`, from `j`: each column of `assignments` takes its expression.
pub(super) fn update_from(
    dialect: Dialect,
    table: &str,
    assignments: &[(&str, &str)],
    rows: &str,
    condition: &str,
) -> String {
    // MySQL wants the column of a joined update qualified, the others forbid it.
    let prefix = if dialect == Dialect::MySql { "t." } else { "" };
    let assignments: Vec<_> =
        assignments.iter().map(|(column, expression)| format!("{prefix}{column} = {expression}")).collect();
    let assignments = assignments.join(", ");
    match dialect {
        Dialect::Sqlite | Dialect::Postgres => {
            format!("UPDATE {table} AS t SET {assignments} FROM {rows} WHERE {condition}")
        }
        Dialect::MySql => format!("UPDATE {rows} STRAIGHT_JOIN {table} AS t ON {condition} SET {assignments}"),
    }
}

/// The tail of an INSERT that lets the new row's `columns` replace those of the row with the same key.
pub(super) fn upsert(dialect: Dialect, key: &str, columns: &[&str]) -> String {
    let assignments = |value: &dyn Fn(&str) -> String| {
        columns.iter().map(|column| format!("{column} = {}", value(column))).collect::<Vec<_>>().join(", ")
    };
    match dialect {
        Dialect::Sqlite | Dialect::Postgres => {
            format!(" ON CONFLICT ({key}) DO UPDATE SET {}", assignments(&|column| format!("excluded.{column}")))
        }
        Dialect::MySql => format!(" ON DUPLICATE KEY UPDATE {}", assignments(&|column| format!("VALUES({column})"))),
    }
}

/// The tail of an INSERT that passes over rows whose key is there already.
pub(super) fn keep_existing(dialect: Dialect, table: &str, key: &str) -> String {
    match dialect {
        Dialect::Sqlite | Dialect::Postgres => format!(" ON CONFLICT ({key}) DO NOTHING"),
        Dialect::MySql => {
            let first = key.split(',').next().unwrap_or(key).trim();
            format!(" ON DUPLICATE KEY UPDATE {first} = {table}.{first}")
        }
    }
}

/// Puts a space where SQLite needs one: `INSERT ... SELECT ... FROM x ON CONFLICT` is read as a join there.
pub(super) fn select_for_upsert(dialect: Dialect) -> &'static str {
    if dialect == Dialect::Sqlite { " WHERE TRUE" } else { "" }
}

/// Replaces `:name` by `?` and gives the values in the order of their appearance.
pub(super) fn named(sql: &str, values: &[(&str, Value)]) -> (String, Vec<Value>) {
    let mut out = String::with_capacity(sql.len());
    let mut parameters = Vec::with_capacity(values.len());
    let mut rest = sql;
    let mut quoted = false;
    while let Some(at) = rest.find([':', '\'']) {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        if after.starts_with('\'') {
            quoted = !quoted;
        }
        let end = after[1..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(after.len(), |end| end + 1);
        if quoted || after.starts_with('\'') || end == 1 {
            out.push_str(&after[..1]);
            rest = &after[1..];
            continue;
        }
        let name = &after[1..end];
        let value = values.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        parameters.push(value.unwrap_or_else(|| unreachable!("invariant: the statement names only given parameters")));
        out.push('?');
        rest = &after[end..];
    }
    out.push_str(rest);
    (out, parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_positions_outside_of_quotes() {
        let (sql, values) =
            named("SELECT ':a' FROM t WHERE x = :b AND y = :a_c AND z = :b", &[("b", 1.into()), ("a_c", 2.into())]);
        assert_eq!(sql, "SELECT ':a' FROM t WHERE x = ? AND y = ? AND z = ?");
        assert_eq!(values, [Value::I64(1), Value::I64(2), Value::I64(1)]);
    }
}
