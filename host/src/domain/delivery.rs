//! The life of one delivery: its statuses, the events that move it, and what a failure does to it.
//!
//! [`next_status`] decides every move. `Transition::of` derives from it the statuses that an event moves from and to,
//! and the SQL templates in `store/sql` take their statuses from there. A test compares each rendered statement with
//! `next_status`.

use super::change::{Change, Failure, FailureKind, Receipt, Reference};
use super::ids::{AggregateKey, ChangeId};
use crate::vocabulary;

vocabulary! {
    /// The status of a delivery, as in `sync_delivery.status`.
    pub enum Status {
        /// Queued: it waits for its turn or for a later attempt.
        Pending = "pending",
        /// In flight under a lease.
        Processing = "processing",
        /// The target confirmed it.
        Done = "done",
        /// An operator has to decide.
        Failed = "failed",
        /// A newer state of the same aggregate replaces it.
        Superseded = "superseded",
        /// It failed, and an operator decided that it need not be delivered.
        Dismissed = "dismissed",
        /// The target has no place for it: neither done nor failed.
        Skipped = "skipped",
    }
}

/// An event in the life of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A host puts it under a lease.
    Claim,
    /// The target confirmed it.
    Confirm,
    /// An attempt failed, and a later one follows.
    Defer,
    /// An attempt failed, and none follows.
    GiveUp,
    /// The lease was released, or it expired.
    Requeue,
    /// A newer state of the same aggregate is there, or an operator kept the target's.
    Supersede,
    /// An operator requests another attempt.
    Retry,
    /// An operator decided that it need not be delivered.
    Dismiss,
    /// The target has no place for it.
    Skip,
    /// An operator or another adapter requests that a skipped delivery is tried again.
    Reconsider,
    /// An operator requests that the newest state of the aggregate is sent again, whatever its status is.
    Resend,
}

impl Event {
    /// Every event.
    pub const ALL: [Self; 11] = [
        Self::Claim,
        Self::Confirm,
        Self::Defer,
        Self::GiveUp,
        Self::Requeue,
        Self::Supersede,
        Self::Retry,
        Self::Dismiss,
        Self::Skip,
        Self::Reconsider,
        Self::Resend,
    ];
}

/// The status to which `event` moves a delivery, or `None` where the event must not happen.
#[must_use]
pub fn next_status(status: Status, event: Event) -> Option<Status> {
    match (status, event) {
        (Status::Pending, Event::Claim) => Some(Status::Processing),
        (Status::Processing, Event::Confirm) => Some(Status::Done),
        (Status::Processing, Event::Defer | Event::Requeue)
        | (Status::Failed, Event::Retry)
        | (Status::Skipped, Event::Reconsider)
        | (Status::Done | Status::Superseded | Status::Failed | Status::Skipped, Event::Resend) => {
            Some(Status::Pending)
        }
        (Status::Processing, Event::Skip) => Some(Status::Skipped),
        (Status::Processing, Event::GiveUp) => Some(Status::Failed),
        (Status::Pending | Status::Failed, Event::Supersede) => Some(Status::Superseded),
        (Status::Failed, Event::Dismiss) => Some(Status::Dismissed),
        (
            Status::Pending,
            Event::Confirm
            | Event::Defer
            | Event::GiveUp
            | Event::Requeue
            | Event::Retry
            | Event::Dismiss
            | Event::Skip
            | Event::Reconsider
            | Event::Resend,
        )
        | (
            Status::Processing,
            Event::Claim | Event::Supersede | Event::Retry | Event::Dismiss | Event::Reconsider | Event::Resend,
        )
        | (
            Status::Failed,
            Event::Claim
            | Event::Confirm
            | Event::Defer
            | Event::GiveUp
            | Event::Requeue
            | Event::Skip
            | Event::Reconsider,
        )
        | (
            Status::Skipped,
            Event::Claim
            | Event::Confirm
            | Event::Defer
            | Event::GiveUp
            | Event::Requeue
            | Event::Supersede
            | Event::Retry
            | Event::Dismiss
            | Event::Skip,
        )
        | (
            Status::Done | Status::Superseded,
            Event::Claim
            | Event::Confirm
            | Event::Defer
            | Event::GiveUp
            | Event::Requeue
            | Event::Supersede
            | Event::Retry
            | Event::Dismiss
            | Event::Skip
            | Event::Reconsider,
        )
        | (Status::Dismissed, _) => None,
    }
}

