//! The native baseline of a FHIR server: a bare HTTP client that sends the same batch Bundles as the host's adapter
//! (the same entries, headers, number of entries and of connections), and knows no store. It looks at every answer's
//! status, and keeps the ids and versions that updates need.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::http_client::client;

/// Entries in one Bundle, as in the adapter's defaults, and Bundles on their way at a time, as in the host's.
const ENTRIES: usize = 100;
const CONNECTIONS: usize = 2;

const FHIR_JSON: &str = "application/fhir+json";

/// A Patient at the server.
#[derive(Clone)]
pub(super) struct Known {
    /// Of the patient in our store.
    number: usize,
    /// `Patient/ID`.
    url: String,
    /// `W/"1"`.
    etag: String,
}

/// Asks the server what it can, as the host does before it delivers: the first request is not measured.
pub(super) async fn greet(base_url: &str) -> Result<()> {
    let answer = client()?.get(format!("{base_url}/metadata")).header("accept", FHIR_JSON).send().await?;
    answer.error_for_status()?.bytes().await.map(drop).context("read the server's capabilities")
}

/// Creates the patients with these numbers.
pub(super) async fn create(base_url: &str, first: usize, count: usize) -> Result<(Duration, Vec<Known>)> {
    let numbers: Vec<_> = (first..first + count).collect();
    send(base_url, numbers, |number| {
        let entry = json!({
            "request": { "method": "PUT", "url": format!("Patient?identifier=urn%3Aneuronova%3Apatient-id%7CB-{number}") },
            "resource": patient(*number, "Seoul", None),
        });
        (*number, entry)
    })
    .await
}

/// Updates those.
pub(super) async fn update(base_url: &str, known: Vec<Known>) -> Result<(Duration, Vec<Known>)> {
    send(base_url, known, |known| {
        let entry = json!({
            "request": { "method": "PUT", "url": known.url, "ifMatch": known.etag },
            "resource": patient(known.number, "Busan", known.url.strip_prefix("Patient/")),
        });
        (known.number, entry)
    })
    .await
}

/// Reads these patients and writes each with another city, one after the other. Returns how many.
pub(super) async fn edit(base_url: &str, ids: &[String]) -> Result<usize> {
    let client = client()?;
    for id in ids {
        let url = format!("{base_url}/Patient/{id}");
        let answer = client.get(&url).header("accept", FHIR_JSON).send().await?.error_for_status()?.bytes().await?;
        let mut patient: Value = serde_json::from_slice(&answer)?;
        patient["address"][0]["city"] = json!("Elsewhere");
        let request = client.put(&url).header("content-type", FHIR_JSON).body(patient.to_string());
        request.send().await?.error_for_status()?;
    }
    Ok(ids.len())
}

/// Deletes these patients.
pub(super) async fn delete(base_url: &str, ids: &[String]) -> Result<()> {
    let client = client()?;
    for id in ids {
        client.delete(format!("{base_url}/Patient/{id}")).send().await?.error_for_status()?;
    }
    Ok(())
}

/// What the server holds of one patient, without what it adds itself.
pub(super) async fn held(base_url: &str, number: usize) -> Result<Value> {
    let url = format!("{base_url}/Patient?identifier=urn%3Aneuronova%3Apatient-id%7CB-{number}");
    let answer = client()?.get(url).header("accept", FHIR_JSON).send().await?.bytes().await?;
    let found: Value = serde_json::from_slice(&answer)?;
    let mut resource = found["entry"][0]["resource"].clone();
    let patient = resource.as_object_mut().with_context(|| format!("the server has no patient B-{number}"))?;
    patient.remove("id");
    patient.remove("meta");
    Ok(resource)
}

/// The Patient that the adapter makes of the bench's patients.
fn patient(number: usize, city: &str, id: Option<&str>) -> Value {
    let representation = |code: &str| json!([{ "url": "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation", "valueCode": code }]);
    let mut patient = json!({
        "resourceType": "Patient",
        "identifier": [{ "system": "urn:neuronova:patient-id", "value": format!("B-{number}") }],
        "active": true,
        "name": [
            { "use": "official", "text": "김민준", "family": "김", "given": ["민준"], "extension": representation("SYL") },
            { "use": "official", "text": "Kim MinJun", "family": "Kim", "given": ["MinJun"], "extension": representation("ABC") },
        ],
        "telecom": [
            { "system": "phone", "value": "010-1234-5678", "use": "mobile" },
            { "system": "email", "value": "patient@example.org" },
        ],
        "gender": "male",
        "birthDate": "1980-01-31",
        "address": [{ "line": ["12 Teheran-ro"], "city": city, "postalCode": "06236", "country": "KOR", "use": "home" }],
        "communication": [
            { "language": { "coding": [{ "system": "urn:ietf:bcp:47", "code": "ko" }] }, "preferred": true },
        ],
    });
    if let Some(id) = id {
        patient["id"] = json!(id);
    }
    patient
}

async fn send<T: Clone + Send + Sync + 'static>(
    base_url: &str,
    items: Vec<T>,
    entry: impl Fn(&T) -> (usize, Value) + Clone + Send + Sync + 'static,
) -> Result<(Duration, Vec<Known>)> {
    let client = client()?;
    let began = Instant::now();
    let bundles = Arc::new(std::sync::Mutex::new(items.chunks(ENTRIES).map(<[T]>::to_vec).collect::<Vec<_>>()));
    let mut tasks = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (client, bundles, entry, url) = (client.clone(), bundles.clone(), entry.clone(), base_url.to_owned());
        tasks.spawn(async move {
            let mut known = Vec::new();
            loop {
                let next = bundles.lock().expect("invariant: no holder of the lock panics").pop();
                let Some(items) = next else { return anyhow::Ok(known) };
                let (numbers, entries): (Vec<_>, Vec<_>) = items.iter().map(&entry).unzip();
                known.extend(post(&client, &url, &numbers, &entries).await?);
            }
        });
    }
    let mut known = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        known.extend(ended??);
    }
    Ok((began.elapsed(), known))
}

async fn post(client: &reqwest::Client, url: &str, numbers: &[usize], entries: &[Value]) -> Result<Vec<Known>> {
    let bundle = json!({ "resourceType": "Bundle", "type": "batch", "entry": entries }).to_string();
    let request = client
        .post(url)
        .header("accept", FHIR_JSON)
        .header("content-type", FHIR_JSON)
        .header("prefer", "return=minimal")
        .body(bundle);
    let answer: Value = serde_json::from_slice(&request.send().await?.error_for_status()?.bytes().await?)?;
    let answers = answer["entry"].as_array().context("the server's answer has no entries")?;
    ensure!(answers.len() == entries.len(), "{} answers for {} entries", answers.len(), entries.len());
    numbers.iter().zip(answers).map(|(number, answer)| known(*number, &answer["response"])).collect()
}

fn known(number: usize, response: &Value) -> Result<Known> {
    let status = response["status"].as_str().unwrap_or_default();
    ensure!(status.starts_with('2'), "the server answered an entry with {status}");
    let location = response["location"].as_str().context("an answer has no location")?;
    // An absolute one or not, with `/_history/VERSION` or without.
    let id =
        location.split("Patient/").nth(1).and_then(|rest| rest.split('/').next()).context("a location has no id")?;
    let etag = response["etag"].as_str().context("an answer has no etag")?;
    Ok(Known { number, url: format!("Patient/{id}"), etag: etag.to_owned() })
}
