//! The options that name one aggregate: `--type TYPE --id ID`, and `--patient ID` for a patient.
//!
//! Every command about one aggregate uses them, so that none is for patients only.

use super::error::CliError;
use super::output::printable;
use super::status_summary::{aggregate_types, meant};
use crate::config::{Config, TargetConfig};
use crate::domain::ids::AggregateKey;
use crate::domain::words::named;
use crate::store::Store;

/// One aggregate, or none.
#[derive(Debug, clap::Args)]
pub(super) struct AggregateArguments {
    /// Select this patient only
    #[arg(long, value_name = "ID", conflicts_with_all = ["aggregate_type", "aggregate_id"])]
    patient: Option<String>,
    /// Select one aggregate only: its type, with --id
    #[arg(long = "type", alias = "aggregate-type", value_name = "TYPE", requires = "aggregate_id")]
    aggregate_type: Option<String>,
    /// Select one aggregate only: its id, with --type
    #[arg(long = "id", value_name = "ID", requires = "aggregate_type")]
    aggregate_id: Option<String>,
}

impl AggregateArguments {
    pub(super) fn key(&self) -> Option<AggregateKey> {
        key(self.patient.as_ref(), self.aggregate_type.as_ref(), self.aggregate_id.as_ref())
    }

    /// The aggregate, for a command that needs one.
    pub(super) fn required(&self) -> Result<AggregateKey, CliError> {
        let missing = || CliError::Usage("name the aggregate: --patient ID, or --type TYPE --id ID".to_owned());
        self.key().ok_or_else(missing)
    }
}

/// One aggregate, or none: a patient without an option, since most questions are about one.
#[derive(Debug, clap::Args)]
pub(super) struct SubjectArguments {
    /// The patient's id
    #[arg(value_name = "PATIENT", conflicts_with_all = ["aggregate_type", "aggregate_id"])]
    patient: Option<String>,
    /// Another aggregate: its type, with --id
    #[arg(long = "type", value_name = "TYPE", requires = "aggregate_id")]
    aggregate_type: Option<String>,
    /// Another aggregate: its id, with --type
    #[arg(long = "id", value_name = "ID", requires = "aggregate_type")]
    aggregate_id: Option<String>,
}

impl SubjectArguments {
    pub(super) fn key(&self) -> Option<AggregateKey> {
        key(self.patient.as_ref(), self.aggregate_type.as_ref(), self.aggregate_id.as_ref())
    }

    /// The aggregate, for a command that needs one.
    pub(super) fn required(&self) -> Result<AggregateKey, CliError> {
        let missing = || CliError::Usage("say which: PATIENT, or --type TYPE --id ID for another aggregate".to_owned());
        self.key().ok_or_else(missing)
    }
}

fn key(patient: Option<&String>, kind: Option<&String>, id: Option<&String>) -> Option<AggregateKey> {
    match (patient, kind, id) {
        (Some(patient), _, _) => Some(AggregateKey::patient(patient)),
        (None, Some(kind), Some(id)) => Some(AggregateKey { aggregate_type: kind.clone(), aggregate_id: id.clone() }),
        // clap refuses one of the pair alone.
        (None, _, _) => None,
    }
}

/// Whether changes of this type go to a target.
pub(super) fn takes(target: &TargetConfig, aggregate_type: &str) -> bool {
    target.aggregate_types.iter().any(|kind| kind.as_str() == aggregate_type)
}

/// The error for a target that does not accept this type.
pub(super) fn not_taken(target: &TargetConfig, aggregate_type: &str) -> CliError {
    let types: Vec<_> = target.aggregate_types.iter().map(|kind| kind.as_str().to_owned()).collect();
    CliError::Usage(format!(
        "target `{}` takes no `{}`{}; it takes {}; fix: choose another target, or add the type to its aggregate_types",
        target.name,
        printable(aggregate_type),
        hint(aggregate_type, &types),
        types.join(", ")
    ))
}

/// Asks whether a similar type is meant, for a type that is none of these.
pub(super) fn hint(aggregate_type: &str, types: &[String]) -> String {
    let meant = meant(aggregate_type, types).filter(|kind| *kind != aggregate_type);
    meant.map(|kind| format!("; is `{kind}` meant?")).unwrap_or_default()
}

/// The error for an aggregate that the store does not know. `types` are those that targets accept.
pub(super) fn unknown(key: &AggregateKey, types: &[String]) -> CliError {
    let kind = named(&key.aggregate_type);
    let kind = kind.trim_matches('`');
    let hint = hint(&key.aggregate_type, types);
    CliError::Failed(format!("the store has no {kind} {}{hint}", named(&key.aggregate_id)))
}

/// An aggregate's name. It is quoted if blanks in it would be invisible.
pub(super) fn shown(key: &AggregateKey) -> String {
    let text = key.to_string();
    let shown = named(&text);
    if shown.starts_with('`') { printable(&text) } else { shown }
}

/// Refuses an aggregate that the store has never seen, because it is probably a typing error.
pub(super) async fn require_known(config: &Config, store: &Store, key: Option<&AggregateKey>) -> Result<(), CliError> {
    match key {
        Some(key) if !store.knows(key).await? => Err(unknown(key, &aggregate_types(config))),
        _ => Ok(()),
    }
}

/// Explains why an aggregate has no matching delivery: the store has never seen it, or no target accepts its type.
pub(super) async fn explain_none(config: &Config, store: &Store, key: Option<&AggregateKey>) -> Result<(), CliError> {
    require_known(config, store, key).await?;
    let Some(key) = key else { return Ok(()) };
    let types = aggregate_types(config);
    if types.contains(&key.aggregate_type) {
        return Ok(());
    }
    Err(CliError::Failed(format!(
        "no target accepts changes of type {}, so {} has no delivery{}; fix: let the application write it again under a \
         type that a target accepts, or add the type to a target's aggregate_types, and then run `host resync --target \
         NAME`",
        named(&key.aggregate_type),
        named(&key.aggregate_id),
        hint(&key.aggregate_type, &types)
    )))
}
