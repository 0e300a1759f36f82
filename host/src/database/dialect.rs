//! The few places where the three families of SQL differ.

use std::borrow::Cow;
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

    /// A name of the host's own as a quoted identifier, also if it is a keyword of the database.
    #[must_use]
    pub fn quoted(self, name: &str) -> String {
        match self {
            Self::Sqlite | Self::Postgres => format!("\"{}\"", name.replace('"', "\"\"")),
            Self::MySql => format!("`{}`", name.replace('`', "``")),
        }
    }

    /// The database's own clock, in milliseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn now_ms(self) -> &'static str {
        match self {
            Self::Sqlite => "CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)",
            Self::MySql => "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)",
            // The time of the statement, the same throughout it: an index can be searched by it.
            Self::Postgres => "CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)",
        }
    }

    /// The statement as the driver wants it: PostgreSQL numbers its parameters and needs to know the types of those
    /// that travel as text. Question marks in quotes stay as they are.
    ///
    /// # Panics
    /// Never: a String takes any text.
    #[must_use]
    pub fn placeholders<'sql>(self, sql: &'sql str, parameters: &[Value]) -> Cow<'sql, str> {
        if self != Self::Postgres {
            return Cow::Borrowed(sql);
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
        Cow::Owned(out)
    }
}

fn postgres_cast(value: &Value) -> Option<&'static str> {
    match value {
        Value::Null | Value::Texts(_) | Value::Text(_) | Value::Bytes(_) | Value::Bool(_) => None,
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
    fn postgres_numbers_only_parameters() {
        let sql = "SELECT '?', \"?\" FROM t WHERE a = ? AND b = ? AND c = ?";
        let parameters = [Value::from("x"), Value::Null, Value::I64(1)];
        assert_eq!(
            Dialect::Postgres.placeholders(sql, &parameters),
            "SELECT '?', \"?\" FROM t WHERE a = $1 AND b = NULL AND c = CAST($2 AS BIGINT)"
        );
        assert_eq!(Dialect::MySql.placeholders(sql, &parameters), sql);
    }
}
