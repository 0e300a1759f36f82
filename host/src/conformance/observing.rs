//! Checks whether an adapter observes its own records at the target, and the changes of others.
//!
//! Others edit a record, delete it, and make a second one of it, where the target allows that: the suite does so in the
//! database's tables or at the mock server, wherever a text of the payload is found. Where no text is found, another
//! state through `apply` takes the place of the edit, and a delete through `apply` that of the deletion.

use super::delivering::{contents, receipt, receipts};
use super::harness::Harness;
use super::judgement::Judgement;
use super::patients::WORDS;
use super::subjects::{link, missing_id};
use crate::domain::change::{Change, Link, Observation, Operation, Outcome, Receipt, Subject};

/// A delivered change with its receipt.
type Delivered = (Change, Receipt);

pub(super) async fn judge(harness: &Harness) -> Judgement {
    if !harness.descriptor().support(&harness.subjects.aggregate_type()).is_some_and(|support| support.observes) {
        return Ok("the adapter describes itself as one that does not observe".to_owned());
    }
    let mut seen = vec!["what was written"];
    let first = written(harness).await?;
    missing(harness, &first).await?;
    if harness.subjects.lacks_variety().is_none() {
        updated(harness, &first).await?;
        seen.push("another state");
    }
    if deleted(harness).await? {
        seen.push("a delete");
    }
    if edited_by_others(harness).await? {
        seen.push("an edit of others");
    }
    if deleted_by_others(harness).await? {
        seen.push("their deletion");
    }
    if doubled_by_others(harness).await? {
        seen.push("their double");
    }
    Ok(format!("{} and a missing record: each is seen", seen.join(", ")))
}

/// Two records that nobody has changed, observed in one call. Returns one of them.
async fn written(harness: &Harness) -> Result<Delivered, String> {
    let changes = harness.subjects.create(2);
    let delivered: Vec<_> = changes.iter().cloned().zip(receipts(harness, &changes).await?).collect();
    let before = contents(harness).await?;
    let subjects: Vec<_> = delivered.iter().map(|(change, receipt)| subject(change, link(receipt))).collect();
    let found = observe(harness, &subjects).await?;
    for ((_, receipt), found) in delivered.iter().zip(&found) {
        as_delivered(found, receipt, "what was just written")?;
    }
    if contents(harness).await? != before {
        return Err("`observe` changed the target: it may only read".to_owned());
    }
    delivered.into_iter().next().ok_or_else(|| "no receipts".to_owned())
}

/// A link to a record that never was there.
async fn missing(harness: &Harness, (_, receipt): &Delivered) -> Result<(), String> {
    let never = harness.subjects.create(1).remove(0);
    let remote_id = missing_id(&receipt.remote_id);
    let gone = Link { remote_id, remote_version: None, fingerprint: receipt.fingerprint.clone() };
    match observe_one(harness, &never, gone).await? {
        Observation::Gone | Observation::NotOurs => Ok(()),
        other => Err(format!("expected `gone` for a record that is not there, not {}", name(&other))),
    }
}

/// Another state of a record: with the link from before it is an edit, with its own link it is as delivered.
async fn updated(harness: &Harness, (change, before): &Delivered) -> Result<(), String> {
    let newer = harness.subjects.newer(change, before, "Gwangju");
    let after = receipt(harness, &newer, "another state").await?;
    as_delivered(&observe_one(harness, change, link(&after)).await?, &after, "another state of a record")?;
    let old = Link { fingerprint: before.fingerprint.clone(), ..link(&after) };
    is_edited(&observe_one(harness, change, old).await?, before, "another state of a record")
}

/// A record that was deleted through `apply`, by the link from before. `false` where the adapter deletes nothing.
async fn deleted(harness: &Harness) -> Result<bool, String> {
    let (change, receipt) = create(harness, harness.subjects.create(1).remove(0)).await?;
    let delete =
        Change { operation: Operation::Delete, payload: "{}".to_owned(), link: Some(link(&receipt)), ..change.clone() };
    let outcomes = harness.deliver(&[delete]).await.map_err(|failure| format!("a delete: {failure}"))?;
    if !matches!(outcomes[..], [Outcome::Applied(_)]) {
        return Ok(false);
    }
    not_as_before(&observe_one(harness, &change, link(&receipt)).await?, &receipt, "a record that was deleted")?;
    Ok(true)
}

