//! Checks a tree: which tables it reads and writes, whether they are granted, and that every name has the meaning here
//! that it has for the database.
//!
//! PostgreSQL calls a function by `alias.name` where the alias has no column of that name. So the columns of each alias
//! are determined, and columns that only the database knows are returned as [`Wanted`], to be queried before the
//! statement runs.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::super::sql_refusal::{Refusal, Verdict};
use super::scopes::{Columns, Scopes, TableKey};
use super::tree::{
    Alias, Arguments, Call, Core, Cte, Expression, Factor, Item, JoinOn, Joined, Limit, Name, Ordering, Piece, Query,
    Select, TableName, Window,
};
use super::words;
use crate::database::Dialect;
use crate::domain::grants::{SqlGrants, TableVerb};

/// A column that one of these tables must have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::plugin) struct Wanted {
    pub(in crate::plugin) tables: BTreeSet<TableKey>,
    pub(in crate::plugin) alias: String,
    pub(in crate::plugin) column: String,
}

pub(super) struct Resolver<'a> {
    pub(super) dialect: Dialect,
    pub(super) grants: &'a SqlGrants,
    pub(super) scopes: Scopes,
    pub(super) wanted: BTreeSet<Wanted>,
    /// Tables that are read, for a statement that locks what it reads.
    read: Vec<String>,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(dialect: Dialect, grants: &'a SqlGrants) -> Self {
        let scopes = Scopes::new(dialect);
        Self { dialect, grants, scopes, wanted: BTreeSet::new(), read: Vec::new() }
    }

    pub(super) fn check_grant(&self, verb: TableVerb, table: &Name) -> Verdict {
        let tables = self.grants.of(verb);
        let granted = match self.dialect {
            Dialect::Sqlite => tables.holds_in_any_case(&table.0),
            Dialect::MySql | Dialect::Postgres => tables.holds(&table.0),
        };
        if granted { Ok(()) } else { Err(Refusal::NotGranted { table: words::shown(&table.0), verb }) }
    }

    /// A statement that only reads; whether it locks rows.
    pub(super) fn statement(&mut self, query: &Query) -> Verdict<bool> {
        self.query(query, true)?;
        if query.lock.is_some() {
            // A row lock delays others like a write does, so it needs the right to change the row.
            for table in &self.read {
                self.check_grant(TableVerb::Update, &Name(table.clone()))?;
            }
        }
        Ok(query.lock.is_some())
    }

    /// Announces and reads the queries of WITH, in the level at hand.
    pub(super) fn with(&mut self, with: &[Cte]) -> Verdict {
        for cte in with {
            self.scopes.announce(&cte.name)?;
        }
        for cte in with {
            let columns = self.query(&cte.query, false)?;
            let columns = if cte.columns.is_empty() {
                columns
            } else {
                Columns::named(cte.columns.iter().map(|name| name.0.clone()))
            };
            self.scopes.announced_is(&cte.name, columns);
        }
        Ok(())
    }

    pub(super) fn query(&mut self, query: &Query, outermost: bool) -> Verdict<Columns> {
        let Query { with, first, rest, order, limit, lock } = query;
        if lock.is_some() && !outermost {
            return Err("only the whole statement may lock what it reads".into());
        }
        self.scopes.enter();
        self.with(with)?;
        // Sources are known to ORDER BY where it orders one SELECT.
        let columns = match first {
            Core::Select(select) if rest.is_empty() => {
                self.select(select, order, lock.as_ref().map_or(&[], |it| &it.of))?
            }
            core @ (Core::Select(_) | Core::Values(_) | Core::Nested(_)) => {
                let columns = self.core(core)?;
                for (_, core) in rest {
                    self.core(core)?;
                }
                self.orderings(order)?;
                if lock.is_some() {
                    return Err("only one SELECT may lock what it reads".into());
                }
                columns
            }
        };
        self.limit(limit.as_ref())?;
        self.scopes.leave();
        Ok(columns)
    }

    fn core(&mut self, core: &Core) -> Verdict<Columns> {
        match core {
            Core::Select(select) => self.select(select, &[], &[]),
            Core::Nested(query) => self.query(query, false),
            Core::Values(rows) => {
                for row in rows {
                    self.expressions(row)?;
                }
                let count = rows.first().map_or(0, Vec::len);
                Ok(Columns::named((1..=count).map(|number| format!("column{number}"))))
            }
        }
    }

    fn select(&mut self, select: &Select, order: &[Ordering], locked: &[Name]) -> Verdict<Columns> {
        let Select { distinct: _, items, from, filter, group, having } = select;
        self.scopes.enter();
        for joined in from {
            self.joined(joined, &BTreeSet::new())?;
        }
        let mut columns = Columns::default();
        for item in items {
            match item {
                Item::Everything => columns.add(&self.scopes.all_columns()),
                Item::EverythingOf(alias) => {
                    let source = Rc::clone(self.source(alias)?);
                    columns.add(&source);
                }
                Item::Value(value, alias) => {
                    self.expression(value)?;
                    columns.names.extend(alias.as_ref().or_else(|| only_column(value)).map(|name| name.0.clone()));
                }
            }
        }
        self.expressions(filter)?;
        self.expressions(group)?;
        self.expressions(having)?;
        self.orderings(order)?;
        for alias in locked {
            self.source(alias)?;
        }
        self.scopes.leave();
        Ok(columns)
    }

    fn source(&self, alias: &Name) -> Verdict<&Rc<Columns>> {
        self.scopes
            .source(alias)
            .ok_or_else(|| format!("`{}` is no table or alias of the statement", words::shown(&alias.0)).into())
    }

    /// Adds what stands in FROM to the level at hand. Tables that the statement writes are given by their aliases.
    pub(super) fn joined(&mut self, joined: &Joined, targets: &BTreeSet<Name>) -> Verdict {
        let Joined { first, joins } = joined;
        self.factor(first, targets)?;
        for join in joins {
            self.factor(&join.factor, targets)?;
            match &join.on {
                None | Some(JoinOn::Using(_)) => {}
                Some(JoinOn::Condition(condition)) => self.expression(condition)?,
            }
        }
        Ok(())
    }

    fn factor(&mut self, factor: &Factor, targets: &BTreeSet<Name>) -> Verdict {
        match factor {
            Factor::Table { name, alias } => {
                let shown_as = alias.as_ref().map_or(&name.name, |alias| &alias.name);
                let columns =
                    if targets.contains(shown_as) { Rc::new(Columns::of_table(name)) } else { self.table(name)? };
                self.add(shown_as, alias.as_ref(), columns)
            }
            Factor::Query { lateral: _, query, alias } => {
                let columns = Rc::new(self.query(query, false)?);
                self.add(&alias.name, Some(alias), columns)
            }
            Factor::Function { lateral: _, name, arguments, alias } => {
                self.expressions(arguments)?;
                let own = Name((*name).to_owned());
                let shown_as = alias.as_ref().map_or(&own, |alias| &alias.name);
                let named = words::table_function_columns(name).iter().map(|name| (*name).to_owned());
                let columns = Columns::named(named.chain([shown_as.0.clone()]));
                self.add(shown_as, alias.as_ref(), Rc::new(columns))
            }
            Factor::JsonTable { source, path: _, columns, alias } => {
                self.expression(source)?;
                let columns = Columns::named(columns.iter().map(|column| column.name.0.clone()));
                self.add(&alias.name, Some(alias), Rc::new(columns))
            }
            Factor::Nested(joined) => self.joined(joined, targets),
        }
    }

    fn add(&mut self, name: &Name, alias: Option<&Alias>, columns: Rc<Columns>) -> Verdict {
        let columns = match alias {
            Some(alias) if !alias.columns.is_empty() => {
                Rc::new(Columns::named(alias.columns.iter().map(|(name, _)| name.0.clone())))
            }
            _ => columns,
        };
        self.scopes.add_source(name, columns)
    }

    /// A table that is read, or a query of WITH.
    fn table(&mut self, table: &TableName) -> Verdict<Rc<Columns>> {
        let TableName { schema, name } = table;
        if words::is_catalogue(self.dialect, schema.as_ref().map(|schema| schema.0.as_str()), &name.0) {
            return Ok(Rc::new(Columns::of_table(table)));
        }
        if let Some(schema) = schema {
            return Err(Refusal::OutOfReach {
                name: format!("{}.{}", words::shown(&schema.0), words::shown(&name.0)),
                why: "lies outside of the target's own tables",
            });
        }
        self.scopes.spell(name)?;
        if let Some(columns) = self.scopes.query_named(name)? {
            return Ok(columns);
        }
        if words::is_internal(self.dialect, &name.0) {
            return Err(Refusal::OutOfReach { name: words::shown(&name.0), why: "belongs to the database itself" });
        }
        self.check_grant(TableVerb::Read, name)?;
        self.read.push(name.0.clone());
        Ok(Rc::new(Columns::of_table(table)))
    }

    pub(super) fn orderings(&mut self, order: &[Ordering]) -> Verdict {
        order.iter().try_for_each(|ordering| self.expression(&ordering.by))
    }

    pub(super) fn limit(&mut self, limit: Option<&Limit>) -> Verdict {
        limit.iter().flat_map(|limit| &limit.parts).try_for_each(|(_, number)| self.expression(number))
    }

    pub(super) fn expressions<'e>(&mut self, list: impl IntoIterator<Item = &'e Expression>) -> Verdict {
        list.into_iter().try_for_each(|expression| self.expression(expression))
    }

    pub(super) fn expression(&mut self, expression: &Expression) -> Verdict {
        expression.0.iter().try_for_each(|piece| self.piece(piece))
    }

    fn piece(&mut self, piece: &Piece) -> Verdict {
        match piece {
            Piece::Column(_)
            | Piece::Parameter
            | Piece::Text(_)
            | Piece::Number(_)
            | Piece::Hex(_)
            | Piece::Word(_)
            | Piece::Typed(..)
            | Piece::CastTo(_)
            | Piece::Collate(_) => Ok(()),
            Piece::Qualified(alias, column) => self.qualified(alias, column),
            Piece::Interval(value, _) | Piece::Cast(value, _) => self.expression(value),
            Piece::Case(case) => {
                self.expressions(&case.of)?;
                for (condition, value) in &case.when {
                    self.expression(condition)?;
                    self.expression(value)?;
                }
                self.expressions(&case.otherwise)
            }
            Piece::Call(call) => self.call(call),
            Piece::Nested(list) => self.expressions(list),
            Piece::Subquery(query) => self.query(query, false).map(drop),
        }
    }

    fn call(&mut self, call: &Call) -> Verdict {
        let Call { name: _, arguments, filter, over } = call;
        match arguments {
            Arguments::Everything => {}
            Arguments::List { distinct: _, side: _, list, order, separator: _ } => {
                self.expressions(list.iter().map(|(_, argument)| argument))?;
                self.orderings(order)?;
            }
        }
        self.expressions(filter)?;
        if let Some(Window { partition, order, frame: _ }) = over {
            self.expressions(partition)?;
            self.orderings(order)?;
        }
        Ok(())
    }

    /// Only PostgreSQL may read `alias.name` as something other than a column.
    fn qualified(&mut self, alias: &Name, column: &Name) -> Verdict {
        if self.dialect != Dialect::Postgres {
            return Ok(());
        }
        let columns = Rc::clone(self.source(alias)?);
        if columns.names.contains(&column.0) {
            return Ok(());
        }
        if columns.tables.is_empty() {
            return Err(unknown_column(&alias.0, &column.0));
        }
        self.wanted.insert(Wanted { tables: columns.tables.clone(), alias: alias.0.clone(), column: column.0.clone() });
        Ok(())
    }
}

/// Why `alias.name` is not sent.
pub(in crate::plugin) fn unknown_column(alias: &str, column: &str) -> Refusal {
    let (alias, column) = (words::shown(alias), words::shown(column));
    format!("`{alias}` has no column `{column}` that is known (name it with AS), and PostgreSQL would call a function")
        .into()
}

/// The name that a column keeps when it is the whole expression in a SELECT.
fn only_column(value: &Expression) -> Option<&Name> {
    let [piece] = value.0.as_slice() else { return None };
    match piece {
        Piece::Column(name) | Piece::Qualified(_, name) => Some(name),
        Piece::Parameter
        | Piece::Text(_)
        | Piece::Number(_)
        | Piece::Hex(_)
        | Piece::Word(_)
        | Piece::Typed(..)
        | Piece::Interval(..)
        | Piece::Cast(..)
        | Piece::CastTo(_)
        | Piece::Collate(_)
        | Piece::Case(_)
        | Piece::Call(_)
        | Piece::Nested(_)
        | Piece::Subquery(_) => None,
    }
}
