//! Charts that were linked before OpenEMR had uuids (5.x). Its upgrade assigned other uuids, so a search for ours finds
//! nothing.
//!
//! Such a link has only a pid. The chart with that pid is still the patient's if it has the patient's id as its public
//! id, and also either the patient's name and birth date or exactly the state that we wrote last. From then on its uuid
//! is stored in the receipt (`relinked.rs`). Only linked charts that were not found need this: one query for a batch
//! that has any.

use std::collections::BTreeMap;

use adapter_sdk::Failure;
use adapter_sdk::database::Value;

use crate::charts::{Chart, ChartQuery, Row, read};
use crate::columns::Fingerprints;
use crate::relinked;
use crate::statements::Statements;
use crate::target_db::TargetDb;

/// The charts found, by patient id.
///
/// # Errors
/// The database's error as a failure.
pub(crate) fn find(
    db: &impl TargetDb,
    statements: &Statements<'_>,
    queries: &[ChartQuery<'_>],
    found: &[Row],
    locked: bool,
) -> Result<BTreeMap<String, Chart>, Failure> {
    let mut charts = BTreeMap::new();
    if !statements.schema.has_uuid() {
        return Ok(charts);
    }
    let is_missing = |one: &ChartQuery<'_>| !found.iter().any(|row| row.key == one.uuid);
    let linked_before =
        |one: &&ChartQuery<'_>| one.last_state.is_some() && one.own_version.is_none() && is_missing(one);
    let lost: Vec<(i64, &ChartQuery<'_>)> =
        queries.iter().filter(linked_before).filter_map(|one| Some((one.linked_pid?.parse().ok()?, one))).collect();
    if lost.is_empty() {
        return Ok(charts);
    }
    let pids = lost.iter().map(|(pid, _)| Value::Signed(*pid));
    let public_ids = lost.iter().map(|(_, one)| Value::from(one.patient_id));
    let sql = statements.charts_by_pid_and_pubpid(lost.len(), locked);
    let rows = read(db, statements, &sql, &pids.chain(public_ids).collect::<Vec<_>>())?;
    let fingerprints = Fingerprints::new(statements.columns);
    for (pid, one) in lost {
        // The column's collation compares the public id. Name and birth date, or our last state, are compared here.
        let is_ours = |row: &&Row| {
            let is_last_state = || fingerprints.stands_for(one.last_state.unwrap_or_default(), &row.chart.record);
            row.chart.pid == pid && (one.is_about(row) || is_last_state() == Some(true))
        };
        if let Some(row) = rows.iter().find(is_ours)
            && let Ok(uuid) = <[u8; 16]>::try_from(row.key.as_slice())
        {
            let own_version = Some(relinked::remote_version(&uuid));
            let chart = Chart { own_version, other_uuid: Some(uuid), ..row.chart.clone() };
            charts.insert(one.patient_id.to_owned(), chart);
        }
    }
    Ok(charts)
}
