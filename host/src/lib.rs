//! The host: everything between a row in the outbox and a record at a target.
//!
//! Layers, downward only: `{config, fixture} -> document -> domain`. The merged crate adds its own above these.

pub mod config;
pub mod document;
pub mod domain;
pub mod fixture;
