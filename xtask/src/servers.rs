//! Owns the set of private servers that a run of the tests shares, and telling the tests where they are.

use std::thread;

use anyhow::{Error, Result, bail};
use tests::{
    environment::Backend,
    servers::{
        FhirServer, MariaDb, Postgres, Registry,
        process::{is_interrupted, wait_for_interrupt},
        provision,
    },
};

/// The servers that came up, and why the others did not. Dropping it ends them all.
pub(crate) struct Servers {
    mariadb: Result<MariaDb>,
    postgres: Result<Postgres>,
    fhir: Result<FhirServer>,
}

/// One of them as the tests and the closing list see it.
pub(crate) struct Server<'a> {
    /// What it is.
    pub(crate) backend: Backend,
    /// Its address and version, or why it did not come up.
    pub(crate) up: Result<(String, String), &'a Error>,
}

impl Servers {
    /// Starts all of them at the same time. Fails only when a person interrupts.
    pub(crate) fn start() -> Result<Self> {
        // One installation for all that is missing, also of what only tests start. What fails here fails again below, each
        // with its own reason.
        let _each_says_its_own = provision::provide(&[MariaDb::NEED, Postgres::NEED, FhirServer::NEED, Registry::NEED]);
        let servers = thread::scope(|scope| {
            let mariadb = scope.spawn(MariaDb::start);
            let postgres = scope.spawn(Postgres::start);
            let fhir = FhirServer::start();
            Self { mariadb: joined(mariadb.join()), postgres: joined(postgres.join()), fhir }
        });
        if is_interrupted() {
            bail!("interrupted");
        }
        Ok(servers)
    }

    /// Each of them, in the order of the closing list.
    pub(crate) fn all(&self) -> [Server<'_>; 3] {
        let mariadb = self.mariadb.as_ref().map(|server| (server.url(), server.version().to_owned()));
        let postgres = self.postgres.as_ref().map(|server| (server.url(), server.version().to_owned()));
        let fhir = self.fhir.as_ref().map(|server| (server.url(), server.version()));
        [
            Server { backend: Backend::MariaDb, up: mariadb },
            Server { backend: Backend::Postgres, up: postgres },
            Server { backend: Backend::Fhir, up: fhir },
        ]
    }
}

/// `cargo xtask servers`: starts them, prints what the tests want to know, and waits for Ctrl-C.
pub(crate) fn serve() -> Result<()> {
    let servers = Servers::start()?;
    for server in servers.all() {
        let variable = server.backend.variable().unwrap_or_default();
        match server.up {
            Ok((url, version)) if cfg!(windows) => println!("$env:{variable} = \"{url}\"  # {version}"),
            Ok((url, version)) => println!("export {variable}={url}  # {version}"),
            Err(error) => println!("# {} is not running: {error:#}", server.backend.name()),
        }
    }
    println!("# Paste these into another terminal; Ctrl-C here ends the servers and drops their data.");
    wait_for_interrupt();
    Ok(())
}

fn joined<T>(result: thread::Result<Result<T>>) -> Result<T> {
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
