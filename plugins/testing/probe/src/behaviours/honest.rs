//! Behaviours of a valid adapter.

use std::cell::Cell;

use adapter_sdk::database::{DatabaseError, DatabaseErrorKind, Value};
use adapter_sdk::{Change, Failure, FailureKind, Outcome, Reference};

use super::{Call, applied, computing, failure};

/// Returns the application's id as the target's.
pub(super) fn echo(call: &Call<'_>) -> Result<Vec<Outcome>, Failure> {
    Ok(call
        .changes
        .iter()
        .map(|change| applied(format!("{}-{}", change.aggregate_id, call.context.state.len())))
        .collect())
}

/// Returns the data learned earlier as the target's id. Learns the argument, unless it is already known. A numeric
/// argument means that many bytes.
pub(super) fn learn(call: &Call<'_>) -> Result<Vec<Outcome>, Failure> {
    let new = call.argument.parse().map_or_else(|_| call.argument.as_bytes().to_vec(), |bytes| vec![b'x'; bytes]);
    if call.context.learned != new {
        call.learns.replace(Some(new));
    }
    let known = String::from_utf8_lossy(&call.context.learned);
    Ok(call.changes.iter().map(|change| applied(format!("{}-{known}", change.aggregate_id))).collect())
}

/// Skips changes whose id ends with the argument.
pub(super) fn skip(call: &Call<'_>) -> Result<Vec<Outcome>, Failure> {
    let skips = |id: &str| !call.argument.is_empty() && id.ends_with(call.argument);
    let outcome = |id: &str| if skips(id) { Outcome::Skipped("no place for it".to_owned()) } else { applied(id) };
    Ok(call.changes.iter().map(|change| outcome(&change.aggregate_id)).collect())
}

/// Reports the references of each change.
pub(super) fn references(call: &Call<'_>) -> Result<Vec<Outcome>, Failure> {
    let shown = |reference: &Reference| {
        let remote_id = reference.remote_id.as_deref().unwrap_or("none");
        format!("{}={}/{}@{remote_id}", reference.name, reference.aggregate_type, reference.aggregate_id)
    };
    let outcome = |change: &Change| {
        let all: Vec<_> = change.references.iter().chain(&change.survivor).map(shown).collect();
        applied(format!("{:?} {}", change.operation, all.join(" ")))
    };
    Ok(call.changes.iter().map(outcome).collect())
}

/// Inserts one row per change into `note(id, body)`. The argument may add an action afterwards: `panic`, `sleep`.
pub(super) fn insert(call: &Call<'_>) -> Result<Vec<Outcome>, Failure> {
    let outcomes = call
        .changes
        .iter()
        .map(|change| {
            let row = [Value::Text(change.aggregate_id.clone()), Value::Text(change.payload.clone())];
            let done =
                call.db.execute("INSERT INTO note (id, body) VALUES (?, ?)", &row).map_err(|error| told(&error))?;
            Ok(applied(done.last_insert_id.unwrap_or_default().to_string()))
        })
        .collect();
    match call.argument {
        "panic" => computing::panic(call),
        "sleep" => computing::sleep(call),
        _ => outcomes,
    }
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

/// Runs each line of the argument as a query and as a statement, and ignores errors.
pub(super) fn lines(call: &Call<'_>) -> Result<Vec<Outcome>, Failure> {
    for line in call.argument.lines() {
        // The test expects the host's refusals, so the adapter continues.
        drop(call.db.query(line, &[], u32::MAX));
        drop(call.db.execute(line, &[]));
    }
    echo(call)
}

/// Uses extreme numbers as parameters, limits and waiting times.
pub(super) fn extreme_numbers(call: &Call<'_>) -> Result<Vec<Outcome>, Failure> {
    let numbers =
        [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, f64::MIN_POSITIVE / 2.0, f64::MAX].map(Value::Double);
    let digits = "9".repeat(400);
    let others = [
        Value::Unsigned(u64::MAX),
        Value::Signed(i64::MIN),
        Value::Decimal(digits.clone()),
        Value::Decimal("NaN".to_owned()),
        Value::Date("0000-00-00".to_owned()),
        Value::Datetime("999999-99-99 99:99:99".to_owned()),
    ];
    for (place, value) in numbers.into_iter().chain(others).enumerate() {
        let row = [Value::Text(format!("n{place}")), value];
        call.db.execute("INSERT INTO note (id, body) VALUES (?, ?)", &row).map_err(|error| told(&error))?;
    }
    call.db.lock("edge", u32::MAX).map_err(|error| told(&error))?;
    call.db.query("SELECT id FROM note", &[], 0).map(drop).expect_err("no row is less than one");
    let wait = Failure { kind: FailureKind::Throttled, message: "later".to_owned(), retry_after_ms: Some(u64::MAX) };
    if call.argument == "wait" { Err(wait) } else { echo(call) }
}

/// Counts its calls in memory. The count would exceed one if memory outlived a call.
pub(super) fn twice(call: &Call<'_>) -> Result<Vec<Outcome>, Failure> {
    thread_local!(static CALLS: Cell<u32> = const { Cell::new(0) });
    let count = CALLS.with(|calls| {
        calls.set(calls.get() + 1);
        calls.get()
    });
    Ok(call.changes.iter().map(|_| applied(count.to_string())).collect())
}

/// Returns the host's message, for the test to read.
pub(super) fn told(error: &DatabaseError) -> Failure {
    let kind = match error.kind {
        DatabaseErrorKind::Unavailable => FailureKind::Unavailable,
        DatabaseErrorKind::PermissionDenied => FailureKind::Misconfigured,
        DatabaseErrorKind::Refused => FailureKind::Denied,
        DatabaseErrorKind::Contention => FailureKind::Transient,
        _ => FailureKind::Invalid,
    };
    failure(kind, &error.message)
}
