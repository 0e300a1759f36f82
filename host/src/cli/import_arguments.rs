//! The command line of `host import`, and how the files are to be read by it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::error::CliError;
use crate::domain::hex::hex;
use crate::domain::patient::latest_today;
use crate::import::{ColumnMap, FhirOptions, Format, Ids, Kind, Options, Part, Quotes, REJECTS_SUFFIX};

#[derive(Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(super) struct Arguments {
    /// Files, plain or gzip, or a folder of NDJSON; `-` is stdin
    #[arg(value_name = "FILE", required = true)]
    pub(super) files: Vec<PathBuf>,
    /// Read this format; by default the file's name decides
    #[arg(long, value_enum)]
    format: Option<FormatName>,
    /// FHIR: take the ids from this identifier system
    #[arg(long, value_name = "URI")]
    identifier_system: Option<String>,
    /// FHIR: take the national id from this identifier system
    #[arg(long, value_name = "URI")]
    national_id_system: Option<String>,
    /// FHIR: take race and ethnicity from US Core extensions
    #[arg(long)]
    us_core: bool,
    /// FHIR: read references below this address as the files' own
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// FHIR: import resources without a type of their own
    #[arg(long, value_enum, value_name = "TYPE")]
    other_types: Option<OtherTypes>,
    /// CSV: map a column to a field; no field: ignore it
    #[arg(long = "map", value_name = "HEADER=FIELD")]
    maps: Vec<String>,
    /// Read columns, values and date format from a TOML file
    #[arg(long, value_name = "FILE")]
    map_file: Option<PathBuf>,
    /// CSV: ignore columns that are not mapped
    #[arg(long)]
    ignore_other_columns: bool,
    /// CSV: split cells at this character, or `tab`
    #[arg(long, value_name = "CHARACTER")]
    delimiter: Option<String>,
    /// CSV: read quotes inside quoted cells this way
    #[arg(long, value_enum, default_value = "doubled")]
    quotes: QuotesName,
    /// Reject a record for any invalid field
    #[arg(long)]
    strict: bool,
    /// List rejects here, not in FILE.rejects.ndjson
    #[arg(long, value_name = "FILE|FOLDER")]
    rejects: Option<PathBuf>,
    /// Write whole records, patients' data, to the rejects
    #[arg(long)]
    rejects_with_line: bool,
    /// Check everything; write only the rejects
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Import again from the first line
    #[arg(long)]
    pub(super) again: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FormatName {
    /// One FHIR resource a line
    Ndjson,
    /// A header, then one patient a line
    Csv,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum OtherTypes {
    /// As they are, with our ids in their references
    FhirResource,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum QuotesName {
    /// Written twice
    Doubled,
    /// Behind a backslash, as MySQL's INTO OUTFILE writes it
    Backslash,
    /// No quoting: a quote is plain text
    None,
}

/// How the files are to be read.
pub(super) fn options(arguments: &Arguments) -> Result<Options, CliError> {
    if arguments.files.len() > 1 && arguments.files.iter().any(|file| file.as_os_str() == "-") {
        return Err(CliError::Usage("stdin is imported alone; fix: leave out the other files".to_owned()));
    }
    let format = format(arguments)?;
    let mut columns = match &arguments.map_file {
        Some(path) => ColumnMap::read(path).map_err(|problems| CliError::Config(problems.to_string()))?,
        None => ColumnMap::default(),
    };
    for map in &arguments.maps {
        columns.add(map).map_err(|message| CliError::Usage(format!("--map \"{map}\": {message}")))?;
    }
    if format == Format::Ndjson && !columns.is_of_values_alone() {
        return Err(CliError::Usage("--map, [columns] and date_format apply to CSV only".to_owned()));
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
            base_url: base_url(arguments)?,
            other_types: arguments.other_types.is_some(),
        },
        kind: None,
        rejects_unreadable: true,
        ids: Arc::new(Ids::default()),
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

/// The format, which is that of every file.
fn format(arguments: &Arguments) -> Result<Format, CliError> {
    match arguments.format {
        Some(FormatName::Ndjson) => return Ok(Format::Ndjson),
        Some(FormatName::Csv) => return Ok(Format::Csv),
        None => {}
    }
    let mut formats = Vec::with_capacity(arguments.files.len());
    for file in &arguments.files {
        let format = if file.is_dir() { Some(Format::Ndjson) } else { Format::of_name(&file.to_string_lossy()) };
        formats.push(format.ok_or_else(|| {
            CliError::Usage(format!(
                "cannot tell the format of {} from its name; fix: add --format ndjson or --format csv",
                file.display()
            ))
        })?);
    }
    match formats.split_first() {
        Some((format, others)) if others.iter().all(|other| other == format) => Ok(*format),
        _ => Err(CliError::Usage(
            "the files are of two formats; fix: import NDJSON and CSV one after the other".to_owned(),
        )),
    }
}

fn base_url(arguments: &Arguments) -> Result<Option<String>, CliError> {
    let Some(url) = &arguments.base_url else { return Ok(None) };
    let is_address = url::Url::parse(url).is_ok_and(|url| url.has_host() && matches!(url.scheme(), "http" | "https"));
    if is_address && !url.contains(['?', '#']) {
        return Ok(Some(url.trim_end_matches('/').to_owned()));
    }
    Err(CliError::Usage(
        "--base-url must be the address of a FHIR server, such as https://fhir.example.org/r4".to_owned(),
    ))
}

fn delimiter(arguments: &Arguments) -> Result<u8, CliError> {
    let is_tsv = |file: &PathBuf| {
        let name = file.to_string_lossy().to_ascii_lowercase();
        name.trim_end_matches(".gz").rsplit('.').next() == Some("tsv")
    };
    let is_tsv = arguments.files.iter().all(is_tsv);
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

/// Where the rejects of each part are listed.
pub(super) fn rejects_paths(arguments: &Arguments, parts: &[Part]) -> Result<Vec<PathBuf>, CliError> {
    let usage = |message: &str| Err(CliError::Usage(message.to_owned()));
    let paths: Vec<_> = match &arguments.rejects {
        Some(folder) if folder.is_dir() => {
            parts.iter().map(|part| folder.join(rejects_path(part).file_name().unwrap_or_default())).collect()
        }
        Some(_) if parts.len() > 1 => {
            return usage("--rejects must name a folder that exists, since each file and type has rejects of its own");
        }
        Some(file) => vec![file.clone(); parts.len()],
        None => parts.iter().map(rejects_path).collect(),
    };
    if paths.iter().collect::<HashSet<_>>().len() < paths.len() {
        return usage("two files have the same name, and with --rejects the same rejects; fix: leave out --rejects");
    }
    let read = parts.iter().map(|part| &part.file).chain(&arguments.map_file);
    let read: Vec<_> = read.filter_map(|file| file.canonicalize().ok()).collect();
    if paths.iter().any(|path| path.canonicalize().is_ok_and(|path| read.contains(&path))) {
        return usage("--rejects names a file that is read; fix: name another file");
    }
    Ok(paths)
}

fn rejects_path(part: &Part) -> PathBuf {
    if part.file.as_os_str() == "-" {
        return PathBuf::from(format!("import{REJECTS_SUFFIX}"));
    }
    let mut name = part.file.clone().into_os_string();
    if let Some(kind) = part.kind.filter(|_| !part.is_only) {
        name.push(format!(".{}", kind.aggregate_type()));
    }
    name.push(REJECTS_SUFFIX);
    name.into()
}

/// The name under which the store keeps this import's progress. The same file with other options is another import, and
/// so is one whose references lead elsewhere by now. `None` for a pipe, which cannot be read twice.
pub(super) fn import_id(file: &Path, options: &Options) -> Option<String> {
    let path = file.canonicalize().ok().filter(|path| path.is_file())?;
    let Options { format, fhir, kind, rejects_unreadable, ids, columns, delimiter, quotes, strict, .. } = options;
    let how = format!("{format:?} {fhir:?} {columns:?} {delimiter} {quotes:?} {strict} {rejects_unreadable}");
    let how = match kind.filter(|kind| *kind != Kind::Patient) {
        Some(kind) => format!("{how} {kind:?} {}", ids.fingerprint()),
        None => how,
    };
    let digest = Sha256::new().chain_update(path.to_string_lossy().as_bytes()).chain_update([0]).chain_update(how);
    Some(hex(&digest.finalize()))
}
