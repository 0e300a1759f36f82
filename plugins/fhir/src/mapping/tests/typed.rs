//! The clinical types, element by element.

use super::*;

fn identifier(aggregate_type: &str) -> Value {
    json!([{ "system": format!("urn:neuronova:patient-id/{aggregate_type}"), "value": "X-1" }])
}

fn text(display: &str) -> Value {
    json!({ "display": display })
}

#[test]
fn an_encounter_has_class_period_and_participants_by_name() {
    let least = json!({ "status": "planned", "class": "AMB", "period": { "start": "2026-03-01T09:00:00+09:00" } });
    assert_eq!(
        typed("encounter", &least),
        json!({
            "resourceType": "Encounter", "identifier": identifier("encounter"), "status": "planned",
            "class": { "system": encounter::ACT_CODE, "code": "AMB", "display": "ambulatory" },
            "subject": { "reference": "Patient/17" }, "period": { "start": "2026-03-01T09:00:00+09:00" }
        })
    );
    let mut full = least;
    full["period"]["end"] = json!("2026-03-01T09:30:00+09:00");
    full["type"] = json!({ "system": "http://snomed.info/sct", "code": "185349003", "display": "Check-up" });
    full["reason_code"] = text("Cough");
    full["provider"] = json!("Dr. Lee");
    full["location"] = json!("Ward 3");
    let full = typed("encounter", &full);
    assert_eq!(full["period"]["end"], "2026-03-01T09:30:00+09:00");
    assert_eq!(
        full["type"],
        json!([{ "coding": [{ "system": "http://snomed.info/sct", "code": "185349003", "display": "Check-up" }],
            "text": "Check-up" }])
    );
    assert_eq!(full["reasonCode"], json!([{ "text": "Cough" }]));
    assert_eq!(full["participant"], json!([{ "individual": { "display": "Dr. Lee" } }]));
    assert_eq!(full["location"], json!([{ "location": { "display": "Ward 3" } }]));
}

#[test]
fn every_encounter_class_has_a_display_name() {
    for code in ["AMB", "EMER", "FLD", "HH", "IMP", "ACUTE", "NONAC", "OBSENC", "PRENC", "SS", "VR"] {
        let payload = json!({ "status": "finished", "class": code, "period": { "start": "2026-03-01T09:00:00Z" } });
        let class = &typed("encounter", &payload)["class"];
        assert!(class["code"] == code && class["display"].is_string(), "{class}");
    }
}

#[test]
fn a_condition_has_both_statuses_and_its_known_dates() {
    let payload = json!({
        "clinical_status": "resolved", "verification_status": "confirmed", "category": "encounter-diagnosis",
        "severity": "moderate", "code": text("Asthma"), "onset": "2019", "abatement": "2020-03", "recorded_date":
        "2020-04-01", "note": "One.\nTwo."
    });
    assert_eq!(
        typed("condition", &payload),
        json!({
            "resourceType": "Condition", "identifier": identifier("condition"),
            "clinicalStatus": { "coding": [{ "system": condition::CLINICAL, "code": "resolved" }] },
            "verificationStatus": { "coding": [{ "system": condition::VERIFICATION, "code": "confirmed" }] },
            "category": [{ "coding": [{ "system": condition::CATEGORY, "code": "encounter-diagnosis" }] }],
            "severity":
                { "coding": [{ "system": "http://snomed.info/sct", "code": "6736007", "display": "Moderate" }] },
            "code": { "text": "Asthma" }, "subject": { "reference": "Patient/17" },
            "encounter": { "reference": "Encounter/e9" }, "onsetDateTime": "2019", "abatementDateTime": "2020-03",
            "recordedDate": "2020-04-01", "note": [{ "text": "One.\nTwo." }]
        })
    );
}

