//! The uuid by which our patient is found in OpenEMR, even after a lost response.
//!
//! It is a version 5 UUID, so every host computes the same one from the same patient id. OpenEMR's unique key on
//! `patient_data.uuid` refuses a second chart. It must never depend on anything that can change.

use uuid::Uuid;

/// The namespace of one system's patient ids: a version 5 UUID of the system's name in the URL namespace.
pub(crate) fn namespace(system: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, system.as_bytes())
}

/// The uuid of one patient within the namespace, as the 16 bytes that OpenEMR stores.
pub(crate) fn patient_uuid(namespace: &Uuid, patient_id: &str) -> [u8; 16] {
    *Uuid::new_v5(namespace, patient_id.as_bytes()).as_bytes()
}

/// The uuid of another record within the namespace. It contains a slash, which no patient id does, so it differs from
/// every patient's.
pub(crate) fn record_uuid(namespace: &Uuid, aggregate_type: &str, aggregate_id: &str) -> [u8; 16] {
    *Uuid::new_v5(namespace, format!("{aggregate_type}/{aggregate_id}").as_bytes()).as_bytes()
}

/// The uuid as 20 characters of one case, for an OpenEMR without uuids. It contains 100 bits of it.
pub(crate) fn marker(uuid: &[u8; 16]) -> String {
    const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let number = u128::from_be_bytes(*uuid);
    (0..20).map(|at| char::from(LETTERS[(number >> (123 - 5 * at)) as usize & 31])).collect()
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
    fn a_record_has_the_published_uuid_of_type_and_id_and_a_marker_that_fits() {
        let namespace = namespace("urn:neuronova:patient-id");
        let uuid = record_uuid(&namespace, "encounter", "E-1");
        assert_eq!(Uuid::from_bytes(uuid), Uuid::new_v5(&namespace, b"encounter/E-1"));
        assert_ne!(uuid, record_uuid(&namespace, "condition", "E-1"));
        assert_eq!(marker(&[0; 16]), "0".repeat(20));
        assert_eq!(marker(&[255; 16]), "z".repeat(20));
        let first = [0b0000_1000, 0b0100_0000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert!(marker(&first).starts_with("110000"), "five bits a letter, from the left");
        assert_ne!(marker(&uuid), marker(&record_uuid(&namespace, "encounter", "E-2")));
    }

    #[test]
    fn another_system_or_patient_has_another_uuid() {
        let ours = namespace("urn:neuronova:patient-id");
        assert_ne!(patient_uuid(&ours, "P-1"), patient_uuid(&ours, "P-2"));
        assert_ne!(patient_uuid(&ours, "P-1"), patient_uuid(&namespace("urn:other"), "P-1"));
        assert_ne!(patient_uuid(&ours, "P-1"), patient_uuid(&ours, "p-1"));
    }
}
