//! Maps an encounter to its rows in `form_encounter` and `forms`.

use adapter_sdk::clinical::Encounter;

use crate::records::clock::local;
use crate::records::shape::Values;
use crate::records::source::{Lines, Source, Unwritten};

/// The values of an encounter's rows.
///
/// # Errors
/// Skipped while it is only planned: OpenEMR stores only encounters that took place.
pub(crate) fn values(encounter: &Encounter, source: &Source<'_>) -> Result<Values, Unwritten> {
    if encounter.status == "planned" {
        return Err(Unwritten::Skipped(
            "a planned encounter: OpenEMR's encounters have begun, and what is planned is an appointment there"
                .to_owned(),
        ));
    }
    let offset = source.settings.utc_offset;
    let mut reason = Lines::default();
    reason.add(encounter.reason_code.as_ref().map(|concept| concept.display.as_str()));
    reason.labelled("Type", encounter.kind.as_ref().map(|concept| concept.display.as_str()));
    reason.labelled("Provider", encounter.provider.as_deref());
    reason.labelled("Location", encounter.location.as_deref());
    let ended = encounter.period.end.as_deref().and_then(|end| local(end, offset));
    if !source.shape.has("date_end") {
        reason.labelled("Ended", ended.as_deref());
    }
    let mut values = Values::default();
    values.set("pid", source.pid()?);
    values.set_if("date", local(&encounter.period.start, offset));
    values.set_if("date_end", ended);
    values.set("reason", reason.text());
    values.set("class_code", encounter.class.as_str());
    let is_void = ["cancelled", "entered-in-error"].contains(&encounter.status.as_str());
    values.set("deleted", if is_void { "1" } else { "0" });
    Ok(values)
}
