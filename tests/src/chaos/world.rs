//! Owns the private servers of a run and the proxies before them, and the configuration of each host.
//!
//! Each server is behind a proxy for the hosts; the run's own application and checks go to it directly.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::{
    clinical,
    evidence::{FHIR, OPENEMR},
};
use crate::mutex::lock;
use crate::{
    database::{execute, load_sql, sqlite_url},
    environment::{adapter, fixture, host_binary},
    host::{Configuration, Host, quoted},
    servers::{FhirServer, Galera, GaleraNode, MariaDb, Postgres, Proxy},
};

/// How long a lease of the hosts lasts: short, so that dead and frozen hosts lose theirs many times in a run.
pub(crate) const LEASE: Duration = Duration::from_secs(2);

/// How long the hosts reckon that the FHIR server may go on working on a request whose answer never came
/// (`in_doubt_ms`). What is held back on its way there arrives earlier.
pub(crate) const IN_DOUBT: Duration = Duration::from_secs(4);

/// OpenEMR's database refuses new charts as one whose disk is full (error 1114), while a switch is on.
const DISK: [&str; 3] = [
    "CREATE TABLE chaos_disk (is_full INT NOT NULL)",
    "INSERT INTO chaos_disk VALUES (0)",
    "CREATE TRIGGER chaos_full BEFORE INSERT ON patient_data FOR EACH ROW IF (SELECT is_full FROM chaos_disk) = 1 THEN \
     SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1114, MESSAGE_TEXT = 'The table is full'; END IF",
];

/// How late each piece of data arrives while nothing is broken: without it a batch would be done before a fault could
/// break anything in the middle of it.
pub(crate) const LATENCY: Duration = Duration::from_millis(6);

/// Which database the store is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum StoreKind {
    /// One file that all hosts open.
    Sqlite,
    /// A MariaDB server.
    Mysql,
    /// A PostgreSQL server.
    Postgres,
    /// Three MariaDB nodes that all take writes, with the hosts and the application on different ones.
    Galera,
}

/// Nodes of a Galera cluster: one may be away, and the others are still the majority.
const GALERA_NODES: usize = 3;
/// Their names as parts.
const GALERA_PARTS: [&str; GALERA_NODES] = ["store node 1", "store node 2", "store node 3"];

impl StoreKind {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Mysql => "mysql",
            Self::Postgres => "postgres",
            Self::Galera => "galera",
        }
    }
}

/// A server that may be killed and started again over its data.
pub(crate) trait Crash: Send {
    fn url(&self) -> String;
    fn port(&self) -> u16;
    fn kill(&mut self);
    fn start_again(&mut self) -> Result<()>;
}

impl Crash for MariaDb {
    fn url(&self) -> String {
        Self::url(self)
    }

    fn port(&self) -> u16 {
        Self::port(self)
    }

    fn kill(&mut self) {
        Self::kill(self);
    }

    fn start_again(&mut self) -> Result<()> {
        Self::start_again(self)
    }
}

impl Crash for Postgres {
    fn url(&self) -> String {
        Self::url(self)
    }

    fn port(&self) -> u16 {
        Self::port(self)
    }

    fn kill(&mut self) {
        Self::kill(self);
    }

    fn start_again(&mut self) -> Result<()> {
        Self::start_again(self)
    }
}

impl Crash for GaleraNode {
    fn url(&self) -> String {
        Self::url(self)
    }

    fn port(&self) -> u16 {
        Self::port(self)
    }

    fn kill(&mut self) {
        Self::kill(self);
    }

    fn start_again(&mut self) -> Result<()> {
        Self::start_again(self)
    }
}

/// One server with the way to it.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    /// None where it is never killed.
    pub(crate) server: Option<Mutex<Box<dyn Crash>>>,
    pub(crate) proxy: Mutex<Proxy>,
    pub(crate) speaks_http: bool,
}

