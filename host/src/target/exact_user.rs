//! The statements that give the database user of a target the rights of `allow` and no more: for `host check`, which
//! prints them. Nothing here runs them.

use std::collections::BTreeMap;

use super::privileges::beyond;
use super::spec::{Access, Target};
use crate::database::{Database, DatabaseError, DatabaseUser, Dialect, Privilege, PrivilegeOn};
use crate::domain::grants::{SqlGrants, TableVerb, Tables};

impl Target {
    /// Statements for an administrator of the target's database, where its user may do more than the adapter; nothing
    /// where the rights fit, or where the catalogue does not show them.
    pub async fn exact_user(&self) -> Vec<String> {
        match &self.access {
            Access::Database { database, sql, .. } => statements_at(sql.grants(), database).await.unwrap_or_default(),
            Access::Http(_) => Vec::new(),
        }
    }
}

/// Reads in a transaction of its own: on PostgreSQL a refused query ends its transaction.
async fn statements_at(grants: &SqlGrants, database: &Database) -> Result<Vec<String>, DatabaseError> {
    let mut transaction = database.begin_read().await?;
    let privileges = transaction.privileges().await?;
    let account = transaction.account().await?;
    transaction.rollback().await?;
    Ok(match account {
        Some(account) if !beyond(grants, &privileges).is_empty() => {
            statements(database.dialect(), grants, &privileges, &account)
        }
        _ => Vec::new(),
    })
}

/// First what takes everything away, then what gives each table's verbs.
fn statements(dialect: Dialect, grants: &SqlGrants, privileges: &[Privilege], account: &DatabaseUser) -> Vec<String> {
    let user = &account.user;
    let mut lines: Vec<String> = account.roles.iter().map(|role| format!("REVOKE {role} FROM {user};")).collect();
    if dialect == Dialect::MySql {
        lines.push(format!("REVOKE ALL PRIVILEGES, GRANT OPTION FROM {user};"));
    } else {
        lines.extend(revokes_postgres(privileges, account));
    }
    let all: Vec<&str> =
        TableVerb::ALL.iter().filter(|verb| *grants.of(**verb) == Tables::All).map(|verb| word(*verb)).collect();
    if !all.is_empty() {
        let place = match dialect {
            // There a database's name is a pattern.
            Dialect::MySql => format!("{}.*", account.schema.replace('_', "\\_").replace('%', "\\%")),
            Dialect::Postgres | Dialect::Sqlite => format!("ALL TABLES IN SCHEMA {}", account.schema),
        };
        lines.push(format!("GRANT {} ON {place} TO {user};", all.join(", ")));
    }
    for (table, verbs) in by_table(grants) {
        let verbs = verbs.into_iter().map(word).collect::<Vec<_>>().join(", ");
        let table = dialect.quoted(table);
        lines.push(format!("GRANT {verbs} ON {}.{table} TO {user};", account.schema));
    }
    lines
}

/// The verbs of each table that has a name. An UPDATE or DELETE with a condition needs SELECT as well.
fn by_table(grants: &SqlGrants) -> BTreeMap<&str, Vec<TableVerb>> {
    let mut tables = BTreeMap::<&str, Vec<TableVerb>>::new();
    for verb in TableVerb::ALL {
        if let Tables::Named(names) = grants.of(*verb) {
            for name in names {
                tables.entry(name).or_default().push(*verb);
            }
        }
    }
    for verbs in tables.values_mut() {
        let needs_read = verbs.iter().any(|verb| matches!(verb, TableVerb::Update | TableVerb::Delete));
        if needs_read && !verbs.contains(&TableVerb::Read) {
            verbs.insert(0, TableVerb::Read);
        }
    }
    tables
}

