//! The summary of `host import`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anstyle::AnsiColor;
use serde_json::{Map, Value, json};

use super::import_arguments::Arguments;
use super::import_bar::per_second;
use super::import_part::Done;
use super::output::{json as print_json, line, paint};
use crate::config::Config;
use crate::import::{Kind, Plan};
use crate::store::ImportProgress;

/// The maximum number of names in one line.
const NAMES_MAX: usize = 12;

/// The summary of an import.
pub(super) struct Report {
    parts: Vec<Done>,
    not_imported: BTreeMap<&'static str, u64>,
    /// Whether a pipe contained resources of other kinds, which could be imported from a file.
    has_passed_over: bool,
    files_ignored: u64,
    /// The address of the server, as the references show it.
    base_url: Option<String>,
    elapsed: Duration,
    /// Enabled targets, with the types that they accept.
    targets: Vec<(String, BTreeSet<String>)>,
}

impl Report {
    pub(super) fn new(config: &Config, plan: &Plan, parts: Vec<Done>, elapsed: Duration) -> Self {
        let mut not_imported = plan.not_imported.clone();
        let mut has_passed_over = false;
        for (name, count) in parts.iter().flat_map(|part| &part.passed_over) {
            *not_imported.entry(name).or_default() += count;
            has_passed_over |= Kind::of(name, false).is_some();
        }
        let targets = config.enabled_targets().map(|target| {
            let types = target.aggregate_types.iter().map(|kind| kind.as_str().to_owned()).collect();
            (target.name.as_str().to_owned(), types)
        });
        let (files_ignored, base_url, targets) = (plan.files_ignored, plan.base_url.clone(), targets.collect());
        Self { parts, not_imported, has_passed_over, files_ignored, base_url, elapsed, targets }
    }

    /// Whether everything that can be imported was imported completely.
    pub(super) fn is_whole(&self) -> bool {
        let is_whole = |part: &Done| part.progress.rejected == 0 && part.progress.incomplete == 0;
        self.parts.iter().all(is_whole) && !self.has_passed_over
    }

    pub(super) fn print(&self, arguments: &Arguments) {
        if arguments.json {
            return print_json(&self.as_json(arguments));
        }
        for text in self.lines(arguments) {
            line(&text);
        }
    }

    /// The sum over all parts of each kind.
    fn by_kind(&self) -> BTreeMap<Kind, ImportProgress> {
        let mut kinds: BTreeMap<Kind, ImportProgress> = BTreeMap::new();
        for part in &self.parts {
            add(kinds.entry(part.kind).or_default(), &part.progress);
        }
        kinds
    }

    fn total(&self, of: impl Fn(&Done) -> &ImportProgress) -> ImportProgress {
        let mut total = ImportProgress::default();
        self.parts.iter().for_each(|part| add(&mut total, of(part)));
        total
    }

    /// The number of patients and records that this run imported.
    fn imported(&self) -> u64 {
        done(&self.total(|part| &part.progress)) - done(&self.total(|part| &part.before))
    }

    fn lines(&self, arguments: &Arguments) -> Vec<String> {
        let mut lines = vec![format!("[IMPORT] {}", names(arguments.files.iter().map(|file| file.display())))];
        lines.extend(self.lines_of_runs());
        let would = if arguments.dry_run { "would be " } else { "" };
        let kinds = self.by_kind();
        for (kind, progress) in &kinds {
            let (created, updated, unchanged) = (progress.created, progress.updated, progress.unchanged);
            let name = capitalised(kind.plural());
            lines.push(format!("   {name}: {created} {would}created, {updated} {would}updated, {unchanged} unchanged"));
        }
        lines.extend(self.lines_of_troubles(&kinds));
        if arguments.dry_run {
            lines.push("   [INFO] nothing was written (--dry-run)".to_owned());
        } else if !self.parts.iter().all(is_skipped) {
            // An earlier run queued the same records, which may be delivered by now.
            lines.extend(self.lines_of_targets(&kinds));
        }
        lines
    }

