//! Routes, claims, delivers and settles changes.
//!
//! The path of one batch, with the file of each step:
//!
//! ```text
//!                      Demand (demand.rs)                    gate (gate.rs), set by the
//!               request /      | answer: claimed ids         supervisor (supervisor.rs, swap.rs)
//!                      /       v                                        |
//!   outbox -> router.rs        claimer.rs -- LeasedBatch --> channel of one slot --> worker.rs
//!                |             ^             (leased_batch.rs)                           |
//!                | queue       | claim                                                   | TargetSession::deliver,
//!                v             |                                                         v committed behind fence.rs
//!             sync_delivery ---+ <---------------- settle (settlement.rs) ----------- the target
//! ```
//!
//! A claimer claims only while the channel to the workers has a free slot. When nothing is queued, it requests new
//! changes from the router instead. A `LeasedBatch` renews its lease until its call has ended. Workers report failures
//! to the supervisor (`events.rs`) and continue when the supervisor has set the gate.
//!
//! Other tasks of a daemon (`daemon.rs`; `tasks.rs` watches over all of them):
//! - the rescuer (`rescuer.rs`) sends this host's heartbeat, reclaims expired leases, and reports where the hosts of
//!   the store differ (`roster.rs`);
//! - the purger (`purger.rs`) deletes old finished rows; the reporter (`reporter.rs`) logs what was delivered;
//! - where a target has a schedule for it, it is verified again and again (`verify_schedule.rs`, `verifier.rs`).
//!
//! What is configured is one immutable value ([`Settings`]); a reload replaces it as a whole (`options.rs`).
//!
//! Several hosts may work on one store at the same time: nothing here relies on being alone.

mod batch_size;
mod breaker;
mod canary;
mod claimer;
mod comparing;
mod control;
mod daemon;
mod demand;
mod denials;
mod events;
mod fence;
mod gate;
mod holding;
mod journal;
mod leased_batch;
mod loading;
mod options;
mod purger;
mod reporter;
mod rescuer;
mod roster;
mod router;
mod settlement;
mod supervisor;
mod swap;
mod tally;
mod tasks;
mod trouble;
mod verifier;
mod verify_schedule;
mod worker;

/// The functions of this layer that the fuzz targets (`fuzz/`) call. Nothing else may call it.
#[doc(hidden)]
pub mod fuzzing {
    pub use super::settlement::settlements;
}

pub use daemon::{Breakdown, Daemon, Remaining, RunEnd, RunSummary};
pub use options::{Retention, Settings, SyncOptions};
pub use roster::{Difference, differences};
pub use tally::TargetTally;
pub use tasks::TaskDeath;
pub use verifier::{Repaired, Verifier, VerifyError, listed_types, observed_types, repair};
