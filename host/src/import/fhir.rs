//! From a FHIR Patient (R4, R4B, R5) to a draft of ours: the inverse of what the FHIR adapter writes, and as much of other
//! systems' Patients as our fields have a place for. The table is in `docs/commands.md`.
//!
//! Pure. Elements that we have no place for are passed over; what would be wrong to pass over (a record that is no longer in
//! use, a death without a date) is refused.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::fhir_names::{self, HumanName};
use crate::domain::Problem;
use crate::domain::patient::PatientDraft;

const IDENTIFIER_TYPE_NATIONAL: &str = "NI";
const BCP_47: &str = "urn:ietf:bcp:47";
const US_CORE_RACE: &str = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race";
const US_CORE_ETHNICITY: &str = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-ethnicity";

/// How a Patient is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FhirOptions {
    /// The system of the identifier that is our patient id. `None`: that of the FHIR adapter, else the record's own id.
    pub identifier_system: Option<String>,
    /// The system of the national identification number. `None`: the identifier of type `NI`.
    pub national_id_system: Option<String>,
    /// Whether race and ethnicity are taken from US Core's extensions.
    pub us_core: bool,
}

/// The identifier system that the FHIR adapter writes unless it is told otherwise.
const OUR_SYSTEM: &str = "urn:neuronova:patient-id";

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Patient {
    resource_type: Option<String>,
    id: Option<String>,
    active: Option<bool>,
    extension: Option<Vec<Extension>>,
    identifier: Option<Vec<Identifier>>,
    name: Option<Vec<HumanName>>,
    telecom: Option<Vec<ContactPoint>>,
    gender: Option<String>,
    birth_date: Option<String>,
    deceased_boolean: Option<bool>,
    deceased_date_time: Option<String>,
    address: Option<Vec<Address>>,
    marital_status: Option<CodeableConcept>,
    communication: Option<Vec<Communication>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::struct_field_names, reason = "FHIR's own names")]
pub(super) struct Extension {
    pub(super) url: Option<String>,
    pub(super) value_code: Option<String>,
    value_string: Option<String>,
    extension: Option<Vec<Extension>>,
}

#[derive(Deserialize)]
struct Identifier {
    r#use: Option<String>,
    r#type: Option<CodeableConcept>,
    system: Option<String>,
    value: Option<String>,
}

