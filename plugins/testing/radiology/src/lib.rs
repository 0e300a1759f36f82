//! A database adapter for a type of one's own: one row of `radiology_report` for each report, and one of `person` for
//! each patient.

mod patients;
mod reports;

use adapter_sdk::database::Transaction;
use adapter_sdk::schema::{self, Schema};
use adapter_sdk::{
    AggregateSupport, Applied, Change, Context, DatabaseAdapter, Descriptor, Failure, FailureKind, Observation,
    Outcome, Report, Subject,
};

struct Radiology;

impl DatabaseAdapter for Radiology {
    fn describe() -> Descriptor {
        let reports = AggregateSupport::written(reports::TYPE).observed();
        Descriptor {
            name: "radiology".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            aggregate_types: vec![
                AggregateSupport::written("patient"),
                AggregateSupport { schema: schema::id(reports::SCHEMA), ..reports },
            ],
        }
    }

    /// Selects every column without reading a row, so that `host check` can report missing ones.
    fn check(db: &Transaction) -> Result<Report, Failure> {
        Schema::parse(reports::SCHEMA)?;
        for (table, sql) in [("person", patients::COLUMNS), ("radiology_report", reports::COLUMNS)] {
            let sql = format!("SELECT {sql} FROM {table} WHERE 1 = 0");
            db.query(&sql, &[], 1).map_err(|error| error.during(&format!("look at {table}")))?;
        }
        let summary = "tables person and radiology_report".to_owned();
        Ok(Report { summary, findings: Vec::new(), state: Vec::new() })
    }

    fn apply(db: &Transaction, context: Context, changes: Vec<Change>) -> Result<Applied, Failure> {
        let schema = Schema::parse(reports::SCHEMA)?;
        let apply_one = |change: &Change| match change.aggregate_type.as_str() {
            "patient" => patients::apply(db, change),
            reports::TYPE => reports::apply(db, &schema, context.on_remote_edit, change),
            _ => Ok(failed(FailureKind::Unsupported, "only patients and radiology reports are kept here")),
        };
        let outcomes: Result<Vec<_>, _> = changes.iter().map(apply_one).collect();
        outcomes.map(Applied::from)
    }

    fn observe(db: &Transaction, _: Context, subjects: Vec<Subject>) -> Result<Vec<Observation>, Failure> {
        reports::observe(db, &subjects)
    }
}

fn failed(kind: FailureKind, message: &str) -> Outcome {
    Outcome::Failed(Failure { kind, message: message.to_owned(), retry_after_ms: None })
}

adapter_sdk::export_database_adapter!(Radiology);
