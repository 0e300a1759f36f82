//! Owns the newcomer's first look: five patients and their clinical records through the outbox into an OpenEMR-shaped
//! SQLite file and a FHIR server on loopback, everything under `target/demo/`.
//!
//! What it made stays: a second run finds the store, both targets and their ids as they were, and has nothing to do.
//! The FHIR server keeps its data; it gets its old port again unless another program took it, and only then its address
//! changes.

use std::{collections::BTreeSet, env, fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::{
    environment::{fixture, workspace},
    host::{Configuration, Host},
    servers::{
        FhirServer,
        process::{free_port, is_free},
    },
};

use crate::{
    adapters,
    cargo::{Metadata, build, run as run_visibly, shown},
    steps::Steps,
};

/// What `seeds/initial.toml` holds.
const PATIENTS: usize = 5;
/// What `seeds/clinical.toml` holds.
const RECORDS: usize = 21;
/// Its targets, each named as its adapter.
const TARGETS: [&str; 2] = ["openemr", "fhir"];
/// What both targets are sent. OpenEMR has no place for some of it.
const TYPES: [&str; 8] =
    ["patient", "encounter", "condition", "allergy", "medication", "observation", "appointment", "fhir-resource"];

/// Runs it. Fails when the five patients and their records are not at both targets in the end.
pub(crate) fn run() -> Result<()> {
    let target = Metadata::read()?.target_directory()?;
    let folder = target.join("demo");
    let mut steps = Steps::new(5);
    steps.next("Build the adapters (the first time takes minutes)");
    let adapters = adapters::build(&TARGETS)?;
    steps.next("Build the host (the first time takes minutes)");
    build(&["host", "load-sql"], &[])?;
    let binary = |name: &str| target.join("debug").join(format!("{name}{}", env::consts::EXE_SUFFIX));

    steps.next("Start the targets: an OpenEMR-shaped SQLite file and a FHIR server");
    let openemr = folder.join("openemr.db");
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    make_openemr(&openemr, &binary("load-sql"))?;
    let fhir = start_fhir(&folder)?;
    let configuration = Configuration::new("sqlite://.host/host.db")
        .openemr(&adapters.join("openemr.wasm"), &sqlite_url(&openemr))
        .fhir(&adapters.join("fhir.wasm"), &fhir.url());
    let configuration =
        TARGETS.iter().fold(configuration, |configuration, target| configuration.taking(target, &TYPES));
    let host = Host::in_folder(&folder, binary("host"), &configuration)?;

    steps.next("Seed five patients with their clinical records, and deliver them");
    let seeds = workspace().join("seeds");
    step(host.command(&[Path::new("seed"), &seeds.join("initial.toml"), &seeds.join("clinical.toml")]))?;
    step(host.command(&["run", "--until-idle"]))?;
    step(host.command(&["status", "--recent", "100"]))?;
    step(host.command(&["failed", "list", "--skipped"]))?;
    steps.next("Check that all of them are in both targets");
    check(&host.run(&["status", "--json", "--recent", "100"]).expect_success().json())?;
    drop(steps);
    println!(
        "\nThe {PATIENTS} patients and their {RECORDS} records are in both targets, with the ids above; what OpenEMR has no \
         place for is listed with the reason. To look further: {} holds the configuration and the store (.host/host.db), {} \
         the patients as OpenEMR has them. Run the demo again: there is nothing left to do.",
        folder.display(),
        openemr.display(),
    );
    Ok(())
}

/// Makes the file under another name first: one that was cut short half-way is made anew.
fn make_openemr(file: &Path, load_sql: &Path) -> Result<()> {
    if file.exists() {
        return Ok(());
    }
    let unfinished = file.with_extension("unfinished");
    if unfinished.exists() {
        fs::remove_file(&unfinished).with_context(|| format!("remove {}", unfinished.display()))?;
    }
    run_visibly(Command::new(load_sql).arg(sqlite_url(&unfinished)).arg(fixture("openemr/sqlite.sql")))?;
    fs::rename(&unfinished, file).with_context(|| format!("write {}", file.display()))
}

fn start_fhir(folder: &Path) -> Result<FhirServer> {
    let (data, noted) = (folder.join("fhir-data"), folder.join("fhir-port"));
    fs::create_dir_all(&data).with_context(|| format!("make {}", data.display()))?;
    let last = fs::read_to_string(&noted).ok().and_then(|port| port.trim().parse().ok());
    let port = match last.filter(|port| is_free(*port)) {
        Some(port) => port,
        None => free_port()?,
    };
    let server = FhirServer::start_in(&data, port).context("start the FHIR server of the demo")?;
    fs::write(&noted, port.to_string()).with_context(|| format!("write {}", noted.display()))?;
    Ok(server)
}

fn sqlite_url(file: &Path) -> String {
    format!("sqlite://{}", file.to_string_lossy().replace('\\', "/"))
}

fn step(mut command: Command) -> Result<()> {
    println!("\n$ {}", shown(&command));
    run_visibly(&mut command)
}

/// Every patient has an id at every target, every record has one or was skipped there, and nothing is left to do.
fn check(status: &Value) -> Result<()> {
    let totals = &status["totals"];
    for left in ["pending", "processing", "failed"] {
        ensure!(totals[left] == 0, "{} deliveries are {left}", totals[left]);
    }
    for target in TARGETS {
        let (patients, records): (Vec<_>, Vec<_>) =
            arrived(status, target).into_iter().partition(|(kind, _)| *kind == "patient");
        ensure!(patients.len() == PATIENTS, "{} of {PATIENTS} patients have an id at {target}", patients.len());
        ensure!(records.len() == RECORDS, "{} of {RECORDS} records are at {target} or skipped there", records.len());
    }
    Ok(())
}

/// The type and id of each aggregate that a target has, or has no place for.
fn arrived<'a>(status: &'a Value, target: &str) -> BTreeSet<(&'a str, &'a str)> {
    let has_arrived = |sync: &&Value| match sync["status"].as_str() {
        Some("done") => !sync["remote_id"].is_null(),
        Some("skipped") => true,
        _ => false,
    };
    let recent = status["recent"].as_array().into_iter().flatten();
    recent
        .filter(|sync| sync["target"] == target)
        .filter(has_arrived)
        .filter_map(|sync| Some((sync["aggregate_type"].as_str()?, sync["aggregate_id"].as_str()?)))
        .collect()
}

