//! Invalid responses.

use adapter_sdk::{Failure, FailureKind, Outcome, log};

use super::{Call, applied, failure, honest};

pub(super) fn too_few(call: &Call<'_>) -> Result<Vec<Outcome>, Failure> {
    let mut outcomes = honest::echo(call)?;
    outcomes.pop();
    Ok(outcomes)
}

pub(super) fn too_many(call: &Call<'_>) -> Result<Vec<Outcome>, Failure> {
    let mut outcomes = honest::echo(call)?;
    outcomes.push(applied("1"));
    Ok(outcomes)
}

/// Returns the same long text many times: short to produce, long to copy.
pub(super) fn gigabytes(_: &Call<'_>) -> Result<Vec<Outcome>, Failure> {
    Ok((0..400).map(|_| applied("9".repeat(100_000))).collect())
}

/// Returns an invalid id. The argument selects it: `empty`, `long`, `control`, `backwards`.
pub(super) fn bad_id(call: &Call<'_>) -> Result<Vec<Outcome>, Failure> {
    let id = match call.argument {
        "long" => "9".repeat(256),
        "control" => "4\u{0}5".to_owned(),
        "backwards" => "4\u{202e}\u{2028}forged".to_owned(),
        _ => String::new(),
    };
    Ok(call.changes.iter().map(|_| applied(id.clone())).collect())
}

/// Puts the argument into every text of an adapter: its log, and the messages of failed or skipped changes, by their
/// id.
pub(super) fn say(call: &Call<'_>) -> Result<Vec<Outcome>, Failure> {
    log::warn(call.argument);
    let outcome = |id: &str| match id {
        "applied" => applied(id),
        "skipped" => Outcome::Skipped(call.argument.to_owned()),
        "conflict" => Outcome::Failed(failure(FailureKind::Conflict, call.argument)),
        _ => Outcome::Failed(failure(FailureKind::Invalid, call.argument)),
    };
    Ok(call.changes.iter().map(|change| outcome(&change.aggregate_id)).collect())
}

pub(super) fn control_characters(_: &Call<'_>) -> Result<Vec<Outcome>, Failure> {
    Err(failure(FailureKind::Invalid, "first\r\nsecond \u{1b}[31mred\u{202e}"))
}