#[test]
fn a_record_entered_in_error_carries_no_clinical_status() {
    let payload = json!({ "clinical_status": "active", "verification_status": "entered-in-error",
        "code": text("Asthma"), "abatement": "2020" });
    for aggregate_type in ["condition", "allergy"] {
        let written = typed(aggregate_type, &payload);
        let has = |element: &str| written.get(element).is_some();
        assert!(!has("clinicalStatus") && !has("abatementDateTime"), "{written}");
        assert_eq!(written["verificationStatus"]["coding"][0]["code"], "entered-in-error");
    }
}

#[test]
fn an_abatement_date_of_an_active_condition_is_refused() {
    let payload = json!({ "clinical_status": "active", "code": text("Asthma"), "abatement": "2020" });
    let failure = written(&of_type("condition", "X-1", &payload, &[SUBJECT])).unwrap_err();
    assert!(failure.message.starts_with("abatement: ") && failure.message.contains("con-4"), "{}", failure.message);
}

#[test]
fn an_allergy_has_patient_and_reactions() {
    let payload = json!({
        "clinical_status": "active", "verification_status": "unconfirmed", "type": "allergy", "category": "food",
        "criticality": "high", "code": text("Peanut"), "onset": "2001-05", "recorded_date": "2020-04-01",
        "reaction": [{ "manifestation": text("Hives"), "severity": "mild" }, { "manifestation": text("Cough") }]
    });
    assert_eq!(
        typed("allergy", &payload),
        json!({
            "resourceType": "AllergyIntolerance", "identifier": identifier("allergy"),
            "clinicalStatus": { "coding": [{ "system": allergy::CLINICAL, "code": "active" }] },
            "verificationStatus": { "coding": [{ "system": allergy::VERIFICATION, "code": "unconfirmed" }] },
            "type": "allergy", "category": ["food"], "criticality": "high", "code": { "text": "Peanut" },
            "patient": { "reference": "Patient/17" }, "encounter": { "reference": "Encounter/e9" },
            "onsetDateTime": "2001-05", "recordedDate": "2020-04-01",
            "reaction": [{ "manifestation": [{ "text": "Hives" }], "severity": "mild" },
                { "manifestation": [{ "text": "Cough" }] }]
        })
    );
}

#[test]
fn a_medication_is_mapped_to_a_medication_statement_with_its_code() {
    let payload = json!({
        "status": "active", "medication": text("Aspirin 100 mg"), "effective": { "start": "2026-01-02" },
        "dosage": "1-0-0",
        "date_asserted": "2026-01-02", "route": text("oral"), "reason_code": text("Prevention"), "note": "With food."
    });
    assert_eq!(
        typed("medication", &payload),
        json!({
            "resourceType": "MedicationStatement", "identifier": identifier("medication"), "status": "active",
            "medicationCodeableConcept": { "text": "Aspirin 100 mg" }, "subject": { "reference": "Patient/17" },
            "context": { "reference": "Encounter/e9" }, "effectivePeriod": { "start": "2026-01-02" },
            "dateAsserted": "2026-01-02", "reasonCode": [{ "text": "Prevention" }], "note": [{ "text": "With food." }],
            "dosage": [{ "text": "1-0-0", "route": { "text": "oral" } }]
        })
    );
    let least = typed("medication", &json!({ "status": "unknown", "medication": text("Aspirin") }));
    assert!(["effectivePeriod", "dosage", "note"].iter().all(|element| least.get(element).is_none()), "{least}");
}

fn observed(more: &Value) -> Value {
    let mut payload = json!({ "status": "final", "category": "vital-signs", "effective": "2026-03-01T09:00:00Z",
        "code": { "system": "http://loinc.org", "code": "8867-4", "display": "Heart rate" } });
    payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    typed("observation", &payload)
}

