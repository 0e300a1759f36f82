//! Charts that an operator named: a link that carries a pid alone, or the uuid that such a chart turned out to have.
//!
//! A chart of ours has the uuid that `identity.rs` computes. When OpenEMR's users merge it into another one, the chart
//! that is left has a uuid of its own; after `host conflicts resolve --keep relink` the link names that chart's pid and
//! nothing else. Its uuid is looked up once and travels in the receipt's `remote_version` from then on. A uuid in
//! `patient_data` is never changed: others know the chart by it.

use std::collections::BTreeMap;

use adapter_sdk::database::Value;
use adapter_sdk::{Failure, Link};

use crate::columns::hexadecimal;
use crate::failures::conflict;
use crate::statements::Statements;
use crate::target_db::TargetDb;

const PREFIX: &str = "uuid:";

/// What is written into a receipt of a chart with a uuid of its own.
pub(crate) fn remote_version(uuid: &[u8; 16]) -> String {
    format!("{PREFIX}{}", hexadecimal(uuid))
}

/// The uuid of its own that a link carries, if it does.
pub(crate) fn uuid_of(link: &Link) -> Option<[u8; 16]> {
    let digits = link.remote_version.as_deref()?.strip_prefix(PREFIX)?;
    let bytes: Option<Vec<u8>> =
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()).collect();
    bytes?.try_into().ok()
}

/// The pid that an operator named: every receipt of this adapter carries a fingerprint, an operator's choice carries
/// none.
pub(crate) fn named_pid(link: &Link) -> Option<i64> {
    if link.fingerprint.is_some() || link.remote_version.is_some() {
        return None;
    }
    link.remote_id.parse().ok()
}

/// The uuids of charts by pid, in one query; a chart that is not there or has none yet is missing.
///
/// # Errors
/// What the database says, as a failure.
pub(crate) fn uuids(
    db: &impl TargetDb,
    statements: &Statements<'_>,
    pids: &[i64],
) -> Result<BTreeMap<i64, [u8; 16]>, Failure> {
    if pids.is_empty() || !statements.schema.has_uuid() {
        return Ok(BTreeMap::new());
    }
    let parameters: Vec<Value> = pids.iter().copied().map(Value::Signed).collect();
    let rows_max = u32::try_from(pids.len() + 1).unwrap_or(u32::MAX);
    let found = db
        .query(&Statements::uuids_by_pid(pids.len()), &parameters, rows_max)
        .map_err(|error| error.during("read patient_data"))?;
    let rows = found.rows.into_iter().filter_map(|row| {
        let [pid, uuid] = row.as_slice() else { return None };
        Some((pid.as_i64()?, uuid.as_bytes()?.try_into().ok()?))
    });
    Ok(rows.collect())
}

/// The operator named a chart that cannot be written.
pub(crate) fn missing(pid: i64) -> Failure {
    conflict(format!(
        "there is no chart with pid {pid} that has a uuid: relink to another, or open it in OpenEMR first"
    ))
}
