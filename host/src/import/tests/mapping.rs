//! A FHIR Patient's elements, one by one.

use serde_json::json;

use super::*;

#[test]
fn the_id_is_our_identifier_else_the_resources_own() {
    assert_eq!(plain(&fhir("P-1"))["patient_id"], "P-1");
    let identifiers = json!({ "identifier": [
        { "system": "urn:mrn", "value": "M-7" },
        { "system": "urn:neuronova:patient-id", "value": "P-OLD", "use": "old" },
        { "system": "urn:neuronova:patient-id", "value": "P-9" },
        { "system": "urn:nation", "value": "800131-1", "type": { "coding": [{ "code": "NI" }] } },
    ] });
    let patient = plain(&with(&identifiers));
    assert_eq!((&patient["patient_id"], &patient["national_id"]), (&json!("P-9"), &json!("800131-1")));
    let mut options = options(Format::Ndjson);
    options.fhir.identifier_system = Some("urn:mrn".to_owned());
    options.fhir.national_id_system = Some("urn:other".to_owned());
    let patient = taken(&with(&identifiers), options.clone());
    assert_eq!((&patient["patient_id"], patient.get("national_id")), (&json!("M-7"), None));
    let chunk = read_all(fhir("P-1").to_string().as_bytes(), options).unwrap();
    assert_eq!(reasons(&chunk), ["1 identifier: has none with the system of --identifier-system"]);
}

#[test]
fn names_find_their_script_with_and_without_a_representation() {
    let name = |family: &str, given: &str| json!({ "use": "official", "family": family, "given": [given] });
    let patient = plain(&with(&json!({ "name": [
        { "use": "nickname", "given": ["MJ"] }, { "use": "old", "family": "Lee", "given": ["MinJun"] },
        name("김", "민준"), { "family": "Kim", "given": ["MinJun", "Q", null], "prefix": ["Dr."], "suffix": ["Jr."] },
    ] })));
    for (field, text) in [
        ("family_name", "Kim"),
        ("given_name", "MinJun"),
        ("middle_name", "Q"),
        ("title", "Dr."),
        ("suffix", "Jr."),
        ("native_family_name", "김"),
        ("native_given_name", "민준"),
    ] {
        assert_eq!(patient[field], text, "{field}");
    }
    // A single name is the required one, in any script.
    let alone = plain(&with(&json!({ "name": [name("김", "민준")] })));
    assert_eq!((&alone["family_name"], alone.get("native_family_name")), (&json!("김"), None));
    let two_latin = plain(&with(&json!({ "name": [name("Nguyễn", "Anh"), name("Tran", "Anh")] })));
    assert_eq!((&two_latin["family_name"], two_latin.get("native_family_name")), (&json!("Nguyễn"), None));
}

#[test]
fn contacts_address_language_and_status_are_chosen_as_documented() {
    let patient = plain(&with(&json!({
        "telecom": [
            { "system": "phone", "value": "1", "use": "old" }, { "system": "phone", "value": "2", "rank": 2, "use": "mobile" },
            { "system": "phone", "value": "3", "rank": 1, "use": "mobile" }, { "system": "fax", "value": "4", "use": "home" },
            { "system": "phone", "value": "5" }, { "system": "email", "value": "a@b.kr", "use": "work" },
        ],
        "address": [
            { "use": "billing", "city": "Busan" }, { "use": "work", "city": "Daegu" },
            { "use": "home", "line": ["1 A-ro", "Flat 2", "Tower 3"], "city": "Seoul", "state": "11", "postalCode": "04524", "country": "kr" },
        ],
        "communication": [
            { "language": { "coding": [{ "code": "en" }] } },
            { "language": { "coding": [{ "system": "x", "code": "KOR" }, { "system": "urn:ietf:bcp:47", "code": "ko" }] }, "preferred": true },
        ],
        "maritalStatus": { "coding": [{ "code": "UNK" }, { "code": "W" }] },
        "deceasedDateTime": "2024-12-31T23:59:00+09:00",
        "photo": [{ "data": 17 }],
    })));
    for (field, text) in [
        ("phone_home", "5"),
        ("phone_mobile", "3"),
        ("email", "a@b.kr"),
        ("street", "1 A-ro"),
        ("street_line_2", "Flat 2, Tower 3"),
        ("city", "Seoul"),
        ("state", "11"),
        ("postal_code", "04524"),
        ("country", "KR"),
        ("language", "ko"),
        ("marital_status", "widowed"),
        ("deceased_date", "2024-12-31"),
    ] {
        assert_eq!(patient[field], text, "{field}");
    }
    assert_eq!(patient.get("phone_work"), None);
    let mut nameless = with(&json!({ "birthDate": "1980-01-31" }));
    nameless.as_object_mut().unwrap().remove("gender");
    assert_eq!(plain(&nameless)["gender"], "unknown");
}

#[test]
fn race_is_taken_only_where_it_was_asked_for() {
    let resource = with(&json!({ "extension": [
        { "url": "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race",
          "extension": [{ "url": "text", "valueString": "asian" }] },
    ] }));
    assert_eq!(plain(&resource).get("race"), None);
    let mut options = options(Format::Ndjson);
    options.fhir.us_core = true;
    assert_eq!(taken(&resource, options)["race"], "asian");
}
