//! Log lines for the operator. They contain ids, columns and limits, and no value of a patient.
//!
//! A note about many patients is one line, so that a first load does not fill the log.

use std::collections::BTreeMap;

use crate::mapping::Omission;
use crate::namesakes::Namesake;

/// The maximum number of patient ids in one line; the others are counted.
const NAMED_MAX: usize = 5;

/// The maximum number of lines about single patients; the host aborts an adapter that logs too much.
const LINES_MAX: usize = 200;

/// The lines of one batch.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    lines: Vec<String>,
    /// The values left out, by the plural name of the aggregates.
    omissions: BTreeMap<(&'static str, Omission), Vec<String>>,
}

impl Notes {
    /// Notes that edits of others were overwritten. `aggregate` is type and id, `record` is OpenEMR's name for the
    /// record.
    pub(crate) fn overwritten(&mut self, aggregate: &str, record: &str, change_id: i64) {
        self.lines.push(format!("wrote over an edit made in OpenEMR: {aggregate}, {record}, change {change_id}"));
    }

    /// Notes that a patient was created although another chart has the same public id.
    pub(crate) fn beside(&mut self, patient_id: &str, namesake: &Namesake) {
        let pid = namesake.pid;
        let person = if namesake.is_same_person { "with the same name and birth date" } else { "of another person" };
        self.lines.push(format!(
            "created a separate chart for patient {patient_id} although pid {pid}, {person}, carries that id as its \
             public id: compare the two charts in OpenEMR"
        ));
    }

    /// Notes that columns were left empty.
    pub(crate) fn omitted(&mut self, of: &'static str, aggregate_id: &str, omissions: &[Omission]) {
        for omission in omissions {
            self.omissions.entry((of, omission.clone())).or_default().push(aggregate_id.to_owned());
        }
    }

    pub(crate) fn lines(self) -> Vec<String> {
        let omitted = self.omissions.into_iter().map(|((of, omission), ids)| {
            let named = ids.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
            let more = ids.len().saturating_sub(NAMED_MAX);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("left `{}` empty: {}; {of} {named}{more}", omission.column, omission.why)
        });
        let beyond = self.lines.len().saturating_sub(LINES_MAX);
        let beyond = (beyond > 0).then(|| format!("and {beyond} more such lines"));
        self.lines.into_iter().take(LINES_MAX).chain(beyond).chain(omitted).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_of_edits_logs_a_bounded_number_of_lines() {
        let mut notes = Notes::default();
        for patient in 0..500 {
            notes.overwritten(&format!("patient P-{patient}"), "pid 1", patient);
        }
        let lines = notes.lines();
        assert_eq!(lines.len(), LINES_MAX + 1);
        assert_eq!(lines[LINES_MAX], "and 300 more such lines");
    }

    #[test]
    fn omissions_of_one_column_share_one_line() {
        let mut notes = Notes::default();
        for patient in 1..=7 {
            notes.omitted("patients", &format!("P-{patient}"), &[Omission { column: "ss", why: "too long".into() }]);
        }
        notes.overwritten("patient P-1", "pid 4", 9);
        assert_eq!(
            notes.lines(),
            [
                "wrote over an edit made in OpenEMR: patient P-1, pid 4, change 9",
                "left `ss` empty: too long; patients P-1, P-2, P-3, P-4, P-5 and 2 more"
            ]
        );
    }
}
