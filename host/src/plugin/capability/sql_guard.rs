//! Which SQL an adapter may run: one SELECT, or one INSERT, UPDATE or DELETE, on tables that were granted.
//!
//! Three steps, each of which refuses what it does not know: the text (no comments, no second statement, nothing that our
//! parser and a database could read differently), the statement's kind and the tables that it writes (`sql_written.rs`), and
//! a walk over everything inside (`sql_walk.rs`). Reasons name tables, functions and places, never a literal.

use sqlparser::dialect::{Dialect as Grammar, MySqlDialect, PostgreSqlDialect, SQLiteDialect};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Whitespace};

use super::sql_refusal::{Refusal, Verdict};
use super::sql_walk;
use super::sql_written::written_tables;
use crate::database::Dialect;
use crate::domain::grants::SqlGrants;

/// Bytes of one statement's text.
const SQL_BYTES_MAX: usize = 1 << 20;
/// Words and operators of one statement. A chain of them (`a OR b OR ...`) is as deep a tree as it is long.
const SQL_WORDS_MAX: usize = 1 << 16;
/// Parentheses in parentheses.
const NESTING_MAX: usize = 100;

/// What the adapter said that the statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::plugin) enum Verb {
    /// `query`
    Read,
    /// `execute`
    Write,
}

/// Judges one statement. The stack it needs grows with the text, so it runs on a thread with a deep one.
pub(super) fn judge(dialect: Dialect, grants: &SqlGrants, sql: &str, verb: Verb) -> Verdict {
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
        return Err("more than one statement at a time".into());
    }
    let written = written_tables(&statement, verb)?;
    for (table, verb) in &written {
        if !grants.allows(*verb, table) {
            return Err(Refusal::NotGranted { table: table.clone(), verb: *verb });
        }
    }
    sql_walk::walk(dialect, grants, &statement, &written)
}

pub(super) fn grammar(dialect: Dialect) -> &'static dyn Grammar {
    match dialect {
        Dialect::Sqlite => &SQLiteDialect {},
        Dialect::MySql => &MySqlDialect {},
        Dialect::Postgres => &PostgreSqlDialect {},
    }
}

/// A parser's message quotes what it found, which may be a value; only the place is passed on.
fn unparsed(dialect: Dialect, error: &ParserError) -> String {
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
fn check_characters(dialect: Dialect, sql: &str) -> Verdict {
    if sql.len() > SQL_BYTES_MAX {
        return Err(format!("a statement of more than {SQL_BYTES_MAX} bytes").into());
    }
    let refused: &[&str] = match dialect {
        Dialect::Sqlite => &["\0", "/*", "--"],
        Dialect::MySql => &["\0", "/*", "--", "#", "\\"],
        Dialect::Postgres => &["\0", "/*", "--", "\\", "$"],
    };
    match refused.iter().find(|text| sql.contains(**text)) {
        Some(&"/*" | &"--" | &"#") => Err("comments are not allowed".into()),
        Some(text) => Err(format!("the character {text:?} is not allowed in a statement; use a parameter").into()),
        None => Ok(()),
    }
}

fn check_tokens(dialect: Dialect, tokens: &[TokenWithSpan]) -> Verdict {
    let mut words = 0;
    for token in tokens {
        match &token.token {
            Token::SemiColon => return Err("a semicolon is not allowed: one statement at a time".into()),
            Token::Whitespace(Whitespace::SingleLineComment { .. } | Whitespace::MultiLineComment(_)) => {
                return Err("comments are not allowed".into());
            }
            Token::Placeholder(text) if text != "?" && dialect != Dialect::Postgres => {
                return Err("parameters are written `?`".into());
            }
            Token::Assignment => return Err("variables are not allowed".into()),
            Token::Colon | Token::AtSign | Token::AtAt if dialect != Dialect::Postgres => {
                return Err("variables are not allowed".into());
            }
            Token::Word(word) if word.quote_style.is_none() && word.value.starts_with('@') => {
                return Err("variables are not allowed".into());
            }
            Token::DollarQuotedString(_) => return Err("dollar quotes are not allowed".into()),
            Token::Whitespace(_) | Token::Comma | Token::LParen | Token::RParen | Token::Placeholder(_) => {}
            _ => words += 1,
        }
    }
    if words > SQL_WORDS_MAX {
        return Err(format!("a statement of more than {SQL_WORDS_MAX} words").into());
    }
    Ok(())
}
