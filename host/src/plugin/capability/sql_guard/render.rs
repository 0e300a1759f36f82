//! Writes a tree as the text that is sent: every name in quotes, every literal escaped, every word one of our own.
//! Queries are in `render_query.rs`, expressions in `render_expression.rs`.
//!
//! Literals stay literals. As parameters they would have a type of their own, which PostgreSQL resolves otherwise than
//! a literal's. Doubling its quotes escapes a text for all three databases, because texts in which a backslash has a
//! meaning were refused before.
//!
//! [`template`] writes the same tree for the journal: with `?` for each literal, and with a list of equal elements
//! shortened, so that statements for one row and for a hundred have one template.

use super::notes::Notes;
use super::tree::{Assignment, Conflict, ConflictTarget, Delete, Insert, Name, Query, Statement, Update};
use crate::database::Dialect;

/// The statement's text, with `?` for each parameter, and how many of them there are.
pub(super) fn render(dialect: Dialect, statement: &Statement) -> (String, usize) {
    let mut writer = Writer::new(dialect, false);
    writer.statement(statement);
    (writer.out, writer.parameters)
}

/// The longest template in bytes. It is cut off there.
const TEMPLATE_BYTES_MAX: usize = 2_048;

/// The statement's text without any value.
pub(super) fn template(dialect: Dialect, statement: &Statement) -> String {
    let mut writer = Writer::new(dialect, true);
    writer.statement(statement);
    let mut template = writer.out;
    if template.len() > TEMPLATE_BYTES_MAX {
        template.truncate(template.floor_char_boundary(TEMPLATE_BYTES_MAX - '…'.len_utf8()));
        template.push('…');
    }
    template
}

/// The statement's whole text without any value, and which value is for which column.
pub(super) fn noted(dialect: Dialect, statement: &Statement) -> (String, Notes) {
    let mut writer = Writer { notes: Some(Notes::default()), ..Writer::new(dialect, true) };
    writer.statement(statement);
    (writer.out, writer.notes.unwrap_or_default())
}

pub(super) struct Writer {
    pub(super) dialect: Dialect,
    pub(super) out: String,
    pub(super) parameters: usize,
    pub(super) is_template: bool,
    /// Where the values are noted.
    pub(super) notes: Option<Notes>,
}

fn names(columns: &[Name]) -> Vec<String> {
    columns.iter().map(|name| name.0.clone()).collect()
}

impl Writer {
    fn new(dialect: Dialect, is_template: bool) -> Self {
        Self { dialect, out: String::new(), parameters: 0, is_template, notes: None }
    }

    pub(super) fn note(&mut self, note: impl FnOnce(&mut Notes)) {
        if let Some(notes) = &mut self.notes {
            note(notes);
        }
    }

    /// The columns that the rows to be written are for; empty where they are for none.
    pub(super) fn take_row(&mut self) -> Vec<String> {
        self.notes.as_mut().map(|notes| std::mem::take(&mut notes.row)).unwrap_or_default()
    }

    /// Writes what is for a column of a row; `row` is empty where it is for none.
    pub(super) fn for_column(&mut self, row: &[String], index: usize, write: impl FnOnce(&mut Self)) {
        if row.is_empty() {
            return write(self);
        }
        self.note(|notes| notes.begin_column(row.get(index)));
        write(self);
        self.note(Notes::end_column);
    }

    /// A word or an operator, apart from what stands before it.
    pub(super) fn word(&mut self, word: &str) {
        if !self.out.is_empty() && !self.out.ends_with([' ', '(', '.']) {
            self.out.push(' ');
        }
        self.out.push_str(word);
    }

