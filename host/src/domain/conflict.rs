//! What a person may decide about a conflict: a delivery that the target's own state forbids.

use crate::vocabulary;

vocabulary! {
    /// Whose word counts.
    pub enum Keep {
        /// The application's: its state is written over what is there, and a record that is gone is made again.
        Local = "local",
        /// The target's: this change is not delivered, and what is there now is no conflict any more.
        Remote = "remote",
        /// The application's, at another record of the target, which the person names.
        Relink = "relink",
    }
}

/// A decision, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// See [`Keep::Local`].
    Local,
    /// See [`Keep::Remote`].
    Remote,
    /// See [`Keep::Relink`].
    Relink {
        /// The target's id of the record that is the right one.
        remote_id: String,
    },
}
