//! A database adapter that observes patients in one table, `person (patient_id, name, fingerprint)`. Its settings
//! choose a fault: `[settings] fault = "..."`. Without one it is correct, and leaves the column `fingerprint` empty.
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
    /// Returns the link's fingerprint for whatever is there.
    Echoes,
    /// Keeps the fingerprint in a column of its own, and returns that.
    Keeps,
    /// Has a fingerprint of another form than its receipts.
    Differs,
    /// Has receipts without a fingerprint.
    Forgets,
    /// Sees no record.
    Blind,
    /// Sees a record that is not there.
    Invents,
    /// Reports an edited record as gone.
    Drops,
    /// Returns the observations in another order.
    Reverses,
    /// Leaves out an observation.
    Omits,
    /// Confirms a delete, and leaves the record as it is.
    Spares,
    /// Writes while it observes.
    Writes,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    fault: Fault,
}

struct Observing;

impl DatabaseAdapter for Observing {
    fn describe() -> Descriptor {
        Descriptor {
            name: "observing".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            aggregate_types: vec![AggregateSupport::written("patient").observed()],
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
        if fault == Fault::Writes {
            execute(db, "UPDATE person SET fingerprint = 'seen'", &[])?;
        }
        let found: Result<Vec<_>, _> = subjects.iter().map(|subject| observe_one(db, fault, subject)).collect();
        let mut found = found?;
        match fault {
            Fault::Reverses => found.reverse(),
            Fault::Omits => drop(found.pop()),
            _ => {}
        }
        Ok(found)
    }
}

/// A row without its id.
struct Row {
    name: String,
    fingerprint: Option<String>,
}

fn of(name: &str) -> String {
    fingerprint::of([Some(name)])
}

fn present(fingerprint: String) -> Observation {
    Observation::Present(Current { fingerprint, remote_version: None })
}

fn observe_one(db: &Transaction, fault: Fault, subject: &Subject) -> Result<Observation, Failure> {
    let linked = subject.link.fingerprint.clone().unwrap_or_default();
    let Some(row) = find(db, &subject.link.remote_id)? else {
        return Ok(if fault == Fault::Invents { present("invented".to_owned()) } else { Observation::Gone });
    };
    Ok(match fault {
        Fault::Blind => Observation::Gone,
        Fault::Drops if of(&row.name) != linked => Observation::Gone,
        Fault::Echoes => present(linked),
        Fault::Keeps => present(row.fingerprint.unwrap_or_default()),
        Fault::Differs => present(format!("{}-now", of(&row.name))),
        _ => present(of(&row.name)),
    })
}

fn apply_one(db: &Transaction, fault: Fault, holds: bool, change: &Change) -> Result<Outcome, Failure> {
    let id = Value::from(change.aggregate_id.as_str());
    if change.aggregate_type != "patient" || change.operation == Operation::Merge {
        return Ok(failed(FailureKind::Unsupported, "only patients are kept here, and none is merged"));
    }
    if change.operation == Operation::Delete {
        if fault != Fault::Spares {
            execute(db, "DELETE FROM person WHERE patient_id = ?", &[id])?;
        }
        return Ok(applied(&change.aggregate_id, None));
    }
    let name = match patient::read(change) {
        Ok(patient) => format!("{} {} {}", patient.given_name, patient.family_name, patient.city.unwrap_or_default()),
        Err(failure) => return Ok(Outcome::Failed(failure)),
    };
    let held = find(db, &change.aggregate_id)?;
    let last = change.link.as_ref().and_then(|link| link.fingerprint.clone());
    let is_edited = |held: &Row| ![last.as_ref(), Some(&of(&name))].contains(&Some(&of(&held.name)));
    if holds && last.is_some() && held.as_ref().is_some_and(is_edited) {
        return Ok(failed(FailureKind::Conflict, "the row was edited at the target"));
    }
    let kept = if fault == Fault::Keeps { Value::from(of(&name).as_str()) } else { Value::Null };
    let parameters = [Value::from(name.as_str()), kept, id];
    let sql = match held {
        Some(_) => "UPDATE person SET name = ?, fingerprint = ? WHERE patient_id = ?",
        None => "INSERT INTO person (name, fingerprint, patient_id) VALUES (?, ?, ?)",
    };
    execute(db, sql, &parameters)?;
    Ok(applied(&change.aggregate_id, (fault != Fault::Forgets).then(|| of(&name))))
}

fn find(db: &Transaction, id: &str) -> Result<Option<Row>, Failure> {
    let sql = "SELECT name, fingerprint FROM person WHERE patient_id = ?";
    let found = db.query(sql, &[id.into()], 1).map_err(|error| error.during("read person"))?;
    let text = |value: &Value| value.as_text().map(str::to_owned);
    Ok(found.rows.first().map(|row| Row { name: text(&row[0]).unwrap_or_default(), fingerprint: text(&row[1]) }))
}

fn execute(db: &Transaction, sql: &str, parameters: &[Value]) -> Result<(), Failure> {
    db.execute(sql, parameters).map(drop).map_err(|error| error.during("write person"))
}

fn failed(kind: FailureKind, message: &str) -> Outcome {
    Outcome::Failed(Failure { kind, message: message.to_owned(), retry_after_ms: None })
}

fn applied(remote_id: &str, fingerprint: Option<String>) -> Outcome {
    Outcome::Applied(Receipt { remote_id: remote_id.to_owned(), remote_version: None, fingerprint })
}

adapter_sdk::export_database_adapter!(Observing);
