//! Sample records for the tests.

use serde_json::{Value, json};

/// A record of each type with every field that it can have.
pub(crate) fn full(aggregate_type: &str) -> Value {
    let concept = json!({ "system": "http://snomed.info/sct", "code": "1", "display": "One" });
    let quantity = json!({ "value": 37.5, "unit": "Cel", "system": "http://unitsofmeasure.org", "code": "Cel" });
    match aggregate_type {
        "encounter" => json!({
            "status": "finished", "class": "AMB", "type": concept, "reason_code": concept, "provider": "Dr. Han",
            "location": "Room 1",
            "period": { "start": "2025-06-01T09:00:00+09:00", "end": "2025-06-01T09:30:00+09:00" },
        }),
        "condition" => json!({
            "clinical_status": "active", "verification_status": "confirmed", "category": "problem-list-item",
            "severity": "mild", "code": concept, "onset": "2019", "abatement": "2019-03", "recorded_date": "2020-02-29",
            "note": "first line\nsecond line",
        }),
        "allergy" => json!({
            "clinical_status": "active", "verification_status": "confirmed", "type": "allergy", "category": "food",
            "criticality": "high", "code": concept, "onset": "2001-04", "recorded_date": "2020-02-29", "note": "severe",
            "reaction": [
                { "manifestation": concept, "severity": "severe" },
                { "manifestation": { "display": "Hives" } },
            ],
        }),
        "medication" => json!({
            "status": "active", "medication": concept,
            "effective": { "start": "2024-01-01", "end": "2024-01-01T10:00:00Z" },
            "date_asserted": "2024-01-02", "dosage": "1 tablet a day", "route": concept,
            "reason_code": concept, "note": "n",
        }),
        "observation" => json!({
            "status": "final", "category": "vital-signs", "code": concept, "effective": "2025-06-01T09:10:00Z",
            "value_quantity": quantity, "interpretation": "H", "note": "n",
            "reference_range": { "low": 36, "high": 37.5, "text": "usual" },
        }),
        "appointment" => json!({
            "status": "booked", "service_type": concept, "reason_code": concept, "description": "Control",
            "start": "2026-01-01T09:00:00+09:00", "end": "2026-01-01T09:15:00+09:00", "comment": "fasting",
        }),
        _ => json!({ "resourceType": "Immunization", "status": "completed", "anything": [1, null, true] }),
    }
}
