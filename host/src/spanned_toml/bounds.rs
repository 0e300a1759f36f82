//! Limits the content of a TOML text before it is parsed: the parser uses up to 800 bytes for an error and 1,500 for a
//! table, and recursion follows the nesting.

use serde::de::DeserializeOwned;
use toml_parser::lexer::TokenKind;
use toml_parser::parser::parse_document;
use toml_parser::{ParseError, Source};

/// The maximum nesting of tables, lists and dotted keys.
const NESTING_MAX: usize = 32;
/// The maximum number of tokens: keys, values, signs, spaces and line ends. A patient in a seed file has about a
/// hundred.
const TOKENS_MAX: usize = 1 << 20;
/// The maximum number of signs that may begin a table or list: `[`, `{`, and the dot of a key.
const TABLES_MAX: usize = 1 << 16;
/// The maximum number of syntax errors. Messages list a thousand.
const ERRORS_MAX: usize = 10_000;

/// Why and where a text cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TomlError {
    /// The offset in bytes.
    pub offset: usize,
    /// A lower-case fragment that repeats no value.
    pub message: String,
}

impl TomlError {
    /// The line at an offset, counted from 1.
    #[must_use]
    pub fn line(&self, text: &str) -> usize {
        let before = text.as_bytes().get(..self.offset).unwrap_or_default();
        1 + memchr::memchr_iter(b'\n', before).count()
    }
}

/// Parses a text whose lines are not reported. Only the first error is returned.
///
/// # Errors
/// The problem. A text with too many or too deeply nested parts is refused before it is parsed.
#[allow(clippy::disallowed_methods, reason = "its one use")]
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, TomlError> {
    bound(text)?;
    toml::from_str(text).map_err(|error| TomlError {
        offset: error.span().map_or(0, |span| span.start),
        message: error.message().to_owned(),
    })
}

/// Refuses a text that is expensive to parse. Uses 25 MB of memory, and time in proportion to the length.
pub(super) fn bound(text: &str) -> Result<(), TomlError> {
    let mut counts = Counts::default();
    for token in Source::new(text).lex() {
        counts.add(token.kind());
        if let Some(message) = counts.excess() {
            return Err(TomlError { offset: token.span().start(), message });
        }
    }
    bound_errors(text)
}

/// Counts the parts of a text.
#[derive(Default)]
struct Counts {
    tokens: usize,
    /// Signs so far that may begin a table or list.
    tables: usize,
    /// Open brackets.
    brackets: usize,
    /// Dots of the current key.
    dots: usize,
    /// `=` without a key or a value. The lexer does not report these, but the parser reports each one.
    bare: usize,
    /// Whether the current line has any token, and whether the last one is `=`.
    is_begun: bool,
    is_after_equals: bool,
}

impl Counts {
    fn add(&mut self, kind: TokenKind) {
        self.tokens += 1;
        match kind {
            TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket => {
                (self.brackets, self.tables, self.dots) = (self.brackets + 1, self.tables + 1, 0);
            }
            TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket => {
                (self.brackets, self.dots) = (self.brackets.saturating_sub(1), 0);
            }
            TokenKind::Dot => (self.dots, self.tables) = (self.dots + 1, self.tables + 1),
            TokenKind::Equals => {
                self.bare += usize::from(!self.is_begun || self.is_after_equals);
                self.dots = 0;
            }
            TokenKind::Newline | TokenKind::Eof => {
                self.bare += usize::from(self.is_after_equals);
                self.dots = 0;
            }
            TokenKind::Comma => self.dots = 0,
            TokenKind::Whitespace
            | TokenKind::Comment
            | TokenKind::LiteralString
            | TokenKind::BasicString
            | TokenKind::MlLiteralString
            | TokenKind::MlBasicString
            | TokenKind::Atom => {}
        }
        if !matches!(kind, TokenKind::Whitespace | TokenKind::Comment) {
            self.is_begun = kind != TokenKind::Newline;
            self.is_after_equals = kind == TokenKind::Equals;
        }
    }

    fn excess(&self) -> Option<String> {
        if self.brackets > NESTING_MAX || self.dots > NESTING_MAX {
            Some(format!("is nested more than {NESTING_MAX} levels deep"))
        } else if self.tables > TABLES_MAX {
            Some(format!("has more than {TABLES_MAX} tables and lists; split the file"))
        } else if self.tokens > TOKENS_MAX {
            Some(format!("has more than {TOKENS_MAX} keys, values and signs; split the file"))
        } else if self.bare > ERRORS_MAX {
            Some(too_many_errors())
        } else {
            None
        }
    }
}

fn too_many_errors() -> String {
    format!("has more than {ERRORS_MAX} syntax errors up to here")
}

/// Counts the syntax errors without keeping them.
fn bound_errors(text: &str) -> Result<(), TomlError> {
    let tokens = Source::new(text).lex().into_vec();
    let (mut errors, mut last) = (0_usize, 0_usize);
    let mut count = |error: ParseError| {
        errors += 1;
        if errors <= ERRORS_MAX {
            last = error.unexpected().or(error.context()).map_or(last, |span| span.start());
        }
    };
    parse_document(&tokens, &mut (), &mut count);
    if errors > ERRORS_MAX {
        return Err(TomlError { offset: last, message: too_many_errors() });
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
        let ones = |count: usize| format!("a = [{}]", "1,".repeat(count));
        assert_eq!(bound(&ones(TOKENS_MAX / 2 - 10)), Ok(()));
        for (text, words) in [
            (ones(TOKENS_MAX), "has more than 1048576 keys, values and signs"),
            ("]".repeat(TOKENS_MAX + 1), "has more than 1048576 keys, values and signs"),
            ("[[a]]\n".repeat(TABLES_MAX), "has more than 65536 tables and lists"),
            (format!("a = [{}]", "{a=1},".repeat(TABLES_MAX)), "has more than 65536 tables and lists"),
            ("a.b=1\n".repeat(TABLES_MAX + 1), "has more than 65536 tables and lists"),
            ("=\n".repeat(ERRORS_MAX + 1), "has more than 10000 syntax errors"),
            ("a=\n".repeat(ERRORS_MAX + 1), "has more than 10000 syntax errors"),
            ("a\n".repeat(ERRORS_MAX + 1), "has more than 10000 syntax errors"),
            ("=".repeat(TOKENS_MAX - 1), "has more than 10000 syntax errors"),
        ] {
            let message = bound(&text).err().map(|error| error.message).unwrap_or_default();
            assert!(message.starts_with(words), "{message:?} for {}", &text[..20]);
        }
        assert_eq!(bound(&"=\n".repeat(100)), Ok(()), "they are told one by one");
        // Brackets in texts and comments do not count as nesting.
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
