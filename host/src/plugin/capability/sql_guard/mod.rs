//! Which SQL an adapter may run: one SELECT, or one INSERT, UPDATE or DELETE, on tables that were granted.
//!
//! The adapter's text is never sent. It is split into tokens (`lexer.rs`), parsed into a tree that can hold only
//! allowed SQL (`parser*.rs`, `tree.rs`, `words.rs`), checked (`resolve.rs`, `written.rs`), and written again
//! (`render*.rs`): the statement that was checked is the one that runs. All of it is pure, takes time by the text's
//! length, and recurses no deeper than `NESTING_MAX`. Reasons name tables, functions and places, never a literal.

// A new kind of node does not compile until every rule here handles it.
#![deny(clippy::wildcard_enum_match_arm)]

mod lexer;
mod notes;
mod parser;
mod parser_expression;
mod parser_query;
mod parser_statement;
mod parts;
mod render;
mod render_expression;
mod render_query;
mod resolve;
mod scopes;
mod tree;
mod words;
mod written;

#[cfg(test)]
mod grants_tests;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod random_tests;
#[cfg(test)]
mod size_tests;
#[cfg(test)]
mod template_tests;
#[cfg(test)]
mod tests;

pub use notes::Slot;
pub use parts::{StatementParts, statement_parts};
pub(in crate::plugin) use resolve::{Wanted, unknown_column};

use std::sync::Arc;

use self::parser::Parser;
use self::resolve::Resolver;
use self::tree::Statement;
use super::sql_refusal::Verdict;
use crate::database::Dialect;
use crate::domain::grants::SqlGrants;

/// The kind of statement that the adapter declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::plugin) enum Verb {
    /// `query`
    Read,
    /// `execute`
    Write,
}

/// A statement that may run.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::plugin) struct Permit {
    /// The text to send, with parameters written `?`.
    pub(in crate::plugin) sql: String,
    /// The statement without its literals, for the journal.
    pub(in crate::plugin) template: Arc<str>,
    /// Columns that must exist; the database is queried for them first.
    pub(in crate::plugin) wanted: Vec<Wanted>,
    /// Whether it writes or locks rows: a read-only transaction refuses it.
    pub(in crate::plugin) writes: bool,
}

/// The text that would be sent for a statement, or why it is refused: for tools that measure or attack the guard.
///
/// # Errors
/// Why it is refused.
pub fn rewrite_statement(dialect: Dialect, grants: &SqlGrants, sql: &str, writes: bool) -> Result<String, String> {
    let verb = if writes { Verb::Write } else { Verb::Read };
    judge(dialect, grants, sql, verb).map(|permit| permit.sql).map_err(|refusal| refusal.into_error("t", "").message)
}

/// The functions that a dialect's statements may call, in lower case.
#[must_use]
pub fn functions_known_to_the_guard(dialect: Dialect) -> Vec<&'static str> {
    let mut names: Vec<&str> = words::all_functions(dialect).iter().copied().collect();
    names.sort_unstable();
    names
}

/// The tree of a text, and whether that of the text written from it is the same; for tests.
#[cfg(test)]
fn is_written_faithfully(dialect: Dialect, sql: &str, written: &str) -> bool {
    let tree = |sql: &str| {
        let tokens = lexer::tokens(dialect, sql)?;
        Parser::new(dialect, sql, &tokens).statement()
    };
    // No adapter may write the schema of the database's own functions.
    let again = tree(&written.replace("pg_catalog.", ""));
    tree(sql).is_ok_and(|tree| tree.is_some() && Ok(tree) == again)
}

/// Checks one statement, and writes it again.
pub(in crate::plugin) fn judge(dialect: Dialect, grants: &SqlGrants, sql: &str, verb: Verb) -> Verdict<Permit> {
    let tokens = lexer::tokens(dialect, sql)?;
    let statement = Parser::new(dialect, sql, &tokens).statement()?;
    let mut resolver = Resolver::new(dialect, grants);
    let writes = match (verb, &statement) {
        (Verb::Read, Some(Statement::Query(query))) => resolver.statement(query)?,
        (Verb::Read, None | Some(Statement::Insert(..) | Statement::Update(..) | Statement::Delete(..))) => {
            return Err("`query` runs one SELECT and nothing else".into());
        }
        (Verb::Write, None | Some(Statement::Query(_))) => {
            return Err("`execute` runs one INSERT, UPDATE or DELETE and nothing else".into());
        }
        (Verb::Write, Some(Statement::Insert(with, insert))) => resolver.insert(with, insert).map(|()| true)?,
        (Verb::Write, Some(Statement::Update(with, update))) => resolver.update(with, update).map(|()| true)?,
        (Verb::Write, Some(Statement::Delete(with, delete))) => resolver.delete(with, delete).map(|()| true)?,
    };
    let Some(statement) = &statement else { unreachable!("invariant: another kind of statement was refused") };
    let (sql, parameters) = render::render(dialect, statement);
    let written = tokens.iter().filter(|placed| placed.token == lexer::Token::Parameter).count();
    if parameters != written {
        return Err("the statement could not be written anew with all its parameters".into());
    }
    let template = render::template(dialect, statement).into();
    Ok(Permit { sql, template, wanted: resolver.wanted.into_iter().collect(), writes })
}
