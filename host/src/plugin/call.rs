//! One call: a fresh instance in a store of its own, within limits, and its result.
//!
//! When the call returns, whether it finished or was cut off, everything that it held is released, except the
//! transaction, which returns to the caller. Read next: `state.rs` for what a call holds, `response.rs` for how its
//! response is validated.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::ResourceTableError;
use wasmtime::{CallHook, Store, Trap, UpdateDeadline};

use super::bindings::types;
use super::capability::http::HttpCapability;
use super::capability::http_fate::RequestFates;
use super::capability::http_fence::{Fence, ReadOnly};
use super::capability::sql::SqlCapability;
use super::convert::wire;
use super::error::STACK_KIB;
use super::exports::{Exports, ListQuery, Response};
use super::limits::LimitExceeded;
use super::meters::Meters;
use super::response;
use super::state::{CallState, NoCapability};
use super::ticker::TICK_MS;
use super::{Adapter, CallContext, CallError, Given, HttpAccess, Limits, SqlAccess, Usage, World};
use crate::database::{DatabaseError, Transaction};
use crate::domain::change::{
    BatchOutcome, Change, Descriptor, Failure, Observation, OwnPage, OwnQuery, Report, Subject,
};
use crate::domain::words::one_line;

/// The end of a call to a database target.
pub struct DatabaseCall<T> {
    /// The transaction that was lent to the call, to be committed or rolled back. `None` when the call was aborted
    /// during a statement: the connection was closed, and the server rolls back.
    pub transaction: Option<Transaction>,
    /// Set when the database ended the transaction (`Contention`: run the whole call again; `Unavailable`), whatever
    /// the adapter responded.
    pub broken: Option<DatabaseError>,
    /// The adapter's response. The outer error is the adapter's own fault or a limit.
    pub result: Result<Result<T, Failure>, CallError>,
    /// The resources that the call used.
    pub usage: Usage,
}

/// The end of a call to an HTTP target.
pub struct HttpCall<T> {
    /// The adapter's response. The outer error is the adapter's own fault or a limit.
    pub result: Result<Result<T, Failure>, CallError>,
    /// The lease was lost before a request that would have written; that request was not sent.
    pub lease_lost: bool,
    /// A request that may write was sent and got no complete response: the server may still be working on it.
    pub in_doubt: bool,
    /// A request exceeded its time limit.
    pub timed_out: bool,
    /// The resources that the call used.
    pub usage: Usage,
}

/// A guest's response, in the interface's own types.
type Raw<T> = Result<T, types::Failure>;

impl Adapter {
    /// Calls `check` at a database target. The caller rolls the transaction back.
    pub async fn check_database(
        &self,
        context: &CallContext,
        access: &Arc<SqlAccess>,
        transaction: Transaction,
    ) -> DatabaseCall<Report> {
        self.at_database(context, access, transaction, |exports, store| exports.check(store), report).await
    }

    /// Delivers changes to a database target: one outcome per change, in order. The caller commits or rolls back.
    pub async fn apply_database(
        &self,
        context: &CallContext,
        access: &Arc<SqlAccess>,
        transaction: Transaction,
        given: Given<'_>,
        changes: &[Change],
    ) -> DatabaseCall<BatchOutcome> {
        self.record_call(context);
        let (given, list) = (types::Context::from(given), wire(changes));
        let judge = |applied| outcomes(applied, changes.len());
        self.at_database(context, access, transaction, move |exports, store| exports.apply(store, given, list), judge)
            .await
    }

    /// Calls `observe` at a database target: one observation per subject, in order. The caller rolls back; statements
    /// that write are refused, because `access` is one that only reads.
    pub async fn observe_database(
        &self,
        context: &CallContext,
        access: &Arc<SqlAccess>,
        transaction: Transaction,
        given: Given<'_>,
        subjects: &[Subject],
    ) -> DatabaseCall<Vec<Observation>> {
        let (given, list) = (types::Context::from(given), wire(subjects));
        let judge = |found| observations(found, subjects.len());
        self.at_database(context, access, transaction, move |exports, store| exports.observe(store, given, list), judge)
            .await
    }

