//! The kinds of parameters that a statement takes, and how a Rust value becomes one.
//!
//! A batch of rows travels as one JSON parameter, so that the statement is the same whatever the batch's size
//! ([`Json`]); a list of ids as one JSON list, or as one parameter each on MySQL ([`Ids`]); many wide rows as
//! their own texts ([`TextRows`]).

use serde::Serialize;

use crate::database::Value;
use crate::domain::ids::{ChangeId, LeaseId};

/// What kind of value a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Kind {
    Text,
    Integer,
    Bytes,
    Json,
    Ids,
    Texts,
    /// Rows with this number of texts each.
    Rows(usize),
}

impl Kind {
    /// A value of this kind, for the placeholder in the text.
    pub(super) fn sample(self) -> Value {
        match self {
            Self::Text | Self::Texts => Value::Text(String::new()),
            Self::Integer => Value::I64(0),
            Self::Bytes => Value::Bytes(Vec::new()),
            Self::Json | Self::Ids => Value::Json(String::new()),
            Self::Rows(_) => Value::Texts(Vec::new()),
        }
    }

    /// As [`Self::sample`], of one element of a list.
    pub(super) fn element(self) -> Value {
        if self == Self::Ids { Value::I64(0) } else { self.sample() }
    }
}

/// A value for a parameter.
pub(in crate::store) enum Parameter<'a> {
    One(Value),
    Ids(&'a [ChangeId]),
    Texts(&'a [String]),
    Rows(Vec<Vec<Option<String>>>),
}

impl Parameter<'_> {
    /// Whether the `[[ ... ]]` around it is left out.
    pub(super) fn is_absent(&self) -> bool {
        match self {
            Self::One(value) => *value == Value::Null,
            Self::Texts(texts) => texts.is_empty(),
            Self::Ids(_) | Self::Rows(_) => false,
        }
    }

    /// The number of elements or rows in its text. The last element is repeated up to a power of two, so that few texts
    /// are prepared. For rows the caller decides the number.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::One(_) => 0,
            Self::Ids(ids) => ids.len().max(1).next_power_of_two(),
            Self::Texts(texts) => texts.len().max(1).next_power_of_two(),
            Self::Rows(rows) => rows.len(),
        }
    }
}

/// A Rust type that a statement's parameter may have.
pub(in crate::store) trait Field {
    const KIND: Kind;
    fn parameter<'a>(self) -> Parameter<'a>
    where
        Self: 'a;
}

macro_rules! fields {
    ($($type:ty => $kind:expr),* $(,)?) => {
        $(
            impl Field for $type {
                const KIND: Kind = $kind;
                fn parameter<'a>(self) -> Parameter<'a>
                where
                    Self: 'a,
                {
                    Parameter::One(Value::from(self))
                }
            }
        )*
    };
}

fields! {
    &str => Kind::Text,
    Option<&str> => Kind::Text,
    i64 => Kind::Integer,
    Option<i64> => Kind::Integer,
    LeaseId => Kind::Integer,
    ChangeId => Kind::Integer,
    Option<ChangeId> => Kind::Integer,
}

impl From<LeaseId> for Value {
    fn from(id: LeaseId) -> Self {
        Self::I64(id.get())
    }
}

impl From<ChangeId> for Value {
    fn from(id: ChangeId) -> Self {
        Self::I64(id.get())
    }
}

impl Field for u32 {
    const KIND: Kind = Kind::Integer;
    fn parameter<'a>(self) -> Parameter<'a>
    where
        Self: 'a,
    {
        Parameter::One(i64::from(self).into())
    }
}

impl Field for bool {
    const KIND: Kind = Kind::Integer;
    fn parameter<'a>(self) -> Parameter<'a>
    where
        Self: 'a,
    {
        Parameter::One(i64::from(self).into())
    }
}

impl Field for Vec<u8> {
    const KIND: Kind = Kind::Bytes;
    fn parameter<'a>(self) -> Parameter<'a>
    where
        Self: 'a,
    {
        Parameter::One(Value::Bytes(self))
    }
}

/// A batch of rows as one JSON list of objects, which a statement reads as a table: `{batch(outbox_id integer,
/// ...)}`.
pub(in crate::store) struct Json(String);

impl Json {
    pub(in crate::store) fn of<T: Serialize>(rows: &[T]) -> Self {
        Self(serde_json::to_string(rows).expect("invariant: our own rows are JSON"))
    }
}

impl Field for Json {
    const KIND: Kind = Kind::Json;
    fn parameter<'a>(self) -> Parameter<'a>
    where
        Self: 'a,
    {
        Parameter::One(Value::Json(self.0))
    }
}

/// Ids of changes: `{key_in_ids(o.id)}`.
pub(in crate::store) type Ids<'a> = &'a [ChangeId];

impl Field for Ids<'_> {
    const KIND: Kind = Kind::Ids;
    fn parameter<'a>(self) -> Parameter<'a>
    where
        Self: 'a,
    {
        Parameter::Ids(self)
    }
}

/// A few texts: `IN (:types...)`.
pub(in crate::store) type Texts<'a> = &'a [String];

impl Field for Texts<'_> {
    const KIND: Kind = Kind::Texts;
    fn parameter<'a>(self) -> Parameter<'a>
    where
        Self: 'a,
    {
        Parameter::Texts(self)
    }
}

/// Rows of `COLUMNS` texts, in the order of the statement's columns: `VALUES (:rows, ...)...`, or for
/// PostgreSQL one array for each column.
pub(in crate::store) struct TextRows<const COLUMNS: usize>(pub(in crate::store) Vec<Vec<Option<String>>>);

impl<const COLUMNS: usize> Field for TextRows<COLUMNS> {
    const KIND: Kind = Kind::Rows(COLUMNS);
    fn parameter<'a>(self) -> Parameter<'a>
    where
        Self: 'a,
    {
        debug_assert!(self.0.iter().all(|row| row.len() == COLUMNS));
        Parameter::Rows(self.0)
    }
}
