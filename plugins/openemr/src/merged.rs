//! Charts that are merged into another. A note on the chart names the survivor, and its patient portal is closed.
//! Nothing else in the chart changes.
//!
//! OpenEMR has no column for an unused chart. Its users see `billing_note` in red on the chart's summary, and
//! `allow_patient_portal` controls a patient's login. The link's fingerprint contains the earlier value of that column
//! and the fingerprint of the last state, so that a later state undoes everything. The note has the earlier value too,
//! for a merge whose settlement was lost: it is undone by what the chart holds, whatever the link tells. Lines of the
//! note by other authors stay. Read next: `apply.rs`, whose outcomes show which charts these are.

use std::collections::{BTreeMap, BTreeSet};

use adapter_sdk::database::{Dialect, Value, placeholders, repeated, rows_per_statement};
use adapter_sdk::{Change, Failure, Link, Observation, Operation, Outcome, Subject};

use crate::failures::{invalid, refused, transient, unsupported};
use crate::schema::Schema;
use crate::target_db::TargetDb;

/// The start of our line in the note. `statements.rs` searches for it.
pub(crate) const OUR_LINE: &str = "[NeuroNova Sync]";
/// Precedes the portal setting from before the merge, at the end of our line.
const PORTAL_BEFORE: &str = " (patient portal before: ";
const PREFIX: &str = "merged";
const CLOSED: &str = "NO";

/// The content of a merged chart's link.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    /// `allow_patient_portal` before the merge.
    portal: String,
    /// The fingerprint of the last state.
    last: String,
}

impl Mark {
    fn parse(fingerprint: &str) -> Option<Self> {
        let (portal, last) = fingerprint.strip_prefix(PREFIX)?.strip_prefix(':')?.split_once(':')?;
        Some(Self { portal: portal.to_owned(), last: last.to_owned() })
    }

    fn of(link: Option<&Link>) -> Option<Self> {
        Self::parse(link?.fingerprint.as_deref()?)
    }

    fn to_text(&self) -> String {
        format!("{PREFIX}:{}:{}", self.portal, self.last)
    }
}

/// The link as the last state left it, without the mark of a merge.
pub(crate) fn without_mark(link: &Link) -> Link {
    let last = Mark::of(Some(link)).map(|mark| mark.last).or_else(|| link.fingerprint.clone());
    Link { fingerprint: last.filter(|last| !last.is_empty()), ..link.clone() }
}

/// Whether a change is a merge, or concerns a chart that was merged.
pub(crate) fn concerns(change: &Change) -> bool {
    change.operation == Operation::Merge || Mark::of(change.link.as_ref()).is_some()
}

/// Checks that a merge can be carried out.
///
/// # Errors
/// `unsupported` and `invalid`.
pub(crate) fn check(change: &Change, schema: &Schema) -> Result<(), Failure> {
    if !can_mark(schema) {
        return Err(unsupported(
            "patient_data has no billing_note or no allow_patient_portal to mark a merged chart with",
        ));
    }
    match survivor(change) {
        Some(_) => Ok(()),
        None => Err(invalid("the patient who stays has no chart in this OpenEMR; fix: deliver that one first")),
    }
}

/// Whether this OpenEMR has the columns to mark a merged chart with.
pub(crate) fn can_mark(schema: &Schema) -> bool {
    ["billing_note", "allow_patient_portal"].iter().all(|column| schema.column(column).is_some())
}

fn survivor(change: &Change) -> Option<i64> {
    change.survivor.as_ref()?.remote_id.as_deref()?.parse().ok()
}

/// A chart's note and portal setting.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Marks {
    note: Option<String>,
    portal: String,
}

impl Marks {
    /// The values for a merged chart, whose portal setting was this one before.
    fn merged(&self, survivor: i64, portal: &str) -> Self {
        let before = if portal.is_empty() { String::new() } else { format!("{PORTAL_BEFORE}{portal})") };
        let ours = format!("{OUR_LINE} Merged into the chart with pid {survivor}: use that one{before}");
        let lines = self.others().chain([ours.as_str()]).collect::<Vec<_>>().join("\n");
        Self { note: Some(lines), portal: CLOSED.to_owned() }
    }

    /// The values after a merge is undone. A portal that a user opened meanwhile stays open.
    fn undone(&self, portal_before: &str) -> Self {
        let lines = self.others().collect::<Vec<_>>().join("\n");
        let portal = if self.portal == CLOSED { portal_before.to_owned() } else { self.portal.clone() };
        Self { note: Some(lines).filter(|lines| !lines.is_empty()), portal }
    }

