//! The tasks of the daemon: each has a name and a pulse, and all are joined.
//!
//! A task that ends before the stop, by a panic or otherwise, ends the daemon. A task that is not polled any
//! more (it blocks its thread, or all threads are blocked) loses its pulse. This host then sends no heartbeat: `hosts
//! running` counts hosts that can deliver.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

/// The time between two beats of a pulse.
const BEAT_EVERY: Duration = Duration::from_secs(1);

/// All tasks of a daemon.
pub(super) struct Tasks {
    set: JoinSet<()>,
    names: HashMap<Id, String>,
    pulses: Pulses,
}

/// A task that ended before the stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskDeath {
    /// Which task.
    pub task: String,
    /// Whether it panicked; otherwise it just ended.
    pub panicked: bool,
}

impl fmt::Display for TaskDeath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.panicked { "panicked" } else { "ended by itself" };
        write!(formatter, "the task `{}` {how}: this host ends, since it would no longer do all of its work", self.task)
    }
}

impl Tasks {
    /// No task yet. One that is not polled for `hangs_after` will hang.
    pub(super) fn new(hangs_after: Duration) -> Self {
        Self { set: JoinSet::new(), names: HashMap::new(), pulses: Pulses { known: Arc::default(), hangs_after } }
    }

    /// Starts a task with a pulse.
    pub(super) fn spawn(&mut self, name: impl Into<String>, task: impl Future<Output = ()> + Send + 'static) {
        let name = name.into();
        let pulse = self.pulses.add(&name);
        let handle = self.set.spawn(async move {
            tokio::select! {
                () = task => {}
                () = pulse.beat() => {}
            }
        });
        self.names.insert(handle.id(), name);
    }

    /// The pulses of all tasks.
    pub(super) fn pulses(&self) -> Pulses {
        self.pulses.clone()
    }

    /// Waits for the next task to end; `None` when there is none left.
    pub(super) async fn next_death(&mut self) -> Option<TaskDeath> {
        let ended = self.set.join_next_with_id().await?;
        let (id, panicked) = match ended {
            Ok((id, ())) => (id, false),
            Err(error) => (error.id(), JoinError::is_panic(&error)),
        };
        let task = self.names.remove(&id).unwrap_or_else(|| "unnamed".to_owned());
        self.pulses.remove(&task);
        Some(TaskDeath { task, panicked })
    }
}

/// When each task was last polled. Clones share it.
#[derive(Clone)]
pub(super) struct Pulses {
    known: Arc<Mutex<Vec<(String, Pulse)>>>,
    hangs_after: Duration,
}

#[derive(Clone)]
struct Pulse {
    born: Instant,
    beaten_ms: Arc<AtomicU64>,
}

impl Pulse {
    /// Beats while the task is polled; never returns.
    async fn beat(self) {
        loop {
            let elapsed = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.beaten_ms.store(elapsed, Ordering::Relaxed);
            tokio::time::sleep(BEAT_EVERY).await;
        }
    }

    fn silent_for(&self, now: Instant) -> Duration {
        now.duration_since(self.born).saturating_sub(Duration::from_millis(self.beaten_ms.load(Ordering::Relaxed)))
    }
}

impl Pulses {
    fn add(&self, name: &str) -> Pulse {
        let pulse = Pulse { born: Instant::now(), beaten_ms: Arc::default() };
        self.lock().push((name.to_owned(), pulse.clone()));
        pulse
    }

    fn remove(&self, name: &str) {
        self.lock().retain(|(known, _)| known != name);
    }

    /// The name of a task that hangs, if one does.
    pub(super) fn hanging(&self) -> Option<String> {
        self.hanging_at(Instant::now())
    }

    fn hanging_at(&self, now: Instant) -> Option<String> {
        self.lock().iter().find(|(_, pulse)| pulse.silent_for(now) > self.hangs_after).map(|(name, _)| name.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(String, Pulse)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HANGS_AFTER: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_task_that_panics_or_ends_is_named() {
        let mut tasks = Tasks::new(HANGS_AFTER);
        tasks.spawn("router", std::future::pending());
        tasks.spawn("purger", async { panic!("a defect") });
        let death = tasks.next_death().await.expect("one");
        assert_eq!(death, TaskDeath { task: "purger".to_owned(), panicked: true });
        tasks.spawn("rescuer", std::future::ready(()));
        let death = tasks.next_death().await.expect("one");
        assert_eq!((death.task.as_str(), death.panicked), ("rescuer", false));
    }

    #[tokio::test]
    async fn only_a_task_that_is_not_polled_counts_as_hanging() {
        let mut tasks = Tasks::new(HANGS_AFTER);
        tasks.spawn("waits", std::future::pending());
        tokio::task::yield_now().await;
        assert_eq!(tasks.pulses().hanging(), None);
        let later = Instant::now() + HANGS_AFTER + Duration::from_secs(1);
        assert_eq!(tasks.pulses().hanging_at(later).as_deref(), Some("waits"), "nothing was polled meanwhile");
    }
}
