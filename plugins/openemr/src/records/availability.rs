//! Determines which kinds of records can be written to this OpenEMR: whether the tables exist, and whether every kind
//! of statement is granted. An unavailable kind is skipped with the reason; patients are delivered nevertheless.
//!
//! Each statement matches no row, and the transaction that it runs in is rolled back.

use std::collections::{BTreeMap, BTreeSet};

use adapter_sdk::database::{DatabaseError, DatabaseErrorKind, Value};
use adapter_sdk::{Failure, Finding, FindingLevel};

use crate::records::kinds::Kind;
use crate::records::shape::{Shape, tables};
use crate::records::statements::{By, LAST_NUMBER, RecordStatements};
use crate::schema::Schema;
use crate::settings::Settings;
use crate::target_db::TargetDb;

/// The reasons why types cannot be written, by aggregate type.
///
/// # Errors
/// The database's error when it is unreachable.
pub(crate) fn find(
    db: &impl TargetDb,
    schema: &Schema,
    settings: &Settings,
) -> Result<BTreeMap<String, String>, Failure> {
    let mut unavailable = BTreeMap::new();
    for kind in Kind::ALL {
        if let Some(why) = of_kind(db, kind, schema, settings)? {
            unavailable.insert(kind.aggregate_type().to_owned(), why);
        }
    }
    Ok(unavailable)
}

/// The findings for `check`: one line for each reason.
pub(crate) fn findings(schema: &Schema) -> Vec<Finding> {
    let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for kind in Kind::ALL {
        if let Some(why) = schema.unavailable.get(kind.aggregate_type()) {
            by_reason.entry(why).or_default().push(kind.aggregate_type());
        }
    }
    let written = Kind::ALL.map(Kind::aggregate_type);
    let written: Vec<&str> = written.into_iter().filter(|name| !schema.unavailable.contains_key(*name)).collect();
    let skipped = by_reason.into_iter().map(|(why, types)| Finding {
        level: FindingLevel::Warning,
        message: format!("changes of type {} are skipped: {why}", types.join(", ")),
    });
    let ok = (!written.is_empty())
        .then(|| Finding { level: FindingLevel::Ok, message: format!("clinical records: {}", written.join(", ")) });
    ok.into_iter().chain(skipped).collect()
}

fn of_kind(db: &impl TargetDb, kind: Kind, schema: &Schema, settings: &Settings) -> Result<Option<String>, Failure> {
    let shape = match Shape::new(kind, schema) {
        Ok(shape) => shape,
        Err(missing) => {
            return Ok(Some(format!("there is no {}, or the database user may not see it", missing.join(", "))));
        }
    };
    let statements = RecordStatements { dialect: db.dialect(), shape: &shape, settings };
    let demanding = shape.demanding_columns(&statements.inserted());
    if !demanding.is_empty() {
        let names = demanding.join(", ");
        return Ok(Some(format!("columns take no NULL, have no default and are not this adapter's: {names}")));
    }
    let mut trial = Trial { db, refused: BTreeMap::new(), other: None };
    trial.all(kind, &statements)?;
    Ok(trial.reason())
}

/// Runs statements and collects the refused ones.
struct Trial<'a, L> {
    db: &'a L,
    /// The tables of refused statements, by verb.
    refused: BTreeMap<&'static str, BTreeSet<&'static str>>,
    other: Option<String>,
}

