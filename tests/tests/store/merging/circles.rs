//! Merges that would close a circle: whatever the hosts do at the same time, one record stays active at the target.

use std::collections::BTreeSet;

use host::domain::delivery::Status;
use host::store::{Claim, Lacking, LackingReason, RetryFilter};

use super::{INSERT, Target, append, claim_one, id, merge, settle, takes_both, unmerge};
use crate::differential::plan::Dice;
use crate::on_every_store;
use crate::support::{Stand, TARGET, failed, patient, request, route};

on_every_store!(
    a_circle_from_the_outbox_fails_alone_and_its_undoing_helps,
    of_two_merges_that_close_a_circle_at_once_the_later_one_never_goes_out,
    the_older_merge_waits_for_a_younger_one_that_went_out_first,
    a_merge_undone_and_turned_round_by_the_service_while_it_is_in_flight_ends_turned_round,
    a_circle_of_merges_that_a_lost_lease_delivered_is_noticed_when_they_are_settled,
    a_merge_that_waits_for_a_circle_to_be_undone_names_it,
    random_merges_of_many_applications_leave_a_record_at_the_target,
);

async fn two_linked(stand: &Stand) -> Target {
    takes_both(stand).await;
    append(stand, "P-1", "create", "").await;
    append(stand, "P-2", "create", "").await;
    let mut target = Target::default();
    target.drain(stand).await;
    target
}

/// The messages of the failed deliveries.
async fn failures(stand: &Stand) -> Vec<String> {
    let failed = stand.store.failed(&RetryFilter::default(), 10).await.expect("failed");
    failed.into_iter().map(|one| one.message.unwrap_or_default()).collect()
}

async fn a_circle_from_the_outbox_fails_alone_and_its_undoing_helps(stand: Stand) {
    let mut target = two_linked(&stand).await;
    append(&stand, "P-1", "merge", "P-2").await;
    append(&stand, "P-2", "merge", "P-1").await;
    target.drain(&stand).await;
    let failures = stand.store.failed(&host::store::RetryFilter::default(), 10).await.expect("failed");
    let message = failures[0].message.clone().unwrap_or_default();
    assert_eq!(failures.len(), 1);
    assert!(message.contains("patient P-2 cannot be merged into patient P-1"), "{message}");
    assert!(message.contains("fix: undo that merge by an update of patient P-1"), "{message}");
    assert_eq!((target.patients["#P-1"].as_deref(), &target.patients["#P-2"]), (Some("#P-2"), &None));
    // The undoing and the other merge, in one batch.
    append(&stand, "P-1", "update", "").await;
    append(&stand, "P-2", "merge", "P-1").await;
    target.drain(&stand).await;
    assert_eq!((&target.patients["#P-1"], target.patients["#P-2"].as_deref()), (&None, Some("#P-1")));
    assert_eq!(stand.counts().await.failed, 0);
}

/// Two hosts claim the two merges, one after the other, before either is delivered.
async fn of_two_merges_that_close_a_circle_at_once_the_later_one_never_goes_out(stand: Stand) {
    let mut target = two_linked(&stand).await;
    append(&stand, "P-1", "merge", "P-2").await;
    append(&stand, "P-2", "merge", "P-1").await;
    let first = claim_one(&stand).await;
    assert_eq!(first.deliveries[0].change.key.aggregate_id, "P-1");
    let second = stand.store.claim(&request(1)).await.expect("claim");
    assert!(!matches!(second, Claim::Batch(_)), "{second:?}");
    target.deliver(&stand, &first).await;
    target.drain(&stand).await;
    assert_eq!((target.patients["#P-1"].as_deref(), &target.patients["#P-2"]), (Some("#P-2"), &None));
    let counts = stand.counts().await;
    assert_eq!((counts.pending, counts.failed), (0, 1), "nothing is sent in a circle for ever");
    assert!(failures(&stand).await[0].contains("patient P-2 cannot be merged into patient P-1: the target has merged"));
}

