//! `host plugin`: commands for adapters, one file per command.

mod accept;
mod dry_run;
mod dry_run_report;
mod history;
mod inspect;
mod install;
mod keygen;
mod list;
mod new;
mod project;
mod push;
mod registry_auth;
mod replay;
mod rollback;
mod sign;
mod test;
mod verify;

use std::process::ExitCode;

use super::error::CliError;
use super::trail::AuditTrail;
use crate::config::Config;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    /// List the adapter file and active adapter of each target
    List {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Show an adapter's digest, world, imports and exports
    Inspect(inspect::Arguments),
    /// Download, verify and install an adapter
    Install(install::Arguments),
    /// Push an adapter to an OCI registry
    Push(push::Arguments),
    /// Make a key to sign adapters with
    Keygen(keygen::Arguments),
    /// Sign an adapter
    Sign(sign::Arguments),
    /// Verify an adapter's signature and pin
    Verify(verify::Arguments),
    /// Create an adapter project
    New(new::Arguments),
    /// Test an adapter on private databases or a mock server
    Test(test::Arguments),
    /// Show what a delivery would send, and change nothing
    DryRun(dry_run::Arguments),
    /// Compare an adapter with the active one over recent changes
    Replay(replay::Arguments),
    /// Show which adapters were activated or rolled back
    History(history::Arguments),
    /// Activate a held adapter that writes something else
    Accept(accept::Arguments),
    /// Activate an earlier adapter on every host
    Rollback(rollback::Rollback),
    /// Load adapter files again on every host
    Reload(rollback::Reload),
}

impl Verb {
    /// Whether the command reads `host.toml`.
    pub(super) fn needs_configuration(&self) -> bool {
        match self {
            Self::List { .. }
            | Self::Install(_)
            | Self::DryRun(_)
            | Self::Replay(_)
            | Self::History(_)
            | Self::Accept(_)
            | Self::Rollback(_)
            | Self::Reload(_) => true,
            Self::Verify(arguments) => arguments.needs_configuration(),
            Self::Test(arguments) => arguments.needs_configuration(),
            Self::Inspect(_) | Self::New(_) | Self::Push(_) | Self::Keygen(_) | Self::Sign(_) => false,
        }
    }
}

/// Runs a command that needs no configuration.
pub(super) async fn run_on_file(verb: Verb) -> Result<ExitCode, CliError> {
    match verb {
        Verb::Inspect(arguments) => inspect::run(&arguments).await,
        Verb::New(arguments) => new::run(&arguments),
        Verb::Test(arguments) => Box::pin(test::run(None, &arguments)).await,
        Verb::Push(arguments) => push::run(&arguments).await,
        Verb::Keygen(arguments) => keygen::run(&arguments),
        Verb::Sign(arguments) => sign::run(&arguments),
        Verb::Verify(arguments) => verify::run(None, &arguments).await,
        Verb::List { .. }
        | Verb::Install(_)
        | Verb::DryRun(_)
        | Verb::Replay(_)
        | Verb::History(_)
        | Verb::Accept(_)
        | Verb::Rollback(_)
        | Verb::Reload(_) => {
            unreachable!("invariant: asked by `needs_configuration`")
        }
    }
}

pub(super) async fn run(config: &Config, trail: &AuditTrail, verb: Verb) -> Result<ExitCode, CliError> {
    match verb {
        Verb::List { json } => list::run(config, json).await,
        Verb::Test(arguments) => Box::pin(test::run(Some(config), &arguments)).await,
        Verb::Install(arguments) => install::run(config, trail, &arguments).await,
        Verb::Verify(arguments) => verify::run(Some(config), &arguments).await,
        Verb::DryRun(arguments) => dry_run::run(config, trail, &arguments).await,
        Verb::Replay(arguments) => Box::pin(replay::run(config, trail, &arguments)).await,
        Verb::History(arguments) => history::run(config, &arguments).await,
        Verb::Accept(arguments) => accept::run(config, trail, &arguments).await,
        Verb::Rollback(arguments) => rollback::rollback(config, trail, &arguments).await,
        Verb::Reload(arguments) => rollback::reload(config, trail, &arguments).await,
        on_file => run_on_file(on_file).await,
    }
}
