//! The chain of the audit: how an event is hashed, and which events break the chain.
//!
//! The bytes that are hashed are `neuronova-audit-1`, a line feed, and each field in the order of `fields` below. A
//! field that is absent is one byte 0. A field that is there is one byte 1, the length of its text in bytes (8 bytes,
//! the highest first), and the text in UTF-8; numbers are decimal. So no two events have the same bytes. The hash is
//! the SHA-256 of these bytes, as 64 lower-case hexadecimal digits. It never changes without another first line.

use sha2::{Digest as _, Sha256};

use super::audit::{AuditEvent, AuditFacts, AuditSubject, Operator};
use super::hex::hex;

const FIRST_LINE: &[u8] = b"neuronova-audit-1\n";

/// The previous hash of the first event.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The most numbers that are tried to find out where a moved event was before.
const NUMBERS_TRIED_MAX: i64 = 5_000_000;

/// The end of a chain: the number of its last event, and that event's hash. 0 and [`GENESIS`] of an empty one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditHead {
    pub id: i64,
    pub hash: String,
}

impl AuditHead {
    /// The head of a chain without events.
    #[must_use]
    pub fn genesis() -> Self {
        Self { id: 0, hash: GENESIS.to_owned() }
    }

    /// The event that follows this head.
    #[must_use]
    pub fn next(&self, at: i64, facts: &AuditFacts) -> AuditEvent {
        let (id, previous_hash) = (self.id + 1, self.hash.clone());
        let mut event = AuditEvent { id, at, facts: facts.clone(), previous_hash, hash: String::new() };
        event.hash = hash(&event);
        event
    }
}

impl std::fmt::Display for AuditHead {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}:{}", self.id, self.hash)
    }
}

/// A head that was written down: `ID:HASH` as `host audit head` prints it, or the hash alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownHead {
    pub id: Option<i64>,
    pub hash: String,
}

impl std::str::FromStr for KnownHead {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected what `host audit head` printed: ID:HASH, or the hash of 64 digits".to_owned();
        let (id, hash) = match text.trim().split_once(':') {
            Some((id, hash)) => (Some(id.parse::<i64>().ok().filter(|id| *id >= 0).ok_or_else(wrong)?), hash),
            None => (None, text.trim()),
        };
        let is_hash = hash.len() == GENESIS.len() && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hash { Ok(Self { id, hash: hash.to_ascii_lowercase() }) } else { Err(wrong()) }
    }
}

/// The hash that an event should have.
#[must_use]
pub fn hash(event: &AuditEvent) -> String {
    hash_as(event, event.id)
}

fn hash_as(event: &AuditEvent, id: i64) -> String {
    let mut digest = Sha256::new();
    digest.update(FIRST_LINE);
    for field in fields(event, id) {
        match field {
            None => digest.update([0]),
            Some(text) => {
                digest.update([1]);
                digest.update((text.len() as u64).to_be_bytes());
                digest.update(text.as_bytes());
            }
        }
    }
    hex(&digest.finalize())
}

/// Every field but the hash itself, in the order in which they are hashed.
fn fields(event: &AuditEvent, id: i64) -> [Option<String>; 19] {
    let AuditEvent { id: _, at, facts, previous_hash, hash: _ } = event;
    let AuditFacts { command_id, operator, action, subject, reason, outcome } = facts;
    let Operator { user, uid, login, acting_as, machine, remote } = operator;
    let AuditSubject { target, aggregate_type, aggregate_id, other_id, count, detail } = subject;
    [
        Some(id.to_string()),
        Some(at.to_string()),
        Some(command_id.clone()),
        Some(user.clone()),
        uid.map(|uid| uid.to_string()),
        login.clone(),
        acting_as.clone(),
        Some(machine.clone()),
        remote.clone(),
        Some(action.clone()),
        target.clone(),
        aggregate_type.clone(),
        aggregate_id.clone(),
        other_id.clone(),
        count.map(|count| count.to_string()),
        detail.clone(),
        reason.clone(),
        Some(outcome.clone()),
        Some(previous_hash.clone()),
    ]
}

/// What is wrong with a chain, at its first bad event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenChain {
    pub id: i64,
    pub fault: ChainFault,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainFault {
    /// There is no such event, and there are later ones.
    Removed,
    /// Its fields do not have its hash.
    Changed,
    /// It was written under another number.
    Reordered { from: i64 },
    /// It does not name the hash of the event before it, which was replaced.
    Unlinked,
    /// It is there no longer, and nothing behind it.
    CutOff { last: i64 },
    /// It has another hash than when its head was written down.
    Replaced,
    /// It is behind the head: it was inserted, or the head was set back.
    BehindHead,
    /// No event has the hash that was written down.
    UnknownHead,
}