/// Everything but the hosts.
pub(crate) struct World {
    /// The store for the application, not through a proxy; one address for each node.
    pub(crate) store_urls: Vec<String>,
    /// OpenEMR's database for its other writer, not through a proxy.
    pub(crate) openemr_url: String,
    /// The FHIR server's base address, not through a proxy.
    pub(crate) fhir_url: String,
    /// What can be broken.
    pub(crate) parts: Vec<Part>,
    /// The store as the hosts reach it; one address for each node.
    host_store_urls: Vec<String>,
    /// What both targets take, where that is more than patients.
    types: &'static [&'static str],
    _fhir: FhirServer,
}

impl World {
    /// Starts all of it, with empty tables. The targets take patients, or clinical records too.
    pub(crate) async fn start(kind: StoreKind, is_clinical: bool, folder: &Path) -> Result<Self> {
        let (store, openemr, fhir) = tokio::task::spawn_blocking(move || start_servers(kind)).await??;
        let openemr_url = format!("{}/openemr", openemr.url());
        execute(&openemr.url(), "CREATE DATABASE openemr").await?;
        load_sql(&openemr_url, &fixture("openemr/8.2.0.sql")).await?;
        load_sql(&openemr_url, &fixture("chaos/openemr.sql")).await?;
        for statement in DISK {
            execute(&openemr_url, statement).await?;
        }

        let mut parts = Vec::new();
        let (mut store_urls, mut host_store_urls) = (Vec::new(), Vec::new());
        for (name, server) in store {
            let server_url = server.url();
            // PostgreSQL has no session without a database.
            let administration =
                if kind == StoreKind::Postgres { format!("{server_url}/postgres") } else { server_url.clone() };
            let url = format!("{server_url}/store");
            if store_urls.is_empty() {
                execute(&administration, "CREATE DATABASE store").await?;
            }
            let proxy = Proxy::start(server.port())?;
            host_store_urls.push(proxy.address_of(&url));
            store_urls.push(url);
            parts.push(Part { name, server: Some(Mutex::new(server)), proxy: Mutex::new(proxy), speaks_http: false });
        }
        if store_urls.is_empty() {
            let url = sqlite_url(&folder.join("store.db"));
            (store_urls, host_store_urls) = (vec![url.clone()], vec![url]);
        }
        let openemr_proxy = Proxy::start(openemr.port())?;
        let fhir_proxy = Proxy::start(fhir.port())?;
        let server: Box<dyn Crash> = Box::new(openemr);
        parts.push(Part {
            name: "openemr",
            server: Some(Mutex::new(server)),
            proxy: Mutex::new(openemr_proxy),
            speaks_http: false,
        });
        parts.push(Part { name: "fhir", server: None, proxy: Mutex::new(fhir_proxy), speaks_http: true });
        let types = if is_clinical { &clinical::TYPES[..] } else { &[] };
        Ok(Self { store_urls, openemr_url, fhir_url: fhir.url(), parts, host_store_urls, types, _fhir: fhir })
    }

    /// A host of this world that shows its metrics at `port`, in a folder of its own below `folder`; all share compiled
    /// adapters. Where the store has several nodes, each host goes to one.
    pub(crate) fn host(&self, number: usize, folder: &Path, port: u16) -> Result<Host> {
        let store_url = &self.host_store_urls[number % self.host_store_urls.len()];
        let configuration = self.configuration(store_url, &folder.join("cache")).listening(port);
        Host::in_folder(&folder.join(format!("host-{number}")), host_binary(), &configuration)
    }

