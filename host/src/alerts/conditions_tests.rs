//! Each condition, from its threshold on and not before.

use super::*;
use crate::domain::alerts::SilenceRule;
use crate::store::{Counts, NewestChanges};

const MINUTE: i64 = 60_000;

/// A healthy store with one target, which a test spoils.
struct Scene {
    reading: StoreReading,
    changes: SeenChanges,
    heartbeats: Vec<Heartbeat>,
    rolled_back: Vec<(String, String)>,
    failed_lately: BTreeMap<String, u64>,
    leases_lost: BTreeMap<String, u64>,
    disks: Vec<Disk>,
    endings: Vec<Ending>,
    rules: AlertRules,
}

impl Scene {
    fn with(rules: AlertRules) -> Self {
        let mut reading = StoreReading::default();
        let up = TargetStatus { enabled: true, state: "up".to_owned(), ..TargetStatus::default() };
        reading.status.targets.insert("openemr".to_owned(), up);
        Self {
            reading,
            changes: SeenChanges::default(),
            heartbeats: Vec::new(),
            rolled_back: Vec::new(),
            failed_lately: BTreeMap::new(),
            leases_lost: BTreeMap::new(),
            disks: Vec::new(),
            endings: Vec::new(),
            rules,
        }
    }

    fn target(&mut self) -> &mut TargetStatus {
        self.reading.status.targets.get_mut("openemr").unwrap()
    }

    fn judged(&self) -> Judged {
        let facts = Facts {
            reading: &self.reading,
            heartbeats: self.heartbeats.clone(),
            rolled_back: self.rolled_back.clone(),
            failed_lately: self.failed_lately.clone(),
            leases_lost: self.leases_lost.clone(),
            changes: &self.changes,
            watched_ms: 0,
            minute_of_day: 0,
            disks: &self.disks,
            endings: &self.endings,
            now: 1_000_000,
        };
        judge(&self.rules, &facts)
    }

    fn sentences(&self) -> Vec<String> {
        self.judged().found.into_iter().map(|found| found.sentence).collect()
    }
}

/// Everything is on, and everything of the scene is well.
fn all_on() -> AlertRules {
    AlertRules {
        target_down_ms: Some(5 * MINUTE),
        pending_age_ms: Some(30 * MINUTE),
        failed: Some(10),
        failed_per_hour: Some(5),
        conflicts: Some(2),
        silence: vec![SilenceRule { aggregate_type: None, after_ms: 60 * MINUTE, hours: None }],
        leases_lost_per_hour: Some(20),
        disk_free_bytes: Some(1 << 30),
        expiry_ms: Some(14 * 24 * 60 * MINUTE),
        host_missing_ms: Some(2 * MINUTE),
        adapters: true,
        verification: true,
    }
}

#[test]
fn what_is_well_raises_nothing_and_what_is_off_is_not_judged() {
    assert_eq!(Scene::with(all_on()).sentences(), Vec::<String>::new());
    let mut off = Scene::with(AlertRules::default());
    off.target().counts = Counts { failed: 99, pending: 9, ..Counts::default() };
    off.target().oldest_pending_ms = Some(i64::MAX);
    off.target().state = "down".to_owned();
    off.target().error_ms = Some(i64::MAX);
    off.reading.conflicts = 9;
    off.rolled_back = vec![("openemr".to_owned(), "ab".repeat(32))];
    off.disks = vec![Disk { name: "the store's folder".to_owned(), free_bytes: 0 }];
    off.endings = vec![Ending { name: "a file".to_owned(), target: String::new(), ends_at: Some(0) }];
    assert_eq!(off.sentences(), Vec::<String>::new());
}

#[test]
fn a_target_that_is_down_for_too_long_is_found() {
    let mut scene = Scene::with(all_on());
    scene.target().state = "down".to_owned();
    scene.target().error_ms = Some(5 * MINUTE - 1);
    assert_eq!(scene.sentences(), Vec::<String>::new());
    scene.target().error_ms = Some(6 * MINUTE);
    scene.target().error_message = Some("connection refused".to_owned());
    assert_eq!(scene.sentences(), ["target openemr has been down for 6 min: connection refused"]);
    scene.target().paused = true;
    assert_eq!(scene.sentences(), Vec::<String>::new(), "an operator has paused it");
    scene.target().paused = false;
    scene.target().enabled = false;
    assert_eq!(scene.sentences(), Vec::<String>::new());
}

