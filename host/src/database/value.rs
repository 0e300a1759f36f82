//! One value of any of the three databases.

/// A parameter or a column of a row. Temporal values are text in SQL's own form (`2025-01-31`, `2025-01-31 23:59:59`).
#[derive(Clone, PartialEq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// A truth value; SQLite and MySQL keep it as 0 or 1.
    Bool(bool),
    /// A signed integer.
    I64(i64),
    /// An unsigned integer, where the database has them.
    U64(u64),
    /// A double.
    F64(f64),
    /// Exact decimal digits.
    Decimal(String),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A day.
    Date(String),
    /// A day and a time, with no zone.
    DateTime(String),
    /// A time of day.
    Time(String),
    /// A JSON document.
    Json(String),
    /// Anything else, in text form.
    Other(String),
    /// A list of texts; a parameter for PostgreSQL alone.
    Texts(Vec<Option<String>>),
}

/// Values may be a patient's data, so only their kind is shown.
impl std::fmt::Debug for Value {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Null => "Null",
            Self::Bool(_) => "Bool(..)",
            Self::I64(_) => "I64(..)",
            Self::U64(_) => "U64(..)",
            Self::F64(_) => "F64(..)",
            Self::Decimal(_) => "Decimal(..)",
            Self::Text(_) => "Text(..)",
            Self::Bytes(_) => "Bytes(..)",
            Self::Date(_) => "Date(..)",
            Self::DateTime(_) => "DateTime(..)",
            Self::Time(_) => "Time(..)",
            Self::Json(_) => "Json(..)",
            Self::Other(_) => "Other(..)",
            Self::Texts(_) => "Texts(..)",
        })
    }
}

impl Value {
    /// The integer, also where a database gives it as another kind of number.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::I64(number) => Some(*number),
            Self::U64(number) => i64::try_from(*number).ok(),
            Self::Bool(truth) => Some(i64::from(*truth)),
            Self::Decimal(digits) => digits.parse().ok(),
            _ => None,
        }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn into_text(self) -> Option<String> {
        match self {
            Self::Text(text) | Self::Json(text) | Self::Other(text) => Some(text),
            _ => None,
        }
    }

    /// How many bytes the value takes, about.
    #[must_use]
    pub fn byte_count(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) => 1,
            Self::I64(_) | Self::U64(_) | Self::F64(_) => 8,
            Self::Bytes(bytes) => bytes.len(),
            Self::Texts(texts) => texts.iter().flatten().map(String::len).sum(),
            Self::Decimal(text)
            | Self::Text(text)
            | Self::Date(text)
            | Self::DateTime(text)
            | Self::Time(text)
            | Self::Json(text)
            | Self::Other(text) => text.len(),
        }
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::I64(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
