//! Sends the requests of one round, in Bundles or one by one, and learns about the server meanwhile.
//!
//! Owns the learned facts of earlier calls and of this one (no Bundles, no searches in them, no ids of ours, smaller
//! Bundles). It also finds a bad request in a Bundle: a Bundle that is refused or aborted is split until the entry is
//! found. A write that the server may still be working on is never sent again for that; it ends as unanswered. Before
//! an unexpected response is attributed to a patient, a small search tests whether the target works. It judges no
//! change, and `wire` sends.

use std::collections::VecDeque;

use adapter_sdk::{Failure, FailureKind};

use super::Outside;
use super::wire::{Posted, Sent, Wire};
use crate::answer::Answer;
use crate::bundle::{self, Entry};
use crate::capability::probe_query;
use crate::delivery::{Interaction, Rules};
use crate::learned::Learned;

/// The number of aborted Bundles in a row before requests are sent one by one.
const BROKEN_BUNDLES_MAX: u32 = 3;
/// The number of unexpected responses in a row, each for another patient, before the target is to blame even if it
/// passes the test.
const ODD_IN_A_ROW_MAX: u32 = 16;
/// The maximum number of unanswered requests in a call. Each takes the target's whole timeout, and the call has a
/// deadline.
const TIMEOUTS_MAX: u32 = 2;

/// The result of one request of a round.
#[derive(Debug)]
pub(super) enum Reply {
    Answer(Answer),
    /// The server responded to its Bundle without carrying it out as requested, and doing it twice would do harm:
    /// search before it is sent again.
    LookFirst,
    /// It was sent, and got no response or one that is not the server's. The failure concerns this request alone.
    Unanswered(Failure),
}

/// The result of a round.
#[derive(Default)]
pub(super) struct Round {
    pub(super) replies: Vec<(usize, Reply)>,
    /// Why the round ended early. Requests without a reply may have been carried out.
    pub(super) stopped: Option<Failure>,
}

pub(super) struct Line<'a> {
    outside: &'a dyn Outside,
    wire: Wire<'a>,
    rules: &'a Rules<'a>,
    bundles: bool,
    searches_in_bundles: bool,
    learned: Learned,
    entries_max: usize,
    broken_bundles: u32,
    odd_in_a_row: u32,
    timeouts: u32,
    /// Whether the target responded to a search of our own in this call.
    is_well: bool,
}

impl<'a> Line<'a> {
    pub(super) fn new(outside: &'a dyn Outside, rules: &'a Rules<'a>, learned: Learned) -> Self {
        Self {
            outside,
            rules,
            bundles: rules.settings.batch && rules.capabilities.batch && !learned.no_bundles,
            searches_in_bundles: rules.settings.searches_in_bundles && !learned.no_searches_in_bundles,
            learned,
            wire: Wire::new(outside, learned.slash),
            entries_max: rules.settings.bundle_entries_max,
            broken_bundles: 0,
            odd_in_a_row: 0,
            timeouts: 0,
            is_well: false,
        }
    }

    /// The current learned state of the server.
    pub(super) fn learned(&self) -> Learned {
        Learned { slash: self.wire.needs_slash(), ..self.learned }
    }

    /// Sends the requests. Each is sent at most once, unless doing it twice changes nothing.
    pub(super) fn round(&mut self, interactions: &[(usize, Interaction)]) -> Round {
        let mut round = Round::default();
        // Searches are sent separately, so that a refusal of searches is recognised.
        for searches in [true, false] {
            let part: Vec<&(usize, Interaction)> =
                interactions.iter().filter(|(_, interaction)| interaction.is_search() == searches).collect();
            if let Err(failure) = self.part(&part, searches, &mut round) {
                round.stopped = Some(failure);
                break;
            }
        }
        round
    }

