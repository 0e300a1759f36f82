//! Asks `host why` while the cause is known: one thing is broken at a time, and the answer must name it. Hosts are
//! killed all the same, since that must change no answer.
//!
//! It comes last, when the books are balanced already, and its own patients are in no book.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};

use super::{
    clinical::{self, ENCOUNTER},
    evidence::{FHIR, OPENEMR, PATIENT},
    fleet::Fleet,
    world::World,
    writer,
};
use crate::host::Host;
use crate::session::Session;

/// Aggregates that are asked about for each cause, at both targets.
const SUBJECTS: u32 = 3;
/// Of 100 answers so many must be right.
const RIGHT_OF_100: usize = 95;
/// How long a cause may take to have its effect.
const EFFECT_WITHIN: Duration = Duration::from_secs(30);
/// How long an operator's command takes to reach every host.
const COMMAND_ARRIVES: Duration = Duration::from_secs(1);
/// For so long a host that died counts as running.
const HOST_FORGOTTEN: Duration = Duration::from_secs(17);

/// What keeps a change from a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Nothing,
    /// This target cannot be reached.
    Away(&'static str),
    /// An operator paused this target.
    Paused(&'static str),
    /// It refers to a patient whom the store does not know.
    LacksReference,
    /// Both targets refuse it.
    Refused,
    NoHost,
}

/// How the deliveries of a change stand once a cause has had its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Ended(&'static str),
    /// Pending, and not in flight.
    Pending,
    /// That, and a host has noticed that the target is away: until then nobody can know it.
    PendingAndNoticed,
    /// Written, and perhaps not even routed.
    Open,
}

impl Cause {
    /// The causes of one round. Only clinical records refer to anything; that no host runs takes long to be seen.
    fn all(is_clinical: bool, is_long: bool) -> Vec<Self> {
        let mut causes = vec![
            Self::Nothing,
            Self::Away(OPENEMR),
            Self::Away(FHIR),
            Self::Paused(OPENEMR),
            Self::Paused(FHIR),
            Self::Refused,
        ];
        causes.extend(is_clinical.then_some(Self::LacksReference));
        causes.extend(is_long.then_some(Self::NoHost));
        causes
    }

    /// The effect at a target, and the class that the answer must have.
    fn expected(self, target: &str) -> (Effect, &'static str) {
        match self {
            Self::Away(away) if away == target => (Effect::PendingAndNoticed, "waits-for-target"),
            Self::Paused(paused) if paused == target => (Effect::Pending, "paused"),
            Self::Nothing | Self::Away(_) | Self::Paused(_) => (Effect::Ended("done"), "delivered"),
            Self::LacksReference => (Effect::Pending, "waits-for-reference"),
            Self::Refused => (Effect::Ended("failed"), "failed"),
            Self::NoHost => (Effect::Open, "no-host"),
        }
    }
}

/// What was asked and answered.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    asked: usize,
    wrong: Vec<String>,
}

impl Answers {
    /// One line for people, and one for each wrong answer.
    pub(crate) fn summary(&self) -> String {
        let right = self.asked - self.wrong.len();
        let first = format!("why: {right} of {} answers named the cause", self.asked);
        [first].iter().chain(&self.wrong).map(String::as_str).collect::<Vec<_>>().join("\n  ")
    }

    /// The wrong answers, if they are too many.
    pub(crate) fn violations(&self) -> Vec<String> {
        let right = self.asked - self.wrong.len();
        if right * 100 >= self.asked * RIGHT_OF_100 { Vec::new() } else { self.wrong.clone() }
    }
}

/// Who asks.
pub(crate) struct Questions<'a> {
    pub(crate) world: &'a World,
    pub(crate) fleet: &'a Fleet,
    /// A host of the same store, which only runs commands.
    pub(crate) asker: &'a Host,
    pub(crate) is_clinical: bool,
}

