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
    /// What its target must have before: what it refers to, unless it is a deletion. Of a merge its survivor.
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
    fn references(&mut self, own: Option<&AggregateKey>, operation: Option<Operation>) -> Option<Vec<NamedReference>> {
        let value = self.values.next().unwrap_or(Value::Null);
        let bytes = self.values.next().and_then(|bytes| bytes.as_i64()).unwrap_or_default();
        let parsed = match value {
            Value::Null if bytes > REFS_BYTES_MAX => {
                Err(format!("has {bytes} bytes, at most {REFS_BYTES_MAX} are read"))
            }
            Value::Null => Ok(Vec::new()),
            value => references::parse(&self.text_of("refs", value)?, own),
        };
        let parsed = parsed.and_then(|references| match (operation, own) {
            (Some(Operation::Merge), Some(own)) => references::check_survivor(&references, own).map(|()| references),
            _ => Ok(references),
        });
        parsed.map_err(|rule| self.refuse(FailureKind::Invalid, &format!("refs {rule}"))).ok()
    }

    /// Reads the operation's word.
    fn operation(&mut self, word: Option<&str>) -> Option<Operation> {
        let operation = word.and_then(Operation::from_word);
        if word.is_some() && operation.is_none() {
            self.refuse(FailureKind::Unsupported, UNKNOWN_OPERATION);
        }
        operation
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
    let operation = columns.operation(word.as_deref());
    columns.text("event_id");
    let created_at = columns.time("created_at");
    if let Some(found) = columns.values.next().and_then(Value::into_text) {
        columns.refuse(FailureKind::Invalid, &format!("payload is of type {found}, text is expected"));
    }
    let own = key(aggregate_type.as_deref(), aggregate_id.as_deref());
    let references = columns.references(own.as_ref(), operation).unwrap_or_default();
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
const UNKNOWN_OPERATION: &str = "operation must be create, update, delete or merge";

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
    let operation = columns.operation(word.as_deref());
    let event_id = columns.text("event_id");
    let payload = columns.payload();
    let created_at_ms = columns.time("created_at");
    let (remote_id, remote_version, fingerprint) =
        (next_text(&mut columns), next_text(&mut columns), next_text(&mut columns));
    let delivered_id = columns.values.next().and_then(|id| id.as_i64()).map(ChangeId::new);
    let was_merged = next_text(&mut columns).is_some();
    let own = key(aggregate_type.as_deref(), aggregate_id.as_deref());
    let references = columns.references(own.as_ref().filter(|_| operation == Some(Operation::Merge)), operation);
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
            let mut references: Vec<_> = references.into_iter().map(without_id).collect();
            let survivor = if operation == Operation::Merge { references.pop() } else { None };
            let survivor_id = survivor.as_ref().map(|survivor| survivor.aggregate_id.clone());
            let change = Change {
                change_id,
                event_id,
                key: AggregateKey { aggregate_type, aggregate_id },
                operation,
                payload,
                references,
                survivor,
                created_at_ms,
                attempt: attempts.saturating_add(1),
                link: remote_id.map(|remote_id| Link { remote_id, remote_version, fingerprint }),
            };
            Ok((Delivery { change, attempts, survivor_id, was_merged }, delivered_id))
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
#[path = "readable_tests.rs"]
mod tests;
