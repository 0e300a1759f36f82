//! The SQL guard: judging ends soon; what it lets through is, to another parser, one statement that touches no table
//! beyond the grant of its verb; what it wrote is permitted again, word for word; and a refusal repeats no literal.
//!
//! Input: the lower bits of the first byte choose the dialect, its highest bit the verb; the rest is the statement.
//! `granted` may be read and written, `readable`, `addable`, `changeable` and `removable` are granted for one verb
//! each, and nothing else is granted.

use std::ops::ControlFlow;
use std::time::Duration;

use host::database::Dialect;
use host::domain::grants::Tables;
use host::plugin::{SqlGrants, functions_known_to_the_guard, rewrite_statement};
use sqlparser::ast::{
    AssignmentTarget, FromTable, Insert, ObjectName, OnConflictAction, OnInsert, Query, SetExpr, Statement,
    TableFactor, TableObject, TableWithJoins, Visit as _, Visitor,
};
use sqlparser::dialect::{Dialect as Grammar, MySqlDialect, PostgreSqlDialect, SQLiteDialect};
use sqlparser::parser::Parser;

use crate::said::{MARK, assert_plain, within};

/// Functions that may be used as a table, and read nothing but their arguments.
const TABLE_FUNCTIONS: [&str; 12] = [
    "json_array_elements",
    "json_array_elements_text",
    "json_each",
    "json_each_text",
    "json_to_recordset",
    "json_tree",
    "jsonb_array_elements",
    "jsonb_array_elements_text",
    "jsonb_each",
    "jsonb_each_text",
    "jsonb_to_recordset",
    "unnest",
];

/// See the module.
pub fn check(data: &[u8]) {
    let Some((choice, text)) = data.split_first() else { return };
    let Ok(sql) = std::str::from_utf8(text) else { return };
    let (dialect, grammar): (Dialect, &dyn Grammar) = match (choice & 0x7f) % 3 {
        0 => (Dialect::Sqlite, &SQLiteDialect {}),
        1 => (Dialect::MySql, &MySqlDialect {}),
        _ => (Dialect::Postgres, &PostgreSqlDialect {}),
    };
    let writes = choice & 0x80 != 0;
    let grants = grants();
    let judge = |sql: &str| within(Duration::from_secs(5), || rewrite_statement(dialect, &grants, sql, writes));
    let sent = match judge(sql) {
        Ok(sent) => sent,
        Err(reason) => {
            assert_plain(&reason, 1_000);
            assert!(!(reason.contains(MARK) && only_in_literals(sql)), "a refusal repeats a literal: {reason}");
            return;
        }
    };
    assert!(!sent.contains("/*") && !sent.contains("--") && !sent.contains('\0'), "{sent}");
    // The schema of the database's own functions is ours to write, not an adapter's.
    if !sql.contains("pg_catalog") {
        let bare = sent.replace("pg_catalog.", "");
        assert_eq!(judge(&bare).as_deref(), Ok(sent.as_str()), "what was written is judged in another way");
    }
    // Deep texts cost the other parser more than they teach.
    if sent.len() > 2_000 || sent.matches('(').count() > 12 {
        return;
    }
    let Ok(statements) = Parser::parse_sql(grammar, &dialect.placeholders(&sent, &[])) else { return };
    let [statement] = statements.as_slice() else { panic!("{} statements: {sent}", statements.len()) };
    assert_granted(dialect, statement, &sent);
}

fn grants() -> SqlGrants {
    let both = |other: &'static str| -> Tables { ["granted", other].into_iter().collect() };
    SqlGrants { read: both("readable"), insert: both("addable"), update: both("changeable"), delete: both("removable") }
}

/// Whether each mark is in a literal in single quotes, as far as that can be told without reading SQL.
fn only_in_literals(sql: &str) -> bool {
    let is_simple = !sql.contains(['"', '`', '[', '\\', '$', '#']) && !sql.contains("--") && !sql.contains("/*");
    is_simple && sql.match_indices(MARK).all(|(at, _)| sql[..at].matches('\'').count() % 2 == 1)
}

/// What another parser finds in a statement.
#[derive(Default)]
struct Found {
    relations: Vec<String>,
    /// Names that WITH gives, anywhere.
    given: Vec<String>,
}

impl Visitor for Found {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let tables = query.with.iter().flat_map(|with| &with.cte_tables);
        self.given.extend(tables.map(|table| table.alias.name.value.clone()));
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        self.relations.push(plain(relation));
        ControlFlow::Continue(())
    }
}

/// A name as the database takes it, without its quotes.
fn plain(name: &ObjectName) -> String {
    let parts = name.0.iter().map(|part| part.as_ident().map_or_else(|| part.to_string(), |ident| ident.value.clone()));
    parts.collect::<Vec<_>>().join(".")
}