    fn part(
        &mut self,
        interactions: &[&(usize, Interaction)],
        searches: bool,
        round: &mut Round,
    ) -> Result<(), Failure> {
        let entries: Vec<Entry> = interactions
            .iter()
            .map(|(index, interaction)| Entry::new(*index, interaction, self.rules.capabilities))
            .collect();
        let mut queue: VecDeque<Vec<Entry>> = self.cut(entries).into();
        while let Some(entries) = queue.pop_front() {
            if entries.len() == 1 || !self.bundles || (searches && !self.searches_in_bundles) {
                let of_chunk =
                    |interaction: &&&(usize, Interaction)| entries.iter().any(|entry| entry.index == interaction.0);
                for (index, interaction) in interactions.iter().filter(of_chunk) {
                    self.alone(*index, interaction, round)?;
                }
            } else {
                self.together(entries, searches, &mut queue, round)?;
            }
        }
        Ok(())
    }

    fn cut(&self, entries: Vec<Entry>) -> Vec<Vec<Entry>> {
        bundle::chunks(entries, self.entries_max, self.rules.settings.bundle_bytes_max)
    }

    /// Sends one Bundle. Entries that must be sent again go into the queue.
    fn together(
        &mut self,
        mut entries: Vec<Entry>,
        searches: bool,
        queue: &mut VecDeque<Vec<Entry>>,
        round: &mut Round,
    ) -> Result<(), Failure> {
        match self.wire.post(&entries) {
            Sent::Answered(Posted::Answers(answers)) if searches && answers.iter().all(is_refused_search) => {
                self.search_alone(entries, queue);
            }
            Sent::Answered(Posted::Answers(answers)) => {
                self.broken_bundles = 0;
                if answers.iter().any(is_sound) {
                    self.odd_in_a_row = 0;
                }
                round
                    .replies
                    .extend(entries.iter().map(|entry| entry.index).zip(answers.into_iter().map(Reply::Answer)));
            }
            Sent::Answered(Posted::Refused) if searches => self.search_alone(entries, queue),
            Sent::Answered(Posted::Refused) => halve(entries, queue),
            Sent::Answered(Posted::NotTaken) => {
                self.bundles = false;
                self.learned.no_bundles = true;
                self.outside.warn(
                    "the server declares batch Bundles but refuses them; sending requests one by one (set batch = false \
                     to do so from the start)",
                );
                queue.push_front(entries);
            }
            // The server is done with it, so requests that may be repeated are sent again.
            Sent::Odd(failure, _) => {
                self.odd(&failure)?;
                let again = self.take_out(&mut entries, round, |entry| !entry.is_post, || Reply::LookFirst);
                self.broke(again, queue);
            }
            Sent::Broken(failure) => {
                self.odd(&failure)?;
                let again = self.take_out(
                    &mut entries,
                    round,
                    |entry| entry.may_be_repeated,
                    || Reply::Unanswered(failure.clone()),
                );
                self.broke(again, queue);
            }
            Sent::Slow(failure) => {
                let quarter = (entries.len() / 4).max(1);
                let again = self.take_out(
                    &mut entries,
                    round,
                    |entry| entry.may_be_repeated,
                    || Reply::Unanswered(failure.clone()),
                );
                self.slow(&failure)?;
                self.entries_max = quarter;
                let waiting = queue.drain(..).flatten();
                let smaller = self.cut(again.into_iter().chain(waiting).collect());
                queue.extend(smaller);
            }
            Sent::Target(failure) => return Err(failure),
        }
        Ok(())
    }

    /// Removes the entries that must not be sent again, with their reply, and returns the others.
    fn take_out(
        &mut self,
        entries: &mut Vec<Entry>,
        round: &mut Round,
        may_go_again: impl Fn(&Entry) -> bool,
        reply: impl Fn() -> Reply,
    ) -> Vec<Entry> {
        let (again, once): (Vec<_>, Vec<_>) = entries.drain(..).partition(may_go_again);
        if !once.is_empty() {
            self.entries_max = (once.len() / 4).max(1);
        }
        round.replies.extend(once.iter().map(|entry| (entry.index, reply())));
        again
    }

