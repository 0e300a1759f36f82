//! The adapter's lines in the host's log: bounded in number and length, without control characters.

use crate::domain::words::one_line;
use crate::plugin::bindings::logging;
use crate::plugin::limits::LimitExceeded;
use crate::plugin::state::CallState;

impl logging::Host for CallState {
    fn log(&mut self, level: logging::Level, message: String) -> wasmtime::Result<()> {
        self.count_host_call()?;
        let limits = &self.context.limits;
        if self.meters.log_lines.add() > limits.log_lines_max {
            return Err(LimitExceeded::new("log_lines_max", limits.log_lines_max).into());
        }
        let bytes_max = usize::try_from(limits.log_line_bytes_max).unwrap_or(usize::MAX);
        let message = one_line(&message[..message.floor_char_boundary(bytes_max)], bytes_max);
        if let Some(tap) = &self.context.log_tap {
            tap.record(&message);
        }
        if self.meters.log_bytes.add_many(message.len() as u64) > limits.log_bytes_max {
            return Err(LimitExceeded::new("log_bytes_max", limits.log_bytes_max).into());
        }
        let (target_name, adapter) = (self.context.target.as_str(), self.adapter.as_str());
        match level {
            logging::Level::Debug => tracing::debug!(target: "adapter", target_name, adapter, "{message}"),
            logging::Level::Info => tracing::info!(target: "adapter", target_name, adapter, "{message}"),
            logging::Level::Warn => tracing::warn!(target: "adapter", target_name, adapter, "{message}"),
            logging::Level::Error => tracing::error!(target: "adapter", target_name, adapter, "{message}"),
        }
        Ok(())
    }
}
