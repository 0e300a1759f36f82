//! Clinical records through their service.

use std::collections::BTreeSet;

use host::database::RowLimits;
use host::domain::clinical::ClinicalRecord;
use host::domain::ids::AggregateKey;
use host::domain::references::NamedReference;
use host::service::{ClinicalService, PatientService, RecordChange, ServiceError};
use host::store::{HostRecord, Resend, ResendCounts, ResendScope, StateSource};
use serde_json::json;
use tests::session::Session;

use crate::on_every_store;
use crate::support::{Stand, TARGET, confirmed, patient, route, target_name, wait_until_waiting};

on_every_store!(
    a_record_writes_its_outbox_row_in_one_transaction_and_an_unchanged_one_writes_none,
    a_deleted_record_leaves_its_last_state_in_the_outbox,
    a_record_of_an_unknown_patient_is_accepted_and_of_a_deleted_one_refused,
    what_is_deleted_or_merged_while_a_record_is_written_is_not_referred_to,
    another_patients_encounter_is_refused,
    an_encounter_moves_to_another_patient_only_with_what_refers_to_it,
    many_encounters_move_with_as_many_statements_as_few,
    a_refused_record_rolls_back_its_whole_transaction,
    many_records_take_as_many_statements_as_few,
    records_of_different_types_may_share_an_id,
    a_resync_queues_records_whose_outbox_rows_were_purged,
);

fn key(aggregate_type: &str, aggregate_id: &str) -> AggregateKey {
    AggregateKey { aggregate_type: aggregate_type.to_owned(), aggregate_id: aggregate_id.to_owned() }
}

fn reference(name: &str, aggregate_type: &str, aggregate_id: &str) -> NamedReference {
    let AggregateKey { aggregate_type, aggregate_id } = key(aggregate_type, aggregate_id);
    NamedReference { name: name.to_owned(), aggregate_type, aggregate_id }
}

fn encounter(id: &str, patient: &str) -> ClinicalRecord {
    let period = json!({ "start": "2026-01-01T09:00:00+09:00" });
    let payload = json!({ "status": "planned", "class": "AMB", "period": period });
    ClinicalRecord::new(key("encounter", id), payload, vec![reference("subject", "patient", patient)]).expect("valid")
}

fn condition(id: &str, patient: &str, encounter: &str, text: &str) -> ClinicalRecord {
    let payload = json!({ "clinical_status": "active", "code": { "display": text } });
    let references = vec![reference("subject", "patient", patient), reference("encounter", "encounter", encounter)];
    ClinicalRecord::new(key("condition", id), payload, references).expect("valid")
}

fn service(stand: &Stand) -> ClinicalService {
    ClinicalService::new(stand.store.clone())
}

/// The problems for which the service refuses these records.
async fn refused(stand: &Stand, records: &[ClinicalRecord]) -> Vec<String> {
    match service(stand).put(records).await {
        Err(ServiceError::Refused(refused)) => refused.iter().map(ToString::to_string).collect(),
        other => panic!("not refused: {other:?}"),
    }
}

async fn unrouted(stand: &Stand) -> u64 {
    stand.store.status(1).await.expect("status").unrouted
}

async fn a_record_writes_its_outbox_row_in_one_transaction_and_an_unchanged_one_writes_none(stand: Stand) {
    let records = [encounter("E-1", "P-1"), condition("C-1", "P-1", "E-1", "Asthma \"x\" 천식")];
    let first = service(&stand).put(&records).await.expect("put");
    assert_eq!(first, [RecordChange::Created, RecordChange::Created]);
    assert_eq!(unrouted(&stand).await, 2);
    let again = [records[0].clone(), condition("C-1", "P-1", "E-1", "Bronchitis")];
    let second = service(&stand).put(&again).await.expect("put");
    assert_eq!(second, [RecordChange::Unchanged, RecordChange::Updated]);
    assert_eq!(unrouted(&stand).await, 3);
    // References belong to the state.
    let moved = service(&stand).put(&[condition("C-1", "P-1", "E-2", "Bronchitis")]).await.expect("put");
    assert_eq!(moved, [RecordChange::Updated]);
    let stored = stand.store.clinical_record(&key("condition", "C-1")).await.expect("read").expect("there");
    assert_eq!(stored.patient_id.as_deref(), Some("P-1"));
    assert_eq!(stored.payload["code"]["display"], "Bronchitis");
    assert_eq!(stored.references[1], reference("encounter", "encounter", "E-2"));
    assert_eq!(service(&stand).put(&[]).await.expect("put"), []);
}

