//! The keys of `patient_data`: those that make creation safe, and the index that makes searching for a public id fast.

use std::collections::BTreeMap;

use adapter_sdk::database::{DatabaseErrorKind, Dialect, Value};
use adapter_sdk::{Failure, Finding, FindingLevel};

use crate::target_db::TargetDb;

const MYSQL: &str = "SELECT INDEX_NAME, COLUMN_NAME, 1 - NON_UNIQUE FROM information_schema.STATISTICS \
                     WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'patient_data' ORDER BY INDEX_NAME, SEQ_IN_INDEX";
const SQLITE: &str = "SELECT indexes.name, parts.name, indexes.\"unique\" FROM pragma_index_list('patient_data') AS \
                      indexes, pragma_index_info(indexes.name) AS parts ORDER BY indexes.name, parts.seqno";

/// The keys of `patient_data`.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// The columns of each key, and whether it is unique.
    keys: BTreeMap<String, (Vec<String>, bool)>,
    /// Why the keys could not be read.
    unread: Option<String>,
}

impl Keys {
    /// Reads the keys. A missing permission to read them is no error.
    ///
    /// # Errors
    /// The database's error when it is unreachable.
    pub(crate) fn read(db: &impl TargetDb) -> Result<Self, Failure> {
        let sql = if db.dialect() == Dialect::Mysql { MYSQL } else { SQLITE };
        match db.query(sql, &[], 1_000) {
            Ok(found) => Ok(Self::of(&found.rows)),
            Err(error) if error.kind == DatabaseErrorKind::Unavailable => Err(error.during("read the keys")),
            Err(error) => {
                Ok(Self { unread: Some(error.during("the keys could not be read").message), ..Self::default() })
            }
        }
    }

    fn of(rows: &[Vec<Value>]) -> Self {
        let mut keys: BTreeMap<String, (Vec<String>, bool)> = BTreeMap::new();
        for row in rows {
            if let [key, column, is_unique] = row.as_slice()
                && let (Some(key), Some(column)) = (key.as_text(), column.as_text())
            {
                let entry = keys.entry(key.to_owned()).or_default();
                entry.0.push(column.to_ascii_lowercase());
                entry.1 = is_unique.as_bool().unwrap_or_default();
            }
        }
        Self { keys, unread: None }
    }

    /// Whether a public id can be found without scanning the whole table.
    pub(crate) fn pubpid_is_indexed(&self) -> bool {
        self.keys.values().any(|(columns, _)| columns.first().is_some_and(|column| column == "pubpid"))
    }

    /// A warning for each missing key, or one if the keys could not be read.
    pub(crate) fn findings(&self, has_uuid: bool) -> Vec<Finding> {
        if let Some(why) = &self.unread {
            return vec![warning(why.clone())];
        }
        let is_key = |name: &str| self.keys.values().any(|(columns, is_unique)| *is_unique && *columns == [name]);
        [("pid", true), ("uuid", has_uuid)]
            .into_iter()
            .filter(|(name, wanted)| *wanted && !is_key(name))
            .map(|(name, _)| {
                warning(format!(
                    "patient_data has no unique key over `{name}`: other writers can create a second chart of a patient"
                ))
            })
            .collect()
    }
}

fn warning(message: String) -> Finding {
    Finding { level: FindingLevel::Warning, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_unique_key_over_one_column_counts() {
        let row = |key: &str, column: &str| vec![Value::from(key), Value::from(column), Value::Signed(1)];
        let both = Keys::of(&[row("pid", "pid"), row("uuid", "UUID")]);
        assert!(both.findings(true).is_empty());
        let combined = Keys::of(&[row("pid", "pid"), row("two", "uuid"), row("two", "pid")]);
        assert_eq!(combined.findings(true).len(), 1);
        assert!(combined.findings(false).is_empty());
        assert!(Keys::default().findings(true)[0].message.contains("`pid`"));
    }

    #[test]
    fn an_index_is_not_a_unique_key_and_counts_by_its_first_column() {
        let index = |column: &str| vec![Value::from("one"), Value::from(column), Value::Signed(0)];
        let keys = Keys::of(&[index("pubpid"), index("pid")]);
        assert!(keys.pubpid_is_indexed());
        assert_eq!(keys.findings(true).len(), 2);
        assert!(!Keys::of(&[index("pid"), index("pubpid")]).pubpid_is_indexed());
    }
}
