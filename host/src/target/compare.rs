//! The comparison of two adapters: whether the new one writes what the old one writes for the same changes.
//!
//! At a database both run in a transaction that is rolled back. Over HTTP the old one's answers are recorded, and the
//! new one is run on them: none of its writing requests is ever sent, and a reading one is sent only if the old one did
//! not make it. Both get the same clock and the same random numbers. Nothing of it stays at the target, in the
//! adapters' learned state or in the store. What is found names templates and columns, never a value.

use super::checked::CheckedAdapter;
use super::compare_requests::{self, sent};
use super::compare_statements::{self, Unstable, Written};
use super::deliver::{Delivered, FenceLost};
use super::session::{Finish, TargetSession};
use super::spec::Target;
use crate::database::Dialect;
use crate::domain::change::{Change, Failure, FailureKind, Outcome, Receipt};
use crate::domain::effect_difference::{EffectDifference, EffectDifferenceKind, EffectDifferences};
use crate::plugin::{Repeatable, Tape, TapeUse, Transcript, TranscriptEntry, World};

/// The result of a comparison.
#[derive(Debug)]
pub enum Comparison {
    /// Both write the same.
    Equal,
    /// The new one writes something else.
    Different(EffectDifferences),
    /// The new one fails where the old one does not: its outcomes and the old one's.
    Fails {
        /// Of the new adapter.
        new: Vec<Outcome>,
        /// Of the old adapter, for the same changes.
        old: Vec<Outcome>,
    },
    /// The old one delivers none of these changes, so that there is nothing to compare with.
    Nothing,
    /// Nothing can be concluded from these changes now, for this reason.
    Inconclusive(&'static str),
    /// Nothing can be compared at this target, for this reason.
    Impossible(String),
}

/// What an adapter did over HTTP, to be compared with another one.
#[derive(Debug)]
pub struct RecordedRun {
    tape: Tape,
    transcript: Transcript,
    surroundings: Repeatable,
}

/// What a run did.
struct Run {
    /// `None` when the call wanted to send a writing request for which there is no answer.
    outcomes: Option<Vec<Outcome>>,
    /// A failure of the target as a whole.
    failure: Option<Failure>,
    entries: Vec<TranscriptEntry>,
}

impl Run {
    fn of(delivered: Result<Delivered, FenceLost>, transcript: &Transcript) -> Self {
        let (outcomes, failure) = match delivered {
            Ok(Delivered { outcomes, target_failure, .. }) => (Some(outcomes), target_failure),
            Err(FenceLost) => (None, None),
        };
        Self { outcomes, failure, entries: transcript.entries() }
    }

    /// The run, unless the target failed.
    fn working(self) -> Result<Self, Failure> {
        match self.failure {
            Some(failure) => Err(failure),
            None => Ok(self),
        }
    }
}

impl RecordedRun {
    /// Nothing yet, in surroundings that begin now.
    #[must_use]
    pub fn begin() -> Self {
        Self { tape: Tape::default(), transcript: Transcript::default(), surroundings: Repeatable::begin() }
    }
}

impl TargetSession<'_> {
    /// Records what an adapter does, so that another one can be compared with it.
    #[must_use]
    pub fn recording(self, run: &RecordedRun) -> Self {
        self.with_transcript(run.transcript.clone())
            .with_tape(TapeUse::Record(run.tape.clone()))
            .with_repeatable(run.surroundings.clone())
    }
}

impl Target {
    /// Compares both adapters for these changes, and leaves nothing at the target. Over HTTP each change is tried by
    /// itself, up to its first writing request.
    ///
    /// # Errors
    /// When the target cannot be reached, or could not undo what would be written.
    pub async fn compare(
        &self,
        old: &CheckedAdapter,
        new: &CheckedAdapter,
        changes: &[Change],
    ) -> Result<Comparison, Failure> {
        match self.world() {
            World::Database => self.compare_rolled_back(old, new, changes).await,
            World::Http => self.compare_withheld(old, new, changes).await,
        }
    }

