//! Which SQL an adapter may run: one SELECT, or one INSERT, UPDATE or DELETE, on tables that were granted.
//!
//! Three steps, each of which refuses what it does not know: the text (no comments, no second statement, nothing that our
//! parser and a database could read differently), the statement's kind and the tables that it writes, and a walk over
//! everything inside (`sql_walk.rs`). Reasons name tables, functions and places, never a literal.

use std::collections::BTreeSet;

use sqlparser::ast::{
    AssignmentTarget, Delete, FromTable, Insert, ObjectName, Query, SetExpr, SqliteOnConflict, Statement, TableFactor,
    TableObject, TableWithJoins, Update,
};
use sqlparser::dialect::{Dialect as Grammar, MySqlDialect, PostgreSqlDialect, SQLiteDialect};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Whitespace};

use super::sql_walk;
use crate::database::Dialect;

/// Bytes of one statement's text.
const SQL_BYTES_MAX: usize = 1 << 20;
/// Words and operators of one statement. A chain of them (`a OR b OR ...`) is as deep a tree as it is long.
const SQL_WORDS_MAX: usize = 1 << 16;
/// Parentheses in parentheses.
const NESTING_MAX: usize = 100;
const NOT_OURS: &str = "only tables of the target's own database may be written, by their plain names";

/// The tables that an adapter may touch, in lower case. `None` allows every table of the target's own database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SqlGrants {
    /// Tables that may be read. What a statement writes, it may also read.
    pub read: Option<BTreeSet<String>>,
    /// Tables that may be written.
    pub write: Option<BTreeSet<String>>,
}

impl SqlGrants {
    pub(super) fn may_read(&self, table: &str) -> bool {
        self.read.as_ref().is_none_or(|tables| tables.contains(table))
    }

    fn may_write(&self, table: &str) -> bool {
        self.write.as_ref().is_none_or(|tables| tables.contains(table))
    }
}

/// What the adapter said that the statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::plugin) enum Verb {
    /// `query`
    Read,
    /// `execute`
    Write,
}

/// Why a statement was refused, for the adapter's author.
pub(super) type Reason = String;

/// Judges one statement. The stack it needs grows with the text, so it runs on a thread with a deep one.
pub(super) fn judge(dialect: Dialect, grants: &SqlGrants, sql: &str, verb: Verb) -> Result<(), Reason> {
    // PostgreSQL's own grammar has operators that begin with a question mark, so what is judged is what will be run.
    let numbered;
    let text = match dialect {
        Dialect::Postgres => {
            check_characters(dialect, sql)?;
            numbered = dialect.placeholders(sql, &[]);
            &*numbered
        }
        Dialect::Sqlite | Dialect::MySql => {
            check_characters(dialect, sql)?;
            sql
        }
    };
    let grammar = grammar(dialect);
    let tokens = Tokenizer::new(grammar, text)
        .tokenize_with_location()
        .map_err(|error| format!("the statement cannot be read, at {}", error.location))?;
    check_tokens(dialect, &tokens)?;
    let mut parser = Parser::new(grammar).with_recursion_limit(NESTING_MAX).with_tokens_with_locations(tokens);
    let statement = parser.parse_statement().map_err(|error| unparsed(dialect, &error))?;
    if parser.peek_token().token != Token::EOF {
        return Err("more than one statement at a time".to_owned());
    }
    let written = written_tables(&statement, verb)?;
    for table in &written {
        if table.contains('.') {
            return Err(NOT_OURS.to_owned());
        }
        if !grants.may_write(table) {
            return Err(format!("table `{table}` may not be written by this adapter"));
        }
    }
    sql_walk::walk(dialect, grants, &statement, &written)
}

fn grammar(dialect: Dialect) -> &'static dyn Grammar {
    match dialect {
        Dialect::Sqlite => &SQLiteDialect {},
        Dialect::MySql => &MySqlDialect {},
        Dialect::Postgres => &PostgreSqlDialect {},
    }
}

