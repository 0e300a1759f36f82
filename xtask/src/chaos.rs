//! Owns building what chaos needs and running it; everything else about it is in `tests/src/chaos/`.

use std::{env, ffi::OsString, path::Path, process::Command};

use anyhow::Result;
use tests::environment::{ADAPTERS, HOST};

use crate::{
    adapters,
    cargo::{Metadata, cargo, run as run_visibly},
};

#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Options {
    /// Those of the program itself: --help lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Builds and runs it. Fails when a promise was broken.
pub(crate) fn run(options: &Options) -> Result<()> {
    let target = Metadata::read()?.target_directory()?;
    let adapters = adapters::build(&["openemr", "fhir"])?;
    // In one build with the tests, as theirs: the same features for all, so nothing is compiled twice.
    run_visibly(&mut cargo(&["build", "--workspace", "--bin=host", "--bin=chaos", "--tests", "--examples"]))?;
    run_visibly(command(&target, &adapters).args(&options.arguments))
}

/// The program, told where host and adapters are.
pub(crate) fn command(target: &Path, adapters: &Path) -> Command {
    let binary = |name: &str| target.join("debug").join(format!("{name}{}", env::consts::EXE_SUFFIX));
    let mut command = Command::new(binary("chaos"));
    command.env(HOST, binary("host")).env(ADAPTERS, adapters).env("CARGO_TARGET_DIR", target);
    command
}
