//! The address of a database, as operators see it. Never shows a user or a password.

use std::path::PathBuf;

use url::Url;

use super::{DatabaseError, Dialect, ErrorKind};
use crate::domain::database_parameters::is_this_machine;

/// The location of a database, as in its URL.
#[derive(Clone, PartialEq, Eq)]
pub enum Locator {
    /// A file.
    Sqlite(PathBuf),
    /// `mysql://user:password@host:port/database`
    MySql(Url),
    /// `postgres://user:password@host:port/database`
    Postgres(Url),
}

impl Locator {
    /// The family of SQL.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::MySql(_) => Dialect::MySql,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// The location for messages, without user or password.
    #[must_use]
    pub fn location(&self) -> String {
        match self {
            Self::Sqlite(path) => path.display().to_string(),
            Self::MySql(url) => location(url, 3306),
            Self::Postgres(url) => location(url, 5432),
        }
    }

    /// Whether it is on this machine: a file, or a server on a loopback address.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Sqlite(_) => true,
            Self::MySql(url) | Self::Postgres(url) => is_this_machine(url),
        }
    }

    pub(super) fn scope(&self) -> String {
        match self {
            Self::Sqlite(_) => String::new(),
            Self::MySql(url) | Self::Postgres(url) => url.path().trim_matches('/').to_owned(),
        }
    }

    /// Describes where it was and what was tried, in operators' terms.
    pub(super) fn explain(&self, error: DatabaseError) -> DatabaseError {
        let message = match (self, error.kind) {
            (Self::MySql(url), ErrorKind::Unavailable) => format!(
                "Can't connect to MySQL server on '{}' (port {}, database `{}`): {}",
                url.host_str().unwrap_or("localhost"),
                url.port().unwrap_or(3306),
                self.scope(),
                error.message
            ),
            (Self::Postgres(url), ErrorKind::Unavailable) => format!(
                "Can't connect to PostgreSQL server on '{}' (port {}, database `{}`): {}",
                url.host_str().unwrap_or("localhost"),
                url.port().unwrap_or(5432),
                self.scope(),
                error.message
            ),
            (Self::Sqlite(path), _) => format!("can't open SQLite file '{}': {}", path.display(), error.message),
            (_, ErrorKind::Rejected) => {
                format!("{} refused us at '{}': {}", self.dialect().name(), self.location(), error.message)
            }
            _ => format!("{} at '{}': {}", self.dialect().name(), self.location(), error.message),
        };
        DatabaseError { message, ..error }
    }
}

fn location(url: &Url, port: u16) -> String {
    format!("{}:{}{}", url.host_str().unwrap_or("localhost"), url.port().unwrap_or(port), url.path())
}

/// Passwords stay out.
impl std::fmt::Debug for Locator {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}({})", self.dialect().name(), self.location())
    }
}
