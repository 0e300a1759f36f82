//! In which elements two JSON documents differ: paths such as `Patient.name[].family`, never values.
//!
//! A FHIR resource begins a path with its type, also within a Bundle. A name that may be a value is not shown.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::domain::effect_difference::EffectDifferenceKind;

/// Deeper elements are compared as a whole.
const DEPTH_MAX: usize = 64;
/// The longest name that is shown, in bytes.
const NAME_BYTES_MAX: usize = 40;

/// One element that differs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct JsonDifference {
    pub(super) path: String,
    pub(super) kind: EffectDifferenceKind,
}

/// Each element that differs, once.
pub(super) fn json_differences(old: &Value, new: &Value) -> BTreeSet<JsonDifference> {
    let mut found = BTreeSet::new();
    compare(old, new, "", 0, &mut found);
    found
}

fn compare(old: &Value, new: &Value, path: &str, depth: usize, found: &mut BTreeSet<JsonDifference>) {
    if old == new {
        return;
    }
    let mut add = |kind, path: &str| {
        let path = if path.is_empty() { "the body".to_owned() } else { path.to_owned() };
        found.insert(JsonDifference { path, kind });
    };
    match (old, new) {
        _ if depth >= DEPTH_MAX => add(EffectDifferenceKind::OtherValue, path),
        (Value::Object(before), Value::Object(now)) => {
            let path = resource_type(now).map_or(path, |kind| if is_type(kind) { kind } else { path });
            let names: BTreeSet<_> = before.keys().chain(now.keys()).collect();
            for name in names {
                let inner = joined(path, name);
                match (before.get(name), now.get(name)) {
                    (Some(one), Some(other)) => compare(one, other, &inner, depth + 1, found),
                    (Some(_), None) => {
                        found.insert(JsonDifference { path: inner, kind: EffectDifferenceKind::NotWritten });
                    }
                    (None, _) => {
                        found.insert(JsonDifference { path: inner, kind: EffectDifferenceKind::AlsoWritten });
                    }
                }
            }
        }
        (Value::Array(before), Value::Array(now)) => {
            let inner = format!("{path}[]");
            before.iter().zip(now).for_each(|(one, other)| compare(one, other, &inner, depth + 1, found));
            if before.len() > now.len() {
                found.insert(JsonDifference { path: inner, kind: EffectDifferenceKind::NotWritten });
            } else if before.len() < now.len() {
                found.insert(JsonDifference { path: inner, kind: EffectDifferenceKind::AlsoWritten });
            }
        }
        _ => add(EffectDifferenceKind::OtherValue, path),
    }
}

fn resource_type(object: &Map<String, Value>) -> Option<&str> {
    object.get("resourceType").and_then(Value::as_str)
}

fn is_type(kind: &str) -> bool {
    kind.len() <= NAME_BYTES_MAX
        && kind.starts_with(|first: char| first.is_ascii_uppercase())
        && kind.chars().all(|character| character.is_ascii_alphabetic())
}

fn joined(path: &str, name: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-');
    // Interfaces name their elements in lower case; what begins otherwise may be a patient's name or a number.
    let is_name = name.len() <= NAME_BYTES_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
        && name.chars().all(is_plain);
    let name = if is_name { name } else { "{name}" };
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn compared(old: &Value, new: &Value) -> Vec<String> {
        json_differences(old, new).into_iter().map(|one| format!("{} {}", one.kind, one.path)).collect()
    }

    #[test]
    fn elements_are_named_by_their_paths() {
        let old = json!({"resourceType": "Patient", "name": [{"family": "Kim", "given": ["A"]}], "active": true});
        let new = json!({"resourceType": "Patient", "name": [{"family": "Lee", "given": ["A", "B"]}], "gender": "f"});
        assert_eq!(
            compared(&old, &new),
            [
                "not-written Patient.active",
                "also-written Patient.gender",
                "other-value Patient.name[].family",
                "also-written Patient.name[].given[]",
            ]
        );
        let bundle = |patient: &Value| json!({"resourceType": "Bundle", "entry": [{"resource": patient}]});
        assert_eq!(compared(&bundle(&old), &bundle(&new)), compared(&old, &new));
        assert_eq!(compared(&json!({"a": 1, "b": 2}), &json!({"b": 2, "a": 1})), Vec::<String>::new());
        assert_eq!(compared(&json!("Kim"), &json!("Lee")), ["other-value the body"]);
        assert_eq!(compared(&json!({"a": {"b": 1}}), &json!({"a": 2})), ["other-value a"]);
    }

    #[test]
    fn a_name_that_may_be_a_value_is_not_shown() {
        let old = json!({"Kim": 1, "9005052": {"born": 1}, "resourceType": "Kim Min-jun"});
        let new = json!({"Kim": 2, "9005052": {"born": 2}, "resourceType": "Kim Min-jun"});
        assert_eq!(compared(&old, &new), ["other-value {name}", "other-value {name}.born"]);
    }
}
