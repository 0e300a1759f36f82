//! A database adapter in Rust: keeps one row of `example_chart` for each patient.
//!
//! It writes no other table. `wit/` defines what it may call, and what each kind of failure means.

use adapter_sdk::database::{Transaction, Value};
use adapter_sdk::patient;
use adapter_sdk::{
    AggregateSupport, Applied, Change, Context, DatabaseAdapter, DatabaseListing, Descriptor, Failure, FailureKind,
    Observation, Operation, Outcome, OwnPage, OwnRecord, Receipt, Report, Subject,
};

struct Chart;

impl DatabaseAdapter for Chart {
    fn describe() -> Descriptor {
        Descriptor {
            name: "example-chart".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            aggregate_types: vec![AggregateSupport::written("patient")],
        }
    }

    /// Selects every column without reading a row, so that `host check` can report missing ones.
    fn check(db: &Transaction) -> Result<Report, Failure> {
        let sql = "SELECT patient_id, family_name, given_name, birth_date, phone FROM example_chart WHERE 1 = 0";
        db.query(sql, &[], 1).map_err(|error| error.during("look at example_chart"))?;
        Ok(Report { summary: "a table example_chart".to_owned(), findings: Vec::new(), state: Vec::new() })
    }

    fn apply(db: &Transaction, _: Context, changes: Vec<Change>) -> Result<Applied, Failure> {
        let outcomes: Result<Vec<_>, _> = changes.iter().map(|change| apply_one(db, change)).collect();
        outcomes.map(Applied::from)
    }

    /// Never called, because the description declares no type as observable.
    fn observe(_: &Transaction, _: Context, subjects: Vec<Subject>) -> Result<Vec<Observation>, Failure> {
        Ok(adapter_sdk::not_observed(&subjects))
    }
}

/// Writes one change. A failure of this change alone is its outcome. An error of the database fails the batch: the host
/// rolls it back, and splits it if that helps.
fn apply_one(db: &Transaction, change: &Change) -> Result<Outcome, Failure> {
    if change.aggregate_type != "patient" {
        let message = "only patients are kept here".to_owned();
        return Ok(Outcome::Failed(Failure { kind: FailureKind::Unsupported, message, retry_after_ms: None }));
    }
    let key = Value::from(change.aggregate_id.as_str());
    if change.operation == Operation::Delete {
        db.execute("DELETE FROM example_chart WHERE patient_id = ?", &[key])
            .map_err(|error| error.during("delete from example_chart"))?;
        return Ok(applied(change));
    }
    let patient = match patient::read(change) {
        Ok(patient) => patient,
        Err(failure) => return Ok(Outcome::Failed(failure)),
    };
    let values = [
        patient.family_name.into(),
        patient.given_name.into(),
        patient.birth_date.as_str().into(),
        patient.phone_mobile.into(),
    ];
    let update =
        "UPDATE example_chart SET family_name = ?, given_name = ?, birth_date = ?, phone = ? WHERE patient_id = ?";
    let insert =
        "INSERT INTO example_chart (family_name, given_name, birth_date, phone, patient_id) VALUES (?, ?, ?, ?, ?)";
    let parameters: Vec<Value> = values.into_iter().chain([key]).collect();
    // The database reports matched rows, not changed ones. The same change may come twice, and then changes nothing.
    let updated = db.execute(update, &parameters).map_err(|error| error.during("update example_chart"))?;
    if updated.rows_affected == 0 {
        db.execute(insert, &parameters).map_err(|error| error.during("insert into example_chart"))?;
    }
    Ok(applied(change))
}

/// The receipt: the patient's own id is the chart's number.
fn applied(change: &Change) -> Outcome {
    Outcome::Applied(Receipt { remote_id: change.aggregate_id.clone(), remote_version: None, fingerprint: None })
}

/// Optional: lists the charts, so that `host verify` can name what the store does not know. Every row is ours here, and
/// the last one of a page is where the next page begins.
impl DatabaseListing for Chart {
    fn list_own(
        db: &Transaction,
        _: Context,
        aggregate_type: String,
        after: Option<String>,
        limit: u32,
    ) -> Result<OwnPage, Failure> {
        if aggregate_type != "patient" {
            return Err(adapter_sdk::cannot_list("only patients are kept here"));
        }
        let sql =
            format!("SELECT patient_id FROM example_chart WHERE patient_id > ? ORDER BY patient_id LIMIT {limit}");
        let after = Value::from(after.unwrap_or_default());
        let found = db.query(&sql, &[after], limit).map_err(|error| error.during("list example_chart"))?;
        let ids = found.rows.iter().filter_map(|row| row.first()?.as_text());
        let record = |id: &str| OwnRecord { aggregate_id: id.to_owned(), remote_id: id.to_owned() };
        let records: Vec<OwnRecord> = ids.map(record).collect();
        let is_full = u32::try_from(records.len()).is_ok_and(|count| count >= limit);
        let next = records.last().filter(|_| is_full).map(|last| last.remote_id.clone());
        Ok(OwnPage { records, next })
    }
}

adapter_sdk::export_database_adapter!(Chart);
adapter_sdk::export_database_listing!(Chart);
