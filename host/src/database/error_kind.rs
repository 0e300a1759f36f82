//! The meaning of an error of any of the three databases. No code above this layer reads a vendor's number.

/// The meaning of a database error; nothing above this layer reads a vendor's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The server cannot serve any client now: no connection, disk space or memory, or it shuts down. The transaction
    /// has ended.
    Unavailable,
    /// The server responds but refuses the login, or has no such database.
    Rejected,
    /// Deadlock, serialization failure, busy or lock timeout: run the whole transaction again.
    Contention,
    /// A unique key refused a row.
    DuplicateKey,
    /// A value does not fit its column, or a constraint or trigger of the database refuses the row.
    InvalidValue,
    /// A table or column is missing.
    MissingObject,
    /// A trigger or routine that a write set off needs what is missing or not permitted; perhaps for this row alone.
    Routine,
    /// The database user may not do this, the database takes no writes, or the operator has not granted the table.
    PermissionDenied,
    /// This host refused the statement or its answer.
    Refused,
    /// Anything else.
    Other,
}
