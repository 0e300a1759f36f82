//! A privilege of a database user, in one form for all servers.

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

/// The database user of a session and where it is, each quoted as statements take it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseUser {
    pub user: String,
    /// The target's own database, or its schema on PostgreSQL.
    pub schema: String,
    /// The roles that were given to the user and are active.
    pub roles: Vec<String>,
}
