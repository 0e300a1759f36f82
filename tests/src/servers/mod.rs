//! Private servers on loopback, each with a folder of its own, gone when dropped.
//!
//! Each kind defines what it needs ([`provision::Need`]), how it is laid out and started, and how one sees that it is
//! ready; [`process`] does the rest: stop, kill, start again on the same port over the same files. None of them ever
//! listens on anything but loopback, and none touches a server of the system.

mod alertmanager;
mod fhir;
mod galera;
mod mail;
mod mariadb;
mod postgres;
pub mod process;
mod prometheus;
pub mod provision;
pub mod proxy;
mod python;
mod registry;
pub mod small_http;

pub use alertmanager::Alertmanager;
pub use fhir::{FhirProduct, FhirServer, Validators, Verdict};
pub use galera::{Galera, GaleraNode};
pub use mail::MailServer;
pub use mariadb::MariaDb;
pub use postgres::Postgres;
pub use prometheus::{Prometheus, promtool};
pub use proxy::{Half, Proxy};
pub use python::PythonEnvironment;
pub use registry::Registry;
