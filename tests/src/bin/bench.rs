//! What `cargo xtask bench` runs: measures, and prints a table or one JSON object. The servers and the binaries are named by
//! the environment, as for the tests.

#![allow(clippy::print_stdout, reason = "a program for a person at a terminal")]

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use tests::bench::{Options, all, report};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let mut options = Options { is_quick: false, only: None };
    let (mut is_json, mut plot) = (false, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => options.is_quick = true,
            "--json" => is_json = true,
            "--plot" => plot = Some(PathBuf::from(arguments.next().context("--plot FILE")?)),
            "--only" => options.only = Some(arguments.next().context("--only NAME")?),
            other => bail!("no option is named {other}: --quick, --json, --plot FILE, --only NAME"),
        }
    }
    let rows = Box::pin(all(&options)).await?;
    if let Some(file) = plot {
        report::plot(&rows, &file)?;
    }
    if is_json {
        println!("{:#}", report::object(&rows, options.is_quick));
    } else {
        println!("{}", report::table(&rows));
    }
    Ok(())
}
