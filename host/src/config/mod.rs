//! Reads `host.toml`, all settings of an operator, once at the start. The file is accepted or refused as a whole.
//! Every problem is listed with its line and the fix. Relative paths begin at the file's own folder and are absolute
//! from here on. Secrets are [`Secret`](crate::domain::secret::Secret)s and never shown. Every key is explained in
//! `docs/configuration.md`. Nothing here opens a database or a connection.

mod alerts;
mod alerts_entries;
mod allow;
mod audit;
mod authentication;
mod database_url;
mod entries;
mod entry_list;
mod http;
mod limits;
mod observability;
mod reload;
mod section_reader;
mod sync;
mod target;
mod variables;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

pub use alerts::{AlertsConfig, SmtpConfig, WebhookConfig};
pub use audit::{AuditConfig, SyslogAddress};
pub use authentication::{Authentication, AuthenticationType, GrantConfig, SecretMethod, SecretSource};
pub use database_url::{DatabaseKind, DatabaseUrl, ServerUrl};
pub use entry_list::Entry;
pub use http::{HttpConfig, HttpMethod};
pub use limits::Limits;
pub use observability::ObservabilityConfig;
pub use reload::changed_keys;
pub use sync::{RetentionConfig, SyncConfig};
pub use target::{Connection, DatabaseConfig, TargetConfig};

use crate::domain::ids::{AggregateType, TargetName, UsersTable};
use crate::spanned_toml::{FileProblem, FileProblems, Findings, Section, SpannedToml};
use crate::vocabulary;
use section_reader::{Context, SectionReader};
use variables::Variables;

/// A valid configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file's absolute path.
    pub path: PathBuf,
    /// `[store]`.
    pub store: StoreConfig,
    /// `[plugins]`.
    pub plugins: PluginsConfig,
    /// `[sync]`.
    pub sync: SyncConfig,
    /// `[retention]`.
    pub retention: RetentionConfig,
    /// `[audit]`.
    pub audit: AuditConfig,
    /// `[observability]`.
    pub observability: ObservabilityConfig,
    /// `[alerts]`; `None` when nothing is to be looked at.
    pub alerts: Option<AlertsConfig>,
    /// `[targets.NAME]`, including disabled ones.
    pub targets: BTreeMap<TargetName, TargetConfig>,
    /// `[aggregates.NAME]`; use [`Config::order`].
    pub aggregates: BTreeMap<AggregateType, Order>,
}

/// `[store]`: the host's own database.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// The location of the database.
    pub url: DatabaseUrl,
    /// How many connections this host may open to it.
    pub connections_max: u32,
    /// The name of the table of users.
    pub users_table: UsersTable,
}

/// `[plugins]`: the location of adapters, and how they are compiled and trusted.
#[derive(Clone, Debug)]
pub struct PluginsConfig {
    /// The folder where a relative `adapter` path of a target begins. Absolute.
    pub directory: PathBuf,
    /// The absolute path of `adapters.lock`, if it is not next to the configuration.
    pub lock_file: Option<PathBuf>,
    /// The folder for compiled adapters; it may be deleted at any time. Absolute.
    pub cache: PathBuf,
    /// The stack of an adapter's own calls in KiB, the same for every target.
    pub stack_kib: u32,
    /// The processor time for compiling one adapter, in seconds.
    pub compile_cpu_s: u32,
    /// The memory for compiling one adapter, in MiB.
    pub compile_memory_mib: u32,
    /// Public keys in minisign's format. A signature by any of them is trusted.
    pub trusted_keys: Vec<String>,
    /// Whether an adapter without a signature is refused.
    pub require_signature: bool,
}

vocabulary! {
    /// The order in which changes of one aggregate are delivered.
    pub enum Order {
        /// The newest state is delivered; older pending ones are superseded.
        State = "state",
        /// Every change is delivered, one after the other.
        Fifo = "fifo",
    }
}

/// All problems of a configuration, one per line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct ConfigError(#[from] FileProblems);

impl ConfigError {
    /// Every problem, sorted by line; never empty.
    #[must_use]
    pub fn problems(&self) -> &[FileProblem] {
        &self.0.problems
    }
}

