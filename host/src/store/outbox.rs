//! `sync_outbox`: what changed. Ours and other applications' rows alike wait here to be routed.

use serde::Serialize;

use super::bulk::{Insert, rows_in_blocks};
use super::claim::rows_value;
use super::sql::{JsonType, json_rows, keep_existing, select_for_upsert, update_from};
use super::{Reader, Store, StoreError, StoreTransaction};
use crate::database::{Dialect, Value, rerun};
use crate::domain::change::Operation;

/// Whether the outbox row `o` names an operation, to the letter: MySQL would compare without blanks at the end.
pub(super) const KNOWN_OPERATION: &str = "(o.operation || '.') IN ('create.', 'update.', 'delete.')";

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

/// Which target takes which type of aggregate.
#[derive(Clone, Debug, Serialize)]
pub struct Route {
    /// The target.
    pub target: String,
    /// The type.
    pub aggregate_type: String,
}

impl Store {
    /// Gives up to `limit` outbox rows that nobody has routed yet one delivery per target that takes them. A row that
    /// no target can ever take (an unknown operation) becomes a failed delivery, so that someone sees it. Any host may
    /// do it, at any time: a row is routed once. Gives the number of rows routed.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn route(&self, routes: &[Route], limit: u32) -> Result<usize, StoreError> {
        rerun("route", || async {
            if self.database.dialect() == Dialect::Sqlite {
                let mut look = self.begin_read("look for unrouted changes").await?;
                let waiting = look.unrouted(1).await?;
                look.rollback().await?;
                if waiting.is_empty() {
                    return Ok(0);
                }
            }
            let mut transaction = self.begin("route changes").await?;
            let waiting = transaction.unrouted(limit).await?;
            if waiting.is_empty() {
                transaction.rollback().await?;
                return Ok(0);
            }
            transaction.make_deliveries(&waiting, routes).await?;
            transaction.mark_routed(&waiting).await?;
            transaction.commit().await?;
            Ok(waiting.len())
        })
        .await
    }
}

impl Store {
    /// Lets PostgreSQL measure the tables that a burst of changes has filled: its own daemon does so a minute later, and
    /// until then it would read all that waits for every batch. The other databases need no such help.
    ///
    /// # Errors
    /// When the store cannot be reached or refuses.
    pub async fn refresh_statistics(&self) -> Result<(), StoreError> {
        if self.database.dialect() != Dialect::Postgres {
            return Ok(());
        }
        let mut transaction = self.begin("refresh the planner's statistics").await?;
        for table in ["sync_outbox", "sync_delivery", "sync_link"] {
            transaction.execute(&format!("ANALYZE {table}"), &[]).await?;
        }
        transaction.commit().await
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

#[derive(Serialize)]
struct Waiting {
    id: i64,
}

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

    async fn unrouted(&mut self, limit: u32) -> Result<Vec<Waiting>, StoreError> {
        let sql = format!(
            "SELECT id FROM sync_outbox WHERE routed_at IS NULL ORDER BY id LIMIT {limit}{}",
            self.dialect().lock_free_rows()
        );
        let rows = self.query(&sql, &[]).await?;
        let what = self.what.clone();
        rows.rows.into_iter().map(|row| Ok(Waiting { id: Reader::new(&what, row).integer()? })).collect()
    }

    async fn make_deliveries(&mut self, waiting: &[Waiting], routes: &[Route]) -> Result<(), StoreError> {
        if routes.is_empty() {
            return Ok(());
        }
        let ids = json_rows(self.dialect(), &[("id", JsonType::Integer)]);
        // A second JSON parameter, so that the routes are not multiplied by the rows on their way.
        let targets = json_rows(self.dialect(), &[("target", JsonType::Text), ("aggregate_type", JsonType::Text)])
            .replace(":rows", ":routes")
            .replace("AS j", "AS r");
        let known = KNOWN_OPERATION;
        let sql = format!(
            "INSERT INTO sync_delivery (target, outbox_id, aggregate_type, aggregate_id, status, next_attempt_at, \
             error_kind, error_message, created_at, finished_at) \
             SELECT r.target, o.id, o.aggregate_type, o.aggregate_id, \
             CASE WHEN {known} THEN 'pending' ELSE 'failed' END, {now}, \
             CASE WHEN {known} THEN NULL ELSE 'unsupported' END, \
             CASE WHEN {known} THEN NULL ELSE 'operation must be create, update or delete' END, {now}, \
             CASE WHEN {known} THEN NULL ELSE {now} END \
             FROM {ids} JOIN sync_outbox o ON o.id = j.id JOIN {targets} ON r.aggregate_type = o.aggregate_type\
             {tail}{keep}",
            now = self.now,
            tail = select_for_upsert(self.dialect()),
            keep = keep_existing(self.dialect(), "sync_delivery", "target, outbox_id"),
        );
        let values = [("rows", rows_value(waiting)), ("routes", rows_value(routes))];
        self.execute(&sql, &values).await.map(drop)
    }

    async fn mark_routed(&mut self, waiting: &[Waiting]) -> Result<(), StoreError> {
        let sql = update_from(
            self.dialect(),
            "sync_outbox",
            &[("routed_at", &self.now)],
            &json_rows(self.dialect(), &[("id", JsonType::Integer)]),
            "t.id = j.id AND t.routed_at IS NULL",
        );
        self.execute(&sql, &[("rows", rows_value(waiting))]).await.map(drop)
    }

    /// How many changes wait to be routed.
    pub(super) async fn count_unrouted(&mut self) -> Result<i64, StoreError> {
        let rows = self.query("SELECT COUNT(*) FROM sync_outbox WHERE routed_at IS NULL", &[]).await?;
        Ok(rows.rows.first().and_then(|row| row.first()).and_then(Value::as_i64).unwrap_or_default())
    }
}
