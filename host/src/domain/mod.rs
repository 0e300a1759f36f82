//! The pure heart: what a patient, a user and an id are, and when they are valid.
//!
//! Nothing here does I/O, is async, reads a clock or knows a database. Read `patient.rs` first.

pub mod ids;
pub mod patient;
mod problem;
mod rules;
pub mod secret;
pub mod user;
pub mod words;

pub use problem::Problem;
