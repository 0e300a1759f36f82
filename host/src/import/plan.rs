//! Plans an import before anything is imported: finds the files, counts the types of their resources, and collects the
//! ids that references need.
//!
//! A file with several kinds of resources is read once for each kind. So each record comes after those that it refers
//! to, in any order of files and lines.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::base_url::BaseUrls;
use super::chunk::Options;
use super::ids::{IDS_MAX, Ids};
use super::kind::Kind;
use super::ndjson::{Line, next_line};
use super::{Format, ImportError, Stream, resource_type};

/// The parts of an import, in the order of reading.
#[derive(Debug, Default)]
pub struct Plan {
    pub parts: Vec<Part>,
    /// The ids that references need.
    pub ids: Arc<Ids>,
    /// The address of the server that wrote the files, if their references show it.
    pub base_url: Option<String>,
    /// The number of resources that are not imported, by type.
    pub not_imported: BTreeMap<&'static str, u64>,
    /// The number of files in folders that are not read.
    pub files_ignored: u64,
}

/// The resources of one kind in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub file: PathBuf,
    /// The kind; `None` means the kind of the first record, because a pipe can be read only once.
    pub kind: Option<Kind>,
    /// Whether lines that are not a resource are rejected here. Otherwise another part of the file rejects them.
    pub rejects_unreadable: bool,
    /// Whether it is the only part of its file.
    pub is_only: bool,
}

/// The types in one file.
#[derive(Default)]
struct Census {
    resources: BTreeMap<&'static str, u64>,
    has_unreadable: bool,
}

impl Plan {
    /// Plans the import of these files and folders. Of a folder, its NDJSON files are imported.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn new(paths: &[PathBuf], options: &Options) -> Result<Self, ImportError> {
        let mut plan = Self::default();
        let files = plan.files(paths, options)?;
        for file in &files {
            plan.add(file, options)?;
        }
        // The sort is stable: files of one kind keep their order.
        plan.parts.sort_by_key(|part| part.kind.unwrap_or(Kind::Patient));
        let refers = |part: &Part| part.kind.is_some_and(|kind| kind != Kind::Patient);
        if plan.parts.iter().any(refers) {
            let (ids, base_url) = ids_and_base_url(&files, options)?;
            (plan.ids, plan.base_url) = (Arc::new(ids), base_url);
        }
        Ok(plan)
    }

    /// The files, each once. Those of a folder are sorted by name.
    fn files(&mut self, paths: &[PathBuf], options: &Options) -> Result<Vec<PathBuf>, ImportError> {
        let (mut files, mut known) = (Vec::new(), HashSet::new());
        for path in paths {
            let is_folder = options.format == Format::Ndjson && path.is_dir();
            let found = if is_folder { self.files_of(path)? } else { vec![path.clone()] };
            files.extend(found.into_iter().filter(|file| known.insert(file.canonicalize().unwrap_or(file.clone()))));
        }
        Ok(files)
    }

    fn files_of(&mut self, folder: &Path) -> Result<Vec<PathBuf>, ImportError> {
        let failed = |error: std::io::Error| ImportError {
            file: folder.to_owned(),
            line: None,
            message: format!("cannot be read: {error}"),
        };
        let mut files = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
            if name.ends_with(REJECTS_SUFFIX) {
                continue;
            }
            if path.is_file() && is_ndjson(&name) {
                files.push(path);
            } else {
                self.files_ignored += 1;
            }
        }
        if files.is_empty() {
            let message = "is a folder without a file *.ndjson or *.jsonl".to_owned();
            return Err(ImportError { file: folder.to_owned(), line: None, message });
        }
        files.sort();
        Ok(files)
    }

    fn add(&mut self, file: &Path, options: &Options) -> Result<(), ImportError> {
        let is_pipe = file.as_os_str() == "-" || file.metadata().is_ok_and(|metadata| !metadata.is_file());
        if options.format == Format::Csv || is_pipe {
            let kind = (options.format == Format::Csv).then_some(Kind::Patient);
            self.parts.push(Part { file: file.to_owned(), kind, rejects_unreadable: true, is_only: true });
            return Ok(());
        }
        let census = Census::of(file)?;
        let mut kinds: Vec<_> = Vec::new();
        for (name, count) in &census.resources {
            match Kind::of(name, options.fhir.other_types) {
                Some(kind) => kinds.push(kind),
                None => *self.not_imported.entry(name).or_default() += count,
            }
        }
        kinds.sort_unstable();
        kinds.dedup();
        if kinds.is_empty() && (census.has_unreadable || census.resources.is_empty()) {
            kinds.push(Kind::Patient);
        }
        let is_only = kinds.len() == 1;
        for (index, kind) in kinds.into_iter().enumerate() {
            self.parts.push(Part { file: file.to_owned(), kind: Some(kind), rejects_unreadable: index == 0, is_only });
        }
        Ok(())
    }
}

