//! Whether the unique keys are there on which safe creation rests.

use std::collections::BTreeMap;

use adapter_sdk::database::{DatabaseErrorKind, Dialect, Value};
use adapter_sdk::{Failure, Finding, FindingLevel};

use crate::lent::Lent;
use crate::schema::Schema;

const MYSQL: &str = "SELECT INDEX_NAME, COLUMN_NAME FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() \
                     AND TABLE_NAME = 'patient_data' AND NON_UNIQUE = 0 ORDER BY INDEX_NAME, SEQ_IN_INDEX";
const SQLITE: &str = "SELECT indexes.name, parts.name FROM pragma_index_list('patient_data') AS indexes, \
                      pragma_index_info(indexes.name) AS parts WHERE indexes.\"unique\" = 1";

/// A warning for each key that is missing, or one that the keys could not be read.
///
/// # Errors
/// What the database says when it is not there at all.
pub(crate) fn findings(db: &impl Lent, schema: &Schema) -> Result<Vec<Finding>, Failure> {
    let sql = if db.dialect() == Dialect::Mysql { MYSQL } else { SQLITE };
    let found = match db.query(sql, &[], 1_000) {
        Ok(found) => found,
        Err(error) if error.kind == DatabaseErrorKind::Unavailable => return Err(error.during("read the unique keys")),
        Err(error) => return Ok(vec![warning(error.during("the unique keys could not be read").message)]),
    };
    Ok(missing(&found.rows, schema.has_uuid()))
}

fn missing(rows: &[Vec<Value>], has_uuid: bool) -> Vec<Finding> {
    let mut keys: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for row in rows {
        if let [key, column] = row.as_slice()
            && let (Some(key), Some(column)) = (key.as_text(), column.as_text())
        {
            keys.entry(key).or_default().push(column);
        }
    }
    let wanted = [("pid", true), ("uuid", has_uuid)].into_iter().filter(|(_, wanted)| *wanted);
    wanted
        .filter(|(name, _)| {
            !keys.values().any(|columns| matches!(columns.as_slice(), [only] if only.eq_ignore_ascii_case(name)))
        })
        .map(|(name, _)| {
            warning(format!(
                "patient_data has no unique key over `{name}`: writers beside this adapter can double a patient"
            ))
        })
        .collect()
}

fn warning(message: String) -> Finding {
    Finding { level: FindingLevel::Warning, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_counts_only_when_it_is_over_that_column_alone() {
        let row = |key: &str, column: &str| vec![Value::from(key), Value::from(column)];
        let both = [row("pid", "pid"), row("uuid", "UUID")];
        assert!(missing(&both, true).is_empty());
        let combined = [row("pid", "pid"), row("two", "uuid"), row("two", "pid")];
        assert_eq!(missing(&combined, true).len(), 1);
        assert!(missing(&combined, false).is_empty());
        assert!(missing(&[], true)[0].message.contains("`pid`"));
    }
}
