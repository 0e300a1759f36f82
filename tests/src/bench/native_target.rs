//! The native baseline's side of the target: OpenEMR's two tables, written with the same set-based statements as the
//! adapter's, with the same columns. It decides nothing about edits made there.

use anyhow::{Result, ensure};
use sha2::{Digest as _, Sha256};
use std::{collections::HashMap, fmt::Write as _};

use super::connection::{Connection, Dialect, Value};
use super::native_store::{Change, Confirmed};

/// The columns that the adapter owns, each with the payload's field.
const COLUMNS: [(&str, &str); 23] = [
    ("title", "title"),
    ("fname", "given_name"),
    ("mname", "middle_name"),
    ("lname", "family_name"),
    ("suffix", "suffix"),
    ("DOB", "birth_date"),
    ("sex", "gender"),
    ("status", "marital_status"),
    ("phone_home", "phone_home"),
    ("phone_biz", "phone_work"),
    ("phone_cell", "phone_mobile"),
    ("email", "email"),
    ("street", "street"),
    ("street_line_2", "street_line_2"),
    ("city", "city"),
    ("state", "state"),
    ("postal_code", "postal_code"),
    ("country_code", "country"),
    ("language", "language"),
    ("race", "race"),
    ("ethnicity", "ethnicity"),
    ("ss", "national_id"),
    ("deceased_date", "deceased_date"),
];

const LOCK: &str = "bench.patient_data.pid";

/// One patient as it goes into the table.
struct Record {
    uuid: Vec<u8>,
    values: Vec<Value>,
    fingerprint: String,
}

fn record(change: &Change) -> Result<Record> {
    let payload: serde_json::Value = serde_json::from_str(&change.payload)?;
    let mut digest = Sha256::new();
    let values = COLUMNS
        .iter()
        .map(|(column, field)| {
            let text = payload[*field].as_str().unwrap_or_default();
            digest.update(text);
            digest.update([0]);
            match *column {
                "DOB" | "deceased_date" if text.is_empty() => Value::Null,
                _ => Value::Text(text.to_owned()),
            }
        })
        .collect();
    let fingerprint = digest.finalize().iter().take(16).fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _written = write!(text, "{byte:02x}");
        text
    });
    let uuid = Sha256::digest(change.patient_id.as_bytes())[..16].to_vec();
    Ok(Record { uuid, values, fingerprint })
}

/// Writes the changes in the open transaction: those without a link are created, the others updated.
pub(crate) async fn apply(target: &mut Connection, changes: &[Change]) -> Result<Vec<Confirmed>> {
    let records = changes.iter().map(record).collect::<Result<Vec<_>>>()?;
    let marks = vec!["?"; records.len()].join(", ");
    let uuids: Vec<_> = records.iter().map(|record| Value::Bytes(record.uuid.clone())).collect();
    let names = COLUMNS.map(|(name, _)| format!("`{name}`")).join(", ");
    let found = target
        .rows(&format!("SELECT `pubpid`, `pid`, {names} FROM `patient_data` WHERE `uuid` IN ({marks})"), &uuids)
        .await?;
    let found: HashMap<_, _> = found.iter().map(|row| (row[0].text().to_owned(), row[1].integer())).collect();
    let (known, new): (Vec<_>, Vec<_>) =
        changes.iter().zip(&records).partition(|(change, _)| found.contains_key(&change.patient_id));
    let mut confirmed = Vec::with_capacity(changes.len());
    let confirm = |change: &Change, record: &Record, remote_id: i64| Confirmed {
        id: change.id,
        patient_id: change.patient_id.clone(),
        remote_id,
        fingerprint: record.fingerprint.clone(),
    };
    if !new.is_empty() {
        let first = create(target, &new, &names).await?;
        confirmed.extend(new.iter().zip(first..).map(|((change, record), pid)| confirm(change, record, pid)));
    }
    if !known.is_empty() {
        let records: Vec<_> = known.iter().map(|(_, record)| *record).collect();
        update(target, &records).await?;
        for (change, record) in known {
            let pid = found[&change.patient_id];
            ensure!(change.remote_id.as_ref().is_none_or(|id| *id == pid.to_string()), "another chart than linked");
            confirmed.push(confirm(change, record, pid));
        }
    }
    Ok(confirmed)
}

