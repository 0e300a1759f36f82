//! What the database reports of the store itself: migrations, tables, columns, indexes, sizes, and how it plans the
//! statements of every batch. For whoever helps from afar; it reads no row of a table of ours but the migrations'.
//!
//! The catalogues of the three databases have nothing in common, so these statements are here and not in `sql/`.

use std::collections::{BTreeMap, BTreeSet};

use super::schema::schema;
use super::sql::Bound;
use super::{RowReader, Store, StoreError, failed, ours, users_table};
use crate::database::{Dialect, Value};

/// Rows of an SQLite table that are counted: it keeps no estimate.
const ROWS_COUNTED: i64 = 1_000_000;

/// The statements whose plans decide how quickly a host routes, claims, settles and purges.
const HOT: &[&str] = &[
    "has_unrouted",
    "unrouted",
    "direct_candidates",
    "mark_routed",
    "claim_due",
    "mark_superseded",
    "mark_processing",
    "read_batch",
    "renew_lease",
    "end_lease",
    "end_in_flight",
    "mark_done",
    "update_each",
    "ready_dependents",
    "next_waiting",
    "expired_leases",
    "requeue_in_flight",
    "oldest_pending",
    "recent_attempts",
    "old_deliveries",
    "old_changes",
    "old_attempts",
];

/// A migration that the store has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedMigration {
    pub version: i64,
    /// Whether this host has the same one; `None` when it has none of this version.
    pub is_same: Option<bool>,
}

/// A column, as the database's catalogue has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InspectedColumn {
    pub name: String,
    pub kind: String,
    pub is_nullable: bool,
}

/// An index, as the database's catalogue has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InspectedIndex {
    pub name: String,
    pub is_unique: bool,
    /// Separated by commas; empty for an expression.
    pub columns: String,
}

/// A table of the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InspectedTable {
    /// Empty when the database has no such table.
    pub columns: Vec<InspectedColumn>,
    pub indexes: Vec<InspectedIndex>,
}

/// How large a table is, as far as the database tells without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSize {
    pub table: String,
    /// An estimate; on SQLite counted, up to a million.
    pub rows: i64,
    /// With its indexes; `None` on SQLite.
    pub bytes: Option<i64>,
}

/// How the database runs a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryPlan {
    /// The name of its template.
    pub statement: &'static str,
    /// The database's own lines; or why there are none.
    pub lines: Result<Vec<String>, String>,
}

impl Store {
    /// The migrations that the store has, in order.
    ///
    /// # Errors
    /// When the store cannot be reached, or has none.
    pub async fn applied_migrations(&self) -> Result<Vec<AppliedMigration>, StoreError> {
        let rows = self.inspect("SELECT version, sha256 FROM schema_migration ORDER BY version").await?;
        let known = schema(self.database.dialect());
        let read = rows.into_iter().map(|row| {
            let mut reader = RowReader::new(OPERATION, row);
            let (version, digest) = (reader.integer()?, reader.text()?);
            let own = known.migrations.iter().find(|migration| migration.version == version);
            Ok(AppliedMigration { version, is_same: own.map(|own| own.digest() == digest) })
        });
        read.collect()
    }

    /// The store's tables by their names, those that are missing included. Tables of other programs are left out.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn inspect_tables(&self) -> Result<BTreeMap<String, InspectedTable>, StoreError> {
        let mut tables: BTreeMap<_, _> =
            self.own_tables().into_iter().map(|name| (name, InspectedTable::default())).collect();
        let (columns, indexes) = catalogue(self.database.dialect());
        for row in self.inspect(columns).await? {
            let mut reader = RowReader::new(OPERATION, row);
            let (table, name) = (reader.text()?, reader.text()?);
            let column = InspectedColumn { name, kind: reader.text()?, is_nullable: reader.integer()? == 1 };
            tables.entry(table).and_modify(|table| table.columns.push(column));
        }
        for row in self.inspect(indexes).await? {
            let mut reader = RowReader::new(OPERATION, row);
            let (table, name, is_unique) = (reader.text()?, reader.text()?, reader.integer()? == 1);
            let index = InspectedIndex { name, is_unique, columns: reader.optional_text()?.unwrap_or_default() };
            tables.entry(table).and_modify(|table| table.indexes.push(index));
        }
        Ok(tables)
    }

    /// The sizes of the store's tables.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn table_sizes(&self) -> Result<Vec<TableSize>, StoreError> {
        let own = self.own_tables();
        let rows = match self.database.dialect() {
            Dialect::Sqlite => return self.sqlite_sizes(&own).await,
            Dialect::MySql => self.inspect(MYSQL_SIZES).await?,
            Dialect::Postgres => self.inspect(POSTGRES_SIZES).await?,
        };
        let mut sizes = Vec::new();
        for row in rows {
            let mut reader = RowReader::new(OPERATION, row);
            let (table, rows) = (reader.text()?, reader.optional_integer()?.unwrap_or_default());
            let bytes = reader.optional_integer()?;
            if own.contains(&table) {
                sizes.push(TableSize { table, rows, bytes });
            }
        }
        Ok(sizes)
    }

    async fn sqlite_sizes(&self, own: &BTreeSet<String>) -> Result<Vec<TableSize>, StoreError> {
        let mut sizes = Vec::new();
        for table in own {
            let quoted = Dialect::Sqlite.quoted(table);
            let sql = format!("SELECT COUNT(*) FROM (SELECT 1 FROM {quoted} LIMIT {ROWS_COUNTED})");
            // A table that is missing has no size; `inspect_tables` names it.
            let Ok(rows) = self.inspect(&sql).await else { continue };
            let rows = rows.into_iter().flatten().next().and_then(|value| value.as_i64()).unwrap_or_default();
            sizes.push(TableSize { table: table.clone(), rows, bytes: None });
        }
        Ok(sizes)
    }

    /// How the database runs the statements that every batch needs. They are planned with empty values and not run.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn query_plans(&self) -> Result<Vec<QueryPlan>, StoreError> {
        let statements = self.statements(OPERATION).await?;
        let explain = match self.database.dialect() {
            Dialect::Sqlite => "EXPLAIN QUERY PLAN",
            Dialect::MySql | Dialect::Postgres => "EXPLAIN",
        };
        let mut plans = Vec::new();
        for statement in HOT.iter().copied() {
            let Some(Bound { sql, values }) = statements.example(statement) else { continue };
            let planned = self.database.query_alone(&format!("{explain} {sql}").into(), &values).await;
            let lines = match planned {
                Ok(rows) => Ok(rows.rows.into_iter().map(line).collect()),
                Err(error) if error.is_unavailable() => return Err(failed(OPERATION, error)),
                Err(error) => Err(error.message),
            };
            plans.push(QueryPlan { statement, lines });
        }
        Ok(plans)
    }

    /// The tables that the migrations make, the users' by the name that it has here.
    fn own_tables(&self) -> BTreeSet<String> {
        let dialect = self.database.dialect();
        let files = schema(dialect).migrations.iter();
        let texts = files.map(|one| users_table::written(one.sql, dialect, &self.users_table));
        let mut names: BTreeSet<_> = texts.flat_map(|text| ours::table_names(&text).collect::<Vec<_>>()).collect();
        names.insert("schema_migration".to_owned());
        names
    }

    async fn inspect(&self, sql: &str) -> Result<Vec<Vec<Value>>, StoreError> {
        let rows = self.database.query_alone(&sql.into(), &[]).await;
        rows.map(|rows| rows.rows).map_err(|error| failed(OPERATION, error))
    }
}

