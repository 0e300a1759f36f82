//! Patients delivered to a real FHIR server, against a bare HTTP client that sends the same Bundles to a server of its
//! own. The server is by far the slowest of all: what is measured is whether the host keeps it as busy as it can be
//! kept.

use anyhow::{Result, ensure};
use serde_json::Value;

use super::measure::{Options, rate};
use super::native_fhir::{create, greet, held, update};
use super::report::{Better, Goal, Row};
use super::stand::{Stand, Work};
use crate::environment::Backend;
use crate::servers::FhirServer;

/// The rows of FHIR: creates and updates.
pub(super) async fn rows(options: &Options) -> Result<Vec<Row>> {
    let count = options.sized(1_000, 10_000);
    let (mut creates, mut updates) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
    for repeat in 0..options.repeats() {
        // Who comes first changes, so that a machine that grows slower or quicker favours neither.
        let (ours, native) = if repeat % 2 == 0 {
            let ours = Box::pin(by_host(count)).await?;
            (ours, Box::pin(by_client(count)).await?)
        } else {
            let native = Box::pin(by_client(count)).await?;
            (Box::pin(by_host(count)).await?, native)
        };
        ensure!(
            ours.held == native.held,
            "the bare client does not send what the host sends:\n{:#}\n{:#}",
            ours.held,
            native.held
        );
        creates.0.push(ours.creates);
        creates.1.push(native.creates);
        updates.0.push(ours.updates);
        updates.1.push(native.updates);
    }
    let row = |what: &str, (ours, baseline): (Vec<f64>, Vec<f64>)| Row {
        name: format!("FHIR through the real server, {what}"),
        unit: "patients/s",
        ours,
        baseline,
        against: "a bare HTTP client",
        better: Better::More,
        goal: Goal::ratio(0.9),
    };
    Ok(vec![row("creates", creates), row("updates", updates)])
}

/// What was reached at a server of its own, and what the server holds of one patient then.
struct Reached {
    creates: f64,
    updates: f64,
    held: Value,
}

async fn by_host(count: usize) -> Result<Reached> {
    let server = FhirServer::start()?;
    let mut stand = Stand::of_fhir(Backend::Sqlite, &server.url()).await?;
    let mut rates = Vec::new();
    for work in [Work::Creates, Work::Updates] {
        stand.fill(count, work).await?;
        let before = stand.count("done").await?;
        rates.push(rate(count, stand.host_drain().await?.elapsed));
        ensure!(stand.count("done").await? == before + count, "FHIR: not all of the host's changes are done");
    }
    Ok(Reached { creates: rates[0], updates: rates[1], held: held(&server.url(), count).await? })
}

async fn by_client(count: usize) -> Result<Reached> {
    let server = FhirServer::start()?;
    greet(&server.url()).await?;
    let (created, known) = create(&server.url(), 1, count).await?;
    let (updated, _) = update(&server.url(), known).await?;
    Ok(Reached {
        creates: rate(count, created),
        updates: rate(count, updated),
        held: held(&server.url(), count).await?,
    })
}