/// Gives the first of the pids.
async fn create(target: &mut Connection, new: &[(&Change, &Record)], names: &str) -> Result<i64> {
    let rows = |row: &str| vec![row; new.len()].join(", ");
    let uuids: Vec<_> = new.iter().map(|(_, record)| Value::Bytes(record.uuid.clone())).collect();
    let known = format!("SELECT `uuid` FROM `uuid_registry` WHERE `uuid` IN ({})", rows("?"));
    ensure!(target.rows(&known, &uuids).await?.is_empty(), "a uuid is registered and has no chart");
    let register = format!(
        "INSERT INTO `uuid_registry` (`uuid`, `table_name`, `table_id`, `table_vertical`, `couchdb`, `document_drive`, \
         `mapped`, `created`) VALUES {}",
        rows("(?, 'patient_data', 'id', '', '', 0, 0, CURRENT_TIMESTAMP)")
    );
    target.execute(&register, &uuids).await?;
    if target.dialect() == Dialect::MySql {
        target.rows("SELECT GET_LOCK(?, 30)", &[LOCK.into()]).await?;
    }
    let highest = target.rows("SELECT COALESCE(MAX(`pid`), 0) FROM `patient_data`", &[]).await?[0][0].integer();
    let row = format!("(?, ?, ?, {}, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP)", vec!["?"; COLUMNS.len()].join(", "));
    let insert = format!(
        "INSERT INTO `patient_data` (`uuid`, `pid`, `pubpid`, {names}, `date`, `regdate`) VALUES {}",
        rows(&row)
    );
    let mut parameters = Vec::with_capacity(new.len() * (COLUMNS.len() + 3));
    for ((change, record), pid) in new.iter().zip(highest + 1..) {
        parameters.extend([Value::Bytes(record.uuid.clone()), pid.into(), change.patient_id.as_str().into()]);
        parameters.extend(record.values.iter().cloned());
    }
    target.execute(&insert, &parameters).await?;
    Ok(highest + 1)
}

/// After the commit.
pub(crate) async fn unlock(target: &mut Connection) -> Result<()> {
    if target.dialect() == Dialect::MySql {
        target.rows("SELECT RELEASE_LOCK(?)", &[LOCK.into()]).await?;
    }
    Ok(())
}

async fn update(target: &mut Connection, records: &[&Record]) -> Result<()> {
    let sql = if target.dialect() == Dialect::Sqlite {
        let row = format!("({})", vec!["?"; COLUMNS.len() + 1].join(", "));
        let set: Vec<_> =
            COLUMNS.iter().enumerate().map(|(at, (name, _))| format!("`{name}` = v.column{}", at + 2)).collect();
        format!(
            "UPDATE `patient_data` SET {}, `date` = CURRENT_TIMESTAMP FROM (VALUES {}) AS v \
             WHERE `patient_data`.`uuid` = v.column1",
            set.join(", "),
            vec![row; records.len()].join(", ")
        )
    } else {
        let first: Vec<_> = COLUMNS.iter().map(|(name, _)| format!("CAST(? AS CHAR(255)) AS `{name}`")).collect();
        let further = format!(" UNION ALL SELECT CAST(? AS BINARY(16)), {}", vec!["?"; COLUMNS.len()].join(", "));
        let set: Vec<_> = COLUMNS.iter().map(|(name, _)| format!("p.`{name}` = v.`{name}`")).collect();
        format!(
            "UPDATE `patient_data` AS p INNER JOIN (SELECT CAST(? AS BINARY(16)) AS k, {}{}) AS v ON p.`uuid` = v.k \
             SET {}, p.`date` = CURRENT_TIMESTAMP",
            first.join(", "),
            further.repeat(records.len() - 1),
            set.join(", ")
        )
    };
    let mut parameters = Vec::with_capacity(records.len() * (COLUMNS.len() + 1));
    for record in records {
        parameters.push(Value::Bytes(record.uuid.clone()));
        parameters.extend(record.values.iter().cloned());
    }
    target.execute(&sql, &parameters).await.map(drop)
}
