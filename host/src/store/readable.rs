//! Reads one outbox row as an application wrote it, or refuses it and names the unreadable column. Pure functions.
//!
//! SQLite stores a value of any type in any column, so a row of `sync_outbox` may hold anything. A row that cannot be
//! read becomes its own failed delivery; it must never stop a batch or the router. Read next: `routing.rs` and
//! `batch.rs`, which call this, and `refuse.rs`, which writes the failed deliveries.

use std::collections::HashMap;

use crate::database::Value;
use crate::domain::change::{Change, Failure, FailureKind, Link, Operation, Reference};
use crate::domain::delivery::Delivery;
use crate::domain::ids::{AggregateKey, ChangeId, name_fault};
use crate::domain::references::{self, NamedReference};

/// Times between 2000 and 2100, in milliseconds. Outside of it `created_at` was written in another unit.
pub(super) const PLAUSIBLE_MS: std::ops::Range<i64> = 946_684_800_000..4_102_444_800_000;

/// Stands in `sync_delivery` for an unreadable type.
const NO_TYPE: &str = "?";

/// A change that cannot be delivered, because its row cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) change_id: ChangeId,
    /// A type that cannot be read is `?`. Such an id is `?` and the row's id, so that it equals no other aggregate's.
    pub(super) key: AggregateKey,
    pub(super) failure: Failure,
}

/// An unrouted outbox row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unrouted {
    pub(super) id: ChangeId,
    /// `None` when it cannot be read.
    pub(super) aggregate_type: Option<String>,
    /// What its target must have before: what it refers to, unless it is a deletion.
    pub(super) waits_for: Vec<NamedReference>,
    pub(super) refused: Option<Refused>,
    /// The apparent unit of `created_at`, when it is not milliseconds.
    pub(super) time_unit: Option<&'static str>,
}

/// Reads a row's values one by one, and notes each whose type is not the column's.
struct Columns {
    change_id: ChangeId,
    values: std::vec::IntoIter<Value>,
    faults: Vec<Failure>,
}

impl Columns {
    fn new(row: Vec<Value>) -> Self {
        let mut values = row.into_iter();
        let change_id = ChangeId::new(values.next().and_then(|id| id.as_i64()).unwrap_or_default());
        Self { change_id, values, faults: Vec::new() }
    }

    fn refuse(&mut self, kind: FailureKind, operation: &str) {
        self.faults.push(Failure::new(kind, format!("outbox row {}: {operation}", self.change_id)));
    }

    fn text(&mut self, column: &str) -> Option<String> {
        let value = self.values.next().unwrap_or(Value::Null);
        self.text_of(column, value)
    }

    fn text_of(&mut self, column: &str, value: Value) -> Option<String> {
        let found = type_name(&value);
        let text = value.into_text();
        if text.is_none() {
            self.refuse(FailureKind::Invalid, &format!("{column} is {found}, text is expected"));
        }
        text
    }

    /// The payload and its length in bytes: one that is too long was not read.
    fn payload(&mut self) -> Option<String> {
        let value = self.values.next().unwrap_or(Value::Null);
        let bytes = self.values.next().and_then(|bytes| bytes.as_i64()).unwrap_or_default();
        if bytes > PAYLOAD_BYTES_MAX {
            self.refuse(
                FailureKind::Invalid,
                &format!("payload has {bytes} bytes, at most {PAYLOAD_BYTES_MAX} are delivered"),
            );
            return None;
        }
        self.text_of("payload", value)
    }

    fn time(&mut self, column: &str) -> Option<i64> {
        let value = self.values.next().unwrap_or(Value::Null);
        let time = value.as_i64();
        if time.is_none() {
            let found = type_name(&value);
            self.refuse(
                FailureKind::Invalid,
                &format!("{column} is {found}, an integer is expected (milliseconds since 1970-01-01 UTC)"),
            );
        }
        time
    }

    /// `refs` and its length in bytes: one that is too long was not read.
    fn references(&mut self, own: Option<&AggregateKey>) -> Option<Vec<NamedReference>> {
        let value = self.values.next().unwrap_or(Value::Null);
        let bytes = self.values.next().and_then(|bytes| bytes.as_i64()).unwrap_or_default();
        let parsed = match value {
            Value::Null if bytes > REFS_BYTES_MAX => {
                Err(format!("has {bytes} bytes, at most {REFS_BYTES_MAX} are read"))
            }
            Value::Null => return Some(Vec::new()),
            value => references::parse(&self.text_of("refs", value)?, own),
        };
        parsed.map_err(|rule| self.refuse(FailureKind::Invalid, &format!("refs {rule}"))).ok()
    }

