//! Merges of patients: through the service, from other applications, and against a target that keeps what it is sent.
//! Read next: `service.rs`, `circles.rs`, and `model.rs`, which compares random ones with what the application holds.

mod circles;
mod model;
mod service;

use std::collections::BTreeMap;

use host::domain::change::Operation;
use host::domain::clinical::ClinicalRecord;
use host::domain::delivery::{Delivery, Settlement};
use host::domain::ids::AggregateKey;
use host::domain::references::NamedReference;
use host::service::{ClinicalService, PatientService, ServiceError};
use host::store::{Batch, Claim, HostRecord, NewMerge, Settled, StateSource};
use serde_json::json;
use tests::environment::Backend;
use tests::session::Session;

use crate::on_every_store;
use crate::support::{Stand, TARGET, confirmed, patient, request, route, target_name, wait_until_waiting};

on_every_store!(
    what_refers_to_a_merged_patient_gets_the_survivors_id_until_it_is_undone,
    a_merge_waits_for_its_survivor_and_makes_what_waits_for_the_merged_one_due,
    merges_that_make_no_sense_are_refused_with_the_fix,
    a_merged_patient_is_changed_by_nobody_until_the_merge_is_undone,
    what_was_in_flight_when_its_patient_was_merged_is_sent_again,
    a_settlement_alone_sends_what_went_out_with_an_older_id_again,
    a_merge_and_a_dependent_that_are_settled_side_by_side_do_not_miss_each_other,
    what_was_in_flight_when_the_link_of_its_patient_was_forgotten_waits_for_the_new_one,
    a_resync_and_a_dry_run_know_a_merged_patient,
    a_survivor_that_was_deleted_at_the_target_is_no_survivor,
);

const TYPES: [&str; 2] = ["patient", "encounter"];

async fn takes_both(stand: &Stand) {
    let targets = BTreeMap::from([(target_name(TARGET), TYPES.iter().map(|kind| (*kind).to_owned()).collect())]);
    let host = HostRecord { id: "host-a".to_owned(), targets, ..HostRecord::default() };
    stand.store.register_host(&host).await.expect("register");
}

fn id(number: u32) -> String {
    format!("P-{number:04}")
}

fn encounter(id: &str, patient: &str, class: &str) -> ClinicalRecord {
    let key = AggregateKey { aggregate_type: "encounter".to_owned(), aggregate_id: id.to_owned() };
    let subject = NamedReference {
        name: "subject".to_owned(),
        aggregate_type: "patient".to_owned(),
        aggregate_id: patient.to_owned(),
    };
    let payload = json!({ "status": "planned", "class": class, "period": { "start": "2026-01-01T09:00:00Z" } });
    ClinicalRecord::new(key, payload, vec![subject]).expect("valid")
}

async fn merge(stand: &Stand, loser: u32, survivor: u32) -> Result<(), ServiceError> {
    let (patient_id, survivor_id) = (id(loser), id(survivor));
    let merge =
        NewMerge { patient_id: &patient_id, survivor_id: &survivor_id, reason: "registered twice", merged_by: "kim" };
    PatientService::new(stand.store.clone()).merge(&merge).await.map(drop)
}

async fn unmerge(stand: &Stand, loser: u32) -> bool {
    PatientService::new(stand.store.clone()).unmerge(&id(loser)).await.expect("undo").is_some()
}

async fn put_encounter(stand: &Stand, record: &ClinicalRecord) -> Result<(), ServiceError> {
    ClinicalService::new(stand.store.clone()).put(std::slice::from_ref(record)).await.map(drop)
}

fn refusal(result: Result<(), ServiceError>) -> String {
    match result {
        Err(error @ ServiceError::Refused(_)) => error.to_string(),
        other => panic!("not refused: {other:?}"),
    }
}

/// A target that keeps what it is sent: of each patient whether it is active or the record that replaces it, of each
/// encounter its patient's record. An aggregate's record is `#` and its id.
#[derive(Debug, Default)]
struct Target {
    patients: BTreeMap<String, Option<String>>,
    encounters: BTreeMap<String, String>,
}

