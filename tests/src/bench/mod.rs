//! The bench: what the host does beside what a hand-written native program does with the same statements, in one run.
//!
//! `measure.rs` says what is compared, `native.rs` is the baseline, `report.rs` the answer. It must never be part of the
//! tests: times depend on the machine; what does not, is asserted in `tests/store/cost.rs`.

mod connection;
mod latency;
mod measure;
mod native;
mod native_store;
mod native_target;
pub mod report;
mod stand;

pub use measure::{Options, all};
