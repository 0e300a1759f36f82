//! Makes a record without those optional fields that break a rule, and reports them.

use serde_json::Value;

use crate::domain::clinical::{ClinicalRecord, schema};
use crate::domain::ids::AggregateKey;
use crate::domain::references::NamedReference;
use crate::import::draft::Problem;

/// Optional, and never left out: without it a refuted diagnosis would look like a confirmed one.
const NEVER_LEFT_OUT: [&str; 1] = ["verification_status"];

/// Rounds of leaving out; a rule that looks at several fields is checked only when each of them is valid.
const ROUNDS_MAX: usize = 8;

/// The record, and the problems of what was left out of it.
///
/// # Errors
/// Every problem, when a required field is among them.
pub(super) fn validate(
    key: &AggregateKey,
    mut payload: Value,
    references: &[NamedReference],
) -> Result<(ClinicalRecord, Vec<Problem>), Vec<Problem>> {
    let mut left_out = Vec::new();
    for _ in 0..ROUNDS_MAX {
        let problems = match ClinicalRecord::new(key.clone(), payload.clone(), references.to_vec()) {
            Ok(record) => return Ok((record, left_out)),
            Err(problems) => problems,
        };
        let schema = schema(&key.aggregate_type).unwrap_or(&Value::Null);
        let mut places: Vec<_> = problems.iter().map(|problem| removable(schema, &payload, &problem.path)).collect();
        left_out.extend(problems.into_iter().map(Problem::from));
        if places.contains(&None) {
            return Err(left_out);
        }
        // From the end, so that the indices before it stay true.
        places.sort();
        places.dedup();
        for place in places.iter().flatten().rev() {
            remove(&mut payload, place);
        }
    }
    Err(left_out)
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Field(String),
    Entry(usize),
}

/// The deepest optional part of the payload that holds what a path names; `None` where all of it is required.
fn removable(schema: &Value, payload: &Value, path: &str) -> Option<Vec<Step>> {
    let steps = steps(path)?;
    let (mut value, mut shape) = (payload, schema);
    let mut found = None;
    for (index, step) in steps.iter().enumerate() {
        match step {
            Step::Field(name) => {
                if NEVER_LEFT_OUT.contains(&name.as_str()) {
                    return None;
                }
                let is_required =
                    shape["required"].as_array().is_some_and(|names| names.contains(&Value::from(&**name)));
                let Some(next) = value.get(name) else { break };
                if !is_required {
                    found = Some(index);
                }
                (value, shape) = (next, resolved(schema, &shape["properties"][name]));
            }
            Step::Entry(entry) => {
                let Some(next) = value.get(entry) else { break };
                found = Some(index);
                (value, shape) = (next, resolved(schema, &shape["items"]));
            }
        }
    }
    found.map(|last| steps[..=last].to_vec())
}

/// The schema that another refers to.
fn resolved<'a>(schema: &'a Value, shape: &'a Value) -> &'a Value {
    match shape["$ref"].as_str().and_then(|name| name.strip_prefix("#/$defs/")) {
        Some(name) => &schema["$defs"][name],
        None => shape,
    }
}

/// The steps of `reaction[0].severity`; `None` for a path that is not in the payload.
fn steps(path: &str) -> Option<Vec<Step>> {
    if ["id", "payload", "refs"].contains(&path) || path.starts_with("refs.") {
        return None;
    }
    let parts = path.split(['.', '[']).map(|part| match part.strip_suffix(']') {
        Some(index) => index.parse().ok().map(Step::Entry),
        None => Some(Step::Field(part.to_owned())),
    });
    parts.collect()
}

fn remove(payload: &mut Value, place: &[Step]) {
    let Some((last, path)) = place.split_last() else { return };
    let parent = path.iter().try_fold(payload, |value, step| match step {
        Step::Field(name) => value.get_mut(name),
        Step::Entry(entry) => value.get_mut(*entry),
    });
    match (parent, last) {
        (Some(Value::Object(fields)), Step::Field(name)) => {
            fields.remove(name);
            // A code means nothing without its system.
            if name == "system" {
                fields.remove("code");
            }
        }
        (Some(Value::Array(entries)), Step::Entry(entry)) if *entry < entries.len() => {
            entries.remove(*entry);
        }
        _ => {}
    }
}
