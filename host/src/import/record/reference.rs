//! Reads a reference: `Type/ID`, `urn:uuid:`, an absolute URL, a search by identifier, or an identifier.

use serde_json::Value;

use super::Context;
use super::element::text;
use crate::import::identity;
use crate::import::ids::{CODE_OF_MEDICATION, Found};
use crate::import::kind::Kind;
use crate::import::resource_type;

/// A record that a resource refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Referred {
    pub(super) resource_type: &'static str,
    pub(super) kind: Kind,
    /// Our id of it.
    pub(super) aggregate_id: String,
}

/// Reads an element of type `Reference`. `expected` is the type if the reference has none.
///
/// # Errors
/// Why the referenced record cannot be determined, as a lower-case fragment.
pub(super) fn read(reference: &Value, expected: &'static str, context: &Context<'_>) -> Result<Referred, &'static str> {
    let expected = text(reference, "type").and_then(|name| resource_type::known(name.as_bytes())).unwrap_or(expected);
    if let Some(literal) = text(reference, "reference") {
        return of_text(literal, expected, context);
    }
    match reference.get("identifier") {
        Some(identifier) => by_identifier(expected, text(identifier, "system"), text(identifier, "value"), context),
        None => Err("names no record"),
    }
}

/// As [`read`], for the text of a reference.
pub(super) fn of_text(literal: &str, expected: &'static str, context: &Context<'_>) -> Result<Referred, &'static str> {
    match locate(literal, expected, context)? {
        Located::Id(name, id) => by_id(name, id, context),
        Located::Identifier(name, token) => {
            let (system, value) = token.split_once('|').ok_or("is a search by an identifier without a system")?;
            by_identifier(name, Some(system), Some(value), context)
        }
    }
}

/// The code of the referenced Medication, if it is in the files.
pub(super) fn code_of_medication(reference: &Value, context: &Context<'_>) -> Option<Value> {
    match locate(text(reference, "reference")?, "Medication", context) {
        Ok(Located::Id("Medication", id)) => match context.ids.find(CODE_OF_MEDICATION, id) {
            Found::Id(code) => serde_json::from_str(code).ok(),
            Found::Several | Found::Own => None,
        },
        _ => None,
    }
}

/// A parsed reference, before the lookup.
enum Located<'a> {
    /// A resource by type and id.
    Id(&'static str, &'a str),
    /// A resource by type and `SYSTEM|VALUE`.
    Identifier(&'static str, String),
}

fn locate<'a>(literal: &'a str, expected: &'static str, context: &Context<'_>) -> Result<Located<'a>, &'static str> {
    if let Some(id) = literal.strip_prefix("urn:uuid:") {
        return Ok(Located::Id(expected, id));
    }
    let relative = match context.options.base_url.as_deref().map(|base| base.trim_end_matches('/')) {
        Some(base) => literal.strip_prefix(base).and_then(|rest| rest.strip_prefix('/')).unwrap_or(literal),
        None => literal,
    };
    if relative.starts_with('#') {
        return Err("refers to a contained resource, which is not imported");
    }
    if relative.contains("://") {
        return Err("is the address of another server; fix: if that wrote the file, add --base-url with its address");
    }
    if let Some((name, query)) = relative.split_once('?') {
        let name = resource_type::known(name.as_bytes()).ok_or("names no resource type of FHIR R4")?;
        let token = query.strip_prefix("identifier=").ok_or("is a search that is not by identifier")?;
        return Ok(Located::Identifier(name, percent_decoded(token).ok_or("is a search that cannot be read")?));
    }
    let (name, id) = relative.split_once('/').ok_or("is not of the form that FHIR gives it")?;
    let name = resource_type::known(name.as_bytes()).ok_or("names no resource type of FHIR R4")?;
    Ok(Located::Id(name, id.split_once("/_history/").map_or(id, |(id, _)| id)))
}

fn by_id(resource_type: &'static str, id: &str, context: &Context<'_>) -> Result<Referred, &'static str> {
    let is_id = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if !(1..=64).contains(&id.len()) || !id.bytes().all(is_id) {
        return Err("is not of the form that FHIR gives it");
    }
    let kind = Kind::of(resource_type, true).ok_or("refers to a resource that is no record")?;
    let aggregate_id = match context.ids.find(resource_type, id) {
        Found::Id(ours) => ours.to_owned(),
        Found::Own => identity::own_id(resource_type, kind, id.to_owned()),
        Found::Several => return Err("is the id of two resources in the files, which have different identifiers"),
    };
    Ok(Referred { resource_type, kind, aggregate_id })
}

fn by_identifier(
    resource_type: &'static str,
    system: Option<&str>,
    value: Option<&str>,
    context: &Context<'_>,
) -> Result<Referred, &'static str> {
    let kind = Kind::of(resource_type, true).ok_or("refers to a resource that is no record")?;
    match value {
        Some(value) if system == Some(&*identity::system(kind, context.options)) => {
            Ok(Referred { resource_type, kind, aggregate_id: value.to_owned() })
        }
        _ => Err("refers by an identifier that is not of our system"),
    }
}

/// Replaces `%7C` by `|`.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}
