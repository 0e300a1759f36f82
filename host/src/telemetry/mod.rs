//! What a running host shows of itself: metrics, health and status, for monitoring.
//!
//! ```text
//!   router, claimers, workers, ... --count--> Meters (meters.rs) ---+
//!                                             StoreGauges           +--> listener.rs: /metrics, /livez, /readyz,
//!                 store --read at most every five seconds--> (store_gauges.rs)         /status.json
//!                                             ProcessGauges (process.rs), Health (health.rs)
//! ```
//!
//! The hot path only counts: nothing here is awaited by a task that delivers. Labels have few values (a target, a
//! status, a step, a kind of failure), and never hold an id or anything else of a patient. `service_manager.rs` reports
//! to systemd that this host is ready and alive. `otlp.rs` sends the metrics, and the spans of `trace.rs`, to a
//! collector where the environment names one.

mod health;
mod listener;
mod meters;
mod otlp;
mod otlp_metrics;
mod paced;
mod process;
mod service_manager;
mod step;
mod store_gauges;
mod trace;

pub use health::{Health, Readiness};
pub use listener::{Listener, StatusSource};
pub use meters::{Meters, TargetMeters};
pub use otlp::{Otlp, OtlpError};
pub use service_manager::{reloaded, reloading, report};
pub use step::Step;
pub use store_gauges::StoreReading;
pub use trace::{BatchTrace, step};
