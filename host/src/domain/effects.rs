//! The effects of an attempt: the statements and requests that an adapter ran at its target, as templates with counts.
//!
//! A template never holds a value: a statement has `?` for each parameter and literal, a request's path has `{id}` for
//! each part that may be an id. The list is bounded; what does not fit is only counted. Read next: `attempt.rs`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The maximum number of different templates of one attempt.
pub const TEMPLATES_MAX: usize = 64;
/// The maximum length of all templates of one attempt, in bytes.
pub const TEMPLATE_BYTES_MAX: usize = 16 << 10;
/// The maximum length of a path's part, or of a parameter's name, that is kept.
const PART_BYTES_MAX: usize = 64;

/// A statement or a request without its values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Template {
    /// One statement, with `?` for each parameter and literal.
    Statement {
        /// The text.
        #[serde(with = "shared_text")]
        sql: Arc<str>,
    },
    /// One HTTP request.
    Request {
        /// For example `PUT`.
        method: String,
        /// The path below the target's `base_url`, with the names of the query's parameters.
        path: String,
        /// The response's status; `None` without a response.
        status: Option<u16>,
    },
}

/// A shared text in JSON.
mod shared_text {
    use std::sync::Arc;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
        String::deserialize(deserializer).map(Arc::from)
    }
}

impl Template {
    fn bytes(&self) -> usize {
        match self {
            Self::Statement { sql } => sql.len(),
            Self::Request { method, path, .. } => method.len() + path.len(),
        }
    }
}

/// One template, and how often it ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// What ran.
    pub template: Template,
    /// How often.
    pub count: u64,
    /// Rows that a statement read or changed, all runs together.
    pub rows: u64,
    /// How often the host or the target refused it.
    pub refused: u64,
}

/// All effects of an attempt, in the order in which each template ran first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    list: Vec<Effect>,
    bytes: usize,
    others: u64,
}

/// The part of the stored form that differs from attempt to attempt.
#[derive(Serialize, Deserialize)]
struct StoredCounts {
    /// Count, rows and refused, in the order of the templates.
    counts: Vec<(u64, u64, u64)>,
    #[serde(default, skip_serializing_if = "is_zero")]
    others: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Effects {
    /// The effects that were recorded with their templates.
    #[must_use]
    pub fn list(&self) -> &[Effect] {
        &self.list
    }

    /// How many statements and requests ran whose template did not fit.
    #[must_use]
    pub fn others(&self) -> u64 {
        self.others
    }

    /// Whether nothing ran.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty() && self.others == 0
    }

    /// Counts one run of a statement; `rows` is `None` when it was refused.
    pub fn add_statement(&mut self, sql: &Arc<str>, rows: Option<u64>) {
        let is_same = |template: &Template| match template {
            // The same text is nearly always the same allocation, that of the cached verdict.
            Template::Statement { sql: known } => Arc::ptr_eq(known, sql) || known == sql,
            Template::Request { .. } => false,
        };
        self.add(is_same, || Template::Statement { sql: Arc::clone(sql) }, rows);
    }

    /// Counts one request.
    pub fn add_request(&mut self, method: &str, path: &str, status: Option<u16>) {
        let is_same = |template: &Template| match template {
            Template::Statement { .. } => false,
            Template::Request { method: known_method, path: known_path, status: known_status } => {
                known_method == method && known_path == path && *known_status == status
            }
        };
        let template = || Template::Request { method: method.to_owned(), path: path.to_owned(), status };
        self.add(is_same, template, Some(0));
    }

    fn add(&mut self, is_same: impl Fn(&Template) -> bool, template: impl FnOnce() -> Template, rows: Option<u64>) {
        let known = self.list.iter().position(|effect| is_same(&effect.template));
        let index = known.unwrap_or(self.list.len());
        if known.is_none() {
            let template = template();
            let bytes = self.bytes + template.bytes();
            if self.list.len() >= TEMPLATES_MAX || bytes > TEMPLATE_BYTES_MAX {
                self.others += 1;
                return;
            }
            self.bytes = bytes;
            self.list.push(Effect { template, count: 0, rows: 0, refused: 0 });
        }
        let effect = &mut self.list[index];
        effect.count += 1;
        effect.rows += rows.unwrap_or_default();
        effect.refused += u64::from(rows.is_none());
    }

    /// The templates as the store keeps them. Many attempts have the same.
    ///
    /// # Panics
    /// Never: texts and numbers are JSON.
    #[must_use]
    pub fn stored_templates(&self) -> String {
        let templates: Vec<_> = self.list.iter().map(|effect| &effect.template).collect();
        serde_json::to_string(&templates).expect("invariant: templates are JSON")
    }

    /// The counts as the store keeps them.
    ///
    /// # Panics
    /// Never: numbers are JSON.
    #[must_use]
    pub fn stored_counts(&self) -> String {
        let counts = self.list.iter().map(|effect| (effect.count, effect.rows, effect.refused)).collect();
        serde_json::to_string(&StoredCounts { counts, others: self.others }).expect("invariant: counts are JSON")
    }

