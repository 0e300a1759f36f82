//! The mapping, field by field.

use super::*;

fn patient(fields: &Value) -> Patient {
    let mut whole = json!({
        "patient_id": "P-2025-001", "family_name": "Kim", "given_name": "MinJun",
        "birth_date": "1985-03-15", "gender": "male"
    });
    let object = whole.as_object_mut().unwrap();
    object.extend(fields.as_object().unwrap().clone());
    serde_json::from_value(whole).unwrap()
}

fn mapped(fields: &Value, settings: &Settings) -> Value {
    resource(&patient(fields), true, settings)
}

fn plain(fields: &Value) -> Value {
    mapped(fields, &Settings::default())
}

#[test]
fn a_minimal_patient_meets_kr_core_and_has_no_empty_element() {
    assert_eq!(
        plain(&json!({})),
        json!({
            "resourceType": "Patient",
            "identifier": [{ "system": "urn:neuronova:patient-id", "value": "P-2025-001" }],
            "active": true,
            "name": [{ "use": "official", "text": "MinJun Kim", "family": "Kim", "given": ["MinJun"] }],
            "gender": "male",
            "birthDate": "1985-03-15"
        })
    );
    assert_eq!(plain(&json!({ "email": "", "city": " ", "language": "" })), plain(&json!({})));
}

#[test]
fn a_korean_name_is_written_in_both_scripts_the_native_one_first() {
    let resource = plain(&json!({ "native_family_name": "김", "native_given_name": "민준" }));
    assert_eq!(
        resource["name"],
        json!([
            { "use": "official", "text": "김민준", "family": "김", "given": ["민준"],
              "extension": [{ "url": EN_REPRESENTATION, "valueCode": "SYL" }] },
            { "use": "official", "text": "Kim MinJun", "family": "Kim", "given": ["MinJun"],
              "extension": [{ "url": EN_REPRESENTATION, "valueCode": "ABC" }] }
        ])
    );
}

#[test]
fn the_representation_follows_the_script() {
    for (family, given, code, text) in [
        ("金", "民俊", "IDE", "金民俊"),
        ("鈴木", "さくら", "IDE", "鈴木さくら"),
        ("すずき", "さくら", "SYL", "すずきさくら"),
        ("Иванов", "Иван", "ABC", "Иван Иванов"),
    ] {
        let resource = plain(&json!({ "native_family_name": family, "native_given_name": given }));
        assert_eq!(resource["name"][0]["extension"][0]["valueCode"], code, "{family}");
        assert_eq!(resource["name"][0]["text"], text);
    }
    let only_given = plain(&json!({ "native_given_name": "민준" }));
    assert_eq!(only_given["name"][0]["text"], "민준");
    assert_eq!(only_given["name"][0].get("family"), None);
}

#[test]
fn titles_and_middle_names_are_mapped() {
    let resource = plain(&json!({ "title": "Dr.", "suffix": "Jr.", "middle_name": "Q" }));
    assert_eq!(
        resource["name"],
        json!([{ "use": "official", "text": "Dr. MinJun Q Kim Jr.", "family": "Kim", "given": ["MinJun", "Q"],
                 "prefix": ["Dr."], "suffix": ["Jr."] }])
    );
}

#[test]
fn contact_and_address_are_mapped_line_by_line() {
    let resource = plain(&json!({
        "phone_home": "02-1", "phone_mobile": "010-2", "phone_work": "02-3", "email": "a@b.kr",
        "street": "1 A-ro", "street_line_2": "Flat 2", "city": "Seoul", "state": "11", "postal_code": "04524",
        "country": "KR", "language": "ko"
    }));
    assert_eq!(
        resource["telecom"],
        json!([
            { "system": "phone", "value": "02-1", "use": "home" },
            { "system": "phone", "value": "010-2", "use": "mobile" },
            { "system": "phone", "value": "02-3", "use": "work" },
            { "system": "email", "value": "a@b.kr" }
        ])
    );
    assert_eq!(
        resource["address"],
        json!([{ "use": "home", "line": ["1 A-ro", "Flat 2"], "city": "Seoul", "state": "11",
                 "postalCode": "04524", "country": "KR" }])
    );
    assert_eq!(
        resource["communication"],
        json!([{ "language": { "coding": [{ "system": "urn:ietf:bcp:47", "code": "ko" }] }, "preferred": true }])
    );
}

