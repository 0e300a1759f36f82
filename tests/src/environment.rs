//! Owns the contract between `cargo xtask test` and the tests: which variables say where the servers are, and what a
//! test does when one is not there. It never starts a server.
//!
//! A test without its server prints `not reached: MariaDB (run cargo xtask test)` and returns early, except where `CI`
//! is set: there it fails. What was used is noted in a folder, from which `cargo xtask test` makes its closing list.
//!
//! Read next: `database.rs`, which makes a fresh database on one of these servers.

use std::{
    env,
    fs::OpenOptions,
    io::Write as _,
    path::{Path, PathBuf},
};

/// Names the variable with the address of the MariaDB server, as `mysql://root@127.0.0.1:PORT`.
pub const MYSQL_URL: &str = "NEURONOVA_TEST_MYSQL_URL";
/// Names the variable with the address of the PostgreSQL server, as `postgres://postgres@127.0.0.1:PORT`.
pub const POSTGRES_URL: &str = "NEURONOVA_TEST_POSTGRES_URL";
/// Names the variable with the base address of the FHIR server, as `http://127.0.0.1:PORT/fhir`.
pub const FHIR_URL: &str = "NEURONOVA_TEST_FHIR_URL";
/// Names the variable with the base address of the HAPI FHIR server.
pub const HAPI_URL: &str = "NEURONOVA_TEST_HAPI_URL";
/// Names the variable with the base address of Medplum's router.
pub const MEDPLUM_URL: &str = "NEURONOVA_TEST_MEDPLUM_URL";
/// Names the variable with the base address of the `FHIRStarter` server.
pub const FHIRSTARTER_URL: &str = "NEURONOVA_TEST_FHIRSTARTER_URL";
/// Names the variable with the folder of the adapters (`openemr.wasm`, `fhir.wasm`).
pub const ADAPTERS: &str = "NEURONOVA_TEST_ADAPTERS";
/// Names the variable with the path of the host's binary.
pub const HOST: &str = "NEURONOVA_TEST_HOST";
/// Names the variable with the folder where each backend that a test reached leaves a line per use.
pub const REACHED: &str = "NEURONOVA_TEST_REACHED";

/// What the tests can be run against. The display name is the one of the closing list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Backend {
    /// The embedded database: always there.
    Sqlite,
    /// A private MariaDB server.
    MariaDb,
    /// A private PostgreSQL server.
    Postgres,
    /// A private FHIR server, the one that most tests share.
    Fhir,
    /// A private HAPI FHIR server.
    Hapi,
    /// A private server of Medplum's router.
    Medplum,
    /// A private server of `FHIRStarter`.
    FhirStarter,
}

impl Backend {
    /// All of them, in the order of the closing list.
    pub const ALL: [Self; 7] =
        [Self::Sqlite, Self::MariaDb, Self::Postgres, Self::Fhir, Self::Hapi, Self::Medplum, Self::FhirStarter];

    /// The name for people, which is also the name of the file under [`REACHED`].
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::MariaDb => "MariaDB",
            Self::Postgres => "PostgreSQL",
            Self::Fhir => "FHIR server",
            Self::Hapi => "HAPI FHIR",
            Self::Medplum => "Medplum",
            Self::FhirStarter => "FHIRStarter",
        }
    }

    /// The variable that holds its address; none for the embedded database.
    #[must_use]
    pub fn variable(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::MariaDb => Some(MYSQL_URL),
            Self::Postgres => Some(POSTGRES_URL),
            Self::Fhir => Some(FHIR_URL),
            Self::Hapi => Some(HAPI_URL),
            Self::Medplum => Some(MEDPLUM_URL),
            Self::FhirStarter => Some(FHIRSTARTER_URL),
        }
    }

    /// Its address, or `None` after saying that it was not reached.
    ///
    /// # Panics
    /// Where `CI` is set and the server is not there: a run of CI that tested nothing must not look like a pass.
    #[must_use]
    pub fn url(self) -> Option<String> {
        let variable = self.variable()?;
        if let Some(url) = non_empty(variable) {
            note_reached(self);
            return Some(url);
        }
        let message = format!("not reached: {} (run cargo xtask test)", self.name());
        assert!(!is_ci(), "{message}");
        say(&message);
        None
    }
}

