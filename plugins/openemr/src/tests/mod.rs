//! The whole adapter, run natively with an SQLite database that has OpenEMR's tables.

mod applying;
mod checking;
mod creating;
mod listing;
mod merging;
mod observing;
mod records;
mod relinking;
mod sqlite;
mod without_uuid;

use adapter_sdk::{Change, Context, Failure, Link, Operation, Outcome, Receipt, RemoteEdit};

use crate::check;
use crate::deliver::{Applied, apply};
use crate::settings::Settings;

pub(super) use sqlite::Sqlite as Database;

/// The context of a batch after a `check`.
fn context(database: &Database) -> Context {
    let state = check::check(database, &Settings::default()).unwrap().state;
    Context { state, learned: Vec::new(), on_remote_edit: RemoteEdit::Overwrite }
}

/// A change of one patient; `fields` is JSON that overrides the defaults.
fn change(id: &str, fields: &str) -> Change {
    let mut payload = serde_json::json!({
        "patient_id": id, "family_name": "Kim", "given_name": "MinJun", "birth_date": "1980-01-31", "gender": "male",
        "native_family_name": "김", "native_given_name": "민준", "language": "ko", "race": "asian",
    });
    let fields: serde_json::Value = serde_json::from_str(fields).unwrap();
    for (name, value) in fields.as_object().unwrap() {
        payload[name] = value.clone();
    }
    Change {
        change_id: 1,
        event_id: "01900000-0000-7000-8000-000000000000".into(),
        aggregate_type: "patient".into(),
        aggregate_id: id.into(),
        operation: Operation::Create,
        payload: payload.to_string(),
        references: Vec::new(),
        survivor: None,
        created_at_ms: 0,
        attempt: 1,
        link: None,
    }
}

/// The change with the link that the host would store after this receipt.
fn linked(change: Change, receipt: &Receipt) -> Change {
    let link = Link {
        remote_id: receipt.remote_id.clone(),
        remote_version: receipt.remote_version.clone(),
        fingerprint: receipt.fingerprint.clone(),
    };
    Change { operation: Operation::Update, link: Some(link), ..change }
}

/// Applies with the default settings.
fn run(database: &Database, context: &Context, changes: &[Change]) -> Result<Applied, Failure> {
    apply(database, &Settings::default(), context, changes)
}

/// Applies, and expects every change to succeed.
fn receipts(database: &Database, context: &Context, changes: &[Change]) -> Vec<Receipt> {
    run(database, context, changes).unwrap().outcomes.into_iter().map(receipt).collect()
}

fn receipt(outcome: Outcome) -> Receipt {
    match outcome {
        Outcome::Applied(receipt) => receipt,
        Outcome::Failed(failure) => panic!("{:?}: {}", failure.kind, failure.message),
        Outcome::Skipped(reason) => panic!("skipped: {reason}"),
    }
}

/// `KIND: MESSAGE` of a refused change.
fn refusal(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Failed(failure) => described(failure),
        Outcome::Applied(_) => panic!("it was applied"),
        Outcome::Skipped(reason) => panic!("skipped: {reason}"),
    }
}

fn described(failure: &Failure) -> String {
    let kind = format!("{:?}", failure.kind);
    format!("{}: {}", kind.rsplit(':').next().unwrap_or_default(), failure.message)
}
