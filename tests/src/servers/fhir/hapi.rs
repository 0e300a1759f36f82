//! Owns HAPI FHIR's JPA server, built by Maven from `tests/servers/hapi/` into `target/hapi/`.
//!
//! The version is the one that `docker-compose.dev.yml` starts. It is built once; a changed source builds it anew. It
//! keeps its data in memory, or in a PostgreSQL database that its caller names, where they outlast it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{
    environment::{target_directory, workspace},
    servers::{
        process::{Launch, StopSignal, run_to_end},
        provision::{Need, find_program},
    },
};

pub(super) const VERSION: &str = "HAPI FHIR JPA 8.2.0";

/// What it is built from. A change of any of them builds it anew.
const SOURCES: [&str; 5] = [
    include_str!("../../../servers/hapi/pom.xml"),
    include_str!("../../../servers/hapi/src/main/resources/logback.xml"),
    include_str!("../../../servers/hapi/src/main/java/neuronova/hapi/Main.java"),
    include_str!("../../../servers/hapi/src/main/java/neuronova/hapi/Storage.java"),
    include_str!("../../../servers/hapi/src/main/java/neuronova/hapi/Validate.java"),
];

pub(super) const NEED: Need = Need {
    name: "HAPI FHIR",
    packages: &["openjdk-17-jdk-headless", "maven"],
    advice: "install Java 17 or newer (the JDK) and Maven 3.6.3 or newer on the PATH, and let Maven reach a repository \
             (Debian, Ubuntu: apt-get install openjdk-17-jdk-headless maven)",
    is_met: || {
        let has = |name| find_program(name, &[]).is_some();
        has("java") && (is_complete() || has("javac") && has("mvn"))
    },
};

/// Builds it, where that was not done yet. The first time downloads about 230 MB.
pub(super) fn build() -> Result<()> {
    if is_complete() {
        return Ok(());
    }
    let folder = folder();
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    // Two tests that start together must not both build it.
    let lock = File::create(folder.join("lock"))?;
    lock.lock().context("wait for another build of HAPI FHIR")?;
    if is_complete() {
        return Ok(());
    }
    eprintln!("building {VERSION} into {}", folder.display());
    let maven = find_program("mvn", &[]).context("find Maven after providing it")?;
    let mut command = Command::new(maven);
    command
        .args(["--batch-mode", "--quiet", "package"])
        .arg(format!("-DbuildFolder={}", folder.display()))
        .current_dir(workspace().join("tests/servers/hapi"));
    run_to_end(&mut command, None).context("build HAPI FHIR")?;
    // Last, so that a build cut short is made anew.
    fs::write(folder.join("built"), built())?;
    Ok(())
}

/// `database`: the JDBC address of a PostgreSQL database; none keeps all in memory.
pub(super) fn launch(directory: &Path, port: u16, database: Option<&str>) -> Result<Launch> {
    Ok(Launch {
        name: NEED.name,
        program: java()?,
        arguments: FLAGS
            .map(Into::into)
            .into_iter()
            .chain(["-jar".into(), folder().join("hapi-server.jar").into(), port.to_string().into()])
            .chain(database.map(Into::into))
            .collect(),
        directory: directory.to_path_buf(),
        log: directory.join("log"),
        run_as: None,
        stop_signal: StopSignal::Terminate,
    })
}

/// HAPI's validator over files of resources: prints one line of JSON for each.
pub(super) fn validator(files: &[PathBuf]) -> Result<Command> {
    let mut command = Command::new(java()?);
    command.args(FLAGS).arg("-cp").arg(folder().join("hapi-server.jar")).arg("neuronova.hapi.Validate").args(files);
    Ok(command)
}

/// Little memory, and a start that costs half of the time: what it compiles well it would compile for hours of use.
const FLAGS: [&str; 3] = ["-Xmx768m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"];

fn java() -> Result<PathBuf> {
    find_program("java", &[]).context("find Java after providing it")
}

fn is_complete() -> bool {
    fs::read_to_string(folder().join("built")).is_ok_and(|text| text == built())
        && folder().join("hapi-server.jar").is_file()
}

fn built() -> String {
    SOURCES.concat()
}

fn folder() -> PathBuf {
    target_directory().join("hapi")
}