    async fn compare_rolled_back(
        &self,
        old: &CheckedAdapter,
        new: &CheckedAdapter,
        changes: &[Change],
    ) -> Result<Comparison, Failure> {
        let Some(database) = self.database() else { return Ok(Comparison::Nothing) };
        let dialect = database.dialect();
        match self.refuse_lasting_tables(database).await {
            Err(failure) if failure.kind == FailureKind::Misconfigured => {
                return Ok(Comparison::Impossible(failure.message));
            }
            refused => refused?,
        }
        let surroundings = Repeatable::begin();
        let mut first = self.run_rolled_back(old, &surroundings, changes).await.working()?;
        // A change that the old adapter cannot deliver shows nothing: the new one may be able to.
        let worked = only_working(changes, &first);
        if worked.is_empty() {
            return Ok(Comparison::Nothing);
        }
        if worked.len() < changes.len() {
            first = self.run_rolled_back(old, &surroundings, &worked).await.working()?;
        }
        let mut comparison = Comparison::Equal;
        for candidate in candidates(old, new) {
            let run = self.run_rolled_back(&candidate, &surroundings, &worked).await;
            comparison = judge_run(dialect, &first, &run, None);
            if matches!(comparison, Comparison::Different(_)) {
                // What differs between two runs of the old adapter too was made by the database, or by others.
                let again = self.run_rolled_back(old, &surroundings, &worked).await.working()?;
                comparison = judge_run(dialect, &first, &run, Some(&again));
            }
            if !matches!(comparison, Comparison::Different(_)) {
                break;
            }
        }
        Ok(comparison)
    }

    async fn run_rolled_back(&self, adapter: &CheckedAdapter, surroundings: &Repeatable, changes: &[Change]) -> Run {
        let transcript = Transcript::default();
        let session =
            self.session(Finish::RollBack).with_transcript(transcript.clone()).with_repeatable(surroundings.again());
        Run::of(session.deliver(adapter, changes).await, &transcript)
    }

    /// Each change alone: the first writing request is withheld, and what would follow is unknown.
    async fn compare_withheld(
        &self,
        old: &CheckedAdapter,
        new: &CheckedAdapter,
        changes: &[Change],
    ) -> Result<Comparison, Failure> {
        let mut found = EffectDifferences::default();
        for change in changes {
            let recorded = RecordedRun::begin();
            let one = std::slice::from_ref(change);
            let delivered = self.session(Finish::RollBack).recording(&recorded).deliver(old, one).await;
            let run = Run::of(delivered, &recorded.transcript).working()?;
            match self.compare_recorded(&recorded, run.outcomes.as_deref(), (old, new), one).await {
                Comparison::Equal | Comparison::Nothing => {}
                Comparison::Different(differences) => found.extend(differences),
                other @ (Comparison::Fails { .. } | Comparison::Inconclusive(_) | Comparison::Impossible(_)) => {
                    return Ok(other);
                }
            }
        }
        Ok(if found.is_empty() { Comparison::Equal } else { Comparison::Different(found) })
    }

    /// Runs the new adapter on the recorded answers of the old one. `outcomes` are the old one's; `None` when one of
    /// its requests was withheld.
    pub async fn compare_recorded(
        &self,
        recorded: &RecordedRun,
        outcomes: Option<&[Outcome]>,
        (old, new): (&CheckedAdapter, &CheckedAdapter),
        changes: &[Change],
    ) -> Comparison {
        let RecordedRun { tape, transcript, surroundings } = recorded;
        match outcomes {
            Some(outcomes) if outcomes.iter().all(is_failed) => return Comparison::Nothing,
            Some(outcomes) if outcomes.iter().any(is_failed) => {
                return Comparison::Inconclusive("the previous adapter does not deliver all of these changes");
            }
            Some(_) | None => {}
        }
        let first = Run { outcomes: outcomes.map(<[Outcome]>::to_vec), failure: None, entries: transcript.entries() };
        let mut comparison = Comparison::Equal;
        for candidate in candidates(old, new) {
            let (seen, played) = (Transcript::default(), tape.rewound());
            let session = self
                .session(Finish::RollBack)
                .with_transcript(seen.clone())
                .with_tape(TapeUse::Play(played))
                .with_repeatable(surroundings.again());
            let run = Run::of(session.deliver(&candidate, changes).await, &seen);
            comparison = self.judge_requests(&first, &run);
            if !matches!(comparison, Comparison::Different(_)) {
                break;
            }
        }
        comparison
    }

    fn judge_requests(&self, old: &Run, new: &Run) -> Comparison {
        let base = self.context.base_url.as_deref().and_then(|base| base.parse::<url::Url>().ok());
        let base_path = base.as_ref().map_or("", url::Url::path);
        let mut found = compare_requests::differences(&sent(base_path, &old.entries), &sent(base_path, &new.entries));
        // What an adapter makes of answers to other requests than its own shows nothing.
        match &new.failure {
            Some(_) if found.is_empty() => {
                Comparison::Inconclusive("the new adapter reports that the target as a whole fails")
            }
            None if found.is_empty() => judge_outcomes(old, new, None, &mut found),
            _ => conclude(&mut found),
        }
    }
}

