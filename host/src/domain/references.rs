//! The references of a change: reads and writes the column `refs` of an outbox row. Pure functions.
//!
//! It must never know a target. The store finds which references have an id there (`store/dependencies.rs`).

use serde::{Deserialize, Serialize};

use super::ids::{AggregateKey, name_fault};

/// The most references of one change.
pub const REFERENCES_MAX: usize = 16;
const NAME_CHARACTERS_MAX: usize = 64;

/// One element of `refs`: another aggregate, and the role that it has in the payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedReference {
    /// The role, for example `subject`; unique in its change.
    pub name: String,
    #[serde(rename = "type")]
    pub aggregate_type: String,
    #[serde(rename = "id")]
    pub aggregate_id: String,
}

impl NamedReference {
    /// The key of the aggregate.
    #[must_use]
    pub fn key(&self) -> AggregateKey {
        AggregateKey { aggregate_type: self.aggregate_type.clone(), aggregate_id: self.aggregate_id.clone() }
    }
}

/// Reads `refs` of a change of the aggregate `own`, as an application wrote it.
///
/// # Errors
/// A fragment that follows the column's name. It holds no value of the row.
pub fn parse(refs: &str, own: Option<&AggregateKey>) -> Result<Vec<NamedReference>, String> {
    let references: Vec<NamedReference> = serde_json::from_str(refs).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        format!("is not a JSON list of {{\"name\", \"type\", \"id\"}} ({place})")
    })?;
    check(&references, own)?;
    Ok(references)
}

/// Checks the references of a change of the aggregate `own`, by every rule that needs no payload.
///
/// # Errors
/// A fragment that follows the column's name. It holds no value of the row.
pub fn check(references: &[NamedReference], own: Option<&AggregateKey>) -> Result<(), String> {
    if references.len() > REFERENCES_MAX {
        return Err(format!("has {} references, at most {REFERENCES_MAX} are taken", references.len()));
    }
    for (index, reference) in references.iter().enumerate() {
        let number = index + 1;
        let fault = |field: &str, text: &str, max: usize| {
            name_fault(text, max).map(|rule| format!("number {number}: `{field}` {rule}"))
        };
        let faults = [
            fault("name", &reference.name, NAME_CHARACTERS_MAX),
            fault("type", &reference.aggregate_type, AggregateKey::TYPE_CHARACTERS_MAX),
            fault("id", &reference.aggregate_id, AggregateKey::ID_CHARACTERS_MAX),
        ];
        if let Some(fault) = faults.into_iter().flatten().next() {
            return Err(fault);
        }
        if references[..index].iter().any(|earlier| earlier.name == reference.name) {
            return Err(format!("number {number}: another reference has the same name"));
        }
        if own == Some(&reference.key()) {
            return Err(format!("number {number} is the aggregate itself"));
        }
    }
    Ok(())
}

/// The role of the survivor in the references of a merge.
pub const SURVIVOR: &str = "survivor";

/// Checks that a merge of `own` refers to the survivor alone. [`check`] makes sure that the survivor is not `own`.
///
/// # Errors
/// A fragment that follows the column's name.
pub fn check_survivor(references: &[NamedReference], own: &AggregateKey) -> Result<(), String> {
    match references {
        [survivor] if survivor.name == SURVIVOR && survivor.aggregate_type == own.aggregate_type => Ok(()),
        _ => Err(format!("of a merge must have one element, named `{SURVIVOR}`: another aggregate of the same type")),
    }
}

/// The value for the column `refs`; `None` without references.
///
/// # Panics
/// Never: texts are always JSON.
#[must_use]
pub fn to_column(references: &[NamedReference]) -> Option<String> {
    let text = || serde_json::to_string(references).expect("invariant: texts are JSON");
    (!references.is_empty()).then(text)
}

/// The text that every reference to this aggregate has in [`to_column`], whatever its name.
///
/// # Panics
/// Never: texts are always JSON, and the name comes first.
#[must_use]
pub fn part_of_column(key: &AggregateKey) -> String {
    let AggregateKey { aggregate_type, aggregate_id } = key.clone();
    let reference = NamedReference { name: String::new(), aggregate_type, aggregate_id };
    let text = serde_json::to_string(&reference).expect("invariant: texts are JSON");
    text.strip_prefix(r#"{"name":"""#).expect("invariant: the name comes first").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(name: &str, kind: &str, id: &str) -> NamedReference {
        NamedReference { name: name.to_owned(), aggregate_type: kind.to_owned(), aggregate_id: id.to_owned() }
    }

    #[test]
    fn references_round_trip() {
        let references = vec![reference("subject", "patient", "P-1"), reference("encounter", "encounter", "E-\"1\"")];
        let column = to_column(&references).expect("a column");
        assert_eq!(parse(&column, Some(&AggregateKey::patient("P-2"))), Ok(references));
        assert_eq!(to_column(&[]), None);
        assert_eq!(parse("[]", None), Ok(Vec::new()));
    }

    #[test]
    fn a_reference_is_found_in_its_column_by_its_key_alone() {
        let key = |id: &str| AggregateKey { aggregate_type: "encounter".to_owned(), aggregate_id: id.to_owned() };
        let column = to_column(&[reference("context", "encounter", "E-\"1\""), reference("part", "encounter", "E-2")]);
        let column = column.expect("a column");
        for (id, is_there) in [("E-\"1\"", true), ("E-2", true), ("E-", false), ("-2", false), ("e-2", false)] {
            assert_eq!(column.contains(&part_of_column(&key(id))), is_there, "{id}");
        }
        // Neither another type nor a name that is made to look like it.
        let part = part_of_column(&key("E-1"));
        let others = [reference("a", "room", "E-1"), reference(&format!("b{part}"), "room", "R-1")];
        assert!(!to_column(&others).expect("a column").contains(&part));
    }

    #[test]
    fn an_invalid_list_of_references_is_refused_without_its_values() {
        let own = AggregateKey::patient("P-1");
        let one = |name: &str, kind: &str, id: &str| to_column(&[reference(name, kind, id)]).expect("a column");
        let many: Vec<_> = (0..17).map(|number| reference(&format!("r{number}"), "patient", "P-9")).collect();
        let twice = [reference("subject", "patient", "P-8"), reference("subject", "patient", "P-9")];
        let cases = [
            ("{}".to_owned(), "is not a JSON list"),
            ("[".to_owned(), "is not a JSON list"),
            ("[{\"name\": \"Hong\"}]".to_owned(), "is not a JSON list"),
            ("[{\"name\":\"a\",\"type\":\"b\",\"id\":\"c\",\"Hong\":1}]".to_owned(), "is not a JSON list"),
            (to_column(&many).expect("a column"), "has 17 references, at most 16"),
            (one("", "patient", "P-9"), "number 1: `name` is empty"),
            (one("subject", " patient", "P-9"), "number 1: `type` begins or ends with a blank"),
            (one("subject", "patient", "Hong\n9"), "number 1: `id` holds a control character"),
            (one("subject", "patient", &"Hong".repeat(64)), "number 1: `id` is longer than 255 characters"),
            (to_column(&twice).expect("a column"), "number 2: another reference has the same name"),
            (one("subject", "patient", "P-1"), "number 1 is the aggregate itself"),
        ];
        for (refs, expected) in cases {
            let error = parse(&refs, Some(&own)).expect_err(expected);
            assert!(error.starts_with(expected), "{error}");
            assert!(!error.contains("Hong"), "{error}");
        }
    }
}