#[test]
fn a_change_that_waits_for_too_long_is_found() {
    let mut scene = Scene::with(all_on());
    scene.target().counts.pending = 7;
    scene.target().oldest_pending_ms = Some(30 * MINUTE - 1);
    assert_eq!(scene.sentences(), Vec::<String>::new());
    scene.target().oldest_pending_ms = Some(30 * MINUTE);
    assert_eq!(scene.sentences(), ["a change has waited for target openemr for 30 min; 7 are pending"]);
    scene.target().state = "down".to_owned();
    let judged = scene.judged();
    assert!(judged.found.is_empty(), "the target's own alert has the cause: {judged:?}");
    assert_eq!(judged.unknown[0], key(AlertKind::PendingOld, "openemr", ""), "an alert that is open stays so");
}

#[test]
fn a_change_that_no_host_routes_is_found() {
    let mut scene = Scene::with(all_on());
    scene.reading.status.unrouted = 1;
    scene.reading.status.oldest_unrouted_ms = Some(30 * MINUTE - 1);
    assert_eq!(scene.sentences(), Vec::<String>::new());
    scene.reading.status.oldest_unrouted_ms = Some(31 * MINUTE);
    assert_eq!(scene.sentences(), ["a change has waited in the outbox for 31 min"]);
}

#[test]
fn many_failures_are_found_by_number_and_by_rate() {
    let mut scene = Scene::with(all_on());
    scene.target().counts.failed = 9;
    scene.failed_lately.insert("openemr".to_owned(), 4);
    assert_eq!(scene.sentences(), Vec::<String>::new());
    scene.target().counts.failed = 10;
    assert_eq!(scene.sentences(), ["10 deliveries to target openemr have failed; see `host failed list`"]);
    scene.target().counts.failed = 9;
    scene.failed_lately.insert("openemr".to_owned(), 5);
    assert_eq!(scene.sentences(), ["5 deliveries to target openemr failed within an hour; see `host failed list`"]);
}

#[test]
fn conflicts_and_lost_leases_are_found_from_their_thresholds_on() {
    let mut scene = Scene::with(all_on());
    scene.reading.conflicts = 1;
    scene.leases_lost.insert("openemr".to_owned(), 19);
    assert_eq!(scene.sentences(), Vec::<String>::new());
    scene.reading.conflicts = 2;
    scene.leases_lost.insert("openemr".to_owned(), 20);
    let expected = [
        "20 batches of target openemr lost their lease within an hour",
        "2 deliveries wait for a decision of an operator; see `host conflicts`",
    ];
    assert_eq!(scene.sentences(), expected);
}

#[test]
fn a_silent_feed_is_found() {
    let mut scene = Scene::with(all_on());
    let newest = |age_ms| NewestChanges { age_ms: BTreeMap::from([("patient".to_owned(), age_ms)]), cursor: 1 };
    scene.changes.note(&newest(60 * MINUTE), 0);
    assert_eq!(scene.sentences(), ["no change has come from the application for 60 min"]);
    scene.rules.silence[0].aggregate_type = Some("patient".to_owned());
    assert_eq!(scene.sentences(), ["no change of type `patient` has come from the application for 60 min"]);
    scene.changes.note(&newest(0), 0);
    let judged = scene.judged();
    assert!(judged.found.is_empty() && judged.unknown.is_empty(), "{judged:?}");
    scene.rules.silence[0].aggregate_type = Some("visit".to_owned());
    assert_eq!(scene.judged().unknown, [key(AlertKind::Silence, "", "visit")]);
}