async fn a_deleted_record_leaves_its_last_state_in_the_outbox(stand: Stand) {
    let record = condition("C-1", "P-1", "E-1", "Asthma");
    service(&stand).put(std::slice::from_ref(&record)).await.expect("put");
    assert!(service(&stand).delete(record.key()).await.expect("delete"));
    assert!(!service(&stand).delete(record.key()).await.expect("delete"), "there is nothing left");
    assert!(stand.store.clinical_record(record.key()).await.expect("read").is_none());
    let sql = "SELECT id FROM sync_outbox WHERE aggregate_id = 'C-1' AND operation = 'delete' \
               AND payload LIKE '%Asthma%' AND refs LIKE '%E-1%'";
    let mut transaction = stand.store.database().begin_read().await.expect("begin");
    assert_eq!(transaction.query(sql, &[], RowLimits::NONE).await.expect("query").rows.len(), 1);
    transaction.rollback().await.expect("rollback");
}

async fn a_record_of_an_unknown_patient_is_accepted_and_of_a_deleted_one_refused(stand: Stand) {
    assert_eq!(service(&stand).put(&[encounter("E-1", "P-0001")]).await.expect("put"), [RecordChange::Created]);
    stand.put(&[patient(1, "Seoul")]).await;
    PatientService::new(stand.store.clone()).delete("P-0001").await.expect("delete");
    let was_deleted = ["encounter E-2: refs.subject: was deleted"];
    assert_eq!(refused(&stand, &[encounter("E-2", "P-0001")]).await, was_deleted);
    // What is there, and stays as it is, is no new reference.
    assert_eq!(service(&stand).put(&[encounter("E-1", "P-0001")]).await.expect("put"), [RecordChange::Unchanged]);
    stand.put(&[patient(1, "Busan")]).await;
    assert_eq!(service(&stand).put(&[encounter("E-2", "P-0001")]).await.expect("put"), [RecordChange::Created]);
    service(&stand).delete(&key("encounter", "E-2")).await.expect("delete");
    let visit = condition("C-1", "P-0001", "E-2", "Asthma");
    let was_deleted = ["condition C-1: refs.encounter: was deleted"];
    assert_eq!(refused(&stand, std::slice::from_ref(&visit)).await, was_deleted);
    let both = [visit, encounter("E-2", "P-0001")];
    assert_eq!(service(&stand).put(&both).await.expect("put"), [RecordChange::Created, RecordChange::Created]);
}

/// A record is written while another program's transaction, which began before, takes away what it refers to.
async fn what_is_deleted_or_merged_while_a_record_is_written_is_not_referred_to(stand: Stand) {
    stand.put(&[patient(1, "Seoul"), patient(2, "Busan"), patient(3, "Daegu")]).await;
    service(&stand).put(&[condition("C-1", "P-0003", "E-9", "Asthma")]).await.expect("put");
    let of_condition = {
        let payload = json!({ "resourceType": "Immunization", "status": "completed" });
        ClinicalRecord::new(key("fhir-resource", "R-1"), payload, vec![reference("reason", "condition", "C-1")])
    };
    let deleted = |kind: &str, id: &str| {
        format!("INSERT INTO deleted_record (aggregate_type, aggregate_id, deleted_at) VALUES ('{kind}', '{id}', 1)")
    };
    let merged = "INSERT INTO patient_merge (patient_id, survivor_id, reason, merged_by, merged_at) \
                  VALUES ('P-0002', 'P-0003', 'twice', 'kim', 1)";
    let mut other = Session::open(stand.database.url()).await.expect("session");
    let lock_both = format!("SELECT patient_id FROM patient_cache WHERE patient_id >= 'P-0002'{}", other.for_update());
    let cases = [
        (
            encounter("E-1", "P-0001"),
            "DELETE FROM patient_cache WHERE patient_id = 'P-0001'".to_owned(),
            deleted("patient", "P-0001"),
            "encounter E-1: refs.subject: was deleted",
        ),
        (
            encounter("E-2", "P-0002"),
            lock_both,
            merged.to_owned(),
            "encounter E-2: refs.subject: was merged into patient P-0003; fix: refer to that one",
        ),
        (
            of_condition.expect("valid"),
            "DELETE FROM clinical_record WHERE aggregate_id = 'C-1'".to_owned(),
            deleted("condition", "C-1"),
            "fhir-resource R-1: refs.reason: was deleted",
        ),
    ];
    for (record, take_away, remember, expected) in cases {
        other.execute(other.begin()).await.expect("begin");
        other.execute(&take_away).await.expect("take away");
        let service = service(&stand);
        let writing = tokio::spawn(async move { service.put(&[record]).await });
        wait_until_waiting(&stand, 1).await;
        assert!(!writing.is_finished(), "it waits: {expected}");
        other.execute(&remember).await.expect("remember");
        other.execute("COMMIT").await.expect("commit");
        match writing.await.expect("join") {
            Err(ServiceError::Refused(refused)) => assert_eq!(refused[0].to_string(), expected),
            other => panic!("not refused: {other:?}"),
        }
    }
}

