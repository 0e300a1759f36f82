// The fields of clinical records, made of schemas/*.schema.json by a test of plugins/clinical.
//
// A name with `!` is required; `code>system` needs `system` next to it. A list has the accepted words. Other fields
// have a form with its most characters, a number with its limits, or the fields of one of PARTS; `reaction*16` is a
// list of at most 16 of them, `component+16` has at least one.

export const TYPES = {
    "encounter": {
        "class!": ["AMB", "EMER", "FLD", "HH", "IMP", "ACUTE", "NONAC", "OBSENC", "PRENC", "SS", "VR"],
        "location": "text 255",
        "period!": "period",
        "provider": "text 255",
        "reason_code": "concept",
        "status!": [
            "planned", "arrived", "triaged", "in-progress", "onleave", "finished", "cancelled", "entered-in-error",
            "unknown",
        ],
        "type": "concept",
    },
    "condition": {
        "abatement": "partial_date",
        "category": ["problem-list-item", "encounter-diagnosis"],
        "clinical_status!": ["active", "recurrence", "relapse", "inactive", "remission", "resolved"],
        "code!": "concept",
        "note": "note 4000",
        "onset": "partial_date",
        "recorded_date": "date",
        "severity": ["mild", "moderate", "severe"],
        "verification_status": [
            "unconfirmed", "provisional", "differential", "confirmed", "refuted", "entered-in-error",
        ],
    },
    "allergy": {
        "category": ["food", "medication", "environment", "biologic"],
        "clinical_status!": ["active", "inactive", "resolved"],
        "code!": "concept",
        "criticality": ["low", "high", "unable-to-assess"],
        "note": "note 4000",
        "onset": "partial_date",
        "reaction": "reaction*16",
        "recorded_date": "date",
        "type": ["allergy", "intolerance"],
        "verification_status": ["unconfirmed", "confirmed", "refuted", "entered-in-error"],
    },
    "medication": {
        "date_asserted": "date",
        "dosage": "text 255",
        "effective": "effective",
        "medication!": "concept",
        "note": "note 4000",
        "reason_code": "concept",
        "route": "concept",
        "status!": [
            "active", "completed", "entered-in-error", "intended", "stopped", "on-hold", "unknown", "not-taken",
        ],
    },
    "observation": {
        "category!": ["vital-signs", "laboratory"],
        "code!": "concept",
        "component": "component+16",
        "effective!": "instant",
        "interpretation": ["H", "L", "N", "A", "HH", "LL", "AA"],
        "note": "note 4000",
        "reference_range": "reference_range",
        "status!": [
            "registered", "preliminary", "final", "amended", "corrected", "cancelled", "entered-in-error", "unknown",
        ],
        "value_concept": "concept",
        "value_quantity": "quantity",
        "value_string": "text 1000",
    },
    "appointment": {
        "comment": "note 4000",
        "description": "text 255",
        "end!": "instant",
        "reason_code": "concept",
        "service_type": "concept",
        "start!": "instant",
        "status!": [
            "proposed", "pending", "booked", "arrived", "fulfilled", "cancelled", "noshow", "entered-in-error",
            "checked-in", "waitlist",
        ],
    },
};

export const PARTS = {
    "component": {
        "code!": "concept",
        "value_quantity!": "quantity",
    },
    "concept": {
        "code>system": "text 64",
        "display!": "text 255",
        "system": "uri 255",
    },
    "effective": {
        "end": "moment",
        "start": "moment",
    },
    "period": {
        "end": "instant",
        "start!": "instant",
    },
    "quantity": {
        "code>system": "text 64",
        "system": "uri 255",
        "unit!": "text 64",
        "value!": "number -1000000000000 1000000000000",
    },
    "reaction": {
        "manifestation!": "concept",
        "severity": ["mild", "moderate", "severe"],
    },
    "reference_range": {
        "high": "number -1000000000000 1000000000000",
        "low": "number -1000000000000 1000000000000",
        "text": "text 255",
    },
};
