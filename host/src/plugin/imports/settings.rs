//! Gives the adapter its settings. They never hold a secret: secrets stay in the host.

use crate::plugin::bindings::{settings, types};
use crate::plugin::state::CallState;

impl settings::Host for CallState {
    fn target_name(&mut self) -> wasmtime::Result<String> {
        self.count_host_call()?;
        Ok(self.context.target.clone())
    }

    fn document(&mut self) -> wasmtime::Result<String> {
        self.count_host_call()?;
        Ok(self.context.settings_json.clone())
    }

    fn base_url(&mut self) -> wasmtime::Result<Option<String>> {
        self.count_host_call()?;
        Ok(self.context.base_url.clone())
    }
}

/// Types only.
impl types::Host for CallState {}
