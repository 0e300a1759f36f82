//! The few forms of statement that the three databases write differently, and parameters by name.
//!
//! A batch travels as one JSON parameter named `:rows`, read as a table `j`: one statement per operation, whatever the
//! size of the batch. A batch of ids alone travels as `:ids`. Every statement is written so that one plan is the right one
//! whatever the planner believes of the tables: a queue is empty in one minute and long in the next.

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

/// `:rows` as a table expression named `j` with these columns. Its texts have the collation of our own columns: MySQL compares
/// no two texts of different ones.
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
                write!(sql, "{comma}{name} VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE :collation PATH '$.{name}'")
            }
            (Dialect::MySql, JsonType::LongText) => {
                write!(sql, "{comma}{name} LONGTEXT CHARACTER SET utf8mb4 COLLATE :collation PATH '$.{name}'")
            }
            (Dialect::Postgres, JsonType::Integer) => write!(sql, "{comma}{name} BIGINT"),
            (Dialect::Postgres, JsonType::Text | JsonType::LongText) => write!(sql, "{comma}{name} TEXT"),
        }
        .expect("invariant: a String takes text");
    }
    sql.push_str(tail);
    sql
}

/// The condition that `column` is among `:ids`. Each database gets the form that it always answers from the column's index.
pub(super) fn among_ids(dialect: Dialect, column: &str) -> String {
    match dialect {
        Dialect::Sqlite => format!("{column} IN (SELECT value FROM json_each(:ids))"),
        Dialect::MySql => format!("{column} IN (:ids)"),
        Dialect::Postgres => {
            format!("{column} = ANY(ARRAY(SELECT CAST(value AS BIGINT) FROM jsonb_array_elements_text(:ids)))")
        }
    }
}

/// Stands behind a table's name where MySQL shall use this index. It measures in the background, so that it may come to
/// believe that a status is rare, and would walk over all that was ever in it.
pub(super) fn through(dialect: Dialect, index: &str) -> String {
    match dialect {
        Dialect::Sqlite | Dialect::Postgres => String::new(),
        Dialect::MySql => format!(" FORCE INDEX ({index})"),
    }
}

/// `LEFT JOIN table AS alias ON condition`, where `condition` names all columns of a unique key. PostgreSQL's planner, which
/// knows nothing of a young table, would else search by the key's first column alone.
pub(super) fn left_lookup(dialect: Dialect, table: &str, alias: &str, columns: &str, condition: &str) -> String {
    match dialect {
        Dialect::Sqlite | Dialect::MySql => format!("LEFT JOIN {table} {alias} ON {condition}"),
        Dialect::Postgres => format!(
            "LEFT JOIN LATERAL (SELECT {columns} FROM {table} {alias} WHERE {condition} OFFSET 0) {alias} ON TRUE"
        ),
    }
}

/// The condition that a delivery is one of those of `:target` that `:ids` names, each found by its whole key.
pub(super) fn named_deliveries(dialect: Dialect) -> String {
    match dialect {
        Dialect::Sqlite | Dialect::MySql => format!("target = :target AND {}", among_ids(dialect, "outbox_id")),
        Dialect::Postgres => {
            let ids = "(SELECT CAST(value AS BIGINT) AS id FROM jsonb_array_elements_text(:ids)) AS j";
            let key = "t.target = :target AND t.outbox_id = j.id";
            format!("ctid = ANY(ARRAY(SELECT j.place FROM {}))", placed("sync_delivery", ids, key))
        }
    }
}

/// The condition that `t` is the patient of a row `j`. Applications change patients meanwhile, so that a row must be known by its
/// key, not by its place, which such a change makes another one. A list PostgreSQL can look up, but not sort by: so it does
/// not walk over all patients where there are none yet when it plans.
pub(super) fn patient_of(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite | Dialect::MySql => "t.patient_id = j.patient_id",
        Dialect::Postgres => "t.patient_id = ANY(ARRAY[j.patient_id])",
    }
}

/// For PostgreSQL: `rows` as far as `key` finds a row `t` of `table` for each, with its `place`.
///
/// A statement is planned once. Of a table that is empty then, one way to a row looks as good as another, so that it would
/// find all deliveries of the target and compare each with each of the batch. For one row at a time it takes the index that
/// covers `key` best, and from a place to its row there is one way only. It is for rows that nobody else may change meanwhile,
/// since a change makes the place another one.
pub(super) fn placed(table: &str, rows: &str, key: &str) -> String {
    format!(
        "(SELECT t.place, j.* FROM {rows} CROSS JOIN LATERAL (SELECT t.ctid AS place FROM {table} AS t WHERE {key} OFFSET 0) AS t) AS j"
    )
}

/// The row `t` that [`placed`] found.
pub(super) const AT_PLACE: &str = "t.ctid = j.place";

