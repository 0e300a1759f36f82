//! The cursor of a scan that goes on where the last one ended, and begins further back now and then.
//!
//! Rows that left an index leave dead entries there, and a scan from the start would read them again and again. So a
//! scan begins at its cursor. A row may still appear before the cursor: ids can commit out of order, and an operator
//! may retry an old delivery. A rescan finds those. The cursor only saves reading; it must never decide that a row is
//! absent.

use std::time::Duration;

use tokio::time::Instant;

/// When a scan begins before its cursor.
#[derive(Clone, Copy, Debug)]
struct RescanPolicy {
    /// A full scan begins at the start of the index, this many times its own duration after the last one.
    full_share: u32,
    full_every_min: Duration,
    full_every_max: Duration,
    recent: Option<RecentRescan>,
}

/// A rescan of the entries that were scanned lately.
#[derive(Clone, Copy, Debug)]
struct RecentRescan {
    every: Duration,
    /// It begins where the cursor was at least this long ago.
    reach: Duration,
}

/// Claims rescan from the start once a second: few deliveries are due before the cursor.
const CLAIMS: RescanPolicy = RescanPolicy {
    full_share: 0,
    full_every_min: Duration::from_secs(1),
    full_every_max: Duration::from_secs(1),
    recent: None,
};

/// Routing rescans the last seconds often, and from the start so seldom that this takes a fiftieth of the time.
const ROUTING: RescanPolicy = RescanPolicy {
    full_share: 50,
    full_every_min: Duration::ZERO,
    full_every_max: Duration::from_secs(30),
    recent: Some(RecentRescan { every: Duration::from_millis(500), reach: Duration::from_secs(2) }),
};

/// Where the next scan of an index begins.
#[derive(Clone, Debug)]
pub struct ScanCursor {
    policy: RescanPolicy,
    position: i64,
    /// Where a recent rescan begins, and where the next ones will.
    recent: i64,
    next_recent: i64,
    recent_moved: Instant,
    rescanned: Instant,
    is_full: bool,
    full_due: Instant,
}

impl ScanCursor {
    /// A cursor over the due deliveries of one target, by the time of their next attempt.
    #[must_use]
    pub fn of_claims() -> Self {
        Self::new(CLAIMS, Instant::now())
    }

    /// A cursor over the unrouted changes, by their id.
    #[must_use]
    pub fn of_routing() -> Self {
        Self::new(ROUTING, Instant::now())
    }

    fn new(policy: RescanPolicy, now: Instant) -> Self {
        Self {
            policy,
            position: i64::MIN,
            recent: i64::MIN,
            next_recent: i64::MIN,
            recent_moved: now,
            rescanned: now,
            is_full: false,
            full_due: now,
        }
    }

    /// Begins a scan. Returns the position where it begins.
    pub(super) fn begin(&mut self, now: Instant) -> i64 {
        self.is_full = now >= self.full_due;
        if self.is_full {
            self.position = i64::MIN;
        }
        if let Some(rescan) = self.policy.recent {
            if now.duration_since(self.recent_moved) >= rescan.reach {
                (self.recent, self.next_recent, self.recent_moved) = (self.next_recent, self.position, now);
            }
            if !self.is_full && now.duration_since(self.rescanned) > rescan.every {
                (self.position, self.rescanned) = (self.recent, now);
            }
        }
        self.position
    }

    /// Ends the scan that began at `begun`. The next one goes on behind `reached`, if the scan found anything.
    pub(super) fn end(&mut self, begun: Instant, now: Instant, reached: Option<i64>) {
        self.position = reached.unwrap_or(self.position);
        if self.is_full {
            let wait = now.duration_since(begun) * self.policy.full_share;
            self.full_due = now + wait.max(self.policy.full_every_min).min(self.policy.full_every_max);
        }
    }

    /// Moves the cursor back after a scan that found nothing, so that the next one is a rescan. Returns whether it
    /// moved.
    pub(super) fn rewind(&mut self) -> bool {
        let to = if self.policy.recent.is_some() { self.recent } else { i64::MIN };
        let moves = self.position > to;
        self.position = self.position.min(to);
        moves
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routing_rescans_recent_ids_often_and_all_ids_rarely() {
        let mut now = Instant::now();
        let mut cursor = ScanCursor::new(ROUTING, now);
        assert_eq!(cursor.begin(now), i64::MIN, "the first scan");
        cursor.end(now, now + Duration::from_millis(100), None);
        let (mut full, mut recent) = (0, 0);
        // A minute of scans, each of which routes a hundred changes. In the first seconds a recent rescan is a full
        // one.
        for reached in (100..=120_000_i64).step_by(100) {
            cursor.position = reached;
            now += Duration::from_millis(50);
            match cursor.begin(now) {
                i64::MIN => full += 1,
                begins if begins < reached => {
                    assert!(begins >= reached - 10_000, "{reached}: {begins} is more than five seconds ago");
                    recent += 1;
                }
                _ => {}
            }
            cursor.end(now, now + Duration::from_millis(100), None);
        }
        assert!((10..=20).contains(&full) && recent > 50, "{full}, {recent}");
    }

    #[test]
    fn a_slow_full_scan_is_repeated_every_half_minute() {
        let now = Instant::now();
        let mut cursor = ScanCursor::new(ROUTING, now);
        cursor.begin(now);
        let over = now + Duration::from_secs(5);
        cursor.end(now, over, None);
        cursor.begin(over + Duration::from_secs(29));
        assert!(!cursor.is_full);
        cursor.begin(over + Duration::from_secs(31));
        assert!(cursor.is_full);
    }

    #[test]
    fn claims_continue_after_the_last_one_and_rescan_every_second() {
        let now = Instant::now();
        let mut cursor = ScanCursor::new(CLAIMS, now);
        assert_eq!(cursor.begin(now), i64::MIN);
        cursor.end(now, now, Some(70));
        assert_eq!(cursor.begin(now + Duration::from_millis(900)), 70);
        cursor.end(now, now, None);
        assert!(cursor.rewind(), "nothing was found behind 70");
        assert_eq!(cursor.begin(now + Duration::from_millis(901)), i64::MIN);
        assert!(!cursor.rewind(), "there is nothing before the start");
        cursor.end(now, now, Some(80));
        assert_eq!(cursor.begin(now + Duration::from_millis(1_100)), i64::MIN, "a second is over");
    }
}
