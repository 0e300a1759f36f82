//! Observations of charts that others changed.

use adapter_sdk::{Observation, Subject};

use super::*;
use crate::deliver::observe;

fn subject(id: &str, receipt: &Receipt) -> Subject {
    let link = linked(change(id, "{}"), receipt).link.unwrap();
    Subject { aggregate_type: "patient".into(), aggregate_id: id.into(), link }
}

fn seen(database: &Database, context: &Context, subjects: &[Subject]) -> Vec<String> {
    let shown = |(subject, found): (&Subject, Observation)| match found {
        Observation::Present(current) if Some(&current.fingerprint) == subject.link.fingerprint.as_ref() => {
            "as written"
        }
        Observation::Present(_) => "edited",
        Observation::Gone => "gone",
        Observation::Several(_) => "several",
        Observation::NotOurs => "not ours",
        Observation::Unknown(_) => "unknown",
    };
    let found = observe(database, &Settings::default(), context, subjects).unwrap();
    subjects.iter().zip(found).map(shown).map(str::to_owned).collect()
}

fn observed_with(database: &Database) {
    let context = context(database);
    let ids = ["P-1", "P-2", "P-3", "P-4"];
    let changes: Vec<_> = ids.iter().map(|id| change(id, r#"{"city": "Busan"}"#)).collect();
    let receipts = receipts(database, &context, &changes);
    let mut subjects: Vec<_> = ids.iter().zip(&receipts).map(|(id, receipt)| subject(id, receipt)).collect();
    assert_eq!(seen(database, &context, &subjects), ["as written"; 4]);
    database.change(&format!("UPDATE patient_data SET city = 'Daegu' WHERE pid = {}", receipts[1].remote_id));
    database.change(&format!("DELETE FROM patient_data WHERE pid = {}", receipts[2].remote_id));
    subjects.push(Subject { aggregate_type: "radiology".into(), ..subjects[0].clone() });
    let found = seen(database, &context, &subjects);
    assert_eq!(found, ["as written", "edited", "gone", "as written", "unknown"]);
}

#[test]
fn observe_reports_edits_and_deletions_in_every_version() {
    observed_with(&Database::open());
    observed_with(&Database::open_without_uuid());
}

#[test]
fn observe_reports_a_chart_that_became_another_patients() {
    let database = Database::open();
    let context = context(&database);
    let receipts = receipts(&database, &context, &[change("P-1", "{}")]);
    let others = "uuid = x'00112233445566778899aabbccddeeff', pubpid = 'X-9', fname = 'Other', lname = 'Person'";
    database.change(&format!("UPDATE patient_data SET {others}"));
    assert_eq!(seen(&database, &context, &[subject("P-1", &receipts[0])]), ["not ours"]);
}
