//! `host plugin list`: shows each target's adapter file and its active adapter.

use std::process::ExitCode;

use serde_json::json;

use super::accept::difference_lines;
use crate::cli::error::CliError;
use crate::cli::{output, wiring};
use crate::config::{Config, Connection};
use crate::plugin::World;
use crate::store::StatusSnapshot;

pub(super) async fn run(config: &Config, json: bool) -> Result<ExitCode, CliError> {
    let store = wiring::store_if_there(config).await?;
    let runtime = wiring::runtime(config)?;
    let status = match &store {
        Some(store) => store.status(0).await?,
        None => StatusSnapshot::default(),
    };
    let mut objects = Vec::new();
    let mut broken = false;
    for target in config.targets.values() {
        let world = match target.connection {
            Connection::Database(_) => World::Database,
            Connection::Http(_) => World::Http,
        };
        let file = runtime.load(&target.adapter, world).await;
        let known = status.targets.get(target.name.as_str());
        let in_force = known.and_then(|status| status.adapter_sha256.clone());
        let held = known.and_then(|status| status.held.as_ref());
        let (text, object) = match &file {
            Ok(adapter) => {
                let descriptor = adapter.descriptor();
                let standing = match &in_force {
                    Some(sha256) if sha256 == adapter.sha256() => "active",
                    Some(_) if held.is_some_and(|held| held.sha256 == adapter.sha256()) => "held",
                    Some(_) => "another one is active",
                    None => "not active yet",
                };
                (
                    format!("{} {} sha256:{} ({standing})", descriptor.name, descriptor.version, adapter.sha256()),
                    json!({"name": descriptor.name, "version": descriptor.version, "sha256": adapter.sha256()}),
                )
            }
            Err(error) => {
                broken = true;
                (error.to_string(), json!({"error": error.to_string()}))
            }
        };
        objects.push(json!({
            "target": target.name.as_str(),
            "file": target.adapter.display().to_string(),
            "adapter": object,
            "in_force_sha256": in_force,
            "held": held,
        }));
        if !json {
            output::line(&format!("{}: {} {text}", target.name, target.adapter.display()));
            for line in held.iter().flat_map(|held| difference_lines(&held.differences)) {
                output::line(&line);
            }
        }
    }
    if json {
        output::json(&json!({"adapters": objects}));
    }
    Ok(if broken { ExitCode::from(5) } else { ExitCode::SUCCESS })
}