#[test]
fn an_observation_keeps_the_type_of_its_value() {
    let quantity = json!({ "value": 71.5, "unit": "beats/min", "system": "http://unitsofmeasure.org", "code": "/min" });
    let rate = observed(&json!({ "value_quantity": quantity, "interpretation": "H", "note": "Sitting.",
        "reference_range": { "low": 60, "high": 100, "text": "adult" } }));
    assert_eq!(rate["valueQuantity"], quantity);
    assert_eq!(rate["interpretation"][0]["coding"][0]["code"], "H");
    let limit = |value: i32| {
        let mut limit = quantity.clone();
        limit["value"] = json!(value);
        limit
    };
    assert_eq!(rate["referenceRange"], json!([{ "low": limit(60), "high": limit(100), "text": "adult" }]));
    assert_eq!(rate["category"][0]["coding"][0]["code"], "vital-signs");
    assert_eq!(rate["code"]["coding"][0]["code"], "8867-4");

    let positive = observed(&json!({ "value_concept": text("Positive") }));
    assert_eq!(positive["valueCodeableConcept"], json!({ "text": "Positive" }));
    assert_eq!(observed(&json!({ "value_string": "cloudy" }))["valueString"], "cloudy");
    let pressure = observed(&json!({ "component": [{ "code": text("Systolic"), "value_quantity": quantity }] }));
    assert_eq!(pressure["component"], json!([{ "code": { "text": "Systolic" }, "valueQuantity": quantity }]));
    for written in [rate, positive, pressure] {
        assert_eq!(written.get("dataAbsentReason"), None, "{written}");
    }
}

#[test]
fn an_observation_without_a_value_gives_the_reason() {
    for (status, reason) in
        [("registered", "temp-unknown"), ("cancelled", "not-performed"), ("entered-in-error", "error")]
    {
        let written = observed(&json!({ "status": status }));
        assert_eq!(written["dataAbsentReason"]["coding"][0]["code"], reason);
    }
}

#[test]
fn an_appointment_has_the_patient_as_a_participant() {
    for (status, said) in
        [("proposed", "needs-action"), ("waitlist", "needs-action"), ("booked", "accepted"), ("cancelled", "declined")]
    {
        let payload = json!({ "status": status, "start": "2026-03-01T09:00:00Z", "end": "2026-03-01T09:30:00Z" });
        assert_eq!(
            typed("appointment", &payload),
            json!({
                "resourceType": "Appointment", "identifier": identifier("appointment"), "status": status,
                "start": "2026-03-01T09:00:00Z", "end": "2026-03-01T09:30:00Z",
                "participant": [{ "actor": { "reference": "Patient/17" }, "status": said }]
            })
        );
    }
    let full = json!({ "status": "booked", "start": "2026-03-01T09:00:00Z", "end": "2026-03-01T09:30:00Z",
        "service_type": text("Check-up"), "reason_code": text("Cough"), "description": "First", "comment": "Fasting" });
    let full = typed("appointment", &full);
    assert_eq!(
        (&full["serviceType"], &full["reasonCode"]),
        (&json!([{ "text": "Check-up" }]), &json!([{ "text": "Cough" }]))
    );
    assert_eq!((&full["description"], &full["comment"]), (&json!("First"), &json!("Fasting")));
}

#[test]
fn a_patient_that_the_target_does_not_accept_is_referenced_by_identifier() {
    let elsewhere = ("subject", "patient", "P-1", None);
    let payload = json!({ "status": "unknown", "medication": text("Aspirin") });
    let written = written(&of_type("medication", "X-1", &payload, &[elsewhere])).unwrap();
    let identifier = json!({ "system": "urn:neuronova:patient-id", "value": "P-1" });
    assert_eq!(written["subject"], json!({ "type": "Patient", "identifier": identifier }));
}

#[test]
fn codes_are_written_as_codeable_concepts() {
    let spaced = json!({ "system": "urn:x", "code": " A  1 ", "display": " Asthma " });
    let written = typed("condition", &json!({ "clinical_status": "active", "code": spaced }));
    let coding = json!([{ "system": "urn:x", "code": "A 1", "display": "Asthma" }]);
    assert_eq!(written["code"], json!({ "coding": coding, "text": "Asthma" }));
}
