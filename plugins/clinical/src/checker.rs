//! Checks a JSON value against one of the schemas in `schemas/`.
//!
//! It supports exactly the keywords in `KEYWORDS`; a test refuses a schema that uses another. One pass finds every
//! problem.

use serde_json::{Map, Value};

use crate::Problem;
use crate::patterns::{FORMATS, Form, PATTERNS, find};

/// The supported keywords, and those that only describe (`$schema`, `$id`, `title`, `description`).
#[cfg(test)]
pub(crate) const KEYWORDS: [&str; 19] = [
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
    "maxLength",
    "pattern",
    "format",
    "minimum",
    "maximum",
];

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
        _ => Some("has a type that this version does not know"),
    }
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn field(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::KEYWORDS;
    use crate::patterns::{FORMATS, Form, PATTERNS, find};
    use crate::{TYPES, schema};

    /// Panics unless the checker supports every keyword of a schema and of its nested schemas, with their values.
    fn refuse_unknown(schema: &Value, definitions: &Value, path: &str) {
        for (keyword, value) in schema.as_object().unwrap() {
            assert!(KEYWORDS.contains(&keyword.as_str()), "{path}: the checker does not interpret {keyword}");
            let known = |forms: &'static [Form]| find(forms, value.as_str().unwrap()).is_some();
            match keyword.as_str() {
                "properties" | "$defs" => {
                    for (name, schema) in value.as_object().unwrap() {
                        refuse_unknown(schema, definitions, &format!("{path}.{name}"));
                    }
                }
                "items" => refuse_unknown(value, definitions, path),
                "pattern" => assert!(known(&PATTERNS), "{path}: {value}"),
                "format" => assert!(known(&FORMATS), "{path}: {value}"),
                "type" => assert!(["object", "array", "string", "number"].contains(&value.as_str().unwrap()), "{path}"),
                "$ref" => {
                    let name = value.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                    assert!(definitions[name].is_object(), "{path}: {name} is not defined");
                }
                "enum" => assert!(value.as_array().unwrap().iter().all(Value::is_string), "{path}"),
                _ => {}
            }
        }
    }

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
            refuse_unknown(schema, &schema["$defs"], aggregate_type);
            assert_eq!(schema["$id"], format!("https://neuronova.example/schemas/{aggregate_type}/1"));
        }
    }

    #[test]
    #[should_panic(expected = "does not interpret anyOf")]
    fn a_schema_with_another_keyword_is_refused() {
        refuse_unknown(&serde_json::json!({ "properties": { "a": { "anyOf": [] } } }), &Value::Null, "test");
    }
}

#[cfg(test)]
#[path = "validator_tests.rs"]
mod validator_tests;
