//! Owns building the adapters as components: the wasm target, one build per adapter, `target/adapters/NAME.wasm`.
//!
//! Each adapter is built by itself, with the very command that its author would use, so that its digest does not depend
//! on what else is built.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    cargo::{Metadata, cargo, run},
    languages,
};

const TARGET: &str = "wasm32-wasip2";

/// Builds those named, or all when none is, and gives their folder.
pub(crate) fn build(wanted: &[&str]) -> Result<PathBuf> {
    let metadata = Metadata::read()?;
    let in_rust = metadata.adapters();
    let mut known: Vec<&str> = in_rust.iter().map(String::as_str).collect();
    for name in languages::names() {
        known.push(name);
    }
    if let Some(unknown) = wanted.iter().find(|name| !known.contains(name)) {
        bail!("there is no adapter {unknown} under plugins/, only {}", known.join(", "));
    }
    let is_wanted = |name: &str| wanted.is_empty() || wanted.contains(&name);
    provide_target()?;
    let built = metadata.target_directory()?.join(TARGET).join("adapter");
    let folder = metadata.target_directory()?.join("adapters");
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let in_rust: Vec<_> = in_rust.iter().filter(|name| is_wanted(name)).collect();
    for (number, name) in (1..).zip(&in_rust) {
        eprintln!("adapter {name} ({number} of {})", in_rust.len());
        run(&mut cargo(&["build", "--profile=adapter", "--target", TARGET, "--package", name]))?;
        let component = folder.join(format!("{name}.wasm"));
        install(&built.join(format!("{}.wasm", name.replace('-', "_"))), &component)?;
        let kilobytes = fs::metadata(&component)?.len() / 1000;
        eprintln!("adapter {name}: {} ({kilobytes} kB)", component.display());
    }
    languages::build(&metadata.target_directory()?, is_wanted)?;
    Ok(folder)
}

/// Puts a whole file in place at once: a host that watches it never reads half of one. A file that is the same stays.
fn install(from: &Path, to: &Path) -> Result<()> {
    let component = fs::read(from).with_context(|| format!("read {}", from.display()))?;
    if fs::read(to).is_ok_and(|present| present == component) {
        return Ok(());
    }
    let unfinished = to.with_extension("wasm.new");
    fs::write(&unfinished, component).with_context(|| format!("write {}", unfinished.display()))?;
    fs::rename(&unfinished, to).with_context(|| format!("write {}", to.display()))
}

/// Sees to it that the standard library for the target is there.
fn provide_target() -> Result<()> {
    if standard_library_is_there() {
        return Ok(());
    }
    match Command::new("rustup").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Ok(status) if status.success() => run(Command::new("rustup").args(["target", "add", TARGET])),
        _ => bail!(
            "the Rust standard library for {TARGET} is missing and there is no rustup to add it: \
             install rustup from https://rustup.rs, or your system's package with that target \
             (Fedora: dnf install rust-std-static-wasm32-wasip2)"
        ),
    }
}

/// Asks the compiler where the target's library would be; works with and without rustup.
fn standard_library_is_there() -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output();
    output.is_ok_and(|output| {
        let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success() && fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
    })
}
