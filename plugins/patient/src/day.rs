//! A calendar day, as a payload writes it.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

const DAY_MS: i64 = 86_400_000;
/// The earliest time zone on earth is 14 hours ahead of UTC.
const EARLIEST_ZONE_MS: i64 = 14 * 3_600_000;

/// An existing day, written `YYYY-MM-DD`. Texts sort in the order of the days. Dereferencing returns the text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day([u8; 10]);

impl Day {
    /// The last day that can be represented.
    pub const MAX: Self = Self(*b"9999-12-31");

    /// Parses exactly `YYYY-MM-DD`; `None` for any other form and for days that do not exist.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let bytes: [u8; 10] = text.as_bytes().try_into().ok()?;
        let number = |range: std::ops::Range<usize>| {
            bytes[range]
                .iter()
                .try_fold(0_i64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
        };
        let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
        let exists = bytes[4] == b'-' && bytes[7] == b'-' && (1..=days_of(year, month)).contains(&day);
        exists.then_some(Self(bytes))
    }

    /// The latest date anywhere on earth at this moment (milliseconds since 1970-01-01 UTC). The date in UTC would
    /// refuse a child born this morning in Seoul as born in the future.
    #[must_use]
    pub fn latest_on_earth(unix_ms: i64) -> Self {
        // Converts days since 1970 to a civil date: H. Hinnant, "chrono-compatible low-level date algorithms".
        let days = unix_ms.saturating_add(EARLIEST_ZONE_MS).div_euclid(DAY_MS) + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        if year < 0 {
            Self(*b"0000-01-01")
        } else {
            Self::read(&format!("{year:04}-{month:02}-{day:02}")).unwrap_or(Self::MAX)
        }
    }

    /// The year.
    #[must_use]
    pub fn year(self) -> u16 {
        self.0[..4].iter().fold(0, |sum, byte| sum * 10 + u16::from(byte - b'0'))
    }

    /// The day as text, `YYYY-MM-DD`.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "every constructor writes digits and hyphens")]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("invariant: a day is digits and hyphens")
    }
}

fn days_of(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => 0,
    }
}

impl Deref for Day {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Day {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl fmt::Debug for Day {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::read(&text).ok_or_else(|| D::Error::custom("not a date of the calendar (YYYY-MM-DD)"))
    }
}

#[cfg(test)]
mod tests {
    use super::Day;

    #[test]
    fn only_existing_dates_are_parsed() {
        for text in ["1980-02-29", "2000-02-29", "1999-12-31", "0001-01-01", "9999-12-31"] {
            assert_eq!(Day::read(text).unwrap().as_str(), text);
        }
        for text in [
            "1900-02-29",
            "1981-02-29",
            "1980-02-30",
            "1980-04-31",
            "1980-13-01",
            "1980-00-01",
            "1980-01-00",
            "1980-1-1",
            "+980-01-01",
            "1980/01/01",
            "1980-01-01T00:00",
            "1980년1월1",
            "",
            "19800101  ",
        ] {
            assert_eq!(Day::read(text), None, "{text}");
        }
    }

    #[test]
    fn an_instant_becomes_the_latest_date_on_earth() {
        for (unix_ms, day) in [
            (0, "1970-01-01"),
            (36_000_000, "1970-01-02"), // 10:00 UTC is 24:00 in the earliest zone.
            (35_999_999, "1970-01-01"),
            (951_782_400_000, "2000-02-29"),   // 2000-02-29T00:00:00Z
            (1_748_732_400_000, "2025-06-01"), // 2025-05-31T23:00:00Z
            (1_748_682_000_000, "2025-05-31"), // 2025-05-31T09:00:00Z
            (-86_400_000, "1969-12-31"),
            (i64::MAX, "9999-12-31"),
            (i64::MIN, "0000-01-01"),
        ] {
            assert_eq!(Day::latest_on_earth(unix_ms).as_str(), day, "{unix_ms}");
        }
    }

    #[test]
    fn dates_are_ordered_by_calendar() {
        let day = |text| Day::read(text).unwrap();
        assert!(day("1999-12-31") < day("2000-01-01") && day("2000-01-31") < day("2000-02-01"));
        assert_eq!(day("1850-01-01").year(), 1850);
    }
}
