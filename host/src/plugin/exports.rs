//! The exports of an adapter for the rest of the host, with the types of the newest interface: four functions, and one
//! that only some adapters have.
//!
//! The version and the world of a component are determined once, when it is linked. A call goes through [`Exports`] and
//! compares nothing. Each call makes a fresh instance. Read next: `call.rs`, `listing.rs` for what is optional, and
//! `interface_0_1.rs` for adapters that were built earlier.

use futures::future::BoxFuture;
use wasmtime::Store;
use wasmtime::component::Resource;

use super::bindings::{DatabaseTargetPre, HttpTargetPre, types};
use super::state::CallState;

/// A guest's response: its own failure inside, a trap or the host's fault outside.
pub(super) type Response<'a, T> = BoxFuture<'a, wasmtime::Result<Result<T, types::Failure>>>;

/// The functions of a linked adapter. A database adapter finds its transaction in the store's state.
pub(super) trait Exports: Send + Sync {
    fn describe<'a>(&'a self, store: &'a mut Store<CallState>) -> Response<'a, types::Descriptor>;

    fn check<'a>(&'a self, store: &'a mut Store<CallState>) -> Response<'a, types::Report>;

    fn apply<'a>(
        &'a self,
        store: &'a mut Store<CallState>,
        context: types::Context,
        changes: Vec<types::Change>,
    ) -> Response<'a, types::Applied>;

    fn observe<'a>(
        &'a self,
        store: &'a mut Store<CallState>,
        context: types::Context,
        subjects: Vec<types::Subject>,
    ) -> Response<'a, Vec<types::Observation>>;

    /// Lists our records. `listing.rs` has the adapters that can.
    fn list_own<'a>(
        &'a self,
        _: &'a mut Store<CallState>,
        _: types::Context,
        _: ListQuery,
    ) -> Response<'a, types::OwnPage> {
        let message = "the adapter lists nothing".to_owned();
        let failure = types::Failure { kind: types::FailureKind::Unsupported, message, retry_after_ms: None };
        Box::pin(std::future::ready(Ok(Err(failure))))
    }
}

/// Which page of our records is wanted.
pub(super) struct ListQuery {
    pub(super) aggregate_type: String,
    pub(super) after: Option<String>,
    pub(super) limit: u32,
}

/// The guest's handle of the transaction that is lent to the call. The resource has no number: there is one in a call.
pub(super) fn lent<T: 'static>() -> Resource<T> {
    Resource::new_borrow(0)
}

impl Exports for DatabaseTargetPre<CallState> {
    fn describe<'a>(&'a self, store: &'a mut Store<CallState>) -> Response<'a, types::Descriptor> {
        Box::pin(async move {
            let instance = self.instantiate_async(&mut *store).await?;
            instance.neuronova_sync_database_adapter().call_describe(store).await.map(Ok)
        })
    }

    fn check<'a>(&'a self, store: &'a mut Store<CallState>) -> Response<'a, types::Report> {
        Box::pin(async move {
            let instance = self.instantiate_async(&mut *store).await?;
            instance.neuronova_sync_database_adapter().call_check(store, lent()).await
        })
    }

    fn apply<'a>(
        &'a self,
        store: &'a mut Store<CallState>,
        context: types::Context,
        changes: Vec<types::Change>,
    ) -> Response<'a, types::Applied> {
        Box::pin(async move {
            let instance = self.instantiate_async(&mut *store).await?;
            instance.neuronova_sync_database_adapter().call_apply(store, lent(), &context, &changes).await
        })
    }

    fn observe<'a>(
        &'a self,
        store: &'a mut Store<CallState>,
        context: types::Context,
        subjects: Vec<types::Subject>,
    ) -> Response<'a, Vec<types::Observation>> {
        Box::pin(async move {
            let instance = self.instantiate_async(&mut *store).await?;
            instance.neuronova_sync_database_adapter().call_observe(store, lent(), &context, &subjects).await
        })
    }
}

impl Exports for HttpTargetPre<CallState> {
    fn describe<'a>(&'a self, store: &'a mut Store<CallState>) -> Response<'a, types::Descriptor> {
        Box::pin(async move {
            let instance = self.instantiate_async(&mut *store).await?;
            instance.neuronova_sync_http_adapter().call_describe(store).await.map(Ok)
        })
    }

    fn check<'a>(&'a self, store: &'a mut Store<CallState>) -> Response<'a, types::Report> {
        Box::pin(async move {
            let instance = self.instantiate_async(&mut *store).await?;
            instance.neuronova_sync_http_adapter().call_check(store).await
        })
    }

    fn apply<'a>(
        &'a self,
        store: &'a mut Store<CallState>,
        context: types::Context,
        changes: Vec<types::Change>,
    ) -> Response<'a, types::Applied> {
        Box::pin(async move {
            let instance = self.instantiate_async(&mut *store).await?;
            instance.neuronova_sync_http_adapter().call_apply(store, &context, &changes).await
        })
    }

    fn observe<'a>(
        &'a self,
        store: &'a mut Store<CallState>,
        context: types::Context,
        subjects: Vec<types::Subject>,
    ) -> Response<'a, Vec<types::Observation>> {
        Box::pin(async move {
            let instance = self.instantiate_async(&mut *store).await?;
            instance.neuronova_sync_http_adapter().call_observe(store, &context, &subjects).await
        })
    }
}
