//! Connects the alerts of a running host, and of `host alerts test`, with its configuration.

use std::path::Path;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::error::CliError;
use super::wiring;
use crate::alerts::{
    Alerter, AlerterOptions, AskedServer, BeforeTls, Channel, EndingThing, LocalSources, SecretReader, Smtp,
    SmtpOptions, Watch, Webhook, end_unseen,
};
use crate::config::{
    AlertsConfig, Authentication, Config, Connection, DatabaseKind, DatabaseUrl, HttpConfig, SecretSource, SmtpConfig,
    TargetConfig, WebhookConfig,
};
use crate::database::Database;
use crate::files;
use crate::plugin::HttpPoster;
use crate::store::Store;
use crate::target::Target;
use crate::telemetry::Meters;

/// The alerters of one host: each reload makes a new one, which takes the place of the one before.
pub(super) struct Alerters {
    store: Store,
    meters: Arc<Meters>,
    host_id: String,
    newer: mpsc::UnboundedSender<Option<Alerter>>,
}

impl Alerters {
    /// Begins with the alerter of a configuration, which the task that comes with it runs until `stop`.
    pub(super) fn begin(
        config: &Config,
        (store, meters): (&Store, &Arc<Meters>),
        targets: &[Arc<Target>],
        host_id: &str,
        stop: CancellationToken,
    ) -> Result<(Self, BoxFuture<'static, ()>), CliError> {
        let (newer, alerters) = mpsc::unbounded_channel();
        let (store, meters, host_id) = (store.clone(), meters.clone(), host_id.to_owned());
        let begun = Self { store, meters, host_id, newer };
        let first = begun.made(config, targets)?;
        let store = begun.store.clone();
        Ok((begun, Box::pin(async move { run_newest(&store, first, alerters, stop).await })))
    }

    /// What looks at the conditions of a configuration; `None` without `[alerts]`.
    pub(super) fn made(&self, config: &Config, targets: &[Arc<Target>]) -> Result<Option<Alerter>, CliError> {
        alerter(config, &self.store, &self.meters, targets, &self.host_id)
    }

    /// Lets this one take the place of the one before. A message that is being sent may be sent once more.
    pub(super) fn replace(&self, alerter: Option<Alerter>) {
        // Without a receiver the host is stopping.
        drop(self.newer.send(alerter));
    }
}

async fn run_newest(
    store: &Store,
    mut alerter: Option<Alerter>,
    mut newer: mpsc::UnboundedReceiver<Option<Alerter>>,
    stop: CancellationToken,
) {
    let (mut watch, mut looked) = (Watch::begin(), None);
    while !stop.is_cancelled() {
        let runs: BoxFuture<'_, ()> = if let Some(alerter) = alerter.take() {
            looked = Some(alerter.unseen());
            Box::pin(alerter.run(&mut watch, stop.clone()))
        } else {
            watch = Watch::begin();
            Box::pin(end_unseen(store, &mut looked, stop.clone()))
        };
        tokio::select! {
            () = runs => {}
            Some(next) = newer.recv() => alerter = next,
        }
    }
}

fn alerter(
    config: &Config,
    store: &Store,
    meters: &Arc<Meters>,
    targets: &[Arc<Target>],
    host_id: &str,
) -> Result<Option<Alerter>, CliError> {
    let Some(alerts) = &config.alerts else { return Ok(None) };
    let channels = channels(alerts)?;
    if channels.is_empty() {
        tracing::warn!("[alerts] names no webhook and no smtp: alerts are shown by `host alerts list` only");
    }
    let options = AlerterOptions {
        rules: alerts.rules.clone(),
        look_every: alerts.look_every,
        repeat: alerts.repeat,
        patient_ids: alerts.patient_ids,
        host_id: host_id.to_owned(),
        machine: wiring::machine(),
        local: local_sources(config, alerts, store.database(), targets, &channels),
    };
    Ok(Some(Alerter::new(store.clone(), meters.clone(), channels, options)))
}

/// The configured ways on which messages leave.
pub(super) fn channels(alerts: &AlertsConfig) -> Result<Vec<Channel>, CliError> {
    let webhook = alerts.webhook.as_ref().map(|config| webhook(config).map(Channel::Webhook));
    let smtp = alerts.smtp.as_ref().map(|config| smtp(config).map(Channel::Smtp));
    webhook.into_iter().chain(smtp).collect()
}

fn webhook(config: &WebhookConfig) -> Result<Webhook, CliError> {
    let unusable = |reason: String| CliError::Config(format!("[alerts.webhook] {reason}"));
    let ca_pem = config.ca_file.as_deref().map(read_ca).transpose().map_err(unusable)?;
    let WebhookConfig { url, allow_private, timeout, .. } = config;
    let poster = HttpPoster::new("alerts", url, *allow_private, *timeout, ca_pem.as_deref()).map_err(unusable)?;
    let secret = secret_reader(&config.secret).map_err(unusable)?;
    Ok(Webhook::new(poster, secret, config.place.clone(), *timeout))
}

