//! `sync_outbox`: what changed. Ours and other applications' rows alike wait here to be routed.

use std::collections::BTreeMap;

use serde::Serialize;

use super::bulk::{Insert, rows_in_blocks};
use super::claim::rows_value;
use super::counts::Counted;
use super::sql::{JsonType, among_ids, json_rows};
use super::{Reader, Store, StoreError, StoreTransaction};
use crate::database::{DatabaseError, ErrorKind, Value, rerun};
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
        self.route_on(routes, limit, &mut i64::MIN.clone()).await
    }

    /// As [`Store::route`], looking only behind the id `after`, which moves on with what was routed: rows that were routed
    /// leave dead entries in the index, and they would be walked over again and again. A smaller id may become visible
    /// later than a larger one, so that whoever calls this begins anew now and then.
    ///
    /// # Errors
    /// As [`Store::route`].
    pub async fn route_on(&self, routes: &[Route], limit: u32, after: &mut i64) -> Result<usize, StoreError> {
        if !self.has_unrouted(*after).await? {
            return Ok(0);
        }
        let waiting = rerun("route", || async {
            let mut transaction = self.begin("route changes").await?;
            let waiting = transaction.unrouted(*after, limit).await?;
            if waiting.is_empty() {
                transaction.rollback().await?;
                return Ok(waiting);
            }
            let ids: Vec<_> = waiting.iter().map(|waiting| waiting.id).collect();
            let made = transaction.make_deliveries(&ids, routes).await?;
            transaction.mark_routed(&ids).await?;
            transaction.count_made(&waiting, routes, made).await?;
            transaction.commit().await?;
            Ok::<_, StoreError>(waiting)
        })
        .await?;
        *after = waiting.last().map_or(*after, |last| last.id);
        Ok(waiting.len())
    }

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

/// An outbox row that nobody has routed yet.
struct Waiting {
    id: i64,
    aggregate_type: String,
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

    async fn unrouted(&mut self, after: i64, limit: u32) -> Result<Vec<Waiting>, StoreError> {
        let sql = format!(
            "SELECT id, aggregate_type FROM sync_outbox WHERE routed_at IS NULL AND id > :after ORDER BY id LIMIT {limit}{}",
            self.dialect().lock_free_rows()
        );
        let rows = self.query(&sql, &[("after", after.into())]).await?;
        let what = self.what.clone();
        let read = rows.rows.into_iter().map(|row| {
            let mut reader = Reader::new(&what, row);
            Ok(Waiting { id: reader.integer()?, aggregate_type: reader.text()? })
        });
        read.collect()
    }

    async fn make_deliveries(&mut self, ids: &[i64], routes: &[Route]) -> Result<u64, StoreError> {
        if routes.is_empty() {
            return Ok(0);
        }
        let targets = json_rows(self.dialect(), &[("target", JsonType::Text), ("aggregate_type", JsonType::Text)]);
        let known = KNOWN_OPERATION;
        let sql = format!(
            "INSERT INTO sync_delivery (target, outbox_id, aggregate_type, aggregate_id, status, next_attempt_at, \
             error_kind, error_message, created_at, finished_at) \
             SELECT j.target, o.id, o.aggregate_type, o.aggregate_id, \
             CASE WHEN {known} THEN 'pending' ELSE 'failed' END, {now}, \
             CASE WHEN {known} THEN NULL ELSE 'unsupported' END, \
             CASE WHEN {known} THEN NULL ELSE 'operation must be create, update or delete' END, {now}, \
             CASE WHEN {known} THEN NULL ELSE {now} END \
             FROM sync_outbox o JOIN {targets} ON j.aggregate_type = o.aggregate_type WHERE {among} \
             AND (SELECT COUNT(*) FROM sync_delivery d WHERE d.target = j.target AND d.outbox_id = o.id) = 0",
            now = self.now,
            among = among_ids(self.dialect(), "o.id"),
        );
        match self.execute_for(&sql, &[("rows", rows_value(routes))], ids).await {
            Ok(execution) => Ok(execution.rows_affected),
            // Another host at another node of a cluster has just routed the same: look again.
            Err(StoreError::Database { error, .. }) if error.kind == ErrorKind::DuplicateKey => {
                let error = DatabaseError::new(ErrorKind::Contention, "another host routed at the same time");
                Err(super::failed(&self.what, error))
            }
            Err(error) => Err(error),
        }
    }

    /// Counts the deliveries that were made. When fewer were than there are routes, some were there before: someone set
    /// `routed_at` back. Then the rows themselves are counted, however long that takes.
    async fn count_made(&mut self, waiting: &[Waiting], routes: &[Route], made: u64) -> Result<(), StoreError> {
        let mut expected = BTreeMap::<&str, i64>::new();
        for route in routes {
            let rows = waiting.iter().filter(|waiting| waiting.aggregate_type == route.aggregate_type).count();
            *expected.entry(&route.target).or_default() += i64::try_from(rows).unwrap_or(i64::MAX);
        }
        let all_are_new = i64::try_from(made) == Ok(expected.values().sum());
        for (target, expected) in expected {
            let made = if all_are_new { expected } else { self.uncounted(target).await? };
            self.count(target, Counted { made, ..Counted::default() }).await?;
        }
        Ok(())
    }

    async fn mark_routed(&mut self, ids: &[i64]) -> Result<(), StoreError> {
        let sql = format!(
            "UPDATE sync_outbox SET routed_at = {now} WHERE {among} AND COALESCE(routed_at, 0) = 0",
            now = self.now,
            among = among_ids(self.dialect(), "id"),
        );
        self.execute_for(&sql, &[], ids).await.map(drop)
    }

    /// How many changes wait to be routed.
    pub(super) async fn count_unrouted(&mut self) -> Result<i64, StoreError> {
        let rows = self.query("SELECT COUNT(*) FROM sync_outbox WHERE routed_at IS NULL", &[]).await?;
        Ok(rows.rows.first().and_then(|row| row.first()).and_then(Value::as_i64).unwrap_or_default())
    }
}
