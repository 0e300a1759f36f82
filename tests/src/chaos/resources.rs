//! Reads a FHIR server page by page, without the adapter's help: every Patient, and every version that one ever had.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// Resources on a page.
const PAGE: usize = 200;

/// One Patient with its past.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Resource {
    /// The server's id.
    pub(crate) id: String,
    /// Our identifier in it.
    pub(crate) patient_id: String,
    pub(crate) is_active: bool,
    /// The version in each state that it ever had, oldest first; the last one is the present.
    pub(crate) versions: Vec<i64>,
}

/// Every Patient of the server at `base_url`.
pub(crate) fn read_all(base_url: &str) -> Result<Vec<Resource>> {
    let mut found = Vec::new();
    loop {
        let page = get(&format!("{base_url}/Patient?_count={PAGE}&_offset={}", found.len()))?;
        let entries = page["entry"].as_array().map_or(&[][..], Vec::as_slice);
        for entry in entries {
            found.push(resource(base_url, &entry["resource"])?);
        }
        if entries.is_empty() || found.len() as u64 >= page["total"].as_u64().unwrap_or_default() {
            return Ok(found);
        }
    }
}

fn resource(base_url: &str, present: &Value) -> Result<Resource> {
    let id = present["id"].as_str().context("a Patient without an id")?.to_owned();
    let patient_id = present["identifier"][0]["value"].as_str().unwrap_or_default().to_owned();
    let versions = if present["meta"]["versionId"] == "1" {
        vec![version(present)?]
    } else {
        let history = get(&format!("{base_url}/Patient/{id}/_history?_count=10000"))?;
        let entries = history["entry"].as_array().context("a history without entries")?;
        ensure!(Some(entries.len() as u64) == history["total"].as_u64(), "the history of {id} is cut off");
        entries.iter().rev().map(|entry| version(&entry["resource"])).collect::<Result<_>>()?
    };
    Ok(Resource { id, patient_id, is_active: present["active"] == true, versions })
}

fn version(resource: &Value) -> Result<i64> {
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
