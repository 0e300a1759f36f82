//! One store under the run: it does an operation and describes the result in words that must be the same for all.
//!
//! Numbers that a database gives (of changes, of leases) are named by the order in which they came to be; random things
//! (ids of events) are left out.

use host::domain::attempt::{Attempt, outcomes};
use host::domain::change::{Failure, FailureKind, Receipt};
use host::domain::conflict::Resolution;
use host::domain::delivery::{Delivery, Event, RetryPolicy, Settlement, Status, after_failure, next_status};
use host::domain::effects::Effects;
use host::domain::ids::{AggregateKey, IdColumn};
use host::domain::patient::{Day, Patient};
use host::service::PatientService;
use host::store::{
    Batch, BatchResults, Claim, ClaimRequest, ConflictKey, HostRecord, PurgeCursor, Resend, ResendScope, RetryFilter,
};

use super::plan::{Dice, Operation, TARGETS};
use crate::support::{FIFO_TYPE, Stand, dispatch, route, target_name};

fn request(target: &str, owner: &str, batch_max: u32, lease_ms: u64) -> ClaimRequest {
    ClaimRequest {
        target: target_name(target),
        owner: owner.to_owned(),
        batch_max,
        lease_ms,
        fifo_types: vec![FIFO_TYPE.to_owned()],
    }
}

/// One store, with the batches that are held.
pub(super) struct World {
    pub(super) stand: Stand,
    held: Vec<Batch>,
    pub(super) changes: Vec<i64>,
    pub(super) leases: Vec<i64>,
}

impl World {
    pub(super) async fn new(stand: Stand) -> Self {
        stand.store.register_host(&host_record()).await.expect("register");
        Self { stand, held: Vec::new(), changes: Vec::new(), leases: Vec::new() }
    }

    /// Does it, and describes the result.
    pub(super) async fn run(&mut self, operation: &Operation) -> String {
        let store = self.stand.store.clone();
        let service = PatientService::new(store.clone());
        match operation {
            Operation::Put(patients) => {
                let patients: Vec<_> = patients.iter().map(|(id, city)| patient(id, city)).collect();
                format!("{:?}", service.put(&patients).await.expect("put"))
            }
            Operation::Delete(id) => service.delete(id).await.expect("delete").to_string(),
            Operation::Foreign(kind, id, verb, payload, age_ms) => {
                let created_at = self.stand.now() - age_ms;
                let backslash = if store.database().dialect().name() == "MySQL" { "\\\\" } else { "\\" };
                let payload = payload.replace('\'', "''").replace('\\', backslash);
                let insert = format!(
                    "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload, created_at) \
                     VALUES ('{kind}', '{id}', '{verb}', '{payload}', {created_at})"
                );
                self.stand.database.execute(&insert).await.expect("insert");
                String::new()
            }
            Operation::Refer(id, verb, refs) => self.refer(id, verb, refs).await,
            Operation::Wake(target) => self.wake(target).await,
            Operation::Route(limit) => route(&store, *limit).await.to_string(),
            Operation::Direct { limit, asked } => {
                let asked: Vec<_> =
                    asked.iter().map(|(target, most)| request(target, "host-a", *most, 30_000)).collect();
                let routed = dispatch(&store, *limit, &asked).await;
                let mut words = format!("{} {}", routed.changes, routed.some_queued);
                for (request, taken) in asked.iter().zip(routed.claimed) {
                    let batch = match taken {
                        Some(taken) => store.load(taken, request).await.expect("load"),
                        None => None,
                    };
                    let claim = batch.map_or(Claim::Nothing, Claim::Batch);
                    words = format!("{words}\n{}", self.claimed(claim).await);
                }
                words
            }
            Operation::Claim { target, owner, batch_max, lease_ms } => {
                let request = request(target, owner, *batch_max, *lease_ms);
                let claim = store.claim(&request).await.expect("claim");
                self.claimed(claim).await
            }
            Operation::Pass(millis) => {
                self.stand.pass(*millis);
                String::new()
            }
            Operation::TakeExpired => {
                let taken = store.take_expired_leases().await.expect("take");
                let mut taken: Vec<_> =
                    taken.iter().map(|lease| format!("{} @{}", lease.target, self.lease(lease.id.get()))).collect();
                taken.sort();
                format!("{taken:?}")
            }
            Operation::Renew(_) | Operation::Release(_) | Operation::Settle { .. } => self.with_batch(operation).await,
            Operation::Retry { target, patient, kind, older_than_ms } => {
                let filter = RetryFilter {
                    target: target.map(str::to_owned),
                    aggregate: patient.map(AggregateKey::patient),
                    kind: *kind,
                    older_than_ms: *older_than_ms,
                    change_id: None,
                };
                let count = store.count_failed(&filter).await.expect("count");
                format!("{count} {}", store.retry(&filter).await.expect("retry"))
            }
            Operation::Pause { target, paused, for_ms } => {
                let known = match for_ms {
                    Some(for_ms) if *paused => store.pause_until(target, self.stand.now() + for_ms).await,
                    _ => store.set_paused(target, *paused).await,
                };
                let known = known.expect("pause");
                format!("{known} {}", store.desired_state(target).await.expect("look").paused)
            }
            Operation::Resync { target, after, limit } => {
                format!("{:?}", store.resync_page(&target_name(target), *after, None, *limit).await.expect("resync"))
            }
            Operation::Resend { target } => {
                let types = ["patient", "message", "invoice"].map(str::to_owned).to_vec();
                let mut walk = Resend::new(target_name(target), ResendScope::Types(types), None);
                while store.resend_step(&mut walk).await.expect("resend").is_some() {}
                store.count_without_state(&mut walk).await.expect("count");
                format!("{:?}", walk.counts())
            }
            Operation::Purge { age_ms } => self.purge(*age_ms).await,
            Operation::Resolve { target, patient, how } => {
                let how = match how {
                    0 => Resolution::Local,
                    1 => Resolution::Remote,
                    _ => Resolution::Relink { remote_id: "777".to_owned() },
                };
                let (target, aggregate) = (target_name(target), AggregateKey::patient(*patient));
                let key = ConflictKey { target: &target, aggregate: &aggregate };
                format!("{:?}", store.resolve_conflict(key, &how).await.expect("resolve"))
            }
            Operation::Look => self.look().await,
        }
    }

