//! The server that the author's file describes: the first rule that matches a request answers it, and decides whether
//! its record is kept or removed. Pure, as `documents.rs`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::answers::{Answers, Rule, Then, When};
use super::documents::{MockRequest, MockResponse};
use super::template::Filling;
use crate::domain::words::one_line;

/// The status for a request that no rule matches.
const NOT_IMPLEMENTED: u16 = 501;

/// The rules, and what is kept by them.
pub(super) struct Canned {
    rules: Vec<Rule>,
    kept: BTreeMap<String, Record>,
    numbers: u64,
    /// Requests that no rule matched, `METHOD path`.
    unanswered: Vec<String>,
}

struct Record {
    number: u64,
    body: String,
}

impl Canned {
    pub(super) fn new(answers: &Answers) -> Self {
        Self { rules: answers.0.clone(), kept: BTreeMap::new(), numbers: 0, unanswered: Vec::new() }
    }

    pub(super) fn len(&self) -> u64 {
        self.kept.len() as u64
    }

    /// Each record with the body that it was kept with.
    pub(super) fn contents(&self) -> Vec<String> {
        self.kept.iter().map(|(key, record)| format!("{key} {}", record.body)).collect()
    }

    /// As others do: writes another text in place of one. Returns the number of records.
    pub(super) fn edit(&mut self, text: &str, other: &str) -> u64 {
        let mut edited = 0;
        for record in self.kept.values_mut().filter(|record| record.body.contains(text)) {
            record.body = record.body.replace(text, other);
            edited += 1;
        }
        edited
    }

    /// As others do: removes every record that holds a text. Returns the number of records.
    pub(super) fn delete(&mut self, text: &str) -> u64 {
        let before = self.len();
        self.kept.retain(|_, record| !record.body.contains(text));
        before - self.len()
    }

    pub(super) fn unanswered(&self) -> &[String] {
        &self.unanswered
    }

    pub(super) fn answer(&mut self, request: &MockRequest) -> MockResponse {
        let segments: Vec<&str> = request.path.trim_matches('/').split('/').collect();
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        for index in 0..self.rules.len() {
            let Some(stars) = self.rules[index].stars(&request.method, &segments) else { continue };
            let filling = Filling { stars: &stars, query: &request.query, body: &body, number: 0, kept: "" };
            let key = self.rules[index].record.as_ref().map(|record| record.fill(&filling, false));
            let is_kept = key.as_ref().is_some_and(|key| self.kept.contains_key(key));
            let fits = match self.rules[index].when {
                None => true,
                Some(When::Kept) => is_kept,
                Some(When::Missing) => !is_kept,
            };
            if fits {
                return self.answer_by(index, key.as_deref(), &filling, request);
            }
        }
        self.unanswered.push(format!("{} {}", request.method, request.path));
        MockResponse { status: NOT_IMPLEMENTED, ..MockResponse::default() }
    }

    fn answer_by(
        &mut self,
        index: usize,
        key: Option<&str>,
        filling: &Filling<'_>,
        request: &MockRequest,
    ) -> MockResponse {
        let rule = &self.rules[index];
        if let (Some(Then::Keep), Some(key)) = (rule.then, key) {
            let body = String::from_utf8_lossy(&request.body).into_owned();
            let numbers = &mut self.numbers;
            let record = self.kept.entry(key.to_owned()).or_insert_with(|| {
                *numbers += 1;
                Record { number: *numbers, body: String::new() }
            });
            record.body = body;
        }
        let record = key.and_then(|key| self.kept.get(key));
        let filling = Filling {
            number: record.map_or(0, |record| record.number),
            kept: record.map_or("", |record| &record.body),
            ..*filling
        };
        let in_json = rule.body_is_json();
        let response = MockResponse {
            status: rule.status,
            headers: rule
                .headers
                .iter()
                .map(|(name, text)| (name.clone(), one_line(&text.fill(&filling, false), usize::MAX)))
                .collect(),
            body: rule.body.fill(&filling, in_json).into_bytes(),
        };
        if let (Some(Then::Forget), Some(key)) = (rule.then, key) {
            self.kept.remove(key);
        }
        response
    }
}

impl Rule {
    /// The segments that its `*` match, if method and path match.
    fn stars<'a>(&self, method: &str, segments: &[&'a str]) -> Option<Vec<&'a str>> {
        if self.method != method || self.path.len() != segments.len() {
            return None;
        }
        let mut stars = Vec::new();
        for (wanted, found) in self.path.iter().zip(segments) {
            match wanted {
                None => stars.push(*found),
                Some(text) if text == found => {}
                Some(_) => return None,
            }
        }
        Some(stars)
    }

    /// By its header; without one, by its first character.
    fn body_is_json(&self) -> bool {
        match self.headers.iter().find(|(name, _)| name == "content-type") {
            Some((_, kind)) => kind.starts_with_text(|text| text.contains("json")),
            None => self.body.starts_with_text(|text| text.trim_start().starts_with(['{', '['])),
        }
    }
}