async fn the_older_merge_waits_for_a_younger_one_that_went_out_first(stand: Stand) {
    let mut target = two_linked(&stand).await;
    append(&stand, "P-1", "merge", "P-2").await;
    append(&stand, "P-2", "merge", "P-1").await;
    let later = format!("UPDATE sync_delivery SET next_attempt_at = {} WHERE aggregate_id = 'P-1'", stand.now() + 50);
    stand.database.execute(&format!("{later} AND status = 'pending'")).await.expect("retried later");
    let younger = claim_one(&stand).await;
    assert_eq!(younger.deliveries[0].change.key.aggregate_id, "P-2");
    stand.pass(50);
    assert!(!matches!(stand.store.claim(&request(1)).await.expect("claim"), Claim::Batch(_)));
    assert!(matches!(stand.claim().await, Claim::Nothing), "it lets the other one go first");
    target.deliver(&stand, &younger).await;
    target.drain(&stand).await;
    assert_eq!((&target.patients["#P-1"], target.patients["#P-2"].as_deref()), (&None, Some("#P-1")));
    assert!(failures(&stand).await[0].contains("patient P-1 cannot be merged into patient P-2"));
}

async fn a_merge_undone_and_turned_round_by_the_service_while_it_is_in_flight_ends_turned_round(stand: Stand) {
    takes_both(&stand).await;
    stand.put(&[patient(1, "Seoul"), patient(2, "Busan")]).await;
    let mut target = Target::default();
    target.drain(&stand).await;
    merge(&stand, 1, 2).await.expect("merge");
    route(&stand.store, 1_000).await;
    let first = claim_one(&stand).await;
    assert!(unmerge(&stand, 1).await);
    merge(&stand, 2, 1).await.expect("the other way round");
    route(&stand.store, 1_000).await;
    let turned = stand.store.claim(&request(10)).await.expect("claim");
    assert!(!matches!(turned, Claim::Batch(_)), "{turned:?}");
    target.deliver(&stand, &first).await;
    target.drain(&stand).await;
    let records = [&target.patients["#P-0001"], &target.patients["#P-0002"]];
    assert_eq!(records, [&None, &Some(format!("#{}", id(1)))]);
    assert_eq!(stand.counts().await.failed, 0);
}

/// As after a host that froze: its lease ended, and its request arrived all the same.
async fn a_circle_of_merges_that_a_lost_lease_delivered_is_noticed_when_they_are_settled(stand: Stand) {
    let mut target = two_linked(&stand).await;
    append(&stand, "P-1", "merge", "P-2").await;
    append(&stand, "P-2", "merge", "P-1").await;
    let first = claim_one(&stand).await;
    let rename =
        |from: &str, to: &str| format!("UPDATE sync_in_flight SET aggregate_id = '{to}' WHERE aggregate_id = '{from}'");
    stand.database.execute(&rename("P-1", "hidden")).await.expect("hide");
    let second = claim_one(&stand).await;
    stand.database.execute(&rename("hidden", "P-1")).await.expect("show");
    target.deliver(&stand, &first).await;
    target.deliver(&stand, &second).await;
    let counts = stand.counts().await;
    assert!(counts.pending > 0 && counts.failed == 0, "it is judged anew: {counts:?}");
    target.drain(&stand).await;
    let counts = stand.counts().await;
    assert_eq!((counts.pending, counts.failed), (0, 1), "and nothing is sent in a circle for ever");
    // A record still stands for both, so that what refers to them goes on.
    let refs = r#"[{"name": "subject", "type": "patient", "id": "P-1"}]"#;
    let row = format!("{INSERT}('encounter', 'E-1', 'create', '{{}}', '{refs}')");
    stand.database.execute(&row).await.expect("insert");
    target.drain(&stand).await;
    assert_eq!(target.encounters.get("E-1").map(String::as_str), Some("#P-2"));
}

