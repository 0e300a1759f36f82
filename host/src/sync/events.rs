//! What workers report to the supervisor of their target.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::canary::{Canary, CanaryResult};
use crate::domain::change::Failure;

/// Events that may wait for the supervisor.
const WAITING_MAX: usize = 64;

/// One report of a worker.
pub(super) enum TargetEvent {
    /// The target as a whole failed. The worker waits until `handled` is dropped.
    Failed { failure: Failure, handled: Handled },
    /// A delivery worked.
    Delivered,
    /// This canary had its batch.
    CanaryTried(Arc<Canary>, CanaryResult),
}

/// Held by the supervisor until it has set the gate after a failure. Dropping it is the acknowledgement.
#[derive(Debug)]
pub(super) struct Handled {
    _sender: oneshot::Sender<()>,
}

/// The workers' end.
#[derive(Clone)]
pub(super) struct EventSender(mpsc::Sender<TargetEvent>);

/// Makes both ends.
pub(super) fn channel() -> (EventSender, mpsc::Receiver<TargetEvent>) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    (EventSender(sender), receiver)
}

impl EventSender {
    /// Reports a success. It is dropped when the channel is full: the supervisor then knows enough.
    pub(super) fn delivered(&self) {
        drop(self.0.try_send(TargetEvent::Delivered));
    }

    pub(super) async fn canary_tried(&self, canary: &Arc<Canary>, result: CanaryResult) {
        drop(self.0.send(TargetEvent::CanaryTried(Arc::clone(canary), result)).await);
    }

    /// Reports a failure, and returns when the supervisor has set the gate after it, or has ended.
    pub(super) async fn failed(&self, failure: Failure) {
        let (sender, acknowledged) = oneshot::channel();
        let event = TargetEvent::Failed { failure, handled: Handled { _sender: sender } };
        if self.0.send(event).await.is_ok() {
            // It ends with an error: nothing is ever sent.
            acknowledged.await.ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::change::FailureKind;

    fn failure() -> Failure {
        Failure::new(FailureKind::Unavailable, "down")
    }

    #[tokio::test]
    async fn a_worker_continues_after_a_failure_only_when_the_supervisor_has_handled_it() {
        let (sender, mut events) = channel();
        let worker = tokio::spawn(async move { sender.failed(failure()).await });
        let Some(TargetEvent::Failed { handled, .. }) = events.recv().await else { panic!("no failure") };
        tokio::task::yield_now().await;
        assert!(!worker.is_finished(), "the gate is not set yet");
        drop(handled);
        worker.await.expect("it goes on");
    }

    #[tokio::test]
    async fn a_worker_does_not_wait_for_a_supervisor_that_has_ended() {
        let (sender, events) = channel();
        let worker = tokio::spawn({
            let sender = sender.clone();
            async move { sender.failed(failure()).await }
        });
        tokio::task::yield_now().await;
        drop(events);
        worker.await.expect("it goes on");
        sender.failed(failure()).await;
    }

    #[tokio::test]
    async fn successes_never_wait_for_a_busy_supervisor() {
        let (sender, mut events) = channel();
        (0..=WAITING_MAX).for_each(|_| sender.delivered());
        let waiting = std::iter::from_fn(|| events.try_recv().ok()).count();
        assert_eq!(waiting, WAITING_MAX);
    }
}
