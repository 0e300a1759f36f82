//! A database target's statements, judged once and remembered.
use std::sync::Arc;

use super::sql_guard::SqlGrants;
use crate::database::Dialect;

/// What a target's adapter may do in a transaction. Made once per target; calls share its memory of verdicts.
pub struct SqlAccess {}

impl SqlAccess {
    /// For one target.
    #[must_use]
    pub fn new(dialect: Dialect, grants: SqlGrants) -> Arc<Self> {
        let _ = (dialect, grants);
        Arc::new(Self {})
    }
}
