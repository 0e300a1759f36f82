//! Queries: SELECT and VALUES, what combines them, and what may stand in FROM.

use super::super::sql_refusal::Verdict;
use super::lexer::Token;
use super::parser::Parser;
use super::tree::{
    Alias, Core, Cte, Expression, Factor, Item, Join, JoinOn, Joined, JsonColumn, Limit, Lock, Ordering, Query, Select,
};
use super::words;
use crate::database::Dialect;

impl Parser<'_> {
    pub(super) fn query(&mut self) -> Verdict<Query> {
        self.deeper(|parser| {
            let with = parser.with()?;
            parser.query_after(with)
        })
    }

    /// The query that follows the names given by WITH.
    pub(super) fn query_after(&mut self, with: Vec<Cte>) -> Verdict<Query> {
        let first = self.core()?;
        let mut rest = Vec::new();
        while let Some(operator) = self.set_operator() {
            rest.push((operator, self.core()?));
        }
        let order = self.order()?;
        let limit = self.limit()?;
        let lock = self.lock()?;
        Ok(Query { with, first, rest, order, limit, lock })
    }

    fn set_operator(&mut self) -> Option<&'static str> {
        let (plain, all) = match self.accept_one_of(&["UNION", "INTERSECT", "EXCEPT"])? {
            "UNION" => ("UNION", "UNION ALL"),
            "INTERSECT" => ("INTERSECT", "INTERSECT ALL"),
            _ => ("EXCEPT", "EXCEPT ALL"),
        };
        if self.accept_word("ALL") {
            return Some(all);
        }
        self.accept_word("DISTINCT");
        Some(plain)
    }

    fn core(&mut self) -> Verdict<Core> {
        if self.accept_word("SELECT") {
            return self.select().map(|select| Core::Select(Box::new(select)));
        }
        if self.accept_word("VALUES") {
            return self.list(|parser| parser.parenthesised(Self::expression)).map(Core::Values);
        }
        if self.accept_symbol("(") {
            let query = self.query()?;
            self.expect_symbol(")")?;
            return Ok(Core::Nested(Box::new(query)));
        }
        self.unexpected("SELECT")
    }

    fn select(&mut self) -> Verdict<Select> {
        let distinct = self.accept_word("DISTINCT");
        if !distinct {
            self.accept_word("ALL");
        }
        let items = self.list(Self::item)?;
        if self.is_word("INTO") {
            return Err("SELECT INTO is not allowed".into());
        }
        let from = if self.accept_word("FROM") { self.list(Self::joined)? } else { Vec::new() };
        let filter = self.filter()?;
        let group = if self.accept_words(&["GROUP", "BY"]) { self.list(Self::expression)? } else { Vec::new() };
        let having = if self.accept_word("HAVING") { Some(self.expression()?) } else { None };
        Ok(Select { distinct, items, from, filter, group, having })
    }

    fn item(&mut self) -> Verdict<Item> {
        if self.accept_symbol("*") {
            return Ok(Item::Everything);
        }
        if self.is_name() && self.is_symbol_at(1, ".") && self.is_symbol_at(2, "*") {
            let alias = self.relation()?;
            self.skip();
            self.skip();
            return Ok(Item::EverythingOf(alias));
        }
        let value = self.expression()?;
        let alias = if self.accept_word("AS") || self.is_name() { Some(self.name()?) } else { None };
        Ok(Item::Value(value, alias))
    }

    pub(super) fn filter(&mut self) -> Verdict<Option<Expression>> {
        if self.accept_word("WHERE") { self.expression().map(Some) } else { Ok(None) }
    }

    pub(super) fn order(&mut self) -> Verdict<Vec<Ordering>> {
        if !self.accept_words(&["ORDER", "BY"]) {
            return Ok(Vec::new());
        }
        self.list(|parser| {
            let by = parser.expression()?;
            let mut direction: Vec<&'static str> = parser.accept_one_of(&["ASC", "DESC"]).into_iter().collect();
            if parser.accept_words(&["NULLS", "FIRST"]) {
                direction.push("NULLS FIRST");
            } else if parser.accept_words(&["NULLS", "LAST"]) {
                direction.push("NULLS LAST");
            }
            Ok(Ordering { by, direction })
        })
    }

    pub(super) fn limit(&mut self) -> Verdict<Option<Limit>> {
        let mut parts = Vec::new();
        while let Some(word) = self.accept_one_of(&["LIMIT", "OFFSET"]) {
            if parts.iter().any(|(written, _)| *written == word) {
                return self.unexpected("one LIMIT and one OFFSET");
            }
            parts.push((word, self.expression()?));
            if word == "LIMIT" && self.dialect != Dialect::Postgres && self.accept_symbol(",") {
                parts.push((",", self.expression()?));
            }
        }
        Ok((!parts.is_empty()).then_some(Limit { parts }))
    }

    fn lock(&mut self) -> Verdict<Option<Lock>> {
        if self.dialect == Dialect::Sqlite {
            return Ok(None);
        }
        if self.dialect == Dialect::MySql && self.accept_words(&["LOCK", "IN", "SHARE", "MODE"]) {
            return Ok(Some(Lock { strength: "LOCK IN SHARE MODE", of: Vec::new(), wait: None }));
        }
        if !self.accept_word("FOR") {
            return Ok(None);
        }
        let strength = if self.accept_word("UPDATE") {
            "FOR UPDATE"
        } else if self.accept_word("SHARE") {
            "FOR SHARE"
        } else if self.dialect == Dialect::Postgres && self.accept_words(&["NO", "KEY", "UPDATE"]) {
            "FOR NO KEY UPDATE"
        } else if self.dialect == Dialect::Postgres && self.accept_words(&["KEY", "SHARE"]) {
            "FOR KEY SHARE"
        } else {
            return self.unexpected("UPDATE or SHARE");
        };
        let of = if self.accept_word("OF") { self.list(Self::relation)? } else { Vec::new() };
        let wait = if self.accept_word("NOWAIT") {
            Some("NOWAIT")
        } else if self.accept_words(&["SKIP", "LOCKED"]) {
            Some("SKIP LOCKED")
        } else {
            None
        };
        Ok(Some(Lock { strength, of, wait }))
    }

    /// A table or its like in FROM, with all that is joined to it.
    pub(super) fn joined(&mut self) -> Verdict<Joined> {
        let first = self.factor()?;
        let mut joins = Vec::new();
        while let Some(kind) = self.join_kind()? {
            let factor = self.factor()?;
            let on = if kind == "CROSS JOIN" {
                None
            } else if self.accept_word("ON") {
                Some(JoinOn::Condition(self.expression()?))
            } else if self.accept_word("USING") {
                Some(JoinOn::Using(self.parenthesised(Self::name)?))
            } else {
                None
            };
            joins.push(Join { kind, factor, on });
        }
        Ok(Joined { first, joins })
    }

    fn join_kind(&mut self) -> Verdict<Option<&'static str>> {
        let kind = match self.accept_one_of(&["JOIN", "INNER", "CROSS", "LEFT", "RIGHT", "FULL"]) {
            None => return Ok(None),
            Some("JOIN") => return Ok(Some("JOIN")),
            Some("INNER") => "INNER JOIN",
            Some("CROSS") => "CROSS JOIN",
            Some("LEFT") => "LEFT JOIN",
            Some("RIGHT") => "RIGHT JOIN",
            Some(_) => "FULL JOIN",
        };
        if !matches!(kind, "INNER JOIN" | "CROSS JOIN") {
            self.accept_word("OUTER");
        }
        self.expect_word("JOIN")?;
        Ok(Some(kind))
    }

    fn factor(&mut self) -> Verdict<Factor> {
        let lateral = self.dialect != Dialect::Sqlite && self.accept_word("LATERAL");
        if self.is_symbol("(")
            && (self.is_word_at(1, "SELECT") || self.is_word_at(1, "WITH") || self.is_word_at(1, "VALUES"))
        {
            self.skip();
            let query = Box::new(self.query()?);
            self.expect_symbol(")")?;
            let Some(alias) = self.alias()? else { return self.unexpected("an alias for the subquery") };
            return Ok(Factor::Query { lateral, query, alias });
        }
        if self.is_symbol("(") && !lateral {
            self.skip();
            let nested = self.deeper(Self::joined)?;
            self.expect_symbol(")")?;
            return Ok(Factor::Nested(Box::new(nested)));
        }
        if let Token::Word(name) = self.peek()
            && self.is_symbol_at(1, "(")
        {
            return self.table_function(lateral, name);
        }
        if lateral {
            return self.unexpected("a subquery or a function after LATERAL");
        }
        let name = self.table_name()?;
        if self.is_symbol("(") {
            return Err("a function in FROM may not name a schema".into());
        }
        let alias = self.alias()?;
        Ok(Factor::Table { name, alias })
    }

    fn table_function(&mut self, lateral: bool, name: &str) -> Verdict<Factor> {
        if self.dialect == Dialect::MySql && name.eq_ignore_ascii_case("JSON_TABLE") {
            self.skip();
            return self.json_table();
        }
        let Some(known) = words::table_function(self.dialect, name) else {
            return Err(format!("function `{}` is not allowed in FROM", words::shown(name)).into());
        };
        self.skip();
        let arguments = self.parenthesised(Self::expression)?;
        let alias = self.alias()?;
        Ok(Factor::Function { lateral, name: known, arguments, alias })
    }

    fn json_table(&mut self) -> Verdict<Factor> {
        self.expect_symbol("(")?;
        let source = self.expression()?;
        self.expect_symbol(",")?;
        let path = self.text()?;
        self.expect_word("COLUMNS")?;
        let columns = self.parenthesised(|parser| {
            let name = parser.name()?;
            if parser.accept_words(&["FOR", "ORDINALITY"]) {
                return Ok(JsonColumn { name, of: None });
            }
            let kind = parser.type_name()?;
            parser.expect_word("PATH")?;
            Ok(JsonColumn { name, of: Some((kind, parser.text()?)) })
        })?;
        self.expect_symbol(")")?;
        let Some(alias) = self.alias()? else { return self.unexpected("an alias for JSON_TABLE") };
        Ok(Factor::JsonTable { source, path, columns, alias })
    }

    /// `[AS] name [(column [type], ...)]`
    pub(super) fn alias(&mut self) -> Verdict<Option<Alias>> {
        if !self.accept_word("AS") && !self.is_name() {
            return Ok(None);
        }
        let name = self.relation()?;
        if !self.is_symbol("(") {
            return Ok(Some(Alias { name, columns: Vec::new() }));
        }
        let columns = self.parenthesised(|parser| {
            let name = parser.name()?;
            let has_type = matches!(parser.peek(), Token::Word(_));
            Ok((name, if has_type { Some(parser.type_name()?) } else { None }))
        })?;
        Ok(Some(Alias { name, columns }))
    }
}
