//! The runtime of adapters, once per process: engine, pool of instances, linkers, clock, cache of compiled code.
//!
//! Every limit here is for the process; the limits of a call are in `limits.rs`. Read next: `load.rs`.

use std::sync::Arc;

use tokio::sync::Semaphore;
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails};

use super::bindings::{database, logging, settings, types};
use super::cache::Cache;
use super::state::CallState;
use super::ticker::Ticker;
use super::turns::Turns;
use super::{Admission, PluginError, RuntimeOptions, World, interface_0_1};
use crate::domain::limits::Limits;

/// The stack of the host's functions that the adapter calls, in addition to its own, bytes.
const HOST_STACK_BYTES: usize = 3 << 20;
/// Core instances in one component: a guest with an interpreter is made of dozens of libraries.
const CORE_INSTANCES_PER_COMPONENT: u32 = 128;
/// Memories in one component.
const MEMORIES_PER_COMPONENT: u32 = 4;
/// Tables in one component.
const TABLES_PER_COMPONENT: u32 = 64;
/// Compilers at a time.
const COMPILERS_MAX: usize = 2;
/// The bytes that wasmtime itself needs for one instance.
const INSTANCE_BYTES: usize = 16 << 20;

/// Loads and runs adapters. Adapters hold a reference to it; its clock thread ends with it.
pub struct Runtime {
    pub(super) engine: Engine,
    /// One permit per instance in the pool, so that the pool is never exhausted.
    pub(super) instances: Semaphore,
    pub(super) options: RuntimeOptions,
    pub(super) database_linker: Linker<CallState>,
    pub(super) http_linker: Linker<CallState>,
    pub(super) cache: Option<Cache>,
    pub(super) admission: Option<Arc<dyn Admission>>,
    pub(super) turns: Turns,
    /// Compilers at a time: each may take much memory.
    pub(super) compilers: Semaphore,
    _ticker: Ticker,
}

impl Runtime {
    /// Prepares the engine and its pool of instances.
    ///
    /// # Errors
    /// [`PluginError::Engine`] when the address space for the pool cannot be had, [`PluginError::Cache`] when the
    /// directory cannot be used.
    pub fn new(options: &RuntimeOptions) -> Result<Arc<Self>, PluginError> {
        Self::make(options, None)
    }

    /// As [`Runtime::new`], with an admission that each adapter must pass before it is loaded.
    ///
    /// # Errors
    /// As [`Runtime::new`].
    pub fn guarded(options: &RuntimeOptions, admission: Arc<dyn Admission>) -> Result<Arc<Self>, PluginError> {
        Self::make(options, Some(admission))
    }

    fn make(options: &RuntimeOptions, admission: Option<Arc<dyn Admission>>) -> Result<Arc<Self>, PluginError> {
        let instances_max = options.instances_max.max(1);
        let engine = Engine::new(&config(instances_max, options)).map_err(|error| {
            PluginError::Engine(format!(
                "{error:#}; a smaller [targets.NAME.limits] concurrency needs less address space"
            ))
        })?;
        let failed = |error: wasmtime::Error| PluginError::Engine(format!("{error:#}"));
        let cache = options.cache_dir.as_deref().map(|directory| Cache::open(directory, &engine)).transpose()?;
        let ticker = Ticker::start(&engine).map_err(|error| PluginError::Engine(error.to_string()))?;
        Ok(Arc::new(Self {
            database_linker: linker(&engine, World::Database).map_err(failed)?,
            http_linker: linker(&engine, World::Http).map_err(failed)?,
            instances: Semaphore::new(instances_max as usize),
            options: options.clone(),
            engine,
            cache,
            admission,
            turns: Turns::default(),
            compilers: Semaphore::new(COMPILERS_MAX),
            _ticker: ticker,
        }))
    }
}

pub(super) fn config(instances_max: u32, options: &RuntimeOptions) -> Config {
    let stack_bytes = (options.stack_kib as usize) << 10;
    let table_elements = Limits::default().table_elements_max.max(options.table_elements_max);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances_max)
        .total_core_instances(instances_max.saturating_mul(CORE_INSTANCES_PER_COMPONENT))
        .total_memories(instances_max.saturating_mul(MEMORIES_PER_COMPONENT))
        .total_tables(instances_max.saturating_mul(TABLES_PER_COMPONENT))
        .total_stacks(instances_max)
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .max_tables_per_component(TABLES_PER_COMPONENT)
        .max_memories_per_module(MEMORIES_PER_COMPONENT)
        .max_tables_per_module(TABLES_PER_COMPONENT)
        .table_elements(usize::try_from(table_elements).unwrap_or(usize::MAX))
        .max_component_instance_size(INSTANCE_BYTES)
        .max_core_instance_size(INSTANCE_BYTES);
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .epoch_interruption(true)
        .max_wasm_stack(stack_bytes)
        .async_stack_size(stack_bytes + HOST_STACK_BYTES)
        // A stack may hold a patient's data: the next call must not find it there.
        .async_stack_zeroing(true)
        .concurrency_support(false)
        // Names of a guest's functions are of no use to an operator.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config
}

/// All of WASI 0.2, so that guests of every language link, and this world's own interfaces in every version. What WASI
/// grants is decided by the state of each call: nothing.
fn linker(engine: &Engine, world: World) -> wasmtime::Result<Linker<CallState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    types::add_to_linker::<_, HasSelf<CallState>>(&mut linker, |state| state)?;
    settings::add_to_linker::<_, HasSelf<CallState>>(&mut linker, |state| state)?;
    logging::add_to_linker::<_, HasSelf<CallState>>(&mut linker, |state| state)?;
    match world {
        World::Database => database::add_to_linker::<_, HasSelf<CallState>>(&mut linker, |state| state)?,
        World::Http => wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?,
    }
    interface_0_1::add_to_linker(&mut linker, world)?;
    Ok(linker)
}
