//! Lists the charts that carry our uuid, page by page over all charts.
//!
//! A chart is ours when its uuid is the one that `identity.rs` computes from its public id: nobody else makes such a
//! pair. So it finds charts whose public id is still our patient's, and no others. The tables of clinical records hold
//! hashes of our ids and no ids, so that nobody can tell whose a row is. It only reads.

use adapter_sdk::database::Value;
use adapter_sdk::{Context, Failure, OwnPage, OwnRecord, cannot_list};

use crate::deliver::schema;
use crate::failures::invalid;
use crate::identity;
use crate::settings::{PublicId, Settings};
use crate::target_db::TargetDb;

/// The charts behind a pid, by pid.
const CHARTS: &str = "SELECT `pid`, `pubpid`, `uuid` FROM `patient_data` WHERE `pid` > ? ORDER BY `pid` LIMIT ";

/// One page of the records of a type: as many charts as are asked for, of which any number may be ours.
///
/// # Errors
/// `unsupported` when OpenEMR keeps no id of ours for the type.
pub(crate) fn list(
    db: &impl TargetDb,
    settings: &Settings,
    context: &Context,
    aggregate_type: &str,
    after: Option<&str>,
    limit: u32,
) -> Result<OwnPage, Failure> {
    if aggregate_type != "patient" {
        return Err(cannot_list("OpenEMR's tables hold no ids of these records"));
    }
    if settings.pubpid == PublicId::Pid {
        return Err(cannot_list("with pubpid = \"pid\" charts hold no id of ours"));
    }
    if !schema(db, settings, context)?.has_uuid() {
        return Err(cannot_list("this OpenEMR has no uuids, so that no chart shows that it is ours"));
    }
    let last: i64 = match after {
        None => i64::MIN,
        Some(place) => place.parse().map_err(|_| invalid("the place in the list is not a pid"))?,
    };
    let sql = format!("{CHARTS}{limit}");
    let found = db.query(&sql, &[Value::Signed(last)], limit).map_err(|error| error.during("list patient_data"))?;
    let namespace = identity::namespace(&settings.system);
    let (mut records, mut place) = (Vec::new(), None);
    for row in &found.rows {
        let [pid, pubpid, uuid] = row.as_slice() else { continue };
        let Some(pid) = pid.as_i64() else { continue };
        place = Some(pid.to_string());
        let Some(patient_id) = pubpid.as_text().filter(|patient_id| !patient_id.is_empty()) else { continue };
        if uuid.as_bytes() == Some(identity::patient_uuid(&namespace, patient_id).as_slice()) {
            records.push(OwnRecord { aggregate_id: patient_id.to_owned(), remote_id: pid.to_string() });
        }
    }
    let is_full = u32::try_from(found.rows.len()).is_ok_and(|count| count >= limit);
    Ok(OwnPage { records, next: place.filter(|_| is_full) })
}
