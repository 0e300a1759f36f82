//! Checks statements that write: which tables, and how, as the server itself would resolve them.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::super::sql_refusal::{Refusal, Verdict};
use super::resolve::Resolver;
use super::scopes::Columns;
use super::tree::{Assignment, Conflict, ConflictTarget, Cte, Delete, Factor, Insert, Joined, Name, TableName, Update};
use super::words;
use crate::database::Dialect;
use crate::domain::grants::TableVerb;

const NOT_OURS: &str = "lies outside of the target's own tables, which alone may be written";

impl Resolver<'_> {
    pub(super) fn insert(&mut self, with: &[Cte], insert: &Insert) -> Verdict {
        let Insert { or: _, table, alias, columns: _, source, conflict } = insert;
        self.scopes.enter();
        self.with(with)?;
        self.target(table, TableVerb::Insert)?;
        if let Some(source) = source {
            self.query(source, false)?;
        }
        if let Some(conflict) = conflict {
            self.conflict(table, alias.as_ref(), conflict)?;
        }
        self.scopes.leave();
        Ok(())
    }

    /// A row that is there already is changed.
    fn conflict(&mut self, table: &TableName, alias: Option<&Name>, conflict: &Conflict) -> Verdict {
        self.scopes.enter();
        let columns = Rc::new(Columns::of_table(table));
        self.scopes.add_source(alias.unwrap_or(&table.name), Rc::clone(&columns))?;
        match conflict {
            Conflict::DuplicateKey(assignments) => {
                self.target(table, TableVerb::Update)?;
                self.assignments(assignments)?;
            }
            Conflict::OnConflict { target, update } => {
                match target {
                    None | Some(ConflictTarget::Constraint(_)) => {}
                    Some(ConflictTarget::Columns(columns, filter)) => {
                        self.expressions(columns)?;
                        self.expressions(filter)?;
                    }
                }
                if let Some((assignments, filter)) = update {
                    self.scopes.add_source(&Name("excluded".to_owned()), columns)?;
                    self.target(table, TableVerb::Update)?;
                    self.assignments(assignments)?;
                    self.expressions(filter)?;
                }
            }
        }
        self.scopes.leave();
        Ok(())
    }

    fn assignments(&mut self, assignments: &[Assignment]) -> Verdict {
        if self.dialect != Dialect::MySql && assignments.iter().any(|assignment| assignment.column.0.is_some()) {
            // To the others it is a part of a column's value.
            return Err("an assignment names a column".into());
        }
        assignments.iter().try_for_each(|assignment| self.expression(&assignment.value))
    }

    pub(super) fn update(&mut self, with: &[Cte], update: &Update) -> Verdict {
        let Update { or: _, tables, assignments, from, filter, order, limit } = update;
        self.scopes.enter();
        self.with(with)?;
        self.scopes.enter();
        let targets = updated(tables, assignments)?;
        self.targets(tables, &targets, TableVerb::Update)?;
        for joined in from {
            self.joined(joined, &BTreeSet::new())?;
        }
        self.assignments(assignments)?;
        self.expressions(filter)?;
        self.orderings(order)?;
        self.limit(limit.as_ref())?;
        self.scopes.leave();
        self.scopes.leave();
        Ok(())
    }

    pub(super) fn delete(&mut self, with: &[Cte], delete: &Delete) -> Verdict {
        let Delete { targets, from, using, filter, order, limit } = delete;
        self.scopes.enter();
        self.with(with)?;
        self.scopes.enter();
        let named: Vec<&Name> =
            if targets.is_empty() { from.iter().filter_map(only_table).collect() } else { targets.iter().collect() };
        let written = named.into_iter().cloned().collect();
        self.targets(from, &written, TableVerb::Delete)?;
        for joined in using {
            self.joined(joined, &BTreeSet::new())?;
        }
        self.expressions(filter)?;
        self.orderings(order)?;
        self.limit(limit.as_ref())?;
        self.scopes.leave();
        self.scopes.leave();
        Ok(())
    }

    /// Adds the sources of a write, and requires the verb on those that it changes, by their aliases. No two aliases
    /// differ only in case, so that the server finds the same one under any setting.
    fn targets(&mut self, from: &[Joined], targets: &BTreeSet<Name>, verb: TableVerb) -> Verdict {
        let mut tables = BTreeMap::new();
        for joined in from {
            aliased(joined, &mut tables);
        }
        for target in targets {
            match tables.get(target) {
                Some(table) => self.target(table, verb)?,
                None => return Err("a statement writes a table that it does not name".into()),
            }
        }
        from.iter().try_for_each(|joined| self.joined(joined, targets))
    }

    /// A table that is written.
    fn target(&mut self, table: &TableName, verb: TableVerb) -> Verdict {
        let TableName { schema, name } = table;
        if let Some(schema) = schema {
            let name = format!("{}.{}", words::shown(&schema.0), words::shown(&name.0));
            return Err(Refusal::OutOfReach { name, why: NOT_OURS });
        }
        self.scopes.spell(name)?;
        if self.scopes.query_named(name)?.is_some() {
            return Err("a query that WITH names cannot be written".into());
        }
        if words::is_internal(self.dialect, &name.0) || words::is_catalogue(self.dialect, None, &name.0) {
            return Err(Refusal::OutOfReach { name: words::shown(&name.0), why: "belongs to the database itself" });
        }
        self.check_grant(verb, name)
    }
}

/// The aliases whose columns are assigned. With more than one table each assignment says which one it means.
fn updated(tables: &[Joined], assignments: &[Assignment]) -> Verdict<BTreeSet<Name>> {
    let single = match tables {
        [joined] => only_table(joined),
        _ => None,
    };
    let mut targets = BTreeSet::new();
    for assignment in assignments {
        let alias = match (&assignment.column.0, single) {
            (None, None) => {
                return Err("with several tables an assignment names its table: `alias.column = ...`".into());
            }
            (None, Some(only)) => only,
            (Some(alias), _) => alias,
        };
        targets.insert(alias.clone());
    }
    Ok(targets)
}

/// The alias, or else the name, of the one table that stands alone.
fn only_table(joined: &Joined) -> Option<&Name> {
    if !joined.joins.is_empty() {
        return None;
    }
    match &joined.first {
        Factor::Table { name, alias } => Some(alias.as_ref().map_or(&name.name, |alias| &alias.name)),
        Factor::Query { .. } | Factor::Function { .. } | Factor::JsonTable { .. } | Factor::Nested(_) => None,
    }
}

/// Every table by name in these joins, with its alias.
fn aliased<'t>(joined: &'t Joined, tables: &mut BTreeMap<&'t Name, &'t TableName>) {
    for factor in std::iter::once(&joined.first).chain(joined.joins.iter().map(|join| &join.factor)) {
        match factor {
            Factor::Table { name, alias } => {
                tables.insert(alias.as_ref().map_or(&name.name, |alias| &alias.name), name);
            }
            Factor::Nested(joined) => aliased(joined, tables),
            Factor::Query { .. } | Factor::Function { .. } | Factor::JsonTable { .. } => {}
        }
    }
}
