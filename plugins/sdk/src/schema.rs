//! The JSON Schema of a type of one's own, by which an adapter reads the payloads of that type.
//!
//! The keywords and patterns are those of the schemas in `schemas/`. A schema that needs more is refused when it is
//! read, in `check` at the latest. Read next: `clinical.rs`, for the types that have schemas already.

use clinical_payload::{OwnSchema, Problem};

use crate::{Change, Failure, FailureKind, Operation};

/// The most problems in one message.
const PROBLEMS_MAX: usize = 20;

/// A schema, ready to read payloads.
#[derive(Clone, Debug)]
pub struct Schema(OwnSchema);

impl Schema {
    /// Reads the text of a schema, as a rule `include_str!` of its file.
    ///
    /// # Errors
    /// `misconfigured`, with every part of the schema that is not supported: nothing can be delivered.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        OwnSchema::parse(text).map(Self).map_err(|problems| {
            failure(FailureKind::Misconfigured, format!("the adapter's own schema: {}", listed(&problems)))
        })
    }

    /// The payload of a change, which has every rule of the schema.
    ///
    /// # Errors
    /// `invalid`, with every broken rule and without any value of the payload. `unsupported` for a merge, whose payload
    /// is not a state to write.
    pub fn read(&self, change: &Change) -> Result<serde_json::Value, Failure> {
        let aggregate_type = &change.aggregate_type;
        if change.operation == Operation::Merge {
            let message = format!("this adapter does not merge aggregates of type {aggregate_type}");
            return Err(failure(FailureKind::Unsupported, message));
        }
        self.0.read(&change.payload).map_err(|problems| {
            let message = format!("payload is not of type {aggregate_type}: {}", listed(&problems));
            failure(FailureKind::Invalid, message)
        })
    }
}

/// The `$id` of a schema's text, for the adapter's descriptor; `None` where the text is not a schema or has no `$id`.
#[must_use]
pub fn id(text: &str) -> Option<String> {
    OwnSchema::parse(text).ok()?.id().map(str::to_owned)
}

fn listed(problems: &[Problem]) -> String {
    let named: Vec<_> = problems.iter().take(PROBLEMS_MAX).map(ToString::to_string).collect();
    let more = problems.len() - named.len();
    let more = if more > 0 { format!("; and {more} more problems") } else { String::new() };
    format!("{}{more}", named.join("; "))
}

fn failure(kind: FailureKind, message: String) -> Failure {
    Failure { kind, message, retry_after_ms: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = r#"{
        "$id": "https://example.org/report/1", "type": "object", "required": ["title"],
        "properties": { "title": { "type": "string", "maxLength": 5 } }
    }"#;

    fn change(payload: &str) -> Change {
        Change {
            change_id: 1,
            event_id: String::new(),
            aggregate_type: "report".to_owned(),
            aggregate_id: "R-1".to_owned(),
            operation: Operation::Create,
            payload: payload.to_owned(),
            references: Vec::new(),
            survivor: None,
            created_at_ms: 0,
            attempt: 1,
            link: None,
        }
    }

    #[test]
    fn a_change_is_read_by_a_schema_of_ones_own() {
        let schema = Schema::parse(SCHEMA).unwrap();
        assert_eq!(schema.read(&change(r#"{"title":"Chest"}"#)).unwrap()["title"], "Chest");
        let failure = schema.read(&change(r#"{"title":"Secret"}"#)).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Invalid);
        assert_eq!(failure.message, "payload is not of type report: title: is too long: 6 characters, at most 5");
        let merge = Change { operation: Operation::Merge, ..change("{}") };
        assert_eq!(schema.read(&merge).unwrap_err().kind, FailureKind::Unsupported);
        assert_eq!(id(SCHEMA).as_deref(), Some("https://example.org/report/1"));
    }

    #[test]
    fn an_unsupported_schema_is_named_and_counted() {
        let properties: Vec<_> = (0..25).map(|number| format!(r#""f{number}":{{"not":{{}}}}"#)).collect();
        let text = format!(r#"{{"type":"object","properties":{{{}}}}}"#, properties.join(","));
        let failure = Schema::parse(&text).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Misconfigured);
        let message = failure.message;
        assert!(
            message.starts_with("the adapter's own schema: schema.properties.f0.not: is not supported"),
            "{message}"
        );
        assert!(message.ends_with("; and 5 more problems"), "{message}");
        assert_eq!(id(&text), None);
    }
}
