//! What the service accepts after a merge, and merges of the same two patients at the same moment.

use host::domain::clinical::ClinicalRecord;
use host::domain::ids::AggregateKey;
use host::domain::references::NamedReference;
use host::service::{ClinicalService, PatientService, RecordChange};
use host::store::NewMerge;
use serde_json::json;
use tests::session::Session;

use super::{encounter, id, merge, put_encounter, refusal, unmerge};
use crate::on_every_store;
use crate::support::{Stand, patient, wait_until_waiting};

on_every_store!(
    the_survivors_records_may_refer_to_the_encounters_of_the_merged_patient,
    the_survivors_records_take_as_many_statements_for_many_as_for_few,
    an_encounter_leaves_behind_no_record_of_a_patient_merged_with_its_own,
    of_two_merges_into_each_other_at_once_one_is_refused_and_neither_runs_twice,
);

fn condition(name: &str, patient: u32, encounter: &str) -> ClinicalRecord {
    let key = AggregateKey { aggregate_type: "condition".to_owned(), aggregate_id: name.to_owned() };
    let payload = json!({ "clinical_status": "active", "code": { "display": "Asthma" } });
    let reference = |name: &str, aggregate_type: &str, aggregate_id: &str| NamedReference {
        name: name.to_owned(),
        aggregate_type: aggregate_type.to_owned(),
        aggregate_id: aggregate_id.to_owned(),
    };
    let subject = reference("subject", "patient", &id(patient));
    ClinicalRecord::new(key, payload, vec![subject, reference("encounter", "encounter", encounter)]).expect("valid")
}

async fn put(stand: &Stand, record: &ClinicalRecord) -> Result<RecordChange, String> {
    match ClinicalService::new(stand.store.clone()).put(std::slice::from_ref(record)).await {
        Ok(changes) => Ok(changes[0]),
        error => Err(refusal(error.map(drop))),
    }
}

const CREATED: Result<RecordChange, String> = Ok(RecordChange::Created);

/// Four patients, and an encounter of the first with a condition.
async fn a_chart(stand: &Stand) {
    stand.put(&[1, 2, 3, 4].map(|number| patient(number, "Seoul"))).await;
    put_encounter(stand, &encounter("E-1", &id(1), "AMB")).await.expect("put");
    assert_eq!(put(stand, &condition("C-1", 1, "E-1")).await, CREATED);
}

async fn the_survivors_records_may_refer_to_the_encounters_of_the_merged_patient(stand: Stand) {
    a_chart(&stand).await;
    let another = Err("condition C-2: refs.encounter: belongs to another patient".to_owned());
    assert_eq!(put(&stand, &condition("C-2", 2, "E-1")).await, another);
    merge(&stand, 1, 2).await.expect("merge");
    assert_eq!(put(&stand, &condition("C-2", 2, "E-1")).await, CREATED);
    // The merged patient's own stay as they are; new ones are the survivor's.
    assert_eq!(put(&stand, &condition("C-1", 1, "E-1")).await, Ok(RecordChange::Unchanged));
    let of = |survivor: &str| {
        Err(format!("condition C-3: refs.subject: was merged into patient {survivor}; fix: refer to that one"))
    };
    assert_eq!(put(&stand, &condition("C-3", 1, "E-1")).await, of("P-0002"));
    // The survivor is merged on.
    merge(&stand, 2, 3).await.expect("merge");
    assert_eq!(put(&stand, &condition("C-3", 1, "E-1")).await, of("P-0003"), "the one who is left");
    assert_eq!(put(&stand, &condition("C-3", 3, "E-1")).await, CREATED);
    let another = |name: &str| Err(format!("condition {name}: refs.encounter: belongs to another patient"));
    assert_eq!(put(&stand, &condition("C-4", 4, "E-1")).await, another("C-4"));
    assert!(unmerge(&stand, 2).await);
    assert_eq!(put(&stand, &condition("C-5", 3, "E-1")).await, another("C-5"), "no longer one with the first");
    assert_eq!(put(&stand, &condition("C-5", 2, "E-1")).await, CREATED);
    // The encounter itself may be written with the survivor.
    put_encounter(&stand, &encounter("E-1", &id(2), "AMB")).await.expect("put");
    assert_eq!(put(&stand, &condition("C-6", 2, "E-1")).await, CREATED);
}

