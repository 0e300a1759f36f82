//! A bulk export on its way to a FHIR server: what was imported refers to the server's records.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tests::environment::{fhir_url, fixture};
use tests::host::{Configuration, Host};
use tests::session::Session;

use crate::support::{QUICK, adapter};

const TYPES: [&str; 8] =
    ["patient", "encounter", "condition", "allergy", "medication", "observation", "appointment", "fhir-resource"];

fn get(url: &str) -> Value {
    let output = std::process::Command::new("curl").args(["-sS", "--fail", url]).output().expect("curl");
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{url}: {error}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// The export with ids that no other test has: the server is shared.
fn put_export(host: &Host) {
    let unique = SystemTime::now().duration_since(UNIX_EPOCH).expect("clock").as_nanos();
    let folder = host.folder().join("export");
    fs::create_dir(&folder).expect("folder");
    for entry in fs::read_dir(fixture("bulk_export")).expect("fixture") {
        let path = entry.expect("entry").path();
        let mut text = fs::read_to_string(&path).expect("read");
        for prefix in ["pat-", "enc-", "con-", "all-", "med-", "obs-", "app-", "imm-", "doc-", "X-2025-", "VISIT-"] {
            // The ids of the fixture end in digits; words such as `medication-` do not follow a quote or a separator.
            for before in ["\"", "/", ":", "|"] {
                text = text.replace(&format!("{before}{prefix}"), &format!("{before}{prefix}{unique:x}-"));
            }
        }
        fs::write(folder.join(path.file_name().expect("a name")), text).expect("write");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_export_reaches_a_fhir_server_with_the_servers_own_references() {
    let Some(url) = fhir_url() else { return };
    let configuration = Configuration::new("sqlite://.host/host.db").fhir(&adapter("fhir"), &url);
    let host = Host::new(&configuration.taking("fhir", &TYPES).more(QUICK)).expect("host");
    put_export(&host);
    let summary = host.run(&["import", "export", "--other-types", "fhir-resource", "--json"]).json();
    assert_eq!((&summary["created"], &summary["waiting"]), (&23.into(), &1.into()), "{summary}");
    let _ = host.run(&["run", "--until-idle"]);
    let totals = host.status()["totals"].clone();
    assert_eq!(
        (&totals["done"], &totals["failed"], &totals["pending"]),
        (&22.into(), &0.into(), &1.into()),
        "{totals}"
    );
    let waiting = host.run(&["waiting", "--json"]);
    assert!(waiting.stdout.contains("pat-"), "the patient outside the files is named: {}", waiting.stdout);

    let path = host.folder().join(".host").join("host.db");
    let mut session = Session::open(&format!("sqlite://{}", path.display())).await.expect("open");
    let mut ids_of = std::collections::HashMap::new();
    for row in session.rows("SELECT aggregate_type, aggregate_id, remote_id FROM sync_link").await.expect("links") {
        let [kind, id, remote] = [0, 1, 2].map(|column| row[column].clone().expect("text"));
        ids_of.insert((kind, id), remote);
    }
    let of = |kind: &str, id_has: &str| {
        let found = ids_of.iter().find(|((other, id), _)| other == kind && id.contains(id_has));
        let ((_, id), remote) = found.unwrap_or_else(|| panic!("no {kind} {id_has} in {ids_of:?}"));
        (id.clone(), remote.clone())
    };
    let ends = |kind: &str, start: &str, end: &str| {
        let found = ids_of.iter().find(|((other, id), _)| other == kind && id.contains(start) && id.ends_with(end));
        found.unwrap_or_else(|| panic!("no {kind} {start} {end} in {ids_of:?}")).1.clone()
    };
    let patient = ends("patient", "X-2025-", "-001");
    let (_, encounter) = of("encounter", "VISIT-");
    let (_, request) = of("medication", "MedicationRequest-");
    let statement = get(&format!("{url}/MedicationStatement/{request}"));
    assert_eq!(statement["subject"]["reference"], format!("Patient/{patient}"));
    assert_eq!(statement["context"]["reference"], format!("Encounter/{encounter}"));
    let (_, immunization) = of("fhir-resource", "Immunization-");
    let (_, practitioner) = of("fhir-resource", "Practitioner-");
    let immunization = get(&format!("{url}/{immunization}"));
    assert_eq!(immunization["performer"][0]["actor"]["reference"], practitioner);
    assert_eq!(immunization["patient"]["reference"], format!("Patient/{}", ends("patient", "pat-", "-5")));
    assert_eq!(immunization["encounter"]["reference"], format!("Encounter/{}", ends("encounter", "enc-", "-5")));
}
