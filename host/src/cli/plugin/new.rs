//! `host plugin new`: creates an adapter project that builds and passes `host plugin test` without changes.
//!
//! The project contains the interface and, for Rust, the SDK, so it needs only this host. `project.rs` has its files.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::project::{self, Language};
use crate::cli::error::CliError;
use crate::cli::output;
use crate::plugin::World;

/// The longest name of an adapter, in characters.
const NAME_LENGTH_MAX: usize = 48;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The adapter's name: lower-case letters, digits and `-`
    name: String,
    /// Write it for this kind of target
    #[arg(long, value_enum)]
    world: WorldName,
    /// Write it in this language
    #[arg(long, value_enum)]
    lang: Language,
    /// Make this folder instead of one with the name
    #[arg(long, value_name = "FOLDER")]
    path: Option<PathBuf>,
}

/// A world as the command line names it.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum WorldName {
    /// Writes to a target's database
    DatabaseTarget,
    /// Speaks to a target over HTTP
    HttpTarget,
}

pub(in crate::cli) fn run(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let name = arguments.name.as_str();
    if !is_name(name) {
        return Err(CliError::Usage(format!(
            "`{name}` cannot be an adapter's name: it must begin with a letter and have up to {NAME_LENGTH_MAX} of a-z, \
             0-9 and `-`"
        )));
    }
    let world = match arguments.world {
        WorldName::DatabaseTarget => World::Database,
        WorldName::HttpTarget => World::Http,
    };
    let folder = arguments.path.clone().unwrap_or_else(|| PathBuf::from(name));
    let failed = |path: &Path, error: &std::io::Error| CliError::Failed(format!("{}: {error}", path.display()));
    if std::fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(CliError::Usage(format!(
            "{} is not empty; fix: name another folder with --path",
            folder.display()
        )));
    }
    for (path, text) in project::files(name, world, arguments.lang) {
        let path = folder.join(path);
        write(&path, &text).map_err(|error| failed(&path, &error))?;
    }
    output::line(&format!("{}: an adapter for the world {world}", folder.display()));
    output::line("next, in that folder:");
    for command in project::commands(name, world, arguments.lang) {
        output::line(&format!("   {command}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn is_name(name: &str) -> bool {
    name.len() <= NAME_LENGTH_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-')
}

/// Writes a file; never replaces one.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::File::create_new(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_name_is_valid_as_a_crate_module_and_table() {
        for name in ["a", "phone-book", "v2"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "2v", "-a", "a-", "A", "a_b", "a b", "ä", &"a".repeat(49)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
