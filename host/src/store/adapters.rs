//! Adapters as the store knows them: which one is in force at each target, their bytes, and what happened to them.
//!
//! Every host on a store uses the adapter that stands here, also one that was put in force by another host: the bytes are
//! here too, in pieces. What is read back is checked against its digest by whoever loads it.

use super::sql::upsert;
use super::{Reader, Store, StoreError, StoreTransaction, corrupt};
use crate::database::{Value, rerun};
use crate::vocabulary;

/// Bytes in one piece: well below what any server takes in one packet by default.
const PART_BYTES: usize = 512 * 1024;

/// So many different adapters of a target are kept, the one in force included.
const KEPT_MAX: usize = 5;

vocabulary! {
    /// What happened to an adapter.
    pub enum AdapterEvent {
        /// It was put in force.
        InForce = "in-force",
        /// It was tried and not taken; the one before went on.
        Refused = "refused",
        /// The one before was put in force in its place.
        RolledBack = "rolled-back",
    }
}

/// Which adapter, and what became of it.
#[derive(Clone, Debug)]
pub struct AdapterNews<'a> {
    /// At which target.
    pub target: &'a str,
    /// Its own name.
    pub name: &'a str,
    /// Its own version.
    pub version: &'a str,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: &'a str,
    /// Why, for people; what the host says, with no personal data.
    pub reason: Option<&'a str>,
    /// Which host says so.
    pub host: &'a str,
}

/// One line of a target's history.
#[derive(Clone, Debug, serde::Serialize)]
#[allow(missing_docs)]
pub struct AdapterRecord {
    pub target: String,
    pub sha256: String,
    pub name: Option<String>,
    pub version: Option<String>,
    pub event: AdapterEvent,
    pub reason: Option<String>,
    pub host: Option<String>,
    /// Milliseconds since 1970-01-01 UTC.
    pub at: i64,
}

/// What a host is to do about a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetWish {
    /// A person has paused it.
    pub paused: bool,
    /// The adapter that all hosts use, by digest.
    pub adapter_sha256: Option<String>,
    /// The adapter that was rolled back and is not taken from a file again.
    pub rejected_sha256: Option<String>,
    /// How often a person asked to look at the file again.
    pub reload_requests: i64,
    /// How often a person asked to look at the target now.
    pub probe_requests: i64,
}

