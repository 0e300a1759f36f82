//! What a newcomer and CI run, on every platform: `cargo xtask adapters | demo | test | chaos | bench | fuzz |
//! servers`.
//!
//! It owns the order of the steps and what is said to the person who started them. It starts cargo, the host and
//! private servers as processes, and ends what it started, also on Ctrl-C. It never links the host.
//!
//! Read next: `demo.rs` for the newcomer's way through everything, `test.rs` for CI's.

#![allow(clippy::print_stdout, reason = "a task speaks to the person at the terminal")]

mod adapters;
mod bench;
mod cargo;
mod chaos;
mod demo;
mod fuzz;
mod languages;
mod safeguards;
mod servers;
mod steps;
mod test;

use std::{process::ExitCode, sync::Arc};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};
use tests::servers::process::interrupted;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Tasks of the NeuroNova Sync workspace")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build adapters as components: target/adapters/NAME.wasm
    Adapters {
        /// Only these; every one under plugins/ when none is named
        names: Vec<String>,
    },
    /// Seed five patients and sync them to an OpenEMR-shaped SQLite file and a FHIR server on loopback
    Demo,
    /// Run every test, with private MariaDB, PostgreSQL and FHIR servers
    Test(test::Options),
    /// Break hosts, databases and the network for a while, and check that nothing was harmed
    Chaos(chaos::Options),
    /// Measure the host beside a native program that does the same with the same statements
    Bench(bench::Options),
    /// Run the fuzz targets, a minute each (needs a nightly compiler and cargo-fuzz)
    Fuzz(fuzz::Options),
    /// Take each safeguard of the protocol out of a copy of the sources, and see its test fail
    Safeguards(safeguards::Options),
    /// Start the private servers, print the variables the tests want, and wait for Ctrl-C
    Servers,
}

/// What asks a task to end.
#[cfg(unix)]
const SIGNALS: &[i32] = &[SIGINT, SIGTERM, signal_hook::consts::SIGHUP];
#[cfg(not(unix))]
const SIGNALS: &[i32] = &[SIGINT, SIGTERM];

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    // The first signal lets every wait end, so that servers are dropped; a second one exits at once.
    for signal in SIGNALS {
        let interrupted = interrupted();
        flag::register_conditional_shutdown(*signal, 130, Arc::clone(&interrupted))
            .and_then(|_| flag::register(*signal, interrupted))
            .context("listen for Ctrl-C")?;
    }
    match task {
        Task::Adapters { names } => adapters::build(&names.iter().map(String::as_str).collect::<Vec<_>>()).map(drop),
        Task::Demo => demo::run(),
        Task::Test(options) => test::run(&options),
        Task::Chaos(options) => chaos::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Safeguards(options) => safeguards::run(&options),
        Task::Servers => servers::serve(),
    }
}
