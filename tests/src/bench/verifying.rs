//! `host verify` over many patients, some of whom others changed: each is found and no other, repaired, and found equal
//! again. Measures its rate, and what a drain loses while a verification runs next to it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::connection::Connection;
use super::measure::{Options, rate};
use super::native_fhir;
use super::report::{Better, Goal, Row};
use super::stand::{Stand, Work};
use crate::environment::Backend;
use crate::servers::FhirServer;

/// Of so many patients one is edited.
const EDIT_EACH: usize = 997;
/// Of so many patients one is deleted.
const DELETE_EACH: usize = 4_999;
/// Rows that the native reader takes at once, as the host does.
const PAGE: usize = 500;

/// The rows over OpenEMR's tables on MariaDB.
pub(super) async fn openemr(options: &Options) -> Result<Vec<Row>> {
    let count = options.sized(10_000, 100_000);
    let (mut ours, mut baseline, mut concurrent, mut alone) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.repeats() {
        let mut stand = Stand::new(Backend::MariaDb, Backend::MariaDb).await?;
        stand.fill(count, Work::Creates).await?;
        stand.host_drain().await?;
        ours.push(rate(count, expect_equal(&stand, "openemr", count)?));
        let mut target = Connection::open(stand.target_url()).await?;
        baseline.push(rate(count, read_all(&mut target).await?));
        let number = "CAST(SUBSTRING(pubpid, 3) AS SIGNED)";
        let edit = format!("UPDATE patient_data SET city = 'X' WHERE {number} % {EDIT_EACH} = 0");
        let edited = target.execute(&edit, &[]).await?;
        let delete = format!("DELETE FROM patient_data WHERE {number} % {DELETE_EACH} = 1");
        let deleted = target.execute(&delete, &[]).await?;
        find_and_repair(&stand, "openemr", count, edited, deleted).await?;

        stand.fill(count, Work::Updates).await?;
        alone.push(rate(count, stand.host_drain().await?.elapsed));
        stand.fill(count, Work::Updates).await?;
        // At the rate that a schedule has by default.
        let verification = stand.host.spawn(&["verify", "--target", "openemr", "--rate", "1000"])?;
        concurrent.push(rate(count, stand.host_drain().await?.elapsed));
        drop(verification);
    }
    let row = |name: &str, unit, ours, baseline, against, goal| Row {
        name: format!("verify OpenEMR on MariaDB, {name}"),
        unit,
        ours,
        baseline,
        against,
        better: Better::More,
        goal,
    };
    let native = "a client that reads all charts";
    Ok(vec![
        row("records", "records/s", ours, baseline, native, Goal::figure(10_000.0)),
        row("a drain next to it", "patients/s", concurrent, alone, "the drain alone", Goal::ratio(0.95)),
    ])
}

/// The row over a FHIR server.
pub(super) async fn fhir(options: &Options) -> Result<Row> {
    let count = options.sized(1_000, 100_000);
    let server = FhirServer::start()?;
    let mut stand = Stand::of_fhir(Backend::Sqlite, &server.url()).await?;
    stand.fill(count, Work::Creates).await?;
    stand.host_drain().await?;
    let ours = rate(count, expect_equal(&stand, "fhir", count)?);
    let mut store = Connection::open(stand.store.url()).await?;
    let ids = store.rows("SELECT remote_id FROM sync_link ORDER BY remote_id", &[]).await?;
    let ids: Vec<_> = ids.iter().map(|row| row[0].text().to_owned()).collect();
    let chosen = |each: usize, from: usize| ids.iter().skip(from).step_by(each).cloned().collect::<Vec<_>>();
    let (edited, deleted) = (chosen(EDIT_EACH, 0), chosen(DELETE_EACH, 1));
    let began = Instant::now();
    let read = native_fhir::edit(&server.url(), &edited).await?;
    let baseline = rate(read, began.elapsed());
    native_fhir::delete(&server.url(), &deleted).await?;
    let (edited, deleted) = (u64::try_from(edited.len())?, u64::try_from(deleted.len())?);
    find_and_repair(&stand, "fhir", count, edited, deleted).await?;
    Ok(Row {
        name: "verify FHIR through the real server".to_owned(),
        unit: "records/s",
        ours: vec![ours],
        baseline: vec![baseline],
        against: "a client that reads and writes one after the other",
        better: Better::More,
        goal: Goal::default(),
    })
}

/// Verifies that nothing differs; the time that it took.
fn expect_equal(stand: &Stand, target: &str, count: usize) -> Result<Duration> {
    let began = Instant::now();
    let found = verify(stand, target, &[])?;
    let elapsed = began.elapsed();
    ensure!(found["verification"]["equal"] == count, "not all of {count} are equal: {}", found["verification"]);
    Ok(elapsed)
}

/// Finds exactly what was changed, repairs it, and finds everything equal.
async fn find_and_repair(stand: &Stand, target: &str, count: usize, edited: u64, deleted: u64) -> Result<()> {
    ensure!(edited > 0 && deleted > 0, "nothing was changed: {edited} edited, {deleted} deleted");
    let found = verify(stand, target, &["--repair", "--limit", "100000"])?;
    let counts = &found["verification"]["counts"];
    ensure!(counts["edited"] == edited && counts["gone"] == deleted, "{edited} and {deleted} expected, found {counts}");
    let listed = found["findings"].as_array().map_or(0, Vec::len);
    ensure!(u64::try_from(listed)? == edited + deleted, "{listed} are listed");
    ensure!(found["repair"]["queued"] == edited + deleted, "not all are repaired: {}", found["repair"]);
    stand.host_drain().await?;
    expect_equal(stand, target, count).map(drop)
}

fn verify(stand: &Stand, target: &str, more: &[&str]) -> Result<Value> {
    let output = stand.host.run(&[&["verify", "--target", target, "--json"], more].concat());
    serde_json::from_str(&output.stdout).with_context(|| format!("host verify: {}", output.stderr))
}

/// Reads every chart, a page at a time, and looks at nothing.
async fn read_all(target: &mut Connection) -> Result<Duration> {
    let began = Instant::now();
    let mut after = 0;
    loop {
        let sql = format!("SELECT pid, patient_data.* FROM patient_data WHERE pid > ? ORDER BY pid LIMIT {PAGE}");
        let rows = target.rows(&sql, &[after.into()]).await?;
        let Some(last) = rows.last() else { return Ok(began.elapsed()) };
        after = last[0].integer();
    }
}
