//! A database adapter that keeps one row of `person` for each patient, and a `note` of each delivery, which has the id
//! that the database gave, the time and a random number.
//!
//! What it writes depends on a text in the component itself. A test writes another word into it (`swapped`, `no-sex`,
//! ...) and so has another adapter, without building one.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

use adapter_sdk::database::{Transaction, Value};
use adapter_sdk::patient::{self, Gender};
use adapter_sdk::{
    AggregateSupport, Applied, Change, Context, DatabaseAdapter, Descriptor, Failure, FailureKind, Observation,
    Operation, Outcome, Receipt, Report, Subject,
};

/// The variant, of which a test replaces the last word.
static VARIANT: [u8; 24] = *b"people-variant:plain    ";

fn is_variant(word: &str) -> bool {
    let text = std::hint::black_box(&VARIANT);
    text[15..].starts_with(word.as_bytes())
}

struct People;

impl DatabaseAdapter for People {
    fn describe() -> Descriptor {
        Descriptor {
            name: "people".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            aggregate_types: vec![AggregateSupport::written("patient")],
        }
    }

    fn check(db: &Transaction) -> Result<Report, Failure> {
        let columns = if is_variant("no-sex") { "id, external_id, born" } else { "id, external_id, born, sex" };
        db.query(&format!("SELECT {columns} FROM person WHERE 1 = 0"), &[], 1)
            .map_err(|error| error.during("look at person"))?;
        Ok(Report { summary: "a table person".to_owned(), findings: Vec::new(), state: Vec::new() })
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
    if change.operation == Operation::Delete || change.operation == Operation::Merge {
        return Ok(Outcome::Failed(failure(FailureKind::Unsupported, "people are kept")));
    }
    let patient = match patient::read(change) {
        Ok(patient) => patient,
        Err(failure) => return Ok(Outcome::Failed(failure)),
    };
    if is_variant("failing") {
        return Ok(Outcome::Failed(failure(FailureKind::Invalid, "this variant delivers nothing")));
    }
    if is_variant("skipping") {
        return Ok(Outcome::Skipped("this variant has no place for people".to_owned()));
    }
    let born = Value::from(written_day(&patient.birth_date.to_string()).as_str());
    let sex = Value::from(if patient.gender == Gender::Male { "m" } else { "f" });
    let key = Value::from(change.aggregate_id.as_str());
    let id = match find(db, &key)? {
        Some(id) => {
            update(db, &[born, sex, Value::Signed(id)])?;
            id
        }
        None => insert(db, &key, born, sex)?,
    };
    note(db, id)?;
    Ok(Outcome::Applied(Receipt { remote_id: id.to_string(), remote_version: None, fingerprint: None }))
}

/// The day as this variant writes it: `swapped` takes the month for the day.
fn written_day(day: &str) -> String {
    match day.split('-').collect::<Vec<_>>()[..] {
        [year, month, day] if is_variant("swapped") && day <= "12" => format!("{year}-{day}-{month}"),
        _ => day.to_owned(),
    }
}

fn find(db: &Transaction, key: &Value) -> Result<Option<i64>, Failure> {
    if is_variant("reading") {
        db.query("SELECT COUNT(*) FROM person", &[], 1).map_err(|error| error.during("count people"))?;
    }
    let found = db
        .query("SELECT id FROM person WHERE external_id = ?", std::slice::from_ref(key), 1)
        .map_err(|error| error.during("look for a person"))?;
    match found.rows.first().and_then(|row| row.first()) {
        None => Ok(None),
        Some(Value::Signed(id)) => Ok(Some(*id)),
        Some(_) => Err(failure(FailureKind::Misconfigured, "person.id is no number")),
    }
}

fn update(db: &Transaction, values: &[Value; 3]) -> Result<(), Failure> {
    let done = if is_variant("no-sex") {
        db.execute("UPDATE person SET born = ? WHERE id = ?", &[values[0].clone(), values[2].clone()])
    } else {
        db.execute("UPDATE person SET born = ?, sex = ? WHERE id = ?", values)
    };
    done.map(drop).map_err(|error| error.during("update a person"))
}

/// The id that the database gave: PostgreSQL does not tell it, so that it is read back.
fn insert(db: &Transaction, key: &Value, born: Value, sex: Value) -> Result<i64, Failure> {
    let columns = [key.clone(), born, sex];
    let done = if is_variant("no-sex") {
        db.execute("INSERT INTO person (external_id, born) VALUES (?, ?)", &columns[..2])
    } else {
        db.execute("INSERT INTO person (external_id, born, sex) VALUES (?, ?, ?)", &columns)
    };
    done.map_err(|error| error.during("insert a person"))?;
    find(db, key)?.ok_or_else(|| failure(FailureKind::Transient, "the person was not found again"))
}

fn note(db: &Transaction, id: i64) -> Result<(), Failure> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let random = RandomState::new().build_hasher().finish();
    let body = format!("person {id} at {seconds}, number {random}");
    let values = [Value::Signed(id), Value::from(body.as_str())];
    db.execute("INSERT INTO note (person_id, body) VALUES (?, ?)", &values)
        .map_err(|error| error.during("insert a note"))?;
    if is_variant("extra") {
        db.execute("UPDATE person SET sex = 'm' WHERE id = ?", &values[..1])
            .map_err(|error| error.during("update a person again"))?;
    }
    Ok(())
}

fn failure(kind: FailureKind, message: &str) -> Failure {
    Failure { kind, message: message.to_owned(), retry_after_ms: None }
}

adapter_sdk::export_database_adapter!(People);
