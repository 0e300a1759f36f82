//! The JSON Schema of an application's own type, interpreted like the schemas in `schemas/`.
//!
//! A schema that needs more than `checker.rs` interprets is refused when it is read, so that no rule of it is silently
//! left out.

use serde_json::Value;

use crate::checker::{self, KEYWORDS, TYPE_NAMES};
use crate::patterns::{FORMATS, Form, PATTERNS, find};
use crate::{Problem, json};

/// The JSON Schema of a type that this crate does not know.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnSchema(Value);

impl OwnSchema {
    /// Reads a schema.
    ///
    /// # Errors
    /// Every part of it that is not supported; or that it is not JSON, or does not describe an object.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let schema = json::read(text).map_err(|problem| vec![Problem { path: "schema".to_owned(), ..problem }])?;
        if schema["type"] != "object" {
            return Err(vec![Problem::new("schema", "must have the type object: a payload is one JSON object")]);
        }
        let mut problems = Vec::new();
        note_unsupported(&schema, &schema["$defs"], "schema", &mut problems);
        if problems.is_empty() { Ok(Self(schema)) } else { Err(problems) }
    }

    /// Its `$id`, as an adapter's descriptor names it.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.0["$id"].as_str()
    }

    /// Reads a payload. Unknown fields are ignored, because a newer application may write more.
    ///
    /// # Errors
    /// Every problem under the schema. Never empty.
    pub fn read(&self, payload: &str) -> Result<Value, Vec<Problem>> {
        let value = json::read(payload).map_err(|problem| vec![problem])?;
        let problems = checker::check(&self.0, &value);
        if problems.is_empty() { Ok(value) } else { Err(problems) }
    }
}

/// Notes every part of a schema, and of the schemas in it, that the checker does not interpret.
pub(crate) fn note_unsupported(schema: &Value, definitions: &Value, path: &str, problems: &mut Vec<Problem>) {
    let Some(keywords) = schema.as_object() else {
        problems.push(Problem::new(path, "must be a JSON object with keywords"));
        return;
    };
    for (keyword, value) in keywords {
        let at = format!("{path}.{keyword}");
        match keyword.as_str() {
            "properties" | "$defs" => note_unsupported_parts(keyword, value, definitions, &at, problems),
            "items" => note_unsupported(value, definitions, &at, problems),
            known if !KEYWORDS.contains(&known) => {
                problems.push(Problem::new(at, format!("is not supported; supported are {}", KEYWORDS.join(", "))));
            }
            known => problems.extend(unsupported(known, value, definitions).map(|message| Problem::new(at, message))),
        }
    }
}

/// The same for the schemas of `properties` or `$defs`.
fn note_unsupported_parts(keyword: &str, parts: &Value, definitions: &Value, path: &str, problems: &mut Vec<Problem>) {
    let Some(parts) = parts.as_object() else {
        problems.push(Problem::new(path, "must be a JSON object of schemas"));
        return;
    };
    for (name, schema) in parts {
        let at = format!("{path}.{name}");
        // Two definitions that name each other would never end.
        if keyword == "$defs" && schema["$ref"].is_string() {
            problems.push(Problem::new(&at, "must not be only another definition's name"));
        }
        note_unsupported(schema, definitions, &at, problems);
    }
}

