//! Expressions: operands and the operators between them, in the order of the text.

use super::super::sql_refusal::Verdict;
use super::lexer::Token;
use super::parser::Parser;
use super::tree::{Arguments, Call, Case, Expression, Piece, Window};
use super::words;
use crate::database::Dialect;

/// Operators by symbol that take one operand.
const PREFIXES: [&str; 3] = ["-", "+", "~"];
/// Symbols that are no operators.
const PUNCTUATION: [&str; 5] = ["(", ")", ",", ".", "::"];

impl Parser<'_> {
    pub(super) fn expression(&mut self) -> Verdict<Expression> {
        self.deeper(|parser| {
            let mut pieces = Vec::new();
            loop {
                while let Some(prefix) = parser.prefix() {
                    pieces.push(Piece::Word(prefix));
                }
                pieces.push(parser.operand()?);
                while let Some(postfix) = parser.postfix()? {
                    pieces.push(postfix);
                }
                let Some(operator) = parser.infix() else { return Ok(Expression(pieces)) };
                pieces.push(Piece::Word(operator));
                if let Some(quantifier) = parser.quantifier() {
                    pieces.push(Piece::Word(quantifier));
                }
            }
        })
    }

    fn prefix(&mut self) -> Option<&'static str> {
        if let Token::Symbol(symbol) = self.peek()
            && PREFIXES.contains(symbol)
        {
            self.skip();
            return Some(symbol);
        }
        if self.is_word("EXISTS") && !self.is_symbol_at(1, "(") {
            return None;
        }
        self.accept_one_of(words::prefixes(self.dialect))
    }

    /// `= ANY (...)`, and `IS DISTINCT FROM`'s like are operators already.
    fn quantifier(&mut self) -> Option<&'static str> {
        if !self.is_symbol_at(1, "(") || self.dialect == Dialect::Sqlite {
            return None;
        }
        self.accept_one_of(&["ANY", "SOME", "ALL"])
    }

    fn infix(&mut self) -> Option<&'static str> {
        if let Token::Symbol(symbol) = self.peek() {
            if PUNCTUATION.contains(symbol) {
                return None;
            }
            self.skip();
            return Some(symbol);
        }
        // Longer ones come first: `IS NOT DISTINCT FROM` before `IS NOT`.
        words::infixes(self.dialect).iter().find(|words| self.accept_phrase(words)).copied()
    }

    /// Takes the words of a phrase of one of our lists.
    pub(super) fn accept_phrase(&mut self, phrase: &str) -> bool {
        // Most words are not this phrase's first.
        let first = phrase.split(' ').next().unwrap_or_default();
        self.is_word(first) && self.accept_words(&phrase.split(' ').collect::<Vec<_>>())
    }

    fn postfix(&mut self) -> Verdict<Option<Piece>> {
        if self.accept_symbol("::") {
            return self.type_name().map(|kind| Some(Piece::CastTo(kind)));
        }
        if self.accept_word("COLLATE") {
            return self.collation().map(|name| Some(Piece::Collate(name)));
        }
        Ok(words::postfixes(self.dialect)
            .iter()
            .find(|words| self.accept_phrase(words))
            .map(|words| Piece::Word(words)))
    }

    fn collation(&mut self) -> Verdict<super::tree::Name> {
        if let Token::Word(name) | Token::Quoted(name) = self.peek()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
        {
            return self.name();
        }
        self.unexpected("a collation")
    }

    fn operand(&mut self) -> Verdict<Piece> {
        match self.peek() {
            Token::Parameter => {
                self.skip();
                Ok(Piece::Parameter)
            }
            Token::Number(digits) => {
                self.skip();
                Ok(Piece::Number(digits.clone()))
            }
            Token::Hex(digits) => {
                self.skip();
                Ok(Piece::Hex(digits.clone()))
            }
            Token::Text(text) => {
                self.skip();
                Ok(Piece::Text(text.clone()))
            }
            Token::Symbol("(") => self.nested(),
            Token::Word(word) => self.worded(word),
            Token::Quoted(_) => self.column(),
            Token::Symbol(_) | Token::End => self.unexpected("a value, a column or a function"),
        }
    }

    /// A query in parentheses, or expressions in them.
    fn nested(&mut self) -> Verdict<Piece> {
        if self.is_word_at(1, "SELECT") || self.is_word_at(1, "WITH") {
            self.skip();
            let query = self.query()?;
            self.expect_symbol(")")?;
            return Ok(Piece::Subquery(Box::new(query)));
        }
        self.parenthesised(Self::expression).map(Piece::Nested)
    }

    /// Parses an expression that begins with an unquoted word.
    fn worded(&mut self, word: &str) -> Verdict<Piece> {
        let calls = self.is_symbol_at(1, "(");
        match word.to_ascii_uppercase().as_str() {
            "CASE" => return self.case(),
            "CAST" if calls => return self.cast(),
            "INTERVAL" => return self.interval(),
            "DATE" | "TIME" | "TIMESTAMP" if matches!(self.peek_at(1), Token::Text(_)) => {
                let Some(kind) = self.accept_one_of(&["DATE", "TIMESTAMP", "TIME"]) else {
                    return self.unexpected("a type of time");
                };
                return Ok(Piece::Typed(kind, self.text()?));
            }
            _ => {}
        }
        if calls {
            let Some(name) = words::function(self.dialect, word) else {
                return Err(format!("function `{}` is not allowed", words::shown(word)).into());
            };
            self.skip();
            return self.call(name).map(|call| Piece::Call(Box::new(call)));
        }
        if !self.is_symbol_at(1, ".")
            && let Some(constant) = self.accept_one_of(words::constants(self.dialect))
        {
            return Ok(Piece::Word(constant));
        }
        self.column()
    }

    fn column(&mut self) -> Verdict<Piece> {
        let first = self.name()?;
        if !self.accept_symbol(".") {
            if self.is_symbol("(") {
                return Err("a function is named without quotes".into());
            }
            return Ok(Piece::Column(first));
        }
        let name = self.name()?;
        if self.is_symbol("(") {
            let name = format!("{}.{}", words::shown(&first.0), words::shown(&name.0));
            return Err(format!("function `{name}` is not allowed").into());
        }
        if self.is_symbol(".") {
            return Err("a column is named by its name, or by an alias and its name".into());
        }
        Ok(Piece::Qualified(first, name))
    }

    fn case(&mut self) -> Verdict<Piece> {
        self.skip();
        let of = if self.is_word("WHEN") { None } else { Some(self.expression()?) };
        let mut when = Vec::new();
        while self.accept_word("WHEN") {
            let condition = self.expression()?;
            self.expect_word("THEN")?;
            when.push((condition, self.expression()?));
        }
        let otherwise = if self.accept_word("ELSE") { Some(self.expression()?) } else { None };
        self.expect_word("END")?;
        if when.is_empty() {
            return self.unexpected("WHEN");
        }
        Ok(Piece::Case(Box::new(Case { of, when, otherwise })))
    }

    fn cast(&mut self) -> Verdict<Piece> {
        self.skip();
        self.expect_symbol("(")?;
        let value = self.expression()?;
        self.expect_word("AS")?;
        let kind = self.type_name()?;
        self.expect_symbol(")")?;
        Ok(Piece::Cast(Box::new(value), kind))
    }

    fn interval(&mut self) -> Verdict<Piece> {
        self.skip();
        let value = match self.dialect {
            Dialect::Postgres => Expression(vec![Piece::Text(self.text()?)]),
            Dialect::MySql => self.expression()?,
            Dialect::Sqlite => return self.unexpected("no INTERVAL, which SQLite does not have"),
        };
        let unit = self.accept_one_of(words::UNITS);
        if unit.is_none() && self.dialect == Dialect::MySql {
            return self.unexpected("a unit of time");
        }
        Ok(Piece::Interval(Box::new(value), unit))
    }

    /// Parses the argument list of a function.
    fn call(&mut self, name: &'static str) -> Verdict<Call> {
        self.expect_symbol("(")?;
        let arguments = if name == "count" && self.accept_symbol("*") {
            Arguments::Everything
        } else if self.is_symbol(")") {
            Arguments::List { distinct: false, side: None, list: Vec::new(), order: Vec::new(), separator: None }
        } else {
            self.arguments(name)?
        };
        if let Arguments::List { list, .. } = &arguments
            && words::is_unbounded(self.dialect, name, list.len())
        {
            return Err(format!("function `{name}` takes one argument on SQLite, where nothing could stop it").into());
        }
        self.expect_symbol(")")?;
        let filter = if self.is_word("FILTER") && self.is_symbol_at(1, "(") {
            self.skip();
            self.skip();
            let filter = self.filter()?;
            self.expect_symbol(")")?;
            filter
        } else {
            None
        };
        let over = if self.is_word("OVER") && self.is_symbol_at(1, "(") { Some(self.window()?) } else { None };
        Ok(Call { name, arguments, filter, over })
    }

    fn arguments(&mut self, name: &'static str) -> Verdict<Arguments> {
        let distinct = self.accept_word("DISTINCT");
        let side = if name == "trim" { self.accept_one_of(&["BOTH", "LEADING", "TRAILING"]) } else { None };
        let mut list = Vec::new();
        if words::takes_unit(name) {
            let Some(unit) = self.accept_one_of(words::UNITS) else { return self.unexpected("a unit of time") };
            list.push(("", Expression(vec![Piece::Word(unit)])));
        } else if side.is_none() || !self.is_word("FROM") {
            list.push(("", self.expression()?));
        }
        while let Some(between) = self.between_arguments() {
            list.push((between, self.expression()?));
        }
        let order = self.order()?;
        let separator =
            if self.dialect == Dialect::MySql && self.accept_word("SEPARATOR") { Some(self.text()?) } else { None };
        Ok(Arguments::List { distinct, side, list, order, separator })
    }

    fn between_arguments(&mut self) -> Option<&'static str> {
        if self.accept_symbol(",") { Some(",") } else { self.accept_one_of(&["FROM", "FOR", "PLACING"]) }
    }

    fn window(&mut self) -> Verdict<Window> {
        self.skip();
        self.expect_symbol("(")?;
        let partition = if self.accept_words(&["PARTITION", "BY"]) { self.list(Self::expression)? } else { Vec::new() };
        let order = self.order()?;
        let mut frame = Vec::new();
        if let Some(kind) = self.accept_one_of(&["ROWS", "RANGE"]) {
            frame.push(kind);
            if self.accept_word("BETWEEN") {
                frame.extend(["BETWEEN", self.bound()?]);
                self.expect_word("AND")?;
                frame.extend(["AND", self.bound()?]);
            } else {
                frame.push(self.bound()?);
            }
        }
        self.expect_symbol(")")?;
        Ok(Window { partition, order, frame })
    }

    fn bound(&mut self) -> Verdict<&'static str> {
        const BOUNDS: [&str; 3] = ["UNBOUNDED PRECEDING", "UNBOUNDED FOLLOWING", "CURRENT ROW"];
        match BOUNDS.iter().find(|bound| self.accept_phrase(bound)) {
            Some(bound) => Ok(bound),
            None => self.unexpected("UNBOUNDED or CURRENT ROW"),
        }
    }
}
