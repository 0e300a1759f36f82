//! The columns of `patient_data` that this adapter owns, and a patient's values for them.
//!
//! Everything else in the row belongs to OpenEMR's users and is never written. Read next: `mapping.rs` for what goes
//! into them, `schema.rs` for which of them a given OpenEMR has. The rows of the clinical records are compared in the
//! same way; `records/kinds.rs` names their columns.

use std::borrow::Borrow;
use std::collections::BTreeSet;

use adapter_sdk::database::Value;
use sha2::{Digest as _, Sha256};

/// The kind of content of a column, which decides how it is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Text, where NULL and `''` mean the same: OpenEMR's own forms turn the one into the other.
    Text,
    /// Option ids joined by `|`, in no order that matters: OpenEMR's own forms write `|Asian` for `Asian`.
    Options,
    /// `YYYY-MM-DD`; OpenEMR's forms may write `0000-00-00` for none.
    Date,
    /// `YYYY-MM-DD HH:MM:SS`, the clinic's local time.
    Datetime,
    /// `HH:MM:SS`, the clinic's local time.
    Time,
    /// A whole number.
    Integer,
    /// A measured value with so many decimals; OpenEMR writes 0 for what was not measured.
    Measure(u8),
}

impl Content {
    /// Whether NULL and `''` mean the same in such a column.
    pub(crate) fn is_text(self) -> bool {
        matches!(self, Self::Text | Self::Options)
    }
}

/// One column that this adapter writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    OwnColumn { name: "race", content: Content::Options, required: false },
    OwnColumn { name: "ethnicity", content: Content::Options, required: false },
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
    /// Reads back what a row holds; `values` are in the order of `columns`.
    pub(crate) fn from_row<C: Borrow<OwnColumn>>(columns: &[C], values: &[Value]) -> Self {
        Self(columns.iter().zip(values).map(|(column, value)| canonical(column.borrow().content, value)).collect())
    }
}

/// Makes fingerprints of records that have the same columns.
pub(crate) struct Fingerprints(String);

impl Fingerprints {
    /// The columns are digested once, for all records.
    pub(crate) fn new<C: Borrow<OwnColumn>>(columns: &[C]) -> Self {
        let mut names = Sha256::new();
        for column in columns {
            names.update(column.borrow().name);
            names.update([0]);
        }
        Self(format!("1.{}", hexadecimal(&names.finalize()[..4])))
    }

    /// A digest of the values that shows an edit but not the data: `1.COLUMNS.VALUES`, where the first digest tells
    /// which columns were digested. Digests of different columns are not comparable.
    pub(crate) fn of(&self, record: &Record) -> String {
        format!("{}.{}", self.0, digest(record))
    }

    /// The fingerprint of a record that OpenEMR's form may turn into another one without anybody's intent: either of
    /// them is then no edit.
    pub(crate) fn of_either(&self, record: &Record, after_form: &Record) -> String {
        if record == after_form {
            return self.of(record);
        }
        format!("{}.{}", self.of(record), digest(after_form))
    }

    /// Whether a fingerprint stands for this record; `None` when it digests other columns and says nothing.
    pub(crate) fn stands_for(&self, fingerprint: &str, record: &Record) -> Option<bool> {
        let digests = fingerprint.strip_prefix(&self.0)?.strip_prefix('.')?;
        let now = digest(record);
        Some(digests.split('.').any(|one| one == now))
    }
}

fn digest(record: &Record) -> String {
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
    hexadecimal(&values.finalize()[..16])
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
        Value::Double(number) => number.to_string(),
        Value::Boolean(truth) => i64::from(*truth).to_string(),
        other => other.as_text()?.to_owned(),
    };
    if text.is_empty() || (!content.is_text() && text.starts_with("0000-00-00")) {
        return None;
    }
    Some(match content {
        Content::Text => text,
        Content::Integer => text.trim().to_owned(),
        Content::Measure(decimals) => return measure(text.trim().parse().ok()?, decimals),
        Content::Time => text.get(..8).unwrap_or(&text).to_owned(),
        Content::Options => return options(text.split('|')),
        Content::Date => text.get(..10).unwrap_or(&text).to_owned(),
        Content::Datetime => {
            let day_and_time = text.replacen('T', " ", 1);
            let whole_seconds = day_and_time.split('.').next().unwrap_or_default().trim_end_matches('Z');
            if whole_seconds.len() == 10 { format!("{whole_seconds} 00:00:00") } else { whole_seconds.to_owned() }
        }
    })
}

