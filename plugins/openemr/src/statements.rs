//! The SQL of this adapter, as text. Pure: a statement depends only on the schema, the settings and the row count.
//!
//! Every value is a parameter. The text contains only names from `columns.rs`, fixed words and the operator's
//! `user_id`, an integer. It never uses REPLACE or ON DUPLICATE KEY UPDATE: a collision of `pid` would overwrite
//! another patient. Every statement runs on MySQL 5.7, MariaDB 10.2 and SQLite 3.33.

use std::collections::BTreeMap;

use adapter_sdk::database::{Dialect, placeholders, repeated};

use crate::columns::{Content, OwnColumn};
use crate::merged::{OUR_LINE, can_mark};
use crate::namesakes::SCANNED_PIDS_MAX;
use crate::person;
use crate::schema::{Column, Schema};

/// The highest pid in use, 0 for none.
pub(crate) const HIGHEST_PID: &str = "SELECT COALESCE(MAX(`pid`), 0) FROM `patient_data`";

/// The name of the lock for assigning pids, the same for every host and adapter of this database.
pub(crate) const PID_LOCK: &str = "openemr.patient_data.pid";

/// Builds all statements of one batch.
pub(crate) struct Statements<'a> {
    pub(crate) dialect: Dialect,
    pub(crate) schema: &'a Schema,
    pub(crate) columns: &'a [&'static OwnColumn],
    pub(crate) user_id: Option<i64>,
}

