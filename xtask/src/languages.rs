//! Owns building the example adapters that are not in Rust: their tools at pinned versions under
//! `target/example-tools/`, and each component anew only when its source, its tools' versions or `wit/0.2.0/` changed.
//!
//! Where Python or Node is missing it is named and its examples are left out; where `CI` is set that is an error.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};
use tests::{
    environment::{is_ci, workspace},
    servers::{
        process::run_to_end,
        provision::{Need, find_program, provide},
    },
};

/// The version of the interface that the examples are written for.
const WIT: &str = "wit/0.2.0";

/// A language that components are made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Language {
    Python,
    JavaScript,
}

/// One example: `plugins/examples/FOLDER/SOURCE` becomes `target/adapters/NAME.wasm`.
struct Example {
    name: &'static str,
    language: Language,
    source: &'static str,
    world: &'static str,
}

const EXAMPLES: [Example; 4] = [
    Example { name: "example-chart-python", language: Language::Python, source: "chart.py", world: "database-target" },
    Example {
        name: "example-directory-python",
        language: Language::Python,
        source: "directory.py",
        world: "http-target",
    },
    Example {
        name: "example-chart-javascript",
        language: Language::JavaScript,
        source: "chart.js",
        world: "database-target",
    },
    Example {
        name: "example-directory-javascript",
        language: Language::JavaScript,
        source: "directory.js",
        world: "http-target",
    },
];

/// Every name that can be asked for.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    EXAMPLES.iter().map(|example| example.name)
}

/// Builds the wanted ones into `target/adapters/`, the languages at the same time.
pub(crate) fn build(target: &Path, wanted: impl Fn(&str) -> bool + Sync) -> Result<()> {
    let wanted = &wanted;
    thread::scope(|scope| {
        let builds = [Language::Python, Language::JavaScript]
            .map(|language| scope.spawn(move || build_language(language, target, wanted)));
        builds.into_iter().try_for_each(|build| build.join().expect("invariant: a build does not panic"))
    })
}

fn build_language(language: Language, target: &Path, wanted: impl Fn(&str) -> bool) -> Result<()> {
    for example in EXAMPLES.iter().filter(|example| example.language == language && wanted(example.name)) {
        let component = target.join("adapters").join(format!("{}.wasm", example.name));
        let stamp = component.with_extension("sources.sha256");
        let digest = example.digest()?;
        if component.is_file() && fs::read_to_string(&stamp).is_ok_and(|built| built == digest) {
            continue;
        }
        if let Err(missing) = provide(&[language.need()]) {
            if is_ci() {
                return Err(missing);
            }
            println!("adapter {}: not built: {missing}", example.name);
            continue;
        }
        let unfinished = component.with_extension("wasm.new");
        example
            .componentize(&language.tools(target)?, &unfinished)
            .with_context(|| format!("build {}", example.name))?;
        fs::rename(&unfinished, &component).with_context(|| format!("write {}", component.display()))?;
        fs::write(&stamp, digest)?;
        println!("adapter {}: {} ({} kB)", example.name, component.display(), fs::metadata(&component)?.len() / 1000);
    }
    Ok(())
}

impl Example {
    fn componentize(&self, tools: &Path, output: &Path) -> Result<()> {
        let (wit, folder) = (workspace().join(WIT), self.language.folder());
        let mut command = match self.language {
            Language::Python => {
                let mut command = Command::new(python_program(tools, "componentize-py"));
                command.args(["--wit-path"]).arg(wit).args(["--world", self.world, "componentize"]);
                command.arg(self.source.trim_end_matches(".py")).arg("--output").arg(output);
                command
            }
            Language::JavaScript => {
                let mut command = Command::new(node().context("find Node after providing it")?);
                command.arg(tools.join("build.mjs")).arg(self.source).arg(wit).arg(self.world).arg(output);
                command
            }
        };
        run_to_end(command.current_dir(folder), None)
    }

    /// Of everything that the component is made of.
    fn digest(&self) -> Result<String> {
        let mut files = self.language.pins();
        let modules = self.language.contract().iter().chain([&self.source]);
        files.extend(modules.map(|name| self.language.folder().join(name)));
        collect(&workspace().join(WIT), &mut files)?;
        files.sort();
        let mut digest = Sha256::new();
        for file in files.iter().filter(|file| file.extension().is_none_or(|extension| extension != "md")) {
            let bytes = fs::read(file).with_context(|| format!("read {}", file.display()))?;
            digest.update(file.to_string_lossy().as_bytes());
            digest.update((bytes.len() as u64).to_le_bytes());
            digest.update(bytes);
        }
        Ok(format!("{:?}", digest.finalize()))
    }
}

