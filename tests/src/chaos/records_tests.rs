//! Each promise about clinical records and merges broken by itself.

use super::super::{
    evidence::{Chart, PATIENT, Row},
    resources::Resource,
    verdict::newest_changes,
};
use super::*;

fn change(id: i64, aggregate: [&str; 2], version: i64, refs: &[(&str, &str)]) -> Change {
    Change {
        id,
        aggregate_type: aggregate[0].to_owned(),
        aggregate_id: aggregate[1].to_owned(),
        version,
        removes: false,
        refs: refs.iter().map(|(name, id)| ((*name).to_owned(), (*id).to_owned())).collect(),
        is_routed: true,
    }
}

fn chart(public_id: &str, pid: &str, merged_into: Option<&str>) -> Chart {
    Chart {
        public_id: public_id.to_owned(),
        pid: pid.to_owned(),
        version: 1,
        is_registered: true,
        merged_into: merged_into.map(str::to_owned),
    }
}

fn row(id: &str, remote_id: &str, encounter: Option<&str>, version: i64) -> Row {
    Row {
        aggregate_id: id.to_owned(),
        remote_id: remote_id.to_owned(),
        pid: "11".to_owned(),
        encounter: encounter.map(str::to_owned),
        version,
        is_hidden: Some(false),
    }
}

fn resource(id: &str, remote_id: &str, encounter: Option<&str>, version: i64) -> Resource {
    Resource {
        id: remote_id.to_owned(),
        aggregate_id: id.to_owned(),
        is_active: true,
        subject: Some("f1".to_owned()),
        encounter: encounter.map(str::to_owned),
        replaced_by: None,
        versions: vec![version],
    }
}

fn patient(id: &str, remote_id: &str, replaced_by: Option<&str>) -> Resource {
    Resource { subject: None, replaced_by: replaced_by.map(str::to_owned), ..resource(id, remote_id, None, 1) }
}

/// C-3 is merged into C-2 and C-2 into C-1; an encounter of C-3 with an observation, and a deleted condition. All is
/// well.
fn sound() -> Evidence {
    let changes = vec![
        change(1, [PATIENT, "C-1"], 1, &[]),
        change(2, [PATIENT, "C-2"], 2, &[("survivor", "C-1")]),
        change(3, [PATIENT, "C-3"], 2, &[("survivor", "C-2")]),
        change(4, ["encounter", "E-1"], 1, &[("subject", "C-3")]),
        change(5, ["observation", "O-1"], 2, &[("subject", "C-3"), ("encounter", "E-1")]),
        Change { removes: true, ..change(6, ["condition", "K-1"], 3, &[("subject", "C-3"), ("encounter", "E-1")]) },
    ];
    Evidence {
        changes,
        charts: vec![chart("C-1", "11", None), chart("C-2", "12", Some("11")), chart("C-3", "13", Some("11"))],
        rows: vec![
            row("E-1", "501", None, 1),
            row("O-1", "21", Some("501"), 2),
            Row { is_hidden: Some(true), pid: "13".to_owned(), ..row("K-1", "31", Some("501"), 1) },
        ],
        resources: vec![
            patient("C-1", "f1", None),
            patient("C-2", "f2", Some("f1")),
            patient("C-3", "f3", Some("f1")),
            resource("E-1", "e1", None, 1),
            resource("O-1", "o1", Some("e1"), 2),
        ],
        ..Evidence::default()
    }
}

fn found(evidence: &Evidence) -> Vec<String> {
    violations(evidence, &newest_changes(evidence))
}

#[test]
fn a_correct_state_passes() {
    assert_eq!(found(&sound()), Vec::<String>::new());
}

/// Breaks one thing and sees just that named.
fn assert_found(expected: &str, break_it: impl FnOnce(&mut Evidence)) {
    let mut evidence = sound();
    break_it(&mut evidence);
    assert_eq!(found(&evidence), [expected]);
}

#[test]
fn a_missing_double_or_stale_record_is_found() {
    assert_found("O-1: not there at openemr", |evidence| drop(evidence.rows.remove(1)));
    assert_found("O-1: not there at fhir", |evidence| drop(evidence.resources.remove(4)));
    assert_found("O-1: 2 records at openemr", |evidence| evidence.rows.push(row("O-1", "22", Some("501"), 2)));
    assert_found("O-1: in version 1, not 2, at openemr", |evidence| evidence.rows[1].version = 1);
    assert_found("O-1: in version 1, not 2, at fhir", |evidence| evidence.resources[4].versions = vec![2, 1]);
    assert_found("O-9: a record in OpenEMR without any change", |evidence| {
        evidence.rows.push(row("O-9", "29", Some("501"), 1));
    });
}

#[test]
fn a_record_of_another_patient_or_encounter_is_found() {
    assert_found("O-1: a record of the patient Some(\"13\"), not Some(\"11\"), at openemr", |evidence| {
        evidence.rows[1].pid = "13".to_owned();
    });
    assert_found("E-1: a record of the patient None, not Some(\"f1\"), at fhir", |evidence| {
        evidence.resources[3].subject = None;
    });
    assert_found("O-1: a record of the encounter Some(\"502\"), not Some(\"501\"), at openemr", |evidence| {
        evidence.rows[1].encounter = Some("502".to_owned());
    });
}

#[test]
fn a_record_that_is_hidden_or_shown_by_mistake_is_found() {
    assert_found("K-1: still shown after its deletion at openemr", |evidence| {
        evidence.rows[2].is_hidden = Some(false);
    });
    assert_found("O-1: hidden although it was not deleted at fhir", |evidence| {
        evidence.resources[4].is_active = false;
    });
    assert_found("E-1: shown nowhere at openemr", |evidence| evidence.rows[0].is_hidden = None);
}

#[test]
fn a_wrong_mark_of_a_merge_is_found() {
    assert_found("C-3: marked as merged into None, not Some(\"11\"), at openemr", |evidence| {
        evidence.charts[2].merged_into = None;
    });
    assert_found("C-3: marked as merged into Some(\"f2\"), not Some(\"f1\"), at fhir", |evidence| {
        evidence.resources[2].replaced_by = Some("f2".to_owned());
    });
    assert_found("C-1: marked as merged into 12, which it is not, at openemr", |evidence| {
        evidence.charts[0].merged_into = Some("12".to_owned());
    });
}

#[test]
fn a_merged_patient_who_never_came_there_needs_no_mark() {
    let mut evidence = sound();
    evidence.charts.pop();
    assert_eq!(found(&evidence), Vec::<String>::new());
}
