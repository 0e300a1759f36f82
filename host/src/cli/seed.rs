//! `host seed`: users and patients from a TOML file, in the words of the seed document.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anstyle::AnsiColor;
use indicatif::{ProgressBar, ProgressStyle};

use super::error::CliError;
use super::output::{line, paint, target_label};
use super::{output, wiring};
use crate::config::Config;
use crate::domain::patient::latest_today;
use crate::seed_file::{SeedFile, SeedPassword};
use crate::service::{NewUser, PatientChange, PatientService, UserChange, UserService};
use crate::store::Store;

/// Patients written in one transaction.
const PATIENTS_AT_ONCE: usize = 500;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The seed file, for example seeds/initial.toml
    file: PathBuf,
    /// Wait until everything is delivered; exit 1 on failures
    #[arg(long)]
    wait: bool,
    /// Allow development passwords in a store elsewhere
    #[arg(long)]
    allow_dev_passwords: bool,
}

/// How many of each.
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

pub(super) async fn run(config: &Config, arguments: &Arguments) -> Result<ExitCode, CliError> {
    let environment = |name: &str| std::env::var(name).ok();
    let seed = SeedFile::read(&arguments.file, latest_today(jiff::Timestamp::now()), environment)?;
    refuse_dev_passwords(config, arguments, &seed)?;
    let store = wiring::migrated_store(config).await?;

    line("[START] Initial Data Seeding");
    line(&"=".repeat(60));
    line("[STEP 1/4] Creating Users...");
    let users = seed_users(&store, &seed).await?;
    line(&format!("[STEP 2/4] Creating Patients ({})...", store.database().dialect().name()));
    let targets: Vec<_> = config.enabled_targets().map(|target| target.name.as_str()).collect();
    let patients = seed_patients(&store, &seed, &targets).await?;
    line("[STEP 3/4] Syncing (Outbox pattern)...");
    let queued = patients.created + patients.updated;
    for target in &targets {
        line(&format!("   [INFO] {queued} patients queued for {target} sync"));
    }
    if targets.is_empty() {
        line(&format!("   [INFO] {queued} patients queued; no target is enabled yet"));
    }
    line("[STEP 4/4] Summary");
    line(&format!("   Users: {users}"));
    line(&format!("   Patients: {patients}"));
    if arguments.wait {
        return wait(&store).await;
    }
    line("   Next: `host run` delivers, `host status` shows");
    Ok(ExitCode::SUCCESS)
}

fn refuse_dev_passwords(config: &Config, arguments: &Arguments, seed: &SeedFile) -> Result<(), CliError> {
    let is_development = |password: &SeedPassword| matches!(password, SeedPassword::Development(_));
    if arguments.allow_dev_passwords
        || config.store.url.is_local()
        || !seed.users.iter().any(|user| is_development(&user.password))
    {
        return Ok(());
    }
    Err(CliError::Config(format!(
        "{} holds development passwords, and the store {} is not on this machine: use password_env, or say \
         --allow-dev-passwords",
        arguments.file.display(),
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
    for patients in seed.patients.chunks(PATIENTS_AT_ONCE) {
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
                PatientChange::Unchanged => {
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

fn ok(text: &str) {
    line(&format!("   {} {text}", paint(AnsiColor::Green, "[OK]")));
}

fn skip(text: &str) {
    line(&format!("   {} {text}", paint(AnsiColor::Yellow, "[SKIP]")));
}

/// Waits for a host that runs elsewhere.
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
