//! Reads files that other systems exported: FHIR resources as NDJSON, and patients as CSV.
//!
//! Files are read as streams, so memory does not grow with the file. Each record becomes a patient, a clinical record,
//! or a reject with line and reason. A reason never repeats a value. The service layer writes the records to the store;
//! this folder knows no database. Read next: `plan.rs` for the order of files, `chunk.rs`, then `fhir.rs` (patients),
//! `record/` (all other resources) and `columns.rs` for the mappings.

mod base_url;
mod chunk;
mod columns;
mod csv;
mod draft;
mod fhir;
mod fhir_names;
mod fhir_options;
mod fhir_r4;
mod fhir_types;
#[doc(hidden)]
pub mod fuzzing;
mod identity;
mod ids;
mod kind;
mod ndjson;
mod plan;
mod record;
mod rejects;
mod resource_type;
mod stream;

pub use chunk::{Chunk, Chunks, Options, Reject};
pub use columns::ColumnMap;
pub use csv::Quotes;
pub use draft::Problem;
pub use fhir_options::FhirOptions;
pub use ids::Ids;
pub use kind::Kind;
pub use plan::{Part, Plan, REJECTS_SUFFIX};
pub use rejects::Rejects;
pub use stream::{Prefix, Stream};

use std::path::PathBuf;

/// The longest record, in bytes. A patient with a photograph may have a megabyte.
pub const RECORD_BYTES_MAX: usize = 8 << 20;

/// The longest line that is skipped, in bytes. A file with a longer one is not an export.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// The most blank lines between two records, in bytes. A file with more is not an export.
const BLANK_BYTES_MAX: u64 = 16 << 20;

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One FHIR resource on each line, as JSON.
    Ndjson,
    /// A header line, then one patient per record.
    Csv,
}

impl Format {
    /// The format by the file's name, ignoring `.gz`.
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

/// An error that ends the reading of a file.
#[derive(Debug, thiserror::Error)]
#[error("{}{}: {message}", file.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct ImportError {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1.
    pub line: Option<u64>,
    /// A lower-case fragment; never repeats a value.
    pub message: String,
}

#[cfg(test)]
mod tests;
