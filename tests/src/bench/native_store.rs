//! The native baseline's side of the store: the same set-based statements as the host's, written by hand. No retries,
//! no failures, no sandbox, no lease that anyone could lose: what a program would do that only ever succeeds.

use anyhow::{Result, bail};

use super::connection::{Connection, Dialect, Value};

/// The target's name in the store.
pub(crate) const TARGET: &str = "openemr";

/// One change under a lease.
pub(crate) struct Change {
    pub(crate) id: i64,
    pub(crate) patient_id: String,
    pub(crate) payload: String,
    pub(crate) remote_id: Option<String>,
}

/// A confirmed change.
pub(crate) struct Confirmed {
    pub(crate) id: i64,
    pub(crate) patient_id: String,
    pub(crate) remote_id: i64,
    pub(crate) fingerprint: String,
}

pub(crate) fn now(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)",
        Dialect::MySql => "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)",
        Dialect::Postgres => "CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)",
    }
}

fn skip_locked(dialect: Dialect) -> &'static str {
    if dialect == Dialect::Sqlite { "" } else { " FOR UPDATE SKIP LOCKED" }
}

/// `column` is among these ids, with the parameters for it.
fn among(dialect: Dialect, column: &str, ids: &[i64]) -> (String, Vec<Value>) {
    let listed = ids.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
    match dialect {
        Dialect::Sqlite => {
            (format!("{column} IN (SELECT value FROM json_each(?))"), vec![format!("[{listed}]").into()])
        }
        Dialect::MySql => {
            let marks = vec!["?"; ids.len()].join(", ");
            (format!("{column} IN ({marks})"), ids.iter().map(|id| Value::Integer(*id)).collect())
        }
        Dialect::Postgres => {
            (format!("{column} = ANY(CAST(CAST(? AS TEXT) AS BIGINT[]))"), vec![format!("{{{listed}}}").into()])
        }
    }
}

/// Puts up to `batch` new changes directly under a lease, and reads what they carry.
pub(crate) async fn take(store: &mut Connection, batch: usize) -> Result<Option<(i64, Vec<Change>)>> {
    let dialect = store.dialect();
    let now = now(dialect);
    let look = "SELECT id FROM sync_outbox WHERE routed_at IS NULL ORDER BY id LIMIT ";
    if store.rows(&format!("{look}1"), &[]).await?.is_empty() {
        return Ok(None);
    }
    store.begin().await?;
    let rows = store.rows(&format!("{look}{batch}{}", skip_locked(dialect)), &[]).await?;
    if rows.is_empty() {
        store.commit().await?;
        return Ok(None);
    }
    let ids: Vec<_> = rows.iter().map(|row| row[0].integer()).collect();
    let lease_id = lease(store, now).await?;
    let (condition, parameters) = among(dialect, "id", &ids);
    let with_lease_id: Vec<_> = std::iter::once(lease_id.into()).chain(parameters.iter().cloned()).collect();
    store
        .execute(
            &format!(
                "INSERT INTO sync_in_flight (target, aggregate_type, aggregate_id, outbox_id, lease_id) \
                 SELECT '{TARGET}', aggregate_type, aggregate_id, id, ? FROM sync_outbox WHERE {condition}"
            ),
            &with_lease_id,
        )
        .await?;
    store.execute(&format!("UPDATE sync_outbox SET routed_at = {now} WHERE {condition}"), &parameters).await?;
    store.commit().await?;
    Ok(Some((lease_id, load(store, &ids).await?)))
}

async fn lease(store: &mut Connection, now: &str) -> Result<i64> {
    let lease = format!(
        "INSERT INTO sync_lease (target, owner, acquired_at, lease_until) \
         VALUES ('{TARGET}', 'native', {now}, {now} + 30000)"
    );
    let lease_id = if store.dialect() == Dialect::MySql {
        store.execute(&lease, &[]).await?;
        store.rows("SELECT LAST_INSERT_ID()", &[]).await?
    } else {
        store.rows(&format!("{lease} RETURNING lease_id"), &[]).await?
    };
    Ok(lease_id[0][0].integer())
}

async fn load(store: &mut Connection, ids: &[i64]) -> Result<Vec<Change>> {
    let (condition, parameters) = among(store.dialect(), "o.id", ids);
    let link = "l.target = 'openemr' AND l.aggregate_type = o.aggregate_type AND l.aggregate_id = o.aggregate_id";
    let join = if store.dialect() == Dialect::Postgres {
        format!("LEFT JOIN LATERAL (SELECT l.remote_id FROM sync_link l WHERE {link} OFFSET 0) l ON TRUE")
    } else {
        format!("LEFT JOIN sync_link l ON {link}")
    };
    let sql =
        format!("SELECT o.id, o.aggregate_id, o.payload, l.remote_id FROM sync_outbox o {join} WHERE {condition}");
    let rows = store.rows(&sql, &parameters).await?;
    Ok(rows
        .into_iter()
        .map(|row| Change {
            id: row[0].integer(),
            patient_id: row[1].text().to_owned(),
            payload: row[2].text().to_owned(),
            remote_id: Some(row[3].text().to_owned()).filter(|id| !id.is_empty()),
        })
        .collect())
}

