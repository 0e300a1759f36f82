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
        match (&self.patient, &self.aggregate_type, &self.aggregate_id) {
            (Some(patient), _, _) => Some(AggregateKey::patient(patient)),
            (None, Some(kind), Some(id)) => {
                Some(AggregateKey { aggregate_type: kind.clone(), aggregate_id: id.clone() })
            }
            // clap refuses one of the pair alone.
            (None, _, _) => None,
        }
    }

    /// The aggregate, for a command that needs one.
    pub(super) fn required(&self) -> Result<AggregateKey, CliError> {
        let missing = || CliError::Usage("name the aggregate: --patient ID, or --type TYPE --id ID".to_owned());
        self.key().ok_or_else(missing)
    }
}

/// Whether changes of this type go to a target.
pub(super) fn takes(target: &TargetConfig, aggregate_type: &str) -> bool {
    target.aggregate_types.iter().any(|kind| kind.as_str() == aggregate_type)
}

/// The error for a target that does not accept this type.
pub(super) fn not_taken(target: &TargetConfig, aggregate_type: &str) -> CliError {
    CliError::Usage(format!(
        "target `{}` takes no `{aggregate_type}`; fix: choose another target, or add the type to its aggregate_types",
        target.name
    ))
}

/// The error for an aggregate that the store does not know.
pub(super) fn unknown(key: &AggregateKey) -> CliError {
    let kind = named(&key.aggregate_type);
    let kind = kind.trim_matches('`');
    CliError::Failed(format!("the store has no {kind} {}", named(&key.aggregate_id)))
}

/// An aggregate's name. It is quoted if blanks in it would be invisible.
pub(super) fn shown(key: &AggregateKey) -> String {
    let text = key.to_string();
    let shown = named(&text);
    if shown.starts_with('`') { printable(&text) } else { shown }
}

/// Refuses an aggregate that the store has never seen, because it is probably a typing error.
pub(super) async fn require_known(store: &Store, key: Option<&AggregateKey>) -> Result<(), CliError> {
    match key {
        Some(key) if !store.knows(key).await? => Err(unknown(key)),
        _ => Ok(()),
    }
}

/// Explains why an aggregate has no matching delivery: the store has never seen it, or no target accepts its type.
pub(super) async fn explain_none(config: &Config, store: &Store, key: Option<&AggregateKey>) -> Result<(), CliError> {
    require_known(store, key).await?;
    let Some(key) = key else { return Ok(()) };
    let types = aggregate_types(config);
    if types.contains(&key.aggregate_type) {
        return Ok(());
    }
    let meant = meant(&key.aggregate_type, &types).map(|kind| format!("; is `{kind}` meant?")).unwrap_or_default();
    Err(CliError::Failed(format!(
        "no target accepts changes of type {}, so {} has no delivery{meant}; fix: let the application write it again \
         under a type that a target accepts, or add the type to a target's aggregate_types, and then run `host resync \
         --target NAME`",
        named(&key.aggregate_type),
        named(&key.aggregate_id)
    )))
}
