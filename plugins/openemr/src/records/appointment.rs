//! Maps an appointment to its row in `openemr_postcalendar_events`.

use adapter_sdk::clinical::{Appointment, unix_ms};

use crate::records::clock::local;
use crate::records::shape::Values;
use crate::records::source::{Lines, Source, Unwritten};

/// The title if the payload names no service; OpenEMR's calendar shows no event without a title.
const UNTITLED: &str = "Appointment";

/// The values of an appointment's row.
///
/// # Errors
/// Skipped when it ends on another day: a row of OpenEMR's calendar has one date.
pub(crate) fn values(appointment: &Appointment, source: &Source<'_>) -> Result<Values, Unwritten> {
    let offset = source.settings.utc_offset;
    // Both times use the offset of the start, so that an end with another offset does not seem to be another day.
    let (start, end) = (local(&appointment.start, offset), end(appointment, source));
    let (Some((date, from)), Some((last_date, to))) =
        (start.as_deref().and_then(|text| text.split_once(' ')), end.as_deref().and_then(|text| text.split_once(' ')))
    else {
        return Err(Unwritten::Skipped("an appointment at a time that OpenEMR's calendar does not have".to_owned()));
    };
    if date != last_date {
        return Err(Unwritten::Skipped(
            "an appointment that ends on another day: OpenEMR's calendar has one date for each".to_owned(),
        ));
    }
    let seconds =
        unix_ms(&appointment.end).zip(unix_ms(&appointment.start)).map_or(0, |(end, start)| (end - start) / 1_000);
    let mut text = Lines::default();
    text.add(appointment.description.as_deref());
    text.labelled("Reason", appointment.reason_code.as_ref().map(|concept| concept.display.as_str()));
    text.add(appointment.comment.as_deref());
    let mut values = Values::default();
    values.set("pc_pid", source.pid()?);
    values.set("pc_title", appointment.service_type.as_ref().map_or(UNTITLED, |concept| concept.display.as_str()));
    values.set("pc_hometext", text.text());
    values.set("pc_eventDate", date);
    values.set("pc_startTime", from);
    values.set("pc_endTime", to);
    values.set("pc_duration", seconds.to_string());
    values.set("pc_apptstatus", status(&appointment.status));
    Ok(values)
}

fn end(appointment: &Appointment, source: &Source<'_>) -> Option<String> {
    let offset = source.settings.utc_offset.or_else(|| offset_of(&appointment.start));
    local(&appointment.end, offset)
}

/// The offset in a timestamp.
fn offset_of(instant: &str) -> Option<crate::settings::Offset> {
    let offset = instant.get(instant.len().checked_sub(6)?..)?;
    if instant.ends_with('Z') { "+00:00" } else { offset }.to_owned().try_into().ok()
}

/// The option of OpenEMR's list `apptstat` for a status.
fn status(status: &str) -> &'static str {
    match status {
        "proposed" | "pending" | "waitlist" => "^",
        "arrived" | "checked-in" => "@",
        "fulfilled" => ">",
        "cancelled" | "entered-in-error" => "x",
        "noshow" => "?",
        _ => "-",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_appointment_status_is_mapped_to_openemrs_list() {
        for (given, expected) in [
            ("booked", "-"),
            ("proposed", "^"),
            ("pending", "^"),
            ("waitlist", "^"),
            ("arrived", "@"),
            ("checked-in", "@"),
            ("fulfilled", ">"),
            ("cancelled", "x"),
            ("entered-in-error", "x"),
            ("noshow", "?"),
        ] {
            assert_eq!(status(given), expected, "{given}");
        }
    }

    #[test]
    fn the_offset_is_read_from_the_instant() {
        for (instant, minutes) in [("2025-03-01T09:30:00+09:00", 540), ("2025-03-01T09:30:00Z", 0)] {
            assert_eq!(offset_of(instant).map(|offset| offset.minutes), Some(minutes));
        }
    }
}
