//! Owns the proof that each safeguard of the delivery protocol matters: one at a time is taken out of a copy of the
//! sources, and the test that guards it must fail there. A safeguard whose loss no test notices is reported, and so is
//! one whose place in the sources has moved.
//!
//! The copy shares cargo's folder with the workspace, so that only our own packages are built again. While it runs, the
//! host in `target/debug` may be a mutant; the real one is put back at the end, and the packages that were built of the
//! copy are forgotten. Must never do: change the sources themselves. Read next: `safeguards/list.rs`, and
//! docs/reliability.md, which shows the list to people.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use tests::environment::{ADAPTERS, HOST, workspace};
use tests::servers::process::is_interrupted;

mod list;

use list::{SAFEGUARDS, Safeguard, Suite};

use crate::{
    adapters,
    cargo::{Metadata, build, cargo, run as run_visibly},
    servers::Servers,
};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Remove safeguards whose names contain one of these
    filter: Vec<String>,
}

/// Takes each safeguard out and runs its test. Fails when a test did not notice.
pub(crate) fn run(options: &Options) -> Result<()> {
    let target = Metadata::read()?.target_directory()?;
    let adapters = adapters::build(&[])?;
    build(&["host"], &["--tests"])?;
    let copy = Copy::make(&target)?;
    let servers = Servers::start(false)?;
    let mut variables = vec![(ADAPTERS, adapters.into_os_string()), (HOST, copy.host.clone().into_os_string())];
    for server in servers.all() {
        if let (Some(variable), Ok((url, _))) = (server.backend.variable(), server.up) {
            variables.push((variable, url.into()));
        }
    }
    let mut missed = Vec::new();
    let wanted = |safeguard: &&Safeguard| {
        options.filter.is_empty() || options.filter.iter().any(|part| safeguard.name.contains(part.as_str()))
    };
    let wanted: Vec<_> = SAFEGUARDS.iter().filter(wanted).collect();
    for (number, safeguard) in (1..).zip(&wanted) {
        let noticed = copy.without(safeguard, &variables)?;
        let result = if noticed { "OK" } else { "MISSED" };
        println!("[{number}/{}] [{result}] without: {} ({})", wanted.len(), safeguard.name, safeguard.test);
        if !noticed {
            missed.push(safeguard.name);
        }
        if is_interrupted() {
            bail!("interrupted");
        }
    }
    if missed.is_empty() { Ok(()) } else { bail!("no test noticed the loss of: {}", missed.join("; ")) }
}

/// A copy of the sources that shares cargo's folder. Dropping it puts the real host back.
struct Copy {
    folder: PathBuf,
    /// The mutant's binary.
    host: PathBuf,
    /// Where cargo puts a host, and the real one's copy.
    built: PathBuf,
    kept: PathBuf,
}