#[test]
fn a_held_adapter_is_found_until_it_is_accepted() {
    let mut scene = Scene::with(all_on());
    let mut held = crate::store::HeldAdapter {
        sha256: "ef".repeat(32),
        name: "openemr".to_owned(),
        version: "2".to_owned(),
        differences: crate::domain::effect_difference::EffectDifferences::default(),
        held_at: 0,
        accepted_at: None,
    };
    scene.target().held = Some(held.clone());
    let sentence = "the adapter sha256:efefefefefef of target openemr is held, since it writes something else; see `host \
                    plugin list`, then `host plugin accept`";
    assert_eq!(scene.sentences(), [sentence]);
    held.accepted_at = Some(1);
    scene.target().held = Some(held);
    assert_eq!(scene.sentences(), Vec::<String>::new());
}

#[test]
fn a_rolled_back_adapter_and_differing_records_are_found() {
    use crate::domain::ids::ChangeId;
    let mut scene = Scene::with(all_on());
    scene.rolled_back = vec![("openemr".to_owned(), "ab".repeat(32)), ("gone".to_owned(), "cd".repeat(32))];
    let rolled_back = "the adapter sha256:abababababab of target openemr was rolled back, and the one before delivers; \
                       see `host plugin history`";
    assert_eq!(scene.sentences(), [rolled_back]);
    scene.rules.adapters = false;
    let counts = crate::store::VerificationCounts { checked: 9, edited: 2, gone: 1, moved: 1, ..Default::default() };
    scene.target().verified = Some(crate::store::Verification::ended("openemr", ChangeId::new(1), counts));
    let differ = "3 records at target openemr are not as they were delivered; see `host verify --target openemr`";
    assert_eq!(scene.sentences(), [differ]);
    scene.rules.verification = false;
    assert_eq!(scene.sentences(), Vec::<String>::new());
}

#[test]
fn little_free_space_is_found() {
    let mut scene = Scene::with(all_on());
    let disk = |free_bytes| Disk { name: "the folder of the store on vm".to_owned(), free_bytes };
    scene.disks = vec![disk(1 << 30)];
    assert_eq!(scene.sentences(), Vec::<String>::new());
    scene.disks = vec![disk((1 << 30) - 1)];
    assert_eq!(scene.sentences(), ["the folder of the store on vm has 1023 MiB free"]);
}

#[test]
fn what_ends_soon_or_has_ended_is_found() {
    let mut scene = Scene::with(all_on());
    let ending = |ends_at| Ending { name: "the token".to_owned(), target: "fhir".to_owned(), ends_at };
    let day = 24 * 60 * MINUTE;
    scene.endings = vec![ending(Some(1_000_000 + 14 * day + 1))];
    assert_eq!(scene.sentences(), Vec::<String>::new());
    scene.endings = vec![ending(Some(1_000_000 + 13 * day)), ending(Some(1_000_000)), ending(None)];
    assert_eq!(scene.sentences(), ["the token ends in 13 d", "the token has ended"]);
    assert!(scene.judged().unknown.contains(&key(AlertKind::Expiring, "fhir", "the token")));
}

#[test]
fn a_host_without_a_heartbeat_is_found_unless_it_was_started_again() {
    let mut scene = Scene::with(all_on());
    let beat = |host: &str, started_at, age_ms| Heartbeat {
        host: host.to_owned(),
        started_at,
        seen_at: 1_000 * MINUTE - age_ms,
        age_ms,
    };
    scene.heartbeats = vec![beat("a-vm-1-ff", 0, 2 * MINUTE - 1), beat("b-2-ff", 0, 1_000)];
    assert_eq!(scene.sentences(), Vec::<String>::new());
    scene.heartbeats[0] = beat("a-vm-1-ff", 0, 3 * MINUTE);
    assert_eq!(scene.sentences(), ["host a-vm-1-ff has sent no heartbeat for 3 min"]);
    scene.heartbeats.push(beat("a-vm-7-ee", 999 * MINUTE, 1_000));
    assert_eq!(scene.sentences(), Vec::<String>::new(), "the machine has a new one");
    scene.heartbeats[2] = beat("c-vm-7-ee", 999 * MINUTE, 1_000);
    assert_eq!(scene.sentences().len(), 1, "of another machine");
}