#[derive(Deserialize)]
struct ContactPoint {
    system: Option<String>,
    value: Option<String>,
    r#use: Option<String>,
    rank: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Address {
    r#use: Option<String>,
    line: Option<Vec<Option<String>>>,
    city: Option<String>,
    state: Option<String>,
    postal_code: Option<String>,
    country: Option<String>,
}

#[derive(Deserialize)]
struct CodeableConcept {
    coding: Option<Vec<Coding>>,
}

#[derive(Deserialize)]
struct Coding {
    system: Option<String>,
    code: Option<String>,
}

#[derive(Deserialize)]
struct Communication {
    language: Option<CodeableConcept>,
    preferred: Option<bool>,
}

/// Reads one line.
///
/// # Errors
/// Why it is no Patient that we can take; the rules of our own fields come later.
pub(super) fn read(line: &[u8], options: &FhirOptions) -> Result<PatientDraft, Vec<Problem>> {
    let patient: Patient = serde_json::from_slice(line).map_err(|error| vec![explain(line, &error)])?;
    match patient.resource_type.as_deref() {
        Some("Patient") => {}
        Some(_) => return Err(vec![problem("resourceType", "is not Patient")]),
        None => return Err(vec![problem("resourceType", "is missing: this is no FHIR resource")]),
    }
    if patient.active == Some(false) {
        return Err(vec![problem("active", "is false: the record is no longer in use")]);
    }
    if patient.deceased_boolean == Some(true) && patient.deceased_date_time.is_none() {
        let message = "is true without a date, which cannot be kept: give deceasedDateTime";
        return Err(vec![problem("deceasedBoolean", message)]);
    }
    draft(patient, options)
}

fn draft(patient: Patient, options: &FhirOptions) -> Result<PatientDraft, Vec<Problem>> {
    let identifiers = patient.identifier.unwrap_or_default();
    let mut draft = PatientDraft {
        patient_id: Some(patient_id(&identifiers, patient.id, options)?),
        birth_date: present(patient.birth_date),
        // FHIR leaves it out where it is not known.
        gender: present(patient.gender).or_else(|| Some("unknown".to_owned())),
        // Of a moment only the day.
        deceased_date: present(patient.deceased_date_time).map(|moment| match moment.split_once('T') {
            Some((day, _)) => day.to_owned(),
            None => moment,
        }),
        marital_status: patient.marital_status.as_ref().and_then(marital_status).map(str::to_owned),
        national_id: national_id(&identifiers, options),
        language: patient.communication.and_then(language),
        ..PatientDraft::default()
    };
    fhir_names::fill(&mut draft, patient.name.unwrap_or_default());
    fill_telecom(&mut draft, patient.telecom.unwrap_or_default());
    fill_address(&mut draft, patient.address.unwrap_or_default());
    if options.us_core {
        let extensions = patient.extension.unwrap_or_default();
        draft.race = us_core_text(&extensions, US_CORE_RACE);
        draft.ethnicity = us_core_text(&extensions, US_CORE_ETHNICITY);
    }
    Ok(draft)
}

fn patient_id(identifiers: &[Identifier], id: Option<String>, options: &FhirOptions) -> Result<String, Vec<Problem>> {
    let system = options.identifier_system.as_deref().unwrap_or(OUR_SYSTEM);
    let of_system = identifiers
        .iter()
        .filter(|identifier| identifier.system.as_deref() == Some(system) && identifier.r#use.as_deref() != Some("old"))
        .find_map(|identifier| present(identifier.value.clone()));
    match (of_system, &options.identifier_system) {
        (Some(value), _) => Ok(value),
        (None, None) => {
            present(id).ok_or_else(|| vec![problem("id", "is missing, and so is an identifier with a system of ours")])
        }
        (None, Some(_)) => Err(vec![problem("identifier", "has none with the system of --identifier-system")]),
    }
}

fn national_id(identifiers: &[Identifier], options: &FhirOptions) -> Option<String> {
    let is_national = |identifier: &&Identifier| match &options.national_id_system {
        Some(system) => identifier.system.as_ref() == Some(system),
        None => identifier
            .r#type
            .as_ref()
            .is_some_and(|kind| codings(kind).any(|coding| coding.code.as_deref() == Some(IDENTIFIER_TYPE_NATIONAL))),
    };
    let current = |identifier: &&Identifier| identifier.r#use.as_deref() != Some("old");
    identifiers.iter().filter(current).filter(is_national).find_map(|identifier| present(identifier.value.clone()))
}

/// Phones by their use, one without a use is at home where no other is; of several the one with the lowest rank, then the
/// first.
fn fill_telecom(draft: &mut PatientDraft, mut telecom: Vec<ContactPoint>) {
    telecom.retain(|contact| contact.r#use.as_deref() != Some("old"));
    telecom.sort_by_key(|contact| contact.rank.unwrap_or(u32::MAX));
    let mut without_use = None;
    for contact in telecom {
        let place = match (contact.system.as_deref(), contact.r#use.as_deref()) {
            (Some("phone"), Some("home")) => &mut draft.phone_home,
            (Some("phone"), Some("mobile")) => &mut draft.phone_mobile,
            (Some("phone"), Some("work")) => &mut draft.phone_work,
            (Some("phone"), None) => &mut without_use,
            (Some("email"), _) => &mut draft.email,
            _ => continue,
        };
        if place.is_none() {
            *place = present(contact.value);
        }
    }
    draft.phone_home = draft.phone_home.take().or(without_use);
}

/// The address at home, else one without a use, else a temporary one, else that at work.
fn fill_address(draft: &mut PatientDraft, addresses: Vec<Address>) {
    let rank = |address: &Address| match address.r#use.as_deref() {
        Some("home") => Some(0),
        None => Some(1),
        Some("temp") => Some(2),
        Some("work") => Some(3),
        Some(_) => None,
    };
    let ranked = addresses.into_iter().filter_map(|address| Some((rank(&address)?, address)));
    let Some((_, address)) = ranked.min_by_key(|(rank, _)| *rank) else { return };
    let mut lines = address.line.unwrap_or_default().into_iter().filter_map(present);
    draft.street = lines.next();
    draft.street_line_2 = lines.reduce(|all, line| all + ", " + &line);
    draft.city = present(address.city);
    draft.state = present(address.state);
    draft.postal_code = present(address.postal_code);
    draft.country = present(address.country);
}

/// The preferred language, else the first.
fn language(communication: Vec<Communication>) -> Option<String> {
    let mut with_code: Vec<_> = communication
        .into_iter()
        .filter_map(|entry| {
            let concept = entry.language?;
            let tagged = codings(&concept).find(|coding| coding.system.as_deref() == Some(BCP_47));
            let code = tagged.or_else(|| codings(&concept).next())?.code.clone();
            Some((entry.preferred != Some(true), present(code)?))
        })
        .collect();
    with_code.sort_by_key(|(is_other, _)| *is_other);
    with_code.into_iter().next().map(|(_, code)| code)
}

/// HL7 v3's codes; those that we have no word for are passed over.
fn marital_status(concept: &CodeableConcept) -> Option<&'static str> {
    codings(concept).find_map(|coding| match coding.code.as_deref()? {
        "M" => Some("married"),
        "S" => Some("single"),
        "D" => Some("divorced"),
        "W" => Some("widowed"),
        "L" => Some("separated"),
        "T" => Some("domestic_partner"),
        _ => None,
    })
}

fn us_core_text(extensions: &[Extension], url: &str) -> Option<String> {
    let outer = extensions.iter().find(|extension| extension.url.as_deref() == Some(url))?;
    let inner = outer.extension.iter().flatten().find(|extension| extension.url.as_deref() == Some("text"))?;
    present(inner.value_string.clone())
}

fn codings(concept: &CodeableConcept) -> impl Iterator<Item = &Coding> {
    concept.coding.iter().flatten()
}

/// The text, unless it is blank.
pub(super) fn present(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty())
}

