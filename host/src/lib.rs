//! The library behind the command `host`.
pub mod database;
pub mod domain;
pub mod plugin;
