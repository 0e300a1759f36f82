//! Owns getting the programs that the servers consist of: find them, install them where the system allows, or say
//! exactly what to install. It never starts anything, and installs only as root on a system with apt.
//!
//! Read next: the servers next to this file, which each declare a [`Need`].

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::process::is_root;

/// What one server needs of the system.
#[derive(Debug, Clone, Copy)]
pub struct Need {
    /// For whom, as `MariaDB`.
    pub name: &'static str,
    /// Debian's packages that bring it.
    pub packages: &'static [&'static str],
    /// What to install on any other system.
    pub advice: &'static str,
    /// Whether the programs are there.
    pub is_met: fn() -> bool,
}

/// Sees to it that every need is met, with one run of `apt-get` for all that are missing.
///
/// # Errors
/// When something is missing and cannot be installed here: the message names what to install.
pub fn provide(needs: &[Need]) -> Result<()> {
    let missing = || needs.iter().filter(|need| !(need.is_met)()).collect::<Vec<_>>();
    if missing().is_empty() {
        return Ok(());
    }
    let Some(apt) = find_program("apt-get", &[]).filter(|_| is_root()) else {
        bail!("{}", advice(&missing()));
    };
    // Tests that run at the same time wait here for the first one's installation.
    let lock = File::create(env::temp_dir().join("neuronova-provision.lock")).context("open the provisioning lock")?;
    lock.lock().context("wait for another installation")?;
    let packages: Vec<&str> = missing().iter().flat_map(|need| need.packages.iter().copied()).collect();
    if !packages.is_empty() {
        eprintln!("installing {}", packages.join(" "));
        run_apt(&apt, &["update", "-qq"], &[])?;
        run_apt(&apt, &["install", "-y", "-qq", "--no-install-recommends"], &packages)?;
    }
    let still_missing = missing();
    if !still_missing.is_empty() {
        bail!("{}", advice(&still_missing));
    }
    Ok(())
}

/// A program from `PATH`, or from the folders where systems keep it off the path.
#[must_use]
pub fn find_program(name: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    find_programs(name, folders).next()
}

/// Every program of that name, those on `PATH` first.
pub fn find_programs(name: &str, folders: &[PathBuf]) -> impl Iterator<Item = PathBuf> {
    let file = format!("{name}{}", env::consts::EXE_SUFFIX);
    let mut searched: Vec<PathBuf> = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect();
    searched.extend(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from));
    searched.extend_from_slice(folders);
    searched.into_iter().map(move |folder| folder.join(&file)).filter(|candidate| candidate.is_file())
}

/// The folders `PARENT/*/TAIL`, newest version first.
#[must_use]
pub fn versioned_folders(parent: &Path, tail: &str) -> Vec<PathBuf> {
    let version = |folder: &Path| {
        let digits = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        digits.split('.').map(|part| part.parse().unwrap_or(0)).collect::<Vec<u32>>()
    };
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    folders.sort_by_key(|folder| std::cmp::Reverse(version(folder)));
    folders.into_iter().map(|folder| folder.join(tail)).filter(|folder| folder.is_dir()).collect()
}

/// The first number with dots in what `PROGRAM --version` prints, as `10.11.19`.
///
/// # Errors
/// When it cannot be run or prints no version.
pub fn version_of(program: &Path) -> Result<String> {
    let output =
        Command::new(program).arg("--version").output().with_context(|| format!("run {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    first_version(&text).with_context(|| format!("read the version of {}", program.display()))
}

fn first_version(text: &str) -> Option<String> {
    text.split_whitespace().find_map(|word| {
        let version: String = word.chars().take_while(|letter| letter.is_ascii_digit() || *letter == '.').collect();
        (version.contains('.') && version.starts_with(|letter: char| letter.is_ascii_digit())).then_some(version)
    })
}

fn run_apt(apt: &Path, arguments: &[&str], packages: &[&str]) -> Result<()> {
    let status = Command::new(apt)
        .args(arguments)
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive")
        // Packages bring system services that must not be started for a test.
        .env("RUNLEVEL", "1")
        .stdout(std::process::Stdio::null())
        .status()
        .context("run apt-get")?;
    if !status.success() {
        bail!("apt-get {} {} failed ({status})", arguments[0], packages.join(" "));
    }
    Ok(())
}

fn advice(missing: &[&Need]) -> String {
    missing.iter().map(|need| format!("{} is missing: {}", need.name, need.advice)).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_parsed_from_server_output() {
        for (printed, version) in [
            ("mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)", Some("10.11.19")),
            ("postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)", Some("15.20")),
            ("no version here 7", None),
        ] {
            assert_eq!(first_version(printed).as_deref(), version, "{printed}");
        }
    }

    #[test]
    fn versions_are_sorted_numerically_newest_first() {
        let parent = tempfile::tempdir().unwrap();
        for version in ["9.6", "15", "14"] {
            fs::create_dir_all(parent.path().join(version).join("bin")).unwrap();
        }
        let expected = ["15", "14", "9.6"].map(|version| parent.path().join(version).join("bin"));
        assert_eq!(versioned_folders(parent.path(), "bin"), expected);
    }

    #[test]
    fn a_missing_server_error_names_the_package_to_install() {
        let need =
            Need { name: "Nowhere", packages: &[], advice: "install nowhere 1.0 from example.org", is_met: || false };
        let error = provide(&[need]).unwrap_err().to_string();
        assert_eq!(error, "Nowhere is missing: install nowhere 1.0 from example.org");
    }
}
