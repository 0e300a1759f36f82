//! Whether this host may still write to an HTTP target.

use futures::future::BoxFuture;

/// The lease of the batch under way. HTTP has no transaction to roll back, so the lease is renewed before every request
/// that may write.
pub trait Fence: Send + Sync {
    /// Renews the lease; false when it was lost, and with it the right to write.
    fn renew(&self) -> BoxFuture<'_, bool>;
}

/// No lease: nothing may be written. For `check`.
pub(in crate::plugin) struct ReadOnly;

impl Fence for ReadOnly {
    fn renew(&self) -> BoxFuture<'_, bool> {
        Box::pin(std::future::ready(false))
    }
}