/// Why a keyword's value is not supported.
fn unsupported(keyword: &str, value: &Value, definitions: &Value) -> Option<String> {
    let texts = |list: &Value| list.as_array().is_some_and(|texts| texts.iter().all(Value::is_string));
    let text = value.as_str().unwrap_or_default();
    let is_known = |forms: &'static [Form]| find(forms, text).is_some();
    let (is_supported, message) = match keyword {
        "type" => (TYPE_NAMES.contains(&text), format!("must be one of {}", TYPE_NAMES.join(", "))),
        "enum" | "required" => (texts(value), "must be a list of texts".to_owned()),
        "dependentRequired" => {
            let lists = value.as_object();
            (lists.is_some_and(|lists| lists.values().all(texts)), "must name lists of texts".to_owned())
        }
        "pattern" => (is_known(&PATTERNS), "is not one of the patterns of the schemas in schemas/".to_owned()),
        "format" => (is_known(&FORMATS), "must be date or date-time".to_owned()),
        "$ref" => {
            let definition = text.strip_prefix("#/$defs/").map(|name| &definitions[name]);
            (
                definition.is_some_and(Value::is_object),
                "must be #/$defs/NAME, of a definition of this schema".to_owned(),
            )
        }
        "minItems" | "maxItems" | "minLength" | "maxLength" => (value.is_u64(), "must be a whole number".to_owned()),
        "minimum" | "maximum" => (value.is_number(), "must be a number".to_owned()),
        _ => (true, String::new()),
    };
    (!is_supported).then_some(message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::OwnSchema;

    fn problems(schema: &serde_json::Value) -> Vec<String> {
        let problems = OwnSchema::parse(&schema.to_string()).expect_err("a schema that is not supported");
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_payload_is_read_by_a_schema_of_ones_own() {
        let schema = json!({
            "$id": "https://example.org/radiology_report/1", "type": "object", "required": ["title", "issued"],
            "properties": {
                "title": { "type": "string", "minLength": 1, "maxLength": 5 },
                "issued": { "type": "string", "format": "date-time" },
                "images": { "type": "integer", "minimum": 0 },
                "is_final": { "type": "boolean" },
            },
        });
        let schema = OwnSchema::parse(&schema.to_string()).unwrap();
        assert_eq!(schema.id(), Some("https://example.org/radiology_report/1"));
        let payload = r#"{"title":"Chest","issued":"2025-06-01T09:30:00+09:00","images":2,"is_final":true,"new":1}"#;
        assert_eq!(schema.read(payload).unwrap()["title"], "Chest");
        for (from, to, expected) in [
            ("\"Chest\"", "\"\"", "title: is too short: 0 characters, at least 1"),
            ("\"Chest\"", "\"Secret\"", "title: is too long: 6 characters, at most 5"),
            ("\"title\"", "\"titel\"", "title: is missing"),
            (":2,", ":2.5,", "images: must be a whole number"),
            (":true", ":\"Secret\"", "is_final: must be true or false"),
            (
                "09:30:00+09:00",
                "Secret",
                "issued: is not a moment with its offset from UTC (YYYY-MM-DDThh:mm:ss+hh:mm or Z)",
            ),
        ] {
            let problems = schema.read(&payload.replace(from, to)).unwrap_err();
            assert_eq!(problems.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected], "{to}");
        }
        // A number without a fraction is whole, however it is written.
        assert!(schema.read(&payload.replace(":2,", ":2.0,")).is_ok());
    }

    #[test]
    fn a_schema_that_needs_more_than_the_checker_interprets_is_refused() {
        let own = |property: serde_json::Value| json!({ "type": "object", "properties": { "a": property } });
        for (schema, expected) in [
            (own(json!({ "anyOf": [] })), "schema.properties.a.anyOf: is not supported; supported are $schema"),
            (own(json!({ "type": "null" })), "schema.properties.a.type: must be one of object, array, string"),
            (own(json!({ "type": ["string"] })), "schema.properties.a.type: must be one of object"),
            (own(json!({ "enum": [1] })), "schema.properties.a.enum: must be a list of texts"),
            (own(json!({ "pattern": "^a$" })), "schema.properties.a.pattern: is not one of the patterns"),
            (own(json!({ "format": "time" })), "schema.properties.a.format: must be date or date-time"),
            (own(json!({ "$ref": "#/$defs/b" })), "schema.properties.a.$ref: must be #/$defs/NAME"),
            (
                own(json!({ "items": { "maxLength": -1 } })),
                "schema.properties.a.items.maxLength: must be a whole number",
            ),
            (json!({ "type": "object", "properties": [] }), "schema.properties: must be a JSON object of schemas"),
            (
                json!({ "type": "object", "$defs": { "b": { "$ref": "#/$defs/b" } } }),
                "schema.$defs.b: must not be only another definition's name",
            ),
            (own(json!(true)), "schema.properties.a: must be a JSON object with keywords"),
            (json!({ "type": "array" }), "schema: must have the type object"),
            (json!([]), "schema: must have the type object"),
        ] {
            let found = problems(&schema);
            assert!(found.len() == 1 && found[0].starts_with(expected), "{schema}: {found:?}");
        }
        let found = OwnSchema::parse("{").unwrap_err();
        assert!(found[0].to_string().starts_with("schema: is not JSON"), "{found:?}");
    }
}
