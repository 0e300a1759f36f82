//! The store data of one call: the capabilities lent to it, and the meters of its resources.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::capability::http::HttpCapability;
use super::capability::sql::SqlCapability;
use super::limits::{LimitExceeded, MemoryLimiter};
use super::meters::Meters;
use super::{CallContext, Repeatable};

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
        let wasi = nothing(context.repeatable.as_ref());
        Self { context, adapter, memory, meters, sql, http, table, wasi, wasi_http: WasiHttpCtx::new() }
    }

    /// Counts one call of the adapter to an interface of this project. `describe` has no capability, so it must not
    /// make such calls.
    pub(super) fn count_host_call(&self) -> wasmtime::Result<()> {
        if self.sql.is_none() && !self.http.is_open() {
            return Err(NoCapability.into());
        }
        self.meters.host_calls.add();
        self.check_host_calls()
    }

    /// Checks the limit of host calls after a call to WASI, because its functions cannot refuse a call.
    pub(super) fn check_host_calls(&self) -> wasmtime::Result<()> {
        let max = self.context.limits.host_calls_max;
        if self.meters.host_calls.get() > max { Err(LimitExceeded::new("host_calls_max", max).into()) } else { Ok(()) }
    }
}

/// The error when `describe` calls the host.
#[derive(Debug, thiserror::Error)]
#[error("`describe` called the host")]
pub(super) struct NoCapability;

/// WASI with nothing granted: no files, environment, arguments, standard streams, sockets or name lookup.
fn nothing(repeatable: Option<&Repeatable>) -> WasiCtx {
    let mut builder = WasiCtx::builder();
    if let Some(repeatable) = repeatable {
        repeatable.surround(&mut builder);
    }
    builder.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false).max_random_size(1 << 20);
    builder.socket_addr_check(|_, _| Box::pin(async { false }));
    builder.build()
}

impl WasiView for CallState {
    /// Each WASI function that the adapter calls gets its context here once.
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
