//! What a statement gives, and how much a query may give.

use super::Value;

/// What a statement changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Execution {
    /// Rows matched.
    pub rows_affected: u64,
    /// The auto-increment value of the first row inserted; never on PostgreSQL, which has RETURNING.
    pub last_insert_id: Option<u64>,
}

/// What a query gave.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// Names of the columns; empty when there are no rows.
    pub columns: Vec<String>,
    /// One list of values per row, in the order of `columns`.
    pub rows: Vec<Vec<Value>>,
}

/// How much one query may give before it is refused.
#[derive(Clone, Copy, Debug)]
pub struct RowLimits {
    /// Rows.
    pub rows_max: usize,
    /// Bytes of all values together.
    pub bytes_max: usize,
}

impl RowLimits {
    /// For the host's own statements, whose size the host decides.
    pub const NONE: Self = Self { rows_max: usize::MAX, bytes_max: usize::MAX };
}
