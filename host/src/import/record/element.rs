//! Reads elements that several types share: codes, quantities, days, notes. Pure functions over JSON.

use serde_json::{Map, Number, Value, json};

/// The longest text of a concept that a payload accepts, in characters.
const DISPLAY_CHARACTERS_MAX: usize = 255;

/// A text that is not blank.
pub(super) fn text<'a>(value: &'a Value, element: &str) -> Option<&'a str> {
    value.get(element)?.as_str().map(str::trim).filter(|text| !text.is_empty())
}

/// The entries of a list; any other value counts as a list of one.
pub(super) fn entries(value: Option<&Value>) -> &[Value] {
    match value {
        Some(Value::Array(entries)) => entries,
        Some(Value::Null) | None => &[],
        Some(entry) => std::slice::from_ref(entry),
    }
}

/// A `CodeableConcept` in the form of a payload.
pub(super) struct Concept {
    /// `None` when the concept has nothing that a payload can hold.
    pub(super) value: Option<Value>,
    /// Whether it has codes, and none of them has a system.
    pub(super) lacks_system: bool,
}

/// Reads a `CodeableConcept`: the first coding with system and code, and the best text.
pub(super) fn concept(concept: &Value) -> Concept {
    let codings = entries(concept.get("coding"));
    let whole = codings.iter().find(|coding| text(coding, "system").is_some() && text(coding, "code").is_some());
    let coding = whole.or(codings.first());
    let mut value = Map::new();
    if let Some(coding) = whole {
        value.insert("system".to_owned(), json!(text(coding, "system")));
        value.insert("code".to_owned(), json!(text(coding, "code")));
    }
    let of_coding = |element| coding.and_then(|coding| text(coding, element));
    let texts = [text(concept, "text"), of_coding("display"), of_coding("code")];
    let fits = |text: &&str| text.chars().count() <= DISPLAY_CHARACTERS_MAX && !text.chars().any(char::is_control);
    let known = || texts.into_iter().flatten();
    if let Some(display) = known().find(fits).or(known().next()) {
        value.insert("display".to_owned(), json!(display));
    }
    let lacks_system = whole.is_none() && codings.iter().any(|coding| text(coding, "code").is_some());
    Concept { value: (!value.is_empty()).then_some(Value::Object(value)), lacks_system }
}

/// The codes of one or several concepts that have this system or none.
pub(super) fn codes<'a>(concepts: &'a [Value], system: &'a str) -> impl Iterator<Item = &'a str> {
    concepts
        .iter()
        .flat_map(|concept| entries(concept.get("coding")))
        .filter(move |coding| text(coding, "system").is_none_or(|other| other == system))
        .filter_map(|coding| text(coding, "code"))
}

/// The value of a quantity in a payload.
pub(super) enum Measured {
    Quantity(Value),
    /// A quantity with a comparator, as text. A plain number would mean another value.
    Text(String),
    Unreadable,
}

/// Reads a `Quantity`.
pub(super) fn quantity(quantity: &Value) -> Measured {
    let Some(number) = quantity.get("value").and_then(Value::as_number) else { return Measured::Unreadable };
    let (system, code) = (text(quantity, "system"), text(quantity, "code"));
    let unit = text(quantity, "unit").or(code);
    if let Some(comparator) = text(quantity, "comparator") {
        let known = ["<", "<=", ">=", ">"].contains(&comparator);
        let unit = unit.map(|unit| format!(" {unit}")).unwrap_or_default();
        return if known { Measured::Text(format!("{comparator}{number}{unit}")) } else { Measured::Unreadable };
    }
    let mut value = json!({ "value": number });
    if let Some(unit) = unit {
        value["unit"] = json!(unit);
    }
    if let (Some(system), Some(code)) = (system, code) {
        value["system"] = json!(system);
        value["code"] = json!(code);
    }
    Measured::Quantity(value)
}

/// The number of a `Quantity`, if its unit is that of `measured` or missing.
pub(super) fn number_in_unit_of<'a>(quantity: &'a Value, measured: Option<&Value>) -> Option<&'a Number> {
    let unit = text(quantity, "code").or(text(quantity, "unit"));
    let units = measured.map(|measured| [text(measured, "code"), text(measured, "unit")]);
    let is_same = unit.is_none() || units.is_some_and(|units| units.contains(&unit));
    quantity.get("value").and_then(Value::as_number).filter(|_| is_same && text(quantity, "comparator").is_none())
}

/// The existing ends of a `Period`.
pub(super) fn period(period: &Value) -> Map<String, Value> {
    let end = |name: &str| text(period, name).map(|moment| (name.to_owned(), json!(moment)));
    ["start", "end"].into_iter().filter_map(end).collect()
}

/// The day of a `dateTime`; only the month or year if it has no more.
pub(super) fn day(moment: &str) -> &str {
    moment.split_once('T').map_or(moment, |(day, _)| day)
}

/// The texts of several notes, one per line.
pub(super) fn remarks(notes: &[Value]) -> Option<String> {
    joined(notes.iter().filter_map(|note| text(note, "text")), "\n")
}

pub(super) fn joined<'a>(texts: impl Iterator<Item = &'a str>, separator: &str) -> Option<String> {
    let texts: Vec<_> = texts.collect();
    (!texts.is_empty()).then(|| texts.join(separator))
}
