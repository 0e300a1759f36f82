//! Owns `sekmet-fhir`, in a Python environment under `target/fhir-server/`.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

use crate::servers::{
    process::{Launch, StopSignal},
    provision::Need,
    python::{self, PythonEnvironment},
};

pub(super) const VERSION: &str = "sekmet-fhir 0.1.1";

pub(super) const ENVIRONMENT: PythonEnvironment =
    PythonEnvironment { folder: "fhir-server", requirements: "sekmet-fhir==0.1.1\n" };

pub(super) const NEED: Need = Need {
    name: "FHIR server",
    packages: python::PACKAGES,
    advice: python::ADVICE,
    is_met: || ENVIRONMENT.is_complete() || python::python().is_some(),
};

pub(super) fn launch(directory: &Path, port: u16) -> Result<Launch> {
    let settings = directory.join("settings.yaml");
    // Its own defaults would listen on every address and invent patients.
    let text = format!(
        "base_url: http://127.0.0.1:{port}\nhost: 127.0.0.1\nport: {port}\n\
         simulator: {{enabled: false}}\nvalidation: {{inbound: strict}}\n"
    );
    fs::write(&settings, text).with_context(|| format!("write {}", settings.display()))?;
    Ok(Launch {
        name: NEED.name,
        program: ENVIRONMENT.program("sekmet"),
        arguments: ["serve", "-c", "settings.yaml", "--host", "127.0.0.1", "--port", &port.to_string()]
            .map(Into::into)
            .to_vec(),
        directory: directory.to_path_buf(),
        log: directory.join("log"),
        run_as: None,
        stop_signal: StopSignal::Terminate,
    })
}