impl Target {
    fn apply(&mut self, delivery: &Delivery) -> Settlement {
        let change = &delivery.change;
        let record = format!("#{}", change.key.aggregate_id);
        if !change.key.is_patient() {
            let subject = change.references[0].remote_id.clone().expect("a patient's record");
            self.encounters.insert(change.key.aggregate_id.clone(), subject);
            return confirmed(delivery, &record);
        }
        let is_merge = change.operation == Operation::Merge;
        let mut settled = confirmed(delivery, &record);
        if is_merge {
            let survivor = change.survivor.as_ref().and_then(|survivor| survivor.remote_id.clone());
            let survivor = survivor.expect("a survivor with a record");
            match self.patients.get_mut(&record) {
                Some(patient) => *patient = Some(survivor),
                None => settled = confirmed(delivery, ""),
            }
        } else {
            self.patients.insert(record, None);
        }
        settled.merged_into.clone_from(&delivery.survivor_id);
        settled.is_moved = is_merge || delivery.was_merged;
        settled
    }

    /// Delivers a batch and settles it, as a worker does.
    async fn deliver(&mut self, stand: &Stand, batch: &Batch) {
        let settled: Vec<_> = batch.deliveries.iter().map(|delivery| self.apply(delivery)).collect();
        settle(stand, batch, &settled).await;
    }

    /// Delivers until nothing is left but what waits for what nobody writes.
    async fn drain(&mut self, stand: &Stand) {
        let mut looked_again = false;
        loop {
            route(&stand.store, 1_000).await;
            match stand.claim().await {
                Claim::Batch(batch) => {
                    self.deliver(stand, &batch).await;
                    looked_again = false;
                }
                Claim::OnlySuperseded => {}
                Claim::Nothing if looked_again => return,
                Claim::Nothing => {
                    stand.pass(2_000);
                    looked_again = stand.store.wake_all_ready(TARGET).await.expect("wake") == 0;
                }
            }
        }
    }
}

async fn settle(stand: &Stand, batch: &Batch, settled: &[Settlement]) {
    stand.store.settle(&batch.lease, settled, None).await.expect("settle");
    let changes: Vec<_> = batch.deliveries.iter().map(|delivery| &delivery.change).collect();
    let linked: Vec<_> = changes.iter().map(|change| change.key.clone()).collect();
    stand.store.wake_dependents(TARGET, &linked).await.expect("wake");
    stand.store.resend_after_settling(&target_name(TARGET), settled, &changes).await.expect("send again");
}

async fn claim_one(stand: &Stand) -> Batch {
    match stand.store.claim(&request(1)).await.expect("claim") {
        Claim::Batch(batch) => batch,
        other => panic!("expected a batch, got {other:?}"),
    }
}

async fn two_patients_and_an_encounter(stand: &Stand) -> Target {
    takes_both(stand).await;
    stand.put(&[patient(1, "Seoul"), patient(2, "Busan"), patient(3, "Daegu")]).await;
    put_encounter(stand, &encounter("E-1", &id(1), "AMB")).await.expect("put");
    let mut target = Target::default();
    target.drain(stand).await;
    assert_eq!(target.encounters["E-1"], "#P-0001");
    target
}

async fn what_refers_to_a_merged_patient_gets_the_survivors_id_until_it_is_undone(stand: Stand) {
    let mut target = two_patients_and_an_encounter(&stand).await;
    merge(&stand, 1, 2).await.expect("merge");
    target.drain(&stand).await;
    assert_eq!(target.patients["#P-0001"].as_deref(), Some("#P-0002"));
    assert_eq!((&target.patients["#P-0002"], target.encounters["E-1"].as_str()), (&None, "#P-0002"));
    // The survivor is merged on: everything follows.
    merge(&stand, 2, 3).await.expect("merge");
    target.drain(&stand).await;
    assert_eq!(target.patients["#P-0001"].as_deref(), Some("#P-0003"));
    assert_eq!(target.encounters["E-1"], "#P-0003");
    assert!(unmerge(&stand, 2).await && !unmerge(&stand, 2).await, "once");
    target.drain(&stand).await;
    assert_eq!((target.patients["#P-0001"].as_deref(), &target.patients["#P-0002"]), (Some("#P-0002"), &None));
    assert_eq!(target.encounters["E-1"], "#P-0002");
    assert!(unmerge(&stand, 1).await);
    target.drain(&stand).await;
    assert_eq!((&target.patients["#P-0001"], target.encounters["E-1"].as_str()), (&None, "#P-0001"));
    assert_eq!(stand.counts().await.failed, 0);
}

