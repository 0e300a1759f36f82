//! The state shared by all requests of one call: the target, the lease, the limits and the counts.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use wasmtime_wasi_http::Error;

use super::http_access::HttpAccess;
use super::http_fate::RequestFates;
use super::http_fence::Fence;
use crate::plugin::limits::LimitExceeded;
use crate::plugin::meters::Meters;
use crate::plugin::{Limits, Transcript};

/// The open HTTP capability of a call.
pub(super) struct Open {
    pub(super) access: Arc<HttpAccess>,
    pub(super) fence: Arc<dyn Fence>,
    pub(super) fates: RequestFates,
    pub(super) limits: Limits,
    pub(super) meters: Arc<Meters>,
    pub(super) transcript: Option<Transcript>,
    pub(super) in_flight: AtomicU64,
}

impl Open {
    /// Records a limit that the guest only sees as an error of its request.
    pub(super) fn limit_exceeded(&self, exceeded: LimitExceeded, error: Error) -> Error {
        self.meters.record(exceeded);
        error
    }
}
