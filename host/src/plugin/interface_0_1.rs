//! Adapters that were built for the interface 0.1.0: thin glue between their exports and [`Exports`].
//!
//! Their imports are those of 0.2.0 under an older name, and are linked to the very same functions. Of their exports,
//! only the types that 0.2.0 extended are translated. What 0.1.0 has no words for never reaches them: a merge is
//! answered here, references are left out, and nothing is observed. Nothing else of the host knows this version.

use wasmtime::Store;
use wasmtime::component::{HasSelf, Linker};

use super::bindings::{database, logging, settings, types};
use super::exports::{Exports, Response, lent};
use super::state::CallState;
use super::world::{Interface, World};
use guest::neuronova::sync::types as old;
pub(super) use guest::{DatabaseTargetPre, HttpTargetPre};

/// The exports of 0.1.0.
#[allow(missing_docs, unreachable_pub, dead_code, clippy::all, clippy::pedantic)]
mod guest {
    mod database_target {
        wasmtime::component::bindgen!({
            path: "../wit/0.1.0",
            inline: "
                package neuronova:host;
                world database-target {
                    export neuronova:sync/database-adapter@0.1.0;
                }
            ",
            world: "neuronova:host/database-target",
            exports: { default: async },
            require_store_data_send: true,
            with: {
                "neuronova:sync/database": crate::plugin::bindings::database_target::neuronova::sync::database,
            },
        });
    }
    mod http_target {
        wasmtime::component::bindgen!({
            path: "../wit/0.1.0",
            inline: "
                package neuronova:host;
                world http-target {
                    export neuronova:sync/http-adapter@0.1.0;
                }
            ",
            world: "neuronova:host/http-target",
            exports: { default: async },
            require_store_data_send: true,
            with: {
                "neuronova:sync/types": super::database_target::neuronova::sync::types,
            },
        });
    }
    pub(in crate::plugin) use database_target::{DatabaseTargetPre, neuronova};
    pub(in crate::plugin) use http_target::HttpTargetPre;
}

/// Offers the imports of 0.1.0: their functions have not changed since.
pub(super) fn add_to_linker(linker: &mut Linker<CallState>, world: World) -> wasmtime::Result<()> {
    let name = |interface: &str| format!("neuronova:sync/{interface}@{}", Interface::V0_1.version());
    types::add_to_linker_instance::<_, HasSelf<CallState>>(&mut linker.instance(&name("types"))?, |state| state)?;
    settings::add_to_linker_instance::<_, HasSelf<CallState>>(&mut linker.instance(&name("settings"))?, |state| state)?;
    logging::add_to_linker_instance::<_, HasSelf<CallState>>(&mut linker.instance(&name("logging"))?, |state| state)?;
    if world == World::Database {
        let mut instance = linker.instance(&name("database"))?;
        database::add_to_linker_instance::<_, HasSelf<CallState>>(&mut instance, |state| state)?;
    }
    Ok(())
}

impl Exports for DatabaseTargetPre<CallState> {
    fn describe<'a>(&'a self, store: &'a mut Store<CallState>) -> Response<'a, types::Descriptor> {
        Box::pin(async move {
            let instance = self.instantiate_async(&mut *store).await?;
            let descriptor = instance.neuronova_sync_database_adapter().call_describe(store).await?;
            Ok(Ok(descriptor.into()))
        })
    }

    fn check<'a>(&'a self, store: &'a mut Store<CallState>) -> Response<'a, types::Report> {
        Box::pin(async move {
            let instance = self.instantiate_async(&mut *store).await?;
            let report = instance.neuronova_sync_database_adapter().call_check(store, lent()).await?;
            Ok(report.map(Into::into).map_err(Into::into))
        })
    }

    fn apply<'a>(
        &'a self,
        store: &'a mut Store<CallState>,
        context: types::Context,
        changes: Vec<types::Change>,
    ) -> Response<'a, types::Applied> {
        Box::pin(async move {
            let batch = Batch::of(changes);
            let instance = self.instantiate_async(&mut *store).await?;
            let adapter = instance.neuronova_sync_database_adapter();
            let outcomes = adapter.call_apply(store, lent(), &context.into(), &batch.known).await?;
            Ok(outcomes.map(|outcomes| batch.applied(outcomes)).map_err(Into::into))
        })
    }

    fn observe<'a>(
        &'a self,
        _: &'a mut Store<CallState>,
        _: types::Context,
        subjects: Vec<types::Subject>,
    ) -> Response<'a, Vec<types::Observation>> {
        Box::pin(std::future::ready(Ok(Ok(not_observed(&subjects)))))
    }
}