/// A parser's message quotes what it found, which may be a value; only the place is passed on.
fn unparsed(dialect: Dialect, error: &ParserError) -> Reason {
    let name = dialect.name();
    match error {
        ParserError::RecursionLimitExceeded => format!("the statement is nested deeper than {NESTING_MAX} levels"),
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => {
            match message.rsplit_once(" at Line: ") {
                Some((_, place)) => format!("not understood as {name}, near line {place}"),
                None => format!("not understood as {name}"),
            }
        }
    }
}

/// Comments may carry hints, and end differently for each database: there are none. Values belong into parameters, so
/// that nothing is lost by being strict about quoting.
fn check_characters(dialect: Dialect, sql: &str) -> Result<(), Reason> {
    if sql.len() > SQL_BYTES_MAX {
        return Err(format!("a statement of more than {SQL_BYTES_MAX} bytes"));
    }
    let refused: &[&str] = match dialect {
        Dialect::Sqlite => &["\0", "/*", "--"],
        Dialect::MySql => &["\0", "/*", "--", "#", "\\"],
        Dialect::Postgres => &["\0", "/*", "--", "\\", "$"],
    };
    match refused.iter().find(|text| sql.contains(**text)) {
        Some(&"/*" | &"--" | &"#") => Err("comments are not allowed".to_owned()),
        Some(text) => Err(format!("the character {text:?} is not allowed in a statement; use a parameter")),
        None => Ok(()),
    }
}

fn check_tokens(dialect: Dialect, tokens: &[TokenWithSpan]) -> Result<(), Reason> {
    let mut words = 0;
    for token in tokens {
        match &token.token {
            Token::SemiColon => return Err("a semicolon is not allowed: one statement at a time".to_owned()),
            Token::Whitespace(Whitespace::SingleLineComment { .. } | Whitespace::MultiLineComment(_)) => {
                return Err("comments are not allowed".to_owned());
            }
            Token::Placeholder(text) if text != "?" && dialect != Dialect::Postgres => {
                return Err("parameters are written `?`".to_owned());
            }
            Token::Assignment => return Err("variables are not allowed".to_owned()),
            Token::Colon | Token::AtSign | Token::AtAt if dialect != Dialect::Postgres => {
                return Err("variables are not allowed".to_owned());
            }
            Token::Word(word) if word.quote_style.is_none() && word.value.starts_with('@') => {
                return Err("variables are not allowed".to_owned());
            }
            Token::DollarQuotedString(_) => return Err("dollar quotes are not allowed".to_owned()),
            Token::Whitespace(_) | Token::Comma | Token::LParen | Token::RParen | Token::Placeholder(_) => {}
            _ => words += 1,
        }
    }
    if words > SQL_WORDS_MAX {
        return Err(format!("a statement of more than {SQL_WORDS_MAX} words"));
    }
    Ok(())
}

/// The tables that a statement changes; empty for a SELECT. Refuses every other kind of statement.
fn written_tables(statement: &Statement, verb: Verb) -> Result<BTreeSet<String>, Reason> {
    match (verb, statement) {
        (Verb::Read, Statement::Query(query)) if !changes_data(query) => Ok(BTreeSet::new()),
        (Verb::Read, _) => Err("`query` runs one SELECT and nothing else".to_owned()),
        (Verb::Write, Statement::Insert(insert)) => insert_target(insert),
        (Verb::Write, Statement::Update(update)) => update_targets(update),
        (Verb::Write, Statement::Delete(delete)) => delete_targets(delete),
        (Verb::Write, Statement::Query(query)) => match query.body.as_ref() {
            SetExpr::Insert(inner) | SetExpr::Update(inner) | SetExpr::Delete(inner) => written_tables(inner, verb),
            _ => Err("`execute` runs one INSERT, UPDATE or DELETE and nothing else".to_owned()),
        },
        (Verb::Write, _) => Err("`execute` runs one INSERT, UPDATE or DELETE and nothing else".to_owned()),
    }
}

fn changes_data(query: &Query) -> bool {
    matches!(*query.body, SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_))
}