impl Statements<'_> {
    /// Charts by uuid: `uuid`, `pid`, our columns, then whether it has our note of a merge. With `locked` the rows
    /// cannot change until the transaction ends, on a database where reading does not ensure that anyway.
    pub(crate) fn charts_by_uuid(&self, count: usize, locked: bool) -> String {
        let names = self.chart_columns("uuid");
        format!("SELECT {names} FROM `patient_data` WHERE `uuid` IN ({}){}", placeholders(count), self.lock(locked))
    }

    /// Charts by `pubpid` or `pid`, for 5.x: as by uuid, with `pubpid` first. Either count may be 0.
    pub(crate) fn charts_by_pubpid(&self, pubpids: usize, pids: usize, locked: bool) -> String {
        let names = self.chart_columns("pubpid");
        let conditions: Vec<String> = [("pubpid", pubpids), ("pid", pids)]
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(column, count)| format!("`{column}` IN ({})", placeholders(count)))
            .collect();
        format!("SELECT {names} FROM `patient_data` WHERE {}{}", conditions.join(" OR "), self.lock(locked))
    }

    /// Charts by `pid` that also have one of the same number of public ids: the columns of a search by uuid.
    pub(crate) fn charts_by_pid_and_pubpid(&self, count: usize, locked: bool) -> String {
        let (names, list) = (self.chart_columns("uuid"), placeholders(count));
        let lock = self.lock(locked);
        format!("SELECT {names} FROM `patient_data` WHERE `pid` IN ({list}) AND `pubpid` IN ({list}){lock}")
    }

    /// Public id, pid, names and birth date of charts by public id.
    pub(crate) fn people_by_pubpid(&self, count: usize) -> String {
        let small = format!(" AND (SELECT MAX(`pid`) FROM `patient_data`) <= {SCANNED_PIDS_MAX}");
        let unless_large = if self.schema.pubpid_is_indexed { "" } else { small.as_str() };
        format!(
            "SELECT `pubpid`, `pid`, `{}` FROM `patient_data` WHERE `pubpid` IN ({}){unless_large}",
            person::COLUMNS.join("`, `"),
            placeholders(count)
        )
    }

    /// `pid` and `uuid` of charts by pid.
    pub(crate) fn uuids_by_pid(count: usize) -> String {
        format!("SELECT `pid`, `uuid` FROM `patient_data` WHERE `pid` IN ({})", placeholders(count))
    }

    fn lock(&self, wanted: bool) -> &'static str {
        if wanted && self.dialect == Dialect::Mysql { " FOR UPDATE" } else { "" }
    }

    /// Selects which of these uuids are registered.
    pub(crate) fn registered(count: usize) -> String {
        format!("SELECT `uuid` FROM `uuid_registry` WHERE `uuid` IN ({})", placeholders(count))
    }

    /// Registers uuids; one parameter each.
    pub(crate) fn register(&self, count: usize) -> String {
        register(&self.schema.registry, "patient_data", "id", count)
    }

    /// The key columns of a new chart, in the order of the parameters.
    fn keys(&self) -> &'static [&'static str] {
        if self.schema.has_uuid() { &["uuid", "pid", "pubpid"] } else { &["pid", "pubpid"] }
    }

    /// Parameters of one row of [`Self::create`]: `uuid` if there is one, `pid`, `pubpid`, then our columns.
    pub(crate) fn create_parameters(&self) -> usize {
        self.keys().len() + self.columns.len()
    }

    /// Creates charts.
    pub(crate) fn create(&self, count: usize) -> String {
        let mut names = self.names(self.keys());
        names.extend(["`date`".to_owned(), "`regdate`".to_owned()]);
        let mut row = vec![placeholders(self.create_parameters()), "CURRENT_TIMESTAMP, CURRENT_TIMESTAMP".to_owned()];
        if let Some(user) = self.user_id {
            for column in self.authors(&["created_by", "updated_by"]) {
                names.push(format!("`{column}`"));
                row.push(user.to_string());
            }
        }
        let row = format!("({})", row.join(", "));
        format!("INSERT INTO `patient_data` ({}) VALUES {}", names.join(", "), repeated(&row, ", ", count))
    }

    /// Parameters of one row of [`Self::update`]: the key, then our columns.
    pub(crate) fn update_parameters(&self) -> usize {
        1 + self.columns.len()
    }

    /// Updates our columns of existing charts, found by `uuid`, or by `pid` without uuids. Without `noted` it passes
    /// over charts with our note of a merge: the note was written after the chart was read.
    pub(crate) fn update(&self, count: usize, noted: bool) -> String {
        let key = if self.schema.has_uuid() { "uuid" } else { "pid" };
        let has_note = |table| self.has_note(table).filter(|_| !noted);
        if self.dialect == Dialect::Sqlite {
            let row = format!("({})", placeholders(self.update_parameters()));
            return format!(
                "UPDATE `patient_data` SET {} FROM (VALUES {}) AS v WHERE `patient_data`.`{key}` = v.column1{}",
                self.assignments("", |at, _| format!("v.column{}", at + 2)),
                repeated(&row, ", ", count),
                has_note("`patient_data`.").map_or(String::new(), |has_note| format!(" AND {has_note} = 0"))
            );
        }
        format!(
            "UPDATE `patient_data` AS p INNER JOIN ({}) AS v ON p.`{key}` = v.row_key SET {}{}",
            self.rows_for_mysql(count),
            self.assignments("p.", |_, column| format!("v.`{}`", column.name)),
            has_note("p.").map_or(String::new(), |has_note| format!(" WHERE {has_note} = 0"))
        )
    }

    /// Whether a chart has our note of a merge, as 1 or 0, where this OpenEMR has the columns for it.
    fn has_note(&self, table: &str) -> Option<String> {
        can_mark(self.schema).then(|| format!("CASE WHEN {table}`billing_note` LIKE '%{OUR_LINE}%' THEN 1 ELSE 0 END"))
    }

    /// The columns of a chart that is read: its key, the pid, our columns, then whether it has our note of a merge.
    fn chart_columns(&self, key: &str) -> String {
        self.names(&[key, "pid"]).into_iter().chain(self.has_note("")).collect::<Vec<_>>().join(", ")
    }

    /// The assignments of an update: each of our columns from `source` (called with its index and itself), then time
    /// and author.
    fn assignments(&self, table: &str, source: impl Fn(usize, &OwnColumn) -> String) -> String {
        let mut assignments: Vec<String> = self
            .columns
            .iter()
            .enumerate()
            .map(|(at, column)| format!("{table}`{}` = {}", column.name, source(at, column)))
            .collect();
        assignments.push(format!("{table}`date` = CURRENT_TIMESTAMP"));
        if let Some(user) = self.user_id.filter(|_| self.schema.column("updated_by").is_some()) {
            assignments.push(format!("{table}`updated_by` = {user}"));
        }
        assignments.join(", ")
    }

    /// The rows of an update as a derived table, which MySQL 5.7 can only express as a union. The first row names and
    /// types the columns. With a bare `?` or NULL there, the first patient's values would limit the length of all
    /// others.
    fn rows_for_mysql(&self, count: usize) -> String {
        let key = if self.schema.has_uuid() { "CAST(? AS BINARY(16))" } else { "CAST(? AS SIGNED)" };
        let mut first = vec![format!("SELECT {key} AS row_key")];
        first.extend(self.columns.iter().map(|column| {
            let characters = match column.content {
                Content::Date => Some(10),
                Content::Datetime => Some(19),
                Content::Text | Content::Options => {
                    self.schema.column(column.name).and_then(|found| found.characters_max)
                }
                Content::Time | Content::Integer | Content::Measure(_) => None,
            };
            match characters {
                Some(characters) => format!("CAST(? AS CHAR({characters})) AS `{}`", column.name),
                None => format!("? AS `{}`", column.name),
            }
        }));
        let another = format!(" UNION ALL SELECT {key}{}", repeated(", ?", "", self.columns.len()));
        first.join(", ") + &repeated(&another, "", count - 1)
    }

    /// The columns for the author, if the operator configured one and this OpenEMR has them.
    fn authors<'c>(&self, columns: &[&'c str]) -> Vec<&'c str> {
        let present = |name: &&str| self.user_id.is_some() && self.schema.column(name).is_some();
        columns.iter().copied().filter(present).collect()
    }

    /// Changes nothing, but fails unless the database user may update all columns of an update.
    pub(crate) fn update_probe(&self) -> String {
        let first = [vec!["date"], self.authors(&["updated_by"])].concat();
        let assignments: Vec<String> = self.names(&first).into_iter().map(|name| format!("{name} = {name}")).collect();
        format!("UPDATE `patient_data` SET {} WHERE 1 = 0", assignments.join(", "))
    }

    /// Changes nothing, but fails unless the database user may insert all columns of a creation.
    pub(crate) fn create_probe(&self) -> String {
        let first = [self.keys(), &["date", "regdate"], &self.authors(&["created_by", "updated_by"])].concat();
        let names = self.names(&first).join(", ");
        format!("INSERT INTO `patient_data` ({names}) SELECT {names} FROM `patient_data` WHERE 1 = 0")
    }

    /// Changes nothing, but fails unless the database user may register uuids.
    pub(crate) fn register_probe(&self) -> String {
        let there = registry_row(&self.schema.registry, "patient_data", "id");
        let names = there.into_iter().map(|(name, _)| name).collect::<Vec<_>>().join("`, `");
        format!("INSERT INTO `uuid_registry` (`{names}`) SELECT `{names}` FROM `uuid_registry` WHERE 1 = 0")
    }

    /// The given columns, then our own ones, quoted.
    fn names(&self, first: &[&str]) -> Vec<String> {
        let own = self.columns.iter().map(|column| column.name);
        first.iter().copied().chain(own).map(|name| format!("`{name}`")).collect()
    }
}

