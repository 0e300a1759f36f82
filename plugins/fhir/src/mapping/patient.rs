//! Maps our patient to a FHIR R4 Patient.
//!
//! Its dates are in a form that every server reads. Sources: FHIR R4 Patient; KR Core Patient (`name.text` 1..1); the
//! ISO 21090 EN representation extension; US Core.

use adapter_sdk::patient::omb::{self, Category, Part};
use adapter_sdk::patient::{Gender, MaritalStatus, Patient};
use serde_json::{Map, Value, json};

use super::{insert_list, present, text};
use crate::kind::{Kind, Parts, Whole};
use crate::settings::Settings;

/// The two forms of `deceased[x]`.
const DECEASED: [&str; 2] = ["deceasedBoolean", "deceasedDateTime"];
pub(crate) const US_CORE_RACE: &str = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race";
pub(crate) const US_CORE_ETHNICITY: &str = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-ethnicity";
const EN_REPRESENTATION: &str = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation";
const MARITAL_STATUS: &str = "http://terminology.hl7.org/CodeSystem/v3-MaritalStatus";
/// The type of a link to the record that replaces this one.
const REPLACED_BY: &str = "replaced-by";
/// The maximum number of race categories in US Core.
const RACES_MAX: usize = 5;
const IDENTIFIER_TYPE: &str = "http://terminology.hl7.org/CodeSystem/v2-0203";

/// Our elements of a Patient. An entry without a `use` counts as ours, because a server or a form may have dropped it.
pub(crate) const PARTS: Parts = Parts {
    whole: Whole::These(&["active", "gender", "birthDate", "maritalStatus", "deceased[x]"]),
    entries: &[
        ("extension", |kind, entry| {
            kind.settings.us_core && matches!(text(entry, "url"), Some(US_CORE_RACE | US_CORE_ETHNICITY))
        }),
        ("identifier", is_our_identifier),
        ("name", |_, entry| matches!(text(entry, "use"), None | Some("official"))),
        ("telecom", |_, entry| {
            matches!(
                (text(entry, "system"), text(entry, "use")),
                (Some("phone"), Some("home" | "mobile" | "work")) | (Some("email"), None)
            )
        }),
        ("address", |_, entry| matches!(text(entry, "use"), None | Some("home"))),
        ("communication", |_, entry| entry.get("preferred") == Some(&Value::Bool(true))),
        // Only a merge writes a link, so every later state removes it.
        ("link", |kind, entry| {
            text(entry, "type") == Some(REPLACED_BY)
                && entry.pointer("/other/identifier/system").and_then(Value::as_str) == Some(&*kind.system)
        }),
    ],
    // A death that others recorded stays, when the application does not know of it.
    kept: &DECEASED,
    retire: Some(|patient| _ = patient.insert("active".to_owned(), json!(false))),
};

fn is_our_identifier(kind: &Kind<'_>, entry: &Value) -> bool {
    text(entry, "system")
        .is_some_and(|system| system == kind.system || kind.settings.national_id_system.as_deref() == Some(system))
}

/// The wanted Patient, without an id.
pub(crate) fn resource(patient: &Patient, active: bool, settings: &Settings) -> Value {
    let mut resource = Map::new();
    resource.insert("resourceType".to_owned(), json!("Patient"));
    if let Some(profile) = &settings.profile {
        resource.insert("meta".to_owned(), json!({ "profile": [profile] }));
    }
    insert_list(&mut resource, "extension", extensions(patient, settings));
    insert_list(&mut resource, "identifier", identifiers(patient, settings));
    resource.insert("active".to_owned(), json!(active));
    insert_list(&mut resource, "name", names(patient));
    insert_list(&mut resource, "telecom", telecom(patient));
    resource.insert("gender".to_owned(), json!(gender(patient.gender)));
    resource.insert("birthDate".to_owned(), json!(patient.birth_date));
    if let Some(deceased) = &patient.deceased_date {
        resource.insert("deceasedDateTime".to_owned(), json!(deceased));
    }
    insert_list(&mut resource, "address", address(patient).into_iter().collect());
    if let Some(status) = patient.marital_status {
        resource.insert("maritalStatus".to_owned(), marital_status(status));
    }
    insert_list(&mut resource, "communication", communication(patient).into_iter().collect());
    Value::Object(resource)
}

