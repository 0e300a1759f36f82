//! Each kind of disagreement by itself: a check that cannot fail proves nothing.

use serde_json::json;

use super::super::evidence::{Attempt, Change, Link, PATIENT};
use super::*;

const PROCESS: u32 = 4711;

/// One patient, whose second state is at both targets.
fn evidence() -> Evidence {
    let change = |id| Change {
        id,
        aggregate_type: PATIENT.to_owned(),
        aggregate_id: "C-1".to_owned(),
        version: id,
        removes: false,
        refs: BTreeMap::new(),
        is_routed: true,
    };
    let delivery = |target: &str, outbox_id, status: &str, last_attempt| Delivery {
        target: target.to_owned(),
        outbox_id,
        aggregate_id: "C-1".to_owned(),
        status: status.to_owned(),
        is_active: false,
        attempts: i64::from(last_attempt != 0),
        error: None,
        last_attempt,
    };
    let of_target = |target: &str| [delivery(target, 1, "superseded", 0), delivery(target, 2, "done", 5)];
    let attempt =
        |target: &str| Attempt { lease_id: 5, target: target.to_owned(), host: format!("vm-{PROCESS}-1f"), done: 1 };
    let link = |target: &str| Link {
        target: target.to_owned(),
        aggregate_id: "C-1".to_owned(),
        remote_id: "7".to_owned(),
        delivered_outbox_id: 2,
    };
    Evidence {
        changes: vec![change(1), change(2)],
        deliveries: [OPENEMR, FHIR].iter().flat_map(|target| of_target(target)).collect(),
        attempts: [OPENEMR, FHIR].map(attempt).into(),
        links: [OPENEMR, FHIR].map(link).into(),
        ..Evidence::default()
    }
}

fn told() -> Told {
    let counts = json!({
        "pending": 0, "processing": 0, "done": 1, "failed": 0, "superseded": 1, "dismissed": 0, "skipped": 0,
    });
    let mut lines = Vec::new();
    let mut add = |line: String| lines.push(line + "\n");
    for target in [OPENEMR, FHIR] {
        add(format!("neuronova_deliveries_total{{target=\"{target}\",outcome=\"done\",kind=\"none\"}} 1"));
        add(format!("neuronova_leases_lost_total{{target=\"{target}\"}} 0"));
        for word in STATUSES {
            let count = &counts[word];
            add(format!("neuronova_queue_deliveries{{target=\"{target}\",status=\"{word}\"}} {count}.0"));
        }
    }
    let event = |target: &str| json!({ "event": "delivery", "target": target, "change_id": 2, "status": "done", "remote_id": "7" });
    Told {
        status: json!({ "targets": { OPENEMR: counts, FHIR: counts } }),
        metrics: [(PROCESS, lines.concat())].into(),
        traces: vec![json!({ "aggregate_id": "C-1", "events": [event(OPENEMR), event(FHIR)] })],
    }
}

#[test]
fn what_agrees_is_no_disagreement() {
    assert_eq!(disagreements(&evidence(), &told()), Vec::<String>::new());
}

/// Spoils one thing and sees it named, alone.
#[track_caller]
fn assert_named(spoil: impl FnOnce(&mut Evidence, &mut Told), part: &str) {
    let (mut evidence, mut told) = (evidence(), told());
    spoil(&mut evidence, &mut told);
    let found = disagreements(&evidence, &told);
    assert!(!found.is_empty() && found.iter().all(|it| it.contains(part)), "{part}: {found:?}");
}

#[test]
fn a_wrong_count_of_the_status_is_named() {
    assert_named(|_, told| told.status["targets"][FHIR]["done"] = json!(2), "host status counts 2");
    assert_named(|_, told| told.status = json!(null), "host status counts null");
}

#[test]
fn an_attempt_that_is_lacking_or_counts_wrongly_is_named() {
    assert_named(
        |evidence, told| {
            evidence.attempts.clear();
            told.metrics.clear();
        },
        "the journal lacks lease 5",
    );
    assert_named(
        |evidence, told| {
            evidence.attempts[0].done = 2;
            told.metrics.clear();
        },
        "the journal has 2 done of lease 5",
    );
}

#[test]
fn a_clinical_record_may_be_sent_again() {
    let (mut evidence, mut told) = (evidence(), told());
    told.metrics.clear();
    evidence.attempts[0].done = 2;
    let record = Change { aggregate_type: "encounter".to_owned(), ..evidence.changes[0].clone() };
    evidence.changes.push(record);
    assert_eq!(disagreements(&evidence, &told), Vec::<String>::new());
    evidence.attempts[0].done = 0;
    assert_eq!(disagreements(&evidence, &told).len(), 1);
}

#[test]
fn metrics_that_count_wrongly_are_named() {
    let replaced = |told: &mut Told, from: &str, to: &str| {
        for metrics in told.metrics.values_mut() {
            assert!(metrics.contains(from));
            *metrics = metrics.replace(from, to);
        }
    };
    assert_named(|_, told| replaced(told, "kind=\"none\"} 1", "kind=\"none\"} 2"), "counted Some(2)");
    assert_named(|_, told| replaced(told, "kind=\"none\"} 1", "kind=\"none\"} 0"), "counted Some(0)");
    assert_named(|_, told| replaced(told, "status=\"failed\"} 0.0", "status=\"failed\"} 3.0"), "show Some(3) failed");
    // What was not confirmed is not counted.
    let (evidence, mut told) = (evidence(), told());
    replaced(&mut told, "kind=\"none\"} 1", "kind=\"none\"} 0");
    for target in [OPENEMR, FHIR] {
        let lost = format!("leases_lost_total{{target=\"{target}\"}}");
        replaced(&mut told, &format!("{lost} 0"), &format!("{lost} 1"));
    }
    assert_eq!(disagreements(&evidence, &told), Vec::<String>::new());
}

#[test]
fn a_trace_that_ends_elsewhere_is_named() {
    assert_named(|_, told| told.traces[0]["events"][0]["status"] = json!("failed"), "the trace does not end");
    assert_named(|_, told| told.traces[0]["events"][1]["remote_id"] = json!("8"), "the trace does not end");
    assert_named(|_, told| told.traces[0]["events"] = json!([]), "the trace does not end");
}
