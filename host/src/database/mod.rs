//! The one driver layer: three databases behind one neutral value, one transaction and one kind of error.
//!
//! It lies under both the host's own store and the transactions that are lent to adapters, which must not know each
//! other. It owns connections, parameters, rows and what an error means. It knows no table of ours and must never put a
//! value into an error message. Read next: `transaction.rs`.

mod connection;
mod dialect;
mod error;
mod interrupt;
mod mysql;
mod pool;
mod postgres;
mod rerun;
mod sqlite;
mod transaction;
mod value;

pub use dialect::Dialect;
pub use error::{DatabaseError, ErrorKind};
pub use pool::{Database, Locator};
pub use rerun::{AsDatabaseError, rerun};
pub use transaction::{Execution, RowLimits, Rows, Transaction};
pub use value::Value;
