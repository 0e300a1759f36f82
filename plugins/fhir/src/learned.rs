//! What calls learn of the server, which the host keeps and gives to every later call.
//!
//! Defines its format. It holds only facts that cost a refused request to find out, and nothing about a patient. The
//! host forgets it when another adapter is active or the check finds another server (`Capabilities::server`), so a
//! server that can do more after an upgrade is asked again.

use serde::{Deserialize, Serialize};

/// Each is one thing that the server refuses as such, whatever the patient.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing learnt of the server")]
pub(crate) struct Learned {
    /// It takes no batch Bundles, although it says so.
    pub(crate) no_bundles: bool,
    /// It takes Bundles, but no searches in them.
    pub(crate) no_searches_in_bundles: bool,
    /// It takes no ids of ours.
    pub(crate) no_ids: bool,
    /// It takes Bundles only at the base URL with a slash behind it.
    pub(crate) slash: bool,
}

impl Learned {
    /// What an earlier call returned; nothing, where none did or its form is not known.
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
