//! Decides on OpenEMR 5.x whose chart it is. The only key there is `pubpid`, which OpenEMR fills with its own pid and
//! users may edit.
//!
//! A chart with our patient id as its public id is the patient's only when name and birth date agree, or when the link
//! already says so. A public id alone is never a reason to overwrite a chart. Pure; read next: `charts.rs`.

use sha2::{Digest as _, Sha256};

use crate::charts::{Chart, ChartQuery, Found, Row};
use crate::columns::{Fingerprints, hexadecimal};
use crate::failures::conflict;

const PREFIX: &str = "pubpid:";

/// What a receipt remembers of a chart that an operator named and that carries another public id than ours.
fn remembered(pubpid: &[u8]) -> String {
    format!("{PREFIX}{}", hexadecimal(&Sha256::digest(pubpid)[..8]))
}

/// The chart of a patient who has none linked, among those that carry the patient's id.
pub(crate) fn unlinked(one: &ChartQuery<'_>, rows: &[&Row]) -> Found {
    let agreeing: Vec<&&Row> = rows.iter().filter(|row| one.is_about(row)).collect();
    match (rows, agreeing.as_slice()) {
        ([], _) => Found::Absent,
        (_, [row]) => Found::Chart(row.chart.clone()),
        ([row, ..], []) => Found::Ambiguous(conflict(format!(
            "the chart with pid {} carries this patient's id as its public id (pubpid), but another name or birth date: it is not \
             written to. Correct its public id in OpenEMR, or `--keep relink` if it is this patient's and carries the same name and \
             birth date",
            row.chart.pid
        ))),
        (_, several) => Found::Ambiguous(conflict(format!(
            "{} charts carry this patient's public id, name and birth date",
            several.len()
        ))),
    }
}

/// The chart of a patient who has one linked, which is the one with that pid if any.
pub(crate) fn linked(one: &ChartQuery<'_>, row: Option<&&Row>, fingerprints: &Fingerprints) -> Found {
    let Some(row) = row else { return Found::Absent };
    let pid = row.chart.pid;
    let remembered = remembered(&row.key);
    let with_own_pubpid = || Found::Chart(Chart { own_version: Some(remembered.clone()), ..row.chart.clone() });
    if row.key == one.patient_id.as_bytes() {
        // OpenEMR gives a pid of a deleted chart out again, and fills the public id with it.
        let is_last_state =
            || one.last_state.and_then(|last| fingerprints.stands_for(last, &row.chart.record)) == Some(true);
        // So the key says nothing here, whoever named the chart: name and birth date do.
        let may_be_by_chance = one.patient_id == pid.to_string();
        if may_be_by_chance && !one.is_about(row) && !is_last_state() {
            return doubtful(
                row,
                format!(
                    "the chart with pid {pid} was edited in OpenEMR since the last delivery, or is another person's that got this number \
                     again: it has another name or birth date"
                ),
            );
        }
        return Found::Chart(row.chart.clone());
    }
    if one.own_version == Some(remembered.as_str()) || (one.named_by_operator && one.is_about(row)) {
        return with_own_pubpid();
    }
    doubtful(
        row,
        if one.is_about(row) {
            format!(
                "the chart with pid {pid} no longer carries our public id (pubpid): set it to the patient's id in OpenEMR, or keep the \
                 chart as this patient's with `--keep local`"
            )
        } else {
            format!(
                "the chart with pid {pid} no longer carries our public id (pubpid), and has another name or birth date: it is not \
                 written to until its public id is the patient's id again, or another chart is linked with `--keep relink`"
            )
        },
    )
}

fn doubtful(row: &Row, why: String) -> Found {
    Found::Doubtful { chart: row.chart.clone(), why }
}
