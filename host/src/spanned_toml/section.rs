//! Reads the keys of one table by type. A key that is never requested is unknown.

use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Findings, SpannedToml};
use crate::domain::spelling::nearest;
use crate::domain::words::{NAME_CHARS_MAX, one_line};

/// A value, its line, and the path by which messages name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<T> {
    /// The value.
    pub value: T,
    /// Counted from 1.
    pub line: usize,
    /// The path, for example `targets.openemr.adapter`.
    pub field: String,
}

impl<T> Entry<T> {
    /// The same line and path with another value.
    pub fn with<U>(&self, value: U) -> Entry<U> {
        Entry { value, line: self.line, field: self.field.clone() }
    }
}

/// A table. Requesting a key makes it known; [`Section::finish`] reports the others.
pub struct Section<'a> {
    document: &'a SpannedToml,
    findings: &'a Findings,
    table: &'a DeTable<'a>,
    path: String,
    line: usize,
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// The document's outermost table.
    #[must_use]
    pub fn root(document: &'a SpannedToml, findings: &'a Findings, table: &'a DeTable<'a>) -> Self {
        Self { document, findings, table, path: String::new(), line: 1, known: Vec::new() }
    }

    /// The line of its header.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }

    /// The path of a key in this table, as messages name it.
    #[must_use]
    pub fn field(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Reports a problem of the table as a whole.
    pub fn note(&self, message: impl Into<String>) {
        self.findings.note(self.line, self.path.clone(), message);
    }

    /// Reports a problem of a key, on the key's line.
    pub fn note_key(&self, key: &str, message: impl Into<String>) {
        let line = self.table.get(key).map_or(self.line, |value| self.line_of(value));
        self.findings.note(line, self.field(key), message);
    }

    /// Reports a problem of a nested value at `path`.
    pub fn note_at<T>(&self, value: &Spanned<T>, path: &str, message: impl Into<String>) {
        self.findings.note(self.line_of(value), self.field(&printable(path)), message);
    }

    /// Reports a missing key, unless a syntax error in this table may have hidden it.
    pub fn note_missing(&self, key: &str, message: impl Into<String>) {
        let lines = self.line..=self.document.last_line_of_section(self.line);
        if !self.findings.has_syntax_error_within(lines) {
            self.findings.note(self.line, self.field(key), message);
        }
    }

    /// Reports a missing nested value, unless a syntax error in this table may have hidden it.
    pub fn note_missing_at(&self, path: &str, message: impl Into<String>) {
        self.note_missing(&printable(path), message);
    }

    /// Marks a key as known that is read by [`Section::raw`].
    pub fn know(&mut self, key: &'static str) {
        self.known.push(key);
    }

    /// Whether the file has the key.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// A string, exactly as written. Anything else is reported and counts as absent.
    pub fn text(&mut self, key: &'static str) -> Option<Entry<String>> {
        let value = self.get(key)?;
        let DeValue::String(text) = value.get_ref() else {
            self.note_key(key, "must be a string");
            return None;
        };
        Some(Entry { value: text.to_string(), line: self.line_of(value), field: self.field(key) })
    }

    /// A string or an unquoted date; the date in its own notation.
    pub fn text_or_date(&mut self, key: &'static str) -> Option<Entry<String>> {
        match self.get(key)?.get_ref() {
            DeValue::Datetime(datetime) => {
                let line = self.table.get(key).map_or(self.line, |value| self.line_of(value));
                Some(Entry { value: datetime.to_string(), line, field: self.field(key) })
            }
            _ => self.text(key),
        }
    }

    /// A whole number within `range`. Anything else is reported and counts as absent.
    pub fn integer(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<Entry<u64>> {
        let value = self.get(key)?;
        let number = match value.get_ref() {
            DeValue::Integer(digits) => u64::from_str_radix(digits.as_str(), digits.radix()).ok(),
            _ => None,
        };
        let Some(number) = number.filter(|number| range.contains(number)) else {
            self.note_key(key, format!("must be a whole number from {} to {}", range.start(), range.end()));
            return None;
        };
        Some(Entry { value: number, line: self.line_of(value), field: self.field(key) })
    }

    /// `true` or `false`. Anything else is reported and counts as absent.
    pub fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let boolean = self.get(key)?.get_ref().as_bool();
        if boolean.is_none() {
            self.note_key(key, "must be true or false");
        }
        boolean
    }

    /// A list of strings. Anything else is reported and counts as absent.
    pub fn texts(&mut self, key: &'static str) -> Option<Vec<Entry<String>>> {
        let value = self.get(key)?;
        let texts = value.get_ref().as_array().and_then(|array| {
            let entry = |item: &Spanned<DeValue<'_>>| {
                let value = item.get_ref().as_str()?.to_owned();
                Some(Entry { value, line: self.line_of(item), field: self.field(key) })
            };
            array.iter().map(entry).collect()
        });
        if texts.is_none() {
            self.note_key(key, "must be a list of strings");
        }
        texts
    }

    /// A table within this one. Anything else is reported and counts as absent.
    pub fn section(&mut self, key: &'static str) -> Option<Section<'a>> {
        let value = self.get(key)?;
        let section = self.below(key, value);
        if section.is_none() {
            self.note_key(key, format!("must be a table: write [{}]", self.field(key)));
        }
        section
    }

    /// The tables within this one by name, for `[targets.NAME]`.
    #[must_use]
    pub fn named_sections(&self) -> Vec<(Entry<String>, Section<'a>)> {
        let named = |(key, value): (&'a Spanned<_>, &'a Spanned<DeValue<'a>>)| {
            let name: &str = AsRef::<str>::as_ref(key.get_ref());
            let section = self.below(name, value);
            if section.is_none() {
                self.note_key(name, format!("must be a table: write [{}]", self.field(name)));
            }
            let line = self.document.line(key.span().start);
            Some((Entry { value: name.to_owned(), line, field: self.field(name) }, section?))
        };
        self.table.iter().filter_map(named).collect()
    }

    /// The tables of `[[key]]`, counted from 1 in messages.
    pub fn array(&mut self, key: &'static str) -> Vec<Section<'a>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let Some(array) = value.get_ref().as_array() else {
            self.note_key(key, format!("must be a list of tables: write [[{key}]]"));
            return Vec::new();
        };
        let mut sections = Vec::with_capacity(array.len());
        for (index, item) in array.iter().enumerate() {
            let name = format!("{key}[{}]", index + 1);
            match self.below(&name, item) {
                Some(section) => sections.push(section),
                None => self.findings.note(
                    self.line_of(item),
                    self.field(&name),
                    format!("must be a table: write [[{key}]]"),
                ),
            }
        }
        sections
    }

    /// The whole parsed table, for free-form content.
    #[must_use]
    pub fn raw(&self) -> &'a DeTable<'a> {
        self.table
    }

    /// The line of a value of the tree.
    #[must_use]
    pub fn line_of<T>(&self, value: &Spanned<T>) -> usize {
        self.document.line(value.span().start)
    }

    /// Reports unknown keys. `also` are further known keys.
    pub fn finish(self, also: &[&'static str]) {
        for (key, _) in self.table {
            let name: &str = key.get_ref();
            let known = || self.known.iter().chain(also).copied();
            if !known().any(|known| known == name) {
                let line = self.document.line(key.span().start);
                if self.findings.has_syntax_error_on(self.document.header_line(line)) {
                    continue; // its header could not be read, so it belongs elsewhere
                }
                // Searching for a similar key is slow, so it ends when no more problems are kept.
                let near = if self.findings.is_full() { None } else { nearest(name, known()) };
                let hint = near.map(|word| format!("; did you mean `{word}`?")).unwrap_or_default();
                self.findings.note(line, self.field(&printable(name)), format!("unknown key{hint}"));
            }
        }
    }

    fn get(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.push(key);
        self.table.get(key)
    }

    fn below(&self, name: &str, value: &'a Spanned<DeValue<'a>>) -> Option<Section<'a>> {
        let table = value.get_ref().as_table()?;
        Some(Section {
            document: self.document,
            findings: self.findings,
            table,
            path: self.field(name),
            line: self.line_of(value),
            known: Vec::new(),
        })
    }
}

