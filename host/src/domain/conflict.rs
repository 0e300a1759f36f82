//! An operator's decisions about a conflict: a failure that the target's own state causes.

use crate::vocabulary;

vocabulary! {
    /// The state that is kept.
    pub enum Keep {
        /// The application's state. It replaces the target's, and a deleted record is created again.
        Local = "local",
        /// The target's state. The change is not delivered, and this state no longer counts as a conflict.
        Remote = "remote",
        /// The application's state, written to another record of the target, which the operator names.
        Relink = "relink",
    }
}

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// See [`Keep::Local`].
    Local,
    /// See [`Keep::Remote`].
    Remote,
    /// See [`Keep::Relink`].
    Relink {
        /// The target's id of the other record.
        remote_id: String,
    },
}

/// The text before the fingerprint at the end of a conflict's message.
const HOLDS: &str = " [holds ";
/// The longest fingerprint in bytes: the size of the link's column.
const HOLDS_BYTES_MAX: usize = 255;

/// Splits a conflict's message into its text and the fingerprint of the target's record, if the adapter gave one.
///
/// An adapter that finds a record changed by others may end its message with ` [holds FINGERPRINT]`. The suffix means
/// that the record exists. When an operator keeps the target's state, the link gets this fingerprint.
/// `plugins/README.md` has the rule for adapters.
#[must_use]
pub fn split_message(message: &str) -> (&str, Option<&str>) {
    let found = message.strip_suffix(']').and_then(|rest| rest.rsplit_once(HOLDS));
    match found {
        Some((text, fingerprint)) if is_fingerprint(fingerprint) => (text, Some(fingerprint)),
        _ => (message, None),
    }
}

fn is_fingerprint(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".:_-".contains(&byte);
    !text.is_empty() && text.len() <= HOLDS_BYTES_MAX && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_at_the_end_of_a_message_is_split_off() {
        for (message, expected) in [
            ("edited [holds 1.ab:2_c-d]", ("edited", Some("1.ab:2_c-d"))),
            ("edited", ("edited", None)),
            ("edited [holds ]", ("edited [holds ]", None)),
            ("edited [holds a b]", ("edited [holds a b]", None)),
            ("edited [holds ab] again", ("edited [holds ab] again", None)),
            ("edited [holds a] [holds b]", ("edited [holds a]", Some("b"))),
            ("", ("", None)),
        ] {
            assert_eq!(split_message(message), expected, "{message}");
        }
        let long = format!("edited [holds {}]", "a".repeat(HOLDS_BYTES_MAX + 1));
        assert_eq!(split_message(&long), (long.as_str(), None));
    }
}
