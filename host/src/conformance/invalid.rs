//! Payloads that break the outbox contract: an adapter refuses each for good, whatever its target would take.
//!
//! They break the rules of `docs/outbox.md` for names, dates, ids, white space and control characters. Read next:
//! `checks.rs`.

use serde_json::{Value, json};

use super::harness::Harness;
use super::judgement::{Judgement, applied};
use crate::domain::change::Outcome;

/// A rule, the field, and a value that breaks it.
fn broken() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        ("an empty name", "family_name", json!("")),
        ("a name of blanks", "given_name", json!("  ")),
        ("a name of invisible characters", "family_name", json!("\u{200b}\u{3164}")),
        ("a line break in a name", "given_name", json!("Wolken\nstein")),
        ("a NUL character in a name", "family_name", json!("Quetzal\0mann")),
        ("a name that is a number", "family_name", json!(17)),
        ("a missing name", "given_name", Value::Null),
        ("a month and a day of zero", "birth_date", json!("1903-00-00")),
        ("a day that does not exist", "birth_date", json!("1903-02-29")),
        ("a date in another form", "birth_date", json!("07.02.1903")),
        ("a date with a time", "birth_date", json!("1903-02-07T00:00:00")),
        ("a birth in the future", "birth_date", json!("2150-01-01")),
        ("a birth before 1850", "birth_date", json!("1066-10-14")),
        ("a death before the birth", "deceased_date", json!("1903-02-06")),
        ("a gender that is none of the four", "gender", json!("f")),
        ("an e-mail address without @", "email", json!("nobody.at.all")),
        ("a country by its name", "country", json!("Korea")),
        ("another patient's id", "patient_id", json!("CT-another")),
        ("an id with a blank", "patient_id", json!("CT another")),
    ]
}

/// All in one batch, with a good one at its end.
pub(super) async fn judge(harness: &Harness) -> Judgement {
    let broken = broken();
    let changes =
        broken.iter().map(|(_, field, value)| harness.patients.with(|payload| payload[*field] = value.clone()));
    let changes: Vec<_> = changes.chain(harness.patients.create(1)).collect();
    let mut outcomes = harness.deliver(&changes).await.map_err(|stop| {
        format!("the batch failed, {stop}; give each bad change an outcome of its own, or a permanent failure")
    })?;
    applied(outcomes.pop().ok_or("no outcome")?, "a good change after the bad ones")?;
    for ((rule, field, _), outcome) in broken.iter().zip(outcomes) {
        match outcome {
            Outcome::Failed(failure) if failure.kind.is_permanent() => {}
            Outcome::Failed(failure) => {
                let kind = failure.kind.as_str();
                return Err(format!("{rule} ({field}) is `{kind}`, expected `invalid`: a retry cannot help"));
            }
            Outcome::Applied(_) | Outcome::Skipped(_) => {
                return Err(format!(
                    "{rule} ({field}) was confirmed: read payloads by the rules of docs/outbox.md, with the SDK's \
                     `patient::read`, or `patient.py` or `patient.js` of a project of `host plugin new`"
                ));
            }
        }
    }
    Ok(format!("{} payloads that break a rule failed for good", broken.len()))
}