    /// Checks the rules of docs/outbox.md on ids of every type.
    fn check_ids(&mut self, aggregate_id: Option<&str>) {
        if self.change_id < ChangeId::new(1) {
            self.refuse(FailureKind::Invalid, "id is below 1, the database has to give it");
        }
        if let Some(rule) = aggregate_id.and_then(|id| name_fault(id, AggregateKey::ID_CHARACTERS_MAX)) {
            self.refuse(FailureKind::Invalid, &format!("aggregate_id {rule}"));
        }
    }

    /// Returns the refusal for the first fault, if there is one.
    fn refused(self, aggregate_type: Option<&str>, aggregate_id: Option<&str>) -> Option<Refused> {
        let change_id = self.change_id;
        let failure = self.faults.into_iter().next()?;
        let aggregate_type =
            aggregate_type.filter(|kind| fits(kind, AggregateKey::TYPE_CHARACTERS_MAX)).unwrap_or(NO_TYPE);
        let aggregate_id = aggregate_id.filter(|id| fits(id, AggregateKey::ID_CHARACTERS_MAX));
        let key = AggregateKey {
            aggregate_type: aggregate_type.to_owned(),
            aggregate_id: aggregate_id.map_or_else(|| format!("?{change_id}"), str::to_owned),
        };
        Some(Refused { change_id, key, failure })
    }
}

/// Reads a row of the statement `unrouted`: all columns but the payload, of which only the type is checked.
pub(super) fn unrouted(row: Vec<Value>) -> Unrouted {
    let mut columns = Columns::new(row);
    let aggregate_type = columns.text("aggregate_type");
    let aggregate_id = columns.text("aggregate_id");
    columns.check_ids(aggregate_id.as_deref());
    let word = columns.text("operation");
    let operation = word.as_deref().and_then(Operation::of_outbox);
    if word.is_some() && operation.is_none() {
        columns.refuse(FailureKind::Unsupported, UNKNOWN_OPERATION);
    }
    columns.text("event_id");
    let created_at = columns.time("created_at");
    if let Some(found) = columns.values.next().and_then(Value::into_text) {
        columns.refuse(FailureKind::Invalid, &format!("payload is of type {found}, text is expected"));
    }
    let own = key(aggregate_type.as_deref(), aggregate_id.as_deref());
    let references = columns.references(own.as_ref()).unwrap_or_default();
    // What is deleted needs nothing else at the target.
    let waits_for = if operation == Some(Operation::Delete) { Vec::new() } else { references };
    let id = columns.change_id;
    let refused = columns.refused(aggregate_type.as_deref(), aggregate_id.as_deref());
    Unrouted { id, aggregate_type, waits_for, refused, time_unit: created_at.and_then(time_unit) }
}

fn key(aggregate_type: Option<&str>, aggregate_id: Option<&str>) -> Option<AggregateKey> {
    Some(AggregateKey { aggregate_type: aggregate_type?.to_owned(), aggregate_id: aggregate_id?.to_owned() })
}

/// As `change_columns` has it (sql/fragments/common.sql).
const PAYLOAD_BYTES_MAX: i64 = 1 << 20;
/// As `refs_columns` has it.
const REFS_BYTES_MAX: i64 = 1 << 15;
const UNKNOWN_OPERATION: &str = "operation must be create, update or delete";

/// Reads a row of `change_columns` (sql/fragments/common.sql). Returns the delivery, and the newest change of its
/// aggregate that the target confirmed.
///
/// The rules on ids are not checked again, so that a change that an earlier version has routed is delivered.
pub(super) fn delivery(
    row: Vec<Value>,
    attempts: &HashMap<ChangeId, u32>,
) -> Result<(Delivery, Option<ChangeId>), Refused> {
    let mut columns = Columns::new(row);
    let change_id = columns.change_id;
    let aggregate_type = columns.text("aggregate_type");
    let aggregate_id = columns.text("aggregate_id");
    let word = columns.text("operation");
    let operation = word.as_deref().and_then(Operation::of_outbox);
    if word.is_some() && operation.is_none() {
        columns.refuse(FailureKind::Unsupported, UNKNOWN_OPERATION);
    }
    let event_id = columns.text("event_id");
    let payload = columns.payload();
    let created_at_ms = columns.time("created_at");
    let (remote_id, remote_version, fingerprint) =
        (next_text(&mut columns), next_text(&mut columns), next_text(&mut columns));
    let delivered_id = columns.values.next().and_then(|id| id.as_i64()).map(ChangeId::new);
    let references = columns.references(None);
    match (aggregate_type, aggregate_id, operation, event_id, payload, created_at_ms, references) {
        (
            Some(aggregate_type),
            Some(aggregate_id),
            Some(operation),
            Some(event_id),
            Some(payload),
            Some(created_at_ms),
            Some(references),
        ) => {
            let attempts = attempts.get(&change_id).copied().unwrap_or_default();
            let change = Change {
                change_id,
                event_id,
                key: AggregateKey { aggregate_type, aggregate_id },
                operation,
                payload,
                references: references.into_iter().map(without_id).collect(),
                survivor: None,
                created_at_ms,
                attempt: attempts.saturating_add(1),
                link: remote_id.map(|remote_id| Link { remote_id, remote_version, fingerprint }),
            };
            Ok((Delivery { change, attempts }, delivered_id))
        }
        (aggregate_type, aggregate_id, ..) => Err(columns
            .refused(aggregate_type.as_deref(), aggregate_id.as_deref())
            .expect("invariant: a column that could not be read was noted")),
    }
}