pub(super) fn problem(field: &'static str, message: impl Into<String>) -> Problem {
    Problem { field, message: message.into() }
}

/// An element's name, and whether a value is of its type.
type Check = (&'static str, fn(Value) -> bool);

fn fits<T: DeserializeOwned>(value: Value) -> bool {
    serde_json::from_value::<Option<T>>(value).is_ok()
}

/// Names the element that has another type than FHIR's; serde's own words may repeat a value.
fn explain(line: &[u8], error: &serde_json::Error) -> Problem {
    let Ok(value) = serde_json::from_slice::<Value>(line) else {
        return match std::str::from_utf8(line) {
            Ok(_) => problem("record", format!("is not JSON: an error at column {}", error.column())),
            Err(_) => problem("record", "is not UTF-8"),
        };
    };
    let Value::Object(mut object) = value else { return problem("record", "is not a JSON object") };
    let checks: [Check; 14] = [
        ("resourceType", fits::<String>),
        ("id", fits::<String>),
        ("active", fits::<bool>),
        ("extension", fits::<Vec<Extension>>),
        ("identifier", fits::<Vec<Identifier>>),
        ("name", fits::<Vec<HumanName>>),
        ("telecom", fits::<Vec<ContactPoint>>),
        ("gender", fits::<String>),
        ("birthDate", fits::<String>),
        ("deceasedBoolean", fits::<bool>),
        ("deceasedDateTime", fits::<String>),
        ("address", fits::<Vec<Address>>),
        ("maritalStatus", fits::<CodeableConcept>),
        ("communication", fits::<Vec<Communication>>),
    ];
    for (element, fits) in checks {
        if object.remove(element).is_some_and(|value| !fits(value)) {
            return problem(element, "is not of the type that FHIR gives it");
        }
    }
    problem("record", "names an element twice")
}
