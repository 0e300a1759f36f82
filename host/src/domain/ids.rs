//! Names and ids, each with its own type, valid by construction.
//!
//! Ids that a database assigns are integers, with a type for each kind too.

use std::fmt;

use crate::vocabulary;

/// Why a text is not an id of this kind: a lower-case fragment that follows the field's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct IdError(&'static str);

macro_rules! identifier {
    ($(#[$outer:meta])* $name:ident, $characters_max:literal, $allowed:expr, $rule:literal) => {
        $(#[$outer])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The maximum length in characters.
            pub const CHARACTERS_MAX: usize = $characters_max;

            /// Accepts the text unchanged; nothing is trimmed.
            ///
            /// # Errors
            /// When it is empty, too long, or holds a character that this kind of id does not allow.
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                let allowed: fn(char) -> bool = $allowed;
                let characters = text.chars().take($characters_max + 1).count();
                if (1..=$characters_max).contains(&characters) && text.chars().all(allowed) {
                    Ok(Self(text))
                } else {
                    Err(IdError($rule))
                }
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, formatter)
            }
        }
    };
}

identifier! {
    /// The name by which a user signs in.
    Username, 64,
    |character| character.is_ascii_alphanumeric() || "-._@".contains(character),
    "must be 1 to 64 characters of A-Z, a-z, 0-9, `-`, `.`, `_` and `@`"
}

identifier! {
    /// The name of the store's table of users. Its characters are valid in every supported database.
    UsersTable, 63,
    |character| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_',
    "must be 1 to 63 characters of a-z, 0-9 and `_`"
}

impl UsersTable {
    /// Accepts the text, unless a table of that name belongs to the host or the database.
    ///
    /// # Errors
    /// As [`UsersTable::new`]; also when the name begins with a digit or is reserved.
    pub fn free(text: impl Into<String>) -> Result<Self, IdError> {
        let name = Self::new(text)?;
        let text = name.as_str();
        if text.starts_with(|character: char| character.is_ascii_digit()) {
            Err(IdError("must begin with a letter or `_`"))
        } else if ["sync_", "sqlite_", "pg_"].iter().any(|prefix| text.starts_with(prefix))
            || ["patient_cache", "clinical_record", "deleted_record", "schema_migration"].contains(&text)
        {
            Err(IdError(
                "must not be the name of another table of the host's, or begin with `sync_`, `sqlite_` or `pg_`",
            ))
        } else {
            Ok(name)
        }
    }
}

/// `users`.
impl Default for UsersTable {
    fn default() -> Self {
        Self("users".to_owned())
    }
}

identifier! {
    /// A target's name in the configuration, for example `openemr`.
    TargetName, 64,
    |character| character.is_ascii_lowercase() || character.is_ascii_digit() || "-_".contains(character),
    "must be 1 to 64 characters of a-z, 0-9, `-` and `_`"
}

identifier! {
    /// The type of an aggregate, for example `patient`.
    AggregateType, 64,
    |character| !character.is_control(),
    "must be 1 to 64 characters, none of them a control character"
}

impl TargetName {
    /// Wraps a name from the store without a check: a name that another program wrote must not stop the router.
    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }
}

macro_rules! row_id {
    ($(#[$outer:meta])* $name:ident) => {
        $(#[$outer])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name(i64);

        impl $name {
            /// The id that the database assigned.
            #[must_use]
            pub const fn new(id: i64) -> Self {
                Self(id)
            }

            /// The integer, as the database and log lines show it.
            #[must_use]
            pub const fn get(self) -> i64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, formatter)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, formatter)
            }
        }
    };
}

row_id! {
    /// The id of a row of `sync_lease`: the fencing token of its batch. It is only compared for equality.
    LeaseId
}

row_id! {
    /// The id of a row of `sync_outbox`. Of two changes of one aggregate, the newer one has the greater id.
    #[derive(PartialOrd, Ord, serde::Serialize)]
    #[serde(transparent)]
    ChangeId
}

/// An aggregate: its type and the application's id. Both are as an application wrote them, so the type may be invalid
/// as an [`AggregateType`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct AggregateKey {
    pub aggregate_type: String,
    pub aggregate_id: String,
}

impl AggregateKey {
    /// The key of a patient.
    #[must_use]
    pub fn patient(patient_id: impl Into<String>) -> Self {
        Self { aggregate_type: Self::PATIENT.to_owned(), aggregate_id: patient_id.into() }
    }

    #[must_use]
    pub fn is_patient(&self) -> bool {
        self.aggregate_type == Self::PATIENT
    }

    const PATIENT: &str = "patient";
    /// The maximum length of a type in characters.
    pub const TYPE_CHARACTERS_MAX: usize = 64;
    /// The maximum length of an id in characters.
    pub const ID_CHARACTERS_MAX: usize = 255;
}

/// What is wrong with a type or an id, as a fragment that follows its column's name.
#[must_use]
pub fn name_fault(text: &str, characters_max: usize) -> Option<String> {
    if text.is_empty() {
        Some("is empty".to_owned())
    } else if text.trim().is_empty() {
        Some("is blank".to_owned())
    } else if text.trim() != text {
        Some("begins or ends with a blank".to_owned())
    } else if text.chars().any(char::is_control) {
        Some("holds a control character".to_owned())
    } else if text.chars().count() > characters_max {
        Some(format!("is longer than {characters_max} characters"))
    } else {
        None
    }
}

/// The form in operators' lists: a patient by the id alone.
impl fmt::Display for AggregateKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_patient() {
            formatter.write_str(&self.aggregate_id)
        } else {
            write!(formatter, "{} {}", self.aggregate_type, self.aggregate_id)
        }
    }
}

impl AggregateType {
    /// The aggregate type of a patient's changes.
    #[must_use]
    pub fn patient() -> Self {
        Self("patient".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_accept_exactly_what_their_rule_allows() {
        for text in ["openemr", "fhir-2", "a_b"] {
            assert!(TargetName::new(text).is_ok(), "{text}");
        }
        for text in ["", "OpenEMR", "a.b", &"x".repeat(65)] {
            assert!(TargetName::new(text).is_err(), "{text}");
        }
        assert!(AggregateType::new("a\nb").is_err());
        assert!(Username::new("dr.kim@clinic").is_ok());
        assert!(Username::new("dr kim").is_err());
    }

    #[test]
    fn reading_an_id_from_json_applies_its_rule() {
        assert_eq!(serde_json::from_str::<TargetName>("\"fhir-2\"").unwrap().as_str(), "fhir-2");
        assert!(serde_json::from_str::<TargetName>("\"FHIR\"").is_err());
        assert_eq!(serde_json::to_string(&TargetName::new("fhir-2").unwrap()).unwrap(), "\"fhir-2\"");
    }
}

vocabulary! {
    /// The column of `patient_cache` for the id that a target assigned.
    pub enum IdColumn {
        /// OpenEMR's `pid`: an integer.
        OpenemrPatientId = "openemr_patient_id",
        /// The id of the FHIR resource: text.
        FhirPatientId = "fhir_patient_id",
    }
}

impl IdColumn {
    /// Whether the column can hold this id.
    #[must_use]
    pub fn takes(self, remote_id: &str) -> bool {
        match self {
            Self::OpenemrPatientId => remote_id.parse::<i64>().is_ok(),
            Self::FhirPatientId => remote_id.chars().count() <= 255,
        }
    }
}
