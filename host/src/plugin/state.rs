//! What the store of one call holds: the capabilities lent to it, and the meters that count what it takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::capability::http::HttpCapability;
use super::capability::http_credentials::AuthFailure;
use super::capability::sql::SqlCapability;
use super::limits::{LimitExceeded, MemoryLimiter};
use super::{CallContext, Usage};

/// The data of a call's store. It lives exactly as long as the call.
pub(super) struct CallState {
    pub(super) context: CallContext,
    pub(super) adapter: String,
    pub(super) memory: MemoryLimiter,
    pub(super) meters: Arc<Meters>,
    pub(super) sql: Option<SqlCapability>,
    pub(super) http: HttpCapability,
    pub(super) table: ResourceTable,
    wasi: WasiCtx,
    wasi_http: WasiHttpCtx,
}

impl CallState {
    pub(super) fn new(
        context: CallContext,
        adapter: String,
        meters: Arc<Meters>,
        sql: Option<SqlCapability>,
        http: HttpCapability,
    ) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(usize::try_from(context.limits.handles_max).unwrap_or(usize::MAX));
        let memory = MemoryLimiter::new(&context.limits);
        Self { context, adapter, memory, meters, sql, http, table, wasi: nothing(), wasi_http: WasiHttpCtx::new() }
    }

    /// Counts one call of the guest to an interface of ours. `describe` was lent nothing, and makes none.
    pub(super) fn count_host_call(&self) -> wasmtime::Result<()> {
        if self.sql.is_none() && !self.http.is_open() {
            return Err(NoCapability.into());
        }
        self.meters.host_calls.add();
        self.check_host_calls()
    }

    /// WASI's functions cannot refuse to be called, so that it is asked for them as they return.
    pub(super) fn check_host_calls(&self) -> wasmtime::Result<()> {
        let max = self.context.limits.host_calls_max;
        if self.meters.host_calls.get() > max { Err(LimitExceeded::new("host_calls_max", max).into()) } else { Ok(()) }
    }
}

/// `describe` asked for something.
#[derive(Debug, thiserror::Error)]
#[error("`describe` called the host")]
pub(super) struct NoCapability;

/// WASI with nothing granted: no files, environment, arguments, standard streams, sockets or name lookup.
fn nothing() -> WasiCtx {
    let mut builder = WasiCtx::builder();
    builder.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false).max_random_size(1 << 20);
    builder.socket_addr_check(|_, _| Box::pin(async { false }));
    builder.build()
}

impl WasiView for CallState {
    /// Asked for once by each of WASI's functions that the guest calls.
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.meters.host_calls.add();
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for CallState {
    /// As `ctx`.
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.meters.host_calls.add();
        WasiHttpCtxView { hooks: &mut self.http, table: &mut self.table, ctx: &mut self.wasi_http }
    }
}

/// A number that only grows, counted from several tasks.
#[derive(Default)]
pub(super) struct Meter(AtomicU64);

impl Meter {
    /// Adds one and gives the new count.
    pub(super) fn add(&self) -> u64 {
        self.add_many(1)
    }

    pub(super) fn add_many(&self, count: u64) -> u64 {
        self.0.fetch_add(count, Ordering::Relaxed) + count
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a call took so far. Shared with the tasks that send its HTTP requests.
#[derive(Default)]
pub(super) struct Meters {
    pub(super) cpu_ticks: Meter,
    pub(super) host_calls: Meter,
    pub(super) requests: Meter,
    pub(super) log_lines: Meter,
    pub(super) log_bytes: Meter,
    pub(super) refusals: Meter,
    lease_lost: AtomicBool,
    unauthorized: Mutex<Option<AuthFailure>>,
    exceeded: Mutex<Option<LimitExceeded>>,
}

impl Meters {
    /// Remembers a limit that was refused to the guest without ending the call; the first one counts.
    pub(super) fn record(&self, exceeded: LimitExceeded) {
        self.exceeded.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(exceeded);
    }

    pub(super) fn recorded(&self) -> Option<LimitExceeded> {
        *self.exceeded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers that the host had no credentials for a request; the last word counts.
    pub(super) fn record_unauthorized(&self, failure: AuthFailure) {
        *self.unauthorized.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
    }

    pub(super) fn unauthorized(&self) -> Option<AuthFailure> {
        self.unauthorized.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn lose_lease(&self) {
        self.lease_lost.store(true, Ordering::Relaxed);
    }

    pub(super) fn lease_lost(&self) -> bool {
        self.lease_lost.load(Ordering::Relaxed)
    }

    pub(super) fn usage(&self, elapsed_ms: u64, memory_bytes: u64, statements: u64) -> Usage {
        Usage {
            elapsed_ms,
            cpu_ms: self.cpu_ticks.get() * super::ticker::TICK_MS,
            memory_bytes,
            host_calls: self.host_calls.get(),
            statements,
            requests: self.requests.get(),
            log_lines: self.log_lines.get(),
        }
    }
}
