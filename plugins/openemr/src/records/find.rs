//! Finds the existing rows of our records in OpenEMR.
//!
//! A link contains the row's primary key. A linked row is found by that key, and must still have our uuid or marker.
//! Without a link, a row with our uuid is ours, even after a lost response; in a table without uuids, a row with our
//! marker is. A row that an operator linked is used without that test.

use std::collections::BTreeMap;

use adapter_sdk::database::Value;
use adapter_sdk::{Failure, Link};

use crate::columns::Record;
use crate::identity::marker;
use crate::records::statements::{By, RecordStatements};
use crate::target_db::TargetDb;

const OURS: &str = "id:";
const NAMED: &str = "named:";

/// The record to find.
#[derive(Clone, Copy)]
pub(crate) struct RecordQuery<'a> {
    pub(crate) uuid: [u8; 16],
    /// The pid of its patient, if the change contains it.
    pub(crate) pid: Option<&'a str>,
    pub(crate) link: Option<&'a Link>,
}

/// A row of a kind's table, with the relevant columns of its row in `forms`.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) id: i64,
    /// The id that OpenEMR's users see.
    pub(crate) remote_id: String,
    pub(crate) record: Record,
    /// Whether its row in `forms` exists, for a kind that has one.
    pub(crate) has_form: bool,
    /// Whether an operator linked it, so that it has no key of ours.
    pub(crate) is_named: bool,
    uuid: Option<Vec<u8>>,
    marker: Option<String>,
}

impl Row {
    /// The receipt's `remote_version`, by which the row is found again.
    pub(crate) fn remote_version(&self) -> String {
        format!("{}{}", if self.is_named { NAMED } else { OURS }, self.id)
    }

    fn carries(&self, uuid: &[u8; 16]) -> bool {
        self.uuid.as_deref() == Some(uuid.as_slice()) || self.marker.as_deref() == Some(&marker(uuid))
    }
}

/// The search result for one record.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    Absent,
    Here(Row),
    /// The linked row exists, but has no key of ours.
    NotOurs,
    /// Several rows have our key.
    Several(Vec<String>),
}

/// The key by which a record is searched.
enum LookUp {
    Key,
    Id {
        id: i64,
        is_named: bool,
    },
    /// By the id that users see: an operator linked it, and it was not written yet.
    RemoteId(i64),
}

fn look_up(link: Option<&Link>) -> LookUp {
    let Some(link) = link else { return LookUp::Key };
    let id = |prefix: &str| link.remote_version.as_deref()?.strip_prefix(prefix)?.parse().ok();
    match (id(OURS), id(NAMED), link.remote_id.parse()) {
        (Some(id), _, _) => LookUp::Id { id, is_named: false },
        (None, Some(id), _) => LookUp::Id { id, is_named: true },
        (None, None, Ok(id)) if link.remote_version.is_none() && link.fingerprint.is_none() => LookUp::RemoteId(id),
        _ => LookUp::Key,
    }
}