    /// The note's lines of other authors, including blank ones.
    fn others(&self) -> impl Iterator<Item = &str> {
        let notes = self.note.iter().filter(|note| !note.is_empty());
        notes.flat_map(|note| note.split('\n')).filter(|line| !line.starts_with(OUR_LINE))
    }

    fn is_merged(&self) -> bool {
        self.our_line().is_some()
    }

    fn our_line(&self) -> Option<&str> {
        self.note.iter().flat_map(|note| note.split('\n')).find(|line| line.starts_with(OUR_LINE))
    }

    /// The portal setting from before the merge, also where the chart was marked already. Only letters and digits can
    /// be part of a fingerprint.
    fn portal_before(&self) -> String {
        let portal = match self.our_line() {
            Some(line) => line.split_once(PORTAL_BEFORE).map_or("", |(_, portal)| portal.trim_end_matches(')')),
            None => &self.portal,
        };
        if portal.bytes().all(|byte| byte.is_ascii_alphanumeric()) { portal.to_owned() } else { String::new() }
    }
}

/// Marks the found charts of merges, and removes the marks of undone merges: also of those in `noted`, the pids of
/// charts that were found with our line. `changes` have the host's original links. No statement where none is
/// concerned.
///
/// # Errors
/// A failure for the batch as a whole; the host rolls back.
pub(crate) fn mark(
    db: &impl TargetDb,
    changes: &[&Change],
    noted: &BTreeSet<i64>,
    outcomes: &mut [Outcome],
) -> Result<(), Failure> {
    let mut charts = Vec::new();
    for (at, (change, outcome)) in changes.iter().zip(&*outcomes).enumerate() {
        let Outcome::Applied(receipt) = outcome else { continue };
        if let Some(pid) = receipt.remote_id.parse().ok().filter(|pid| concerns(change) || noted.contains(pid)) {
            charts.push((at, pid));
        }
    }
    let pids: Vec<i64> = charts.iter().map(|(_, pid)| *pid).collect();
    let found = read(db, &pids, true)?;
    let mut written = BTreeMap::new();
    for (at, pid) in charts {
        let (change, Some(now)) = (changes[at], found.get(&pid)) else { continue };
        let mark = Mark::of(change.link.as_ref());
        if let (Operation::Delete, Outcome::Applied(receipt)) = (change.operation, &mut outcomes[at]) {
            // The chart stays unchanged.
            if let Some(mark) = mark {
                receipt.fingerprint = Some(mark.to_text());
            }
            continue;
        }
        let wanted = match (survivor(change), mark) {
            (Some(survivor), mark) => {
                let Outcome::Applied(receipt) = &mut outcomes[at] else { continue };
                let last = || change.link.as_ref().and_then(|link| link.fingerprint.clone());
                let before = mark.unwrap_or_else(|| Mark {
                    portal: now.portal_before(),
                    last: last().or_else(|| receipt.fingerprint.clone()).unwrap_or_default(),
                });
                receipt.fingerprint = Some(before.to_text());
                now.merged(survivor, &before.portal)
            }
            (None, Some(mark)) => now.undone(&mark.portal),
            // The merge reached the chart, and its receipt never reached the host.
            (None, None) => now.undone(&now.portal_before()),
        };
        if wanted != *now {
            written.insert(pid, wanted);
        }
    }
    write(db, &written)
}

/// Corrects the observations of merged charts: `found` was determined with links without marks.
///
/// # Errors
/// The database's error as a failure.
pub(crate) fn judge(db: &impl TargetDb, subjects: &[&Subject], found: &mut [Observation]) -> Result<(), Failure> {
    let marked = subjects.iter().filter(|subject| Mark::of(Some(&subject.link)).is_some());
    let pids: Vec<i64> = marked.filter_map(|subject| subject.link.remote_id.parse().ok()).collect();
    let charts = read(db, &pids, false)?;
    for (subject, found) in subjects.iter().zip(found) {
        let (Some(mark), Observation::Present(current)) = (Mark::of(Some(&subject.link)), found) else { continue };
        let chart = subject.link.remote_id.parse().ok().and_then(|pid: i64| charts.get(&pid));
        // Without the note, OpenEMR's users do not see that a chart is merged, so the observation reports an edit.
        if chart.is_some_and(Marks::is_merged) && current.fingerprint == mark.last {
            current.fingerprint = mark.to_text();
        }
    }
    Ok(())
}