    async fn refer(&self, id: &str, verb: &str, refs: &str) -> String {
        let columns = "aggregate_type, aggregate_id, operation, payload, refs, created_at";
        let values = format!("'encounter', '{id}', '{verb}', '{{}}', '{refs}', {}", self.stand.now());
        let insert = format!("INSERT INTO sync_outbox ({columns}) VALUES ({values})");
        self.stand.database.execute(&insert).await.expect("insert");
        String::new()
    }

    async fn wake(&mut self, target: &str) -> String {
        let store = self.stand.store.clone();
        let woken = store.wake_all_ready(target).await.expect("wake");
        let waiting = store.waiting(target, None, 100).await.expect("list");
        assert!(waiting.iter().all(|one| !one.lacks.is_empty()), "it waits for nothing: {waiting:?}");
        self.learn_changes().await;
        self.renumbered(&format!("{woken} {waiting:?}"))
    }

    async fn claimed(&mut self, claim: Claim) -> String {
        let Claim::Batch(batch) = claim else { return format!("{claim:?}") };
        self.leases.push(batch.lease.id.get());
        self.learn_changes().await;
        let mut words = format!("@{} of {}:", self.lease(batch.lease.id.get()), batch.lease.target);
        for delivery in &batch.deliveries {
            let change = &delivery.change;
            let text = format!(
                "\n   #{} {} `{}` {} {} created {} attempts {} {} {:?}",
                self.change(change.change_id.get()),
                change.key.aggregate_type,
                change.key.aggregate_id,
                change.operation,
                change.payload,
                change.created_at_ms,
                delivery.attempts,
                change.attempt,
                change.link,
            );
            assert!(
                change.operation == host::domain::change::Operation::Delete
                    || batch.lease.target.as_str() != "fhir"
                    || change.references.iter().all(|reference| reference.remote_id.is_some()),
                "delivered before what it refers to: {:?}",
                change.references
            );
            let text = format!("{text} {:?}", change.references);
            words.push_str(&text);
        }
        self.held.push(batch);
        words
    }

    async fn with_batch(&mut self, operation: &Operation) -> String {
        if self.held.is_empty() {
            return "no batch".to_owned();
        }
        let store = self.stand.store.clone();
        match operation {
            Operation::Renew(place) => {
                let batch = &self.held[place % self.held.len()];
                store.renew(&batch.lease).await.expect("renew").to_string()
            }
            Operation::Release(place) => {
                let batch = &self.held[place % self.held.len()];
                store.release(&batch.lease).await.expect("release").to_string()
            }
            Operation::Settle { batch, outcomes, forget } => {
                let place = batch % self.held.len();
                let batch = &self.held[place];
                let mut dice = Dice::new(*outcomes);
                let settlements: Vec<_> =
                    batch.deliveries.iter().map(|delivery| settled(delivery, &mut dice)).collect();
                let column = match batch.lease.target.as_str() {
                    "openemr" => IdColumn::OpenemrPatientId,
                    _ => IdColumn::FhirPatientId,
                };
                let attempt = attempt(&settlements);
                let results = BatchResults {
                    settlements: &settlements,
                    id_column: Some(column),
                    attempt: dice.pick(&[None, Some(&attempt)]),
                    ..BatchResults::default()
                };
                let settled = store.settle_batch(&batch.lease, &results).await.expect("settle");
                let linked: Vec<_> = settlements.iter().filter(|one| one.receipt.is_some()).collect();
                let linked: Vec<_> = linked.into_iter().map(|one| one.key.clone()).collect();
                let woken = store.wake_dependents(batch.lease.target.as_str(), &linked).await.expect("wake");
                // Who does not forget a batch settles it twice, or late.
                if *forget {
                    self.held.remove(place);
                }
                format!("{settled:?} {woken}")
            }
            other => unreachable!("{other:?} needs no batch"),
        }
    }

