//! Owns building what chaos needs and running it; everything else about it is in `tests/src/chaos/`.

use std::{env, ffi::OsString, path::Path, process::Command};

use anyhow::Result;
use tests::environment::{ADAPTERS, HOST};

use crate::{
    adapters,
    cargo::{Metadata, build, run as run_visibly},
    steps::Steps,
};

#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Options {
    /// Options of chaos itself; --help lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Builds and runs it. Fails when a promise was broken.
pub(crate) fn run(options: &Options) -> Result<()> {
    let target = Metadata::read()?.target_directory()?;
    let mut steps = Steps::new(3);
    steps.next("Build the adapters");
    let adapters = adapters::build(&["openemr", "fhir"])?;
    steps.next("Build the host and chaos");
    build(&["host", "chaos"], &[])?;
    steps.next("Break hosts, databases and the network");
    run_visibly(command(&target, &adapters).args(&options.arguments))
}

/// The program, with the paths of host and adapters.
pub(crate) fn command(target: &Path, adapters: &Path) -> Command {
    let binary = |name: &str| target.join("debug").join(format!("{name}{}", env::consts::EXE_SUFFIX));
    let mut command = Command::new(binary("chaos"));
    command.env(HOST, binary("host")).env(ADAPTERS, adapters).env("CARGO_TARGET_DIR", target);
    command
}
