//! Reads the template files, and expands fragments until only SQL and parameters are left.
//!
//! It handles headers, comments, `{fragments}` and the clause order that only MySQL has. It contains no SQL. Read next:
//! `render.rs`.

use std::collections::BTreeMap;

use super::{CONSTANTS, Names, Now};
use crate::database::Dialect;
use crate::domain::delivery::{Entry, Event, Status, Transition};

/// A fragment that expands to itself would never end.
const DEPTH_MAX: usize = 16;

struct Fragment<'a> {
    /// Names in braces in its text. The last takes all further arguments when it ends in `...`.
    arguments: Vec<&'a str>,
    text: String,
}

/// The templates and fragments for one database.
pub(super) struct Library<'a> {
    dialect: Dialect,
    fragments: BTreeMap<String, Fragment<'a>>,
    statements: BTreeMap<&'a str, String>,
}

/// The fragments of statuses: `{pending}` and its siblings; `{from_claim}` and `{to_claim}` for each event;
/// `{at_queue}` for each way in which a delivery begins. `domain::delivery` decides what they are.
pub(super) fn statuses() -> Vec<(String, String)> {
    let quoted = |status: &Status| format!("'{}'", status.as_str());
    let mut all: Vec<_> = Status::ALL.iter().map(|status| (status.as_str().to_owned(), quoted(status))).collect();
    for event in Event::ALL {
        let Transition { from, to } = Transition::of(event);
        let name = snake_case(&format!("{event:?}"));
        all.push((format!("from_{name}"), from.iter().map(quoted).collect::<Vec<_>>().join(", ")));
        all.push((format!("to_{name}"), quoted(&to)));
    }
    all.extend(Entry::ALL.map(|entry| (format!("at_{}", snake_case(&format!("{entry:?}"))), quoted(&entry.status()))));
    all
}

fn snake_case(name: &str) -> String {
    let word = |(index, character): (usize, char)| match character {
        upper if upper.is_ascii_uppercase() && index > 0 => format!("_{}", upper.to_ascii_lowercase()),
        other => other.to_ascii_lowercase().to_string(),
    };
    name.chars().enumerate().map(word).collect()
}

