//! Statements: one SELECT, or one INSERT, UPDATE or DELETE, with WITH before it.

use super::super::sql_refusal::Verdict;
use super::parser::Parser;
use super::tree::{
    Assignment, Conflict, ConflictTarget, Cte, Delete, Factor, Insert, Joined, Statement, TableName, Update,
};
use crate::database::Dialect;

const REPLACES: &str = "REPLACE is not allowed, since it deletes; use INSERT";

impl Parser<'_> {
    /// The whole text; `None` when it is another kind of statement.
    pub(super) fn statement(&mut self) -> Verdict<Option<Statement>> {
        let with = self.with()?;
        let statement = if self.accept_word("INSERT") {
            self.insert().map(|insert| Statement::Insert(with, insert))
        } else if self.accept_word("UPDATE") {
            self.update().map(|update| Statement::Update(with, update))
        } else if self.accept_word("DELETE") {
            self.delete().map(|delete| Statement::Delete(with, delete))
        } else if self.is_word("SELECT") {
            self.query_after(with).map(Statement::Query)
        } else if self.is_word("REPLACE") {
            Err(REPLACES.into())
        } else {
            return Ok(None);
        }?;
        self.expect_end()?;
        Ok(Some(statement))
    }

    /// The queries named before a statement or a query; none when it does not begin with WITH.
    pub(super) fn with(&mut self) -> Verdict<Vec<Cte>> {
        if !self.accept_word("WITH") {
            return Ok(Vec::new());
        }
        if self.is_word("RECURSIVE") {
            return Err("WITH RECURSIVE is not allowed, since it need not end".into());
        }
        self.list(|parser| {
            let name = parser.relation()?;
            let columns = if parser.is_symbol("(") { parser.parenthesised(Self::name)? } else { Vec::new() };
            parser.expect_word("AS")?;
            parser.expect_symbol("(")?;
            let query = parser.query()?;
            parser.expect_symbol(")")?;
            Ok(Cte { name, columns, query })
        })
    }

    /// `OR ROLLBACK` ends the transaction, `OR FAIL` keeps half of a statement, `OR REPLACE` deletes.
    fn or_clause(&mut self) -> Verdict<Option<&'static str>> {
        if self.dialect == Dialect::MySql {
            return Ok(self.accept_one_of(&["IGNORE"]));
        }
        if self.dialect == Dialect::Postgres || !self.accept_word("OR") {
            return Ok(None);
        }
        match self.accept_one_of(&["IGNORE", "ABORT"]) {
            Some("IGNORE") => Ok(Some("OR IGNORE")),
            Some(_) => Ok(Some("OR ABORT")),
            None => self.unexpected("IGNORE or ABORT"),
        }
    }

    fn insert(&mut self) -> Verdict<Insert> {
        let or = self.or_clause()?;
        self.expect_word("INTO")?;
        let table = self.table_name()?;
        let alias = if self.accept_word("AS") { Some(self.relation()?) } else { None };
        // A query in parentheses would begin like the columns, and is not allowed here.
        let columns = if self.is_symbol("(") { self.parenthesised(Self::name)? } else { Vec::new() };
        let source = if self.accept_words(&["DEFAULT", "VALUES"]) { None } else { Some(self.query()?) };
        let conflict = self.conflict()?;
        Ok(Insert { or, table, alias, columns, source, conflict })
    }

    fn conflict(&mut self) -> Verdict<Option<Conflict>> {
        if self.dialect == Dialect::MySql {
            if !self.accept_words(&["ON", "DUPLICATE", "KEY", "UPDATE"]) {
                return Ok(None);
            }
            return self.list(Self::assignment).map(|assignments| Some(Conflict::DuplicateKey(assignments)));
        }
        if !self.accept_words(&["ON", "CONFLICT"]) {
            return Ok(None);
        }
        let target = if self.accept_words(&["ON", "CONSTRAINT"]) {
            Some(ConflictTarget::Constraint(self.name()?))
        } else if self.is_symbol("(") {
            let columns = self.parenthesised(Self::expression)?;
            Some(ConflictTarget::Columns(columns, self.filter()?))
        } else {
            None
        };
        self.expect_word("DO")?;
        if self.accept_word("NOTHING") {
            return Ok(Some(Conflict::OnConflict { target, update: None }));
        }
        self.expect_word("UPDATE")?;
        self.expect_word("SET")?;
        let assignments = self.list(Self::assignment)?;
        Ok(Some(Conflict::OnConflict { target, update: Some((assignments, self.filter()?)) }))
    }

    fn assignment(&mut self) -> Verdict<Assignment> {
        let first = self.name()?;
        let column = if self.accept_symbol(".") { (Some(first), self.name()?) } else { (None, first) };
        self.expect_symbol("=")?;
        Ok(Assignment { column, value: self.expression()? })
    }

    fn update(&mut self) -> Verdict<Update> {
        let or = self.or_clause()?;
        let tables =
            if self.dialect == Dialect::MySql { self.list(Self::joined)? } else { vec![self.written_table()?] };
        self.expect_word("SET")?;
        let assignments = self.list(Self::assignment)?;
        let from = if self.dialect != Dialect::MySql && self.accept_word("FROM") {
            self.list(Self::joined)?
        } else {
            Vec::new()
        };
        let filter = self.filter()?;
        let (order, limit) = self.order_and_limit_of_a_write()?;
        Ok(Update { or, tables, assignments, from, filter, order, limit })
    }

    fn delete(&mut self) -> Verdict<Delete> {
        let mut targets = Vec::new();
        if self.dialect == Dialect::MySql && !self.is_word("FROM") {
            targets = self.list(Self::relation)?;
        }
        self.expect_word("FROM")?;
        let from = if targets.is_empty() { vec![self.written_table()?] } else { self.list(Self::joined)? };
        let using = if self.dialect == Dialect::Postgres && self.accept_word("USING") {
            self.list(Self::joined)?
        } else {
            Vec::new()
        };
        let filter = self.filter()?;
        let (order, limit) = self.order_and_limit_of_a_write()?;
        Ok(Delete { targets, from, using, filter, order, limit })
    }

    /// MySQL takes both after a write; SQLite and PostgreSQL neither.
    fn order_and_limit_of_a_write(&mut self) -> Verdict<(Vec<super::tree::Ordering>, Option<super::tree::Limit>)> {
        if self.dialect != Dialect::MySql {
            return Ok((Vec::new(), None));
        }
        Ok((self.order()?, self.limit()?))
    }

    /// The one table that a statement writes, with its alias.
    fn written_table(&mut self) -> Verdict<Joined> {
        let name = self.table_name()?;
        let alias = self.alias()?;
        Ok(Joined { first: Factor::Table { name, alias }, joins: Vec::new() })
    }

    /// `table` or `schema.table`.
    pub(super) fn table_name(&mut self) -> Verdict<TableName> {
        let first = self.relation()?;
        if !self.accept_symbol(".") {
            return Ok(TableName { schema: None, name: first });
        }
        let name = self.relation()?;
        if self.is_symbol(".") {
            return Err("a table is named by its name".into());
        }
        Ok(TableName { schema: Some(first), name })
    }
}
