//! The rules that a schema cannot express: existing days, the order of two times, and which values may occur together.

use std::cmp::Ordering;

use crate::time::{compare, is_day, is_partial_day};
use crate::{Allergy, Appointment, Condition, Encounter, Medication, Observation, Problem};

/// The statuses with which an observation may have no value.
const WITHOUT_VALUE: [&str; 3] = ["registered", "cancelled", "entered-in-error"];

/// Collects problems while a record is checked rule by rule.
#[derive(Default)]
pub(crate) struct Rules {
    /// The problems found, in the order of the checks.
    pub(crate) problems: Vec<Problem>,
}

impl Rules {
    pub(crate) fn encounter(&mut self, encounter: &Encounter) {
        self.not_before("period.start", Some(&encounter.period.start), "period.end", encounter.period.end.as_ref());
    }

    pub(crate) fn condition(&mut self, condition: &Condition) {
        self.partial_day("onset", condition.onset.as_ref());
        self.partial_day("abatement", condition.abatement.as_ref());
        self.not_before("onset", condition.onset.as_ref(), "abatement", condition.abatement.as_ref());
    }

    pub(crate) fn allergy(&mut self, allergy: &Allergy) {
        self.partial_day("onset", allergy.onset.as_ref());
    }

    pub(crate) fn medication(&mut self, medication: &Medication) {
        let Some(effective) = &medication.effective else { return };
        let (start, end) = (effective.start.as_ref(), effective.end.as_ref());
        if start.is_none() && end.is_none() {
            self.note("effective", "must have start, end or both");
        }
        self.moment("effective.start", start);
        self.moment("effective.end", end);
        self.not_before("effective.start", start, "effective.end", end);
    }

    pub(crate) fn observation(&mut self, observation: &Observation) {
        const VALUES: &str = "value_quantity, value_concept, value_string and component";
        let values = [
            observation.value_quantity.is_some(),
            observation.value_concept.is_some(),
            observation.value_string.is_some(),
            !observation.component.is_empty(),
        ];
        match values.into_iter().filter(|is_given| *is_given).count() {
            0 if !WITHOUT_VALUE.contains(&observation.status.as_str()) => {
                self.note("payload", format!("must have exactly one of {VALUES}, or a status without a value"));
            }
            0 | 1 => {}
            _ => self.note("payload", format!("must have only one of {VALUES}")),
        }
        let Some(range) = &observation.reference_range else { return };
        match (&range.low, &range.high) {
            (Some(low), Some(high)) if low.as_f64() > high.as_f64() => {
                self.note("reference_range.high", "is below reference_range.low");
            }
            (None, None) if range.text.is_none() => self.note("reference_range", "must have low, high or text"),
            _ => {}
        }
    }

    pub(crate) fn appointment(&mut self, appointment: &Appointment) {
        if compare(&appointment.end, &appointment.start) != Ordering::Greater {
            self.note("end", "is not after start");
        }
    }

    fn note(&mut self, path: &str, message: impl Into<String>) {
        self.problems.push(Problem::new(path, message));
    }

    fn partial_day(&mut self, path: &str, text: Option<&String>) {
        if text.is_some_and(|text| !is_partial_day(text)) {
            self.note(path, "is not a day of the calendar");
        }
    }

    fn moment(&mut self, path: &str, text: Option<&String>) {
        if text.is_some_and(|text| !is_day(&text[..10])) {
            self.note(path, "is not on a day of the calendar");
        }
    }

    fn not_before(&mut self, start_path: &str, start: Option<&String>, end_path: &str, end: Option<&String>) {
        if let (Some(start), Some(end)) = (start, end)
            && compare(end, start) == Ordering::Less
        {
            self.note(end_path, format!("is before {start_path}"));
        }
    }
}
