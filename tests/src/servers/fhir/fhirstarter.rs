//! Owns `FHIRStarter`, in a Python environment under `target/fhirstarter/`; its main is
//! `tests/servers/fhirstarter/server.py`.

use std::path::Path;

use crate::{
    environment::workspace,
    servers::{
        process::{Launch, StopSignal},
        provision::Need,
        python::{self, PythonEnvironment},
    },
};

pub(super) const VERSION: &str = "FHIRStarter 4.2.0";

pub(super) const ENVIRONMENT: PythonEnvironment = PythonEnvironment {
    folder: "fhirstarter",
    requirements: include_str!("../../../servers/fhirstarter/requirements.txt"),
};

pub(super) const NEED: Need = Need {
    name: "FHIRStarter",
    packages: python::PACKAGES,
    advice: python::ADVICE,
    is_met: || ENVIRONMENT.is_complete() || python::python().is_some(),
};

pub(super) fn launch(directory: &Path, port: u16) -> Launch {
    let main = workspace().join("tests/servers/fhirstarter/server.py");
    Launch {
        name: NEED.name,
        program: ENVIRONMENT.program("python"),
        arguments: vec!["-W".into(), "ignore".into(), main.into(), port.to_string().into()],
        directory: directory.to_path_buf(),
        log: directory.join("log"),
        run_as: None,
        stop_signal: StopSignal::Terminate,
    }
}
