"""A database adapter in Python: keeps one row of `example_chart` for each patient.

It writes no other table. What it may call, and what each kind of failure means, is said in `wit/`.
"""

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import database, types
from wit_world.imports.database import DatabaseErrorKind, Value_Null, Value_Text
from wit_world.imports.types import (
    AggregateSupport,
    Applied,
    Failure,
    FailureKind,
    Observation_Unknown,
    Operation,
    Outcome_Applied,
    Outcome_Failed,
    Receipt,
)

import patient as contract

TABLE = "example_chart"
COLUMNS = ["family_name", "given_name", "birth_date", "phone"]


class DatabaseAdapter(exports.DatabaseAdapter):
    """The host calls these, each time in a fresh instance."""

    def describe(self):
        operations = [Operation.CREATE, Operation.UPDATE, Operation.DELETE]
        patients = AggregateSupport("patient", operations, observes=False, schema=None)
        return types.Descriptor("example-chart", "0.1.0", [patients])

    def check(self, db):
        """Asks for every column without reading a row, so that `host check` can say what is missing."""
        run(db.query, f"look at {TABLE}", f"SELECT patient_id, {', '.join(COLUMNS)} FROM {TABLE} WHERE 1 = 0", [], 1)
        return types.Report(f"a table {TABLE}", [], b"")

    def apply(self, db, context, changes):
        return Applied([apply_one(db, change) for change in changes], learned=None)

    def observe(self, db, context, subjects):
        """Not called, since the description does not name it."""
        return [Observation_Unknown("this adapter does not observe") for _ in subjects]


def apply_one(db, change):
    """What concerns one change becomes its outcome; what the database refuses speaks for the batch."""
    if change.aggregate_type != "patient":
        return failed(FailureKind.UNSUPPORTED, "only patients are kept here")
    if change.operation == Operation.MERGE:
        return failed(FailureKind.UNSUPPORTED, "patients are not merged here")
    key = Value_Text(change.aggregate_id)
    if change.operation == Operation.DELETE:
        run(db.execute, f"delete from {TABLE}", f"DELETE FROM {TABLE} WHERE patient_id = ?", [key])
        return applied(change)
    try:
        patient = contract.read(change)
    except contract.Invalid as error:
        return failed(FailureKind.INVALID, str(error))
    values = [patient.get(field) for field in ["family_name", "given_name", "birth_date", "phone_mobile"]]
    parameters = [Value_Null() if value is None else Value_Text(value) for value in values]
    # Rows matched, not rows changed: the same change may come twice, and must then do nothing new.
    assignments = ", ".join(f"{column} = ?" for column in COLUMNS)
    updated = run(
        db.execute, f"update {TABLE}", f"UPDATE {TABLE} SET {assignments} WHERE patient_id = ?", [*parameters, key]
    )
    if updated.rows_affected == 0:
        insert = f"INSERT INTO {TABLE} (patient_id, {', '.join(COLUMNS)}) VALUES (?, ?, ?, ?, ?)"
        run(db.execute, f"insert into {TABLE}", insert, [key, *parameters])
    return applied(change)


def applied(change):
    """The chart's number is the patient's own id."""
    return Outcome_Applied(Receipt(change.aggregate_id, None, None))


def failed(kind, message):
    return Outcome_Failed(Failure(kind, message, None))


# What a database's error means for the batch. The host rolls back, and halves the batch unless the kind speaks of the
# target as a whole.
KINDS = {
    DatabaseErrorKind.UNAVAILABLE: FailureKind.UNAVAILABLE,
    DatabaseErrorKind.MISSING_OBJECT: FailureKind.MISCONFIGURED,
    DatabaseErrorKind.PERMISSION_DENIED: FailureKind.MISCONFIGURED,
    DatabaseErrorKind.REFUSED: FailureKind.MISCONFIGURED,
    DatabaseErrorKind.INVALID_VALUE: FailureKind.INVALID,
}


def run(statement, doing, *arguments):
    """One statement; its error becomes a failure that says what was being done."""
    try:
        return statement(*arguments)
    except Err as error:
        kind = KINDS.get(error.value.kind, FailureKind.TRANSIENT)
        raise Err(Failure(kind, f"{doing}: {error.value.message}", None)) from None
