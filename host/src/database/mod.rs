//! The only driver layer: three databases behind one neutral value, one transaction and one kind of error.
//!
//! Both the host's own store and the transactions that are lent to adapters use it; these two must not know each other.
//! It owns connections, parameters, rows and the meaning of errors. It knows none of the host's tables, and must never
//! put a value, or a sentence of a database, into an error message. Read next: `transaction.rs`, and `error.rs` for
//! what errors mean.

mod certificate;
mod connection;
mod dialect;
mod error;
mod error_kind;
mod interrupt;
mod locator;
mod mysql;
mod mysql_errors;
mod mysql_grants;
mod mysql_values;
mod names;
mod pool;
mod postgres;
mod postgres_errors;
mod postgres_values;
mod privilege;
mod privileges;
mod readiness;
mod relay;
mod rerun;
mod rows;
mod script;
mod sqlite;
mod sqlite_errors;
mod sqlite_limits;
mod sqlite_memory;
mod sqlstate;
mod transaction;
mod value;
mod version;

pub use dialect::Dialect;
pub use error::DatabaseError;
pub use error_kind::ErrorKind;
pub use locator::Locator;
pub use pool::Database;
pub use privilege::{DatabaseUser, Privilege, PrivilegeOn};
pub use rerun::{AsDatabaseError, rerun};
pub use rows::{Execution, RowLimits, Rows};
pub use script::statements;
pub use transaction::Transaction;
pub use value::Value;

/// How long a statement on a target's database waits for a lock: short enough to be distinguished from a server that
/// does not respond.
fn lock_wait(statement_timeout: std::time::Duration) -> std::time::Duration {
    (statement_timeout / 3).clamp(std::time::Duration::from_millis(500), std::time::Duration::from_secs(5))
}
