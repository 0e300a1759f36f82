//! Compares what two adapters wrote into a database for the same changes. Pure functions over their transcripts.
//!
//! Statements that changed no row, and those that only read, are no effect. A value counts as the same if it is equal.
//! A value that differs between two runs of the previous adapter too was made by the database (the id of a new row):
//! it counts as the same if it came from the same answer in both runs.

use std::collections::{BTreeSet, HashSet};

use super::align::{Pair, align};
use crate::database::{Dialect, Value};
use crate::domain::effect_difference::{EffectDifference, EffectDifferenceKind, EffectDifferences};
use crate::plugin::{Operation, OperationResult, StatementParts, TranscriptEntry, statement_parts};

/// A statement that changed rows.
struct Write {
    parts: StatementParts,
    /// The values of its slots.
    values: Vec<Value>,
    rows: u64,
    inserted_id: Option<u64>,
    /// The reads since the write before.
    reads: Vec<Read>,
}

/// An answer of the database.
struct Read {
    sql: String,
    parameters: Vec<Value>,
    rows: Vec<Vec<Value>>,
}

/// What a run wrote.
pub(super) struct Written(Vec<Write>);

/// Which values of a run differ between two runs of one adapter: by the number of the statement and of the value.
#[derive(Default)]
pub(super) struct Unstable(HashSet<(usize, usize)>);

impl Written {
    pub(super) fn of(dialect: Dialect, entries: &[TranscriptEntry]) -> Self {
        let mut writes = Vec::new();
        let mut reads = Vec::new();
        for entry in entries {
            let Operation::Statement { sql, parameters, .. } = &entry.operation else { continue };
            match &entry.result {
                Some(OperationResult::Rows(rows)) => {
                    reads.push(Read { sql: sql.clone(), parameters: parameters.clone(), rows: rows.rows.clone() });
                }
                Some(OperationResult::Changed(done)) if done.rows_affected > 0 => {
                    // It ran, so that the judge of statements can read it.
                    let Some(parts) = statement_parts(dialect, sql) else { continue };
                    writes.push(Write {
                        values: values(&parts, parameters),
                        parts,
                        rows: done.rows_affected,
                        inserted_id: done.last_insert_id,
                        reads: std::mem::take(&mut reads),
                    });
                }
                _ => {}
            }
        }
        Self(writes)
    }

    /// The values in which another run of the same adapter differs; `None` when that ran other statements.
    pub(super) fn unstable(&self, again: &Self) -> Option<Unstable> {
        let is_same = |one: &Write, other: &Write| {
            one.parts.template == other.parts.template
                && one.values.len() == other.values.len()
                && one.rows == other.rows
        };
        let same = self.0.len() == again.0.len() && self.0.iter().zip(&again.0).all(|(one, other)| is_same(one, other));
        same.then(|| {
            let pairs = self.0.iter().zip(&again.0).enumerate();
            let places = pairs.flat_map(|(number, (one, other))| {
                let differs = move |slot: &usize| one.values[*slot] != other.values[*slot];
                (0..one.values.len()).filter(differs).map(move |slot| (number, slot))
            });
            Unstable(places.collect())
        })
    }
}

/// The values of a statement's slots, in order.
fn values(parts: &StatementParts, parameters: &[Value]) -> Vec<Value> {
    let mut parameters = parameters.iter();
    let value = |literal: &Option<String>| match literal {
        Some(literal) => Value::Text(literal.clone()),
        None => parameters.next().cloned().unwrap_or(Value::Null),
    };
    parts.slots.iter().map(|slot| &slot.literal).map(value).collect()
}

