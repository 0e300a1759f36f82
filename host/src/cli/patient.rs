//! `host patient`: the store's patients, one at a time, through the same service as all other commands.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::error::CliError;
use super::operator::reason;
use super::trail::AuditTrail;
use super::{output, wiring};
use crate::config::Config;
use crate::domain::audit::AuditSubject;
use crate::domain::patient::{PatientDraft, latest_today};
use crate::files;
use crate::service::{MergeCounts, PatientChange, PatientService};
use crate::store::{NewMerge, Store, StoredPatient};

/// The largest accepted patient in bytes.
const PATIENT_BYTES_MAX: u64 = 8 << 20;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    /// List patients with their ids at the targets
    List {
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
        /// Begin after this id
        #[arg(long, value_name = "ID")]
        after: Option<String>,
        /// Show at most this many
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
    },
    /// Print one patient as JSON
    Show {
        /// The patient's id
        patient_id: String,
    },
    /// Create or update a patient, and queue the change
    Put {
        /// The file with one JSON object; `-` is stdin
        file: PathBuf,
    },
    /// Delete a patient, and queue the removal
    Delete {
        /// The patient's id
        patient_id: String,
    },
    /// Merge a patient into another, who stays
    Merge {
        /// The id of the patient who is merged
        #[arg(value_name = "LOSER")]
        patient_id: String,
        /// The id of the patient who stays
        #[arg(value_name = "SURVIVOR")]
        survivor_id: String,
        /// Record this reason; give no patient's data
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
    },
    /// Undo the merge of a patient
    Unmerge {
        /// The id of the patient who was merged
        #[arg(value_name = "LOSER")]
        patient_id: String,
    },
}

