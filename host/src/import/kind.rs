//! What a resource becomes: a patient, a type of clinical record, or a resource that is passed through.

/// A kind of resource. The order is that of the import: a resource comes after those that it refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Patient,
    Encounter,
    Condition,
    Allergy,
    Medication,
    Observation,
    Appointment,
    /// A resource without a type of its own, as `fhir-resource`.
    Other,
}

/// Types that wrap messages or reports and contain no record of their own.
const NEVER_IMPORTED: [&str; 3] = ["Bundle", "OperationOutcome", "Parameters"];

impl Kind {
    /// Every kind, in the order of imports.
    pub const ALL: [Self; 8] = [
        Self::Patient,
        Self::Encounter,
        Self::Condition,
        Self::Allergy,
        Self::Medication,
        Self::Observation,
        Self::Appointment,
        Self::Other,
    ];

    /// The kind of a resource; `None` for one that is not imported. With `other_types`, resources without a type of
    /// their own are imported too.
    #[must_use]
    pub fn of(resource_type: &str, other_types: bool) -> Option<Self> {
        match resource_type {
            "Patient" => Some(Self::Patient),
            "Encounter" => Some(Self::Encounter),
            "Condition" => Some(Self::Condition),
            "AllergyIntolerance" => Some(Self::Allergy),
            "MedicationStatement" | "MedicationRequest" => Some(Self::Medication),
            "Observation" => Some(Self::Observation),
            "Appointment" => Some(Self::Appointment),
            _ => (other_types && !NEVER_IMPORTED.contains(&resource_type)).then_some(Self::Other),
        }
    }

    /// The aggregate type of these records in the outbox.
    #[must_use]
    pub fn aggregate_type(self) -> &'static str {
        match self {
            Self::Patient => "patient",
            Self::Encounter => "encounter",
            Self::Condition => "condition",
            Self::Allergy => "allergy",
            Self::Medication => "medication",
            Self::Observation => "observation",
            Self::Appointment => "appointment",
            Self::Other => "fhir-resource",
        }
    }

    /// The plural, for reports.
    #[must_use]
    pub fn plural(self) -> &'static str {
        match self {
            Self::Patient => "patients",
            Self::Encounter => "encounters",
            Self::Condition => "conditions",
            Self::Allergy => "allergies",
            Self::Medication => "medications",
            Self::Observation => "observations",
            Self::Appointment => "appointments",
            Self::Other => "other resources",
        }
    }
}
