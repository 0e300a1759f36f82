//! Connects a running host's listener with its configuration, its store and its status.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::error::CliError;
use super::status_json;
use super::status_summary::read_status;
use crate::config::Config;
use crate::store::Store;
use crate::telemetry::{Listener, Meters, Otlp, StatusSource};

/// Starts the listener that is configured. A host that cannot listen delivers all the same: another host of this
/// machine may have the port.
pub(super) async fn listen(config: &Config, store: &Store, meters: &Arc<Meters>, stop: &CancellationToken) {
    let Some(address) = config.observability.listen else { return };
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "metrics and status can be read by everybody who reaches this address");
    }
    match Listener::bind(address, meters.clone(), status_source(config, store)).await {
        Ok(listener) => {
            tracing::info!(%address, "listening for monitoring");
            tokio::spawn(listener.run(stop.clone()));
        }
        Err(error) => tracing::warn!(
            %address,
            %error,
            "this host shows no metrics; fix: give it another [observability] listen, or write enabled = false"
        ),
    }
}

/// How long the end of a run waits until the last traces and metrics are sent.
const LAST_EXPORT: Duration = Duration::from_secs(5);

/// The traces and metrics that are sent to a collector, where the environment names one.
pub(super) struct Exporting {
    task: Option<JoinHandle<()>>,
    stop: CancellationToken,
}

impl Exporting {
    pub(super) fn start(meters: &Arc<Meters>) -> Result<Self, CliError> {
        let stop = CancellationToken::new();
        let otlp = Otlp::from_environment().map_err(|error| CliError::Config(error.to_string()))?;
        let task = otlp.map(|otlp| tokio::spawn(otlp.run(meters.clone(), stop.clone())));
        Ok(Self { task, stop })
    }

    /// Sends the rest, unless that takes too long.
    pub(super) async fn end(self) {
        self.stop.cancel();
        if let Some(task) = self.task
            && tokio::time::timeout(LAST_EXPORT, task).await.is_err()
        {
            tracing::debug!("the last traces and metrics could not be sent in time");
        }
    }
}

fn status_source(config: &Config, store: &Store) -> StatusSource {
    let (config, store) = (Arc::new(config.clone()), store.clone());
    Arc::new(move || {
        let (config, store) = (config.clone(), store.clone());
        Box::pin(async move {
            let (snapshot, attention) =
                read_status(&config, &store, 0, None).await.map_err(|error| error.to_string())?;
            Ok(status_json::without_patients(status_json::as_json(&snapshot, &attention)))
        })
    })
}
