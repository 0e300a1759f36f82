//! The clinical records: encounters, conditions, allergies, medications, vital signs and appointments.
//!
//! All kinds share the code that finds, creates, writes and observes rows. Each kind has its own layout (`kinds.rs`)
//! and mapping (`encounter.rs`, `issues.rs`, `vital_sign.rs`, `appointment.rs`). Nothing here deletes a row. Read next:
//! `kinds.rs`, then `apply.rs`.

pub(crate) mod apply;
mod appointment;
pub(crate) mod availability;
mod belongings;
mod clock;
mod create;
mod encounter;
mod find;
mod issues;
pub(crate) mod kinds;
pub(crate) mod observe;
mod plan;
mod shape;
mod source;
mod statements;
mod vital_sign;
