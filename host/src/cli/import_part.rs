//! Imports one part: the resources of one kind in one file.
//!
//! One thread reads and validates the file; this one writes. At most a few chunks wait between them. Each chunk is one
//! transaction, which also records how much of the file was imported (`store/imports.rs`). A killed run resumes after
//! its last chunk.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tokio::sync::mpsc;

use super::error::CliError;
use super::import_arguments::{Arguments, import_id};
use super::import_bar::Bar;
use crate::import::{Chunk, Chunks, ImportError, Kind, Options, Part, Prefix, Rejects};
use crate::service::{ClinicalService, PatientService, ServiceError, count};
use crate::store::{ImportProgress, Store};

/// The maximum number of chunks that wait to be written.
const CHUNKS_WAITING: usize = 2;

/// A message of the reading thread.
enum ReaderEvent {
    /// The file is open, and an earlier run has imported this many lines.
    Open {
        lines: u64,
        size: Option<u64>,
        read: std::sync::Arc<std::sync::atomic::AtomicU64>,
    },
    Chunk(Box<Chunk>),
    Failed(ImportError),
}

/// The result of a part.
pub(super) struct Done {
    pub(super) kind: Kind,
    pub(super) file: PathBuf,
    pub(super) rejects: PathBuf,
    /// Progress before this run.
    pub(super) before: ImportProgress,
    /// Progress after this run. Counts include all earlier runs.
    pub(super) progress: ImportProgress,
    /// Records of this run that refer to records which the store does not have.
    pub(super) waiting: u64,
    /// Resources of other kinds in a pipe, which cannot be read again to import them.
    pub(super) passed_over: BTreeMap<&'static str, u64>,
}

pub(super) async fn run(
    store: &Store,
    part: &Part,
    options: Options,
    rejects_path: PathBuf,
    arguments: &Arguments,
) -> Result<Done, CliError> {
    let id = (!arguments.dry_run).then(|| import_id(&part.file, &options)).flatten();
    let earlier = match &id {
        Some(id) if !arguments.again => store.import_progress(id).await?,
        _ => None,
    };
    let keep_records = options.keep_rejected_records;
    let mut events = read_on_a_thread(part.file.clone(), options, earlier.clone());
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
        // How far it has come is no change of a patient.
        store.unaudited().begin_import(id, &part.file.to_string_lossy()).await?;
    }
    let before = progress.unwrap_or_default();
    let kind = part.kind.unwrap_or(Kind::Patient);
    let done = Done {
        kind,
        file: part.file.clone(),
        rejects: rejects_path,
        progress: before.clone(),
        before,
        waiting: 0,
        passed_over: BTreeMap::new(),
    };
    let import = Import {
        patients: PatientService::new(store.clone()),
        clinical: ClinicalService::for_import(store.clone()),
        id,
        is_pipe: part.kind.is_none(),
        dry_run: arguments.dry_run,
        keep_records,
        rejects,
        bar: Bar::new(kind, size, read),
        done,
    };
    import.import_all(&mut events).await
}

/// The writing side of an import.
struct Import {
    patients: PatientService,
    clinical: ClinicalService,
    /// The id of its progress in the store; `None` for a pipe and for a dry run.
    id: Option<String>,
    is_pipe: bool,
    dry_run: bool,
    /// Whether the report of a reject contains its record.
    keep_records: bool,
    rejects: Rejects,
    bar: Bar,
    done: Done,
}

impl Import {
    async fn import_all(mut self, events: &mut mpsc::Receiver<ReaderEvent>) -> Result<Done, CliError> {
        self.bar.show(&self.done.progress);
        while let Some(event) = events.recv().await {
            let mut chunk = match event {
                ReaderEvent::Chunk(chunk) => chunk,
                ReaderEvent::Failed(error) => {
                    self.bar.clear();
                    return Err(CliError::Config(format!("{error}. {}", self.became_of_earlier())));
                }
                ReaderEvent::Open { .. } => continue,
            };
            self.done.kind = chunk.kind.unwrap_or(self.done.kind);
            self.refuse_hopeless(&chunk)?;
            self.done.progress = self.import_chunk(&mut chunk).await?;
            if self.is_pipe {
                for (name, count) in &chunk.passed_over {
                    *self.done.passed_over.entry(name).or_default() += count;
                }
            }
            self.bar.show(&self.done.progress);
            if chunk.is_last {
                break;
            }
        }
        self.bar.clear();
        Ok(self.done)
    }