    /// Calls `list-own` at a database target, as `observe`.
    pub async fn list_own_database(
        &self,
        context: &CallContext,
        access: &Arc<SqlAccess>,
        transaction: Transaction,
        given: Given<'_>,
        query: &OwnQuery<'_>,
    ) -> DatabaseCall<OwnPage> {
        let (given, list) = (types::Context::from(given), list_query(query));
        let judge = |page| own_page(page, query);
        self.at_database(
            context,
            access,
            transaction,
            move |exports, store| exports.list_own(store, given, list),
            judge,
        )
        .await
    }

    /// Calls `check` at an HTTP target. Requests other than GET, HEAD and OPTIONS are denied.
    pub async fn check_http(&self, context: &CallContext, access: &Arc<HttpAccess>) -> HttpCall<Report> {
        let permit: (Arc<dyn Fence>, _) = (Arc::new(ReadOnly), &RequestFates::default());
        let call = self.over_http(context, access, permit, |exports, store| exports.check(store), report).await;
        // The adapter reports denied requests itself: no lease is involved.
        HttpCall { lease_lost: false, in_doubt: false, ..call }
    }

    /// Delivers changes to an HTTP target: one outcome per change, in order. Calls of one batch share the record of
    /// their requests, so that it is available even when the call is dropped halfway.
    pub async fn apply_http(
        &self,
        context: &CallContext,
        access: &Arc<HttpAccess>,
        permit: (Arc<dyn Fence>, &RequestFates),
        given: Given<'_>,
        changes: &[Change],
    ) -> HttpCall<BatchOutcome> {
        self.record_call(context);
        let (given, list) = (types::Context::from(given), wire(changes));
        let judge = |applied| outcomes(applied, changes.len());
        self.over_http(context, access, permit, move |exports, store| exports.apply(store, given, list), judge).await
    }

    /// Calls `observe` at an HTTP target: one observation per subject, in order. Requests other than GET, HEAD and
    /// OPTIONS are denied.
    pub async fn observe_http(
        &self,
        context: &CallContext,
        access: &Arc<HttpAccess>,
        given: Given<'_>,
        subjects: &[Subject],
    ) -> HttpCall<Vec<Observation>> {
        let (given, list) = (types::Context::from(given), wire(subjects));
        let permit: (Arc<dyn Fence>, _) = (Arc::new(ReadOnly), &RequestFates::default());
        let judge = |found| observations(found, subjects.len());
        self.over_http(context, access, permit, move |exports, store| exports.observe(store, given, list), judge).await
    }

    /// Calls `list-own` at an HTTP target, as `observe`.
    pub async fn list_own_http(
        &self,
        context: &CallContext,
        access: &Arc<HttpAccess>,
        given: Given<'_>,
        query: &OwnQuery<'_>,
    ) -> HttpCall<OwnPage> {
        let (given, list) = (types::Context::from(given), list_query(query));
        let permit: (Arc<dyn Fence>, _) = (Arc::new(ReadOnly), &RequestFates::default());
        let judge = |page| own_page(page, query);
        self.over_http(context, access, permit, move |exports, store| exports.list_own(store, given, list), judge).await
    }

    /// Calls `describe`, with no capability.
    pub(super) async fn call_describe(&self, context: &CallContext) -> Result<Descriptor, CallError> {
        let (_, result, _) = self
            .run(context, None, HttpCapability::none(), Arc::default(), |exports, store| exports.describe(store))
            .await;
        match result? {
            Ok(descriptor) => Ok(descriptor.into()),
            Err(failure) => Err(CallError::InvalidResponse(failure.message)),
        }
    }

    fn record_call(&self, context: &CallContext) {
        if let Some(recorder) = &context.recorder {
            recorder.begin_call(self.identity());
        }
    }

