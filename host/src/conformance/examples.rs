//! Payloads of types other than patients: one JSON example for each, which the suite varies.
//!
//! In a text of the example, `${id}` is replaced by the aggregate's id, and `${text}` and `${number}` by a text and a
//! number that differ in each state. The suite knows nothing else about a type of the adapter's own, so it never sets a
//! field that the example does not have. It has examples of the clinical records itself (`clinical.rs`).

use serde_json::{Map, Value};

use crate::domain::references::{self, NamedReference};

/// An example of one type's payload.
#[derive(Clone, Debug)]
pub struct Example {
    aggregate_type: String,
    payload: Map<String, Value>,
    has_text: bool,
    has_number: bool,
    /// What each of its changes refers to; of the ids only the types count.
    references: Vec<NamedReference>,
}

/// What fills an example.
pub(super) struct Filling<'a> {
    pub(super) id: &'a str,
    pub(super) text: &'a str,
    pub(super) number: i64,
}

impl Example {
    /// Reads a JSON example.
    ///
    /// # Errors
    /// What is wrong with it, and the fix.
    pub fn parse(aggregate_type: &str, text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))?;
        let Value::Object(payload) = value else {
            return Err("is not a JSON object: a payload is one".to_owned());
        };
        let mut example = Self {
            aggregate_type: aggregate_type.to_owned(),
            payload,
            has_text: false,
            has_number: false,
            references: Vec::new(),
        };
        let mut places = Vec::new();
        example.payload.values().for_each(|value| collect_places(value, &mut places));
        for place in places {
            match place.as_str() {
                "id" => {}
                "text" => example.has_text = true,
                "number" => example.has_number = true,
                other => return Err(format!("${{{other}}} is not known: write ${{id}}, ${{text}} or ${{number}}")),
            }
        }
        Ok(example)
    }

    #[must_use]
    pub fn aggregate_type(&self) -> &str {
        &self.aggregate_type
    }

    /// Has its changes refer to others, as the column `refs` of the outbox has them. Their ids are replaced by ids of
    /// records that the suite delivers.
    ///
    /// # Errors
    /// A fragment that names what is wrong with the references.
    pub fn refer(&mut self, refs: &str) -> Result<(), String> {
        self.references = references::parse(refs, None)?;
        Ok(())
    }

    pub(super) fn references(&self) -> &[NamedReference] {
        &self.references
    }

    /// Whether it has a place for a text.
    pub(super) fn has_text(&self) -> bool {
        self.has_text
    }

    /// Whether two states of one aggregate can differ.
    pub(super) fn varies(&self) -> bool {
        self.has_text || self.has_number
    }

    /// The payload as JSON text.
    pub(super) fn fill(&self, filling: &Filling<'_>) -> String {
        Value::Object(self.payload.iter().map(|(key, value)| (key.clone(), filled(value, filling))).collect())
            .to_string()
    }
}

fn collect_places(value: &Value, places: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            let begun = text.split("${").skip(1);
            places.extend(begun.map(|rest| {
                rest.split_once('}').map_or_else(|| format!("{rest} without its end"), |(name, _)| name.to_owned())
            }));
        }
        Value::Array(values) => values.iter().for_each(|value| collect_places(value, places)),
        Value::Object(object) => object.values().for_each(|value| collect_places(value, places)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn filled(value: &Value, filling: &Filling<'_>) -> Value {
    match value {
        // Alone it becomes a JSON number; inside a text it is written as digits.
        Value::String(text) if text == "${number}" => filling.number.into(),
        Value::String(text) => text
            .replace("${id}", filling.id)
            .replace("${number}", &filling.number.to_string())
            .replace("${text}", filling.text)
            .into(),
        Value::Array(values) => values.iter().map(|value| filled(value, filling)).collect(),
        Value::Object(object) => {
            Value::Object(object.iter().map(|(key, value)| (key.clone(), filled(value, filling))).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_at_any_depth() {
        let text =
            r#"{"id": "${id}", "values": [{"n": "${number}", "t": "<${text}> of ${id}, ${number}"}], "kept": 7}"#;
        let example = Example::parse("lab", text).unwrap();
        assert!(example.has_text() && example.varies());
        let filled: Value =
            serde_json::from_str(&example.fill(&Filling { id: "L-1", text: "a \"b\"", number: 3 })).unwrap();
        let expected = serde_json::json!({"id": "L-1", "values": [{"n": 3, "t": "<a \"b\"> of L-1, 3"}], "kept": 7});
        assert_eq!(filled, expected);
    }

    #[test]
    fn an_example_without_placeholders_does_not_vary() {
        let example = Example::parse("lab", r#"{"id": "${id}", "unit": "mg"}"#).unwrap();
        assert!(!example.has_text() && !example.varies());
    }

    #[test]
    fn references_are_read_as_the_outbox_has_them() {
        let mut example = Example::parse("lab", "{}").unwrap();
        example.refer(r#"[{"name": "subject", "type": "patient", "id": "P-1"}]"#).unwrap();
        assert_eq!(example.references()[0].aggregate_type, "patient");
        assert!(example.refer(r#"{"subject": "P-1"}"#).unwrap_err().starts_with("is not a JSON list"));
    }

    #[test]
    fn an_invalid_example_is_refused_with_the_reason() {
        for (text, expected) in [
            ("{", "is not JSON"),
            ("[1]", "is not a JSON object"),
            (r#"{"a": ["${name}"]}"#, "${name} is not known: write ${id}, ${text} or ${number}"),
            (r#"{"a": "${id"}"#, "${id without its end} is not known"),
        ] {
            let message = Example::parse("lab", text).unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }
}
