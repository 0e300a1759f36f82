//! The library behind the command `host`: everything between a row in the outbox and a record at a target.
//!
//! A module uses only modules of the lines below its own; `tests/tests/architecture/main.rs` lists which, checks it,
//! and prints this:
//!
//! ```text
//! main
//! cli
//! alerts  conformance  sync
//! audit  distribution  service  target  telemetry
//! config  import  plugin  seed_file  store
//! database  spanned_toml
//! domain  files
//! ```
//!
//! `plugin` and `store` never import each other: they meet in `sync`.

#![allow(missing_docs, reason = "a comment that only repeats a name is noise; `plugins/sdk` documents everything")]

pub use patient_payload::vocabulary;

pub mod alerts;
pub mod audit;
pub mod cli;
pub mod config;
pub mod conformance;
pub mod database;
pub mod distribution;
pub mod domain;
pub mod files;
pub mod import;
pub mod plugin;
pub mod seed_file;
pub mod service;
pub mod spanned_toml;
pub mod store;
pub mod sync;
pub mod target;
pub mod telemetry;
