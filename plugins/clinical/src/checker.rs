//! Checks a JSON value against one of the schemas in `schemas/`, or against a schema of an application's own.
//!
//! It supports exactly the keywords in `KEYWORDS`; `own_schema.rs` refuses a schema that uses another. One pass finds
//! every problem.

use serde_json::{Map, Value};

use crate::Problem;
use crate::patterns::{FORMATS, Form, PATTERNS, find};

/// The supported keywords, and those that only describe (`$schema`, `$id`, `title`, `description`).
pub(crate) const KEYWORDS: [&str; 20] = [
    "$schema",
    "$id",
    "$defs",
    "$ref",
    "title",
    "description",
    "type",
    "enum",
    "required",
    "dependentRequired",
    "properties",
    "items",
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "minimum",
    "maximum",
];

/// The supported values of `type`.
pub(crate) const TYPE_NAMES: [&str; 6] = ["object", "array", "string", "number", "integer", "boolean"];

/// Every problem of `value` under `schema`, in the order of the schema's fields.
pub(crate) fn check(schema: &Value, value: &Value) -> Vec<Problem> {
    let mut checker = Checker { definitions: &schema["$defs"], problems: Vec::new() };
    checker.value(schema, value, "");
    checker.problems
}

struct Checker<'a> {
    definitions: &'a Value,
    problems: Vec<Problem>,
}

impl<'a> Checker<'a> {
    fn note(&mut self, path: &str, message: impl Into<String>) {
        let path = if path.is_empty() { "payload" } else { path };
        self.problems.push(Problem::new(path, message));
    }

    fn value(&mut self, schema: &'a Value, value: &Value, path: &str) {
        if let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix("#/$defs/")) {
            let definition = &self.definitions[name];
            self.value(definition, value, path);
        }
        if let Some(message) = schema["type"].as_str().and_then(|expected| wrong_type(expected, value)) {
            let null = if value.is_null() { "; leave it out instead of null" } else { "" };
            self.note(path, format!("{message}{null}"));
            return;
        }
        if let Some(words) = schema["enum"].as_array().filter(|words| !words.contains(value)) {
            let words: Vec<_> = words.iter().filter_map(Value::as_str).collect();
            self.note(path, format!("is not one of {}", words.join(", ")));
        }
        match value {
            Value::Object(object) => self.object(schema, object, path),
            Value::Array(items) => self.array(schema, items, path),
            Value::String(text) => self.text(schema, text, path),
            Value::Number(number) => self.number(schema, number.as_f64(), path),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn object(&mut self, schema: &'a Value, object: &Map<String, Value>, path: &str) {
        for name in texts(&schema["required"]).filter(|name| !object.contains_key(*name)) {
            self.note(&field(path, name), "is missing");
        }
        for (present, needed) in schema["dependentRequired"].as_object().into_iter().flatten() {
            let missing = texts(needed).filter(|name| object.contains_key(present) && !object.contains_key(*name));
            for name in missing {
                self.note(&field(path, name), format!("is missing, {present} needs it"));
            }
        }
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            if let Some(value) = object.get(name) {
                self.value(schema, value, &field(path, name));
            }
        }
    }

    fn array(&mut self, schema: &'a Value, items: &[Value], path: &str) {
        let (least, most) = (schema["minItems"].as_u64(), schema["maxItems"].as_u64());
        let count = items.len() as u64;
        if let Some(least) = least.filter(|least| count < *least) {
            self.note(path, format!("has {count} elements, at least {least}"));
        }
        if let Some(most) = most.filter(|most| count > *most) {
            self.note(path, format!("has {count} elements, at most {most}"));
            return;
        }
        for (index, item) in items.iter().enumerate() {
            self.value(&schema["items"], item, &format!("{path}[{index}]"));
        }
    }

    fn text(&mut self, schema: &Value, text: &str, path: &str) {
        let characters = text.chars().count() as u64;
        if let Some(least) = schema["minLength"].as_u64().filter(|least| characters < *least) {
            self.note(path, format!("is too short: {characters} characters, at least {least}"));
        }
        if let Some(most) = schema["maxLength"].as_u64().filter(|most| characters > *most) {
            self.note(path, format!("is too long: {characters} characters, at most {most}"));
        }
        let form = |keyword: &str, forms: &'static [Form]| find(forms, schema[keyword].as_str()?);
        let refused = [form("pattern", &PATTERNS), form("format", &FORMATS)]
            .into_iter()
            .flatten()
            .find(|form| !(form.accepts)(text));
        if let Some(form) = refused {
            self.note(path, form.message);
        }
    }

    fn number(&mut self, schema: &Value, number: Option<f64>, path: &str) {
        let number = number.unwrap_or(f64::NAN);
        if let Some(least) = schema["minimum"].as_f64().filter(|least| number < *least) {
            self.note(path, format!("is below {least}"));
        }
        if let Some(most) = schema["maximum"].as_f64().filter(|most| number > *most) {
            self.note(path, format!("is above {most}"));
        }
    }
}

/// The paths of all unknown fields of a payload. They are ignored, because a newer application may write more. They are
/// reported only where people write payloads by hand.
#[must_use]
pub fn unknown_fields(aggregate_type: &str, payload: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(schema) = crate::schema(aggregate_type) {
        collect_unknown(schema, &schema["$defs"], payload, "", &mut found);
    }
    found
}

fn collect_unknown(schema: &Value, definitions: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    let schema = match schema["$ref"].as_str().and_then(|reference| reference.strip_prefix("#/$defs/")) {
        Some(name) => &definitions[name],
        None => schema,
    };
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match schema["properties"].get(name) {
                    Some(schema) => collect_unknown(schema, definitions, value, &field(path, name), found),
                    None => found.push(field(path, name)),
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect_unknown(&schema["items"], definitions, item, &format!("{path}[{index}]"), found);
            }
        }
        _ => {}
    }
}

/// The message for a value of the wrong type; `None` when it has the expected one.
fn wrong_type(expected: &str, value: &Value) -> Option<&'static str> {
    match expected {
        "object" => (!value.is_object()).then_some("must be a JSON object"),
        "array" => (!value.is_array()).then_some("must be a list"),
        "string" => (!value.is_string()).then_some("must be text"),
        "number" => (!value.is_number()).then_some("must be a number"),
        "integer" => (!is_whole(value)).then_some("must be a whole number"),
        "boolean" => (!value.is_boolean()).then_some("must be true or false"),
        _ => Some("has a type that this version does not know"),
    }
}

/// Whether it is a number without a fraction, also one written as `2.0`.
fn is_whole(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn field(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

#[cfg(test)]
mod tests {
    use crate::own_schema::note_unsupported;
    use crate::{TYPES, schema};

    #[test]
    fn unknown_fields_are_found_at_any_depth() {
        let payload = serde_json::json!({
            "status": "active", "reaction": [{ "severity": "mild", "sevrity": 1, "manifestation": { "dispaly": 1 } }],
        });
        let expected = ["reaction[0].manifestation.dispaly", "reaction[0].sevrity", "status"];
        let mut found = super::unknown_fields("allergy", &payload);
        found.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn schemas_use_only_what_the_checker_interprets() {
        for aggregate_type in TYPES {
            let schema = schema(aggregate_type).unwrap();
            let mut problems = Vec::new();
            note_unsupported(schema, &schema["$defs"], aggregate_type, &mut problems);
            assert_eq!(problems, []);
            assert_eq!(schema["$id"], format!("https://neuronova.example/schemas/{aggregate_type}/1"));
        }
    }
}

#[cfg(test)]
#[path = "validator_tests.rs"]
mod validator_tests;
