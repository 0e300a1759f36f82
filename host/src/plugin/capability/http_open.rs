//! The state shared by all requests of one call: the target, the lease, the limits and the counts.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use http::{Method, StatusCode};
use wasmtime_wasi_http::Error;

use super::http_access::HttpAccess;
use super::http_fate::RequestFates;
use super::http_fence::Fence;
use crate::plugin::limits::LimitExceeded;
use crate::plugin::meters::Meters;
use crate::plugin::{AttemptRecorder, Limits, TapeUse, Transcript};

/// The open HTTP capability of a call.
pub(super) struct Open {
    pub(super) access: Arc<HttpAccess>,
    pub(super) fence: Arc<dyn Fence>,
    pub(super) fates: RequestFates,
    pub(super) limits: Limits,
    pub(super) meters: Arc<Meters>,
    pub(super) transcript: Option<Transcript>,
    pub(super) recorder: Option<AttemptRecorder>,
    pub(super) tape: Option<TapeUse>,
    pub(super) in_flight: AtomicU64,
}

impl Open {
    /// Counts a request for the journal; `status` is `None` when it has no response.
    pub(super) fn record_effect(&self, method: &Method, url: &url::Url, status: Option<StatusCode>) {
        if let Some(recorder) = &self.recorder {
            recorder.request(self.access.base_path(), method.as_str(), url, status.map(|status| status.as_u16()));
        }
    }

    /// Records a limit that the guest only sees as an error of its request.
    pub(super) fn limit_exceeded(&self, exceeded: LimitExceeded, error: Error) -> Error {
        self.meters.record(exceeded);
        error
    }
}
