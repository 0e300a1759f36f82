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
