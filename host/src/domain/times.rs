//! Formats times and durations for people.

/// Formats a time of the store.
#[must_use]
pub fn time(millis: i64) -> String {
    formatted(millis, "%Y-%m-%d %H:%M:%S UTC")
}

/// Formats a time of the store; without its date when that is the date of `now`.
#[must_use]
pub fn moment(millis: i64, now: i64) -> String {
    let day = |at: i64| at.div_euclid(86_400_000);
    if day(millis) == day(now) { formatted(millis, "%H:%M:%S UTC") } else { time(millis) }
}

fn formatted(millis: i64, format: &str) -> String {
    jiff::Timestamp::from_millisecond(millis)
        .map_or_else(|_| "an unknown time".to_owned(), |time| time.strftime(format).to_string())
}

/// Formats a duration: `850 ms`, `12 s`, `5 min`, `3 h`, `4 d`.
#[must_use]
pub fn age(millis: i64) -> String {
    match millis {
        ..0 => "0 s".to_owned(),
        0..1_000 => format!("{millis} ms"),
        1_000..120_000 => format!("{} s", millis / 1_000),
        120_000..7_200_000 => format!("{} min", millis / 60_000),
        7_200_000..172_800_000 => format!("{} h", millis / 3_600_000),
        _ => format!("{} d", millis / 86_400_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_shown_in_the_largest_unit() {
        let ages = [-5, 850, 12_000, 300_000, 10_800_000, 345_600_000].map(age);
        assert_eq!(ages, ["0 s", "850 ms", "12 s", "5 min", "3 h", "4 d"]);
    }

    #[test]
    fn a_moment_of_another_day_has_its_date() {
        let now = 1_700_000_000_000;
        assert_eq!(moment(now - 60_000, now), "22:12:20 UTC");
        assert_eq!(moment(now - 86_400_000, now), "2023-11-13 22:13:20 UTC");
        assert_eq!(moment(i64::MAX, now), "an unknown time");
    }
}
