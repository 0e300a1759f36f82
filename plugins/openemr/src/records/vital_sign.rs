//! Maps a vital sign to its rows in `form_vitals` and `forms`.
//!
//! OpenEMR stores weights in pounds, lengths in inches and temperatures in Fahrenheit, regardless of its users' units.

use adapter_sdk::clinical::{Observation, Quantity};

use crate::records::clock::local;
use crate::records::shape::Values;
use crate::records::source::{Source, Unwritten};

const LOINC: &str = "http://loinc.org";

/// The unit of a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measured {
    Pressure,
    PerMinute,
    Fahrenheit,
    Pounds,
    Inches,
    Percent,
    BodyMassIndex,
    LitresPerMinute,
}

/// LOINC codes with the columns for their values.
const COLUMNS: [(&str, &str, Measured); 19] = [
    ("8480-6", "bps", Measured::Pressure),
    ("8462-4", "bpd", Measured::Pressure),
    ("8867-4", "pulse", Measured::PerMinute),
    ("9279-1", "respiration", Measured::PerMinute),
    ("8310-5", "temperature", Measured::Fahrenheit),
    ("8331-1", "temperature", Measured::Fahrenheit),
    ("29463-7", "weight", Measured::Pounds),
    ("3141-9", "weight", Measured::Pounds),
    ("8302-2", "height", Measured::Inches),
    ("8306-3", "height", Measured::Inches),
    ("9843-4", "head_circ", Measured::Inches),
    ("8287-5", "head_circ", Measured::Inches),
    ("8280-0", "waist_circ", Measured::Inches),
    ("56086-2", "waist_circ", Measured::Inches),
    ("39156-5", "BMI", Measured::BodyMassIndex),
    ("59408-5", "oxygen_saturation", Measured::Percent),
    ("2708-6", "oxygen_saturation", Measured::Percent),
    ("3151-8", "oxygen_flow_rate", Measured::LitresPerMinute),
    ("3150-6", "inhaled_oxygen_concentration", Measured::Percent),
];

/// The values of a vital sign's rows.
///
/// # Errors
/// Skipped when `form_vitals` cannot hold it: a laboratory result, an unknown code or unit, no encounter.
pub(crate) fn values(observation: &Observation, source: &Source<'_>) -> Result<Values, Unwritten> {
    let skipped = |why: &str| Err(Unwritten::Skipped(why.to_owned()));
    if observation.category != "vital-signs" {
        return skipped("a laboratory result: this adapter writes vital signs only");
    }
    let pid = source.pid()?;
    let Some(encounter) = source.encounter() else {
        return skipped("a vital sign without an encounter that OpenEMR has: OpenEMR keeps vital signs within one");
    };
    let mut values = Values::default();
    let is_void = ["cancelled", "entered-in-error"].contains(&observation.status.as_str());
    let components = observation.component.iter().map(|component| (&component.code, &component.value_quantity));
    let single = observation.value_quantity.iter().map(|quantity| (&observation.code, quantity));
    let mut is_empty = true;
    for (concept, quantity) in single.chain(components) {
        let code = concept.code.as_deref().filter(|_| concept.system.as_deref() == Some(LOINC));
        let column = code.and_then(|code| COLUMNS.iter().find(|(known, _, _)| *known == code));
        let Some((_, column, measured)) = column.filter(|(_, column, _)| source.shape.has(column)) else {
            return skipped("a vital sign with a code that form_vitals has no column for");
        };
        let Some(value) = converted(*measured, quantity) else {
            return skipped("a vital sign in a unit that this adapter cannot convert to the one that OpenEMR keeps");
        };
        if value <= 0.0 {
            return skipped("a vital sign of 0 or less: OpenEMR takes 0 for not measured");
        }
        values.set(column, if *measured == Measured::Pressure { plain(value) } else { value.to_string() });
        is_empty = false;
    }
    if is_empty && !is_void {
        return skipped("a vital sign without a number: form_vitals holds numbers only");
    }
    values.set("pid", pid);
    values.set("encounter", encounter);
    values.set_if("date", local(&observation.effective, source.settings.utc_offset));
    values.set_if("note", observation.note.as_deref());
    values.set("deleted", if is_void { "1" } else { "0" });
    Ok(values)
}