    /// The effects from their stored form; `None` when it cannot be read.
    #[must_use]
    pub fn from_stored(templates: &str, counts: &str) -> Option<Self> {
        let templates: Vec<Template> = serde_json::from_str(templates).ok()?;
        let StoredCounts { counts, others } = serde_json::from_str(counts).ok()?;
        if templates.len() != counts.len() {
            return None;
        }
        let bytes = templates.iter().map(Template::bytes).sum();
        let effect = |(template, (count, rows, refused))| Effect { template, count, rows, refused };
        Some(Self { list: templates.into_iter().zip(counts).map(effect).collect(), bytes, others })
    }
}

/// The template of a request's path below `base_path`, with the names of the query's parameters.
///
/// Only the first part may be a plain word: a resource's type or a collection. Later parts are kept where the protocol
/// itself gives them their meaning (`$everything`, `_history`). Every other part may be an id, or hold a name.
#[must_use]
pub fn path_template(base_path: &str, path: &str, query: Option<&str>) -> String {
    let below =
        path.strip_prefix(base_path.trim_end_matches('/')).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let parts = below.unwrap_or(path).split('/').filter(|part| !part.is_empty());
    let mut template = String::new();
    for (index, part) in parts.enumerate() {
        template.push('/');
        let is_kept = index == 0 && is_word(part) || part.strip_prefix(['$', '_']).is_some_and(is_word);
        template.push_str(if is_kept { part } else { "{id}" });
    }
    if template.is_empty() {
        template.push('/');
    }
    let names: Vec<_> = query.into_iter().flat_map(|query| query.split('&')).map(parameter_name).collect();
    for (index, name) in names.iter().enumerate().filter(|(index, name)| !names[..*index].contains(name)) {
        template.push(if index == 0 { '?' } else { '&' });
        template.push_str(name);
    }
    template
}

fn is_word(part: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphabetic() || byte == b'-';
    !part.is_empty() && part.len() <= PART_BYTES_MAX && part.bytes().all(is_plain)
}

/// The name of a parameter of a query. What has no value may be one itself.
fn parameter_name(parameter: &str) -> &str {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
    match parameter.split_once('=') {
        Some((name, _)) if !name.is_empty() && name.len() <= PART_BYTES_MAX && name.bytes().all(is_plain) => name,
        Some(_) | None => "{value}",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_template_is_counted_once_with_all_its_rows() {
        let (one, again): (Arc<str>, Arc<str>) = ("SELECT ?".into(), "SELECT ?".into());
        let mut effects = Effects::default();
        effects.add_statement(&one, Some(2));
        effects.add_statement(&again, Some(3));
        effects.add_statement(&one, None);
        effects.add_request("GET", "/Patient/{id}", Some(200));
        effects.add_request("GET", "/Patient/{id}", Some(404));
        effects.add_request("GET", "/Patient/{id}", None);
        effects.add_request("GET", "/Patient/{id}", Some(200));
        let counts: Vec<_> = effects.list().iter().map(|effect| (effect.count, effect.rows, effect.refused)).collect();
        assert_eq!(counts, [(3, 5, 1), (2, 0, 0), (1, 0, 0), (1, 0, 0)]);
        let stored = Effects::from_stored(&effects.stored_templates(), &effects.stored_counts());
        assert_eq!(stored, Some(effects));
    }

    #[test]
    fn effects_are_bounded_in_number_and_bytes() {
        let mut many = Effects::default();
        for number in 0..200 {
            many.add_statement(&format!("SELECT {number}").into(), Some(1));
        }
        assert_eq!((many.list().len(), many.others()), (TEMPLATES_MAX, 200 - TEMPLATES_MAX as u64));
        let mut long = Effects::default();
        for number in 0..3 {
            long.add_statement(&format!("{number}{}", "x".repeat(TEMPLATE_BYTES_MAX / 2)).into(), Some(1));
        }
        assert_eq!((long.list().len(), long.others()), (1, 2));
        assert!(!long.is_empty() && Effects::default().is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_no_effect() {
        assert_eq!(Effects::from_stored("[]", "{\"counts\":[[1,1,0]]}"), None, "a count without a template");
        assert_eq!(Effects::from_stored("no", "{\"counts\":[]}"), None);
        assert_eq!(Effects::from_stored("[]", "{\"counts\":[]}"), Some(Effects::default()));
    }

    #[test]
    fn a_path_keeps_no_value() {
        for (path, query, expected) in [
            ("/fhir/Patient/123", None, "/Patient/{id}"),
            ("/fhir/Patient/kim/$everything", None, "/Patient/{id}/$everything"),
            ("/fhir/Patient/1/_history/2", None, "/Patient/{id}/_history/{id}"),
            ("/fhir/Patient", Some("name:exact=Kim&birthdate=1980&name:exact=Lee"), "/Patient?name:exact&birthdate"),
            ("/fhir/Patient", Some("Kim&%EA%B9%80=1&=2"), "/Patient?{value}"),
            ("/fhir/P-1", None, "/{id}"),
            ("/fhir/Patient/Kim/Lee", None, "/Patient/{id}/{id}"),
            ("/fhir", None, "/"),
            ("/fhirs/Patient", None, "/fhirs/{id}"),
            ("/fhir/$", Some(""), "/{id}?{value}"),
        ] {
            assert_eq!(path_template("/fhir/", path, query), expected, "{path}");
        }
    }
}
