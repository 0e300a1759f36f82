//! Calls an adapter's `observe`, which reads what the target holds now for some links. Nothing is written: at a
//! database the transaction only reads, no table is granted for writing, and it is rolled back; over HTTP requests that
//! write are denied.

use super::checked::CheckedAdapter;
use super::session::{CallFailure, TargetSession, reported};
use super::spec::Access;
use crate::domain::change::{Observation, Subject};
use crate::plugin::{DatabaseCall, Given, Usage};

impl TargetSession<'_> {
    /// One observation for each subject, in order, and what the call used. A type that the adapter does not observe is
    /// `unknown`, without a call.
    pub async fn observe(
        &self,
        checked: &CheckedAdapter,
        subjects: &[Subject],
    ) -> (Result<Vec<Observation>, CallFailure>, Usage) {
        let descriptor = checked.adapter.descriptor();
        let observes = |kind: &str| descriptor.support(kind).is_some_and(|support| support.observes);
        let asked: Vec<_> = subjects.iter().filter(|subject| observes(&subject.aggregate_type)).cloned().collect();
        let (found, usage) =
            if asked.is_empty() { (Ok(Vec::new()), Usage::default()) } else { self.ask(checked, &asked).await };
        let found = found.map(|found| {
            let mut found = found.into_iter();
            let silent =
                |kind: &str| Observation::Unknown(format!("adapter {} does not observe {kind}", descriptor.name));
            // The host has counted the observations: there is one for each subject that was asked about.
            let mut answer = |subject: &Subject| {
                let answered = observes(&subject.aggregate_type).then(|| found.next()).flatten();
                answered.unwrap_or_else(|| silent(&subject.aggregate_type))
            };
            subjects.iter().map(&mut answer).collect()
        });
        (found, usage)
    }

    async fn ask(
        &self,
        checked: &CheckedAdapter,
        subjects: &[Subject],
    ) -> (Result<Vec<Observation>, CallFailure>, Usage) {
        let learned = checked.learned();
        let given = Given { state: &checked.state, learned: &learned, on_remote_edit: self.target.spec.on_remote_edit };
        match &self.target.access {
            Access::Database { database, reading, .. } => {
                let transaction = match database.begin_read().await {
                    Ok(transaction) => transaction,
                    Err(error) => return (Err(CallFailure::Database(error)), Usage::default()),
                };
                let adapter = &checked.adapter;
                let call = adapter.observe_database(&self.context, reading, transaction, given, subjects).await;
                end_reading(call).await
            }
            Access::Http(http) => {
                let call = checked.adapter.observe_http(&self.context, http, given, subjects).await;
                (reported(call.result), call.usage)
            }
        }
    }
}

/// Ends a call that only read, and gives what it reported.
pub(super) async fn end_reading<T>(call: DatabaseCall<T>) -> (Result<T, CallFailure>, Usage) {
    if let Some(transaction) = call.transaction {
        // Nothing was changed, so that a failed rollback does no harm.
        transaction.rollback().await.ok();
    }
    let result = match call.broken {
        Some(error) => Err(CallFailure::Database(error)),
        None => reported(call.result),
    };
    (result, call.usage)
}
