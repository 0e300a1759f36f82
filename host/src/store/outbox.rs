//! `sync_outbox`: what changed. Ours and other applications' rows alike wait here to be routed (`routing.rs`).

use serde::Serialize;

use super::bulk::{Insert, rows_in_blocks};
use super::claim::rows_value;
use super::readable::{self, UNROUTED_COLUMNS, Unrouted};
use super::sql::{JsonType, among_ids, json_rows};
use super::{Store, StoreError, StoreTransaction};
use crate::database::{Dialect, Value};
use crate::domain::change::Operation;

/// A change to be written to the outbox.
#[derive(Clone, Debug)]
pub struct NewChange<'a> {
    /// For example `patient`.
    pub aggregate_type: &'a str,
    /// The application's id.
    pub aggregate_id: &'a str,
    /// What was done.
    pub operation: Operation,
    /// The full state as a JSON object.
    pub payload: &'a str,
}

impl Store {
    /// Whether anything waits to be routed: a look without a lock, which keeps an idle host from taking SQLite's only writer.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub(super) async fn has_unrouted(&self, after: i64) -> Result<bool, StoreError> {
        let sql = "SELECT id FROM sync_outbox WHERE routed_at IS NULL AND id > :after ORDER BY id LIMIT 1";
        let rows = self.query_alone("look for unrouted changes", sql, &[("after", after.into())], &[]).await?;
        Ok(!rows.rows.is_empty())
    }
}

#[derive(Serialize)]
struct AppendRow<'a> {
    position: usize,
    event_id: &'a str,
    aggregate_type: &'a str,
    aggregate_id: &'a str,
    operation: &'static str,
    payload: &'a str,
}

/// Changes that wait to be routed.
pub(super) struct WaitingChanges {
    pub(super) count: i64,
    /// There are at least [`COUNTED_MAX`], and ids are taken to follow each other closely.
    pub(super) is_estimate: bool,
    /// How long the oldest waits, in milliseconds.
    pub(super) oldest_ms: Option<i64>,
}

/// When a row of `sync_outbox` was written; NULL when that is in another unit or no number at all.
pub(super) const CREATED_AT: &str = "CASE WHEN created_at BETWEEN 946684800000 AND 4102444799999 THEN created_at END";

/// So many changes are counted one by one; counting a million takes longer than anybody waits for `host status`.
const COUNTED_MAX: i64 = 10_000;

/// Ids before the newest delivery among which a change may still wait that became visible late.
const LOOK_BACK: i64 = 5_000;

