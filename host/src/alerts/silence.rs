//! Whether a feed that normally flows has become silent. Pure: times are milliseconds since the watch began.

use std::collections::BTreeMap;

use crate::domain::alerts::SilenceRule;
use crate::store::NewestChanges;

/// The changes that were seen since this host began to watch, and when the last one before that came.
#[derive(Clone, Debug, Default)]
pub(super) struct SeenChanges {
    pub(super) cursor: Option<i64>,
    /// When the newest change of each type came. It may be before the watch began.
    seen_at: BTreeMap<String, i64>,
}

/// What a rule finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// Nothing has come for so long.
    Holds {
        age_ms: i64,
    },
    Flows,
    /// It is not the time at which it flows, or this host has not watched for long enough.
    Unknown,
}

impl SeenChanges {
    pub(super) fn note(&mut self, newest: &NewestChanges, now: i64) {
        self.cursor = Some(newest.cursor);
        for (kind, age_ms) in &newest.age_ms {
            let seen_at = self.seen_at.entry(kind.clone()).or_insert(i64::MIN);
            *seen_at = now.saturating_sub(*age_ms).max(*seen_at);
        }
    }

    fn age(&self, aggregate_type: Option<&str>, now: i64) -> Option<i64> {
        let seen_at = match aggregate_type {
            Some(kind) => self.seen_at.get(kind),
            None => self.seen_at.values().max(),
        };
        seen_at.map(|seen_at| now.saturating_sub(*seen_at))
    }

    /// Silence counts only from the beginning of the hours at which the feed flows: it sleeps before.
    pub(super) fn judge(&self, rule: &SilenceRule, now: i64, minute_of_day: u16) -> Silence {
        let flows_for = match rule.hours {
            None => i64::MAX,
            Some(hours) => match hours.minutes_since_begin(minute_of_day) {
                None => return Silence::Unknown,
                Some(minutes) => i64::from(minutes) * 60_000,
            },
        };
        let seen = self.age(rule.aggregate_type.as_deref(), now);
        // Of a type that was never seen it is known only that none came since the watch began.
        let age_ms = seen.unwrap_or(now);
        if age_ms.min(flows_for) >= rule.after_ms {
            Silence::Holds { age_ms }
        } else if seen.is_some() && age_ms < rule.after_ms {
            Silence::Flows
        } else {
            Silence::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::alerts::DailyHours;

    const MINUTE: i64 = 60_000;

    fn seen(now: i64, ages: &[(&str, i64)]) -> SeenChanges {
        let age_ms = ages.iter().map(|(kind, age)| ((*kind).to_owned(), *age)).collect();
        let mut seen = SeenChanges::default();
        seen.note(&NewestChanges { age_ms, cursor: 7 }, now);
        seen
    }

    fn rule(aggregate_type: Option<&str>, hours: Option<&str>) -> SilenceRule {
        let hours = hours.map(|text| DailyHours::parse(text).unwrap());
        SilenceRule { aggregate_type: aggregate_type.map(str::to_owned), after_ms: 30 * MINUTE, hours }
    }

    #[test]
    fn a_feed_is_silent_from_its_threshold_on() {
        let seen = seen(0, &[("patient", 10 * MINUTE), ("visit", 29 * MINUTE)]);
        let any = rule(None, None);
        assert_eq!(seen.judge(&any, 0, 0), Silence::Flows);
        assert_eq!(seen.judge(&any, 20 * MINUTE - 1, 0), Silence::Flows);
        assert_eq!(seen.judge(&any, 20 * MINUTE, 0), Silence::Holds { age_ms: 30 * MINUTE });
        assert_eq!(seen.judge(&rule(Some("visit"), None), MINUTE, 0), Silence::Holds { age_ms: 30 * MINUTE });
        assert_eq!(seen.judge(&rule(Some("patient"), None), MINUTE, 0), Silence::Flows);
    }

    #[test]
    fn an_older_reading_makes_nothing_silent() {
        let mut seen = seen(0, &[("patient", 0)]);
        seen.note(&NewestChanges { age_ms: BTreeMap::from([("patient".to_owned(), 40 * MINUTE)]), cursor: 8 }, MINUTE);
        assert_eq!(seen.judge(&rule(None, None), MINUTE, 0), Silence::Flows);
    }

    #[test]
    fn a_type_that_never_came_is_silent_once_it_was_watched_for_long_enough() {
        let seen = seen(0, &[("patient", 0)]);
        let visits = rule(Some("visit"), None);
        assert_eq!(seen.judge(&visits, 30 * MINUTE - 1, 0), Silence::Unknown);
        assert_eq!(seen.judge(&visits, 30 * MINUTE, 0), Silence::Holds { age_ms: 30 * MINUTE });
    }

    #[test]
    fn a_feed_that_sleeps_at_night_is_silent_only_by_day() {
        let seen = seen(0, &[("patient", 600 * MINUTE)]);
        let by_day = rule(None, Some("07:00-20:00"));
        let at = |hour: u16, minute: u16| seen.judge(&by_day, 0, hour * 60 + minute);
        assert_eq!(at(3, 0), Silence::Unknown, "it neither raises nor ends an alert");
        assert_eq!(at(7, 29), Silence::Unknown, "the night does not count");
        assert_eq!(at(7, 30), Silence::Holds { age_ms: 600 * MINUTE });
        assert_eq!(at(20, 0), Silence::Unknown);
    }
}
