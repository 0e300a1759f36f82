//! The OpenEMR adapter: delivers patients and their clinical records to any OpenEMR from 5.0.2 to 8.2.
//!
//! This file connects the adapter to its host: settings and log lines. `check.rs` and `deliver.rs` do the work; they
//! depend on neither, so they run natively in tests. The adapter must never write a table that `grants.toml` does not
//! list or a column that is not in `columns.rs`, `merged.rs` or `records/kinds.rs`. It must never delete a row or put a
//! patient's value into a message. Read next: `deliver.rs`.

mod apply;
mod charts;
mod check;
mod check_form;
mod columns;
mod create;
mod deliver;
mod detect;
mod edits;
mod failures;
mod form;
mod identity;
mod keys;
mod languages;
mod list;
mod lists;
mod mapping;
mod merged;
mod namesakes;
mod notes;
mod observe;
mod options;
mod permissions;
mod person;
mod plan;
mod public_ids;
mod records;
mod relinked;
mod schema;
mod settings;
mod statements;
mod target_db;
#[cfg(test)]
mod tests;
mod unfit;
mod upgraded;

use adapter_sdk::clinical::schema_id;
use adapter_sdk::database::Transaction;
use adapter_sdk::{
    AggregateSupport, Applied, Change, Context, DatabaseAdapter, DatabaseListing, Descriptor, Failure, Observation,
    OwnPage, Report, Subject, log,
};

use crate::records::kinds::Kind;

struct OpenEmr;

impl DatabaseAdapter for OpenEmr {
    fn describe() -> Descriptor {
        Descriptor {
            name: "openemr".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            aggregate_types: supported(),
        }
    }

    fn check(db: &Transaction) -> Result<Report, Failure> {
        check::check(db, &adapter_sdk::settings::read()?)
    }

    fn apply(db: &Transaction, context: Context, changes: Vec<Change>) -> Result<Applied, Failure> {
        let applied = deliver::apply(db, &adapter_sdk::settings::read()?, &context, &changes)?;
        for note in &applied.notes {
            log::warn(note);
        }
        Ok(applied.outcomes.into())
    }

    fn observe(db: &Transaction, context: Context, subjects: Vec<Subject>) -> Result<Vec<Observation>, Failure> {
        deliver::observe(db, &adapter_sdk::settings::read()?, &context, &subjects)
    }
}

impl DatabaseListing for OpenEmr {
    fn list_own(
        db: &Transaction,
        context: Context,
        aggregate_type: String,
        after: Option<String>,
        limit: u32,
    ) -> Result<OwnPage, Failure> {
        list::list(db, &adapter_sdk::settings::read()?, &context, &aggregate_type, after.as_deref(), limit)
    }
}

/// Patients, the kinds of records, and types that are always skipped with a reason.
fn supported() -> Vec<AggregateSupport> {
    let records = Kind::ALL.map(|kind| AggregateSupport {
        schema: schema_id(kind.aggregate_type()).map(str::to_owned),
        ..AggregateSupport::written(kind.aggregate_type()).observed()
    });
    let patients = AggregateSupport::written("patient").merged().observed();
    let nowhere = AggregateSupport::written("fhir-resource");
    std::iter::once(patients).chain(records).chain([nowhere]).collect()
}

adapter_sdk::export_database_adapter!(OpenEmr);
adapter_sdk::export_database_listing!(OpenEmr);
