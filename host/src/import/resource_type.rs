//! Finds the type of a resource in its line, without parsing the rest if possible.
//!
//! Only type names of FHIR R4 are returned: any other text may be a patient's data.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::draft::{Problem, problem};
use super::fhir_r4::TYPES;

pub(super) const WRONG_TYPE: &str = "is not of the type that FHIR gives it";

#[derive(Deserialize)]
struct Named {
    #[serde(rename = "resourceType")]
    resource_type: Option<String>,
}

/// The type of the resource on this line.
///
/// # Errors
/// When the line is not a resource of FHIR R4.
pub(super) fn of_line(line: &[u8]) -> Result<&'static str, Problem> {
    let unknown = || problem("resourceType", "is not a resource type of FHIR R4");
    if let Some(name) = leading(line) {
        return known(name).ok_or_else(unknown);
    }
    match serde_json::from_slice::<Named>(line) {
        Ok(Named { resource_type: Some(name) }) => known(name.as_bytes()).ok_or_else(unknown),
        Ok(Named { resource_type: None }) => Err(problem("resourceType", "is missing: not a FHIR resource")),
        Err(error) => Err(match object(line, &error) {
            Ok(object) if object.get("resourceType").is_some_and(|name| !name.is_string()) => {
                problem("resourceType", WRONG_TYPE)
            }
            Ok(_) => problem("record", "names an element twice"),
            Err(found) => found,
        }),
    }
}

/// The static name of a resource type, if FHIR R4 has it.
pub(super) fn known(name: &[u8]) -> Option<&'static str> {
    TYPES.binary_search_by(|known| known.as_bytes().cmp(name)).ok().map(|index| TYPES[index])
}

/// The type, if it is the first element, as most servers write it.
fn leading(line: &[u8]) -> Option<&[u8]> {
    let rest = line.trim_ascii_start().strip_prefix(b"{")?.trim_ascii_start();
    let rest = rest.strip_prefix(b"\"resourceType\"")?.trim_ascii_start();
    let rest = rest.strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
    let end = rest.iter().take(64).position(|byte| !byte.is_ascii_alphabetic())?;
    (rest[end] == b'"').then(|| &rest[..end])
}

/// Parses the line as a generic object, after serde failed to read it with `error`.
///
/// # Errors
/// When it is not an object.
pub(super) fn object(line: &[u8], error: &serde_json::Error) -> Result<Map<String, Value>, Problem> {
    match serde_json::from_slice(line) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(problem("record", "is not a JSON object")),
        Err(_) => Err(match std::str::from_utf8(line) {
            Ok(_) => problem("record", format!("is not JSON: an error at column {}", error.column())),
            Err(_) => problem("record", "is not UTF-8"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_is_found_wherever_it_is_and_however_it_is_written() {
        assert!(TYPES.is_sorted(), "a search by halves needs them in order");
        for line in [
            r#"{"resourceType":"Patient","contained":[{"resourceType":"Basic"}]}"#,
            r#" { "resourceType" : "Patient" }"#,
            r#"{"contained":[{"resourceType":"Basic"}],"resourceType":"Patient"}"#,
            r#"{"id":"1","resourceType":"P\u0061tient"}"#,
            r#"{"resourceType":"P\u0061tient"}"#,
        ] {
            assert_eq!(of_line(line.as_bytes()).unwrap(), "Patient", "{line}");
        }
        for (line, reason) in [
            (r#"{"resourceType":"Secret"}"#, "resourceType: is not a resource type of FHIR R4"),
            (r#"{"id":1,"resourceType":"Patien"}"#, "resourceType: is not a resource type of FHIR R4"),
            (r#"{"id":1,"resourceType":5}"#, "resourceType: is not of the type that FHIR gives it"),
            (r#"{"id":1,"resourceType":"A","resourceType":"A"}"#, "record: names an element twice"),
            (r#"{"resourceType":"Patient"#, "record: is not JSON: an error at column 24"),
            ("[1]", "record: is not a JSON object"),
        ] {
            assert_eq!(of_line(line.as_bytes()).unwrap_err().to_string(), reason, "{line}");
        }
    }
}
