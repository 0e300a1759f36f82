//! A database adapter whose behaviour the test chooses: `[settings] behaviour = "..."`.
//!
//! It exists to show what the host contains, and knows nothing of any real target. Behaviours are functions in
//! `behaviours/`, found by name. A new one needs a function and a line in the table there.

mod behaviours;

use adapter_sdk::database::Transaction;
use adapter_sdk::{
    AggregateSupport, Applied, Change, Context, DatabaseAdapter, DatabaseListing, Descriptor, Failure, Observation,
    OwnPage, Report, Subject,
};

struct Probe;

impl DatabaseAdapter for Probe {
    fn describe() -> Descriptor {
        Descriptor {
            name: "probe".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            aggregate_types: vec![
                AggregateSupport::written("patient").observed(),
                AggregateSupport::written("encounter"),
            ],
        }
    }

    fn check(db: &Transaction) -> Result<Report, Failure> {
        behaviours::chosen()?.check(db)
    }

    fn apply(db: &Transaction, context: Context, changes: Vec<Change>) -> Result<Applied, Failure> {
        behaviours::chosen()?.apply(db, &context, &changes)
    }

    fn observe(db: &Transaction, context: Context, subjects: Vec<Subject>) -> Result<Vec<Observation>, Failure> {
        behaviours::chosen()?.observe(db, &context, &subjects)
    }
}

impl DatabaseListing for Probe {
    fn list_own(
        db: &Transaction,
        _: Context,
        aggregate_type: String,
        after: Option<String>,
        limit: u32,
    ) -> Result<OwnPage, Failure> {
        behaviours::chosen()?.list(db, &aggregate_type, after.as_deref(), limit)
    }
}

adapter_sdk::export_database_adapter!(Probe);
adapter_sdk::export_database_listing!(Probe);
