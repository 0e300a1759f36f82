//! What `cargo xtask bench` runs: measures, and prints a table or one JSON object. The servers and the binaries are
//! named by the environment, as for the tests.

#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use tests::bench::{Options, all, plot::plot, report, simulate};

/// Patients from which the simulation learns what a batch costs.
const SIMULATE_QUICK: usize = 10_000;
const SIMULATE: usize = 50_000;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let mut options = Options { is_quick: false, only: None };
    let (mut is_json, mut picture, mut simulates) = (false, None, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => options.is_quick = true,
            "--json" => is_json = true,
            "--plot" => picture = Some(PathBuf::from(arguments.next().context("--plot FILE")?)),
            "--only" => options.only = Some(arguments.next().context("--only NAME")?),
            "--simulate" => simulates = true,
            other => bail!("no option is named {other}: --quick, --json, --plot FILE, --only NAME, --simulate"),
        }
    }
    if simulates {
        let patients = if options.is_quick { SIMULATE_QUICK } else { SIMULATE };
        println!("{}", Box::pin(simulate(patients)).await?);
        return Ok(());
    }
    let rows = Box::pin(all(&options)).await?;
    if let Some(file) = picture {
        plot(&rows, &file)?;
    }
    if is_json {
        println!("{:#}", report::object(&rows, options.is_quick));
    } else {
        println!("{}", report::table(&rows));
    }
    Ok(())
}