/// Renews the lease once more, before the target's commit.
pub(crate) async fn fence(store: &mut Connection, lease_id: i64) -> Result<()> {
    let sql = format!("UPDATE sync_lease SET lease_until = {} + 30000 WHERE lease_id = ?", now(store.dialect()));
    store.execute(&sql, &[lease_id.into()]).await.map(drop)
}

/// Writes down what the target confirmed.
pub(crate) async fn settle(store: &mut Connection, lease_id: i64, confirmed: &[Confirmed]) -> Result<()> {
    let dialect = store.dialect();
    let now = now(dialect);
    store.begin().await?;
    store.execute("DELETE FROM sync_lease WHERE lease_id = ?", &[lease_id.into()]).await?;
    store.execute("DELETE FROM sync_in_flight WHERE lease_id = ?", &[lease_id.into()]).await?;
    let ids: Vec<_> = confirmed.iter().map(|one| one.id).collect();
    let (condition, parameters) = among(dialect, "id", &ids);
    let made = store
        .execute(
            &format!(
                "INSERT INTO sync_delivery (target, outbox_id, aggregate_type, aggregate_id, status, attempts, created_at, \
                 finished_at) SELECT '{TARGET}', id, aggregate_type, aggregate_id, 'done', 1, routed_at, {now} \
                 FROM sync_outbox WHERE {condition}"
            ),
            &parameters,
        )
        .await?;
    if usize::try_from(made) != Ok(ids.len()) {
        bail!("made {made} of {}", ids.len());
    }
    let rows: Vec<_> = confirmed
        .iter()
        .map(|one| {
            serde_json::json!({"o": one.id, "p": one.patient_id, "r": one.remote_id.to_string(), "f": one.fingerprint})
        })
        .collect();
    let rows = Value::Text(serde_json::Value::Array(rows).to_string());
    store.execute(&links(dialect, now), std::slice::from_ref(&rows)).await?;
    store.execute(&write_back(dialect), &[rows]).await?;
    store.commit().await
}

fn table(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => {
            "(SELECT value->>'o' AS o, value->>'p' AS p, value->>'r' AS r, value->>'f' AS f FROM json_each(?)) AS j"
        }
        Dialect::MySql => {
            "JSON_TABLE(?, '$[*]' COLUMNS(o BIGINT PATH '$.o', \
             p VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.p', \
             r VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.r', \
             f VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PATH '$.f')) AS j"
        }
        Dialect::Postgres => {
            "jsonb_to_recordset(CAST(CAST(? AS TEXT) AS JSONB)) AS j(o BIGINT, p TEXT, r TEXT, f TEXT)"
        }
    }
}

fn links(dialect: Dialect, now: &str) -> String {
    let tail = match dialect {
        Dialect::MySql => {
            "ON DUPLICATE KEY UPDATE remote_id = VALUES(remote_id), fingerprint = VALUES(fingerprint), \
             delivered_outbox_id = VALUES(delivered_outbox_id), synced_at = VALUES(synced_at)"
        }
        Dialect::Sqlite | Dialect::Postgres => {
            "WHERE TRUE ON CONFLICT (target, aggregate_type, aggregate_id) DO UPDATE SET remote_id = excluded.remote_id, \
             fingerprint = excluded.fingerprint, delivered_outbox_id = excluded.delivered_outbox_id, \
             synced_at = excluded.synced_at"
        }
    };
    format!(
        "INSERT INTO sync_link (target, aggregate_type, aggregate_id, remote_id, fingerprint, delivered_outbox_id, \
         synced_at) SELECT '{TARGET}', 'patient', j.p, j.r, j.f, j.o, {now} FROM {} {tail}",
        table(dialect)
    )
}

fn write_back(dialect: Dialect) -> String {
    let table = table(dialect);
    match dialect {
        Dialect::MySql => format!(
            "UPDATE {table} STRAIGHT_JOIN patient_cache t FORCE INDEX (PRIMARY) ON t.patient_id = j.p \
             AND (t.openemr_patient_id IS NULL OR t.openemr_patient_id <> CAST(j.r AS SIGNED)) \
             SET t.openemr_patient_id = CAST(j.r AS SIGNED), t.id_padding = NULL"
        ),
        Dialect::Sqlite | Dialect::Postgres => format!(
            "UPDATE patient_cache AS t SET openemr_patient_id = CAST(j.r AS BIGINT) FROM {table} \
             WHERE t.patient_id = j.p AND (t.openemr_patient_id IS NULL OR t.openemr_patient_id <> CAST(j.r AS BIGINT))"
        ),
    }
}