impl Exports for HttpTargetPre<CallState> {
    fn describe<'a>(&'a self, store: &'a mut Store<CallState>) -> Response<'a, types::Descriptor> {
        Box::pin(async move {
            let instance = self.instantiate_async(&mut *store).await?;
            let descriptor = instance.neuronova_sync_http_adapter().call_describe(store).await?;
            Ok(Ok(descriptor.into()))
        })
    }

    fn check<'a>(&'a self, store: &'a mut Store<CallState>) -> Response<'a, types::Report> {
        Box::pin(async move {
            let instance = self.instantiate_async(&mut *store).await?;
            let report = instance.neuronova_sync_http_adapter().call_check(store).await?;
            Ok(report.map(Into::into).map_err(Into::into))
        })
    }

    fn apply<'a>(
        &'a self,
        store: &'a mut Store<CallState>,
        context: types::Context,
        changes: Vec<types::Change>,
    ) -> Response<'a, types::Applied> {
        Box::pin(async move {
            let batch = Batch::of(changes);
            let instance = self.instantiate_async(&mut *store).await?;
            let adapter = instance.neuronova_sync_http_adapter();
            let outcomes = adapter.call_apply(store, &context.into(), &batch.known).await?;
            Ok(outcomes.map(|outcomes| batch.applied(outcomes)).map_err(Into::into))
        })
    }

    fn observe<'a>(
        &'a self,
        _: &'a mut Store<CallState>,
        _: types::Context,
        subjects: Vec<types::Subject>,
    ) -> Response<'a, Vec<types::Observation>> {
        Box::pin(std::future::ready(Ok(Ok(not_observed(&subjects)))))
    }
}

fn not_observed(subjects: &[types::Subject]) -> Vec<types::Observation> {
    let reason = "the adapter speaks the interface 0.1.0, which cannot observe";
    subjects.iter().map(|_| types::Observation::Unknown(reason.to_owned())).collect()
}

/// A batch without the changes that 0.1.0 has no operation for, and their places.
struct Batch {
    known: Vec<old::Change>,
    merges: Vec<usize>,
}

impl Batch {
    fn of(changes: Vec<types::Change>) -> Self {
        let (mut known, mut merges) = (Vec::with_capacity(changes.len()), Vec::new());
        for (index, change) in changes.into_iter().enumerate() {
            let operation = match change.operation {
                types::Operation::Create => old::Operation::Create,
                types::Operation::Update => old::Operation::Update,
                types::Operation::Delete => old::Operation::Delete,
                types::Operation::Merge => {
                    merges.push(index);
                    continue;
                }
            };
            known.push(old::Change {
                change_id: change.change_id,
                event_id: change.event_id,
                aggregate_type: change.aggregate_type,
                aggregate_id: change.aggregate_id,
                operation,
                payload: change.payload,
                created_at_ms: change.created_at_ms,
                attempt: change.attempt,
                link: change.link.map(|link| old::Link {
                    remote_id: link.remote_id,
                    remote_version: link.remote_version,
                    fingerprint: link.fingerprint,
                }),
            });
        }
        Self { known, merges }
    }

    /// The adapter's outcomes, with one for each merge in its place. A wrong number of them stays wrong.
    fn applied(&self, outcomes: Vec<old::Outcome>) -> types::Applied {
        let mut outcomes: Vec<types::Outcome> = outcomes.into_iter().map(Into::into).collect();
        for index in &self.merges {
            let message = "the adapter speaks the interface 0.1.0, which has no merge: install a newer one".to_owned();
            let kind = types::FailureKind::Unsupported;
            let failed = types::Outcome::Failed(types::Failure { kind, message, retry_after_ms: None });
            outcomes.insert((*index).min(outcomes.len()), failed);
        }
        types::Applied { outcomes, learned: None }
    }
}

impl From<types::Context> for old::Context {
    fn from(context: types::Context) -> Self {
        let on_remote_edit = match context.on_remote_edit {
            types::RemoteEdit::Overwrite => old::RemoteEdit::Overwrite,
            types::RemoteEdit::Hold => old::RemoteEdit::Hold,
        };
        Self { state: context.state, on_remote_edit }
    }
}

