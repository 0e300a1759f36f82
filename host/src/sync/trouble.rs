//! Which tasks cannot reach or write the store, and since when. A run until idle gives up on a long outage.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::store::StoreError;

/// The trouble of each task, with its begin. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct StoreTrouble(Arc<Mutex<BTreeMap<String, (Instant, String)>>>);

impl StoreTrouble {
    /// Notes that a task could not do its work. `true` when it could before, so that an outage is logged once.
    pub(super) fn note(&self, task: &str, error: &StoreError) -> bool {
        let mut troubles = self.lock();
        if let Some((_, message)) = troubles.get_mut(task) {
            *message = error.to_string();
            return false;
        }
        troubles.insert(task.to_owned(), (Instant::now(), error.to_string()));
        true
    }

    /// Notes that a task could do its work. `true` when it could not before.
    pub(super) fn end(&self, task: &str) -> bool {
        self.lock().remove(task).is_some()
    }

    /// The trouble of a task that has had it for at least `limit`.
    pub(super) fn longer_than(&self, limit: Duration) -> Option<String> {
        let troubles = self.lock();
        let lasting = troubles.values().find(|(since, _)| since.elapsed() >= limit);
        lasting.map(|(_, message)| message.clone())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, (Instant, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_reported_once_and_lasts_until_its_task_recovers() {
        let error = StoreError::Corrupt { operation: "route changes".to_owned(), found: "nothing".to_owned() };
        let trouble = StoreTrouble::default();
        assert!(trouble.note("router", &error));
        assert!(!trouble.note("router", &error), "said once");
        assert!(!trouble.end("claimer"), "another task's success does not count");
        assert_eq!(trouble.longer_than(Duration::ZERO).as_deref(), Some("route changes: nothing"));
        assert_eq!(trouble.longer_than(Duration::from_secs(60)), None);
        assert!(trouble.end("router"), "and once when it is over");
        assert_eq!(trouble.longer_than(Duration::ZERO), None);
    }
}