pub(super) async fn run(config: &Config, trail: &AuditTrail, verb: &Verb) -> Result<ExitCode, CliError> {
    match verb {
        Verb::List { json, after, limit } => {
            let store = wiring::readable_store(config).await?;
            list(trail, &store, after.as_deref(), *limit, *json).await?;
        }
        Verb::Show { patient_id } => {
            trail.about(AuditSubject::patient(patient_id));
            let store = wiring::readable_store(config).await?;
            let stored = store.patient(patient_id).await?.ok_or_else(|| unknown(patient_id))?;
            let survivors = store.merges_among(&[patient_id]).await?;
            trail.shown(&store, "patient", 1).await?;
            output::pretty_json(&as_json(&stored, survivors.get(patient_id).map(String::as_str)));
        }
        Verb::Put { file } => put(config, trail, file).await?,
        Verb::Delete { patient_id } => {
            trail.about(AuditSubject::patient(patient_id));
            let store = trail.writable_store(config).await?;
            if !PatientService::new(store).delete(patient_id).await? {
                return Err(unknown(patient_id));
            }
            output::line(&format!("[OK] Patient deleted: {patient_id} (queued)"));
        }
        Verb::Merge { patient_id, survivor_id, reason } => {
            trail.about(AuditSubject::patient(patient_id).with_other(survivor_id));
            let merge = NewMerge { patient_id, survivor_id, reason, merged_by: trail.who() };
            let store = trail.writable_store(config).await?;
            let counts = PatientService::new(store).merge(&merge).await?;
            tracing::info!(patient_id, survivor_id, by = trail.who(), "patients merged");
            output::line(&format!("[OK] Patient merged: {patient_id} into {survivor_id} (queued{})", also(&counts)));
        }
        Verb::Unmerge { patient_id } => {
            trail.about(AuditSubject::patient(patient_id));
            let store = trail.writable_store(config).await?;
            let Some((survivor_id, counts)) = PatientService::new(store.clone()).unmerge(patient_id).await? else {
                return Err(match store.patient(patient_id).await? {
                    Some(_) => CliError::Failed(format!("patient `{patient_id}` is not merged")),
                    None => unknown(patient_id),
                });
            };
            tracing::info!(patient_id, survivor_id, by = trail.who(), "merge of patients undone");
            output::line(&format!("[OK] Merge undone: {patient_id} from {survivor_id} (queued{})", also(&counts)));
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(trail: &AuditTrail, store: &Store, after: Option<&str>, limit: u32, json: bool) -> Result<(), CliError> {
    let patients = store.patients(after, limit).await?;
    let ids: Vec<_> = patients.iter().map(|stored| stored.patient.patient_id.as_str()).collect();
    let survivors = store.merges_among(&ids).await?;
    // The list is in the order of the ids, so that its ends tell whom it shows.
    if let (Some(first), Some(last)) = (ids.first(), ids.last()) {
        trail.about(AuditSubject::default().with_detail(&format!("{first} to {last}")));
    }
    trail.shown(store, "patient", patients.len()).await?;
    for stored in &patients {
        let survivor = survivors.get(stored.patient.patient_id.as_str()).map(String::as_str);
        if json {
            output::json(&as_json(stored, survivor));
        } else {
            output::line(&as_line(stored, survivor));
        }
    }
    Ok(())
}

async fn put(config: &Config, trail: &AuditTrail, file: &Path) -> Result<(), CliError> {
    let patient = read(file)?.validate(latest_today(jiff::Timestamp::now())).map_err(|problems| {
        let lines: Vec<_> = problems.iter().map(|problem| format!("{}: {problem}", file.display())).collect();
        CliError::Config(lines.join("\n"))
    })?;
    let id = patient.patient_id.as_str().to_owned();
    trail.about(AuditSubject::patient(&id));
    let change = PatientService::new(trail.writable_store(config).await?).put(&[patient]).await?;
    output::line(&match change.first() {
        Some(PatientChange::Created) => format!("[OK] Patient created: {id} (queued)"),
        Some(PatientChange::Updated) => format!("[OK] Patient updated: {id} (queued)"),
        Some(PatientChange::Unchanged | PatientChange::Merged) | None => format!("[SKIP] Patient unchanged: {id}"),
    });
    Ok(())
}

/// A text with the number of other changes that were queued with the patient.
fn also(counts: &MergeCounts) -> String {
    let MergeCounts { merged_before, records } = counts;
    let of = |count: usize, what: &str| (count > 0).then(|| format!(", with {count} {what}"));
    let merged = of(*merged_before, "merged before");
    let records = of(*records, "clinical records");
    [merged, records].into_iter().flatten().collect()
}

fn unknown(patient_id: &str) -> CliError {
    CliError::Failed(format!("the store has no patient `{patient_id}`"))
}

fn read(file: &Path) -> Result<PatientDraft, CliError> {
    let mut text = String::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin().take(PATIENT_BYTES_MAX).read_to_string(&mut text).map(drop)
    } else {
        files::read_text(file, PATIENT_BYTES_MAX).map(|read| text = read)
    };
    read.map_err(|error| CliError::Config(format!("cannot read {}: {error}", file.display())))?;
    let mut value: Value = serde_json::from_str(&text)
        .map_err(|error| CliError::Config(format!("{}:{}: not JSON", file.display(), error.line())))?;
    // The output of `show` is accepted as input: the ids belong to the targets, and the merge has its own command.
    if let Value::Object(object) = &mut value {
        for id in ["openemr_patient_id", "fhir_patient_id", "merged_into"] {
            object.remove(id);
        }
    }
    serde_json::from_value(value).map_err(|error: serde_json::Error| {
        // serde's own message may repeat a value.
        let reason = match error.to_string().split_once('`') {
            Some(("unknown field ", rest)) => format!("unknown field `{}`", rest.split('`').next().unwrap_or_default()),
            _ => "a field is not text".to_owned(),
        };
        CliError::Config(format!("{}: {reason}", file.display()))
    })
}

fn as_json(stored: &StoredPatient, survivor: Option<&str>) -> Value {
    let mut value = serde_json::from_str::<Value>(&stored.patient.payload()).unwrap_or_default();
    if let Value::Object(object) = &mut value {
        object.insert("openemr_patient_id".to_owned(), json!(stored.openemr_patient_id));
        object.insert("fhir_patient_id".to_owned(), json!(stored.fhir_patient_id));
        if let Some(survivor) = survivor {
            object.insert("merged_into".to_owned(), json!(survivor));
        }
    }
    value
}

fn as_line(stored: &StoredPatient, survivor: Option<&str>) -> String {
    let patient = &stored.patient;
    let openemr = stored.openemr_patient_id.map_or_else(|| "-".to_owned(), |id| id.to_string());
    let fhir = stored.fhir_patient_id.as_deref().unwrap_or("-");
    let merged = survivor.map(|survivor| format!("  merged into {survivor}")).unwrap_or_default();
    let (id, family, given) = (&patient.patient_id, &patient.family_name, &patient.given_name);
    format!("{id}  {family} {given}  openemr {openemr}  fhir {fhir}{merged}")
}