async fn a_merge_waits_for_its_survivor_and_makes_what_waits_for_the_merged_one_due(stand: Stand) {
    takes_both(&stand).await;
    append(&stand, "P-1", "merge", "P-2").await;
    let refs = r#"[{"name": "subject", "type": "patient", "id": "P-1"}]"#;
    let row = format!("{INSERT}('encounter', 'E-1', 'create', '{{}}', '{refs}')");
    stand.database.execute(&row).await.expect("insert");
    route(&stand.store, 1_000).await;
    assert!(matches!(stand.claim().await, Claim::Nothing), "the survivor is not there yet");
    let waiting = stand.store.waiting(TARGET, None, 10).await.expect("waiting");
    assert_eq!(waiting[0].lacks[0].key, AggregateKey::patient("P-2"));
    append(&stand, "P-2", "create", "").await;
    let mut target = Target::default();
    target.drain(&stand).await;
    // Patient P-1 never came there, and needs no record to lead to the survivor.
    assert_eq!((target.patients.len(), target.encounters["E-1"].as_str()), (1, "#P-2"));
}

async fn merges_that_make_no_sense_are_refused_with_the_fix(stand: Stand) {
    takes_both(&stand).await;
    stand.put(&[patient(1, "Seoul"), patient(2, "Busan"), patient(3, "Daegu")]).await;
    let cases = [
        (1, 1, "cannot be merged into itself"),
        (1, 9, "the store has no patient P-0009"),
        (9, 1, "the store has no patient P-0009"),
    ];
    for (loser, survivor, expected) in cases {
        let message = refusal(merge(&stand, loser, survivor).await);
        assert!(message.contains(expected), "{message}");
    }
    merge(&stand, 1, 2).await.expect("merge");
    let cases = [
        (1, 3, "was merged into patient P-0002 already; fix: undo that merge first with `host patient unmerge P-0001`"),
        (
            3,
            1,
            "cannot be merged into patient P-0001, who was merged into patient P-0002; fix: merge into patient P-0002",
        ),
        (2, 1, "fix: undo that merge first with `host patient unmerge P-0001`"),
    ];
    for (loser, survivor, expected) in cases {
        let message = refusal(merge(&stand, loser, survivor).await);
        assert!(message.contains(expected), "{message}");
    }
    let mut target = Target::default();
    target.drain(&stand).await;
    let merged = target.patients.values().filter(|survivor| survivor.is_some()).count();
    assert!(merged <= 1, "what was refused queued nothing");
}

async fn a_merged_patient_is_changed_by_nobody_until_the_merge_is_undone(stand: Stand) {
    let mut target = two_patients_and_an_encounter(&stand).await;
    merge(&stand, 1, 2).await.expect("merge");
    let patients = PatientService::new(stand.store.clone());
    let unchanged = patients.put(&[patient(1, "Seoul")]).await.expect("the same state");
    assert_eq!(unchanged, [host::service::PatientChange::Unchanged]);
    let message = refusal(patients.put(&[patient(3, "Ulsan"), patient(1, "Jeju")]).await.map(drop));
    assert!(message.contains("P-0001: merge: was merged into patient P-0002; fix: write that one"), "{message}");
    let message = refusal(patients.delete(&id(1)).await.map(drop));
    assert!(message.contains("host patient unmerge P-0001"), "{message}");
    let message = refusal(patients.delete(&id(2)).await.map(drop));
    assert!(message.contains("patient P-0001 was merged into this one"), "{message}");
    let message = refusal(put_encounter(&stand, &encounter("E-2", &id(1), "AMB")).await);
    assert!(message.contains("refs.subject: was merged into patient P-0002; fix: refer to that one"), "{message}");
    assert!(unmerge(&stand, 1).await);
    patients.put(&[patient(1, "Jeju")]).await.expect("it is as before");
    put_encounter(&stand, &encounter("E-2", &id(1), "AMB")).await.expect("it may be referred to");
    target.drain(&stand).await;
    let stored = stand.store.patient(&id(3)).await.expect("read").expect("there");
    assert_eq!(stored.patient.city.as_deref(), Some("Daegu"), "all or nothing");
}

