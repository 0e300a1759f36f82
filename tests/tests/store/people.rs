//! Patients and users through their services.

use host::domain::patient::{Day, Patient};
use host::domain::secret::Secret;
use host::domain::user::{User, UserDraft};
use host::service::{NewUser, PatientChange, PatientService, UserChange, UserService};
use host::store::ImportProgress;

use crate::on_every_store;
use crate::support::{Stand, patient};

on_every_store!(
    an_unchanged_patient_writes_no_outbox_row,
    patients_round_trip_through_the_store,
    a_deleted_patient_leaves_its_last_state_in_the_outbox,
    user_passwords_are_hashed_and_verified,
    an_imported_chunk_takes_a_constant_number_of_statements,
    an_import_advanced_by_another_process_writes_nothing,
);

async fn an_unchanged_patient_writes_no_outbox_row(stand: Stand) {
    let service = PatientService::new(stand.store.clone());
    let first = service.put(&[patient(1, "Seoul"), patient(2, "Seoul")]).await.expect("put");
    assert_eq!(first, [PatientChange::Created, PatientChange::Created]);
    let second = service.put(&[patient(1, "Seoul"), patient(2, "Busan")]).await.expect("put");
    assert_eq!(second, [PatientChange::Unchanged, PatientChange::Updated]);
    assert_eq!(stand.store.status(1).await.expect("status").unrouted, 3);
}

async fn patients_round_trip_through_the_store(stand: Stand) {
    let whole = Patient::from_payload(
        r#"{"patient_id":"P-1","family_name":"O'Neil \"x\"","given_name":"MinJun","birth_date":"2004-02-29","gender":"other",
        "middle_name":"a","native_family_name":"김","native_given_name":"민준","title":"Dr.","suffix":"Jr.","marital_status":"domestic_partner",
        "phone_home":"1","phone_mobile":"2","phone_work":"3","email":"a@b.kr","street":"s","street_line_2":"t","city":"c","state":"d",
        "postal_code":"p","country":"KR","language":"ko","race":"asian","ethnicity":"not_hisp_or_latin","national_id":"n","deceased_date":"2024-02-29"}"#,
        Day::MAX,
    )
    .expect("patient");
    let service = PatientService::new(stand.store.clone());
    service.put(std::slice::from_ref(&whole)).await.expect("put");
    assert!(stand.store.patient("P-1").await.expect("read").expect("there").patient == whole);
    assert_eq!(service.put(&[whole]).await.expect("put"), [PatientChange::Unchanged]);
    assert_eq!(stand.store.patients(None, 10).await.expect("list").len(), 1);
    assert_eq!(stand.store.patients(Some("P-1"), 10).await.expect("list").len(), 0);
}

async fn a_deleted_patient_leaves_its_last_state_in_the_outbox(stand: Stand) {
    let service = PatientService::new(stand.store.clone());
    stand.put(&[patient(1, "Seoul")]).await;
    assert!(service.delete("P-0001").await.expect("delete"));
    assert!(!service.delete("P-0001").await.expect("delete"), "there is nothing left");
    assert!(stand.store.patient("P-0001").await.expect("read").is_none());
    stand.put(&[]).await;
    let change = stand.claim_batch().await.deliveries.remove(0).change;
    assert_eq!(change.operation.as_str(), "delete");
    assert!(change.payload.contains("Seoul"));
}

async fn user_passwords_are_hashed_and_verified(stand: Stand) {
    let service = UserService::new(stand.store.clone());
    let user = |name: &str| -> User {
        let draft = UserDraft {
            username: Some("doctor".to_owned()),
            display_name: Some(name.to_owned()),
            role: Some("doctor".to_owned()),
            ..UserDraft::default()
        };
        draft.validate().expect("user")
    };
    let new = |name: &str, password: &str| NewUser { user: user(name), password: Secret::new(password.to_owned()) };
    assert_eq!(service.put(&[new("Lee", "a long password")]).await.expect("put"), [UserChange::Created]);
    let stored = stand.store.users().await.expect("users").remove(0);
    assert!(stored.password_hash.starts_with("$argon2id$"));
    assert_eq!(service.put(&[new("Lee", "a long password")]).await.expect("put"), [UserChange::Unchanged]);
    assert_eq!(service.put(&[new("Lee", "another password")]).await.expect("put"), [UserChange::Updated]);
    assert_eq!(service.put(&[new("Park", "another password")]).await.expect("put"), [UserChange::Updated]);
    assert_eq!(stand.store.users().await.expect("users").len(), 1);
}

async fn import(stand: &Stand, patients: &[Patient], before: u64, after: u64) -> Option<ImportProgress> {
    let at = |bytes_done| ImportProgress { bytes_done, ..ImportProgress::default() };
    let service = PatientService::new(stand.store.clone());
    service.import("a", patients, &at(before), &at(after)).await.expect("import")
}

async fn an_imported_chunk_takes_a_constant_number_of_statements(stand: Stand) {
    let patients: Vec<_> = (0..2_003).map(|number| patient(number, "Seoul")).collect();
    stand.store.begin_import("a", "file").await.expect("begin");
    let mut moved = 0;
    let mut statements = async |patients: &[Patient]| {
        let before = stand.store.statements_run();
        moved += 1;
        import(&stand, patients, moved - 1, moved).await.expect("moved");
        stand.store.statements_run() - before
    };
    // Look, write patients, write changes, note how far.
    assert_eq!((statements(&patients[..3]).await, statements(&patients[3..1_003]).await), (4, 4));
    assert_eq!((statements(&patients[..3]).await, statements(&patients[..1_003]).await), (2, 2), "nothing changed");
    // One list of values holds a thousand rows.
    assert!(statements(&patients[3..]).await <= 6);
    assert_eq!(stand.store.status(1).await.expect("status").unrouted, 2_003);
    let stored = stand.store.import_progress("a").await.expect("read").expect("there");
    assert_eq!(stored.bytes_done, 5);
    assert_eq!(stand.store.patients(Some("P-1999"), 100).await.expect("list").len(), 3);
}

async fn an_import_advanced_by_another_process_writes_nothing(stand: Stand) {
    stand.store.begin_import("a", "file").await.expect("begin");
    let progress = import(&stand, &[patient(1, "Seoul")], 0, 10).await.expect("moved");
    assert_eq!((progress.created, progress.bytes_done), (1, 10));
    assert_eq!(import(&stand, &[patient(2, "Seoul")], 0, 10).await, None);
    assert!(stand.store.patient("P-0002").await.expect("read").is_none());
    assert_eq!(stand.store.status(1).await.expect("status").unrouted, 1);
    assert_eq!(stand.store.import_progress("a").await.expect("read"), Some(progress));
    assert_eq!(stand.store.import_progress("b").await.expect("read"), None);
}
