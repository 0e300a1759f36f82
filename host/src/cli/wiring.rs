//! Builds store, runtime and targets from the configuration.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::error::CliError;
use crate::config::{
    Authentication, Config, Connection, DatabaseUrl, GrantConfig, HttpConfig, Order, SecretMethod, SecretSource,
    TargetConfig,
};
use crate::database::{Database, DatabaseError, Locator};
use crate::distribution::Trust;
use crate::domain::spelling;
use crate::files;
use crate::plugin::{
    ClientProof, CompileLimits, Compiler, Credentials, GrantOptions, HttpOptions, Runtime, RuntimeOptions, SecretValue,
};
use crate::store::{MigrationError, Store, StoreClock};
use crate::sync::{Retention, SyncOptions};
use crate::target::{Target, TargetKind, TargetSpec};

/// The time limit of a statement of the store.
const STORE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a command waits at its end for the store to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest accepted file of certificate authorities in bytes.
pub(super) const CA_BYTES_MAX: u64 = 4 << 20;

/// How often the host checks whether an adapter's file has changed, in milliseconds.
const WATCH_MS: u64 = 1_000;

/// One day in milliseconds.
const DAY_MS: i64 = 86_400_000;

/// A task that was not polled for this many milliseconds hangs. No step of a task computes that long.
const HANGS_AFTER_MS: u64 = 20_000;

/// Opens the store without connecting. Creates the folder and file of an SQLite store.
pub(super) fn store(config: &Config) -> Result<Store, CliError> {
    let locator = locator(&config.store.url)?;
    if let Locator::Sqlite(path) = &locator
        && let Some(folder) = path.parent()
    {
        make_private_folder(folder)
            .and_then(|()| make_private_file(path))
            .map_err(|error| CliError::Database(unwritable(path, &error)))?;
    }
    opened(config, locator)
}

fn unwritable(path: &Path, error: &std::io::Error) -> String {
    let what = if path.exists() { "write to" } else { "create" };
    format!(
        "cannot {what} the store {}: {error}; fix: let this user write to the file and its folder, and mount them writable",
        path.display()
    )
}

/// The stores that this process has opened; `close_stores` closes them.
static OPENED: Mutex<Vec<Store>> = Mutex::new(Vec::new());

fn opened(config: &Config, locator: Locator) -> Result<Store, CliError> {
    let database = Database::new(locator, config.store.connections_max, STORE_TIMEOUT).map_err(database_error)?;
    let store = Store::new(database, StoreClock::Database).with_users_table(config.store.users_table.clone());
    OPENED.lock().unwrap_or_else(PoisonError::into_inner).push(store.clone());
    Ok(store)
}

/// Closes the stores of this process at the end of any command. Afterwards an SQLite file is complete and can be
/// copied.
pub(super) async fn close_stores() {
    let stores = std::mem::take(&mut *OPENED.lock().unwrap_or_else(PoisonError::into_inner));
    for store in stores {
        // A store that does not close in time must not delay the exit.
        drop(tokio::time::timeout(CLOSE_TIMEOUT, store.database().close()).await);
    }
}

/// Opens the store for a command that only reads. It must exist and have this host's schema version.
pub(super) async fn readable_store(config: &Config) -> Result<Store, CliError> {
    let store = existing_store(config)?;
    store.require_current().await?;
    Ok(store)
}

/// As [`readable_store`], but `None` when the store does not exist.
pub(super) async fn store_if_there(config: &Config) -> Result<Option<Store>, CliError> {
    if matches!(locator(&config.store.url)?, Locator::Sqlite(path) if !path.is_file()) {
        return Ok(None);
    }
    let store = existing_store(config)?;
    match store.require_current().await {
        Ok(_) => Ok(Some(store)),
        Err(MigrationError::Absent) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// As [`store_if_there`], but also `None` when it has another version.
pub(super) async fn current_store_if_there(config: &Config) -> Result<Option<Store>, CliError> {
    if matches!(locator(&config.store.url)?, Locator::Sqlite(path) if !path.is_file()) {
        return Ok(None);
    }
    let store = existing_store(config)?;
    match store.require_current().await {
        Ok(_) => Ok(Some(store)),
        Err(MigrationError::Store(error)) => Err(error.into()),
        Err(_) => Ok(None),
    }
}

/// Opens an existing store of any version, for a command that must not write to it.
pub(super) fn existing_store(config: &Config) -> Result<Store, CliError> {
    let locator = locator(&config.store.url)?;
    if let Locator::Sqlite(path) = &locator
        && !path.is_file()
    {
        return Err(CliError::Database(format!(
            "there is no store at {}; fix: `host migrate` creates it",
            path.display()
        )));
    }
    opened(config, locator)
}

/// Opens and migrates the store. It registers no targets; only `host run` does.
pub(super) async fn migrated_store(config: &Config) -> Result<Store, CliError> {
    let store = store(config)?;
    store.migrate().await?;
    Ok(store)
}

/// Registers a configured target that no host has registered yet.
pub(super) async fn know_target(store: &Store, target: &TargetConfig) -> Result<(), CliError> {
    let known = store.status(0).await?.targets.contains_key(target.name.as_str());
    if !known {
        // The first host that starts does the same.
        store.unaudited().register_targets(&[(target.name.as_str(), target.enabled)]).await?;
    }
    Ok(())
}

/// Finds a configured target by its name.
pub(super) fn target_config<'a>(config: &'a Config, name: &str) -> Result<&'a TargetConfig, CliError> {
    config.targets.values().find(|target| target.name.as_str() == name).ok_or_else(|| {
        let known = config.targets.values().map(|target| target.name.as_str());
        CliError::Usage(format!("{}: {}", config.path.display(), spelling::unknown("target", name, known)))
    })
}

