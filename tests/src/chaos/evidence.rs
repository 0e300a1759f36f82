//! Reads what is in the store and at both targets once everything is at rest. It judges nothing.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::{
    resources::{self, Resource},
    world::World,
};
use crate::session::{Session, TextRow};

/// The targets of a run, as configured.
pub(crate) const OPENEMR: &str = "openemr";
/// See [`OPENEMR`].
pub(crate) const FHIR: &str = "fhir";

/// The aggregate type of patients.
pub(crate) const PATIENT: &str = "patient";

/// Rows of clinical records: label, id, pid, encounter, and whether they are hidden, of all three tables.
const ROWS: [&str; 3] = [
    "SELECT e.reason, e.encounter, e.pid, NULL, \
     CASE WHEN f.pid = e.pid AND f.encounter = e.encounter THEN f.deleted END \
     FROM form_encounter e LEFT JOIN forms f ON f.form_id = e.id AND f.formdir = 'newpatient'",
    "SELECT v.note, v.id, v.pid, f.encounter, CASE WHEN f.pid = v.pid THEN f.deleted END \
     FROM form_vitals v LEFT JOIN forms f ON f.form_id = v.id AND f.formdir = 'vitals'",
    "SELECT l.comments, l.id, l.pid, \
     (SELECT MAX(i.encounter) FROM issue_encounter i WHERE i.list_id = l.id AND i.pid = l.pid), 1 - l.activity \
     FROM lists l",
];

/// How our line begins in the note of a merged chart.
const MERGED: &str = "[NeuroNova Sync] Merged into the chart with pid ";

/// A row of the outbox.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Change {
    pub(crate) id: i64,
    pub(crate) aggregate_type: String,
    pub(crate) aggregate_id: String,
    pub(crate) version: i64,
    pub(crate) removes: bool,
    /// The ids of what it refers to, by the reference's name.
    pub(crate) refs: BTreeMap<String, String>,
    pub(crate) is_routed: bool,
}

impl Change {
    pub(crate) fn is_patient(&self) -> bool {
        self.aggregate_type == PATIENT
    }

    /// Whom it merges the patient into.
    pub(crate) fn survivor(&self) -> Option<&str> {
        self.refs.get("survivor").map(String::as_str)
    }
}

/// A row of the queue.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Delivery {
    pub(crate) target: String,
    pub(crate) outbox_id: i64,
    pub(crate) aggregate_id: String,
    pub(crate) status: String,
    pub(crate) is_active: bool,
    pub(crate) attempts: i64,
    pub(crate) error: Option<String>,
    /// The lease of its last attempt; 0 when there was none.
    pub(crate) last_attempt: i64,
}

/// A row of the journal.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Attempt {
    pub(crate) lease_id: i64,
    pub(crate) target: String,
    /// The id of the host that made it.
    pub(crate) host: String,
    /// How many of its changes were delivered.
    pub(crate) done: u64,
}

/// What a target confirmed, by the store.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Link {
    pub(crate) target: String,
    pub(crate) aggregate_id: String,
    pub(crate) remote_id: String,
    pub(crate) delivered_outbox_id: i64,
}

/// A row of `patient_cache`.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Cached {
    pub(crate) version: i64,
    pub(crate) openemr_id: Option<String>,
    pub(crate) fhir_id: Option<String>,
}

/// A chart in OpenEMR.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Chart {
    pub(crate) public_id: String,
    pub(crate) pid: String,
    pub(crate) version: i64,
    pub(crate) is_registered: bool,
    /// The pid that our line of its note names.
    pub(crate) merged_into: Option<String>,
}

/// The row of a clinical record in OpenEMR.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) aggregate_id: String,
    pub(crate) remote_id: String,
    pub(crate) pid: String,
    /// The number of the encounter that it belongs to.
    pub(crate) encounter: Option<String>,
    pub(crate) version: i64,
    /// `None` when OpenEMR shows it nowhere, since it is not in `forms`.
    pub(crate) is_hidden: Option<bool>,
}