    /// One call with a transaction.
    async fn at_database<T, U>(
        &self,
        context: &CallContext,
        access: &Arc<SqlAccess>,
        transaction: Transaction,
        call: impl for<'a> FnOnce(&'a dyn Exports, &'a mut Store<CallState>) -> Response<'a, T>,
        judge: impl FnOnce(T) -> Result<U, CallError>,
    ) -> DatabaseCall<U> {
        if self.world() != World::Database {
            let (transaction, result) = (Some(transaction), Err(other_world()));
            return DatabaseCall { transaction, broken: None, result, usage: Usage::default() };
        }
        let sql = SqlCapability::new(Arc::clone(access), transaction);
        let (state, raw, usage) = self.run(context, Some(sql), HttpCapability::none(), Arc::default(), call).await;
        let (transaction, broken) = state.sql.map_or((None, None), |sql| (sql.transaction, sql.broken));
        DatabaseCall { transaction, broken, result: judged(raw, judge), usage }
    }

    /// One call with an HTTP client.
    async fn over_http<T, U>(
        &self,
        context: &CallContext,
        access: &Arc<HttpAccess>,
        (fence, fates): (Arc<dyn Fence>, &RequestFates),
        call: impl for<'a> FnOnce(&'a dyn Exports, &'a mut Store<CallState>) -> Response<'a, T>,
        judge: impl FnOnce(T) -> Result<U, CallError>,
    ) -> HttpCall<U> {
        if self.world() != World::Http {
            let (result, usage) = (Err(other_world()), Usage::default());
            return HttpCall { result, lease_lost: false, in_doubt: false, timed_out: false, usage };
        }
        let meters = Arc::<Meters>::default();
        let before = (fates.unanswered(), fates.timed_out());
        let http = HttpCapability::open(Arc::clone(access), (fence, fates.clone()), context, Arc::clone(&meters));
        let (state, raw, usage) = self.run(context, None, http, meters, call).await;
        let lease_lost = state.meters.lease_lost();
        // Requests still in flight are dropped with the call's store, and stay unanswered.
        drop(state);
        HttpCall {
            result: judged(raw, judge),
            lease_lost,
            in_doubt: fates.unanswered() > before.0,
            timed_out: fates.timed_out() > before.1,
            usage,
        }
    }

    /// Runs one call in a store of its own.
    async fn run<T>(
        &self,
        context: &CallContext,
        sql: Option<SqlCapability>,
        http: HttpCapability,
        meters: Arc<Meters>,
        call: impl for<'a> FnOnce(&'a dyn Exports, &'a mut Store<CallState>) -> Response<'a, T>,
    ) -> (CallState, Result<Raw<T>, CallError>, Usage) {
        let permit = self.runtime.instances.acquire().await.expect("invariant: the semaphore is never closed");
        let limits = &context.limits;
        let waits = sql.as_ref().map(|sql| sql.waits.clone()).unwrap_or_default();
        let state = CallState::new(context.clone(), self.descriptor().name.clone(), Arc::clone(&meters), sql, http);
        let mut store = Store::new(&self.runtime.engine, state);
        limit(&mut store, limits, &meters);
        let began = Instant::now();
        let ended =
            waits.within(Duration::from_millis(limits.deadline_ms), call(self.exports.as_ref(), &mut store)).await;
        let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let result = match ended {
            Some(Ok(answer)) => match (&answer, meters.recorded()) {
                // The adapter ended because of a limit: the message names it.
                (Err(_), Some(exceeded)) => Err(exceeded.into_error(&context.target)),
                // Likewise when the host had no credentials for it.
                (Err(_), None) => Ok(meters.unauthorized().map_or(answer, |failure| Raw::Err(failure.into()))),
                _ => Ok(answer),
            },
            Some(Err(error)) => Err(classify(&error, context, self.runtime.options.stack_kib, meters.recorded())),
            None => Err(LimitExceeded::new("deadline_ms", limits.deadline_ms).into_error(&context.target)),
        };
        let state = store.into_data();
        drop(permit);
        let statements = state.sql.as_ref().map_or(0, |sql| sql.statements);
        let usage = meters.usage(elapsed_ms, state.memory.memory_bytes(), statements);
        (state, result, usage)
    }
}

