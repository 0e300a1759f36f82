//! `host target`: a person pauses a target, or lets it go on.

use std::process::ExitCode;

use super::error::CliError;
use super::{assemble, output};
use crate::config::Config;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    /// Deliver nothing more there; changes wait
    Pause(Name),
    /// Deliver again
    Resume(Name),
}

#[derive(Debug, clap::Args)]
pub(super) struct Name {
    /// The target's name in the configuration
    target: String,
}

pub(super) async fn run(config: &Config, verb: &Verb) -> Result<ExitCode, CliError> {
    let (name, paused) = match verb {
        Verb::Pause(Name { target }) => (target, true),
        Verb::Resume(Name { target }) => (target, false),
    };
    let store = assemble::migrated_store(config).await?;
    if !store.set_paused(name, paused).await? {
        return Err(assemble::unknown_target(config, name));
    }
    output::line(&format!("target {name} is {}", if paused { "paused" } else { "resumed" }));
    Ok(ExitCode::SUCCESS)
}
