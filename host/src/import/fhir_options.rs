//! How FHIR resources are read.

/// How resources are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FhirOptions {
    /// The system of the identifier that is our patient id; those of other records begin with it. `None`: that of the
    /// FHIR adapter, else the record's own id.
    pub identifier_system: Option<String>,
    /// The system of the national identification number. `None`: the identifier of type `NI`.
    pub national_id_system: Option<String>,
    /// Whether race and ethnicity are read from US Core's extensions.
    pub us_core: bool,
    /// The address of the server that wrote the files: references below it are references between them.
    pub base_url: Option<String>,
    /// Whether resources without a type of their own are imported, as `fhir-resource`.
    pub other_types: bool,
}
