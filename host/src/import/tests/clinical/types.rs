//! Each type's elements, one by one.

use serde_json::json;

use super::*;

#[test]
fn an_encounter_is_read() {
    let resource = and(
        &encounter(),
        &json!({
            "type": [{ "coding": [{ "system": "http://snomed.info/sct", "code": "185349003", "display": "Check up" }] }],
            "reasonCode": [{ "text": "Headache" }],
            "period": { "start": "2025-06-01T09:00:00+09:00", "end": "2025-06-01T09:30:00.000+09:00" },
            "participant": [{ "individual": { "reference": "Practitioner?identifier=a|1", "display": "Dr. Han" } }],
            "location": [{ "location": { "display": "Room 3" } }],
            "serviceProvider": { "reference": "Organization/1" },
        }),
    );
    assert_eq!(
        payload(Kind::Encounter, &resource),
        json!({
            "status": "finished", "class": "AMB",
            "type": { "system": "http://snomed.info/sct", "code": "185349003", "display": "Check up" },
            "reason_code": { "display": "Headache" },
            "period": { "start": "2025-06-01T09:00:00+09:00", "end": "2025-06-01T09:30:00.000+09:00" },
            "provider": "Dr. Han", "location": "Room 3",
        })
    );
    assert_eq!(references_of(&record(Kind::Encounter, &resource)), ["subject patient p1"]);
}

#[test]
fn a_condition_is_read() {
    let resource = and(
        &condition(),
        &json!({
            "verificationStatus": { "coding": [{ "code": "confirmed" }] },
            "category": [{ "coding": [{ "system": "urn:other", "code": "x" }] },
                         { "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/condition-category",
                                        "code": "encounter-diagnosis" }] }],
            "severity": { "coding": [{ "system": "http://snomed.info/sct", "code": "24484000" }] },
            "onsetPeriod": { "start": "2019-04" }, "abatementDateTime": "2020-01-02T10:00:00Z",
            "recordedDate": "2025-06-01T09:00:00+09:00", "note": [{ "text": "One" }, { "text": "Two" }],
            "encounter": { "reference": "Encounter/e1" },
        }),
    );
    assert_eq!(
        payload(Kind::Condition, &resource),
        json!({
            "clinical_status": "active", "verification_status": "confirmed", "category": "encounter-diagnosis",
            "severity": "severe", "onset": "2019-04", "abatement": "2020-01-02", "recorded_date": "2025-06-01",
            "note": "One\nTwo",
            "code": { "system": "http://snomed.info/sct", "code": "37796009", "display": "Migraine" },
        })
    );
    let record = record(Kind::Condition, &resource);
    assert_eq!(references_of(&record), ["subject patient p1", "encounter encounter e1"]);
}

#[test]
fn an_allergy_is_read_with_a_reaction_for_each_manifestation() {
    let resource = json!({
        "resourceType": "AllergyIntolerance", "id": "a1", "patient": { "reference": "Patient/p1" },
        "clinicalStatus": { "coding": [{ "code": "active" }] }, "type": "allergy", "category": ["food", "biologic"],
        "criticality": "high", "code": { "text": "Peanut" }, "recordedDate": "2025-06-01",
        "reaction": [{ "manifestation": [{ "text": "Hives" }, { "text": "Cough" }], "severity": "severe" }],
    });
    assert_eq!(
        payload(Kind::Allergy, &resource),
        json!({
            "clinical_status": "active", "type": "allergy", "category": "food", "criticality": "high",
            "code": { "display": "Peanut" }, "recorded_date": "2025-06-01",
            "reaction": [{ "manifestation": { "display": "Hives" }, "severity": "severe" },
                         { "manifestation": { "display": "Cough" }, "severity": "severe" }],
        })
    );
}

