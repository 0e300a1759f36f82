//! The mock server's rules for a service that stores no plain documents, from the author's file. Every problem is
//! reported with its line.
//!
//! ```toml
//! [[answer]]
//! method = "POST"
//! path = "people"
//! record = "${body/external_id}"
//! then = "keep"
//! status = 201
//! body = '{"id": "${number}"}'
//! ```
//!
//! The first rule that matches a request answers it (`canned.rs`). `plugins/README.md` explains each key.

use std::path::Path;

use super::template::{Piece, Template};
use crate::domain::words::one_of;
use crate::spanned_toml::{Entry, FileProblems, Findings, Section, SpannedToml};

/// The methods that an adapter may use.
const METHODS: [&str; 7] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"];
/// Headers that the server writes itself.
const OWN_HEADERS: [&str; 3] = ["connection", "content-length", "transfer-encoding"];

/// In which state of its record a rule fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Kept,
    Missing,
}

/// What becomes of a rule's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It is kept from now on, with the request's body.
    Keep,
    Forget,
}

/// The rules, in order.
#[derive(Clone, Debug)]
pub struct Answers(pub(super) Vec<Rule>);

/// One `[[answer]]`.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) method: String,
    /// Segments below the base URL; `None` is `*`.
    pub(super) path: Vec<Option<String>>,
    /// The key of the record that it is about.
    pub(super) record: Option<Template>,
    pub(super) when: Option<When>,
    pub(super) then: Option<Then>,
    pub(super) status: u16,
    pub(super) headers: Vec<(String, Template)>,
    pub(super) body: Template,
}

impl Answers {
    /// Reads a file of answers.
    ///
    /// # Errors
    /// Every problem with its line.
    pub fn read(path: &Path) -> Result<Self, FileProblems> {
        Self::from_document(&SpannedToml::read(path)?)
    }

    fn from_document(document: &SpannedToml) -> Result<Self, FileProblems> {
        let findings = Findings::new(document.path());
        let table = document.parse(&findings);
        let mut root = Section::root(document, &findings, &table);
        let sections = root.array("answer");
        if sections.is_empty() {
            root.note_missing("answer", "is missing: write one [[answer]] or more");
        }
        let rules: Vec<_> = sections.into_iter().filter_map(read_rule).collect();
        root.finish(&[]);
        findings.into_result(Self(rules))
    }
}

fn read_rule(mut section: Section<'_>) -> Option<Rule> {
    let method = word(&mut section, "method", &METHODS.map(|method| (method, method)));
    let path = section.text("path");
    if !section.has("method") {
        section.note_missing("method", format!("is missing: one of {}", one_of(&METHODS)));
    }
    if !section.has("path") {
        section.note_missing("path", "is missing: below the base URL, with * for a segment that may be anything");
    }
    let path: Option<Vec<_>> = path.map(|path| path.value.trim_matches('/').split('/').map(segment).collect());
    let stars = path.iter().flatten().filter(|segment| segment.is_none()).count();
    let record = template(&mut section, "record", stars);
    let when = word(&mut section, "when", &[("kept", When::Kept), ("missing", When::Missing)]);
    let then = word(&mut section, "then", &[("keep", Then::Keep), ("forget", Then::Forget)]);
    let status = section.integer("status", 200..=599).map_or(200, |status| status.value);
    let body = template(&mut section, "body", stars).unwrap_or_default();
    let headers = read_headers(&mut section, stars);
    if record.is_none() && !section.has("record") {
        for key in ["when", "then"].into_iter().filter(|key| section.has(key)) {
            section.note_key(key, "needs `record`, which names the record");
        }
    }
    let is_kept = when == Some(When::Kept) || then == Some(Then::Keep);
    if !is_kept && body.pieces().chain(headers.iter().flat_map(|(_, text)| text.pieces())).any(Piece::needs_record) {
        section.note("${number} and ${kept} need a record: write `when = \"kept\"` or `then = \"keep\"`");
    }
    section.finish(&[]);
    let status = u16::try_from(status).ok()?;
    Some(Rule { method: method?.to_owned(), path: path?, record, when, then, status, headers, body })
}

fn segment(text: &str) -> Option<String> {
    (text != "*").then(|| text.to_owned())
}

fn read_headers(section: &mut Section<'_>, stars: usize) -> Vec<(String, Template)> {
    let Some(headers) = section.section("headers") else { return Vec::new() };
    let mut read = Vec::new();
    for (name, value) in headers.raw() {
        let name = name.get_ref().to_ascii_lowercase();
        let is_name = http::HeaderName::from_bytes(name.as_bytes()).is_ok();
        let text = value.get_ref().as_str();
        let parsed = text.ok_or_else(|| "must be a string".to_owned()).and_then(|text| Template::parse(text, stars));
        match parsed {
            Ok(_) if !is_name => headers.note_at(value, &name, "cannot be the name of a header"),
            Ok(_) if OWN_HEADERS.contains(&name.as_str()) => {
                headers.note_at(value, &name, "is written by the server itself: leave it out");
            }
            Ok(template) => read.push((name, template)),
            Err(message) => headers.note_at(value, &name, message),
        }
    }
    read
}

fn template(section: &mut Section<'_>, key: &'static str, stars: usize) -> Option<Template> {
    let Entry { value, .. } = section.text(key)?;
    Template::parse(&value, stars).map_err(|message| section.note_key(key, message)).ok()
}

fn word<T: Copy>(section: &mut Section<'_>, key: &'static str, words: &[(&str, T)]) -> Option<T> {
    let text = section.text(key)?;
    let found = words.iter().find(|(word, _)| *word == text.value).map(|(_, meaning)| *meaning);
    if found.is_none() {
        let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        section.note_key(key, format!("must be {}", one_of(&words)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_file_is_refused_with_every_line_and_the_fix() {
        let text = r#"
[[answer]]
method = "get"
path = "people/*"
record = "${2}"
body = "${number} ${body.id}"
then = "drop"
headers = { content-length = "3", "a b" = "c" }
colour = "blue"
[[answer]]
path = "x"
method = "PUT"
when = "kept"
status = 99
body = "${kept"
[[answer]]
method = "GET"
path = "y"
body = "${number}"
"#;
        let document = SpannedToml::from_bytes(Path::new("a.toml"), text.into());
        let problems = Answers::from_document(&document).unwrap_err().to_string();
        for line in [
            "a.toml:3: answer[1].method: must be GET, HEAD, OPTIONS, POST, PUT, PATCH or DELETE",
            "a.toml:5: answer[1].record: ${2} is not there: `path` has 1 *",
            "a.toml:6: answer[1].body: ${body.id} is not known: write ${1}, ${query/NAME}, ${body/POINTER}, ${number} \
             or ${kept}",
            "a.toml:7: answer[1].then: must be keep or forget",
            "a.toml:8: answer[1].headers.content-length: is written by the server itself: leave it out",
            "a.toml:8: answer[1].headers.a b: cannot be the name of a header",
            "a.toml:9: answer[1].colour: unknown key",
            "a.toml:13: answer[2].when: needs `record`, which names the record",
            "a.toml:14: answer[2].status: must be",
            "a.toml:15: answer[2].body: `${` has no `}`",
            "a.toml:16: answer[3]: ${number} and ${kept} need a record",
        ] {
            assert!(problems.contains(line), "{line}\n{problems}");
        }
        let empty = SpannedToml::from_bytes(Path::new("a.toml"), Vec::new());
        assert!(Answers::from_document(&empty).unwrap_err().to_string().contains("write one [[answer]] or more"));
    }
}
