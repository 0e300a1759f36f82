//! `host support-bundle`: one archive for whoever helps, provably without a patient's data.
//!
//! Nothing that others have worded goes into it: numbers, times, words and names of this program and of its
//! configuration, digests, and the database's own catalogue. `domain::clues` tells of everything else what is known of
//! it. It is needed most when the store is away, so each part that cannot be had is named with the reason.

mod archive;
mod host_facts;
mod store_facts;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::error::CliError;
use super::output::line;
use super::trail::AuditTrail;
use super::wiring;
use crate::config::Config;
use crate::domain::clues::clues;
use crate::store::Store;

/// How long one part may take.
const PART_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Write the archive to this new file
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// One file of the archive.
struct Part {
    file: &'static str,
    /// What it is, for the manifest.
    what: &'static str,
    /// Its content, or why it is missing.
    content: Result<String, String>,
}

impl Part {
    fn json(file: &'static str, what: &'static str, content: Result<serde_json::Value, String>) -> Self {
        let text = |value: serde_json::Value| serde_json::to_string_pretty(&value).unwrap_or_default() + "\n";
        Self { file, what, content: content.map(text) }
    }
}

/// Why a part is missing, in words of this program alone.
fn reason(message: &str) -> String {
    let clues = clues(message);
    if clues.is_empty() { "a reason that is not shown here; see `host check`".to_owned() } else { clues.join(", ") }
}

pub(super) async fn run(config: &Config, trail: &AuditTrail, arguments: &Arguments) -> Result<ExitCode, CliError> {
    let path = arguments.output.clone().unwrap_or_else(default_path);
    archive::refuse_existing(&path)?;
    let is_recorded = trail.done_where_possible(config).await;
    let store = wiring::existing_store(config);
    let mut parts = vec![host_facts::configuration(config), host_facts::adapters(config)];
    parts.push(host_facts::versions(config, store.as_ref().ok()).await);
    parts.extend(match reachable(store).await {
        Ok(store) => store_facts::all(config, &store).await,
        Err(reason) => store_facts::missing(&reason),
    });
    parts.sort_by_key(|part| part.file);
    let written = archive::write(&path, &parts, is_recorded)?;
    line(&format!("wrote {} ({} files, {} bytes)", path.display(), written.files, written.bytes));
    let mut missing = BTreeMap::<&str, Vec<&str>>::new();
    for part in &parts {
        if let Err(reason) = &part.content {
            missing.entry(reason).or_default().push(part.file);
        }
    }
    for (reason, files) in missing {
        line(&format!("   without {}: {reason}", files.join(", ")));
    }
    line("it holds no patient's data, no secret and no message of another program; MANIFEST lists what is in it");
    Ok(ExitCode::SUCCESS)
}

/// The store, if it answers: otherwise each part would wait for it.
async fn reachable(store: Result<Store, CliError>) -> Result<Store, String> {
    let store = store.map_err(|error| reason(&error.to_string()))?;
    match tokio::time::timeout(PART_TIMEOUT, store.database().version()).await {
        Ok(Ok(_)) => Ok(store),
        Ok(Err(error)) => Err(reason(&error.to_string())),
        Err(_) => Err("no answer".to_owned()),
    }
}

fn default_path() -> PathBuf {
    jiff::Timestamp::now().strftime("support-bundle-%Y%m%d-%H%M%S.tar.gz").to_string().into()
}