const INSERT: &str = "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload, refs) VALUES ";

/// A change of a patient by another application.
async fn append(stand: &Stand, id: &str, operation: &str, survivor: &str) {
    let refs = format!(r#"'[{{"name": "survivor", "type": "patient", "id": "{survivor}"}}]'"#);
    let refs = if survivor.is_empty() { "NULL" } else { refs.as_str() };
    stand
        .database
        .execute(&format!("{INSERT}('patient', '{id}', '{operation}', '{{}}', {refs})"))
        .await
        .expect("insert");
    route(&stand.store, 1_000).await;
}

async fn a_settlement_alone_sends_what_went_out_with_an_older_id_again(stand: Stand) {
    let mut target = two_patients_and_an_encounter(&stand).await;
    put_encounter(&stand, &encounter("E-1", &id(1), "EMER")).await.expect("put");
    route(&stand.store, 1_000).await;
    let in_flight = claim_one(&stand).await;
    append(&stand, "P-0001", "merge", "P-0002").await;
    let merging = claim_one(&stand).await;
    target.deliver(&stand, &merging).await;
    // The host dies right after the settlement.
    let settled = target.apply(&in_flight.deliveries[0]);
    stand.store.settle(&in_flight.lease, &[settled], None).await.expect("settle");
    target.drain(&stand).await;
    assert_eq!(target.encounters["E-1"], "#P-0002");
}

/// The merge of a patient and a state of an encounter that refers to them, delivered and about to be settled.
async fn a_merge_and_a_dependent(stand: &Stand, target: &mut Target) -> [(Batch, Settlement); 2] {
    put_encounter(stand, &encounter("E-1", &id(1), "EMER")).await.expect("put");
    route(&stand.store, 1_000).await;
    let dependent = claim_one(stand).await;
    append(stand, "P-0001", "merge", "P-0002").await;
    let merging = claim_one(stand).await;
    [dependent, merging].map(|batch| {
        let settled = target.apply(&batch.deliveries[0]);
        (batch, settled)
    })
}

async fn a_merge_and_a_dependent_that_are_settled_side_by_side_do_not_miss_each_other(stand: Stand) {
    let mut target = two_patients_and_an_encounter(&stand).await;
    let both = a_merge_and_a_dependent(&stand, &mut target).await;
    // Each settlement counts at its end. Whoever keeps the counts stops both before their commits.
    let mut counts = Session::open(stand.database.url()).await.expect("session");
    let keep = match stand.database.backend() {
        Backend::MariaDb => Some("SELECT * FROM sync_count FOR UPDATE"),
        Backend::Postgres => Some("LOCK TABLE sync_count IN SHARE MODE"),
        // There is one writer at a time.
        _ => None,
    };
    if let Some(keep) = keep {
        counts.execute(counts.begin()).await.expect("begin");
        counts.execute(keep).await.expect("keep");
    }
    let settling = both.map(|(batch, settled)| {
        let store = stand.store.clone();
        tokio::spawn(async move { store.settle(&batch.lease, &[settled], None).await })
    });
    if keep.is_some() {
        wait_until_waiting(&stand, 2).await;
        counts.execute("COMMIT").await.expect("commit");
    }
    // Both hosts die right after their commits.
    for one in settling {
        assert_eq!(one.await.expect("join").expect("settle"), Settled::Written);
    }
    target.drain(&stand).await;
    assert_eq!(target.encounters["E-1"], "#P-0002");
}

async fn what_was_in_flight_when_the_link_of_its_patient_was_forgotten_waits_for_the_new_one(stand: Stand) {
    let mut target = two_patients_and_an_encounter(&stand).await;
    put_encounter(&stand, &encounter("E-2", &id(1), "EMER")).await.expect("put");
    route(&stand.store, 1_000).await;
    let in_flight = claim_one(&stand).await;
    // As a repair of what is gone at the target does.
    let key = AggregateKey::patient(id(1));
    let gone = [key.clone()].into();
    stand.store.resync_own(&target_name(TARGET), &[key], &gone).await.expect("queue");
    target.deliver(&stand, &in_flight).await;
    let waiting = stand.store.waiting(TARGET, None, 10).await.expect("waiting");
    let ids: Vec<_> = waiting.iter().map(|one| one.key.aggregate_id.as_str()).collect();
    assert_eq!(ids, ["E-1", "E-2"]);
    let patient = claim_one(&stand).await;
    let other = confirmed(&patient.deliveries[0], "#other");
    settle(&stand, &patient, &[other]).await;
    target.drain(&stand).await;
    assert_eq!((target.encounters["E-1"].as_str(), target.encounters["E-2"].as_str()), ("#other", "#other"));
}

async fn what_was_in_flight_when_its_patient_was_merged_is_sent_again(stand: Stand) {
    let mut target = two_patients_and_an_encounter(&stand).await;
    put_encounter(&stand, &encounter("E-1", &id(1), "EMER")).await.expect("put");
    route(&stand.store, 1_000).await;
    let in_flight = claim_one(&stand).await;
    // From another application, so that nothing but the settlements sends the encounter again.
    append(&stand, "P-0001", "merge", "P-0002").await;
    let merging = claim_one(&stand).await;
    target.deliver(&stand, &merging).await;
    target.deliver(&stand, &in_flight).await;
    assert_eq!(target.encounters["E-1"], "#P-0001", "it left before");
    target.drain(&stand).await;
    assert_eq!(target.encounters["E-1"], "#P-0002");
}

async fn a_resync_and_a_dry_run_know_a_merged_patient(stand: Stand) {
    let mut target = two_patients_and_an_encounter(&stand).await;
    merge(&stand, 1, 2).await.expect("merge");
    target.drain(&stand).await;
    let name = target_name(TARGET);
    let next = stand.store.next_state(&name, &AggregateKey::patient(id(1))).await.expect("read").expect("known");
    assert_eq!((next.source, next.change.operation), (StateSource::Current, Operation::Merge));
    let survivor = next.change.survivor.expect("a survivor");
    assert_eq!((survivor.aggregate_id, survivor.remote_id.as_deref()), (id(2), Some("#P-0002")));
    stand.store.resync_page(&name, None, None, 100).await.expect("resync");
    target.drain(&stand).await;
    assert_eq!(target.patients["#P-0001"].as_deref(), Some("#P-0002"), "a resync does not undo the merge");
    assert_eq!(stand.counts().await.failed, 0);
}

async fn a_survivor_that_was_deleted_at_the_target_is_no_survivor(stand: Stand) {
    takes_both(&stand).await;
    append(&stand, "P-1", "create", "").await;
    append(&stand, "P-2", "create", "").await;
    let mut target = Target::default();
    target.drain(&stand).await;
    append(&stand, "P-2", "delete", "").await;
    let batch = stand.claim_batch().await;
    let gone: Vec<_> = batch.deliveries.iter().map(|delivery| confirmed(delivery, "")).collect();
    settle(&stand, &batch, &gone).await;
    append(&stand, "P-1", "merge", "P-2").await;
    target.drain(&stand).await;
    let failures = stand.store.failed(&host::store::RetryFilter::default(), 10).await.expect("failed");
    let message = failures[0].message.clone().unwrap_or_default();
    assert!(message.contains("patient P-2: that was deleted at the target; fix: "), "{message}");
    assert_eq!(target.patients["#P-1"], None);
}
