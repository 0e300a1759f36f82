//! Days and timestamps in FHIR's notation.

use std::cmp::Ordering;

use patient_payload::Day;

const DAY_SECONDS: i64 = 86_400;

/// Milliseconds since 1970-01-01 UTC of a timestamp such as `2025-06-01T09:30:00+09:00`; `None` for any other text.
#[must_use]
pub fn unix_ms(instant: &str) -> Option<i64> {
    let (seconds, nanoseconds) = unix_time(instant)?;
    Some(seconds * 1_000 + i64::from(nanoseconds / 1_000_000))
}

/// Whether it is an existing day.
pub(crate) fn is_day(text: &str) -> bool {
    Day::read(text).is_some()
}

/// Whether it is a timestamp on an existing day.
pub(crate) fn is_instant(text: &str) -> bool {
    unix_time(text).is_some()
}

/// Whether it is an existing day, month or year.
pub(crate) fn is_partial_day(text: &str) -> bool {
    is_partial_day_shaped(text) && (text.len() != 10 || is_day(text))
}

/// Whether it has the form `YYYY-MM-DD`, with a day up to 31.
pub(crate) fn is_day_shaped(text: &str) -> bool {
    text.len() == 10 && is_partial_day_shaped(text)
}

/// Whether it has the form `YYYY`, `YYYY-MM` or `YYYY-MM-DD`, with a day up to 31.
pub(crate) fn is_partial_day_shaped(text: &str) -> bool {
    let bytes = text.as_bytes();
    let part = |at: usize, least: u32, most: u32| {
        bytes.get(at - 1) == Some(&b'-')
            && text.get(at..at + 2).and_then(two_digits).is_some_and(|number| (least..=most).contains(&number))
    };
    let has_year = bytes.len() >= 4 && matches!(bytes[0], b'1' | b'2') && bytes[..4].iter().all(u8::is_ascii_digit);
    has_year
        && match bytes.len() {
            4 => true,
            7 => part(5, 1, 12),
            10 => part(5, 1, 12) && part(8, 1, 31),
            _ => false,
        }
}

/// Whether it has the form `YYYY-MM-DDThh:mm:ss`, with or without a fraction, with `Z` or an offset of at most 14
/// hours.
pub(crate) fn is_instant_shaped(text: &str) -> bool {
    text.get(..10).is_some_and(is_day_shaped) && text.get(10..).and_then(time_of_day).is_some()
}

/// Compares two days, months, years or timestamps by their common parts: a month equals each of its days.
pub(crate) fn compare(left: &str, right: &str) -> Ordering {
    if let (Some(left), Some(right)) = (unix_time(left), unix_time(right)) {
        return left.cmp(&right);
    }
    let common = left.len().min(right.len()).min(10);
    left.as_bytes()[..common].cmp(&right.as_bytes()[..common])
}

/// Seconds since 1970-01-01 UTC, and nanoseconds, of a timestamp.
fn unix_time(instant: &str) -> Option<(i64, u32)> {
    let day = Day::read(instant.get(..10)?)?;
    let (second_of_day, nanoseconds) = time_of_day(instant.get(10..)?)?;
    is_day_shaped(&day).then(|| (days_since_1970(day) * DAY_SECONDS + second_of_day, nanoseconds))
}

/// Reads `Thh:mm:ss.f+hh:mm`. Returns nanoseconds and the second of the day in UTC, which may be in an adjacent day.
fn time_of_day(text: &str) -> Option<(i64, u32)> {
    let clock = text.strip_prefix('T')?;
    let zone_at = clock.find(['Z', '+', '-'])?;
    let (clock, zone) = clock.split_at(zone_at);
    let (clock, nanoseconds) = match clock.split_once('.') {
        Some((clock, fraction)) => (clock, nanoseconds(fraction)?),
        None => (clock, 0),
    };
    let [hour, minute, second] = parts(clock)?;
    let is_time = hour < 24 && minute < 60 && second < 60;
    let seconds = i64::from(hour * 3_600 + minute * 60 + second) - offset_seconds(zone)?;
    is_time.then_some((seconds, nanoseconds))
}

fn offset_seconds(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let (sign, digits) =
        zone.strip_prefix('+').map(|rest| (1, rest)).or(zone.strip_prefix('-').map(|rest| (-1, rest)))?;
    let [hour, minute] = parts(digits)?;
    let is_offset = (hour < 14 && minute < 60) || (hour == 14 && minute == 0);
    is_offset.then(|| sign * i64::from(hour * 3_600 + minute * 60))
}

fn nanoseconds(fraction: &str) -> Option<u32> {
    let is_fraction = (1..=9).contains(&fraction.len()) && fraction.bytes().all(|byte| byte.is_ascii_digit());
    is_fraction.then(|| format!("{fraction:0<9}").parse().ok())?
}

/// Two-digit numbers, separated by colons.
fn parts<const COUNT: usize>(text: &str) -> Option<[u32; COUNT]> {
    let mut numbers = [0; COUNT];
    let mut rest = text.split(':');
    for number in &mut numbers {
        *number = two_digits(rest.next()?)?;
    }
    rest.next().is_none().then_some(numbers)
}

fn two_digits(text: &str) -> Option<u32> {
    (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

fn days_since_1970(day: Day) -> i64 {
    // Converts a civil date to days since 1970: H. Hinnant, "chrono-compatible low-level date algorithms".
    let number =
        |range: std::ops::Range<usize>| day[range].bytes().fold(0, |sum, byte| sum * 10 + i64::from(byte - b'0'));
    let (month, day_of_month) = (number(5..7), number(8..10));
    let year = i64::from(day.year()) - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day_of_month - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::{compare, is_partial_day, unix_ms};

    #[test]
    fn an_instant_is_read_with_its_offset() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2025-06-01T08:00:00+09:00", Some(1_748_732_400_000)),
            ("2000-02-29T00:00:00.5Z", Some(951_782_400_500)),
            ("1969-12-31T19:00:00-05:00", Some(0)),
            ("1969-12-31T23:59:59.999Z", Some(-1)),
            ("2025-06-01T08:00:00", None),
            ("2025-06-01T08:00Z", None),
            ("2025-06-31T08:00:00Z", None),
            ("2025-06-01T24:00:00Z", None),
            ("2025-06-01T08:00:60Z", None),
            ("2025-06-01T08:00:00+14:01", None),
            ("2025-06-01T08:00:00+9:00", None),
            ("2025-06-01t08:00:00z", None),
            ("2025-06-01T08:00:00.Z", None),
            ("2025-06-01T08:00:00.1234567890Z", None),
            ("2025-06-01", None),
            ("", None),
        ] {
            assert_eq!(unix_ms(text), expected, "{text}");
        }
    }

    #[test]
    fn a_part_of_a_day_exists_when_its_day_does() {
        for text in ["2024", "2024-12", "2024-02-29"] {
            assert!(is_partial_day(text), "{text}");
        }
        for text in
            ["0999", "3000", "2024-13", "2024-00", "2023-02-29", "2024-1", "202", "2024-", "2024-02-", "2024/02"]
        {
            assert!(!is_partial_day(text), "{text}");
        }
    }

    #[test]
    fn dates_are_compared_at_their_common_precision() {
        assert_eq!(compare("2024", "2024-05-01"), Ordering::Equal);
        assert_eq!(compare("2024-06", "2024-05-31"), Ordering::Greater);
        assert_eq!(compare("2024-05-01", "2024-05-01T10:00:00Z"), Ordering::Equal);
        assert_eq!(compare("2024-05-01T10:00:00+09:00", "2024-05-01T02:00:00Z"), Ordering::Less);
    }
}