/// A record in which others wrote another text. `false` where none of its texts is at the target.
async fn edited_by_others(harness: &Harness) -> Result<bool, String> {
    let Some((mark, (change, receipt))) = marked(harness).await? else { return Ok(false) };
    let other = "x".repeat(mark.len());
    if harness.edit(&mark, &other).await.map_err(|failure| failure.to_string())? == 0 {
        return Ok(false);
    }
    is_edited(&observe_one(harness, &change, link(&receipt)).await?, &receipt, "a record that others edited")?;
    Ok(true)
}

/// A record that others deleted.
async fn deleted_by_others(harness: &Harness) -> Result<bool, String> {
    let Some((mark, (change, receipt))) = marked(harness).await? else { return Ok(false) };
    if harness.delete(&mark).await.map_err(|failure| failure.to_string())? == 0 {
        return Ok(false);
    }
    not_as_before(&observe_one(harness, &change, link(&receipt)).await?, &receipt, "a record that others deleted")?;
    Ok(true)
}

/// A record of which others made a second one. `false` where the target's key does not allow that.
async fn doubled_by_others(harness: &Harness) -> Result<bool, String> {
    let Some((mark, (change, receipt))) = marked(harness).await? else { return Ok(false) };
    if harness.double(&mark) == 0 {
        return Ok(false);
    }
    match observe_one(harness, &change, link(&receipt)).await? {
        Observation::Several(_) | Observation::Unknown(_) => Ok(true),
        other => Err(format!(
            "others made a second record with the same content, and {} came back: search by your key, and answer \
             `several`",
            name(&other)
        )),
    }
}

/// A new record with a text that no other has. `None` where no text can be put into a payload.
async fn marked(harness: &Harness) -> Result<Option<(String, Delivered)>, String> {
    if harness.subjects.lacks_text().is_some() {
        return Ok(None);
    }
    let mark = uuid::Uuid::now_v7().simple().to_string();
    let mark = mark[mark.len() - 8..].to_owned();
    let change = harness.subjects.with_texts(WORDS[0], &format!("{} {mark}", WORDS[1]));
    Ok(Some((mark, create(harness, change).await?)))
}

async fn create(harness: &Harness, change: Change) -> Result<Delivered, String> {
    let receipt = receipt(harness, &change, "a sound change").await?;
    Ok((change, receipt))
}

fn subject(change: &Change, link: Link) -> Subject {
    Subject { aggregate_type: change.key.aggregate_type.clone(), aggregate_id: change.key.aggregate_id.clone(), link }
}

async fn observe(harness: &Harness, subjects: &[Subject]) -> Result<Vec<Observation>, String> {
    harness.observe(subjects).await.map_err(|failure| format!("`observe` failed, {failure}"))
}

async fn observe_one(harness: &Harness, change: &Change, link: Link) -> Result<Observation, String> {
    let found = observe(harness, &[subject(change, link)]).await?;
    found.into_iter().next().ok_or_else(|| "no observation for one subject".to_owned())
}

/// The record has the receipt's fingerprint.
fn as_delivered(found: &Observation, receipt: &Receipt, what: &str) -> Result<(), String> {
    match found {
        Observation::Present { fingerprint, .. } if Some(fingerprint) == receipt.fingerprint.as_ref() => Ok(()),
        Observation::Present { .. } if receipt.fingerprint.is_none() => {
            Err("observed, but its receipts hold no fingerprint: nobody can tell an edit".to_owned())
        }
        Observation::Present { .. } => {
            Err(format!("{what} has another fingerprint than its receipt, although nobody changed the record"))
        }
        other => Err(format!("{what} is not seen: {}", name(other))),
    }
}

/// The record is there, with another content than the receipt's.
fn is_edited(found: &Observation, receipt: &Receipt, what: &str) -> Result<(), String> {
    match found {
        Observation::Gone | Observation::Several(_) => {
            Err(format!("{what} is there once, and {} came back", name(found)))
        }
        found => not_as_before(found, receipt, what),
    }
}

/// The record is not what the receipt confirmed.
fn not_as_before(found: &Observation, receipt: &Receipt, what: &str) -> Result<(), String> {
    match found {
        Observation::Present { fingerprint, .. } if Some(fingerprint) == receipt.fingerprint.as_ref() => Err(format!(
            "{what} has the fingerprint from before: compute it from what the target holds now, not from the link or \
             from a copy"
        )),
        _ => Ok(()),
    }
}

fn name(observation: &Observation) -> &'static str {
    match observation {
        Observation::Present { .. } => "`present`",
        Observation::Gone => "`gone`",
        Observation::Several(_) => "`several`",
        Observation::NotOurs => "`not-ours`",
        Observation::Unknown(_) => "`unknown`",
    }
}
