//! The payload of a `patient` change: its fields, its rules, and the codes that several targets share.
//!
//! The host (service, import, seed) and every Rust adapter (through the SDK) use this validation, so payloads of other
//! applications meet the same rules as the host's own. It is pure: no I/O, no clock, no knowledge of the host or of the
//! interface. No message repeats a value. `docs/outbox.md` describes the contract. Read next: `patient.rs`.

mod day;
mod field_text;
pub mod omb;
mod patient;
mod patient_id;
mod payload;
pub mod rules;
mod words;

pub use day::Day;
pub use patient::{Gender, MaritalStatus, Patient, PatientDraft};
pub use patient_id::PatientId;
pub use rules::Problem;
pub use words::one_of;
