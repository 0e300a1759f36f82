//! `host seed`: writes users, patients and clinical records from TOML files to the store.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anstyle::AnsiColor;
use indicatif::{ProgressBar, ProgressStyle};

use super::error::CliError;
use super::output::{self, line, paint, target_label};
use super::trail::AuditTrail;
use crate::config::Config;
use crate::domain::patient::latest_today;
use crate::seed_file::{SeedFile, SeedPassword};
use crate::service::{ClinicalService, NewUser, PatientChange, PatientService, RecordChange, UserChange, UserService};
use crate::store::Store;

/// The number of patients or clinical records in one transaction.
const RECORDS_AT_ONCE: usize = 500;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The seed files, for example seeds/initial.toml
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Wait until everything is delivered; exit 1 on failures
    #[arg(long)]
    wait: bool,
    /// Allow development passwords in a store elsewhere
    #[arg(long)]
    allow_dev_passwords: bool,
}

/// The number of created, changed and unchanged records.
#[derive(Default)]
struct Tally {
    created: usize,
    updated: usize,
    unchanged: usize,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} created, {} updated, {} unchanged", self.created, self.updated, self.unchanged)
    }
}

pub(super) async fn run(config: &Config, trail: &AuditTrail, arguments: &Arguments) -> Result<ExitCode, CliError> {
    let environment = |name: &str| std::env::var(name).ok();
    let mut seeds = Vec::with_capacity(arguments.files.len());
    for file in &arguments.files {
        let seed = SeedFile::read(file, latest_today(jiff::Timestamp::now()), environment)?;
        refuse_dev_passwords(config, arguments, file, &seed)?;
        seeds.push(seed);
    }
    let store = trail.writable_store(config).await?;
    let targets: Vec<_> = config.enabled_targets().map(|target| target.name.as_str()).collect();
    for seed in &seeds {
        write(&store, seed, &targets).await?;
    }
    if arguments.wait {
        return wait(&store).await;
    }
    line("   Next: `host run` delivers, `host status` shows");
    Ok(ExitCode::SUCCESS)
}

/// Writes one file. Clinical records are mentioned only if the file has some.
async fn write(store: &Store, seed: &SeedFile, targets: &[&str]) -> Result<(), CliError> {
    let has_records = !seed.records.is_empty();
    let steps = if has_records { 5 } else { 4 };
    let dialect = store.database().dialect().name();
    line("[START] Initial Data Seeding");
    line(&"=".repeat(60));
    line(&format!("[STEP 1/{steps}] Creating Users..."));
    let users = seed_users(store, seed).await?;
    line(&format!("[STEP 2/{steps}] Creating Patients ({dialect})..."));
    let patients = seed_patients(store, seed, targets).await?;
    let mut records = Tally::default();
    if has_records {
        line(&format!("[STEP 3/{steps}] Creating Clinical Records ({dialect})..."));
        records = seed_records(store, seed).await?;
    }
    line(&format!("[STEP {}/{steps}] Syncing (Outbox pattern)...", steps - 1));
    let mut queued = format!("{} patients", patients.created + patients.updated);
    if has_records {
        queued = format!("{queued} and {} clinical records", records.created + records.updated);
    }
    for target in targets {
        line(&format!("   [INFO] {queued} queued for {target} sync"));
    }
    if targets.is_empty() {
        line(&format!("   [INFO] {queued} queued; no target is enabled yet"));
    }
    line(&format!("[STEP {steps}/{steps}] Summary"));
    line(&format!("   Users: {users}"));
    line(&format!("   Patients: {patients}"));
    if has_records {
        line(&format!("   Clinical records: {records}"));
    }
    Ok(())
}

fn refuse_dev_passwords(config: &Config, arguments: &Arguments, file: &Path, seed: &SeedFile) -> Result<(), CliError> {
    let is_development = |password: &SeedPassword| matches!(password, SeedPassword::Development(_));
    if arguments.allow_dev_passwords
        || config.store.url.is_local()
        || !seed.users.iter().any(|user| is_development(&user.password))
    {
        return Ok(());
    }
    Err(CliError::Config(format!(
        "{} holds development passwords, and the store {} is not on this machine: use password_env, or add \
         --allow-dev-passwords",
        file.display(),
        config.store.url.redacted()
    )))
}

