//! Detects the version and schema of OpenEMR in a database, with a few SELECTs.
//!
//! It decides nothing: `check.rs` interprets the findings. Every version since 5.0.2 is read the same way, by what is
//! there and not by what its version number promises.

use std::collections::{BTreeMap, BTreeSet};

use adapter_sdk::Failure;
use adapter_sdk::database::{DatabaseErrorKind, Dialect, Value, placeholders};

use crate::failures::misconfigured;
use crate::form::{Form, LayoutRow};
use crate::lists::ListOption;
use crate::options::LISTS;
use crate::records::kinds;
use crate::schema::{Charset, Column, Schema, Version};
use crate::target_db::TargetDb;

const TABLES: [&str; 5] = ["patient_data", "uuid_registry", "version", "list_options", "layout_options"];

/// The tables above and those of the clinical records.
fn tables() -> impl Iterator<Item = &'static str> {
    TABLES.into_iter().chain(kinds::TABLES)
}

/// More columns or options than any OpenEMR has.
const ROWS_MAX: u32 = 5_000;

/// Reads tables, version, form and lists.
///
/// # Errors
/// What the database says, as a failure; `misconfigured` for a database that OpenEMR does not run on. A table that is
/// missing or may not be read is no error here: it shows as absent.
pub(crate) fn schema(db: &impl TargetDb) -> Result<Schema, Failure> {
    let mut tables = match db.dialect() {
        Dialect::Mysql => mysql_tables(db)?,
        Dialect::Sqlite => sqlite_tables(db)?,
        Dialect::Postgres => return Err(misconfigured("OpenEMR runs on MySQL or MariaDB; this target is PostgreSQL")),
    };
    let mut schema = Schema::new();
    let mut read = Reading { db, unread: Vec::new() };
    if tables.get("version").is_some_and(|table| table.contains_key("v_major")) {
        schema.version = read.version()?;
    }
    if let Some(columns) = tables.get("layout_options") {
        schema.form = read.form(columns)?;
    }
    if let Some(columns) = tables.get("list_options") {
        let of_form = schema.form.iter().flat_map(|form| form.0.values()).flat_map(|field| &field.lists);
        let lists: BTreeSet<&str> = LISTS.into_iter().chain(kinds::LISTS).chain(of_form.map(String::as_str)).collect();
        schema.options = read.options(columns, &lists)?;
    }
    schema.unread = read.unread;
    schema.patient = tables.remove("patient_data").unwrap_or_default();
    schema.registry = tables.remove("uuid_registry").unwrap_or_default();
    schema.records = tables
        .into_iter()
        .filter(|(name, _)| kinds::TABLES.contains(name))
        .map(|(name, columns)| (name.to_owned(), columns))
        .collect();
    Ok(schema)
}

type Tables = BTreeMap<&'static str, BTreeMap<String, Column>>;

fn mysql_tables(db: &impl TargetDb) -> Result<Tables, Failure> {
    let sql = format!(
        "SELECT TABLE_NAME, COLUMN_NAME, IS_NULLABLE, COLUMN_DEFAULT, EXTRA, CHARACTER_MAXIMUM_LENGTH, \
         CHARACTER_OCTET_LENGTH, CHARACTER_SET_NAME, NUMERIC_SCALE FROM information_schema.COLUMNS \
         WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME IN ({}) ORDER BY TABLE_NAME, ORDINAL_POSITION",
        placeholders(tables().count())
    );
    let parameters: Vec<Value> = tables().map(Value::from).collect();
    let found = db.query(&sql, &parameters, ROWS_MAX).map_err(|error| error.during("read information_schema"))?;
    let mut found_tables = Tables::new();
    for row in &found.rows {
        let [table, name, nullable, default, extra, characters, bytes, charset, decimals] = row.as_slice() else {
            continue;
        };
        let Some(table) = tables().find(|known| table.as_text().is_some_and(|name| name.eq_ignore_ascii_case(known)))
        else {
            continue;
        };
        let extra = extra.as_text().unwrap_or_default().to_ascii_lowercase();
        let column = Column {
            nullable: nullable.as_text() == Some("YES"),
            has_default: !default.is_null() || extra.contains("auto_increment") || extra.contains("generated"),
            characters_max: characters.as_i64().and_then(|length| u64::try_from(length).ok()),
            bytes_max: bytes.as_i64().and_then(|length| u64::try_from(length).ok()),
            decimals: decimals.as_i64().and_then(|digits| u8::try_from(digits).ok()),
            charset: Charset::named(charset.as_text()),
        };
        found_tables.entry(table).or_default().insert(lower(name), column);
    }
    Ok(found_tables)
}

fn sqlite_tables(db: &impl TargetDb) -> Result<Tables, Failure> {
    let mut found_tables = Tables::new();
    for table in tables() {
        let sql = format!(r#"SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info('{table}')"#);
        let found = db.query(&sql, &[], ROWS_MAX).map_err(|error| error.during("read the table's columns"))?;
        for row in &found.rows {
            let [name, declared, not_null, default, primary_key] = row.as_slice() else { continue };
            let primary_key = primary_key.as_bool().unwrap_or_default();
            let declared = declared.as_text().unwrap_or_default().to_ascii_lowercase();
            let column = Column {
                nullable: !primary_key && !not_null.as_bool().unwrap_or_default(),
                has_default: !default.is_null() || (primary_key && declared == "integer"),
                characters_max: declared_length(&declared),
                bytes_max: (declared == "tinytext").then_some(255),
                decimals: declared_decimals(&declared),
                charset: Charset::Any,
            };
            found_tables.entry(table).or_default().insert(lower(name), column);
        }
    }
    Ok(found_tables)
}

/// The 255 of `varchar(255)`.
fn declared_length(declared: &str) -> Option<u64> {
    let (kind, length) = declared.split_once('(')?;
    kind.contains("char").then(|| length.trim_end_matches(')').trim().parse().ok())?
}

/// The 6 of `decimal(12,6)`.
fn declared_decimals(declared: &str) -> Option<u8> {
    let (_, digits) = declared.strip_prefix("decimal(")?.trim_end_matches(')').split_once(',')?;
    digits.trim().parse().ok()
}

fn lower(name: &Value) -> String {
    name.as_text().unwrap_or_default().to_ascii_lowercase()
}

/// Reads tables that the adapter can do without, and remembers those that it was not let read.
struct Reading<'a, L> {
    db: &'a L,
    unread: Vec<String>,
}