/// Starts the runtime of adapters.
pub(super) fn runtime(config: &Config) -> Result<Arc<Runtime>, CliError> {
    let options = runtime_options(config, Some(config.plugins.cache.clone()));
    Ok(Runtime::guarded(&options, Arc::new(trust(config)?))?)
}

/// The options of the runtime for this configuration.
pub(super) fn runtime_options(config: &Config, cache_dir: Option<PathBuf>) -> RuntimeOptions {
    let calls: u32 = config.enabled_targets().map(|target| target.limits.concurrency.max(1) + 1).sum();
    let tables = config.targets.values().map(|target| target.limits.call.table_elements_max);
    RuntimeOptions {
        cache_dir,
        instances_max: calls.clamp(4, 256),
        stack_kib: config.plugins.stack_kib,
        table_elements_max: tables.max().unwrap_or_default(),
        compiler: Compiler::of_this_program(),
        compile_limits: CompileLimits {
            cpu_seconds_max: config.plugins.compile_cpu_s.into(),
            memory_bytes_max: u64::from(config.plugins.compile_memory_mib) << 20,
            ..CompileLimits::default()
        },
    }
}

/// The rules for loading adapters.
pub(super) fn trust(config: &Config) -> Result<Trust, CliError> {
    let plugins = &config.plugins;
    Ok(Trust::new(&config.lock_file(), &plugins.directory, &plugins.trusted_keys, plugins.require_signature)?)
}

/// Builds a target without connecting.
pub(super) fn target(config: &TargetConfig) -> Result<Target, CliError> {
    Ok(Target::new(target_spec(config)?)?)
}

/// What a target is built from. Reads the files of certificates and secrets.
pub(super) fn target_spec(config: &TargetConfig) -> Result<TargetSpec, CliError> {
    Ok(TargetSpec {
        name: config.name.clone(),
        adapter: config.adapter.clone(),
        kind: kind(config)?,
        id_column: config.id_column,
        on_remote_edit: config.on_remote_edit,
        aggregate_types: config.aggregate_types.iter().map(|kind| kind.as_str().to_owned()).collect(),
        settings_json: serde_json::Value::Object(config.settings.clone()).to_string(),
        limits: config.limits.call.clone(),
        batch_max: config.limits.batch,
        concurrency: config.limits.concurrency,
        verify: config.verify,
    })
}

/// The options of `host run`.
pub(super) fn sync_options(config: &Config) -> SyncOptions {
    let sync = &config.sync;
    let disabled = config.targets.values().filter(|target| !target.enabled);
    SyncOptions {
        lease_ms: sync.lease_ms,
        poll_ms: sync.poll_interval_ms,
        drain_ms: sync.drain_timeout_ms,
        recheck_ms: sync.recheck_interval_ms,
        watch_ms: WATCH_MS,
        hangs_after_ms: HANGS_AFTER_MS,
        retry: sync.retry,
        breaker: sync.breaker,
        retention: Retention {
            finished_ms: i64::from(config.retention.done_days) * DAY_MS,
            journal_ms: i64::from(config.retention.journal_days) * DAY_MS,
        },
        journal: sync.journal,
        compare_effects: sync.compare_effects,
        fifo_types: fifo_types(config),
        disabled_targets: disabled.map(|target| target.name.clone()).collect(),
    }
}

/// An id for this run of the host: machine and process for people, and a random part. At most 64 bytes.
pub(super) fn host_id() -> String {
    let is_plain = |character: &char| character.is_ascii_alphanumeric() || matches!(character, '.' | '-');
    let machine: String = machine().chars().filter(is_plain).take(24).collect();
    format!("{machine}-{}-{:016x}", std::process::id(), rand::random::<u64>())
}

/// The name of this machine.
#[cfg(unix)]
pub(super) fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
pub(super) fn machine() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "host".to_owned())
}