fn insert_target(insert: &Insert) -> Result<BTreeSet<String>, Reason> {
    check_conflict_clause(insert.or.as_ref())?;
    if insert.replace_into {
        return Err("REPLACE is not allowed, since it deletes; use INSERT".to_owned());
    }
    if insert.overwrite || insert.partitioned.is_some() || insert.multi_table_insert_type.is_some() {
        return Err("this form of INSERT is not allowed".to_owned());
    }
    match &insert.table {
        TableObject::TableName(name) => Ok(BTreeSet::from([own_table(name)?])),
        TableObject::TableFunction(_) | TableObject::TableQuery(_) => Err("INSERT names its table".to_owned()),
    }
}

/// `OR ROLLBACK` ends the transaction, `OR FAIL` keeps half of a statement.
fn check_conflict_clause(clause: Option<&SqliteOnConflict>) -> Result<(), Reason> {
    match clause {
        None | Some(SqliteOnConflict::Ignore | SqliteOnConflict::Abort) => Ok(()),
        Some(other) => Err(format!("`OR {other}` is not allowed")),
    }
}

/// An UPDATE of a join changes those of its tables that its assignments name.
fn update_targets(update: &Update) -> Result<BTreeSet<String>, Reason> {
    check_conflict_clause(update.or.as_ref())?;
    let tables = named_tables([&update.table])?;
    let mut written = BTreeSet::new();
    for assignment in &update.assignments {
        let columns = match &assignment.target {
            AssignmentTarget::ColumnName(column) => std::slice::from_ref(column),
            AssignmentTarget::Tuple(columns) => columns.as_slice(),
        };
        for column in columns {
            let parts = parts(column)?;
            match parts.as_slice() {
                [_] => written.extend(tables.iter().map(|(_, table)| table.clone())),
                [alias, _] => written.extend([lookup(&tables, alias)?]),
                _ => return Err("an assignment names a column, or an alias and a column".to_owned()),
            }
        }
    }
    if written.is_empty() {
        return Err("UPDATE names its table".to_owned());
    }
    Ok(written)
}

fn delete_targets(delete: &Delete) -> Result<BTreeSet<String>, Reason> {
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
    let tables = named_tables(from.iter().chain(delete.using.iter().flatten()))?;
    if delete.tables.is_empty() {
        let written: BTreeSet<String> = named_tables(from)?.into_iter().map(|(_, table)| table).collect();
        return if written.is_empty() { Err("DELETE names its table".to_owned()) } else { Ok(written) };
    }
    delete
        .tables
        .iter()
        .map(|name| match parts(name)?.as_slice() {
            [alias] => lookup(&tables, alias),
            _ => Err("DELETE names a table or an alias".to_owned()),
        })
        .collect()
}

/// Alias (or name) and table of everything in these joins that is a table by name.
fn named_tables<'a>(joins: impl IntoIterator<Item = &'a TableWithJoins>) -> Result<Vec<(String, String)>, Reason> {
    let mut tables = Vec::new();
    for join in joins {
        for factor in std::iter::once(&join.relation).chain(join.joins.iter().map(|join| &join.relation)) {
            match factor {
                TableFactor::Table { name, alias, args: None, .. } => {
                    // A dot in it means another schema: fine to read from where the walk allows it, never to write.
                    let table = parts(name)?.join(".");
                    let alias = match alias {
                        Some(alias) => alias.name.value.to_lowercase(),
                        None => table.clone(),
                    };
                    tables.push((alias, table));
                }
                TableFactor::NestedJoin { table_with_joins, .. } => {
                    tables.extend(named_tables([table_with_joins.as_ref()])?);
                }
                _ => {}
            }
        }
    }
    Ok(tables)
}

fn lookup(tables: &[(String, String)], alias: &str) -> Result<String, Reason> {
    tables
        .iter()
        .find(|(name, _)| name == alias)
        .map(|(_, table)| table.clone())
        .ok_or_else(|| "a column is assigned that belongs to no table of the statement".to_owned())
}

fn own_table(name: &ObjectName) -> Result<String, Reason> {
    match parts(name)?.as_slice() {
        [table] => Ok(table.clone()),
        _ => Err(NOT_OURS.to_owned()),
    }
}

fn parts(name: &ObjectName) -> Result<Vec<String>, Reason> {
    sql_walk::parts(name)
}
