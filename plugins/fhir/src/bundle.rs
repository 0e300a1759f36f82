//! Batch Bundles: builds them from requests, limits their size, and parses the responses.
//!
//! Pure. Entries of a batch are independent by definition, but never two about the same record: servers drop one of
//! them or answer differently from each other. Read next: `exchange`, which sends them.

use std::collections::HashSet;

use adapter_sdk::http::Method;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::capability::Capabilities;
use crate::delivery::Interaction;

/// Bytes of a Bundle around its entries.
const ENVELOPE_BYTES: usize = 64;

/// One request, written out once, with the number by which its answer finds home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The caller's number.
    pub(crate) index: usize,
    /// See [`Interaction::may_be_repeated`].
    pub(crate) may_be_repeated: bool,
    /// A create under an id of the server's: twice is two records.
    pub(crate) is_post: bool,
    /// No two entries of one Bundle may share it.
    key: String,
    text: String,
}

impl Entry {
    /// Writes a request out as an entry.
    pub(crate) fn new(index: usize, interaction: &Interaction, capabilities: &Capabilities) -> Self {
        let mut request = json!({ "method": method(interaction.method), "url": interaction.url });
        for (element, value) in [("ifMatch", &interaction.if_match), ("ifNoneExist", &interaction.if_none_exist)] {
            if let Some(value) = value {
                request[element] = json!(value);
            }
        }
        if interaction.only_if_new {
            request["ifNoneMatch"] = json!("*");
        }
        let mut entry = json!({ "request": request });
        if let Some(resource) = &interaction.resource {
            entry["resource"] = resource.clone();
        }
        let key = interaction
            .if_none_exist
            .as_ref()
            .map_or_else(|| interaction.url.clone(), |query| format!("{}?{query}", interaction.url));
        // A plain create has no key of its own: its url says nothing about which record it is.
        let is_post = interaction.method == Method::Post;
        let key = if is_post && interaction.if_none_exist.is_none() { format!("create {index}") } else { key };
        Self {
            index,
            may_be_repeated: interaction.may_be_repeated(capabilities),
            is_post,
            key,
            text: entry.to_string(),
        }
    }
}

/// The method's name.
pub(crate) fn method(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Patch => "PATCH",
        Method::Delete => "DELETE",
    }
}

/// Cuts entries into Bundles of at most so many entries and bytes, none with the same key twice. An entry that is too
/// large by itself travels alone.
pub(crate) fn chunks(entries: Vec<Entry>, entries_max: usize, bytes_max: usize) -> Vec<Vec<Entry>> {
    let mut chunks = Vec::new();
    let mut chunk: Vec<Entry> = Vec::new();
    let mut keys = HashSet::new();
    let mut bytes = ENVELOPE_BYTES;
    for entry in entries {
        let full = chunk.len() >= entries_max || bytes + entry.text.len() > bytes_max;
        if !chunk.is_empty() && (full || keys.contains(&entry.key)) {
            chunks.push(std::mem::take(&mut chunk));
            keys.clear();
            bytes = ENVELOPE_BYTES;
        }
        bytes += entry.text.len() + 1;
        keys.insert(entry.key.clone());
        chunk.push(entry);
    }
    if !chunk.is_empty() {
        chunks.push(chunk);
    }
    chunks
}

