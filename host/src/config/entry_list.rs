//! The list that a configuration is shown and compared as: each key with its value, or what is shown in its place.

use std::path::Path;

use super::{DatabaseUrl, SecretSource};
use crate::domain::secret::Secret;

/// What a secret is shown as.
const SECRET: &str = "left out: a secret";
/// What text that an operator has written freely is shown as.
pub(super) const TEXT: &str = "left out: text";
/// What a path of this machine is shown as.
const PATH: &str = "left out: a path";

/// One key of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As in the file, from its first table on: `targets.fhir.limits.batch`.
    pub key: String,
    /// The value as it may leave this machine.
    pub shown: String,
    /// The value where it is not shown.
    hidden: Option<Secret>,
}

impl Entry {
    /// Whether the value is left out, or shown in part.
    #[must_use]
    pub fn is_redacted(&self) -> bool {
        self.hidden.is_some()
    }
}

/// The list under one table of the file.
pub(super) struct Entries<'a> {
    table: String,
    list: &'a mut Vec<Entry>,
}

impl<'a> Entries<'a> {
    /// The list under no table.
    pub(super) fn root(list: &'a mut Vec<Entry>) -> Self {
        Self { table: String::new(), list }
    }

    pub(super) fn of(&mut self, table: &str) -> Entries<'_> {
        Entries { table: format!("{}{table}.", self.table), list: self.list }
    }

    fn add(&mut self, key: &str, shown: String, hidden: Option<Secret>) {
        self.list.push(Entry { key: format!("{}{key}", self.table), shown, hidden });
    }

    pub(super) fn shown(&mut self, key: &str, value: &(impl ToString + ?Sized)) {
        self.add(key, value.to_string(), None);
    }

    pub(super) fn shown_list(&mut self, key: &str, values: impl IntoIterator<Item = impl ToString>) {
        let values: Vec<_> = values.into_iter().map(|value| value.to_string()).collect();
        self.shown(key, &if values.is_empty() { "none".to_owned() } else { values.join(", ") });
    }

    pub(super) fn hidden(&mut self, key: &str, shown: &str, whole: impl Into<String>) {
        self.add(key, shown.to_owned(), Some(Secret::new(whole)));
    }

    pub(super) fn path(&mut self, key: &str, path: &Path) {
        self.hidden(key, PATH, path.to_string_lossy());
    }

    pub(super) fn secret(&mut self, key: &str, source: &SecretSource) {
        match source {
            SecretSource::Value(secret) => self.hidden(key, SECRET, secret.expose()),
            SecretSource::File(path) => self.path(&format!("{key}_file"), path),
        }
    }

    pub(super) fn database_url(&mut self, key: &str, url: &DatabaseUrl) {
        match url {
            DatabaseUrl::Sqlite(path) => {
                self.hidden(key, "sqlite, a file; its path is left out", path.to_string_lossy());
            }
            DatabaseUrl::Server(server) => {
                let (kind, host, port) = (server.kind(), server.host(), server.port());
                let shown = format!("{kind} at {host}:{port}; user, password, database and parameters are left out");
                self.hidden(key, &shown, server.expose());
            }
        }
    }
}
