//! The uuid by which a patient of ours is found in OpenEMR, whoever wrote the row and whatever answer was lost.
//!
//! It is a version 5 UUID, so every host computes the same one from the same patient id, and OpenEMR's unique key over
//! `patient_data.uuid` refuses a second chart. It must never depend on anything that can change.

use uuid::Uuid;

/// The namespace of one system's patient ids: version 5 of the system's name among URLs.
pub(crate) fn namespace(system: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, system.as_bytes())
}

/// The uuid of one patient within the namespace, as the 16 bytes that OpenEMR stores.
pub(crate) fn patient_uuid(namespace: &Uuid, patient_id: &str) -> [u8; 16] {
    *Uuid::new_v5(namespace, patient_id.as_bytes()).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uuid_is_the_published_version_5_of_system_and_patient_id() {
        let namespace = namespace("urn:neuronova:patient-id");
        assert_eq!(namespace.to_string(), "b9bde7f7-b898-5e88-9205-ee182c02b85b");
        let uuid = Uuid::from_bytes(patient_uuid(&namespace, "P-2025-001"));
        assert_eq!(uuid.to_string(), "ad8e862f-264e-555e-89ae-33bb208e3531");
        assert_eq!(uuid.get_version_num(), 5);
    }

    #[test]
    fn another_system_or_patient_has_another_uuid() {
        let ours = namespace("urn:neuronova:patient-id");
        assert_ne!(patient_uuid(&ours, "P-1"), patient_uuid(&ours, "P-2"));
        assert_ne!(patient_uuid(&ours, "P-1"), patient_uuid(&namespace("urn:other"), "P-1"));
        assert_ne!(patient_uuid(&ours, "P-1"), patient_uuid(&ours, "p-1"));
    }
}
