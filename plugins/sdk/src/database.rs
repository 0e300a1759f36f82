//! Helpers for database adapters: the lent transaction, its values and its errors.
//!
//! It never talks to a database by itself: an adapter writes its own SQL. Read next: `wit/0.2.0/database.wit`.

pub use crate::bindings::database_target::neuronova::sync::database::{
    DatabaseError, DatabaseErrorKind, Dialect, Execution, Rows, Transaction, Value,
};
use crate::{Failure, FailureKind};

/// The maximum number of rows in one statement when each row needs `parameters_per_row` parameters; at least 1.
///
/// The protocols of MySQL and PostgreSQL count parameters in 16 bits, and SQLite allows 32,766. The result leaves some
/// room for parameters outside the rows.
#[must_use]
pub fn rows_per_statement(dialect: Dialect, parameters_per_row: usize) -> usize {
    let parameters_max = match dialect {
        Dialect::Mysql | Dialect::Postgres => 60_000,
        Dialect::Sqlite => 32_000,
    };
    (parameters_max / parameters_per_row.max(1)).max(1)
}

/// Repeats `template` `count` times with `separator` between, for example `repeated("(?, ?)", ", ", 3)`.
#[must_use]
pub fn repeated(template: &str, separator: &str, count: usize) -> String {
    let mut text = String::with_capacity((template.len() + separator.len()) * count);
    for index in 0..count {
        if index > 0 {
            text.push_str(separator);
        }
        text.push_str(template);
    }
    text
}

/// `count` placeholders: `?, ?, ?`.
#[must_use]
pub fn placeholders(count: usize) -> String {
    repeated("?", ", ", count)
}

impl Value {
    /// Whether the value is SQL's NULL.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The text of a value of the types text, decimal, date, datetime, time, json and other.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text)
            | Value::Decimal(text)
            | Value::Date(text)
            | Value::Datetime(text)
            | Value::Time(text)
            | Value::Json(text)
            | Value::Other(text) => Some(text),
            Value::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            Value::Null | Value::Boolean(_) | Value::Signed(_) | Value::Unsigned(_) | Value::Double(_) => None,
        }
    }

    /// An integer, in any type that the database uses for it; `None` when it is not an integer or does not fit.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Value::Signed(number) => Some(*number),
            Value::Unsigned(number) => i64::try_from(*number).ok(),
            Value::Boolean(truth) => Some(i64::from(*truth)),
            Value::Decimal(text) | Value::Text(text) | Value::Other(text) => text.trim().parse().ok(),
            Value::Null
            | Value::Double(_)
            | Value::Bytes(_)
            | Value::Date(_)
            | Value::Datetime(_)
            | Value::Time(_)
            | Value::Json(_) => None,
        }
    }

    /// A boolean, in any type that the database uses for it: numbers other than 0 are true.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        self.as_i64().map(|number| number != 0)
    }

    /// The bytes of a value; for text, its UTF-8.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Bytes(bytes) => Some(bytes),
            other => other.as_text().map(str::as_bytes),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Signed(number)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Value::Bytes(bytes.to_vec())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

impl Rows {
    /// The index of a column in each row, by its name in any case.
    #[must_use]
    pub fn position(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|name| name.eq_ignore_ascii_case(column))
    }

    /// The first value of the first row, for queries with a single result.
    #[must_use]
    pub fn single(&self) -> Option<&Value> {
        self.rows.first().and_then(|row| row.first())
    }
}