const OPERATION: &str = "read what the database reports of the store";

/// The statements for columns (table, name, type, whether it takes NULL) and indexes (table, name, whether it is
/// unique, columns).
fn catalogue(dialect: Dialect) -> (&'static str, &'static str) {
    match dialect {
        Dialect::Sqlite => (
            "SELECT m.name, c.name, c.type, 1 - c.\"notnull\" FROM sqlite_master m JOIN pragma_table_info(m.name) c \
             WHERE m.type = 'table' ORDER BY m.name, c.cid",
            "SELECT m.name, i.name, i.\"unique\", \
             (SELECT group_concat(COALESCE(x.name, 'expression'), ',') FROM pragma_index_info(i.name) x) \
             FROM sqlite_master m JOIN pragma_index_list(m.name) i WHERE m.type = 'table' ORDER BY m.name, i.name",
        ),
        Dialect::MySql => (
            "SELECT CAST(table_name AS CHAR), CAST(column_name AS CHAR), CAST(data_type AS CHAR), \
             CASE WHEN is_nullable = 'YES' THEN 1 ELSE 0 END FROM information_schema.columns \
             WHERE table_schema = DATABASE() ORDER BY table_name, ordinal_position",
            "SELECT CAST(table_name AS CHAR), CAST(index_name AS CHAR), \
             CASE WHEN MIN(non_unique) = 0 THEN 1 ELSE 0 END, \
             CAST(GROUP_CONCAT(column_name ORDER BY seq_in_index) AS CHAR) FROM information_schema.statistics \
             WHERE table_schema = DATABASE() GROUP BY table_name, index_name ORDER BY table_name, index_name",
        ),
        Dialect::Postgres => (
            "SELECT CAST(table_name AS TEXT), CAST(column_name AS TEXT), CAST(data_type AS TEXT), \
             CASE WHEN is_nullable = 'YES' THEN 1 ELSE 0 END FROM information_schema.columns \
             WHERE table_schema = current_schema() ORDER BY table_name, ordinal_position",
            "SELECT CAST(t.relname AS TEXT), CAST(i.relname AS TEXT), CASE WHEN x.indisunique THEN 1 ELSE 0 END, \
             (SELECT string_agg(CAST(a.attname AS TEXT), ',' ORDER BY k.place) \
             FROM unnest(x.indkey) WITH ORDINALITY AS k (number, place) \
             JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.number) \
             FROM pg_index x JOIN pg_class t ON t.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid \
             JOIN pg_namespace n ON n.oid = t.relnamespace WHERE n.nspname = current_schema() ORDER BY 1, 2",
        ),
    }
}

const MYSQL_SIZES: &str = "SELECT CAST(table_name AS CHAR), CAST(table_rows AS SIGNED), \
    CAST(data_length + index_length AS SIGNED) FROM information_schema.tables \
    WHERE table_schema = DATABASE() ORDER BY table_name";

const POSTGRES_SIZES: &str = "SELECT CAST(t.relname AS TEXT), CAST(GREATEST(t.reltuples, 0) AS BIGINT), \
    pg_total_relation_size(t.oid) FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace \
    WHERE n.nspname = current_schema() AND t.relkind = 'r' ORDER BY t.relname";

/// A row of a plan as one line. A plan of empty values holds none.
fn line(row: Vec<Value>) -> String {
    let shown = row.into_iter().map(|value| match value {
        Value::I64(number) => number.to_string(),
        Value::U64(number) => number.to_string(),
        Value::F64(number) => number.to_string(),
        Value::Decimal(digits) => digits,
        Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        value => value.into_text().unwrap_or_else(|| "-".to_owned()),
    });
    shown.collect::<Vec<_>>().join(" | ")
}