    pub(super) fn words<'w>(&mut self, words: impl IntoIterator<Item = &'w &'static str>) {
        for word in words {
            self.word(word);
        }
    }

    pub(super) fn quoted(&mut self, text: &str, quote: char) {
        self.out.push(quote);
        for character in text.chars() {
            if character == quote {
                self.out.push(quote);
            }
            self.out.push(character);
        }
        self.out.push(quote);
    }

    pub(super) fn name(&mut self, name: &Name) {
        self.word("");
        // In SQLite an unknown name in double quotes would turn into a text.
        let quote = if self.dialect == Dialect::Postgres { '"' } else { '`' };
        self.quoted(&name.0, quote);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.note(|notes| notes.value(Some(text.to_owned())));
        if self.is_template {
            return self.word("?");
        }
        self.word("");
        self.quoted(text, '\'');
    }

    pub(super) fn number(&mut self, digits: &str) {
        self.note(|notes| notes.value(Some(digits.to_owned())));
        self.word(if self.is_template { "?" } else { digits });
    }

    pub(super) fn hex(&mut self, digits: &str) {
        self.note(|notes| notes.value(Some(digits.to_owned())));
        if self.is_template {
            return self.word("?");
        }
        self.word("x");
        self.quoted(digits, '\'');
    }

    pub(super) fn list<T>(&mut self, list: &[T], mut write: impl FnMut(&mut Self, &T)) {
        let mut before = String::new();
        let mut is_shortened = false;
        for (index, one) in list.iter().enumerate() {
            let end = self.out.len();
            if index > 0 {
                self.out.push(',');
            }
            let begin = self.out.len();
            write(self, one);
            if !self.is_template {
                continue;
            }
            // The first element may follow another character, and so begin without the others' blank.
            let element = self.out[begin..].trim_start();
            if index > 0 && element == before {
                self.out.truncate(end);
                if !std::mem::replace(&mut is_shortened, true) {
                    self.out.push_str(",...");
                }
            } else {
                element.clone_into(&mut before);
                is_shortened = false;
            }
        }
    }

    pub(super) fn parenthesised<T>(&mut self, list: &[T], write: impl FnMut(&mut Self, &T)) {
        self.word("(");
        self.list(list, write);
        self.out.push(')');
    }

    pub(super) fn within(&mut self, query: &Query) {
        self.word("(");
        self.query(query);
        self.out.push(')');
    }

    fn statement(&mut self, statement: &Statement) {
        match statement {
            Statement::Query(query) => self.query(query),
            Statement::Insert(with, insert) => {
                self.with(with);
                self.insert(insert);
            }
            Statement::Update(with, update) => {
                self.with(with);
                self.update(update);
            }
            Statement::Delete(with, delete) => {
                self.with(with);
                self.delete(delete);
            }
        }
    }

    fn insert(&mut self, insert: &Insert) {
        let Insert { or, table, alias, columns, source, conflict } = insert;
        self.word("INSERT");
        self.words(or);
        self.word("INTO");
        self.table(table);
        self.named(alias.as_ref());
        if !columns.is_empty() {
            self.parenthesised(columns, Self::name);
        }
        match source {
            Some(query) => {
                // Without a list of columns the values are for columns that cannot be seen.
                let row = if columns.is_empty() { vec![String::new()] } else { names(columns) };
                self.note(|notes| notes.row = row);
                self.query(query);
            }
            None => self.word("DEFAULT VALUES"),
        }
        match conflict {
            None => {}
            Some(Conflict::DuplicateKey(assignments)) => {
                self.word("ON DUPLICATE KEY UPDATE");
                self.list(assignments, Self::assignment);
            }
            Some(Conflict::OnConflict { target, update }) => {
                self.word("ON CONFLICT");
                match target {
                    None => {}
                    Some(ConflictTarget::Constraint(name)) => {
                        self.word("ON CONSTRAINT");
                        self.name(name);
                    }
                    Some(ConflictTarget::Columns(columns, filter)) => {
                        self.parenthesised(columns, Self::expression);
                        self.clause("WHERE", filter.as_slice(), Self::expression);
                    }
                }
                match update {
                    None => self.word("DO NOTHING"),
                    Some((assignments, filter)) => {
                        self.word("DO UPDATE SET");
                        self.list(assignments, Self::assignment);
                        self.clause("WHERE", filter.as_slice(), Self::expression);
                    }
                }
            }
        }
    }

    fn assignment(&mut self, assignment: &Assignment) {
        let Assignment { column: (alias, name), value } = assignment;
        if let Some(alias) = alias {
            self.name(alias);
            self.out.push('.');
        }
        self.name(name);
        self.word("=");
        self.note(|notes| notes.begin_column(Some(&name.0)));
        self.expression(value);
        self.note(Notes::end_column);
    }

    fn update(&mut self, update: &Update) {
        let Update { or, tables, assignments, from, filter, order, limit } = update;
        self.word("UPDATE");
        self.words(or);
        self.list(tables, Self::joined);
        self.clause("SET", assignments, Self::assignment);
        self.clause("FROM", from, Self::joined);
        self.clause("WHERE", filter.as_slice(), Self::expression);
        self.order(order);
        self.limit(limit.as_ref());
    }

    fn delete(&mut self, delete: &Delete) {
        let Delete { targets, from, using, filter, order, limit } = delete;
        self.word("DELETE");
        self.list(targets, Self::name);
        self.clause("FROM", from, Self::joined);
        self.clause("USING", using, Self::joined);
        self.clause("WHERE", filter.as_slice(), Self::expression);
        self.order(order);
        self.limit(limit.as_ref());
    }
}
