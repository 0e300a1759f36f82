//! The reports: read by their schema, written, and observed.

use std::collections::BTreeMap;

use adapter_sdk::database::{Transaction, Value, placeholders};
use adapter_sdk::schema::Schema;
use adapter_sdk::{
    Change, Current, Failure, FailureKind, Observation, Operation, Outcome, Receipt, RemoteEdit, Subject, fingerprint,
};

use crate::failed;

/// The type, as the application writes it into the outbox.
pub(crate) const TYPE: &str = "radiology_report";
pub(crate) const SCHEMA: &str = include_str!("../radiology_report.schema.json");
pub(crate) const COLUMNS: &str = "report_id, person, status, title, issued, findings";

/// The values of a row behind its id, as texts.
#[derive(PartialEq)]
struct Row([Option<String>; 5]);

pub(crate) fn apply(
    db: &Transaction,
    schema: &Schema,
    on_remote_edit: RemoteEdit,
    change: &Change,
) -> Result<Outcome, Failure> {
    let id = Value::from(change.aggregate_id.as_str());
    if change.operation == Operation::Delete {
        db.execute("DELETE FROM radiology_report WHERE report_id = ?", &[id])
            .map_err(|error| error.during("delete from radiology_report"))?;
        return Ok(applied(change, None));
    }
    let wanted = match Row::of(schema, change) {
        Ok(wanted) => wanted,
        Err(failure) => return Ok(Outcome::Failed(failure)),
    };
    let held = find(db, &[change.aggregate_id.as_str()])?.remove(&change.aggregate_id);
    let last = change.link.as_ref().and_then(|link| link.fingerprint.as_ref());
    if let (Some(held), Some(last), RemoteEdit::Hold) = (&held, last, on_remote_edit) {
        let fingerprint = held.fingerprint();
        if *held != wanted && fingerprint != *last {
            let message = format!("the report was edited at the target [holds {fingerprint}]");
            return Ok(failed(FailureKind::Conflict, &message));
        }
    }
    let (sql, doing) = if held.is_some() {
        let sql = "UPDATE radiology_report SET person = ?, status = ?, title = ?, issued = ?, findings = ? \
                   WHERE report_id = ?";
        (sql, "update radiology_report")
    } else {
        let sql = "INSERT INTO radiology_report (person, status, title, issued, findings, report_id) \
                   VALUES (?, ?, ?, ?, ?, ?)";
        (sql, "insert into radiology_report")
    };
    let parameters: Vec<Value> = wanted.0.iter().cloned().map(Value::from).chain([id]).collect();
    db.execute(sql, &parameters).map_err(|error| error.during(doing))?;
    Ok(applied(change, Some(wanted.fingerprint())))
}

/// One observation for each report, with one statement.
pub(crate) fn observe(db: &Transaction, subjects: &[Subject]) -> Result<Vec<Observation>, Failure> {
    let ids: Vec<&str> = subjects.iter().map(|subject| subject.aggregate_id.as_str()).collect();
    let held = find(db, &ids)?;
    let observe_one = |id: &&str| match held.get(*id) {
        Some(row) => Observation::Present(Current { fingerprint: row.fingerprint(), remote_version: None }),
        None => Observation::Gone,
    };
    Ok(ids.iter().map(observe_one).collect())
}

fn find(db: &Transaction, ids: &[&str]) -> Result<BTreeMap<String, Row>, Failure> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let sql = format!("SELECT {COLUMNS} FROM radiology_report WHERE report_id IN ({})", placeholders(ids.len()));
    let parameters: Vec<Value> = ids.iter().copied().map(Value::from).collect();
    let rows_max = u32::try_from(ids.len()).unwrap_or(u32::MAX);
    let found = db.query(&sql, &parameters, rows_max).map_err(|error| error.during("read radiology_report"))?;
    let text = |value: &Value| value.as_text().map(str::to_owned);
    Ok(found
        .rows
        .iter()
        .filter_map(|row| Some((text(row.first()?)?, Row(std::array::from_fn(|at| text(&row[at + 1]))))))
        .collect())
}

impl Row {
    /// The row for a change: its patient's number, and the fields of its payload.
    fn of(schema: &Schema, change: &Change) -> Result<Self, Failure> {
        let payload = schema.read(change)?;
        let text = |field: &str| payload[field].as_str().map(str::to_owned);
        let subject = change.references.iter().find(|reference| reference.name == "subject");
        let Some(person) = subject.and_then(|subject| subject.remote_id.clone()) else {
            let message = "refs.subject: is missing; it names the patient, whom this target must have".to_owned();
            return Err(Failure { kind: FailureKind::Invalid, message, retry_after_ms: None });
        };
        Ok(Self([Some(person), text("status"), text("title"), text("issued"), text("findings")]))
    }

    /// Shows an edit of others, and no data.
    fn fingerprint(&self) -> String {
        fingerprint::of(self.0.iter().map(Option::as_deref))
    }
}

fn applied(change: &Change, fingerprint: Option<String>) -> Outcome {
    Outcome::Applied(Receipt { remote_id: change.aggregate_id.clone(), remote_version: None, fingerprint })
}