fn read(db: &impl TargetDb, pids: &[i64], locked: bool) -> Result<BTreeMap<i64, Marks>, Failure> {
    if pids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let lock = if locked && db.dialect() == Dialect::Mysql { " FOR UPDATE" } else { "" };
    let list = placeholders(pids.len());
    let sql = format!(
        "SELECT `pid`, `billing_note`, `allow_patient_portal` FROM `patient_data` WHERE `pid` IN ({list}){lock}"
    );
    let parameters: Vec<Value> = pids.iter().copied().map(Value::Signed).collect();
    let rows_max = u32::try_from(pids.len() + 1).unwrap_or(u32::MAX);
    let found = db.query(&sql, &parameters, rows_max).map_err(|error| error.during("read patient_data"))?;
    let rows = found.rows.into_iter().filter_map(|row| {
        let [pid, note, portal] = row.as_slice() else { return None };
        let text = |value: &Value| value.as_text().map(str::to_owned);
        Some((pid.as_i64()?, Marks { note: text(note), portal: text(portal).unwrap_or_default() }))
    });
    Ok(rows.collect())
}

fn write(db: &impl TargetDb, charts: &BTreeMap<i64, Marks>) -> Result<(), Failure> {
    let charts: Vec<_> = charts.iter().collect();
    let mut written = 0;
    for chunk in charts.chunks(rows_per_statement(db.dialect(), 3)) {
        let mut parameters = Vec::with_capacity(chunk.len() * 3);
        for (pid, marks) in chunk {
            parameters.push(Value::Signed(**pid));
            parameters.push(marks.note.clone().map_or(Value::Null, Value::Text));
            parameters.push(Value::Text(marks.portal.clone()));
        }
        let execution = db
            .execute(&update(db.dialect(), chunk.len()), &parameters)
            .map_err(|error| refused(&error, "update patient_data"))?;
        written += execution.rows_affected;
    }
    if written != charts.len() as u64 {
        let count = charts.len();
        return Err(transient(format!("update patient_data: {count} charts were there, {written} were marked")));
    }
    Ok(())
}

/// The statement for note and portal, in the form of `Statements::update`.
fn update(dialect: Dialect, count: usize) -> String {
    if dialect == Dialect::Sqlite {
        return format!(
            "UPDATE `patient_data` SET `billing_note` = v.column2, `allow_patient_portal` = v.column3, `date` = \
             CURRENT_TIMESTAMP FROM (VALUES {}) AS v WHERE `patient_data`.`pid` = v.column1",
            repeated("(?, ?, ?)", ", ", count)
        );
    }
    let first = "SELECT CAST(? AS SIGNED) AS row_key, CAST(? AS CHAR(65535)) AS note, CAST(? AS CHAR(31)) AS portal";
    let more = repeated(" UNION ALL SELECT CAST(? AS SIGNED), ?, ?", "", count - 1);
    format!(
        "UPDATE `patient_data` AS p INNER JOIN ({first}{more}) AS v ON p.`pid` = v.row_key SET p.`billing_note` = v.note, \
         p.`allow_patient_portal` = v.portal, p.`date` = CURRENT_TIMESTAMP"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_keeps_the_lines_of_others_and_has_one_of_ours() {
        let before = Marks { note: Some("Pays in cash\n".to_owned()), portal: "YES".to_owned() };
        let merged = before.merged(7, "YES").merged(8, "YES");
        let ours = "[NeuroNova Sync] Merged into the chart with pid 8: use that one (patient portal before: YES)";
        assert_eq!(merged.note, Some(format!("Pays in cash\n\n{ours}")));
        assert!(merged.is_merged() && merged.portal == "NO");
        assert_eq!((before.portal_before(), merged.portal_before()), ("YES".to_owned(), "YES".to_owned()));
        let mark = Mark { portal: "YES".to_owned(), last: "1.a:b".to_owned() };
        assert_eq!(Mark::parse(&mark.to_text()), Some(mark));
        let undone = merged.undone(&merged.portal_before());
        assert_eq!((undone.note.as_deref(), undone.portal.as_str()), (Some("Pays in cash\n"), "YES"));
        let empty = Marks { note: None, portal: String::new() };
        assert_eq!(empty.merged(7, "").undone(""), empty);
        assert_eq!(empty.merged(7, "").portal_before(), "");
        assert_eq!(Marks { portal: "a:b".to_owned(), ..empty }.portal_before(), "");
        assert_eq!(Mark::parse("1.abc.def"), None);
    }
}