/// In what the new adapter's writes differ from the old one's.
pub(super) fn differences(old: &Written, new: &Written, unstable: &Unstable) -> EffectDifferences {
    let mut found = EffectDifferences::default();
    let mut origins = Origins::default();
    let key = |write: &Write| (write.parts.verb, write.parts.table.clone());
    let (mut old_reads, mut new_reads) = (Vec::new(), Vec::new());
    for pair in align(&old.0, &new.0, |write| write.parts.template.as_str(), key) {
        let (old_index, new_index) = pair.indexes();
        old_reads.extend(old_index.iter().flat_map(|index| &old.0[*index].reads));
        new_reads.extend(new_index.iter().flat_map(|index| &new.0[*index].reads));
        match pair {
            Pair::Both(old_index, new_index) => {
                origins.read(&std::mem::take(&mut old_reads), &std::mem::take(&mut new_reads));
                let (one, other) = (&old.0[old_index], &new.0[new_index]);
                let is_unstable = |slot: usize| unstable.0.contains(&(old_index, slot));
                compare(one, other, &is_unstable, &origins, &mut found);
                origins.inserted(one.inserted_id, other.inserted_id);
            }
            Pair::Old(index) => found.add(whole(EffectDifferenceKind::Missing, &old.0[index].parts)),
            Pair::New(index) => found.add(whole(EffectDifferenceKind::Additional, &new.0[index].parts)),
        }
    }
    found
}

fn whole(kind: EffectDifferenceKind, parts: &StatementParts) -> EffectDifference {
    EffectDifference::new(kind, &sentence(parts), Some(&parts.template))
}

fn sentence(parts: &StatementParts) -> String {
    let between = match parts.verb {
        "INSERT" => "into",
        "DELETE" => "from",
        _ => "of",
    };
    format!("{} {between} {}", parts.verb, parts.table)
}

/// Compares two statements that are for the same.
fn compare(
    old: &Write,
    new: &Write,
    is_unstable: &dyn Fn(usize) -> bool,
    origins: &Origins,
    found: &mut EffectDifferences,
) {
    let table = &new.parts.table;
    let template = Some(new.parts.template.as_str());
    let place = |column: &str| format!("{table}.{column}");
    if old.parts.template != new.parts.template || old.values.len() != new.values.len() {
        let columns = |write: &Write| write.parts.columns.iter().cloned().collect::<BTreeSet<_>>();
        let (before, now) = (columns(old), columns(new));
        for column in before.difference(&now) {
            found.add(EffectDifference::new(EffectDifferenceKind::NotWritten, &place(column), template));
        }
        for column in now.difference(&before) {
            found.add(EffectDifference::new(EffectDifferenceKind::AlsoWritten, &place(column), template));
        }
        if before == now {
            found.add(whole(EffectDifferenceKind::OtherStatement, &new.parts));
        }
        return compare_columns(old, new, &before.intersection(&now).cloned().collect(), found);
    }
    for (index, slot) in new.parts.slots.iter().enumerate() {
        let (one, other) = (&old.values[index], &new.values[index]);
        if one == other || (is_unstable(index) && origins.are_of_one(one, other)) {
            continue;
        }
        let kind = if slot.is_written { EffectDifferenceKind::OtherValue } else { EffectDifferenceKind::OtherRecord };
        let unnamed = format!("value {}", index + 1);
        found.add(EffectDifference::new(kind, &place(slot.column.as_deref().unwrap_or(&unnamed)), template));
    }
    if old.rows != new.rows {
        found.add(whole(EffectDifferenceKind::OtherRows, &new.parts));
    }
}

/// Compares the values of the columns that two different statements both write.
fn compare_columns(old: &Write, new: &Write, columns: &BTreeSet<String>, found: &mut EffectDifferences) {
    let of = |write: &Write, column: &str| -> Vec<Value> {
        let slots = write.parts.slots.iter().zip(&write.values);
        let is_of = |slot: &crate::plugin::Slot| slot.is_written && slot.column.as_deref() == Some(column);
        slots.filter(|(slot, _)| is_of(slot)).map(|(_, value)| value.clone()).collect()
    };
    for column in columns {
        if of(old, column) != of(new, column) {
            let place = format!("{}.{column}", new.parts.table);
            found.add(EffectDifference::new(EffectDifferenceKind::OtherValue, &place, Some(&new.parts.template)));
        }
    }
}

/// What the database answered differently in the two runs at the same place: the old run's text and the new one's.
#[derive(Default)]
struct Origins(HashSet<(String, String)>);

impl Origins {
    /// Compares the answers to the same queries.
    fn read(&mut self, old: &[&Read], new: &[&Read]) {
        let mut used = vec![false; new.len()];
        for one in old {
            let is_same = |index: usize, other: &Read| {
                !used[index] && one.sql == other.sql && self.are_same(&one.parameters, &other.parameters)
            };
            let Some(index) = (0..new.len()).find(|index| is_same(*index, new[*index])) else { continue };
            used[index] = true;
            for (row, other_row) in one.rows.iter().zip(&new[index].rows) {
                for (value, other) in row.iter().zip(other_row) {
                    self.add(text(value), text(other));
                }
            }
        }
    }

