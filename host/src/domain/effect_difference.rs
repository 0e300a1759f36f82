//! A difference between what two adapters write for the same changes: named by templates and columns, never by values.
//!
//! A comparison keeps few of them (`EffectDifferences`), since one defect shows in every change. Read next:
//! `host/src/target/compare.rs`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::vocabulary;

/// Differences that are kept; the others are only counted.
pub const DIFFERENCES_MAX: usize = 20;
/// The longest template that is kept, in bytes.
const TEMPLATE_BYTES_MAX: usize = 300;
/// The longest name of a column or an element that is kept, in bytes.
const NAME_BYTES_MAX: usize = 120;

vocabulary! {
    /// In what the new adapter differs.
    pub enum EffectDifferenceKind {
        /// It writes another value into this column or element.
        OtherValue = "other-value",
        /// It writes other records: the condition or the address has another value.
        OtherRecord = "other-record",
        /// It no longer writes this column or element.
        NotWritten = "not-written",
        /// It writes this column or element, which the previous one does not write.
        AlsoWritten = "also-written",
        /// It runs this statement or request, which the previous one does not run.
        Additional = "additional",
        /// It does not run this statement or request.
        Missing = "missing",
        /// It writes the same columns by another statement.
        OtherStatement = "other-statement",
        /// Its statement changes another number of rows.
        OtherRows = "other-rows",
        /// It sends another value of this header.
        OtherHeader = "other-header",
        /// It returns another outcome for a change.
        OtherOutcome = "other-outcome",
        /// It confirms another id, version or fingerprint.
        OtherReceipt = "other-receipt",
        /// Nothing could be compared.
        NotComparable = "not-comparable",
    }
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectDifference {
    /// In what.
    pub kind: EffectDifferenceKind,
    /// For example `patient_data.DOB`, `Patient.birthDate` or `applied instead of skipped`.
    pub place: String,
    /// The new adapter's statement or request, or the previous one's that is missing.
    pub template: Option<String>,
    /// How often it was found.
    pub count: u64,
}

impl EffectDifference {
    /// A difference that was found once.
    #[must_use]
    pub fn new(kind: EffectDifferenceKind, place: &str, template: Option<&str>) -> Self {
        let template = template.map(|template| cut(template, TEMPLATE_BYTES_MAX));
        Self { kind, place: cut(place, NAME_BYTES_MAX), template, count: 1 }
    }
}

fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(bytes_max - '…'.len_utf8())])
}

impl fmt::Display for EffectDifference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = &self.place;
        match self.kind {
            EffectDifferenceKind::OtherValue => write!(formatter, "another value in `{place}`"),
            EffectDifferenceKind::OtherRecord => {
                write!(formatter, "other records: another value in the condition on `{place}`")
            }
            EffectDifferenceKind::NotWritten => write!(formatter, "`{place}` is no longer written"),
            EffectDifferenceKind::AlsoWritten => write!(formatter, "`{place}` is written too"),
            EffectDifferenceKind::Additional => write!(formatter, "an additional {place}"),
            EffectDifferenceKind::Missing => write!(formatter, "no {place} any more"),
            EffectDifferenceKind::OtherStatement => write!(formatter, "another statement: {place}"),
            EffectDifferenceKind::OtherRows => write!(formatter, "another number of rows changed by {place}"),
            EffectDifferenceKind::OtherHeader => write!(formatter, "another value of the header `{place}`"),
            EffectDifferenceKind::OtherOutcome => write!(formatter, "another outcome: {place}"),
            EffectDifferenceKind::OtherReceipt => write!(formatter, "another {place} confirmed"),
            EffectDifferenceKind::NotComparable => write!(formatter, "nothing could be compared: {place}"),
        }?;
        if self.count > 1 { write!(formatter, " ({} times)", self.count) } else { Ok(()) }
    }
}

/// The differences of one comparison. Equal ones are counted together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectDifferences {
    list: Vec<EffectDifference>,
    /// Differences beyond those of the list.
    #[serde(default)]
    others: u64,
}

impl EffectDifferences {
    /// The first different ones.
    #[must_use]
    pub fn list(&self) -> &[EffectDifference] {
        &self.list
    }

    /// How many more there were.
    #[must_use]
    pub fn others(&self) -> u64 {
        self.others
    }

    /// Whether both adapters write the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty() && self.others == 0
    }

    /// Adds one.
    pub fn add(&mut self, found: EffectDifference) {
        let is_same = |known: &&mut EffectDifference| {
            known.kind == found.kind && known.place == found.place && known.template == found.template
        };
        if let Some(known) = self.list.iter_mut().find(is_same) {
            known.count += found.count;
        } else if self.list.len() < DIFFERENCES_MAX {
            self.list.push(found);
        } else {
            self.others += found.count;
        }
    }

    /// Adds those of another comparison.
    pub fn extend(&mut self, other: Self) {
        self.others += other.others;
        other.list.into_iter().for_each(|found| self.add(found));
    }
}

/// The first three in one line, for a message.
impl fmt::Display for EffectDifferences {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_MAX: usize = 3;
        for (index, difference) in self.list.iter().take(SHOWN_MAX).enumerate() {
            let between = if index == 0 { "" } else { "; " };
            write!(formatter, "{between}{difference}")?;
        }
        match self.list.len().saturating_sub(SHOWN_MAX) as u64 + self.others {
            0 => Ok(()),
            more => write!(formatter, "; and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn other_value(place: &str) -> EffectDifference {
        EffectDifference::new(EffectDifferenceKind::OtherValue, place, Some("UPDATE t SET a = ?"))
    }

    #[test]
    fn equal_differences_are_counted_and_the_list_is_bounded() {
        let mut found = EffectDifferences::default();
        assert!(found.is_empty());
        for number in 0..DIFFERENCES_MAX + 5 {
            found.add(other_value(&format!("t.column_{number}")));
            found.add(other_value("t.column_0"));
        }
        assert_eq!((found.list().len(), found.others()), (DIFFERENCES_MAX, 5));
        assert_eq!(found.list()[0].count, DIFFERENCES_MAX as u64 + 6);
        let stored = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<EffectDifferences>(&stored).unwrap(), found);
        let mut twice = found.clone();
        twice.extend(found.clone());
        assert_eq!((twice.list()[1].count, twice.others()), (2, 10));
    }

    #[test]
    fn a_message_has_the_first_differences() {
        let mut found = EffectDifferences::default();
        ["a.b", "a.b", "c.d"].map(other_value).into_iter().for_each(|one| found.add(one));
        assert_eq!(found.to_string(), "another value in `a.b` (2 times); another value in `c.d`");
        found.add(EffectDifference::new(EffectDifferenceKind::Additional, "UPDATE of t", None));
        found.add(EffectDifference::new(EffectDifferenceKind::NotWritten, "t.sex", None));
        assert!(found.to_string().ends_with("; an additional UPDATE of t; and 1 more"), "{found}");
    }

    #[test]
    fn a_long_template_and_a_long_name_are_cut_off() {
        let long = EffectDifference::new(EffectDifferenceKind::OtherValue, &"é".repeat(500), Some(&"é".repeat(500)));
        assert!(long.place.len() <= NAME_BYTES_MAX && long.place.ends_with('…'));
        assert!(long.template.is_some_and(|template| template.len() <= TEMPLATE_BYTES_MAX));
    }
}
