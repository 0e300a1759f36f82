//! The fence of a batch: checks in the store that its lease is held, and renews it, right before a commit or a
//! request.

use std::sync::Arc;
use std::time::Instant;

use futures::future::BoxFuture;

use crate::plugin::Fence;
use crate::store::{Lease, Store};
use crate::telemetry::{self, Step, TargetMeters};

pub(super) struct StoreFence {
    pub(super) store: Store,
    pub(super) lease: Lease,
    /// How long the server may work on a request that is sent now, in milliseconds. The renewal covers it; 0 at a
    /// database.
    pub(super) in_doubt_ms: u64,
    pub(super) meters: Arc<TargetMeters>,
}

impl StoreFence {
    async fn holds(&self) -> bool {
        let Lease { target, id, .. } = &self.lease;
        let started = Instant::now();
        let renewed = telemetry::step(Step::Fence, Box::pin(self.store.renew_for(&self.lease, self.in_doubt_ms))).await;
        self.meters.took(Step::Fence, started.elapsed());
        match renewed {
            Ok(true) => true,
            Ok(false) => {
                tracing::warn!(target_name = %target, lease_id = id.get(), "fence: the lease was lost");
                false
            }
            Err(error) => {
                tracing::warn!(target_name = %target, lease_id = id.get(), %error, "fence: the lease cannot be renewed");
                false
            }
        }
    }
}

impl Fence for StoreFence {
    fn renew(&self) -> BoxFuture<'_, bool> {
        Box::pin(self.holds())
    }
}
