//! Kept elements, replaced elements, and detected edits.

use super::*;
use crate::mapping::patient::US_CORE_RACE;
use crate::settings::Settings;

fn ours() -> Value {
    json!({
        "resourceType": "Patient",
        "identifier": [{ "system": "urn:neuronova:patient-id", "value": "P-1" }],
        "active": true,
        "name": [{ "use": "official", "text": "Kim" }],
        "telecom": [{ "system": "phone", "use": "home", "value": "1" }, { "system": "email", "value": "a@b" }],
        "gender": "male",
        "birthDate": "1985-03-15",
        "address": [{ "use": "home", "city": "Seoul" }],
        "communication": [{ "language": { "coding": [{ "code": "ko" }] }, "preferred": true }]
    })
}

/// The same record as a server returns it, with additions of others.
fn shared() -> Value {
    let mut record = ours();
    record["id"] = json!("77");
    record["meta"] = json!({ "versionId": "4", "lastUpdated": "2026-01-01T00:00:00Z" });
    record["text"] = json!({ "status": "generated", "div": "<div/>" });
    for (element, entry) in [
        ("identifier", json!({ "system": "urn:ward", "value": "W-9" })),
        ("name", json!({ "use": "nickname", "text": "MJ" })),
        ("telecom", json!({ "system": "fax", "use": "home", "value": "2" })),
        ("address", json!({ "use": "temp", "city": "Busan" })),
        ("communication", json!({ "language": { "coding": [{ "code": "en" }] } })),
    ] {
        record[element].as_array_mut().unwrap().insert(0, entry);
    }
    record["contact"] = json!([{ "name": { "text": "Lee" } }]);
    record["managingOrganization"] = json!({ "reference": "Organization/1" });
    record
}

fn patient_kind(settings: &Settings) -> Kind<'_> {
    Kind::of("patient", settings).unwrap()
}

fn settings() -> Settings {
    Settings::default()
}

#[test]
fn a_merge_replaces_our_elements_and_keeps_all_others() {
    let mut wanted = ours();
    wanted["name"] = json!([{ "use": "official", "text": "Park" }]);
    wanted.as_object_mut().unwrap().remove("telecom");
    let merged = merge(&shared(), Some(&wanted), None, &patient_kind(&settings()));

    let mut expected = shared();
    let object = expected.as_object_mut().unwrap();
    object.remove("text");
    object["meta"] = json!({});
    object["identifier"].as_array_mut().unwrap().reverse();
    object["address"].as_array_mut().unwrap().reverse();
    object["communication"].as_array_mut().unwrap().reverse();
    object["telecom"] = json!([{ "system": "fax", "use": "home", "value": "2" }]);
    object["name"] = json!([{ "use": "official", "text": "Park" }, { "use": "nickname", "text": "MJ" }]);
    assert_eq!(merged.resource, expected);
    assert!(merged.fingerprint.shared && !merged.unchanged);
}

#[test]
fn a_record_that_already_holds_our_state_needs_no_write() {
    let merged = merge(&shared(), Some(&ours()), None, &patient_kind(&settings()));
    assert!(merged.unchanged && merged.fingerprint.shared);
    let alone = merge(&ours(), Some(&ours()), None, &patient_kind(&settings()));
    assert!(alone.unchanged && !alone.fingerprint.shared);
    assert_eq!(alone.fingerprint, Fingerprint::of_own(&ours(), &patient_kind(&settings())));
}

#[test]
fn only_edits_of_our_elements_are_detected() {
    let written = Fingerprint::of_own(&ours(), &patient_kind(&settings()));
    assert!(written.matches(&shared(), &patient_kind(&settings())));
    for (pointer, value) in [
        ("/name/1/text", json!("Choi")),
        ("/telecom/1/value", json!("9")),
        ("/address/1/city", json!("Daegu")),
        ("/gender", json!("female")),
        ("/active", json!(false)),
        ("/birthDate", json!("1985-03-16")),
    ] {
        let mut edited = shared();
        *edited.pointer_mut(pointer).unwrap() = value;
        assert!(!written.matches(&edited, &patient_kind(&settings())), "{pointer}");
    }
}

