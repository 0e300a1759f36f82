//! The OpenEMR adapter: carries patients into `patient_data` of any OpenEMR from 5.0.2 to 8.2.
//!
//! This file joins the adapter to its host: settings in, log lines out. The work is in `check.rs` and `apply.rs`, which
//! know neither and so run natively in tests. The adapter must never write a table that is not `patient_data` or
//! `uuid_registry`, a column that is not in `columns.rs`, or a patient's value into a message. Read next: `apply.rs`.

mod apply;
mod charts;
mod check;
mod check_form;
mod columns;
mod create;
mod detect;
mod edits;
mod failures;
mod form;
mod identity;
mod keys;
mod languages;
mod lists;
mod mapping;
mod namesakes;
mod notes;
mod observe;
mod options;
mod permissions;
mod person;
mod plan;
mod public_ids;
mod relinked;
mod schema;
mod settings;
mod statements;
mod target_db;
#[cfg(test)]
mod tests;
mod unfit;
mod upgraded;

use adapter_sdk::database::Transaction;
use adapter_sdk::{
    AggregateSupport, Applied, Change, Context, DatabaseAdapter, Descriptor, Failure, Observation, Report, Subject, log,
};

struct OpenEmr;

impl DatabaseAdapter for OpenEmr {
    fn describe() -> Descriptor {
        Descriptor {
            name: "openemr".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            aggregate_types: vec![AggregateSupport::written("patient").observed()],
        }
    }

    fn check(db: &Transaction) -> Result<Report, Failure> {
        check::check(db, &adapter_sdk::settings::read()?)
    }

    fn apply(db: &Transaction, context: Context, changes: Vec<Change>) -> Result<Applied, Failure> {
        let applied = apply::apply(db, &adapter_sdk::settings::read()?, &context, &changes)?;
        for note in &applied.notes {
            log::warn(note);
        }
        Ok(applied.outcomes.into())
    }

    fn observe(db: &Transaction, context: Context, subjects: Vec<Subject>) -> Result<Vec<Observation>, Failure> {
        observe::observe(db, &adapter_sdk::settings::read()?, &context, &subjects)
    }
}

adapter_sdk::export_database_adapter!(OpenEmr);
