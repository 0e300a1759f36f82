//! `host import`: writes patients of another system's export to the store, and queues what changed.
//!
//! One thread reads and validates the file; this one writes. At most a few chunks wait between them. Each chunk is one
//! transaction, which also records how much of the file was imported (`store/imports.rs`). A run that was killed
//! resumes after its last chunk.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use tokio::sync::mpsc;

use super::error::CliError;
use super::import_arguments::{Arguments, import_id, options, rejects_path};
use super::import_report::{Bar, Report};
use super::wiring;
use crate::config::Config;
use crate::import::{Chunk, Chunks, ImportError, Options, Prefix, Rejects};
use crate::service::{PatientService, count};
use crate::store::ImportProgress;

/// Chunks that may wait to be written.
const CHUNKS_WAITING: usize = 2;

/// What the reading thread sends.
enum ReaderEvent {
    /// The file is open. An earlier run has imported this many lines.
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
    let mut events = read_on_a_thread(arguments.file.clone(), options.clone(), earlier.clone());
    let (lines, size, read) = match events.recv().await {
        Some(ReaderEvent::Open { lines, size, read }) => (lines, size, read),
        Some(ReaderEvent::Failed(error)) => return Err(error.into()),
        Some(ReaderEvent::Chunk(_)) | None => return Err(CliError::Failed("the file's reader stopped".to_owned())),
    };
    let progress = earlier.filter(|_| lines > 0);
    let rejects = match &progress {
        Some(progress) => Rejects::resume(&rejects_path, progress.rejects_bytes)?,
        None => Rejects::begin(&rejects_path)?,
    };
    if let (Some(id), None) = (&id, &progress) {
        store.begin_import(id, &arguments.file.to_string_lossy()).await?;
    }
    let before = progress.clone().unwrap_or_default();
    let bar = Bar::new(size, read);
    let import = Import { service: PatientService::new(store.clone()), id, dry_run: arguments.dry_run, rejects, bar };
    let progress = import.import_all(&mut events, before.clone(), &rejects_path).await?;
    let targets = config.enabled_targets().map(|target| target.name.as_str().to_owned()).collect();
    let report = Report { before, progress, rejects: rejects_path, elapsed: started.elapsed(), targets };
    report.print(arguments);
    let is_whole = report.progress.rejected == 0 && report.progress.incomplete == 0;
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// The writing side.
struct Import {
    service: PatientService,
    /// The name of its progress in the store; none for a pipe and for a dry run.
    id: Option<String>,
    dry_run: bool,
    rejects: Rejects,
    bar: Bar,
}

impl Import {
    async fn import_all(
        mut self,
        events: &mut mpsc::Receiver<ReaderEvent>,
        mut progress: ImportProgress,
        rejects_path: &Path,
    ) -> Result<ImportProgress, CliError> {
        self.bar.show(&progress);
        while let Some(event) = events.recv().await {
            let chunk = match event {
                ReaderEvent::Chunk(chunk) => chunk,
                ReaderEvent::Failed(error) => {
                    self.bar.clear();
                    let had_any = progress.bytes_done > 0;
                    return Err(CliError::Config(format!("{error}. {}", self.became_of_earlier(had_any))));
                }
                ReaderEvent::Open { .. } => continue,
            };
            let is_hopeless = chunk.patients.is_empty() && !chunk.is_last && progress.bytes_done == 0;
            let rejects_bytes = tokio::task::block_in_place(|| self.rejects.write(&chunk.rejects))?;
            if is_hopeless {
                self.bar.clear();
                return Err(CliError::Config(format!(
                    "cannot import any of the first {} records: see {}; fix: check --format",
                    chunk.rejects.len(),
                    rejects_path.display()
                )));
            }
            progress = self.import_chunk(&chunk, &progress, rejects_bytes).await?;
            self.bar.show(&progress);
            if chunk.is_last {
                break;
            }
        }
        self.bar.clear();
        Ok(progress)
    }

    /// What became of the records before one that ended the import.
    fn became_of_earlier(&self, had_any: bool) -> &'static str {
        match (self.dry_run, had_any, self.id.is_some()) {
            (true, ..) => "Nothing was written (--dry-run)",
            (false, false, _) => "Nothing was imported",
            (false, true, true) => "Earlier records were imported. Fix the file and run the same command to resume",
            (false, true, false) => "Earlier records were imported",
        }
    }

    async fn import_chunk(
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
                CliError::Failed("another process imports this file; fix: wait until it ends, or stop it".to_owned())
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

/// Reads on a thread of its own: parsing takes a whole processor, and file access blocks.
fn read_on_a_thread(file: PathBuf, options: Options, earlier: Option<ImportProgress>) -> mpsc::Receiver<ReaderEvent> {
    let (sender, receiver) = mpsc::channel(CHUNKS_WAITING);
    tokio::task::spawn_blocking(move || {
        let prefix = earlier.map(|progress| {
            (Prefix { bytes: progress.bytes_done, sha256: progress.bytes_sha256 }, progress.lines_done)
        });
        let prefix = prefix.as_ref().map(|(prefix, lines)| (prefix, *lines));
        let mut chunks = match Chunks::open(&file, options, prefix) {
            Ok(chunks) => chunks,
            Err(error) => return drop(sender.blocking_send(ReaderEvent::Failed(error))),
        };
        let stream = chunks.stream();
        let open = ReaderEvent::Open { lines: chunks.lines(), size: stream.size(), read: stream.read_count() };
        // A receiver that is gone has failed and reports that itself.
        let mut is_wanted = sender.blocking_send(open).is_ok();
        while is_wanted {
            let (event, is_last) = match chunks.next_chunk() {
                Ok(chunk) => (ReaderEvent::Chunk(Box::new(chunk)), false),
                Err(error) => (ReaderEvent::Failed(error), true),
            };
            let is_last = is_last || matches!(&event, ReaderEvent::Chunk(chunk) if chunk.is_last);
            is_wanted = sender.blocking_send(event).is_ok() && !is_last;
        }
    });
    receiver
}
