//! Parses tokens into a tree, top down and without backtracking: it looks ahead one or two tokens and consumes each
//! once, so that the work is linear. A counter bounds the depth.
//!
//! This file has what all rules share. Statements are in `parser_statement.rs`, queries in `parser_query.rs`,
//! expressions in `parser_expression.rs`.

use super::super::sql_refusal::{Refusal, Verdict};
use super::lexer::{PositionedToken, Token, position};
use super::tree::{Name, TypeName};
use super::words;
use crate::database::Dialect;

/// Queries, parentheses and calls within each other.
pub(super) const NESTING_MAX: usize = 50;

/// Bytes of a name: PostgreSQL cuts longer ones off, which would make two names one.
const NAME_BYTES_MAX_POSTGRES: usize = 63;
/// MySQL's longest alias.
const NAME_BYTES_MAX: usize = 256;

pub(super) struct Parser<'a> {
    pub(super) dialect: Dialect,
    sql: &'a str,
    tokens: &'a [PositionedToken],
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    pub(super) fn new(dialect: Dialect, sql: &'a str, tokens: &'a [PositionedToken]) -> Self {
        Self { dialect, sql, tokens, at: 0, depth: 0 }
    }

    pub(super) fn peek(&self) -> &'a Token {
        self.peek_at(0)
    }

    /// The token at this distance; after the last one always [`Token::End`].
    pub(super) fn peek_at(&self, ahead: usize) -> &'a Token {
        let last = self.tokens.len() - 1;
        &self.tokens[(self.at + ahead).min(last)].token
    }

    pub(super) fn skip(&mut self) {
        self.at += 1;
    }

    /// Refuses the current token and names only its position: it may be a value.
    pub(super) fn unexpected<T>(&self, wanted: &str) -> Verdict<T> {
        let last = self.tokens.len() - 1;
        let position = position(self.sql, self.tokens[self.at.min(last)].offset);
        Err(Refusal::Statement(format!(
            "not understood as {}, at {position}: {wanted} was expected",
            self.dialect.name()
        )))
    }

    /// Runs a rule one level deeper.
    pub(super) fn deeper<T>(&mut self, rule: impl FnOnce(&mut Self) -> Verdict<T>) -> Verdict<T> {
        if self.depth >= NESTING_MAX {
            return Err(format!("the statement is nested deeper than {NESTING_MAX} levels").into());
        }
        self.depth += 1;
        let result = rule(self);
        self.depth -= 1;
        result
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        self.is_word_at(0, word)
    }

    pub(super) fn is_word_at(&self, ahead: usize, word: &str) -> bool {
        matches!(self.peek_at(ahead), Token::Word(found) if found.eq_ignore_ascii_case(word))
    }

    /// Consumes the next word if it is one of these.
    pub(super) fn accept_one_of(&mut self, words: &[&'static str]) -> Option<&'static str> {
        words.iter().find(|word| self.accept_word(word)).copied()
    }

    pub(super) fn accept_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.at += usize::from(found);
        found
    }

    /// Takes all of these words, or none of them.
    pub(super) fn accept_words(&mut self, words: &[&str]) -> bool {
        let found = words.iter().enumerate().all(|(ahead, word)| self.is_word_at(ahead, word));
        self.at += if found { words.len() } else { 0 };
        found
    }

    pub(super) fn expect_word(&mut self, word: &str) -> Verdict {
        if self.accept_word(word) { Ok(()) } else { self.unexpected(word) }
    }

    pub(super) fn is_symbol_at(&self, ahead: usize, symbol: &str) -> bool {
        matches!(self.peek_at(ahead), Token::Symbol(found) if *found == symbol)
    }

    pub(super) fn is_symbol(&self, symbol: &str) -> bool {
        self.is_symbol_at(0, symbol)
    }

    pub(super) fn accept_symbol(&mut self, symbol: &str) -> bool {
        let found = self.is_symbol(symbol);
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect_symbol(&mut self, symbol: &str) -> Verdict {
        if self.accept_symbol(symbol) { Ok(()) } else { self.unexpected(&format!("`{symbol}`")) }
    }

    pub(super) fn expect_end(&mut self) -> Verdict {
        if *self.peek() == Token::End { Ok(()) } else { self.unexpected("the statement's end") }
    }

    /// One or more, with commas between.
    pub(super) fn list<T>(&mut self, mut rule: impl FnMut(&mut Self) -> Verdict<T>) -> Verdict<Vec<T>> {
        let mut list = vec![rule(self)?];
        while self.accept_symbol(",") {
            list.push(rule(self)?);
        }
        Ok(list)
    }

    /// A list in parentheses.
    pub(super) fn parenthesised<T>(&mut self, rule: impl FnMut(&mut Self) -> Verdict<T>) -> Verdict<Vec<T>> {
        self.expect_symbol("(")?;
        let list = self.list(rule)?;
        self.expect_symbol(")")?;
        Ok(list)
    }

    /// A name in quotes, or a word that means nothing else here.
    pub(super) fn name(&mut self) -> Verdict<Name> {
        let name = match self.peek() {
            Token::Word(word) if words::is_reserved(word) => return self.unexpected("a name (quote a keyword)"),
            Token::Word(word) if self.dialect == Dialect::Postgres => word.to_ascii_lowercase(),
            Token::Word(word) => word.clone(),
            Token::Quoted(name) => name.clone(),
            Token::Text(_) | Token::Number(_) | Token::Hex(_) | Token::Parameter | Token::Symbol(_) | Token::End => {
                return self.unexpected("a name");
            }
        };
        let bytes_max = if self.dialect == Dialect::Postgres { NAME_BYTES_MAX_POSTGRES } else { NAME_BYTES_MAX };
        if name.len() > bytes_max {
            return self.unexpected(&format!("a name of at most {bytes_max} bytes"));
        }
        self.skip();
        Ok(Name(name))
    }

    /// The name of a table, an alias or a query, in ASCII only: databases fold other letters in different ways.
    pub(super) fn relation(&mut self) -> Verdict<Name> {
        match self.peek() {
            Token::Word(name) | Token::Quoted(name) if !name.is_ascii() => {
                self.unexpected("a table, alias or query named in plain ASCII")
            }
            Token::Word(_) | Token::Quoted(_) => self.name(),
            Token::Text(_) | Token::Number(_) | Token::Hex(_) | Token::Parameter | Token::Symbol(_) | Token::End => {
                self.unexpected("a name")
            }
        }
    }

    /// Whether the next token is a name that could be an alias without AS.
    pub(super) fn is_name(&self) -> bool {
        match self.peek() {
            Token::Word(word) => !words::is_reserved(word),
            Token::Quoted(_) => true,
            Token::Text(_) | Token::Number(_) | Token::Hex(_) | Token::Parameter | Token::Symbol(_) | Token::End => {
                false
            }
        }
    }

    pub(super) fn text(&mut self) -> Verdict<String> {
        let Token::Text(text) = self.peek() else { return self.unexpected("a text in quotes") };
        self.skip();
        Ok(text.clone())
    }

    /// A type by words of the dialect's list.
    pub(super) fn type_name(&mut self) -> Verdict<TypeName> {
        let Some(words) = words::types(self.dialect).iter().find(|words| {
            let words: Vec<&str> = words.split(' ').collect();
            self.accept_words(&words)
        }) else {
            return self.unexpected("a type that values can be cast to");
        };
        let mut sizes = Vec::new();
        if self.accept_symbol("(") {
            sizes = self.list(Self::size)?;
            self.expect_symbol(")")?;
        }
        Ok(TypeName { words, sizes })
    }

    fn size(&mut self) -> Verdict<u16> {
        let Token::Number(digits) = self.peek() else { return self.unexpected("a type's size") };
        let Ok(size) = digits.parse::<u16>() else { return self.unexpected("a type's size") };
        self.skip();
        Ok(size)
    }
}
