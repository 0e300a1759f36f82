//! The learned state of the server, which the host stores and passes to every later call.
//!
//! Defines the format. It contains only facts that a refused request revealed, and nothing about a patient. The host
//! discards it when another adapter becomes active or the check finds another server (`Capabilities::server`). So a
//! server that supports more after an upgrade is tested again.

use serde::{Deserialize, Serialize};

/// Facts about requests that the server refuses for every patient.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing learnt of the server")]
pub(crate) struct Learned {
    /// It accepts no batch Bundles, although it declares them.
    pub(crate) no_bundles: bool,
    /// It accepts Bundles, but no searches in them.
    pub(crate) no_searches_in_bundles: bool,
    /// It accepts no ids of ours.
    pub(crate) no_ids: bool,
    /// It accepts Bundles only at the base URL with a trailing slash.
    pub(crate) slash: bool,
}

impl Learned {
    /// Reads the result of an earlier call; the default if there is none or its format is unknown.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or_default()
    }

    pub(crate) fn to_bytes(self) -> Vec<u8> {
        serde_json::to_vec(&self).expect("invariant: four truth values are always JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn learned_state_round_trips_and_unknown_state_is_ignored() {
        let learned = Learned { no_searches_in_bundles: true, ..Learned::default() };
        assert_eq!(Learned::from_bytes(&learned.to_bytes()), learned);
        assert_eq!(
            Learned::from_bytes(br#"{"no_ids":true,"later":1}"#),
            Learned { no_ids: true, ..Learned::default() }
        );
        for bytes in [&b""[..], b"{", b"[1]", b"\xff"] {
            assert_eq!(Learned::from_bytes(bytes), Learned::default());
        }
    }
}
