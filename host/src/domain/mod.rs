//! The rules, with no I/O and no async: what a change is, what an outcome means, what happens to a delivery next.
//!
//! Everything here is pure and total. It must never read a clock, a file or a database. Read next: `delivery.rs`.

pub mod change;
pub mod delivery;
