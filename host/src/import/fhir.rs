//! Reads a FHIR Patient (R4, R4B, R5) into a draft. It is the inverse of the FHIR adapter, and also reads Patients of
//! other systems as far as our fields can hold them. `docs/commands.md` has the table.
//!
//! It does no I/O. Elements without a field are ignored. A record with an element that must not be ignored (no longer
//! in use, a death without a date) is rejected. An optional element that cannot be read is left out and reported.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::draft::{Draft, Problem, present, problem};
use super::fhir_options::FhirOptions;
use super::fhir_types::{
    Address, CodeableConcept, Coding, Communication, ContactPoint, Extension, HumanName, Identifier, Link, Patient,
};
use super::kind::Kind;
use super::resource_type::{self, WRONG_TYPE};
use super::{fhir_names, identity};
use crate::domain::patient::{Day, PatientDraft, omb};

const IDENTIFIER_TYPE_NATIONAL: &str = "NI";
const BCP_47: &str = "urn:ietf:bcp:47";
const US_CORE_RACE: &str = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race";
const US_CORE_ETHNICITY: &str = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-ethnicity";

/// Reads one line with a Patient. `today` decides which names, addresses and phones are current.
///
/// # Errors
/// When it is not a Patient that can be imported. The rules of our own fields are checked later.
pub(super) fn read(line: &[u8], options: &FhirOptions, today: Day) -> Result<Draft, Vec<Problem>> {
    let patient: Patient = serde_json::from_slice(line).map_err(|error| vec![explain(line, &error)])?;
    if patient.resource_type.as_deref() != Some("Patient") {
        return Err(vec![problem("resourceType", "is not Patient")]);
    }
    if patient.active == Some(false) {
        return Err(vec![problem("active", "is false: the record is no longer in use")]);
    }
    if patient.link.iter().flatten().any(|link| link.r#type.as_deref() == Some("replaced-by")) {
        let message = "is replaced-by: the record was merged into another and must no longer be used";
        return Err(vec![problem("link", message)]);
    }
    if patient.deceased_boolean == Some(true) && patient.deceased_date_time.is_none() {
        let message = "is true without a date, which cannot be kept: give deceasedDateTime";
        return Err(vec![problem("deceasedBoolean", message)]);
    }
    draft(patient, options, today)
}

fn draft(patient: Patient, options: &FhirOptions, today: Day) -> Result<Draft, Vec<Problem>> {
    let left_out = misfits(&patient, options);
    let identifiers = patient.identifier.unwrap_or_default();
    let patient_id = identity::aggregate_id("Patient", Kind::Patient, &identifiers, patient.id, options, today)
        .map_err(|problem| vec![problem])?;
    let mut draft = Draft {
        patient: PatientDraft {
            patient_id: Some(patient_id),
            birth_date: present(patient.birth_date),
            // FHIR omits an unknown gender.
            gender: present(patient.gender).or_else(|| Some("unknown".to_owned())),
            // Only the day of the timestamp is kept.
            deceased_date: present(patient.deceased_date_time).map(|moment| match moment.split_once('T') {
                Some((day, _)) => day.to_owned(),
                None => moment,
            }),
            national_id: national_id(&identifiers, options, today),
            language: language(patient.communication.read),
            ..PatientDraft::default()
        },
        left_out,
    };
    match patient.marital_status.read.first().map(marital_status) {
        Some(MaritalStatus::Word(word)) => draft.patient.marital_status = Some(word.to_owned()),
        Some(MaritalStatus::Unknown) => {
            draft.left_out.push(problem("maritalStatus", "has no code of M, S, D, W, L or T"));
        }
        Some(MaritalStatus::Absent) | None => {}
    }
    fhir_names::fill(&mut draft.patient, patient.name.unwrap_or_default(), today).map_err(|found| vec![found])?;
    fill_telecom(&mut draft.patient, patient.telecom.read, today);
    fill_address(&mut draft.patient, patient.address.read, today);
    if options.us_core {
        draft.patient.race = us_core_words(&patient.extension.read, US_CORE_RACE, |text| omb::race(text).collect());
        draft.patient.ethnicity =
            us_core_words(&patient.extension.read, US_CORE_ETHNICITY, |text| omb::ethnicity(text).collect());
    }
    Ok(draft)
}