impl Config {
    /// Reads the file, with variables from the environment and from `.env` next to the file.
    ///
    /// # Errors
    /// Every problem of the file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::load_with(path, &|name| std::env::var(name).ok())
    }

    /// As [`Config::load`], with the given environment.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_with(path: &Path, environment: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        if !path.exists() {
            let fix = "not found: start from the host.toml at the root of the repository (docs/configuration.md \
                        explains it), or name another file with --config";
            return Err(FileProblems::single(path, fix).into());
        }
        let document = SpannedToml::read(path)?;
        variables::refuse_open(path)?;
        let absolute = std::path::absolute(path)
            .map_err(|error| FileProblems::single(path, &format!("cannot be read: {error}")))?;
        let directory = absolute.parent().unwrap_or(Path::new("")).to_owned();
        let variables = Variables::read(&directory, environment)?;
        let findings = Findings::new(path);
        let table = document.parse(&findings);
        let context = Context { variables: &variables, directory: &directory };
        let root = SectionReader::new(Section::root(&document, &findings, &table), &context);
        let config = Self::read(root, absolute);
        match (findings.into_result(()), config) {
            (Err(problems), _) => Err(problems.into()),
            (Ok(()), Some(config)) => Ok(config),
            (Ok(()), None) => unreachable!("invariant: whatever keeps a part from being read is noted"),
        }
    }

    fn read(mut root: SectionReader<'_>, path: PathBuf) -> Option<Self> {
        let store = read_store(root.section("store"), &root);
        let plugins = read_plugins(root.section("plugins"));
        let (sync, batch) = sync::read_sync(root.section("sync"));
        let retention = sync::read_retention(root.section("retention"));
        let observability = observability::read_observability(root.section("observability"));
        let audit = audit::read_audit(root.section("audit"));
        let alerts = alerts::read_alerts(root.section("alerts"));
        let aggregates = read_aggregates(&root.section("aggregates"));
        let targets = target::read_targets(&root.section("targets"), &plugins.directory, batch);
        root.finish(&[]);
        Some(Self {
            path,
            store: store?,
            plugins,
            sync,
            retention,
            audit,
            observability,
            alerts,
            targets: targets?,
            aggregates,
        })
    }

    /// The file with the pins of adapters: `adapters.lock` next to the configuration, unless configured.
    #[must_use]
    pub fn lock_file(&self) -> PathBuf {
        self.plugins.lock_file.clone().unwrap_or_else(|| self.path.with_file_name("adapters.lock"))
    }

    /// The enabled targets.
    pub fn enabled_targets(&self) -> impl Iterator<Item = &TargetConfig> {
        self.targets.values().filter(|target| target.enabled)
    }

    /// How the changes of one aggregate are ordered: `state` unless configured.
    #[must_use]
    pub fn order(&self, aggregate_type: &AggregateType) -> Order {
        self.aggregates.get(aggregate_type).copied().unwrap_or(Order::State)
    }
}

fn read_store(mut store: SectionReader<'_>, root: &SectionReader<'_>) -> Option<StoreConfig> {
    if !store.is_present() && !root.has("store") {
        root.note_missing("store", "is missing: write [store] with url = \"sqlite://.host/host.db\"");
    }
    let url = read_database_url(&mut store);
    let connections_max = store.count("connections_max", 1..=1000, 8);
    let users_table = match store.text("users_table") {
        None => Some(UsersTable::default()),
        Some(name) => {
            UsersTable::free(name.value).map_err(|error| store.note_key("users_table", error.to_string())).ok()
        }
    };
    store.finish(&[]);
    Some(StoreConfig { url: url?, connections_max, users_table: users_table? })
}

fn read_plugins(mut plugins: SectionReader<'_>) -> PluginsConfig {
    let context = plugins.context;
    let directory = plugins.path("directory").unwrap_or_else(|| context.resolve("adapters"));
    let lock_file = plugins.path("lock_file");
    let cache = plugins.path("cache").unwrap_or_else(|| context.resolve(".host/cache"));
    let stack_kib = plugins.count("stack_kib", 64..=16_384, 1024);
    let compile_cpu_s = plugins.count("compile_cpu_s", 1..=3_600, 120);
    let compile_memory_mib = plugins.count("compile_memory_mib", 64..=65_536, 2_048);
    let trusted_keys = plugins.texts("trusted_keys").unwrap_or_default();
    let is_key = |text: &str| minisign_verify::PublicKey::from_base64(text).is_ok();
    if let Some(bad) = trusted_keys.iter().position(|key| !is_key(&key.value)) {
        let which = bad + 1;
        let fix = "it is the second line of a .pub file, 56 characters that begin with RW (host plugin keygen)";
        plugins.note_key("trusted_keys", format!("entry {which} is not a public key: {fix}"));
    }
    let require_signature = plugins.boolean("require_signature", false);
    if require_signature && trusted_keys.is_empty() {
        plugins.note_key("require_signature", "needs trusted_keys: without one no signature can be verified");
    }
    let trusted_keys = trusted_keys.into_iter().map(|key| key.value).collect();
    plugins.finish(&[]);
    PluginsConfig {
        directory,
        lock_file,
        cache,
        stack_kib,
        compile_cpu_s,
        compile_memory_mib,
        trusted_keys,
        require_signature,
    }
}

fn read_aggregates(aggregates: &SectionReader<'_>) -> BTreeMap<AggregateType, Order> {
    let mut orders = BTreeMap::new();
    for (name, mut aggregate) in aggregates.named_sections() {
        if !aggregate.has("order") {
            aggregate.note_missing("order", "is missing: write \"state\" or \"fifo\"");
        }
        let order = aggregate.word("order", Order::WORDS, Order::from_word);
        match AggregateType::new(name.value) {
            Ok(aggregate_type) => orders.extend(order.map(|order| (aggregate_type, order))),
            Err(error) => aggregate.note(format!("the name {error}")),
        }
        aggregate.finish(&[]);
    }
    orders
}

/// Reads the required `url` of a table.
fn read_database_url(reader: &mut SectionReader<'_>) -> Option<DatabaseUrl> {
    if !reader.has("url") {
        reader.note_missing("url", "is missing, for example \"sqlite://.host/host.db\"");
    }
    let text = reader.url("url")?;
    DatabaseUrl::parse(&text, reader.context.directory).map_err(|message| reader.note_key("url", message)).ok()
}

/// Whether the host of a URL is this machine.
fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