#[test]
fn codes_belong_to_their_value_sets() {
    for (word, code) in [
        ("married", "M"),
        ("single", "S"),
        ("divorced", "D"),
        ("widowed", "W"),
        ("separated", "L"),
        ("domestic_partner", "T"),
    ] {
        let coding = &plain(&json!({ "marital_status": word }))["maritalStatus"]["coding"][0];
        assert_eq!((coding["system"].as_str(), coding["code"].as_str()), (Some(MARITAL_STATUS), Some(code)));
    }
    for word in ["male", "female", "other", "unknown"] {
        assert_eq!(plain(&json!({ "gender": word }))["gender"], word);
    }
}

#[test]
fn death_and_deactivation_are_independent() {
    let dead = plain(&json!({ "deceased_date": "2024-12-31" }));
    assert_eq!((&dead["deceasedDateTime"], &dead["active"]), (&json!("2024-12-31"), &json!(true)));
    let inactive = resource(&patient(&json!({})), false, &Settings::default());
    assert_eq!((&inactive["active"], inactive.get("deceasedDateTime")), (&json!(false), None));
}

#[test]
fn sensitive_optional_elements_are_sent_only_when_configured() {
    let fields = json!({ "national_id": "850315-1234567", "race": "asian", "ethnicity": "not_hisp_or_latin" });
    let silent = plain(&fields).to_string();
    assert!(!silent.contains("850315") && !silent.contains("asian") && !silent.contains("hisp"), "{silent}");

    let settings = Settings {
        national_id_system: Some("urn:oid:1.2.410".to_owned()),
        us_core: true,
        profile: Some("http://example.org/profile".to_owned()),
        ..Settings::default()
    };
    let resource = mapped(&fields, &settings);
    assert_eq!(resource["identifier"][1]["value"], "850315-1234567");
    assert_eq!(resource["identifier"][1]["system"], "urn:oid:1.2.410");
    assert_eq!(resource["extension"][0]["url"], US_CORE_RACE);
    assert_eq!(resource["meta"], json!({ "profile": ["http://example.org/profile"] }));
}

#[test]
fn known_races_and_ethnicities_get_their_codes() {
    let settings = Settings { us_core: true, ..Settings::default() };
    let sent =
        |element: &str, value: &str| mapped(&json!({ element: value }), &settings)["extension"][0]["extension"].clone();
    let omb = |code: &str, display: &str| {
        let coding = json!({ "system": "urn:oid:2.16.840.1.113883.6.238", "code": code, "display": display });
        json!({ "url": "ombCategory", "valueCoding": coding })
    };
    let text = |text: &str| json!({ "url": "text", "valueString": text });
    let asian = json!([omb("2028-9", "Asian"), text("Asian")]);
    for written in ["asian", "Asian", "2028-9"] {
        assert_eq!(sent("race", written), asian);
    }
    let black = omb("2054-5", "Black or African American");
    assert_eq!(
        sent("race", "Black or African American|white"),
        json!([black, omb("2106-3", "White"), text("Black or African American, White")])
    );
    let not_hispanic = json!([omb("2186-5", "Not Hispanic or Latino"), text("Not Hispanic or Latino")]);
    assert_eq!(sent("ethnicity", "not_hisp_or_latin"), not_hispanic);
    assert_eq!(sent("ethnicity", "Not Hispanic or Latino"), not_hispanic);
    // A part that is not a category is text alone. For ethnicity US Core allows one code, and no reason for an absent
    // value.
    assert_eq!(sent("race", "korean"), json!([text("korean")]));
    assert_eq!(sent("ethnicity", "hisp_or_latin|not_hisp_or_latin").as_array().map(Vec::len), Some(2));
    assert_eq!(sent("ethnicity", "decline_to_specify"), json!([text("Asked but unknown")]));
    assert_eq!(sent("race", "decline_to_specify")[0]["valueCoding"]["code"], "ASKU");
}
