//! Timestamps as OpenEMR stores them: the clinic's local time, without an offset. Pure.

use adapter_sdk::clinical::unix_ms;

use crate::settings::Offset;

/// `YYYY-MM-DD HH:MM:SS` of a timestamp, at the clinic's offset. Without a configured offset, the local time in the
/// payload.
pub(crate) fn local(instant: &str, offset: Option<Offset>) -> Option<String> {
    let Some(offset) = offset else {
        return Some(format!("{} {}", instant.get(..10)?, instant.get(11..19)?));
    };
    let seconds = unix_ms(instant)?.div_euclid(1_000) + offset.minutes * 60;
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    Some(format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{:02}", second % 60))
}

/// Midnight of the day of a timestamp, of a day, or of the first day of a month or year.
pub(crate) fn midnight(text: &str, offset: Option<Offset>) -> Option<String> {
    let day = match text.len() {
        4 => format!("{text}-01-01"),
        7 => format!("{text}-01"),
        10 => text.to_owned(),
        _ => local(text, offset)?.get(..10)?.to_owned(),
    };
    Some(format!("{day} 00:00:00"))
}

/// Midnight of the day on which a change was made.
pub(crate) fn midnight_of(created_at_ms: i64, offset: Option<Offset>) -> String {
    let minutes = offset.map_or(0, |offset| offset.minutes);
    let (year, month, day) = civil((created_at_ms.div_euclid(1_000) + minutes * 60).div_euclid(86_400));
    format!("{year:04}-{month:02}-{day:02} 00:00:00")
}

/// Converts days since 1970-01-01 to year, month and day of the Gregorian calendar.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_written_unchanged_or_at_the_configured_offset() {
        let seoul = Some(Offset { minutes: 540 });
        for (instant, offset, expected) in [
            ("2025-03-01T09:30:00+09:00", None, "2025-03-01 09:30:00"),
            ("2025-03-01T09:30:00.250+09:00", None, "2025-03-01 09:30:00"),
            ("2025-03-01T00:30:00Z", seoul, "2025-03-01 09:30:00"),
            ("2024-02-28T23:30:00Z", seoul, "2024-02-29 08:30:00"),
            ("2023-12-31T15:00:00Z", seoul, "2024-01-01 00:00:00"),
            ("2024-03-01T02:00:00Z", Some(Offset { minutes: -330 }), "2024-02-29 20:30:00"),
        ] {
            assert_eq!(local(instant, offset).as_deref(), Some(expected), "{instant}");
        }
    }

    #[test]
    fn a_partial_date_begins_with_its_first_day() {
        for (text, expected) in [
            ("2020", "2020-01-01 00:00:00"),
            ("2020-05", "2020-05-01 00:00:00"),
            ("2020-05-17", "2020-05-17 00:00:00"),
            ("2020-05-17T23:00:00+09:00", "2020-05-17 00:00:00"),
        ] {
            assert_eq!(midnight(text, None).as_deref(), Some(expected));
        }
        assert_eq!(midnight_of(1_714_478_400_000, None), "2024-04-30 00:00:00");
        assert_eq!(midnight_of(1_714_489_200_000, Some(Offset { minutes: 540 })), "2024-05-01 00:00:00");
    }
}
