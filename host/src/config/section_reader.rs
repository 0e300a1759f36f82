//! Reads a table of the configuration: a [`Section`] with variables in its strings and with defaults.
//!
//! A missing table reads like an empty one, so that every default is in one place.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::SignedDuration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::variables::Variables;
use crate::domain::secret::Secret;
use crate::domain::words::one_of;
use crate::spanned_toml::{Entry, Section};

/// The context of a table that is read.
pub(super) struct Context<'a> {
    /// The sources of variables.
    pub(super) variables: &'a Variables<'a>,
    /// The folder of the configuration, absolute; relative paths begin there.
    pub(super) directory: &'a Path,
}

impl Context<'_> {
    /// The path from the configuration's folder, absolute.
    pub(super) fn resolve(&self, path: impl AsRef<Path>) -> PathBuf {
        let joined = self.directory.join(path);
        std::path::absolute(&joined).unwrap_or(joined)
    }
}

/// How variables are inserted into a string.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Url,
}

/// A table, which may be missing.
pub(super) struct SectionReader<'a> {
    section: Option<Section<'a>>,
    pub(super) context: &'a Context<'a>,
}

impl<'a> SectionReader<'a> {
    pub(super) fn new(section: Section<'a>, context: &'a Context<'a>) -> Self {
        Self { section: Some(section), context }
    }

    pub(super) fn is_present(&self) -> bool {
        self.section.is_some()
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.section.as_ref().is_some_and(|section| section.has(key))
    }

    pub(super) fn note(&self, message: impl Into<String>) {
        if let Some(section) = &self.section {
            section.note(message);
        }
    }

    pub(super) fn note_key(&self, key: &str, message: impl Into<String>) {
        if let Some(section) = &self.section {
            section.note_key(key, message);
        }
    }

    pub(super) fn note_missing(&self, key: &str, message: impl Into<String>) {
        if let Some(section) = &self.section {
            section.note_missing(key, message);
        }
    }

    /// A string with its variables replaced; never empty.
    pub(super) fn text(&mut self, key: &'static str) -> Option<Entry<String>> {
        self.expanded(key, Form::Text)
    }

    /// A URL with its variables replaced, those of user and password percent-encoded.
    pub(super) fn url(&mut self, key: &'static str) -> Option<Secret> {
        self.expanded(key, Form::Url).map(|entry| Secret::new(entry.value))
    }

    /// A string that must not be shown.
    pub(super) fn secret(&mut self, key: &'static str) -> Option<Secret> {
        self.text(key).map(|entry| Secret::new(entry.value))
    }