impl<L: TargetDb> Reading<'_, L> {
    fn rows(
        &mut self,
        table: &str,
        sql: &str,
        parameters: &[Value],
        rows_max: u32,
    ) -> Result<Option<Vec<Vec<Value>>>, Failure> {
        match self.db.query(sql, parameters, rows_max) {
            Ok(found) => Ok(Some(found.rows)),
            Err(error) if can_do_without(error.kind) => {
                self.unread.push(error.during(table).message);
                Ok(None)
            }
            Err(error) => Err(error.during(&format!("read the table {table}"))),
        }
    }

    fn version(&mut self) -> Result<Option<Version>, Failure> {
        let sql = "SELECT v_major, v_minor, v_patch, v_realpatch, v_database, v_tag FROM version";
        let rows = self.rows("version", sql, &[], 10)?.unwrap_or_default();
        Ok(rows.first().and_then(|row| {
            let [major, minor, patch, real_patch, database, tag] = row.as_slice() else { return None };
            Some(Version {
                major: major.as_i64()?,
                minor: minor.as_i64()?,
                patch: patch.as_i64()?,
                real_patch: real_patch.as_i64().unwrap_or_default(),
                tag: tag.as_text().unwrap_or_default().to_owned(),
                database: database.as_i64().unwrap_or_default(),
            })
        }))
    }

    /// The demographics form.
    fn form(&mut self, columns: &BTreeMap<String, Column>) -> Result<Option<Form>, Failure> {
        let [backup, edit_options] = ["list_backup_id", "edit_options"].map(|name| present(columns, name));
        let sql = format!(
            "SELECT field_id, data_type, uor, max_length, list_id, {backup}, {edit_options} FROM layout_options \
             WHERE form_id = 'DEM'"
        );
        let Some(rows) = self.rows("layout_options", &sql, &[], ROWS_MAX)? else { return Ok(None) };
        let rows = rows.iter().filter_map(|row| {
            let [field_id, data_type, uor, max_length, list_id, backup, edit_options] = row.as_slice() else {
                return None;
            };
            Some(LayoutRow {
                field_id: field_id.as_text()?,
                data_type: data_type.as_i64().unwrap_or_default(),
                uor: uor.as_i64().unwrap_or_default(),
                max_length: max_length.as_i64().unwrap_or_default(),
                list_id: list_id.as_text().unwrap_or_default(),
                list_backup_id: backup.as_text().unwrap_or_default(),
                edit_options: edit_options.as_text().unwrap_or_default(),
            })
        });
        let form = Form::read(rows);
        Ok((!form.0.is_empty()).then_some(form))
    }

    fn options(
        &mut self,
        columns: &BTreeMap<String, Column>,
        lists: &BTreeSet<&str>,
    ) -> Result<BTreeMap<String, Vec<ListOption>>, Failure> {
        let [title, codes, notes] = ["title", "codes", "notes"].map(|name| present(columns, name));
        let sql = format!(
            "SELECT list_id, option_id, {title}, {codes}, {notes} FROM list_options WHERE list_id IN ({}) \
             ORDER BY list_id, option_id",
            placeholders(lists.len())
        );
        let parameters: Vec<Value> = lists.iter().copied().map(Value::from).collect();
        let mut options: BTreeMap<String, Vec<ListOption>> = BTreeMap::new();
        for row in self.rows("list_options", &sql, &parameters, ROWS_MAX)?.unwrap_or_default() {
            if let [list, id, title, codes, notes] = row.as_slice()
                && let (Some(list), Some(id)) = (list.as_text(), id.as_text())
                && let Some(known) = lists.iter().find(|known| known.eq_ignore_ascii_case(list))
            {
                let codes = [codes, notes].map(|codes| codes.as_text().unwrap_or_default());
                let option = ListOption::new(id, title.as_text().unwrap_or_default(), &codes);
                options.entry((*known).to_owned()).or_default().push(option);
            }
        }
        Ok(options)
    }
}

/// A column where the table has it, and nothing in its place where it does not.
fn present<'a>(columns: &BTreeMap<String, Column>, name: &'a str) -> &'a str {
    if columns.contains_key(name) { name } else { "''" }
}

/// Version, form and lists make the adapter wiser, but it can work without them.
fn can_do_without(kind: DatabaseErrorKind) -> bool {
    matches!(kind, DatabaseErrorKind::MissingObject | DatabaseErrorKind::PermissionDenied | DatabaseErrorKind::Refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declared_length_is_read_for_text_only() {
        for (declared, expected) in [
            ("varchar(255)", Some(255)),
            ("char( 3 )", Some(3)),
            ("decimal(10,2)", None),
            ("text", None),
            ("bigint(20)", None),
        ] {
            assert_eq!(declared_length(declared), expected, "{declared}");
        }
        assert_eq!(["decimal(12,6)", "decimal(6, 2)", "bigint(20)"].map(declared_decimals), [Some(6), Some(2), None]);
    }
}
