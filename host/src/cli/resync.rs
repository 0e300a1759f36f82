//! `host resync`: queues current states again for one target. The states of the host's own patients and clinical
//! records come from their rows, all others from the outbox.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::aggregate::{self, AggregateArguments};
use super::error::CliError;
use super::output::time;
use super::resync_outbox::{resend, show};
use super::since::since;
use super::trail::AuditTrail;
use super::{output, resync_list, wiring};
use crate::config::{Config, TargetConfig};
use crate::domain::audit::AuditSubject;
use crate::domain::clinical::TYPES;
use crate::domain::ids::{AggregateKey, ChangeId};
use crate::store::{Resend, ResendCounts, ResendScope, Store};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Queue for this target
    #[arg(long)]
    target: String,
    #[command(flatten)]
    aggregate: AggregateArguments,
    /// Queue these types only, separated by commas
    #[arg(long, value_name = "TYPE", value_delimiter = ',', conflicts_with_all = ["patient", "aggregate_type"])]
    types: Vec<String>,
    /// Queue the patients that this file lists, one id a line
    #[arg(long, value_name = "FILE", conflicts_with_all = NOT_OF_A_LIST)]
    patients: Option<PathBuf>,
    /// Queue only what was changed since this time
    #[arg(long, value_name = "TIME", value_parser = since, conflicts_with_all = ["patient", "aggregate_type"])]
    where_changed_since: Option<i64>,
    /// Begin after this id, to resume a resync
    #[arg(long, value_name = "ID", conflicts_with_all = ["patient", "aggregate_type"])]
    after: Option<String>,
    /// Resume behind a clinical record of this type, with --after
    #[arg(long, value_name = "TYPE", requires = "after")]
    after_type: Option<String>,
    /// Begin before this change, to resume within the outbox
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["patient", "aggregate_type", "after"])]
    before: Option<i64>,
    /// Queue this many patients or records at once
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    page: u32,
    /// Pause this long between pages, in milliseconds
    #[arg(long, default_value_t = 100)]
    pause_ms: u64,
}

/// Options that choose other aggregates than a list of patients does.
const NOT_OF_A_LIST: [&str; 7] =
    ["patient", "aggregate_type", "types", "where_changed_since", "after", "after_type", "before"];

impl Arguments {
    fn pause(&self) -> Duration {
        Duration::from_millis(self.pause_ms)
    }
}

pub(super) async fn run(config: &Config, trail: &AuditTrail, arguments: &Arguments) -> Result<ExitCode, CliError> {
    let key = arguments.aggregate.key();
    trail.about(about(arguments, key.as_ref()));
    let target = wiring::target_config(config, &arguments.target)?;
    if !target.enabled {
        return Err(CliError::Usage(format!("target `{}` is disabled; fix: set enabled = true", arguments.target)));
    }
    let begin = Begin::of(arguments)?;
    let types = chosen_types(config, target, &named_types(arguments, key.as_ref()))?;
    let store = trail.writable_store(config).await?;
    wiring::know_target(&store, target).await?;
    if let Some(since) = arguments.where_changed_since {
        check_since(config, &store, since).await?;
    }
    let mut code = ExitCode::SUCCESS;
    match (key, &arguments.patients) {
        (Some(key), _) => resync_one(config, &store, target, key).await?,
        (None, Some(file)) => code = resync_list::run(&store, target, file, arguments.page, arguments.pause()).await?,
        (None, None) => resync_types(&store, target, types.clone(), begin, arguments).await?,
    }
    warn_of_missing_routes(&store, target, &types).await?;
    Ok(code)
}

/// Where a resync begins: patients come first, then clinical records, then what only the outbox holds.
enum Begin {
    /// Among the patients, after this id.
    Patients(Option<String>),
    /// Among the clinical records, after this one.
    Records(AggregateKey),
    /// In the outbox, before this change.
    Outbox(ChangeId),
}

