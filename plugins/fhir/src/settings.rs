//! The settings of an operator in `[targets.NAME.settings]`, with their defaults and the reasons for them.
//!
//! It reads and validates; it decides nothing. Read next: `docs/adapters/fhir.md` for the operator's view.

use adapter_sdk::{Failure, FailureKind};
use serde::Deserialize;

/// The settings of one FHIR target.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own in host.toml")]
pub(crate) struct Settings {
    /// The system of the identifier by which we find our patients at the target. Never change it after patients were
    /// delivered: they would not be found.
    pub(crate) identifier_system: String,
    /// The system of the national identification number. Without it that number is not sent.
    pub(crate) national_id_system: Option<String>,
    /// Send race and ethnicity as the extensions of US Core. Otherwise they are not sent: base FHIR has no element for
    /// them.
    pub(crate) us_core: bool,
    /// A profile that every Patient claims in `meta.profile`.
    pub(crate) profile: Option<String>,
    /// What to do with a record that carries our identifier but has no link.
    pub(crate) existing: Existing,
    /// Create patients under ids of our own, if the server lets clients choose ids.
    pub(crate) client_ids: bool,
    /// Read every linked record before writing it, for servers that ignore `If-Match`.
    pub(crate) read_first: bool,
    /// Send batch Bundles, if the server accepts them.
    pub(crate) batch: bool,
    /// Search in batch Bundles too. If a server accepts Bundles but refuses searches in them, each call otherwise loses
    /// one Bundle to find out.
    pub(crate) searches_in_bundles: bool,
    /// The maximum number of entries in one Bundle. Some services stop at 160.
    pub(crate) bundle_entries_max: usize,
    /// The maximum size of a Bundle in bytes. Common reverse proxies refuse a body from 1 MiB on.
    pub(crate) bundle_bytes_max: usize,
    /// Obsolete: the limit is the host's. Still read, so that the error can name its new place.
    pub(crate) timeout_ms: Option<serde_json::Value>,
}

/// What to do with a record that carries our identifier but has no link.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Existing {
    /// Keep the elements of others.
    #[serde(alias = "auto")]
    Merge,
    /// The record becomes entirely ours: elements of others are removed.
    Replace,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            identifier_system: "urn:neuronova:patient-id".to_owned(),
            national_id_system: None,
            us_core: false,
            profile: None,
            existing: Existing::Merge,
            client_ids: true,
            read_first: false,
            batch: true,
            searches_in_bundles: true,
            bundle_entries_max: 100,
            bundle_bytes_max: 1_000_000,
            timeout_ms: None,
        }
    }
}

impl Settings {
    /// Refuses values that would only fail later, with a worse message.
    ///
    /// # Errors
    /// `misconfigured`, with the name of the setting.
    pub(crate) fn validated(self) -> Result<Self, Failure> {
        let uri = |text: &str| !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control());
        let problem = if !uri(&self.identifier_system) {
            Some("identifier_system must be a URI")
        } else if self.national_id_system.as_deref().is_some_and(|system| !uri(system)) {
            Some("national_id_system must be a URI")
        } else if self.national_id_system.as_deref() == Some(self.identifier_system.as_str()) {
            Some("national_id_system must differ from identifier_system")
        } else if self.profile.as_deref().is_some_and(|profile| !uri(profile)) {
            Some("profile must be a URI")
        } else if self.bundle_entries_max == 0 || self.bundle_bytes_max == 0 {
            Some("bundle_entries_max and bundle_bytes_max must be at least 1")
        } else if self.timeout_ms.is_some() {
            Some("timeout_ms is not a setting of the adapter: remove it, and set timeout_ms in [targets.NAME.http]")
        } else {
            None
        };
        match problem {
            None => Ok(self),
            Some(problem) => Err(Failure {
                kind: FailureKind::Misconfigured,
                message: format!("settings: {problem}"),
                retry_after_ms: None,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_section_gives_the_defaults() {
        let settings: Settings = serde_json::from_str("{}").unwrap();
        assert_eq!(settings, Settings::default());
        assert_eq!(settings.clone().validated().unwrap(), settings);
    }

    #[test]
    fn elements_of_others_are_kept_unless_replace_is_set() {
        let existing = |text: &str| serde_json::from_str::<Settings>(text).unwrap().existing;
        assert_eq!(existing("{}"), Existing::Merge);
        assert_eq!(existing(r#"{"existing":"auto"}"#), Existing::Merge, "the word of earlier versions");
        assert_eq!(existing(r#"{"existing":"replace"}"#), Existing::Replace);
    }

    #[test]
    fn unknown_keys_and_impossible_values_are_refused() {
        for text in [r#"{"identifer_system":"x"}"#, r#"{"existing":"sometimes"}"#] {
            assert!(serde_json::from_str::<Settings>(text).is_err(), "{text}");
        }
        for (text, named) in [
            (r#"{"identifier_system":""}"#, "identifier_system"),
            (r#"{"identifier_system":"a b"}"#, "identifier_system"),
            (r#"{"national_id_system":""}"#, "national_id_system"),
            (r#"{"national_id_system":"urn:neuronova:patient-id"}"#, "must differ"),
            (r#"{"profile":"two words"}"#, "profile"),
            (r#"{"bundle_entries_max":0}"#, "bundle_entries_max"),
            (r#"{"timeout_ms":30000}"#, "[targets.NAME.http]"),
        ] {
            let failure = serde_json::from_str::<Settings>(text).unwrap().validated().unwrap_err();
            assert_eq!(failure.kind, FailureKind::Misconfigured);
            assert!(failure.message.contains(named), "{}", failure.message);
        }
    }
}
