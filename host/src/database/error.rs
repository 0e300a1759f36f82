//! Translates a database error into its meaning and our own message.
//!
//! A database's free text is never stored nor shown: each driver's table (`mysql_errors.rs`, `postgres_errors.rs`,
//! `sqlite_errors.rs`) has our message for each number, and only names of columns, keys and tables are added
//! (`names.rs`).

use std::time::Duration;

use super::{ErrorKind, mysql_errors, names, postgres_errors, sqlite_errors};

/// An error of a database, safe to show: its message is ours and holds no value.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct DatabaseError {
    /// What it means.
    pub kind: ErrorKind,
    /// Five characters, if the database gives them.
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

    /// Translates an error outside of a statement.
    pub(super) fn from_sqlx(error: &sqlx::Error) -> Self {
        Self::of_statement(error, "")
    }

    /// Translates an error of this statement. Names that the statement contains may be shown.
    pub(super) fn of_statement(error: &sqlx::Error, statement: &str) -> Self {
        match error {
            sqlx::Error::Database(error) => Self::from_server(error.as_ref(), statement),
            sqlx::Error::Io(error) => Self::new(ErrorKind::Unavailable, reason(error)),
            sqlx::Error::Tls(error) => Self::new(ErrorKind::Unavailable, tls(error.as_ref())),
            sqlx::Error::PoolTimedOut => Self::new(ErrorKind::Unavailable, "no connection was free in time"),
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                Self::new(ErrorKind::Unavailable, "the connection is closed")
            }
            sqlx::Error::Protocol(text) => protocol(text),
            sqlx::Error::ColumnDecode { index, .. } => {
                // A number of the column or, from the driver, its name: neither is a value.
                Self::new(ErrorKind::Other, format!("column {index} has a value that is not understood"))
            }
            sqlx::Error::Encode(_) => Self::new(ErrorKind::InvalidValue, "a parameter could not be encoded"),
            sqlx::Error::Configuration(_) => {
                Self::new(ErrorKind::Rejected, "the URL's parameters or their files make no sense to the driver")
            }
            _ => Self::new(ErrorKind::Other, "the database's driver refused the statement"),
        }
    }

    fn from_server(error: &dyn sqlx::error::DatabaseError, statement: &str) -> Self {
        use sqlx::mysql::MySqlDatabaseError;
        use sqlx::postgres::PgDatabaseError;
        let sqlstate = error.code().map(std::borrow::Cow::into_owned);
        if let Some(error) = error.try_downcast_ref::<MySqlDatabaseError>() {
            let number = error.number();
            let (kind, words, object) = mysql_errors::read((number, sqlstate.as_deref()), error.message(), statement);
            let message = worded(words, object.as_deref(), &number.to_string());
            return Self { kind, sqlstate, vendor_code: Some(i32::from(number)), object, message };
        }
        if let Some(error) = error.try_downcast_ref::<PgDatabaseError>() {
            let said = postgres_errors::Said {
                state: error.code(),
                sentence: error.message(),
                constraint: error.constraint(),
                column: error.column(),
                file: error.file(),
                routine: error.routine(),
            };
            let (kind, words) = postgres_errors::judge(said);
            let mut read = (kind, words, postgres_errors::object(said, statement));
            if postgres_errors::may_be_of_routine(said) {
                read = of_routine(statement, read);
            }
            let (kind, words, object) = read;
            let message = worded(words, object.as_deref(), error.code());
            return Self { kind, sqlstate, vendor_code: None, object, message };
        }
        let code: i32 = sqlstate.as_deref().and_then(|code| code.parse().ok()).unwrap_or_default();
        let (kind, words) = sqlite_errors::judge(code, error.message());
        let mut read = (kind, words, sqlite_errors::object(code, error.message(), statement));
        if kind == ErrorKind::MissingObject {
            read = of_routine(statement, read);
        }
        let (kind, words, object) = read;
        let message = worded(words, object.as_deref(), &code.to_string());
        Self { kind, sqlstate: None, vendor_code: Some(code), object, message }
    }
}

