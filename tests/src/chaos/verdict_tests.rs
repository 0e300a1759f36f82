//! Each promise broken by itself: a check that cannot fail proves nothing.

use super::super::evidence::{Cached, Chart, Delivery, PATIENT};
use super::super::resources::Resource;
use super::*;

/// Two patients at both targets, one of them removed, and a chart of OpenEMR's own; all is well.
fn sound() -> Evidence {
    let change = |id, patient: &str, version, removes| Change {
        id,
        aggregate_type: PATIENT.to_owned(),
        aggregate_id: patient.to_owned(),
        version,
        removes,
        refs: BTreeMap::new(),
        is_routed: true,
    };
    let changes = vec![change(1, "C-1", 1, false), change(2, "C-2", 1, false), change(3, "C-1", 2, false)];
    let changes = [changes, vec![change(4, "C-2", 2, true)]].concat();
    let delivery = |target: &str, change: &Change| Delivery {
        target: target.to_owned(),
        outbox_id: change.id,
        aggregate_id: change.aggregate_id.clone(),
        status: if change.id == 1 { "superseded" } else { "done" }.to_owned(),
        is_active: false,
        attempts: 1,
        error: None,
        last_attempt: 1,
    };
    let link = |target: &str, patient: &str, remote_id: &str, delivered_outbox_id| Link {
        target: target.to_owned(),
        aggregate_id: patient.to_owned(),
        remote_id: remote_id.to_owned(),
        delivered_outbox_id,
    };
    let chart = |public_id: &str, pid: &str, version| Chart {
        public_id: public_id.to_owned(),
        pid: pid.to_owned(),
        version,
        is_registered: public_id.starts_with('C'),
        merged_into: None,
    };
    let resource = |id: &str, patient: &str, is_active| Resource {
        id: id.to_owned(),
        aggregate_id: patient.to_owned(),
        is_active,
        versions: vec![1, 2],
        ..Resource::default()
    };
    Evidence {
        acknowledged: [("C-1".to_owned(), 2), ("C-2".to_owned(), 2)].into(),
        deliveries: [OPENEMR, FHIR].iter().flat_map(|target| changes.iter().map(|it| delivery(target, it))).collect(),
        changes,
        attempts: Vec::new(),
        leases: 0,
        links: vec![
            link(OPENEMR, "C-1", "1", 3),
            link(OPENEMR, "C-2", "3", 4),
            link(FHIR, "C-1", "f1", 3),
            link(FHIR, "C-2", "f2", 4),
        ],
        cache: [(
            "C-1".to_owned(),
            Cached { version: 2, openemr_id: Some("1".to_owned()), fhir_id: Some("f1".to_owned()) },
        )]
        .into(),
        charts: vec![chart("C-1", "1", 2), chart("W-1", "2", 1), chart("C-2", "3", 1)],
        chart_history: [("C-1", 1), ("W-1", 1), ("C-2", 1), ("C-1", 2)].map(|(id, at)| (id.to_owned(), at)).into(),
        rows: Vec::new(),
        orphans: 0,
        rival_charts: 1,
        resources: vec![resource("f1", "C-1", true), resource("f2", "C-2", false)],
        panics: 0,
    }
}

#[test]
fn a_correct_state_passes() {
    assert_eq!(violations(&sound()), Vec::<String>::new());
}

/// Breaks one thing and sees it named.
fn assert_found(expected: &str, break_it: impl FnOnce(&mut Evidence)) {
    let mut evidence = sound();
    break_it(&mut evidence);
    let found = violations(&evidence);
    assert!(found.iter().any(|violation| violation == expected), "expected: {expected}\nfound: {found:#?}");
}

#[test]
fn a_lost_change_is_found() {
    assert_found("C-1: version 3 was confirmed by the store and is gone", |evidence| {
        evidence.acknowledged.insert("C-1".to_owned(), 3);
    });
    assert_found("C-9: version 1 was confirmed by the store and is gone", |evidence| {
        evidence.acknowledged.insert("C-9".to_owned(), 1);
    });
}

#[test]
fn changes_out_of_order_are_found() {
    assert_found("C-1: outbox row 3 has version 1, and the older row 1 has version 2", |evidence| {
        evidence.changes[0].version = 2;
        evidence.changes[2].version = 1;
    });
}

