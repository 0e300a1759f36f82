//! Reads a FHIR server page by page, without the adapter's help: every resource of the types that the hosts deliver,
//! and every version that one ever had.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::evidence::labelled;

/// Resources on a page.
const PAGE: usize = 200;

/// The types that the hosts deliver.
const TYPES: [&str; 4] = ["Patient", "Encounter", "Observation", "Condition"];

/// One resource with its past.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Resource {
    /// The server's id.
    pub(crate) id: String,
    /// Our identifier in it.
    pub(crate) aggregate_id: String,
    /// Of a clinical record, whether it was not entered in error.
    pub(crate) is_active: bool,
    /// The ids of the resources that it refers to.
    pub(crate) subject: Option<String>,
    pub(crate) encounter: Option<String>,
    pub(crate) replaced_by: Option<String>,
    /// The version in each state that it ever had, oldest first; the last one is the present.
    pub(crate) versions: Vec<i64>,
}

/// Every resource of the server at `base_url`.
pub(crate) fn read_all(base_url: &str) -> Result<Vec<Resource>> {
    let mut found = Vec::new();
    for resource_type in TYPES {
        found.extend(read_type(base_url, resource_type).with_context(|| format!("read every {resource_type}"))?);
    }
    Ok(found)
}

fn read_type(base_url: &str, resource_type: &str) -> Result<Vec<Resource>> {
    let mut found = Vec::new();
    loop {
        let page = get(&format!("{base_url}/{resource_type}?_count={PAGE}&_offset={}", found.len()))?;
        let entries = page["entry"].as_array().map_or(&[][..], Vec::as_slice);
        for entry in entries {
            found.push(resource(base_url, resource_type, &entry["resource"])?);
        }
        if entries.is_empty() || found.len() as u64 >= page["total"].as_u64().unwrap_or_default() {
            return Ok(found);
        }
    }
}

fn resource(base_url: &str, resource_type: &str, present: &Value) -> Result<Resource> {
    let id = present["id"].as_str().context("a resource without an id")?.to_owned();
    let versions = if present["meta"]["versionId"] == "1" {
        vec![version(present)?]
    } else {
        let history = get(&format!("{base_url}/{resource_type}/{id}/_history?_count=10000"))?;
        let entries = history["entry"].as_array().context("a history without entries")?;
        ensure!(Some(entries.len() as u64) == history["total"].as_u64(), "the history of {id} is cut off");
        entries.iter().rev().map(|entry| version(&entry["resource"])).collect::<Result<_>>()?
    };
    let links = present["link"].as_array().map_or(&[][..], Vec::as_slice);
    let replaced_by = links.iter().find(|link| link["type"] == "replaced-by");
    Ok(Resource {
        id,
        aggregate_id: present["identifier"][0]["value"].as_str().unwrap_or_default().to_owned(),
        is_active: is_active(present),
        subject: referenced(&present["subject"]),
        encounter: referenced(&present["encounter"]),
        replaced_by: replaced_by.and_then(|link| referenced(&link["other"])),
        versions,
    })
}

fn is_active(present: &Value) -> bool {
    match present["resourceType"].as_str() {
        Some("Patient") => present["active"] == true,
        Some("Condition") => present["verificationStatus"]["coding"][0]["code"] != "entered-in-error",
        _ => present["status"] != "entered-in-error",
    }
}

/// The id in a reference of the form `TYPE/ID`.
fn referenced(reference: &Value) -> Option<String> {
    let (_, id) = reference["reference"].as_str()?.rsplit_once('/')?;
    Some(id.to_owned())
}

fn version(resource: &Value) -> Result<i64> {
    let label = match resource["resourceType"].as_str() {
        Some("Patient") => return version_of_patient(resource),
        Some("Encounter") => &resource["reasonCode"][0]["text"],
        _ => &resource["note"][0]["text"],
    };
    Ok(labelled(label.as_str().unwrap_or_default())?.1)
}

fn version_of_patient(resource: &Value) -> Result<i64> {
    let telecom = resource["telecom"].as_array().map_or(&[][..], Vec::as_slice);
    let work = telecom.iter().find(|contact| contact["use"] == "work").and_then(|contact| contact["value"].as_str());
    work.and_then(|version| version.parse().ok()).context("a Patient without a version")
}

fn get(url: &str) -> Result<Value> {
    let rest = url.strip_prefix("http://127.0.0.1:").context("not on loopback")?;
    let (port, path) = rest.split_once('/').context("no path")?;
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port.parse()?))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.write_all(
        format!("GET /{path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nAccept: application/fhir+json\r\n\r\n").as_bytes(),
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let head_ends = answer.windows(4).position(|four| four == b"\r\n\r\n").context("an answer without a head")?;
    let status = String::from_utf8_lossy(&answer[..head_ends]).lines().next().unwrap_or_default().to_owned();
    if !status.contains(" 200 ") {
        bail!("GET /{path}: {status}");
    }
    serde_json::from_slice(&answer[head_ends + 4..]).with_context(|| format!("read the answer to GET /{path}"))
}
