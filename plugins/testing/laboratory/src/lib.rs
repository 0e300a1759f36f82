//! A database adapter for a type of one's own: keeps one row of `lab_result` for each laboratory result.

use adapter_sdk::database::{Transaction, Value};
use adapter_sdk::{
    AggregateSupport, Applied, Change, Context, DatabaseAdapter, Descriptor, Failure, FailureKind, Observation,
    Operation, Outcome, Receipt, Report, Subject,
};

/// The type, as the application writes it into the outbox.
const TYPE: &str = "lab-result";

struct Laboratory;

impl DatabaseAdapter for Laboratory {
    fn describe() -> Descriptor {
        Descriptor {
            name: "laboratory".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            aggregate_types: vec![AggregateSupport::written(TYPE)],
        }
    }

    fn check(db: &Transaction) -> Result<Report, Failure> {
        db.query("SELECT result_id, code, value FROM lab_result WHERE 1 = 0", &[], 1)
            .map_err(|error| error.during("look at lab_result"))?;
        Ok(Report { summary: "a table lab_result".to_owned(), findings: Vec::new(), state: Vec::new() })
    }

    fn apply(db: &Transaction, _: Context, changes: Vec<Change>) -> Result<Applied, Failure> {
        let outcomes: Result<Vec<_>, _> = changes.iter().map(|change| apply_one(db, change)).collect();
        outcomes.map(Applied::from)
    }

    fn observe(_: &Transaction, _: Context, subjects: Vec<Subject>) -> Result<Vec<Observation>, Failure> {
        Ok(adapter_sdk::not_observed(&subjects))
    }
}

fn apply_one(db: &Transaction, change: &Change) -> Result<Outcome, Failure> {
    if change.aggregate_type != TYPE {
        return Ok(refused(FailureKind::Unsupported, "only laboratory results are kept here"));
    }
    if change.operation == Operation::Merge {
        return Ok(refused(FailureKind::Unsupported, "laboratory results are not merged"));
    }
    let key = Value::from(change.aggregate_id.as_str());
    if change.operation == Operation::Delete {
        db.execute("DELETE FROM lab_result WHERE result_id = ?", &[key])
            .map_err(|error| error.during("delete from lab_result"))?;
        return Ok(applied(change));
    }
    let Some((code, value)) = read(&change.payload) else {
        return Ok(refused(FailureKind::Invalid, "payload is not a result: code and value are texts"));
    };
    let parameters = [Value::from(code), Value::from(value), key];
    let updated = db
        .execute("UPDATE lab_result SET code = ?, value = ? WHERE result_id = ?", &parameters)
        .map_err(|error| error.during("update lab_result"))?;
    if updated.rows_affected == 0 {
        db.execute("INSERT INTO lab_result (code, value, result_id) VALUES (?, ?, ?)", &parameters)
            .map_err(|error| error.during("insert into lab_result"))?;
    }
    Ok(applied(change))
}

/// The code and value of a payload; `None` when it is anything else. No value of it may get into a message.
fn read(payload: &str) -> Option<(String, String)> {
    let payload: serde_json::Value = serde_json::from_str(payload).ok()?;
    let text = |field: &str| payload.get(field)?.as_str().map(str::to_owned);
    Some((text("code")?, text("value")?))
}

fn refused(kind: FailureKind, message: &str) -> Outcome {
    Outcome::Failed(Failure { kind, message: message.to_owned(), retry_after_ms: None })
}

fn applied(change: &Change) -> Outcome {
    Outcome::Applied(Receipt { remote_id: change.aggregate_id.clone(), remote_version: None, fingerprint: None })
}

adapter_sdk::export_database_adapter!(Laboratory);
