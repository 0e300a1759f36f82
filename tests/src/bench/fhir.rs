//! Patients delivered to a real FHIR server, against a bare HTTP client that sends the same Bundles to a server of its own.
//! The server is by far the slowest of all: what is measured is whether the host keeps it as busy as it can be kept.

use anyhow::{Result, ensure};

use super::measure::{Options, rate};
use super::native_fhir::{create, held, update};
use super::report::{Better, Goal, Row};
use super::stand::{Stand, Work};
use crate::environment::Backend;
use crate::servers::FhirServer;

/// The rows of FHIR: creates and updates.
pub(super) async fn rows(options: &Options) -> Result<Vec<Row>> {
    let count = options.sized(1_000, 10_000);
    let (mut creates, mut updates) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
    for _ in 0..options.repeats() {
        let server = FhirServer::start()?;
        let mut stand = Stand::of_fhir(Backend::Sqlite, &server.url()).await?;
        for (work, figures) in [(Work::Creates, &mut creates.0), (Work::Updates, &mut updates.0)] {
            stand.fill(count, work).await?;
            let before = stand.count("done").await?;
            figures.push(rate(count, stand.host_drain().await?));
            ensure!(stand.count("done").await? == before + count, "FHIR: not all of the host's changes are done");
        }
        let ours = held(&server.url(), count).await?;
        drop(server);

        let server = FhirServer::start()?;
        let (elapsed, known) = create(&server.url(), 1, count).await?;
        creates.1.push(rate(count, elapsed));
        updates.1.push(rate(count, update(&server.url(), known).await?.0));
        let native = held(&server.url(), count).await?;
        ensure!(ours == native, "the bare client does not send what the host sends:\n{ours:#}\n{native:#}");
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