/// The Bundle's bytes.
pub(crate) fn body(entries: &[Entry]) -> Vec<u8> {
    let texts: Vec<&str> = entries.iter().map(|entry| entry.text.as_str()).collect();
    format!(r#"{{"resourceType":"Bundle","type":"batch","entry":[{}]}}"#, texts.join(",")).into_bytes()
}

/// The answers in the order of the entries.
///
/// # Errors
/// What is wrong, in words for a message: then no answer can be told from another.
pub(crate) fn answers(body: &mut Value, expected: usize) -> Result<Vec<Answer>, String> {
    if body.get("resourceType").and_then(Value::as_str) != Some("Bundle") {
        return Err("no Bundle".to_owned());
    }
    let entries = match body.get_mut("entry") {
        Some(Value::Array(entries)) => entries.as_mut_slice(),
        _ => &mut [],
    };
    if entries.len() != expected {
        return Err(format!("{} entries for {expected} requests", entries.len()));
    }
    Ok(entries.iter_mut().map(Answer::from_entry).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(index: usize, url: &str) -> Entry {
        let resource = Some(json!({ "resourceType": "Patient" }));
        Entry::new(
            index,
            &Interaction {
                method: Method::Put,
                url: url.to_owned(),
                if_match: None,
                only_if_new: false,
                if_none_exist: None,
                resource,
            },
            &Capabilities::default(),
        )
    }

    fn new(index: usize, interaction: &Interaction) -> Entry {
        Entry::new(index, interaction, &Capabilities::default())
    }

    fn sizes(chunks: &[Vec<Entry>]) -> Vec<usize> {
        chunks.iter().map(Vec::len).collect()
    }

    #[test]
    fn a_bundle_is_valid_json_with_every_precondition() {
        let interaction = |method, url: &str| Interaction {
            method,
            url: url.to_owned(),
            if_match: None,
            only_if_new: false,
            if_none_exist: None,
            resource: None,
        };
        let entries = [
            new(0, &Interaction { if_match: Some("W/\"3\"".to_owned()), ..interaction(Method::Put, "Patient/1") }),
            new(
                1,
                &Interaction { if_none_exist: Some("identifier=a".to_owned()), ..interaction(Method::Post, "Patient") },
            ),
            new(2, &interaction(Method::Get, "Patient/1")),
            new(3, &Interaction { only_if_new: true, ..interaction(Method::Put, "Patient/a1") }),
        ];
        let bundle: Value = serde_json::from_slice(&body(&entries)).unwrap();
        assert_eq!(
            bundle,
            json!({ "resourceType": "Bundle", "type": "batch", "entry": [
                { "request": { "method": "PUT", "url": "Patient/1", "ifMatch": "W/\"3\"" } },
                { "request": { "method": "POST", "url": "Patient", "ifNoneExist": "identifier=a" } },
                { "request": { "method": "GET", "url": "Patient/1" } },
                { "request": { "method": "PUT", "url": "Patient/a1", "ifNoneMatch": "*" } }
            ] })
        );
    }

    #[test]
    fn bundles_respect_count_bytes_and_keys() {
        let entries = |count: usize| (0..count).map(|n| put(n, &format!("Patient/{n}"))).collect::<Vec<_>>();
        assert_eq!(sizes(&chunks(entries(250), 100, 1_000_000)), [100, 100, 50]);
        assert_eq!(sizes(&chunks(entries(3), 100, 1)), [1, 1, 1]);
        assert!(chunks(Vec::new(), 100, 1000).is_empty());
        let bounded = chunks(entries(50), 100, 1000);
        assert!(bounded.len() > 1 && bounded.iter().all(|chunk| body(chunk).len() <= 1000));

        let twice = vec![put(0, "Patient/1"), put(1, "Patient/2"), put(2, "Patient/1")];
        assert_eq!(sizes(&chunks(twice, 100, 1_000_000)), [2, 1]);
        let create = |index| {
            let interaction = Interaction {
                method: Method::Post,
                url: "Patient".into(),
                if_match: None,
                only_if_new: false,
                if_none_exist: None,
                resource: None,
            };
            new(index, &interaction)
        };
        assert_eq!(sizes(&chunks(vec![create(0), create(1)], 100, 1_000_000)), [2]);
    }

    #[test]
    fn answers_of_the_wrong_number_or_kind_are_refused() {
        let mut good = json!({ "resourceType": "Bundle", "entry": [{ "response": { "status": "201" } }] });
        assert_eq!(answers(&mut good, 1).unwrap()[0].status, 201);
        assert_eq!(answers(&mut good, 2).unwrap_err(), "1 entries for 2 requests");
        assert_eq!(answers(&mut json!({ "resourceType": "Bundle" }), 1).unwrap_err(), "0 entries for 1 requests");
        assert_eq!(answers(&mut json!({ "resourceType": "Patient" }), 1).unwrap_err(), "no Bundle");
        assert_eq!(
            answers(&mut json!({ "resourceType": "Bundle", "entry": 3 }), 1).unwrap_err(),
            "0 entries for 1 requests"
        );
    }
}
