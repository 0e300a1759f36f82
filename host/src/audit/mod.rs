//! What goes with an event of the audit outside of the store: who runs this process, and what other systems get of
//! events. The events themselves are `domain/audit.rs`, their chain `domain/audit_chain.rs`, their table
//! `store/audit.rs`.

mod fhir;
mod fhir_codes;
mod operator;
mod syslog;

pub use fhir::{DeliveryTarget, Exporter};
pub use operator::this_operator;
pub use syslog::Syslog;
