//! A database adapter that merges patients in one table, `person (patient_id, name, merged_into)`. Its settings choose
//! a fault: `[settings] fault = "..."`. Without one it is correct.
//!
//! It exists to show that the conformance suite finds each fault.

use adapter_sdk::database::{Transaction, Value};
use adapter_sdk::{
    AggregateSupport, Applied, Change, Context, Current, DatabaseAdapter, Descriptor, Failure, FailureKind,
    Observation, Operation, Outcome, Receipt, RemoteEdit, Report, Subject, fingerprint, patient,
};

#[derive(Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Fault {
    #[default]
    None,
    /// Confirms a merge and writes nothing.
    Nothing,
    /// Deletes the merged record.
    Deletes,
    /// Confirms a merge with the survivor's id.
    AnotherId,
    /// Makes a record of what never was there.
    Creates,
    /// Writes into the survivor's record.
    ChangesSurvivor,
    /// Does not observe a merged record.
    Hides,
    /// Has another fingerprint when a merge comes again.
    Counts,
    /// Leaves the mark when a later state comes.
    Keeps,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    fault: Fault,
}

struct Merging;

impl DatabaseAdapter for Merging {
    fn describe() -> Descriptor {
        Descriptor {
            name: "merging".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            aggregate_types: vec![AggregateSupport::written("patient").merged().observed()],
        }
    }

    fn check(db: &Transaction) -> Result<Report, Failure> {
        find(db, "")?;
        Ok(Report { summary: "a table person".to_owned(), findings: Vec::new(), state: Vec::new() })
    }

    fn apply(db: &Transaction, context: Context, changes: Vec<Change>) -> Result<Applied, Failure> {
        let Settings { fault } = adapter_sdk::settings::read()?;
        let holds = context.on_remote_edit == RemoteEdit::Hold;
        let outcomes: Result<Vec<_>, _> = changes.iter().map(|change| apply_one(db, fault, holds, change)).collect();
        outcomes.map(Applied::from)
    }

    fn observe(db: &Transaction, _: Context, subjects: Vec<Subject>) -> Result<Vec<Observation>, Failure> {
        let Settings { fault } = adapter_sdk::settings::read()?;
        let observe_one = |subject: &Subject| {
            Ok(match find(db, &subject.aggregate_id)? {
                Some(row) if fault != Fault::Hides || row.merged_into.is_none() => {
                    Observation::Present(Current { fingerprint: row.fingerprint(), remote_version: None })
                }
                _ => Observation::Gone,
            })
        };
        subjects.iter().map(observe_one).collect()
    }
}

/// A row without its id.
struct Row {
    name: String,
    merged_into: Option<String>,
}

impl Row {
    fn fingerprint(&self) -> String {
        fingerprint::of([Some(self.name.as_str()), self.merged_into.as_deref()])
    }
}

fn apply_one(db: &Transaction, fault: Fault, holds: bool, change: &Change) -> Result<Outcome, Failure> {
    let id = Value::from(change.aggregate_id.as_str());
    if change.aggregate_type != "patient" {
        return Ok(failed(FailureKind::Unsupported, "only patients are kept here"));
    }
    if change.operation == Operation::Delete {
        execute(db, "DELETE FROM person WHERE patient_id = ?", &[id])?;
        return Ok(applied(&change.aggregate_id, None));
    }
    if change.operation == Operation::Merge {
        return merge(db, fault, change);
    }
    let name = match patient::read(change) {
        Ok(patient) => format!("{} {} {}", patient.given_name, patient.family_name, patient.city.unwrap_or_default()),
        Err(failure) => return Ok(Outcome::Failed(failure)),
    };
    let held = find(db, &change.aggregate_id)?;
    let merged_into = held.as_ref().and_then(|row| row.merged_into.clone()).filter(|_| fault == Fault::Keeps);
    let row = Row { name, merged_into };
    let last = change.link.as_ref().and_then(|link| link.fingerprint.as_ref());
    let is_edited = |held: &Row| ![last, Some(&row.fingerprint())].contains(&Some(&held.fingerprint()));
    if holds && last.is_some() && held.as_ref().is_some_and(is_edited) {
        return Ok(failed(FailureKind::Conflict, "the row was edited at the target"));
    }
    let parameters = [row.name.clone().into(), row.merged_into.clone().into(), id];
    let sql = match held {
        Some(_) => "UPDATE person SET name = ?, merged_into = ? WHERE patient_id = ?",
        None => "INSERT INTO person (name, merged_into, patient_id) VALUES (?, ?, ?)",
    };
    execute(db, sql, &parameters)?;
    // The fault is that the mark stays, not that the receipt shows it.
    let receipt = Row { merged_into: None, ..row };
    Ok(applied(&change.aggregate_id, Some(receipt.fingerprint())))
}

fn merge(db: &Transaction, fault: Fault, change: &Change) -> Result<Outcome, Failure> {
    let id = Value::from(change.aggregate_id.as_str());
    let survivor = change.survivor.as_ref().and_then(|survivor| survivor.remote_id.clone()).unwrap_or_default();
    let Some(row) = find(db, &change.aggregate_id)? else {
        if fault == Fault::Creates {
            execute(
                db,
                "INSERT INTO person (name, merged_into, patient_id) VALUES ('', ?, ?)",
                &[survivor.into(), id],
            )?;
        }
        return Ok(applied("", None));
    };
    let row = Row { merged_into: Some(survivor.clone()), ..row };
    match fault {
        Fault::Nothing => {}
        Fault::Deletes => execute(db, "DELETE FROM person WHERE patient_id = ?", &[id])?,
        _ => execute(db, "UPDATE person SET merged_into = ? WHERE patient_id = ?", &[survivor.clone().into(), id])?,
    }
    if fault == Fault::ChangesSurvivor {
        execute(db, "UPDATE person SET name = ? WHERE patient_id = ?", &["both".into(), survivor.clone().into()])?;
    }
    let fingerprint = match fault {
        Fault::Counts if change.attempt > 1 => format!("{}-again", row.fingerprint()),
        _ => row.fingerprint(),
    };
    let remote_id = if fault == Fault::AnotherId { &survivor } else { &change.aggregate_id };
    Ok(applied(remote_id, Some(fingerprint)))
}

fn find(db: &Transaction, id: &str) -> Result<Option<Row>, Failure> {
    let sql = "SELECT name, merged_into FROM person WHERE patient_id = ?";
    let found = db.query(sql, &[id.into()], 1).map_err(|error| error.during("read person"))?;
    let text = |value: &Value| value.as_text().map(str::to_owned);
    Ok(found.rows.first().map(|row| Row { name: text(&row[0]).unwrap_or_default(), merged_into: text(&row[1]) }))
}

fn execute(db: &Transaction, sql: &str, parameters: &[Value]) -> Result<(), Failure> {
    match db.execute(sql, parameters) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.during("write person")),
    }
}

fn failed(kind: FailureKind, message: &str) -> Outcome {
    Outcome::Failed(Failure { kind, message: message.to_owned(), retry_after_ms: None })
}

fn applied(remote_id: &str, fingerprint: Option<String>) -> Outcome {
    Outcome::Applied(Receipt { remote_id: remote_id.to_owned(), remote_version: None, fingerprint })
}

adapter_sdk::export_database_adapter!(Merging);
