//! The patients, whom the table `person` knows by numbers of its own.

use adapter_sdk::database::{Transaction, Value};
use adapter_sdk::{Change, Failure, Operation, Outcome, Receipt, patient};

pub(crate) const COLUMNS: &str = "number, patient_id, name";

pub(crate) fn apply(db: &Transaction, change: &Change) -> Result<Outcome, Failure> {
    let id = Value::from(change.aggregate_id.as_str());
    if change.operation == Operation::Delete {
        db.execute("DELETE FROM person WHERE patient_id = ?", &[id])
            .map_err(|error| error.during("delete from person"))?;
        let number = change.link.as_ref().map(|link| link.remote_id.clone());
        return Ok(applied(number.unwrap_or_default()));
    }
    let patient = match patient::read(change) {
        Ok(patient) => patient,
        Err(failure) => return Ok(Outcome::Failed(failure)),
    };
    let row = [Value::from(format!("{} {}", patient.given_name, patient.family_name)), id.clone()];
    let updated = db
        .execute("UPDATE person SET name = ? WHERE patient_id = ?", &row)
        .map_err(|error| error.during("update person"))?;
    if updated.rows_affected == 0 {
        db.execute("INSERT INTO person (name, patient_id) VALUES (?, ?)", &row)
            .map_err(|error| error.during("insert into person"))?;
    }
    let found = db
        .query("SELECT number FROM person WHERE patient_id = ?", &[id], 1)
        .map_err(|error| error.during("read person"))?;
    let number = found.single().and_then(Value::as_i64).unwrap_or_default();
    Ok(applied(number.to_string()))
}

/// The number is what the table's users know the patient by, so reports refer to it.
fn applied(number: String) -> Outcome {
    Outcome::Applied(Receipt { remote_id: number, remote_version: None, fingerprint: None })
}
