//! Random merges, undoings, updates and encounters, several batches in flight, compared with what the application
//! holds.

use std::collections::{BTreeMap, BTreeSet};

use host::domain::delivery::Status;
use host::service::PatientService;
use host::store::{Batch, Claim};

use super::{Target, encounter, id, merge, put_encounter, settle, takes_both, unmerge};
use crate::differential::plan::Dice;
use crate::on_every_store;
use crate::support::{Stand, failed, patient, request, route};

on_every_store!(random_merges_equal_a_model);

/// What the application holds.
#[derive(Default)]
struct Model {
    survivors: BTreeMap<u32, u32>,
    cities: BTreeMap<u32, u32>,
    subjects: BTreeMap<u32, u32>,
}

impl Model {
    fn stands_for(&self, patient: u32) -> u32 {
        self.survivors.get(&patient).map_or(patient, |survivor| self.stands_for(*survivor))
    }
}

const CITIES: [&str; 4] = ["Seoul", "Busan", "Daegu", "Jeju"];
const PATIENTS: usize = 5;

async fn step(stand: &Stand, model: &mut Model, dice: &mut Dice) {
    let number = |dice: &mut Dice| u32::try_from(dice.below(PATIENTS)).expect("small");
    let (one, other) = (number(dice), number(dice));
    match dice.below(5) {
        0 => {
            let is_allowed = one != other
                && model.cities.contains_key(&one)
                && model.cities.contains_key(&other)
                && !model.survivors.contains_key(&one)
                && !model.survivors.contains_key(&other);
            assert_eq!(merge(stand, one, other).await.is_ok(), is_allowed, "merge {one} into {other}");
            if is_allowed {
                model.survivors.insert(one, other);
            }
        }
        1 => assert_eq!(unmerge(stand, one).await, model.survivors.remove(&one).is_some(), "undo {one}"),
        2 => {
            let record = encounter(&format!("E-{other}"), &id(one), dice.pick(&["AMB", "EMER"]));
            let written = put_encounter(stand, &record).await.is_ok();
            if !model.survivors.contains_key(&one) {
                assert!(written, "encounter {other} of {one}");
                model.subjects.insert(other, one);
            }
        }
        _ => {
            let city = u32::try_from(dice.below(CITIES.len())).expect("small");
            let put = PatientService::new(stand.store.clone()).put(&[patient(one, CITIES[city as usize])]).await;
            let is_allowed = !model.survivors.contains_key(&one) || model.cities.get(&one) == Some(&city);
            assert_eq!(put.is_ok(), is_allowed, "put {one}");
            if is_allowed {
                model.cities.insert(one, city);
            }
        }
    }
}

/// Settles one of the batches that are in flight, in any order, with failures that pass.
async fn settle_one(stand: &Stand, target: &mut Target, in_flight: &mut Vec<Batch>, dice: &mut Dice) {
    if in_flight.is_empty() {
        return;
    }
    let batch = in_flight.swap_remove(dice.below(in_flight.len()));
    let settled: Vec<_> = batch
        .deliveries
        .iter()
        .map(|delivery| if dice.below(5) == 0 { failed(delivery, Status::Pending, 1) } else { target.apply(delivery) })
        .collect();
    settle(stand, &batch, &settled).await;
}

async fn random_merges_equal_a_model(stand: Stand) {
    takes_both(&stand).await;
    for seed in 0..4 {
        let (mut dice, mut model) = (Dice::new(seed), Model::default());
        let mut target = Target::default();
        stand.database.execute("DELETE FROM patient_merge").await.expect("begin anew");
        for table in
            ["patient_cache", "clinical_record", "sync_link", "sync_delivery", "sync_dependency", "sync_outbox"]
        {
            stand.database.execute(&format!("DELETE FROM {table}")).await.expect("begin anew");
        }
        let mut in_flight = Vec::new();
        for _ in 0..60 {
            for _ in 0..dice.below(3) {
                step(&stand, &mut model, &mut dice).await;
            }
            route(&stand.store, 1_000).await;
            if in_flight.len() < 3
                && let Claim::Batch(batch) =
                    stand.store.claim(&request(1 + u32::try_from(dice.below(3)).expect("small"))).await.expect("claim")
            {
                in_flight.push(batch);
            }
            if dice.below(2) == 0 {
                settle_one(&stand, &mut target, &mut in_flight, &mut dice).await;
            }
            stand.pass(1);
        }
        while !in_flight.is_empty() {
            settle_one(&stand, &mut target, &mut in_flight, &mut dice).await;
        }
        target.drain(&stand).await;
        let known: BTreeSet<_> = target.patients.keys().cloned().collect();
        for patient in model.cities.keys() {
            let record = format!("#{}", id(*patient));
            let root = model.stands_for(*patient);
            let expected = (root != *patient).then(|| format!("#{}", id(root)));
            if known.contains(&record) || expected.is_none() {
                assert_eq!(target.patients.get(&record), Some(&expected), "seed {seed}, patient {patient}");
            }
        }
        for (number, subject) in &model.subjects {
            let expected = format!("#{}", id(model.stands_for(*subject)));
            let found = target.encounters.get(&format!("E-{number}"));
            if model.cities.contains_key(&model.stands_for(*subject)) {
                assert_eq!(found, Some(&expected), "seed {seed}, encounter {number}");
            }
        }
    }
}