impl StoreTransaction {
    /// Writes changes, in the transaction that also changes their aggregates. Gives the ids of their events.
    pub(super) async fn append(&mut self, changes: &[NewChange<'_>]) -> Result<Vec<String>, StoreError> {
        let events: Vec<_> = changes.iter().map(|_| uuid::Uuid::now_v7().to_string()).collect();
        let in_blocks = rows_in_blocks(self.dialect(), changes.len());
        self.append_blocks(&changes[..in_blocks], &events).await?;
        let rows: Vec<_> = changes
            .iter()
            .zip(&events)
            .enumerate()
            .skip(in_blocks)
            .map(|(position, (change, event_id))| AppendRow {
                position,
                event_id,
                aggregate_type: change.aggregate_type,
                aggregate_id: change.aggregate_id,
                operation: change.operation.as_str(),
                payload: change.payload,
            })
            .collect();
        if rows.is_empty() {
            return Ok(events);
        }
        let columns = [
            ("position", JsonType::Integer),
            ("event_id", JsonType::Text),
            ("aggregate_type", JsonType::Text),
            ("aggregate_id", JsonType::Text),
            ("operation", JsonType::Text),
            ("payload", JsonType::LongText),
        ];
        let sql = format!(
            "INSERT INTO sync_outbox (event_id, aggregate_type, aggregate_id, operation, payload, created_at) \
             SELECT j.event_id, j.aggregate_type, j.aggregate_id, j.operation, j.payload, {} FROM {} ORDER BY j.position",
            self.now,
            json_rows(self.dialect(), &columns)
        );
        self.execute(&sql, &[("rows", rows_value(&rows))]).await?;
        Ok(events)
    }

    async fn append_blocks(&mut self, changes: &[NewChange<'_>], events: &[String]) -> Result<(), StoreError> {
        let now = self.now.clone();
        let insert = Insert {
            table: "sync_outbox",
            columns: &["event_id", "aggregate_type", "aggregate_id", "operation", "payload"],
            integers: &[],
            same: &[("created_at", &now)],
            tail: "",
        };
        let row = |(change, event_id): (&NewChange<'_>, &String)| {
            let texts =
                [event_id, change.aggregate_type, change.aggregate_id, change.operation.as_str(), change.payload];
            texts.into_iter().map(|text| Some(text.to_owned())).collect()
        };
        self.insert_blocks(&insert, changes.iter().zip(events).map(row).collect()).await
    }

    /// Up to `limit` changes behind `after` that nobody has routed yet, passing over those that another host routes now.
    pub(super) async fn unrouted(&mut self, after: i64, limit: u32) -> Result<Vec<Unrouted>, StoreError> {
        let sql = format!(
            "SELECT {UNROUTED_COLUMNS}, {payload_type} FROM sync_outbox o WHERE o.routed_at IS NULL AND o.id > :after \
             ORDER BY o.id LIMIT {limit}{lock}",
            payload_type = match self.dialect() {
                Dialect::Sqlite => "CASE typeof(o.payload) WHEN 'text' THEN NULL ELSE typeof(o.payload) END",
                Dialect::MySql | Dialect::Postgres => "NULL",
            },
            lock = self.dialect().lock_free_rows()
        );
        let rows = self.query(&sql, &[("after", after.into())]).await?;
        Ok(rows.rows.into_iter().map(readable::unrouted).collect())
    }

    /// Marks changes as routed, all of them or, when what is routed where is no longer of this revision, none. Gives how many.
    pub(super) async fn mark_routed(&mut self, ids: &[i64], revision: Option<i64>) -> Result<u64, StoreError> {
        let guard = match revision {
            Some(_) => " AND (SELECT COALESCE(SUM(t.route_revision), 0) FROM sync_target t) = :revision",
            None => "",
        };
        let sql = format!(
            "UPDATE sync_outbox SET routed_at = {now} WHERE {among} AND COALESCE(routed_at, 0) = 0{guard}",
            now = self.now,
            among = among_ids(self.dialect(), "id"),
        );
        let values = [("revision", revision.unwrap_or_default().into())];
        Ok(self.execute_for(&sql, &values, ids).await?.rows_affected)
    }

    /// What waits to be routed: counted as far as that is quick, and from there on estimated.
    pub(super) async fn waiting(&mut self) -> Result<WaitingChanges, StoreError> {
        let after = self.nearly_routed().await?;
        let unrouted = format!("FROM sync_outbox WHERE routed_at IS NULL AND id > {after}");
        let counted = format!("SELECT COUNT(*) FROM (SELECT 1 AS one {unrouted} LIMIT {}) n", COUNTED_MAX + 1);
        let counted = self.number(&counted, &[]).await?.unwrap_or_default();
        let age = format!("SELECT {} - {CREATED_AT} {unrouted} ORDER BY id LIMIT 1", self.now);
        let oldest_ms = self.number(&age, &[]).await?.map(|age| age.max(0));
        if counted <= COUNTED_MAX {
            return Ok(WaitingChanges { count: counted, is_estimate: false, oldest_ms });
        }
        let end = |order: &str| format!("(SELECT id {unrouted} ORDER BY id {order} LIMIT 1)");
        let between = self.number(&format!("SELECT {} - {} + 1", end("DESC"), end("ASC")), &[]).await?;
        Ok(WaitingChanges { count: between.unwrap_or_default().max(counted), is_estimate: true, oldest_ms })
    }

    /// An id below which nearly everything is routed. Whoever looks from the beginning walks over the dead entries of all that
    /// was routed and is not tidied up yet, which may be a million.
    async fn nearly_routed(&mut self) -> Result<i64, StoreError> {
        // In this form, since MySQL would walk over all of a target's deliveries to find their MAX.
        let newest =
            "SELECT d.outbox_id FROM sync_delivery d WHERE d.target = t.name ORDER BY d.outbox_id DESC LIMIT 1";
        let sql = format!("SELECT MAX(m.newest) FROM (SELECT ({newest}) AS newest FROM sync_target t) m");
        Ok(self.number(&sql, &[]).await?.map_or(0, |newest| newest - LOOK_BACK))
    }

    /// The one number that a query gives.
    pub(super) async fn number(&mut self, sql: &str, values: &[(&str, Value)]) -> Result<Option<i64>, StoreError> {
        let rows = self.query(sql, values).await?;
        Ok(rows.rows.first().and_then(|row| row.first()).and_then(Value::as_i64))
    }
}
