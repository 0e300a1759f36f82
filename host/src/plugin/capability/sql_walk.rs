//! The walk over everything inside a statement: subqueries, CTEs, functions, tables.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, ObjectName, ObjectNamePart, Query, Select, SetExpr, Statement, TableFactor, Visit as _, Visitor, With,
};

use super::sql_refusal::{Refusal, Verdict};
use super::sql_words;
use super::sql_written::Written;
use crate::database::Dialect;
use crate::domain::grants::{SqlGrants, TableVerb};

/// Refuses whatever in the statement was not granted.
pub(super) fn walk(dialect: Dialect, grants: &SqlGrants, statement: &Statement, written: &Written) -> Verdict {
    for (table, _) in written {
        if sql_words::is_internal(dialect, table) || sql_words::is_catalogue(dialect, None, table) {
            return Err(internal(table));
        }
    }
    let mut walk = Walk { dialect, grants, written, scopes: Vec::new(), statements: 0, function_follows: false };
    match statement.visit(&mut walk) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(refusal) => Err(*refusal),
    }
}

/// The parts of a name in lower case, without quotes.
pub(super) fn parts(name: &ObjectName) -> Verdict<Vec<String>> {
    name.0
        .iter()
        .map(|part| match part {
            ObjectNamePart::Identifier(identifier) => Ok(identifier.value.to_lowercase()),
            ObjectNamePart::Function(_) => Err("a table is named by its name".into()),
        })
        .collect()
}

struct Walk<'a> {
    dialect: Dialect,
    grants: &'a SqlGrants,
    written: &'a Written,
    /// The names that WITH gave, per query that we are inside of.
    scopes: Vec<Vec<String>>,
    statements: usize,
    /// The next relation is the name of a function, which was judged already.
    function_follows: bool,
}

type Flow = ControlFlow<Box<Refusal>>;

fn refuse(refusal: impl Into<Refusal>) -> Flow {
    ControlFlow::Break(Box::new(refusal.into()))
}

fn internal(table: &str) -> Refusal {
    Refusal::OutOfReach { name: table.to_owned(), why: "belongs to the database itself" }
}

impl Walk<'_> {
    fn check_relation(&self, name: &ObjectName) -> Verdict {
        let parts = parts(name)?;
        let (schema, table) = match parts.as_slice() {
            [table] => (None, table.as_str()),
            [schema, table] => (Some(schema.as_str()), table.as_str()),
            _ => return Err("a table is named by its name".into()),
        };
        if sql_words::is_catalogue(self.dialect, schema, table) {
            return Ok(());
        }
        if let Some(schema) = schema {
            return Err(Refusal::OutOfReach {
                name: format!("{schema}.{table}"),
                why: "lies outside of the target's own tables",
            });
        }
        if self.scopes.iter().flatten().any(|known| known == table) || self.is_target(table) {
            return Ok(());
        }
        if sql_words::is_internal(self.dialect, table) {
            return Err(internal(table));
        }
        if !self.grants.allows(TableVerb::Read, table) {
            return Err(Refusal::NotGranted { table: table.to_owned(), verb: TableVerb::Read });
        }
        Ok(())
    }

    /// Whether this is the table that the statement writes, named as such: not in a query within, which reads it.
    fn is_target(&self, table: &str) -> bool {
        // WITH before a statement that writes is a query around it.
        let around = self.statements.saturating_sub(1);
        self.scopes.len() <= around && self.written.iter().any(|(written, _)| written == table)
    }

    fn check_query(&self, query: &Query) -> Verdict {
        if query.for_clause.is_some() || query.settings.is_some() || query.format_clause.is_some() {
            return Err("this form of SELECT is not allowed".into());
        }
        if !query.pipe_operators.is_empty() {
            return Err("this form of SELECT is not allowed".into());
        }
        // A chain of UNIONs leans to the left and may be long.
        let mut bodies = vec![query.body.as_ref()];
        while let Some(body) = bodies.pop() {
            match body {
                SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) => {}
                SetExpr::SetOperation { left, right, .. } => bodies.extend([left.as_ref(), right.as_ref()]),
                // WITH before a statement that writes, which the guard has seen.
                SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_)
                    if self.scopes.is_empty()
                        && !self.written.is_empty()
                        && std::ptr::eq(body, query.body.as_ref()) => {}
                _ => return Err("a query inside a statement may only be a SELECT".into()),
            }
        }
        match &query.with {
            Some(with) => check_with(with),
            None => Ok(()),
        }
    }
}

