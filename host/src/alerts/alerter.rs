//! The task of a host that looks at the conditions, the one that asks servers for their certificates, and the one that
//! sends messages.
//!
//! They are three loops, so that a server that does not answer keeps no condition from being seen. No step leaves
//! anything to memory alone that must not be lost: alerts and what is to be sent of them are in the store. A message is
//! sent at least once: a host that dies between sending and recording it leaves a claim that ends, and then any host
//! sends it again, with the same id.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::channel::Channel;
use super::conditions::{Facts, judge};
use super::local::{Disk, Ending, HourlyGrowth, LocalSources, minute_of_day};
use super::message::Message;
use super::silence::SeenChanges;
use crate::domain::alerts::{AlertKind, AlertRules};
use crate::domain::change::FailureKind;
use crate::store::{DueSend, FoundAlert, RetryFilter, Store, StoreError};
use crate::telemetry::{Meters, StoreReading};

/// An alert ends when no host has seen its condition for so many looks.
pub(super) const LOOKS_UNSEEN: u32 = 3;
/// How often files and disks are read at most.
const LOCAL_EVERY: Duration = Duration::from_secs(60);
/// How often servers are asked for their certificates.
const ASK_EVERY: Duration = Duration::from_hours(1);
/// The longest pause after a message that could not be sent.
const PAUSE_MAX: Duration = Duration::from_hours(1);
/// A claim lasts so much longer than its message may take.
const CLAIM_MARGIN: Duration = Duration::from_secs(5);

/// What a host looks at, and how it sends.
#[derive(Clone)]
pub struct AlerterOptions {
    pub rules: AlertRules,
    pub look_every: Duration,
    /// The time between two messages of an alert that stays open.
    pub repeat: Duration,
    /// Whether a message may name the id of a patient.
    pub patient_ids: bool,
    /// The id of this host in the store.
    pub host_id: String,
    /// The name of this machine.
    pub machine: String,
    pub local: LocalSources,
}

/// Looks and sends, for as long as a host runs.
pub struct Alerter {
    store: Store,
    meters: Arc<Meters>,
    channels: Vec<Channel>,
    channel_names: Vec<String>,
    options: AlerterOptions,
    /// Whether servers were asked since certificates were read.
    has_asked: AtomicBool,
}

/// What the looks of a host remember. The alerter that a reload makes goes on with it.
pub struct Watch {
    began: Instant,
    /// Since when it is seen which changes come.
    changes_began: Instant,
    changes: SeenChanges,
    leases: HourlyGrowth,
    local_at: Option<Instant>,
    disks: Vec<Disk>,
    endings: Vec<Ending>,
}

impl Watch {
    #[must_use]
    pub fn begin() -> Self {
        Self {
            began: Instant::now(),
            changes_began: Instant::now(),
            changes: SeenChanges::default(),
            leases: HourlyGrowth::default(),
            local_at: None,
            disks: Vec::new(),
            endings: Vec::new(),
        }
    }
}

impl Alerter {
    #[must_use]
    pub fn new(store: Store, meters: Arc<Meters>, channels: Vec<Channel>, options: AlerterOptions) -> Self {
        let channel_names = channels.iter().map(|channel| channel.name().to_owned()).collect();
        for channel in &channels {
            meters.has_channel(channel.name());
        }
        Self { store, meters, channels, channel_names, options, has_asked: AtomicBool::new(false) }
    }

    /// After so long an alert that no host has seen any more has ended.
    #[must_use]
    pub fn unseen(&self) -> Duration {
        self.options.look_every * LOOKS_UNSEEN
    }

    /// Runs until `stop`.
    pub async fn run(self, watch: &mut Watch, stop: CancellationToken) {
        // Other files and servers may be named now.
        watch.local_at = None;
        let due = Notify::new();
        let loops = async {
            tokio::join!(
                Box::pin(self.look_repeatedly(watch, &due)),
                Box::pin(self.ask_repeatedly()),
                Box::pin(self.send_repeatedly(&due)),
            );
        };
        stop.run_until_cancelled(loops).await;
    }

