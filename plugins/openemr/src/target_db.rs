//! The transaction that the host lends, behind a trait.
//!
//! The trait lets the whole adapter run natively in tests, with a real database and without a host. It must only have
//! the operations of the lent transaction. Read next: `apply.rs`.

use adapter_sdk::database::{DatabaseError, Dialect, Execution, Rows, Transaction, Value};

/// The four operations of a lent transaction.
pub(crate) trait TargetDb {
    fn dialect(&self) -> Dialect;
    fn query(&self, sql: &str, parameters: &[Value], rows_max: u32) -> Result<Rows, DatabaseError>;
    fn execute(&self, sql: &str, parameters: &[Value]) -> Result<Execution, DatabaseError>;
    fn lock(&self, name: &str, timeout_ms: u32) -> Result<(), DatabaseError>;
}

impl TargetDb for Transaction {
    fn dialect(&self) -> Dialect {
        self.dialect()
    }

    fn query(&self, sql: &str, parameters: &[Value], rows_max: u32) -> Result<Rows, DatabaseError> {
        self.query(sql, parameters, rows_max)
    }

    fn execute(&self, sql: &str, parameters: &[Value]) -> Result<Execution, DatabaseError> {
        self.execute(sql, parameters)
    }

    fn lock(&self, name: &str, timeout_ms: u32) -> Result<(), DatabaseError> {
        self.lock(name, timeout_ms)
    }
}
