//! Owns the set of private servers that a run of the tests shares, and telling the tests where they are.

use std::thread;

use anyhow::{Error, Result, bail};
use tests::{
    environment::Backend,
    servers::{
        Alertmanager, FhirProduct, FhirServer, MariaDb, Postgres, Prometheus, Registry,
        process::{is_interrupted, wait_for_interrupt},
        provision,
    },
};

/// The servers that came up, and why the others did not. Dropping it ends them all.
pub(crate) struct Servers {
    mariadb: Result<MariaDb>,
    postgres: Result<Postgres>,
    fhir: Vec<(Backend, Result<FhirServer>)>,
}

/// The FHIR servers: the one that most tests share, and those that only the matrix of FHIR servers needs.
const SHARED_FHIR: (Backend, FhirProduct) = (Backend::Fhir, FhirProduct::Sekmet);
const OTHER_FHIR: [(Backend, FhirProduct); 3] = [
    (Backend::Hapi, FhirProduct::Hapi),
    (Backend::Medplum, FhirProduct::Medplum),
    (Backend::FhirStarter, FhirProduct::FhirStarter),
];

/// One of them as the tests and the closing list see it.
pub(crate) struct Server<'a> {
    /// What it is.
    pub(crate) backend: Backend,
    /// Its address and version, or why it did not come up.
    pub(crate) up: Result<(String, String), &'a Error>,
}

impl Servers {
    /// Starts them at the same time; `all_fhir` also those FHIR servers that only the matrix of them needs. Fails only
    /// when an operator interrupts.
    pub(crate) fn start(all_fhir: bool) -> Result<Self> {
        let mut wanted = vec![SHARED_FHIR];
        let mut needs =
            vec![MariaDb::NEED, Postgres::NEED, FhirServer::NEED, Registry::NEED, Prometheus::NEED, Alertmanager::NEED];
        if all_fhir {
            wanted.extend(OTHER_FHIR);
            needs.extend(OTHER_FHIR.map(|(_, product)| product.need()));
        }
        // One installation for all that is missing, also of what only tests start. What fails here fails again below,
        // each with its own reason.
        let _each_says_its_own = provision::provide(&needs);
        let servers = thread::scope(|scope| {
            let mariadb = scope.spawn(MariaDb::start);
            let postgres = scope.spawn(Postgres::start);
            let fhir: Vec<_> = wanted
                .into_iter()
                .map(|(backend, product)| (backend, scope.spawn(move || FhirServer::start_product(product))))
                .collect();
            Self {
                mariadb: joined(mariadb.join()),
                postgres: joined(postgres.join()),
                fhir: fhir.into_iter().map(|(backend, server)| (backend, joined(server.join()))).collect(),
            }
        });
        if is_interrupted() {
            bail!("interrupted");
        }
        Ok(servers)
    }

    /// Each of them, in the order of the closing list.
    pub(crate) fn all(&self) -> Vec<Server<'_>> {
        let mariadb = self.mariadb.as_ref().map(|server| (server.url(), server.version().to_owned()));
        let postgres = self.postgres.as_ref().map(|server| (server.url(), server.version().to_owned()));
        let mut all = vec![
            Server { backend: Backend::MariaDb, up: mariadb },
            Server { backend: Backend::Postgres, up: postgres },
        ];
        all.extend(self.fhir.iter().map(|(backend, server)| Server {
            backend: *backend,
            up: server.as_ref().map(|server| (server.url(), server.version())),
        }));
        all
    }
}

/// `cargo xtask servers`: starts them, prints what the tests want to know, and waits for Ctrl-C.
pub(crate) fn serve() -> Result<()> {
    let servers = Servers::start(true)?;
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
