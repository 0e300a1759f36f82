//! The command line of `host import`, and how the file is to be read by it.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::error::CliError;
use crate::domain::hex::hex;
use crate::domain::patient::latest_today;
use crate::import::{ColumnMap, FhirOptions, Format, Options, Quotes};

#[derive(Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(super) struct Arguments {
    /// The file, plain or gzip; `-` is stdin
    pub(super) file: PathBuf,
    /// Read this format; by default the file's name decides
    #[arg(long, value_enum)]
    format: Option<FormatName>,
    /// FHIR: take the patient id from this identifier system
    #[arg(long, value_name = "URI")]
    identifier_system: Option<String>,
    /// FHIR: take the national id from this identifier system
    #[arg(long, value_name = "URI")]
    national_id_system: Option<String>,
    /// FHIR: take race and ethnicity from US Core extensions
    #[arg(long)]
    us_core: bool,
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
    /// List rejects here instead of in FILE.rejects.ndjson
    #[arg(long, value_name = "FILE")]
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
    /// One FHIR Patient a line
    Ndjson,
    /// A header, then one patient a line
    Csv,
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

/// How the file is to be read.
pub(super) fn options(arguments: &Arguments) -> Result<Options, CliError> {
    let format = match arguments.format {
        Some(FormatName::Ndjson) => Format::Ndjson,
        Some(FormatName::Csv) => Format::Csv,
        None => Format::of_name(&arguments.file.to_string_lossy()).ok_or_else(|| {
            CliError::Usage(format!(
                "cannot tell the format of {} from its name; fix: add --format ndjson or --format csv",
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

/// Where rejects are listed.
pub(super) fn rejects_path(arguments: &Arguments) -> Result<PathBuf, CliError> {
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
        return Err(CliError::Usage(
            "--rejects names a folder or a file that is read; fix: name another file".to_owned(),
        ));
    }
    Ok(path)
}

/// The name under which the store keeps this import's progress. The same file with other options is another import.
/// `None` for a pipe, which cannot be read twice.
pub(super) fn import_id(file: &Path, options: &Options) -> Option<String> {
    let path = file.canonicalize().ok().filter(|path| path.is_file())?;
    let Options { format, fhir, columns, delimiter, quotes, strict, today: _, keep_rejected_records: _ } = options;
    let how = format!("{format:?} {fhir:?} {columns:?} {delimiter} {quotes:?} {strict}");
    let digest = Sha256::new().chain_update(path.to_string_lossy().as_bytes()).chain_update([0]).chain_update(how);
    Some(hex(&digest.finalize()))
}
