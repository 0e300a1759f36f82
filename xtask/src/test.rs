//! Owns one run of every test: servers up, adapters and host built once, the tests, and a closing list of what they
//! really reached. What was not reached is an error where `CI` is set.

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use tests::environment::{ADAPTERS, Backend, HOST, REACHED, is_ci};

use crate::{
    adapters,
    cargo::{Metadata, build, cargo, run as run_visibly},
    chaos,
    servers::Servers,
    steps::Steps,
};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Start no servers; run the tests that need none
    #[arg(long)]
    quick: bool,
    /// Run the tests whose names contain one of these
    filter: Vec<String>,
}

/// The runs of chaos here, for less than half a minute each, with a seed that stays the same: their names and options.
/// Longer runs are a task of their own. Seed 7 cuts the FHIR server's connections while all first records are being
/// made.
const CHAOS: [(&str, &[&str]); 2] = [
    ("sqlite", &["--store", "sqlite", "--seed", "7", "--hosts", "3"]),
    ("postgres", &["--store", "postgres", "--seed", "8", "--hosts", "2"]),
];

/// Runs them. Fails when a test does, or in CI when a backend was not reached.
pub(crate) fn run(options: &Options) -> Result<()> {
    let is_ci = is_ci();
    let target = Metadata::read()?.target_directory()?;
    let is_everything = options.filter.is_empty() && !options.quick;
    let mut steps = Steps::new(3 + usize::from(!options.quick) + if is_everything { CHAOS.len() } else { 0 });
    steps.next("Build the adapters");
    let adapters = adapters::build(&[])?;
    steps.next("Build the host and the tests");
    // Only the programs that they run: Windows does not let a running one be overwritten.
    build(&["host", "load-sql", "chaos"], &["--tests", "--examples"])?;

    let reached = target.join("reached");
    if reached.exists() {
        fs::remove_dir_all(&reached).with_context(|| format!("empty {}", reached.display()))?;
    }
    fs::create_dir_all(&reached).with_context(|| format!("make {}", reached.display()))?;

    let mut servers = None;
    if !options.quick {
        steps.next("Start private servers");
        servers = Some(Servers::start(needs_all_fhir(&options.filter))?);
    }
    let mut variables = vec![
        (HOST, target.join("debug").join(format!("host{}", env::consts::EXE_SUFFIX)).into_os_string()),
        (ADAPTERS, adapters.clone().into_os_string()),
        (REACHED, reached.clone().into_os_string()),
    ];
    for server in servers.iter().flat_map(Servers::all) {
        if let (Some(variable), Ok((url, _))) = (server.backend.variable(), server.up) {
            variables.push((variable, url.into()));
        }
    }
    steps.next("Run the tests");
    let mut results = vec![run_visibly(test_command(options, is_ci).envs(variables.iter().cloned()))];
    if is_everything && has_nextest() {
        // nextest leaves the examples in the documentation to cargo.
        results.push(run_visibly(cargo(&["test", "--workspace", "--doc", "--quiet"]).envs(variables.iter().cloned())));
    }
    let is_complete = closing_list(servers.as_ref(), &reached);
    // Chaos has servers of its own, and is not to be slowed down by others.
    drop(servers);
    if is_everything {
        for (name, options) in CHAOS {
            steps.next(&format!("Run chaos on {name} for 20 s"));
            let result = short_chaos(&target, &adapters, options);
            println!("chaos on {name}: {}", if result.is_ok() { "passed" } else { "FAILED" });
            results.push(result);
        }
    }
    results.into_iter().collect::<Result<()>>()?;
    if is_ci && options.filter.is_empty() && !is_complete {
        bail!("not everything was reached, and CI is set");
    }
    Ok(())
}

/// Whether the selected tests may need every FHIR server. HAPI alone takes a quarter of a minute to start, so a run of
/// other tests must not wait for it.
fn needs_all_fhir(filter: &[String]) -> bool {
    filter.is_empty() || filter.iter().any(|part| part.contains("fhir_servers"))
}

fn short_chaos(target: &Path, adapters: &Path, options: &[&str]) -> Result<()> {
    run_visibly(chaos::command(target, adapters).args(options).args(["--duration", "20s"]))
}

fn test_command(options: &Options, is_ci: bool) -> Command {
    let mut command = if has_nextest() {
        cargo(&["nextest", "run", "--workspace", "--profile", if is_ci { "ci" } else { "default" }])
    } else {
        let mut command = cargo(&["test", "--workspace"]);
        command.args(is_ci.then_some("--no-fail-fast")).arg("--");
        command
    };
    command.args(&options.filter);
    command
}

fn has_nextest() -> bool {
    let asked = cargo(&["nextest", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// Names what the tests reached and what not; true when nothing was left out.
fn closing_list(servers: Option<&Servers>, reached: &Path) -> bool {
    let (mut yes, mut no) = (Vec::new(), Vec::new());
    let all = servers.map(Servers::all);
    for backend in Backend::ALL {
        let name = backend.name();
        let was_used = reached.join(name).exists();
        let server = all.iter().flatten().find(|server| server.backend == backend).map(|server| &server.up);
        match (server, was_used) {
            (Some(Ok((_, version))), true) => yes.push(format!("{name} {version}")),
            (None, true) => yes.push(name.to_owned()),
            (Some(Err(error)), _) => no.push(format!("{name} ({error:#})")),
            (_, false) => no.push(format!("{name} (no test used it)")),
        }
    }
    if !yes.is_empty() {
        println!("reached: {}", yes.join(", "));
    }
    if !no.is_empty() {
        println!("not reached: {}", no.join(", "));
    }
    no.is_empty()
}
