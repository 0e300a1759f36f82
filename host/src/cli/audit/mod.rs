//! `host audit`: reads the audit, one file per command. `../trail.rs` writes it.

mod export;
mod head;
mod list;
mod verify;

use std::process::ExitCode;

use super::error::CliError;
use super::trail::AuditTrail;
use crate::config::Config;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    /// List who changed or saw what, the newest first
    List(list::Arguments),
    /// Check that no event was changed, removed or moved
    Verify(verify::Arguments),
    /// Print the last event's number and hash
    Head(head::Arguments),
    /// Print all events, as FHIR resources or as JSON
    Export(export::Arguments),
}

pub(super) async fn run(config: &Config, trail: &AuditTrail, verb: &Verb) -> Result<ExitCode, CliError> {
    match verb {
        Verb::List(arguments) => list::run(config, trail, arguments).await,
        Verb::Verify(arguments) => verify::run(config, arguments).await,
        Verb::Head(arguments) => head::run(config, arguments).await,
        Verb::Export(arguments) => export::run(config, trail, arguments).await,
    }
}
