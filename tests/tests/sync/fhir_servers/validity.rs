//! That independent validators, and the rules of US Core and KR Core, take every kind of resource that the adapter
//! writes.

use serde_json::{Value, json};
use tests::environment::Backend;
use tests::servers::{Proxy, Validators};

use super::server::{Server, Settings, host_at, sync, unique, written_back};
use crate::support::put;

/// The OMB's codes for race: value set `omb-race-category` of US Core.
const OMB_RACES: [&str; 7] = ["1002-5", "2028-9", "2054-5", "2076-8", "2106-3", "UNK", "ASKU"];
/// The OMB's codes for ethnicity: value set `omb-ethnicity-category` of US Core.
const OMB_ETHNICITIES: [&str; 2] = ["2135-2", "2186-5"];
const RACE: &str = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race";
const ETHNICITY: &str = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-ethnicity";

/// Payloads of every kind: everything and the least that there can be, each script, each gender, a death, odd lengths.
fn payloads() -> Vec<Value> {
    let base = |more: Value| {
        let mut payload = json!({
            "family_name": "Müller", "given_name": "Jörg", "birth_date": "1950-12-01", "gender": "unknown",
        });
        for (field, value) in more.as_object().expect("fields") {
            payload[field] = value.clone();
        }
        payload
    };
    vec![
        base(json!({})),
        base(json!({
            "middle_name": "Q", "title": "Dr.", "suffix": "Jr.", "marital_status": "domestic_partner", "phone_home": "02-1",
            "phone_mobile": "010-2", "phone_work": "02-3", "email": "a@b.kr", "street": "1 A-ro", "street_line_2": "Flat 2",
            "city": "Busan", "state": "26", "postal_code": "48058", "country": "KR", "language": "ko", "race": "asian",
            "ethnicity": "not_hisp_or_latin", "national_id": "900505-2", "gender": "female",
        })),
        base(
            json!({ "native_family_name": "김", "native_given_name": "민준", "gender": "male", "deceased_date": "2024-12-31" }),
        ),
        base(
            json!({ "native_family_name": "王", "native_given_name": "小明", "gender": "other", "ethnicity": "hisp_or_latin" }),
        ),
        base(json!({ "native_family_name": "たなか", "native_given_name": "さくら", "race": "white", "street": "B" })),
        base(json!({ "marital_status": "single", "language": "en", "email": "x@example.org" })),
        base(json!({ "marital_status": "widowed", "phone_work": "1", "postal_code": "1" })),
        base(json!({ "family_name": "O'Brien-<&>\"", "given_name": "😀", "city": "São Paulo", "country": "BR" })),
    ]
}

#[test]
fn every_written_resource_is_valid() {
    // On one server, which returns what it was sent: the resources are the same on all of them.
    let Some(server) = Server::reach(Backend::Fhir) else { return };
    let adapter = "national_id_system = \"urn:nation\"\nus_core = true";
    let proxy = Proxy::start(server.port()).expect("proxy");
    proxy.keep_what_is_sent();
    let host = host_at(&proxy.address_of(&server.url), &Settings { adapter, ..Settings::default() });
    let mut written = Vec::new();
    for (number, mut payload) in payloads().into_iter().enumerate() {
        let id = unique(&format!("V{number}"));
        payload["patient_id"] = id.as_str().into();
        put(&host, &payload);
        written.push((id, payload));
    }
    sync(&host);
    assert_eq!(host.status()["totals"]["failed"], 0, "{}", host.status());
    let remote_ids: Vec<String> = written.iter().map(|(id, _)| written_back(&host, id)).collect();
    let read_all = || remote_ids.iter().map(|id| server.read(id).1);
    let mut records: Vec<Value> = read_all().collect();
    // An update and a delete write resources too.
    for (_, payload) in &mut written {
        payload["city"] = "Jeju".into();
        put(&host, payload);
    }
    let _ = host.run(&["patient", "delete", &written[1].0]).expect_success();
    sync(&host);
    records.extend(read_all());

    for record in &records {
        let problems = [us_core_problems(record), kr_core_problems(record)].concat();
        assert!(problems.is_empty(), "{problems:?} in {record}");
    }
    // The Bundles as they were sent: searches, creates, updates guarded by a version.
    let bundles: Vec<Value> = proxy.sent().iter().flat_map(|sent| bundles(sent)).collect();
    for wanted in [&["GET"][..], &["PUT", "POST"][..]] {
        let has = |entry: &Value| wanted.iter().any(|method| entry["request"]["method"] == *method);
        assert!(bundles.iter().any(|bundle| list(bundle, "entry").iter().any(has)), "{wanted:?}: {bundles:?}");
    }
    records.extend(bundles);
    // The last is no record of ours: what cannot fail proves nothing.
    records.push(json!({ "resourceType": "Patient", "gender": "f", "birthDate": "1980-13-45", "nickname": "x" }));
    let verdicts = Validators::provision().expect("validators").judge(&records).expect("judge");
    let (wrong, ours): (Vec<_>, Vec<_>) = verdicts.iter().partition(|verdict| verdict.index == records.len() - 1);
    for validator in ["fhir.resources", "JSON schema", "parser"] {
        assert!(wrong.iter().any(|verdict| verdict.problem.starts_with(validator)), "{validator} is silent: {wrong:?}");
    }
    let shown: Vec<_> = ours.iter().map(|verdict| (&verdict.problem, &records[verdict.index])).collect();
    assert!(shown.is_empty(), "{shown:#?}");
}