fn smtp(config: &SmtpConfig) -> Result<Smtp, CliError> {
    let unusable = |reason: String| CliError::Config(format!("[alerts.smtp] {reason}"));
    let login = match &config.login {
        Some((user, password)) => Some((user.clone(), secret_reader(password).map_err(unusable)?)),
        None => None,
    };
    let options = SmtpOptions {
        server: config.server.clone(),
        port: config.port,
        tls: config.tls,
        ca_pem: config.ca_file.as_deref().map(read_ca).transpose().map_err(unusable)?,
        login,
        from: config.from.clone(),
        to: config.to.clone(),
        machine: wiring::machine(),
        timeout: config.timeout,
    };
    Smtp::new(options).map_err(unusable)
}

fn read_ca(path: &Path) -> Result<Vec<u8>, String> {
    files::read(path, wiring::CA_BYTES_MAX).map_err(|error| format!("cannot read ca_file: {error}"))
}

/// Reads the secret once here, so that a missing file is reported at the start.
fn secret_reader(source: &SecretSource) -> Result<SecretReader, String> {
    source.read().map_err(|error| format!("cannot read the secret: {error}"))?;
    Ok(reader(source))
}

fn reader(source: &SecretSource) -> SecretReader {
    let source = source.clone();
    Arc::new(move || source.read())
}

fn local_sources(
    config: &Config,
    alerts: &AlertsConfig,
    store: &Database,
    targets: &[Arc<Target>],
    channels: &[Channel],
) -> LocalSources {
    let machine = wiring::machine();
    let mut folders = vec![(format!("the adapters' cache on {machine}"), config.plugins.cache.clone())];
    if let DatabaseUrl::Sqlite(file) = &config.store.url
        && let Some(folder) = file.parent()
    {
        folders.push((format!("the store's folder on {machine}"), folder.to_owned()));
    }
    let mut ending: Vec<_> = config.enabled_targets().flat_map(ending_at).collect();
    for target in targets {
        if let Some(server) = target_server(config, target) {
            let name = target.spec.name.to_string();
            ending.push((name.clone(), format!("the certificate of target {name}'s server"), server));
        }
    }
    let of_store =
        database_server(&config.store.url, store).map(|server| ("the certificate of the store's server", server));
    for (name, server) in of_store.into_iter().chain(channels.iter().filter_map(Channel::asked)) {
        ending.push((String::new(), name.to_owned(), EndingThing::Asked(server)));
    }
    let of_alerts = [
        alerts.webhook.as_ref().and_then(|webhook| webhook.ca_file.as_deref()),
        alerts.smtp.as_ref().and_then(|smtp| smtp.ca_file.as_deref()),
    ];
    ending.extend(of_alerts.into_iter().flatten().map(|path| certificates("", path)));
    LocalSources { folders, ending }
}

/// The files and the token of a target.
fn ending_at(target: &TargetConfig) -> Vec<(String, String, EndingThing)> {
    let name = target.name.as_str();
    match &target.connection {
        Connection::Database(database) => {
            database.url.certificate_files().into_iter().map(|path| certificates(name, &path)).collect()
        }
        Connection::Http(HttpConfig { ca_file, authentication, .. }) => {
            let mut ending: Vec<_> = ca_file.iter().map(|path| certificates(name, path)).collect();
            if let Authentication::Bearer { token } = authentication {
                let thing = EndingThing::Token(reader(token));
                ending.push((name.to_owned(), format!("the access token of target {name}"), thing));
            }
            ending
        }
    }
}

fn certificates(target: &str, path: &Path) -> (String, String, EndingThing) {
    let name = format!("the certificate in {}", path.display());
    (target.to_owned(), name, EndingThing::Certificates(path.to_owned()))
}

/// The server of a target; `None` without TLS.
fn target_server(config: &Config, target: &Arc<Target>) -> Option<EndingThing> {
    match &config.targets.get(&target.spec.name)?.connection {
        Connection::Http(http) => (http.base_url.scheme() == "https").then(|| {
            let server = Arc::clone(target);
            EndingThing::Server(Arc::new(move || server.certificate_ends_at()))
        }),
        Connection::Database(database) => database_server(&database.url, target.database()?).map(EndingThing::Asked),
    }
}

/// The server of a database; `None` without TLS. MySQL tells the end over the connections that are there: those that
/// end before a login count against `max_connect_errors`.
fn database_server(url: &DatabaseUrl, database: &Database) -> Option<AskedServer> {
    let DatabaseUrl::Server(server) = url else { return None };
    if !server.may_use_tls() {
        return None;
    }
    if server.kind() == DatabaseKind::Postgres {
        let host = server.host().trim_matches(['[', ']']);
        return Some(AskedServer::at(host, server.port(), &BeforeTls::Postgres));
    }
    let database = database.clone();
    Some(AskedServer::new(move || {
        let database = database.clone();
        async move { database.certificate_ends_at().await.map_err(|error| error.message) }
    }))
}