/// A reference of which the target's id is not known yet.
pub(super) fn without_id(reference: NamedReference) -> Reference {
    let NamedReference { name, aggregate_type, aggregate_id } = reference;
    Reference { name, aggregate_type, aggregate_id, remote_id: None }
}

/// The refusal of a change whose outbox row was deleted.
pub(super) fn gone(change_id: ChangeId) -> Refused {
    let message = format!("outbox row {change_id}: it was deleted before it was delivered");
    let key = AggregateKey { aggregate_type: NO_TYPE.to_owned(), aggregate_id: format!("?{change_id}") };
    Refused { change_id, key, failure: Failure::new(FailureKind::Invalid, message) }
}

fn next_text(columns: &mut Columns) -> Option<String> {
    columns.values.next().and_then(Value::into_text)
}

fn fits(text: &str, characters_max: usize) -> bool {
    text.chars().count() <= characters_max && !text.chars().any(char::is_control)
}

/// The apparent unit of a time that is not in milliseconds.
pub(super) fn time_unit(created_at: i64) -> Option<&'static str> {
    let is_in = |per_millisecond: fn(i64) -> i64| PLAUSIBLE_MS.contains(&per_millisecond(created_at));
    if PLAUSIBLE_MS.contains(&created_at) {
        None
    } else if is_in(|seconds| seconds.saturating_mul(1_000)) {
        Some("seconds")
    } else if is_in(|micros| micros / 1_000) {
        Some("microseconds")
    } else if is_in(|nanos| nanos / 1_000_000) {
        Some("nanoseconds")
    } else {
        Some("an unknown unit")
    }
}

