//! What the database user may do by the server's own word, so that it can be compared with what an adapter was granted.

use super::{DatabaseError, Dialect, RowLimits, Transaction};

/// One thing that the user may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Privilege {
    /// The server's word, for example `SELECT`.
    pub name: String,
    /// What it is for.
    pub on: PrivilegeOn,
}

/// What a privilege is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PrivilegeOn {
    /// A table of the target's own database.
    Table(String),
    /// A table elsewhere, with its schema.
    OtherTable(String),
    /// All of a schema or database.
    Schema(String),
    /// The whole server.
    Server,
}

/// More than anybody reads.
const PRIVILEGES_MAX: u32 = 2_000;

const MYSQL: &str = "SELECT CAST(p.privilege_type AS CHAR), CAST(p.kind AS CHAR), CAST(p.place AS CHAR), CAST(p.name AS CHAR) FROM ( \
     SELECT privilege_type, 'server' AS kind, '' AS place, '' AS name, grantee FROM information_schema.user_privileges \
     UNION ALL SELECT privilege_type, 'schema', table_schema, '', grantee FROM information_schema.schema_privileges \
     UNION ALL SELECT privilege_type, IF(table_schema = DATABASE(), 'table', 'other'), table_schema, table_name, grantee \
     FROM information_schema.table_privileges) p \
     WHERE p.privilege_type <> 'USAGE' AND p.grantee = CONCAT('''', SUBSTRING_INDEX(CURRENT_USER(), '@', 1), '''@''', \
     SUBSTRING_INDEX(CURRENT_USER(), '@', -1), '''') ORDER BY 2, 3, 4, 1 LIMIT ";

const POSTGRES: &str = "SELECT p.privilege, p.kind, p.place, p.name FROM ( \
     SELECT 'SUPERUSER' AS privilege, 'server' AS kind, '' AS place, '' AS name FROM pg_catalog.pg_roles \
     WHERE rolname = current_user AND rolsuper \
     UNION ALL SELECT 'CREATE', 'schema', CAST(n.nspname AS text), '' FROM pg_catalog.pg_namespace n \
     WHERE n.nspname NOT LIKE 'pg|_%' ESCAPE '|' AND pg_catalog.has_schema_privilege(n.oid, 'CREATE') \
     UNION ALL SELECT v.verb, CASE WHEN n.nspname = current_schema() THEN 'table' ELSE 'other' END, \
     CAST(n.nspname AS text), CAST(c.relname AS text) \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     CROSS JOIN (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE'), ('TRUNCATE'), ('TRIGGER')) v(verb) \
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT LIKE 'pg|_%' ESCAPE '|' AND n.nspname <> 'information_schema' \
     AND pg_catalog.has_table_privilege(c.oid, v.verb)) p ORDER BY 2, 3, 4, 1 LIMIT ";

impl Transaction {
    /// What this session's user may do here, as far as the catalogue says; nothing on SQLite, which has no users.
    ///
    /// # Errors
    /// What the database says.
    pub async fn privileges(&mut self) -> Result<Vec<Privilege>, DatabaseError> {
        let sql = match self.dialect() {
            Dialect::Sqlite => return Ok(Vec::new()),
            Dialect::MySql => MYSQL,
            Dialect::Postgres => POSTGRES,
        };
        let rows = self.query(&format!("{sql}{PRIVILEGES_MAX}"), &[], RowLimits::NONE).await?;
        Ok(rows
            .rows
            .into_iter()
            .filter_map(|row| {
                let mut texts = row.into_iter().map(super::Value::into_text);
                let (name, kind, place, table) = (texts.next()??, texts.next()??, texts.next()??, texts.next()??);
                let on = match kind.as_str() {
                    "table" => PrivilegeOn::Table(table),
                    "other" => PrivilegeOn::OtherTable(format!("{place}.{table}")),
                    "schema" => PrivilegeOn::Schema(place),
                    _ => PrivilegeOn::Server,
                };
                Some(Privilege { name, on })
            })
            .collect())
    }
}