async fn another_patients_encounter_is_refused(stand: Stand) {
    service(&stand).put(&[encounter("E-1", "P-1")]).await.expect("put");
    let another = ["condition C-1: refs.encounter: belongs to another patient"];
    assert_eq!(refused(&stand, &[condition("C-1", "P-2", "E-1", "Asthma")]).await, another);
    // The encounter as it will be decides, whatever the order.
    let both = [condition("C-1", "P-2", "E-1", "Asthma"), encounter("E-1", "P-2")];
    assert_eq!(service(&stand).put(&both).await.expect("put"), [RecordChange::Created, RecordChange::Updated]);
    assert_eq!(refused(&stand, &[condition("C-2", "P-1", "E-1", "Asthma")]).await.len(), 1);
    // One that nobody knows may be anyone's.
    let unknown = condition("C-3", "P-1", "E-9", "Asthma");
    assert_eq!(service(&stand).put(&[unknown]).await.expect("put"), [RecordChange::Created]);
}

async fn an_encounter_moves_to_another_patient_only_with_what_refers_to_it(stand: Stand) {
    // An id that has a meaning in JSON and in LIKE, and one that differs in case alone.
    let odd = "E\"_%\\1";
    let conditions = |patient: &str| ["C-1", "C-2", "C-3", "C-4"].map(|id| condition(id, patient, "E-1", "Asthma"));
    let encounters = ["E-1", "E-2", odd].map(|id| encounter(id, "P-1"));
    service(&stand).put(&encounters).await.expect("put");
    service(&stand).put(&conditions("P-1")).await.expect("put");
    let others = [condition("C-5", "P-1", odd, "Asthma"), condition("C-6", "P-1", "e-2", "Asthma")];
    service(&stand).put(&others).await.expect("put");
    let cannot_move = |id: &str, what: &str| {
        [format!(
            "encounter {id}: refs.subject: cannot move from patient P-1 to P-2 without what refers to the encounter: \
             {what}; fix: write these for P-2 together with it"
        )]
    };
    let four = "condition C-1, condition C-2, condition C-3 and others";
    assert_eq!(refused(&stand, &[encounter("E-1", "P-2")]).await, cannot_move("E-1", four));
    assert_eq!(refused(&stand, &[encounter(odd, "P-2")]).await, cannot_move(odd, "condition C-5"));
    let mut all = vec![encounter("E-1", "P-2")];
    all.extend(conditions("P-2"));
    assert_eq!(refused(&stand, &all[..4]).await, cannot_move("E-1", "condition C-4"), "the others go with it");
    let unchanged = [encounter("E-1", "P-2"), condition("C-1", "P-1", "E-1", "Asthma")];
    assert_eq!(refused(&stand, &unchanged).await, cannot_move("E-1", four), "one that is given as it was stays behind");
    let changes = service(&stand).put(&all).await.expect("put");
    assert_eq!(changes, [RecordChange::Updated; 5]);
    // Nobody refers to this one.
    assert_eq!(service(&stand).put(&[encounter("E-2", "P-2")]).await.expect("put"), [RecordChange::Updated]);
    // An import has the encounters first, and what refers to them in its next file.
    let import = ClinicalService::for_import(stand.store.clone());
    assert_eq!(import.preview(&[encounter(odd, "P-2")]).await.expect("preview"), [RecordChange::Updated]);
    assert_eq!(import.put(&[encounter(odd, "P-2")]).await.expect("put"), [RecordChange::Updated]);
    let follows = condition("C-5", "P-2", odd, "Asthma");
    assert_eq!(import.put(&[follows]).await.expect("put"), [RecordChange::Updated]);
}

async fn many_encounters_move_with_as_many_statements_as_few(stand: Stand) {
    let encounters = |patient: &str| {
        let all: Vec<_> = (0..203).map(|number| encounter(&format!("E-{number}"), patient)).collect();
        all
    };
    service(&stand).put(&encounters("P-1")).await.expect("put");
    let statements = async |records: &[ClinicalRecord]| {
        let before = stand.store.statements_run();
        service(&stand).put(records).await.expect("put");
        stand.store.statements_run() - before
    };
    let moved = encounters("P-2");
    // As without a move, with the patients who were merged into the earlier one, and what refers to the encounters.
    assert_eq!((statements(&moved[..3]).await, statements(&moved[3..]).await), (8, 8));
}

async fn a_refused_record_rolls_back_its_whole_transaction(stand: Stand) {
    service(&stand).put(&[encounter("E-1", "P-1")]).await.expect("put");
    let records = [condition("C-1", "P-1", "E-1", "Asthma"), condition("C-2", "P-2", "E-1", "Asthma")];
    assert_eq!(refused(&stand, &records).await.len(), 1);
    assert!(stand.store.clinical_record(records[0].key()).await.expect("read").is_none());
    assert_eq!(unrouted(&stand).await, 1);
}

