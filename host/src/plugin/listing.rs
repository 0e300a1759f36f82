//! Adapters that also list our records at their target. The interface for it is optional: `link` compares a component's
//! exports once, and joins both parts.

use wasmtime::Store;

use super::bindings::{DatabaseListerPre, HttpListerPre, types};
use super::exports::{Exports, ListQuery, Response, lent};
use super::state::CallState;
use super::world::{Interface, World};

/// An adapter with its part that lists.
pub(super) struct WithListing<A, L> {
    pub(super) adapter: A,
    pub(super) listing: L,
}

/// The part of an adapter that lists.
pub(super) trait Lists: Send + Sync {
    fn list_own<'a>(
        &'a self,
        store: &'a mut Store<CallState>,
        context: types::Context,
        query: ListQuery,
    ) -> Response<'a, types::OwnPage>;
}

/// Whether a component with these exports lists our records.
pub(super) fn is_exported(world: World, exports: &[String]) -> bool {
    let interface = match world {
        World::Database => "neuronova:sync/database-listing",
        World::Http => "neuronova:sync/http-listing",
    };
    exports.iter().any(|export| *export == format!("{interface}@{}", Interface::NEWEST.version()))
}

impl<A: Exports, L: Lists> Exports for WithListing<A, L> {
    fn describe<'a>(&'a self, store: &'a mut Store<CallState>) -> Response<'a, types::Descriptor> {
        self.adapter.describe(store)
    }

    fn check<'a>(&'a self, store: &'a mut Store<CallState>) -> Response<'a, types::Report> {
        self.adapter.check(store)
    }

    fn apply<'a>(
        &'a self,
        store: &'a mut Store<CallState>,
        context: types::Context,
        changes: Vec<types::Change>,
    ) -> Response<'a, types::Applied> {
        self.adapter.apply(store, context, changes)
    }

    fn observe<'a>(
        &'a self,
        store: &'a mut Store<CallState>,
        context: types::Context,
        subjects: Vec<types::Subject>,
    ) -> Response<'a, Vec<types::Observation>> {
        self.adapter.observe(store, context, subjects)
    }

    fn list_own<'a>(
        &'a self,
        store: &'a mut Store<CallState>,
        context: types::Context,
        query: ListQuery,
    ) -> Response<'a, types::OwnPage> {
        self.listing.list_own(store, context, query)
    }
}

impl Lists for DatabaseListerPre<CallState> {
    fn list_own<'a>(
        &'a self,
        store: &'a mut Store<CallState>,
        context: types::Context,
        ListQuery { aggregate_type, after, limit }: ListQuery,
    ) -> Response<'a, types::OwnPage> {
        Box::pin(async move {
            let instance = self.instantiate_async(&mut *store).await?;
            let listing = instance.neuronova_sync_database_listing();
            listing.call_list_own(store, lent(), &context, &aggregate_type, after.as_deref(), limit).await
        })
    }
}

impl Lists for HttpListerPre<CallState> {
    fn list_own<'a>(
        &'a self,
        store: &'a mut Store<CallState>,
        context: types::Context,
        ListQuery { aggregate_type, after, limit }: ListQuery,
    ) -> Response<'a, types::OwnPage> {
        Box::pin(async move {
            let instance = self.instantiate_async(&mut *store).await?;
            let listing = instance.neuronova_sync_http_listing();
            listing.call_list_own(store, &context, &aggregate_type, after.as_deref(), limit).await
        })
    }
}