#[test]
fn a_statement_and_a_request_become_medications_that_differ_in_id() {
    let statement = json!({
        "resourceType": "MedicationStatement", "id": "1", "status": "active", "subject": { "reference": "Patient/p1" },
        "contained": [{ "resourceType": "Medication", "id": "m", "code": { "text": "Aspirin" } }],
        "medicationReference": { "reference": "#m" }, "effectivePeriod": { "start": "2025-06-01" },
        "dateAsserted": "2025-06-02T10:00:00Z", "context": { "reference": "Encounter/e1" },
        "dosage": [{ "text": "1 a day", "route": { "text": "Oral" } }, { "text": "2 on Sundays" }],
    });
    let record = record(Kind::Medication, &statement);
    assert_eq!(references_of(&record), ["subject patient p1", "encounter encounter e1"]);
    assert_eq!(
        payload(Kind::Medication, &statement),
        json!({
            "status": "active", "medication": { "display": "Aspirin" }, "effective": { "start": "2025-06-01" },
            "date_asserted": "2025-06-02", "dosage": "1 a day; 2 on Sundays", "route": { "display": "Oral" },
        })
    );
    let request = |more: &Value| {
        let request = json!({
            "resourceType": "MedicationRequest", "id": "1", "intent": "order", "subject": { "reference": "Patient/p1" },
            "medicationReference": { "reference": "Medication/9", "display": "Aspirin" },
            "authoredOn": "2025-06-02T10:00:00Z", "dosageInstruction": [{ "text": "1 a day" }],
        });
        and(&request, more)
    };
    for (more, status) in [
        (json!({ "status": "active" }), "active"),
        (json!({ "status": "active", "intent": "plan" }), "intended"),
        (json!({ "status": "draft" }), "intended"),
        (json!({ "status": "cancelled" }), "not-taken"),
        (json!({ "status": "stopped" }), "stopped"),
    ] {
        assert_eq!(payload(Kind::Medication, &request(&more))["status"], status, "{more}");
    }
    let both = read_kind(Kind::Medication, &[statement, request(&json!({ "status": "active" }))], |_| {});
    let ids: Vec<_> = both.records.iter().map(|record| record.key().aggregate_id.as_str()).collect();
    assert_eq!(ids, ["1", "MedicationRequest-1"], "{:?}", reasons(&both));
    let medication = json!({ "resourceType": "Medication", "id": "9", "code": { "text": "Aspirin 100 mg" } });
    for reference in ["Medication/9", "urn:uuid:9"] {
        let by_id = request(&json!({ "status": "active", "medicationReference": { "reference": reference } }));
        let chunk = read_kind(Kind::Medication, &[by_id.clone(), medication.clone()], |_| {});
        assert!(chunk.records[0].payload().contains("Aspirin 100 mg"), "{:?}", reasons(&chunk));
        let alone = read_kind(Kind::Medication, &[by_id], |_| {});
        let reason = "1 medication: refers to a Medication that is not in the files, without its name";
        assert_eq!(reasons(&alone)[0], reason);
    }
    let refused = read_kind(Kind::Medication, &[request(&json!({ "status": "active", "doNotPerform": true }))], |_| {});
    assert_eq!(reasons(&refused), ["1 doNotPerform: is true: an order not to give a medication cannot be kept"]);
}

