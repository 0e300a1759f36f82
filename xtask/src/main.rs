//! What a newcomer and CI run, on every platform: `cargo xtask adapters | demo | test | chaos | bench | fuzz |
//! safeguards | servers`.
//!
//! It owns the order of the steps and the messages about them. It starts cargo, the host and
//! private servers as processes, and ends what it started, also on Ctrl-C. It never links the host.
//!
//! Read next: `demo.rs` for the newcomer's way through everything, `test.rs` for CI's.

#![allow(clippy::print_stdout, reason = "a task prints to the terminal")]

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
    /// Build adapters into target/adapters/NAME.wasm
    Adapters {
        /// Build these only instead of all
        names: Vec<String>,
    },
    /// Deliver five patients to two local targets
    Demo,
    /// Run the tests with private servers
    Test(test::Options),
    /// Break hosts, databases and network; check the promises
    Chaos(chaos::Options),
    /// Compare the host with a native program that does the same
    Bench(bench::Options),
    /// Run the fuzz targets (needs nightly and cargo-fuzz)
    Fuzz(fuzz::Options),
    /// Remove each safeguard in a copy; its test must fail
    Safeguards(safeguards::Options),
    /// Start the private servers for tests until Ctrl-C
    Servers,
}

/// The signals that end a task.
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