    async fn look_repeatedly(&self, watch: &mut Watch, due: &Notify) {
        let mut is_failing = false;
        loop {
            match Box::pin(self.look(watch)).await {
                Ok(has_news) => {
                    if std::mem::take(&mut is_failing) {
                        tracing::info!("alerts can be looked for again");
                    }
                    if has_news {
                        due.notify_one();
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::warn!(error, "cannot look for alerts; trying again");
                    }
                }
            }
            tokio::time::sleep(self.options.look_every).await;
        }
    }

    /// Looks once. Returns whether an alert was raised or has ended.
    async fn look(&self, watch: &mut Watch) -> Result<bool, String> {
        let reading = self.meters.store_reading().await?;
        self.watch_machine(watch).await;
        let told = |error: StoreError| error.to_string();
        let facts = self.facts(&reading, watch).await.map_err(told)?;
        let judged = judge(&self.options.rules, &facts);
        let found = self.with_examples(judged.found, &reading).await.map_err(told)?;
        // A host that has just started does not know what others see.
        let stale = self.unseen();
        let stale_ms = (watch.began.elapsed() >= stale).then(|| millis(stale));
        let reported = self.store.report_alerts(&found, &judged.unknown, stale_ms, &self.channel_names).await;
        let changes = reported.map_err(told)?;
        for key in &changes.raised {
            tracing::warn!(kind = %key.kind, target_name = key.target, subject = key.subject, "alert raised");
        }
        if changes.ended > 0 {
            tracing::info!(count = changes.ended, "alerts ended");
        }
        Ok(!changes.raised.is_empty() || changes.ended > 0)
    }

    /// Reads disks and files, which may wait for a disk, at most once a minute and after servers were asked.
    async fn watch_machine(&self, watch: &mut Watch) {
        let has_asked = self.has_asked.swap(false, Ordering::Relaxed);
        if !has_asked && watch.local_at.is_some_and(|at| at.elapsed() < LOCAL_EVERY) {
            return;
        }
        let local = self.options.local.clone();
        match tokio::task::spawn_blocking(move || local.read()).await {
            Ok((disks, endings)) => (watch.disks, watch.endings) = (disks, endings),
            Err(error) => tracing::warn!(%error, "cannot read free space and certificates"),
        }
        watch.local_at = Some(Instant::now());
    }

    /// Asks servers for their certificates, where it matters when they end.
    async fn ask_repeatedly(&self) {
        while self.options.rules.expiry_ms.is_some() {
            self.options.local.ask_servers().await;
            self.has_asked.store(true, Ordering::Relaxed);
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// Reads what is wanted beyond the reading that metrics share: at most four statements, and one for each target
    /// with many failures.
    async fn facts<'a>(&self, reading: &'a StoreReading, watch: &'a mut Watch) -> Result<Facts<'a>, StoreError> {
        let (rules, store) = (&self.options.rules, &self.store);
        if rules.silence.is_empty() {
            // The rules of a later configuration begin when they are there.
            (watch.changes_began, watch.changes) = (Instant::now(), SeenChanges::default());
        }
        let watched_ms = millis(watch.changes_began.elapsed());
        if !rules.silence.is_empty() {
            let newest = store.newest_changes(watch.changes.cursor).await?;
            watch.changes.note(&newest, watched_ms);
        }
        let mut failed_lately = BTreeMap::new();
        let mut leases_lost = BTreeMap::new();
        for (name, target) in reading.status.targets.iter().filter(|(_, target)| target.enabled) {
            if rules.failed_per_hour.is_some_and(|most| target.counts.failed >= most) {
                failed_lately.insert(name.clone(), store.failed_lately(name).await?);
            }
            // Also without a threshold, which a reload may add.
            let lost = watch.leases.note(name, self.meters.leases_ended_early(name), Instant::now());
            leases_lost.insert(name.clone(), lost);
        }
        Ok(Facts {
            reading,
            heartbeats: if rules.host_missing_ms.is_some() { store.heartbeats().await? } else { Vec::new() },
            rolled_back: if rules.adapters { store.all_rolled_back_adapters().await? } else { Vec::new() },
            failed_lately,
            leases_lost,
            changes: &watch.changes,
            watched_ms,
            minute_of_day: minute_of_day(),
            disks: &watch.disks,
            endings: &watch.endings,
            now: Timestamp::now().as_millisecond(),
        })
    }

    /// Adds the oldest failed delivery where operators want to see one. An open alert keeps its example.
    async fn with_examples(
        &self,
        mut found: Vec<FoundAlert>,
        reading: &StoreReading,
    ) -> Result<Vec<FoundAlert>, StoreError> {
        for one in found.iter_mut().filter(|_| self.options.patient_ids) {
            let kind = match one.key.kind {
                AlertKind::Conflicts => Some(FailureKind::Conflict),
                AlertKind::Failed | AlertKind::FailedFast => None,
                _ => continue,
            };
            if let Some(open) = reading.open_alerts.iter().find(|alert| alert.key == one.key) {
                one.example.clone_from(&open.example);
                continue;
            }
            let target = Some(one.key.target.clone()).filter(|target| !target.is_empty());
            let oldest = self.store.failed(&RetryFilter { target, kind, ..RetryFilter::default() }, 1).await?;
            one.example = oldest.first().map(|delivery| delivery.key.to_string());
        }
        Ok(found)
    }

    async fn send_repeatedly(&self, due: &Notify) {
        let mut is_failing = false;
        loop {
            match Box::pin(self.send_due()).await {
                Ok(()) => is_failing = false,
                Err(error) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::warn!(%error, "cannot read which alerts are to be sent; trying again");
                    }
                }
            }
            // A notification that came meanwhile is kept.
            drop(tokio::time::timeout(self.options.look_every, due.notified()).await);
        }
    }