impl From<old::Descriptor> for types::Descriptor {
    fn from(descriptor: old::Descriptor) -> Self {
        let support = |aggregate_type| types::AggregateSupport {
            aggregate_type,
            operations: vec![types::Operation::Create, types::Operation::Update, types::Operation::Delete],
            observes: false,
            schema: None,
        };
        Self {
            name: descriptor.name,
            version: descriptor.version,
            aggregate_types: descriptor.aggregate_types.into_iter().map(support).collect(),
        }
    }
}

impl From<old::Report> for types::Report {
    fn from(report: old::Report) -> Self {
        let finding = |found: old::Finding| types::Finding {
            level: match found.level {
                old::FindingLevel::Ok => types::FindingLevel::Ok,
                old::FindingLevel::Warning => types::FindingLevel::Warning,
                old::FindingLevel::Problem => types::FindingLevel::Problem,
            },
            message: found.message,
        };
        Self {
            summary: report.summary,
            findings: report.findings.into_iter().map(finding).collect(),
            state: report.state,
        }
    }
}

impl From<old::Outcome> for types::Outcome {
    fn from(outcome: old::Outcome) -> Self {
        match outcome {
            old::Outcome::Applied(receipt) => Self::Applied(types::Receipt {
                remote_id: receipt.remote_id,
                remote_version: receipt.remote_version,
                fingerprint: receipt.fingerprint,
            }),
            old::Outcome::Failed(failure) => Self::Failed(failure.into()),
        }
    }
}

impl From<old::Failure> for types::Failure {
    fn from(failure: old::Failure) -> Self {
        let kind = match failure.kind {
            old::FailureKind::Unavailable => types::FailureKind::Unavailable,
            old::FailureKind::Throttled => types::FailureKind::Throttled,
            old::FailureKind::Misconfigured => types::FailureKind::Misconfigured,
            old::FailureKind::Transient => types::FailureKind::Transient,
            old::FailureKind::Invalid => types::FailureKind::Invalid,
            old::FailureKind::Denied => types::FailureKind::Denied,
            old::FailureKind::Unsupported => types::FailureKind::Unsupported,
            old::FailureKind::Conflict => types::FailureKind::Conflict,
        };
        Self { kind, message: failure.message, retry_after_ms: failure.retry_after_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(operation: types::Operation, id: &str) -> types::Change {
        types::Change {
            change_id: 1,
            event_id: String::new(),
            aggregate_type: "patient".to_owned(),
            aggregate_id: id.to_owned(),
            operation,
            payload: "{}".to_owned(),
            references: Vec::new(),
            survivor: None,
            created_at_ms: 0,
            attempt: 1,
            link: None,
        }
    }

    #[test]
    fn a_merge_is_answered_by_the_host_in_its_position_and_never_sent() {
        use types::Operation::{Create, Merge, Update};
        let batch = Batch::of(vec![change(Merge, "a"), change(Create, "b"), change(Merge, "c"), change(Update, "d")]);
        assert_eq!(batch.known.iter().map(|change| change.aggregate_id.as_str()).collect::<Vec<_>>(), ["b", "d"]);
        let receipt = |id: &str| {
            let receipt = old::Receipt { remote_id: id.to_owned(), remote_version: None, fingerprint: None };
            old::Outcome::Applied(receipt)
        };
        let shown = |outcomes: Vec<types::Outcome>| -> Vec<String> {
            let shown = |outcome| match outcome {
                types::Outcome::Applied(receipt) => receipt.remote_id,
                types::Outcome::Failed(failure) => failure.message,
                types::Outcome::Skipped(reason) => reason,
            };
            outcomes.into_iter().map(shown).collect()
        };
        let answers = shown(batch.applied(vec![receipt("1"), receipt("2")]).outcomes);
        assert_eq!((answers[1].as_str(), answers[3].as_str()), ("1", "2"));
        assert!(answers[0].contains("has no merge") && answers[2].contains("has no merge"), "{answers:?}");
        // Too few or too many stay so, and the host refuses them.
        assert_eq!(batch.applied(vec![receipt("1")]).outcomes.len(), 3);
        assert_eq!(batch.applied(vec![]).outcomes.len(), 2);
    }
}
