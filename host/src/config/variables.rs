//! `${VAR}` and `${VAR:-default}` in the configuration, from the environment and a `.env` file next to it.
//!
//! The environment of the process is only read, and takes precedence over the file. Every value may be a secret, so no
//! message repeats one.

use std::collections::BTreeMap;
use std::io::{Cursor, ErrorKind};
use std::path::Path;

use crate::domain::secret::Secret;
use crate::files;
use crate::spanned_toml::FileProblems;

/// The sources of variables.
pub(super) struct Variables<'a> {
    environment: &'a dyn Fn(&str) -> Option<String>,
    file: BTreeMap<String, Secret>,
}

/// A piece of a text with placeholders.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'t> {
    Literal(&'t str),
    Variable { name: &'t str, default: Option<&'t str> },
}

/// The largest `.env` that is read, bytes.
const BYTES_MAX: u64 = 1 << 20;

/// Refuses a world-writable file: whoever can write to it controls the host.
pub(super) fn refuse_open(path: &Path) -> Result<(), FileProblems> {
    match files::world_writable_mode(path) {
        Ok(Some(mode)) => {
            let message = format!("everybody on this machine may write to it (mode {mode:o}); fix: chmod o-w it");
            Err(FileProblems::single(path, &message))
        }
        Ok(None) => Ok(()),
        Err(error) => Err(FileProblems::single(path, &format!("cannot be read: {error}"))),
    }
}

impl<'a> Variables<'a> {
    /// Reads `.env` in `directory`, if there is one.
    ///
    /// # Errors
    /// When the file exists and cannot be read, or has a line that is not `NAME=value`.
    pub(super) fn read(
        directory: &Path,
        environment: &'a dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, FileProblems> {
        let path = directory.join(".env");
        let mut file = BTreeMap::new();
        let text = match files::read_text(&path, BYTES_MAX) {
            Ok(text) => Secret::new(text),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self { environment, file }),
            Err(error) => return Err(FileProblems::single(&path, &format!("cannot be read: {error}"))),
        };
        refuse_open(&path)?;
        let content = text.expose().trim_start_matches('\u{feff}');
        for item in dotenvy::from_read_iter(Cursor::new(content)) {
            let (name, value) = item.map_err(|error| unreadable_line(&path, content, &error))?;
            file.entry(name).or_insert_with(|| Secret::new(value));
        }
        Ok(Self { environment, file })
    }

    fn get(&self, name: &str) -> Option<String> {
        (self.environment)(name).or_else(|| self.file.get(name).map(|value| value.expose().to_owned()))
    }

    /// Replaces the placeholders of a text.
    ///
    /// # Errors
    /// Every placeholder that is malformed or has neither a value nor a default.
    pub(super) fn expand(&self, text: &str) -> Result<String, Vec<String>> {
        self.join(&pieces(text).map_err(|message| vec![message])?, |_| false)
    }

    /// As [`Variables::expand`], for a URL. Variables before the `@` of its authority (user and password) are
    /// percent-encoded, so that a password may hold `@`, `/` or `#`.
    ///
    /// # Errors
    /// As [`Variables::expand`].
    pub(super) fn expand_url(&self, text: &str) -> Result<String, Vec<String>> {
        let pieces = pieces(text).map_err(|message| vec![message])?;
        let at = position_of_at(&pieces);
        self.join(&pieces, |index| at.is_some_and(|at| index < at))
    }

    fn join(&self, pieces: &[Piece<'_>], encoded: impl Fn(usize) -> bool) -> Result<String, Vec<String>> {
        let mut text = String::new();
        let mut problems = Vec::new();
        for (index, piece) in pieces.iter().enumerate() {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Variable { name, default } => {
                    let value = match default {
                        Some(default) => Some(
                            self.get(name).filter(|value| !value.is_empty()).unwrap_or_else(|| (*default).to_owned()),
                        ),
                        None => self.get(name),
                    };
                    match value {
                        Some(value) if encoded(index) => text.push_str(&percent_encode(&value)),
                        Some(value) => text.push_str(&value),
                        None => problems.push(format!(
                            "the environment variable {name} is not set: set it, put it into .env next to this file, \
                             or write ${{{name}:-default}}"
                        )),
                    }
                }
            }
        }
        if problems.is_empty() { Ok(text) } else { Err(problems) }
    }
}