    /// The results of earlier runs and of this one.
    fn lines_of_runs(&self) -> Vec<String> {
        let skip = paint(AnsiColor::Yellow, "[SKIP]");
        let skipped = self.parts.iter().filter(|part| is_skipped(part)).count();
        if self.parts.is_empty() {
            return vec![format!("   {skip} no resource of a type that is imported")];
        }
        if skipped == self.parts.len() {
            let whole =
                if skipped == 1 { "the whole file; --again imports it" } else { "all of it; --again imports it" };
            return vec![format!("   {skip} an earlier run imported {whole} again")];
        }
        let mut lines = Vec::new();
        if skipped > 0 {
            let files = names(self.parts.iter().filter(|part| is_skipped(part)).map(|part| part.file.display()));
            lines.push(format!("   {skip} an earlier run imported all of {files}; --again imports it again"));
        }
        let resumed: u64 = self.parts.iter().filter(|part| !is_skipped(part)).map(|part| part.before.lines_done).sum();
        if resumed > 0 {
            lines.push(format!("   [INFO] {resumed} lines were imported by an earlier run"));
        }
        let (ok, count, seconds) = (paint(AnsiColor::Green, "[OK]"), self.imported(), self.elapsed.as_secs_f64());
        let rate = per_second(count, self.elapsed);
        lines.push(format!("   {ok} {count} {} in {seconds:.1} s ({rate}/s)", self.noun()));
        lines
    }

    fn lines_of_troubles(&self, kinds: &BTreeMap<Kind, ImportProgress>) -> Vec<String> {
        let mut lines = Vec::new();
        let repeated: u64 = kinds.values().map(|progress| progress.repeated).sum();
        if repeated > 0 {
            let noun = if self.noun() == "patients" { "patient" } else { "patient or record" };
            lines.push(format!("   [INFO] {repeated} records were replaced by a later one of the same {noun}"));
        }
        for part in &self.parts {
            let rejects = part.rejects.display();
            let (rejected, incomplete) = (part.progress.rejected, part.progress.incomplete);
            if rejected > 0 {
                let word = paint(AnsiColor::Red, "[REJECTED]");
                lines.push(format!("   {word} {rejected} records were rejected: see {rejects}"));
            }
            if incomplete > 0 {
                let (word, plural) = (paint(AnsiColor::Yellow, "[LEFT OUT]"), part.kind.plural());
                lines.push(format!("   {word} {incomplete} {plural} were imported without some fields: see {rejects}"));
            }
        }
        let waiting: u64 = self.parts.iter().map(|part| part.waiting).sum();
        if waiting > 0 {
            let word = paint(AnsiColor::Yellow, "[WAITING]");
            lines.push(format!(
                "   {word} {waiting} records refer to what the store does not have; their deliveries wait for it: see \
                 `host waiting`. If it was imported under an identifier, name its file in the same command too"
            ));
        }
        lines.extend(self.lines_of_others());
        if let Some(url) = &self.base_url {
            lines.push(format!("   [INFO] references to patients begin with {url}, read as the files' own server"));
        }
        lines
    }

    fn lines_of_others(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.not_imported.is_empty() {
            let word = paint(AnsiColor::Yellow, "[NOT IMPORTED]");
            let found = names(self.not_imported.iter().map(|(name, count)| format!("{count} {name}")));
            let fix = if self.has_passed_over {
                "a pipe is read once, for one type; fix: import from a file"
            } else {
                "resources without a type of their own; --other-types fhir-resource imports them"
            };
            lines.push(format!("   {word} {found}: {fix}"));
        }
        if self.files_ignored > 0 {
            lines.push(format!("   [INFO] {} files were not read: not *.ndjson or *.jsonl", self.files_ignored));
        }
        lines
    }