/// Registers uuids of a table; one parameter each.
pub(crate) fn register(registry: &BTreeMap<String, Column>, table: &str, id: &str, count: usize) -> String {
    let (names, values): (Vec<&str>, Vec<String>) = registry_row(registry, table, id).into_iter().unzip();
    let row = format!("({})", values.join(", "));
    format!("INSERT INTO `uuid_registry` (`{}`) VALUES {}", names.join("`, `"), repeated(&row, ", ", count))
}

/// A row of `uuid_registry`: the columns of this version, with constants for all but the uuid.
fn registry_row(registry: &BTreeMap<String, Column>, table: &str, id: &str) -> Vec<(&'static str, String)> {
    let constants = [
        ("uuid", "?".to_owned()),
        ("table_name", format!("'{table}'")),
        ("table_id", format!("'{id}'")),
        ("table_vertical", "''".to_owned()),
        ("couchdb", "''".to_owned()),
        ("document_drive", "0".to_owned()),
        ("mapped", "0".to_owned()),
        ("created", "CURRENT_TIMESTAMP".to_owned()),
    ];
    constants.into_iter().filter(|(name, _)| registry.contains_key(*name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::tests::{full, varchar};

    fn small() -> Schema {
        let mut schema = full();
        schema
            .patient
            .retain(|name, _| ["uuid", "pid", "pubpid", "fname", "dob", "date", "regdate"].contains(&name.as_str()));
        schema
    }

    fn with<T>(schema: &Schema, dialect: Dialect, user_id: Option<i64>, read: impl Fn(&Statements<'_>) -> T) -> T {
        read(&Statements { dialect, schema, columns: &schema.own_columns(), user_id })
    }

    fn parameters_of_creation(statements: &Statements<'_>) -> usize {
        statements.create_parameters()
    }

    #[test]
    fn charts_are_read_by_uuid_with_the_owned_columns() {
        assert_eq!(
            with(&small(), Dialect::Mysql, None, |statements| statements.charts_by_uuid(2, false)),
            "SELECT `uuid`, `pid`, `fname`, `DOB` FROM `patient_data` WHERE `uuid` IN (?, ?)"
        );
        assert!(with(&small(), Dialect::Mysql, None, |it| it.charts_by_uuid(1, true)).ends_with("IN (?) FOR UPDATE"));
        assert!(with(&small(), Dialect::Sqlite, None, |it| it.charts_by_uuid(1, true)).ends_with("IN (?)"));
    }

    #[test]
    fn without_a_uuid_charts_are_read_by_pubpid_and_pid() {
        let read = |pubpids, pids| with(&small(), Dialect::Mysql, None, |it| it.charts_by_pubpid(pubpids, pids, false));
        assert!(read(1, 2).ends_with("WHERE `pubpid` IN (?) OR `pid` IN (?, ?)"));
        assert!(read(1, 0).ends_with("WHERE `pubpid` IN (?)"));
        assert!(read(0, 1).ends_with("WHERE `pid` IN (?)"));
    }

    #[test]
    fn registration_fills_the_columns_that_this_version_has() {
        assert_eq!(
            with(&small(), Dialect::Mysql, None, |it| it.register(2)),
            "INSERT INTO `uuid_registry` (`uuid`, `table_name`, `table_id`) VALUES (?, 'patient_data', 'id'), \
             (?, 'patient_data', 'id')"
        );
        let mut later = small();
        later.registry.insert("created".into(), varchar(1));
        assert!(
            with(&later, Dialect::Mysql, None, |it| it.register(1))
                .ends_with("(?, 'patient_data', 'id', CURRENT_TIMESTAMP)")
        );
    }

    #[test]
    fn an_insert_names_every_column_and_has_all_parameters() {
        let mut schema = small();
        assert_eq!(
            with(&schema, Dialect::Sqlite, Some(5), |it| it.create(2)),
            "INSERT INTO `patient_data` (`uuid`, `pid`, `pubpid`, `fname`, `DOB`, `date`, `regdate`) VALUES \
             (?, ?, ?, ?, ?, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP), (?, ?, ?, ?, ?, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP)"
        );
        assert_eq!(with(&schema, Dialect::Sqlite, None, parameters_of_creation), 5);
        schema.patient.insert("created_by".into(), varchar(1));
        schema.patient.insert("updated_by".into(), varchar(1));
        assert!(with(&schema, Dialect::Sqlite, Some(5), |it| it.create(1)).ends_with("CURRENT_TIMESTAMP, 5, 5)"));
        assert!(!with(&schema, Dialect::Sqlite, None, |it| it.create(1)).contains("created_by"));
        schema.patient.remove("uuid");
        assert_eq!(with(&schema, Dialect::Sqlite, None, parameters_of_creation), 4);
    }

    #[test]
    fn an_update_on_mysql_types_its_columns_in_the_first_row() {
        let mut schema = small();
        schema.patient.insert("updated_by".into(), varchar(1));
        assert_eq!(
            with(&schema, Dialect::Mysql, Some(5), |it| it.update(2, false)),
            "UPDATE `patient_data` AS p INNER JOIN (SELECT CAST(? AS BINARY(16)) AS row_key, CAST(? AS CHAR(255)) AS \
             `fname`, CAST(? AS CHAR(10)) AS `DOB` UNION ALL SELECT CAST(? AS BINARY(16)), ?, ?) AS v ON p.`uuid` = v.row_key \
             SET p.`fname` = v.`fname`, p.`DOB` = v.`DOB`, p.`date` = CURRENT_TIMESTAMP, p.`updated_by` = 5"
        );
        schema.patient.remove("uuid");
        assert!(with(&schema, Dialect::Mysql, None, |it| it.update(1, false)).contains("ON p.`pid` = v.row_key"));
    }

    #[test]
    fn an_update_on_sqlite_joins_a_list_of_values() {
        assert_eq!(
            with(&small(), Dialect::Sqlite, None, |it| it.update(2, false)),
            "UPDATE `patient_data` SET `fname` = v.column2, `DOB` = v.column3, `date` = CURRENT_TIMESTAMP FROM \
             (VALUES (?, ?, ?), (?, ?, ?)) AS v WHERE `patient_data`.`uuid` = v.column1"
        );
    }

    #[test]
    fn a_chart_is_read_with_our_note_of_a_merge_and_not_updated_beside_one() {
        let mut schema = small();
        for name in ["billing_note", "allow_patient_portal"] {
            schema.patient.insert(name.into(), varchar(255));
        }
        let has_note = "`billing_note` LIKE '%[NeuroNova Sync]%' THEN 1 ELSE 0 END";
        assert!(
            with(&schema, Dialect::Mysql, None, |it| it.charts_by_uuid(1, false))
                .starts_with(&format!("SELECT `uuid`, `pid`, `fname`, `DOB`, CASE WHEN {has_note} FROM"))
        );
        assert!(
            with(&schema, Dialect::Mysql, None, |it| it.update(1, false))
                .ends_with(&format!("p.`date` = CURRENT_TIMESTAMP WHERE CASE WHEN p.{has_note} = 0"))
        );
        assert!(
            with(&schema, Dialect::Sqlite, None, |it| it.update(1, false))
                .ends_with(&format!("= v.column1 AND CASE WHEN `patient_data`.{has_note} = 0"))
        );
        for dialect in [Dialect::Mysql, Dialect::Sqlite] {
            assert!(!with(&schema, dialect, None, |it| it.update(1, true)).contains("billing_note"));
        }
    }

    #[test]
    fn every_statement_has_its_declared_number_of_parameters() {
        for dialect in [Dialect::Mysql, Dialect::Sqlite] {
            with(&full(), dialect, Some(1), |it| {
                let count = |sql: String| sql.matches('?').count();
                assert_eq!(count(it.create(7)), 7 * it.create_parameters());
                assert_eq!(count(it.update(7, false)), 7 * it.update_parameters());
                assert_eq!(count(it.register(7)), 7);
                assert_eq!(count(it.update_probe()) + count(it.create_probe()), 0);
            });
        }
    }
}
