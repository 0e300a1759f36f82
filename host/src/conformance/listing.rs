//! Checks an adapter's list of our records: it has what was just written, comes to an end, and only reads.

use super::harness::Harness;
use super::judgement::Judgement;
use crate::domain::change::{Failure, FailureKind, OwnQuery, OwnRecord};
use crate::target::CallFailure;

/// Records of one page: few, so that there are several.
const PAGE: u32 = 10;
/// More pages than anything that the suite has written can fill.
const PAGES_MAX: usize = 1_000;

/// Lists all records of the type.
pub(super) async fn judge(harness: &Harness) -> Judgement {
    let fresh = harness.subjects.create(3);
    let outcomes = harness.deliver(&fresh).await.map_err(|failure| format!("the batch failed, {failure}"))?;
    let written = fresh.iter().zip(outcomes).map(|(change, outcome)| {
        let receipt = super::judgement::applied(outcome, "a sound change")?;
        Ok(OwnRecord { aggregate_id: change.key.aggregate_id.clone(), remote_id: receipt.remote_id })
    });
    let written = written.collect::<Result<Vec<_>, String>>()?;
    let before = harness.contents().await.map_err(|failure| failure.to_string())?;
    let listed = match all(harness).await? {
        Ok(listed) => listed,
        Err(reason) => return Ok(format!("this target cannot list them: {reason}")),
    };
    for record in &written {
        match listed.iter().filter(|one| *one == record).count() {
            1 => {}
            0 => {
                return Err(
                    "what was just written is not listed, or with other ids: list the application's id, and the \
                            receipt's `remote-id`"
                        .to_owned(),
                );
            }
            count => return Err(format!("a record is listed {count} times")),
        }
    }
    if harness.contents().await.map_err(|failure| failure.to_string())? != before {
        return Err("`list-own` changed what the target holds: it may only read".to_owned());
    }
    Ok(format!("{} records in pages of {PAGE}, what was written among them", listed.len()))
}

/// All records of the type, or why this target cannot list them.
async fn all(harness: &Harness) -> Result<Result<Vec<OwnRecord>, String>, String> {
    let aggregate_type = harness.subjects.aggregate_type();
    let (mut listed, mut after) = (Vec::new(), None::<String>);
    for _ in 0..PAGES_MAX {
        let query = OwnQuery { aggregate_type: &aggregate_type, after: after.as_deref(), limit: PAGE };
        let page = match harness.list_own(&query).await {
            Ok(page) => page,
            Err(CallFailure::Reported(Failure { kind: FailureKind::Unsupported, message, .. })) => {
                return Ok(Err(message));
            }
            Err(failure) => return Err(format!("`list-own` failed, {failure}")),
        };
        listed.extend(page.records);
        after = page.next;
        if after.is_none() {
            return Ok(Ok(listed));
        }
    }
    Err(format!("{PAGES_MAX} pages without an end: return no `next` with the last one"))
}
