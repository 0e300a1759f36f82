//! Formats a dry run as text and as JSON.
//!
//! Unless the operator requests values, only the kind and length of possible patients' data are shown. The aggregate's
//! id is shown, because the operator entered it. A masked statement has no literals; a masked URL has its base, its
//! first segment and the names in its query; a masked header has its name.

use serde_json::{Value as Json, json};

use crate::cli::output::printable;
use crate::database::{Rows, Value};
use crate::domain::hex::hex;
use crate::plugin::{Operation, OperationResult, TranscriptEntry};

/// The maximum number of rows in the text form; JSON contains all.
const ROWS_SHOWN_MAX: usize = 20;

/// The data that may be shown.
pub(super) struct View<'a> {
    /// Whether to show values instead of kinds and lengths.
    pub(super) reveal: bool,
    /// The aggregate's id, which is always shown.
    pub(super) aggregate_id: &'a str,
    /// The target's base URL, which is always shown.
    pub(super) base_url: Option<&'a str>,
}

/// A value, or only its kind and length.
enum Seen {
    Value(String),
    Masked(&'static str, Option<usize>),
}

impl Seen {
    fn text(&self) -> String {
        match self {
            Self::Value(text) => printable(text),
            Self::Masked(kind, None) => format!("<{kind}>"),
            Self::Masked(kind, Some(length)) => format!("<{kind}, {length}>"),
        }
    }

    fn json(&self) -> Json {
        match self {
            Self::Value(text) => json!({ "value": text }),
            Self::Masked(kind, length) => json!({"type": kind, "length": length}),
        }
    }
}

impl View<'_> {
    /// The lines of one entry.
    pub(super) fn lines(&self, number: usize, entry: &TranscriptEntry) -> Vec<String> {
        let mut lines = match &entry.operation {
            Operation::Statement { sql, shape, parameters } => {
                let sql = if self.reveal { printable(sql) } else { printable(shape) };
                let mut lines = vec![format!("   {number}. {sql}")];
                if !parameters.is_empty() {
                    lines.push(format!("      with {}", self.values(parameters)));
                }
                lines
            }
            Operation::Lock(name) => vec![format!("   {number}. lock {}", self.guarded("text", name).text())],
            Operation::Request { method, url, headers, body } => {
                let mut lines = vec![format!("   {number}. {} {}", printable(method), printable(&self.url(url)))];
                for (name, value) in headers {
                    lines.push(format!("      {}: {}", printable(name), self.header(name, value).text()));
                }
                if !body.is_empty() {
                    lines.push(format!("      {}", self.bytes("body", body).text()));
                }
                lines
            }
        };
        lines.extend(self.result_lines(entry.result.as_ref()));
        lines
    }

    fn result_lines(&self, answer: Option<&OperationResult>) -> Vec<String> {
        match answer {
            None => vec!["      -> no answer".to_owned()],
            Some(OperationResult::Locked) => vec!["      -> locked".to_owned()],
            Some(OperationResult::Refused(reason)) => vec![format!("      -> refused: {}", printable(reason))],
            Some(OperationResult::Changed(done)) => vec![format!("      -> {}", rows_in_words(done.rows_affected))],
            Some(OperationResult::Withheld) => vec!["      -> NOT SENT: it would write".to_owned()],
            Some(OperationResult::Rows(rows)) => self.row_lines(rows),
            Some(OperationResult::Response { status, body }) if body.is_empty() => vec![format!("      -> {status}")],
            Some(OperationResult::Response { status, body }) => {
                vec![format!("      -> {status} {}", self.bytes("body", body).text())]
            }
        }
    }

    fn row_lines(&self, rows: &Rows) -> Vec<String> {
        let count = rows.rows.len();
        if count == 0 {
            return vec!["      -> no rows".to_owned()];
        }
        let columns = printable(&rows.columns.join(", "));
        let mut lines = vec![format!("      -> {} of {columns}", rows_in_words(count as u64))];
        lines.extend(rows.rows.iter().take(ROWS_SHOWN_MAX).map(|row| format!("         {}", self.values(row))));
        if count > ROWS_SHOWN_MAX {
            lines.push(format!("         and {} more", count - ROWS_SHOWN_MAX));
        }
        lines
    }

    /// One entry as JSON.
    pub(super) fn json(&self, entry: &TranscriptEntry) -> Json {
        let mut object = match &entry.operation {
            Operation::Statement { sql, shape, parameters } => json!({
                "sql": if self.reveal { sql } else { shape },
                "parameters": parameters.iter().map(|value| self.value(value).json()).collect::<Vec<_>>(),
            }),
            Operation::Lock(name) => json!({"lock": self.guarded("text", name).json()}),
            Operation::Request { method, url, headers, body } => json!({
                "method": method,
                "url": self.url(url),
                "headers": headers.iter().map(|(name, value)| json!({"name": name, "value": self.header(name, value).json()})).collect::<Vec<_>>(),
                "body": (!body.is_empty()).then(|| self.bytes("body", body).json()),
            }),
        };
        object["answer"] = entry.result.as_ref().map_or(Json::Null, |answer| self.result_json(answer));
        object
    }

    fn result_json(&self, answer: &OperationResult) -> Json {
        match answer {
            OperationResult::Locked => json!({"locked": true}),
            OperationResult::Refused(reason) => json!({"refused": reason}),
            OperationResult::Changed(done) => json!({"rows_affected": done.rows_affected}),
            OperationResult::Withheld => json!({"not_sent": true}),
            OperationResult::Response { status, body } => {
                json!({"status": status, "body": self.bytes("body", body).json()})
            }
            OperationResult::Rows(Rows { columns, rows }) => {
                let row = |row: &Vec<Value>| row.iter().map(|value| self.value(value).json()).collect::<Vec<_>>();
                json!({"columns": columns, "rows": rows.iter().map(row).collect::<Vec<_>>()})
            }
        }
    }

