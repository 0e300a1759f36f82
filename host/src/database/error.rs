//! What a database error means, with every value taken out of its text.

use std::time::Duration;

/// The meaning of a database error; nothing above this layer reads a vendor's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// No connection, or it was lost: the transaction is gone.
    Unavailable,
    /// The server is there but does not let us in, or has no such database.
    Rejected,
    /// Deadlock, serialization failure, busy or lock timeout: run the whole transaction again.
    Contention,
    /// A unique key refused a row.
    DuplicateKey,
    /// A value does not fit its column.
    InvalidValue,
    /// A table or column is missing.
    MissingObject,
    /// The database user may not do this.
    PermissionDenied,
    /// This host refused the statement or its answer.
    Refused,
    /// Anything else.
    Other,
}

/// An error of a database, safe to show: values are removed from its message.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct DatabaseError {
    /// What it means.
    pub kind: ErrorKind,
    /// Five characters, where the database gives them.
    pub sqlstate: Option<String>,
    /// The vendor's own number.
    pub vendor_code: Option<i32>,
    /// The key or column that the error is about.
    pub object: Option<String>,
    /// One line for people.
    pub message: String,
}

impl DatabaseError {
    /// An error of our own making.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, sqlstate: None, vendor_code: None, object: None, message: message.into() }
    }

    /// Whether the same work may succeed when it is run again at once.
    #[must_use]
    pub fn is_contention(&self) -> bool {
        self.kind == ErrorKind::Contention
    }

    /// Whether the connection is of no more use.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        self.kind == ErrorKind::Unavailable
    }

    pub(super) fn timeout(what: &str, limit: Duration) -> Self {
        Self::new(ErrorKind::Unavailable, format!("no answer to {what} within {} ms", limit.as_millis()))
    }

    pub(super) fn from_sqlx(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => Self::from_server(error.as_ref()),
            sqlx::Error::Io(error) => Self::new(ErrorKind::Unavailable, reason(error)),
            sqlx::Error::Tls(error) => Self::new(ErrorKind::Unavailable, format!("TLS failed: {error}")),
            sqlx::Error::PoolTimedOut => Self::new(ErrorKind::Unavailable, "no connection was free in time"),
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                Self::new(ErrorKind::Unavailable, "the connection is closed")
            }
            sqlx::Error::Protocol(text) => {
                Self::new(ErrorKind::Unavailable, format!("protocol error: {}", scrub(text)))
            }
            sqlx::Error::ColumnDecode { index, .. } => {
                Self::new(ErrorKind::Other, format!("column {index} has a type that is not understood"))
            }
            sqlx::Error::Encode(_) => Self::new(ErrorKind::InvalidValue, "a parameter could not be encoded"),
            sqlx::Error::Configuration(error) => Self::new(ErrorKind::Rejected, format!("configuration: {error}")),
            other => Self::new(ErrorKind::Other, scrub(&other.to_string())),
        }
    }

    fn from_server(error: &dyn sqlx::error::DatabaseError) -> Self {
        use sqlx::mysql::MySqlDatabaseError;
        use sqlx::postgres::PgDatabaseError;
        let sqlstate = error.code().map(std::borrow::Cow::into_owned);
        if let Some(error) = error.try_downcast_ref::<MySqlDatabaseError>() {
            let object = mysql_object(error.number(), error.message());
            return Self {
                kind: mysql_kind(error.number()),
                sqlstate,
                vendor_code: Some(i32::from(error.number())),
                message: with_object(
                    &readable(mysql_kind(error.number()), error.message()),
                    object.as_deref(),
                    i32::from(error.number()),
                ),
                object,
            };
        }
        if let Some(error) = error.try_downcast_ref::<PgDatabaseError>() {
            let object = error.constraint().or(error.column()).map(str::to_owned);
            let kind = postgres_kind(error.code());
            return Self { kind, vendor_code: None, message: readable(kind, error.message()), object, sqlstate };
        }
        let code: i32 = sqlstate.as_deref().and_then(|code| code.parse().ok()).unwrap_or_default();
        let message = error.message();
        let object = message.split_once("constraint failed: ").map(|(_, columns)| sqlite_columns(columns));
        let kind = sqlite_kind(code, message);
        Self { kind, sqlstate: None, vendor_code: Some(code), message: readable(kind, message), object }
    }
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        std::io::ErrorKind::UnexpectedEof
        | std::io::ErrorKind::ConnectionReset
        | std::io::ErrorKind::ConnectionAborted
        | std::io::ErrorKind::BrokenPipe => "the connection was lost".to_owned(),
        std::io::ErrorKind::TimedOut => "the connection timed out".to_owned(),
        _ => error.to_string(),
    }
}

fn mysql_kind(number: u16) -> ErrorKind {
    match number {
        1205 | 1213 | 1020 | 1637 | 3572 => ErrorKind::Contention,
        1022 | 1062 | 1169 | 1586 => ErrorKind::DuplicateKey,
        1048 | 1264 | 1265 | 1292 | 1364 | 1366 | 1367 | 1406 | 1411 | 1525 | 3140 | 3819 | 4025 => {
            ErrorKind::InvalidValue
        }
        1051 | 1052 | 1054 | 1146 => ErrorKind::MissingObject,
        1142 | 1143 | 1227 | 1290 | 1370 => ErrorKind::PermissionDenied,
        1044 | 1045 | 1049 | 1130 | 1698 => ErrorKind::Rejected,
        // 1047 and 1927: a Galera node that is not ready, a connection that was killed.
        1040 | 1047 | 1053 | 1152 | 1158..=1161 | 1203 | 1317 | 1927 | 2006 | 2013 | 3024 | 1969 => {
            ErrorKind::Unavailable
        }
        _ => ErrorKind::Other,
    }
}

