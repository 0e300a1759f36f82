//! Generates the tables of `docs/outbox.md` from the schemas. `UPDATE_EXPECT=1 cargo test -p clinical-payload docs`
//! rewrites them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::schemas::REFERENCE_NAMES;
use crate::{TYPES, schema};

const BEGIN: &str = "<!-- Made of schemas/*.schema.json by a test of plugins/clinical: begin -->\n";
const END: &str = "<!-- end -->\n";

/// Each type with its fields and references, then the parts that several types share.
fn tables() -> String {
    let mut text = String::new();
    let mut parts = BTreeMap::new();
    for aggregate_type in TYPES {
        let schema = schema(aggregate_type).unwrap();
        let description = schema["description"].as_str().unwrap();
        write!(text, "\n### `{aggregate_type}`\n\n{description}{}\n\n", references(aggregate_type)).unwrap();
        text += &fields(schema);
        parts.extend(schema["$defs"].as_object().into_iter().flatten());
    }
    text += "\n### The parts of these payloads\n\n| form of text | |\n|---|---|\n";
    for (name, part) in parts.iter().filter(|(_, part)| part["type"] == "string") {
        writeln!(text, "| `{name}` | {} |", part["description"].as_str().unwrap()).unwrap();
    }
    for (name, part) in parts.iter().filter(|(_, part)| part["type"] == "object") {
        write!(text, "\n`{name}`: {}\n\n", part["description"].as_str().unwrap()).unwrap();
        text += &fields(part);
    }
    text + "\n"
}

fn references(aggregate_type: &str) -> String {
    let names = REFERENCE_NAMES.iter().filter(|(_, _, types, _)| types.contains(&aggregate_type));
    let names: Vec<_> = names
        .map(|(name, referenced, _, is_required)| {
            let required = if *is_required { ", required" } else { "" };
            format!("`{name}` (of type `{referenced}`{required})")
        })
        .collect();
    if names.is_empty() { String::new() } else { format!("\n\nIn `refs`: {}.", names.join(", ")) }
}

fn fields(schema: &Value) -> String {
    let mut table = "| field | | content |\n|---|---|---|\n".to_owned();
    let required: Vec<_> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let properties: BTreeMap<_, _> = schema["properties"].as_object().unwrap().iter().collect();
    let others = properties.keys().map(|name| name.as_str()).filter(|name| !required.contains(name));
    for name in required.iter().copied().chain(others) {
        let field = &schema["properties"][name];
        let mark = if required.contains(&name) { "required " } else { "" };
        let description = field["description"].as_str().unwrap();
        writeln!(table, "| `{name}` | {mark}| {}. {description} |", kind(field)).unwrap();
    }
    table
}

fn kind(field: &Value) -> String {
    let named = |field: &Value| field["$ref"].as_str().map(|it| format!("`{}`", it.trim_start_matches("#/$defs/")));
    if let Some(name) = named(field) {
        return name;
    }
    if let Some(words) = field["enum"].as_array() {
        let words: Vec<_> = words.iter().map(|word| format!("`{}`", word.as_str().unwrap())).collect();
        return words.join(", ");
    }
    let most = |keyword: &str| field[keyword].as_u64().map(|most| format!(", at most {most}")).unwrap_or_default();
    match field["type"].as_str().unwrap() {
        "string" => format!("text{}", most("maxLength")),
        "array" => format!("list of {}{}", named(&field["items"]).unwrap(), most("maxItems")),
        other => other.to_owned(),
    }
}

#[test]
fn the_tables_of_the_outbox_page_match_the_schemas() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/outbox.md");
    let page = std::fs::read_to_string(&path).unwrap().replace("\r\n", "\n");
    let (before, rest) = page.split_once(BEGIN).expect("the mark where the tables begin");
    let (found, after) = rest.split_once(END).expect("the mark where the tables end");
    let made = tables();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{made}{END}{after}")).unwrap();
        return;
    }
    assert!(found == made, "docs/outbox.md: UPDATE_EXPECT=1 cargo test -p clinical-payload docs writes:\n{made}");
}
