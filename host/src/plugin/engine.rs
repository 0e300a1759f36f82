//! The runtime of adapters, once per process.
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Adapter, Inspection, PluginError, World};

/// What a runtime is made with.
#[derive(Clone, Debug)]
pub struct RuntimeOptions {
    /// Where compiled adapters are kept; `None` compiles anew at every start.
    pub cache_dir: Option<PathBuf>,
    /// Calls that may be under way at one time, over all targets; further ones wait.
    pub instances_max: u32,
}

impl Default for RuntimeOptions {
    fn default() -> Self {
        Self { cache_dir: None, instances_max: 32 }
    }
}

/// Loads adapters and runs them. Dropping it stops its clock; adapters keep it alive.
pub struct Runtime {}

impl Runtime {
    /// Prepares the engine and its pool of instances.
    ///
    /// # Errors
    /// [`PluginError::Engine`] or [`PluginError::Cache`].
    pub fn new(options: RuntimeOptions) -> Result<Arc<Self>, PluginError> {
        let _ = options;
        Ok(Arc::new(Self {}))
    }

    /// What a file is, without running or compiling it.
    ///
    /// # Errors
    /// As [`Runtime::load`], as far as it can be seen from the outside.
    pub async fn inspect(&self, path: &Path) -> Result<Inspection, PluginError> {
        let _ = path;
        unimplemented!()
    }

    /// Loads a file for a target that needs `world`: inspect, compile (or take from the cache), link, ask who it is.
    ///
    /// # Errors
    /// Says which of these failed and what was expected.
    pub async fn load(self: &Arc<Self>, path: &Path, world: World) -> Result<Arc<Adapter>, PluginError> {
        let _ = (path, world);
        unimplemented!()
    }

    /// As [`Runtime::load`], for bytes that were read already; `name` is for messages.
    ///
    /// # Errors
    /// As [`Runtime::load`].
    pub async fn load_bytes(
        self: &Arc<Self>,
        name: &str,
        bytes: Vec<u8>,
        world: World,
    ) -> Result<Arc<Adapter>, PluginError> {
        let _ = (name, bytes, world);
        unimplemented!()
    }
}
