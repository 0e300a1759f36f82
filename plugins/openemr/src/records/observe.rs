//! Reads OpenEMR's current data of records of one kind.

use adapter_sdk::{Failure, Observation, Subject};

use crate::columns::Fingerprints;
use crate::identity;
use crate::observe::present;
use crate::records::find::{Found, RecordQuery, find};
use crate::records::kinds::Kind;
use crate::records::shape::Shape;
use crate::records::statements::RecordStatements;
use crate::schema::Schema;
use crate::settings::Settings;
use crate::target_db::TargetDb;

/// One observation for each subject of a kind, in order.
///
/// # Errors
/// A failure of the whole call.
pub(crate) fn observe(
    db: &impl TargetDb,
    settings: &Settings,
    schema: &Schema,
    kind: Kind,
    subjects: &[&Subject],
) -> Result<Vec<Observation>, Failure> {
    let why = schema.unavailable.get(kind.aggregate_type()).cloned();
    let shape = match (Shape::new(kind, schema), why) {
        (Ok(shape), None) => shape,
        (Ok(_), Some(why)) => return Ok(subjects.iter().map(|_| Observation::Unknown(why.clone())).collect()),
        (Err(missing), _) => {
            let why = format!("this OpenEMR has no {}", missing.join(", "));
            return Ok(subjects.iter().map(|_| Observation::Unknown(why.clone())).collect());
        }
    };
    let statements = RecordStatements { dialect: db.dialect(), shape: &shape, settings };
    let namespace = identity::namespace(&settings.system);
    let queries: Vec<RecordQuery<'_>> = subjects
        .iter()
        .map(|subject| RecordQuery {
            uuid: identity::record_uuid(&namespace, kind.aggregate_type(), &subject.aggregate_id),
            pid: None,
            link: Some(&subject.link),
        })
        .collect();
    let fingerprints = Fingerprints::new(&shape.columns);
    let found = find(db, &statements, &queries, false)?;
    Ok(subjects
        .iter()
        .zip(found)
        .map(|(subject, found)| match found {
            Found::Absent => Observation::Gone,
            Found::NotOurs => Observation::NotOurs,
            Found::Several(ids) => Observation::Several(ids),
            Found::Here(row) if row.remote_id != subject.link.remote_id => Observation::NotOurs,
            Found::Here(row) => present(subject, &row.record, Some(row.remote_version()), &fingerprints),
        })
        .collect())
}
