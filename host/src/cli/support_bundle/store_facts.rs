//! What is told of the store. Every text of it passes `domain::clues`: whoever can write to the store may have put it
//! there.

use std::collections::BTreeMap;

use futures::future::LocalBoxFuture;
use serde_json::{Value, json};

use super::{PART_TIMEOUT, Part, reason};
use crate::config::Config;
use crate::domain::attempt::{IN_DOUBT, LEASE_LOST};
use crate::domain::change::FailureKind;
use crate::domain::clues::{clues, digest, known, version_number};
use crate::domain::delivery::Status;
use crate::domain::ids::TargetName;
use crate::store::{
    CauseCount, DeliveryFilter, InspectedTable, LastAttempt, QueryPlan, StatusSnapshot, Store, StoreError, TargetStatus,
};
use crate::sync::Difference;

/// Causes of failures of each target.
const CAUSES_MAX: usize = 100;
/// Attempts of each target.
const ATTEMPTS_MAX: u32 = 200;

/// The states of a target and of a breaker, as the store has them.
const STATES: [&str; 3] = ["unknown", "up", "down"];
const BREAKER_STATES: [&str; 3] = ["closed", "open", "half-open"];

/// Each file with what it is.
const STATUS: (&str, &str) = ("status.json", "Counts, targets, hosts, clock; nothing that is listed one by one");
const SCHEMA: (&str, &str) = ("schema.json", "Tables, columns and indexes of the store as its database reports them");
const MIGRATIONS: (&str, &str) =
    ("migrations.json", "The migrations that the store has, and whether they are this host's");
const SIZES: (&str, &str) =
    ("sizes.json", "Rows and bytes of the tables, as far as the database tells without reading them");
const PLANS: (&str, &str) =
    ("plans.txt", "How the database runs the statements of every batch, planned with empty values");
const CAUSES: (&str, &str) = ("causes.json", "Why deliveries failed or were skipped: counts, kinds, clues");
const ATTEMPTS: (&str, &str) = ("attempts.json", "The last attempts of each target: times, counts, outcomes, clues");
const AUDIT: (&str, &str) = ("audit.json", "The head of the audit's chain");

/// All parts, when the store does not answer.
pub(super) fn missing(reason: &str) -> Vec<Part> {
    let all = [STATUS, SCHEMA, MIGRATIONS, SIZES, PLANS, CAUSES, ATTEMPTS, AUDIT];
    all.into_iter().map(|(file, what)| Part { file, what, content: Err(reason.to_owned()) }).collect()
}

/// All parts. One that cannot be read takes no other with it.
pub(super) async fn all(config: &Config, store: &Store) -> Vec<Part> {
    let facts = Facts { config, store };
    let json = |(file, what), content| Part::json(file, what, content);
    vec![
        json(STATUS, in_time(facts.status()).await),
        json(SCHEMA, in_time(facts.schema()).await),
        json(MIGRATIONS, in_time(facts.migrations()).await),
        json(SIZES, in_time(facts.sizes()).await),
        Part { file: PLANS.0, what: PLANS.1, content: in_time(facts.plans()).await },
        json(CAUSES, in_time(facts.causes()).await),
        json(ATTEMPTS, in_time(facts.attempts()).await),
        json(AUDIT, in_time(facts.audit()).await),
    ]
}

/// A part's content, or why it is missing.
fn in_time<'a, T: 'a>(part: impl Future<Output = Result<T, StoreError>> + 'a) -> LocalBoxFuture<'a, Result<T, String>> {
    Box::pin(async move {
        match tokio::time::timeout(PART_TIMEOUT, part).await {
            Ok(Ok(content)) => Ok(content),
            Ok(Err(error)) => Err(reason(&error.to_string())),
            Err(_) => Err("no answer".to_owned()),
        }
    })
}

struct Facts<'a> {
    config: &'a Config,
    store: &'a Store,
}

