//! Cuts a statement's text into tokens, by rules so narrow that every database would cut it in the same way.
//!
//! One pass, no look-back: the work grows with the text's length and with nothing else. What is not in these rules is
//! refused, and a reason names a position, never what stands there.

use super::super::sql_refusal::{Refusal, Verdict};
use crate::database::Dialect;

/// Bytes of one statement's text.
pub(super) const SQL_BYTES_MAX: usize = 1 << 20;
/// Words and operators of one statement, without commas, parentheses and parameters.
pub(super) const SQL_WORDS_MAX: usize = 1 << 16;

/// Tokens of every kind: they bound the memory that a tree takes.
const TOKENS_MAX: usize = 1 << 18;

/// One token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A keyword or a name, as written.
    Word(String),
    /// A name in quotes, without them.
    Quoted(String),
    /// A text literal, without quotes.
    Text(String),
    /// A number, as written: digits, at most one point, at most one exponent.
    Number(String),
    /// The digits of `x'...'`.
    Hex(String),
    /// `?`
    Parameter,
    /// An operator or punctuation of [`SYMBOLS`].
    Symbol(&'static str),
    /// After the last token.
    End,
}

/// A token with the byte at which it begins.
#[derive(Clone, Debug)]
pub(super) struct PositionedToken {
    pub(super) token: Token,
    pub(super) offset: usize,
}

/// Operators and punctuation, longer ones before those that they begin with.
const SYMBOLS: [(&str, &[Dialect]); 36] = [
    ("(", ALL),
    (")", ALL),
    (",", ALL),
    (".", ALL),
    ("<=>", &[Dialect::MySql]),
    ("->>", ALL),
    ("#>>", POSTGRES),
    ("!~*", POSTGRES),
    ("->", ALL),
    ("#>", POSTGRES),
    ("#-", POSTGRES),
    ("||", ALL),
    ("&&", &[Dialect::MySql, Dialect::Postgres]),
    ("<>", ALL),
    ("!=", ALL),
    ("<=", ALL),
    (">=", ALL),
    ("==", &[Dialect::Sqlite]),
    ("::", POSTGRES),
    ("<<", ALL),
    (">>", ALL),
    ("@>", POSTGRES),
    ("<@", POSTGRES),
    ("!~", POSTGRES),
    ("~*", POSTGRES),
    ("=", ALL),
    ("<", ALL),
    (">", ALL),
    ("+", ALL),
    ("-", ALL),
    ("*", ALL),
    ("/", ALL),
    ("%", ALL),
    ("|", ALL),
    ("&", ALL),
    ("~", ALL),
];
const ALL: &[Dialect] = &[Dialect::Sqlite, Dialect::MySql, Dialect::Postgres];
const POSTGRES: &[Dialect] = &[Dialect::Postgres];

