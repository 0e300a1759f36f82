//! A target as this host calls it: where it is, what may be done there, and one way to run an adapter there.
//!
//! `spec.rs` holds what is configured and the connections. Every call of `apply` goes through a [`TargetSession`]
//! (`session.rs`): it begins, calls the adapter, and finishes by a commit behind a fence or by a roll back. Workers,
//! the dry run (`dry_run.rs`) and the conformance suite use the same session. `deliver.rs` delivers a whole batch by it
//! and splits what fails. `compare.rs` runs two adapters on the same changes and compares what they write. Nothing here
//! reads or writes the store.

mod align;
mod check;
mod checked;
mod compare;
mod compare_json;
mod compare_requests;
mod compare_statements;
mod deliver;
mod dry_run;
mod exact_user;
mod list_own;
mod observe;
mod privileges;
mod session;
mod spec;
mod splits;

pub use checked::CheckedAdapter;
pub use compare::{Comparison, RecordedRun};
pub use deliver::{Delivered, FenceLost, most};
pub use dry_run::{DryRun, DryRunEnd};
pub use session::{Applied, CallFailure, Finish, TargetSession};
pub use spec::{Target, TargetKind, TargetSpec};