#[test]
fn an_observation_is_read_with_whatever_value_it_has() {
    let with_value = |more: &Value| {
        let mut resource = and(&observation(), more);
        resource.as_object_mut().unwrap().remove("valueQuantity");
        payload(Kind::Observation, &and(&resource, more))
    };
    let ucum = json!({ "value": 5.4, "unit": "mmol/L", "system": "http://unitsofmeasure.org", "code": "mmol/L" });
    let range = json!([{ "low": { "value": 3.9, "unit": "mmol/L" }, "high": { "value": 5.5, "code": "mmol/L" } }]);
    let read = with_value(&json!({
        "valueQuantity": ucum, "referenceRange": range, "interpretation": [{ "coding": [{ "code": "N" }] }],
    }));
    assert_eq!(read["value_quantity"], ucum);
    assert_eq!(read["reference_range"], json!({ "low": 3.9, "high": 5.5 }));
    assert_eq!((&read["interpretation"], &read["category"]), (&json!("N"), &json!("vital-signs")));
    let below = with_value(&json!({ "valueQuantity": { "value": 5, "comparator": "<", "unit": "mg/L" } }));
    assert_eq!((below.get("value_quantity"), &below["value_string"]), (None, &json!("<5 mg/L")));
    assert_eq!(with_value(&json!({ "valueInteger": 3 }))["value_string"], "3");
    assert_eq!(
        with_value(&json!({ "valueCodeableConcept": { "text": "Negative" } }))["value_concept"]["display"],
        "Negative"
    );
    let mmhg = json!({ "value": 120, "unit": "mmHg" });
    let pressure = json!({ "component": [{ "code": { "text": "Systolic" }, "valueQuantity": mmhg }] });
    assert_eq!(
        with_value(&pressure)["component"],
        json!([{ "code": { "display": "Systolic" }, "value_quantity": mmhg }])
    );
}

#[test]
fn an_appointment_is_of_the_one_patient_among_its_participants() {
    let appointment = |participants: &[Value]| {
        let participants: Vec<_> = participants.iter().map(|actor| json!({ "actor": actor })).collect();
        json!({ "resourceType": "Appointment", "id": "x1", "status": "booked", "description": "Control",
                "start": "2026-06-01T09:00:00+09:00", "end": "2026-06-01T09:30:00+09:00",
                "participant": participants })
    };
    let doctor = json!({ "reference": "Practitioner/d1" });
    let patient = json!({ "reference": "urn:uuid:p1", "type": "Patient" });
    let room = json!({ "reference": "urn:uuid:r1" });
    let record = record(Kind::Appointment, &appointment(&[doctor.clone(), room, patient.clone()]));
    assert_eq!(references_of(&record), ["subject patient p1"]);
    let other = json!({ "reference": "Patient/p2" });
    let refused = read_kind(Kind::Appointment, &[appointment(&[patient, other]), appointment(&[doctor])], |_| {});
    assert_eq!(
        reasons(&refused),
        [
            "1 refs.subject: is several patients; an appointment has one",
            "2 refs.subject: is missing; it names the patient"
        ]
    );
}

#[test]
fn what_cannot_be_kept_is_left_out_and_what_is_required_costs_the_record() {
    let secret = "Secretname";
    let lines = [
        and(
            &encounter(),
            &json!({ "type": [{ "coding": [{ "code": secret }] }], "period": {
            "start": "2025-06-01T09:00:00+09:00", "end": "2025-05-01T09:00:00+09:00" } }),
        ),
        and(&encounter(), &json!({ "id": "e2", "class": { "system": "urn:local", "code": "AMB" } })),
        and(&encounter(), &json!({ "id": "e3", "period": { "start": "2025-06-01" } })),
        and(&encounter(), &json!({ "id": "e4", "status": "entered-in-error" })),
        and(&encounter(), &json!({ "id": "e5", "participant": [{ "individual": { "display": secret.repeat(30) } }] })),
        and(&encounter(), &json!({ "id": "e6", "subject": secret })),
        and(&encounter(), &json!({ "id": null })),
    ];
    let chunk = read_kind(Kind::Encounter, &lines, |_| {});
    assert_eq!(
        reasons(&chunk),
        [
            "1 type: has a code without a system, which cannot be kept",
            "1 period.end: is before period.start",
            "2 class: is missing",
            "3 period.start: is not a moment with its offset from UTC (YYYY-MM-DDThh:mm:ss+hh:mm or Z)",
            "4 status: is entered-in-error: the record must no longer be used",
            "5 provider: is too long: 300 characters, at most 255",
            "6 refs.subject: names no record",
            "7 id: is missing, and so is an identifier with a system of ours",
        ]
    );
    let ids: Vec<_> = chunk.records.iter().map(|record| record.key().aggregate_id.as_str()).collect();
    assert_eq!(ids, ["e1", "e5"]);
    assert_eq!(chunk.rejected_and_incomplete(), (5, 2));
    assert!(!chunk.records[0].payload().contains("\"end\""), "{}", chunk.records[0].payload());
    let strict = read_kind(Kind::Encounter, &lines, |options| options.strict = true);
    assert!(strict.records.is_empty());
    assert!(!format!("{:?}", reasons(&chunk)).contains(secret));
}

