//! What kind of statement it is, and which tables it writes in which way.
//!
//! Whatever is neither a SELECT nor a plain INSERT, UPDATE or DELETE of named tables is refused here. Read next:
//! `sql_walk.rs`, for what the statement reads.

use std::collections::BTreeSet;

use sqlparser::ast::{
    AssignmentTarget, Delete, FromTable, Insert, ObjectName, OnConflictAction, OnInsert, Query, SetExpr,
    SqliteOnConflict, Statement, TableFactor, TableObject, TableWithJoins, Update,
};

use super::sql_guard::Verb;
use super::sql_refusal::{Refusal, Verdict};
use super::sql_walk::parts;
use crate::domain::grants::TableVerb;

const NOT_OURS: &str = "lies outside of the target's own tables, which alone may be written";

/// Tables by name, with what is done to them.
pub(super) type Written = BTreeSet<(String, TableVerb)>;

/// The tables that a statement changes; empty for a SELECT. Refuses every other kind of statement.
pub(super) fn written_tables(statement: &Statement, verb: Verb) -> Verdict<Written> {
    match (verb, statement) {
        (Verb::Read, Statement::Query(query)) if !changes_data(query) => Ok(BTreeSet::new()),
        (Verb::Read, _) => Err("`query` runs one SELECT and nothing else".into()),
        (Verb::Write, Statement::Insert(insert)) => insert_target(insert),
        (Verb::Write, Statement::Update(update)) => update_targets(update),
        (Verb::Write, Statement::Delete(delete)) => delete_targets(delete),
        (Verb::Write, Statement::Query(query)) => match query.body.as_ref() {
            SetExpr::Insert(inner) | SetExpr::Update(inner) | SetExpr::Delete(inner) => written_tables(inner, verb),
            _ => Err("`execute` runs one INSERT, UPDATE or DELETE and nothing else".into()),
        },
        (Verb::Write, _) => Err("`execute` runs one INSERT, UPDATE or DELETE and nothing else".into()),
    }
}

fn changes_data(query: &Query) -> bool {
    matches!(*query.body, SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_))
}

fn insert_target(insert: &Insert) -> Verdict<Written> {
    check_conflict_clause(insert.or.as_ref())?;
    if insert.replace_into {
        return Err("REPLACE is not allowed, since it deletes; use INSERT".into());
    }
    if insert.overwrite || insert.partitioned.is_some() || insert.multi_table_insert_type.is_some() {
        return Err("this form of INSERT is not allowed".into());
    }
    match &insert.table {
        TableObject::TableName(name) => {
            let table = own_table(name)?;
            let mut written = Written::from([(table.clone(), TableVerb::Insert)]);
            if updates_on_conflict(insert.on.as_ref())? {
                written.insert((table, TableVerb::Update));
            }
            Ok(written)
        }
        TableObject::TableFunction(_) | TableObject::TableQuery(_) => Err("INSERT names its table".into()),
    }
}

/// Whether a row that is there already is changed instead.
fn updates_on_conflict(clause: Option<&OnInsert>) -> Verdict<bool> {
    match clause {
        None => Ok(false),
        Some(OnInsert::DuplicateKeyUpdate(_)) => Ok(true),
        Some(OnInsert::OnConflict(conflict)) => Ok(matches!(conflict.action, OnConflictAction::DoUpdate(_))),
        Some(_) => Err("this form of INSERT is not allowed".into()),
    }
}

/// `OR ROLLBACK` ends the transaction, `OR FAIL` keeps half of a statement.
fn check_conflict_clause(clause: Option<&SqliteOnConflict>) -> Verdict {
    match clause {
        None | Some(SqliteOnConflict::Ignore | SqliteOnConflict::Abort) => Ok(()),
        Some(other) => Err(format!("`OR {other}` is not allowed").into()),
    }
}

/// An UPDATE of a join changes those of its tables that its assignments name.
fn update_targets(update: &Update) -> Verdict<Written> {
    check_conflict_clause(update.or.as_ref())?;
    let tables = named_tables([&update.table])?;
    let mut written = Written::new();
    for assignment in &update.assignments {
        let columns = match &assignment.target {
            AssignmentTarget::ColumnName(column) => std::slice::from_ref(column),
            AssignmentTarget::Tuple(columns) => columns.as_slice(),
        };
        for column in columns {
            let parts = parts(column)?;
            match parts.as_slice() {
                [_] => written.extend(tables.iter().map(|(_, table)| (table.clone(), TableVerb::Update))),
                [alias, _] => written.extend([(lookup(&tables, alias)?, TableVerb::Update)]),
                _ => return Err("an assignment names a column, or an alias and a column".into()),
            }
        }
    }
    if written.is_empty() {
        return Err("UPDATE names its table".into());
    }
    own_tables(written)
}

fn delete_targets(delete: &Delete) -> Verdict<Written> {
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
    let tables = named_tables(from.iter().chain(delete.using.iter().flatten()))?;
    if delete.tables.is_empty() {
        let written: Written = named_tables(from)?.into_iter().map(|(_, table)| (table, TableVerb::Delete)).collect();
        return if written.is_empty() { Err("DELETE names its table".into()) } else { own_tables(written) };
    }
    let mut written = Written::new();
    for name in &delete.tables {
        match parts(name)?.as_slice() {
            [alias] => written.extend([(lookup(&tables, alias)?, TableVerb::Delete)]),
            _ => return Err("DELETE names a table or an alias".into()),
        }
    }
    own_tables(written)
}

/// Alias (or name) and table of everything in these joins that is a table by name.
fn named_tables<'a>(joins: impl IntoIterator<Item = &'a TableWithJoins>) -> Verdict<Vec<(String, String)>> {
    let mut tables = Vec::new();
    for join in joins {
        for factor in std::iter::once(&join.relation).chain(join.joins.iter().map(|join| &join.relation)) {
            match factor {
                TableFactor::Table { name, alias, args: None, .. } => {
                    // A dot in it means another schema: fine to read from where the walk allows it, never to write.
                    let table = parts(name)?.join(".");
                    let alias = match alias {
                        Some(alias) => alias.name.value.to_lowercase(),
                        None => table.clone(),
                    };
                    tables.push((alias, table));
                }
                TableFactor::NestedJoin { table_with_joins, .. } => {
                    tables.extend(named_tables([table_with_joins.as_ref()])?);
                }
                _ => {}
            }
        }
    }
    Ok(tables)
}

fn lookup(tables: &[(String, String)], alias: &str) -> Verdict<String> {
    tables
        .iter()
        .find(|(name, _)| name == alias)
        .map(|(_, table)| table.clone())
        .ok_or_else(|| "a column is assigned that belongs to no table of the statement".into())
}

fn own_table(name: &ObjectName) -> Verdict<String> {
    match parts(name)?.as_slice() {
        [table] => Ok(table.clone()),
        parts => Err(Refusal::OutOfReach { name: parts.join("."), why: NOT_OURS }),
    }
}

/// A dot in a name means another schema.
fn own_tables(written: Written) -> Verdict<Written> {
    match written.iter().find(|(table, _)| table.contains('.')) {
        None => Ok(written),
        Some((table, _)) => Err(Refusal::OutOfReach { name: table.clone(), why: NOT_OURS }),
    }
}