async fn a_merge_that_waits_for_a_circle_to_be_undone_names_it(stand: Stand) {
    let mut target = two_linked(&stand).await;
    append(&stand, "P-2", "merge", "P-1").await;
    target.drain(&stand).await;
    // Patient P-2 is to lead elsewhere, which the target does not have yet.
    append(&stand, "P-2", "merge", "P-9").await;
    append(&stand, "P-1", "merge", "P-2").await;
    target.drain(&stand).await;
    let waiting = stand.store.waiting(TARGET, None, 10).await.expect("waiting");
    let lacks: Vec<_> = waiting.iter().flat_map(|one| &one.lacks).map(|lack| lack.key.aggregate_id.as_str()).collect();
    assert_eq!(lacks, ["P-9", "P-2"]);
    append(&stand, "P-9", "create", "").await;
    target.drain(&stand).await;
    assert_eq!((target.patients["#P-1"].as_deref(), target.patients["#P-2"].as_deref()), (Some("#P-9"), Some("#P-9")));
    assert_eq!((stand.counts().await.pending, stand.counts().await.failed), (0, 0));
}

/// The records that a record leads to, each once, and whether the last one is active.
fn leads_to_an_active_record(target: &Target, record: &str) -> bool {
    let (mut seen, mut at) = (BTreeSet::new(), record);
    while seen.insert(at) {
        match target.patients.get(at) {
            Some(Some(next)) => at = next,
            Some(None) => return true,
            None => return false,
        }
    }
    false
}

async fn random_merges_of_many_applications_leave_a_record_at_the_target(stand: Stand) {
    takes_both(&stand).await;
    for seed in 0..4 {
        let mut dice = Dice::new(seed);
        let ids: Vec<_> = (0..4).map(|number| format!("S{seed}-{number}")).collect();
        for id in &ids {
            append(&stand, id, "create", "").await;
        }
        let mut target = Target::default();
        target.drain(&stand).await;
        let mut in_flight = Vec::new();
        for _ in 0..50 {
            let (one, other) = (&ids[dice.below(ids.len())], &ids[dice.below(ids.len())]);
            match dice.below(4) {
                0 => append(&stand, one, "update", "").await,
                1 | 2 if one != other => append(&stand, one, "merge", other).await,
                _ => {}
            }
            if in_flight.len() < 3
                && let Claim::Batch(batch) = stand.store.claim(&request(1)).await.expect("claim")
            {
                in_flight.push(batch);
            }
            if !in_flight.is_empty() && dice.below(2) == 0 {
                let batch = in_flight.swap_remove(dice.below(in_flight.len()));
                let is_failed = dice.below(5) == 0;
                let settled: Vec<_> = batch
                    .deliveries
                    .iter()
                    .map(|one| if is_failed { failed(one, Status::Pending, 1) } else { target.apply(one) })
                    .collect();
                for record in target.patients.keys() {
                    assert!(leads_to_an_active_record(&target, record), "seed {seed}: {record} of {target:?}");
                }
                settle(&stand, &batch, &settled).await;
                stand.store.wake_all_ready(TARGET).await.expect("wake");
            }
            stand.pass(40);
        }
        for batch in in_flight {
            target.deliver(&stand, &batch).await;
        }
        target.drain(&stand).await;
        for record in target.patients.keys() {
            assert!(leads_to_an_active_record(&target, record), "seed {seed}: {record} of {target:?}");
        }
        // Merges that wait for each other are named.
        let waiting = stand.store.waiting(TARGET, None, 100).await.expect("waiting");
        let is_named = |lack: &Lacking| matches!(lack.reason, LackingReason::Circle(_) | LackingReason::Waits);
        assert!(waiting.iter().flat_map(|one| &one.lacks).all(is_named), "seed {seed}: {waiting:?}");
        assert_eq!(stand.counts().await.pending, waiting.len() as u64, "seed {seed}");
    }
}