/// The link from a merged record to its survivor. The identifier of our system distinguishes it from links of others.
pub(crate) fn replaced_by(kind: &Kind<'_>, patient_id: &str, id: &str) -> Value {
    let identifier = json!({ "system": kind.system, "value": patient_id });
    json!({ "other": { "reference": format!("Patient/{id}"), "identifier": identifier }, "type": REPLACED_BY })
}

fn identifiers(patient: &Patient, settings: &Settings) -> Vec<Value> {
    let mut identifiers = vec![json!({ "system": settings.identifier_system, "value": patient.patient_id })];
    if let (Some(system), Some(value)) = (&settings.national_id_system, present(patient.national_id.as_ref())) {
        identifiers.push(json!({
            "use": "official",
            "type": { "coding": [{ "system": IDENTIFIER_TYPE, "code": "NI" }] },
            "system": system,
            "value": value,
        }));
    }
    identifiers
}

/// The names: one, or two if the patient has a name in a native script. The native one is first.
fn names(patient: &Patient) -> Vec<Value> {
    let title = present(patient.title.as_ref());
    let suffix = present(patient.suffix.as_ref());
    let given: Vec<&str> = [Some(patient.given_name.as_str()), present(patient.middle_name.as_ref())]
        .into_iter()
        .flatten()
        .filter(|part| !part.is_empty())
        .collect();
    let native_family = present(patient.native_family_name.as_ref());
    let native_given = present(patient.native_given_name.as_ref());
    let native_text: Vec<&str> = [native_family, native_given].into_iter().flatten().collect();
    let native_script = (!native_text.is_empty()).then(|| Script::of(&native_text.concat()));

    // If the native form puts the family name first, the Latin form does so too: Kim MinJun.
    let family_first = native_script.is_some_and(Script::is_east_asian);
    let family = Some(patient.family_name.as_str()).filter(|part| !part.is_empty());
    let mut parts: Vec<&str> = title.into_iter().collect();
    if family_first {
        parts.extend(family);
        parts.extend(&given);
    } else {
        parts.extend(&given);
        parts.extend(family);
    }
    parts.extend(suffix);
    let mut romanised = name(&parts.join(" "), family, &given);
    if let Some(title) = title {
        romanised.insert("prefix".to_owned(), json!([title]));
    }
    if let Some(suffix) = suffix {
        romanised.insert("suffix".to_owned(), json!([suffix]));
    }
    let Some(script) = native_script else { return vec![Value::Object(romanised)] };

    let text = if script.is_east_asian() {
        native_text.concat()
    } else {
        native_text.iter().rev().copied().collect::<Vec<_>>().join(" ")
    };
    let mut native = name(&text, native_family, native_given.as_slice());
    native.insert("extension".to_owned(), representation(script.code()));
    romanised.insert("extension".to_owned(), representation("ABC"));
    vec![Value::Object(native), Value::Object(romanised)]
}

fn name(text: &str, family: Option<&str>, given: &[&str]) -> Map<String, Value> {
    let mut name = Map::new();
    name.insert("use".to_owned(), json!("official"));
    name.insert("text".to_owned(), json!(text));
    if let Some(family) = family {
        name.insert("family".to_owned(), json!(family));
    }
    insert_list(&mut name, "given", given.iter().map(|part| json!(part)).collect());
    name
}

fn representation(code: &str) -> Value {
    json!([{ "url": EN_REPRESENTATION, "valueCode": code }])
}

/// The script of a name, as ISO 21090 distinguishes it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Script {
    /// Hangul, kana.
    Syllabic,
    /// Han characters.
    Ideographic,
    /// All other scripts.
    Alphabetic,
}

impl Script {
    fn of(text: &str) -> Self {
        let syllabic =
            |c: char| matches!(c, '\u{1100}'..='\u{11FF}' | '\u{3040}'..='\u{318F}' | '\u{AC00}'..='\u{D7A3}');
        let ideographic =
            |c: char| matches!(c, '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{20000}'..='\u{323AF}');
        if text.contains(ideographic) {
            Self::Ideographic
        } else if text.contains(syllabic) {
            Self::Syllabic
        } else {
            Self::Alphabetic
        }
    }

