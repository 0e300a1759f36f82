//! Finds the existing charts of our patients in OpenEMR.
//!
//! From 6.0 on charts are found by uuid. 5.x has none: a linked chart is found by its pid, an unlinked one by `pubpid`.
//! Public ids are compared byte by byte, because the column's collation is not exact. `public_ids.rs` decides whose
//! chart it is.

use std::collections::BTreeMap;

use adapter_sdk::Failure;
use adapter_sdk::database::Value;

use crate::columns::{Fingerprints, Record};
use crate::failures::conflict;
use crate::person::Person;
use crate::public_ids;
use crate::statements::Statements;
use crate::target_db::TargetDb;
use crate::upgraded;

/// The patient whose chart is searched.
#[derive(Clone, Debug)]
pub(crate) struct ChartQuery<'a> {
    pub(crate) uuid: [u8; 16],
    pub(crate) patient_id: &'a str,
    /// Name and birth date, if the change contains them.
    pub(crate) person: Option<Person>,
    /// The pid in the last receipt, as text.
    pub(crate) linked_pid: Option<&'a str>,
    /// Whether an operator chose that pid.
    pub(crate) named_by_operator: bool,
    /// The `remote_version` of the last receipt, for a chart that is not found by our own key.
    pub(crate) own_version: Option<&'a str>,
    /// The fingerprint of the last delivery.
    pub(crate) last_state: Option<&'a str>,
}

impl ChartQuery<'_> {
    /// Whether a chart has the patient's name and birth date.
    pub(crate) fn is_about(&self, row: &Row) -> bool {
        self.person.is_some() && self.person == row.person
    }
}

/// One row of `patient_data`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chart {
    pub(crate) pid: i64,
    pub(crate) record: Record,
    /// The `remote_version` for a receipt, so that a chart without our own key is found again.
    pub(crate) own_version: Option<String>,
    /// The uuid of the chart, if it differs from the computed one.
    pub(crate) other_uuid: Option<[u8; 16]>,
    /// Whether it has our note of a merge.
    pub(crate) is_noted: bool,
}

/// The search result for one patient.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    Absent,
    Chart(Chart),
    /// The linked chart exists, but may belong to another person now.
    Doubtful {
        chart: Chart,
        why: String,
    },
    /// Several charts are possible, and only an operator can decide.
    Ambiguous(Failure),
}

/// Finds all charts in one query. The results are in the order of `queries`.
///
/// With `locked` the rows cannot change until the transaction ends.
///
/// # Errors
/// The database's error as a failure.
pub(crate) fn find(
    db: &impl TargetDb,
    statements: &Statements<'_>,
    queries: &[ChartQuery<'_>],
    locked: bool,
) -> Result<Vec<Found>, Failure> {
    if queries.is_empty() {
        return Ok(Vec::new());
    }
    let rows = if statements.schema.has_uuid() {
        let parameters: Vec<Value> = queries.iter().map(|one| Value::from(one.uuid.as_slice())).collect();
        read(db, statements, &statements.charts_by_uuid(queries.len(), locked), &parameters)?
    } else {
        let pubpids: Vec<Value> =
            queries.iter().filter(|one| one.linked_pid.is_none()).map(|one| Value::from(one.patient_id)).collect();
        let pids: Vec<Value> =
            queries.iter().filter_map(|one| one.linked_pid?.parse().ok()).map(Value::Signed).collect();
        if pubpids.is_empty() && pids.is_empty() {
            return Ok(vec![Found::Absent; queries.len()]);
        }
        let sql = statements.charts_by_pubpid(pubpids.len(), pids.len(), locked);
        read(db, statements, &sql, &[pubpids, pids].concat())?
    };
    let before_uuids = upgraded::find(db, statements, queries, &rows, locked)?;
    let by_key = by(&rows, |row| row.key.clone());
    let by_pid = by(&rows, |row| row.chart.pid.to_string());
    let fingerprints = Fingerprints::new(statements.columns);
    Ok(queries
        .iter()
        .map(|one| match (statements.schema.has_uuid(), one.linked_pid) {
            (true, _) => match (only(by_key.get(one.uuid.as_slice())), before_uuids.get(one.patient_id)) {
                (Found::Absent, Some(chart)) => Found::Chart(chart.clone()),
                (found, _) => found,
            },
            (false, None) => {
                public_ids::unlinked(one, by_key.get(one.patient_id.as_bytes()).map_or(&[], Vec::as_slice))
            }
            (false, Some(pid)) => public_ids::linked(one, by_pid.get(pid).and_then(|rows| rows.first()), &fingerprints),
        })
        .collect())
}

/// A chart with the key of the search.
pub(crate) struct Row {
    pub(crate) key: Vec<u8>,
    pub(crate) chart: Chart,
    pub(crate) person: Option<Person>,
}

/// Reads charts: the key, the pid, our columns, then whether it has our note of a merge.
///
/// # Errors
/// The database's error as a failure.
pub(crate) fn read(
    db: &impl TargetDb,
    statements: &Statements<'_>,
    sql: &str,
    parameters: &[Value],
) -> Result<Vec<Row>, Failure> {
    // A public id is not unique, so there may be more rows than patients. Many more rows would not be a plausible
    // OpenEMR.
    let rows_max = u32::try_from(parameters.len() * 4 + 100).unwrap_or(u32::MAX);
    let found = db.query(sql, parameters, rows_max).map_err(|error| error.during("read patient_data"))?;
    Ok(found
        .rows
        .into_iter()
        .filter_map(|row| {
            let [key, pid, values @ ..] = row.as_slice() else { return None };
            let record = Record::from_row(statements.columns, values);
            let person = Person::of(statements.columns, &record);
            let is_noted = values.get(statements.columns.len()).and_then(Value::as_bool).unwrap_or_default();
            let chart = Chart { pid: pid.as_i64()?, record, own_version: None, other_uuid: None, is_noted };
            Some(Row { key: key.as_bytes()?.to_vec(), chart, person })
        })
        .collect())
}

fn by<K: Ord>(rows: &[Row], key: impl Fn(&Row) -> K) -> BTreeMap<K, Vec<&Row>> {
    let mut grouped: BTreeMap<K, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        grouped.entry(key(row)).or_default().push(row);
    }
    grouped
}

fn only(rows: Option<&Vec<&Row>>) -> Found {
    match rows.map(Vec::as_slice) {
        None | Some([]) => Found::Absent,
        Some([row]) => Found::Chart(row.chart.clone()),
        Some(rows) => Found::Ambiguous(conflict(format!("{} charts carry this patient's uuid", rows.len()))),
    }
}