/// The suffix of files of rejects. They are never imported.
pub const REJECTS_SUFFIX: &str = ".rejects.ndjson";

fn is_ndjson(name: &str) -> bool {
    let name = name.strip_suffix(".gz").unwrap_or(name);
    matches!(name.rsplit_once('.'), Some((_, "ndjson" | "jsonl")))
}

impl Census {
    fn of(file: &Path) -> Result<Self, ImportError> {
        let mut census = Self::default();
        for_each_line(file, |line| {
            match line.map(resource_type::of_line) {
                Some(Ok(name)) => *census.resources.entry(name).or_default() += 1,
                Some(Err(_)) | None => census.has_unreadable = true,
            }
            true
        })?;
        Ok(census)
    }
}

fn ids_and_base_url(files: &[PathBuf], options: &Options) -> Result<(Ids, Option<String>), ImportError> {
    let (mut ids, mut bases) = (Ids::default(), BaseUrls::default());
    for file in files.iter().filter(|file| file.is_file()) {
        let mut is_full = false;
        for_each_line(file, |line| {
            let Some(line) = line else { return true };
            bases.add_line(line);
            is_full = !ids.add_line(line, &options.fhir, options.today);
            !is_full
        })?;
        if is_full {
            let message = format!(
                "too many resources (about {IDS_MAX}) have an identifier of ours that is not their id; fix: import the \
                 files in parts, each with all resources that it refers to"
            );
            return Err(ImportError { file: file.clone(), line: None, message });
        }
    }
    ids.sort();
    Ok((ids, bases.learned()))
}

/// Calls `show` with each line that is not blank until it returns `false`; `None` stands for a line that is too long. A
/// file that cannot be read to its end is no error here: the import reads up to the fault and reports it.
fn for_each_line(file: &Path, mut show: impl FnMut(Option<&[u8]>) -> bool) -> Result<(), ImportError> {
    let mut stream = Stream::open(file)?.without_digest();
    stream.take_byte_order_mark()?;
    let (mut line, mut number) = (Vec::new(), 0);
    loop {
        number += 1;
        let shown = match next_line(&mut stream, number, &mut line) {
            Err(_) | Ok(Line::End) => return Ok(()),
            Ok(Line::TooLong) => show(None),
            Ok(Line::Whole) => line.trim_ascii().is_empty() || show(Some(line.as_slice())),
        };
        if !shown {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::tests::options;

    fn plan(files: &[(&str, &str)]) -> Plan {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            fs::write(folder.path().join(name), content).unwrap();
        }
        Plan::new(&[folder.path().to_owned()], &options(Format::Ndjson)).unwrap()
    }

    #[test]
    fn what_others_refer_to_is_read_first_whatever_the_order_of_files_and_lines() {
        let of = |name: &str| format!("{{\"resourceType\":\"{name}\",\"id\":\"1\"}}\n");
        let plan = plan(&[
            ("a.ndjson", &[of("Observation"), of("Practitioner"), of("Patient")].concat()),
            ("b.ndjson", &(of("Encounter") + "\nnot a resource\n")),
            ("Patient.001.ndjson", &of("Patient")),
            ("Practitioner.ndjson", &of("Practitioner").repeat(2)),
            ("a.ndjson.rejects.ndjson", "{}\n"),
            ("manifest.json", "{}"),
        ]);
        let parts: Vec<_> = plan
            .parts
            .iter()
            .map(|part| {
                let name = part.file.file_name().unwrap().to_str().unwrap();
                (name, part.kind.unwrap(), part.rejects_unreadable, part.is_only)
            })
            .collect();
        assert_eq!(
            parts,
            [
                ("Patient.001.ndjson", Kind::Patient, true, true),
                ("a.ndjson", Kind::Patient, true, false),
                ("b.ndjson", Kind::Encounter, true, true),
                ("a.ndjson", Kind::Observation, false, false),
            ]
        );
        assert_eq!(plan.not_imported, BTreeMap::from([("Practitioner", 3)]));
        assert_eq!(plan.files_ignored, 1);
    }
}