/// The private MariaDB server, as `mysql://root@127.0.0.1:PORT`, without a database.
#[must_use]
pub fn mysql_url() -> Option<String> {
    Backend::MariaDb.url()
}

/// The private PostgreSQL server, as `postgres://postgres@127.0.0.1:PORT`, without a database.
#[must_use]
pub fn postgres_url() -> Option<String> {
    Backend::Postgres.url()
}

/// The private FHIR server's base address. Every test shares it: use identifiers of your own.
#[must_use]
pub fn fhir_url() -> Option<String> {
    Backend::Fhir.url()
}

/// An adapter that was built as a component, by its name, as `openemr`.
///
/// # Panics
/// When it was not built, since nothing after it could say so as clearly.
#[must_use]
pub fn adapter(name: &str) -> PathBuf {
    let component = adapters().join(format!("{name}.wasm"));
    assert!(component.is_file(), "no adapter at {} (run cargo xtask adapters)", component.display());
    component
}

/// An adapter that was built for the interface 0.1.0 and is kept in the repository.
#[must_use]
pub fn adapter_0_1(name: &str) -> PathBuf {
    fixture(&format!("adapters-0.1.0/{name}.wasm"))
}

/// An adapter whose language may be missing here, or `None` after saying that it was not built.
///
/// # Panics
/// Where `CI` is set and it was not built: a run of CI that tested nothing must not look like a pass.
#[must_use]
pub fn adapter_if_built(name: &str) -> Option<PathBuf> {
    let component = adapters().join(format!("{name}.wasm"));
    if component.is_file() {
        return Some(component);
    }
    let message = format!("not built: {} (run cargo xtask adapters)", component.display());
    assert!(!is_ci(), "{message}");
    say(&message);
    None
}

fn adapters() -> PathBuf {
    non_empty(ADAPTERS).map_or_else(|| target_directory().join("adapters"), PathBuf::from)
}

/// The host's binary.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn host_binary() -> PathBuf {
    let name = format!("host{}", env::consts::EXE_SUFFIX);
    let binary = non_empty(HOST).map_or_else(|| target_directory().join("debug").join(name), PathBuf::from);
    assert!(binary.is_file(), "no host at {} (run cargo build)", binary.display());
    binary
}

/// The folder of the workspace.
///
/// # Panics
/// Never: this package lies in a folder of the workspace.
#[must_use]
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("invariant: the package lies in the workspace's folder")
}

/// A file of `tests/fixtures/`, by its path inside.
#[must_use]
pub fn fixture(path: &str) -> PathBuf {
    workspace().join("tests").join("fixtures").join(path)
}

/// Where cargo builds.
#[must_use]
pub fn target_directory() -> PathBuf {
    // Relative values are relative to where cargo was started, which is the workspace for every documented command.
    non_empty("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), |folder| workspace().join(folder))
}

/// Notes that a test really used this backend, for the closing list of `cargo xtask test`.
pub(crate) fn note_reached(backend: Backend) {
    let Some(folder) = non_empty(REACHED) else { return };
    let file = Path::new(&folder).join(backend.name());
    let written =
        OpenOptions::new().create(true).append(true).open(&file).and_then(|mut notes| notes.write_all(b"used\n"));
    if let Err(error) = written {
        say(&format!("could not note in {} that {} was reached: {error}", file.display(), backend.name()));
    }
}

/// Whether CI runs this: there a missing server or tool is a failure.
#[must_use]
pub fn is_ci() -> bool {
    non_empty("CI").is_some()
}

/// The value of a variable that is set to something.
pub(crate) fn non_empty(variable: &str) -> Option<String> {
    env::var(variable).ok().filter(|value| !value.is_empty())
}

fn say(message: &str) {
    eprintln!("{message}");
}