/// A query that refers to itself may never end (SQLite does not need the word RECURSIVE for it), and one that refers to a
/// later name means a table to some databases and the later query to others.
fn check_with(with: &With) -> Verdict {
    if with.recursive {
        return Err("WITH RECURSIVE is not allowed, since it need not end".into());
    }
    let names: Vec<String> = with.cte_tables.iter().map(|cte| cte.alias.name.value.to_lowercase()).collect();
    for (index, cte) in with.cte_tables.iter().enumerate() {
        let mut mentions = Mentions { names: &names[index..] };
        if let ControlFlow::Break(()) = cte.query.visit(&mut mentions) {
            return Err(format!("the query `{}` in WITH refers to itself or to a later one", names[index]).into());
        }
    }
    Ok(())
}

/// Looks for tables of these names.
struct Mentions<'a> {
    names: &'a [String],
}

impl Visitor for Mentions<'_> {
    type Break = ();

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        match parts(relation) {
            Ok(parts) if parts.len() == 1 && self.names.contains(&parts[0]) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

fn flow(result: Verdict) -> Flow {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(refusal) => refuse(refusal),
    }
}

impl Visitor for Walk<'_> {
    type Break = Box<Refusal>;

    fn pre_visit_statement(&mut self, statement: &Statement) -> Flow {
        self.statements += 1;
        match (self.statements, statement) {
            (1, _) | (2, Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_)) => {
                ControlFlow::Continue(())
            }
            _ => refuse("a statement inside a statement is not allowed"),
        }
    }

    fn pre_visit_query(&mut self, query: &Query) -> Flow {
        if let Err(refusal) = self.check_query(query) {
            return refuse(refusal);
        }
        let names = query.with.iter().flat_map(|with| &with.cte_tables);
        self.scopes.push(names.map(|cte| cte.alias.name.value.to_lowercase()).collect());
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> Flow {
        self.scopes.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> Flow {
        if select.into.is_some() {
            return refuse("SELECT INTO is not allowed");
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> Flow {
        let function = match factor {
            TableFactor::Table { name, args: Some(_), .. } => {
                self.function_follows = true;
                name
            }
            TableFactor::Function { name, .. } => name,
            TableFactor::Table { args: None, .. }
            | TableFactor::Derived { .. }
            | TableFactor::NestedJoin { .. }
            | TableFactor::UNNEST { .. }
            | TableFactor::JsonTable { .. } => return ControlFlow::Continue(()),
            _ => return refuse("only tables, subqueries and JSON may stand in FROM"),
        };
        flow(parts(function).and_then(|parts| match parts.as_slice() {
            [name] if sql_words::is_table_function(self.dialect, name) => Ok(()),
            _ => Err(format!("function `{}` may not stand in FROM", parts.join(".")).into()),
        }))
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> Flow {
        if std::mem::take(&mut self.function_follows) {
            return ControlFlow::Continue(());
        }
        flow(self.check_relation(relation))
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> Flow {
        let Expr::Function(function) = expression else { return ControlFlow::Continue(()) };
        flow(parts(&function.name).and_then(|parts| match parts.as_slice() {
            [name] if sql_words::is_function(name) => Ok(()),
            _ => Err(format!("function `{}` is not allowed", parts.join(".")).into()),
        }))
    }
}
