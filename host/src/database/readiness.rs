//! Whether a database accepts writes at all, checked before anything is written.

use super::{DatabaseError, Dialect, RowLimits, Transaction, Value};

impl Transaction {
    /// Why nothing can be written here, for the operator; `None` if writes are possible. Grants of single tables are
    /// not checked. On SQLite the begin of the transaction has already shown it.
    ///
    /// # Errors
    /// The database's error.
    pub async fn write_obstacle(&mut self) -> Result<Option<&'static str>, DatabaseError> {
        match self.dialect() {
            Dialect::Sqlite => Ok(None),
            Dialect::MySql => self.mysql_obstacle().await,
            Dialect::Postgres => self.postgres_obstacle().await,
        }
    }

    async fn mysql_obstacle(&mut self) -> Result<Option<&'static str>, DatabaseError> {
        // A user with one of these privileges can write anyway. A user who may read other users' grants sees those too.
        let sql = "SELECT CAST(@@global.read_only AS CHAR), CAST(@@global.innodb_read_only AS CHAR), \
                   (SELECT COUNT(*) FROM information_schema.user_privileges \
                   WHERE privilege_type IN ('SUPER', 'CONNECTION_ADMIN', 'READ_ONLY ADMIN', 'READ ONLY ADMIN') \
                   AND REPLACE(grantee, '''', '') = CURRENT_USER())";
        let rows = self.query(sql, &[], RowLimits::NONE).await?;
        let Some([read_only, innodb, privileges]) = rows.rows.first().map(Vec::as_slice) else { return Ok(None) };
        if is_on(innodb) {
            return Ok(Some("the server takes no writes: it was started with innodb_read_only"));
        }
        let is_obstacle = is_on(read_only) && privileges.as_i64() == Some(0);
        Ok(is_obstacle.then_some(
            "the server takes no writes: read_only is on, as on a replica; write the primary's address into the url",
        ))
    }

    async fn postgres_obstacle(&mut self) -> Result<Option<&'static str>, DatabaseError> {
        let sql = "SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only')";
        let rows = self.query(sql, &[], RowLimits::NONE).await?;
        Ok(match rows.rows.first().map(Vec::as_slice) {
            Some([Value::Bool(true), _]) => {
                Some("the server takes no writes: it is a standby; write the primary's address into the url")
            }
            Some([_, read_only]) if is_on(read_only) => Some(
                "the database takes no writes: default_transaction_read_only is on for the server, the database or the user",
            ),
            _ => None,
        })
    }
}

/// A setting's value, which some versions give as a number and others as a word.
fn is_on(value: &Value) -> bool {
    match value {
        Value::Text(text) => !matches!(text.to_ascii_lowercase().as_str(), "0" | "off" | ""),
        other => other.as_i64().is_some_and(|number| number != 0),
    }
}