impl<'a> Library<'a> {
    pub(super) fn read(
        dialect: Dialect,
        names: &Names<'_>,
        fragments: &[&'a str],
        templates: &[&'a str],
    ) -> Result<Self, String> {
        let mut library = Self { dialect, fragments: BTreeMap::new(), statements: BTreeMap::new() };
        for (name, number) in CONSTANTS {
            library.define(name, Vec::new(), number.to_string())?;
        }
        for (name, text) in statuses() {
            library.define(&name, Vec::new(), text)?;
        }
        let now = if names.now == Now::Database { dialect.now_ms() } else { ":now" };
        library.define("now", Vec::new(), now.to_owned())?;
        library.define("collation", Vec::new(), names.collation.to_owned())?;
        library.define("users_table", Vec::new(), names.users_table.to_owned())?;
        for source in fragments.iter().chain(templates).copied() {
            library.read_file(source)?;
        }
        Ok(library)
    }

    pub(super) fn statements(&self) -> impl Iterator<Item = &'a str> {
        self.statements.keys().copied()
    }

    /// A statement's text, with only SQL and parameters left.
    pub(super) fn expand(&self, name: &str) -> Result<String, String> {
        let text = self.statements.get(name).ok_or_else(|| format!("there is no template `{name}`"))?;
        let text = self.expand_text(text, &[], 0).map_err(|error| format!("`{name}`: {error}"))?;
        Ok(if self.dialect == Dialect::MySql { join_update(&text) } else { text })
    }

    fn define(&mut self, name: &str, arguments: Vec<&'a str>, text: String) -> Result<(), String> {
        match self.fragments.insert(name.to_owned(), Fragment { arguments, text }) {
            None => Ok(()),
            Some(_) => Err(format!("the fragment `{name}` is there twice")),
        }
    }

    /// Ignores comments and the lines before the first header.
    fn read_file(&mut self, source: &'a str) -> Result<(), String> {
        let mut header = None;
        let mut text = String::new();
        for line in source.lines() {
            if line.starts_with("-- name: ") || line.starts_with("-- fragment: ") {
                self.keep(header.replace(line), &text)?;
                text.clear();
            } else if !line.trim_start().starts_with("--") {
                text.push_str(line.trim_end());
                text.push('\n');
            }
        }
        self.keep(header, &text)
    }

    fn keep(&mut self, header: Option<&'a str>, text: &str) -> Result<(), String> {
        let Some((kind, header)) = header.and_then(|header| header.split_once(": ")) else { return Ok(()) };
        // ` (mysql)` at the end: with a blank, unlike arguments.
        let (name, only) = header.split_once(" (").unwrap_or((header, ""));
        if !only.is_empty() && !only.trim_end_matches(')').split(", ").any(|word| word == word_of(self.dialect)) {
            return Ok(());
        }
        let text = text.trim_matches('\n').trim_end_matches(';').to_owned();
        if kind == "-- name" {
            return match self.statements.insert(name, text) {
                None => Ok(()),
                Some(_) => Err(format!("the template `{name}` is there twice")),
            };
        }
        let (name, arguments) = name.split_once('(').unwrap_or((name, ""));
        let arguments = arguments.trim_end_matches(')').split(", ").filter(|argument| !argument.is_empty()).collect();
        self.define(name, arguments, text)
    }

    fn expand_text(&self, text: &str, arguments: &[(&str, String)], depth: usize) -> Result<String, String> {
        if depth > DEPTH_MAX {
            return Err("a fragment holds itself".to_owned());
        }
        let mut out = String::with_capacity(text.len() * 2);
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            out.push_str(&rest[..at]);
            let end = closing(&rest[at..]).ok_or("a brace is not closed")?;
            let expanded = self.expand_call(&rest[at + 1..at + end], arguments, depth)?;
            if expanded.is_empty() && out.ends_with(' ') {
                out.pop();
            }
            let line = out.rfind('\n').map_or(out.as_str(), |at| &out[at + 1..]);
            let margin = line.len() - line.trim_start().len() + 4;
            out.push_str(&expanded.replace('\n', &format!("\n{}", " ".repeat(margin))));
            rest = &rest[at + end + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }

    fn expand_call(&self, call: &str, scope: &[(&str, String)], depth: usize) -> Result<String, String> {
        if let Some((_, text)) = scope.iter().find(|(name, _)| *name == call) {
            return Ok(text.clone());
        }
        let (name, given) = call
            .split_once('(')
            .map_or((call, ""), |(name, given)| (name, given.strip_suffix(')').unwrap_or_default()));
        let given = split(given).into_iter().map(|argument| self.expand_text(argument, scope, depth + 1));
        let mut given = given.collect::<Result<Vec<_>, _>>()?;
        if name == "batch" {
            return self.batch(&given, depth);
        }
        let fragment = self.fragments.get(name).ok_or_else(|| format!("there is no fragment `{name}`"))?;
        if let Some(rest) =
            fragment.arguments.last().filter(|name| name.ends_with("...")).map(|_| fragment.arguments.len() - 1)
            && given.len() > rest
        {
            let last = given.split_off(rest).join(", ");
            given.push(last);
        }
        if given.len() != fragment.arguments.len() {
            return Err(format!("`{name}` takes {} arguments, not {}", fragment.arguments.len(), given.len()));
        }
        let arguments: Vec<_> = fragment.arguments.iter().map(|name| name.trim_end_matches('.')).zip(given).collect();
        self.expand_text(&fragment.text, &arguments, depth + 1)
    }

    /// `{batch(outbox_id integer, status text)}`: the parameter `:batch` as a table `j` with these columns.
    fn batch(&self, columns: &[String], depth: usize) -> Result<String, String> {
        let column = |column: &String| {
            let (name, kind) =
                column.split_once(' ').ok_or_else(|| format!("a batch's column needs a type: {column}"))?;
            self.expand_call(&format!("batch_{kind}({name})"), &[], depth)
        };
        let columns = columns.iter().map(column).collect::<Result<Vec<_>, _>>()?;
        self.expand_call(&format!("batch_of({})", columns.join(", ")), &[], depth)
    }
}

fn word_of(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "sqlite",
        Dialect::MySql => "mysql",
        Dialect::Postgres => "postgres",
    }
}

/// The position of the brace that closes the first one of the text.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    text.char_indices().find_map(|(at, character)| {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        (depth == 0).then_some(at)
    })
}

/// Splits at the commas outside of parentheses and braces.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut begin) = (Vec::new(), 0_usize, 0);
    for (at, character) in text.char_indices() {
        match character {
            '(' | '{' => depth += 1,
            ')' | '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(text[begin..at].trim());
                begin = at + 1;
            }
            _ => {}
        }
    }
    if !text[begin..].trim().is_empty() {
        parts.push(text[begin..].trim());
    }
    parts
}

/// `UPDATE t SET x = ... FROM j WHERE ...` as MySQL has it: `UPDATE j STRAIGHT_JOIN t ON ... SET t.x = ...`.
/// The clauses begin their lines, which no clause of a subquery does.
fn join_update(text: &str) -> String {
    let clauses = || {
        let (table, rest) = text.strip_prefix("UPDATE ")?.split_once("\nSET ")?;
        let (assignments, rest) = rest.split_once("\nFROM ")?;
        let (rows, condition) = rest.split_once("\nWHERE ")?;
        Some((table, assignments, rows, condition))
    };
    let Some((table, assignments, rows, condition)) = clauses() else { return text.to_owned() };
    let assignments: Vec<_> = split(assignments).into_iter().map(|assignment| format!("t.{assignment}")).collect();
    format!("UPDATE {rows}\nSTRAIGHT_JOIN {table}\n   ON {condition}\nSET {}", assignments.join(",\n    "))
}
