//! Checks whether an adapter observes its own records at the target, and the changes of others.
//!
//! An edit by others is simulated by a link with the fingerprint of another state, a deletion by a link to a record
//! that never existed.

use super::harness::Harness;
use super::judgement::Judgement;
use super::subjects::{link, missing_id};
use crate::domain::change::{Change, Link, Observation, Receipt, Subject};

/// Observes the delivered records, and two links that do not match the target.
pub(super) async fn judge(harness: &Harness, delivered: &[(Change, Receipt)]) -> Judgement {
    if !harness.descriptor().support(&harness.subjects.aggregate_type()).is_some_and(|support| support.observes) {
        return Ok("the adapter describes itself as one that does not observe".to_owned());
    }
    let before = harness.records().await.map_err(|failure| failure.to_string())?;
    let subject = |change: &Change, link: Link| Subject {
        aggregate_type: change.key.aggregate_type.clone(),
        aggregate_id: change.key.aggregate_id.clone(),
        link,
    };
    // New records, because earlier checks may have changed the others.
    let fresh = harness.subjects.create(2);
    let outcomes = harness.deliver(&fresh).await.map_err(|failure| format!("the batch failed, {failure}"))?;
    let receipts: Vec<Receipt> = outcomes
        .into_iter()
        .map(|outcome| super::judgement::applied(outcome, "a sound change"))
        .collect::<Result<_, _>>()?;
    let edited = Link { fingerprint: delivered[0].1.fingerprint.clone(), ..link(&receipts[1]) };
    let never = harness.subjects.create(1).remove(0);
    let remote_id = missing_id(&receipts[0].remote_id);
    let gone = Link { remote_id, remote_version: None, fingerprint: receipts[0].fingerprint.clone() };
    let subjects = [subject(&fresh[0], link(&receipts[0])), subject(&fresh[1], edited.clone()), subject(&never, gone)];
    let after = harness.records().await.map_err(|failure| failure.to_string())?;
    let found = harness.observe(&subjects).await.map_err(|failure| format!("`observe` failed, {failure}"))?;
    let [written, other, nothing] = &found[..] else { return Err(format!("{} observations for 3", found.len())) };
    match written {
        Observation::Present { fingerprint, .. } if Some(fingerprint) == receipts[0].fingerprint.as_ref() => {}
        Observation::Present { .. } if receipts[0].fingerprint.is_none() => {
            return Err("observed, but its receipts hold no fingerprint: nobody can tell an edit".to_owned());
        }
        Observation::Present { .. } => {
            return Err("another fingerprint than the receipt's, although nobody changed the record".to_owned());
        }
        other => return Err(format!("what was just written is not seen: {}", name(other))),
    }
    match other {
        Observation::Present { fingerprint, .. } if Some(fingerprint) != edited.fingerprint.as_ref() => {}
        Observation::Present { .. } => return Err("the link's fingerprint came back for another content".to_owned()),
        other => return Err(format!("a record that others edited is not seen: {}", name(other))),
    }
    if !matches!(nothing, Observation::Gone | Observation::NotOurs) {
        return Err(format!("expected `gone` for a record that is not there, not {}", name(nothing)));
    }
    if harness.records().await.map_err(|failure| failure.to_string())? != after || after < before {
        return Err("`observe` changed the number of records: it may only read".to_owned());
    }
    Ok("what was written, an edit and a missing record are seen".to_owned())
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
