//! A loaded adapter: its component, linked, and its own description.

use std::sync::Arc;

use super::exports::Exports;
use super::{CallContext, Inspection, Limits, PluginError, Runtime, World, response};
use crate::domain::attempt::AdapterIdentity;
use crate::domain::change::Descriptor;

/// Memory for the call of `describe`, MiB. An adapter with an interpreter inside takes about 15.
const DESCRIBE_MEMORY_MIB: u64 = 128;

/// A component that was inspected, compiled and described. All calls share it. Calls in progress on an old adapter
/// continue when a new one replaces it.
pub struct Adapter {
    pub(super) runtime: Arc<Runtime>,
    pub(super) exports: Arc<dyn Exports>,
    inspection: Inspection,
    descriptor: Descriptor,
}

impl Adapter {
    /// Calls `describe` of a linked component, with no capability and little time.
    pub(super) async fn describe(
        runtime: Arc<Runtime>,
        name: &str,
        inspection: Inspection,
        exports: Arc<dyn Exports>,
    ) -> Result<Self, PluginError> {
        let unknown = Descriptor { name: String::new(), version: String::new(), aggregate_types: Vec::new() };
        let mut adapter = Self { runtime, exports, inspection, descriptor: unknown };
        let context = CallContext {
            // An interpreter needs time and memory to start.
            limits: Limits { memory_mib: DESCRIBE_MEMORY_MIB, deadline_ms: 10_000, cpu_ms: 5_000, ..Limits::default() },
            ..CallContext::default()
        };
        let described = adapter.call_describe(&context).await.and_then(response::descriptor);
        adapter.descriptor = described.map_err(|source| PluginError::Describe { name: name.to_owned(), source })?;
        Ok(adapter)
    }

    /// The kind of target that the adapter is for.
    #[must_use]
    pub fn world(&self) -> World {
        self.inspection.world
    }

    /// The digest of its file, 64 hexadecimal digits.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.inspection.sha256
    }

    /// What `describe` returned.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Whether it lists our records at its target.
    #[must_use]
    pub fn lists(&self) -> bool {
        self.inspection.lists()
    }

    /// How the journal names it.
    pub(super) fn identity(&self) -> AdapterIdentity {
        AdapterIdentity {
            name: self.descriptor.name.clone(),
            version: self.descriptor.version.clone(),
            sha256: self.inspection.sha256.clone(),
            interface_version: self.inspection.interface_version().to_owned(),
        }
    }

    /// The result of the inspection before it was compiled.
    #[must_use]
    pub fn inspection(&self) -> &Inspection {
        &self.inspection
    }
}

impl std::fmt::Debug for Adapter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Adapter").field("descriptor", &self.descriptor).finish_non_exhaustive()
    }
}