impl Store {
    /// What is wanted of a target, in one look.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn target_wish(&self, target: &str) -> Result<TargetWish, StoreError> {
        let what = "read what is wanted of a target";
        let mut transaction = self.begin_read(what).await?;
        let sql = "SELECT t.paused, t.adapter_sha256, w.rejected_sha256, w.reload_requests, t.probe_requests FROM sync_target t \
                   LEFT JOIN sync_adapter_wish w ON w.target = t.name WHERE t.name = :target";
        let rows = transaction.query(sql, &[("target", target.into())]).await?;
        transaction.rollback().await?;
        let Some(row) = rows.rows.into_iter().next() else { return Ok(TargetWish::default()) };
        let mut reader = Reader::new(what, row);
        Ok(TargetWish {
            paused: reader.integer()? != 0,
            adapter_sha256: reader.optional_text()?,
            rejected_sha256: reader.optional_text()?,
            reload_requests: reader.optional_integer()?.unwrap_or_default(),
            probe_requests: reader.integer()?,
        })
    }

    /// Records that an adapter is in force, with its bytes; nothing is written when it is already. A person's rollback is
    /// over with it.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn put_adapter_in_force(&self, news: &AdapterNews<'_>, bytes: &[u8]) -> Result<(), StoreError> {
        self.keep_adapter(news.sha256, bytes).await?;
        rerun("put adapter in force", || async {
            let mut transaction = self.begin(&format!("record the adapter of target `{}`", news.target)).await?;
            if transaction.take_into_force(news).await? {
                transaction.note_adapter(AdapterEvent::InForce, news).await?;
                transaction.reject(news.target, None).await?;
            }
            transaction.commit().await
        })
        .await?;
        self.forget_old_adapters(news.target).await
    }

    /// Puts the adapter of `news` in force in the place of `from`, which is not taken from a file again until a person asks
    /// for it. `false` when `from` is no longer in force: somebody has decided meanwhile.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn roll_adapter_back(&self, from: &str, news: &AdapterNews<'_>) -> Result<bool, StoreError> {
        rerun("roll adapter back", || async {
            let mut transaction = self.begin(&format!("roll back the adapter of target `{}`", news.target)).await?;
            let sql = "SELECT 1 FROM sync_target WHERE name = :target AND adapter_sha256 = :from";
            let values = [("target", news.target.into()), ("from", from.into())];
            if transaction.query(sql, &values).await?.rows.is_empty() || !transaction.take_into_force(news).await? {
                transaction.rollback().await?;
                return Ok(false);
            }
            transaction.note_adapter(AdapterEvent::RolledBack, news).await?;
            transaction.reject(news.target, Some(from)).await?;
            transaction.commit().await?;
            Ok(true)
        })
        .await
    }

    /// Records that an adapter was tried and refused.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn note_refused_adapter(&self, news: &AdapterNews<'_>) -> Result<(), StoreError> {
        rerun("note refused adapter", || async {
            let mut transaction = self.begin("note that an adapter was refused").await?;
            transaction.note_adapter(AdapterEvent::Refused, news).await?;
            transaction.commit().await
        })
        .await
    }

    /// What happened to a target's adapters (or to all), newest first; at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn adapter_history(&self, target: Option<&str>, limit: u32) -> Result<Vec<AdapterRecord>, StoreError> {
        let what = "read the history of adapters";
        let mut transaction = self.begin_read(what).await?;
        let condition = if target.is_some() { "WHERE target = :target" } else { "" };
        let values: Vec<(&str, Value)> = target.map(|target| ("target", target.into())).into_iter().collect();
        let sql = format!(
            "SELECT target, sha256, name, version, event, reason, host, at FROM sync_adapter_event {condition} \
             ORDER BY id DESC LIMIT {limit}"
        );
        let rows = transaction.query(&sql, &values).await?;
        transaction.rollback().await?;
        rows.rows
            .into_iter()
            .map(|row| {
                let mut reader = Reader::new(what, row);
                Ok(AdapterRecord {
                    target: reader.text()?,
                    sha256: reader.text()?,
                    name: reader.optional_text()?,
                    version: reader.optional_text()?,
                    event: AdapterEvent::from_word(&reader.text()?).ok_or_else(|| corrupt(what, "an unknown event"))?,
                    reason: reader.optional_text()?,
                    host: reader.optional_text()?,
                    at: reader.integer()?,
                })
            })
            .collect()
    }

    /// Asks every host to look at a target's adapter file again, also when it holds one that was rolled back.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn request_reload(&self, target: &str) -> Result<(), StoreError> {
        rerun("request reload", || async {
            let mut transaction = self.begin(&format!("ask for a reload of target `{target}`")).await?;
            transaction.reject(target, None).await?;
            let sql = "UPDATE sync_adapter_wish SET reload_requests = reload_requests + 1 WHERE target = :target";
            transaction.execute(sql, &[("target", target.into())]).await?;
            transaction.commit().await
        })
        .await
    }

    /// The bytes of an adapter that is or was in force; `None` when they are not here or not whole.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn adapter_bytes(&self, sha256: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let what = "read an adapter";
        let mut transaction = self.begin_read(what).await?;
        let sql = "SELECT part, parts, bytes FROM sync_adapter_part WHERE sha256 = :sha256 ORDER BY part";
        let rows = transaction.query(sql, &[("sha256", sha256.into())]).await?.rows;
        transaction.rollback().await?;
        let mut bytes = Vec::new();
        let (mut read, mut parts) = (0, 0);
        for row in rows {
            let mut reader = Reader::new(what, row);
            let part = reader.integer()?;
            parts = reader.integer()?;
            match reader.next()? {
                Value::Bytes(piece) if part == read => bytes.extend(piece),
                _ => return Ok(None),
            }
            read += 1;
        }
        Ok((read > 0 && read == parts).then_some(bytes))
    }

    async fn keep_adapter(&self, sha256: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let what = "keep an adapter";
        let mut look = self.begin_read(what).await?;
        let sql = "SELECT COUNT(*) FROM sync_adapter_part WHERE sha256 = :sha256";
        let rows = look.query(sql, &[("sha256", sha256.into())]).await?.rows;
        look.rollback().await?;
        let parts = i64::try_from(bytes.len().div_ceil(PART_BYTES)).unwrap_or(i64::MAX);
        let kept = rows.first().and_then(|row| row.first()).and_then(Value::as_i64);
        if kept == Some(parts) {
            return Ok(());
        }
        for (part, piece) in (0_i64..).zip(bytes.chunks(PART_BYTES)) {
            rerun(what, || async {
                let mut transaction = self.begin(what).await?;
                let sql = format!(
                    "INSERT INTO sync_adapter_part (sha256, part, parts, bytes) VALUES (:sha256, :part, :parts, :bytes){}",
                    upsert(transaction.dialect(), "sha256, part", &["parts"])
                );
                let values = [
                    ("sha256", sha256.into()),
                    ("part", part.into()),
                    ("parts", parts.into()),
                    ("bytes", Value::Bytes(piece.to_vec())),
                ];
                transaction.execute(&sql, &values).await?;
                transaction.commit().await
            })
            .await?;
        }
        Ok(())
    }

    /// Lets the bytes go that no target may want back.
    async fn forget_old_adapters(&self, target: &str) -> Result<(), StoreError> {
        let mut seen: Vec<String> = Vec::new();
        for record in self.adapter_history(Some(target), 200).await? {
            if record.event != AdapterEvent::Refused && !seen.contains(&record.sha256) {
                seen.push(record.sha256);
            }
        }
        for sha256 in seen.into_iter().skip(KEPT_MAX) {
            rerun("forget old adapter", || async {
                let mut transaction = self.begin("forget an old adapter").await?;
                let sql = "DELETE FROM sync_adapter_part WHERE sha256 = :sha256 \
                           AND NOT EXISTS (SELECT 1 FROM sync_target WHERE adapter_sha256 = :sha256)";
                transaction.execute(sql, &[("sha256", sha256.as_str().into())]).await?;
                transaction.commit().await
            })
            .await?;
        }
        Ok(())
    }
}

