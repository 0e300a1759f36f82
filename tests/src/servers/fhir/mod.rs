//! Owns private FHIR servers: programs that others wrote, chosen for being unlike each other, each started over
//! loopback.
//!
//! A [`FhirProduct`] names it; its module installs it and defines how it is started. Installed and built things are
//! kept under `target/`, made once and shared; every server has its own port and its own folder. Read next:
//! `sekmet.rs`, the one that most tests share; `hapi.rs`, the one that `docker-compose.dev.yml` starts.

mod fhirstarter;
mod hapi;
mod medplum;
mod sekmet;
mod validators;

use std::{
    io::{Read as _, Write as _},
    path::Path,
};

use anyhow::Result;
use tempfile::TempDir;

use super::{
    process::{Launch, Process, connect, free_port},
    provision::{Need, provide},
};

pub use validators::{Validators, Verdict};

/// A FHIR server program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FhirProduct {
    /// `sekmet-fhir`: Python; everything that R4 offers, strict about what it takes.
    Sekmet,
    /// HAPI FHIR's JPA server: Java; the most widespread, and the one of `docker-compose.dev.yml`.
    Hapi,
    /// Medplum's router: JavaScript; ids by the server alone, batches that ignore `ifMatch`.
    Medplum,
    /// `FHIRStarter`, the framework of Canvas Medical: Python; no Bundles, no conditional requests, no versions.
    FhirStarter,
}

impl FhirProduct {
    /// What it needs of the system.
    #[must_use]
    pub fn need(self) -> Need {
        match self {
            Self::Sekmet => sekmet::NEED,
            Self::Hapi => hapi::NEED,
            Self::Medplum => medplum::NEED,
            Self::FhirStarter => fhirstarter::NEED,
        }
    }

    /// Its name and version, as `sekmet-fhir 0.1.1`.
    #[must_use]
    pub fn version(self) -> &'static str {
        match self {
            Self::Sekmet => sekmet::VERSION,
            Self::Hapi => hapi::VERSION,
            Self::Medplum => medplum::VERSION,
            Self::FhirStarter => fhirstarter::VERSION,
        }
    }

    /// Installs or builds it, where that was not done yet.
    ///
    /// # Errors
    /// When what it needs is missing and cannot be installed, or its installation fails; with what was printed.
    pub fn provision(self) -> Result<()> {
        provide(&[self.need()])?;
        match self {
            Self::Sekmet => sekmet::ENVIRONMENT.provision(),
            Self::Hapi => hapi::build(),
            Self::Medplum => medplum::install(),
            Self::FhirStarter => fhirstarter::ENVIRONMENT.provision(),
        }
    }

    fn launch(self, directory: &Path, port: u16) -> Result<Launch> {
        match self {
            Self::Sekmet => sekmet::launch(directory, port),
            Self::Hapi => hapi::launch(directory, port, None),
            Self::Medplum => Ok(medplum::launch(directory, port)),
            Self::FhirStarter => Ok(fhirstarter::launch(directory, port)),
        }
    }

    /// What its base address has behind the port.
    fn base_path(self) -> &'static str {
        if self == Self::FhirStarter { "" } else { "/fhir" }
    }
}

/// A private FHIR server, gone when dropped.
pub struct FhirServer {
    // Dropped in this order: the process before its files.
    process: Process,
    directory: Option<TempDir>,
    product: FhirProduct,
    port: u16,
}

impl FhirServer {
    /// What the one that most tests share needs of the system.
    pub const NEED: Need = sekmet::NEED;

    /// Installs the one that most tests share. The first time takes about a minute.
    ///
    /// # Errors
    /// As [`FhirProduct::provision`].
    pub fn provision() -> Result<()> {
        FhirProduct::Sekmet.provision()
    }

    /// Starts an empty server, the one that most tests share, on a free port.
    ///
    /// # Errors
    /// As [`Self::start_product`].
    pub fn start() -> Result<Self> {
        Self::start_product(FhirProduct::Sekmet)
    }

    /// Starts an empty server of this kind on a free port.
    ///
    /// # Errors
    /// As [`FhirProduct::provision`], and when it does not come up; with the end of its log.
    pub fn start_product(product: FhirProduct) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("neuronova-fhir-").tempdir()?;
        let mut server = Self::launch(product, directory.path(), free_port()?)?;
        server.directory = Some(directory);
        Ok(server)
    }

    /// Starts HAPI FHIR on a free port over a PostgreSQL database, as a JDBC address: what it answered outlasts it.
    ///
    /// # Errors
    /// As [`Self::start_product`].
    pub fn start_hapi_on(database: &str) -> Result<Self> {
        let product = FhirProduct::Hapi;
        product.provision()?;
        let (directory, port) = (tempfile::Builder::new().prefix("neuronova-fhir-").tempdir()?, free_port()?);
        let launch = hapi::launch(directory.path(), port, Some(database))?;
        let process = Process::start(launch, move || serves_metadata(port, product.base_path()))?;
        Ok(Self { process, directory: Some(directory), product, port })
    }

    /// Starts the one that most tests share over the data in `directory`, which stays when it ends.
    ///
    /// # Errors
    /// As [`Self::start_product`].
    pub fn start_in(directory: &Path, port: u16) -> Result<Self> {
        Self::launch(FhirProduct::Sekmet, directory, port)
    }

    fn launch(product: FhirProduct, directory: &Path, port: u16) -> Result<Self> {
        product.provision()?;
        let process =
            Process::start(product.launch(directory, port)?, move || serves_metadata(port, product.base_path()))?;
        Ok(Self { process, directory: None, product, port })
    }

    /// Its base address, as `http://127.0.0.1:PORT/fhir`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}{}", self.port, self.product.base_path())
    }

    /// Its port on 127.0.0.1, the same after [`Self::start_again`].
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it is, as `sekmet-fhir 0.1.1`.
    #[must_use]
    pub fn version(&self) -> String {
        self.product.version().to_owned()
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Ends it in order.
    pub fn stop(&mut self) {
        self.process.stop();
    }

    /// Starts it again on the same port; over the same data, where it keeps them in its folder.
    ///
    /// # Errors
    /// When it does not come up; with the end of its log.
    pub fn start_again(&mut self) -> Result<()> {
        self.process.start_again()
    }
}

fn serves_metadata(port: u16, base_path: &str) -> bool {
    let request = format!("GET {base_path}/metadata HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    let mut answer = [0; 12];
    connect(port)
        .is_ok_and(|mut stream| stream.write_all(request.as_bytes()).is_ok() && stream.read_exact(&mut answer).is_ok())
        && answer.ends_with(b" 200")
}