    async fn purge(&self, age_ms: i64) -> String {
        let store = &self.stand.store;
        let mut deleted = Vec::new();
        for target in TARGETS {
            let purged = store.purge_deliveries(target, age_ms, PurgeCursor::default()).await.expect("purge");
            deleted.push(purged.deleted);
        }
        deleted.push(store.purge_changes(age_ms, PurgeCursor::default()).await.expect("purge").deleted);
        deleted.push(store.purge_journal(age_ms, PurgeCursor::default()).await.expect("purge").deleted);
        format!("{deleted:?}")
    }

    /// Everything that only reads.
    async fn look(&mut self) -> String {
        self.learn_changes().await;
        let store = &self.stand.store;
        let status = store.status(20).await.expect("status");
        let conflicts = store.conflicts(None, None, 50).await.expect("conflicts");
        let conflicts: Vec<_> = conflicts
            .into_iter()
            .map(|conflict| {
                format!(
                    "#{} {:?}",
                    self.change(conflict.change_id.get()),
                    (conflict.target, conflict.remote_id, conflict.message, conflict.failed_at)
                )
            })
            .collect();
        let patients = store.patients(None, 100).await.expect("list");
        let ids: Vec<_> = patients.iter().map(|stored| stored.patient.patient_id.as_str()).collect();
        let words = format!(
            "{status:#?}\n{conflicts:?}\nopen {} due {} blocked {}\n{ids:?}",
            store.open_work().await.expect("open"),
            store.has_due_work(&TARGETS, &["message".to_owned()]).await.expect("due"),
            store.blocked_keys(&["message".to_owned()], 50).await.expect("blocked").len(),
        );
        self.renumbered(&words)
    }

    pub(super) fn change(&self, id: i64) -> usize {
        self.changes.iter().position(|known| *known == id).expect("a change that was seen")
    }

    pub(super) fn lease(&self, lease_id: i64) -> String {
        match self.leases.iter().position(|known| *known == lease_id) {
            Some(index) => index.to_string(),
            None if lease_id == 0 => "-".to_owned(),
            None => panic!("a lease that no host claimed"),
        }
    }
}

/// A host that has both targets, and sends messages and encounters to one of them too.
fn host_record() -> HostRecord {
    let types = |types: &[&str]| types.iter().map(|kind| (*kind).to_owned()).collect();
    let targets = [("openemr", types(&["patient"])), ("fhir", types(&["patient", "message", "encounter"]))];
    HostRecord {
        id: "host-a".to_owned(),
        targets: targets.map(|(name, types)| (target_name(name), types)).into(),
        ..HostRecord::default()
    }
}

fn patient(id: &str, city: &str) -> Patient {
    let payload = serde_json::json!({ "patient_id": id, "family_name": "O'Neil", "given_name": "Min\"Jun\\",
        "native_family_name": "김😀", "birth_date": "1980-01-31", "gender": "male", "city": city });
    Patient::from_payload(&payload.to_string(), Day::MAX).expect("patient")
}

/// The journal's row of a batch.
fn attempt(settlements: &[Settlement]) -> Attempt {
    let mut effects = Effects::default();
    effects.add_statement(&"SELECT `fname` FROM `péople` WHERE `pid` = ?".into(), Some(settlements.len() as u64));
    Attempt {
        elapsed_ms: 250,
        calls: 1,
        changes: settlements.len() as u64,
        outcomes: outcomes(settlements, &[]),
        effects,
        ..Attempt::default()
    }
}

/// What became of a delivery, decided as the host decides it.
fn settled(delivery: &Delivery, dice: &mut Dice) -> Settlement {
    let (mut receipt, mut failure) = (None, None);
    let (event, attempts) = if dice.below(10) < 6 {
        receipt = Some(Receipt {
            remote_id: (100 + dice.below(50)).to_string(),
            remote_version: dice.pick(&[None, Some("1"), Some("W/\"2\"")]).map(str::to_owned),
            fingerprint: dice.pick(&[None, Some("f")]).map(str::to_owned),
        });
        (Event::Confirm, delivery.attempts + 1)
    } else {
        let kind = dice.pick(FailureKind::ALL);
        failure = Some(Failure::new(kind, dice.pick(&["no answer", "fname: 'é' 300 \\ characters"])));
        after_failure(kind, delivery.attempts, &RetryPolicy { attempts_max: 3, ..RetryPolicy::default() })
    };
    let status = next_status(Status::Processing, event).expect("a batch is in flight");
    Settlement {
        change_id: delivery.change.change_id,
        key: delivery.change.key.clone(),
        status,
        attempts,
        pause_ms: if status == Status::Pending { dice.pick(&[0, 1, 5_000]) } else { 0 },
        failure,
        skipped: None,
        merged_into: None,
        is_moved: moved(delivery, receipt.as_ref()),
        sent: Vec::new(),
        receipt,
    }
}

fn moved(delivery: &Delivery, receipt: Option<&Receipt>) -> bool {
    let before = delivery.change.link.as_ref().map(|link| &link.remote_id);
    before.zip(receipt).is_some_and(|(before, now)| !before.is_empty() && *before != now.remote_id)
}
