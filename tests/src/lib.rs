//! The support library of the tests: private servers, fresh databases, and the host as a process.
//!
//! It knows the host only from outside (its binary, its configuration file, its databases), so that a test over it
//! tests what a user gets. It never talks to a server that it or `cargo xtask test` did not start, and never to an
//! address other than loopback.
//!
//! Read next: `environment` for how a test learns where the servers are, `database` for a database of its own,
//! `host` for running the host, `servers` for a server that a test may kill, `chaos` for all of it at once.

#[cfg(feature = "database")]
pub mod bench;
#[cfg(feature = "database")]
pub mod chaos;
#[cfg(feature = "database")]
pub mod database;
pub mod environment;
pub mod host;
#[cfg(feature = "database")]
mod http_client;
pub mod marked;
mod mutex;
pub mod servers;
#[cfg(feature = "database")]
pub mod session;
