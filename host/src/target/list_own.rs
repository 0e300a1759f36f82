//! Calls an adapter's `list-own`, which lists the target's records that carry our mark. Nothing is written, by the same
//! means as in `observe.rs`.

use super::checked::CheckedAdapter;
use super::observe::end_reading;
use super::session::{CallFailure, TargetSession, reported};
use super::spec::Access;
use crate::domain::change::{OwnPage, OwnQuery};
use crate::plugin::{Given, Usage};

impl TargetSession<'_> {
    /// A page of the target's records of ours, and what the call used.
    pub async fn list_own(
        &self,
        checked: &CheckedAdapter,
        query: &OwnQuery<'_>,
    ) -> (Result<OwnPage, CallFailure>, Usage) {
        let learned = checked.learned();
        let given = Given { state: &checked.state, learned: &learned, on_remote_edit: self.target.spec.on_remote_edit };
        match &self.target.access {
            Access::Database { database, reading, .. } => {
                let transaction = match database.begin_read().await {
                    Ok(transaction) => transaction,
                    Err(error) => return (Err(CallFailure::Database(error)), Usage::default()),
                };
                let adapter = &checked.adapter;
                let call = adapter.list_own_database(&self.context, reading, transaction, given, query).await;
                end_reading(call).await
            }
            Access::Http(http) => {
                let call = checked.adapter.list_own_http(&self.context, http, given, query).await;
                (reported(call.result), call.usage)
            }
        }
    }
}