    /// What happened to the records before the one that ended the import.
    fn became_of_earlier(&self) -> &'static str {
        let had_any = self.done.progress.bytes_done > 0;
        match (self.dry_run, had_any, self.id.is_some()) {
            (true, ..) => "Nothing was written (--dry-run)",
            (false, false, _) => "Nothing was imported of it",
            (false, true, true) => "Earlier records were imported. Fix the file and run the same command to resume",
            (false, true, false) => "Earlier records were imported",
        }
    }

    /// Returns an error if no record at the file's beginning is a valid patient.
    fn refuse_hopeless(&mut self, chunk: &Chunk) -> Result<(), CliError> {
        let is_hopeless = chunk.patients.is_empty()
            && chunk.passed_over.is_empty()
            && self.done.kind == Kind::Patient
            && !chunk.is_last
            && self.done.progress.bytes_done == 0;
        if !is_hopeless {
            return Ok(());
        }
        tokio::task::block_in_place(|| self.rejects.write(&chunk.rejects))?;
        self.bar.clear();
        Err(CliError::Config(format!(
            "cannot import any of the first {} records: see {}; fix: check --format",
            chunk.rejects.len(),
            self.done.rejects.display()
        )))
    }

    /// Writes a chunk. A record that the store refuses becomes a reject, and the others are written.
    async fn import_chunk(&mut self, chunk: &mut Chunk) -> Result<ImportProgress, CliError> {
        let start = self.rejects.bytes();
        loop {
            let rejects = &mut self.rejects;
            let rejects_bytes =
                tokio::task::block_in_place(|| rejects.cut(start).and_then(|()| rejects.write(&chunk.rejects)))?;
            let refused = match self.write(chunk, &self.reached(chunk, rejects_bytes)).await {
                Ok(None) => {
                    let message = "another process imports this file; fix: wait until it ends, or stop it";
                    return Err(CliError::Failed(message.to_owned()));
                }
                Ok(Some(progress)) => {
                    if !self.dry_run {
                        self.done.waiting += self.clinical.waiting_among(&chunk.records).await?;
                    }
                    return Ok(progress);
                }
                Err(ServiceError::Refused(refused)) => refused,
                Err(error) => return Err(error.into()),
            };
            let mut is_smaller = false;
            for record in &refused {
                is_smaller |= chunk.reject(&record.key, record.problem.clone(), self.keep_records);
            }
            if !is_smaller {
                return Err(ServiceError::Refused(refused).into());
            }
        }
    }

    /// The progress after this chunk is written, without the results of its patients and records.
    fn reached(&self, chunk: &Chunk, rejects_bytes: u64) -> ImportProgress {
        let progress = &self.done.progress;
        let (rejected, incomplete) = chunk.rejected_and_incomplete();
        ImportProgress {
            bytes_done: chunk.taken.bytes,
            bytes_sha256: chunk.taken.sha256.clone(),
            lines_done: chunk.lines,
            repeated: progress.repeated + chunk.repeated,
            rejected: progress.rejected + rejected,
            incomplete: progress.incomplete + incomplete,
            rejects_bytes,
            finished: chunk.is_last,
            ..progress.clone()
        }
    }

    async fn write(&self, chunk: &Chunk, reached: &ImportProgress) -> Result<Option<ImportProgress>, ServiceError> {
        let (patients, records) = (&chunk.patients, &chunk.records);
        let progress = &self.done.progress;
        let has_records = !records.is_empty();
        if let Some(id) = &self.id {
            return if has_records {
                self.clinical.import(id, records, progress, reached).await
            } else {
                self.patients.import(id, patients, progress, reached).await
            };
        }
        let mut reached = reached.clone();
        match (self.dry_run, has_records) {
            (true, true) => count(&mut reached, self.clinical.preview(records).await?),
            (true, false) => count(&mut reached, self.patients.preview(patients).await?),
            (false, true) => count(&mut reached, self.clinical.put(records).await?),
            (false, false) => count(&mut reached, self.patients.put(patients).await?),
        }
        Ok(Some(reached))
    }
}

/// Reads on a separate thread: parsing occupies a whole processor, and file access blocks.
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
        // A closed receiver means that writing failed, which is reported there.
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