impl Facts<'_> {
    /// The name of a target, if the configuration has it: another program may have written another one into the store.
    fn target<'name>(&'name self, name: &str) -> &'name str {
        known(name, self.config.targets.keys().map(TargetName::as_str))
    }

    async fn status(&self) -> Result<Value, StoreError> {
        let snapshot = self.store.status(0).await?;
        let targets: Vec<_> = snapshot.targets.iter().map(|(name, target)| self.of_target(name, target)).collect();
        let notices = self.store.notices().await?;
        let notices: Vec<_> = notices
            .iter()
            .map(|notice| json!({ "kind": notice.kind, "changes": notice.changes, "last_at": notice.last_at }))
            .collect();
        Ok(json!({
            "now": self.store.now_ms().await?,
            "totals": snapshot.totals(),
            "unrouted": snapshot.unrouted,
            "unrouted_is_estimate": snapshot.unrouted_is_estimate,
            "oldest_unrouted_ms": snapshot.oldest_unrouted_ms,
            "hosts_running": snapshot.hosts.len(),
            "host_differences": self.differences(&snapshot),
            "targets": targets,
            "conflicts": self.store.count_conflicts().await?,
            "notices": notices,
            "clock": self.store.clock_state().await?,
            "store_trouble": self.store.write_trouble().await.map(|trouble| clues(&trouble)),
        }))
    }

    fn of_target(&self, name: &str, target: &TargetStatus) -> Value {
        json!({
            "target": self.target(name),
            "counts": target.counts,
            "enabled": target.enabled,
            "paused": target.paused,
            "state": known(&target.state, STATES),
            "breaker": known(&target.breaker, BREAKER_STATES),
            "breaker_ms": target.breaker_ms,
            "adapter_sha256": target.adapter_sha256.as_deref().and_then(digest),
            "error_kind": target.error_kind.as_deref().map(kind),
            "error_clues": target.error_message.as_deref().map(clues),
            "error_ms": target.error_ms,
            "oldest_pending_ms": target.oldest_pending_ms,
            "waiting_for_references": target.waiting,
            "verified": target.verified.as_ref().map(|verified| {
                json!({ "finished_at": verified.finished_at, "counts": verified.counts })
            }),
        })
    }

    fn differences(&self, snapshot: &StatusSnapshot) -> Vec<Value> {
        let enabled = snapshot.targets.iter().filter(|(_, target)| target.enabled).map(|(name, _)| name.as_str());
        let found = crate::sync::differences(&snapshot.hosts, enabled);
        let shown = found.iter().map(|difference| {
            let what = match difference {
                Difference::NobodyHas { .. } => "no running host has it",
                Difference::SomeLack { .. } => "some running hosts lack it",
                Difference::TypesDiffer { .. } => "running hosts send different types there",
            };
            json!({ "target": self.target(difference.target()), "difference": what })
        });
        shown.collect()
    }

    async fn schema(&self) -> Result<Value, StoreError> {
        let tables = self.store.inspect_tables().await?;
        Ok(tables.into_iter().map(|(name, table)| (name, of_table(&table))).collect::<serde_json::Map<_, _>>().into())
    }

    async fn migrations(&self) -> Result<Value, StoreError> {
        let applied = self.store.applied_migrations().await?;
        let of = |is_same| match is_same {
            Some(true) => "as in this host",
            Some(false) => "another one than this host's",
            None => "not in this host",
        };
        Ok(applied.iter().map(|one| json!({ "version": one.version, "content": of(one.is_same) })).collect())
    }

    async fn sizes(&self) -> Result<Value, StoreError> {
        let sizes = self.store.table_sizes().await?;
        Ok(sizes.iter().map(|size| json!({ "table": size.table, "rows": size.rows, "bytes": size.bytes })).collect())
    }

    async fn plans(&self) -> Result<String, StoreError> {
        Ok(self.store.query_plans().await?.iter().map(of_plan).collect::<Vec<_>>().join("\n"))
    }

    async fn causes(&self) -> Result<Value, StoreError> {
        let mut causes = Vec::new();
        for target in self.store.status(0).await?.targets.keys() {
            causes.extend(self.store.causes(target, &DeliveryFilter::default()).await?.into_iter().take(CAUSES_MAX));
        }
        let mut messages = Numbers::default();
        let shown = causes.iter().map(|CauseCount { target, status, kind: of_kind, message, count }| {
            json!({
                "target": self.target(target),
                "status": status,
                "kind": of_kind.as_deref().map(kind),
                "clues": message.as_deref().map(clues),
                "message": message.as_deref().map(|message| messages.of(message)),
                "count": count,
            })
        });
        Ok(shown.collect())
    }

    async fn attempts(&self) -> Result<Value, StoreError> {
        let mut messages = Numbers::default();
        let mut all = Vec::new();
        for target in self.store.status(0).await?.targets.keys() {
            let attempts = self.store.last_attempts(target, ATTEMPTS_MAX).await?;
            let attempts: Vec<_> = attempts.iter().map(|attempt| of_attempt(attempt, &mut messages)).collect();
            all.push(json!({ "target": self.target(target), "newest_first": attempts }));
        }
        Ok(all.into())
    }

    async fn audit(&self) -> Result<Value, StoreError> {
        let head = self.store.audit_head().await?;
        Ok(json!({ "id": head.id, "hash": digest(&head.hash) }))
    }
}