async fn seed_users(store: &Store, seed: &SeedFile) -> Result<Tally, CliError> {
    let users: Vec<_> = seed
        .users
        .iter()
        .map(|user| NewUser { user: user.user.clone(), password: user.password.secret().clone() })
        .collect();
    let changes = UserService::new(store.clone()).put(&users).await?;
    let mut tally = Tally::default();
    for (new, change) in users.iter().zip(changes) {
        let who = format!("{} ({})", new.user.username, new.user.role);
        match change {
            UserChange::Created => {
                tally.created += 1;
                ok(&format!("User created: {who}"));
            }
            UserChange::Updated => {
                tally.updated += 1;
                ok(&format!("User updated: {who}"));
            }
            UserChange::Unchanged => {
                tally.unchanged += 1;
                skip(&format!("User unchanged: {who}"));
            }
        }
    }
    Ok(tally)
}

async fn seed_patients(store: &Store, seed: &SeedFile, targets: &[&str]) -> Result<Tally, CliError> {
    let service = PatientService::new(store.clone());
    let mut tally = Tally::default();
    for patients in seed.patients.chunks(RECORDS_AT_ONCE) {
        let changes = service.put(patients).await?;
        for (patient, change) in patients.iter().zip(changes) {
            let who = format!("{} - {} {}", patient.patient_id, patient.family_name, patient.given_name);
            match change {
                PatientChange::Created => {
                    tally.created += 1;
                    ok(&format!("Patient created: {who}"));
                }
                PatientChange::Updated => {
                    tally.updated += 1;
                    ok(&format!("Patient updated: {who}"));
                }
                // A merged patient with another state has returned an error before.
                PatientChange::Unchanged | PatientChange::Merged => {
                    tally.unchanged += 1;
                    skip(&format!("Patient unchanged: {who}"));
                    continue;
                }
            }
            for target in targets {
                line(&format!("   [INFO] {} Sync: Pending (queued)", target_label(target)));
            }
        }
    }
    Ok(tally)
}

async fn seed_records(store: &Store, seed: &SeedFile) -> Result<Tally, CliError> {
    let service = ClinicalService::new(store.clone());
    let mut tally = Tally::default();
    for records in seed.records.chunks(RECORDS_AT_ONCE) {
        let changes = service.put(records).await?;
        for (record, change) in records.iter().zip(changes) {
            let (kind, id) = (&record.key().aggregate_type, &record.key().aggregate_id);
            match change {
                RecordChange::Created => {
                    tally.created += 1;
                    ok(&format!("Record created: {kind} {id}"));
                }
                RecordChange::Updated => {
                    tally.updated += 1;
                    ok(&format!("Record updated: {kind} {id}"));
                }
                RecordChange::Unchanged => {
                    tally.unchanged += 1;
                    skip(&format!("Record unchanged: {kind} {id}"));
                }
            }
        }
    }
    Ok(tally)
}

fn ok(text: &str) {
    line(&format!("   {} {text}", paint(AnsiColor::Green, "[OK]")));
}

fn skip(text: &str) {
    line(&format!("   {} {text}", paint(AnsiColor::Yellow, "[SKIP]")));
}

/// Waits until a host in another process has delivered everything.
async fn wait(store: &Store) -> Result<ExitCode, CliError> {
    let total = store.open_work().await?;
    let bar = ProgressBar::new(total).with_style(
        ProgressStyle::with_template("   {bar:40} {pos}/{len} {per_sec} {eta}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    loop {
        let open = store.open_work().await?;
        bar.set_position(total.saturating_sub(open));
        if open == 0 {
            break;
        }
        if store.status(0).await?.hosts.is_empty() {
            bar.abandon();
            return Err(CliError::Failed(format!(
                "{open} deliveries wait, and no host runs on this store: start `host run`"
            )));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    bar.finish_and_clear();
    let failed = store.status(0).await?.totals().failed;
    output::line(&format!("   [INFO] all deliveries ended, {failed} failed"));
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
