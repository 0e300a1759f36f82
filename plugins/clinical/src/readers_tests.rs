//! Generates the fields of clinical records for the examples in Python and JavaScript from the schemas.
//! `UPDATE_EXPECT=1 cargo test -p clinical-payload readers` rewrites them. The conformance suite tries the readers over
//! them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::patterns::PATTERNS;
use crate::{TYPES, schema};

const COLUMNS_MAX: usize = 120;

/// The explanation at the head of each file, without the marks of a comment.
const ABOUT: [&str; 6] = [
    "The fields of clinical records, made of schemas/*.schema.json by a test of plugins/clinical.",
    "",
    "A name with `!` is required; `code>system` needs `system` next to it. A list has the accepted words. Other fields",
    "have a form with its most characters, a number with its limits, or the fields of one of PARTS; `reaction*16` is a",
    "list of at most 16 of them, `component+16` has at least one.",
    "",
];

/// The names of `PATTERNS` in their order; the last one belongs to no typed record.
const FORMS: [&str; 7] = ["text", "note", "uri", "date", "partial_date", "instant", "moment"];

fn form(field: &Value) -> String {
    let pattern = field["pattern"].as_str().expect("a text has a pattern");
    let index = PATTERNS.iter().position(|known| known.text == pattern).expect("a known pattern");
    let most = field["maxLength"].as_u64().map(|most| format!(" {most}")).unwrap_or_default();
    format!("{}{most}", FORMS[index])
}

/// A field, as a literal of both languages.
fn field(field: &Value, definitions: &Value) -> String {
    if let Some(words) = field["enum"].as_array() {
        return Value::from(words.clone()).to_string().replace("\",\"", "\", \"");
    }
    let named = |field: &Value| field["$ref"].as_str().map(|name| name.trim_start_matches("#/$defs/").to_owned());
    let text = match (named(field), field["type"].as_str()) {
        (Some(name), _) if definitions[&name]["type"] == "string" => form(&definitions[&name]),
        (Some(name), _) => name,
        (None, Some("string")) => form(field),
        (None, Some("number")) => format!("number {} {}", field["minimum"], field["maximum"]),
        (None, Some("array")) => {
            let mark = if field["minItems"] == 1 { '+' } else { '*' };
            format!("{}{mark}{}", named(&field["items"]).expect("items of a part"), field["maxItems"])
        }
        _ => panic!("a field that the readers do not know: {field}"),
    };
    format!("\"{text}\"")
}

/// The fields of an object, one or several lines for each.
fn object(name: &str, schema: &Value, definitions: &Value) -> String {
    let mut text = format!("    \"{name}\": {{\n");
    let is_listed = |list: &Value, name: &str| list.as_array().is_some_and(|names| names.iter().any(|one| one == name));
    let properties: BTreeMap<_, _> = schema["properties"].as_object().expect("properties").iter().collect();
    for (name, property) in properties {
        let mark = if is_listed(&schema["required"], name) { "!" } else { "" };
        let needs = schema["dependentRequired"][name][0].as_str().map(|other| format!(">{other}")).unwrap_or_default();
        let value = field(property, definitions);
        let line = format!("        \"{name}{mark}{needs}\": {value},\n");
        if line.chars().count() <= COLUMNS_MAX + 1 {
            text += &line;
            continue;
        }
        writeln!(text, "        \"{name}{mark}{needs}\": [").unwrap();
        let mut words = String::new();
        for word in value.trim_matches(['[', ']']).split(", ") {
            if words.chars().count() + word.chars().count() + 14 > COLUMNS_MAX {
                writeln!(text, "            {}", words.trim_end()).unwrap();
                words.clear();
            }
            write!(words, "{word}, ").unwrap();
        }
        writeln!(text, "            {}\n        ],", words.trim_end()).unwrap();
    }
    text + "    },\n"
}

/// Both tables, after these two declarations.
fn tables(types: &str, parts: &str, end: &str) -> String {
    let mut text = format!("{types}{{\n");
    let mut all_parts = BTreeMap::new();
    for aggregate_type in TYPES.into_iter().filter(|name| *name != "fhir-resource") {
        let schema = schema(aggregate_type).unwrap();
        text += &object(aggregate_type, schema, &schema["$defs"]);
        for (name, part) in schema["$defs"].as_object().expect("definitions") {
            if part["type"] == "object" {
                all_parts.insert(name.as_str(), object(name, part, &schema["$defs"]));
            }
        }
    }
    let all_parts: String = all_parts.into_values().collect();
    write!(text, "}}{end}\n\n{parts}{{\n{all_parts}}}{end}\n").unwrap();
    text
}

#[test]
fn the_readers_of_the_examples_have_the_fields_of_the_schemas() {
    let python = format!("\"\"\"{}\"\"\"\n\n{}", ABOUT.join("\n"), tables("TYPES = ", "PARTS = ", ""));
    let comment = ABOUT.map(|line| format!("// {line}").trim_end().to_owned()).join("\n");
    let comment = comment.trim_end_matches("//");
    let javascript = format!("{comment}\n{}", tables("export const TYPES = ", "export const PARTS = ", ";"));
    for (file, made) in [("python/clinical_types.py", python), ("javascript/clinical_types.js", javascript)] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(file);
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&path, &made).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap().replace("\r\n", "\n");
        assert!(found == made, "{file}: UPDATE_EXPECT=1 cargo test -p clinical-payload readers writes:\n{made}");
    }
}
