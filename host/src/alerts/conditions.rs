//! Which conditions hold. Pure: everything was read before, and each condition is one function.

use std::collections::BTreeMap;

use super::local::{Disk, Ending};
use super::silence::{SeenChanges, Silence};
use crate::domain::alerts::{AlertKind, AlertRules};
use crate::domain::times::age;
use crate::domain::words::named;
use crate::store::{AlertKey, FoundAlert, Heartbeat, TargetStatus};
use crate::telemetry::StoreReading;

/// What the store and this machine showed at one moment.
pub(super) struct Facts<'a> {
    pub(super) reading: &'a StoreReading,
    pub(super) heartbeats: Vec<Heartbeat>,
    /// Targets, each with the digest of the adapter that was rolled back.
    pub(super) rolled_back: Vec<(String, String)>,
    /// How many deliveries failed within an hour, by target.
    pub(super) failed_lately: BTreeMap<String, u64>,
    /// How many leases this host lost or took over within an hour, by target.
    pub(super) leases_lost: BTreeMap<String, u64>,
    pub(super) changes: &'a SeenChanges,
    /// Milliseconds since the watch for changes began.
    pub(super) watched_ms: i64,
    pub(super) minute_of_day: u16,
    pub(super) disks: &'a [Disk],
    pub(super) endings: &'a [Ending],
    /// Milliseconds since 1970-01-01 UTC, by this machine's clock, as certificates are judged.
    pub(super) now: i64,
}

/// What holds, and what cannot be known now.
#[derive(Debug, Default)]
pub(super) struct Judged {
    pub(super) found: Vec<FoundAlert>,
    pub(super) unknown: Vec<AlertKey>,
}

/// Judges every condition that is on.
pub(super) fn judge(rules: &AlertRules, facts: &Facts<'_>) -> Judged {
    let mut judged = Judged::default();
    for (name, target) in facts.reading.status.targets.iter().filter(|(_, target)| target.enabled) {
        judged.target_down(rules, name, target);
        judged.pending_old(rules, name, target);
        judged.failed(rules, name, target, facts);
        judged.leases_lost(rules, name, facts);
        judged.drift(rules, name, target);
        judged.held(rules, name, target);
    }
    judged.unrouted_old(rules, facts);
    judged.conflicts(rules, facts);
    judged.silence(rules, facts);
    judged.adapters(rules, facts);
    judged.disk(rules, facts);
    judged.expiring(rules, facts);
    judged.host_missing(rules, facts);
    judged
}

impl Judged {
    fn add(&mut self, kind: AlertKind, target: &str, subject: &str, sentence: String) {
        self.found.push(FoundAlert { key: key(kind, target, subject), sentence, example: None });
    }

    fn target_down(&mut self, rules: &AlertRules, name: &str, target: &TargetStatus) {
        let down_ms = target.error_ms.unwrap_or_default();
        let is_down = target.state == "down" && !target.paused;
        if is_down && rules.target_down_ms.is_some_and(|longest| down_ms >= longest) {
            let error = target.error_message.as_deref().unwrap_or("no reason given");
            let sentence = format!("target {name} has been down for {}: {error}", age(down_ms));
            self.add(AlertKind::TargetDown, name, "", sentence);
        }
    }

    fn pending_old(&mut self, rules: &AlertRules, name: &str, target: &TargetStatus) {
        let Some(oldest_ms) = target.oldest_pending_ms.filter(|_| target.counts.pending > 0) else { return };
        if rules.pending_age_ms.is_none_or(|longest| oldest_ms < longest) {
            return;
        }
        // The target's own alert has the cause.
        if target.state == "down" && rules.target_down_ms.is_some() {
            return self.unknown.push(key(AlertKind::PendingOld, name, ""));
        }
        let pending = target.counts.pending;
        let sentence = format!("a change has waited for target {name} for {}; {pending} are pending", age(oldest_ms));
        self.add(AlertKind::PendingOld, name, "", sentence);
    }

    fn unrouted_old(&mut self, rules: &AlertRules, facts: &Facts<'_>) {
        let status = &facts.reading.status;
        let oldest_ms = status.oldest_unrouted_ms.filter(|_| status.unrouted > 0).unwrap_or_default();
        if status.unrouted > 0 && rules.pending_age_ms.is_some_and(|longest| oldest_ms >= longest) {
            let sentence = format!("a change has waited in the outbox for {}", age(oldest_ms));
            self.add(AlertKind::PendingOld, "", "outbox", sentence);
        }
    }

    fn failed(&mut self, rules: &AlertRules, name: &str, target: &TargetStatus, facts: &Facts<'_>) {
        let failed = target.counts.failed;
        if rules.failed.is_some_and(|most| failed >= most) {
            let sentence = format!("{failed} deliveries to target {name} have failed; see `host failed list`");
            self.add(AlertKind::Failed, name, "", sentence);
        }
        let lately = facts.failed_lately.get(name).copied().unwrap_or_default();
        if rules.failed_per_hour.is_some_and(|most| lately >= most) {
            let sentence =
                format!("{lately} deliveries to target {name} failed within an hour; see `host failed list`");
            self.add(AlertKind::FailedFast, name, "", sentence);
        }
    }