/// Finds all records, with one query for each kind of key. The results are in the order of `queries`.
///
/// With `locked` the rows cannot change until the transaction ends.
///
/// # Errors
/// The database's error as a failure.
pub(crate) fn find(
    db: &impl TargetDb,
    statements: &RecordStatements<'_>,
    queries: &[RecordQuery<'_>],
    locked: bool,
) -> Result<Vec<Found>, Failure> {
    let look_ups: Vec<LookUp> = queries.iter().map(|query| look_up(query.link)).collect();
    let by_key: Vec<&RecordQuery<'_>> = queries
        .iter()
        .zip(&look_ups)
        .filter(|(_, look_up)| matches!(look_up, LookUp::Key))
        .map(|(query, _)| query)
        .collect();
    let mut rows = of_keys(db, statements, &by_key, locked)?;
    let ids = look_ups.iter().filter_map(|look_up| if let LookUp::Id { id, .. } = look_up { Some(*id) } else { None });
    rows.extend(of_ids(db, statements, By::Id, &ids.collect::<Vec<_>>(), locked)?);
    let by_id: BTreeMap<i64, Row> = rows.into_iter().map(|row| (row.id, row)).collect();
    let named = look_ups.iter().filter_map(|look_up| if let LookUp::RemoteId(id) = look_up { Some(*id) } else { None });
    let by_remote_id = of_ids(db, statements, By::RemoteId, &named.collect::<Vec<_>>(), locked)?;
    Ok(queries
        .iter()
        .zip(&look_ups)
        .map(|(query, look_up)| match look_up {
            LookUp::Key => only(by_id.values().filter(|row| row.carries(&query.uuid)).cloned().collect()),
            LookUp::Id { id, is_named } => match by_id.get(id) {
                None => Found::Absent,
                Some(row) if *is_named || row.carries(&query.uuid) => {
                    Found::Here(Row { is_named: *is_named, ..row.clone() })
                }
                Some(_) => Found::NotOurs,
            },
            LookUp::RemoteId(id) => {
                let is_it = |row: &&Row| row.remote_id == id.to_string();
                let named = |row: &Row| Row { is_named: !row.carries(&query.uuid), ..row.clone() };
                only(by_remote_id.iter().filter(is_it).map(named).collect())
            }
        })
        .collect())
}

fn only(mut rows: Vec<Row>) -> Found {
    match (rows.len(), rows.pop()) {
        (_, None) => Found::Absent,
        (1, Some(row)) => Found::Here(row),
        (_, Some(row)) => Found::Several(rows.into_iter().chain([row]).map(|row| row.remote_id).collect()),
    }
}

fn of_keys(
    db: &impl TargetDb,
    statements: &RecordStatements<'_>,
    queries: &[&RecordQuery<'_>],
    locked: bool,
) -> Result<Vec<Row>, Failure> {
    if queries.is_empty() {
        return Ok(Vec::new());
    }
    if statements.shape.has_uuid {
        let uuids: Vec<Value> = queries.iter().map(|query| Value::from(query.uuid.as_slice())).collect();
        return read(db, statements, By::Uuid, uuids.len(), &uuids, locked);
    }
    // The marker has no index, but the patient's pid has one. A deletion may not contain the patient.
    let pids: Option<Vec<Value>> = queries.iter().map(|query| query.pid.map(Value::from)).collect();
    let mut parameters = pids.unwrap_or_default();
    let by = By::Marker { pids: parameters.len() };
    parameters.extend(queries.iter().map(|query| Value::from(marker(&query.uuid))));
    read(db, statements, by, queries.len(), &parameters, locked)
}

fn of_ids(
    db: &impl TargetDb,
    statements: &RecordStatements<'_>,
    by: By,
    ids: &[i64],
    locked: bool,
) -> Result<Vec<Row>, Failure> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let parameters: Vec<Value> = ids.iter().copied().map(Value::Signed).collect();
    read(db, statements, by, ids.len(), &parameters, locked)
}

fn read(
    db: &impl TargetDb,
    statements: &RecordStatements<'_>,
    by: By,
    count: usize,
    parameters: &[Value],
    locked: bool,
) -> Result<Vec<Row>, Failure> {
    let sql = statements.find(by, count, locked);
    // A marker is not unique, and OpenEMR may have several rows in `forms` for one record.
    let rows_max = u32::try_from(count * 4 + 100).unwrap_or(u32::MAX);
    let table = statements.shape.layout.table;
    let found = db.query(&sql, parameters, rows_max).map_err(|error| error.during(&format!("read {table}")))?;
    let mut rows: BTreeMap<i64, Row> = BTreeMap::new();
    for row in &found.rows {
        let [id, remote_id, uuid, marker, form, values @ ..] = row.as_slice() else { continue };
        let (Some(id), Some(remote_id)) = (id.as_i64(), remote_id.as_i64()) else { continue };
        rows.entry(id).or_insert_with(|| Row {
            id,
            remote_id: remote_id.to_string(),
            record: Record::from_row(&statements.shape.columns, values),
            has_form: statements.shape.layout.form.is_none() || !form.is_null(),
            is_named: false,
            uuid: uuid.as_bytes().map(<[u8]>::to_vec),
            marker: marker.as_text().map(str::to_owned),
        });
    }
    Ok(rows.into_values().collect())
}