#[cfg(test)]
mod check_tests {
    use serde_json::json;

    use super::*;

    /// Patients and records at both targets, the last record skipped at one of them; the first `syncs` of all.
    fn status(syncs: usize) -> Value {
        let one = |n: usize| {
            let (kind, id) =
                if n / 2 < PATIENTS { ("patient", format!("P-{}", n / 2)) } else { ("condition", format!("C-{n}")) };
            json!({"aggregate_type": kind, "aggregate_id": id, "target": TARGETS[n % 2], "status": "done", "remote_id": "1"})
        };
        let mut recent: Vec<Value> = (0..syncs).map(one).collect();
        if let Some(last) = recent.last_mut().filter(|_| syncs == ALL) {
            last["status"] = json!("skipped");
            last["remote_id"] = Value::Null;
        }
        json!({"totals": {"pending": 0, "processing": 0, "done": syncs, "failed": 0, "superseded": 0, "dismissed": 0}, "recent": recent})
    }

    const ALL: usize = 2 * (PATIENTS + RECORDS);

    #[test]
    fn five_patients_with_records_at_both_targets_pass() {
        check(&status(ALL)).unwrap();
    }

    #[test]
    fn a_patient_without_an_id_or_a_record_at_one_target_fails() {
        assert_eq!(check(&status(9)).unwrap_err().to_string(), "0 of 21 records are at openemr or skipped there");
        assert_eq!(check(&status(ALL - 1)).unwrap_err().to_string(), "20 of 21 records are at fhir or skipped there");
        let mut unlinked = status(ALL);
        unlinked["recent"][0]["remote_id"] = Value::Null;
        assert_eq!(check(&unlinked).unwrap_err().to_string(), "4 of 5 patients have an id at openemr");
    }

    #[test]
    fn an_undelivered_change_fails() {
        let mut waiting = status(ALL);
        waiting["totals"]["pending"] = json!(1);
        assert_eq!(check(&waiting).unwrap_err().to_string(), "1 deliveries are pending");
    }
}
