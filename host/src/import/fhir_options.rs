//! Options for reading FHIR resources.

/// The options; the default reads what the FHIR adapter writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FhirOptions {
    /// The identifier system of our patient ids; the systems of other records begin with it. `None`: the default of the
    /// FHIR adapter, else the resource's own id.
    pub identifier_system: Option<String>,
    /// The system of the national identification number. `None`: the identifier of type `NI`.
    pub national_id_system: Option<String>,
    /// Whether race and ethnicity are read from US Core's extensions.
    pub us_core: bool,
    /// The address of the server that wrote the files. References below it lead to resources in the files.
    pub base_url: Option<String>,
    /// Whether resources without a type of their own are imported, as `fhir-resource`.
    pub other_types: bool,
}
