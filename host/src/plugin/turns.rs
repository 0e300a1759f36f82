//! Loads of the same component take turns.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// One load at a time for each digest: the second finds what the first has compiled.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl Turns {
    pub(super) fn of(&self, sha256: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(turns.entry(sha256.to_owned()).or_default())
    }
}