#[test]
fn a_diagnosis_is_never_without_a_word_that_decides_what_it_means() {
    let of = |more: &Value| reasons(&read_kind(Kind::Condition, &[and(&condition(), more)], |_| {}));
    let verification = json!({ "verificationStatus": { "coding": [{ "code": "doubted" }] } });
    assert_eq!(
        of(&verification),
        [
            "1 verification_status: is not one of unconfirmed, provisional, differential, confirmed, refuted, entered-in-error"
        ]
    );
    let error = json!({ "verificationStatus": { "coding": [{ "code": "entered-in-error" }] } });
    assert_eq!(of(&error), ["1 verificationStatus: is entered-in-error: the record must no longer be used"]);
    let age = json!({ "onsetAge": { "value": 30, "unit": "a" }, "severity": { "text": "bad" } });
    assert_eq!(
        of(&age),
        [
            "1 severity: has no code of SNOMED CT for mild, moderate or severe",
            "1 onset: is given in a form that cannot be kept"
        ]
    );
    let many = json!({ "reaction": [{ "manifestation": [{}] }, { "manifestation": [{ "text": "Hives" }] }] });
    let allergy = json!({ "resourceType": "AllergyIntolerance", "id": "a1", "code": { "text": "Nut" },
                          "clinicalStatus": { "coding": [{ "code": "active" }] }, "patient": { "reference": "Patient/p1" } });
    let chunk = read_kind(Kind::Allergy, &[and(&allergy, &many)], |_| {});
    assert_eq!(reasons(&chunk), ["1 reaction[0].manifestation: is missing"]);
    assert!(chunk.records[0].payload().contains("Hives"));
}

#[test]
fn an_observation_without_its_value_is_refused() {
    let of = |more: &Value| reasons(&read_kind(Kind::Observation, &[and(&observation(), more)], |_| {}));
    assert_eq!(
        of(&json!({ "category": [{ "coding": [{ "code": "survey" }] }] })),
        ["1 category: is neither vital-signs nor laboratory: other observations are not imported"]
    );
    assert_eq!(
        of(&json!({ "valueQuantity": { "unit": "mg" } }))[0],
        "1 value_quantity: has no number, or an unknown comparator"
    );
    assert_eq!(
        of(&json!({ "valueQuantity": null })),
        [
            "1 payload: must have exactly one of value_quantity, value_concept, value_string and component, or a status without a value"
        ]
    );
    let ranges = json!({ "referenceRange": [{ "low": { "value": 1, "unit": "g" } }] });
    assert_eq!(of(&ranges), ["1 reference_range: has a limit that is not in the unit of the value"]);
    let missing = json!({ "component": [{ "code": { "text": "A" } }], "valueQuantity": null });
    assert!(of(&missing)[0].starts_with("1 component[0].value_quantity: is missing"), "{:?}", of(&missing));
}

#[test]
fn an_element_that_is_named_twice_is_refused_and_other_kinds_are_passed_over() {
    let text = format!(
        "{}\n{}\n{}\n",
        r#"{"resourceType":"Encounter","id":"1","id":"2"}"#,
        condition(),
        r#"{"resourceType":"Practitioner","id":"1"}"#
    );
    let options = Options { kind: Some(Kind::Encounter), ..options(Format::Ndjson) };
    let chunk = read_all(text.as_bytes(), options).unwrap();
    assert_eq!(reasons(&chunk), ["1 record: names an element twice"]);
    assert_eq!(chunk.passed_over, [("Condition", 1), ("Practitioner", 1)].into());
}