/// All tokens of a statement, ending with [`Token::End`].
pub(super) fn tokens(dialect: Dialect, sql: &str) -> Verdict<Vec<PositionedToken>> {
    check_characters(dialect, sql)?;
    let mut lexer = Lexer { dialect, sql, at: 0 };
    let mut tokens = Vec::new();
    let mut words = 0;
    loop {
        lexer.skip_blanks();
        let offset = lexer.at;
        let token = lexer.token()?;
        match &token {
            Token::End => {
                tokens.push(PositionedToken { token, offset });
                return Ok(tokens);
            }
            Token::Parameter | Token::Symbol("(" | ")" | ",") => {}
            Token::Word(_)
            | Token::Quoted(_)
            | Token::Text(_)
            | Token::Number(_)
            | Token::Hex(_)
            | Token::Symbol(_) => words += 1,
        }
        if words > SQL_WORDS_MAX {
            return Err(format!("a statement of more than {SQL_WORDS_MAX} words").into());
        }
        if tokens.len() >= TOKENS_MAX {
            return Err(format!("a statement of more than {TOKENS_MAX} words, commas and parentheses").into());
        }
        tokens.push(PositionedToken { token, offset });
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

/// Where a byte is, as an editor counts: `line 1, column 8`.
pub(super) fn position(sql: &str, offset: usize) -> String {
    let before = sql.get(..offset).unwrap_or(sql);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("line {line}, column {column}")
}

struct Lexer<'a> {
    dialect: Dialect,
    sql: &'a str,
    at: usize,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.sql[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn refuse<T>(&self, what: &str) -> Verdict<T> {
        Err(Refusal::Statement(format!("{what}, at {}", position(self.sql, self.at))))
    }

    fn skip_blanks(&mut self) {
        self.take_while(|character| matches!(character, ' ' | '\t' | '\n' | '\r'));
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &str {
        let from = self.at;
        let length: usize = self.rest().chars().take_while(|character| belongs(*character)).map(char::len_utf8).sum();
        self.at += length;
        &self.sql[from..self.at]
    }

    fn token(&mut self) -> Verdict<Token> {
        let Some(first) = self.peek() else { return Ok(Token::End) };
        match first {
            '?' => {
                self.at += 1;
                match self.peek() {
                    Some(next) if is_in_word(next) => self.refuse("parameters are written `?`"),
                    _ => Ok(Token::Parameter),
                }
            }
            '\'' => self.quoted('\'').map(Token::Text),
            '"' if self.dialect == Dialect::MySql => self.quoted('"').map(Token::Text),
            '"' => self.quoted('"').and_then(|name| self.name(name)),
            '`' if self.dialect != Dialect::Postgres => self.quoted('`').and_then(|name| self.name(name)),
            '0'..='9' => self.number(),
            '.' if self.rest()[1..].starts_with(|next: char| next.is_ascii_digit()) => self.number(),
            _ if first == '_' || first.is_alphabetic() => self.word(),
            _ => self.symbol(),
        }
    }

    /// What is between two quotes, which stand twice where they are meant.
    fn quoted(&mut self, quote: char) -> Verdict<String> {
        let from = self.at;
        let mut text = String::new();
        self.at += 1;
        loop {
            let Some(length) = self.rest().find(quote) else {
                self.at = from;
                return self.refuse("a quote that is never closed");
            };
            text.push_str(&self.rest()[..length]);
            self.at += length + 1;
            if self.peek() != Some(quote) {
                return Ok(text);
            }
            text.push(quote);
            self.at += 1;
        }
    }

    fn name(&self, name: String) -> Verdict<Token> {
        if name.is_empty() || name.chars().any(|character| character.is_control() || "\"`'".contains(character)) {
            return self.refuse("a name is of printable characters, without quotes");
        }
        Ok(Token::Quoted(name))
    }

    fn word(&mut self) -> Verdict<Token> {
        let word = self.take_while(is_in_word).to_owned();
        match self.peek() {
            // A text with a prefix is read by other rules of quoting. Bytes are known.
            Some('\'' | '"') if word.eq_ignore_ascii_case("x") => {
                let digits = self.quoted('\'')?;
                if digits.len() % 2 != 0 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                    return self.refuse("bytes are written x'...', with two digits for each");
                }
                Ok(Token::Hex(digits))
            }
            Some('\'' | '"' | '`') => self.refuse("a text with a prefix is not allowed; use a parameter"),
            Some('&') if word.eq_ignore_ascii_case("u") && self.rest()[1..].starts_with(['\'', '"']) => {
                self.refuse("a text with a prefix is not allowed; use a parameter")
            }
            Some('$' | '@') => self.refuse("variables are not allowed"),
            _ => Ok(Token::Word(word)),
        }
    }

    fn number(&mut self) -> Verdict<Token> {
        let is_digit = |character: char| character.is_ascii_digit();
        let from = self.at;
        self.take_while(is_digit);
        if self.peek() == Some('.') {
            self.at += 1;
            self.take_while(is_digit);
        }
        if matches!(self.peek(), Some('e' | 'E')) {
            self.at += 1;
            if matches!(self.peek(), Some('+' | '-')) {
                self.at += 1;
            }
            if self.take_while(is_digit).is_empty() {
                return self.refuse("a number without its exponent");
            }
        }
        match self.peek() {
            Some(next) if is_in_word(next) || next == '.' => self.refuse("a number that runs into a name"),
            _ => Ok(Token::Number(self.sql[from..self.at].to_owned())),
        }
    }

    /// Whether PostgreSQL, too, ends the operator here: to it all of a row of such characters are one, except signs at
    /// its end.
    fn ends_here(&self, symbol: &str) -> bool {
        let is_operator = |text: &str| text.starts_with(|first: char| "+-*/<>=~!@#%^&|`".contains(first));
        if self.dialect != Dialect::Postgres || !is_operator(symbol) {
            return true;
        }
        let after = self.rest()[symbol.len()..].trim_start_matches(|next: char| "+-".contains(next));
        let has_sign = after.len() < self.rest().len() - symbol.len();
        let keeps_signs = symbol.contains(|character: char| "~!@#%^&|`".contains(character));
        !is_operator(after) && (!has_sign || !keeps_signs)
    }

    fn symbol(&mut self) -> Verdict<Token> {
        let known = SYMBOLS.iter().find(|(symbol, of)| of.contains(&self.dialect) && self.rest().starts_with(symbol));
        if let Some((symbol, _)) = known
            && self.ends_here(symbol)
        {
            self.at += symbol.len();
            return Ok(Token::Symbol(symbol));
        }
        match self.peek() {
            Some(';') => Err("a semicolon is not allowed: one statement at a time".into()),
            Some('@' | ':' | '$') => Err("variables are not allowed".into()),
            _ => self.refuse("a character that no allowed statement has"),
        }
    }
}

fn is_in_word(character: char) -> bool {
    character == '_' || character.is_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(dialect: Dialect, sql: &str) -> Verdict<Vec<Token>> {
        tokens(dialect, sql).map(|tokens| tokens.into_iter().map(|placed| placed.token).collect())
    }

    #[test]
    fn a_statement_is_split_into_the_tokens_that_every_database_sees() {
        let word = |text: &str| Token::Word(text.to_owned());
        let text = |text: &str| Token::Text(text.to_owned());
        let quoted = |text: &str| Token::Quoted(text.to_owned());
        for (dialect, sql, expected) in [
            (
                Dialect::Postgres,
                "a=-1",
                vec![word("a"), Token::Symbol("="), Token::Symbol("-"), Token::Number("1".into())],
            ),
            (Dialect::Postgres, "\"A\"\t'it''s'", vec![quoted("A"), text("it's")]),
            (Dialect::MySql, "`A` \"it\"\"s\"", vec![quoted("A"), text("it\"s")]),
            (
                Dialect::Sqlite,
                "x'0aFF' .5e-3 ?,?",
                vec![
                    Token::Hex("0aFF".into()),
                    Token::Number(".5e-3".into()),
                    Token::Parameter,
                    Token::Symbol(","),
                    Token::Parameter,
                ],
            ),
        ] {
            let mut expected = expected;
            expected.push(Token::End);
            assert_eq!(only(dialect, sql).as_ref(), Ok(&expected), "{sql}");
        }
    }

    #[test]
    fn a_text_that_databases_tokenize_differently_is_refused() {
        for (dialect, sql) in [
            (Dialect::MySql, "1a"),
            (Dialect::MySql, "0x1F"),
            (Dialect::MySql, "_utf8'a'"),
            (Dialect::MySql, "N'a'"),
            (Dialect::Postgres, "E'a'"),
            (Dialect::Postgres, "U&'a'"),
            (Dialect::Postgres, "1.2.3"),
            (Dialect::Postgres, "a`b"),
            (Dialect::Postgres, "a @@@ b"),
            (Dialect::Sqlite, "[a]"),
            (Dialect::Sqlite, "?1"),
            (Dialect::Sqlite, "x'0'"),
            (Dialect::Sqlite, "\"a\nb\""),
            (Dialect::Sqlite, "a\u{202e}b"),
            (Dialect::Sqlite, "a\u{a0}b"),
            (Dialect::Sqlite, "'a"),
        ] {
            assert!(only(dialect, sql).is_err(), "{dialect:?}: {sql}");
        }
    }

    #[test]
    fn a_position_is_counted_in_lines_and_columns_of_an_editor() {
        assert_eq!(position("SELECT\n  é;", 12), "line 2, column 5");
    }
}