    fn code(self) -> &'static str {
        match self {
            Self::Syllabic => "SYL",
            Self::Ideographic => "IDE",
            Self::Alphabetic => "ABC",
        }
    }

    fn is_east_asian(self) -> bool {
        self != Self::Alphabetic
    }
}

fn telecom(patient: &Patient) -> Vec<Value> {
    let phone = |number: &Option<String>, used: &str| {
        present(number.as_ref()).map(|value| json!({ "system": "phone", "value": value, "use": used }))
    };
    [
        phone(&patient.phone_home, "home"),
        phone(&patient.phone_mobile, "mobile"),
        phone(&patient.phone_work, "work"),
        present(patient.email.as_ref()).map(|value| json!({ "system": "email", "value": value })),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn address(patient: &Patient) -> Option<Value> {
    let mut address = Map::new();
    let lines = [present(patient.street.as_ref()), present(patient.street_line_2.as_ref())];
    insert_list(&mut address, "line", lines.into_iter().flatten().map(|line| json!(line)).collect());
    for (element, value) in [
        ("city", &patient.city),
        ("state", &patient.state),
        ("postalCode", &patient.postal_code),
        ("country", &patient.country),
    ] {
        if let Some(value) = present(value.as_ref()) {
            address.insert(element.to_owned(), json!(value));
        }
    }
    if address.is_empty() {
        return None;
    }
    address.insert("use".to_owned(), json!("home"));
    Some(Value::Object(address))
}

fn communication(patient: &Patient) -> Option<Value> {
    let tag = present(patient.language.as_ref())?;
    Some(json!({ "language": { "coding": [{ "system": "urn:ietf:bcp:47", "code": tag }] }, "preferred": true }))
}

fn extensions(patient: &Patient, settings: &Settings) -> Vec<Value> {
    if !settings.us_core {
        return Vec::new();
    }
    let race: Vec<_> = patient.race.as_deref().map(omb::race).into_iter().flatten().collect();
    let ethnicity: Vec<_> = patient.ethnicity.as_deref().map(omb::ethnicity).into_iter().flatten().collect();
    // The value set of races contains HL7's reasons for an absent value, that of ethnicities does not.
    let races = us_core(US_CORE_RACE, &race, RACES_MAX, |_| true);
    let ethnicities = us_core(US_CORE_ETHNICITY, &ethnicity, 1, |category| !category.is_null_flavor());
    [races, ethnicities].into_iter().flatten().collect()
}

/// US Core's extension: the codes of known categories, and all parts as text, which it requires.
fn us_core(url: &str, parts: &[Part<'_>], codes_max: usize, has_code: fn(&Category) -> bool) -> Option<Value> {
    let text: Vec<&str> = parts.iter().map(Part::text).collect();
    let text = text.join(", ");
    let known = parts.iter().filter_map(|part| match part {
        Part::Known(category) if has_code(category) => Some(category),
        Part::Known(_) | Part::Text(_) => None,
    });
    let mut inner: Vec<Value> = known
        .take(codes_max)
        .map(|category| {
            let coding = json!({ "system": category.system, "code": category.code, "display": category.text });
            json!({ "url": "ombCategory", "valueCoding": coding })
        })
        .collect();
    inner.push(json!({ "url": "text", "valueString": text }));
    (!text.is_empty()).then(|| json!({ "url": url, "extension": inner }))
}

fn gender(gender: Gender) -> &'static str {
    match gender {
        Gender::Male => "male",
        Gender::Female => "female",
        Gender::Other => "other",
        Gender::Unknown => "unknown",
    }
}

fn marital_status(status: MaritalStatus) -> Value {
    let (code, display) = match status {
        MaritalStatus::Married => ("M", "Married"),
        MaritalStatus::Single => ("S", "Never Married"),
        MaritalStatus::Divorced => ("D", "Divorced"),
        MaritalStatus::Widowed => ("W", "Widowed"),
        MaritalStatus::Separated => ("L", "Legally Separated"),
        MaritalStatus::DomesticPartner => ("T", "Domestic partner"),
    };
    json!({ "coding": [{ "system": MARITAL_STATUS, "code": code, "display": display }] })
}

#[cfg(test)]
mod tests;
