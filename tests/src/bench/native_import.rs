//! The native baseline of `host import`: one thread reads and picks the fields, one task writes, with the same
//! statements in chunks of the same size. No rules for the fields, no rejects, no resuming.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::Value as Json;
use sqlx::AssertSqlSafe;
use tokio::sync::mpsc;

use super::connection::{Connection, Dialect, Value};
use super::imports::Format;
use super::native_store::now;

/// Patients in one transaction, and in one statement of VALUES, as in the host.
const CHUNK: usize = 2_000;
const BLOCK: usize = 1_000;

/// The columns of a patient; the bench's files have the first eleven, as the CSV's header gives them.
const COLUMNS: [&str; 26] = [
    "patient_id",
    "family_name",
    "given_name",
    "birth_date",
    "gender",
    "native_family_name",
    "native_given_name",
    "phone_mobile",
    "street",
    "city",
    "country",
    "middle_name",
    "title",
    "suffix",
    "marital_status",
    "phone_home",
    "phone_work",
    "email",
    "street_line_2",
    "state",
    "postal_code",
    "language",
    "race",
    "ethnicity",
    "national_id",
    "deceased_date",
];

type Fields = Vec<Option<String>>;

/// Takes the whole file; how long that took.
pub(super) async fn import(store: &str, file: &Path, format: Format) -> Result<Duration> {
    let began = Instant::now();
    let (sender, mut chunks) = mpsc::channel(2);
    let path = file.to_owned();
    let reading = tokio::task::spawn_blocking(move || read(&path, format, &sender));
    let mut store = Connection::open(store).await?;
    while let Some(chunk) = chunks.recv().await {
        write(&mut store, chunk).await?;
    }
    reading.await??;
    Ok(began.elapsed())
}

fn read(path: &Path, format: Format, sender: &mpsc::Sender<Vec<Fields>>) -> Result<()> {
    let mut chunk = Vec::with_capacity(CHUNK);
    let lines = BufReader::with_capacity(256 << 10, File::open(path)?).lines();
    for line in lines.skip(usize::from(format == Format::Csv)) {
        let line = line?;
        let mut fields = match format {
            Format::Ndjson => of_resource(&line)?,
            Format::Csv => line.split(',').map(|field| Some(field.to_owned())).collect(),
        };
        fields.resize(COLUMNS.len(), None);
        chunk.push(fields);
        if chunk.len() == CHUNK {
            sender.blocking_send(std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK)))?;
        }
    }
    if !chunk.is_empty() {
        sender.blocking_send(chunk)?;
    }
    Ok(())
}

fn of_resource(line: &str) -> Result<Fields> {
    let patient: Json = serde_json::from_str(line)?;
    let text = |place: &str| patient.pointer(place).and_then(Json::as_str).map(str::to_owned);
    Ok([
        "/identifier/0/value",
        "/name/1/family",
        "/name/1/given/0",
        "/birthDate",
        "/gender",
        "/name/0/family",
        "/name/0/given/0",
        "/telecom/0/value",
        "/address/0/line/0",
        "/address/0/city",
        "/address/0/country",
    ]
    .map(text)
    .to_vec())
}

async fn write(store: &mut Connection, chunk: Vec<Fields>) -> Result<()> {
    let dialect = store.dialect();
    store.begin().await?;
    let ids: Vec<_> = chunk.iter().map(|fields| fields[0].clone()).collect();
    look(store, &ids).await?;
    let changes: Vec<_> = chunk.iter().map(change).collect();
    let now = now(dialect);
    let tail = match dialect {
        Dialect::MySql => " ON DUPLICATE KEY UPDATE family_name = VALUES(family_name)",
        Dialect::Sqlite | Dialect::Postgres => {
            " ON CONFLICT (patient_id) DO UPDATE SET family_name = excluded.family_name"
        }
    };
    insert(store, "patient_cache", &COLUMNS, &[("created_at", now), ("updated_at", now)], tail, chunk).await?;
    let columns = ["event_id", "aggregate_type", "aggregate_id", "operation", "payload"];
    insert(store, "sync_outbox", &columns, &[("created_at", now)], "", changes).await?;
    store.commit().await
}

/// Which of these are there already: none, but that has to be asked.
async fn look(store: &mut Connection, ids: &[Option<String>]) -> Result<()> {
    let columns = COLUMNS.join(", ");
    let list = Json::from(ids.to_vec()).to_string();
    let among = match store.dialect() {
        Dialect::Sqlite => "IN (SELECT value FROM json_each(?))",
        Dialect::MySql => {
            "IN (SELECT j.id FROM JSON_TABLE(?, '$[*]' COLUMNS(id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin \
             PATH '$')) AS j) FOR UPDATE"
        }
        Dialect::Postgres => {
            "= ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(CAST(? AS TEXT) AS JSONB)))) FOR UPDATE"
        }
    };
    let sql = format!("SELECT {columns} FROM patient_cache WHERE patient_id {among}");
    store.rows(&sql, &[list.into()]).await.map(drop)
}

/// The row of the outbox.
fn change(fields: &Fields) -> Fields {
    let payload: serde_json::Map<_, _> = COLUMNS
        .iter()
        .zip(fields)
        .filter_map(|(name, value)| value.as_ref().map(|value| ((*name).to_owned(), Json::from(value.as_str()))))
        .collect();
    vec![
        Some(event_id()),
        Some("patient".to_owned()),
        fields[0].clone(),
        Some("create".to_owned()),
        Some(Json::Object(payload).to_string()),
    ]
}

/// In the order of time, as the host's.
fn event_id() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static MADE: AtomicU64 = AtomicU64::new(0);
    format!("00000000-0000-7000-8000-{:012x}", MADE.fetch_add(1, Ordering::Relaxed))
}

async fn insert(
    store: &mut Connection,
    table: &str,
    columns: &[&str],
    same: &[(&str, &str)],
    tail: &str,
    rows: Vec<Fields>,
) -> Result<()> {
    let names = columns.iter().copied().chain(same.iter().map(|(name, _)| *name)).collect::<Vec<_>>().join(", ");
    let same = same.iter().fold(String::new(), |text, (_, sql)| text + ", " + sql);
    if let Connection::Postgres(connection) = store {
        let marks: Vec<_> = (1..=columns.len()).map(|at| format!("${at}::TEXT[]")).collect();
        let (marks, list) = (marks.join(", "), columns.join(", "));
        let sql = format!("INSERT INTO {table} ({names}) SELECT {list}{same} FROM unnest({marks}) AS j({list}){tail}");
        let mut turned: Vec<Fields> = columns.iter().map(|_| Vec::with_capacity(rows.len())).collect();
        for row in rows {
            for (column, value) in turned.iter_mut().zip(row) {
                column.push(value);
            }
        }
        let query = turned.into_iter().fold(sqlx::query(AssertSqlSafe(sql)), sqlx::query::Query::bind);
        return query.execute(connection).await.map(drop).with_context(|| format!("insert into {table}"));
    }
    for block in rows.chunks(BLOCK) {
        let row = format!("({}{same})", vec!["?"; columns.len()].join(", "));
        let sql = format!("INSERT INTO {table} ({names}) VALUES {}{tail}", vec![row; block.len()].join(", "));
        let values: Vec<_> = block
            .iter()
            .flatten()
            .map(|value| value.as_ref().map_or(Value::Null, |text| text.as_str().into()))
            .collect();
        store.execute(&sql, &values).await?;
    }
    Ok(())
}