fn postgres_kind(sqlstate: &str) -> ErrorKind {
    match sqlstate {
        "40001" | "40P01" | "55P03" => ErrorKind::Contention,
        "23505" => ErrorKind::DuplicateKey,
        "42P01" | "42703" | "3F000" => ErrorKind::MissingObject,
        "42501" => ErrorKind::PermissionDenied,
        "28000" | "28P01" | "3D000" => ErrorKind::Rejected,
        "57P01" | "57P02" | "57P03" | "53300" => ErrorKind::Unavailable,
        _ if sqlstate.starts_with("08") => ErrorKind::Unavailable,
        _ if sqlstate.starts_with("22") || sqlstate.starts_with("23") => ErrorKind::InvalidValue,
        _ => ErrorKind::Other,
    }
}

/// The low byte of an extended code is the code.
fn sqlite_kind(code: i32, message: &str) -> ErrorKind {
    match (code & 0xff, code) {
        (5 | 6, _) => ErrorKind::Contention,
        (_, 1555 | 2067 | 2579) => ErrorKind::DuplicateKey,
        (18..=20 | 25, _) => ErrorKind::InvalidValue,
        (9 | 10 | 13 | 14, _) => ErrorKind::Unavailable,
        (3 | 8 | 23, _) => ErrorKind::PermissionDenied,
        (11 | 26, _) => ErrorKind::Rejected,
        (1, _) if message.starts_with("no such") || message.contains("has no column") => ErrorKind::MissingObject,
        _ => ErrorKind::Other,
    }
}

fn mysql_object(number: u16, message: &str) -> Option<String> {
    let quoted_after = |marker: &str| {
        let rest = &message[message.rfind(marker)? + marker.len()..];
        rest.split('\'').nth(1).map(str::to_owned)
    };
    match number {
        1062 | 1586 => quoted_after("for key "),
        1048 | 1264 | 1265 | 1292 | 1366 | 1406 => quoted_after("olumn ").or_else(|| {
            let rest = &message[message.find("for column `")? + "for column ".len()..];
            rest.split('`')
                .rfind(|part| !part.is_empty() && *part != "." && !part.starts_with(" at row"))
                .map(str::to_owned)
        }),
        1364 => message.split('\'').nth(1).map(str::to_owned),
        _ => None,
    }
}

fn sqlite_columns(columns: &str) -> String {
    columns.split(", ").map(|column| column.rsplit('.').next().unwrap_or(column)).collect::<Vec<_>>().join(",")
}

/// The scrubbed message says again which key or column it was, and the number by which it can be looked up.
fn with_object(message: &str, object: Option<&str>, code: i32) -> String {
    match object {
        Some(object) => format!("{message} [{object}, {code}]"),
        None => format!("{message} [{code}]"),
    }
}

/// What is missing, forbidden or unreachable has a name that people need to read; everything else may quote a value.
fn readable(kind: ErrorKind, message: &str) -> String {
    match kind {
        ErrorKind::MissingObject | ErrorKind::PermissionDenied | ErrorKind::Rejected | ErrorKind::Unavailable => {
            message.to_owned()
        }
        _ => scrub(message),
    }
}

/// Takes everything in quotes out of a message: a database quotes values there, and values are patients' data.
fn scrub(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    let mut quote = None;
    for character in message.chars() {
        match quote {
            Some(open) if character == open => {
                quote = None;
                out.push_str("...");
                out.push(character);
            }
            Some(_) => {}
            None => {
                if matches!(character, '\'' | '"' | '`') {
                    quote = Some(character);
                }
                out.push(character);
            }
        }
    }
    if quote.is_some() {
        out.push_str("...");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scrub_leaves_no_value() {
        assert_eq!(scrub("Duplicate entry 'Kim' for key 'uuid'"), "Duplicate entry '...' for key '...'");
        assert_eq!(scrub("broken 'Kim"), "broken '...");
    }

    #[test]
    fn object_is_the_key_or_the_column() {
        assert_eq!(
            mysql_object(1062, "Duplicate entry 'a' for key 'patient_data.pid'").as_deref(),
            Some("patient_data.pid")
        );
        assert_eq!(mysql_object(1406, "Data too long for column 'fname' at row 3").as_deref(), Some("fname"));
        assert_eq!(mysql_object(1048, "Column 'lname' cannot be null").as_deref(), Some("lname"));
        assert_eq!(
            mysql_object(1292, "Incorrect date value: 'x' for column `t`.`patient_data`.`DOB` at row 1").as_deref(),
            Some("DOB")
        );
    }

    #[test]
    fn sqlite_kinds_follow_the_extended_code() {
        assert_eq!(sqlite_kind(2067, "UNIQUE constraint failed: t.pid"), ErrorKind::DuplicateKey);
        assert_eq!(sqlite_kind(275, "CHECK constraint failed: x"), ErrorKind::InvalidValue);
        assert_eq!(sqlite_kind(5, "database is locked"), ErrorKind::Contention);
        assert_eq!(sqlite_kind(1, "no such table: x"), ErrorKind::MissingObject);
    }
}
