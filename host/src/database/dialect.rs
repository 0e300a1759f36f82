//! The few places where the three families of SQL differ.

use std::fmt::Write as _;

use super::Value;

/// A family of SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite 3.38 or newer.
    Sqlite,
    /// MySQL and MariaDB.
    MySql,
    /// PostgreSQL.
    Postgres,
}

/// The SQL type of a column that is read out of a JSON parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonType {
    /// A 64-bit integer.
    Integer,
    /// Text.
    Text,
}

impl Dialect {
    /// The name in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::MySql => "MySQL",
            Self::Postgres => "PostgreSQL",
        }
    }

    /// The database's own clock, in milliseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn now_ms(self) -> &'static str {
        match self {
            Self::Sqlite => "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
            Self::MySql => "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)",
            Self::Postgres => "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
        }
    }

    /// What makes a SELECT lock the rows that no one else has locked; nothing on SQLite, whose writer is alone.
    #[must_use]
    pub fn lock_free_rows(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::MySql | Self::Postgres => " FOR UPDATE SKIP LOCKED",
        }
    }

    /// A table expression named `j` over one parameter that is a JSON array of objects with these columns.
    #[must_use]
    pub fn json_rows(self, columns: &[(&str, JsonType)]) -> String {
        let mut sql = String::new();
        match self {
            Self::Sqlite => {
                sql.push_str("(SELECT ");
                for (index, (name, _)) in columns.iter().enumerate() {
                    let comma = if index > 0 { ", " } else { "" };
                    write!(sql, "{comma}value->>'{name}' AS {name}").expect("invariant: a String takes text");
                }
                sql.push_str(" FROM json_each(?)) AS j");
            }
            Self::MySql => {
                sql.push_str("JSON_TABLE(?, '$[*]' COLUMNS(");
                for (index, (name, kind)) in columns.iter().enumerate() {
                    let comma = if index > 0 { ", " } else { "" };
                    let kind = match kind {
                        JsonType::Integer => "BIGINT",
                        JsonType::Text => "VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
                    };
                    write!(sql, "{comma}{name} {kind} PATH '$.{name}'").expect("invariant: a String takes text");
                }
                sql.push_str(")) AS j");
            }
            Self::Postgres => {
                sql.push_str("jsonb_to_recordset(?) AS j(");
                for (index, (name, kind)) in columns.iter().enumerate() {
                    let comma = if index > 0 { ", " } else { "" };
                    let kind = match kind {
                        JsonType::Integer => "BIGINT",
                        JsonType::Text => "TEXT",
                    };
                    write!(sql, "{comma}{name} {kind}").expect("invariant: a String takes text");
                }
                sql.push(')');
            }
        }
        sql
    }

    /// An UPDATE of `table` (alias `t`) from the rows `j` of [`Dialect::json_rows`].
    #[must_use]
    pub fn update_from(self, table: &str, assignments: &str, rows: &str, condition: &str) -> String {
        match self {
            Self::Sqlite | Self::Postgres => {
                format!("UPDATE {table} AS t SET {assignments} FROM {rows} WHERE {condition}")
            }
            Self::MySql => format!("UPDATE {rows} STRAIGHT_JOIN {table} AS t ON {condition} SET {assignments}"),
        }
    }

    /// The tail of an INSERT that makes it an upsert: `updated` columns take the new row's values.
    #[must_use]
    pub fn upsert(self, key: &str, updated: &[&str]) -> String {
        let (head, value): (String, fn(&str) -> String) = match self {
            Self::Sqlite | Self::Postgres => {
                (format!(" ON CONFLICT ({key}) DO UPDATE SET "), |column| format!("{column} = excluded.{column}"))
            }
            Self::MySql => {
                (" ON DUPLICATE KEY UPDATE ".to_owned(), |column| format!("{column} = VALUES({column})"))
            }
        };
        head + &updated.iter().map(|column| value(column)).collect::<Vec<_>>().join(", ")
    }

    /// The tail of an INSERT that passes over rows whose key is there already.
    #[must_use]
    pub fn keep_existing(self, key: &str) -> String {
        match self {
            Self::Sqlite | Self::Postgres => format!(" ON CONFLICT ({key}) DO NOTHING"),
            Self::MySql => {
                let first = key.split(',').next().unwrap_or(key).trim();
                format!(" ON DUPLICATE KEY UPDATE {first} = {first}")
            }
        }
    }

    /// The statement as the driver wants it: PostgreSQL numbers its parameters and needs to know the types of those that
    /// travel as text. Question marks in quotes and comments stay as they are.
    #[must_use]
    pub fn placeholders(self, sql: &str, parameters: &[Value]) -> String {
        if self != Self::Postgres {
            return sql.to_owned();
        }
        let mut out = String::with_capacity(sql.len() + parameters.len() * 4);
        let mut values = parameters.iter();
        let mut number = 0;
        let mut quote = None;
        for character in sql.chars() {
            match (quote, character) {
                (None, '?') => match values.next() {
                    Some(Value::Null) => out.push_str("NULL"),
                    value => {
                        number += 1;
                        let cast = value.and_then(postgres_cast);
                        match cast {
                            Some(kind) => write!(out, "CAST(${number} AS {kind})"),
                            None => write!(out, "${number}"),
                        }
                        .expect("invariant: a String takes text");
                    }
                },
                (None, '\'' | '"') => {
                    quote = Some(character);
                    out.push(character);
                }
                (Some(open), _) => {
                    if open == character {
                        quote = None;
                    }
                    out.push(character);
                }
                (None, _) => out.push(character),
            }
        }
        out
    }
}

fn postgres_cast(value: &Value) -> Option<&'static str> {
    match value {
        Value::Null | Value::Text(_) | Value::Bytes(_) | Value::Bool(_) => None,
        Value::I64(_) | Value::U64(_) => Some("BIGINT"),
        Value::F64(_) => Some("DOUBLE PRECISION"),
        Value::Decimal(_) => Some("NUMERIC"),
        Value::Date(_) => Some("DATE"),
        Value::DateTime(_) => Some("TIMESTAMP"),
        Value::Time(_) => Some("TIME"),
        Value::Json(_) => Some("JSONB"),
        Value::Other(_) => Some("TEXT"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postgres_numbers_only_what_is_a_parameter() {
        let sql = "SELECT '?', \"?\" FROM t WHERE a = ? AND b = ? AND c = ?";
        let parameters = [Value::from("x"), Value::Null, Value::I64(1)];
        assert_eq!(
            Dialect::Postgres.placeholders(sql, &parameters),
            "SELECT '?', \"?\" FROM t WHERE a = $1 AND b = NULL AND c = CAST($2 AS BIGINT)"
        );
        assert_eq!(Dialect::MySql.placeholders(sql, &parameters), sql);
    }
}
