//! Checks what a merge does: the merged record is marked and stays, the merge may come again, `observe` sees it as
//! delivered, and a later state undoes it.
//!
//! An adapter that does not declare merges must refuse one, whatever its payload.

use super::delivering::{contents, receipt, receipts, records};
use super::harness::Harness;
use super::judgement::Judgement;
use super::subjects::link;
use crate::domain::change::{Change, FailureKind, Observation, Operation, Outcome, Receipt, Subject};

/// Two delivered aggregates, of which the first is merged into the second.
struct Pair {
    merged: (Change, Receipt),
    survivor: (Change, Receipt),
}

pub(super) async fn judge(harness: &Harness) -> Judgement {
    let mut changes = harness.subjects.create(2);
    let mut delivered = receipts(harness, &changes).await?;
    let (Some(survivor), Some(merged)) = (changes.pop().zip(delivered.pop()), changes.pop().zip(delivered.pop()))
    else {
        return Err("no receipts".to_owned());
    };
    let pair = Pair { merged, survivor };
    let support = harness.descriptor().support(&pair.merged.0.key.aggregate_type);
    if !support.is_some_and(|support| support.operations.contains(&Operation::Merge)) {
        return refused(harness, &pair).await;
    }
    let before = contents(harness).await?;
    let merge = receipt(harness, &pair.merge(harness), "a merge").await?;
    marked(harness, &pair, &merge, &before).await?;
    seen(harness, &pair.merged.0, &merge, "the merged record").await?;
    seen(harness, &pair.survivor.0, &pair.survivor.1, "the survivor").await?;
    again(harness, &pair, &merge).await?;
    never_there(harness, &pair).await?;
    undone(harness, &pair, &merge, &before).await?;
    Ok("the record is marked and stays, twice is harmless, and a later state undoes it".to_owned())
}

impl Pair {
    /// The merge, with the link of the last state.
    fn merge(&self, harness: &Harness) -> Change {
        let (merged, receipt) = &self.merged;
        harness.subjects.merge(merged, Some(link(receipt)), (&self.survivor.0, &self.survivor.1))
    }
}

/// Of an adapter that does not merge this type.
async fn refused(harness: &Harness, pair: &Pair) -> Judgement {
    let outcomes = harness.deliver(&[pair.merge(harness)]).await.map_err(|failure| format!("a merge: {failure}"))?;
    match outcomes.into_iter().next() {
        Some(Outcome::Failed(failure)) if failure.kind == FailureKind::Unsupported => {
            Ok("`unsupported`, as the descriptor names no merge".to_owned())
        }
        Some(Outcome::Failed(failure)) => Err(format!(
            "`{}`, expected `unsupported`: compare `operation` with `merge` before reading the payload",
            failure.kind.as_str()
        )),
        _ => Err(
            "a merge was confirmed, and the descriptor names none: answer it with `unsupported`, or name it and mark \
             the record"
                .to_owned(),
        ),
    }
}

/// The merged record is the same one, is still there, and shows that it was merged.
async fn marked(harness: &Harness, pair: &Pair, merge: &Receipt, before: &[String]) -> Result<(), String> {
    if merge.remote_id != pair.merged.1.remote_id {
        return Err("a merge gave another remote-id: it must mark the record that the link names".to_owned());
    }
    let now = contents(harness).await?;
    if now.len() < before.len() {
        return Err(
            "a merge deleted a record: mark it, lead its users to the survivor's, and delete nothing".to_owned()
        );
    }
    if now == *before {
        return Err(
            "a merge was confirmed, and the target is as it was: mark the record, so that its users see which one stays"
                .to_owned(),
        );
    }
    Ok(())
}

/// A record is there, as delivered; asked only where the adapter observes.
async fn seen(harness: &Harness, change: &Change, receipt: &Receipt, what: &str) -> Result<(), String> {
    if !observes(harness, change) {
        return Ok(());
    }
    let (aggregate_type, aggregate_id) = (change.key.aggregate_type.clone(), change.key.aggregate_id.clone());
    let subject = Subject { aggregate_type, aggregate_id, link: link(receipt) };
    let found = harness.observe(&[subject]).await.map_err(|failure| format!("`observe` failed, {failure}"))?;
    match found.first() {
        Some(Observation::Present { fingerprint, .. }) if Some(fingerprint) == receipt.fingerprint.as_ref() => Ok(()),
        Some(Observation::Present { .. }) => {
            Err(format!("after a merge `observe` gives another fingerprint for {what} than its receipt"))
        }
        _ => Err(format!("after a merge `observe` does not see {what}, expected `present`")),
    }
}

fn observes(harness: &Harness, change: &Change) -> bool {
    harness.descriptor().support(&change.key.aggregate_type).is_some_and(|support| support.observes)
}

/// The same merge with its own link, and with the link before it, as after a crash between commit and settlement.
async fn again(harness: &Harness, pair: &Pair, merge: &Receipt) -> Result<(), String> {
    let before = records(harness).await?;
    let settled = Change { link: Some(link(merge)), ..pair.merge(harness) };
    for change in [settled, pair.merge(harness)] {
        let again = receipt(harness, &Change { attempt: 2, ..change }, "the same merge twice").await?;
        if again.remote_id != merge.remote_id || again.fingerprint != merge.fingerprint {
            return Err("the same merge twice gave another remote-id or fingerprint than the first time".to_owned());
        }
    }
    if records(harness).await? != before {
        return Err("the same merge twice must make and delete nothing".to_owned());
    }
    Ok(())
}

/// The merge of an aggregate that the target never had makes no record.
async fn never_there(harness: &Harness, pair: &Pair) -> Result<(), String> {
    let before = records(harness).await?;
    let never = harness.subjects.create(1).remove(0);
    let merge = harness.subjects.merge(&never, None, (&pair.survivor.0, &pair.survivor.1));
    receipt(harness, &merge, "a merge of what the target never had").await?;
    if records(harness).await? != before {
        return Err(
            "a merge of what the target never had made or deleted a record: confirm it with an empty remote-id"
                .to_owned(),
        );
    }
    Ok(())
}

/// A later state brings back the state from before the merge.
async fn undone(harness: &Harness, pair: &Pair, merge: &Receipt, before: &[String]) -> Result<(), String> {
    const WHAT: &str = "a state after a merge, which undoes it";
    let (change, first) = &pair.merged;
    let marked = contents(harness).await?;
    let state = harness.subjects.same_state(change, merge);
    let undone = receipt(harness, &state, WHAT).await?;
    if undone.remote_id != merge.remote_id {
        return Err(format!("{WHAT}, gave another remote-id"));
    }
    if undone.fingerprint != first.fingerprint {
        return Err(format!("{WHAT}, gave another fingerprint than the same state before the merge"));
    }
    let after = contents(harness).await?;
    if after == marked {
        return Err(format!("{WHAT}, was confirmed, and the record is still marked: take the mark away"));
    }
    if observes(harness, change) {
        seen(harness, change, &undone, "the record whose merge was undone").await
    } else if after == before {
        Ok(())
    } else {
        Err(format!("{WHAT}, left something of the merge behind: the record must be as before"))
    }
}
