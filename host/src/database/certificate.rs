//! Until when the certificate of a MySQL or MariaDB server is valid, which the server itself tells.

use super::{Database, DatabaseError, Dialect, ErrorKind};
use crate::domain::certificates::printed_end;

/// The end of the certificate of this session; empty without TLS, and some servers do not have it.
const END: &str = "SHOW STATUS LIKE 'Ssl_server_not_after'";

impl Database {
    /// When the certificate ends that the server showed to one of its connections, milliseconds since 1970-01-01 UTC;
    /// `None` without TLS, and for servers that do not tell. PostgreSQL does not.
    ///
    /// # Errors
    /// The database's error, and `Other` when the end is not understood.
    pub async fn certificate_ends_at(&self) -> Result<Option<i64>, DatabaseError> {
        if self.dialect() != Dialect::MySql {
            return Ok(None);
        }
        let rows = self.query_alone(&END.into(), &[]).await?.rows;
        // The columns are the name and the value.
        let printed = rows.into_iter().next().and_then(|row| row.into_iter().nth(1)?.into_text());
        let Some(printed) = printed.filter(|printed| !printed.is_empty()) else { return Ok(None) };
        let unreadable =
            || DatabaseError::new(ErrorKind::Other, "the end of the server's certificate is not understood");
        printed_end(&printed).map(Some).ok_or_else(unreadable)
    }
}
