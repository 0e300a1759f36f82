//! The same operations, decided by a seed, on every store: after each, all say the same and hold the same.
//!
//! What fails names the seed and the operations up to the first difference; there is no shorter prefix that shows it.

pub(crate) mod plan;
mod state;
mod world;

use futures::future::join_all;
use tests::environment::Backend;

use self::plan::{Operation, plan};
use self::world::World;
use crate::support::Stand;

/// Operations of one run.
const LENGTH: usize = 150;

async fn worlds() -> Vec<(&'static str, World)> {
    let mut all = Vec::new();
    for backend in [Backend::Sqlite, Backend::MariaDb, Backend::Postgres] {
        if let Some(stand) = Stand::on(backend).await {
            all.push((backend.name(), World::new(stand).await));
        }
    }
    all
}

async fn run(seed: u64) {
    let mut stores = worlds().await;
    let operations = plan(seed, LENGTH);
    for (index, operation) in operations.iter().enumerate() {
        let results = stores.iter_mut().map(async |(_, world)| {
            let answer = world.run(operation).await;
            (answer, world.state().await)
        });
        let results = Box::pin(join_all(results)).await;
        for (other, (answer, state)) in results.iter().enumerate().skip(1) {
            let (first_answer, first_state) = &results[0];
            let names = (stores[0].0, stores[other].0);
            assert!(
                answer == first_answer,
                "{}{}",
                found(seed, &operations[..=index]),
                answers(names, first_answer, answer)
            );
            assert!(
                state == first_state,
                "{}{}",
                found(seed, &operations[..=index]),
                differences(names, first_state, state)
            );
        }
    }
}

fn found(seed: u64, operations: &[Operation]) -> String {
    let list: Vec<_> = operations.iter().map(|operation| format!("   {operation:?}")).collect();
    format!("seed {seed}: the stores differ after these operations:\n{}\n", list.join("\n"))
}

fn answers((first, other): (&str, &str), first_answer: &str, answer: &str) -> String {
    format!("{first} answers:\n{first_answer}\n{other} answers:\n{answer}")
}

fn differences((first, other): (&str, &str), first_state: &[String], state: &[String]) -> String {
    let only = |lines: &[String], others: &[String]| {
        lines
            .iter()
            .filter(|line| !others.contains(line))
            .map(|line| format!("   {line}\n"))
            .collect::<Vec<_>>()
            .concat()
    };
    format!("only {first} holds:\n{}only {other} holds:\n{}", only(first_state, state), only(state, first_state))
}

/// A plan that left a kind of operation out would prove nothing of it.
#[test]
fn the_generated_plans_have_every_kind_of_operation() {
    let words: std::collections::BTreeSet<_> = (0..8)
        .flat_map(|seed| plan(seed, LENGTH))
        .map(|operation| format!("{operation:?}").split(['(', ' ']).next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(words.len(), 20, "{words:?}");
}

macro_rules! seeds {
    ($($name:ident: $seed:literal),+ $(,)?) => {
        $( #[tokio::test(flavor = "multi_thread")] async fn $name() { run($seed).await; } )+
    };
}

seeds!(
    all_stores_agree_on_seed_0: 0,
    all_stores_agree_on_seed_1: 1,
    all_stores_agree_on_seed_2: 2,
    all_stores_agree_on_seed_3: 3,
    all_stores_agree_on_seed_4: 4,
    all_stores_agree_on_seed_5: 5,
    all_stores_agree_on_seed_6: 6,
    all_stores_agree_on_seed_7: 7,
);

/// Minutes of it, for whoever changed a statement: `cargo nextest run -p tests more_seeds --run-ignored all`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn all_stores_agree_on_more_seeds() {
    for seed in 8..40 {
        run(seed).await;
    }
}