    /// A path, made absolute.
    pub(super) fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        self.text(key).map(|entry| self.context.resolve(entry.value))
    }

    /// The path of an existing file.
    pub(super) fn file(&mut self, key: &'static str) -> Option<PathBuf> {
        let path = self.path(key)?;
        if !path.is_file() {
            // The value of a variable is not shown: it may be a token that was given by mistake instead of a file.
            let written = self.section.as_mut()?.text(key)?.value;
            self.note_key(
                key,
                if written.contains("${") {
                    "there is no file at the path that its variables make".to_owned()
                } else {
                    format!("there is no file {}", path.display())
                },
            );
        }
        Some(path)
    }

    fn expanded(&mut self, key: &'static str, form: Form) -> Option<Entry<String>> {
        let entry = self.section.as_mut()?.text(key)?;
        let expanded = match form {
            Form::Text => self.context.variables.expand(&entry.value),
            Form::Url => self.context.variables.expand_url(&entry.value),
        };
        match expanded {
            Ok(value) if value.is_empty() => {
                self.note_key(key, "must not be empty");
                None
            }
            Ok(value) => Some(entry.with(value)),
            Err(problems) => {
                for problem in problems {
                    self.note_key(key, problem);
                }
                None
            }
        }
    }

    /// A list of strings with their variables replaced.
    pub(super) fn texts(&mut self, key: &'static str) -> Option<Vec<Entry<String>>> {
        let entries = self.section.as_mut()?.texts(key)?;
        let mut expanded = Vec::with_capacity(entries.len());
        for entry in entries {
            match self.context.variables.expand(&entry.value) {
                Ok(value) => expanded.push(entry.with(value)),
                Err(problems) => problems.into_iter().for_each(|problem| self.note_key(key, problem)),
            }
        }
        Some(expanded)
    }

    /// A whole number, or the default.
    pub(super) fn integer(&mut self, key: &'static str, range: RangeInclusive<u64>, default: u64) -> u64 {
        debug_assert!(range.contains(&default), "invariant: the default of {key} is within its range");
        self.section.as_mut().and_then(|section| section.integer(key, range)).map_or(default, |entry| entry.value)
    }

    /// A count, or the default.
    pub(super) fn count(&mut self, key: &'static str, range: RangeInclusive<u32>, default: u32) -> u32 {
        let wide = u64::from(*range.start())..=u64::from(*range.end());
        u32::try_from(self.integer(key, wide, default.into())).expect("invariant: the range is one of u32")
    }

    /// A duration from one second to one year, as `24h`.
    pub(super) fn duration(&mut self, key: &'static str) -> Option<Duration> {
        const YEAR: Duration = Duration::from_hours(366 * 24);
        let text = self.text(key)?.value;
        let duration = text.parse::<SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
        let duration = duration.filter(|duration| (Duration::from_secs(1)..=YEAR).contains(duration));
        if duration.is_none() {
            self.note_key(key, "must be a duration such as \"24h\" or \"90m\", from \"1s\" to \"8784h\"");
        }
        duration
    }

    /// `true` or `false`, or the default.
    pub(super) fn boolean(&mut self, key: &'static str, default: bool) -> bool {
        self.section.as_mut().and_then(|section| section.boolean(key)).unwrap_or(default)
    }

    /// One value of a closed set.
    pub(super) fn word<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[&str],
        from_word: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(key)?;
        let found = from_word(&text.value);
        if found.is_none() {
            self.note_key(key, format!("must be {}", one_of(words)));
        }
        found
    }

    /// A table within this one. It may be missing.
    pub(super) fn section(&mut self, key: &'static str) -> SectionReader<'a> {
        let section = self.section.as_mut().and_then(|section| section.section(key));
        SectionReader { section, context: self.context }
    }

    /// The tables of a list.
    pub(super) fn sections(&mut self, key: &'static str) -> Vec<SectionReader<'a>> {
        let sections = self.section.as_mut().map(|section| section.array(key)).unwrap_or_default();
        sections.into_iter().map(|section| SectionReader::new(section, self.context)).collect()
    }

    /// The tables within this one, whatever their names.
    pub(super) fn named_sections(&self) -> Vec<(Entry<String>, SectionReader<'a>)> {
        let named = self.section.as_ref().map(Section::named_sections).unwrap_or_default();
        named.into_iter().map(|(name, section)| (name, SectionReader::new(section, self.context))).collect()
    }

    /// The whole table as JSON, without checks; dates become text.
    pub(super) fn json_object(&self) -> serde_json::Map<String, serde_json::Value> {
        let table = self.section.as_ref().map(|section| (section, section.raw()));
        table.map(|(section, table)| self.json_table(section, "", table)).unwrap_or_default()
    }

    fn json_table(
        &self,
        section: &Section<'_>,
        path: &str,
        table: &DeTable<'_>,
    ) -> serde_json::Map<String, serde_json::Value> {
        let dot = if path.is_empty() { "" } else { "." };
        let entry = |(key, value): (&Spanned<Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
            let key = key.get_ref();
            (key.to_string(), self.json(section, &format!("{path}{dot}{key}"), value))
        };
        table.iter().map(entry).collect()
    }

    fn json(&self, section: &Section<'_>, path: &str, value: &Spanned<DeValue<'_>>) -> serde_json::Value {
        let refuse = |message: &str| {
            section.note_at(value, path, message);
            serde_json::Value::Null
        };
        match value.get_ref() {
            DeValue::String(text) => match self.context.variables.expand(text) {
                Ok(text) => text.into(),
                Err(problems) => refuse(&problems.join("; ")),
            },
            DeValue::Integer(digits) => match i64::from_str_radix(digits.as_str(), digits.radix()) {
                Ok(number) => number.into(),
                Err(_) => refuse("holds a number that does not fit 64 bits"),
            },
            DeValue::Float(digits) => {
                match digits.as_str().parse::<f64>().ok().and_then(serde_json::Number::from_f64) {
                    Some(number) => number.into(),
                    None => refuse("holds a number that JSON cannot hold"),
                }
            }
            DeValue::Boolean(boolean) => (*boolean).into(),
            DeValue::Datetime(datetime) => datetime.to_string().into(),
            DeValue::Array(items) => items.iter().map(|item| self.json(section, path, item)).collect(),
            DeValue::Table(table) => self.json_table(section, path, table).into(),
        }
    }

    /// Reports unknown keys. `also` are further known keys.
    pub(super) fn finish(self, also: &[&'static str]) {
        if let Some(section) = self.section {
            section.finish(also);
        }
    }
}
