//! The scopes of names: the queries that WITH named, and the sources in FROM with their known columns.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use super::super::sql_refusal::Verdict;
use super::tree::{Name, TableName};
use super::words;
use crate::database::Dialect;

/// The known columns of a source: their names, and the tables whose further columns only the database knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) names: BTreeSet<String>,
    pub(super) tables: BTreeSet<TableKey>,
}

/// The key of a table for queries of the database's catalogue.
pub(super) type TableKey = (Option<String>, String);

impl Columns {
    pub(super) fn named(names: impl IntoIterator<Item = String>) -> Self {
        Self { names: names.into_iter().collect(), tables: BTreeSet::new() }
    }

    pub(super) fn of_table(table: &TableName) -> Self {
        let key = (table.schema.as_ref().map(|schema| schema.0.clone()), table.name.0.clone());
        Self { names: BTreeSet::new(), tables: BTreeSet::from([key]) }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.names.extend(other.names.iter().cloned());
        self.tables.extend(other.tables.iter().cloned());
    }
}

/// A query named by WITH.
#[derive(Clone)]
enum Named {
    /// It is being read: databases differ in how they resolve its own name, or a later one, inside of it.
    Unread,
    Read(Rc<Columns>),
}

/// One level of the statement.
#[derive(Default)]
struct Scope {
    named: HashMap<String, Named>,
    sources: HashMap<String, Rc<Columns>>,
}

/// The levels that we are inside of, the innermost last.
pub(super) struct Scopes {
    dialect: Dialect,
    levels: Vec<Scope>,
    /// The one spelling of each name of a table, an alias or a query, by its lower case.
    spellings: HashMap<String, String>,
}

impl Scopes {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self { dialect, levels: Vec::new(), spellings: HashMap::new() }
    }

    /// A name as it is compared: SQLite knows no case, the others may.
    pub(super) fn key(&self, name: &Name) -> String {
        match self.dialect {
            Dialect::Sqlite => name.0.to_ascii_lowercase(),
            Dialect::MySql | Dialect::Postgres => name.0.clone(),
        }
    }

    /// Holds a statement to one spelling of each name: whether two of them are one depends on the server's settings.
    pub(super) fn spell(&mut self, name: &Name) -> Verdict {
        let key = self.key(name);
        let known = self.spellings.entry(key.to_ascii_lowercase()).or_insert_with(|| key.clone());
        if *known == key {
            return Ok(());
        }
        Err(format!("`{}` is written in two ways: databases differ in whether that is one name", words::shown(&key))
            .into())
    }

    pub(super) fn enter(&mut self) {
        self.levels.push(Scope::default());
    }

    pub(super) fn leave(&mut self) {
        self.levels.pop();
    }

    fn innermost(&mut self) -> &mut Scope {
        self.levels.last_mut().expect("invariant: a level was entered")
    }

    /// Announces a query of WITH before any of them is read.
    pub(super) fn announce(&mut self, name: &Name) -> Verdict {
        self.spell(name)?;
        let key = self.key(name);
        match self.innermost().named.insert(key, Named::Unread) {
            None => Ok(()),
            Some(_) => Err(format!("WITH names `{}` twice", words::shown(&name.0)).into()),
        }
    }

    pub(super) fn announced_is(&mut self, name: &Name, columns: Columns) {
        let key = self.key(name);
        self.innermost().named.insert(key, Named::Read(Rc::new(columns)));
    }

    /// The columns of a query of WITH, when this is one.
    pub(super) fn query_named(&self, name: &Name) -> Verdict<Option<Rc<Columns>>> {
        let key = self.key(name);
        match self.levels.iter().rev().find_map(|level| level.named.get(&key)) {
            None => Ok(None),
            Some(Named::Read(columns)) => Ok(Some(Rc::clone(columns))),
            Some(Named::Unread) => {
                Err(format!("the query `{}` in WITH refers to itself or to a later one", words::shown(&key)).into())
            }
        }
    }

    /// Adds a source of the innermost level. On PostgreSQL an inner one may only hide an outer one that is the same:
    /// which of two is meant depends there on rules of visibility that are not repeated here.
    pub(super) fn add_source(&mut self, name: &Name, columns: Rc<Columns>) -> Verdict {
        self.spell(name)?;
        let key = self.key(name);
        if self.dialect == Dialect::Postgres
            && self.levels.iter().any(|level| level.sources.get(&key).is_some_and(|known| *known != columns))
        {
            return Err(format!("the alias `{}` is used for two things", words::shown(&key)).into());
        }
        match self.innermost().sources.insert(key, columns) {
            None => Ok(()),
            Some(_) => Err(format!("`{}` is named twice in FROM: give each an alias", words::shown(&name.0)).into()),
        }
    }

    /// The source of this name, the innermost first.
    pub(super) fn source(&self, name: &Name) -> Option<&Rc<Columns>> {
        let key = self.key(name);
        self.levels.iter().rev().find_map(|level| level.sources.get(&key))
    }

    /// All columns that `*` expands to.
    pub(super) fn all_columns(&self) -> Columns {
        let mut all = Columns::default();
        for columns in self.levels.last().into_iter().flat_map(|level| level.sources.values()) {
            all.add(columns);
        }
        all
    }
}
