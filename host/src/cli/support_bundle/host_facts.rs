//! What is told of this host without its store: versions, configuration, adapters' files.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{PART_TIMEOUT, Part, reason};
use crate::cli::wiring;
use crate::config::{Config, Connection, TargetConfig};
use crate::database::Database;
use crate::domain::clues::version_number;
use crate::domain::hex::hex;
use crate::files;
use crate::plugin::{COMPONENT_BYTES_MAX, interface_versions};
use crate::store::Store;

/// The configuration, key by key, as [`Config::entries`] allows it to be seen.
pub(super) fn configuration(config: &Config) -> Part {
    let entries = config.entries();
    let redacted: Vec<_> = entries.iter().filter(|entry| entry.is_redacted()).map(|entry| entry.key.as_str()).collect();
    let values: serde_json::Map<_, _> =
        entries.iter().map(|entry| (entry.key.clone(), Value::from(entry.shown.as_str()))).collect();
    let content = json!({ "values": values, "left_out_or_shown_in_part": redacted });
    let what = "The configuration in force for commands; secrets, users, paths and free text are left out and named";
    Part::json("configuration.json", what, Ok(content))
}

/// The adapters' files with their digests.
pub(super) fn adapters(config: &Config) -> Part {
    let adapters: Vec<_> = config.targets.values().map(adapter).collect();
    Part::json("adapters.json", "Each target's adapter: size and digest of the file", Ok(json!(adapters)))
}

fn adapter(target: &TargetConfig) -> Value {
    match files::read(&target.adapter, COMPONENT_BYTES_MAX) {
        Ok(bytes) => json!({
            "target": target.name,
            "bytes": bytes.len(),
            "sha256": hex(&Sha256::digest(&bytes)),
            "has_signature_file": is_there(&target.adapter),
        }),
        Err(error) => json!({ "target": target.name, "missing": error.kind().to_string() }),
    }
}

fn is_there(adapter: &Path) -> bool {
    let mut signature = adapter.as_os_str().to_owned();
    signature.push(".minisig");
    Path::new(&signature).is_file()
}

/// The versions of everything that has one.
pub(super) async fn versions(config: &Config, store: Option<&Store>) -> Part {
    let mut databases = serde_json::Map::new();
    let of_store = match store {
        Some(store) => database(store.database()).await,
        None => json!({ "missing": "the store cannot be opened" }),
    };
    databases.insert("store".to_owned(), of_store);
    for target in config.targets.values() {
        if let Connection::Database(_) = target.connection {
            databases.insert(format!("target {}", target.name), of_target(target).await);
        }
    }
    let content = json!({
        "host": env!("CARGO_PKG_VERSION"),
        "build": if cfg!(debug_assertions) { "debug" } else { "release" },
        "interfaces": interface_versions(),
        "system": std::env::consts::OS,
        "kernel": kernel(),
        "architecture": std::env::consts::ARCH,
        "processors": std::thread::available_parallelism().map_or(0, usize::from),
        "databases": databases,
    });
    Part::json("versions.json", "Versions of the host, its interface, the system and the databases", Ok(content))
}

#[cfg(unix)]
fn kernel() -> Option<String> {
    version_number(&rustix::system::uname().release().to_string_lossy())
}

#[cfg(not(unix))]
fn kernel() -> Option<String> {
    None
}

async fn of_target(config: &TargetConfig) -> Value {
    match wiring::target(config) {
        Ok(target) => {
            let version = match target.database() {
                Some(target) => database(target).await,
                None => Value::Null,
            };
            target.close().await;
            version
        }
        Err(error) => json!({ "missing": reason(&error.to_string()) }),
    }
}

async fn database(database: &Database) -> Value {
    match tokio::time::timeout(PART_TIMEOUT.min(Duration::from_secs(10)), database.version()).await {
        Ok(Ok((product, words))) => json!({ "product": product, "version": version_number(&words) }),
        Ok(Err(error)) => json!({ "missing": reason(&error.to_string()) }),
        Err(_) => json!({ "missing": "no answer" }),
    }
}
