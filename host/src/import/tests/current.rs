//! What a FHIR Patient holds that is no longer, or not yet, the patient's own.

use super::*;

fn over() -> Value {
    json!({ "start": "1980-03-15", "end": "2015-06-30" })
}

#[test]
fn names_contacts_and_addresses_whose_period_is_over_are_passed_over() {
    for (former, current) in [
        (
            json!({ "use": "official", "family": "Former", "period": over() }),
            json!({ "use": "official", "family": "Current", "period": { "start": "2015-07-01" } }),
        ),
        (json!({ "family": "Former", "period": { "end": "2010-01-01" } }), json!({ "family": "Current" })),
        (
            json!({ "use": "official", "family": "Former", "period": { "end": "2010" } }),
            json!({ "use": "usual", "family": "Current" }),
        ),
        (
            json!({ "use": "official", "family": "Later", "period": { "start": "2026-02-01" } }),
            json!({ "use": "usual", "family": "Current" }),
        ),
    ] {
        let given = |mut name: Value| {
            name["given"] = json!(["Ida"]);
            name
        };
        let patient = plain(&with(&json!({ "name": [given(former), given(current)] })));
        assert_eq!(patient["family_name"], "Current");
    }
    let patient = plain(&with(&json!({
        "telecom": [
            { "system": "phone", "value": "1", "use": "home", "rank": 1, "period": over() }, { "system": "phone", "value": "2", "use": "home" },
            { "system": "email", "value": "old@b.kr", "period": over() },
        ],
        "address": [{ "use": "home", "city": "Busan", "period": over() }, { "use": "work", "city": "Seoul" }],
    })));
    assert_eq!((&patient["phone_home"], patient.get("email"), &patient["city"]), (&json!("2"), None, &json!("Seoul")));
}

#[test]
fn a_patient_without_a_current_name_is_rejected_with_that_reason() {
    let name = |more: Value| {
        let mut name = json!({ "family": "Kim", "given": ["Jo"] });
        name.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        name
    };
    let ended = || name(json!({ "period": over() }));
    for (names, reason) in [
        (json!([ended()]), "its period has ended"),
        (json!([ended(), ended()]), "its period has ended"),
        (json!([name(json!({ "period": { "start": "2026-02-01" } }))]), "its period has not begun"),
        (json!([name(json!({ "use": "old" })), ended()]), "its use is old, or its period has ended"),
        (json!([name(json!({ "use": "nickname" }))]), "its use is not that of a current full name"),
    ] {
        let chunk = read_all(with(&json!({ "name": names })).to_string().as_bytes(), options(Format::Ndjson)).unwrap();
        assert_eq!(reasons(&chunk), [format!("1 name: has none that is current: {reason}")]);
    }
    let none = read_all(with(&json!({ "name": [] })).to_string().as_bytes(), options(Format::Ndjson)).unwrap();
    assert_eq!(reasons(&none), ["1 family_name: is missing", "1 given_name: is missing"]);
}

#[test]
fn an_identifier_that_is_over_is_nobodys_and_no_other_id_takes_its_place() {
    let ours = |value: &str, more: Value| {
        let mut identifier = json!({ "system": "urn:neuronova:patient-id", "value": value });
        identifier.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        identifier
    };
    let id = |identifiers: Value| {
        let chunk =
            read_all(with(&json!({ "identifier": identifiers })).to_string().as_bytes(), options(Format::Ndjson))
                .unwrap();
        match chunk.patients.first() {
            Some(patient) => patient.patient_id.to_string(),
            None => reasons(&chunk).join("; "),
        }
    };
    assert_eq!(id(json!([ours("A", json!({ "period": over() })), ours("B", json!({}))])), "B");
    assert_eq!(id(json!([ours("A", json!({ "use": "secondary" })), ours("B", json!({ "use": "official" }))])), "B");
    for ended in [json!({ "period": over() }), json!({ "use": "old" })] {
        assert_eq!(
            id(json!([ours("A", ended)])),
            "1 identifier: has none of our system that is current: its use is old or its period is over"
        );
    }
    // One of another system is not ours.
    assert_eq!(id(json!([{ "system": "urn:mrn", "value": "M", "period": over() }])), "P-1");
    let national = with(&json!({ "identifier": [
        { "value": "1", "type": { "coding": [{ "code": "NI" }] }, "period": over() },
        { "value": "2", "type": { "coding": [{ "code": "NI" }] } },
    ] }));
    assert_eq!(plain(&national)["national_id"], "2");
}

#[test]
fn a_record_that_was_merged_into_another_is_no_live_patient() {
    let merged =
        with(&json!({ "id": "m1", "link": [{ "other": { "reference": "Patient/m2" }, "type": "replaced-by" }] }));
    let survivor =
        with(&json!({ "id": "m2", "link": [{ "other": { "reference": "Patient/m1" }, "type": "replaces" }] }));
    let chunk = read_all(format!("{merged}\n{survivor}").as_bytes(), options(Format::Ndjson)).unwrap();
    assert_eq!(ids(&chunk), ["m2"]);
    assert_eq!(
        reasons(&chunk),
        ["1 link: is replaced-by: the record was merged into another and must no longer be used"]
    );
}

#[test]
fn us_core_categories_become_our_words_and_other_texts_stay() {
    let core = |kind: &str, parts: Value| {
        let url = format!("http://hl7.org/fhir/us/core/StructureDefinition/us-core-{kind}");
        json!({ "url": url, "extension": parts })
    };
    let omb = |code: &str| json!({ "url": "ombCategory", "valueCoding": { "system": "urn:oid:2.16.840.1.113883.6.238", "code": code } });
    let text = |text: &str| json!({ "url": "text", "valueString": text });
    let mut options = options(Format::Ndjson);
    options.fhir.us_core = true;
    for (race, ethnicity, expected) in [
        (
            json!([omb("2106-3"), text("White")]),
            json!([omb("2186-5"), text("Not Hispanic or Latino")]),
            (Some("white"), Some("not_hisp_or_latin")),
        ),
        (
            json!([text("Black or African American")]),
            json!([text("Hispanic or Latino")]),
            (Some("black_or_afri_amer"), Some("hisp_or_latin")),
        ),
        (json!([omb("2028-9"), omb("2106-3"), text("Mixed")]), json!([]), (Some("asian|white"), None)),
        (json!([text("Korean")]), json!([omb("UNK"), text("Unknown")]), (Some("Korean"), None)),
    ] {
        let patient =
            taken(&with(&json!({ "extension": [core("race", race), core("ethnicity", ethnicity)] })), options.clone());
        let field = |name: &str| patient.get(name).and_then(Value::as_str).map(str::to_owned);
        assert_eq!((field("race").as_deref(), field("ethnicity").as_deref()), expected);
    }
}
