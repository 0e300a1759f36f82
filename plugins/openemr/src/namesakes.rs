//! Charts that are not ours and have a new patient's id as their public id: a user entered the patient by hand, or
//! before this adapter.
//!
//! The uuid is the key, so the adapter itself duplicates nothing; but two charts of one person would still be harmful.
//! A chart with the same name and birth date is a conflict unless the operator said otherwise; another person's is only
//! noted. Where `pubpid` has no index, a large table is not searched.

use std::collections::BTreeMap;

use adapter_sdk::Failure;
use adapter_sdk::database::Value;

use crate::charts::ChartQuery;
use crate::failures::conflict;
use crate::person::Person;
use crate::statements::Statements;
use crate::target_db::TargetDb;

/// Without an index on `pubpid`, tables whose highest pid is beyond this are not searched: a scan for each batch of new
/// patients would cost more than a twentieth of the batch.
pub(crate) const SCANNED_PIDS_MAX: i64 = 5_000;

/// A chart under a patient's id that is not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Namesake {
    pub(crate) pid: i64,
    /// Whether name and birth date are the patient's.
    pub(crate) is_same_person: bool,
}

/// By patient id. On 5.x there are none: there the public id is the key, and such a chart was found before.
///
/// # Errors
/// What the database says, as a failure.
pub(crate) fn find(
    db: &impl TargetDb,
    statements: &Statements<'_>,
    queries: &[ChartQuery<'_>],
) -> Result<BTreeMap<String, Namesake>, Failure> {
    let mut namesakes: BTreeMap<String, Namesake> = BTreeMap::new();
    if queries.is_empty() || !statements.schema.has_uuid() {
        return Ok(namesakes);
    }
    let parameters: Vec<Value> = queries.iter().map(|one| Value::from(one.patient_id)).collect();
    let sql = statements.people_by_pubpid(queries.len());
    // The column's collation may find more than we look for, and any number of charts may carry one id.
    let rows_max = u32::try_from(queries.len() * 4 + 1_000).unwrap_or(u32::MAX);
    let found = db.query(&sql, &parameters, rows_max).map_err(|error| error.during("read patient_data"))?;
    for row in &found.rows {
        let [pubpid, pid, person @ ..] = row.as_slice() else { continue };
        let (Some(pubpid), Some(pid), &[family, given, birth_date]) =
            (pubpid.as_text(), pid.as_i64(), &person.iter().map(Value::as_text).collect::<Vec<_>>()[..])
        else {
            continue;
        };
        let Some(one) = queries.iter().find(|one| one.patient_id == pubpid) else { continue };
        let person = Person::new([family, given, birth_date]);
        let namesake = Namesake { pid, is_same_person: person.is_some() && person == one.person };
        let known = namesakes.entry(pubpid.to_owned()).or_insert(namesake);
        if namesake.is_same_person {
            *known = namesake;
        }
    }
    Ok(namesakes)
}

/// The patient seems to have a chart already.
pub(crate) fn conflict_with(pid: i64) -> Failure {
    conflict(format!(
        "the chart with pid {pid} has this patient's id as its public id (pubpid), name and birth date, but was not made by us: take it \
         with `--keep relink --remote-id {pid}`, or give it another public id in OpenEMR if it is not this patient's; no second chart \
         is made"
    ))
}
