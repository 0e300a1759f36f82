//! The input of each kind's mapping: a change, its references with OpenEMR's ids, and the settings.

use adapter_sdk::clinical::Concept;
use adapter_sdk::{Change, Failure};

use crate::failures::invalid;
use crate::records::shape::Shape;
use crate::settings::Settings;

/// Why a change has no row.
#[derive(Debug)]
pub(crate) enum Unwritten {
    /// OpenEMR cannot hold it.
    Skipped(String),
    Failed(Failure),
}

impl From<Failure> for Unwritten {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// One change and its context.
pub(crate) struct Source<'a> {
    pub(crate) change: &'a Change,
    pub(crate) shape: &'a Shape<'a>,
    pub(crate) settings: &'a Settings,
}

impl Source<'_> {
    /// The pid of the record's patient.
    ///
    /// # Errors
    /// `invalid` when the patient has no chart in OpenEMR.
    pub(crate) fn pid(&self) -> Result<&str, Failure> {
        reference(self.change, "subject").ok_or_else(|| invalid("refs.subject: has no chart in OpenEMR"))
    }

    /// The number of the record's encounter, if it refers to one that OpenEMR has.
    pub(crate) fn encounter(&self) -> Option<&str> {
        reference(self.change, "encounter")
    }
}

/// The id that OpenEMR assigned to a reference of the change.
pub(crate) fn reference<'a>(change: &'a Change, name: &str) -> Option<&'a str> {
    let id = change.references.iter().find(|reference| reference.name == name)?.remote_id.as_deref()?;
    id.parse::<i64>().is_ok().then_some(id)
}

/// Code systems, with the names of OpenEMR's code types.
const CODE_TYPES: [(&str, &str); 7] = [
    ("http://hl7.org/fhir/sid/icd-10-cm", "ICD10"),
    ("http://hl7.org/fhir/sid/icd-10", "ICD10"),
    ("http://hl7.org/fhir/sid/icd-9-cm", "ICD9"),
    ("http://snomed.info/sct", "SNOMED-CT"),
    ("http://www.nlm.nih.gov/research/umls/rxnorm", "RXCUI"),
    ("http://loinc.org", "LOINC"),
    ("http://hl7.org/fhir/sid/cvx", "CVX"),
];

/// `TYPE:CODE`, OpenEMR's form of a code, if it has such a code type.
pub(crate) fn code(concept: &Concept) -> Option<String> {
    let (system, code) = (concept.system.as_deref()?, concept.code.as_deref()?);
    let (_, code_type) = CODE_TYPES.iter().find(|(known, _)| *known == system)?;
    Some(format!("{code_type}:{code}"))
}

/// The lines of a free text for values without a column of their own.
#[derive(Default)]
pub(crate) struct Lines(Vec<String>);

impl Lines {
    pub(crate) fn add(&mut self, text: Option<&str>) {
        self.0.extend(text.map(str::to_owned));
    }

    pub(crate) fn labelled(&mut self, label: &str, text: Option<&str>) {
        self.0.extend(text.map(|text| format!("{label}: {text}")));
    }

    /// Adds a code of a system for which OpenEMR has no code type.
    pub(crate) fn foreign_code(&mut self, concept: &Concept) {
        if let (None, Some(code), Some(system)) = (self::code(concept), &concept.code, &concept.system) {
            self.0.push(format!("Code: {code} ({system})"));
        }
    }

    pub(crate) fn text(self) -> String {
        self.0.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_written_with_openemrs_code_type_or_as_a_line_of_text() {
        let concept = |system: &str| Concept {
            system: Some(system.to_owned()),
            code: Some("E11.9".to_owned()),
            display: "Diabetes".to_owned(),
        };
        assert_eq!(code(&concept("http://hl7.org/fhir/sid/icd-10-cm")).as_deref(), Some("ICD10:E11.9"));
        assert_eq!(code(&concept("urn:kcd")), None);
        let mut lines = Lines::default();
        lines.add(Some("note"));
        lines.foreign_code(&concept("http://snomed.info/sct"));
        lines.foreign_code(&concept("urn:kcd"));
        assert_eq!(lines.text(), "note\nCode: E11.9 (urn:kcd)");
    }
}
