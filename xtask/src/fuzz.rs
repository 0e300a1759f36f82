//! Owns running the fuzz targets of `fuzz/`, each for a while, from the seeds in `fuzz/seeds/TARGET`.
//!
//! They need a nightly compiler and cargo-fuzz. Neither is installed from here; what is missing is said.

use std::{
    fs,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use tests::environment::workspace;

use crate::cargo::run as run_visibly;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only these targets; all of them when none is named
    targets: Vec<String>,
    /// How long each runs
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    seconds: u32,
}

/// Builds and runs them one after the other. Fails with the first finding, which is left in `fuzz/artifacts`.
pub(crate) fn run(options: &Options) -> Result<()> {
    let has_fuzz = nightly(&["fuzz", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !has_fuzz.is_ok_and(|status| status.success()) {
        bail!("cargo-fuzz is missing: `rustup toolchain install nightly`, then `cargo install cargo-fuzz --locked`");
    }
    for target in targets(&options.targets)? {
        let (corpus, seeds) = (format!("fuzz/corpus/{target}"), format!("fuzz/seeds/{target}"));
        for folder in [&corpus, &seeds] {
            fs::create_dir_all(workspace().join(folder)).with_context(|| format!("make {folder}"))?;
        }
        let time = format!("-max_total_time={}", options.seconds);
        // The guard has no `unsafe`: what is sought is panics and time, and without a sanitizer more is tried.
        let run =
            ["fuzz", "run", "--sanitizer=none", &target, &corpus, &seeds, "--", &time, "-timeout=10", "-max_len=4096"];
        run_visibly(&mut nightly(&run))?;
    }
    Ok(())
}

/// The nightly compiler's cargo. The one that started us named its own toolchain to its children.
fn nightly(arguments: &[&str]) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo"]).args(arguments).current_dir(workspace());
    command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
    command
}

fn targets(wanted: &[String]) -> Result<Vec<String>> {
    let folder = workspace().join("fuzz/fuzz_targets");
    let mut known: Vec<String> = fs::read_dir(&folder)
        .with_context(|| format!("read {}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_str()?.to_owned()))
        .collect();
    known.sort();
    if let Some(unknown) = wanted.iter().find(|name| !known.contains(name)) {
        bail!("there is no fuzz target `{unknown}`; there are: {}", known.join(", "));
    }
    Ok(if wanted.is_empty() { known } else { wanted.to_vec() })
}
