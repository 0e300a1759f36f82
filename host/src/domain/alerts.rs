//! Which conditions raise an alert, as `[alerts]` names them.

use std::time::Duration;

use crate::vocabulary;

/// The longest time between two looks of a host.
pub const LOOK_EVERY_MAX: Duration = Duration::from_hours(1);

vocabulary! {
    /// What is wrong, as in `sync_alert.kind`.
    pub enum AlertKind {
        /// A new adapter writes something else than the active one, and waits for an operator.
        AdapterHeld = "adapter-held",
        /// The adapter of a target was rolled back, and the file that holds it is not loaded again.
        AdapterRolledBack = "adapter-rolled-back",
        /// Deliveries wait for a decision of an operator.
        Conflicts = "conflicts",
        /// A folder that the host writes to has little free space.
        Disk = "disk",
        /// The last verification of a target found records that differ.
        Drift = "drift",
        /// A certificate or an access token ends soon.
        Expiring = "expiring",
        /// Many deliveries to a target have failed.
        Failed = "failed",
        /// Many deliveries to a target have failed within an hour.
        FailedFast = "failed-fast",
        /// A host's heartbeat is overdue.
        HostMissing = "host-missing",
        /// Batches lose their leases again and again.
        LeasesLost = "leases-lost",
        /// A change has waited for long.
        PendingOld = "pending-old",
        /// No change has come from the application for long.
        Silence = "silence",
        /// A target is down.
        TargetDown = "target-down",
    }
}

/// The conditions of `[alerts]`, each with its threshold. `None` is off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertRules {
    pub target_down_ms: Option<i64>,
    pub pending_age_ms: Option<i64>,
    pub failed: Option<u64>,
    pub failed_per_hour: Option<u64>,
    pub conflicts: Option<u64>,
    pub silence: Vec<SilenceRule>,
    pub leases_lost_per_hour: Option<u64>,
    pub disk_free_bytes: Option<u64>,
    pub expiry_ms: Option<i64>,
    pub host_missing_ms: Option<i64>,
    /// Whether a rolled-back or held adapter raises an alert.
    pub adapters: bool,
    /// Whether a verification that found differences raises an alert.
    pub verification: bool,
}

/// A feed that normally flows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilenceRule {
    /// The type of its changes; `None` for all types together.
    pub aggregate_type: Option<String>,
    pub after_ms: i64,
    /// When it flows; `None` for day and night.
    pub hours: Option<DailyHours>,
}

/// A part of each day. It may go past midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DailyHours {
    from_minute: u16,
    minutes: u16,
}

/// One day in minutes.
const DAY_MINUTES: u16 = 24 * 60;

impl std::fmt::Display for DailyHours {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (from, to) = (self.from_minute, (self.from_minute + self.minutes) % DAY_MINUTES);
        write!(formatter, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

impl DailyHours {
    /// Reads `07:00-20:00`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.split_once('-')?;
        let (from_minute, to_minute) = (minute_of_day(from)?, minute_of_day(to)?);
        let minutes = (to_minute + DAY_MINUTES - from_minute) % DAY_MINUTES;
        (minutes > 0).then_some(Self { from_minute, minutes })
    }

    /// For how many minutes it has lasted at this minute of the day; `None` outside of it.
    #[must_use]
    pub fn minutes_since_begin(self, minute_of_day: u16) -> Option<u16> {
        let since = (minute_of_day % DAY_MINUTES + DAY_MINUTES - self.from_minute) % DAY_MINUTES;
        (since < self.minutes).then_some(since)
    }

    #[must_use]
    pub fn length_ms(self) -> i64 {
        i64::from(self.minutes) * 60_000
    }
}

/// Reads `07:00`; `24:00` is midnight.
fn minute_of_day(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let number = |part: &str| if part.len() == 2 { part.parse::<u16>().ok() } else { None };
    let (hour, minute) = (number(hour)?, number(minute)?);
    let is_time = hour < 24 && minute < 60 || (hour, minute) == (24, 0);
    is_time.then_some((hour * 60 + minute) % DAY_MINUTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_of_the_day_may_go_past_midnight() {
        let day = DailyHours::parse("07:00-20:30").unwrap();
        assert_eq!(day.length_ms(), 13 * 3_600_000 + 30 * 60_000);
        let at = |hour: u16, minute: u16| day.minutes_since_begin(hour * 60 + minute);
        assert_eq!((at(6, 59), at(7, 0), at(20, 29), at(20, 30)), (None, Some(0), Some(809), None));
        let night = DailyHours::parse("22:00 - 06:00").unwrap();
        let at = |hour: u16| night.minutes_since_begin(hour * 60);
        assert_eq!((at(21), at(22), at(0), at(5), at(6)), (None, Some(0), Some(120), Some(420), None));
        assert_eq!(DailyHours::parse("20:00-24:00").unwrap().minutes_since_begin(23 * 60), Some(180));
    }

    #[test]
    fn hours_that_make_no_sense_are_refused() {
        for text in ["", "07:00", "7:00-20:00", "07:00-07:00", "25:00-26:00", "07:60-08:00", "00:00-24:00", "a-b"] {
            assert_eq!(DailyHours::parse(text), None, "{text}");
        }
    }
}