/// A value's type in words for developers. Bytes are a BLOB, or text that is not UTF-8.
fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "NULL",
        Value::Bool(_) | Value::I64(_) | Value::U64(_) => "an integer",
        Value::F64(_) | Value::Decimal(_) => "a number with a fraction (REAL)",
        Value::Bytes(_) => "bytes (a BLOB, or not UTF-8)",
        Value::Date(_) | Value::DateTime(_) | Value::Time(_) => "a date or time",
        Value::Text(_) | Value::Json(_) | Value::Other(_) | Value::Texts(_) => "text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Vec<Value> {
        vec![
            7.into(),
            "patient".into(),
            "P-1".into(),
            "create".into(),
            "e".into(),
            1_700_000_000_000.into(),
            Value::Null,
            Value::Null,
            Value::Null,
        ]
    }

    fn with(column: usize, value: Value) -> Unrouted {
        let mut row = good();
        row[column] = value;
        unrouted(row)
    }

    #[test]
    fn a_valid_row_is_accepted() {
        let row = unrouted(good());
        assert_eq!(
            (row.id, row.aggregate_type.as_deref(), row.refused, row.time_unit),
            (ChangeId::new(7), Some("patient"), None, None)
        );
    }

    #[test]
    fn a_column_of_the_wrong_type_is_named_with_its_row() {
        let blob = || Value::Bytes(b"B-9".to_vec());
        let cases = [
            (1, blob(), "aggregate_type is bytes"),
            (1, Value::Null, "aggregate_type is NULL"),
            (2, blob(), "aggregate_id is bytes"),
            (2, Value::I64(5), "aggregate_id is an integer"),
            (2, Value::Null, "aggregate_id is NULL"),
            (3, blob(), "operation is bytes"),
            (3, "upsert".into(), "operation must be"),
            (3, "merge".into(), "operation must be"),
            (3, "create ".into(), "operation must be"),
            (4, Value::F64(1.5), "event_id is a number"),
            (5, Value::F64(1_700_000_000_000.25), "created_at is a number with a fraction (REAL)"),
            (5, "2026-01-01 00:00:00".into(), "created_at is text, an integer is expected"),
            (5, Value::Null, "created_at is NULL"),
            (6, "blob".into(), "payload is of type blob"),
            (7, blob(), "refs is bytes"),
            (7, "{}".into(), "refs is not a JSON list"),
            (8, (REFS_BYTES_MAX + 1).into(), "refs has 32769 bytes, at most 32768 are read"),
            (0, Value::I64(0), "id is below 1"),
            (0, Value::I64(-7), "id is below 1"),
        ];
        for (column, value, expected) in cases {
            let refused = with(column, value).refused.expect(expected);
            let message = refused.failure.message;
            assert!(message.contains(expected), "{message}: {expected}");
            assert!(message.starts_with(&format!("outbox row {}: ", refused.change_id)), "{message}");
        }
    }

    #[test]
    fn invalid_ids_are_refused_with_the_reason_and_valid_ones_pass() {
        let cases = [
            ("", Some("is empty")),
            (" ", Some("is blank")),
            ("\u{3000}", Some("is blank")),
            ("T-1 ", Some("begins or ends with a blank")),
            (" T-1", Some("begins or ends with a blank")),
            ("T-1\u{a0}", Some("begins or ends with a blank")),
            ("new\nline", Some("holds a control character")),
            ("nul\0", Some("holds a control character")),
            ("T 1", None),
            ("\u{c9}", None),
            ("E\u{301}", None),
            ("환자 1", None),
        ];
        for (id, expected) in cases {
            let message = with(2, id.into()).refused.map(|refused| refused.failure.message);
            let expected = expected.map(|rule| format!("outbox row 7: aggregate_id {rule}"));
            assert_eq!(message, expected, "{id:?}");
        }
        assert!(with(2, "x".repeat(255).into()).refused.is_none());
        assert!(with(2, "x".repeat(256).into()).refused.is_some());
    }

    #[test]
    fn an_unreadable_row_gets_a_key_of_its_own() {
        let refused = with(2, Value::Bytes(b"P-1".to_vec())).refused.expect("refused");
        assert_eq!((refused.key.aggregate_type.as_str(), refused.key.aggregate_id.as_str()), ("patient", "?7"));
        let refused = with(1, Value::Null).refused.expect("refused");
        assert_eq!((refused.key.aggregate_type.as_str(), refused.key.aggregate_id.as_str()), ("?", "P-1"));
        assert_eq!(with(2, "T-1 ".into()).refused.expect("refused").key.aggregate_id, "T-1 ");
    }

    #[test]
    fn a_time_in_another_unit_is_reported_and_not_refused() {
        let cases = [
            (1_763_000_000, Some("seconds")),
            (1_763_000_000_000, None),
            (1_763_000_000_000_000, Some("microseconds")),
            (1_763_000_000_000_000_000, Some("nanoseconds")),
            (0, Some("an unknown unit")),
            (-5, Some("an unknown unit")),
            (i64::MAX, Some("an unknown unit")),
        ];
        for (time, expected) in cases {
            let row = with(5, time.into());
            assert_eq!((row.time_unit, row.refused), (expected, None), "{time}");
        }
    }

    #[test]
    fn one_unreadable_row_does_not_affect_the_rest_of_a_batch() {
        let row = |id: i64, payload: Value| {
            let mut row = vec![
                id.into(),
                "patient".into(),
                "P-1".into(),
                "create".into(),
                "e".into(),
                payload,
                2.into(),
                5.into(),
            ];
            row.extend([Value::Null, Value::Null, Value::Null, Value::Null]);
            row.extend([Value::Null, Value::Null]);
            row
        };
        let none = HashMap::new();
        let mut large = row(9, Value::Null);
        large[6] = (PAYLOAD_BYTES_MAX + 1).into();
        let refused = delivery(large, &none).expect_err("too large");
        assert_eq!(refused.failure.message, "outbox row 9: payload has 1048577 bytes, at most 1048576 are delivered");
        assert!(delivery(row(7, "{}".into()), &none).is_ok());
        let mut referring = row(7, "{}".into());
        referring[12] = r#"[{"name": "subject", "type": "patient", "id": "P-9"}]"#.into();
        let (read, _) = delivery(referring, &none).expect("read");
        let reference = Reference {
            name: "subject".to_owned(),
            aggregate_type: "patient".to_owned(),
            aggregate_id: "P-9".to_owned(),
            remote_id: None,
        };
        assert_eq!(read.change.references, [reference]);
        let refused = delivery(row(8, Value::Bytes(vec![0xff])), &none).expect_err("bytes");
        assert!(refused.failure.message.starts_with("outbox row 8: payload is bytes"), "{}", refused.failure.message);
    }
}
