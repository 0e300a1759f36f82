//! A database adapter whose behaviour the test chooses: `[settings] behaviour = "..."`.
//!
//! It exists to show what the host contains, and knows nothing of any real target. Behaviours are functions in
//! `behaviours/`, found by name; a new one is a function and a line in the table there.

mod behaviours;

use adapter_sdk::database::Transaction;
use adapter_sdk::{Change, Context, DatabaseAdapter, Descriptor, Failure, Outcome, Report};

struct Probe;

impl DatabaseAdapter for Probe {
    fn describe() -> Descriptor {
        Descriptor {
            name: "probe".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            aggregate_types: vec!["patient".to_owned()],
        }
    }

    fn check(db: &Transaction) -> Result<Report, Failure> {
        behaviours::chosen()?.check(db)
    }

    fn apply(db: &Transaction, context: Context, changes: Vec<Change>) -> Result<Vec<Outcome>, Failure> {
        behaviours::chosen()?.apply(db, &context, &changes)
    }
}

adapter_sdk::export_database_adapter!(Probe);
