//! Loads the adapters of a target: the file's, or one that the store keeps. Which one is used, `swap.rs` decides.

use std::sync::Arc;

use super::swap::{AdapterSwap, Loaded};
use crate::domain::change::{Failure, FailureKind};
use crate::plugin::{Adapter, PluginError, read_component};

impl AdapterSwap {
    pub(super) async fn load_file(&self) -> Result<Loaded, Failure> {
        let target = self.control.target();
        let path = &target.spec.adapter;
        let bytes =
            read_component(path).await.map_err(|error| Failure::new(FailureKind::Adapter, error.to_string()))?;
        let kept = bytes.clone();
        self.loaded(self.runtime.load_file(path, bytes, target.world()), kept).await
    }

    pub(super) async fn load_kept(&self, sha256: &str) -> Result<Loaded, Failure> {
        let unavailable = |reason: String| Failure::new(FailureKind::Adapter, reason);
        let bytes = self.control.store.adapter_bytes(sha256).await.map_err(|error| unavailable(error.to_string()))?;
        let bytes = bytes.ok_or_else(|| unavailable(format!("the store does not hold the adapter sha256:{sha256}")))?;
        let (name, kept) = (format!("the store's adapter sha256:{sha256}"), bytes.clone());
        let world = self.control.target().world();
        let loaded = self.loaded(self.runtime.load_bytes(&name, bytes, world), kept).await?;
        if loaded.sha256() == sha256 {
            return Ok(loaded);
        }
        Err(unavailable(format!("the store's adapter sha256:{sha256} is damaged: it has another digest")))
    }

    /// Waits for an adapter, which must take every type of this target. A host that is stopping waits no longer:
    /// compiling may take minutes, and ends when nobody waits for it.
    async fn loaded(
        &self,
        loading: impl Future<Output = Result<Arc<Adapter>, PluginError>>,
        bytes: Vec<u8>,
    ) -> Result<Loaded, Failure> {
        let failed = |reason: String| Failure::new(FailureKind::Adapter, reason);
        let loaded = self.stop.run_until_cancelled(loading).await;
        let adapter = loaded.ok_or_else(|| failed("the host is stopping".to_owned()))?;
        let adapter = adapter.map_err(|error| failed(error.to_string()))?;
        self.control.target().accept(&adapter)?;
        Ok(Loaded { adapter, bytes: Arc::new(bytes) })
    }
}
