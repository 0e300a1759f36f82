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

/// A row of the outbox.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Change {
    pub(crate) id: i64,
    pub(crate) patient_id: String,
    pub(crate) version: i64,
    pub(crate) removes: bool,
    pub(crate) is_routed: bool,
}

/// A row of the queue.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Delivery {
    pub(crate) target: String,
    pub(crate) outbox_id: i64,
    pub(crate) patient_id: String,
    pub(crate) status: String,
    pub(crate) is_active: bool,
    pub(crate) attempts: i64,
    pub(crate) error: Option<String>,
}

/// What a target confirmed, by the store.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Link {
    pub(crate) target: String,
    pub(crate) patient_id: String,
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
}

/// Everything.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Evidence {
    /// What the store had confirmed to the application: the newest version of each patient.
    pub(crate) acknowledged: BTreeMap<String, i64>,
    /// By id.
    pub(crate) changes: Vec<Change>,
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) leases: i64,
    pub(crate) links: Vec<Link>,
    pub(crate) cache: BTreeMap<String, Cached>,
    pub(crate) charts: Vec<Chart>,
    /// Public id and version of every state that a chart ever had, in their order.
    pub(crate) chart_history: Vec<(String, i64)>,
    /// Registered uuids that no chart has.
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
        let sql = "SELECT id, aggregate_id, payload, operation, CASE WHEN routed_at IS NULL THEN 0 ELSE 1 END \
                   FROM sync_outbox ORDER BY id";
        for row in store.rows(sql).await? {
            let payload: serde_json::Value = serde_json::from_str(column(&row, 2)?)?;
            let version = payload["phone_work"].as_str().context("a payload without a version")?;
            self.changes.push(Change {
                id: number(&row, 0)?,
                patient_id: column(&row, 1)?.to_owned(),
                version: version.parse()?,
                removes: column(&row, 3)? == "delete",
                is_routed: number(&row, 4)? == 1,
            });
        }
        let sql = "SELECT target, outbox_id, aggregate_id, status, (SELECT COUNT(*) FROM sync_in_flight w \
                   WHERE w.target = d.target AND w.outbox_id = d.outbox_id), attempts, error_kind, error_message \
                   FROM sync_delivery d ORDER BY target, outbox_id";
        for row in store.rows(sql).await? {
            let error = row[6].as_ref().map(|kind| format!("{kind}: {}", row[7].as_deref().unwrap_or_default()));
            self.deliveries.push(Delivery {
                target: column(&row, 0)?.to_owned(),
                outbox_id: number(&row, 1)?,
                patient_id: column(&row, 2)?.to_owned(),
                status: column(&row, 3)?.to_owned(),
                is_active: number(&row, 4)? == 1,
                attempts: number(&row, 5)?,
                error,
            });
        }
        for row in store.rows("SELECT COUNT(*) FROM sync_lease").await? {
            self.leases = number(&row, 0)?;
        }
        let sql = "SELECT target, aggregate_id, remote_id, delivered_outbox_id FROM sync_link";
        for row in store.rows(sql).await? {
            self.links.push(Link {
                target: column(&row, 0)?.to_owned(),
                patient_id: column(&row, 1)?.to_owned(),
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
        let sql = "SELECT p.pubpid, p.pid, p.phone_biz, CASE WHEN r.uuid IS NULL THEN 0 ELSE 1 END \
                   FROM patient_data p LEFT JOIN uuid_registry r ON r.uuid = p.uuid ORDER BY p.pid";
        for row in openemr.rows(sql).await? {
            self.charts.push(Chart {
                public_id: column(&row, 0)?.to_owned(),
                pid: column(&row, 1)?.to_owned(),
                version: number(&row, 2)?,
                is_registered: number(&row, 3)? == 1,
            });
        }
        for row in openemr.rows("SELECT pubpid, version FROM chaos_history ORDER BY id").await? {
            self.chart_history.push((column(&row, 0)?.to_owned(), number(&row, 1)?));
        }
        let sql =
            "SELECT COUNT(*) FROM uuid_registry r LEFT JOIN patient_data p ON p.uuid = r.uuid WHERE p.uuid IS NULL";
        for row in openemr.rows(sql).await? {
            self.orphans = number(&row, 0)?;
        }
        Ok(())
    }
}

fn column(row: &TextRow, index: usize) -> Result<&str> {
    row.get(index).and_then(Option::as_deref).with_context(|| format!("column {index} is NULL"))
}

fn number(row: &TextRow, index: usize) -> Result<i64> {
    column(row, index)?.parse().with_context(|| format!("column {index} is no number"))
}
