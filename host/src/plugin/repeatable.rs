//! The same clock and the same random numbers for several runs, so that what two adapters write can be compared.
//!
//! The clock stands still at the moment when the first run began. Each call of a run has random numbers of its own,
//! and the same call of another run has the same ones. Nobody can predict them: they come from a seed of the system's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use sha2::{Digest as _, Sha256};
use wasmtime_wasi::{HostWallClock, WasiCtxBuilder};

/// The surroundings of one run. Clones share the count of its calls.
#[derive(Clone, Debug)]
pub struct Repeatable {
    since_1970: Duration,
    seed: [u8; 32],
    calls: Arc<AtomicU64>,
}

/// A clock that stands still.
struct StoppedClock(Duration);

impl HostWallClock for StoppedClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        self.0
    }
}

impl Repeatable {
    /// The surroundings of a first run, which begins now.
    #[must_use]
    pub fn begin() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { since_1970, seed: rand::random(), calls: Arc::default() }
    }

    /// The same surroundings for another run.
    #[must_use]
    pub fn again(&self) -> Self {
        Self { calls: Arc::default(), ..self.clone() }
    }

    /// Gives the next call of the run its clock and its random numbers.
    pub(super) fn surround(&self, builder: &mut WasiCtxBuilder) {
        let call = self.calls.fetch_add(1, Ordering::AcqRel);
        let numbers = |purpose: u8| {
            let mut digest = Sha256::new();
            digest.update(self.seed);
            digest.update(call.to_le_bytes());
            digest.update([purpose]);
            <[u8; 32]>::from(digest.finalize())
        };
        let mut seed = [0; 16];
        seed.copy_from_slice(&numbers(2)[..16]);
        builder
            .wall_clock(StoppedClock(self.since_1970))
            .secure_random(StdRng::from_seed(numbers(0)))
            .insecure_random(StdRng::from_seed(numbers(1)))
            .insecure_random_seed(u128::from_le_bytes(seed));
    }
}