impl<L: TargetDb> Trial<'_, L> {
    fn all(&mut self, kind: Kind, statements: &RecordStatements<'_>) -> Result<(), Failure> {
        let shape = statements.shape;
        for table in tables(kind) {
            let sql = format!("SELECT 1 FROM `{table}` WHERE 1 = 0");
            self.query("read", table, &sql, &[])?;
        }
        let (by, nobody) =
            if shape.has_uuid { (By::Uuid, Value::Bytes(vec![0; 16])) } else { (By::Id, Value::Signed(-1)) };
        self.query("update", shape.layout.table, &statements.find(by, 1, true), &[nobody])?;
        let own = |columns: &[crate::columns::OwnColumn]| -> Vec<&'static str> {
            columns.iter().map(|column| column.name).collect()
        };
        self.insert(shape.layout.table, &statements.inserted())?;
        self.update(shape.layout.table, &own(shape.table_columns()))?;
        if shape.layout.form.is_some() {
            self.insert("forms", &own(shape.form_columns()))?;
            self.update("forms", &own(shape.form_columns()))?;
        }
        if shape.layout.list_type.is_some() {
            self.insert("lists_touch", &["pid", "type", "date"])?;
            self.insert("issue_encounter", &["pid", "list_id", "encounter", "resolved"])?;
        }
        if kind == Kind::Encounter {
            self.update("sequences", &["id"])?;
            self.count_sequences()?;
        }
        Ok(())
    }

    fn query(
        &mut self,
        verb: &'static str,
        table: &'static str,
        sql: &str,
        parameters: &[Value],
    ) -> Result<(), Failure> {
        let error = self.db.query(sql, parameters, 10).err();
        self.judge(verb, table, error)
    }

    fn insert(&mut self, table: &'static str, columns: &[&str]) -> Result<(), Failure> {
        let names = columns.join("`, `");
        let sql = format!("INSERT INTO `{table}` (`{names}`) SELECT `{names}` FROM `{table}` WHERE 1 = 0");
        let error = self.db.execute(&sql, &[]).err();
        self.judge("insert", table, error)
    }

    fn update(&mut self, table: &'static str, columns: &[&str]) -> Result<(), Failure> {
        let set: Vec<String> = columns.iter().map(|name| format!("`{name}` = `{name}`")).collect();
        let error = self.db.execute(&format!("UPDATE `{table}` SET {} WHERE 1 = 0", set.join(", ")), &[]).err();
        self.judge("update", table, error)
    }

    fn judge(&mut self, verb: &'static str, table: &'static str, error: Option<DatabaseError>) -> Result<(), Failure> {
        let Some(error) = error else { return Ok(()) };
        match error.kind {
            DatabaseErrorKind::PermissionDenied | DatabaseErrorKind::Refused => {
                self.refused.entry(verb).or_default().insert(table);
            }
            DatabaseErrorKind::MissingObject => {
                self.other = Some(error.during(&format!("{verb} {table}")).message);
            }
            DatabaseErrorKind::Unavailable | DatabaseErrorKind::Contention => {
                return Err(error.during(&format!("try to {verb} {table}")));
            }
            DatabaseErrorKind::DuplicateKey | DatabaseErrorKind::InvalidValue | DatabaseErrorKind::Other => {}
        }
        Ok(())
    }

    fn count_sequences(&mut self) -> Result<(), Failure> {
        match self.db.query(LAST_NUMBER, &[], 10) {
            Ok(found) if found.rows.len() == 1 => Ok(()),
            Ok(found) => {
                let rows = found.rows.len();
                self.other = Some(format!("the table `sequences` has {rows} rows, OpenEMR keeps one there"));
                Ok(())
            }
            Err(error) => self.judge("read", "sequences", Some(error)),
        }
    }

    fn reason(self) -> Option<String> {
        if self.refused.is_empty() {
            return self.other;
        }
        let verbs = ["read", "insert", "update"].into_iter().filter_map(|verb| {
            let tables: Vec<&str> = self.refused.get(verb)?.iter().copied().collect();
            Some(format!("{verb} = [\"{}\"]", tables.join("\", \"")))
        });
        Some(format!(
            "not granted: add {} to [targets.NAME.database.allow] in host.toml (preset = \"openemr\" grants all that the \
             bundled adapter needs), and the same to the database user",
            verbs.collect::<Vec<_>>().join(", ")
        ))
    }
}
