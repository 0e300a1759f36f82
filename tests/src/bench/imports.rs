//! `host import` of FHIR Patients as NDJSON and of CSV into the cache and the outbox, against a native program that
//! reads the same file and makes the same rows with the same statements. It also shows whether memory grows with the
//! file.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::connection::Connection;
use super::measure::{Options, rate};
use super::native_import;
use super::report::{Better, Goal, Row};
use super::stand::Stand;
use super::watch::peak_memory_mb;
use crate::environment::Backend;

/// How often memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How the file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Ndjson,
    Csv,
}

impl Format {
    fn file_name(self) -> &'static str {
        match self {
            Self::Ndjson => "patients.ndjson",
            Self::Csv => "patients.csv",
        }
    }
}

/// The rows of one store.
pub(super) async fn rows(options: &Options, store: Backend) -> Result<Vec<Row>> {
    let count = options.sized(30_000, 120_000);
    let (mut rates, mut memory) = (Vec::new(), (Vec::new(), Vec::new()));
    for (format, name) in [(Format::Ndjson, "FHIR NDJSON"), (Format::Csv, "CSV")] {
        let (mut ours, mut baseline) = (Vec::new(), Vec::new());
        for _ in 0..options.repeats() {
            let (elapsed, memory_mb) = by_host(store, format, count).await?;
            ours.push(rate(count, elapsed));
            if format == Format::Ndjson {
                memory.0.push(memory_mb);
                memory.1.push(by_host(store, format, count / 3).await?.1);
            }
            baseline.push(rate(count, by_native(store, format, count).await?));
        }
        rates.push(Row {
            name: format!("import of {name} into {}", store.name()),
            unit: "patients/s",
            ours,
            baseline,
            against: "native",
            better: Better::More,
            goal: Goal::figure(30_000.0),
        });
    }
    rates.push(Row {
        name: format!("import into {}, memory", store.name()),
        unit: "MB",
        ours: memory.0,
        baseline: memory.1,
        against: "a file of a third of the size",
        better: Better::Less,
        // The same, but for what the allocator keeps.
        goal: Goal::ratio(0.8),
    });
    Ok(rates)
}

/// How long the command takes, from its start to its end, and the most memory it had.
async fn by_host(store: Backend, format: Format, count: usize) -> Result<(Duration, f64)> {
    let stand = Stand::without_target(store).await?;
    write_file(&stand.host.folder().join(format.file_name()), format, count)?;
    let began = Instant::now();
    let mut host = stand.host.spawn(&["import", format.file_name()])?;
    let mut memory_mb = 0.0_f64;
    while host.is_running()? {
        memory_mb = memory_mb.max(peak_memory_mb(host.id()).unwrap_or_default());
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let elapsed = began.elapsed();
    ensure!(host.exit_code()? == Some(0), "host import did not end well");
    ensure!(taken(stand.store.url()).await? == count, "host import did not take everything");
    Ok((elapsed, memory_mb))
}

async fn by_native(store: Backend, format: Format, count: usize) -> Result<Duration> {
    let stand = Stand::without_target(store).await?;
    let file = stand.host.folder().join(format.file_name());
    write_file(&file, format, count)?;
    let elapsed = Box::pin(native_import::import(stand.store.url(), &file, format)).await?;
    ensure!(taken(stand.store.url()).await? == count, "the native program did not take everything");
    Ok(elapsed)
}

/// Patients that have both their rows.
async fn taken(url: &str) -> Result<usize> {
    let mut store = Connection::open(url).await?;
    let sql = "SELECT COUNT(*) FROM patient_cache p JOIN sync_outbox o ON o.aggregate_id = p.patient_id";
    // No index leads from a patient to its outbox row: this one question needs another plan than the host's.
    if store.dialect() == super::connection::Dialect::Postgres {
        store.run("SET enable_hashjoin = on; SET enable_seqscan = on").await?;
    }
    Ok(usize::try_from(store.rows(sql, &[]).await?[0][0].integer())?)
}

fn write_file(path: &Path, format: Format, count: usize) -> Result<()> {
    let mut file = BufWriter::new(File::create(path).with_context(|| format!("make {}", path.display()))?);
    if format == Format::Csv {
        writeln!(
            file,
            "patient_id,family_name,given_name,birth_date,gender,native_family_name,native_given_name,phone_mobile,street,\
             city,country"
        )?;
    }
    for number in 0..count {
        match format {
            Format::Ndjson => writeln!(
                file,
                "{{\"resourceType\":\"Patient\",\"id\":\"I-{number}\",\"birthDate\":\"1980-01-31\",\"gender\":\"female\",\
                 \"identifier\":[{{\"system\":\"urn:neuronova:patient-id\",\"value\":\"I-{number}\"}}],\
                 \"name\":[{{\"use\":\"official\",\"family\":\"김\",\"given\":[\"민준\"]}},\
                 {{\"use\":\"official\",\"family\":\"Kim\",\"given\":[\"MinJun\"]}}],\
                 \"telecom\":[{{\"system\":\"phone\",\"value\":\"010-5550-1001\",\"use\":\"mobile\"}}],\
                 \"address\":[{{\"use\":\"home\",\"line\":[\"1 Sejong-daero\"],\"city\":\"Seoul\",\"country\":\"KR\"}}]}}"
            )?,
            Format::Csv => {
                writeln!(
                    file,
                    "I-{number},Kim,MinJun,1980-01-31,female,김,민준,010-5550-1001,1 Sejong-daero,Seoul,KR"
                )?;
            }
        }
    }
    file.flush().with_context(|| format!("write {}", path.display()))
}
