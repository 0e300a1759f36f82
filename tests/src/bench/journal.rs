//! What the journal costs: the same drain with it and without it, in one run.
//!
//! Each in tables of its own, and by turns first, since the machine is not the same from one minute to the next.

use anyhow::{Result, ensure};

use super::measure::{Options, rate};
use super::report::{Better, Goal, Row};
use super::stand::{Stand, Work};
use crate::environment::Backend;

/// So much of its rate a drain may lose.
const GOAL: f64 = 0.97;

/// The rows over one kind of store and target.
pub(super) async fn rows(options: &Options, name: &str, store: Backend, target: Backend) -> Result<Vec<Row>> {
    let count = options.sized(10_000, 50_000);
    let mut figures = [Figures::default(), Figures::default()];
    for repeat in 0..2 * options.repeats() {
        // With the journal, without it; then the other way round.
        for has_journal in [repeat % 2 == 0, repeat % 2 == 1] {
            let mut stand = if has_journal {
                Stand::new(store, target).await?
            } else {
                Stand::without_journal(store, target).await?
            };
            let of = &mut figures[usize::from(has_journal)];
            for (work, rates) in [(Work::Creates, &mut of.creates), (Work::Updates, &mut of.updates)] {
                stand.fill(count, work).await?;
                rates.push(rate(count, stand.host_drain().await?.elapsed));
            }
            let attempts = stand.attempts().await?;
            ensure!(has_journal == (attempts > 0), "{name}: {attempts} attempts were recorded");
        }
    }
    let [without, with] = figures;
    let row = |what: &str, ours, baseline| Row {
        name: format!("{name}, {what}"),
        unit: "patients/s",
        ours,
        baseline,
        against: "the same drain without the journal",
        better: Better::More,
        goal: Goal::ratio(GOAL),
    };
    Ok(vec![row("creates", with.creates, without.creates), row("updates", with.updates, without.updates)])
}

/// Patients a second, one figure for each drain.
#[derive(Debug, Default)]
struct Figures {
    creates: Vec<f64>,
    updates: Vec<f64>,
}