    fn leases_lost(&mut self, rules: &AlertRules, name: &str, facts: &Facts<'_>) {
        let lost = facts.leases_lost.get(name).copied().unwrap_or_default();
        if rules.leases_lost_per_hour.is_some_and(|most| lost >= most) {
            let sentence = format!("{lost} batches of target {name} lost their lease within an hour");
            self.add(AlertKind::LeasesLost, name, "", sentence);
        }
    }

    fn drift(&mut self, rules: &AlertRules, name: &str, target: &TargetStatus) {
        let differing = target.verified.as_ref().map_or(0, |verified| verified.counts.differing());
        if rules.verification && differing > 0 {
            let sentence = format!(
                "{differing} records at target {name} are not as they were delivered; see `host verify --target {name}`"
            );
            self.add(AlertKind::Drift, name, "", sentence);
        }
    }

    fn held(&mut self, rules: &AlertRules, name: &str, target: &TargetStatus) {
        if let Some(held) = target.held.as_ref().filter(|held| rules.adapters && held.accepted_at.is_none()) {
            let digest: String = held.sha256.chars().take(12).collect();
            let sentence = format!(
                "the adapter sha256:{digest} of target {name} is held, since it writes something else; see `host plugin \
                 list`, then `host plugin accept`"
            );
            self.add(AlertKind::AdapterHeld, name, "", sentence);
        }
    }

    fn conflicts(&mut self, rules: &AlertRules, facts: &Facts<'_>) {
        let conflicts = facts.reading.conflicts;
        if rules.conflicts.is_some_and(|most| conflicts >= most) {
            let sentence = format!("{conflicts} deliveries wait for a decision of an operator; see `host conflicts`");
            self.add(AlertKind::Conflicts, "", "", sentence);
        }
    }

    fn silence(&mut self, rules: &AlertRules, facts: &Facts<'_>) {
        for rule in &rules.silence {
            let kind = rule.aggregate_type.as_deref().unwrap_or_default();
            match facts.changes.judge(rule, facts.watched_ms, facts.minute_of_day) {
                Silence::Flows => {}
                Silence::Unknown => self.unknown.push(key(AlertKind::Silence, "", kind)),
                Silence::Holds { age_ms } => {
                    let of_type = if kind.is_empty() { String::new() } else { format!(" of type {}", named(kind)) };
                    let sentence = format!("no change{of_type} has come from the application for {}", age(age_ms));
                    self.add(AlertKind::Silence, "", kind, sentence);
                }
            }
        }
    }

    fn adapters(&mut self, rules: &AlertRules, facts: &Facts<'_>) {
        let targets = &facts.reading.status.targets;
        let is_enabled = |name: &str| targets.get(name).is_some_and(|target| target.enabled);
        for (name, sha256) in facts.rolled_back.iter().filter(|(name, _)| rules.adapters && is_enabled(name)) {
            let digest: String = sha256.chars().take(12).collect();
            let sentence = format!(
                "the adapter sha256:{digest} of target {name} was rolled back, and the one before delivers; see `host \
                 plugin history`"
            );
            self.add(AlertKind::AdapterRolledBack, name, "", sentence);
        }
    }

    fn disk(&mut self, rules: &AlertRules, facts: &Facts<'_>) {
        for disk in facts.disks {
            if rules.disk_free_bytes.is_some_and(|least| disk.free_bytes < least) {
                let sentence = format!("{} has {} MiB free", disk.name, disk.free_bytes >> 20);
                self.add(AlertKind::Disk, "", &disk.name, sentence);
            }
        }
    }

    fn expiring(&mut self, rules: &AlertRules, facts: &Facts<'_>) {
        let Some(expiry_ms) = rules.expiry_ms else { return };
        for ending in facts.endings {
            let Some(ends_at) = ending.ends_at else {
                self.unknown.push(key(AlertKind::Expiring, &ending.target, &ending.name));
                continue;
            };
            let left_ms = ends_at.saturating_sub(facts.now);
            let sentence = match left_ms {
                ..=0 => format!("{} has ended", ending.name),
                _ if left_ms <= expiry_ms => format!("{} ends in {}", ending.name, age(left_ms)),
                _ => continue,
            };
            self.add(AlertKind::Expiring, &ending.target, &ending.name, sentence);
        }
    }

    fn host_missing(&mut self, rules: &AlertRules, facts: &Facts<'_>) {
        let Some(longest) = rules.host_missing_ms else { return };
        for overdue in facts.heartbeats.iter().filter(|heartbeat| heartbeat.age_ms >= longest) {
            if !facts.heartbeats.iter().any(|other| replaces(other, overdue)) {
                let sentence = format!("host {} has sent no heartbeat for {}", overdue.host, age(overdue.age_ms));
                self.add(AlertKind::HostMissing, "", &overdue.host, sentence);
            }
        }
    }
}

/// Whether a host of the same machine was started after the other one was last seen: a service that was started again.
fn replaces(other: &Heartbeat, overdue: &Heartbeat) -> bool {
    // The id of a host is its machine, its process and a random part (cli/wiring.rs).
    let machine = |id: &str| id.rsplitn(3, '-').nth(2).map(str::to_owned);
    other.started_at > overdue.seen_at && machine(&other.host) == machine(&overdue.host)
}

fn key(kind: AlertKind, target: &str, subject: &str) -> AlertKey {
    AlertKey { kind, target: target.to_owned(), subject: subject.to_owned() }
}

#[cfg(test)]
#[path = "conditions_tests.rs"]
mod tests;