#[test]
fn the_fingerprint_does_not_depend_on_the_order_of_keys_and_carries_no_data() {
    let one: Value = serde_json::from_str(r#"{"active":true,"name":[{"text":"Kim","use":"official"}]}"#).unwrap();
    let two: Value = serde_json::from_str(r#"{"name":[{"use":"official","text":"Kim"}],"active":true}"#).unwrap();
    let text = Fingerprint::of_own(&one, &patient_kind(&settings())).to_text();
    assert_eq!(text, Fingerprint::of_own(&two, &patient_kind(&settings())).to_text());
    assert!(text.starts_with("1:") && text.len() == 35 && !text.contains("Kim"), "{text}");
}

#[test]
fn a_fingerprint_round_trips_as_text_and_unknown_forms_are_refused() {
    for (shared, kept_is_ours) in [(false, false), (true, false), (false, true), (true, true)] {
        let fingerprint = Fingerprint { digest: "ab".to_owned(), shared, kept_is_ours };
        assert_eq!(Fingerprint::parse(&fingerprint.to_text()), Some(fingerprint));
    }
    for text in ["", "1:ab", "2:ab:", "1::", "1:ab:x", "ab"] {
        assert_eq!(Fingerprint::parse(text), None, "{text}");
    }
}

#[test]
fn a_death_recorded_by_others_is_kept_and_ours_can_be_withdrawn() {
    let mut theirs = ours();
    theirs["deceasedBoolean"] = json!(true);
    let kept = merge(
        &theirs,
        Some(&ours()),
        Some(&Fingerprint::of_own(&ours(), &patient_kind(&settings()))),
        &patient_kind(&settings()),
    );
    assert_eq!(kept.resource["deceasedBoolean"], true);
    assert!(kept.fingerprint.shared && kept.unchanged);
    // Also the second time, when the link has the fingerprint of the merged record.
    assert!(kept.fingerprint.matches(&theirs, &patient_kind(&settings())));
    let again = merge(&theirs, Some(&ours()), Some(&kept.fingerprint), &patient_kind(&settings()));
    assert_eq!(again.resource["deceasedBoolean"], true);

    let mut dead = ours();
    dead["deceasedDateTime"] = json!("2024-12-31");
    let written = Fingerprint::of_own(&dead, &patient_kind(&settings()));
    let corrected = merge(&dead, Some(&ours()), Some(&written), &patient_kind(&settings()));
    assert_eq!(corrected.resource.get("deceasedDateTime"), None);
    assert!(!corrected.unchanged);

    // Our form replaces the other one, because a record may have only one.
    let replaced = merge(&theirs, Some(&dead), None, &patient_kind(&settings()));
    assert_eq!(replaced.resource["deceasedDateTime"], "2024-12-31");
    assert_eq!(replaced.resource.get("deceasedBoolean"), None);
}

#[test]
fn deactivating_without_a_state_changes_nothing_else() {
    let merged = merge(&shared(), None, None, &patient_kind(&settings()));
    let mut expected = shared();
    expected["active"] = json!(false);
    let object = expected.as_object_mut().unwrap();
    object.remove("text");
    object["meta"] = json!({});
    for element in ["identifier", "name", "telecom", "address", "communication"] {
        // Our entries come first; the order of these lists has no meaning.
        let entries = object[element].as_array_mut().unwrap();
        entries.rotate_left(1);
    }
    assert_eq!(merged.resource, expected);
    assert!(merge(&merged.resource, None, Some(&merged.fingerprint), &patient_kind(&settings())).unchanged);
}

#[test]
fn extensions_made_untrue_by_our_change_are_removed() {
    let mut record = ours();
    record["_birthDate"] = json!({ "extension": [{ "url": "time-of-birth" }] });
    assert_eq!(
        merge(&record, Some(&ours()), None, &patient_kind(&settings())).resource["_birthDate"],
        record["_birthDate"]
    );
    let mut moved = ours();
    moved["birthDate"] = json!("1985-03-16");
    assert_eq!(merge(&record, Some(&moved), None, &patient_kind(&settings())).resource.get("_birthDate"), None);

    let mut english = ours();
    english["communication"] = json!([{ "language": { "coding": [{ "code": "en" }] }, "preferred": true }]);
    let merged = merge(&shared(), Some(&english), None, &patient_kind(&settings()));
    assert_eq!(merged.resource["communication"], english["communication"]);
}

#[test]
fn profiles_and_tags_of_others_stay_and_ours_is_added() {
    let with_profile = Settings { profile: Some("urn:ours".to_owned()), ..settings() };
    let mut wanted = ours();
    wanted["meta"] = json!({ "profile": ["urn:ours"] });
    let mut record = ours();
    record["meta"] = json!({ "versionId": "1", "tag": [{ "code": "vip" }], "profile": ["urn:theirs"] });
    let merged = merge(&record, Some(&wanted), None, &patient_kind(&with_profile));
    assert_eq!(merged.resource["meta"], json!({ "tag": [{ "code": "vip" }], "profile": ["urn:theirs", "urn:ours"] }));
    assert!(merged.fingerprint.shared && !merged.unchanged);
    assert!(!merge(&wanted, Some(&wanted), None, &patient_kind(&with_profile)).fingerprint.shared);
}

#[test]
fn race_is_ours_only_with_us_core() {
    let mut record = ours();
    record["extension"] = json!([{ "url": US_CORE_RACE, "valueString": "x" }, { "url": "urn:other" }]);
    assert_eq!(
        merge(&record, Some(&ours()), None, &patient_kind(&settings())).resource["extension"],
        record["extension"]
    );
    let us_core = Settings { us_core: true, ..settings() };
    let merged = merge(&record, Some(&ours()), None, &patient_kind(&us_core));
    assert_eq!(merged.resource["extension"], json!([{ "url": "urn:other" }]));
}