    fn configuration(&self, store_url: &str, cache: &Path) -> Configuration {
        let through = |name: &str, url: &str| {
            self.part(name).map_or_else(|| url.to_owned(), |part| lock(&part.proxy).address_of(url))
        };
        let (lease_ms, in_doubt_ms) = (LEASE.as_millis(), IN_DOUBT.as_millis());
        let configuration = Configuration::new(store_url)
            .more(&format!("\n[plugins]\ncache = {}\n", quoted(&cache.to_string_lossy())))
            // Transient failures are what this is about, so that no delivery runs out of attempts.
            .more(&format!(
                "\n[sync]\npoll_interval_ms = 50\nlease_ms = {lease_ms}\ndrain_timeout_ms = 3000\nbatch = 10\n\
                 recheck_interval_ms = 5000\n[sync.retry]\nattempts_max = 1000\nbase_ms = 50\ncap_ms = 500\n\
                 [sync.breaker]\nopen_ms = 100\ncap_ms = 500\n"
            ))
            .openemr(&adapter("openemr"), &through("openemr", &self.openemr_url))
            .more("[targets.openemr.settings]\non_delete = \"keep\"\n[targets.openemr.limits]\nconcurrency = 4\n")
            .more(&format!(
                "\n[targets.fhir]\nadapter = {}\nid_column = \"fhir_patient_id\"\n[targets.fhir.http]\n\
                 base_url = {}\nallow_private = true\ntimeout_ms = 5000\nin_doubt_ms = {in_doubt_ms}\n[targets.fhir.limits]\nconcurrency = 4\n",
                quoted(&adapter("fhir").to_string_lossy()),
                quoted(&through("fhir", &self.fhir_url))
            ));
        if self.types.is_empty() {
            return configuration;
        }
        [OPENEMR, FHIR]
            .into_iter()
            .fold(configuration, |configuration, target| configuration.taking(target, self.types))
    }

    /// Whether OpenEMR's database takes new charts.
    pub(crate) async fn set_disk_full(&self, is_full: bool) -> Result<()> {
        execute(&self.openemr_url, &format!("UPDATE chaos_disk SET is_full = {}", i32::from(is_full))).await
    }

    /// The part of this name.
    pub(crate) fn part(&self, name: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.name == name)
    }

    /// Ends every fault but a full disk: proxies pass, servers run.
    pub(crate) fn heal(&self) -> Result<()> {
        for part in &self.parts {
            part.heal()?;
        }
        Ok(())
    }
}

impl Part {
    /// Takes it away: its server is killed, or the network refuses every connection to it.
    pub(crate) fn take_away(&self) {
        match &self.server {
            Some(server) => lock(server).kill(),
            None => lock(&self.proxy).refuse(),
        }
    }

    /// Ends every fault of it: the server runs, and its proxy passes.
    pub(crate) fn heal(&self) -> Result<()> {
        if let Some(server) = &self.server {
            lock(server).start_again().with_context(|| format!("start {} again", self.name))?;
        }
        let mut proxy = lock(&self.proxy);
        proxy.cut();
        proxy.pass()
    }
}

type Stores = Vec<(&'static str, Box<dyn Crash>)>;

fn start_servers(kind: StoreKind) -> Result<(Stores, MariaDb, FhirServer)> {
    thread::scope(|scope| {
        let store = scope.spawn(move || start_store(kind));
        let openemr = scope.spawn(MariaDb::start);
        let fhir = FhirServer::start();
        Ok((joined(store.join())?, joined(openemr.join())?, fhir?))
    })
}

fn start_store(kind: StoreKind) -> Result<Stores> {
    Ok(match kind {
        StoreKind::Sqlite => Vec::new(),
        StoreKind::Mysql => vec![("store", Box::new(MariaDb::start()?))],
        StoreKind::Postgres => vec![("store", Box::new(Postgres::start()?))],
        StoreKind::Galera => {
            let nodes = Galera::start(GALERA_NODES)?.into_nodes().into_iter();
            GALERA_PARTS.into_iter().zip(nodes.map(|node| -> Box<dyn Crash> { Box::new(node) })).collect()
        }
    })
}

fn joined<T>(result: thread::Result<Result<T>>) -> Result<T> {
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// An empty folder.
pub(crate) fn fresh_folder(folder: &Path) -> Result<PathBuf> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("empty {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    folder.canonicalize().with_context(|| format!("find {}", folder.display()))
}