/// What the user was given itself. What everybody may do is left, since others may need it, except the right to make
/// tables, which PostgreSQL gave to everybody before version 15.
fn revokes_postgres(privileges: &[Privilege], account: &DatabaseUser) -> Vec<String> {
    let user = &account.user;
    let quote = |name: &str| Dialect::Postgres.quoted(name);
    let mut lines = Vec::new();
    for Privilege { name, on } in privileges {
        lines.push(match on {
            PrivilegeOn::Server if name.starts_with("pg_") => format!("REVOKE {} FROM {user};", quote(name)),
            PrivilegeOn::Server => format!("ALTER ROLE {user} NO{name};"),
            PrivilegeOn::Schema(schema) => format!("REVOKE {name} ON SCHEMA {} FROM {user}, PUBLIC;", quote(schema)),
            PrivilegeOn::Table(_) => format!("REVOKE ALL ON ALL TABLES IN SCHEMA {} FROM {user};", account.schema),
            PrivilegeOn::OtherTable(table) => {
                let schema = table.split_once('.').map_or(table.as_str(), |(schema, _)| schema);
                format!("REVOKE ALL ON ALL TABLES IN SCHEMA {} FROM {user};", quote(schema))
            }
        });
    }
    lines.sort();
    lines.dedup();
    lines
}

fn word(verb: TableVerb) -> &'static str {
    match verb {
        TableVerb::Read => "SELECT",
        TableVerb::Insert => "INSERT",
        TableVerb::Update => "UPDATE",
        TableVerb::Delete => "DELETE",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants() -> SqlGrants {
        SqlGrants {
            read: ["version"].into_iter().collect(),
            insert: ["log", "patient"].into_iter().collect(),
            update: ["patient"].into_iter().collect(),
            ..SqlGrants::default()
        }
    }

    #[test]
    fn all_privileges_are_revoked_and_each_table_is_granted() {
        let account =
            DatabaseUser { user: "'sync'@'%'".into(), schema: "`open_emr`".into(), roles: vec!["`clerk`".into()] };
        assert_eq!(
            statements(Dialect::MySql, &grants(), &[], &account),
            [
                "REVOKE `clerk` FROM 'sync'@'%';",
                "REVOKE ALL PRIVILEGES, GRANT OPTION FROM 'sync'@'%';",
                "GRANT INSERT ON `open_emr`.`log` TO 'sync'@'%';",
                "GRANT SELECT, INSERT, UPDATE ON `open_emr`.`patient` TO 'sync'@'%';",
                "GRANT SELECT ON `open_emr`.`version` TO 'sync'@'%';",
            ]
        );
        let all = SqlGrants { read: Tables::All, ..SqlGrants::default() };
        let lines = statements(Dialect::MySql, &all, &[], &account);
        assert_eq!(lines.last().unwrap(), "GRANT SELECT ON `open\\_emr`.* TO 'sync'@'%';");
    }

    #[test]
    fn postgres_privileges_are_revoked_object_by_object() {
        let account = DatabaseUser { user: "\"sync\"".into(), schema: "\"public\"".into(), roles: Vec::new() };
        let privilege = |name: &str, on: PrivilegeOn| Privilege { name: name.into(), on };
        let privileges = [
            privilege("CREATEDB", PrivilegeOn::Server),
            privilege("pg_read_server_files", PrivilegeOn::Server),
            privilege("CREATE", PrivilegeOn::Schema("public".into())),
            privilege("SELECT", PrivilegeOn::Table("secret".into())),
            privilege("DELETE", PrivilegeOn::Table("log".into())),
            privilege("DELETE", PrivilegeOn::OtherTable("other.t".into())),
        ];
        assert_eq!(
            statements(Dialect::Postgres, &grants(), &privileges, &account)[..5],
            [
                "ALTER ROLE \"sync\" NOCREATEDB;",
                "REVOKE \"pg_read_server_files\" FROM \"sync\";",
                "REVOKE ALL ON ALL TABLES IN SCHEMA \"other\" FROM \"sync\";",
                "REVOKE ALL ON ALL TABLES IN SCHEMA \"public\" FROM \"sync\";",
                "REVOKE CREATE ON SCHEMA \"public\" FROM \"sync\", PUBLIC;",
            ]
        );
    }
}
