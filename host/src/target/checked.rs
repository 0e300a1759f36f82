//! An adapter that was checked at a target: what every call is given of the check, and of what calls have learned.
//!
//! All workers of a target share it, so that what one call learned the next one knows. It reads and writes no store:
//! whoever has one takes what is new ([`CheckedAdapter::take_new`]) and brings what other hosts learned
//! ([`CheckedAdapter::remember`]).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};

use crate::domain::hex::hex;
use crate::plugin::Adapter;

/// An adapter with the state that its last `check` returned, and what it learned since.
pub struct CheckedAdapter {
    /// The adapter.
    pub adapter: Arc<Adapter>,
    /// What its `check` hands to each `apply` and `observe`.
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

    /// What makes learned things true: a digest of the adapter and of the state that its check returned.
    #[must_use]
    pub fn basis(&self) -> &str {
        &self.basis
    }

    /// Whether the store may hold something newer on this basis.
    #[must_use]
    pub fn is_behind(&self, basis: Option<&str>, revision: i64) -> bool {
        basis == Some(self.basis()) && self.lock().revision < revision
    }

    /// Takes over what the store holds.
    pub fn remember(&self, revision: i64, bytes: Vec<u8>) {
        *self.lock() = Learning { bytes: bytes.into(), is_new: false, revision };
    }

    /// Keeps what a call learned.
    pub fn learn(&self, bytes: Vec<u8>) {
        let mut learning = self.lock();
        if *learning.bytes != *bytes {
            learning.bytes = bytes.into();
            learning.is_new = true;
        }
    }

    /// What is to be written into the store, once.
    #[must_use]
    pub fn take_new(&self) -> Option<Arc<[u8]>> {
        let mut learning = self.lock();
        std::mem::take(&mut learning.is_new).then(|| Arc::clone(&learning.bytes))
    }

    /// What the next call is given.
    pub(super) fn learned(&self) -> Arc<[u8]> {
        Arc::clone(&self.lock().bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Learning> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
