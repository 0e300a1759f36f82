//! Tests every kind of statement that `apply` needs, without effect, so that a missing grant of the database user or of
//! `allow` is found before a patient fails.
//!
//! Each statement matches no row, and the transaction that it runs in is rolled back.

use adapter_sdk::database::{DatabaseErrorKind, Value};
use adapter_sdk::{Failure, Finding, FindingLevel};

use crate::failures::misconfigured;
use crate::schema::Schema;
use crate::settings::Settings;
use crate::statements::{HIGHEST_PID, Statements};
use crate::target_db::TargetDb;

/// Tries them.
///
/// # Errors
/// `misconfigured` with what is missing, or what the database says when it is not there.
pub(crate) fn try_all(db: &impl TargetDb, schema: &Schema, settings: &Settings) -> Result<Finding, Failure> {
    let columns = schema.own_columns();
    let statements = Statements { dialect: db.dialect(), schema, columns: &columns, user_id: settings.user_id };
    for (what, sql, parameters) in reads(&statements) {
        if let Some(finding) = judged(db.query(&sql, &parameters, 10).err(), what)? {
            return Ok(finding);
        }
    }
    for (what, sql) in writes(&statements) {
        if let Some(finding) = judged(db.execute(&sql, &[]).err(), what)? {
            return Ok(finding);
        }
    }
    Ok(Finding { level: FindingLevel::Ok, message: "the database user may read, insert and update".to_owned() })
}

/// No chart has a uuid of zeros or a negative pid.
fn reads(statements: &Statements<'_>) -> Vec<(&'static str, String, Vec<Value>)> {
    let nobody = || Value::Bytes(vec![0; 16]);
    let mut reads = vec![("read patient_data", HIGHEST_PID.to_owned(), Vec::new())];
    if statements.schema.has_uuid() {
        reads.push(("read and lock patient_data", statements.charts_by_uuid(1, true), vec![nobody()]));
        reads.push(("read uuid_registry", Statements::registered(1), vec![nobody()]));
    } else {
        reads.push(("read and lock patient_data", statements.charts_by_pubpid(0, 1, true), vec![Value::Signed(-1)]));
    }
    reads
}

fn writes(statements: &Statements<'_>) -> Vec<(&'static str, String)> {
    let mut writes = vec![
        ("insert into patient_data", statements.create_probe()),
        ("update patient_data", statements.update_probe()),
    ];
    if statements.schema.has_uuid() {
        writes.push(("insert into uuid_registry", statements.register_probe()));
    }
    writes
}

fn judged(error: Option<adapter_sdk::database::DatabaseError>, what: &str) -> Result<Option<Finding>, Failure> {
    let Some(error) = error else { return Ok(None) };
    match error.kind {
        DatabaseErrorKind::PermissionDenied | DatabaseErrorKind::Refused | DatabaseErrorKind::MissingObject => {
            Err(misconfigured(error.during(&format!("{what} (needed for every delivery)")).message))
        }
        DatabaseErrorKind::Unavailable | DatabaseErrorKind::Contention => Err(error.during(&format!("try to {what}"))),
        DatabaseErrorKind::DuplicateKey | DatabaseErrorKind::InvalidValue | DatabaseErrorKind::Other => {
            let failure = error.during(&format!("could not try to {what}"));
            Ok(Some(Finding { level: FindingLevel::Warning, message: failure.message }))
        }
    }
}
