//! Owns running the fuzz targets of `fuzz/`, each for a while, from the seeds in `fuzz/seeds/TARGET`.
//!
//! They need a nightly compiler and cargo-fuzz. It installs neither; an error names what is missing, with the
//! command.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use tests::environment::workspace;

use crate::{cargo::run as run_visibly, steps::Steps};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run these targets only instead of all
    targets: Vec<String>,
    /// Run each for this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    seconds: u32,
}

/// A run that takes more is a finding.
const BOUNDS: [&str; 3] = ["-timeout=10", "-rss_limit_mb=1024", "-max_len=4096"];

/// Builds and runs them one after the other. Fails with the first finding, which is left in `fuzz/artifacts`.
pub(crate) fn run(options: &Options) -> Result<()> {
    let targets = targets(&options.targets)?;
    expect_tools()?;
    take_versions_of_the_host()?;
    let mut steps = Steps::new(targets.len());
    for target in &targets {
        steps.next(&format!("Fuzz {target} for {} s", options.seconds));
        let (corpus, dictionary) = (format!("fuzz/corpus/{target}"), format!("fuzz/dictionaries/{target}"));
        fs::create_dir_all(workspace().join(&corpus)).with_context(|| format!("make {corpus}"))?;
        // The host has no `unsafe` where these lead: panics, time and memory are sought, and without a sanitizer more
        // is tried.
        let mut run = command(&["fuzz", "run", "--sanitizer=none", "--codegen-units=16", target, &corpus]);
        // What is found goes into the first folder; the others are only read.
        let others = [format!("fuzz/seeds/{target}"), format!("tests/cases/{target}")];
        run.args(others.iter().filter(|folder| workspace().join(folder).is_dir()));
        run.arg("--").args(BOUNDS).arg(format!("-max_total_time={}", options.seconds));
        if workspace().join(&dictionary).is_file() {
            run.arg(format!("-dict={dictionary}"));
        }
        // Some targets read files: those are better not written to a disk.
        if Path::new("/dev/shm").is_dir() {
            run.env("TMPDIR", "/dev/shm");
        }
        let advice = format!(
            "run `{target}`: what broke it lies in fuzz/artifacts/{target}; make it small with `cargo +nightly fuzz tmin \
             --sanitizer=none {target} FILE`, and keep it in fuzz/seeds/{target}"
        );
        run_visibly(&mut run).context(advice)?;
    }
    Ok(())
}

/// Takes the versions of the host's dependencies, so that what is fuzzed is what is delivered. Cargo adds the fuzzer's
/// own.
fn take_versions_of_the_host() -> Result<()> {
    let (host, fuzz) = (workspace().join("Cargo.lock"), workspace().join("fuzz/Cargo.lock"));
    let changed = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    if changed(&fuzz).is_none_or(|fuzz| changed(&host).is_none_or(|host| host > fuzz)) {
        fs::copy(&host, &fuzz).with_context(|| format!("copy {} to {}", host.display(), fuzz.display()))?;
    }
    Ok(())
}

fn expect_tools() -> Result<()> {
    let works = |arguments: &[&str]| {
        let status = command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    if !works(&["--version"]) {
        bail!("fuzzing needs a nightly compiler: `rustup toolchain install nightly --profile minimal`");
    }
    if !works(&["fuzz", "--version"]) {
        bail!("fuzzing needs cargo-fuzz: `cargo install cargo-fuzz --locked`");
    }
    Ok(())
}

/// The nightly compiler's cargo. The one that started us named its own toolchain to its children.
fn command(arguments: &[&str]) -> Command {
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
