//! Parses times of options: a day, a moment, an age (`--since`), or a duration (`--for`).

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// The longest duration.
const DURATION_MAX_MS: i64 = 366 * 86_400_000;

/// Milliseconds since 1970-01-01 UTC. A day begins at midnight UTC, as all times that the host prints.
pub(super) fn since(text: &str) -> Result<i64, String> {
    at(text, Timestamp::now()).ok_or_else(|| {
        "expected a day (2026-11-28), a moment (2026-11-28T03:00:00Z), or an age (90m, 24h, 7d)".to_owned()
    })
}

/// A day or a moment, as [`since`] reads it: milliseconds since 1970-01-01 UTC.
pub(super) fn until(text: &str) -> Result<i64, String> {
    moment(text).ok_or_else(|| {
        "expected a day (2026-11-28) or a moment (2026-11-28T03:00:00Z); fix: give a duration with --for".to_owned()
    })
}

/// A duration in milliseconds, at least one second.
pub(super) fn duration(text: &str) -> Result<i64, String> {
    let millis = duration_ms(text).filter(|millis| (1_000..=DURATION_MAX_MS).contains(millis));
    millis.ok_or_else(|| "expected a duration from 1s to 366d, for example 30m, 8h or 2d".to_owned())
}

fn at(text: &str, now: Timestamp) -> Option<i64> {
    match duration_ms(text) {
        Some(age_ms) => now.as_millisecond().checked_sub(age_ms),
        None => moment(text),
    }
}

fn moment(text: &str) -> Option<i64> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment.as_millisecond());
    }
    let day = text.parse::<Date>().ok().filter(|_| text.len() == "2026-11-28".len())?;
    Some(day.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

/// `90m`, `24h`, `7d`, `30s`.
fn duration_ms(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit_ms = match unit {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse::<i64>().ok().filter(|_| is_number)?.checked_mul(unit_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_moments_and_ages_are_times() {
        let now: Timestamp = "2026-11-28T03:00:00Z".parse().unwrap();
        let read = |text: &str| at(text, now).map(|millis| Timestamp::from_millisecond(millis).unwrap().to_string());
        for (text, expected) in [
            ("24h", "2026-11-27T03:00:00Z"),
            ("90m", "2026-11-28T01:30:00Z"),
            ("7d", "2026-11-21T03:00:00Z"),
            ("0s", "2026-11-28T03:00:00Z"),
            ("2026-11-28", "2026-11-28T00:00:00Z"),
            ("2026-11-28T03:00:00Z", "2026-11-28T03:00:00Z"),
            ("2026-11-28T12:00:00+09:00", "2026-11-28T03:00:00Z"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
        for wrong in
            ["", "h", "-1h", "1.5h", "24", "2026-13-01", "yesterday", "99999999999999999999d", "9223372036854775807d"]
        {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn durations_and_ends_are_read() {
        assert_eq!(duration("90m"), Ok(5_400_000));
        assert_eq!(duration("366d"), Ok(DURATION_MAX_MS));
        for wrong in ["0s", "367d", "1h30m", "2026-11-28", ""] {
            duration(wrong).expect_err(wrong);
        }
        assert_eq!(until("2026-11-28T03:00:00Z"), since("2026-11-28T03:00:00Z"));
        assert_eq!(until("2026-11-28"), since("2026-11-28"));
        for wrong in ["8h", "tomorrow", "03:00"] {
            until(wrong).expect_err(wrong);
        }
    }
}