/// As [`update_from`], of rows that are each found by `key` and changed as far as `guard` holds when they are.
pub(super) fn update_each(
    dialect: Dialect,
    (table, index): (&str, &str),
    assignments: &[(&str, &str)],
    rows: &str,
    key: &str,
    guard: &str,
) -> String {
    let (rows, key) = match dialect {
        Dialect::Sqlite | Dialect::MySql => (rows.to_owned(), key),
        Dialect::Postgres => (placed(table, rows, key), AT_PLACE),
    };
    update_from(dialect, (table, index), assignments, &rows, &format!("{key} AND {guard}"))
}

/// An UPDATE of `table`, known as `t` and found through `index`, from `j`: each column of `assignments` takes its expression.
pub(super) fn update_from(
    dialect: Dialect,
    (table, index): (&str, &str),
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
        Dialect::MySql => format!(
            "UPDATE {rows} STRAIGHT_JOIN {table} AS t{} ON {condition} SET {assignments}",
            through(dialect, index)
        ),
    }
}

/// The condition that a key is among the batch's. PostgreSQL, told not to hash, would walk over the whole table for `IN`; a list
/// it looks up one by one in the key's index.
pub(super) fn among(dialect: Dialect, column: &str, field: &str, rows: &str) -> String {
    match dialect {
        Dialect::Sqlite | Dialect::MySql => format!("{column} IN (SELECT j.{field} FROM {rows})"),
        Dialect::Postgres => format!("{column} = ANY (ARRAY(SELECT j.{field} FROM {rows}))"),
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

/// Puts a space where SQLite needs one: `INSERT ... SELECT ... FROM x ON CONFLICT` is read as a join there.
pub(super) fn select_for_upsert(dialect: Dialect) -> &'static str {
    if dialect == Dialect::Sqlite { " WHERE TRUE" } else { "" }
}

/// Ids as `:ids` takes them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ids<'a> {
    pub(super) dialect: Dialect,
    pub(super) ids: &'a [i64],
}

impl Ids<'_> {
    /// MySQL gets one parameter for each, the last one again and again up to a power of two, so that few texts are prepared;
    /// the others get one JSON list.
    fn push(self, sql: &mut String, parameters: &mut Vec<Value>) {
        if self.dialect != Dialect::MySql {
            sql.push('?');
            let text: Vec<_> = self.ids.iter().map(i64::to_string).collect();
            parameters.push(Value::Json(format!("[{}]", text.join(","))));
            return;
        }
        let last = self.ids.last().copied().unwrap_or(-1);
        let padded = self.ids.len().max(1).next_power_of_two();
        sql.push('?');
        sql.extend(std::iter::repeat_n(", ?", padded - 1));
        parameters.extend(self.ids.iter().copied().chain(std::iter::repeat(last)).take(padded).map(Value::I64));
    }
}

/// Replaces `:name` by `?` and gives the values in the order of their appearance. `:collation` becomes a name of the SQL.
pub(super) fn named(
    sql: &str,
    values: &[(&str, Value)],
    ids: Option<Ids<'_>>,
    collation: &str,
) -> (String, Vec<Value>) {
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
        rest = &after[end..];
        if let Some(ids) = ids.filter(|_| name == "ids") {
            ids.push(&mut out, &mut parameters);
            continue;
        }
        if name == "collation" {
            out.push_str(collation);
            continue;
        }
        let value = values.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        parameters.push(value.unwrap_or_else(|| unreachable!("invariant: the statement names only given parameters")));
        out.push('?');
    }
    out.push_str(rest);
    (out, parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_positions_outside_of_quotes() {
        let (sql, values) = named(
            "SELECT ':a' COLLATE :collation FROM t WHERE x = :b AND y = :a_c AND z = :b",
            &[("b", 1.into()), ("a_c", 2.into())],
            None,
            "utf8mb4_nopad_bin",
        );
        assert_eq!(sql, "SELECT ':a' COLLATE utf8mb4_nopad_bin FROM t WHERE x = ? AND y = ? AND z = ?");
        assert_eq!(values, [Value::I64(1), Value::I64(2), Value::I64(1)]);
    }

    #[test]
    fn ids_are_padded_where_each_is_a_parameter_and_one_list_elsewhere() {
        let run = |dialect| {
            let sql = format!("a = :a AND {}", among_ids(dialect, "id"));
            named(&sql, &[("a", 1.into())], Some(Ids { dialect, ids: &[7, 8, 9] }), "")
        };
        let (sql, values) = run(Dialect::MySql);
        assert_eq!(sql, "a = ? AND id IN (?, ?, ?, ?)");
        assert_eq!(values, [1, 7, 8, 9, 9].map(Value::I64));
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            assert_eq!(run(dialect).1, [Value::I64(1), Value::Json("[7,8,9]".to_owned())]);
        }
    }
}
