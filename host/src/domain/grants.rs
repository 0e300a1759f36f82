//! Which tables of its target's database an adapter may use, and how. The operator grants them; the default is none.
//!
//! Pure sets. `plugin/capability/sql_guard/` finds out which tables a statement uses.

use std::collections::BTreeSet;

use crate::vocabulary;

vocabulary! {
    /// A use of a table; each is a key of `[targets.NAME.database.allow]`.
    pub enum TableVerb {
        /// SELECT, including one inside another statement.
        Read = "read",
        /// INSERT of new rows.
        Insert = "insert",
        /// UPDATE, including an INSERT that updates the row with the same key.
        Update = "update",
        /// DELETE.
        Delete = "delete",
    }
}

/// The bundled adapters whose tables `preset = "NAME"` grants. `config/allow.rs` lists the tables.
pub const PRESETS: [&str; 1] = ["openemr"];

/// A set of table names, as the operator wrote them. The database decides whether case matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tables {
    /// Only these tables.
    Named(BTreeSet<String>),
    /// Every table of the target's own database.
    All,
}

impl Default for Tables {
    fn default() -> Self {
        Self::Named(BTreeSet::new())
    }
}

impl Tables {
    /// Whether the set contains a table of exactly this name.
    #[must_use]
    pub fn holds(&self, table: &str) -> bool {
        match self {
            Self::Named(names) => names.contains(table),
            Self::All => true,
        }
    }

    /// Whether the set contains a table, regardless of case, for databases that ignore case.
    #[must_use]
    pub fn holds_in_any_case(&self, table: &str) -> bool {
        match self {
            Self::Named(names) => names.iter().any(|name| name.eq_ignore_ascii_case(table)),
            Self::All => true,
        }
    }

    /// Adds a table.
    pub fn add(&mut self, table: &str) {
        if let Self::Named(names) = self {
            names.insert(table.to_owned());
        }
    }
}

impl<'a> FromIterator<&'a str> for Tables {
    fn from_iter<I: IntoIterator<Item = &'a str>>(names: I) -> Self {
        Self::Named(names.into_iter().map(str::to_owned).collect())
    }
}

/// The grants of one target's adapter. The default grants nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SqlGrants {
    /// Tables that it may read.
    pub read: Tables,
    /// Tables that it may add rows to.
    pub insert: Tables,
    /// Tables whose rows it may change.
    pub update: Tables,
    /// Tables whose rows it may delete.
    pub delete: Tables,
}

impl SqlGrants {
    /// Grants every verb on every table, for a database that belongs to the adapter alone.
    #[must_use]
    pub fn everything() -> Self {
        Self { read: Tables::All, insert: Tables::All, update: Tables::All, delete: Tables::All }
    }

    /// The tables of one verb.
    #[must_use]
    pub fn of(&self, verb: TableVerb) -> &Tables {
        match verb {
            TableVerb::Read => &self.read,
            TableVerb::Insert => &self.insert,
            TableVerb::Update => &self.update,
            TableVerb::Delete => &self.delete,
        }
    }

    /// As `of`, for adding tables.
    pub fn of_mut(&mut self, verb: TableVerb) -> &mut Tables {
        match verb {
            TableVerb::Read => &mut self.read,
            TableVerb::Insert => &mut self.insert,
            TableVerb::Update => &mut self.update,
            TableVerb::Delete => &mut self.delete,
        }
    }

    /// The same grants to read, and none to write.
    #[must_use]
    pub fn for_reading(&self) -> Self {
        Self { read: self.read.clone(), ..Self::default() }
    }

    /// Whether any table is granted for this verb.
    #[must_use]
    pub fn allows_any(&self, verb: TableVerb) -> bool {
        *self.of(verb) != Tables::default()
    }

    /// Whether no writing verb is granted.
    #[must_use]
    pub fn only_read(&self) -> bool {
        ![TableVerb::Insert, TableVerb::Update, TableVerb::Delete].iter().any(|verb| self.allows_any(*verb))
    }

    /// Whether this verb is granted on a table, regardless of case.
    #[must_use]
    pub fn allows_in_any_case(&self, verb: TableVerb, table: &str) -> bool {
        self.of(verb).holds_in_any_case(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_granted_by_default() {
        for verb in TableVerb::ALL {
            assert!(!SqlGrants::default().allows_in_any_case(*verb, "patient_data"));
            assert!(!SqlGrants::default().allows_any(*verb));
            assert!(SqlGrants::everything().of(*verb).holds("patient_data"));
            assert!(SqlGrants::everything().allows_any(*verb));
        }
    }

    #[test]
    fn each_verb_is_granted_separately() {
        let grants = SqlGrants { insert: ["Patient_Data"].into_iter().collect(), ..SqlGrants::default() };
        let allowed: Vec<_> =
            TableVerb::ALL.iter().filter(|verb| grants.allows_in_any_case(**verb, "patient_data")).copied().collect();
        assert_eq!(allowed, [TableVerb::Insert]);
        assert!(!grants.allows_in_any_case(TableVerb::Insert, "users"));
        assert!(
            grants.of(TableVerb::Insert).holds("Patient_Data") && !grants.of(TableVerb::Insert).holds("patient_data")
        );
        assert!(!grants.only_read() && SqlGrants::default().only_read());
    }
}