/// What is missing or not permitted, and what a write does not name, is a trigger's or routine's, which it set off.
fn of_routine(
    statement: &str,
    (kind, words, object): (ErrorKind, &'static str, Option<String>),
) -> (ErrorKind, &'static str, Option<String>) {
    if object.is_none() && names::is_write(statement) {
        return (ErrorKind::Routine, names::ROUTINE_LACKS, names::written_table(statement));
    }
    (kind, words, object)
}

/// Our message, with the key or column concerned and the database's code.
fn worded(words: &str, object: Option<&str>, code: &str) -> String {
    match object {
        Some(object) => format!("{words} [{object}, {code}]"),
        None => format!("{words} [{code}]"),
    }
}

fn reason(error: &std::io::Error) -> String {
    if let Some(inner) = error.get_ref()
        && let Some(error) = inner.downcast_ref::<rustls::Error>()
    {
        return handshake(error);
    }
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        std::io::ErrorKind::UnexpectedEof
        | std::io::ErrorKind::ConnectionReset
        | std::io::ErrorKind::ConnectionAborted
        | std::io::ErrorKind::BrokenPipe => "the connection was lost".to_owned(),
        std::io::ErrorKind::TimedOut => "the connection timed out".to_owned(),
        // The system's message, about an address or a file that the operator configured.
        _ => error.to_string(),
    }
}

fn tls(error: &(dyn std::error::Error + 'static)) -> String {
    match error.downcast_ref::<rustls::Error>() {
        Some(error) => handshake(error),
        // The driver has only a text, no type, for a server without TLS. The text quotes nothing of the server's.
        None if error.to_string().contains("not support TLS") => {
            "the server offers no TLS: turn it on there, or write \
             ?ssl-mode=disabled (PostgreSQL: ?sslmode=disable) into the URL to send patients' data unencrypted"
                .to_owned()
        }
        None => format!("TLS failed: {error}"),
    }
}

fn handshake(error: &rustls::Error) -> String {
    use rustls::{CertificateError, Error};
    let version = |error: &rustls::Error| error.to_string().contains("UnsupportedCertVersion");
    match error {
        _ if version(error) => "TLS failed: the server's certificate is of X.509 version 1, which cannot be verified: \
             issue one of version 3, with the server's name in it"
            .to_owned(),
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => "TLS failed: the server's certificate is not \
             signed by an authority that is known here: name its file with ssl-ca (PostgreSQL: sslrootcert)"
            .to_owned(),
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "TLS failed: the server's certificate is for another name than the URL's host".to_owned(),
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "TLS failed: the server's certificate has expired".to_owned()
        }
        error => format!("TLS failed: {error}"),
    }
}

/// The driver's protocol errors have no type either; one may hold what a server sent, so that only known ones are
/// told apart.
fn protocol(text: &str) -> DatabaseError {
    match text.split_once("unknown authentication plugin: ") {
        Some((_, rest)) => {
            // Further data of the server's follow its name.
            let end = rest.find(|character: char| !character.is_ascii_alphanumeric() && character != '_');
            let plugin = super::names::identifier(&rest[..end.unwrap_or(rest.len())]);
            let plugin = plugin.unwrap_or_else(|| "another plugin".to_owned());
            DatabaseError::new(
                ErrorKind::Rejected,
                format!(
                    "the user is to authenticate by {plugin}, which this host does not speak: give the user \
                     mysql_native_password or caching_sha2_password (MariaDB: ALTER USER ... IDENTIFIED VIA \
                     mysql_native_password USING PASSWORD('...'))"
                ),
            )
        }
        None => DatabaseError::new(ErrorKind::Unavailable, "the connection broke: a protocol error"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_that_a_write_does_not_name_belongs_to_its_routine() {
        let missing =
            |object: Option<&str>| (ErrorKind::MissingObject, "a table is missing", object.map(str::to_owned));
        let insert = "INSERT INTO t (a) VALUES (?)";
        let (kind, _, object) = of_routine(insert, missing(None));
        assert_eq!((kind, object.as_deref()), (ErrorKind::Routine, Some("t")));
        assert_eq!(of_routine(insert, missing(Some("t"))).0, ErrorKind::MissingObject);
        assert_eq!(of_routine("SELECT a FROM t", missing(None)).0, ErrorKind::MissingObject);
    }

    #[test]
    fn an_unknown_authentication_plugin_is_named_with_the_fix() {
        let error = protocol("unknown authentication plugin: client_ed25519\0\u{fffd}x");
        assert_eq!(error.kind, ErrorKind::Rejected);
        assert!(error.message.contains("by client_ed25519") && error.message.contains("mysql_native_password"));
        assert_eq!(protocol("anything 'Kim' sent").message, "the connection broke: a protocol error");
    }

    #[test]
    fn a_message_ends_with_object_and_code() {
        assert_eq!(worded("a deadlock", None, "1213"), "a deadlock [1213]");
        assert_eq!(worded("a column takes no NULL", Some("lname"), "1048"), "a column takes no NULL [lname, 1048]");
    }
}
