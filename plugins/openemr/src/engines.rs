//! Whether the tables know transactions: everything that is promised of a crash rests on rollback.

use adapter_sdk::database::{DatabaseErrorKind, Dialect};
use adapter_sdk::{Failure, Finding, FindingLevel};

use crate::lent::Lent;

const ENGINES: &str = "SELECT TABLE_NAME, ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() \
                       AND TABLE_NAME IN ('patient_data', 'uuid_registry') ORDER BY TABLE_NAME";

/// Storage engines that cannot roll back.
const WITHOUT_TRANSACTIONS: [&str; 6] = ["MyISAM", "Aria", "MEMORY", "CSV", "ARCHIVE", "MRG_MyISAM"];

/// A problem for each table that cannot roll back.
///
/// # Errors
/// What the database says when it is not there at all.
pub(crate) fn findings(db: &impl Lent) -> Result<Vec<Finding>, Failure> {
    if db.dialect() != Dialect::Mysql {
        return Ok(Vec::new());
    }
    let rows = match db.query(ENGINES, &[], 10) {
        Ok(found) => found.rows,
        Err(error) if error.kind == DatabaseErrorKind::Unavailable => return Err(error.during("read the engines")),
        Err(error) => {
            let message = error.during("the tables' engines could not be read").message;
            return Ok(vec![Finding { level: FindingLevel::Warning, message }]);
        }
    };
    let named = rows.iter().filter_map(|row| Some((row.first()?.as_text()?, row.get(1)?.as_text()?)));
    Ok(problems(named))
}

fn problems<'a>(tables: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<Finding> {
    tables
        .filter(|(_, engine)| WITHOUT_TRANSACTIONS.iter().any(|known| known.eq_ignore_ascii_case(engine)))
        .map(|(table, engine)| Finding {
            level: FindingLevel::Problem,
            message: format!(
                "{table} has the engine {engine}, which cannot roll back: a batch that fails half-way stays half-written, and a host \
                 that was frozen may write an older state. Convert it: ALTER TABLE {table} ENGINE = InnoDB"
            ),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_cannot_roll_back_is_a_problem() {
        let tables = [("patient_data", "MyISAM"), ("uuid_registry", "InnoDB"), ("other", "RocksDB"), ("last", "ARIA")];
        let found = problems(tables.into_iter());
        assert_eq!(found.len(), 2);
        assert!(matches!(found[0].level, FindingLevel::Problem));
        assert!(found[0].message.ends_with("ALTER TABLE patient_data ENGINE = InnoDB"));
    }
}