impl Questions<'_> {
    /// Asks about every cause, in an order of the dice, `rounds` times. The hosts are kept running by someone else.
    pub(crate) async fn ask(&self, rounds: u32, seed: u64) -> Result<Answers> {
        let mut dice = StdRng::seed_from_u64(seed);
        let mut answers = Answers::default();
        let mut session = writer::open(&self.world.store_urls[0]).await.context("open the store")?;
        for round in 0..rounds {
            let mut causes = Cause::all(self.is_clinical, rounds > 1);
            causes.shuffle(&mut dice);
            for (number, cause) in causes.into_iter().enumerate() {
                let name = format!("{round}-{number}");
                self.ask_about(cause, &name, &mut session, &mut dice, &mut answers)
                    .await
                    .with_context(|| format!("ask about {cause:?}"))?;
            }
        }
        session.close().await?;
        Ok(answers)
    }

    async fn ask_about(
        &self,
        cause: Cause,
        name: &str,
        session: &mut Session,
        dice: &mut StdRng,
        answers: &mut Answers,
    ) -> Result<()> {
        self.begin(cause).await?;
        if cause != Cause::NoHost {
            self.fleet.kill(dice.random_range(0..self.fleet.size()), Duration::from_millis(dice.random_range(0..600)));
        }
        for number in 0..SUBJECTS {
            session.execute(&change(cause, &format!("Q-{name}-{number}"))).await?;
        }
        for number in 0..SUBJECTS {
            for target in [OPENEMR, FHIR] {
                self.ask_once(cause, &format!("Q-{name}-{number}"), target, session, answers).await?;
            }
        }
        self.end(cause)
    }

    /// Waits for the effect and asks once. In flight is a right answer about a change that is in flight right then.
    async fn ask_once(
        &self,
        cause: Cause,
        id: &str,
        target: &str,
        session: &mut Session,
        answers: &mut Answers,
    ) -> Result<()> {
        let (effect, class) = cause.expected(target);
        wait_for(effect, id, target, session).await?;
        let aggregate_type = if cause == Cause::LacksReference { ENCOUNTER } else { PATIENT };
        let output = self.asker.run(&["why", "--type", aggregate_type, "--id", id, "--target", target, "--json"]);
        let answer: serde_json::Value = serde_json::from_str(&output.stdout)
            .with_context(|| format!("read the answer about {id}: {}", output.stderr))?;
        answers.asked += 1;
        let is_in_flight = state(id, target, session).await?.is_some_and(|(_, is_in_flight)| is_in_flight);
        if answer["class"] != class && !(is_in_flight && answer["class"] == "in-progress") {
            answers.wrong.push(format!("{id} at {target}: {cause:?} is the cause, host why gave {answer}"));
        }
        Ok(())
    }

    async fn begin(&self, cause: Cause) -> Result<()> {
        match cause {
            Cause::Away(target) => self.world.part(target).context("the target's part")?.take_away(),
            Cause::Paused(target) => {
                self.command(&["target", "pause", target])?;
                tokio::time::sleep(COMMAND_ARRIVES).await;
            }
            Cause::NoHost => {
                for index in 0..self.fleet.size() {
                    self.fleet.kill(index, 2 * HOST_FORGOTTEN);
                }
                tokio::time::sleep(HOST_FORGOTTEN).await;
            }
            Cause::Nothing | Cause::LacksReference | Cause::Refused => {}
        }
        Ok(())
    }

    /// Ends the cause.
    fn end(&self, cause: Cause) -> Result<()> {
        match cause {
            Cause::Away(target) => self.world.part(target).context("the target's part")?.heal()?,
            Cause::Paused(target) => self.command(&["target", "resume", target])?,
            Cause::NoHost => self.fleet.start_all(),
            Cause::Nothing | Cause::LacksReference | Cause::Refused => {}
        }
        Ok(())
    }

    fn command(&self, arguments: &[&str]) -> Result<()> {
        let output = self.asker.run(arguments);
        ensure!(output.status == Some(0), "host {}: {}", arguments.join(" "), output.stderr);
        Ok(())
    }
}

/// The statement that writes a subject into the outbox.
fn change(cause: Cause, id: &str) -> String {
    match cause {
        Cause::LacksReference => clinical::encounter_of(id, &format!("{id}-nobody")),
        // A month that there is not: no target takes it.
        Cause::Refused => writer::outbox(id, 1, "create", "Seoul").replace("1980-01-31", "1980-31-01"),
        _ => writer::outbox(id, 1, "create", "Seoul"),
    }
}

/// Status of the newest delivery of an aggregate at a target, and whether it is in flight; `None` before it is routed.
async fn state(id: &str, target: &str, session: &mut Session) -> Result<Option<(String, bool)>> {
    let sql = format!(
        "SELECT d.status, (SELECT COUNT(*) FROM sync_in_flight w WHERE w.target = d.target AND w.outbox_id = d.outbox_id) \
         FROM sync_delivery d WHERE d.aggregate_id = '{id}' AND d.target = '{target}'"
    );
    let row = session.rows(&sql).await?.pop();
    Ok(row.and_then(|row| Some((row.first()?.clone()?, row.get(1)?.as_deref() != Some("0")))))
}

/// Whether a host has noticed that a target is down.
async fn is_down(target: &str, session: &mut Session) -> Result<bool> {
    let row = session.rows(&format!("SELECT state FROM sync_target WHERE name = '{target}'")).await?.pop();
    Ok(row.and_then(|mut row| row.pop()?).is_some_and(|state| state == "down"))
}

async fn wait_for(effect: Effect, id: &str, target: &str, session: &mut Session) -> Result<()> {
    let until = Instant::now() + EFFECT_WITHIN;
    loop {
        let there = state(id, target, session).await?;
        let is_there = match (effect, &there) {
            (Effect::Open, _) => true,
            (Effect::Ended(status), Some((is, _))) => is == status,
            (Effect::Pending, Some((is, is_in_flight))) => is == "pending" && !is_in_flight,
            (Effect::PendingAndNoticed, Some((is, is_in_flight))) => {
                is == "pending" && !is_in_flight && is_down(target, session).await?
            }
            (Effect::Ended(_) | Effect::Pending | Effect::PendingAndNoticed, None) => false,
        };
        if is_there {
            return Ok(());
        }
        ensure!(Instant::now() < until, "{id} at {target} is {there:?}, and not {effect:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_answer_of_twenty_passes_and_two_do_not() {
        let answers = |wrong| Answers { asked: 20, wrong: vec!["wrong".to_owned(); wrong] };
        assert_eq!(answers(1).violations(), Vec::<String>::new());
        assert_eq!(answers(2).violations().len(), 2);
        assert_eq!(answers(1).summary(), "why: 19 of 20 answers named the cause\n  wrong");
    }

    #[test]
    fn what_is_broken_elsewhere_is_no_cause() {
        assert_eq!(Cause::Away(FHIR).expected(FHIR).1, "waits-for-target");
        assert_eq!(Cause::Away(FHIR).expected(OPENEMR).1, "delivered");
    }
}