/// Everything.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Evidence {
    /// What the store had confirmed to the application: the newest version of each aggregate.
    pub(crate) acknowledged: BTreeMap<String, i64>,
    /// By id.
    pub(crate) changes: Vec<Change>,
    pub(crate) deliveries: Vec<Delivery>,
    /// The journal.
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) leases: i64,
    pub(crate) links: Vec<Link>,
    pub(crate) cache: BTreeMap<String, Cached>,
    pub(crate) charts: Vec<Chart>,
    pub(crate) rows: Vec<Row>,
    /// Id and version of every state that a chart or a clinical record ever had, in their order.
    pub(crate) chart_history: Vec<(String, i64)>,
    /// Registered uuids that no chart and no clinical record has.
    pub(crate) orphans: i64,
    /// How many charts OpenEMR's own writer registered.
    pub(crate) rival_charts: u64,
    pub(crate) resources: Vec<Resource>,
    /// Lines in the hosts' logs that tell of a panic.
    pub(crate) panics: u64,
}

impl Evidence {
    /// Reads all of it but what the run itself remembers.
    pub(crate) async fn read(world: &World) -> Result<Self> {
        let mut evidence = Self::default();
        let mut store = Session::open(&world.store_urls[0]).await.context("open the store")?;
        evidence.read_store(&mut store).await.context("read the store")?;
        store.close().await?;
        let mut openemr = Session::open(&world.openemr_url).await.context("open OpenEMR's database")?;
        evidence.read_openemr(&mut openemr).await.context("read OpenEMR's database")?;
        openemr.close().await?;
        let base_url = world.fhir_url.clone();
        evidence.resources = tokio::task::spawn_blocking(move || resources::read_all(&base_url))
            .await?
            .context("read the FHIR server")?;
        Ok(evidence)
    }

    async fn read_store(&mut self, store: &mut Session) -> Result<()> {
        let sql = "SELECT id, aggregate_id, payload, operation, CASE WHEN routed_at IS NULL THEN 0 ELSE 1 END, \
                   aggregate_type, refs FROM sync_outbox ORDER BY id";
        for row in store.rows(sql).await? {
            let payload: serde_json::Value = serde_json::from_str(column(&row, 2)?)?;
            // In a field of patients that both targets store; of a clinical record it is in the label, too.
            let version = payload["phone_work"].as_str().or_else(|| payload["version"].as_str());
            let version = version.context("a payload without a version")?;
            self.changes.push(Change {
                id: number(&row, 0)?,
                aggregate_type: column(&row, 5)?.to_owned(),
                aggregate_id: column(&row, 1)?.to_owned(),
                version: version.parse()?,
                removes: column(&row, 3)? == "delete",
                refs: references(row[6].as_deref())?,
                is_routed: number(&row, 4)? == 1,
            });
        }
        let sql = "SELECT target, outbox_id, aggregate_id, status, (SELECT COUNT(*) FROM sync_in_flight w \
                   WHERE w.target = d.target AND w.outbox_id = d.outbox_id), attempts, error_kind, error_message, \
                   last_attempt FROM sync_delivery d ORDER BY target, outbox_id";
        for row in store.rows(sql).await? {
            let error = row[6].as_ref().map(|kind| format!("{kind}: {}", row[7].as_deref().unwrap_or_default()));
            self.deliveries.push(Delivery {
                target: column(&row, 0)?.to_owned(),
                outbox_id: number(&row, 1)?,
                aggregate_id: column(&row, 2)?.to_owned(),
                status: column(&row, 3)?.to_owned(),
                is_active: number(&row, 4)? == 1,
                attempts: number(&row, 5)?,
                error,
                last_attempt: number(&row, 8)?,
            });
        }
        for row in store.rows("SELECT lease_id, target, host, outcomes FROM sync_attempt").await? {
            let outcomes: BTreeMap<String, u64> =
                serde_json::from_str(column(&row, 3)?).context("read the outcomes of an attempt")?;
            self.attempts.push(Attempt {
                lease_id: number(&row, 0)?,
                target: column(&row, 1)?.to_owned(),
                host: column(&row, 2)?.to_owned(),
                done: outcomes.get("done").copied().unwrap_or_default(),
            });
        }
        for row in store.rows("SELECT COUNT(*) FROM sync_lease").await? {
            self.leases = number(&row, 0)?;
        }
        let sql = "SELECT target, aggregate_id, remote_id, delivered_outbox_id FROM sync_link";
        for row in store.rows(sql).await? {
            self.links.push(Link {
                target: column(&row, 0)?.to_owned(),
                aggregate_id: column(&row, 1)?.to_owned(),
                remote_id: column(&row, 2)?.to_owned(),
                delivered_outbox_id: number(&row, 3)?,
            });
        }
        let sql = "SELECT patient_id, phone_work, openemr_patient_id, fhir_patient_id FROM patient_cache";
        for row in store.rows(sql).await? {
            let cached = Cached { version: number(&row, 1)?, openemr_id: row[2].clone(), fhir_id: row[3].clone() };
            self.cache.insert(column(&row, 0)?.to_owned(), cached);
        }
        Ok(())
    }

