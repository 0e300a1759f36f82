//! Which database it is, and its version.

use super::{Database, DatabaseError, Dialect, Value};

impl Database {
    /// The product's name and the version in the database's own words.
    ///
    /// # Errors
    /// The database's error.
    pub async fn version(&self) -> Result<(&'static str, String), DatabaseError> {
        let sql = match self.dialect() {
            Dialect::Sqlite => "SELECT sqlite_version()",
            Dialect::MySql => "SELECT CAST(VERSION() AS CHAR)",
            Dialect::Postgres => "SELECT current_setting('server_version')",
        };
        let rows = self.query_alone(&sql.into(), &[]).await?.rows;
        let words = rows.into_iter().flatten().next().and_then(Value::into_text).unwrap_or_default();
        let is_mariadb = self.dialect() == Dialect::MySql && words.contains("MariaDB");
        Ok((if is_mariadb { "MariaDB" } else { self.dialect().name() }, words))
    }
}