    fn inserted(&mut self, old: Option<u64>, new: Option<u64>) {
        self.add(old.map(|id| id.to_string()), new.map(|id| id.to_string()));
    }

    fn add(&mut self, old: Option<String>, new: Option<String>) {
        if let (Some(old), Some(new)) = (old, new)
            && old != new
        {
            self.0.insert((old, new));
        }
    }

    fn are_same(&self, old: &[Value], new: &[Value]) -> bool {
        old.len() == new.len() && old.iter().zip(new).all(|(one, other)| one == other || self.are_of_one(one, other))
    }

    /// Whether both values came from the same place of the same answer: as they are, or as a word of a text.
    fn are_of_one(&self, old: &Value, new: &Value) -> bool {
        let (Some(old), Some(new)) = (text(old), text(new)) else { return false };
        let (old, new) = (words(&old), words(&new));
        let is_same =
            |one: &&str, other: &&str| one == other || self.0.contains(&((*one).to_owned(), (*other).to_owned()));
        self.0.contains(&(old.concat(), new.concat()))
            || old.len() == new.len() && old.iter().zip(&new).all(|(one, other)| is_same(one, other))
    }
}

/// The runs of letters and digits of a text, and what is between them.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut begin = 0;
    let mut before = None;
    for (index, character) in text.char_indices() {
        let is_word = character.is_alphanumeric();
        if before.is_some_and(|before| before != is_word) {
            words.push(&text[begin..index]);
            begin = index;
        }
        before = Some(is_word);
    }
    if begin < text.len() {
        words.push(&text[begin..]);
    }
    words
}