/// The new adapter as it is, and with what the old one has learned of the target: a server that refuses some requests
/// makes an adapter send others.
fn candidates(old: &CheckedAdapter, new: &CheckedAdapter) -> Vec<CheckedAdapter> {
    let mut candidates = vec![new.aside(new)];
    let names = [old, new].map(|checked| checked.adapter.descriptor().name.as_str());
    if names[0] == names[1] && old.learned() != new.learned() {
        candidates.push(new.aside(old));
    }
    candidates
}

fn is_failed(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed(_))
}

fn only_working(changes: &[Change], run: &Run) -> Vec<Change> {
    let Some(outcomes) = &run.outcomes else { return Vec::new() };
    changes.iter().zip(outcomes).filter(|(_, outcome)| !is_failed(outcome)).map(|(change, _)| change.clone()).collect()
}

/// Compares two runs at a database; `again` is a second run of the old adapter.
fn judge_run(dialect: Dialect, old: &Run, new: &Run, again: Option<&Run>) -> Comparison {
    let is_delayed =
        |outcome: &Outcome| matches!(outcome, Outcome::Failed(failure) if failure.kind == FailureKind::Delayed);
    if new.failure.is_some() {
        return Comparison::Inconclusive("the new adapter reports that the target as a whole fails");
    }
    if new.outcomes.iter().flatten().any(is_delayed) {
        return Comparison::Inconclusive("locks of others held up the changes");
    }
    let written = |run: &Run| Written::of(dialect, &run.entries);
    let before = written(old);
    let unstable = match again {
        None => Unstable::default(),
        Some(again) => match before.unstable(&written(again)) {
            Some(unstable) => unstable,
            None => return Comparison::Inconclusive("the previous adapter does not do the same twice"),
        },
    };
    let mut found = compare_statements::differences(&before, &written(new), &unstable);
    judge_outcomes(old, new, again, &mut found)
}

/// Compares the outcomes too. What the old adapter confirms differently each time is not compared.
fn judge_outcomes(old: &Run, new: &Run, again: Option<&Run>, found: &mut EffectDifferences) -> Comparison {
    let (Some(before), Some(now)) = (&old.outcomes, &new.outcomes) else {
        // A request without an answer ended one of the calls: what was sent until then was compared.
        return conclude(found);
    };
    let failed = |outcomes: &[Outcome]| outcomes.iter().filter(|outcome| is_failed(outcome)).count();
    if failed(now) > failed(before) {
        return Comparison::Fails { new: now.clone(), old: before.clone() };
    }
    let repeated = again.and_then(|again| again.outcomes.as_ref());
    for (index, (one, other)) in before.iter().zip(now).enumerate() {
        match (one, other) {
            (Outcome::Applied(one), Outcome::Applied(other)) => {
                let repeated = repeated.map(|repeated| &repeated[index]);
                compare_receipts(one, other, repeated, found);
            }
            (Outcome::Skipped(_), Outcome::Skipped(_)) | (Outcome::Failed(_), _) => {}
            _ => {
                let place = format!("{} instead of {}", word(other), word(one));
                found.add(EffectDifference::new(EffectDifferenceKind::OtherOutcome, &place, None));
            }
        }
    }
    conclude(found)
}

fn conclude(found: &mut EffectDifferences) -> Comparison {
    if found.is_empty() { Comparison::Equal } else { Comparison::Different(std::mem::take(found)) }
}

fn compare_receipts(old: &Receipt, new: &Receipt, repeated: Option<&Outcome>, found: &mut EffectDifferences) {
    let parts = |receipt: &Receipt| {
        [
            ("remote id", Some(receipt.remote_id.clone())),
            ("version", receipt.remote_version.clone()),
            ("fingerprint", receipt.fingerprint.clone()),
        ]
    };
    let repeated = match repeated {
        Some(Outcome::Applied(receipt)) => parts(receipt),
        Some(Outcome::Failed(_) | Outcome::Skipped(_)) | None => parts(old),
    };
    for (((name, one), (_, other)), (_, again)) in parts(old).into_iter().zip(parts(new)).zip(repeated) {
        if one != other && one == again {
            found.add(EffectDifference::new(EffectDifferenceKind::OtherReceipt, name, None));
        }
    }
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Applied(_) => "applied",
        Outcome::Skipped(_) => "skipped",
        Outcome::Failed(_) => "failed",
    }
}
