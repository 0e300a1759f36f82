//! The store's SQL: one named template for each statement, in the `.sql` files of this folder.
//!
//! **To read a statement**, open its template (`claim.sql`, `settle.sql`, ...). The text that each database is sent is
//! in `rendered/sqlite.sql`, `rendered/mysql.sql` and `rendered/postgres.sql`, byte for byte; a test compares them.
//!
//! A template is SQL in the form of SQLite and PostgreSQL, headed by its name and a comment:
//!
//! ```sql
//! -- name: mark_processing
//! -- Moves deliveries from pending to processing, by compare-and-set.
//! UPDATE sync_delivery {force_index(PRIMARY)}
//! SET status = {to_claim}, next_attempt_at = NULL, lease_id = :lease_id
//! WHERE {deliveries_by_id} AND status = {from_claim};
//! ```
//!
//! - `:name` is a parameter. `:name...` is one parameter for each element of a list, `(:rows, ...)...` a group for each
//!   row.
//! - `{name}` or `{name(argument, ...)}` is a fragment: SQL that a database writes in its own way
//!   (`fragments/sqlite.sql` and its siblings), or that several statements share (`fragments/common.sql`, or next to
//!   them). `{now}` is the store's clock. Constants of the code, as `{never}`, are fragments too ([`CONSTANTS`]), and
//!   so are statuses: `{pending}`, or `{from_claim}` and `{to_claim}` for each event of `domain::delivery`.
//! - `{batch(outbox_id integer, ...)}` reads the parameter `:batch`, a JSON list of objects, as a table `j`.
//! - `[[ ... ]]` is left out while one of the parameters in it is not given (`None`, or an empty list).
//! - `(mysql)` after a name: this form is for that database alone.
//! - MySQL has no `UPDATE ... FROM`. It gets `UPDATE j STRAIGHT_JOIN t ON ... SET t.x = ...`, made of the same clauses.
//!
//! **To add a statement**, write its template and declare it with its parameters in `statements.rs`. Run the unit tests
//! once with `UPDATE_EXPECT=1`, and review what changed in `rendered/`. The code then builds the declared struct, so
//! that a missing or misnamed parameter does not compile: `transaction.run(MarkProcessing { target, lease_id, ids })`.
//!
//! All templates are rendered with the first statement on a store of a kind: `template.rs` expands fragments,
//! `parse.rs` finds the parameters, `render.rs` writes the texts. An unknown fragment, an unknown or unused parameter,
//! and a template that is not declared end the process there (and fail a unit test before). From then on a call finds
//! its text by number. A text that depends on the length of a list, which is padded, or on what is given is made once
//! and kept.
//!
//! Every statement is written so that one plan is right whatever the planner's statistics say: a queue is empty in one
//! minute and long in the next (docs/store.md, "How plans are kept right").

mod parameter;
mod parse;
mod render;
mod statements;
mod template;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

pub(super) use self::parameter::{Ids, Json, TextRows, Texts};
pub(super) use self::statements::*;

use self::parameter::Kind;
use self::render::Rendered;
use self::template::Library;
use crate::database::{Dialect, Value};

/// A statement with its parameters, as `statements.rs` declares it.
pub(super) trait Statement {
    const DECLARED: Declared;
    /// Its index among all.
    const INDEX: usize;
    /// Gives the values in the order of the rendered text. `now_ms` is the time of a test's clock.
    fn bind(self, rendered: &Rendered, now_ms: Option<i64>) -> Bound;
}

/// The name of a template, and the parameters that the code gives it.
#[derive(Debug)]
pub(super) struct Declared {
    name: &'static str,
    parameters: &'static [(&'static str, Kind)],
}

/// The text and the values for the driver.
pub(super) struct Bound {
    pub(super) sql: Arc<str>,
    pub(super) values: Vec<Value>,
}

/// Where a rendered statement's `{now}` comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Now {
    /// The database's own clock.
    Database,
    /// A parameter: the clock that a test moves.
    Parameter,
}

/// The names that a text depends on, apart from the dialect.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names<'a> {
    /// The byte-exact collation of a MySQL server (`Database::exact_collation`).
    pub(super) collation: &'a str,
    /// As an identifier, quoted.
    pub(super) users_table: &'a str,
    pub(super) now: Now,
}

/// Every statement as one database gets it.
#[derive(Debug)]
pub(super) struct Statements {
    rendered: Vec<Rendered>,
}

impl Statements {
    /// The statements for a database, rendered once for all stores of this process that get the same.
    pub(super) fn of(dialect: Dialect, names: &Names<'_>) -> Arc<Self> {
        static RENDERED: Mutex<BTreeMap<String, Arc<Statements>>> = Mutex::new(BTreeMap::new());
        let mut rendered = RENDERED.lock().unwrap_or_else(PoisonError::into_inner);
        let statements = rendered.entry(format!("{dialect:?} {names:?}")).or_insert_with(|| {
            let statements = Self::render(dialect, names).unwrap_or_else(|error| {
                unreachable!("invariant: every template renders, as a unit test checks: {error}")
            });
            Arc::new(statements)
        });
        Arc::clone(statements)
    }

    fn render(dialect: Dialect, names: &Names<'_>) -> Result<Self, String> {
        let library = Library::read(dialect, names, FRAGMENTS, TEMPLATES)?;
        if let Some(name) = library.statements().find(|name| ALL.iter().all(|declared| declared.name != *name)) {
            return Err(format!("the template `{name}` is not declared"));
        }
        let rendered = ALL.iter().map(|declared| Rendered::new(dialect, declared, &library.expand(declared.name)?));
        Ok(Self { rendered: rendered.collect::<Result<_, _>>()? })
    }

    /// The text of a template with empty values: its lists have one element, and every optional part is there. `None`
    /// when there is no template of this name.
    pub(super) fn example(&self, name: &str) -> Option<Bound> {
        let index = ALL.iter().position(|declared| declared.name == name)?;
        Some(self.rendered[index].bind_empty())
    }

    /// A statement's text and values.
    pub(super) fn bind<S: Statement>(&self, statement: S, now_ms: Option<i64>) -> Bound {
        statement.bind(&self.rendered[S::INDEX], now_ms)
    }
}

/// Numbers of the code that statements contain.
const CONSTANTS: &[(&str, i64)] = &[
    ("never", super::in_flight::NEVER),
    ("never_skipped", super::in_flight::NEVER_SKIPPED),
    ("waiting", super::in_flight::WAITING),
    ("wake_chunk", super::dependencies::CHUNK),
    ("failed_counted", super::alert_facts::FAILED_COUNTED),
    ("causes_counted", super::deliveries::CAUSES_COUNTED),
    ("queue_counted", super::why::QUEUE_COUNTED),
    ("hour_ms", super::clock::HOUR_MS),
    ("host_seen_ms", super::hosts::HOST_SEEN_MS),
    ("notices_max", super::notices::NOTICES_MAX),
    ("oldest_among", super::status::OLDEST_AMONG),
    ("purge_chunk", super::retention::CHUNK),
    ("unrouted_counted", super::outbox::COUNTED_MAX + 1),
];

/// The fragments that several files use.
const FRAGMENTS: &[&str] = &[
    include_str!("fragments/common.sql"),
    include_str!("fragments/sqlite.sql"),
    include_str!("fragments/mysql.sql"),
    include_str!("fragments/postgres.sql"),
];
