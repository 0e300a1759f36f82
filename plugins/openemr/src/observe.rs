//! Reads what OpenEMR holds now for our patients, in a constant number of statements.
//!
//! A chart is found as a delivery would find it (`charts.rs`), and its fingerprint is the link's where the link stands
//! for what it holds. A second chart of the same patient cannot carry our uuid: its key is unique.

use adapter_sdk::{Current, Failure, Observation, Subject};

use crate::charts::{self, ChartQuery, Found};
use crate::columns::{Fingerprints, Record};
use crate::identity;
use crate::relinked;
use crate::schema::Schema;
use crate::settings::Settings;
use crate::statements::Statements;
use crate::target_db::TargetDb;

/// One observation for each patient, in their order.
///
/// # Errors
/// A failure for all of them.
pub(crate) fn observe(
    db: &impl TargetDb,
    settings: &Settings,
    schema: &Schema,
    subjects: &[&Subject],
) -> Result<Vec<Observation>, Failure> {
    let columns = schema.own_columns();
    let statements = Statements { dialect: db.dialect(), schema, columns: &columns, user_id: settings.user_id };
    let namespace = identity::namespace(&settings.system);
    let named: Vec<i64> = subjects.iter().filter_map(|subject| relinked::named_pid(&subject.link)).collect();
    let named = relinked::uuids(db, &statements, &named)?;
    let queries: Vec<ChartQuery<'_>> = subjects
        .iter()
        .map(|subject| {
            let named = relinked::named_pid(&subject.link).and_then(|pid| named.get(&pid).copied());
            let own = relinked::uuid_of(&subject.link).or(named);
            query(subject, own.unwrap_or_else(|| identity::patient_uuid(&namespace, &subject.aggregate_id)))
        })
        .collect();
    let found = charts::find(db, &statements, &queries, false)?;
    // Whether the chart of an absent patient's link is somebody else's.
    let absent = subjects.iter().zip(&found).filter(|(_, found)| matches!(found, Found::Absent));
    let pids: Vec<i64> = absent.filter_map(|(subject, _)| subject.link.remote_id.parse().ok()).collect();
    let others = relinked::uuids(db, &statements, &pids)?;
    let fingerprints = Fingerprints::new(&columns);
    let judge = |(subject, found): (&&Subject, Found)| match found {
        _ if subject.aggregate_type != "patient" => {
            Observation::Unknown(format!("this adapter does not observe records of type `{}`", subject.aggregate_type))
        }
        Found::Chart(chart) => present(subject, &chart.record, chart.own_version, &fingerprints),
        Found::Absent => match subject.link.remote_id.parse().ok().and_then(|pid: i64| others.get(&pid)) {
            Some(_) => Observation::NotOurs,
            None => Observation::Gone,
        },
        Found::Doubtful { .. } => Observation::NotOurs,
        Found::Ambiguous(failure) => Observation::Unknown(failure.message),
    };
    Ok(subjects.iter().zip(found).map(judge).collect())
}

fn query(subject: &Subject, uuid: [u8; 16]) -> ChartQuery<'_> {
    ChartQuery {
        uuid,
        patient_id: &subject.aggregate_id,
        person: None,
        linked_pid: Some(&subject.link.remote_id),
        named_by_operator: relinked::named_pid(&subject.link).is_some(),
        own_version: subject.link.remote_version.as_deref(),
        last_state: subject.link.fingerprint.as_deref(),
    }
}

/// A record that is there; its fingerprint is the link's where that stands for what it holds.
pub(crate) fn present(
    subject: &Subject,
    record: &Record,
    remote_version: Option<String>,
    fingerprints: &Fingerprints,
) -> Observation {
    let last = subject.link.fingerprint.as_deref().unwrap_or_default();
    // An operator's decision to keep what the record held stands for that.
    let held = last.strip_prefix("kept:").and_then(|kept| kept.split_once(':')).map_or(last, |(_, held)| held);
    let is_last = fingerprints.stands_for(held, record) == Some(true);
    let fingerprint = if is_last { last.to_owned() } else { fingerprints.of(record) };
    Observation::Present(Current { fingerprint, remote_version })
}
