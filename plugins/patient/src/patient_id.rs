//! The application's id of a patient.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

/// The application's id of a patient, for example `P-2025-001`. It is used in FHIR searches and URLs, so it contains
/// only characters that need no escaping there. Dereferencing returns its text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PatientId(String);

impl PatientId {
    /// The maximum length in characters.
    pub const CHARACTERS_MAX: usize = 64;
    /// The rule, as a lower-case fragment that follows the field's name.
    pub const RULE: &'static str = "must be 1 to 64 characters of A-Z, a-z, 0-9, `-`, `.`, `_` and `~`";

    /// Accepts the text unchanged; nothing is trimmed. `None` when it breaks [`Self::RULE`].
    #[must_use]
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        ((1..=Self::CHARACTERS_MAX).contains(&text.len()) && text.bytes().all(is_allowed)).then_some(Self(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for PatientId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PatientId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        Self::new(text).ok_or(Self::RULE)
    }
}

impl From<PatientId> for String {
    fn from(id: PatientId) -> Self {
        id.0
    }
}

impl fmt::Display for PatientId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl fmt::Debug for PatientId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::PatientId;

    #[test]
    fn a_patient_id_is_accepted_exactly_by_its_rule() {
        for text in ["P-2025-001", "a", "~._-", &"x".repeat(64)] {
            assert!(PatientId::new(text).is_some(), "{text}");
        }
        for text in ["", "P 1", "P/1", "P|1", "환자", "P\0", "P%20", "P-1 ", &"x".repeat(65)] {
            assert!(PatientId::new(text).is_none(), "{text}");
        }
    }

    #[test]
    fn reading_an_id_from_json_applies_its_rule() {
        assert_eq!(serde_json::from_str::<PatientId>("\"P-1\"").unwrap().as_str(), "P-1");
        assert!(serde_json::from_str::<PatientId>("\"P 1\"").is_err());
        assert_eq!(serde_json::to_string(&PatientId::new("P-1").unwrap()).unwrap(), "\"P-1\"");
    }
}
