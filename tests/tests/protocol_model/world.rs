//! The state of the model: the store's rows, the target's rows, and what each host is about.

use crate::protocol::Without;

pub(crate) const HOSTS: usize = 2;
pub(crate) const CHANGES: usize = 2;

/// A change's id; also the state that it brings to the target.
pub(crate) type Change = u8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Status {
    Absent,
    Pending,
    Processing,
    Done,
    Superseded,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Lease {
    pub(crate) id: u8,
    pub(crate) change: Change,
    pub(crate) is_direct: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// Only without `DispatchAtOnce`: marked as routed, not in flight.
    Routed,
    /// Under a lease, nothing written.
    Claimed,
    /// Only without `FenceAfterApply`: the lease was checked, nothing written.
    Checked,
    /// Written in an open transaction.
    Applied,
    /// The same, and the next thing the host does is to commit.
    MayCommit,
    /// Committed at the target, not settled.
    Committed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Batch {
    pub(crate) lease: Lease,
    pub(crate) step: Step,
    /// Whether the open transaction inserts: it saw no row.
    pub(crate) inserts: bool,
}

impl Batch {
    pub(crate) fn in_transaction(self) -> bool {
        matches!(self.step, Step::Applied | Step::MayCommit)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    // The store.
    pub(crate) statuses: [Status; CHANGES],
    pub(crate) routed: [bool; CHANGES],
    pub(crate) in_flight: Vec<Lease>,
    pub(crate) leases: Vec<Lease>,
    pub(crate) last_lease_id: u8,
    /// Changes that were dispatched directly and then requeued.
    pub(crate) requeued: [bool; CHANGES],
    /// What `sync_link.delivered_outbox_id` was set to, in order.
    pub(crate) links: Vec<Change>,
    // The target.
    pub(crate) rows: Vec<Change>,
    /// What was committed, in order.
    pub(crate) history: Vec<Change>,
    /// The batch of each host; `None` is idle.
    pub(crate) hosts: [Option<Batch>; HOSTS],
    pub(crate) faults: u8,
    /// Set when a settle wrote after its lease had been lost.
    pub(crate) lost_lease_settled: bool,
    /// Set when a directly dispatched change was settled.
    pub(crate) direct_settled: bool,
}

impl World {
    pub(crate) fn status(&mut self, change: Change) -> &mut Status {
        &mut self.statuses[usize::from(change) - 1]
    }

    /// The newest change that has a delivery; 0 when there is none.
    pub(crate) fn newest(&self) -> Change {
        (1..)
            .zip(self.statuses)
            .filter(|(_, status)| *status != Status::Absent)
            .map(|(change, _)| change)
            .max()
            .unwrap_or(0)
    }

    /// The newest change that the target confirmed; 0 when there is none.
    pub(crate) fn confirmed(&self) -> Change {
        self.links.iter().max().copied().unwrap_or(0)
    }

    pub(crate) fn holds(&self, lease: Lease) -> bool {
        self.leases.contains(&lease)
    }

    /// Begins a lease for a change and enters it as in flight.
    pub(crate) fn begin(&mut self, host: usize, change: Change, is_direct: bool) {
        self.last_lease_id += 1;
        let lease = Lease { id: self.last_lease_id, change, is_direct };
        self.leases.push(lease);
        self.in_flight.push(lease);
        self.hosts[host] = Some(Batch { lease, step: Step::Claimed, inserts: false });
    }

    pub(crate) fn drop_lease(&mut self, lease: Lease) -> bool {
        let held = self.holds(lease);
        self.leases.retain(|other| *other != lease);
        held
    }

    /// Ends a lease and makes its change pending; nothing when the lease was lost before.
    pub(crate) fn requeue(&mut self, lease: Lease, without: Without) {
        if !self.drop_lease(lease) {
            return;
        }
        self.in_flight.retain(|other| *other != lease);
        let status = *self.status(lease.change);
        if status == Status::Processing || (status == Status::Absent && without != Without::RequeueInsert) {
            *self.status(lease.change) = Status::Pending;
        }
        self.requeued[usize::from(lease.change) - 1] |= lease.is_direct;
    }

    pub(crate) fn has_host(&self, lease: Lease) -> bool {
        self.hosts.iter().flatten().any(|batch| batch.lease == lease)
    }
}
