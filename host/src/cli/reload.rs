//! Reloads the configuration of a running host on SIGHUP.
//!
//! The file is read, and everything is built from it, before anything changes; then one value replaces the one before
//! ([`Settings`]). A file with a problem changes nothing. `config/reload.rs` decides what can be taken over; the rest
//! is named and needs a restart. What a task must see of another section goes into `Settings`.

use std::sync::Arc;

use tokio::sync::watch;

use super::alerting::Alerters;
use super::error::CliError;
use super::wiring;
use crate::config::{Config, ConfigError, changed_keys};
use crate::domain::ids::TargetName;
use crate::sync::Settings;
use crate::target::{Target, TargetKind, TargetSpec};
use crate::telemetry::{self, Meters};

/// What the service manager shows after a file that could not be taken over.
#[cfg(unix)]
const REFUSED: &str = "delivering; the reload was refused, see the log";

pub(super) struct Reloader {
    /// What is in force: of the file at the start, and of later ones what could be taken over.
    config: Config,
    settings: watch::Sender<Arc<Settings>>,
    meters: Arc<Meters>,
    alerters: Alerters,
}

/// What a reload did.
struct Reloaded {
    /// The keys whose new value is in force.
    taken_over: Vec<String>,
    /// The keys whose value in the file is not in force.
    need_restart: Vec<String>,
}

/// Why nothing was reloaded.
enum Refused {
    File(ConfigError),
    /// A certificate, a secret or a URL that cannot be used.
    Unusable(CliError),
}

impl Reloader {
    pub(super) fn new(
        config: &Config,
        settings: watch::Sender<Arc<Settings>>,
        meters: Arc<Meters>,
        alerters: Alerters,
    ) -> Self {
        Self { config: config.clone(), settings, meters, alerters }
    }

    /// Reloads at each SIGHUP.
    #[cfg(unix)]
    pub(super) async fn obey_hangups(mut self) {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::hangup()) {
            Ok(mut hangups) => {
                while hangups.recv().await.is_some() {
                    self.obey();
                }
            }
            Err(error) => tracing::error!(%error, "cannot listen for SIGHUP"),
        }
        // Keep the sender: the daemon reads from it.
        self.settings.closed().await;
    }

    #[cfg(not(unix))]
    pub(super) async fn obey_hangups(self) {
        self.settings.closed().await;
    }

    #[cfg(unix)]
    fn obey(&mut self) {
        telemetry::reloading();
        // Files are read, possibly from a slow network folder.
        let result = tokio::task::block_in_place(|| self.reload());
        self.meters.reloaded(result.is_ok());
        telemetry::reloaded(if result.is_ok() { "delivering" } else { REFUSED });
        report(&result);
    }

    fn reload(&mut self) -> Result<Reloaded, Refused> {
        let file = Config::load(&self.config.path).map_err(Refused::File)?;
        let config = self.config.taking_over(&file);
        let taken_over = changed_keys(&self.config, &config);
        let targets = self.targets(&config, &taken_over).map_err(Refused::Unusable)?;
        let alerter = self.alerters.made(&config, &targets).map_err(Refused::Unusable)?;
        // Also where nothing has changed: it looks at these targets, and certificates are read again.
        self.alerters.replace(alerter);
        // Also where nothing has changed: adapter files are read again.
        self.settings.send_replace(Arc::new(Settings::new(wiring::sync_options(&config), targets)));
        self.config = config;
        Ok(Reloaded { taken_over, need_restart: changed_keys(&self.config, &file) })
    }

    /// The targets of a configuration: the same ones, but for those that it configures otherwise.
    fn targets(&self, config: &Config, changed: &[String]) -> Result<Vec<Arc<Target>>, CliError> {
        let in_force = self.settings.borrow().targets.clone();
        let find = |name: &TargetName| in_force.get(name).expect("invariant: a reload adds no target");
        let mut targets = Vec::with_capacity(in_force.len());
        for target in config.enabled_targets() {
            let old = find(&target.name);
            let spec = wiring::target_spec(target)?;
            let prefix = format!("targets.{}.", target.name);
            let is_changed = changed.iter().any(|key| key.starts_with(&prefix)) || has_other_certificates(old, &spec);
            targets.push(if is_changed { Arc::new(old.reconfigured(spec)?) } else { old.clone() });
        }
        Ok(targets)
    }
}

/// Whether the file of certificate authorities has another content.
fn has_other_certificates(old: &Target, new: &TargetSpec) -> bool {
    let certificates = |kind: &TargetKind| match kind {
        TargetKind::Http { options, .. } => options.ca_pem.clone(),
        TargetKind::Database { .. } => None,
    };
    certificates(&old.spec.kind) != certificates(&new.kind)
}

/// Logs what a reload did, or every problem that kept it from doing anything.
fn report(result: &Result<Reloaded, Refused>) {
    match result {
        Ok(Reloaded { taken_over, need_restart }) => {
            if taken_over.is_empty() {
                tracing::info!("SIGHUP received; no setting has changed, adapter files are loaded again");
            } else {
                let keys = taken_over.join(", ");
                tracing::info!(keys, "SIGHUP received; configuration reloaded, adapter files are loaded again");
            }
            if !need_restart.is_empty() {
                let keys = need_restart.join(", ");
                tracing::warn!(keys, "changed in the file, but needs a restart: the previous values stay in force");
            }
        }
        Err(refused) => {
            let text = match refused {
                Refused::File(error) => error.to_string(),
                Refused::Unusable(error) => error.to_string(),
            };
            for problem in text.lines() {
                tracing::error!(problem, "the configuration cannot be reloaded");
            }
            let problems = text.lines().count();
            tracing::error!(problems, "SIGHUP received; nothing reloaded, the previous configuration stays in force");
        }
    }
}
