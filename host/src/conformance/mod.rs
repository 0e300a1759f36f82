//! The conformance suite: checks what every adapter must get right, on scratch databases and a mock server.
//!
//! It needs only the component, so that any author can run it (`host plugin test`). It delivers patients and clinical
//! records that it made up, and aggregates of the adapter's own types after an example of the author's. Every finding
//! names the observed behaviour and the fix. It never touches the host's own store, and never a target in use. Read
//! next: `checks.rs` for the checks, `harness.rs` for how a call is made.

mod answers;
mod canned;
mod checks;
mod checks_http;
mod clinical;
mod contents;
mod delivering;
mod documents;
mod examples;
mod harness;
mod invalid;
mod judgement;
mod listing;
mod merging;
mod mock_server;
mod mutex;
mod observing;
mod patients;
mod referred;
mod scratch;
mod subjects;
mod template;

use std::path::PathBuf;
use std::sync::Arc;

pub use answers::Answers;
pub use examples::Example;
use harness::Harness;
pub use scratch::ScratchServer;
use subjects::Source;

use crate::domain::ids::AggregateType;
use crate::plugin::{Adapter, Limits, PluginError, Runtime, SqlGrants, World};
use crate::spanned_toml;

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
    /// The mock server's answers, instead of keeping documents.
    pub answers: Option<Answers>,
    /// An example payload for each of the adapter's types that the suite does not know, or should vary otherwise.
    pub examples: Vec<Example>,
    /// Which verb is granted on which table. Without a target of the configuration everything is.
    pub grants: SqlGrants,
}

/// An adapter's settings, written as the TOML of `[targets.NAME.settings]`, as JSON.
///
/// # Errors
/// The line and what is wrong with it.
pub fn settings_json(text: &str) -> Result<String, String> {
    spanned_toml::from_str::<serde_json::Value>(text)
        .map(|settings| settings.to_string())
        .map_err(|error| format!("{}: {}", error.line(text), error.message))
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where: `SQLite`, `mock server`.
    pub place: String,
    /// Its name, for example `same batch twice`.
    pub check: &'static str,
    /// The observed behaviour, and the fix if the check failed.
    pub message: String,
    pub passed: bool,
    /// Whether it was run; the message is the reason why not.
    pub tried: bool,
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
    /// An example is of a type that the adapter does not deliver.
    #[error("--payload {aggregate_type}=...: the adapter delivers {delivered}")]
    NotDelivered { aggregate_type: String, delivered: String },
    /// An example of a patient was given.
    #[error("--payload patient=...: patients are made up by the suite, leave it out")]
    PatientExample,
    /// The mock server could not be started.
    #[error("the mock server cannot be started: {0}")]
    MockServer(std::io::Error),
}

/// The adapter's types that can be tested.
struct Plan {
    /// The examples of the types that are tried; `None` is for patients.
    tried: Vec<Option<Example>>,
    /// Types that no example was given of.
    untried: Vec<String>,
}

/// Runs every check of the adapter's world, at every place, for every type. `progress` is called before each slow step.
///
/// # Errors
/// When the file is not an adapter, or a scratch database cannot be made.
pub async fn run(
    runtime: &Arc<Runtime>,
    options: &Options,
    progress: impl Fn(&str),
) -> Result<ConformanceReport, ConformanceError> {
    let inspected = Runtime::inspect(&options.adapter).await?;
    let world = inspected.world;
    progress(&format!(
        "compiling {} ({} kB), unless the cache has it; a large component takes a minute",
        options.adapter.display(),
        inspected.size.div_ceil(1_000)
    ));
    let adapter = runtime.load(&options.adapter, world).await?;
    let plan = Plan::new(&adapter, &options.examples)?;
    let options = &Options { examples: plan.tried.iter().flatten().cloned().collect(), ..options.clone() };
    let mut lines = Vec::new();
    match world {
        World::Database if options.answers.is_some() => return Err(ConformanceError::NoMockServer),
        World::Database => {
            for server in &options.databases {
                progress(&format!("testing on {}", server.name()));
                let scratch = server.make(options.setup.as_deref()).await?;
                for source in plan.sources() {
                    let harness = Harness::database(Arc::clone(&adapter), options, source, &scratch)?;
                    checks::run(&harness, &mut lines).await;
                    harness.close().await;
                }
                scratch.remove().await;
            }
        }
        World::Http => {
            progress("testing on a mock server");
            let server =
                mock_server::MockServer::start(options.answers.as_ref()).await.map_err(ConformanceError::MockServer)?;
            for source in plan.sources() {
                let before = lines.len();
                let harness = Harness::http(Arc::clone(&adapter), options, source, &server)?;
                let delivers = checks::run(&harness, &mut lines).await;
                if delivers && lines[before..].iter().all(|line| line.passed) {
                    checks_http::run(&harness, &server, &mut lines).await;
                }
            }
            checks_http::answered(&server, &mut lines);
        }
    }
    plan.name_untried(&mut lines);
    Ok(ConformanceReport { adapter: name(&adapter), world, lines })
}

impl Plan {
    fn new(adapter: &Adapter, examples: &[Example]) -> Result<Self, ConformanceError> {
        let delivered: Vec<_> = adapter.descriptor().type_names().collect();
        let patient = AggregateType::patient();
        for example in examples {
            if example.aggregate_type() == patient.as_str() {
                return Err(ConformanceError::PatientExample);
            }
            if !delivered.contains(&example.aggregate_type()) {
                let (aggregate_type, delivered) = (example.aggregate_type().to_owned(), delivered.join(", "));
                return Err(ConformanceError::NotDelivered { aggregate_type, delivered });
            }
        }
        let (mut tried, mut untried) = (Vec::new(), Vec::new());
        for kind in delivered {
            let given = examples.iter().find(|example| example.aggregate_type() == kind).cloned();
            match given.or_else(|| clinical::example(kind)) {
                Some(example) => tried.push(Some(example)),
                None if kind == patient.as_str() => tried.push(None),
                None => untried.push(kind.to_owned()),
            }
        }
        Ok(Self { tried, untried })
    }

    fn sources(&self) -> impl Iterator<Item = Source> {
        self.tried.iter().map(|example| example.clone().map_or(Source::Patients, Source::Example))
    }

    /// A type that nothing can be said of is named. When it is all that the adapter delivers, that is a failure:
    /// nothing was tried at all.
    fn name_untried(&self, lines: &mut Vec<Line>) {
        for kind in &self.untried {
            let fix = format!("give an example of its payload, --payload {kind}=FILE");
            if self.tried.is_empty() {
                let message = format!("the adapter delivers {kind}, and the suite does not know that type: {fix}");
                lines.push(Line { place: kind.clone(), check: "payload", message, passed: false, tried: true });
            } else {
                checks::not_tried(lines, kind, "payload", &fix);
            }
        }
    }
}

fn name(adapter: &Adapter) -> String {
    format!("{} {}", adapter.descriptor().name, adapter.descriptor().version)
}