/// Reports the optional elements whose value is not of FHIR's type.
fn misfits(patient: &Patient, options: &FhirOptions) -> Vec<Problem> {
    [
        ("extension", options.us_core && patient.extension.has_misfits),
        ("telecom", patient.telecom.has_misfits),
        ("address", patient.address.has_misfits),
        ("maritalStatus", patient.marital_status.has_misfits),
        ("communication", patient.communication.has_misfits),
    ]
    .into_iter()
    .filter(|(_, has_misfits)| *has_misfits)
    .map(|(element, _)| problem(element, WRONG_TYPE))
    .collect()
}

fn national_id(identifiers: &[Identifier], options: &FhirOptions, today: Day) -> Option<String> {
    let is_national = |identifier: &&Identifier| match &options.national_id_system {
        Some(system) => identifier.system.as_ref() == Some(system),
        None => identifier
            .r#type
            .as_ref()
            .is_some_and(|kind| codings(kind).any(|coding| coding.code.as_deref() == Some(IDENTIFIER_TYPE_NATIONAL))),
    };
    identity::best_value(identifiers.iter().filter(is_national), today)
}

/// The name of a field, and access to it in a draft.
type Field = (&'static str, fn(&mut PatientDraft) -> &mut Option<String>);

const PHONE_HOME: Field = ("phone_home", |draft| &mut draft.phone_home);
const PHONE_MOBILE: Field = ("phone_mobile", |draft| &mut draft.phone_mobile);
const PHONE_WORK: Field = ("phone_work", |draft| &mut draft.phone_work);
const EMAIL: Field = ("email", |draft| &mut draft.email);

/// Fills phones by their use. A phone without a use becomes the home phone if there is no other. The lowest rank is
/// preferred, then the first; a value that keeps the field's rules is preferred to one that breaks them.
fn fill_telecom(draft: &mut PatientDraft, mut telecom: Vec<ContactPoint>, today: Day) {
    telecom.retain(|contact| contact.is_current(today));
    telecom.sort_by_key(|contact| contact.rank.unwrap_or(u32::MAX));
    let mut without_use = Vec::new();
    for contact in telecom {
        let Some(value) = present(contact.value) else { continue };
        let field = match (contact.system.as_deref(), contact.r#use.as_deref()) {
            (Some("phone"), Some("home")) => PHONE_HOME,
            (Some("phone"), Some("mobile")) => PHONE_MOBILE,
            (Some("phone"), Some("work")) => PHONE_WORK,
            (Some("phone"), None) => {
                without_use.push(value);
                continue;
            }
            (Some("email"), _) => EMAIL,
            _ => continue,
        };
        offer(draft, field, value, today);
    }
    for value in without_use {
        offer(draft, PHONE_HOME, value, today);
    }
}

/// Sets a field that is empty, or whose value breaks the field's rules.
fn offer(draft: &mut PatientDraft, field: Field, value: String, today: Day) {
    let place = field.1(draft);
    let is_better = |kept: &String| !is_valid(field, kept, today) && is_valid(field, &value, today);
    if place.as_ref().is_none_or(is_better) {
        *place = Some(value);
    }
}

fn is_valid((name, place): Field, value: &str, today: Day) -> bool {
    let mut alone = PatientDraft::default();
    *place(&mut alone) = Some(value.to_owned());
    alone.validate(today).err().is_none_or(|problems| problems.iter().all(|problem| problem.field != name))
}

/// Fills the address: the one at home, else one without a use, else a temporary one, else the one at work.
fn fill_address(draft: &mut PatientDraft, addresses: Vec<Address>, today: Day) {
    let rank = |address: &Address| match address.r#use.as_deref() {
        Some("home") => Some(0),
        None => Some(1),
        Some("temp") => Some(2),
        Some("work") => Some(3),
        Some(_) => None,
    };
    let current = addresses.into_iter().filter(|address| address.is_current(today));
    let ranked = current.filter_map(|address| Some((rank(&address)?, address)));
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

/// The marital status of a Patient, as far as it can be expressed.
enum MaritalStatus {
    Word(&'static str),
    /// A code without a corresponding value.
    Unknown,
    /// No code, or a code for "unknown".
    Absent,
}

/// Reads HL7 v3's codes.
fn marital_status(concept: &CodeableConcept) -> MaritalStatus {
    let mut status = MaritalStatus::Absent;
    for code in codings(concept).filter_map(|coding| coding.code.as_deref()) {
        match code {
            "M" => return MaritalStatus::Word("married"),
            "S" => return MaritalStatus::Word("single"),
            "D" => return MaritalStatus::Word("divorced"),
            "W" => return MaritalStatus::Word("widowed"),
            "L" => return MaritalStatus::Word("separated"),
            "T" => return MaritalStatus::Word("domestic_partner"),
            "UNK" | "ASKU" | "NI" | "NASK" | "NAV" => {}
            _ => status = MaritalStatus::Unknown,
        }
    }
    status
}

/// The value of a US Core extension: its categories, else its text. Several are joined by `|`.
fn us_core_words(extensions: &[Extension], url: &str, parts: fn(&str) -> Vec<omb::Part<'_>>) -> Option<String> {
    let outer = extensions.iter().find(|extension| extension.url.as_deref() == Some(url))?;
    let inner = |url: &'static str| {
        outer.extension.iter().flatten().filter(move |extension| extension.url.as_deref() == Some(url))
    };
    let codes: Vec<_> =
        inner("ombCategory").filter_map(|category| category.value_coding.as_ref()?.code.as_deref()).collect();
    let known: Vec<_> =
        codes.iter().flat_map(|code| parts(code)).filter(|part| matches!(part, omb::Part::Known(_))).collect();
    if !known.is_empty() {
        return Some(joined_words(&known));
    }
    if codes.contains(&"UNK") {
        return None;
    }
    let text = present(inner("text").next()?.value_string.clone())?;
    // In a text, `|` is replaced, because it separates values.
    let words = if text.contains('|') { text.replace('|', "/") } else { joined_words(&parts(&text)) };
    Some(words)
}

fn joined_words(parts: &[omb::Part<'_>]) -> String {
    parts.iter().map(omb::Part::word).collect::<Vec<_>>().join("|")
}

fn codings(concept: &CodeableConcept) -> impl Iterator<Item = &Coding> {
    concept.coding.iter().flatten()
}

/// The name of an element, and a check that a value is of its type.
type Check = (&'static str, fn(Value) -> bool);

fn fits<T: DeserializeOwned>(value: Value) -> bool {
    serde_json::from_value::<Option<T>>(value).is_ok()
}

/// Names the element of a wrong type. serde's own message may repeat a value, so it is not shown.
fn explain(line: &[u8], error: &serde_json::Error) -> Problem {
    let mut object = match resource_type::object(line, error) {
        Ok(object) => object,
        Err(problem) => return problem,
    };
    let checks: [Check; 10] = [
        ("resourceType", fits::<String>),
        ("id", fits::<String>),
        ("active", fits::<bool>),
        ("link", fits::<Vec<Link>>),
        ("identifier", fits::<Vec<Identifier>>),
        ("name", fits::<Vec<HumanName>>),
        ("gender", fits::<String>),
        ("birthDate", fits::<String>),
        ("deceasedBoolean", fits::<bool>),
        ("deceasedDateTime", fits::<String>),
    ];
    for (element, fits) in checks {
        if object.remove(element).is_some_and(|value| !fits(value)) {
            return problem(element, WRONG_TYPE);
        }
    }
    problem("record", "names an element twice")
}
