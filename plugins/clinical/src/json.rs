//! Reads unambiguous JSON: an object that repeats a field is refused, because two parsers could read it differently.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::Problem;

/// The message for a repeated field, the only error of our own.
const TWICE: &str = "a field is given twice";

/// Reads one JSON value. Nothing may follow it.
///
/// # Errors
/// When it is not JSON, or an object repeats a field.
pub fn read(text: &str) -> Result<Value, Problem> {
    serde_json::from_str::<Unambiguous>(text).map(|unambiguous| unambiguous.0).map_err(|error| {
        // serde's own message may repeat a value.
        let what = if error.is_data() { TWICE } else { "is not JSON: an error" };
        Problem::new("payload", format!("{what} at line {} column {}", error.line(), error.column()))
    })
}

struct Unambiguous(Value);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UnambiguousVisitor).map(Self)
    }
}

struct UnambiguousVisitor;

impl<'de> Visitor<'de> for UnambiguousVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Unambiguous(item)) = sequence.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Unambiguous(value))) = map.next_entry::<String, _>()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom(TWICE));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn json_is_read_unchanged_and_a_duplicate_field_is_refused() {
        let text = r#"{"a":[1,-2,2.5,true,null,"é"],"b":{"a":{}}}"#;
        assert_eq!(read(text).unwrap(), serde_json::from_str::<serde_json::Value>(text).unwrap());
        let refused = |text| read(text).unwrap_err().to_string();
        assert_eq!(refused(r#"{"a":{"Secret":1,"Secret":2}}"#), "payload: a field is given twice at line 1 column 28");
        assert_eq!(refused(r#"{"a":Secret}"#), "payload: is not JSON: an error at line 1 column 6");
        assert_eq!(refused(r#"{"a":1} {}"#), "payload: is not JSON: an error at line 1 column 9");
        assert!(refused(&"[".repeat(1_000)).starts_with("payload: is not JSON"));
    }
}
