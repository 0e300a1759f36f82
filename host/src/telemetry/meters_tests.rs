//! Tests of what a host counts.

use super::*;
use crate::domain::change::Failure;
use crate::domain::ids::{AggregateKey, ChangeId};

fn settlement(status: Status, failure: Option<FailureKind>) -> Settlement {
    Settlement {
        change_id: ChangeId::new(1),
        key: AggregateKey::patient("P-of-nobody"),
        status,
        attempts: 1,
        pause_ms: 0,
        failure: failure.map(|kind| Failure::new(kind, "a message")),
        skipped: None,
        receipt: None,
        merged_into: None,
        is_moved: false,
        sent: Vec::new(),
    }
}

#[tokio::test]
async fn deliveries_are_counted_by_target_outcome_and_kind() {
    let meters = Meters::default();
    let openemr = meters.of_target("openemr");
    drop(meters.of_target("fhir"));
    openemr.settled(&[
        settlement(Status::Done, None),
        settlement(Status::Done, None),
        settlement(Status::Failed, Some(FailureKind::Conflict)),
        settlement(Status::Pending, Some(FailureKind::Unavailable)),
    ]);
    openemr.in_doubt(3);
    let text = meters.exposition().await;
    for (target, outcome, kind, count) in [
        ("openemr", "done", "none", 2),
        ("openemr", "failed", "conflict", 1),
        ("openemr", "deferred", "unavailable", 1),
        ("openemr", "deferred", "in-doubt", 3),
        ("openemr", "failed", "invalid", 0),
        ("fhir", "done", "none", 0),
    ] {
        let labels = format!("target=\"{target}\",outcome=\"{outcome}\",kind=\"{kind}\"");
        let line = format!("neuronova_deliveries_total{{{labels}}} {count}\n");
        assert!(text.contains(&line), "{line} is not in:\n{text}");
    }
    assert!(text.contains("neuronova_last_delivery_timestamp_seconds{target=\"openemr\"} "), "{text}");
    assert!(!text.contains("neuronova_last_delivery_timestamp_seconds{target=\"fhir\"}"), "nothing arrived there");
    assert!(!text.contains("P-of-nobody"), "{text}");
}

#[tokio::test]
async fn a_target_has_no_series_that_it_did_not_have_at_the_start() {
    let names = |text: &str| {
        let series = text.lines().filter(|line| line.starts_with("neuronova_deliveries_total"));
        series.filter_map(|line| line.rsplit_once(' ')).map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
    };
    let meters = Meters::default();
    let target = meters.of_target("openemr");
    let mut before = names(&meters.exposition().await);
    target.settled(&[settlement(Status::Failed, Some(FailureKind::Transient)), settlement(Status::Skipped, None)]);
    let mut after = names(&meters.exposition().await);
    before.sort();
    after.sort();
    assert_eq!(before, after);
}

#[tokio::test]
async fn each_step_has_its_own_durations() {
    let meters = Meters::default();
    let target = meters.of_target("openemr");
    for (number, step) in Step::ALL.iter().enumerate() {
        (0..=number).for_each(|_| target.took(*step, Duration::from_millis(3)));
    }
    meters.routed(7, Duration::from_millis(3));
    let text = meters.exposition().await;
    for (target, step, count) in [
        ("", "route", 1),
        ("openemr", "claim", 1),
        ("openemr", "adapter", 2),
        ("openemr", "fence", 3),
        ("openemr", "settle", 4),
    ] {
        let line = format!("neuronova_step_duration_seconds_count{{target=\"{target}\",step=\"{step}\"}} {count}\n");
        assert!(text.contains(&line), "{line} is not in:\n{text}");
    }
    assert!(text.contains("neuronova_changes_routed_total 7\n"), "{text}");
}