/// A value as text, in which a number is the same however the database gave it.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Bool(_) | Value::Texts(_) => None,
        Value::I64(number) => Some(number.to_string()),
        Value::U64(number) => Some(number.to_string()),
        Value::F64(number) => Some(number.to_string()),
        Value::Bytes(bytes) => Some(crate::domain::hex::hex(bytes)),
        Value::Decimal(text)
        | Value::Text(text)
        | Value::Date(text)
        | Value::DateTime(text)
        | Value::Time(text)
        | Value::Json(text)
        | Value::Other(text) => Some(text.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::{Execution, Rows};

    fn wrote(sql: &str, parameters: &[&str], inserted_id: Option<u64>) -> TranscriptEntry {
        entry(sql, parameters, OperationResult::Changed(Execution { rows_affected: 1, last_insert_id: inserted_id }))
    }

    fn read(sql: &str, parameters: &[&str], answer: &str) -> TranscriptEntry {
        let rows = Rows { columns: vec!["c".to_owned()], rows: vec![vec![Value::Text(answer.to_owned())]] };
        entry(sql, parameters, OperationResult::Rows(rows))
    }

    fn entry(sql: &str, parameters: &[&str], result: OperationResult) -> TranscriptEntry {
        let parameters = parameters.iter().map(|text| Value::Text((*text).to_owned())).collect();
        let operation = Operation::Statement { sql: sql.to_owned(), shape: String::new(), parameters };
        TranscriptEntry { operation, result: Some(result) }
    }

    fn compared(old: &[TranscriptEntry], again: &[TranscriptEntry], new: &[TranscriptEntry]) -> Vec<String> {
        let written = |entries| Written::of(Dialect::MySql, entries);
        let unstable = written(old).unstable(&written(again)).expect("it does the same twice");
        differences(&written(old), &written(new), &unstable).list().iter().map(ToString::to_string).collect()
    }

    const UPDATE: &str = "UPDATE person SET born = ?, sex = ? WHERE id = ?";

    #[test]
    fn month_and_day_swapped_are_found_and_no_value_is_named() {
        let old = [wrote(UPDATE, &["1980-03-04", "f", "7"], None)];
        let new = [wrote(UPDATE, &["1980-04-03", "f", "7"], None)];
        assert_eq!(compared(&old, &old, &new), ["another value in `person.born`"]);
        let elsewhere = [wrote(UPDATE, &["1980-03-04", "f", "8"], None)];
        assert_eq!(compared(&old, &old, &elsewhere), ["other records: another value in the condition on `person.id`"]);
        let literal = [wrote("UPDATE person SET born = '1980-03-04'", &[], None)];
        let other = [wrote("UPDATE person SET born = '1980-04-03'", &[], None)];
        assert_eq!(compared(&literal, &literal, &other), ["another value in `person.born`"]);
    }

    #[test]
    fn columns_and_statements_that_come_and_go_are_named() {
        let old = [wrote("INSERT INTO person (a, b) VALUES (?, ?)", &["1", "2"], None)];
        let new = [wrote("INSERT INTO person (a, c) VALUES (?, ?)", &["1", "2"], None)];
        assert_eq!(compared(&old, &old, &new), ["`person.b` is no longer written", "`person.c` is written too"]);
        let more =
            [wrote("INSERT INTO person (a, b) VALUES (?, ?)", &["1", "2"], None), wrote(UPDATE, &["", "", "1"], None)];
        assert_eq!(compared(&old, &old, &more), ["an additional UPDATE of person"]);
        assert_eq!(compared(&more, &more, &old), ["no UPDATE of person any more"]);
        let two = [wrote("INSERT INTO person (a, b) VALUES (?, ?), (?, ?)", &["1", "2", "3", "4"], None)];
        assert!(compared(&old, &old, &two).contains(&"another statement: INSERT into person".to_owned()));
    }

    #[test]
    fn more_reads_and_statements_without_an_effect_are_no_difference() {
        let old = [wrote(UPDATE, &["a", "b", "7"], None)];
        let nothing =
            entry(UPDATE, &[], OperationResult::Changed(Execution { rows_affected: 0, last_insert_id: None }));
        let new = [read("SELECT 1", &[], "x"), nothing, wrote(UPDATE, &["a", "b", "7"], None)];
        assert_eq!(compared(&old, &old, &new), Vec::<String>::new());
    }

    /// An insert whose id the database gives, and a second one that refers to it.
    fn inserted(id: u64, reference: &str, sex: &str) -> [TranscriptEntry; 2] {
        [
            wrote("INSERT INTO person (sex) VALUES (?)", &[sex], Some(id)),
            wrote(
                "INSERT INTO note (person_id, body) VALUES (?, ?)",
                &[reference, &format!("person {reference}")],
                None,
            ),
        ]
    }

    #[test]
    fn an_id_that_the_database_gave_is_compared_by_its_origin() {
        assert_eq!(
            compared(&inserted(1, "1", "1"), &inserted(2, "2", "1"), &inserted(3, "3", "1")),
            Vec::<String>::new()
        );
        // The ids 1 and 3 are of one origin, which makes no other value the same.
        assert_eq!(
            compared(&inserted(1, "1", "1"), &inserted(2, "2", "1"), &inserted(3, "3", "3")),
            ["another value in `person.sex`"]
        );
        assert_eq!(
            compared(&inserted(1, "1", "1"), &inserted(2, "2", "1"), &inserted(3, "9", "1")),
            ["another value in `note.person_id`", "another value in `note.body`"]
        );
    }

    #[test]
    fn an_id_that_was_read_is_compared_by_the_query() {
        let run = |id: &str, asked: &str| {
            [
                wrote("INSERT INTO person (sex) VALUES ('f')", &[], None),
                read("SELECT id FROM person WHERE name = ?", &[asked], id),
                wrote("INSERT INTO note (person_id) VALUES (?)", &[id], None),
            ]
        };
        assert_eq!(compared(&run("1", "a"), &run("2", "a"), &run("3", "a")), Vec::<String>::new());
        assert_eq!(compared(&run("1", "a"), &run("2", "a"), &run("3", "b")), ["another value in `note.person_id`"]);
    }

    #[test]
    fn an_adapter_that_does_not_do_the_same_twice_cannot_be_compared() {
        let written = |entries: &[TranscriptEntry]| Written::of(Dialect::Sqlite, entries);
        let (one, other) = ([wrote(UPDATE, &["a", "b", "c"], None)], [wrote("DELETE FROM person", &[], None)]);
        assert!(written(&one).unstable(&written(&other)).is_none());
        assert!(written(&one).unstable(&written(&[])).is_none());
    }
}
