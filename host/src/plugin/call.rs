//! One call: a fresh instance in a store of its own, within limits, and its result.
//!
//! When the call returns, whether it finished or was cut off, everything that it held is released, except the
//! transaction, which returns to the caller. Read next: `state.rs` for what a call holds, `response.rs` for how its
//! response is validated.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use wasmtime::component::{Resource, ResourceTableError};
use wasmtime::{CallHook, Store, Trap, UpdateDeadline};

use super::adapter::Linked;
use super::bindings::types;
use super::capability::http::HttpCapability;
use super::capability::http_fate::RequestFates;
use super::capability::http_fence::{Fence, ReadOnly};
use super::capability::sql::SqlCapability;
use super::error::STACK_KIB;
use super::limits::LimitExceeded;
use super::meters::Meters;
use super::response;
use super::state::{CallState, NoCapability};
use super::ticker::TICK_MS;
use super::{Adapter, CallContext, CallError, HttpAccess, Limits, SqlAccess, Usage};
use crate::database::{DatabaseError, Transaction};
use crate::domain::change::{Change, Descriptor, Failure, Outcome, RemoteEdit, Report};
use crate::domain::words::one_line;

/// The end of a call to a database target.
pub struct DatabaseCall<T> {
    /// Lent to the call and given back, to be committed or rolled back. `None` when the call was cut off in the middle
    /// of a statement: the connection was closed, and the server rolls back.
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
    /// A request that may write was sent and got no complete answer: the server may go on working on it.
    pub in_doubt: bool,
    /// A request took longer than it may.
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
        let sql = SqlCapability::new(Arc::clone(access), transaction);
        let linked = self.linked.clone();
        let (state, result, usage) = self
            .run(context, Some(sql), HttpCapability::none(), Arc::default(), move |store| {
                Box::pin(async move {
                    let Linked::Database(linked) = linked else { return Err(WorldMismatch.into()) };
                    let instance = linked.instantiate_async(&mut *store).await?;
                    instance.neuronova_sync_database_adapter().call_check(store, Resource::new_borrow(0)).await
                })
            })
            .await;
        database_call(state, result.and_then(report), usage)
    }

    /// Delivers changes to a database target: one outcome per change, in order. The caller commits or rolls back.
    pub async fn apply_database(
        &self,
        context: &CallContext,
        access: &Arc<SqlAccess>,
        transaction: Transaction,
        state: &[u8],
        on_remote_edit: RemoteEdit,
        changes: &[Change],
    ) -> DatabaseCall<Vec<Outcome>> {
        let sql = SqlCapability::new(Arc::clone(access), transaction);
        let given = types::Context { state: state.to_vec(), on_remote_edit: on_remote_edit.into() };
        let list: Vec<types::Change> = changes.iter().map(types::Change::from).collect();
        let linked = self.linked.clone();
        let (state, result, usage) = self
            .run(context, Some(sql), HttpCapability::none(), Arc::default(), move |store| {
                Box::pin(async move {
                    let Linked::Database(linked) = linked else { return Err(WorldMismatch.into()) };
                    let instance = linked.instantiate_async(&mut *store).await?;
                    let adapter = instance.neuronova_sync_database_adapter();
                    adapter.call_apply(store, Resource::new_borrow(0), &given, &list).await
                })
            })
            .await;
        database_call(state, result.and_then(|raw| outcomes(raw, changes.len())), usage)
    }

    /// Calls `check` at an HTTP target. Requests other than GET, HEAD and OPTIONS are denied.
    pub async fn check_http(&self, context: &CallContext, access: &Arc<HttpAccess>) -> HttpCall<Report> {
        let meters = Arc::<Meters>::default();
        let fates = RequestFates::default();
        let http =
            HttpCapability::open(Arc::clone(access), (Arc::new(ReadOnly), fates.clone()), context, Arc::clone(&meters));
        let linked = self.linked.clone();
        let (state, result, usage) = self
            .run(context, None, http, meters, move |store| {
                Box::pin(async move {
                    let Linked::Http(linked) = linked else { return Err(WorldMismatch.into()) };
                    let instance = linked.instantiate_async(&mut *store).await?;
                    instance.neuronova_sync_http_adapter().call_check(store).await
                })
            })
            .await;
        drop(state);
        let timed_out = fates.timed_out() > 0;
        HttpCall { result: result.and_then(report), lease_lost: false, in_doubt: false, timed_out, usage }
    }

    /// Delivers changes to an HTTP target: one outcome per change, in order. Calls of one batch share the fates of
    /// their requests, so that they are known also when the call is dropped half-way.
    pub async fn apply_http(
        &self,
        context: &CallContext,
        access: &Arc<HttpAccess>,
        (fence, fates): (Arc<dyn Fence>, &RequestFates),
        state: &[u8],
        on_remote_edit: RemoteEdit,
        changes: &[Change],
    ) -> HttpCall<Vec<Outcome>> {
        let meters = Arc::<Meters>::default();
        let before = (fates.unanswered(), fates.timed_out());
        let http = HttpCapability::open(Arc::clone(access), (fence, fates.clone()), context, Arc::clone(&meters));
        let given = types::Context { state: state.to_vec(), on_remote_edit: on_remote_edit.into() };
        let list: Vec<types::Change> = changes.iter().map(types::Change::from).collect();
        let linked = self.linked.clone();
        let (state, result, usage) = self
            .run(context, None, http, meters, move |store| {
                Box::pin(async move {
                    let Linked::Http(linked) = linked else { return Err(WorldMismatch.into()) };
                    let instance = linked.instantiate_async(&mut *store).await?;
                    instance.neuronova_sync_http_adapter().call_apply(store, &given, &list).await
                })
            })
            .await;
        let lease_lost = state.meters.lease_lost();
        // What was still under way is dropped with the call's store, and stays unanswered.
        drop(state);
        HttpCall {
            result: result.and_then(|raw| outcomes(raw, changes.len())),
            lease_lost,
            in_doubt: fates.unanswered() > before.0,
            timed_out: fates.timed_out() > before.1,
            usage,
        }
    }

    /// Calls `describe`, with no capability.
    pub(super) async fn call_describe(&self, context: &CallContext) -> Result<Descriptor, CallError> {
        let linked = self.linked.clone();
        let (_, result, _) = self
            .run(context, None, HttpCapability::none(), Arc::default(), move |store| {
                Box::pin(async move {
                    let descriptor = match linked {
                        Linked::Database(linked) => {
                            let instance = linked.instantiate_async(&mut *store).await?;
                            instance.neuronova_sync_database_adapter().call_describe(store).await?
                        }
                        Linked::Http(linked) => {
                            let instance = linked.instantiate_async(&mut *store).await?;
                            instance.neuronova_sync_http_adapter().call_describe(store).await?
                        }
                    };
                    Ok(Raw::Ok(descriptor))
                })
            })
            .await;
        match result? {
            Ok(descriptor) => Ok(descriptor.into()),
            Err(failure) => Err(CallError::InvalidResponse(failure.message)),
        }
    }

    /// Runs one call in a store of its own.
    async fn run<T>(
        &self,
        context: &CallContext,
        sql: Option<SqlCapability>,
        http: HttpCapability,
        meters: Arc<Meters>,
        call: impl for<'a> FnOnce(&'a mut Store<CallState>) -> BoxFuture<'a, wasmtime::Result<Raw<T>>>,
    ) -> (CallState, Result<Raw<T>, CallError>, Usage) {
        let permit = self.runtime.instances.acquire().await.expect("invariant: the semaphore is never closed");
        let limits = &context.limits;
        let waits = sql.as_ref().map(|sql| sql.waits.clone()).unwrap_or_default();
        let state = CallState::new(context.clone(), self.descriptor().name.clone(), Arc::clone(&meters), sql, http);
        let mut store = Store::new(&self.runtime.engine, state);
        limit(&mut store, limits, &meters);
        let began = Instant::now();
        let ended = waits.within(Duration::from_millis(limits.deadline_ms), call(&mut store)).await;
        let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let result = match ended {
            Some(Ok(answer)) => match (&answer, meters.recorded()) {
                // The adapter gave up because of a limit: the operator reads which one.
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
#[derive(Debug, thiserror::Error)]
#[error("the adapter is for another kind of target")]
struct WorldMismatch;

fn database_call<T>(state: CallState, result: Result<Result<T, Failure>, CallError>, usage: Usage) -> DatabaseCall<T> {
    let (transaction, broken) = state.sql.map_or((None, None), |sql| (sql.transaction, sql.broken));
    DatabaseCall { transaction, broken, result, usage }
}

fn report(raw: Raw<types::Report>) -> Result<Result<Report, Failure>, CallError> {
    match raw {
        Ok(found) => response::report(found.into()).map(Ok),
        Err(failure) => Ok(Err(response::failure(&failure.into()))),
    }
}

fn outcomes(raw: Raw<Vec<types::Outcome>>, expected: usize) -> Result<Result<Vec<Outcome>, Failure>, CallError> {
    match raw {
        Ok(list) => response::outcomes(list.into_iter().map(Outcome::from).collect(), expected).map(Ok),
        Err(failure) => Ok(Err(response::failure(&failure.into()))),
    }
}

/// Tells whether a limit, the guest itself or the host ended the call.
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
    // wasmtime keeps this error's type to itself.
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
    if error.is::<wasmtime::PoolConcurrencyLimitError>() || error.is::<WorldMismatch>() {
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