impl Language {
    fn folder(self) -> PathBuf {
        workspace().join("plugins").join("examples").join(match self {
            Self::Python => "python",
            Self::JavaScript => "javascript",
        })
    }

    /// The modules that read payloads, which the examples of a language share.
    fn contract(self) -> &'static [&'static str] {
        match self {
            Self::Python => &["patient.py", "clinical.py", "clinical_types.py"],
            Self::JavaScript => &["patient.js", "clinical.js", "clinical_types.js"],
        }
    }

    /// The files that pin the tools' versions, and what the tools are run by.
    fn pins(self) -> Vec<PathBuf> {
        let names: &[&str] = match self {
            Self::Python => &["requirements.txt"],
            Self::JavaScript => &["package.json", "package-lock.json", "build.mjs"],
        };
        names.iter().map(|name| self.folder().join(name)).collect()
    }

    fn need(self) -> Need {
        match self {
            Self::Python => Need {
                name: "Python 3.10 or newer with venv",
                packages: &["python3", "python3-venv"],
                advice: "Debian, Ubuntu: apt-get install python3-venv; macOS: brew install python; \
                         Windows: winget install Python.Python.3.12",
                is_met: || python().is_some(),
            },
            Self::JavaScript => Need {
                name: "Node 20 or newer with npm",
                packages: &["nodejs", "npm"],
                advice: "Debian, Ubuntu: apt-get install nodejs npm; macOS: brew install node; \
                         Windows: winget install OpenJS.NodeJS.LTS",
                is_met: || node().is_some() && npm().is_some(),
            },
        }
    }

    /// The folder with the tools, made where it is not there as the pins say.
    fn tools(self, target: &Path) -> Result<PathBuf> {
        let folder = target.join("example-tools").join(match self {
            Self::Python => "python",
            Self::JavaScript => "javascript",
        });
        // An environment of Python knows its own path, so that one that was moved is made anew.
        let mut wanted = folder.display().to_string();
        for pin in self.pins() {
            wanted.push_str(&fs::read_to_string(&pin).with_context(|| format!("read {}", pin.display()))?);
        }
        let marker = folder.join("installed");
        if fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
            return Ok(folder);
        }
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        for pin in self.pins() {
            fs::copy(&pin, folder.join(pin.file_name().context("a pin has a name")?))?;
        }
        println!("installing the tools for {} into {}", self.need().name, folder.display());
        match self {
            Self::Python => install_python(&folder)?,
            Self::JavaScript => {
                let mut command = Command::new(npm().context("find npm after providing it")?);
                run_to_end(
                    command.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(&folder),
                    None,
                )?;
            }
        }
        fs::write(marker, wanted)?;
        Ok(folder)
    }
}

fn install_python(folder: &Path) -> Result<()> {
    let python = python().context("find Python after providing it")?;
    run_to_end(Command::new(python).args(["-m", "venv", "--clear"]).arg(folder.join("environment")), None)?;
    let mut command = Command::new(python_program(folder, "python"));
    command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    run_to_end(command.arg(folder.join("requirements.txt")), None)
}

fn python_program(tools: &Path, name: &str) -> PathBuf {
    let (folder, suffix) = if cfg!(windows) { ("Scripts", ".exe") } else { ("bin", "") };
    tools.join("environment").join(folder).join(format!("{name}{suffix}"))
}

/// One that can make environments. On Windows `python3` is often a shop window of the store: it must run.
fn python() -> Option<PathBuf> {
    ["python3", "python"].into_iter().filter_map(|name| find_program(name, &[])).find(|program| {
        let asks = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))";
        run_to_end(Command::new(program).args(["-c", asks]), None).is_ok()
    })
}

fn node() -> Option<PathBuf> {
    find_program("node", &[]).filter(|program| {
        let asks = "process.exit(Number(process.versions.node.split('.')[0]) < 20 ? 1 : 0)";
        run_to_end(Command::new(program).args(["-e", asks]), None).is_ok()
    })
}

/// On Windows it is a script, which has another ending.
fn npm() -> Option<PathBuf> {
    let script = |path: PathBuf| cfg!(windows).then(|| path.with_file_name("npm.cmd")).filter(|path| path.is_file());
    find_program("npm", &[]).or_else(|| node().and_then(script))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    if files.is_empty() {
        bail!("{} is empty", folder.display());
    }
    Ok(())
}