/// Numbers equal messages alike. A hash of a message could be found again by trying.
#[derive(Default)]
struct Numbers(BTreeMap<String, usize>);

impl Numbers {
    fn of(&mut self, message: &str) -> usize {
        let next = self.0.len() + 1;
        *self.0.entry(message.to_owned()).or_insert(next)
    }
}

/// The kind of a failure.
fn kind(word: &str) -> &'static str {
    known(word, FailureKind::WORDS.iter().copied().chain([IN_DOUBT, LEASE_LOST]))
}

fn outcome(word: &str) -> &'static str {
    known(word, FailureKind::WORDS.iter().copied().chain([IN_DOUBT, Status::Done.as_str(), Status::Skipped.as_str()]))
}

fn of_attempt(attempt: &LastAttempt, messages: &mut Numbers) -> Value {
    let mut outcomes = BTreeMap::<_, u64>::new();
    for (word, count) in &attempt.outcomes {
        *outcomes.entry(outcome(word)).or_default() += count;
    }
    json!({
        "lease_id": attempt.lease_id.get(),
        "started_at": attempt.started_at,
        "elapsed_ms": attempt.elapsed_ms,
        "calls": attempt.calls,
        "changes": attempt.changes,
        "outcomes": outcomes,
        "adapter_sha256": attempt.adapter_sha256.as_deref().and_then(digest),
        "interface_version": attempt.interface_version.as_deref().and_then(version_number),
        "cause": attempt.cause.as_ref().map(|cause| json!({
            "kind": kind(&cause.kind),
            "clues": clues(&cause.message),
            "message": messages.of(&cause.message),
        })),
    })
}

fn of_table(table: &InspectedTable) -> Value {
    if table.columns.is_empty() {
        return json!("missing");
    }
    let columns: Vec<_> = table
        .columns
        .iter()
        .map(|column| {
            let null = if column.is_nullable { "" } else { " not null" };
            format!("{} {}{null}", column.name, column.kind)
        })
        .collect();
    let indexes: Vec<_> = table
        .indexes
        .iter()
        .map(|index| {
            let unique = if index.is_unique { "unique " } else { "" };
            format!("{} {unique}({})", index.name, index.columns)
        })
        .collect();
    json!({ "columns": columns, "indexes": indexes })
}

fn of_plan(QueryPlan { statement, lines }: &QueryPlan) -> String {
    match lines {
        Ok(lines) => {
            let lines: Vec<_> = lines.iter().map(|line| format!("    {line}")).collect();
            format!("{statement}\n{}\n", lines.join("\n"))
        }
        Err(error) => format!("{statement}\n    no plan: {}\n", reason(error)),
    }
}