/// A key of the file, short and without control characters, for messages.
pub(super) fn printable(key: &str) -> String {
    one_line(key, NAME_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn problems(text: &str, read: impl FnOnce(&mut Section<'_>)) -> Vec<String> {
        let document = SpannedToml::from_bytes(Path::new("x.toml"), text.into());
        let findings = Findings::new(document.path());
        let table = document.parse(&findings);
        let mut root = Section::root(&document, &findings, &table);
        read(&mut root);
        root.finish(&[]);
        findings
            .into_result(())
            .map_or_else(|problems| problems.to_string().lines().map(str::to_owned).collect(), |()| Vec::new())
    }

    #[test]
    fn wrong_types_and_unknown_keys_are_named_with_their_lines() {
        let text =
            "name = 1\ncount = 1_000\nbig = 0x10\nnegative = -1\n\nflag = 'yes'\nlist = [1]\ntable = 1\ncolor = 1\n";
        let found = problems(text, |root| {
            assert!(root.text("name").is_none());
            assert_eq!(root.integer("count", 1..=1000).unwrap().value, 1000);
            assert_eq!(root.integer("big", 1..=16).unwrap().value, 16);
            assert!(root.integer("negative", 0..=9).is_none());
            assert!(root.boolean("flag").is_none());
            assert!(root.texts("list").is_none());
            assert!(root.section("table").is_none());
            assert!(root.text("colour").is_none());
        });
        assert_eq!(
            found,
            [
                "x.toml:1: name: must be a string",
                "x.toml:4: negative: must be a whole number from 0 to 9",
                "x.toml:6: flag: must be true or false",
                "x.toml:7: list: must be a list of strings",
                "x.toml:8: table: must be a table: write [table]",
                "x.toml:9: color: unknown key; did you mean `colour`?",
            ]
        );
    }

    #[test]
    fn hostile_crowd_of_unknown_keys_is_reported_quickly() {
        use std::fmt::Write as _;
        let mut text = String::from("[[rows]]\nname = 'a'\n");
        (0..40_000).for_each(|number| writeln!(text, "k{number} = 1").unwrap());
        let began = std::time::Instant::now();
        let found = problems(&text, |root| {
            for mut row in root.array("rows") {
                row.text("name");
                row.finish(&[]);
            }
        });
        assert_eq!(found.len(), 1_001);
        assert_eq!(found[1_000], "x.toml: and 39000 more problems");
        assert!(began.elapsed() < std::time::Duration::from_secs(10), "{:?}", began.elapsed());
    }

    #[test]
    fn a_syntax_error_neither_hides_other_problems_nor_adds_false_ones() {
        let text = "[[rows]]\nname = \"a\nkey = 1\n[[rows]]\nkey = 2\n";
        let found = problems(text, |root| {
            for mut row in root.array("rows") {
                if row.text("name").is_none() {
                    row.note_missing("name", "is missing");
                }
                if row.text("other").is_none() {
                    row.note_missing("other", "is missing");
                }
                row.finish(&[]);
            }
        });
        assert_eq!(
            found,
            [
                "x.toml:2: rows[1].name: invalid basic string, expected `\"`",
                "x.toml:3: rows[1].key: unknown key",
                "x.toml:4: rows[2].name: is missing",
                "x.toml:4: rows[2].other: is missing",
                "x.toml:5: rows[2].key: unknown key",
            ]
        );
    }

    #[test]
    fn keys_under_a_broken_header_are_not_blamed_on_the_table_before() {
        let found = problems("[known]\n[broken\nkey = 1\n", |root| {
            root.section("known").unwrap().finish(&[]);
        });
        assert_eq!(found, ["x.toml:2: unclosed table, expected `]`"]);
    }
}