/// The index of the literal piece that holds the `@` between user and host in the URL's authority.
fn position_of_at(pieces: &[Piece<'_>]) -> Option<usize> {
    let mut found = None;
    let mut in_authority = false;
    for (index, piece) in pieces.iter().enumerate() {
        let Piece::Literal(mut literal) = *piece else { continue };
        if !in_authority {
            let Some((_, rest)) = literal.split_once("://") else { continue };
            literal = rest;
            in_authority = true;
        }
        let end = literal.find(['/', '?', '#']);
        if literal[..end.unwrap_or(literal.len())].contains('@') {
            found = Some(index);
        }
        if end.is_some() {
            break;
        }
    }
    found
}

/// Splits at placeholders. `$${` means `${`; any other `$` is a plain dollar sign.
fn pieces(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        if rest[..start].ends_with('$') {
            pieces.push(Piece::Literal(&rest[..start - 1]));
            pieces.push(Piece::Literal("${"));
            rest = &rest[start + 2..];
            continue;
        }
        pieces.push(Piece::Literal(&rest[..start]));
        let inner = &rest[start + 2..];
        let end = inner.find('}').ok_or("holds `${` without `}` (write `$${` for the two characters themselves)")?;
        let (name, default) = match inner[..end].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&inner[..end], None),
        };
        let starts_well = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        if !starts_well || !name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_') {
            return Err("holds a placeholder that is neither ${NAME} nor ${NAME:-default}".to_owned());
        }
        pieces.push(Piece::Variable { name, default });
        rest = &inner[end + 1..];
    }
    pieces.push(Piece::Literal(rest));
    Ok(pieces)
}

fn percent_encode(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.extend([byte >> 4, byte & 15].map(|digit| {
                char::from_digit(u32::from(digit), 16)
                    .expect("invariant: four bits are one hexadecimal digit")
                    .to_ascii_uppercase()
            }));
        }
        encoded
    })
}

/// A message instead of dotenvy's, which repeats the line and may show a password.
fn unreadable_line(path: &Path, text: &str, error: &dotenvy::Error) -> FileProblems {
    let mut problems = FileProblems::single(path, "is not NAME=value");
    if let dotenvy::Error::LineParse(content, _) = error {
        let first = content.lines().next().unwrap_or_default();
        problems.problems[0].line = text.lines().position(|line| line.contains(first)).map(|index| index + 1);
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<String> {
        match name {
            "USER" => Some("kim".to_owned()),
            "PASSWORD" => Some("p@ss/w#r:d".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    fn variables() -> Variables<'static> {
        Variables { environment: &environment, file: BTreeMap::new() }
    }

    #[test]
    fn placeholders_are_replaced() {
        for (text, expected) in [
            ("plain", "plain"),
            ("$5 and $", "$5 and $"),
            ("${USER}", "kim"),
            ("a${USER}b${USER}", "akimbkim"),
            ("${UNSET:-other}", "other"),
            ("${UNSET:-}", ""),
            ("${EMPTY:-other}", "other"),
            ("${EMPTY}", ""),
            ("${USER:-other}", "kim"),
            ("$${USER}", "${USER}"),
            ("${UNSET:-a:-b}", "a:-b"),
        ] {
            assert_eq!(variables().expand(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn an_unknown_placeholder_is_named() {
        let problems = variables().expand("${NO_HOST}:${NO_PORT}").unwrap_err();
        assert!(problems.len() == 2 && problems[0].contains("NO_HOST") && problems[1].contains("NO_PORT"));
        for text in ["${USER", "${}", "${1X}", "${A B}", "${:-x}"] {
            assert!(variables().expand(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_user_and_password_of_a_url_are_encoded() {
        for (text, expected) in [
            ("mysql://${USER}:${PASSWORD}@h/d", "mysql://kim:p%40ss%2Fw%23r%3Ad@h/d"),
            ("mysql://u:${UNSET:-a@b}@${UNSET:-h}:${UNSET:-3306}/d", "mysql://u:a%40b@h:3306/d"),
            ("${UNSET:-mysql://u:p@h/d}", "mysql://u:p@h/d"),
            ("mysql://${UNSET:-[::1]}/d?x=a@b", "mysql://[::1]/d?x=a@b"),
            ("sqlite://${UNSET:-.host}/x.db", "sqlite://.host/x.db"),
        ] {
            assert_eq!(variables().expand_url(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn the_environment_wins_over_the_env_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".env"), "\u{feff}# comment\nUSER=lee\nOTHER='a $b'\nOTHER=second\n")
            .unwrap();
        let variables = Variables::read(folder.path(), &environment).unwrap();
        assert_eq!(variables.expand("${USER} ${OTHER}").unwrap(), "kim a $b");
    }

    #[test]
    fn a_bad_env_line_is_reported_by_number_without_its_text() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".env"), "A=1\nPASSWORD='SECRET\n").unwrap();
        let problems = Variables::read(folder.path(), &environment).err().unwrap().to_string();
        assert!(problems.contains(".env:2: is not NAME=value") && !problems.contains("SECRET"), "{problems}");
    }
}
