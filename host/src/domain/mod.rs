//! The rules, with no I/O and no async: what a patient and a change are, what an outcome means, and how a delivery
//! moves on.
//!
//! Everything here is pure and total. It must never read a clock, a file or a database. Read next: `delivery.rs`.

pub mod alerts;
pub mod attempt;
pub mod audit;
pub mod audit_chain;
pub mod certificates;
pub mod change;
pub mod clinical;
pub mod clues;
pub mod conflict;
pub mod database_parameters;
pub mod delivery;
pub mod effect_difference;
pub mod effects;
pub mod grants;
pub mod headers;
pub mod hex;
pub mod ids;
pub mod limits;
pub mod mail;
pub mod patient;
pub mod references;
pub mod secret;
pub mod spelling;
pub mod times;
pub mod user;
pub mod verification;
pub mod words;

pub use patient_payload::Problem;
