//! Files of patients that other systems exported: FHIR Patient as NDJSON, and CSV.
//!
//! They are read as a stream: memory does not grow with the file, and every record that cannot be taken is told apart,
//! with its line and the reason, from those that can. It knows no database and never repeats a value in a reason. What
//! comes of the patients is decided by the service layer. Read next: `chunk.rs`, then `fhir.rs` and `columns.rs` for
//! the mappings.

mod chunk;
mod columns;
mod csv;
mod draft;
mod fhir;
mod fhir_names;
mod fhir_types;
#[doc(hidden)]
pub mod fuzzing;
mod ndjson;
mod rejects;
mod stream;

pub use chunk::{Chunk, Chunks, Options, Reject};
pub use columns::ColumnMap;
pub use csv::Quotes;
pub use fhir::FhirOptions;
pub use rejects::Rejects;
pub use stream::{Prefix, Stream};

use std::path::PathBuf;

/// The longest record that is read, in bytes. A patient with a photograph may have a megabyte.
pub const RECORD_BYTES_MAX: usize = 8 << 20;

/// Blank lines between two records, in bytes: a file with more is none of patients.
const BLANK_BYTES_MAX: u64 = 16 << 20;

/// How the records of a file are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One FHIR Patient on each line, as JSON.
    Ndjson,
    /// A header, then one patient on each line.
    Csv,
}

impl Format {
    /// The format that a file's name tells, without `.gz`.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        match name.rsplit_once('.')?.1 {
            "ndjson" | "jsonl" | "json" => Some(Self::Ndjson),
            "csv" | "tsv" | "txt" => Some(Self::Csv),
            _ => None,
        }
    }
}

/// Why a file cannot be read on.
#[derive(Debug, thiserror::Error)]
#[error("{}{}: {message}", file.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct ImportError {
    /// Which file.
    pub file: PathBuf,
    /// In which line, counted from 1.
    pub line: Option<u64>,
    /// A lower-case fragment; never repeats a value.
    pub message: String,
}

#[cfg(test)]
mod tests;