    async fn read_openemr(&mut self, openemr: &mut Session) -> Result<()> {
        let sql = "SELECT p.pubpid, p.pid, p.phone_biz, CASE WHEN r.uuid IS NULL THEN 0 ELSE 1 END, p.billing_note \
                   FROM patient_data p LEFT JOIN uuid_registry r ON r.uuid = p.uuid ORDER BY p.pid";
        for row in openemr.rows(sql).await? {
            self.charts.push(Chart {
                public_id: column(&row, 0)?.to_owned(),
                pid: column(&row, 1)?.to_owned(),
                version: number(&row, 2)?,
                is_registered: number(&row, 3)? == 1,
                merged_into: row[4].as_deref().and_then(named_in_note),
            });
        }
        for sql in ROWS {
            for row in openemr.rows(sql).await? {
                let (aggregate_id, version) = labelled(column(&row, 0)?)?;
                self.rows.push(Row {
                    aggregate_id,
                    remote_id: column(&row, 1)?.to_owned(),
                    pid: column(&row, 2)?.to_owned(),
                    encounter: row[3].clone(),
                    version,
                    is_hidden: row[4].as_deref().map(|hidden| hidden != "0"),
                });
            }
        }
        for row in openemr.rows("SELECT pubpid, version FROM chaos_history ORDER BY id").await? {
            self.chart_history.push((column(&row, 0)?.to_owned(), number(&row, 1)?));
        }
        let sql = "SELECT COUNT(*) FROM uuid_registry r LEFT JOIN patient_data p ON p.uuid = r.uuid \
                   LEFT JOIN form_encounter e ON e.uuid = r.uuid LEFT JOIN form_vitals v ON v.uuid = r.uuid \
                   LEFT JOIN lists l ON l.uuid = r.uuid WHERE COALESCE(p.uuid, e.uuid, v.uuid, l.uuid) IS NULL";
        for row in openemr.rows(sql).await? {
            self.orphans = number(&row, 0)?;
        }
        Ok(())
    }
}

/// Takes apart `ID/VERSION`, the text by which a clinical record is known at both targets.
pub(crate) fn labelled(label: &str) -> Result<(String, i64)> {
    let (id, version) = label.split_once('/').context("a clinical record without its label")?;
    Ok((id.to_owned(), version.parse().context("read a version")?))
}

/// The pid that our line of a note names.
fn named_in_note(note: &str) -> Option<String> {
    let line = note.lines().find_map(|line| line.strip_prefix(MERGED))?;
    Some(line.split(':').next().unwrap_or_default().to_owned())
}

/// The ids of a list of references, by name.
fn references(refs: Option<&str>) -> Result<BTreeMap<String, String>> {
    #[derive(serde::Deserialize)]
    struct Reference {
        name: String,
        id: String,
    }
    let list: Vec<Reference> = refs.map(serde_json::from_str).transpose().context("read refs")?.unwrap_or_default();
    Ok(list.into_iter().map(|reference| (reference.name, reference.id)).collect())
}

fn column(row: &TextRow, index: usize) -> Result<&str> {
    row.get(index).and_then(Option::as_deref).with_context(|| format!("column {index} is NULL"))
}

fn number(row: &TextRow, index: usize) -> Result<i64> {
    column(row, index)?.parse().with_context(|| format!("column {index} is no number"))
}
