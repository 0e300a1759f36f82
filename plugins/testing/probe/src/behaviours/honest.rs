//! What a well-behaved adapter does.

use std::cell::Cell;

use adapter_sdk::database::{DatabaseError, DatabaseErrorKind, Value};
use adapter_sdk::{Failure, FailureKind, Outcome};

use super::{Call, applied, failure};

/// The application's id becomes the target's.
pub(super) fn echo(call: &Call<'_>) -> Result<Vec<Outcome>, Failure> {
    Ok(call.changes.iter().map(|change| applied(format!("{}-{}", change.aggregate_id, call.state.len()))).collect())
}

/// One row per change into `note(id, body)`.
pub(super) fn insert(call: &Call<'_>) -> Result<Vec<Outcome>, Failure> {
    call.changes
        .iter()
        .map(|change| {
            let row = [Value::Text(change.aggregate_id.clone()), Value::Text(change.payload.clone())];
            let done =
                call.db.execute("INSERT INTO note (id, body) VALUES (?, ?)", &row).map_err(|error| told(&error))?;
            Ok(applied(done.last_insert_id.unwrap_or_default().to_string()))
        })
        .collect()
}

/// Runs the argument as a statement.
pub(super) fn statement(call: &Call<'_>) -> Result<Vec<Outcome>, Failure> {
    call.db.execute(call.argument, &[]).map_err(|error| told(&error))?;
    echo(call)
}

/// Runs the argument as a query.
pub(super) fn query(call: &Call<'_>) -> Result<Vec<Outcome>, Failure> {
    let rows = call.db.query(call.argument, &[], u32::MAX).map_err(|error| told(&error))?;
    Ok(call.changes.iter().map(|_| applied(rows.rows.len().to_string())).collect())
}

/// Counts its calls in memory that outlives one, if there were such a thing.
pub(super) fn twice(call: &Call<'_>) -> Result<Vec<Outcome>, Failure> {
    thread_local!(static CALLS: Cell<u32> = const { Cell::new(0) });
    let count = CALLS.with(|calls| {
        calls.set(calls.get() + 1);
        calls.get()
    });
    Ok(call.changes.iter().map(|_| applied(count.to_string())).collect())
}

/// The host's words, for the test to read.
pub(super) fn told(error: &DatabaseError) -> Failure {
    let kind = match error.kind {
        DatabaseErrorKind::Unavailable => FailureKind::Unavailable,
        DatabaseErrorKind::Refused => FailureKind::Denied,
        DatabaseErrorKind::Contention => FailureKind::Transient,
        _ => FailureKind::Invalid,
    };
    failure(kind, &error.message)
}
