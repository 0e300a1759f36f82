//! The columns of `patient_data` that this adapter owns, and a patient's values for them.
//!
//! Everything else in the row belongs to OpenEMR's users and is never written. Read next: `mapping.rs` for what goes into
//! them, `schema.rs` for which of them a given OpenEMR has.

use adapter_sdk::database::Value;
use sha2::{Digest as _, Sha256};

/// What a column holds, which decides how its content is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Text, where NULL and `''` mean the same: OpenEMR's own forms turn the one into the other.
    Text,
    /// `YYYY-MM-DD`.
    Date,
    /// `YYYY-MM-DD HH:MM:SS`, the clinic's local time.
    Datetime,
}

/// One column that this adapter writes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OwnColumn {
    pub(crate) name: &'static str,
    pub(crate) content: Content,
    /// Whether OpenEMR has had it since 5.0.2, so that nothing can be delivered without it.
    pub(crate) required: bool,
}

const fn text(name: &'static str) -> OwnColumn {
    OwnColumn { name, content: Content::Text, required: false }
}

/// All of them, in the order in which records and statements carry them.
pub(crate) const OWN_COLUMNS: [OwnColumn; 23] = [
    text("title"),
    OwnColumn { name: "fname", content: Content::Text, required: true },
    text("mname"),
    OwnColumn { name: "lname", content: Content::Text, required: true },
    text("suffix"),
    OwnColumn { name: "DOB", content: Content::Date, required: true },
    OwnColumn { name: "sex", content: Content::Text, required: true },
    text("status"),
    text("phone_home"),
    text("phone_biz"),
    text("phone_cell"),
    text("email"),
    text("street"),
    text("street_line_2"),
    text("city"),
    text("state"),
    text("postal_code"),
    text("country_code"),
    text("language"),
    text("race"),
    text("ethnicity"),
    text("ss"),
    OwnColumn { name: "deceased_date", content: Content::Datetime, required: false },
];

/// One patient's values in canonical form: `None` for NULL and for `''`, in the order of the target's own columns.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Record(pub(crate) Vec<Option<String>>);

/// Values are a patient's data, so only their number is shown.
impl std::fmt::Debug for Record {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Record({} columns)", self.0.len())
    }
}

impl Record {
    /// Reads back what a row holds; `values` stand in the order of `columns`.
    pub(crate) fn from_row(columns: &[&'static OwnColumn], values: &[Value]) -> Self {
        Self(columns.iter().zip(values).map(|(column, value)| canonical(column.content, value)).collect())
    }
}

/// Makes fingerprints of records that have the same columns.
pub(crate) struct Fingerprints(String);

impl Fingerprints {
    /// The columns are digested once, for all records.
    pub(crate) fn new(columns: &[&'static OwnColumn]) -> Self {
        let mut names = Sha256::new();
        for column in columns {
            names.update(column.name);
            names.update([0]);
        }
        Self(format!("1.{}", hexadecimal(&names.finalize()[..4])))
    }

    /// A digest of the values that shows an edit but not the data: `1.COLUMNS.VALUES`, where the first digest tells which
    /// columns were digested. Digests of different columns are not comparable.
    pub(crate) fn of(&self, record: &Record) -> String {
        let mut values = Sha256::new();
        for value in &record.0 {
            match value {
                None => values.update([0]),
                Some(text) => {
                    values.update([1]);
                    values.update((text.len() as u64).to_be_bytes());
                    values.update(text);
                }
            }
        }
        format!("{}.{}", self.0, hexadecimal(&values.finalize()[..16]))
    }
}

/// Whether two fingerprints digest the same columns in the same way, so that a difference means an edit.
pub(crate) fn comparable(one: &str, other: &str) -> bool {
    match (one.rsplit_once('.'), other.rsplit_once('.')) {
        (Some((one, _)), Some((other, _))) => one == other,
        _ => false,
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|half| char::from(DIGITS[usize::from(half)])).collect()
}

fn canonical(content: Content, value: &Value) -> Option<String> {
    let text = match value {
        Value::Signed(number) => number.to_string(),
        Value::Unsigned(number) => number.to_string(),
        other => other.as_text()?.to_owned(),
    };
    if text.is_empty() {
        return None;
    }
    Some(match content {
        Content::Text => text,
        Content::Date => text.get(..10).unwrap_or(&text).to_owned(),
        Content::Datetime => {
            let day_and_time = text.replacen('T', " ", 1);
            let whole_seconds = day_and_time.split('.').next().unwrap_or_default().trim_end_matches('Z');
            if whole_seconds.len() == 10 { format!("{whole_seconds} 00:00:00") } else { whole_seconds.to_owned() }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Vec<&'static OwnColumn> {
        OWN_COLUMNS.iter().filter(|column| ["fname", "DOB", "deceased_date"].contains(&column.name)).collect()
    }

    fn record(values: &[Value; 3]) -> Record {
        Record::from_row(&columns(), values)
    }

    #[test]
    fn the_same_content_is_equal_however_the_database_types_it() {
        let from_mysql = record(&[
            Value::Text("A".into()),
            Value::Date("1980-01-31".into()),
            Value::Datetime("2024-05-01 00:00:00".into()),
        ]);
        let from_sqlite = record(&[
            Value::Text("A".into()),
            Value::Text("1980-01-31".into()),
            Value::Text("2024-05-01T00:00:00.000".into()),
        ]);
        assert_eq!(from_mysql, from_sqlite);
        assert_eq!(Fingerprints::new(&columns()).of(&from_mysql), Fingerprints::new(&columns()).of(&from_sqlite));
    }

    #[test]
    fn null_and_empty_text_are_the_same() {
        let null = record(&[Value::Null, Value::Null, Value::Null]);
        let empty = record(&[Value::Text(String::new()), Value::Null, Value::Null]);
        assert_eq!(null, empty);
    }

    #[test]
    fn a_fingerprint_tells_values_apart_and_shows_none() {
        let one = Record(vec![Some("ab".into()), None, None]);
        let moved = Record(vec![Some("a".into()), Some("b".into()), None]);
        assert_ne!(Fingerprints::new(&columns()).of(&one), Fingerprints::new(&columns()).of(&moved));
        assert_eq!(Fingerprints::new(&columns()).of(&one).len(), 2 + 8 + 1 + 32);
        assert_eq!(Fingerprints::new(&columns()).of(&one), Fingerprints::new(&columns()).of(&one.clone()));
    }

    #[test]
    fn fingerprints_of_other_columns_are_not_comparable() {
        let more: Vec<&OwnColumn> = OWN_COLUMNS.iter().take(3).collect();
        let one = Record(vec![None, None, None]);
        assert!(!comparable(&Fingerprints::new(&columns()).of(&one), &Fingerprints::new(&more).of(&one)));
        assert!(comparable(
            &Fingerprints::new(&columns()).of(&one),
            &Fingerprints::new(&columns()).of(&record(&[Value::Null, Value::Null, Value::Null]))
        ));
        assert!(!comparable("", ""));
    }

    #[test]
    fn debug_shows_no_value() {
        assert_eq!(format!("{:?}", Record(vec![Some("Kim".into())])), "Record(1 columns)");
    }
}
