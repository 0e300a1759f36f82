//! `host plugin`: adapters, as files and as they are in force; one file for each verb.

mod inspect;
mod list;

use std::process::ExitCode;

use super::error::CliError;
use crate::config::Config;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    /// List the adapter of every target: its file, and what is in force
    List {
        /// One JSON object instead of text
        #[arg(long)]
        json: bool,
    },
    /// Show what a file is: its digest, world, imports and exports; needs no configuration
    Inspect(inspect::Arguments),
}

impl Verb {
    /// Whether it is about a file alone, and reads no `host.toml`.
    pub(super) fn needs_configuration(&self) -> bool {
        !matches!(self, Self::Inspect(_))
    }
}

/// A verb that needs no configuration.
pub(super) async fn run_on_file(verb: Verb) -> Result<ExitCode, CliError> {
    match verb {
        Verb::Inspect(arguments) => inspect::run(&arguments).await,
        Verb::List { .. } => unreachable!("invariant: asked by `needs_configuration`"),
    }
}

pub(super) async fn run(config: &Config, verb: Verb) -> Result<ExitCode, CliError> {
    match verb {
        Verb::List { json } => list::run(config, json).await,
        on_file @ Verb::Inspect(_) => run_on_file(on_file).await,
    }
}
