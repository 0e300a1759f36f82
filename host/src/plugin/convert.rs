//! Between the interface's types and the host's own. Pure, and total in the direction of the guest.

use super::Given;
use super::bindings::{database, types};
use crate::database::{DatabaseError, Dialect, ErrorKind, Value};
use crate::domain::change::{
    AggregateSupport, BatchOutcome, Change, Descriptor, Failure, FailureKind, Finding, FindingLevel, Link, Observation,
    Operation, Outcome, OwnPage, OwnRecord, Receipt, Reference, RemoteEdit, Report, Subject,
};

/// A list as it is passed to a guest.
pub(super) fn wire<'a, T, W: From<&'a T>>(list: &'a [T]) -> Vec<W> {
    list.iter().map(W::from).collect()
}

impl From<Given<'_>> for types::Context {
    fn from(given: Given<'_>) -> Self {
        Self {
            state: given.state.to_vec(),
            learned: given.learned.to_vec(),
            on_remote_edit: given.on_remote_edit.into(),
        }
    }
}

impl From<Operation> for types::Operation {
    fn from(operation: Operation) -> Self {
        match operation {
            Operation::Create => Self::Create,
            Operation::Update => Self::Update,
            Operation::Delete => Self::Delete,
            Operation::Merge => Self::Merge,
        }
    }
}

impl From<types::Operation> for Operation {
    fn from(operation: types::Operation) -> Self {
        match operation {
            types::Operation::Create => Self::Create,
            types::Operation::Update => Self::Update,
            types::Operation::Delete => Self::Delete,
            types::Operation::Merge => Self::Merge,
        }
    }
}

impl From<&Change> for types::Change {
    fn from(change: &Change) -> Self {
        Self {
            change_id: change.change_id.get(),
            event_id: change.event_id.clone(),
            aggregate_type: change.key.aggregate_type.clone(),
            aggregate_id: change.key.aggregate_id.clone(),
            operation: change.operation.into(),
            payload: change.payload.clone(),
            references: wire(&change.references),
            survivor: change.survivor.as_ref().map(Into::into),
            created_at_ms: change.created_at_ms,
            attempt: change.attempt,
            // Without an id it says only which change was confirmed last: the target has no record.
            link: change.link.as_ref().filter(|link| !link.remote_id.is_empty()).map(types::Link::from),
        }
    }
}

impl From<&Reference> for types::Reference {
    fn from(reference: &Reference) -> Self {
        Self {
            name: reference.name.clone(),
            aggregate_type: reference.aggregate_type.clone(),
            aggregate_id: reference.aggregate_id.clone(),
            remote_id: reference.remote_id.clone(),
        }
    }
}

impl From<&Subject> for types::Subject {
    fn from(subject: &Subject) -> Self {
        Self {
            aggregate_type: subject.aggregate_type.clone(),
            aggregate_id: subject.aggregate_id.clone(),
            link: types::Link::from(&subject.link),
        }
    }
}

impl From<&Link> for types::Link {
    fn from(link: &Link) -> Self {
        Self {
            remote_id: link.remote_id.clone(),
            remote_version: link.remote_version.clone(),
            fingerprint: link.fingerprint.clone(),
        }
    }
}

impl From<RemoteEdit> for types::RemoteEdit {
    fn from(edit: RemoteEdit) -> Self {
        match edit {
            RemoteEdit::Overwrite => Self::Overwrite,
            RemoteEdit::Hold => Self::Hold,
        }
    }
}

impl From<types::FailureKind> for FailureKind {
    fn from(kind: types::FailureKind) -> Self {
        match kind {
            types::FailureKind::Unavailable => Self::Unavailable,
            types::FailureKind::Throttled => Self::Throttled,
            types::FailureKind::Misconfigured => Self::Misconfigured,
            types::FailureKind::Transient => Self::Transient,
            types::FailureKind::Invalid => Self::Invalid,
            types::FailureKind::Denied => Self::Denied,
            types::FailureKind::Unsupported => Self::Unsupported,
            types::FailureKind::Conflict => Self::Conflict,
        }
    }
}

impl From<types::Failure> for Failure {
    fn from(failure: types::Failure) -> Self {
        Self { kind: failure.kind.into(), message: failure.message, retry_after_ms: failure.retry_after_ms }
    }
}

impl From<types::Receipt> for Receipt {
    fn from(receipt: types::Receipt) -> Self {
        Self { remote_id: receipt.remote_id, remote_version: receipt.remote_version, fingerprint: receipt.fingerprint }
    }
}

impl From<types::Outcome> for Outcome {
    fn from(outcome: types::Outcome) -> Self {
        match outcome {
            types::Outcome::Applied(receipt) => Self::Applied(receipt.into()),
            types::Outcome::Failed(failure) => Self::Failed(failure.into()),
            types::Outcome::Skipped(reason) => Self::Skipped(reason),
        }
    }
}

