//! Bounds what a TOML text may be made of before it is parsed. The parser takes many times the memory of each token, and
//! readers recurse by nesting; the lexer takes neither.

use serde::de::DeserializeOwned;
use toml_parser::Source;
use toml_parser::lexer::TokenKind;

/// Tables, lists and dots of a key within each other.
const NESTING_MAX: usize = 32;
/// Tokens of a text: a seed file of 8 MiB has about two million, and each takes up to 150 bytes of memory.
const TOKENS_MAX: usize = 5 << 19;

/// A text that cannot be parsed, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TomlError {
    /// The byte.
    pub offset: usize,
    /// A lower-case fragment that repeats no value.
    pub message: String,
}

impl TomlError {
    /// The line of a text, counted from 1.
    #[must_use]
    pub fn line(&self, text: &str) -> usize {
        let before = text.as_bytes().get(..self.offset).unwrap_or_default();
        1 + memchr::memchr_iter(b'\n', before).count()
    }
}

/// Reads a text that has no lines of its own to report: one error, the first.
///
/// # Errors
/// What is wrong with it; a text of too many or too deeply nested parts is refused before it is parsed.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, TomlError> {
    bound(text)?;
    toml::from_str(text).map_err(|error| TomlError {
        offset: error.span().map_or(0, |span| span.start),
        message: error.message().to_owned(),
    })
}

/// Refuses a text that would cost much to parse. Takes no memory, and time by the text's length.
pub(super) fn bound(text: &str) -> Result<(), TomlError> {
    let (mut brackets, mut dots) = (0_usize, 0_usize);
    for (index, token) in Source::new(text).lex().enumerate() {
        match token.kind() {
            TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket => (brackets, dots) = (brackets + 1, 0),
            TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket => {
                (brackets, dots) = (brackets.saturating_sub(1), 0);
            }
            TokenKind::Dot => dots += 1,
            TokenKind::Equals | TokenKind::Comma | TokenKind::Newline | TokenKind::Eof => dots = 0,
            TokenKind::Comment
            | TokenKind::Whitespace
            | TokenKind::LiteralString
            | TokenKind::BasicString
            | TokenKind::MlLiteralString
            | TokenKind::MlBasicString
            | TokenKind::Atom => {}
        }
        let fail = |message: String| Err(TomlError { offset: token.span().start(), message });
        if brackets > NESTING_MAX || dots > NESTING_MAX {
            return fail(format!("is nested more than {NESTING_MAX} levels deep"));
        }
        if index > TOKENS_MAX {
            return fail(format!("has more than {TOKENS_MAX} keys, values and signs before here; split the file"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_nesting_and_crowds_are_refused_before_they_are_parsed() {
        let levels = |depth: usize| format!("a = {}{}\n", "[".repeat(depth), "]".repeat(depth));
        let tables = |depth: usize| format!("a = {}1{}\n", "{ a = ".repeat(depth), " }".repeat(depth));
        let keys = |depth: usize| format!("x = 1\n[a{}]\n", ".a".repeat(depth));
        for made in [&levels as &dyn Fn(usize) -> String, &tables, &keys] {
            assert_eq!(bound(&made(NESTING_MAX)), Ok(()), "{}", made(2));
            let error = bound(&made(NESTING_MAX + 1)).unwrap_err();
            assert_eq!(error.message, "is nested more than 32 levels deep");
            assert_eq!(from_str::<toml::Table>(&made(100_000)).unwrap_err().message, error.message);
        }
        assert_eq!(bound(&keys(NESTING_MAX + 1)).unwrap_err().line(&keys(NESTING_MAX + 1)), 2);
        for part in ["a\n", "= ", ", ", "[]\n", "]"] {
            let message = bound(&part.repeat(TOKENS_MAX + 1)).unwrap_err().message;
            assert!(message.contains("more than 2621440 keys, values and signs"), "{message}");
        }
        // Brackets of texts and comments nest nothing.
        let plain = format!("a = \"{0}\" # {0}\nb = '''\n{0}'''\n", "[{".repeat(1_000));
        assert_eq!(bound(&plain), Ok(()));
        assert!(from_str::<toml::Table>(&plain).is_ok());
    }

    #[test]
    fn an_error_names_its_line_and_no_value() {
        let error = from_str::<toml::Table>("a = 1\nb = secret\n").unwrap_err();
        assert_eq!(error.line("a = 1\nb = secret\n"), 2);
        assert!(!error.message.contains("secret"), "{}", error.message);
    }
}
