//! The suite's invented patients, and the words by which it recognises payload data in messages.

use serde_json::{Value, json};

/// Words that occur only in payloads: a message or log line with one of them repeats a payload.
pub(super) const WORDS: [&str; 6] =
    ["Quetzalmann", "Wolkenstein", "1903-02-07", "555-0199-7", "Nirgendwostrasse", "nobody.at.all"];

/// The payload of a new patient.
pub(super) fn payload(id: &str, number: i64) -> Value {
    json!({
        "patient_id": id,
        "family_name": "Quetzalmann",
        "given_name": format!("Wolkenstein{}", char::from(b'a' + u8::try_from(number % 26).unwrap_or(0))),
        "native_family_name": "김",
        "native_given_name": "민준",
        "birth_date": "1903-02-07",
        "gender": "female",
        "phone_mobile": "555-0199-7",
        "street": "Nirgendwostrasse 1",
        "city": "Busan",
        "country": "KR",
        "email": "nobody.at.all@example.org",
    })
}

/// The payload of a newer state.
pub(super) fn newer(payload: &str, city: &str) -> Value {
    let mut payload: Value = serde_json::from_str(payload).unwrap_or_default();
    payload["city"] = json!(city);
    payload["given_name"] = json!(format!("Wolkenstein {city}"));
    payload
}

/// Rules of `docs/outbox.md`, the field of each, and a value that breaks it.
pub(super) fn broken() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        ("an empty name", "family_name", json!("")),
        ("a name of blanks", "given_name", json!("  ")),
        ("a name of invisible characters", "family_name", json!("\u{200b}\u{3164}")),
        ("a line break in a name", "given_name", json!("Wolken\nstein")),
        ("a NUL character in a name", "family_name", json!("Quetzal\0mann")),
        ("a name that is a number", "family_name", json!(17)),
        ("a missing name", "given_name", Value::Null),
        ("a month and a day of zero", "birth_date", json!("1903-00-00")),
        ("a day that does not exist", "birth_date", json!("1903-02-29")),
        ("a date in another form", "birth_date", json!("07.02.1903")),
        ("a date with a time", "birth_date", json!("1903-02-07T00:00:00")),
        ("a birth in the future", "birth_date", json!("2150-01-01")),
        ("a birth before 1850", "birth_date", json!("1066-10-14")),
        ("a death before the birth", "deceased_date", json!("1903-02-06")),
        ("a gender that is none of the four", "gender", json!("f")),
        ("an e-mail address without @", "email", json!("nobody.at.all")),
        ("a country by its name", "country", json!("Korea")),
        ("another patient's id", "patient_id", json!("CT-another")),
        ("an id with a blank", "patient_id", json!("CT another")),
    ]
}

/// Returns a word of a payload that occurs in a text, if one does.
pub(super) fn personal(text: &str) -> Option<&'static str> {
    WORDS.into_iter().find(|word| text.contains(word))
}
