//! Owns asking validators that others wrote whether resources are FHIR R4: `fhir.resources` and the R4 JSON schema
//! (through `tests/servers/fhirstarter/validate.py`), HAPI's strict parser and its validator
//! (`tests/servers/hapi/.../Validate.java`).
//!
//! They have no definitions of US Core and KR Core; what those ask for is judged by rules next to the test.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use super::{FhirProduct, fhirstarter, hapi, medplum};
use crate::environment::workspace;

/// The validators, installed.
pub struct Validators(());

/// What one of them has against one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Which of the resources, from 0.
    pub index: usize,
    /// Where and what, in the validator's words.
    pub problem: String,
}

impl Validators {
    /// Installs them, where they are not there yet.
    ///
    /// # Errors
    /// As [`FhirProduct::provision`].
    pub fn provision() -> Result<Self> {
        for product in [FhirProduct::FhirStarter, FhirProduct::Medplum, FhirProduct::Hapi] {
            product.provision()?;
        }
        Ok(Self(()))
    }

    /// Everything that any of them has against any of these resources.
    ///
    /// # Errors
    /// When one of them cannot be run.
    pub fn judge(&self, resources: &[serde_json::Value]) -> Result<Vec<Verdict>> {
        let folder = tempfile::Builder::new().prefix("neuronova-validate-").tempdir()?;
        let mut files: Vec<PathBuf> = Vec::new();
        for (index, resource) in resources.iter().enumerate() {
            let file = folder.path().join(format!("{index}.json"));
            fs::write(&file, resource.to_string()).with_context(|| format!("write {}", file.display()))?;
            files.push(file);
        }
        let mut python = Command::new(fhirstarter::ENVIRONMENT.program("python"));
        python
            .args(["-W", "ignore"])
            .arg(workspace().join("tests/servers/fhirstarter/validate.py"))
            .arg(medplum::json_schema())
            .args(&files);
        let mut verdicts = Vec::new();
        for command in [python, hapi::validator(&files)?] {
            verdicts.extend(run(command)?);
        }
        Ok(verdicts)
    }
}

fn run(mut command: Command) -> Result<Vec<Verdict>> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    String::from_utf8_lossy(&output.stdout).lines().map(verdict).collect()
}

/// Reads `FOLDER/INDEX.json<TAB>PROBLEM`.
fn verdict(line: &str) -> Result<Verdict> {
    let (file, problem) = line.split_once('\t').with_context(|| format!("read a validator's line: {line}"))?;
    let index = PathBuf::from(file).file_stem().and_then(|stem| stem.to_str()?.parse().ok());
    Ok(Verdict { index: index.with_context(|| format!("read the number in {file}"))?, problem: problem.to_owned() })
}