    fn lines_of_targets(&self, kinds: &BTreeMap<Kind, ImportProgress>) -> Vec<String> {
        let queued = |kind: &Kind| kinds.get(kind).map_or(0, |progress| progress.created + progress.updated);
        if self.targets.is_empty() {
            let count: u64 = kinds.keys().map(queued).sum();
            return vec![format!("   [INFO] {count} {} queued; no target is enabled yet", self.noun())];
        }
        let line = |(target, types): &(String, BTreeSet<String>)| {
            let (taken, other): (Vec<_>, Vec<_>) = kinds.keys().partition(|kind| types.contains(kind.aggregate_type()));
            let count: u64 = taken.into_iter().map(queued).sum();
            let other: Vec<_> = other.into_iter().filter(|kind| queued(kind) > 0).map(|kind| kind.plural()).collect();
            let note = match other.as_slice() {
                [] => String::new(),
                kinds => format!(" (its aggregate_types have no {})", names(kinds.iter())),
            };
            format!("   [INFO] {count} {} queued for {target} sync{note}", self.noun())
        };
        self.targets.iter().map(line).collect()
    }

    /// The noun for the imported records.
    fn noun(&self) -> &'static str {
        let kinds: BTreeSet<_> = self.parts.iter().map(|part| part.kind).collect();
        match kinds.first() {
            Some(kind) if kinds.len() == 1 => kind.plural(),
            None => Kind::Patient.plural(),
            Some(Kind::Patient) => "patients and records",
            Some(_) => "records",
        }
    }

    fn as_json(&self, arguments: &Arguments) -> Value {
        let (progress, before) = (self.total(|part| &part.progress), self.total(|part| &part.before));
        let files: Vec<_> = arguments.files.iter().map(|file| file.to_string_lossy()).collect();
        let has_rejects = |part: &&Done| part.progress.rejected + part.progress.incomplete > 0;
        let rejects: Vec<_> =
            self.parts.iter().filter(has_rejects).map(|part| part.rejects.to_string_lossy()).collect();
        let types: Map<_, _> = self
            .by_kind()
            .iter()
            .map(|(kind, counts)| (kind.aggregate_type().to_owned(), counts_json(counts)))
            .collect();
        let mut object = json!({
            "file": if let [file] = files.as_slice() { json!(file) } else { Value::Null },
            "files": files,
            "dry_run": arguments.dry_run,
            "lines": progress.lines_done,
            "lines_before": before.lines_done,
            "types": types,
            "waiting": self.parts.iter().map(|part| part.waiting).sum::<u64>(),
            "not_imported": self.not_imported,
            "rejects": if let [file] = rejects.as_slice() { json!(file) } else { Value::Null },
            "rejects_files": rejects,
            "elapsed_ms": u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX),
            "per_second": per_second(self.imported(), self.elapsed),
        });
        if let (Some(object), Value::Object(counts)) = (object.as_object_mut(), counts_json(&progress)) {
            object.extend(counts);
        }
        object
    }
}

fn counts_json(progress: &ImportProgress) -> Value {
    json!({
        "created": progress.created,
        "updated": progress.updated,
        "unchanged": progress.unchanged,
        "repeated": progress.repeated,
        "rejected": progress.rejected,
        "incomplete": progress.incomplete,
    })
}

/// Whether an earlier run imported the whole part.
fn is_skipped(part: &Done) -> bool {
    part.before.lines_done > 0 && part.before.bytes_done == part.progress.bytes_done
}

fn done(progress: &ImportProgress) -> u64 {
    progress.created + progress.updated + progress.unchanged
}

fn add(total: &mut ImportProgress, progress: &ImportProgress) {
    total.lines_done += progress.lines_done;
    total.created += progress.created;
    total.updated += progress.updated;
    total.unchanged += progress.unchanged;
    total.repeated += progress.repeated;
    total.rejected += progress.rejected;
    total.incomplete += progress.incomplete;
}

/// The first names, and the number of further ones.
fn names(all: impl Iterator<Item = impl ToString>) -> String {
    let all: Vec<_> = all.map(|name| name.to_string()).collect();
    let more = all.len().saturating_sub(NAMES_MAX);
    let shown = all[..all.len() - more].join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

fn capitalised(word: &str) -> String {
    let mut characters = word.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}
