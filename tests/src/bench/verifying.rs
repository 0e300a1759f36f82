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
    for repeat in 0..options.repeats() {
        let mut stand = Stand::new(Backend::MariaDb, Backend::MariaDb).await?;
        stand.fill(count, Work::Creates).await?;
        stand.host_drain().await?;
        ours.push(rate(count, expect_equal(&stand, "openemr", count)?));
        let mut target = Connection::open(stand.target_url()).await?;
        baseline.push(rate(count, read_all(&mut target).await?));
        let number = "CAST(SUBSTRING(pubpid, 3) AS SIGNED)";
        let (is_deleted, is_edited) = (format!("{number} % {DELETE_EACH} = 1"), format!("{number} % {EDIT_EACH} = 0"));
        let deleted = patients(&mut target, &is_deleted).await?;
        target.execute(&format!("DELETE FROM patient_data WHERE {is_deleted}"), &[]).await?;
        let edited = patients(&mut target, &is_edited).await?;
        target.execute(&format!("UPDATE patient_data SET city = 'X' WHERE {is_edited}"), &[]).await?;
        find_and_repair(&stand, "openemr", count, edited, deleted).await?;

        // In turn first and second, since the second finds the tables in memory.
        for is_verified in [repeat % 2 == 0, repeat % 2 != 0] {
            stand.fill(count, Work::Updates).await?;
            // At the rate that a schedule has by default.
            let arguments = ["verify", "--target", "openemr", "--rate", "1000"];
            let verification = is_verified.then(|| stand.host.spawn(&arguments)).transpose()?;
            let drained = rate(count, stand.host_drain().await?.elapsed);
            drop(verification);
            if is_verified { concurrent.push(drained) } else { alone.push(drained) }
        }
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
    let links = store.rows("SELECT remote_id, aggregate_id FROM sync_link ORDER BY remote_id", &[]).await?;
    let links: Vec<_> = links.iter().map(|row| (row[0].text().to_owned(), row[1].text().to_owned())).collect();
    let chosen = |each: usize, from: usize| links.iter().skip(from).step_by(each).cloned().unzip::<_, _, Vec<_>, _>();
    let ((edited, edited_ids), (deleted, deleted_ids)) = (chosen(EDIT_EACH, 0), chosen(DELETE_EACH, 1));
    let began = Instant::now();
    let read = native_fhir::edit(&server.url(), &edited).await?;
    let baseline = rate(read, began.elapsed());
    native_fhir::delete(&server.url(), &deleted).await?;
    find_and_repair(&stand, "fhir", count, edited_ids, deleted_ids).await?;
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

/// The ids of the patients in these charts.
async fn patients(target: &mut Connection, condition: &str) -> Result<Vec<String>> {
    let rows = target.rows(&format!("SELECT pubpid FROM patient_data WHERE {condition}"), &[]).await?;
    Ok(rows.iter().map(|row| row[0].text().to_owned()).collect())
}

/// Finds exactly the patients who were changed, repairs them, and finds everything equal.
async fn find_and_repair(
    stand: &Stand,
    target: &str,
    count: usize,
    edited: Vec<String>,
    deleted: Vec<String>,
) -> Result<()> {
    ensure!(!edited.is_empty() && !deleted.is_empty(), "nothing was changed");
    let changed = edited.len() + deleted.len();
    let found = verify(stand, target, &["--repair", "--limit", "100000"])?;
    let listed = found["findings"].as_array().context("no findings")?;
    for (state, mut expected) in [("edited", edited), ("gone", deleted)] {
        let of_state = listed.iter().filter(|finding| finding["state"] == state);
        let mut ids: Vec<_> = of_state.filter_map(|finding| finding["aggregate_id"].as_str()).collect();
        ids.sort_unstable();
        expected.sort_unstable();
        ensure!(ids == expected, "{state}: {} expected, {} found, or others", expected.len(), ids.len());
    }
    ensure!(listed.len() == changed, "{} are listed, and {changed} were changed", listed.len());
    ensure!(found["repair"]["queued"] == changed, "not all are repaired: {}", found["repair"]);
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
