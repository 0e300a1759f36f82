//! The checker and an independent validator must agree on the same documents: every record, with each value replaced by
//! each of the values below, or removed.

use serde_json::{Value, json};

use super::check;
use crate::samples::full;
use crate::{TYPES, schema};

/// The replacements: a value of every type, and edge cases of every form.
fn replacements() -> Vec<Value> {
    let mut values = vec![Value::Null, json!(true), json!(0), json!(-1.5), json!(1e12), json!(1e13), json!(-2e12)];
    values.extend([json!([]), json!({}), json!([{}]), json!(["x"]), json!(vec![json!({}); 17])]);
    values.extend([json!({ "display": "d", "code": "c" }), json!({ "value": 1, "unit": "u", "code": "c" })]);
    values.extend([64, 65, 255, 256, 1_000, 1_001, 4_000, 4_001].map(|count| json!("각".repeat(count))));
    values.extend(
        [
            "",
            " ",
            "  x ",
            "x",
            "\u{a0}",
            "\t",
            "a\tb",
            "a\nb",
            "a\r\nb",
            "\n",
            "a\u{7f}",
            "a\u{85}b",
            "a\0b",
            "a\u{b}b",
            "mild",
            "Mild",
            "active",
            "final",
            "AMB",
            "H",
            "LL",
            "Immunization",
            "I",
            "IM",
            "Im munization",
            "immunization",
            "http://loinc.org",
            "urn:oid:1.2",
            "urn:",
            ":x",
            "1a:b",
            "a+b.c-1:x",
            "http://a b",
            "http://a\u{85}",
            "loinc",
            "2024",
            "2024-02",
            "2024-02-29",
            "2023-02-29",
            "2024-02-30",
            "2024-04-31",
            "2024-13-01",
            "2024-00-10",
            "2024-01-32",
            "2024-1-1",
            "0999-01-01",
            "3000-01-01",
            "20240101",
            "2024-01-01 ",
            "2024-01-01\n",
            "٢٠٢٤-01-01",
            "2024-02-29T10:00:00Z",
            "2023-02-29T10:00:00Z",
            "2024-02-29T10:00:00.123456789+09:00",
            "2024-02-29T10:00:00",
            "2024-02-29T10:00Z",
            "2024-02-29T24:00:00Z",
            "2024-02-29T23:59:60Z",
            "2024-02-29t10:00:00z",
            "2024-02-29 10:00:00Z",
            "2024-02-29T10:00:00+14:00",
            "2024-02-29T10:00:00+14:01",
            "2024-02-29T10:00:00-13:59",
            "2024-02-29T10:00:00+9:00",
            "2024-02-29T10:00:00.Z",
            "2024-02-29T10:00:00.1234567890Z",
            "2024-02-29T10:00:00Zx",
            "2024-02-29T1:00:00Z",
        ]
        .map(Value::from),
    );
    values
}

/// The pointers of every value in a document, including the document itself.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| pointers(value, &format!("{at}/{name}"), found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| pointers(value, &format!("{at}/{index}"), found));
        }
        _ => {}
    }
}

fn without(document: &Value, pointer: &str) -> Option<Value> {
    let (parent, name) = pointer.rsplit_once('/')?;
    let mut document = document.clone();
    document.pointer_mut(parent)?.as_object_mut()?.remove(name)?;
    Some(document)
}

#[test]
fn the_checker_agrees_with_an_independent_validator() {
    for aggregate_type in TYPES {
        let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
        let own = schema(aggregate_type).unwrap();
        let url = own["$id"].as_str().unwrap();
        compiler.enable_format_assertions();
        compiler.add_resource(url, own.clone()).unwrap();
        let index = compiler.compile(url, &mut schemas).unwrap();
        let (mut valid, mut refused) = (0, 0);
        let mut judge = |document: &Value| {
            let (theirs, ours) = (schemas.validate(document, index), check(own, document));
            assert_eq!(theirs.is_ok(), ours.is_empty(), "{aggregate_type}: {document}\n{theirs:?}\n{ours:?}");
            if ours.is_empty() { valid += 1 } else { refused += 1 }
        };
        let mut document = full(aggregate_type);
        if aggregate_type == "observation" {
            let concept = document["code"].clone();
            let component = json!({ "code": concept, "value_quantity": document["value_quantity"] });
            let others = json!({ "value_string": "x", "value_concept": concept, "component": [component] });
            document.as_object_mut().unwrap().extend(others.as_object().unwrap().clone());
        }
        let mut places = Vec::new();
        pointers(&document, "", &mut places);
        for pointer in &places {
            without(&document, pointer).iter().for_each(&mut judge);
            for replacement in replacements() {
                let mut changed = document.clone();
                *changed.pointer_mut(pointer).unwrap() = replacement;
                judge(&changed);
            }
        }
        // Both outcomes occur often enough.
        assert!(valid >= 50 && refused >= 100, "{aggregate_type}: {valid} valid, {refused} refused");
    }
}