/// The aggregate types with `order = "fifo"`.
pub(super) fn fifo_types(config: &Config) -> Vec<String> {
    let is_fifo = |order: &Order| *order == Order::Fifo;
    config.aggregates.iter().filter(|(_, order)| is_fifo(order)).map(|(kind, _)| kind.as_str().to_owned()).collect()
}

fn kind(config: &TargetConfig) -> Result<TargetKind, CliError> {
    match &config.connection {
        Connection::Database(database) => Ok(TargetKind::Database {
            locator: locator(&database.url)?,
            connections_max: database.connections_max,
            grants: database.allow.clone(),
        }),
        Connection::Http(http) => {
            Ok(TargetKind::Http { options: http_options(config.name.as_str(), http)?, in_doubt_ms: http.in_doubt_ms })
        }
    }
}

fn http_options(target: &str, http: &HttpConfig) -> Result<HttpOptions, CliError> {
    let unreadable = |field: &str, error: std::io::Error| {
        CliError::Config(format!("[targets.{target}.http] cannot read {field}: {error}"))
    };
    let ca_pem = http
        .ca_file
        .as_ref()
        .map(|file| files::read(file, CA_BYTES_MAX))
        .transpose()
        .map_err(|error| unreadable("ca_file", error))?;
    let credentials = credentials(&http.authentication, &unreadable)?;
    let header = |(name, source): &(String, SecretSource)| {
        Ok((name.clone(), secret(source, &format!("header {name}"), &unreadable)?))
    };
    let headers = http.headers.iter().map(header).collect::<Result<_, CliError>>()?;
    Ok(HttpOptions {
        base_url: http.base_url_text().to_owned(),
        methods: http.methods.iter().map(|method| method.as_str().to_owned()).collect(),
        allow_private: http.allow_private,
        timeout: Duration::from_millis(http.timeout_ms),
        ca_pem,
        credentials,
        headers,
        ..HttpOptions::default()
    })
}

type Unreadable<'a> = dyn Fn(&str, std::io::Error) -> CliError + 'a;

fn credentials(authentication: &Authentication, unreadable: &Unreadable<'_>) -> Result<Credentials, CliError> {
    let grant = |grant: &GrantConfig, proof| GrantOptions {
        token_url: grant.token_url.clone(),
        client_id: grant.client_id.clone(),
        scope: grant.scope.clone(),
        audience: grant.audience.clone(),
        resource: grant.resource.clone(),
        proof,
    };
    Ok(match authentication {
        Authentication::None => Credentials::None,
        Authentication::Bearer { token } => Credentials::Bearer(secret(token, "auth token", unreadable)?),
        Authentication::Basic { username, password } => {
            Credentials::Basic(username.clone(), secret(password, "auth password", unreadable)?)
        }
        Authentication::ClientCredentials { grant: config, client_secret, method } => {
            let secret = secret(client_secret, "auth client_secret", unreadable)?;
            let proof = match method {
                SecretMethod::Basic => ClientProof::Secret(secret),
                SecretMethod::Post => ClientProof::SecretInBody(secret),
            };
            Credentials::Grant(grant(config, proof))
        }
        Authentication::BackendServices { grant: config, private_key, key_id } => {
            let pem = secret(private_key, "auth private_key_file", unreadable)?;
            Credentials::Grant(grant(config, ClientProof::Key { pem, key_id: key_id.clone() }))
        }
    })
}

/// Reads a secret. A file is read once here, so that a missing one is reported at the start. Later it is read at each
/// use.
fn secret(source: &SecretSource, field: &str, unreadable: &Unreadable<'_>) -> Result<SecretValue, CliError> {
    let secret = source.read().map_err(|error| unreadable(field, error))?;
    Ok(match source {
        SecretSource::Value(_) => SecretValue::Fixed(secret),
        SecretSource::File(_) => {
            let source = source.clone();
            SecretValue::Reread(Arc::new(move || source.read()))
        }
    })
}

fn locator(url: &DatabaseUrl) -> Result<Locator, CliError> {
    use crate::config::DatabaseKind;
    let server = match url {
        DatabaseUrl::Sqlite(path) => return Ok(Locator::Sqlite(path.clone())),
        DatabaseUrl::Server(server) => server,
    };
    let parsed = url::Url::parse(server.expose())
        .map_err(|error| CliError::Config(format!("{} is not a URL: {error}", url.redacted())))?;
    Ok(match server.kind() {
        DatabaseKind::Postgres => Locator::Postgres(parsed),
        DatabaseKind::Mysql | DatabaseKind::Sqlite => Locator::MySql(parsed),
    })
}

fn database_error(error: DatabaseError) -> CliError {
    CliError::Database(error.message)
}

/// Creates an empty file, which is a new SQLite database. Its journal files get the same permissions.
fn make_private_file(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// Creates a folder that only this user can access, because it will contain patients' data.
fn make_private_folder(folder: &Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}