impl DatabaseErrorKind {
    /// The default failure kind for a change or a batch that met this error.
    ///
    /// Errors of the server (`unavailable`), of its tables or of the operator's grants (`missing-object`,
    /// `permission-denied`) concern the whole target, and no change is blamed. For any other error of a batch, the host
    /// splits the batch until only the change at fault is left. Then `invalid-value` fails at once, which includes the
    /// refusal of a trigger or constraint.
    #[must_use]
    pub fn failure_kind(self) -> FailureKind {
        match self {
            DatabaseErrorKind::Unavailable => FailureKind::Unavailable,
            DatabaseErrorKind::Contention | DatabaseErrorKind::DuplicateKey | DatabaseErrorKind::Other => {
                FailureKind::Transient
            }
            DatabaseErrorKind::InvalidValue => FailureKind::Invalid,
            DatabaseErrorKind::MissingObject | DatabaseErrorKind::PermissionDenied => FailureKind::Misconfigured,
            DatabaseErrorKind::Refused => FailureKind::Denied,
        }
    }
}

impl DatabaseError {
    /// The failure for this error. The message names the step, for example `insert into patient_data`, and also the key
    /// or column and the vendor's error number if the error's own message lacks them.
    #[must_use]
    pub fn during(&self, doing: &str) -> Failure {
        let mut message = format!("{doing}: {}", self.message);
        let object = self.object.as_ref().filter(|object| !self.message.contains(object.as_str()));
        let code = self.vendor_code.map(|code| code.to_string()).filter(|code| !self.message.contains(code));
        let facts: Vec<&str> = [object, code.as_ref()].into_iter().flatten().map(String::as_str).collect();
        if !facts.is_empty() {
            message = format!("{message} [{}]", facts.join(", "));
        }
        Failure { kind: self.kind.failure_kind(), message, retry_after_ms: None }
    }
}

impl From<DatabaseError> for Failure {
    fn from(error: DatabaseError) -> Self {
        error.during("database")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_stay_under_each_databases_parameter_limit() {
        assert_eq!(rows_per_statement(Dialect::Mysql, 25), 2_400);
        assert_eq!(rows_per_statement(Dialect::Sqlite, 25), 1_280);
        assert_eq!(rows_per_statement(Dialect::Sqlite, 100_000), 1);
        assert_eq!(rows_per_statement(Dialect::Mysql, 0), 60_000);
    }

    #[test]
    fn templates_repeat_with_separators_only_between_items() {
        assert_eq!(placeholders(0), "");
        assert_eq!(placeholders(3), "?, ?, ?");
        assert_eq!(repeated("(?, 1)", ", ", 2), "(?, 1), (?, 1)");
    }

    #[test]
    fn numbers_are_read_from_every_database_type() {
        for value in [Value::Signed(7), Value::Unsigned(7), Value::Decimal("7".into()), Value::Text("7".into())] {
            assert_eq!(value.as_i64(), Some(7));
        }
        assert_eq!(Value::Unsigned(u64::MAX).as_i64(), None);
        assert_eq!(Value::Null.as_i64(), None);
        assert_eq!(Value::Signed(2).as_bool(), Some(true));
        assert_eq!(Value::Bytes(b"7a".to_vec()).as_text(), Some("7a"));
    }

    #[test]
    fn an_error_becomes_a_failure_that_names_column_and_code_once() {
        let mut error = DatabaseError {
            kind: DatabaseErrorKind::InvalidValue,
            sqlstate: Some("22001".into()),
            vendor_code: Some(1406),
            object: Some("lname".into()),
            message: "Data too long for column '...'".into(),
        };
        let failure = error.during("insert into patient_data");
        assert!(matches!(failure.kind, FailureKind::Invalid));
        assert_eq!(failure.message, "insert into patient_data: Data too long for column '...' [lname, 1406]");
        error.message.push_str(" [lname, 1406]");
        assert_eq!(error.during("insert into patient_data").message, failure.message);
    }

    #[test]
    fn the_kind_of_an_error_decides_the_kind_of_the_failure() {
        assert!(matches!(DatabaseErrorKind::PermissionDenied.failure_kind(), FailureKind::Misconfigured));
        assert!(matches!(DatabaseErrorKind::Unavailable.failure_kind(), FailureKind::Unavailable));
        assert!(matches!(DatabaseErrorKind::Contention.failure_kind(), FailureKind::Transient));
    }
}