impl StoreTransaction {
    /// `false` when it was in force already.
    async fn take_into_force(&mut self, news: &AdapterNews<'_>) -> Result<bool, StoreError> {
        let values = [
            ("name", news.name.into()),
            ("version", news.version.into()),
            ("sha256", news.sha256.into()),
            ("target", news.target.into()),
        ];
        // In two statements, since MySQL would read the new digest in the second assignment of one.
        let remember = "UPDATE sync_target SET previous_sha256 = adapter_sha256 \
                        WHERE name = :target AND adapter_sha256 <> :sha256";
        self.execute(remember, &values).await?;
        let sql = "UPDATE sync_target SET adapter_name = :name, adapter_version = :version, adapter_sha256 = :sha256 \
                   WHERE name = :target AND (adapter_sha256 IS NULL OR adapter_sha256 <> :sha256)";
        Ok(self.execute(sql, &values).await?.rows_affected == 1)
    }

    async fn note_adapter(&mut self, event: AdapterEvent, news: &AdapterNews<'_>) -> Result<(), StoreError> {
        let sql = format!(
            "INSERT INTO sync_adapter_event (target, sha256, name, version, event, reason, host, at) \
             VALUES (:target, :sha256, :name, :version, :event, :reason, :host, {})",
            self.now
        );
        let values = [
            ("target", news.target.into()),
            ("sha256", news.sha256.into()),
            ("name", news.name.into()),
            ("version", news.version.into()),
            ("event", event.as_str().into()),
            ("reason", Value::from(news.reason)),
            ("host", news.host.into()),
        ];
        self.execute(&sql, &values).await.map(drop)
    }

    async fn reject(&mut self, target: &str, sha256: Option<&str>) -> Result<(), StoreError> {
        let sql = format!(
            "INSERT INTO sync_adapter_wish (target, rejected_sha256) VALUES (:target, :sha256){}",
            upsert(self.dialect(), "target", &["rejected_sha256"])
        );
        self.execute(&sql, &[("target", target.into()), ("sha256", Value::from(sha256))]).await.map(drop)
    }
}
