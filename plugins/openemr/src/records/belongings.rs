//! Rows that belong to written records: their rows in `forms`, the begun lists of their patients, and the links of
//! issues to encounters. Only missing rows are inserted; none is ever removed.

use std::collections::BTreeSet;

use adapter_sdk::Failure;
use adapter_sdk::database::{DatabaseErrorKind, Value, rows_per_statement};

use crate::failures::{refused, transient};
use crate::records::apply::Written;
use crate::records::kinds::Kind;
use crate::records::source::reference;
use crate::records::statements::RecordStatements;
use crate::target_db::TargetDb;

/// How often a list that another writer began at the same moment is checked again.
const ATTEMPTS_MAX: u32 = 3;

/// Inserts the missing rows.
///
/// # Errors
/// The database's error as a failure.
pub(crate) fn write(
    db: &impl TargetDb,
    statements: &RecordStatements<'_>,
    written: &[Written<'_>],
) -> Result<(), Failure> {
    insert_forms(db, statements, written)?;
    if statements.shape.layout.list_type.is_none() {
        return Ok(());
    }
    for _ in 0..ATTEMPTS_MAX {
        if begin_lists(db, statements, written)? {
            return link(db, written, statements);
        }
    }
    Err(transient("insert into lists_touch: others were faster again and again"))
}

fn insert_forms(db: &impl TargetDb, statements: &RecordStatements<'_>, written: &[Written<'_>]) -> Result<(), Failure> {
    let shape = statements.shape;
    let missing: Vec<&Written<'_>> = written.iter().filter(|one| !one.row.has_form).collect();
    let per_row = statements.insert_form_parameters();
    for chunk in missing.chunks(rows_per_statement(statements.dialect, per_row)) {
        let mut parameters = Vec::with_capacity(chunk.len() * per_row);
        for Written { row, mapped, .. } in chunk {
            parameters.push(Value::Signed(row.id));
            shape.push(&mapped.record, shape.of_table, shape.columns.len(), &mut parameters);
            if shape.kind == Kind::Encounter {
                parameters.push(Value::from(row.remote_id.as_str()));
                let dated = shape.columns.iter().position(|column| column.name == "date");
                parameters.push(dated.and_then(|at| mapped.record.0[at].as_deref()).into());
            }
            parameters.push(Value::from(statements.settings.user_name.as_str()));
        }
        let done = db.execute(&statements.insert_forms(chunk.len()), &parameters);
        done.map_err(|error| refused(&error, "insert into forms"))?;
    }
    Ok(())
}

/// The pid of each row.
fn pids<'a>(statements: &RecordStatements<'_>, written: &'a [Written<'_>]) -> Vec<&'a str> {
    let at = statements.shape.columns.iter().position(|column| column.name == statements.shape.layout.pid);
    written.iter().filter_map(|one| one.mapped.record.0[at?].as_deref()).collect()
}

/// Records that patients' lists of this kind were begun, as OpenEMR does with the first entry. `false` when another
/// writer did so for one of them at the same moment.
fn begin_lists(
    db: &impl TargetDb,
    statements: &RecordStatements<'_>,
    written: &[Written<'_>],
) -> Result<bool, Failure> {
    let mut missing: BTreeSet<&str> = pids(statements, written).into_iter().collect();
    if missing.is_empty() {
        return Ok(true);
    }
    let parameters: Vec<Value> = missing.iter().map(|pid| Value::from(*pid)).collect();
    let rows_max = u32::try_from(missing.len()).unwrap_or(u32::MAX);
    let begun = db.query(&statements.touched(missing.len()), &parameters, rows_max);
    for row in begun.map_err(|error| error.during("read lists_touch"))?.rows {
        if let Some(pid) = row.first().and_then(Value::as_i64) {
            missing.remove(pid.to_string().as_str());
        }
    }
    let missing: Vec<Value> = missing.into_iter().map(Value::from).collect();
    for chunk in missing.chunks(rows_per_statement(statements.dialect, 1)) {
        match db.execute(&statements.touch(chunk.len()), chunk) {
            Ok(_) => {}
            Err(error) if error.kind == DatabaseErrorKind::DuplicateKey => return Ok(false),
            Err(error) => return Err(error.during("insert into lists_touch")),
        }
    }
    Ok(true)
}

/// Links issues to the encounters that their changes name.
fn link(db: &impl TargetDb, written: &[Written<'_>], statements: &RecordStatements<'_>) -> Result<(), Failure> {
    let encounters = written.iter().map(|one| reference(one.wanted.change, "encounter"));
    let mut missing: BTreeSet<[i64; 3]> = BTreeSet::new();
    for ((pid, one), encounter) in pids(statements, written).into_iter().zip(written).zip(encounters) {
        if let (Ok(pid), Some(Ok(encounter))) = (pid.parse(), encounter.map(str::parse)) {
            missing.insert([pid, one.row.id, encounter]);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let column = |at: usize| missing.iter().map(move |link| Value::Signed(link[at]));
    let parameters: Vec<Value> = column(0).chain(column(1)).collect();
    let sql = RecordStatements::linked(missing.len(), missing.len());
    // An issue may be linked to any number of encounters.
    let rows_max = u32::try_from(missing.len() * 50 + 1_000).unwrap_or(u32::MAX);
    let found = db.query(&sql, &parameters, rows_max).map_err(|error| error.during("read issue_encounter"))?;
    for row in &found.rows {
        if let [Some(pid), Some(id), Some(encounter)] = row.iter().map(Value::as_i64).collect::<Vec<_>>()[..] {
            missing.remove(&[pid, id, encounter]);
        }
    }
    let missing: Vec<Value> = missing.into_iter().flatten().map(Value::Signed).collect();
    for chunk in missing.chunks(3 * rows_per_statement(statements.dialect, 3)) {
        let done = db.execute(&RecordStatements::link(chunk.len() / 3), chunk);
        done.map_err(|error| error.during("insert into issue_encounter"))?;
    }
    Ok(())
}
