//! The library behind the command `host`: everything between a row in the outbox and a record at a target.
//!
//! Layers, downward only:
//!
//! ```text
//! main -> cli -> {sync, distribution, conformance} -> target -> {service, plugin} -> store
//!     -> database -> {config, seed_file, import} -> spanned_toml -> files -> domain
//! ```
//!
//! `plugin` and `store` never import each other: they meet in `sync`. A test checks this (`tests/architecture.rs`).

#![allow(missing_docs, reason = "a comment that only repeats a name says nothing; `plugins/sdk` documents everything")]

pub use patient_payload::vocabulary;

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