    /// Sends what is due. Where one message cannot be sent, the others of that channel wait for the next time.
    async fn send_due(&self) -> Result<(), StoreError> {
        if self.channels.is_empty() {
            return Ok(());
        }
        let mut failing = Vec::new();
        for due in self.store.due_alert_sends(&self.channel_names).await? {
            let Some(channel) = self.channels.iter().find(|channel| channel.name() == due.channel) else { continue };
            if failing.contains(&channel.name()) {
                continue;
            }
            let claim_ms = millis(channel.timeout().saturating_add(CLAIM_MARGIN));
            if self.store.claim_alert_send(&due, &self.options.host_id, claim_ms).await?
                && !self.send(channel, &due).await?
            {
                failing.push(channel.name());
            }
        }
        Ok(())
    }

    /// Sends a claimed message. Returns whether it was sent.
    async fn send(&self, channel: &Channel, due: &DueSend) -> Result<bool, StoreError> {
        let AlerterOptions { host_id, machine, repeat, look_every, patient_ids, .. } = &self.options;
        let message = Message::of(due, machine, *patient_ids);
        let (alert_id, kind) = (due.alert.id, due.alert.key.kind);
        let sent = channel.send(&message).await;
        self.meters.alert_message(channel.name(), sent.is_ok());
        match sent {
            Ok(_) => {
                tracing::info!(alert_id, %kind, event = %message.event, channel = channel.name(), "alert sent");
                self.store.alert_was_sent(due, host_id, millis(*repeat)).await?;
                Ok(true)
            }
            Err(error) => {
                tracing::warn!(alert_id, %kind, channel = channel.name(), error, "cannot send alert; trying again");
                let pause = pause_after(due.failures, *look_every);
                self.store.alert_was_not_sent(due, host_id, millis(pause), &error).await?;
                Ok(false)
            }
        }
    }
}

/// The pause after so many earlier failures: it doubles.
fn pause_after(failures: i64, first: Duration) -> Duration {
    let doublings = u32::try_from(failures.clamp(0, 20)).unwrap_or_default();
    first.saturating_mul(1 << doublings).min(PAUSE_MAX.max(first))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_after_a_failure_doubles_up_to_an_hour() {
        let pauses = [0, 1, 2, 8, 99].map(|failures| pause_after(failures, Duration::from_secs(15)).as_secs());
        assert_eq!(pauses, [15, 30, 60, 3_600, 3_600]);
    }
}