/// How a delivery begins: the status with which its row is inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Entry {
    /// The router queues it.
    Queue,
    /// The router dispatches it directly under a lease.
    Dispatch,
    /// The change cannot be read, so it fails at once.
    Refuse,
}

impl Entry {
    pub const ALL: [Self; 3] = [Self::Queue, Self::Dispatch, Self::Refuse];

    #[must_use]
    pub fn status(self) -> Status {
        match self {
            Self::Queue => Status::Pending,
            Self::Dispatch => Status::Processing,
            Self::Refuse => Status::Failed,
        }
    }
}

/// A move as SQL makes it: a compare-and-set from some statuses to one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    pub from: Vec<Status>,
    pub to: Status,
}

impl Transition {
    /// The move that an event makes, from every status in which it can happen.
    ///
    /// # Panics
    /// When `next_status` has no move for the event, or moves to more than one status. A test covers every event.
    #[must_use]
    pub fn of(event: Event) -> Self {
        let moves = Status::ALL.iter().filter_map(|from| Some((*from, next_status(*from, event)?)));
        let (from, to): (Vec<_>, Vec<_>) = moves.unzip();
        let first = *to.first().expect("invariant: every event moves something");
        assert!(to.iter().all(|to| *to == first), "invariant: an event moves to one status");
        Self { from, to: first }
    }
}

/// How often a delivery is retried, and how long the backoff is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The number of attempts after which a delivery fails.
    pub attempts_max: u32,
    /// The longest pause after the first failed attempt, in milliseconds; it doubles with each.
    pub base_ms: u64,
    /// The upper limit of every pause, in milliseconds.
    pub cap_ms: u64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts_max: 10, base_ms: 1_000, cap_ms: 600_000 }
    }
}

impl RetryPolicy {
    /// The pause after `attempts` failed attempts: exponential, capped, with full jitter (`jitter` is in `0.0..1.0`).
    #[must_use]
    pub fn pause_ms(&self, attempts: u32, jitter: f64) -> u64 {
        let doublings = attempts.saturating_sub(1).min(32);
        let longest = self.base_ms.saturating_mul(1 << doublings).min(self.cap_ms);
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let pause = (longest as f64 * jitter.clamp(0.0, 1.0)) as u64;
        pause.min(longest)
    }
}

/// How long a host sends nothing to a target that is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// The first pause, in milliseconds.
    pub open_ms: u64,
    /// The longest pause, in milliseconds.
    pub cap_ms: u64,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self { open_ms: 1_000, cap_ms: 60_000 }
    }
}

/// One delivery under a lease.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub change: Change,
    /// Attempts spent before this one.
    pub attempts: u32,
    /// For a merge, the id of the survivor that the application named. If the survivor was itself merged later, the
    /// change's `survivor` is the final one.
    pub survivor_id: Option<String>,
    /// Whether the last change that the target confirmed for the aggregate is a merge.
    pub was_merged: bool,
}

/// The result of one attempt, as it is settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    pub change_id: ChangeId,
    pub key: AggregateKey,
    pub status: Status,
    /// Attempts spent so far.
    pub attempts: u32,
    /// The time from now until a pending delivery is due.
    pub pause_ms: u64,
    pub failure: Option<Failure>,
    /// The reason for a skipped delivery.
    pub skipped: Option<String>,
    /// The target's confirmation.
    pub receipt: Option<Receipt>,
    /// For a confirmed merge, the id of the survivor.
    pub merged_into: Option<String>,
    /// Whether the aggregate now has another record at the target than the one confirmed before.
    pub is_moved: bool,
    /// What the change refers to and the target had a record of, as it went out.
    pub sent: Vec<Reference>,
}

