//! Owns running cargo and other programs in the workspace's folder, visibly, and reading the workspace's metadata.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tests::{environment::workspace, servers::process::wait_for};

/// The cargo that started us, in the workspace's folder.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(workspace());
    // Cargo's variables about our own package would make build scripts that watch them run again, and with them half
    // the tree.
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
    command
}

/// Runs a program whose output the person sees.
///
/// Fails when it cannot be started, fails, or an operator interrupts.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let mut child = command.stdin(Stdio::null()).spawn().with_context(|| format!("start {shown}"))?;
    let status = wait_for(&mut child)?;
    if !status.success() {
        bail!("{shown} failed ({status})");
    }
    Ok(())
}

/// Builds programs of the workspace, and whatever `more` selects.
///
/// Every task selects the whole workspace: another selection has other features, so that cargo would build nearly every
/// dependency once more.
pub(crate) fn build(programs: &[&str], more: &[&str]) -> Result<()> {
    let mut command = cargo(&["build", "--workspace"]);
    command.args(programs.iter().map(|program| format!("--bin={program}"))).args(more);
    run(&mut command)
}

/// A command as one types it: the program's name without its folder.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let arguments = command.get_args().map(|argument| argument.to_string_lossy().into_owned());
    std::iter::once(program).chain(arguments).collect::<Vec<_>>().join(" ")
}

/// Cargo's metadata of the workspace.
pub(crate) struct Metadata(Value);

impl Metadata {
    /// Asks cargo.
    pub(crate) fn read() -> Result<Self> {
        let output = cargo(&["metadata", "--no-deps", "--format-version=1"])
            .stderr(Stdio::inherit())
            .output()
            .context("run cargo metadata")?;
        if !output.status.success() {
            bail!("cargo metadata failed ({})", output.status);
        }
        Ok(Self(serde_json::from_slice(&output.stdout).context("read what cargo metadata printed")?))
    }

    /// Where cargo builds.
    pub(crate) fn target_directory(&self) -> Result<PathBuf> {
        self.0["target_directory"].as_str().map(PathBuf::from).context("cargo metadata names no target directory")
    }

    /// The packages under `plugins/` that become a component, by name.
    pub(crate) fn adapters(&self) -> Vec<String> {
        let plugins = workspace().join("plugins");
        let is_adapter = |package: &&Value| {
            let manifest = package["manifest_path"].as_str().unwrap_or_default();
            let targets = package["targets"].as_array().into_iter().flatten();
            let mut crate_types = targets.flat_map(|target| target["crate_types"].as_array().into_iter().flatten());
            Path::new(manifest).starts_with(&plugins) && crate_types.any(|crate_type| crate_type == "cdylib")
        };
        let packages = self.0["packages"].as_array().into_iter().flatten().filter(is_adapter);
        packages.filter_map(|package| package["name"].as_str()).map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod feature_tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Each package with its features, as a build with these kinds of dependencies has them.
    fn features(kinds: &str) -> BTreeSet<String> {
        let arguments = ["tree", "--workspace", "--locked", "--edges", kinds, "--prefix=none", "--format={p} {f}"];
        let output = cargo(&arguments).stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "cargo tree failed");
        let text = String::from_utf8(output.stdout).unwrap();
        // `(*)` marks what was shown before. Our own packages are built for both in any case.
        let lines = text.lines().map(|line| line.trim_end_matches(" (*)"));
        lines.filter(|line| !line.is_empty() && !line.contains(" (/")).map(str::to_owned).collect()
    }

    #[test]
    fn tests_build_no_dependency_of_the_demo_again() {
        let (demo, tests) = (features("normal,build"), features("normal,build,dev"));
        assert!(demo.len() > 200, "only {} packages", demo.len());
        let again: Vec<_> = demo.difference(&tests).collect();
        assert!(again.is_empty(), "a dev-dependency changes features, so that these are built twice: {again:#?}");
    }
}
