//! Owns building what the bench needs, in the release form, and running it over private servers with durable commits;
//! everything else about it is in `tests/src/bench/`.
//!
//! What is printed to standard output is the answer alone, so that `--json` gives one object.

use std::{env, path::PathBuf, process::Command};

use anyhow::{Context as _, Result};
use tests::{
    environment::{ADAPTERS, HOST, MYSQL_URL, POSTGRES_URL},
    servers::{FhirServer, MariaDb, Postgres, provision},
};

use crate::{
    adapters,
    cargo::{Metadata, build, run as run_visibly},
    steps::Steps,
};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Use small tables and no repeats: under two minutes
    #[arg(long)]
    quick: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Draw host and baseline of every row into an SVG file
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Measure groups whose name contains this, as `drain`
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Simulate hosts, stores and targets on many machines
    #[arg(long, conflicts_with_all = ["json", "plot", "only"])]
    simulate: bool,
    /// Measure this binary, to compare two versions
    #[arg(long, value_name = "FILE")]
    host: Option<PathBuf>,
}

/// Builds and runs it. Fails when something could not be measured, never because it was slow.
pub(crate) fn run(options: &Options) -> Result<()> {
    let target = Metadata::read()?.target_directory()?;
    let mut steps = Steps::new(4);
    steps.next("Build the adapters");
    let adapters = adapters::build(&["openemr", "fhir"])?;
    steps.next("Build the host and the bench for release (the first time takes minutes)");
    build(&["host", "bench"], &["--release", "--example=judging"])?;
    steps.next("Start private servers");
    provision::provide(&[MariaDb::NEED, Postgres::NEED])?;
    // The bench starts servers of its own; installing one must not be in its time.
    FhirServer::provision()?;
    let (mariadb, postgres) = (MariaDb::start()?, Postgres::start()?);
    let binary = |name: &str| target.join("release").join(format!("{name}{}", env::consts::EXE_SUFFIX));
    let host = match &options.host {
        Some(file) => file.canonicalize().with_context(|| format!("find the host {}", file.display()))?,
        None => binary("host"),
    };
    let mut command = Command::new(binary("bench"));
    command
        .env(HOST, host)
        .env(ADAPTERS, adapters)
        .env(MYSQL_URL, mariadb.url())
        .env(POSTGRES_URL, postgres.url())
        .env_remove("RUST_LOG");
    command.args(options.quick.then_some("--quick")).args(options.json.then_some("--json"));
    command.args(options.simulate.then_some("--simulate"));
    if let Some(file) = &options.plot {
        // The program runs in another folder than this one.
        command.arg("--plot").arg(env::current_dir().context("find the current folder")?.join(file));
    }
    if let Some(name) = &options.only {
        command.arg("--only").arg(name);
    }
    steps.next("Measure");
    run_visibly(&mut command)
}
