//! The conformance suite: checks what every adapter must get right, on scratch databases and a mock server.
//!
//! It needs only the component, so that any author can run it (`host plugin test`). It delivers patients that it made
//! up, and every finding names what was seen and how to fix it. It never touches the host's own store, and never a
//! target in use. Read next: `checks.rs` for the checks, `harness.rs` for how a call is made.

mod answers;
mod canned;
mod checks;
mod checks_http;
mod documents;
mod harness;
mod invalid;
mod judgement;
mod mock_server;
mod mutex;
mod observing;
mod patients;
mod scratch;
mod template;

use std::path::PathBuf;
use std::sync::Arc;

pub use answers::Answers;
use harness::Harness;
pub use scratch::ScratchServer;

use crate::plugin::{Adapter, Limits, PluginError, Runtime, SqlGrants, World};

/// What the suite runs with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The component.
    pub adapter: PathBuf,
    /// Statements that make the target's tables, in every scratch database.
    pub setup: Option<String>,
    /// Where scratch databases are made, for an adapter of a database.
    pub databases: Vec<ScratchServer>,
    /// `[targets.NAME.settings]` as JSON.
    pub settings_json: String,
    /// Limits of one call.
    pub limits: Limits,
    /// What the mock server answers, instead of keeping documents.
    pub answers: Option<Answers>,
    /// Which verb is granted on which table. Without a target of the configuration everything is.
    pub grants: SqlGrants,
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where: `SQLite`, `mock server`.
    pub place: String,
    /// Its name, for example `same batch twice`.
    pub check: &'static str,
    /// What was seen, and how to fix it where it failed.
    pub message: String,
    pub passed: bool,
}

/// The results of a run.
#[derive(Clone, Debug)]
pub struct ConformanceReport {
    /// `name version` of the adapter.
    pub adapter: String,
    /// Its world.
    pub world: World,
    /// One for each check, in order.
    pub lines: Vec<Line>,
}

impl ConformanceReport {
    /// Whether every check passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.lines.iter().all(|line| line.passed)
    }
}

/// Why the suite could not begin. An adapter's mistake is not an error but a [`Line`].
#[derive(Debug, thiserror::Error)]
pub enum ConformanceError {
    /// The file is not an adapter for this host.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// A scratch database could not be made.
    #[error("{place}: {reason}")]
    ScratchServer {
        /// Which.
        place: String,
        /// Why, and what to do.
        reason: String,
    },
    /// Answers were given for an adapter that sends no HTTP requests.
    #[error("answers are for an adapter over HTTP, and this one is for a database: leave --answers out")]
    NoMockServer,
    /// The mock server could not be started.
    #[error("the mock server cannot be started: {0}")]
    MockServer(std::io::Error),
}

/// Runs every check of the adapter's world, at every place.
///
/// # Errors
/// When the file is not an adapter, or a scratch database cannot be made.
pub async fn run(runtime: &Arc<Runtime>, options: &Options) -> Result<ConformanceReport, ConformanceError> {
    let world = Runtime::inspect(&options.adapter).await?.world;
    let adapter = runtime.load(&options.adapter, world).await?;
    let mut lines = Vec::new();
    match world {
        World::Database if options.answers.is_some() => return Err(ConformanceError::NoMockServer),
        World::Database => {
            for server in &options.databases {
                let scratch = server.make(options.setup.as_deref()).await?;
                let harness = Harness::database(Arc::clone(&adapter), options, &scratch)?;
                checks::run(&harness, &mut lines).await;
                harness.close().await;
                scratch.remove().await;
            }
        }
        World::Http => {
            let server =
                mock_server::MockServer::start(options.answers.as_ref()).await.map_err(ConformanceError::MockServer)?;
            let harness = Harness::http(Arc::clone(&adapter), options, &server)?;
            checks::run(&harness, &mut lines).await;
            if lines.iter().all(|line| line.passed) {
                checks_http::run(&harness, &server, &mut lines).await;
            }
            checks_http::answered(&harness, &server, &mut lines);
        }
    }
    Ok(ConformanceReport { adapter: name(&adapter), world, lines })
}

fn name(adapter: &Adapter) -> String {
    format!("{} {}", adapter.descriptor().name, adapter.descriptor().version)
}