impl Begin {
    fn of(arguments: &Arguments) -> Result<Self, CliError> {
        let Arguments { after, after_type, before, .. } = arguments;
        match (before, after_type, after.clone()) {
            (Some(before), _, _) => Ok(Self::Outbox(ChangeId::new(*before))),
            (None, Some(kind), Some(aggregate_id)) if TYPES.contains(&kind.as_str()) => {
                Ok(Self::Records(AggregateKey { aggregate_type: kind.clone(), aggregate_id }))
            }
            (None, Some(kind), after) if *kind != AggregateKey::patient("").aggregate_type => {
                Err(CliError::Usage(format!(
                    "cannot resume after {kind} `{}`: only patients and clinical records go by their ids; fix: resume with \
                     --before and the number of the change that was printed last",
                    after.unwrap_or_default()
                )))
            }
            (None, _, after) => Ok(Self::Patients(after)),
        }
    }
}

fn about(arguments: &Arguments, key: Option<&AggregateKey>) -> AuditSubject {
    let parts = [
        (!arguments.types.is_empty()).then(|| arguments.types.join(", ")),
        arguments.patients.as_ref().map(|_| "a list of patients".to_owned()),
        arguments.where_changed_since.map(|since| format!("changed since {}", time(since))),
    ];
    let detail = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let subject = AuditSubject::of(key).at(Some(&arguments.target));
    if detail.is_empty() { subject } else { subject.with_detail(&detail) }
}

/// The types that the options name.
fn named_types(arguments: &Arguments, key: Option<&AggregateKey>) -> Vec<String> {
    match (key, &arguments.patients) {
        (Some(key), _) => vec![key.aggregate_type.clone()],
        (None, Some(_)) => vec![AggregateKey::patient("").aggregate_type],
        (None, None) => arguments.types.clone(),
    }
}

/// Refuses a time that has not come, and warns of one from which the outbox need not have every change any more.
async fn check_since(config: &Config, store: &Store, since: i64) -> Result<(), CliError> {
    let now = store.now_ms().await?;
    if since > now {
        return Err(CliError::Usage(format!(
            "nothing was changed since {}: by the store's clock it is {}",
            time(since),
            time(now)
        )));
    }
    let days = config.retention.done_days;
    if now - since > i64::from(days) * 86_400_000 {
        output::line(&format!(
            "   [INFO] what only the outbox holds is deleted {days} days after its delivery ([retention] done_days)"
        ));
    }
    Ok(())
}

/// The types to queue. A type that is delivered in order is refused if named, and otherwise left out: its newest change
/// alone is not the whole state.
fn chosen_types(config: &Config, target: &TargetConfig, named: &[String]) -> Result<Vec<String>, CliError> {
    let ordered = wiring::fifo_types(config);
    if let Some(kind) = named.iter().find(|kind| !aggregate::takes(target, kind)) {
        return Err(aggregate::not_taken(target, kind));
    }
    if let Some(kind) = named.iter().find(|kind| ordered.contains(kind)) {
        return Err(CliError::Usage(format!(
            "cannot resync `{kind}`: it has order = \"fifo\", so that each of its changes counts and the newest is not the \
             whole state; fix: let the application insert again what the target lost"
        )));
    }
    if !named.is_empty() {
        return Ok(named.to_vec());
    }
    let (left, chosen): (Vec<_>, Vec<_>) =
        target.aggregate_types.iter().map(|kind| kind.as_str().to_owned()).partition(|kind| ordered.contains(kind));
    for kind in left {
        output::line(&format!(
            "   [INFO] `{kind}` is left out: with order = \"fifo\" its newest change is not its state"
        ));
    }
    Ok(chosen)
}