impl From<types::Applied> for BatchOutcome {
    fn from(applied: types::Applied) -> Self {
        Self { outcomes: applied.outcomes.into_iter().map(Outcome::from).collect(), learned: applied.learned }
    }
}

impl From<types::Observation> for Observation {
    fn from(observation: types::Observation) -> Self {
        match observation {
            types::Observation::Present(current) => {
                Self::Present { fingerprint: current.fingerprint, remote_version: current.remote_version }
            }
            types::Observation::Gone => Self::Gone,
            types::Observation::Several(ids) => Self::Several(ids),
            types::Observation::NotOurs => Self::NotOurs,
            types::Observation::Unknown(reason) => Self::Unknown(reason),
        }
    }
}

impl From<types::OwnPage> for OwnPage {
    fn from(page: types::OwnPage) -> Self {
        let record =
            |record: types::OwnRecord| OwnRecord { aggregate_id: record.aggregate_id, remote_id: record.remote_id };
        Self { records: page.records.into_iter().map(record).collect(), next: page.next }
    }
}

impl From<types::Descriptor> for Descriptor {
    fn from(descriptor: types::Descriptor) -> Self {
        let support = |support: types::AggregateSupport| AggregateSupport {
            aggregate_type: support.aggregate_type,
            operations: support.operations.into_iter().map(Operation::from).collect(),
            observes: support.observes,
            schema: support.schema,
        };
        Self {
            name: descriptor.name,
            version: descriptor.version,
            aggregate_types: descriptor.aggregate_types.into_iter().map(support).collect(),
        }
    }
}

impl From<types::Report> for Report {
    fn from(report: types::Report) -> Self {
        Self {
            summary: report.summary,
            findings: report
                .findings
                .into_iter()
                .map(|finding| Finding {
                    level: match finding.level {
                        types::FindingLevel::Ok => FindingLevel::Ok,
                        types::FindingLevel::Warning => FindingLevel::Warning,
                        types::FindingLevel::Problem => FindingLevel::Problem,
                    },
                    message: finding.message,
                })
                .collect(),
            state: report.state,
        }
    }
}

impl From<database::Value> for Value {
    fn from(value: database::Value) -> Self {
        match value {
            database::Value::Null => Self::Null,
            database::Value::Boolean(truth) => Self::Bool(truth),
            database::Value::Signed(number) => Self::I64(number),
            database::Value::Unsigned(number) => Self::U64(number),
            database::Value::Double(number) => Self::F64(number),
            database::Value::Decimal(text) => Self::Decimal(text),
            database::Value::Text(text) => Self::Text(text),
            database::Value::Bytes(bytes) => Self::Bytes(bytes),
            database::Value::Date(text) => Self::Date(text),
            database::Value::Datetime(text) => Self::DateTime(text),
            database::Value::Time(text) => Self::Time(text),
            database::Value::Json(text) => Self::Json(text),
            database::Value::Other(text) => Self::Other(text),
        }
    }
}

impl From<Value> for database::Value {
    fn from(value: Value) -> Self {
        match value {
            // No row has one.
            Value::Null | Value::Texts(_) => Self::Null,
            Value::Bool(truth) => Self::Boolean(truth),
            Value::I64(number) => Self::Signed(number),
            Value::U64(number) => Self::Unsigned(number),
            Value::F64(number) => Self::Double(number),
            Value::Decimal(text) => Self::Decimal(text),
            Value::Text(text) => Self::Text(text),
            Value::Bytes(bytes) => Self::Bytes(bytes),
            Value::Date(text) => Self::Date(text),
            Value::DateTime(text) => Self::Datetime(text),
            Value::Time(text) => Self::Time(text),
            Value::Json(text) => Self::Json(text),
            Value::Other(text) => Self::Other(text),
        }
    }
}

impl From<Dialect> for database::Dialect {
    fn from(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Sqlite => Self::Sqlite,
            Dialect::MySql => Self::Mysql,
            Dialect::Postgres => Self::Postgres,
        }
    }
}

impl From<DatabaseError> for database::DatabaseError {
    fn from(error: DatabaseError) -> Self {
        Self {
            kind: match error.kind {
                ErrorKind::Unavailable => database::DatabaseErrorKind::Unavailable,
                ErrorKind::Contention => database::DatabaseErrorKind::Contention,
                ErrorKind::DuplicateKey => database::DatabaseErrorKind::DuplicateKey,
                ErrorKind::InvalidValue => database::DatabaseErrorKind::InvalidValue,
                ErrorKind::MissingObject => database::DatabaseErrorKind::MissingObject,
                ErrorKind::Rejected | ErrorKind::PermissionDenied => database::DatabaseErrorKind::PermissionDenied,
                ErrorKind::Refused => database::DatabaseErrorKind::Refused,
                ErrorKind::Routine | ErrorKind::Other => database::DatabaseErrorKind::Other,
            },
            sqlstate: error.sqlstate,
            vendor_code: error.vendor_code,
            object: error.object,
            message: error.message,
        }
    }
}