    fn broke(&mut self, entries: Vec<Entry>, queue: &mut VecDeque<Vec<Entry>>) {
        self.broken_bundles += 1;
        if self.broken_bundles == BROKEN_BUNDLES_MAX {
            self.bundles = false;
            self.outside.warn("the server breaks on batch Bundles again and again; sending requests one by one");
        }
        halve(entries, queue);
    }

    fn search_alone(&mut self, entries: Vec<Entry>, queue: &mut VecDeque<Vec<Entry>>) {
        self.searches_in_bundles = false;
        self.learned.no_searches_in_bundles = true;
        self.outside.warn(
            "the server refuses searches in batch Bundles; sending searches one by one (set searches_in_bundles = false \
             to do so from the start)",
        );
        queue.push_front(entries);
    }

    /// Sends a single request.
    fn alone(&mut self, index: usize, interaction: &Interaction, round: &mut Round) -> Result<(), Failure> {
        if interaction.only_if_new && self.learned.no_ids {
            round.replies.push((index, Reply::Answer(Answer::of_status(405))));
            return Ok(());
        }
        let reply = match self.wire.single(interaction) {
            Sent::Answered(answer) => {
                if is_sound(&answer) {
                    self.odd_in_a_row = 0;
                }
                self.learned.no_ids |= interaction.only_if_new && matches!(answer.status, 404 | 405 | 501);
                Reply::Answer(answer)
            }
            Sent::Odd(failure, None) | Sent::Broken(failure) => {
                self.odd(&failure)?;
                Reply::Unanswered(own(failure))
            }
            Sent::Odd(failure, Some(answer)) => {
                self.odd(&failure)?;
                // A success that is not FHIR confirms nothing.
                let is_success = (200..300).contains(&answer.status);
                Reply::Answer(if is_success { answer.without_status() } else { answer })
            }
            Sent::Slow(failure) => {
                self.slow(&failure)?;
                self.odd(&failure)?;
                Reply::Unanswered(own(failure))
            }
            Sent::Target(failure) => return Err(failure),
        };
        round.replies.push((index, reply));
        Ok(())
    }

    /// Whether the server refuses our credentials even for a write that no server could carry out.
    pub(super) fn refuses_every_write(&self) -> bool {
        self.wire.refuses_a_broken_write()
    }

    /// Handles an unexpected response: tests whether the target works, unless that is known and not in doubt.
    fn odd(&mut self, failure: &Failure) -> Result<(), Failure> {
        self.odd_in_a_row += 1;
        if self.odd_in_a_row >= ODD_IN_A_ROW_MAX {
            return Err(failure.clone());
        }
        if !self.is_well || self.odd_in_a_row.is_multiple_of(4) {
            self.is_well = self.wire.finds_nobody(probe_query(&self.rules.settings.identifier_system));
        }
        if self.is_well { Ok(()) } else { Err(failure.clone()) }
    }

    fn slow(&mut self, failure: &Failure) -> Result<(), Failure> {
        self.timeouts += 1;
        if self.timeouts < TIMEOUTS_MAX { Ok(()) } else { Err(failure.clone()) }
    }
}

/// Whether the response shows that the server processed the request.
fn is_sound(answer: &Answer) -> bool {
    matches!(answer.status, 200..=499) && !matches!(answer.status, 401 | 403 | 408 | 429)
}

/// Whether the server refuses searches in Bundles, which does not concern its health.
fn is_refused_search(answer: &Answer) -> bool {
    matches!(answer.status, 400 | 404 | 405 | 406 | 415 | 422 | 501)
}

/// Splits a Bundle and appends the halves to the queue. Responses to the Bundles before them show whether the server
/// works.
fn halve(mut entries: Vec<Entry>, queue: &mut VecDeque<Vec<Entry>>) {
    let second = entries.split_off(entries.len() / 2);
    queue.extend([entries, second].into_iter().filter(|half| !half.is_empty()));
}

/// The failure of one patient whose single request got no response while the target works: it spends an attempt. The
/// host keeps the patient in flight for as long as the server may be working on it.
fn own(failure: Failure) -> Failure {
    Failure { kind: FailureKind::Transient, ..failure }
}

#[cfg(test)]
mod tests;
