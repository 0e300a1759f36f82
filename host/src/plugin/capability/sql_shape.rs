//! A statement without its literals, for people who may not see a patient's data. Most adapters use parameters; this
//! protects the literals of the others.

use sqlparser::dialect::{Dialect as Grammar, MySqlDialect, PostgreSqlDialect, SQLiteDialect};
use sqlparser::tokenizer::{Token, Tokenizer, Whitespace};

use crate::database::Dialect;

/// Longer numbers may be dates, telephone numbers or ids.
const DIGITS_SHOWN: usize = 2;

/// One line; texts and long numbers are replaced by `'...'`.
pub(in crate::plugin) fn shape(dialect: Dialect, sql: &str) -> String {
    let Ok(tokens) = Tokenizer::new(grammar(dialect), sql).tokenize() else {
        return format!("(a statement of {} bytes that cannot be read)", sql.len());
    };
    let pieces: String = tokens.iter().map(piece).collect();
    pieces.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn grammar(dialect: Dialect) -> &'static dyn Grammar {
    match dialect {
        Dialect::Sqlite => &SQLiteDialect {},
        Dialect::MySql => &MySqlDialect {},
        Dialect::Postgres => &PostgreSqlDialect {},
    }
}

fn piece(token: &Token) -> String {
    match token {
        Token::Whitespace(Whitespace::SingleLineComment { .. } | Whitespace::MultiLineComment(_)) => " ".to_owned(),
        Token::Number(digits, _) if digits.len() <= DIGITS_SHOWN => digits.clone(),
        Token::Word(_) | Token::Whitespace(_) => token.to_string(),
        Token::Placeholder(text) if text == "?" => text.clone(),
        other => {
            let text = other.to_string();
            // However a literal is written, it is a number or has quotes.
            let is_literal = matches!(other, Token::Number(..)) || text.contains(['\'', '"', '$']);
            if is_literal { "'...'".to_owned() } else { text }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_shape_holds_no_literal() {
        for (sql, seen) in [
            ("SELECT `a`, \"b\" FROM t\n  WHERE a = ? LIMIT 1", "SELECT `a`, '...' FROM t WHERE a = ? LIMIT 1"),
            (
                "UPDATE t SET a = 'Kim', b = 19800315, c = X'4B696D', d = N'Kim'",
                "UPDATE t SET a = '...', b = '...', c = '...', d = '...'",
            ),
            ("SELECT 1 /* Kim */ -- Kim\n", "SELECT 1"),
            ("SELECT 'Kim", "(a statement of 11 bytes that cannot be read)"),
        ] {
            assert_eq!(shape(Dialect::MySql, sql), seen);
        }
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            let seen = shape(dialect, "INSERT INTO \"t\" (a) VALUES ('Kim', E'Kim', $$Kim$$, x'4b')");
            assert!(seen.starts_with("INSERT INTO \"t\" (a)") && !seen.contains("Kim"), "{seen}");
        }
    }
}