/// A measured value in canonical form; 0 means absent.
pub(crate) fn measure(value: f64, decimals: u8) -> Option<String> {
    let text = format!("{value:.*}", usize::from(decimals));
    text.bytes().any(|byte| (b'1'..=b'9').contains(&byte)).then_some(text)
}

/// Option ids in canonical form: none is empty or comes twice, and their order says nothing.
pub(crate) fn options<'a>(ids: impl Iterator<Item = &'a str>) -> Option<String> {
    let ids: BTreeSet<&str> = ids.map(str::trim).filter(|id| !id.is_empty()).collect();
    (!ids.is_empty()).then(|| ids.into_iter().collect::<Vec<_>>().join("|"))
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
    fn equal_content_compares_equal_for_every_database_type() {
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
    fn a_fingerprint_distinguishes_values_and_shows_none() {
        let one = Record(vec![Some("ab".into()), None, None]);
        let moved = Record(vec![Some("a".into()), Some("b".into()), None]);
        assert_ne!(Fingerprints::new(&columns()).of(&one), Fingerprints::new(&columns()).of(&moved));
        assert_eq!(Fingerprints::new(&columns()).of(&one).len(), 2 + 8 + 1 + 32);
        assert_eq!(Fingerprints::new(&columns()).of(&one), Fingerprints::new(&columns()).of(&one.clone()));
    }

    #[test]
    fn a_fingerprint_of_other_columns_is_not_comparable() {
        let more: Vec<&OwnColumn> = OWN_COLUMNS.iter().take(3).collect();
        let (ours, others) = (Fingerprints::new(&columns()), Fingerprints::new(&more));
        let one = Record(vec![None, None, None]);
        assert_eq!(ours.stands_for(&others.of(&one), &one), None);
        assert_eq!(ours.stands_for("", &one), None);
        assert_eq!(ours.stands_for(&ours.of(&one), &record(&[Value::Null, Value::Null, Value::Null])), Some(true));
        assert_eq!(ours.stands_for(&ours.of(&one), &Record(vec![Some("a".into()), None, None])), Some(false));
    }

    #[test]
    fn a_fingerprint_also_matches_the_record_after_a_form_save() {
        let fingerprints = Fingerprints::new(&columns());
        let [ours, emptied, edited] =
            ["a", "", "b"].map(|text| Record(vec![Some(text.to_owned()).filter(|text| !text.is_empty()), None, None]));
        let either = fingerprints.of_either(&ours, &emptied);
        assert_eq!(fingerprints.of_either(&ours, &ours), fingerprints.of(&ours));
        for (record, expected) in [(&ours, true), (&emptied, true), (&edited, false)] {
            assert_eq!(fingerprints.stands_for(&either, record), Some(expected));
        }
    }

    #[test]
    fn content_after_a_save_of_openemrs_form_compares_equal() {
        for (content, written, saved) in [
            (Content::Options, "Asian", "|Asian"),
            (Content::Options, "Asian|white", "white|Asian|"),
            (Content::Options, "", "|"),
            (Content::Text, "", ""),
            (Content::Date, "", "0000-00-00"),
            (Content::Datetime, "", "0000-00-00 00:00:00"),
            (Content::Datetime, "2024-05-01 00:00:00", "2024-05-01"),
        ] {
            assert_eq!(canonical(content, &Value::from(written)), canonical(content, &Value::from(saved)), "{saved}");
        }
        assert_ne!(
            canonical(Content::Options, &Value::from("Asian")),
            canonical(Content::Options, &Value::from("Asian|white"))
        );
        assert_eq!(canonical(Content::Date, &Value::from("1980-00-00")).as_deref(), Some("1980-00-00"));
    }

    #[test]
    fn a_measure_compares_equal_for_every_database_type_and_0_is_absent() {
        for (value, expected) in [
            (Value::Decimal("154.323584".into()), Some("154.32")),
            (Value::Double(f64::from(154.32_f32)), Some("154.32")),
            (Value::Signed(154), Some("154.00")),
            (Value::Decimal("0.000000".into()), None),
            (Value::Double(0.0), None),
            (Value::Null, None),
        ] {
            assert_eq!(canonical(Content::Measure(2), &value).as_deref(), expected, "{value:?}");
        }
        assert_eq!(measure(154.323_583_5, 6).as_deref(), Some("154.323584"));
    }

    #[test]
    fn debug_shows_no_value() {
        assert_eq!(format!("{:?}", Record(vec![Some("Kim".into())])), "Record(1 columns)");
    }
}