async fn resync_types(
    store: &Store,
    target: &TargetConfig,
    types: Vec<String>,
    begin: Begin,
    arguments: &Arguments,
) -> Result<(), CliError> {
    let has_patients = types.contains(&AggregateKey::patient("").aggregate_type);
    let has_records = types.iter().any(|kind| TYPES.contains(&kind.as_str()));
    let (patients_after, records_after, before) = match begin {
        Begin::Patients(after) => (Some(after), Some(None), None),
        Begin::Records(after) => (None, Some(Some(after)), None),
        Begin::Outbox(before) => (None, None, Some(before)),
    };
    if let Some(after) = patients_after.filter(|_| has_patients) {
        let total = resync_patients(store, target, after, arguments).await?;
        output::line(&format!("{total} patients queued for {} sync", target.name));
    }
    if let Some(after) = records_after.filter(|_| has_records) {
        let total = resync_records(store, target, &types, after, arguments).await?;
        output::line(&format!("{total} clinical records queued for {} sync", target.name));
    }
    let mut walk = Resend::new(target.name.clone(), ResendScope::Types(types), before);
    if let Some(since) = arguments.where_changed_since {
        walk = walk.changed_since(since);
    }
    resend(store, &mut walk, arguments.pause()).await?;
    // Nobody knows when what is gone was changed.
    if arguments.where_changed_since.is_none() {
        store.count_without_state(&mut walk).await?;
    }
    // A store with only the host's own records needs no further line.
    if !(has_patients || has_records) || walk.counts() != ResendCounts::default() {
        show(&walk.counts(), target);
    }
    Ok(())
}

async fn resync_patients(
    store: &Store,
    target: &TargetConfig,
    mut after: Option<String>,
    arguments: &Arguments,
) -> Result<usize, CliError> {
    let mut total = 0;
    let (since, page) = (arguments.where_changed_since, arguments.page);
    while let Some((last, count)) = store.resync_page(&target.name, after.as_deref(), since, page).await? {
        total += count;
        output::line(&format!("   [OK] {count} patients queued, up to {last}"));
        after = Some(last);
        tokio::time::sleep(arguments.pause()).await;
    }
    Ok(total)
}

async fn resync_records(
    store: &Store,
    target: &TargetConfig,
    types: &[String],
    mut after: Option<AggregateKey>,
    arguments: &Arguments,
) -> Result<usize, CliError> {
    let mut total = 0;
    let (since, page) = (arguments.where_changed_since, arguments.page);
    while let Some((last, count)) = store.resync_records_page(&target.name, types, after.as_ref(), since, page).await? {
        if count > 0 {
            total += count;
            output::line(&format!("   [OK] {count} clinical records queued, up to {last}"));
            tokio::time::sleep(arguments.pause()).await;
        }
        after = Some(last);
    }
    Ok(total)
}

async fn resync_one(config: &Config, store: &Store, target: &TargetConfig, key: AggregateKey) -> Result<(), CliError> {
    if key.is_patient() && store.resync_patient(&target.name, &key.aggregate_id).await? {
        output::line(&format!("1 patients queued for {} sync", target.name));
        return Ok(());
    }
    if store.resync_record(&target.name, &key).await? {
        output::line(&format!("1 clinical records queued for {} sync", target.name));
        return Ok(());
    }
    aggregate::require_known(config, store, Some(&key)).await?;
    let mut walk = Resend::new(target.name.clone(), ResendScope::One(key), None);
    while store.resend_step(&mut walk).await?.is_some() {}
    store.count_without_state(&mut walk).await?;
    show(&walk.counts(), target);
    Ok(())
}

/// Warns if no host has begun to route some types to the target, because new changes of these would not reach it.
async fn warn_of_missing_routes(store: &Store, target: &TargetConfig, types: &[String]) -> Result<(), CliError> {
    let routes = store.routes().await?.list;
    let is_routed =
        |kind: &&String| routes.iter().any(|route| route.target == target.name && route.aggregate_type == **kind);
    for kind in types.iter().filter(|kind| !is_routed(kind)) {
        output::line(&format!(
            "   [WARNING] no host sends new changes of `{kind}` to {} yet; fix: start `host run`, then resync again",
            target.name
        ));
    }
    Ok(())
}
