//! Reads a TOML file and reports every problem in it at once, with its line.
//!
//! The parser recovers from syntax errors, so that a missing quote on line 3 does not hide a wrong date on line 90. A
//! file with a problem yields no content, so recovered guesses are never used. No message repeats a value. A text that
//! is expensive to parse is refused before (`bounds.rs`). Read next: `section.rs` for reading a table, `problem.rs` for
//! problems.

mod bounds;
mod problem;
mod section;

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

pub use bounds::{TomlError, from_str};
pub use problem::{FileProblem, FileProblems, Findings};
pub use section::{Entry, Section};

/// The largest file in bytes. The parser needs several times as much memory; large imports are for `host import`.
pub const FILE_BYTES_MAX: u64 = 8 << 20;

/// The text of a TOML file with the offsets of its lines.
pub struct SpannedToml {
    path: PathBuf,
    text: String,
    /// The end of the last line with text.
    text_end: usize,
    line_starts: Vec<usize>,
    /// The lines on which tables begin.
    headers: Vec<usize>,
    /// Lines that hold bytes which are not UTF-8; in `text` these bytes are U+FFFD.
    lines_not_utf8: BTreeSet<usize>,
}

impl SpannedToml {
    /// Reads the file.
    ///
    /// # Errors
    /// One problem, when the file is missing, unreadable, a folder, too large or UTF-16.
    pub fn read(path: &Path) -> Result<Self, FileProblems> {
        let fail = |message: String| FileProblems::single(path, &message);
        if path.is_dir() {
            return Err(fail("is a folder, not a file".to_owned()));
        }
        let bytes = crate::files::read(path, FILE_BYTES_MAX).map_err(|error| match error.kind() {
            ErrorKind::NotFound => fail("not found".to_owned()),
            ErrorKind::PermissionDenied => fail("cannot be read: permission denied".to_owned()),
            ErrorKind::FileTooLarge | ErrorKind::InvalidInput => fail(error.to_string()),
            _ => fail(format!("cannot be read: {error}")),
        })?;
        if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
            return Err(fail("is UTF-16: save it as UTF-8 (in PowerShell, `Set-Content -Encoding utf8`)".to_owned()));
        }
        Ok(Self::from_bytes(path, bytes))
    }

    /// Uses bytes that were read elsewhere; `path` is for messages only.
    #[must_use]
    pub fn from_bytes(path: &Path, bytes: Vec<u8>) -> Self {
        let mut lines_not_utf8 = BTreeSet::new();
        let text = String::from_utf8(bytes).unwrap_or_else(|error| {
            let mut line = 1;
            for chunk in error.as_bytes().utf8_chunks() {
                line += chunk.valid().matches('\n').count();
                if !chunk.invalid().is_empty() {
                    lines_not_utf8.insert(line);
                }
            }
            String::from_utf8_lossy(error.as_bytes()).into_owned()
        });
        let line_starts: Vec<usize> =
            std::iter::once(0).chain(text.match_indices('\n').map(|(offset, _)| offset + 1)).collect();
        let is_header = |start: &usize| text[*start..].trim_start_matches([' ', '\t']).starts_with('[');
        let headers = (1..).zip(&line_starts).filter(|(_, start)| is_header(start)).map(|(line, _)| line).collect();
        let text_end = text.trim_end().len();
        Self { path: path.to_owned(), text, text_end, line_starts, headers, lines_not_utf8 }
    }

    /// The file's path, as given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it contains only white space.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.text.trim_start_matches('\u{feff}').trim().is_empty()
    }

    /// Parses the text and reports its syntax errors, one per line, because further errors on a line are consequences.
    /// Returns the recovered content, so that further problems are found; a text beyond its bounds is not parsed.
    pub fn parse(&self, findings: &Findings) -> DeTable<'_> {
        if let Err(error) = bounds::bound(&self.text) {
            findings.note_syntax(self.line(error.offset), "", &error.message);
            return DeTable::default();
        }
        let (table, errors) = DeTable::parse_recoverable(&self.text);
        let table = table.into_inner();
        let nul_lines = self.text.match_indices('\0').map(|(offset, _)| (self.line(offset), "contains a NUL byte"));
        let mut problems: Vec<(usize, String)> = self
            .lines_not_utf8
            .iter()
            .map(|line| (*line, "is not UTF-8"))
            .chain(nul_lines)
            .map(|(line, message)| (line, message.to_owned()))
            .collect();
        problems.extend(errors.iter().map(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            (self.line(offset), error.message().to_owned())
        }));
        if !problems.is_empty() {
            let mut fields = BTreeMap::new();
            self.name_lines(&table, "", &mut fields);
            for (line, message) in problems {
                findings.note_syntax(line, fields.get(&line).map_or("", String::as_str), &message);
            }
        }
        table
    }

    /// Maps lines to fields, as far as the text could be parsed.
    fn name_lines(&self, table: &DeTable<'_>, path: &str, fields: &mut BTreeMap<usize, String>) {
        for (key, value) in table {
            let dot = if path.is_empty() { "" } else { "." };
            let field = format!("{path}{dot}{}", section::printable(key.get_ref()));
            match value.get_ref() {
                DeValue::Table(inner) => self.name_lines(inner, &field, fields),
                DeValue::Array(array) if array.iter().any(|item| item.get_ref().is_table()) => {
                    for (index, item) in array.iter().enumerate() {
                        if let DeValue::Table(inner) = item.get_ref() {
                            self.name_lines(inner, &format!("{field}[{}]", index + 1), fields);
                        }
                    }
                }
                _ => {
                    for line in self.line(key.span().start)..=self.line(value.span().end) {
                        fields.entry(line).or_insert_with(|| field.clone());
                    }
                }
            }
        }
    }

    /// The line of a byte offset, counted from 1. An offset after the end belongs to the last line with text.
    #[must_use]
    pub fn line(&self, offset: usize) -> usize {
        let offset = offset.min(self.text_end);
        self.line_starts.partition_point(|start| *start <= offset)
    }

    /// The line of the header above `line`; the first line if there is none.
    fn header_line(&self, line: usize) -> usize {
        self.headers[..self.headers.partition_point(|header| *header <= line)].last().copied().unwrap_or(1)
    }

    /// The last line of the table whose header is on `line`.
    fn last_line_of_section(&self, line: usize) -> usize {
        let next = self.headers.partition_point(|header| *header <= line);
        self.headers.get(next).map_or(self.line_starts.len(), |next| next - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_become_lines() {
        let document = SpannedToml::from_bytes(Path::new("x.toml"), b"a = 1\n\n[t]\r\nb = 2\n\n\n".to_vec());
        let lines: Vec<_> = [0, 5, 6, 7, 12, 20, 400].map(|offset| document.line(offset)).into();
        assert_eq!(lines, [1, 1, 2, 3, 4, 4, 4]);
        assert_eq!(document.last_line_of_section(1), 2);
    }

    #[test]
    fn a_utf8_byte_order_mark_is_skipped() {
        let document = SpannedToml::from_bytes(Path::new("x.toml"), "\u{feff}a = 1\n".into());
        let findings = Findings::new(document.path());
        assert_eq!(document.parse(&findings).len(), 1);
        assert!(findings.into_result(()).is_ok());
    }

    #[test]
    fn an_unreadable_file_is_one_problem() {
        let folder = tempfile::tempdir().unwrap();
        let utf16 = folder.path().join("utf16.toml");
        std::fs::write(&utf16, [0xFF, 0xFE, b'a', 0]).unwrap();
        for (path, expected) in [
            (folder.path().join("nothing.toml"), "not found"),
            (folder.path().to_owned(), "is a folder"),
            (utf16, "is UTF-16"),
        ] {
            let problems = SpannedToml::read(&path).err().unwrap();
            assert!(problems.to_string().contains(expected), "{problems}");
        }
    }
}
