//! `cargo xtask chaos`: breaks everything for a while and checks that nothing was harmed. See `tests::chaos`.
//!
//! `NEURONOVA_TEST_HOST` and `NEURONOVA_TEST_ADAPTERS` say what to run, as for the tests.

#![allow(clippy::print_stdout, reason = "a task prints to the terminal")]

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use tests::{
    chaos::{Options, StoreKind, run},
    servers::process::interrupt,
};

#[derive(Parser)]
#[command(
    name = "chaos",
    bin_name = "cargo xtask chaos",
    about = "Break everything for a while, and check that nothing was harmed"
)]
struct Arguments {
    /// The store's database
    #[arg(long, value_enum, default_value = "sqlite")]
    store: StoreKind,
    /// How long things are broken, as 60s or 15m
    #[arg(long, value_parser = duration, default_value = "60s")]
    duration: Duration,
    /// What the saboteur's dice begin with; another one each time unless given
    #[arg(long)]
    seed: Option<u64>,
    /// Hosts on the one store
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=16))]
    hosts: u8,
    /// Changes a second, about
    #[arg(long, default_value_t = 30.0)]
    rate: f64,
    /// How long everything may take to come to rest
    #[arg(long, value_parser = duration, default_value = "180s")]
    rest_within: Duration,
    /// Write encounters, vital signs, conditions and merges too
    #[arg(long)]
    clinical: bool,
    /// Keep the run's folder (target/chaos/STORE-SEED) also when it passes
    #[arg(long)]
    keep: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tokio::spawn(obey_signals());
    let options = Options {
        store: arguments.store,
        duration: arguments.duration,
        seed: arguments.seed.unwrap_or_else(|| u64::from(std::process::id())),
        hosts: usize::from(arguments.hosts),
        rate: arguments.rate.clamp(0.1, 1_000.0),
        rest_within: arguments.rest_within,
        is_clinical: arguments.clinical,
        keep: arguments.keep,
    };
    match run(&options).await {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The first signal lets every wait end, so that servers and hosts are dropped; a second one does not wait for that.
async fn obey_signals() {
    wait_for_signal().await;
    interrupt();
    wait_for_signal().await;
    std::process::exit(130);
}

#[cfg(unix)]
async fn wait_for_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

#[cfg(not(unix))]
async fn wait_for_signal() {
    drop(tokio::signal::ctrl_c().await);
}

fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number: u64 = number.parse().map_err(|_| "a whole number with s or m behind it, as 60s".to_owned())?;
    match unit {
        "s" | "" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_mins(number)),
        _ => Err("the unit is s or m".to_owned()),
    }
}
