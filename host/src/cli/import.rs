//! `host import`: patients from another system's export into the store, and into the outbox what changed.
//!
//! One thread reads and checks, this one writes; between them wait at most a few chunks. Each chunk is one transaction that
//! also notes how far the file was taken (`store/imports.rs`), so that a run that was killed goes on behind its last chunk.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::error::CliError;
use super::import_report::{Bar, Report};
use super::wiring;
use crate::config::Config;
use crate::domain::patient::latest_today;
use crate::import::{Chunk, Chunks, ColumnMap, FhirOptions, Format, ImportError, Options, Prefix, Quotes, Rejects};
use crate::service::{PatientService, count};
use crate::store::ImportProgress;

/// Chunks that wait to be written.
const CHUNKS_WAITING: usize = 2;

#[derive(Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(super) struct Arguments {
    /// The file; `-` is stdin. What is packed with gzip is unpacked
    pub(super) file: PathBuf,
    /// How it is written; told by its name unless given
    #[arg(long, value_enum)]
    format: Option<FormatName>,
    /// The identifier system of the patient id; without it `urn:neuronova:patient-id`, else the resource's id
    #[arg(long, value_name = "URI")]
    identifier_system: Option<String>,
    /// The identifier system of the national id; without it the identifier of type NI
    #[arg(long, value_name = "URI")]
    national_id_system: Option<String>,
    /// Take race and ethnicity from US Core's extensions
    #[arg(long)]
    us_core: bool,
    /// CSV: their column is this field of ours; with nothing after the `=` it is passed over
    #[arg(long = "map", value_name = "HEADER=FIELD")]
    maps: Vec<String>,
    /// A TOML file with [values.FIELD] and `absent`; for CSV also [columns] and `date_format`
    #[arg(long, value_name = "FILE")]
    map_file: Option<PathBuf>,
    /// CSV: pass over columns that are neither mapped nor named as a field
    #[arg(long)]
    ignore_other_columns: bool,
    /// CSV: what stands between two fields, one character or `tab`; a comma, or a tab for .tsv, unless given
    #[arg(long, value_name = "CHARACTER")]
    delimiter: Option<String>,
    /// CSV: how a quote inside a quoted cell is written
    #[arg(long, value_enum, default_value = "doubled")]
    quotes: QuotesName,
    /// Reject a whole record for one field that cannot be taken, also where the patient can go without it
    #[arg(long)]
    strict: bool,
    /// Where it says what was not taken; FILE.rejects.ndjson unless given
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Write the whole record to the rejects too, with its patient's data
    #[arg(long)]
    rejects_with_line: bool,
    /// Check and compare everything, write nothing but the rejects
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Begin with the first line, also where an earlier run has taken the file
    #[arg(long)]
    again: bool,
    /// One JSON object at the end
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FormatName {
    /// FHIR Patient, one on each line
    Ndjson,
    /// A header, then one patient on each line
    Csv,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum QuotesName {
    /// Twice
    Doubled,
    /// Behind a backslash, as MySQL's SELECT ... INTO OUTFILE does
    Backslash,
    /// There is no quoting: a quote is a character like any other
    None,
}

/// What the reading thread says.
enum News {
    /// The file is open; so many lines are behind.
    Open {
        lines: u64,
        size: Option<u64>,
        read: std::sync::Arc<std::sync::atomic::AtomicU64>,
    },
    Chunk(Box<Chunk>),
    Failed(ImportError),
}

pub(super) async fn run(config: &Config, arguments: &Arguments) -> Result<ExitCode, CliError> {
    let options = options(arguments)?;
    let rejects_path = rejects_path(arguments)?;
    let store = wiring::migrated_store(config).await?;
    let id = (!arguments.dry_run).then(|| import_id(&arguments.file, &options)).flatten();
    let earlier = match &id {
        Some(id) if !arguments.again => store.import_progress(id).await?,
        _ => None,
    };
    let started = Instant::now();
    let mut news = read_on_a_thread(arguments.file.clone(), options.clone(), earlier.clone());
    let (lines, size, read) = match news.recv().await {
        Some(News::Open { lines, size, read }) => (lines, size, read),
        Some(News::Failed(error)) => return Err(error.into()),
        Some(News::Chunk(_)) | None => return Err(CliError::Failed("the file's reader stopped".to_owned())),
    };
    let progress = earlier.filter(|_| lines > 0);
    let rejects = match &progress {
        Some(progress) => Rejects::go_on(&rejects_path, progress.rejects_bytes)?,
        None => Rejects::begin(&rejects_path)?,
    };
    if let (Some(id), None) = (&id, &progress) {
        store.begin_import(id, &arguments.file.to_string_lossy()).await?;
    }
    let before = progress.clone().unwrap_or_default();
    let bar = Bar::new(size, read);
    let import = Import { service: PatientService::new(store.clone()), id, dry_run: arguments.dry_run, rejects, bar };
    let progress = import.take_all(&mut news, before.clone(), &rejects_path).await?;
    let targets = config.enabled_targets().map(|target| target.name.as_str().to_owned()).collect();
    let report = Report { before, progress, rejects: rejects_path, elapsed: started.elapsed(), targets };
    report.print(arguments);
    let is_whole = report.progress.rejected == 0 && report.progress.incomplete == 0;
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// The writing side.
struct Import {
    service: PatientService,
    /// Under which its progress is kept; none for a pipe and for a dry run.
    id: Option<String>,
    dry_run: bool,
    rejects: Rejects,
    bar: Bar,
}

impl Import {
    async fn take_all(
        mut self,
        news: &mut mpsc::Receiver<News>,
        mut progress: ImportProgress,
        rejects_path: &Path,
    ) -> Result<ImportProgress, CliError> {
        self.bar.show(&progress);
        while let Some(news) = news.recv().await {
            let chunk = match news {
                News::Chunk(chunk) => chunk,
                News::Failed(error) => {
                    self.bar.clear();
                    let fix =
                        if self.id.is_some() { "; once it is mended, the same command goes on behind" } else { "" };
                    return Err(CliError::Config(format!("{error}. What stands before it was taken{fix}")));
                }
                News::Open { .. } => continue,
            };
            let is_hopeless = chunk.patients.is_empty() && !chunk.is_last && progress.bytes_done == 0;
            let rejects_bytes = tokio::task::block_in_place(|| self.rejects.write(&chunk.rejects))?;
            if is_hopeless {
                self.bar.clear();
                return Err(CliError::Config(format!(
                    "none of the first {} records can be taken: is this the right --format? {} says why",
                    chunk.rejects.len(),
                    rejects_path.display()
                )));
            }
            progress = self.take(&chunk, &progress, rejects_bytes).await?;
            self.bar.show(&progress);
            if chunk.is_last {
                break;
            }
        }
        self.bar.clear();
        Ok(progress)
    }

    async fn take(
        &self,
        chunk: &Chunk,
        progress: &ImportProgress,
        rejects_bytes: u64,
    ) -> Result<ImportProgress, CliError> {
        let (rejected, incomplete) = chunk.rejected_and_incomplete();
        let mut reached = ImportProgress {
            bytes_done: chunk.taken.bytes,
            bytes_sha256: chunk.taken.sha256.clone(),
            lines_done: chunk.lines,
            repeated: progress.repeated + chunk.repeated,
            rejected: progress.rejected + rejected,
            incomplete: progress.incomplete + incomplete,
            rejects_bytes,
            finished: chunk.is_last,
            ..progress.clone()
        };
        if let Some(id) = &self.id {
            let moved = self.service.import(id, &chunk.patients, progress, &reached).await?;
            return moved.ok_or_else(|| {
                CliError::Failed("another process imports this file: wait for it, or stop it".to_owned())
            });
        }
        let changes = if self.dry_run {
            self.service.preview(&chunk.patients).await?
        } else {
            self.service.put(&chunk.patients).await?
        };
        count(&mut reached, &changes);
        Ok(reached)
    }
}

/// Parsing is work for a processor of its own, and files know no `await`.
fn read_on_a_thread(file: PathBuf, options: Options, earlier: Option<ImportProgress>) -> mpsc::Receiver<News> {
    let (sender, receiver) = mpsc::channel(CHUNKS_WAITING);
    tokio::task::spawn_blocking(move || {
        let prefix = earlier.map(|progress| {
            (Prefix { bytes: progress.bytes_done, sha256: progress.bytes_sha256 }, progress.lines_done)
        });
        let prefix = prefix.as_ref().map(|(prefix, lines)| (prefix, *lines));
        let mut chunks = match Chunks::open(&file, options, prefix) {
            Ok(chunks) => chunks,
            Err(error) => return drop(sender.blocking_send(News::Failed(error))),
        };
        let stream = chunks.stream();
        let open = News::Open { lines: chunks.lines(), size: stream.size(), read: stream.read_count() };
        // A receiver that is gone has failed, and says so itself.
        let mut goes_on = sender.blocking_send(open).is_ok();
        while goes_on {
            let (news, is_last) = match chunks.next_chunk() {
                Ok(chunk) => (News::Chunk(Box::new(chunk)), false),
                Err(error) => (News::Failed(error), true),
            };
            let is_last = is_last || matches!(&news, News::Chunk(chunk) if chunk.is_last);
            goes_on = sender.blocking_send(news).is_ok() && !is_last;
        }
    });
    receiver
}

fn options(arguments: &Arguments) -> Result<Options, CliError> {
    let format = match arguments.format {
        Some(FormatName::Ndjson) => Format::Ndjson,
        Some(FormatName::Csv) => Format::Csv,
        None => Format::of_name(&arguments.file.to_string_lossy()).ok_or_else(|| {
            CliError::Usage(format!(
                "{} does not tell its format: say --format ndjson or csv",
                arguments.file.display()
            ))
        })?,
    };
    let mut columns = match &arguments.map_file {
        Some(path) => ColumnMap::read(path).map_err(|problems| CliError::Config(problems.to_string()))?,
        None => ColumnMap::default(),
    };
    for map in &arguments.maps {
        columns.add(map).map_err(|message| CliError::Usage(format!("--map \"{map}\": {message}")))?;
    }
    if format == Format::Ndjson && !columns.is_of_values_alone() {
        return Err(CliError::Usage("--map, [columns] and date_format are for CSV".to_owned()));
    }
    if arguments.ignore_other_columns {
        columns.ignore_other_columns();
    }
    Ok(Options {
        format,
        fhir: FhirOptions {
            identifier_system: arguments.identifier_system.clone(),
            national_id_system: arguments.national_id_system.clone(),
            us_core: arguments.us_core,
        },
        columns,
        delimiter: delimiter(arguments)?,
        quotes: match arguments.quotes {
            QuotesName::Doubled => Quotes::Doubled,
            QuotesName::Backslash => Quotes::Backslash,
            QuotesName::None => Quotes::None,
        },
        strict: arguments.strict,
        today: latest_today(jiff::Timestamp::now()),
        keep_rejected_records: arguments.rejects_with_line,
    })
}

fn delimiter(arguments: &Arguments) -> Result<u8, CliError> {
    let name = arguments.file.to_string_lossy().to_ascii_lowercase();
    let is_tsv = name.trim_end_matches(".gz").rsplit('.').next() == Some("tsv");
    match arguments.delimiter.as_deref() {
        None if is_tsv => Ok(b'\t'),
        None => Ok(b','),
        Some("tab" | "\\t") => Ok(b'\t'),
        Some(text) => match text.as_bytes() {
            [byte] if byte.is_ascii() && !byte.is_ascii_alphanumeric() && !b"\"\r\n".contains(byte) => Ok(*byte),
            _ => Err(CliError::Usage("--delimiter must be one character, such as ; or |, or the word tab".to_owned())),
        },
    }
}

fn rejects_path(arguments: &Arguments) -> Result<PathBuf, CliError> {
    let path = match &arguments.rejects {
        Some(path) => path.clone(),
        None if arguments.file.as_os_str() == "-" => PathBuf::from("import.rejects.ndjson"),
        None => {
            let mut name = arguments.file.clone().into_os_string();
            name.push(".rejects.ndjson");
            name.into()
        }
    };
    let is_same = |other: &Path| path.canonicalize().ok().zip(other.canonicalize().ok()).is_some_and(|(a, b)| a == b);
    if is_same(&arguments.file) || arguments.map_file.as_deref().is_some_and(is_same) || path.is_dir() {
        return Err(CliError::Usage("--rejects names a file that is read, or a folder".to_owned()));
    }
    Ok(path)
}

/// Under which name the store keeps how far this file was taken: the same file read in another way is another import.
/// `None` for what cannot be read twice.
fn import_id(file: &Path, options: &Options) -> Option<String> {
    use std::fmt::Write as _;
    let path = file.canonicalize().ok().filter(|path| path.is_file())?;
    let Options { format, fhir, columns, delimiter, quotes, strict, today: _, keep_rejected_records: _ } = options;
    let how = format!("{format:?} {fhir:?} {columns:?} {delimiter} {quotes:?} {strict}");
    let digest = Sha256::new().chain_update(path.to_string_lossy().as_bytes()).chain_update([0]).chain_update(how);
    Some(digest.finalize().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("invariant: a String takes text");
        text
    }))
}