async fn the_survivors_records_take_as_many_statements_for_many_as_for_few(stand: Stand) {
    a_chart(&stand).await;
    merge(&stand, 1, 2).await.expect("merge");
    merge(&stand, 2, 3).await.expect("merge");
    let records: Vec<_> = (0..203).map(|number| condition(&format!("M-{number}"), 3, "E-1")).collect();
    let statements = async |records: &[ClinicalRecord]| {
        let before = stand.store.statements_run();
        ClinicalService::new(stand.store.clone()).put(records).await.expect("put");
        stand.store.statements_run() - before
    };
    // As without merges, and one more for the merge of the survivor.
    assert_eq!((statements(&records[..3]).await, statements(&records[3..]).await), (7, 7));
}

async fn an_encounter_leaves_behind_no_record_of_a_patient_merged_with_its_own(stand: Stand) {
    a_chart(&stand).await;
    merge(&stand, 1, 2).await.expect("merge");
    assert_eq!(put(&stand, &condition("C-2", 2, "E-1")).await, CREATED);
    let message = refusal(put_encounter(&stand, &encounter("E-1", &id(3), "AMB")).await);
    let expected = "encounter E-1: refs.subject: cannot move from patient P-0001 to P-0003 without what refers to the \
                    encounter: condition C-1, condition C-2; fix: write these for P-0003 together with it";
    assert_eq!(message, expected);
}

async fn of_two_merges_into_each_other_at_once_one_is_refused_and_neither_runs_twice(stand: Stand) {
    stand.put(&[patient(1, "Seoul"), patient(2, "Busan")]).await;
    let before = stand.store.statements_run();
    merge(&stand, 1, 2).await.expect("merge");
    refusal(merge(&stand, 2, 1).await);
    let one_after_the_other = stand.store.statements_run() - before;
    for round in 0..3 {
        assert!(unmerge(&stand, 1).await || unmerge(&stand, 2).await, "round {round}");
        let before = stand.store.statements_run();
        // Both wait for the rows of both patients, and go on at the same moment.
        let mut other = Session::open(stand.database.url()).await.expect("session");
        other.execute(other.begin()).await.expect("begin");
        let lock = format!("SELECT patient_id FROM patient_cache WHERE patient_id >= 'P-0001'{}", other.for_update());
        other.rows(&lock).await.expect("lock");
        let merging = [(1, 2), (2, 1)].map(|(loser, survivor)| {
            let patients = PatientService::new(stand.store.clone());
            tokio::spawn(async move {
                let (patient_id, survivor_id) = (id(loser), id(survivor));
                let (patient_id, survivor_id) = (patient_id.as_str(), survivor_id.as_str());
                let merge = NewMerge { patient_id, survivor_id, reason: "registered twice", merged_by: "kim" };
                patients.merge(&merge).await.map(drop)
            })
        });
        wait_until_waiting(&stand, 2).await;
        other.execute("COMMIT").await.expect("commit");
        let mut refused = Vec::new();
        for one in merging {
            let result = one.await.expect("join");
            if result.is_err() {
                refused.push(refusal(result));
            }
        }
        assert_eq!(refused.len(), 1, "round {round}: one is merged");
        assert!(refused[0].contains("fix: undo that merge first with `host patient unmerge P-000"), "{}", refused[0]);
        // A deadlock would have run one of them again.
        assert_eq!(stand.store.statements_run() - before, one_after_the_other, "round {round}");
    }
}