    fn values(&self, values: &[Value]) -> String {
        values.iter().map(|value| self.value(value).text()).collect::<Vec<_>>().join(", ")
    }

    fn value(&self, value: &Value) -> Seen {
        match value {
            Value::Null | Value::Texts(_) => Seen::Value("NULL".to_owned()),
            Value::Bool(truth) => self.number("boolean", truth),
            Value::I64(number) => self.number("integer", number),
            Value::U64(number) => self.number("integer", number),
            Value::F64(number) => self.number("double", number),
            Value::Decimal(digits) => self.number("decimal", digits),
            Value::Date(text) => self.number("date", text),
            Value::DateTime(text) => self.number("datetime", text),
            Value::Time(text) => self.number("time", text),
            Value::Text(text) => self.guarded("text", text),
            Value::Json(text) => self.guarded("json", text),
            Value::Other(text) => self.guarded("other", text),
            Value::Bytes(bytes) => self.bytes("bytes", bytes),
        }
    }

    /// Masks a value completely: only its kind is shown.
    fn number(&self, kind: &'static str, value: &impl ToString) -> Seen {
        if self.reveal { Seen::Value(value.to_string()) } else { Seen::Masked(kind, None) }
    }

    fn guarded(&self, kind: &'static str, text: &str) -> Seen {
        if self.reveal || text == self.aggregate_id {
            Seen::Value(text.to_owned())
        } else {
            Seen::Masked(kind, Some(text.chars().count()))
        }
    }

    fn bytes(&self, kind: &'static str, bytes: &[u8]) -> Seen {
        match std::str::from_utf8(bytes) {
            Ok(text) if self.reveal => Seen::Value(text.to_owned()),
            _ if self.reveal => Seen::Value(hex(bytes)),
            _ => Seen::Masked(kind, Some(bytes.len())),
        }
    }

    fn header(&self, name: &str, value: &str) -> Seen {
        match name {
            "accept" | "content-type" | "user-agent" => Seen::Value(value.to_owned()),
            _ => self.guarded("text", value),
        }
    }

    fn url(&self, url: &url::Url) -> String {
        let base = self.base_url.unwrap_or_default();
        let Some(rest) = url.as_str().strip_prefix(base).filter(|_| !self.reveal) else { return url.to_string() };
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        let segments = path.split('/').enumerate().map(|(place, segment)| match segment {
            // The first segment below the base is a resource type; others may be ids.
            word if place <= 1 && is_word(word) => word.to_owned(),
            segment => self.guarded("text", segment).text(),
        });
        let mut shown = format!("{base}{}", segments.collect::<Vec<_>>().join("/"));
        if let Some(query) = query {
            let pairs = query.split('&').map(|pair| match pair.split_once('=') {
                Some((name, value)) if is_word(name) => format!("{name}={}", self.guarded("text", value).text()),
                _ => self.guarded("text", pair).text(),
            });
            shown.push('?');
            shown.push_str(&pairs.collect::<Vec<_>>().join("&"));
        }
        shown
    }
}

fn rows_in_words(count: u64) -> String {
    if count == 1 { "1 row".to_owned() } else { format!("{count} rows") }
}

/// Whether a text has only letters and hyphens. An empty text counts.
fn is_word(text: &str) -> bool {
    text.chars().all(|letter| letter.is_ascii_alphabetic() || "_-$".contains(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIEW: View<'_> = View { reveal: false, aggregate_id: "P-1", base_url: Some("http://h/fhir") };

    #[test]
    fn a_url_shows_only_the_id_that_the_operator_typed() {
        for (url, seen) in [
            ("http://h/fhir/metadata", "http://h/fhir/metadata"),
            ("http://h/fhir/Patient/P-1", "http://h/fhir/Patient/P-1"),
            ("http://h/fhir/Patient/Kim", "http://h/fhir/Patient/<text, 3>"),
            (
                "http://h/fhir/Patient?name=Kim&P-1&_count=2",
                "http://h/fhir/Patient?name=<text, 3>&P-1&_count=<text, 1>",
            ),
            ("http://h/fhir/900505-2", "http://h/fhir/<text, 8>"),
        ] {
            assert_eq!(VIEW.url(&url.parse().unwrap()), seen);
        }
        let revealed = View { reveal: true, ..VIEW };
        assert_eq!(revealed.url(&"http://h/fhir/Patient/Kim".parse().unwrap()), "http://h/fhir/Patient/Kim");
    }

    #[test]
    fn every_kind_of_value_is_masked() {
        let text = || "Kim".to_owned();
        let values = [
            Value::Bool(true),
            Value::I64(19_800_315),
            Value::U64(7),
            Value::F64(1.5),
            Value::Decimal("1.5".to_owned()),
            Value::Text(text()),
            Value::Bytes(b"Kim".to_vec()),
            Value::Date("1980-03-15".to_owned()),
            Value::DateTime("1980-03-15 00:00:00".to_owned()),
            Value::Time("00:00:01".to_owned()),
            Value::Json(text()),
            Value::Other(text()),
        ];
        for value in &values {
            assert!(VIEW.value(value).text().starts_with('<'), "{value:?}");
            assert!(VIEW.value(value).json().get("value").is_none(), "{value:?}");
        }
        assert_eq!(VIEW.value(&Value::Text("P-1".to_owned())).text(), "P-1");
        assert_eq!(VIEW.value(&Value::Null).text(), "NULL");
        let revealed = View { reveal: true, ..VIEW };
        assert_eq!(revealed.value(&Value::Text("Ki\u{1b}m".to_owned())).text(), "Ki m");
    }
}