impl Copy {
    fn make(target: &Path) -> Result<Self> {
        let root = target.join("safeguards");
        let folder = root.join("workspace");
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("empty {}", folder.display()))?;
        }
        let listed =
            Command::new("git").args(["ls-files", "-z"]).current_dir(workspace()).output().context("run git")?;
        if !listed.status.success() {
            bail!("git ls-files failed: the copy is made of what git knows");
        }
        for name in String::from_utf8(listed.stdout)?.split_terminator('\0') {
            let (from, to) = (workspace().join(name), folder.join(name));
            if from.is_file() {
                fs::create_dir_all(to.parent().unwrap_or(&folder))?;
                fs::copy(&from, &to).with_context(|| format!("copy {name}"))?;
            }
        }
        let name = format!("host{}", env::consts::EXE_SUFFIX);
        let (built, kept) = (target.join("debug").join(&name), root.join(format!("real-{name}")));
        fs::copy(&built, &kept).context("keep the real host")?;
        Ok(Self { host: root.join(name), folder, built, kept })
    }

    /// Whether the safeguard's test fails without it. The test passes with it: `cargo xtask test` checks that.
    fn without(&self, safeguard: &Safeguard, variables: &[(&str, std::ffi::OsString)]) -> Result<bool> {
        let file = self.folder.join(safeguard.file);
        let original = fs::read_to_string(&file).with_context(|| format!("read {}", safeguard.file))?;
        fs::write(&file, mutated(&original, safeguard)?)?;
        let noticed = self.test_fails(safeguard, variables);
        fs::write(&file, original)?;
        noticed
    }

    fn test_fails(&self, safeguard: &Safeguard, variables: &[(&str, std::ffi::OsString)]) -> Result<bool> {
        if safeguard.suite == Suite::Sync {
            run_visibly(&mut self.cargo(&["build", "--quiet", "--workspace", "--bin=host"]))?;
            fs::copy(&self.built, &self.host).context("take the mutant")?;
        }
        let suite = match safeguard.suite {
            Suite::Unit => "--lib",
            Suite::Store => "--test=store",
            Suite::Sync => "--test=sync",
        };
        let mut build = self.cargo(&["test", "--quiet", "--workspace", suite, "--no-run"]);
        run_visibly(&mut build).with_context(|| format!("the mutant of `{}` must build", safeguard.name))?;
        let output = self
            .cargo(&["test", "--quiet", "--workspace", suite, "--", safeguard.test])
            .envs(variables.iter().cloned())
            .stdin(Stdio::null())
            .output()
            .context("run cargo test")?;
        let output_text = String::from_utf8_lossy(&output.stdout);
        if output_text.contains("0 failed") && !output_text.contains(" 1 passed") && !output_text.contains("FAILED") {
            bail!("no test is called {}", safeguard.test);
        }
        Ok(!output.status.success() && output_text.contains("FAILED"))
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = cargo(arguments);
        command
            .current_dir(&self.folder)
            .env("CARGO_TARGET_DIR", self.built.parent().and_then(Path::parent).unwrap_or(&self.folder));
        command
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // What was built of the copy looks fresh to cargo, and its tests would read the copy's files.
        let mut clean = self.cargo(&["clean", "--quiet", "--package=tests", "--package=host"]);
        if !clean.status().is_ok_and(|status| status.success()) {
            eprintln!("tests and host are still those of the copy: run cargo clean --package=tests --package=host");
        }
        if let Err(error) = fs::copy(&self.kept, &self.built) {
            eprintln!("{} is a mutant now: build the host again ({error})", self.built.display());
        }
    }
}

fn mutated(original: &str, safeguard: &Safeguard) -> Result<String> {
    let mut text = original.to_owned();
    for (find, replace) in safeguard.mutation {
        if text.matches(find).count() != 1 {
            bail!("`{}` moved: {} no longer holds once: {find}", safeguard.name, safeguard.file);
        }
        text = text.replacen(find, replace, 1);
    }
    Ok(text)
}

#[cfg(test)]
mod list_tests {
    use super::*;

    #[test]
    fn every_safeguard_is_found_at_its_place_and_its_test_exists() {
        for safeguard in SAFEGUARDS {
            let source = fs::read_to_string(workspace().join(safeguard.file)).unwrap();
            mutated(&source, safeguard).unwrap();
            let name = safeguard.test.rsplit("::").next().unwrap_or_default();
            let suite = match safeguard.suite {
                Suite::Unit => workspace().join("host/src"),
                Suite::Store => workspace().join("tests/tests/store"),
                Suite::Sync => workspace().join("tests/tests/sync"),
            };
            assert!(holds(&suite, &format!("fn {name}")), "no test {name} in {}", suite.display());
        }
    }

    #[test]
    fn the_reliability_page_lists_every_safeguard() {
        let document = fs::read_to_string(workspace().join("docs/reliability.md")).unwrap();
        for safeguard in SAFEGUARDS {
            assert!(document.contains(safeguard.name), "docs/reliability.md does not list `{}`", safeguard.name);
        }
    }

    fn holds(folder: &Path, text: &str) -> bool {
        fs::read_dir(folder).unwrap().any(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() {
                holds(&path, text)
            } else {
                fs::read_to_string(&path).is_ok_and(|source| source.contains(text))
            }
        })
    }
}
