//! Which SQL an adapter may run.
use std::collections::BTreeSet;

/// The tables that an adapter may touch, in lower case. `None` allows every table of the target's own database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SqlGrants {
    /// Tables that may be read.
    pub read: Option<BTreeSet<String>>,
    /// Tables that may be written.
    pub write: Option<BTreeSet<String>>,
}
