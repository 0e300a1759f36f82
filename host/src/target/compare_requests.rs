//! Compares what two adapters sent to an HTTP target for the same changes. Pure functions over their transcripts.
//!
//! Only requests that may write are compared: method, address, the headers that decide what the server does, and the
//! body. Both adapters got the same answers, so that an id which the server gave is the same in both runs.

use url::Url;

use super::align::{Pair, align};
use super::compare_json::{JsonDifference, json_differences};
use crate::domain::effect_difference::{EffectDifference, EffectDifferenceKind, EffectDifferences};
use crate::domain::effects::path_template;
use crate::plugin::{Operation, TranscriptEntry};

/// Headers that do not change what a request does.
const FREE_HEADERS: [&str; 4] = ["accept", "accept-language", "user-agent", "content-length"];

/// A request that may write.
pub(super) struct Sent<'a> {
    method: &'a str,
    url: &'a Url,
    headers: &'a [(String, String)],
    body: &'a [u8],
    /// For example `PUT /Patient/{id}`.
    template: String,
}

/// The requests of a run that may write, in order.
pub(super) fn sent<'a>(base_path: &str, entries: &'a [TranscriptEntry]) -> Vec<Sent<'a>> {
    let request = |entry: &'a TranscriptEntry| match &entry.operation {
        Operation::Request { method, url, headers, body } if !matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS") => {
            let template = format!("{method} {}", path_template(base_path, url.path(), url.query()));
            Some(Sent { method, url, headers, body, template })
        }
        _ => None,
    };
    entries.iter().filter_map(request).collect()
}

/// In what the new adapter's requests differ from the old one's.
pub(super) fn differences(old: &[Sent<'_>], new: &[Sent<'_>]) -> EffectDifferences {
    let mut found = EffectDifferences::default();
    // Requests to one record are aligned first, then those of one template.
    let key = |sent: &Sent<'_>| (sent.method.to_owned(), sent.template.clone());
    let address = |sent: &Sent<'_>| format!("{} {}", sent.method, sent.url);
    let (old_addresses, new_addresses): (Vec<_>, Vec<_>) =
        (old.iter().map(address).collect(), new.iter().map(address).collect());
    let (left, right): (Vec<_>, Vec<_>) = (with(old, &old_addresses), with(new, &new_addresses));
    for pair in align(&left, &right, |(_, address)| *address, |(sent, _)| key(sent)) {
        match pair {
            Pair::Both(one, other) => compare(&old[one], &new[other], &mut found),
            Pair::Old(index) => found.add(whole(EffectDifferenceKind::Missing, &old[index])),
            Pair::New(index) => found.add(whole(EffectDifferenceKind::Additional, &new[index])),
        }
    }
    found
}

fn with<'a, 'b>(sent: &'b [Sent<'a>], addresses: &'b [String]) -> Vec<(&'b Sent<'a>, &'b str)> {
    sent.iter().zip(addresses.iter().map(String::as_str)).collect()
}

fn whole(kind: EffectDifferenceKind, sent: &Sent<'_>) -> EffectDifference {
    EffectDifference::new(kind, &sent.template, None)
}

fn compare(old: &Sent<'_>, new: &Sent<'_>, found: &mut EffectDifferences) {
    let template = Some(new.template.as_str());
    if old.url != new.url {
        found.add(EffectDifference::new(EffectDifferenceKind::OtherRecord, "the address", template));
    }
    for name in different_headers(old.headers, new.headers) {
        found.add(EffectDifference::new(EffectDifferenceKind::OtherHeader, name, template));
    }
    if old.body == new.body {
        return;
    }
    let json = |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).ok();
    let (Some(before), Some(now)) = (json(old.body), json(new.body)) else {
        return found.add(EffectDifference::new(EffectDifferenceKind::OtherValue, "the body", template));
    };
    for JsonDifference { kind, path } in json_differences(&before, &now) {
        found.add(EffectDifference::new(kind, &path, template));
    }
}

/// The names of the headers that one of the requests has with another value, or not at all.
fn different_headers<'a>(old: &'a [(String, String)], new: &'a [(String, String)]) -> Vec<&'a str> {
    let of = |headers: &'a [(String, String)], name: &str| -> Vec<&'a str> {
        headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    };
    let mut names: Vec<&str> = old.iter().chain(new).map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| !FREE_HEADERS.contains(name) && of(old, name) != of(new, name));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> TranscriptEntry {
        let operation = Operation::Request {
            method: method.to_owned(),
            url: format!("http://h/fhir/{path}").parse().expect("a URL"),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            body: body.as_bytes().to_vec(),
        };
        TranscriptEntry { operation, result: None }
    }

    fn compared(old: &[TranscriptEntry], new: &[TranscriptEntry]) -> Vec<String> {
        let found = differences(&sent("/fhir", old), &sent("/fhir", new));
        found.list().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn another_element_is_found_and_no_value_is_named() {
        let patient = |born: &str| format!(r#"{{"resourceType": "Patient", "birthDate": "{born}"}}"#);
        let old = [request("PUT", "Patient/7", &[], &patient("1980-03-04"))];
        let new = [request("PUT", "Patient/7", &[], &patient("1980-04-03"))];
        assert_eq!(compared(&old, &new), ["another value in `Patient.birthDate`"]);
        let spaced = [request("PUT", "Patient/7", &[], &patient("1980-03-04").replace(':', " :"))];
        assert_eq!(compared(&old, &spaced), Vec::<String>::new(), "the same JSON");
        let text = [request("PUT", "Patient/7", &[], "Kim")];
        assert_eq!(compared(&old, &text), ["another value in `the body`"]);
    }

    #[test]
    fn requests_that_come_and_go_are_named_and_reading_ones_are_no_difference() {
        let old = [request("PUT", "Patient/7", &[], "{}")];
        let read = request("GET", "Patient?identifier=7", &[], "");
        let delete = request("DELETE", "Patient/8", &[], "");
        let new = [read, request("PUT", "Patient/7", &[], "{}"), delete];
        assert_eq!(compared(&old, &new), ["an additional DELETE /Patient/{id}"]);
        assert_eq!(compared(&new, &old), ["no DELETE /Patient/{id} any more"]);
    }

    #[test]
    fn another_record_and_another_condition_are_found() {
        let old = [request("PUT", "Patient/7", &[("if-match", "W/\"1\""), ("accept", "a")], "{}")];
        let new = [request("PUT", "Patient/8", &[("accept", "b")], "{}")];
        assert_eq!(
            compared(&old, &new),
            [
                "other records: another value in the condition on `the address`",
                "another value of the header `if-match`"
            ]
        );
    }
}