async fn many_records_take_as_many_statements_as_few(stand: Stand) {
    let records: Vec<_> = (0..503).map(|number| condition(&format!("C-{number}"), "P-1", "E-1", "Asthma")).collect();
    let statements = async |records: &[ClinicalRecord]| {
        let before = stand.store.statements_run();
        service(&stand).put(records).await.expect("put");
        stand.store.statements_run() - before
    };
    // Hold the patients; look for the records, for what was deleted and merged; write records, write changes.
    assert_eq!((statements(&records[..3]).await, statements(&records[3..]).await), (6, 6));
    assert_eq!((statements(&records[..3]).await, statements(&records).await), (2, 2), "nothing changed");
    assert_eq!(unrouted(&stand).await, 503);
}

async fn records_of_different_types_may_share_an_id(stand: Stand) {
    let records = [encounter("1", "P-1"), condition("1", "P-1", "1", "Asthma")];
    assert_eq!(service(&stand).put(&records).await.expect("put"), [RecordChange::Created, RecordChange::Created]);
    assert_eq!(service(&stand).put(&records).await.expect("put"), [RecordChange::Unchanged, RecordChange::Unchanged]);
    assert!(service(&stand).delete(&key("encounter", "1")).await.expect("delete"));
    assert!(stand.store.clinical_record(&key("condition", "1")).await.expect("read").is_some());
}

/// Delivers what is due, and returns the ids of the aggregates with those that the target gave what they refer to.
async fn deliver(stand: &Stand) -> Vec<(String, Vec<Option<String>>)> {
    let batch = stand.claim_batch().await;
    let settlements: Vec<_> = batch.deliveries.iter().map(|delivery| confirmed(delivery, "7")).collect();
    stand.store.settle(&batch.lease, &settlements, None).await.expect("settle");
    stand.store.wake_all_ready(TARGET).await.expect("wake");
    let change = |delivery: host::domain::delivery::Delivery| {
        let remote_ids = delivery.change.references.into_iter().map(|reference| reference.remote_id).collect();
        (delivery.change.key.aggregate_id, remote_ids)
    };
    batch.deliveries.into_iter().map(change).collect()
}

async fn a_resync_queues_records_whose_outbox_rows_were_purged(stand: Stand) {
    let records = [encounter("E-1", "P-0001"), condition("C-1", "P-0001", "E-1", "Asthma")];
    service(&stand).put(&records).await.expect("put");
    route(&stand.store, 10).await;
    stand.database.execute("DELETE FROM sync_outbox").await.expect("purge");
    let target = target_name(TARGET);
    let types = ["patient", "encounter", "condition"].map(str::to_owned);
    let host = HostRecord {
        id: "host-a".to_owned(),
        targets: [(target.clone(), BTreeSet::from(types.clone()))].into(),
        ..HostRecord::default()
    };
    stand.store.register_host(&host).await.expect("register");
    stand.put(&[patient(1, "Seoul")]).await;

    // Pages go by id and type; records of other types are passed over.
    let page = async |types: &[String], after: Option<&AggregateKey>, limit| {
        stand.store.resync_records_page(&target, types, after, None, limit).await.expect("page")
    };
    let visits = &types[1..2];
    assert_eq!(page(visits, None, 1).await, Some((key("condition", "C-1"), 0)));
    assert_eq!(page(visits, Some(&key("condition", "C-1")), 1).await, Some((key("encounter", "E-1"), 1)));
    assert_eq!(page(visits, Some(&key("encounter", "E-1")), 1).await, None);
    assert!(stand.store.resync_record(&target, &key("condition", "C-1")).await.expect("queue"));
    assert!(!stand.store.resync_record(&target, &key("condition", "E-1")).await.expect("nothing to queue"));

    let one = |id: &str, remote_ids: usize| vec![(id.to_owned(), vec![Some("7".to_owned()); remote_ids])];
    assert_eq!(deliver(&stand).await, one("P-0001", 0), "the others wait");
    assert_eq!(deliver(&stand).await, one("E-1", 1));
    assert_eq!(deliver(&stand).await, one("C-1", 2));
    let next = stand.store.next_state(&target, &key("condition", "C-1")).await.expect("read").expect("known");
    assert_eq!((next.source, next.change.references.len()), (StateSource::Current, 2));
    assert_eq!(next.change.references[0].remote_id.as_deref(), Some("7"));

    // Their rows of the outbox are left alone.
    let mut walk = Resend::new(target.clone(), ResendScope::Types(types.to_vec()), None);
    while stand.store.resend_step(&mut walk).await.expect("resend").is_some() {}
    stand.store.count_without_state(&mut walk).await.expect("count");
    assert_eq!(walk.counts(), ResendCounts::default());
}