/// Decides what a failure does to a delivery that had spent `attempts` before. Returns the event and the attempts spent
/// now.
#[must_use]
pub fn after_failure(kind: FailureKind, attempts: u32, policy: &RetryPolicy) -> (Event, u32) {
    if !kind.spends_attempt() {
        return (Event::Defer, attempts);
    }
    let spent = attempts.saturating_add(1);
    if kind.is_permanent() || spent >= policy.attempts_max { (Event::GiveUp, spent) } else { (Event::Defer, spent) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn next_status_follows_the_transition_of_each_event() {
        for event in Event::ALL {
            let Transition { from, to } = Transition::of(event);
            for status in Status::ALL.iter().copied() {
                let expected = from.contains(&status).then_some(to);
                assert_eq!(next_status(status, event), expected, "{status:?} {event:?}");
            }
        }
    }

    #[test]
    fn a_finished_delivery_changes_only_by_a_resync() {
        for status in [Status::Done, Status::Superseded, Status::Dismissed] {
            for event in Event::ALL {
                let is_sent_again = event == Event::Resend && status != Status::Dismissed;
                let expected = is_sent_again.then_some(Status::Pending);
                assert_eq!(next_status(status, event), expected, "{status:?} {event:?}");
            }
        }
    }

    #[test]
    fn only_a_leased_delivery_settles() {
        for status in Status::ALL.iter().copied() {
            for event in [Event::Confirm, Event::Defer, Event::GiveUp, Event::Requeue, Event::Skip] {
                assert_eq!(next_status(status, event).is_some(), status == Status::Processing, "{status:?} {event:?}");
            }
        }
    }

    #[test]
    fn an_outage_spends_no_attempt_and_never_fails() {
        let policy = RetryPolicy { attempts_max: 1, ..RetryPolicy::default() };
        for kind in
            FailureKind::ALL.iter().copied().filter(|kind| kind.is_target_wide() || *kind == FailureKind::Delayed)
        {
            assert_eq!(after_failure(kind, 7, &policy), (Event::Defer, 7));
        }
    }

    #[test]
    fn a_permanent_failure_fails_at_once() {
        for kind in FailureKind::ALL.iter().copied().filter(|kind| kind.is_permanent()) {
            assert_eq!(after_failure(kind, 0, &RetryPolicy::default()), (Event::GiveUp, 1));
        }
    }

    fn any_event() -> impl Strategy<Value = Event> {
        prop::sample::select(Event::ALL.to_vec())
    }

    fn any_kind() -> impl Strategy<Value = FailureKind> {
        prop::sample::select(FailureKind::ALL.to_vec())
    }

    proptest! {
        /// In every sequence of events, a delivery is claimed only while it is pending and settled only while it is
        /// processing. A final status changes only when an operator sends the delivery again.
        #[test]
        fn no_sequence_of_events_settles_without_a_claim_or_continues_after_the_end(
            events in prop::collection::vec(any_event(), 0..60)
        ) {
            let mut status = Status::Pending;
            let mut claims_open = 0;
            for event in events {
                let Some(next) = next_status(status, event) else { continue };
                let is_over = matches!(status, Status::Done | Status::Superseded) && event != Event::Resend;
                prop_assert!(!is_over && status != Status::Dismissed, "{status:?} went on by {event:?}");
                match event {
                    Event::Claim => claims_open += 1,
                    Event::Confirm | Event::Defer | Event::GiveUp | Event::Requeue | Event::Skip => claims_open -= 1,
                    Event::Supersede | Event::Retry | Event::Dismiss | Event::Reconsider | Event::Resend => {}
                }
                prop_assert!((0..=1).contains(&claims_open));
                prop_assert_eq!(claims_open == 1, next == Status::Processing);
                prop_assert_eq!(next == Status::Done, event == Event::Confirm, "only a confirmation is a success");
                status = next;
            }
        }

        /// No delivery is stuck: after any sequence of events, a few more events end it.
        #[test]
        fn after_any_events_a_delivery_can_still_be_finished(events in prop::collection::vec(any_event(), 0..60)) {
            let mut status = Status::Pending;
            for event in events {
                status = next_status(status, event).unwrap_or(status);
            }
            for event in [Event::Requeue, Event::Retry, Event::Reconsider, Event::Claim, Event::Confirm] {
                status = next_status(status, event).unwrap_or(status);
            }
            prop_assert!(matches!(status, Status::Done | Status::Superseded | Status::Dismissed));
        }

        #[test]
        fn a_failure_leaves_processing_and_spends_at_most_one_attempt(
            kind in any_kind(), attempts in any::<u32>(), limit in any::<u32>()
        ) {
            let policy = RetryPolicy { attempts_max: limit, ..RetryPolicy::default() };
            let (event, spent) = after_failure(kind, attempts, &policy);
            let next = next_status(Status::Processing, event);
            prop_assert!(matches!(next, Some(Status::Pending | Status::Failed)), "{next:?}");
            prop_assert!(spent >= attempts && spent - attempts <= 1);
            prop_assert!(!kind.is_target_wide() || spent == attempts, "an outage spends no attempt");
            prop_assert!(!kind.is_target_wide() || next == Some(Status::Pending), "an outage never fails a delivery");
            prop_assert!(!kind.is_permanent() || next == Some(Status::Failed), "a retry cannot help");
        }

        #[test]
        fn backoff_at_most_doubles_and_jitter_only_shortens_it(
            attempts in 0_u32..100, base in 1_u64..1_000_000, cap in 1_u64..100_000_000, jitter in 0.0_f64..1.0
        ) {
            let policy = RetryPolicy { attempts_max: 10, base_ms: base, cap_ms: cap };
            let longest = policy.pause_ms(attempts, 1.0);
            prop_assert!(policy.pause_ms(attempts + 1, 1.0) <= longest.saturating_mul(2));
            prop_assert!(policy.pause_ms(attempts, jitter) <= longest);
            prop_assert_eq!(policy.pause_ms(1, 1.0), base.min(cap));
        }

        #[test]
        fn invalid_jitter_is_clamped(
            attempts in any::<u32>(), jitter in any::<f64>(), base in any::<u64>(), cap in any::<u64>()
        ) {
            let policy = RetryPolicy { attempts_max: 10, base_ms: base, cap_ms: cap };
            prop_assert!(policy.pause_ms(attempts, jitter) <= cap);
        }

        #[test]
        fn backoff_never_exceeds_its_cap(
            attempts in 0_u32..10_000, jitter in 0.0_f64..1.0, base in 1_u64..100_000, cap in 1_u64..10_000_000
        ) {
            let policy = RetryPolicy { attempts_max: 10, base_ms: base, cap_ms: cap };
            prop_assert!(policy.pause_ms(attempts, jitter) <= cap);
        }

        #[test]
        fn maximum_backoff_never_shrinks_with_attempts(attempts in 0_u32..100) {
            let policy = RetryPolicy::default();
            prop_assert!(policy.pause_ms(attempts, 1.0) <= policy.pause_ms(attempts + 1, 1.0));
        }

        #[test]
        fn a_delivery_fails_when_its_attempts_are_spent(
            kind in prop::sample::select(vec![FailureKind::Transient, FailureKind::Adapter]), limit in 1_u32..20
        ) {
            let policy = RetryPolicy { attempts_max: limit, ..RetryPolicy::default() };
            let mut attempts = 0;
            let mut tries = 0;
            loop {
                tries += 1;
                let (event, spent) = after_failure(kind, attempts, &policy);
                attempts = spent;
                if event == Event::GiveUp { break }
            }
            prop_assert_eq!(tries, limit);
        }
    }
}