#[test]
fn a_duplicate_missing_or_stale_chart_is_found() {
    assert_found("C-1: 2 charts in OpenEMR", |evidence| {
        let mut double = evidence.charts[0].clone();
        double.pid = "9".to_owned();
        evidence.charts.push(double);
    });
    assert_found("C-1: no chart in OpenEMR", |evidence| drop(evidence.charts.remove(0)));
    assert_found("C-1: OpenEMR has version 1, not 2", |evidence| evidence.charts[0].version = 1);
    assert_found("C-7: a chart in OpenEMR without any change", |evidence| {
        evidence.charts[2].public_id = "C-7".to_owned();
    });
}

#[test]
fn a_duplicate_missing_or_stale_resource_is_found() {
    assert_found("C-1: 2 Patients at the FHIR server", |evidence| {
        let mut double = evidence.resources[0].clone();
        double.id = "f9".to_owned();
        evidence.resources.push(double);
    });
    assert_found("C-1: no Patient at the FHIR server", |evidence| drop(evidence.resources.remove(0)));
    assert_found("C-1: the FHIR server has version 1, not 2", |evidence| {
        evidence.resources[0].versions = vec![1];
    });
    assert_found("C-2: active is true at the FHIR server after the last change", |evidence| {
        evidence.resources[1].is_active = true;
    });
}

#[test]
fn a_state_that_went_backwards_is_found_even_if_the_end_is_correct() {
    assert_found("C-1: OpenEMR went back from version 2 to 1", |evidence| {
        evidence.chart_history = [("C-1", 2), ("C-1", 1), ("C-1", 2)].map(|(id, at)| (id.to_owned(), at)).into();
    });
    assert_found("C-1: the FHIR server went back from version 2 to 1", |evidence| {
        evidence.resources[0].versions = vec![1, 2, 1, 2];
    });
}

#[test]
fn an_orphan_and_an_unregistered_chart_are_found() {
    assert_found("1 rows of uuid_registry have no chart", |evidence| evidence.orphans = 1);
    assert_found("C-1: its uuid is not in uuid_registry", |evidence| evidence.charts[0].is_registered = false);
}

#[test]
fn a_changed_chart_of_openemrs_own_is_found() {
    assert_found("OpenEMR's own writer made 1 charts, 0 are there", |evidence| drop(evidence.charts.remove(1)));
    assert_found("W-1: OpenEMR's own chart was changed", |evidence| evidence.charts[1].version = 2);
}

#[test]
fn a_missing_or_wrong_link_is_found() {
    assert_found("C-1: no link to openemr", |evidence| drop(evidence.links.remove(0)));
    assert_found("C-1: the link to openemr leads to 2, which it is not", |evidence| {
        evidence.links[0].remote_id = "2".to_owned();
    });
    assert_found("C-1: fhir confirmed outbox row 1, the newest is 3", |evidence| {
        evidence.links[2].delivered_outbox_id = 1;
    });
}

#[test]
fn a_missing_or_wrong_id_in_patient_cache_is_found() {
    assert_found("C-1: patient_cache has another id for openemr than the link", |evidence| {
        evidence.cache.get_mut("C-1").unwrap().openemr_id = None;
    });
    assert_found("C-1: patient_cache has another id for fhir than the link", |evidence| {
        evidence.cache.get_mut("C-1").unwrap().fhir_id = Some("f2".to_owned());
    });
    assert_found("C-1: not in patient_cache", |evidence| evidence.cache.clear());
}

#[test]
fn stuck_leases_and_deliveries_are_found() {
    assert_found("1 leases are left", |evidence| evidence.leases = 1);
    for status in ["pending", "processing", "failed"] {
        let expected = format!("C-1: outbox row 3 for openemr is {status} after 1 attempts (no error)");
        assert_found(&expected, |evidence| evidence.deliveries[2].status = status.to_owned());
    }
    assert_found("C-1: outbox row 3 for openemr is superseded after 1 attempts (no error)", |evidence| {
        evidence.deliveries[2].status = "superseded".to_owned();
    });
    assert_found("C-1: outbox row 3 for openemr still blocks its patient", |evidence| {
        evidence.deliveries[2].is_active = true;
    });
    assert_found("C-1: outbox row 3 was not routed to both targets", |evidence| drop(evidence.deliveries.remove(2)));
    assert_found("C-2: outbox row 4 was not routed to both targets", |evidence| evidence.changes[3].is_routed = false);
}

#[test]
fn a_panic_is_found() {
    assert_found("the hosts' logs tell of 2 panics", |evidence| evidence.panics = 2);
}