fn limit(store: &mut Store<CallState>, limits: &Limits, meters: &Arc<Meters>) {
    store.limiter(|state| &mut state.memory);
    store.set_hostcall_fuel(usize::try_from(limits.host_call_bytes_max).unwrap_or(usize::MAX));
    store.set_max_component_handles(usize::try_from(limits.handles_max).unwrap_or(usize::MAX));
    store.call_hook(|store, hook| match hook {
        CallHook::ReturningFromHost => store.data().check_host_calls(),
        CallHook::CallingHost | CallHook::CallingWasm | CallHook::ReturningFromWasm => Ok(()),
    });
    store.set_epoch_deadline(1);
    let (cpu_ms, meters) = (limits.cpu_ms, Arc::clone(meters));
    // Called once per tick that the guest computes; a tick that passes in the host is not counted.
    store.epoch_deadline_callback(move |_| {
        if meters.cpu_ticks.add().saturating_mul(TICK_MS) > cpu_ms {
            return Err(LimitExceeded::new("cpu_ms", cpu_ms).into());
        }
        Ok(UpdateDeadline::Yield(1))
    });
}

/// The caller asked an adapter of one world for a call of the other.
fn other_world() -> CallError {
    CallError::Host("the adapter is for another kind of target".to_owned())
}

/// The response as the host uses it. The adapter's own failure is shown and stored like one of a single change.
fn judged<T, U>(
    raw: Result<Raw<T>, CallError>,
    judge: impl FnOnce(T) -> Result<U, CallError>,
) -> Result<Result<U, Failure>, CallError> {
    match raw? {
        Ok(answer) => judge(answer).map(Ok),
        Err(failure) => Ok(Err(response::failure(&failure.into()))),
    }
}

fn report(found: types::Report) -> Result<Report, CallError> {
    response::report(found.into())
}

fn outcomes(applied: types::Applied, expected: usize) -> Result<BatchOutcome, CallError> {
    response::outcomes(applied.into(), expected)
}

fn observations(found: Vec<types::Observation>, expected: usize) -> Result<Vec<Observation>, CallError> {
    // The count is compared before anything is copied: there may be a million.
    response::count("observations", found.len(), "subjects", expected)?;
    found.into_iter().enumerate().map(|(index, found)| response::observation(found.into(), index)).collect()
}

fn list_query(query: &OwnQuery<'_>) -> ListQuery {
    ListQuery {
        aggregate_type: query.aggregate_type.to_owned(),
        after: query.after.map(str::to_owned),
        limit: query.limit,
    }
}

fn own_page(page: types::OwnPage, query: &OwnQuery<'_>) -> Result<OwnPage, CallError> {
    // As for observations, the count is compared before anything is copied.
    response::within("records", page.records.len(), query.limit)?;
    response::own_page(page.into(), query)
}

/// Determines whether a limit, the guest itself or the host ended the call.
fn classify(
    error: &wasmtime::Error,
    context: &CallContext,
    stack_kib: u32,
    recorded: Option<LimitExceeded>,
) -> CallError {
    let target = &context.target;
    if let Some(exceeded) = error.chain().find_map(|cause| cause.downcast_ref::<LimitExceeded>()) {
        return exceeded.into_error(target);
    }
    if let Some(ResourceTableError::Full) = error.chain().find_map(|cause| cause.downcast_ref()) {
        return LimitExceeded::new("handles_max", context.limits.handles_max).into_error(target);
    }
    let root = error.root_cause().to_string();
    // wasmtime does not export the type of this error.
    if root.contains("fuel allocated for hostcalls has been exhausted") {
        return LimitExceeded::new("host_call_bytes_max", context.limits.host_call_bytes_max).into_error(target);
    }
    let trap = error.chain().find_map(|cause| cause.downcast_ref::<Trap>());
    if let Some(Trap::StackOverflow) = trap {
        return LimitExceeded::new(STACK_KIB, stack_kib.into()).into_error(target);
    }
    if let Some(exceeded) = recorded {
        return exceeded.into_error(target);
    }
    if error.is::<wasmtime::PoolConcurrencyLimitError>() {
        return CallError::Host(one_line(&root, 200));
    }
    if error.chain().any(<dyn std::error::Error>::is::<NoCapability>) {
        return CallError::InvalidResponse(root);
    }
    match trap {
        Some(Trap::UnreachableCodeReached) => CallError::Trap("it panicked or gave up (unreachable)".to_owned()),
        _ => CallError::Trap(one_line(&root, 200)),
    }
}
