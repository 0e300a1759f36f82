//! An adapter that was checked at a target, with the state of that check and the state that calls have learned.
//!
//! All workers of a target share it, so that what one call learned the next one knows. It does not access the store:
//! the caller stores new learned state ([`CheckedAdapter::take_new`]) and passes in what other hosts learned
//! ([`CheckedAdapter::remember`]).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};

use crate::domain::hex::hex;
use crate::plugin::Adapter;

/// An adapter with the state that its last `check` returned, and what it learned since.
pub struct CheckedAdapter {
    /// The adapter.
    pub adapter: Arc<Adapter>,
    /// The state that its `check` passes to each `apply` and `observe`.
    pub(super) state: Vec<u8>,
    basis: String,
    learned: Mutex<Learning>,
}

#[derive(Default)]
struct Learning {
    bytes: Arc<[u8]>,
    /// It is not in the store yet.
    is_new: bool,
    /// The store's revision that this host has seen.
    revision: i64,
}

impl CheckedAdapter {
    /// An adapter that has learned nothing yet.
    #[must_use]
    pub fn new(adapter: Arc<Adapter>, state: Vec<u8>) -> Self {
        let mut digest = Sha256::new();
        digest.update(adapter.sha256());
        digest.update(&state);
        Self { adapter, state, basis: hex(&digest.finalize()), learned: Mutex::default() }
    }

    /// The basis of learned state: a digest of the adapter and of the state that its check returned.
    #[must_use]
    pub fn basis(&self) -> &str {
        &self.basis
    }

    /// Whether the store may hold something newer on this basis.
    #[must_use]
    pub fn is_behind(&self, basis: Option<&str>, revision: i64) -> bool {
        basis == Some(self.basis()) && self.lock().revision < revision
    }

    /// Takes over the learned state of the store.
    pub fn remember(&self, revision: i64, bytes: Vec<u8>) {
        *self.lock() = Learning { bytes: bytes.into(), is_new: false, revision };
    }

    /// Keeps the learned state of a call.
    pub fn learn(&self, bytes: Vec<u8>) {
        let mut learning = self.lock();
        if *learning.bytes != *bytes {
            learning.bytes = bytes.into();
            learning.is_new = true;
        }
    }

    /// Returns new learned state once, to be written into the store.
    #[must_use]
    pub fn take_new(&self) -> Option<Arc<[u8]>> {
        let mut learning = self.lock();
        std::mem::take(&mut learning.is_new).then(|| Arc::clone(&learning.bytes))
    }

    /// The same adapter for calls of which nothing lasts, with the learned state of another one.
    pub(super) fn aside(&self, other: &Self) -> Self {
        let learned = Learning { bytes: other.learned(), ..Learning::default() };
        let (adapter, state, basis) = (Arc::clone(&self.adapter), self.state.clone(), self.basis.clone());
        Self { adapter, state, basis, learned: Mutex::new(learned) }
    }

    /// The learned state for the next call.
    pub(super) fn learned(&self) -> Arc<[u8]> {
        Arc::clone(&self.lock().bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Learning> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