/// A blood pressure as text, with at most two decimals.
fn plain(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The value in OpenEMR's unit; `None` for an unknown unit.
fn converted(measured: Measured, quantity: &Quantity) -> Option<f64> {
    let value = quantity.value.as_f64()?;
    let unit = quantity.code.as_deref().unwrap_or(&quantity.unit);
    let factor = match (measured, unit) {
        (Measured::Pressure, "mm[Hg]" | "mmHg" | "mm Hg")
        | (Measured::PerMinute, "/min" | "{beats}/min" | "{breaths}/min" | "beats/min" | "breaths/min" | "bpm")
        | (Measured::Fahrenheit, "[degF]" | "degF" | "°F" | "F")
        | (Measured::Pounds, "[lb_av]" | "lb" | "lbs")
        | (Measured::Inches, "[in_i]" | "[in_us]" | "in")
        | (Measured::Percent, "%")
        | (Measured::BodyMassIndex, "kg/m2" | "kg/m²")
        | (Measured::LitresPerMinute, "L/min" | "l/min") => 1.0,
        (Measured::Fahrenheit, "Cel" | "°C" | "C") => return Some(value * 1.8 + 32.0),
        (Measured::Pounds, "kg") => 1.0 / KILOGRAMS_PER_POUND,
        (Measured::Pounds, "g") => 0.001 / KILOGRAMS_PER_POUND,
        (Measured::Pounds, "[oz_av]" | "oz") => 1.0 / 16.0,
        (Measured::Inches, "cm") => 1.0 / CENTIMETRES_PER_INCH,
        (Measured::Inches, "mm") => 0.1 / CENTIMETRES_PER_INCH,
        (Measured::Inches, "m") => 100.0 / CENTIMETRES_PER_INCH,
        (Measured::Inches, "[ft_i]" | "ft") => 12.0,
        _ => return None,
    };
    Some(value * factor)
}

const KILOGRAMS_PER_POUND: f64 = 0.453_592_37;
const CENTIMETRES_PER_INCH: f64 = 2.54;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::measure;

    fn stored(measured: Measured, value: &str, code: Option<&str>, unit: &str) -> Option<String> {
        let quantity = Quantity {
            value: value.parse().unwrap(),
            unit: unit.to_owned(),
            system: None,
            code: code.map(str::to_owned),
        };
        measure(converted(measured, &quantity)?, 6)
    }

    #[test]
    fn values_are_converted_to_openemrs_units() {
        for (measured, value, code, unit, expected) in [
            (Measured::Pounds, "70", Some("kg"), "kilograms", Some("154.323584")),
            (Measured::Pounds, "3500", Some("g"), "g", Some("7.716179")),
            (Measured::Pounds, "154.5", None, "lb", Some("154.500000")),
            (Measured::Inches, "170", Some("cm"), "cm", Some("66.929134")),
            (Measured::Inches, "1.7", None, "m", Some("66.929134")),
            (Measured::Fahrenheit, "36.6", Some("Cel"), "°C", Some("97.880000")),
            (Measured::Fahrenheit, "98.6", Some("[degF]"), "F", Some("98.600000")),
            (Measured::PerMinute, "72", Some("/min"), "beats", Some("72.000000")),
            (Measured::Percent, "98", Some("%"), "%", Some("98.000000")),
            (Measured::Pounds, "11", Some("[stone_av]"), "st", None),
            (Measured::Percent, "98", Some("kg"), "%", None),
        ] {
            assert_eq!(stored(measured, value, code, unit).as_deref(), expected, "{value} {unit}");
        }
        assert_eq!(["120", "120.5", "80.25"].map(|text| plain(text.parse().unwrap())), ["120", "120.5", "80.25"]);
    }

    #[test]
    fn every_vital_sign_has_a_known_column() {
        let own = crate::records::kinds::Kind::VitalSign.layout().columns;
        for (code, column, _) in COLUMNS {
            assert!(own.iter().any(|known| known.name == column), "{code}");
        }
    }
}
