//! Reads the database user's privileges from the server, to compare them with the grants of an adapter.

use super::{DatabaseError, DatabaseUser, Dialect, Privilege, PrivilegeOn, RowLimits, Transaction, mysql_grants};

/// More than an operator reads.
const PRIVILEGES_MAX: u32 = 2_000;

/// What comes by a role that is inherited is the user's own here, and so is what is granted for some columns.
const POSTGRES: &str = "SELECT p.privilege, p.kind, p.place, p.name FROM ( \
     SELECT a.attribute AS privilege, 'server' AS kind, '' AS place, '' AS name FROM pg_catalog.pg_roles r \
     CROSS JOIN LATERAL (VALUES ('SUPERUSER', r.rolsuper), ('CREATEROLE', r.rolcreaterole), ('CREATEDB', r.rolcreatedb), \
     ('REPLICATION', r.rolreplication), ('BYPASSRLS', r.rolbypassrls)) a(attribute, has) WHERE r.rolname = current_user AND a.has \
     UNION ALL SELECT CAST(r.rolname AS text), 'server', '', '' FROM pg_catalog.pg_roles r \
     WHERE r.rolname IN ('pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program') \
     AND pg_catalog.pg_has_role(r.oid, 'MEMBER') \
     UNION ALL SELECT 'CREATE', 'schema', CAST(n.nspname AS text), '' FROM pg_catalog.pg_namespace n \
     WHERE n.nspname NOT LIKE 'pg|_%' ESCAPE '|' AND pg_catalog.has_schema_privilege(n.oid, 'CREATE') \
     UNION ALL SELECT v.verb, CASE WHEN n.nspname = current_schema() THEN 'table' ELSE 'other' END, \
     CAST(n.nspname AS text), CAST(c.relname AS text) \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     CROSS JOIN (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE'), ('TRUNCATE'), ('TRIGGER')) v(verb) \
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT LIKE 'pg|_%' ESCAPE '|' AND n.nspname <> 'information_schema' \
     AND (pg_catalog.has_table_privilege(c.oid, v.verb) OR CASE WHEN v.verb IN ('SELECT', 'INSERT', 'UPDATE') \
     THEN pg_catalog.has_any_column_privilege(c.oid, v.verb) ELSE FALSE END)) p ORDER BY 2, 3, 4, 1 LIMIT ";

/// Roles that the user is a member of; what a role of the server's own allows is a privilege by itself.
const ROLES_POSTGRES: &str = "SELECT CAST(r.rolname AS text) FROM pg_catalog.pg_auth_members m \
     JOIN pg_catalog.pg_roles r ON r.oid = m.roleid JOIN pg_catalog.pg_roles u ON u.oid = m.member \
     WHERE u.rolname = current_user AND r.rolname NOT LIKE 'pg|_%' ESCAPE '|' ORDER BY 1";

impl Transaction {
    /// What this session's user may do here, as far as the catalogue shows; nothing on SQLite, which has no users.
    ///
    /// # Errors
    /// The database's error.
    pub async fn privileges(&mut self) -> Result<Vec<Privilege>, DatabaseError> {
        match self.dialect() {
            Dialect::Sqlite => Ok(Vec::new()),
            Dialect::MySql => self.privileges_mysql().await,
            Dialect::Postgres => self.privileges_postgres().await,
        }
    }

    /// The user of this session, for statements about its rights; nothing on SQLite, or where the server does not tell.
    ///
    /// # Errors
    /// The database's error.
    pub async fn account(&mut self) -> Result<Option<DatabaseUser>, DatabaseError> {
        let dialect = self.dialect();
        let (user, schema, roles) = match dialect {
            Dialect::Sqlite => return Ok(None),
            Dialect::MySql => (
                self.texts("SELECT CAST(CURRENT_USER() AS CHAR)").await?.pop(),
                self.texts("SELECT CAST(DATABASE() AS CHAR)").await?.pop(),
                self.texts_if_known("SELECT CAST(CURRENT_ROLE() AS CHAR)").await?,
            ),
            Dialect::Postgres => (
                self.texts("SELECT CAST(current_user AS text)").await?.pop(),
                self.texts("SELECT CAST(current_schema() AS text)").await?.pop(),
                self.texts(ROLES_POSTGRES).await?,
            ),
        };
        let (Some(user), Some(schema)) = (user, schema) else { return Ok(None) };
        let schema = dialect.quoted(&schema);
        let account = match dialect {
            Dialect::MySql => {
                DatabaseUser { user: mysql_grants::account(&user), schema, roles: mysql_grants::roles(&roles) }
            }
            Dialect::Postgres | Dialect::Sqlite => {
                let roles = roles.iter().map(|role| dialect.quoted(role)).collect();
                DatabaseUser { user: dialect.quoted(&user), schema, roles }
            }
        };
        Ok(Some(account))
    }

    async fn privileges_postgres(&mut self) -> Result<Vec<Privilege>, DatabaseError> {
        let rows = self.query(&format!("{POSTGRES}{PRIVILEGES_MAX}"), &[], RowLimits::NONE).await?;
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

    /// With the roles that are active. Others an adapter cannot activate.
    async fn privileges_mysql(&mut self) -> Result<Vec<Privilege>, DatabaseError> {
        let database = self.texts("SELECT CAST(DATABASE() AS CHAR)").await?.pop().unwrap_or_default();
        let mut lines = self.texts("SHOW GRANTS").await?;
        // Servers before roles do not know the word, and MySQL and MariaDB ask for a role's grants in different ways.
        let roles = self.texts_if_known("SELECT CAST(CURRENT_ROLE() AS CHAR)").await?.pop();
        if let Some(roles) = roles.filter(|roles| !roles.is_empty() && roles != "NONE") {
            let mut granted = self.texts_if_known(&format!("SHOW GRANTS FOR CURRENT_USER() USING {roles}")).await?;
            if granted.is_empty() {
                granted = self.texts_if_known("SHOW GRANTS FOR CURRENT_ROLE").await?;
            }
            lines.append(&mut granted);
        }
        let mut privileges = Vec::new();
        for privilege in lines.iter().flat_map(|line| mysql_grants::read(line, &database)) {
            if privileges.len() < PRIVILEGES_MAX as usize && !privileges.contains(&privilege) {
                privileges.push(privilege);
            }
        }
        Ok(privileges)
    }

    /// The first column.
    async fn texts(&mut self, sql: &str) -> Result<Vec<String>, DatabaseError> {
        let limits = RowLimits { rows_max: PRIVILEGES_MAX as usize, ..RowLimits::NONE };
        let rows = self.query(sql, &[], limits).await?;
        Ok(rows.rows.into_iter().filter_map(|row| row.into_iter().next()?.into_text()).collect())
    }

    /// As [`Self::texts`]; nothing where the server does not understand it.
    async fn texts_if_known(&mut self, sql: &str) -> Result<Vec<String>, DatabaseError> {
        match self.texts(sql).await {
            Err(error) if error.is_unavailable() || error.is_contention() => Err(error),
            result => Ok(result.unwrap_or_default()),
        }
    }
}