/// The Bundles among the bodies that a connection carried.
fn bundles(sent: &[u8]) -> Vec<Value> {
    let text = String::from_utf8_lossy(sent);
    let starts = text.match_indices(r#"{"resourceType":"Bundle""#);
    starts
        .map(|(start, _)| {
            let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter();
            values.next().expect("a body").expect("one whole Bundle in a body")
        })
        .collect()
}

fn list<'a>(value: &'a Value, element: &str) -> &'a [Value] {
    value[element].as_array().map_or(&[], Vec::as_slice)
}

/// What US Core's Patient asks for (StructureDefinition/us-core-patient, 3.1.1 to 7.0.0): the elements with a lower
/// bound, and the shape of its two extensions (us-core-race, us-core-ethnicity).
fn us_core_problems(patient: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    let mut need = |holds: bool, rule: &str| {
        if !holds {
            problems.push(format!("US Core: {rule}"));
        }
    };
    need(!list(patient, "identifier").is_empty(), "identifier 1..*");
    for identifier in list(patient, "identifier") {
        need(identifier["system"].is_string(), "identifier.system 1..1");
        need(identifier["value"].is_string(), "identifier.value 1..1");
    }
    need(!list(patient, "name").is_empty(), "name 1..*");
    for name in list(patient, "name") {
        need(
            name["family"].is_string() || !list(name, "given").is_empty(),
            "us-core-6: a name has a family or a given name",
        );
    }
    need(patient["gender"].is_string(), "gender 1..1");
    for telecom in list(patient, "telecom") {
        need(telecom["system"].is_string() && telecom["value"].is_string(), "telecom.system and telecom.value 1..1");
    }
    for communication in list(patient, "communication") {
        need(communication["language"].is_object(), "communication.language 1..1");
    }
    for (url, codes, most) in [(RACE, OMB_RACES.as_slice(), 6), (ETHNICITY, OMB_ETHNICITIES.as_slice(), 1)] {
        let extensions: Vec<_> =
            list(patient, "extension").iter().filter(|extension| extension["url"] == url).collect();
        need(extensions.len() <= 1, "race and ethnicity 0..1");
        for extension in extensions {
            let parts =
                |wanted: &'static str| list(extension, "extension").iter().filter(move |part| part["url"] == wanted);
            need(parts("text").count() == 1 && parts("text").all(|text| text["valueString"].is_string()), "text 1..1");
            need(parts("ombCategory").count() <= most, "ombCategory 0..6 for race, 0..1 for ethnicity");
            for category in parts("ombCategory") {
                let code = category["valueCoding"]["code"].as_str().unwrap_or_default();
                need(codes.contains(&code), "ombCategory is a code of the OMB");
                need(category["valueCoding"]["system"].is_string(), "ombCategory has its system");
            }
        }
    }
    problems
}

/// What KR Core's Patient asks for (StructureDefinition/krcore-patient): `identifier` 1..*, `name` 1..*, `name.text`
/// 1..1.
fn kr_core_problems(patient: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    for (holds, rule) in [
        (!list(patient, "identifier").is_empty(), "identifier 1..*"),
        (!list(patient, "name").is_empty(), "name 1..*"),
        (list(patient, "name").iter().all(|name| name["text"].is_string()), "name.text 1..1"),
    ] {
        if !holds {
            problems.push(format!("KR Core: {rule}"));
        }
    }
    problems
}

/// Breaks one rule.
type Spoil = fn(&mut Value);

#[test]
fn the_profile_rules_detect_violations() {
    let good = json!({
        "identifier": [{ "system": "urn:x", "value": "1" }], "gender": "other",
        "name": [{ "family": "Kim", "text": "Kim" }],
        "extension": [{ "url": RACE, "extension": [{ "url": "text", "valueString": "Asian" }] }],
    });
    assert_eq!([us_core_problems(&good), kr_core_problems(&good)].concat(), Vec::<String>::new());
    let spoils: [(Spoil, &str); 8] = [
        (|it| it["identifier"] = json!([]), "identifier 1..*"),
        (|it| it["identifier"][0]["system"] = Value::Null, "identifier.system 1..1"),
        (|it| it["gender"] = Value::Null, "gender 1..1"),
        (|it| it["name"][0]["family"] = Value::Null, "us-core-6"),
        (|it| it["name"][0]["text"] = Value::Null, "KR Core: name.text 1..1"),
        (|it| it["telecom"] = json!([{ "value": "1" }]), "telecom.system"),
        (|it| it["extension"][0]["extension"] = json!([]), "text 1..1"),
        (
            |it| {
                let parts = it["extension"][0]["extension"].as_array_mut().expect("parts");
                parts.push(json!({ "url": "ombCategory", "valueCoding": { "system": "urn:x", "code": "asian" } }));
            },
            "ombCategory is a code",
        ),
    ];
    for (spoil, rule) in spoils {
        let mut altered = good.clone();
        spoil(&mut altered);
        let problems = [us_core_problems(&altered), kr_core_problems(&altered)].concat();
        assert!(problems.iter().any(|problem| problem.contains(rule)), "{rule}: {problems:?}");
    }
}