fn assert_granted(dialect: Dialect, statement: &Statement, sent: &str) {
    let mut found = Found::default();
    assert!(statement.visit(&mut found).is_continue());
    let is = |name: &str, granted: &str| {
        if dialect == Dialect::Sqlite { name.eq_ignore_ascii_case(granted) } else { name == granted }
    };
    let any = |name: &str, granted: &[&str]| granted.iter().any(|granted| is(name, granted));
    let written = written(statement);
    for (name, granted) in &written {
        assert!(any(name, &["granted", *granted]), "`{name}` is written: {sent}");
    }
    let mut functions = functions_known_to_the_guard(dialect);
    functions.extend(TABLE_FUNCTIONS);
    for name in &found.relations {
        let is_target = written.iter().any(|(target, _)| is(name, target));
        let is_given = found.given.iter().any(|given| given.eq_ignore_ascii_case(name));
        let bare = name.strip_prefix("pg_catalog.").unwrap_or(name).to_ascii_lowercase();
        let is_function = functions.contains(&bare.as_str());
        let is_read = any(name, &["granted", "readable"]) || is_given || is_function || is_catalogue(&bare);
        assert!(is_target || is_read, "`{name}` is touched: {sent}");
    }
}

fn is_catalogue(name: &str) -> bool {
    let prefixes = ["information_schema.", "pragma_"];
    prefixes.iter().any(|prefix| name.starts_with(prefix)) || ["sqlite_schema", "sqlite_master"].contains(&name)
}

/// The tables that a statement writes, and what else than `granted` is granted for that. Aliases are followed.
fn written(statement: &Statement) -> Vec<(String, &'static str)> {
    match statement {
        Statement::Query(query) => match query.body.as_ref() {
            SetExpr::Insert(inner) | SetExpr::Update(inner) | SetExpr::Delete(inner) => written(inner),
            _ => Vec::new(),
        },
        Statement::Insert(insert) => inserted(insert),
        Statement::Update(update) => {
            let sources = sources(std::slice::from_ref(&update.table));
            let targets = update.assignments.iter().map(|assignment| match &assignment.target {
                AssignmentTarget::ColumnName(name) => qualifier(name),
                AssignmentTarget::Tuple(_) => None,
            });
            let tables = targets.map(|alias| behind(alias.as_deref(), &sources));
            tables.map(|name| (name, "changeable")).collect()
        }
        Statement::Delete(delete) => {
            let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
            let sources = sources(from);
            let named: Vec<String> = if delete.tables.is_empty() {
                sources.iter().map(|(_, table)| table.clone()).collect()
            } else {
                delete.tables.iter().map(|name| behind(Some(&plain(name)), &sources)).collect()
            };
            named.into_iter().map(|name| (name, "removable")).collect()
        }
        other => panic!("another kind of statement: {other}"),
    }
}

fn inserted(insert: &Insert) -> Vec<(String, &'static str)> {
    let TableObject::TableName(name) = &insert.table else { panic!("no table is inserted into") };
    let mut tables = vec![(plain(name), "addable")];
    let changes = match &insert.on {
        Some(OnInsert::DuplicateKeyUpdate(_)) => true,
        Some(OnInsert::OnConflict(on)) => matches!(on.action, OnConflictAction::DoUpdate(_)),
        Some(_) | None => false,
    };
    if changes {
        tables.push((plain(name), "changeable"));
    }
    tables
}

/// What is before the last dot of a column's name.
fn qualifier(column: &ObjectName) -> Option<String> {
    let (_, before) = column.0.split_last()?;
    (!before.is_empty()).then(|| plain(&ObjectName(before.to_vec())))
}

/// The tables of these joins, each with the name by which the statement calls it.
fn sources(joined: &[TableWithJoins]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for TableWithJoins { relation, joins } in joined {
        for factor in std::iter::once(relation).chain(joins.iter().map(|join| &join.relation)) {
            match factor {
                TableFactor::Table { name, alias, .. } => {
                    let called = alias.as_ref().map_or_else(|| plain(name), |alias| alias.name.value.clone());
                    found.push((called, plain(name)));
                }
                TableFactor::NestedJoin { table_with_joins, .. } => {
                    found.extend(sources(std::slice::from_ref(table_with_joins)));
                }
                _ => {}
            }
        }
    }
    found
}

/// The table that is called so; the first where nothing is said.
fn behind(called: Option<&str>, sources: &[(String, String)]) -> String {
    let found = sources.iter().find(|(name, _)| called.is_none_or(|called| called == name));
    found.map_or_else(|| called.unwrap_or("nothing").to_owned(), |(_, table)| table.clone())
}