impl std::fmt::Display for BrokenChain {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let id = self.id;
        match &self.fault {
            ChainFault::Removed => write!(formatter, "event {id} is missing: it was removed"),
            ChainFault::Changed => write!(formatter, "event {id} was changed: its fields do not have its hash"),
            ChainFault::Reordered { from } => {
                write!(formatter, "event {id} was written as event {from}: the order was changed")
            }
            ChainFault::Unlinked => {
                write!(formatter, "event {id} does not follow event {}, which was replaced", id - 1)
            }
            ChainFault::CutOff { last } => {
                write!(formatter, "event {id} is missing: the end was cut off behind event {last}")
            }
            ChainFault::Replaced => {
                write!(formatter, "event {id} has another hash than the head that was written down: it was replaced")
            }
            ChainFault::BehindHead => {
                write!(
                    formatter,
                    "event {id} is behind the head of the chain: it was inserted, or the head was set back"
                )
            }
            ChainFault::UnknownHead => write!(
                formatter,
                "no event up to {id} has the hash that was written down: the end was cut off, or events were replaced"
            ),
        }
    }
}

/// Follows a chain event by event, from the first one.
#[derive(Debug)]
pub struct ChainCheck {
    last: AuditHead,
    /// The head that the store had when the check began.
    stored: AuditHead,
    known: Option<KnownHead>,
    knows_head: bool,
}

impl ChainCheck {
    /// Begins a check. `stored` is the store's head; `known` is one that was written down elsewhere.
    #[must_use]
    pub fn new(stored: AuditHead, known: Option<KnownHead>) -> Self {
        let mut check = Self { last: AuditHead::genesis(), stored, knows_head: known.is_none(), known };
        check.knows_head |= check.is_known_head(&AuditHead::genesis());
        check
    }

    /// The last event that was followed.
    #[must_use]
    pub fn last(&self) -> &AuditHead {
        &self.last
    }

    /// Follows the next event.
    ///
    /// # Errors
    /// When it breaks the chain.
    pub fn follow(&mut self, event: &AuditEvent) -> Result<(), BrokenChain> {
        let broken = |id, fault| Err(BrokenChain { id, fault });
        let expected = self.last.id + 1;
        if event.id != expected {
            return broken(expected, ChainFault::Removed);
        }
        if hash(event) != event.hash {
            let mut numbers = 1..=self.stored.id.max(event.id).min(NUMBERS_TRIED_MAX);
            let from = numbers.find(|id| hash_as(event, *id) == event.hash);
            return broken(event.id, from.map_or(ChainFault::Changed, |from| ChainFault::Reordered { from }));
        }
        if event.previous_hash != self.last.hash {
            return broken(event.id, ChainFault::Unlinked);
        }
        let head = AuditHead { id: event.id, hash: event.hash.clone() };
        if self.known.as_ref().is_some_and(|known| known.id == Some(head.id) && known.hash != head.hash) {
            return broken(event.id, ChainFault::Replaced);
        }
        if head.id == self.stored.id && head.hash != self.stored.hash {
            return broken(event.id, ChainFault::Replaced);
        }
        self.knows_head |= self.is_known_head(&head);
        self.last = head;
        Ok(())
    }

    fn is_known_head(&self, head: &AuditHead) -> bool {
        let is_it = |known: &KnownHead| known.hash == head.hash && known.id.is_none_or(|id| id == head.id);
        self.known.as_ref().is_some_and(is_it)
    }

    /// Ends the check after the last event. `stored` is the store's head as of now. Returns the last event.
    ///
    /// # Errors
    /// When the end is missing, or goes beyond the head.
    pub fn end(self, stored: &AuditHead) -> Result<AuditHead, BrokenChain> {
        let broken = |id, fault| Err(BrokenChain { id, fault });
        let last = self.last.id;
        if last < self.stored.id {
            return broken(last + 1, ChainFault::CutOff { last });
        }
        if last > stored.id {
            return broken(stored.id + 1, ChainFault::BehindHead);
        }
        if self.knows_head {
            return Ok(self.last);
        }
        match self.known.and_then(|known| known.id) {
            Some(id) if id > last => broken(last + 1, ChainFault::CutOff { last }),
            Some(id) => broken(id, ChainFault::Replaced),
            None => broken(last, ChainFault::UnknownHead),
        }
    }
}

#[cfg(test)]
#[path = "audit_chain_tests.rs"]
mod tests;
