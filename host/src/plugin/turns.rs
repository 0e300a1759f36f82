//! Serializes loads of the same component.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// One lock per digest, so that a second load finds the result of the first in the cache.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl Turns {
    pub(super) fn of(&self, sha256: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(turns.entry(sha256.to_owned()).or_default())
    }
}
