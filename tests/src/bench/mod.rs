//! The bench: what the host does against what a hand-written native program does with the same statements, in one run.
//!
//! `measure.rs` defines the rows, `backlog.rs`, `fhir.rs`, `imports.rs`, `journal.rs`, `judging.rs`, `latency.rs`,
//! `start.rs` and `verifying.rs` measure some of them, `native*.rs` are the baselines, `report.rs` and `plot.rs` show
//! the results. It must never be part of the tests: times depend on the machine; what does not, is asserted in
//! `tests/store/cost.rs`.

mod backlog;
mod beyond;
mod connection;
mod fhir;
mod imports;
mod journal;
mod judging;
mod latency;
mod measure;
mod native;
mod native_fhir;
mod native_import;
mod native_store;
mod native_target;
pub mod plot;
pub mod report;
mod simulation;
mod stand;
mod start;
mod verifying;
mod watch;

pub use beyond::simulate;
pub use measure::{Options, all};
