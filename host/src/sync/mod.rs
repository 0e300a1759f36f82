//! Where store and plugin meet: changes are routed, batches delivered, and what became of them settled.
//!
//! One daemon runs these tasks, each joined at its end:
//! - the router (`router.rs`) gives outbox rows their deliveries;
//! - per target a supervisor (`supervisor.rs`) keeps an adapter in force (`swap.rs`, `canary.rs`) and the gate open or shut, a
//!   claimer (`claimer.rs`) has the next batch ready, from what waits in line or straight from the router (`demand.rs`), and
//!   some workers (`worker.rs`) deliver (`delivery.rs`) and settle;
//! - the rescuer (`rescuer.rs`) takes back batches of hosts that died, says that this one lives, and names what the hosts of the
//!   store do not have in common (`roster.rs`);
//! - the purger (`purger.rs`) lets old finished rows go; the reporter (`reporter.rs`) writes into the log what was delivered.
//!
//! `tasks.rs` watches over them: a task that dies ends the daemon.
//!
//! Beside it, `dry_run.rs` shows what a delivery would do, for `host plugin dry-run`.
//!
//! Several hosts may do all of it on one store at the same time: nothing here relies on being alone. Read next:
//! `delivery.rs`.

mod batch_size;
mod breaker;
mod canary;
mod claimer;
mod daemon;
mod delivery;
mod demand;
mod dry_run;
mod privileges;
mod purger;
mod reporter;
mod rescuer;
mod roster;
mod router;
mod splits;
mod supervisor;
mod swap;
mod tally;
mod target;
mod tasks;
mod trouble;
mod worker;

/// What the fuzz targets (`fuzz/`) attack of this layer. Nothing else may call it.
#[doc(hidden)]
pub mod fuzzing {
    pub use super::delivery::settlements;
}

pub use daemon::{Breakdown, Daemon, Remaining, RunEnd, RunSummary};
pub use dry_run::{DryRun, DryRunEnd};
pub use roster::{Difference, differences};
pub use tally::TargetTally;
pub use target::{SyncOptions, Target, TargetKind, TargetSpec};
pub use tasks::TaskDeath;
